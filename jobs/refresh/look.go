package refresh

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// view is what a refresh needs to know beforehand; one query, no lock on the view.
type view struct {
	OID         uint32
	Kind        string // relkind
	Populated   bool
	Rows        float64 // of the last ANALYZE or VACUUM; -1: never
	Live        int64   // as the statistics count them
	Bytes       int64   // its heap, by the same
	UsableIndex string  // "" when none allows CONCURRENTLY
	Unusable    []string
	Owner       string
	User        string
	Database    string
	ReadOnly    bool

	MayMaintain  bool
	MayUseSchema bool
	OwnerMayTemp bool
}

// The conditions on the index are those of is_usable_unique_index in PostgreSQL's matview.c.
const lookSQL = `
SELECT c.oid, c.relkind::text, c.relispopulated, c.reltuples, pg_stat_get_live_tuples(c.oid), c.relpages::bigint * current_setting('block_size')::bigint,
       coalesce((SELECT min(ic.relname) FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
                  WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
                    AND i.indpred IS NULL AND NOT 0 = ANY (i.indkey)), ''),
       coalesce((SELECT array_agg(ic.relname || ' (' ||
                          CASE WHEN i.indpred IS NOT NULL THEN 'it has a WHERE'
                               WHEN 0 = ANY (i.indkey) THEN 'it is on an expression'
                               WHEN NOT i.indisvalid THEN 'it is invalid' ELSE 'it is deferrable' END || ')' ORDER BY ic.relname)
                   FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
                  WHERE i.indrelid = c.oid AND i.indisunique
                    AND NOT (i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND NOT 0 = ANY (i.indkey))), '{}')::text[],
       pg_get_userbyid(c.relowner), current_user, current_database(),
       current_setting('transaction_read_only')::bool AND pg_is_in_recovery(),
       has_table_privilege(c.oid, 'MAINTAIN'), has_schema_privilege(c.relnamespace, 'USAGE'),
       has_database_privilege(c.relowner, current_database(), 'TEMP')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2`

var errNoView = errors.New("no such view")

func look(ctx context.Context, q pg.Querier, name config.Table) (*view, error) {
	var v view
	err := q.QueryRow(ctx, lookSQL, name.Schema, name.Name).Scan(&v.OID, &v.Kind, &v.Populated, &v.Rows, &v.Live, &v.Bytes, &v.UsableIndex,
		&v.Unusable, &v.Owner, &v.User, &v.Database, &v.ReadOnly, &v.MayMaintain, &v.MayUseSchema, &v.OwnerMayTemp)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, &Error{Problem: "there is no such materialised view", Advice: "create it (pgtender apply), or take its refresh block out of the file.",
			Err: errNoView}
	}
	if err != nil {
		return nil, err
	}
	return &v, nil
}

// rows is about how many rows it has.
func (v *view) rows() float64 { return max(v.Rows, float64(v.Live)) }

// refusal is why the view cannot be refreshed at all, known before anything is tried.
func (v *view) refusal(policy config.Refresh) error {
	name := pg.Ident(policy.View.Schema, policy.View.Name)
	switch {
	case v.Kind != "m":
		return &Error{Problem: fmt.Sprintf("it is %s, not a materialised view", kindName(v.Kind)), Advice: "take its refresh block out of the file."}
	case v.ReadOnly:
		return &Error{Problem: "the server is a read-only standby", Advice: "connect to its primary."}
	case !v.MayUseSchema:
		return &Error{Problem: fmt.Sprintf("role %q may not use its schema", v.User),
			Advice: fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", pg.Ident(policy.View.Schema), pg.Ident(v.User))}
	case !v.MayMaintain:
		return &Error{Problem: fmt.Sprintf("role %q may not refresh it", v.User),
			Advice: fmt.Sprintf("GRANT MAINTAIN ON TABLE %s TO %s;", name, pg.Ident(v.User))}
	case policy.Concurrently && v.Populated && !v.OwnerMayTemp:
		return &Error{Problem: fmt.Sprintf("its owner %q may not make the temporary table that a concurrent refresh needs", v.Owner),
			Advice: fmt.Sprintf("GRANT TEMPORARY ON DATABASE %s TO %s;", pg.Ident(v.Database), pg.Ident(v.Owner))}
	}
	return nil
}

func kindName(relkind string) string {
	if name, ok := map[string]string{
		"r": "a table", "p": "a partitioned table", "v": "a view", "i": "an index", "S": "a sequence", "f": "a foreign table",
	}[relkind]; ok {
		return name
	}
	return "a relation of kind " + relkind
}
