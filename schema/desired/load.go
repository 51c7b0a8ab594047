package desired

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

const (
	// chunkSize is how many statements share a round trip and a savepoint: a savepoint each would put thousands of
	// subtransactions into the server's snapshots, which slows others down.
	chunkSize = 64
	// commitAfter bounds what one transaction creates in a database of our own: each new table, index and
	// sequence takes a place in the lock table that all sessions of the server share.
	commitAfter = 256
)

// loader runs statements in the scratch database until all have succeeded or none makes progress.
type loader struct {
	scratch  *scratch
	path     string // search_path of sources that set none
	done     []*statement
	fresh    int      // statements since the last commit
	applied  []string // settings in force
	invented []string // schemas made beside those that the sources create
}

// failure is a statement that the server refused.
type failure struct {
	stmt *statement
	err  error
}

// start opens the transaction.
func (l *loader) start(ctx context.Context) error {
	if err := l.scratch.begin(ctx); err != nil {
		return err
	}
	l.applied, l.fresh = nil, 0
	return l.settings(ctx, nil)
}

// settings puts the session into the state that a file's statements expect.
func (l *loader) settings(ctx context.Context, wanted []string) error {
	if l.applied != nil && slices.Equal(l.applied, wanted) {
		return nil
	}
	base := "SET LOCAL search_path = " + l.path + "; SET LOCAL check_function_bodies = off; SET LOCAL client_min_messages = error; " +
		"SET LOCAL default_tablespace = ''; SET LOCAL default_table_access_method = 'heap'; SET LOCAL xmloption = content; " +
		"SET LOCAL default_toast_compression = 'pglz'; SET LOCAL row_security = on; " +
		// Declared event triggers are compared, not fired. Only a superuser can have made one, and can say so.
		"SELECT pg_catalog.set_config('event_triggers', 'off', true) FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper"
	if _, err := l.scratch.tx.Exec(ctx, base); err != nil {
		return fmt.Errorf("prepare the scratch database: %w", err)
	}
	for _, set := range wanted {
		if _, err := l.scratch.tx.Exec(ctx, set); err != nil {
			return err
		}
	}
	l.applied = append([]string{}, wanted...)
	return nil
}

// load runs all statements to a fix-point and returns what could not be made to work.
func (l *loader) load(ctx context.Context, all []*statement) ([]failure, error) {
	pending := all
	var hard []failure
	for len(pending) > 0 {
		failed, err := l.round(ctx, pending)
		if err != nil {
			return nil, err
		}
		soft := failed[:0]
		for _, f := range failed {
			if hopeless(f.err) {
				hard = append(hard, f)
			} else {
				soft = append(soft, f)
			}
		}
		if len(failed) == len(pending) || len(soft) == 0 { // no progress
			made, err := l.inventSchema(ctx, soft)
			if err != nil {
				return nil, err
			}
			if !made {
				if len(hard) > 0 {
					return hard, nil // the others may fail only for want of these
				}
				return soft, nil
			}
		}
		pending = nil
		for _, f := range soft {
			pending = append(pending, f.stmt)
		}
	}
	return hard, nil
}

// hopeless reports whether no other statement can help: syntax errors, duplicates, lacking rights, lost connections.
func hopeless(err error) bool {
	code := pg.Code(err)
	switch code {
	case "42601", "42P07", "42710", "42723", "42P06", "42701", "42P05", pg.InsufficientPrivilege:
		return true
	case pg.InvalidSchemaName, "55P04", pg.NotInPrerequisite, wrongObjectType:
		return false
	}
	return !strings.HasPrefix(code, "42")
}

// round tries every statement once, in order.
func (l *loader) round(ctx context.Context, pending []*statement) ([]failure, error) {
	var failed []failure
	for size := chunkSize; len(pending) > 0; size = min(2*size, chunkSize) {
		n := 1
		for n < min(size, len(pending)) && slices.Equal(pending[n].settings, pending[0].settings) {
			n++
		}
		ran, err := l.chunk(ctx, pending[:n])
		if err != nil && !isServer(err) {
			return nil, err
		}
		if err == nil {
			pending = pending[n:]
			continue
		}
		if ran > 0 { // these are good, and were rolled back with the bad one
			if _, err := l.chunk(ctx, pending[:ran]); err != nil {
				return nil, fmt.Errorf("load %s once more: %w", pending[0].pos, err)
			}
		}
		failed = append(failed, failure{pending[ran], err})
		pending = pending[ran+1:]
		size = max(ran/2, 4)
	}
	return failed, l.commit(ctx, 1)
}

