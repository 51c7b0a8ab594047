package parts

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// Obstacle is what stands in the way of moving rows out of the DEFAULT partition.
type Obstacle struct {
	What  string
	Aside bool // also when they are copied, and the DEFAULT partition is replaced
	// Before and After are statements between which rows may be moved by hand, in one transaction under lock; nil: none are needed.
	Before, After []string
	// Never: rows must not be deleted from the DEFAULT partition, not even within a transaction; First says what to do instead.
	Never bool
	First string
}

// ourTrigger is true of a trigger t that a move has put there, not of a person's that is merely called so: it goes with the move, whoever
// works on that.
const ourTrigger = `t.tgname IN ($2::text, $2::text || '_all') AND EXISTS (SELECT FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace WHERE f.oid = t.tgfoid AND n.nspname = 'pgtender')`

// Obstacles lists what makes moving rows out of the DEFAULT partition unsafe: some would take the DELETE for more
// than it is, some would be lost with a DEFAULT partition that is replaced.
func Obstacles(ctx context.Context, q pg.Querier, set *Set) ([]Obstacle, error) {
	def := set.Default
	if def.Kind != 'r' {
		return []Obstacle{{What: "it is not an ordinary table", Aside: true, Never: true,
			First: "Take those rows out of it yourself: what hangs on the tables below it is not looked through."}}, nil
	}
	rows, err := q.Query(ctx, `
		WITH RECURSIVE up AS (SELECT $1::oid AS oid UNION ALL SELECT i.inhparent FROM up u JOIN pg_inherits i ON i.inhrelid = u.oid)
		SELECT what, bool_or(aside), min(kind), min(name), min(state), min(first) FROM (
			SELECT CASE WHEN t.tgisinternal THEN format('foreign key %s of %s points to its rows', k.conname, k.conrelid::regclass)
			       ELSE format('trigger %s would take the moved rows for deleted ones', t.tgname) END AS what, t.tgisinternal OR t.tgparentid = 0 AS aside,
			       CASE WHEN t.tgisinternal THEN 'key' ELSE 'trigger' END AS kind, quote_ident(t.tgname) AS name, t.tgenabled::text AS state,
			       CASE WHEN top.oid IS NULL THEN '' WHEN top.confrelid = $1 THEN format('Foreign key %I of %s points to this partition alone: have it point to the whole table, or drop it.', top.conname, top.conrelid::regclass)
			            ELSE format(E'ALTER TABLE %s DROP CONSTRAINT %I;\n  pgtender job run partition --table %s\n  ALTER TABLE %1$s ADD CONSTRAINT %2$I %4$s NOT VALID;\n  ALTER TABLE %1$s VALIDATE CONSTRAINT %2$I;',
			                 top.conrelid::regclass, top.conname, $3::text, replace(pg_get_constraintdef(top.oid), ' NOT VALID', '')) END AS first
			FROM pg_trigger t LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint
			LEFT JOIN LATERAL (
				WITH RECURSIVE above AS (SELECT k.oid, k.conparentid UNION ALL SELECT p.oid, p.conparentid FROM above a JOIN pg_constraint p ON p.oid = a.conparentid)
				SELECT c.* FROM above a JOIN pg_constraint c ON c.oid = a.oid WHERE a.conparentid = 0) top ON t.tgisinternal
			WHERE t.tgrelid = $1 AND t.tgtype & 8 <> 0 AND t.tgenabled <> 'D' AND NOT (`+ourTrigger+`)
			UNION ALL
			SELECT format('trigger %s is on it alone', tgname), true, '', '', '', '' FROM pg_trigger t
			WHERE tgrelid = $1 AND NOT tgisinternal AND tgparentid = 0 AND NOT (tgtype & 8 <> 0 AND tgenabled <> 'D') AND NOT (`+ourTrigger+`)
			UNION ALL
			SELECT format('rule %s would take the moved rows for deleted ones', rulename), true, 'rule', quote_ident(rulename), ev_enabled::text, '' FROM pg_rewrite WHERE ev_class = $1 AND ev_enabled <> 'D'
			UNION ALL
			SELECT format('policy %s is on it alone', polname), true, '', '', '', '' FROM pg_policy WHERE polrelid = $1
			UNION ALL
			SELECT format('view %s reads it', r.ev_class::regclass), true, '', '', '', '' FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
			WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1 AND r.ev_class <> $1
			UNION ALL
			SELECT format('publication %s would send the deletion of the moved rows, and not their insertion', p.pubname), true, 'publication', quote_ident(p.pubname), '', ''
			FROM pg_publication p
			WHERE p.puballtables OR EXISTS (SELECT FROM pg_publication_rel r JOIN up ON r.prrelid = up.oid WHERE r.prpubid = p.oid)
			   OR EXISTS (SELECT FROM pg_publication_namespace n JOIN pg_class c ON c.relnamespace = n.pnnspid JOIN up ON up.oid = c.oid WHERE n.pnpubid = p.oid)
		) found GROUP BY what ORDER BY what`, def.OID, MoveTrigger, pg.Word(set.Asked.String()))
	if err != nil {
		return nil, fmt.Errorf("look for what hinders moving rows out of %s: %w", def.Table, err)
	}
	type found struct {
		What                     string
		Aside                    bool
		Kind, Name, State, First string
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[found])
	if err != nil {
		return nil, fmt.Errorf("look for what hinders moving rows out of %s: %w", def.Table, err)
	}
	table := pg.Ident(def.Table.Schema, def.Table.Name)
	var list []Obstacle
	for _, f := range all {
		o := Obstacle{What: f.What, Aside: f.Aside}
		switch f.Kind {
		case "key":
			o.Never = true
			o.First = "Deleting rows there would do the key's action to the rows that point to them. Go without the key meanwhile; VALIDATE tells what came to point at nothing:\n  " + f.First
			if strings.HasPrefix(f.First, "Foreign key") {
				o.First = f.First
			}
		case "publication":
			o.Never = true
			o.First = fmt.Sprintf("A subscriber would delete the rows, and get none in their place. Take the table out of publication %s first and bring the subscriber's rows up to date after, "+
				"or move the rows by an application that deletes them and, once the partition is made, inserts them into %s anew.", f.Name, set.Table)
		case "trigger", "rule":
			kind := strings.ToUpper(f.Kind)
			how := map[string]string{"A": "ENABLE ALWAYS ", "R": "ENABLE REPLICA "}[f.State]
			if how == "" {
				how = "ENABLE "
			}
			o.Before = []string{fmt.Sprintf("ALTER TABLE %s DISABLE %s %s", table, kind, f.Name)}
			o.After = []string{fmt.Sprintf("ALTER TABLE %s %s%s %s", table, how, kind, f.Name)}
		}
		list = append(list, o)
	}
	return list, nil
}
