package desired

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/pgtender/pgtender/internal/pg"
)

// scratchPrefix begins the names of scratch databases.
const scratchPrefix = "pgtender_scratch_"

// cleanupTime bounds what is done after a cancellation.
const cleanupTime = 30 * time.Second

// scratch is the database that the sources are loaded into. It is one of our own, dropped at the end, or, for a role that
// may not create databases, a given empty one, in which everything is rolled back.
//
// A scratch database of our own is known by an advisory lock that its maker's session holds from before it is made until
// after it is dropped. So one whose lock nobody holds was left by a crash, however young it is.
//
// To drop a database makes its server write a checkpoint. Where that is felt, a dev server of its own (env dev) keeps it
// away from the target.
type scratch struct {
	url  string
	log  *zap.Logger
	keep *pgx.Conn // holds the lock; in the database that the connection string names
	name string    // of our own database, or ""
	conn *pgx.Conn // where the sources are loaded
	tx   pgx.Tx
}

// ScratchError says that a scratch database can neither be created nor borrowed.
type ScratchError struct {
	Role, Database string
	Reason         string // why the given database cannot be used, or ""
	Standby        bool   // the server takes no writes
}

func (e *ScratchError) Error() string {
	if e.Standby {
		return fmt.Sprintf("the server of database %q is a read-only standby, and the sources are loaded into a scratch database. Nothing was changed.\n"+
			"Name another PostgreSQL %d server to make it on: env dev, --dev-url or DEV_DATABASE_URL. Or ask the primary.", e.Database, pg.SupportedMajor)
	}
	s := fmt.Sprintf("role %q may not create the scratch database that the sources are loaded into. Nothing was changed.\n"+
		"Allow it: ALTER ROLE %s CREATEDB;\nor name an empty database of its own in env dev, --dev-url or DEV_DATABASE_URL.", e.Role, pg.Ident(e.Role))
	if e.Reason != "" {
		s += fmt.Sprintf("\nThe database %q cannot be borrowed: %s.", e.Database, e.Reason)
	}
	return s
}

// locale is what a scratch database takes over from the target.
type locale struct {
	encoding, provider, collate, ctype, name, icuRules string
}

const localeSQL = `SELECT pg_encoding_to_char(encoding), datlocprovider::text, datcollate, datctype, coalesce(datlocale, ''), coalesce(daticurules, '')
	FROM pg_database WHERE datname = current_database()`

func (l *locale) options(full bool) string {
	s := " ENCODING " + pg.Literal(l.encoding)
	if !full {
		return s
	}
	s += " LC_COLLATE " + pg.Literal(l.collate) + " LC_CTYPE " + pg.Literal(l.ctype)
	switch l.provider {
	case "i":
		s += " LOCALE_PROVIDER icu ICU_LOCALE " + pg.Literal(l.name)
		if l.icuRules != "" {
			s += " ICU_RULES " + pg.Literal(l.icuRules)
		}
	case "b":
		s += " LOCALE_PROVIDER builtin BUILTIN_LOCALE " + pg.Literal(l.name)
	default:
		s += " LOCALE_PROVIDER libc"
	}
	return s
}

