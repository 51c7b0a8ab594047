package pg

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SupportedMajor is the one server version that pgtender tends.
const SupportedMajor = 18

// IdleInTransaction is after how much silence within a transaction the server ends a session of pgtender's: its process is stopped,
// by a signal or a debugger, and would keep its locks for as long as that lasts.
const IdleInTransaction = 30 * time.Second

// countDeadline bounds what a session does when it is given back to its pool.
const countDeadline = 5 * time.Second

// Open returns a pool on the target. Its sessions resolve nothing by search_path, so no object
// planted in a user's schema can stand in for ours, print times in UTC, and bear "pgtender" as
// application name. When they are given back, what they did is counted; see Counted. The first connection is made lazily; call
// Preflight to see whether it works.
func Open(ctx context.Context, url string, maxConns int32) (*pgxpool.Pool, error) {
	if err := checkURL(url); err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, badURL(url, err)
	}
	if maxConns > 0 {
		cfg.MaxConns = maxConns
	}
	prepare(cfg.ConnConfig)
	cfg.AfterConnect = settle
	cfg.AfterRelease = func(conn *pgx.Conn) bool {
		ctx, cancel := context.WithTimeout(context.Background(), countDeadline)
		defer cancel()
		return Count(ctx, conn) == nil // a session that cannot even do this is closed, which counts as well
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, Explain(err)
	}
	return pool, nil
}

// Dedicated opens one connection outside any pool, set up like Open's: for locks that must live as
// long as the session, and for work in another database of the same server (database, if not empty).
func Dedicated(ctx context.Context, url, database string) (*pgx.Conn, error) {
	if err := checkURL(url); err != nil {
		return nil, err
	}
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, badURL(url, err)
	}
	if database != "" {
		cfg.Database = database
	}
	prepare(cfg)
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, Explain(err)
	}
	if err := settle(ctx, conn); err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, Explain(err)
	}
	return conn, nil
}

func prepare(cfg *pgx.ConnConfig) {
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "pgtender"
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}, Control: noticeLoss}
	cfg.DialFunc = dialer.DialContext // a server that has vanished is noticed as soon as it would notice us
}

// settle runs on each new session. It is a SET, not a start-up parameter, so that RESET ALL gives
// an own job the role's and database's settings back. The timeouts and the isolation that a role or database may set are
// lifted: each piece of work sets its own. Only IdleInTransaction holds for all.
func settle(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SET transaction_timeout = 0; SET statement_timeout = 0; SET lock_timeout = 0; SET idle_session_timeout = 0; "+
		fmt.Sprintf("SET idle_in_transaction_session_timeout = %d; ", IdleInTransaction.Milliseconds())+
		"SET search_path = ''; SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres'; "+
		"SET default_transaction_isolation = 'read committed'; "+NoticeLoss)
	return err
}

// NoticeLoss are statements that let the server end within seconds what a killed client has left running; otherwise it would
// run on to its end, and commit, while the next daemon does the same work. A client whose machine has vanished, or whose network is cut, is
// noticed by the server's TCP within some eleven seconds instead of two hours: until then its session would keep its locks. All sessions
// have the same limits, so that none of a run's outlives by much the one that holds the run's locks. A server on Windows or macOS
// cannot do everything of it.
const NoticeLoss = `SELECT pg_catalog.set_config('client_connection_check_interval', '1000', false)
	WHERE pg_catalog.current_setting('client_connection_check_interval') = '0' AND pg_catalog.version() !~* 'windows|mingw|visual c|msvc';
	SELECT pg_catalog.set_config('tcp_keepalives_idle', '5', false), pg_catalog.set_config('tcp_keepalives_interval', '2', false);
	SELECT pg_catalog.set_config('tcp_keepalives_count', '3', false), pg_catalog.set_config('tcp_user_timeout', '11000', false)
	WHERE pg_catalog.version() !~* 'windows|mingw|visual c|msvc|darwin|apple'`

// ConnectError is a failed connection in words for the person who must mend it.
type ConnectError struct {
	Advice string
	Err    error
}

func (e *ConnectError) Error() string {
	if e.Advice == "" {
		return e.Err.Error()
	}
	return e.Err.Error() + "\n" + e.Advice
}
func (e *ConnectError) Unwrap() error { return e.Err }

