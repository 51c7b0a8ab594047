package state

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"sort"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

//go:embed ddl/*.sql
var ddl embed.FS

// Schema is the name of pgtender's own schema.
const Schema = "pgtender"

// Version is the version of the schema that this program needs: the number of files in ddl/.
const Version = 2

// DB is what Ensure works on: a pool or a connection opened by package pg.
type DB interface {
	pg.Beginner
	pg.Querier
}

// NewerError says that the schema was made by a later pgtender. Nothing was changed.
type NewerError struct{ Found int }

func (e *NewerError) Error() string {
	return fmt.Sprintf("schema %s in this database is of version %d, made by a newer pgtender; this one knows version %d only. Nothing was changed. Use that newer pgtender here.",
		Schema, e.Found, Version)
}

// PrivilegeError says what this role lacks, and what gives it to it. Nothing was changed.
type PrivilegeError struct {
	Lacks string // what cannot be done
	Grant string // SQL, one statement a line
}

func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("%s. Nothing was changed. As a role that may, run:\n%s", e.Lacks, e.Grant)
}

// Ensure makes the schema pgtender, or brings it to Version, in one transaction; when it is there already, one query
// is all that happens, and no right to create anything is needed. Any number of processes may call it at once.
func Ensure(ctx context.Context, db DB) error {
	found, err := look(ctx, db)
	if err != nil {
		return err
	}
	if found.version == Version {
		return found.missingRights()
	}
	err = pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error { return bring(ctx, tx) })
	if pg.Is(err, pg.ReadOnlyTransaction) {
		return &pg.StandbyError{Database: found.database}
	}
	return err
}

// bring makes what is missing. The lock is awaited, so the second of two processes finds the work done.
func bring(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "SELECT pg_catalog.pg_advisory_xact_lock($1)", pg.LockKey("state")); err != nil {
		return fmt.Errorf("wait for another process that makes schema %s: %w", Schema, err)
	}
	found, err := look(ctx, tx)
	if err != nil {
		return err
	}
	if found.version == Version {
		return found.missingRights()
	}
	if err := found.mayBring(); err != nil {
		return err
	}
	if !found.schema {
		if _, err := tx.Exec(ctx, `CREATE SCHEMA pgtender; COMMENT ON SCHEMA pgtender IS 'pgtender: run ledger, archive manifest, state and journals of the maintenance of this database.'`); err != nil {
			return fmt.Errorf("create schema %s: %w", Schema, err)
		}
	}
	steps, err := migrations()
	if err != nil {
		return err
	}
	for _, m := range steps {
		if m.version <= found.version {
			continue
		}
		if _, err := tx.Exec(ctx, m.sql); err != nil {
			return fmt.Errorf("bring schema %s to version %d: %w", Schema, m.version, err)
		}
		if _, err := tx.Exec(ctx, "INSERT INTO pgtender.version (version) VALUES ($1)", m.version); err != nil {
			return fmt.Errorf("record version %d of schema %s: %w", m.version, Schema, err)
		}
	}
	return nil
}

type migration struct {
	version int
	sql     string
}

func migrations() ([]migration, error) {
	entries, err := fs.ReadDir(ddl, "ddl")
	if err != nil {
		return nil, err
	}
	var out []migration
	for _, e := range entries {
		var m migration
		if _, err := fmt.Sscanf(e.Name(), "%04d.sql", &m.version); err != nil {
			return nil, fmt.Errorf("embedded file %s: %w", e.Name(), err)
		}
		text, err := fs.ReadFile(ddl, "ddl/"+e.Name())
		if err != nil {
			return nil, err
		}
		m.sql = string(text)
		out = append(out, m)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].version < out[j].version })
	return out, nil
}

// found is what the database holds of ours, and what this role may do there.
type found struct {
	database, user  string
	schema          bool
	owner           string // of the schema
	usage, create   bool   // on the schema
	createSchemas   bool   // CREATE on the database
	version         int    // 0: none
	tablesNoRights  []string
	tablesNotOwned  []string
	versionReadable bool
	tables          []string // all of them
}