// openScratch gets a database to load into. targetURL says which locale it shall have; devURL where it
// may be made, and is the target's server when empty.
func openScratch(ctx context.Context, targetURL, devURL string, log *zap.Logger) (*scratch, error) {
	s := &scratch{url: devURL, log: log}
	given := devURL != ""
	if !given {
		s.url = targetURL
	}
	var err error
	if s.keep, err = pg.Dedicated(ctx, s.url, ""); err != nil {
		return nil, fmt.Errorf("connect to where scratch databases are made: %w", err)
	}
	if err := s.prepare(ctx, targetURL, given); err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

func (s *scratch) prepare(ctx context.Context, targetURL string, given bool) error {
	server, err := pg.PreflightPrimary(ctx, s.keep)
	var standby *pg.StandbyError
	if errors.As(err, &standby) && server.InRecovery {
		return &ScratchError{Database: server.Database, Standby: true}
	}
	if err != nil {
		return fmt.Errorf("look at where scratch databases are made: %w", err)
	}
	var mayCreate bool
	if err := s.keep.QueryRow(ctx, "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user").Scan(&mayCreate); err != nil {
		return fmt.Errorf("look at the role's rights: %w", err)
	}
	if !mayCreate {
		if !given {
			return &ScratchError{Role: server.User}
		}
		return s.borrow(ctx, server, targetURL)
	}
	s.removeLeftovers(ctx)
	l, err := s.targetLocale(ctx, targetURL, given)
	if err != nil {
		return err
	}
	if err := s.create(ctx, l); err != nil {
		return err
	}
	return s.connect(ctx)
}

func (s *scratch) targetLocale(ctx context.Context, targetURL string, given bool) (*locale, error) {
	conn := s.keep
	if given {
		target, err := pg.Dedicated(ctx, targetURL, "")
		if err != nil {
			return nil, fmt.Errorf("read the target's encoding and locale: %w", err)
		}
		defer target.Close(context.WithoutCancel(ctx))
		conn = target
	}
	var l locale
	err := conn.QueryRow(ctx, localeSQL).Scan(&l.encoding, &l.provider, &l.collate, &l.ctype, &l.name, &l.icuRules)
	if err != nil {
		return nil, fmt.Errorf("read the target's encoding and locale: %w", err)
	}
	return &l, nil
}

// create makes the database under the lock. STRATEGY wal_log, as file_copy would force checkpoints on a busy server.
func (s *scratch) create(ctx context.Context, l *locale) error {
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return fmt.Errorf("name a scratch database: %w", err)
	}
	name := scratchPrefix + hex.EncodeToString(random)
	if got, err := pg.TryLock(ctx, s.keep, "scratch "+name); err != nil || !got {
		return fmt.Errorf("lock the scratch database's name: %w", errors.Join(err, ctx.Err()))
	}
	s.name = name // from here on close drops it
	create := "CREATE DATABASE " + pg.Ident(name) + " TEMPLATE template0 STRATEGY wal_log IS_TEMPLATE false"
	_, err := s.keep.Exec(ctx, create+l.options(true))
	if pg.Is(err, invalidParameterValue, wrongObjectType, pg.FeatureNotSupported) { // a dev server without the target's locale
		s.log.Warn("the scratch database does not have the target's locale", zap.Error(err))
		_, err = s.keep.Exec(ctx, create+l.options(false))
	}
	if err != nil {
		return fmt.Errorf("create the scratch database %s: %w", name, err)
	}
	return nil
}

const (
	invalidParameterValue = "22023"
	wrongObjectType       = "42809"
)

func (s *scratch) connect(ctx context.Context) error {
	conn, err := pg.Dedicated(ctx, s.url, s.name)
	if err != nil {
		return fmt.Errorf("connect to the scratch database %s: %w", s.name, err)
	}
	s.conn = conn
	return nil
}

// borrow takes the given database for as long as the session lives, if it is empty.
func (s *scratch) borrow(ctx context.Context, server pg.Server, targetURL string) error {
	refuse := &ScratchError{Role: server.User, Database: server.Database}
	same, err := s.isTarget(ctx, targetURL)
	if err != nil {
		return err
	}
	if same {
		refuse.Reason = "it is the target itself"
		return refuse
	}
	if _, err := s.keep.Exec(ctx, "SELECT pg_advisory_lock($1)", pg.LockKey("scratch")); err != nil {
		return fmt.Errorf("wait for another user of the scratch database %q: %w", server.Database, err)
	}
	var found string
	if err := s.keep.QueryRow(ctx, contentSQL).Scan(&found); err != nil {
		return fmt.Errorf("look whether the database %q is empty: %w", server.Database, err)
	}
	if found != "" {
		refuse.Reason = "it is not empty, it has " + found
		return refuse
	}
	s.conn = s.keep
	return nil
}

// contentSQL names something that a user has made in the database, or nothing.
const contentSQL = `
	SELECT coalesce((SELECT what FROM (
		SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('public', 'information_schema')
		UNION ALL SELECT 'extension ' || extname FROM pg_extension WHERE extname <> 'plpgsql'
		UNION ALL SELECT 'relation ' || oid::regclass FROM pg_class WHERE oid >= 16384 AND relkind <> 't' AND relkind <> 'i'
		UNION ALL SELECT 'function ' || oid::regprocedure FROM pg_proc WHERE oid >= 16384
		UNION ALL SELECT 'type ' || oid::regtype FROM pg_type WHERE oid >= 16384
		UNION ALL SELECT 'event trigger ' || evtname FROM pg_event_trigger
		UNION ALL SELECT 'publication ' || pubname FROM pg_publication
		UNION ALL SELECT 'no schema public as a new database has it' WHERE NOT EXISTS
			(SELECT FROM pg_namespace WHERE nspname = 'public' AND obj_description(oid, 'pg_namespace') = 'standard public schema')
		) found(what) LIMIT 1), '')`

func (s *scratch) isTarget(ctx context.Context, targetURL string) (bool, error) {
	const identity = "SELECT concat_ws('/', pg_postmaster_start_time(), inet_server_port(), current_database())"
	var here, there string
	target, err := pg.Dedicated(ctx, targetURL, "")
	if err == nil {
		defer target.Close(context.WithoutCancel(ctx))
		err = target.QueryRow(ctx, identity).Scan(&there)
	}
	if err == nil {
		err = s.keep.QueryRow(ctx, identity).Scan(&here)
	}
	if err != nil {
		return false, fmt.Errorf("compare the scratch database with the target: %w", err)
	}
	return here == there, nil
}