// chunk runs statements behind one savepoint. When one fails, all are rolled back, ran says how many had worked, and err
// is what the server said.
func (l *loader) chunk(ctx context.Context, stmts []*statement) (ran int, err error) {
	if err := l.settings(ctx, stmts[0].settings); err != nil {
		return 0, err
	}
	ran, err = l.pipeline(ctx, stmts, func(s *statement) string { return s.sql })
	if err != nil {
		return ran, err
	}
	l.done = append(l.done, stmts...)
	l.fresh += len(stmts)
	return ran, l.commit(ctx, commitAfter)
}

// pipeline sends the statements in one round trip behind a savepoint, and rolls back to it when one fails.
func (l *loader) pipeline(ctx context.Context, stmts []*statement, sql func(*statement) string) (ran int, err error) {
	batch := &pgconn.Batch{}
	batch.ExecParams("SAVEPOINT pgtender", nil, nil, nil, nil)
	for _, s := range stmts {
		batch.ExecParams(sql(s), nil, nil, nil, nil)
	}
	batch.ExecParams("RELEASE SAVEPOINT pgtender", nil, nil, nil, nil)
	results := l.scratch.conn.PgConn().ExecBatch(ctx, batch)
	ran = -1 // the savepoint
	for results.NextResult() {
		if _, err := results.ResultReader().Close(); err != nil {
			break
		}
		ran++
	}
	if err = results.Close(); err == nil {
		return len(stmts), nil
	}
	if !isServer(err) {
		return 0, fmt.Errorf("load the sources: %w", err)
	}
	if ran < 0 || ran >= len(stmts) {
		return 0, fmt.Errorf("load the sources: the savepoint: %s", err)
	}
	l.applied = nil // SETs since the savepoint are undone with it
	if _, err := l.scratch.tx.Exec(ctx, "ROLLBACK TO SAVEPOINT pgtender; RELEASE SAVEPOINT pgtender"); err != nil {
		return 0, fmt.Errorf("load the sources: %w", err)
	}
	return ran, err
}

// isServer tells what the server said of a statement from a broken connection or a cancellation.
func isServer(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && !pg.Is(err, pg.AdminShutdown, pg.QueryCanceled, "57P02", "57P05", "53200", "53100")
}

// commit ends the transaction in a database of our own after so many statements.
func (l *loader) commit(ctx context.Context, after int) error {
	if !l.scratch.own() || l.fresh < after {
		return nil
	}
	if err := l.scratch.tx.Commit(ctx); err != nil {
		return fmt.Errorf("keep what is loaded: %w", err)
	}
	return l.start(ctx)
}

// inventSchema makes the schema that an extension shall live in, if no source creates it.
func (l *loader) inventSchema(ctx context.Context, soft []failure) (bool, error) {
	for _, f := range soft {
		var pgErr *pgconn.PgError
		if !errors.As(f.err, &pgErr) || pgErr.Code != pg.InvalidSchemaName {
			continue
		}
		missing := quotedIn(pgErr.Message)
		if missing != "" && f.stmt.extension != "" {
			return true, l.invent(ctx, missing)
		}
	}
	return false, nil
}

func (l *loader) invent(ctx context.Context, schemas ...string) error {
	for _, name := range schemas {
		if _, err := l.scratch.tx.Exec(ctx, "CREATE SCHEMA "+pg.Ident(name)); err != nil {
			return fmt.Errorf("create the schema %q: %w", name, err)
		}
		l.invented = append(l.invented, name)
	}
	return nil
}

// quotedIn is what stands in double quotes in the server's message.
func quotedIn(message string) string {
	_, rest, ok := strings.Cut(message, `"`)
	end := strings.LastIndexByte(rest, '"')
	if !ok || end < 0 {
		return ""
	}
	return rest[:end]
}