const lookSQL = `
SELECT current_database(), current_user, n.oid IS NOT NULL,
       coalesce(pg_get_userbyid(n.nspowner), ''),
       coalesce(has_schema_privilege(n.oid, 'USAGE'), false),
       coalesce(has_schema_privilege(n.oid, 'CREATE'), false),
       has_database_privilege(current_database(), 'CREATE'),
       coalesce((SELECT has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE') FROM pg_class c
                 WHERE c.relnamespace = n.oid AND c.relname = 'version' AND c.relkind = 'r'), false),
       EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = 'version' AND c.relkind = 'r'),
       coalesce((SELECT array_agg(c.relname::text ORDER BY c.relname) FROM pg_class c
                 WHERE c.relnamespace = n.oid AND c.relkind = 'r'
                   AND NOT (has_table_privilege(c.oid, 'SELECT') AND
                            (c.relname = 'version' OR has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')))),
                '{}'),
       coalesce((SELECT array_agg(c.relname::text ORDER BY c.relname) FROM pg_class c
                 WHERE c.relnamespace = n.oid AND c.relkind = 'r' AND NOT pg_has_role(c.relowner, 'USAGE')), '{}'),
       coalesce((SELECT array_agg(c.relname::text ORDER BY c.relname) FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'r'), '{}')
FROM (SELECT 'pgtender'::name AS wanted) w LEFT JOIN pg_namespace n ON n.nspname = w.wanted`

func look(ctx context.Context, q pg.Querier) (found, error) {
	var f found
	var hasVersion bool
	err := q.QueryRow(ctx, lookSQL).Scan(&f.database, &f.user, &f.schema, &f.owner, &f.usage, &f.create,
		&f.createSchemas, &f.versionReadable, &hasVersion, &f.tablesNoRights, &f.tablesNotOwned, &f.tables)
	if err != nil {
		return f, pg.Explain(fmt.Errorf("look at schema %s: %w", Schema, err))
	}
	if !hasVersion {
		return f, nil
	}
	if !f.versionReadable {
		return f, f.missingRights()
	}
	err = q.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM pgtender.version").Scan(&f.version)
	if err != nil {
		return f, fmt.Errorf("read the version of schema %s: %w", Schema, err)
	}
	if f.version > Version {
		return f, &NewerError{f.version}
	}
	return f, nil
}

// missingRights checks that this role can work with a schema that is there.
func (f found) missingRights() error {
	user := pg.Ident(f.user)
	var grants []string
	if !f.usage {
		grants = append(grants, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", Schema, user))
	}
	if len(f.tablesNoRights) > 0 {
		grants = append(grants, fmt.Sprintf("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %s TO %s;", Schema, user))
	}
	if len(grants) == 0 {
		return nil
	}
	lacks := fmt.Sprintf("role %s may not use schema %s", user, Schema)
	if len(f.tablesNoRights) > 0 {
		lacks = fmt.Sprintf("role %s may not read and write %s", user, qualified(f.tablesNoRights))
	}
	return &PrivilegeError{Lacks: lacks, Grant: strings.Join(grants, "\n")}
}

// mayBring checks that this role can make the schema, or change it.
func (f found) mayBring() error {
	user := pg.Ident(f.user)
	switch {
	case !f.schema && !f.createSchemas:
		return &PrivilegeError{
			Lacks: fmt.Sprintf("role %s may not create schema %s in database %s", user, Schema, pg.Ident(f.database)),
			Grant: fmt.Sprintf("GRANT CREATE ON DATABASE %s TO %s;", pg.Ident(f.database), user)}
	case f.schema && !(f.usage && f.create):
		return &PrivilegeError{
			Lacks: fmt.Sprintf("role %s may not create tables in schema %s, which belongs to %s", user, Schema, pg.Ident(f.owner)),
			Grant: fmt.Sprintf("GRANT USAGE, CREATE ON SCHEMA %s TO %s;", Schema, user)}
	case f.version > 0 && len(f.tablesNotOwned) > 0:
		return &PrivilegeError{
			Lacks: fmt.Sprintf("schema %s is of version %d and must be brought to %d, which only the owner of %s can do", Schema, f.version, Version, qualified(f.tablesNotOwned)),
			Grant: fmt.Sprintf("pgtender apply   -- connected as %s", pg.Ident(f.owner))}
	case f.version == 0 && len(f.tables) > 0:
		return fmt.Errorf("schema %s holds tables that are not pgtender's: %s. Nothing was changed. Rename that schema, and try again", Schema, qualified(f.tables))
	}
	return nil
}

func qualified(tables []string) string {
	out := make([]string, len(tables))
	for i, t := range tables {
		out[i] = Schema + "." + t
	}
	return strings.Join(out, ", ")
}
