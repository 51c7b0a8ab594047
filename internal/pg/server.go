package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Querier reads: *pgxpool.Pool, *pgx.Conn, pgx.Tx.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Server is what a connection led to.
type Server struct {
	Database   string
	User       string
	Version    string // "18.4"
	VersionNum int    // 180004
	InRecovery bool   // a standby
	ReadOnly   bool   // default_transaction_read_only
}

// VersionError is a server of another major version.
type VersionError struct{ Version string }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the server is PostgreSQL %s; pgtender tends PostgreSQL %d only. Nothing was changed.", e.Version, SupportedMajor)
}

// StandbyError is a write asked of a standby, or of a database that is set to be only read.
type StandbyError struct {
	Database string
	Setting  bool // no standby: default_transaction_read_only is on
}

func (e *StandbyError) Error() string {
	if e.Setting {
		return fmt.Sprintf("default_transaction_read_only is on for this session in database %q. Nothing was changed. Where it was set: ALTER DATABASE or ALTER ROLE … RESET default_transaction_read_only, or the server's configuration.", e.Database)
	}
	return fmt.Sprintf("the server of database %q is a read-only standby. Nothing was changed. Connect to its primary, for example with target_session_attrs=primary and all hosts in the connection string.", e.Database)
}

// Preflight connects and reads what the server is. Its errors are ready to be printed: no server, a
// wrong password, a version that is not supported.
func Preflight(ctx context.Context, db Querier) (Server, error) {
	var s Server
	err := db.QueryRow(ctx, `
		SELECT current_database(), current_user, current_setting('server_version'),
		       current_setting('server_version_num')::int, pg_is_in_recovery(),
		       current_setting('default_transaction_read_only')::bool`).
		Scan(&s.Database, &s.User, &s.Version, &s.VersionNum, &s.InRecovery, &s.ReadOnly)
	if err != nil {
		return s, Explain(err)
	}
	if s.VersionNum/10000 != SupportedMajor {
		return s, &VersionError{s.Version}
	}
	return s, nil
}

// PreflightPrimary is Preflight for work that writes: a standby is refused.
func PreflightPrimary(ctx context.Context, db Querier) (Server, error) {
	s, err := Preflight(ctx, db)
	if err == nil && (s.InRecovery || s.ReadOnly) {
		err = &StandbyError{Database: s.Database, Setting: !s.InRecovery}
	}
	return s, err
}