// problem puts what the server said of a statement into words, with its place in the sources.
func (f failure) problem() Problem {
	var pgErr *pgconn.PgError
	if !errors.As(f.err, &pgErr) {
		return Problem{Pos: f.stmt.pos, Text: f.err.Error(), Excerpt: f.stmt.excerpt()}
	}
	part := pgErr.ConstraintName
	if part == "" {
		part = pgErr.ColumnName
	}
	p := Problem{Pos: f.stmt.locate(int(pgErr.Position), part), Text: pgErr.Message, Excerpt: f.stmt.excerpt(), Code: pgErr.Code}
	for _, more := range []string{pgErr.Detail, pgErr.Hint, adviceFor(pgErr)} {
		if more != "" {
			p.Text += "; " + strings.TrimSuffix(more, ".")
		}
	}
	p.Text += " (SQLSTATE " + pgErr.Code + ")"
	return p
}

func adviceFor(e *pgconn.PgError) string {
	here := "the server where scratch databases are made (env dev, or the target's)"
	switch e.Code {
	case pg.UndefinedObject:
		if strings.HasPrefix(e.Message, "role ") || strings.HasPrefix(e.Message, "tablespace ") {
			return "create it on " + here + ": it belongs to a server, not to a database"
		}
		return "no source declares it"
	case "42P07", "42723", "42710":
		return "it is declared twice"
	case pg.UndefinedTable, pg.UndefinedFunction, pg.InvalidSchemaName:
		return "no source declares it"
	case pg.FeatureNotSupported:
		if strings.HasPrefix(e.Message, "extension ") {
			return "install it on " + here
		}
	case pg.InsufficientPrivilege:
		if strings.Contains(e.Message, "extension") {
			return "name a dev server where the role may create it (env dev)"
		}
	}
	return ""
}

// checkBodies declares every routine again with its body checked, and undoes it. What a body needs of a schema that is
// not managed is not there, so it is let pass.
func (l *loader) checkBodies(ctx context.Context, managed []string) ([]failure, error) {
	var routines []*statement
	for _, s := range l.done {
		if s.checked != "" {
			routines = append(routines, s)
		}
	}
	if len(routines) == 0 {
		return nil, nil
	}
	if _, err := l.scratch.tx.Exec(ctx, "SAVEPOINT bodies"); err != nil {
		return nil, fmt.Errorf("check the bodies of routines: %w", err)
	}
	var failed []failure
	for len(routines) > 0 {
		n := 1
		for n < len(routines) && n < chunkSize && slices.Equal(routines[n].settings, routines[0].settings) {
			n++
		}
		if err := l.settings(ctx, routines[0].settings); err != nil {
			return nil, err
		}
		if _, err := l.scratch.tx.Exec(ctx, "SET LOCAL check_function_bodies = on"); err != nil {
			return nil, fmt.Errorf("check the bodies of routines: %w", err)
		}
		l.applied = nil
		ran, err := l.pipeline(ctx, routines[:n], func(s *statement) string { return s.checked })
		if err == nil {
			routines = routines[n:]
			continue
		}
		if !isServer(err) {
			return nil, err
		}
		if !foreign(err, managed) {
			failed = append(failed, failure{routines[ran].unchecked(), err})
		}
		routines = slices.Delete(slices.Clone(routines), ran, ran+1)
	}
	_, err := l.scratch.tx.Exec(ctx, "ROLLBACK TO SAVEPOINT bodies; RELEASE SAVEPOINT bodies")
	l.applied = nil
	return failed, err
}

// unchecked locates errors of the checked text in the sources.
func (s *statement) unchecked() *statement {
	out := *s
	out.locate = func(position int, part string) config.Pos {
		if position > len("CREATE")+s.added {
			position -= s.added
		}
		return s.locate(position, part)
	}
	return &out
}

// foreign reports whether the body only lacks an object of a schema that is not managed.
func foreign(err error, managed []string) bool {
	if !pg.Is(err, pg.UndefinedTable, pg.UndefinedFunction, pg.UndefinedObject, pg.UndefinedColumn, pg.InvalidSchemaName) {
		return false
	}
	var pgErr *pgconn.PgError
	errors.As(err, &pgErr)
	schema := quotedIn(pgErr.Message)
	if pgErr.Code == pg.UndefinedFunction { // function audit.log(text) does not exist
		schema = strings.TrimPrefix(pgErr.Message, "function ")
	}
	if pgErr.Code != pg.InvalidSchemaName {
		var qualified bool
		if schema, _, qualified = strings.Cut(schema, "."); !qualified {
			return false
		}
	}
	return !slices.Contains(managed, strings.Trim(schema, `"`))
}