// removeLeftovers drops scratch databases that a crash left. What cannot be dropped is somebody else's, or still being
// left by a dying session: the next run sees it again.
func (s *scratch) removeLeftovers(ctx context.Context) {
	rows, err := s.keep.Query(ctx, `SELECT datname FROM pg_database WHERE starts_with(datname, $1) AND pg_has_role(datdba, 'USAGE') ORDER BY 1`, scratchPrefix)
	if err != nil {
		s.log.Warn("look for scratch databases that a crash left", zap.Error(err))
		return
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		s.log.Warn("look for scratch databases that a crash left", zap.Error(err))
		return
	}
	for _, name := range names {
		if len(name) != len(scratchPrefix)+16 || strings.Trim(name[len(scratchPrefix):], "0123456789abcdef") != "" {
			continue // not one of ours
		}
		key := uint64(pg.LockKey("scratch " + name))
		var locked bool
		// The lock is held in the database that its maker's connection string names: ask for it in all of them.
		err := s.keep.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
			AND classid = $1::bigint::oid AND objid = $2::bigint::oid)`, int64(key>>32), int64(key&0xffffffff)).Scan(&locked)
		if err == nil && !locked {
			if err = s.dropDatabase(ctx, name); err == nil {
				s.log.Info("removed a scratch database that a crash left", zap.String("database", name))
			}
		}
		if err != nil {
			s.log.Warn("remove a scratch database that a crash left", zap.String("database", name), zap.Error(err))
		}
	}
}

// begin opens the transaction that sources are loaded in. It locks nothing of anybody's, and may be idle for long, while the target's
// catalogs are read.
func (s *scratch) begin(ctx context.Context) error {
	tx, err := s.conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '10min'"})
	if err != nil {
		return fmt.Errorf("begin to load the sources: %w", err)
	}
	s.tx = tx
	return nil
}

// own reports whether the database is ours to commit in.
func (s *scratch) own() bool { return s.name != "" }

// reset forgets everything that was loaded.
func (s *scratch) reset(ctx context.Context, targetURL string) error {
	if err := s.tx.Rollback(ctx); err != nil {
		return fmt.Errorf("roll the scratch database back: %w", err)
	}
	if !s.own() {
		return nil
	}
	if err := s.drop(ctx); err != nil {
		return err
	}
	l, err := s.targetLocale(ctx, targetURL, s.url != targetURL)
	if err != nil {
		return err
	}
	if err := s.create(ctx, l); err != nil {
		return err
	}
	return s.connect(ctx)
}

func (s *scratch) drop(ctx context.Context) error {
	if s.conn != nil {
		s.conn.Close(ctx)
		s.conn = nil
	}
	name := s.name
	err := s.dropDatabase(ctx, name)
	if err != nil {
		return fmt.Errorf("drop the scratch database %s: %w", name, err)
	}
	s.name = ""
	return pg.Unlock(ctx, s.keep, "scratch "+name)
}

// dropDatabase drops it whoever is connected: a monitor, or the session of a killed run that has not noticed yet. FORCE
// needs rights over their roles; without them only an unused database can be dropped.
func (s *scratch) dropDatabase(ctx context.Context, name string) error {
	_, err := s.keep.Exec(ctx, "DROP DATABASE IF EXISTS "+pg.Ident(name)+" WITH (FORCE)")
	if pg.Is(err, pg.InsufficientPrivilege) {
		_, err = s.keep.Exec(ctx, "DROP DATABASE IF EXISTS "+pg.Ident(name))
	}
	return err
}

// close leaves nothing behind, also after a cancellation. What fails is logged: the next run removes it.
func (s *scratch) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	if s.conn != nil && s.conn != s.keep {
		s.conn.Close(ctx) // rolls back
		s.conn = nil
	}
	if s.own() {
		s.dropAfterCancel(ctx)
	}
	s.keep.Close(ctx)
}

// dropAfterCancel drops over a new connection when the cancellation has broken the old one. The old session's lock
// may be gone by then; at worst another run drops the database first.
func (s *scratch) dropAfterCancel(ctx context.Context) {
	if s.keep.IsClosed() {
		conn, err := pg.Dedicated(ctx, s.url, "")
		if err != nil {
			s.log.Warn("the scratch database is left for the next run to remove", zap.String("database", s.name), zap.Error(err))
			return
		}
		s.keep = conn
	}
	if err := s.drop(ctx); err != nil {
		s.log.Warn("the scratch database is left for the next run to remove", zap.String("database", s.name), zap.Error(err))
	}
}