// Explain adds to a connection error what to do about it; other errors pass unchanged.
func Explain(err error) error {
	var connectErr *pgconn.ConnectError
	if !errors.As(err, &connectErr) {
		return err
	}
	where := place(connectErr.Config)
	var pgErr *pgconn.PgError
	var netErr *net.OpError
	var dnsErr *net.DNSError
	const lookThere = "check that it runs and that the connection string (env url, --url or DATABASE_URL) names it."
	switch {
	case errors.As(err, &pgErr):
		return &ConnectError{refusal(pgErr, connectErr.Config), fmt.Errorf("the server refused the connection (%s): %s (SQLSTATE %s)", where, pgErr.Message, pgErr.Code)}
	case errors.As(err, &dnsErr):
		return &ConnectError{"check the host in the connection string (env url, --url or DATABASE_URL).", fmt.Errorf("no server found (%s): %v", where, dnsErr)}
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("connect (%s): %w", where, context.Canceled)
	case errors.Is(err, context.DeadlineExceeded):
		return &ConnectError{lookThere, fmt.Errorf("no server answers (%s): nothing came back within %s", where, given(connectErr.Config.ConnectTimeout))}
	case errors.As(err, &netErr):
		return &ConnectError{lookThere, fmt.Errorf("no server answers (%s): %v", where, netErr.Err)}
	case errors.Is(err, os.ErrNotExist):
		return &ConnectError{"check that the server runs, or name its host.", fmt.Errorf("no server answers (%s)", where)}
	}
	return &ConnectError{"", fmt.Errorf("cannot connect (%s): %s", where, lastLine(err.Error()))}
}

// given is how long a connection was waited for, as far as it was up to us.
func given(timeout time.Duration) string {
	if timeout == 0 {
		return "the time that it was given"
	}
	return timeout.String()
}

// Unanswered is the error of work on the server that was given so long: when that was not enough, it says so in words.
func Unanswered(err error, given time.Duration) error {
	var told *ConnectError
	if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &told) {
		return err
	}
	return &ConnectError{"it hangs, or is overloaded, or the network does not let its answers through. See whether it answers anybody: psql -c 'SELECT 1'; its log says more.",
		fmt.Errorf("the server did not answer within %s", given)}
}

// place says where a connection leads.
func place(cfg *pgconn.Config) string {
	return fmt.Sprintf("host %s, port %d, database %q, user %q", printable(cfg.Host), cfg.Port, cfg.Database, cfg.User)
}

// refusal is what to do about a connection that the server refused.
func refusal(err *pgconn.PgError, cfg *pgconn.Config) string {
	switch err.Code {
	case InvalidPassword:
		return "check the password (PGPASSWORD, PGPASSFILE or the connection string)."
	case InvalidAuthorization:
		if err.Routine == "InitializeSessionUserId" { // the message itself is in the server's language
			return fmt.Sprintf("check the user, or make the role: CREATE ROLE %[1]s LOGIN; (one that is there: ALTER ROLE %[1]s LOGIN;)", Ident(cfg.User))
		}
		return "the server's pg_hba.conf refuses this user, database or address."
	case InvalidCatalog:
		return fmt.Sprintf("create it first: CREATE DATABASE %s;", Ident(cfg.Database))
	case InsufficientPrivilege:
		return fmt.Sprintf("allow it: GRANT CONNECT ON DATABASE %s TO %s;", Ident(cfg.Database), Ident(cfg.User))
	case TooManyConnections:
		return "the server has no free connection: raise max_connections or end idle sessions."
	case CannotConnectNow:
		return "the server is starting up or shutting down: try again in a moment."
	}
	return ""
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// Redact returns the connection string as it may be printed: host, port, database and user, never a
// password nor any other parameter.
func Redact(url string) string {
	cfg, err := pgconn.ParseConfig(url)
	if err != nil || checkURL(url) != nil {
		return "(a connection string that cannot be read)"
	}
	return printable(fmt.Sprintf("postgres://%s@%s:%d/%s", cfg.User, cfg.Host, cfg.Port, cfg.Database))
}

// printable replaces what a terminal would not show as it is: control characters, and bytes that are no text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
