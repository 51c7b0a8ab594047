package refresh

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// closure is what a view's contents follow from: stored queries (its own and those of plain views in it) and the
// relations that these read. A materialised view among them is read as the table it is.
type closure struct {
	view      uint32
	rules     []uint32 // relations whose stored queries these are
	relations []uint32
	cannot    string // why a refresh of the view can never be proved needless; ""
}

const rulesSQL = `
WITH RECURSIVE rules (oid) AS (
  SELECT $1::oid
  UNION
  SELECT c.oid
    FROM rules s
    JOIN pg_rewrite r ON r.ev_class = s.oid
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
    JOIN pg_class c ON c.oid = d.refobjid AND c.relkind = 'v'
)
SELECT s.oid, r.ev_action::text FROM rules s JOIN pg_rewrite r ON r.ev_class = s.oid AND r.ev_type = '1' ORDER BY 1`

// readClosure reads the stored queries and says what they need. The transaction has one snapshot for all of it.
func readClosure(ctx context.Context, tx pgx.Tx, view uint32) (closure, error) {
	c := closure{view: view}
	n := newNeeds()
	rows, err := tx.Query(ctx, rulesSQL, view)
	if err == nil {
		var oid uint32
		var action string
		_, err = pgx.ForEachRow(rows, []any{&oid, &action}, func() error {
			c.rules = append(c.rules, oid)
			n.read(action)
			return nil
		})
	}
	if err != nil {
		return c, fmt.Errorf("read the stored query of the view: %w", err)
	}
	for _, oid := range sorted(n.relations) {
		if !slices.Contains(c.rules, oid) {
			c.relations = append(c.relations, oid)
		}
	}
	if c.relations == nil {
		c.relations = []uint32{}
	}
	c.cannot = n.odd
	for _, judge := range []func(context.Context, pg.Querier, *needs) (string, error){judgeFunctions, judgeTypes} {
		if c.cannot != "" {
			break
		}
		if c.cannot, err = judge(ctx, tx, n); err != nil {
			return c, err
		}
	}
	if c.cannot == "" {
		c.cannot, err = judgeRelations(ctx, tx, c.relations)
	}
	return c, err
}

// judgeFunctions objects to any function that is not PostgreSQL's own and IMMUTABLE. Input and output functions of types
// through which the query casts are among them.
func judgeFunctions(ctx context.Context, q pg.Querier, n *needs) (string, error) {
	const textSearch = "ARRAY['regconfig'::regtype, 'regdictionary'::regtype]::oid[]"
	rows, err := q.Query(ctx, `
		SELECT DISTINCT p.oid::regprocedure::text, p.provolatile::text, p.oid, p.proargtypes::oid[] && `+textSearch+`
		  FROM pg_proc p
		 WHERE p.oid = ANY ($1::oid[])
		    OR p.oid IN (SELECT o.oprcode FROM pg_operator o WHERE o.oid = ANY ($2::oid[]))
		    OR p.oid IN (SELECT t.typoutput FROM pg_type t WHERE t.oid = ANY ($3::oid[]))
		    OR p.oid IN (SELECT t.typinput FROM pg_type t WHERE t.oid = ANY ($4::oid[]))
		 ORDER BY 3`, sorted(n.functions), sorted(n.operators), sorted(n.outputs), sorted(n.inputs))
	objection := ""
	if err == nil {
		var f functionFact
		_, err = pgx.ForEachRow(rows, []any{&f.name, &f.volatility, &f.oid, &f.search}, func() error {
			if objection == "" {
				objection = f.objection()
			}
			return nil
		})
	}
	if err != nil {
		return "", fmt.Errorf("read the functions that the view calls: %w", err)
	}
	return objection, nil
}

// judgeTypes objects to types with functions of a user's: how they compare and print is not known.
func judgeTypes(ctx context.Context, q pg.Querier, n *needs) (string, error) {
	var name *string
	err := q.QueryRow(ctx, `
		SELECT min(format_type(t.oid, NULL))
		  FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typsubscript = 'array_subscript_handler'::regproc
		  LEFT JOIN pg_type b ON b.oid = t.typbasetype
		 WHERE t.oid = ANY ($1::oid[]) AND $2 <= ANY (ARRAY[t.typinput, t.typsubscript, e.typinput, b.typinput]::oid[])`,
		sorted(n.types), uint32(firstUserOID)).Scan(&name)
	if err != nil {
		return "", fmt.Errorf("read the types that the view handles: %w", err)
	}
	if name == nil {
		return "", nil
	}
	return fmt.Sprintf("it handles the type %s, which is not PostgreSQL's own", *name), nil
}

// judgeRelations objects to relations whose changes are not counted, or of which the view may not see all rows.
func judgeRelations(ctx context.Context, q pg.Querier, relations []uint32) (string, error) {
	rows, err := q.Query(ctx, treeSQL+`
		SELECT c.oid::regclass::text, c.oid, c.relkind::text, c.relrowsecurity, n.nspname
		  FROM tree t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY 2`, relations)
	objection := ""
	if err == nil {
		var name, kind, schema string
		var oid uint32
		var rowSecurity bool
		_, err = pgx.ForEachRow(rows, []any{&name, &oid, &kind, &rowSecurity, &schema}, func() error {
			switch {
			case objection != "":
			case oid < firstUserOID:
				objection = fmt.Sprintf("it reads %s, a system catalog", name)
			case schema == "pgtender":
				objection = fmt.Sprintf("it reads %s, which pgtender itself writes", name)
			case kind == "f":
				objection = fmt.Sprintf("it reads %s, a foreign table, whose changes happen elsewhere", name)
			case rowSecurity:
				objection = fmt.Sprintf("it reads %s, which has row security", name)
			case kind != "r" && kind != "p" && kind != "m":
				objection = fmt.Sprintf("it reads %s, %s, whose changes are not counted", name, kindName(kind))
			}
			return nil
		})
	}
	if err != nil {
		return "", fmt.Errorf("read the relations that the view reads: %w", err)
	}
	return objection, nil
}

// treeSQL gives the relations of $1 and everything that inherits from them: (root, oid, via), where via changes with each
// attaching and detaching.
const treeSQL = `
WITH RECURSIVE tree (root, oid, via) AS (
  SELECT b, b, '' FROM unnest($1::oid[]) b
  UNION ALL
  SELECT t.root, i.inhrelid, format('%s/%s/%s', i.inhparent, i.xmin, i.inhdetachpending)
    FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid
)`
