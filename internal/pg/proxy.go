package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// ProxyError is a proxy between us and the server that hands each transaction to whatever server session is free.
// Session locks and settings do not hold there, and our settings would leak into other programs' sessions.
type ProxyError struct{ Evidence string }

func (e *ProxyError) Error() string {
	return fmt.Sprintf("the connection string leads to a transaction-pooling proxy (%s), behind which session locks do not hold. Nothing was changed. "+
		"Connect to the server itself, or to a pool in session mode (PgBouncer: pool_mode = session for this user or database).", e.Evidence)
}

// RequireSessions refuses a proxy that pools transactions or statements. It changes no setting of any session, so
// call it before Open or Dedicated where the connection string is not known to be direct. It uses two connections
// for a few milliseconds.
func RequireSessions(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var conns [2]*pgconn.PgConn
	for i := range conns {
		if err := checkURL(url); err != nil {
			return err
		}
		cfg, err := pgconn.ParseConfig(url)
		if err != nil {
			return badURL(url, err)
		}
		if cfg.RuntimeParams["application_name"] == "" {
			cfg.RuntimeParams["application_name"] = "pgtender"
		}
		if conns[i], err = pgconn.ConnectConfig(ctx, cfg); err != nil {
			return Explain(err)
		}
		defer conns[i].Close(context.WithoutCancel(ctx))
	}
	first, err := backend(ctx, conns[0])
	if err != nil {
		return err
	}
	rounds := 1
	if first.pid != fmt.Sprint(conns[0].PID()) {
		rounds = 8 // there is a proxy of some kind; one that chooses by chance takes more looking at
	}
	for i := range rounds {
		if err := swap(ctx, conns[i%2], conns[1-i%2]); err != nil {
			return err
		}
	}
	return nil
}

type backendID struct{ pid, postmaster string }

// swap looks at one connection's server session before and while the other one holds a transaction open.
// A pool gives the open transaction the session that the first has just left.
func swap(ctx context.Context, a, b *pgconn.PgConn) error {
	before, err := backend(ctx, a)
	if err != nil {
		return err
	}
	if _, err := b.Exec(ctx, "BEGIN").ReadAll(); err != nil {
		var refused *pgconn.PgError
		if errors.As(err, &refused) {
			return &ProxyError{"it refuses transactions: " + refused.Message}
		}
		return err
	}
	other, err := backend(ctx, b)
	if err != nil {
		return err
	}
	if other == before {
		return &ProxyError{"two connections share server process " + other.pid}
	}
	during, err := backend(ctx, a)
	if err != nil {
		return err
	}
	if during != before {
		return &ProxyError{fmt.Sprintf("one connection changed from server process %s to %s", before.pid, during.pid)}
	}
	_, err = b.Exec(ctx, "ROLLBACK").ReadAll()
	return err
}

func backend(ctx context.Context, conn *pgconn.PgConn) (backendID, error) {
	results, err := conn.Exec(ctx, "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_postmaster_start_time()").ReadAll()
	if err != nil {
		return backendID{}, fmt.Errorf("look at the server session: %w", err)
	}
	row := results[0].Rows[0]
	return backendID{string(row[0]), string(row[1])}, nil
}
