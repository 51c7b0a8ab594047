package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// transfer is rows on their way from one table to another of the same columns, batch by batch. Each batch is a transaction of its
// own: every row is in exactly one of the two for every reader and after every crash, and one that is inserted or changed beside
// it is moved as it is or not at all.
type transfer struct {
	claim    config.Table // the table whose partitions nobody else may touch meanwhile
	from, to config.Table
	key      parts.Key // the time column
	due      string    // the condition on x, in literals
	facts    rowFacts
	order    []keyColumn // by which the batches follow each other
	indexed  bool        // an index serves the condition, so only due rows are read
	wait     bool        // rows that others point to stay
	back     bool        // out of the archive
	entry    entry
}

// rowFacts are what the catalog says of the two tables.
type rowFacts struct {
	Kind, ToKind   string // pg_class.relkind
	Columns        []keyColumn
	Key            []keyColumn // the primary key
	Indexed        bool        // a B-tree begins with the time column
	Heirs          []string    // tables that inherit from it
	Triggers       []string    // that a DELETE fires
	Rules          []string    // on its DELETE
	TargetTriggers []string    // that an INSERT into the target fires
	TargetRules    []string
	TargetKeys     int         // foreign keys of the target
	Pointing       []reference // foreign keys that point to it
	Guard          string      // changes when triggers or rules come or go
	Rows           int64       // the planner's estimate; -1: never analysed
	Bytes          int64       // heap and TOAST
}

type keyColumn struct {
	Name, Type string
	Generated  bool
	Hashable   bool // by hash_record_extended
	Least      bool // has min() and max()
}

// reference is a foreign key that points to the table of a transfer.
type reference struct {
	Schema, Table, Name string
	Columns, RefColumns []string
}

func (r reference) String() string {
	return fmt.Sprintf("%s.%s (%s)", r.Schema, r.Table, r.Name)
}

// rowFactsQuery asks about $1 (from), $2 (to), the time column $3, and foreign keys to $4 (from, or the table it is a partition of).
// The guard holds what could make rows vanish on their way: it is asked again in each batch.
const rowFactsQuery = `
WITH RECURSIVE tree AS (
	SELECT c.oid, c.relkind FROM pg_class c WHERE c.oid = $1::oid
	UNION ALL SELECT c.oid, c.relkind FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid JOIN pg_class c ON c.oid = i.inhrelid WHERE t.relkind = 'p'
), col AS (
	SELECT a.attnum, json_build_object('Name', a.attname, 'Type', format_type(a.atttypid, a.atttypmod), 'Generated', a.attgenerated <> '',
	       'Hashable', CASE WHEN e.typtype = 'e' OR b.typtype = 'r' OR b.typtype = 'm' THEN true ELSE EXISTS (
	                SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod AND m.amname = 'hash'
	                JOIN pg_amproc f ON f.amprocfamily = o.opcfamily AND f.amprocnum = 2 AND f.amproclefttype = o.opcintype
	                WHERE o.opcdefault AND o.opcintype = CASE WHEN e.oid = 'pg_catalog.varchar'::regtype THEN 'pg_catalog.text'::regtype ELSE e.oid END) END,
	       'Least', EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname = 'min' AND p.prokind = 'a'
	                AND p.proargtypes[0] = CASE WHEN b.oid = 'pg_catalog.varchar'::regtype THEN 'pg_catalog.text'::regtype ELSE b.oid END)) AS def
	FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
	JOIN pg_type b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
	JOIN pg_type e ON e.oid = CASE WHEN b.typcategory = 'A' AND b.typelem <> 0 THEN b.typelem ELSE b.oid END
	WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
)
SELECT json_build_object(
	'Kind', f.relkind, 'ToKind', t.relkind, 'Rows', f.reltuples::bigint,
	'Bytes', (SELECT sum(pg_table_size(tree.oid)) FROM tree),
	'Columns', (SELECT json_agg(def ORDER BY attnum) FROM col),
	'Key', (SELECT json_agg(col.def ORDER BY u.n) FROM pg_constraint k CROSS JOIN LATERAL unnest(k.conkey) WITH ORDINALITY u(attnum, n)
	        JOIN col ON col.attnum = u.attnum WHERE k.conrelid = f.oid AND k.contype = 'p'),
	'Indexed', EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam AND m.amname = 'btree'
	        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
	        WHERE i.indrelid = f.oid AND i.indisvalid AND i.indpred IS NULL AND a.attname = $3),
	'Heirs', (SELECT json_agg(i.inhrelid::regclass::text ORDER BY 1) FROM pg_inherits i WHERE i.inhparent = f.oid AND f.relkind = 'r'),
	'Triggers', (SELECT json_agg(DISTINCT format('%I on %s', tgname, tgrelid::regclass)) FROM pg_trigger JOIN tree ON tree.oid = tgrelid
	        WHERE NOT tgisinternal AND tgtype & 8 <> 0 AND tgenabled IN ('O', 'A')),
	'Rules', (SELECT json_agg(format('%I on %s', rulename, ev_class::regclass)) FROM pg_rewrite JOIN tree ON tree.oid = ev_class
	        WHERE ev_type = '4' AND ev_enabled IN ('O', 'A')),
	'TargetTriggers', (SELECT json_agg(format('%I on %s', tgname, tgrelid::regclass)) FROM pg_trigger
	        WHERE tgrelid = t.oid AND NOT tgisinternal AND tgtype & 4 <> 0 AND tgenabled IN ('O', 'A')),
	'TargetRules', (SELECT json_agg(format('%I on %s', rulename, ev_class::regclass)) FROM pg_rewrite
	        WHERE ev_class = t.oid AND ev_type = '3' AND ev_enabled IN ('O', 'A')),
	'TargetKeys', (SELECT count(*) FROM pg_constraint WHERE conrelid = t.oid AND contype = 'f'),
	'Pointing', (SELECT ` + referencesSQL + `
	        WHERE k.contype = 'f' AND (k.confrelid IN (SELECT $4::oid UNION SELECT relid FROM pg_partition_ancestors($4::oid)) AND k.conparentid = 0 OR k.confrelid = f.oid
	              AND NOT EXISTS (SELECT FROM pg_constraint up WHERE up.oid = k.conparentid))),
	'Guard', ` + guardSQL + `)
FROM pg_class f, pg_class t WHERE f.oid = $1::oid AND t.oid = $2::oid`

// referencesSQL makes JSON of foreign keys k.
const referencesSQL = `json_agg(json_build_object('Schema', n.nspname, 'Table', r.relname, 'Name', k.conname,
	     'Columns', (SELECT json_agg(a.attname ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u(num, n) JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num),
	     'RefColumns', (SELECT json_agg(a.attname ORDER BY u.n) FROM unnest(k.confkey) WITH ORDINALITY u(num, n) JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num))
	   ORDER BY n.nspname, r.relname, k.conname)
	FROM pg_constraint k JOIN pg_class r ON r.oid = k.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace`

// guardSQL names both tables' triggers and rules, those of foreign keys too, as of the statement's snapshot.
const guardSQL = `(SELECT concat_ws('/', f.oid, t.oid, f.relhasrules, t.relhasrules, count(g.oid), sum(g.oid::bigint), string_agg(g.tgenabled::text, '' ORDER BY g.oid))
	FROM pg_trigger g WHERE g.tgrelid IN (f.oid, t.oid))`

// readRowFacts asks the catalog; it waits for no lock.
func readRowFacts(ctx context.Context, q pg.Querier, from, to uint32, column string, pointed uint32) (f rowFacts, err error) {
	var text []byte
	if err := q.QueryRow(ctx, rowFactsQuery, from, to, column, pointed).Scan(&text); err != nil {
		return f, err
	}
	return f, json.Unmarshal(text, &f)
}

// plan completes a transfer whose tables are known, or refuses.
func (j *Job) plan(ctx context.Context, t *transfer, policy config.Archive, from, to, pointed uint32) error {
	err := j.Patience.Do(ctx, func() (err error) {
		t.facts, err = readRowFacts(ctx, j.Pool, from, to, t.key.Column, pointed)
		return err
	})
	if err != nil {
		return fmt.Errorf("look at %s and %s: %w", t.from, t.to, err)
	}
	if err := t.refusal(policy); err != nil {
		return err
	}
	t.wait = len(t.facts.Pointing) > 0
	return t.arrange(policy)
}

// refusal says why rows of this table cannot be moved without harm, or nothing.
func (t *transfer) refusal(policy config.Archive) error {
	refuse := func(advice, format string, args ...any) error {
		return refusal(policy.Table, fmt.Sprintf(format, args...), advice)
	}
	f := t.facts
	switch {
	case len(f.Heirs) > 0:
		return refuse("Archive them by hand, or take the policy out.", "other tables inherit from it, whose rows would not fit the archive: %s", strings.Join(f.Heirs, ", "))
	case len(f.Rules) > 0:
		return refuse("Drop the rule, or make it a trigger.", "a rule turns DELETE into something else, so rows cannot be moved out of it: %s", strings.Join(f.Rules, ", "))
	case len(f.Triggers) > 0 && !policy.FireTriggers:
		return refuse("If they may fire for each row that is archived, write fire_triggers = true in the archive block; otherwise disable or drop them.",
			"it has triggers on DELETE, which would take each row that is moved for one that is deleted: %s", strings.Join(f.Triggers, ", "))
	case t.back && len(f.TargetRules) == 0 && len(f.TargetTriggers) > 0 && policy.FireTriggers:
	case t.back && len(f.TargetTriggers)+len(f.TargetRules) > 0:
		return refuse("If the triggers may fire for each row that comes back, write fire_triggers = true in the archive block; otherwise disable them for the time. A rule must go.",
			"triggers or rules on INSERT into %s would take each row that comes back for a new one: %s", t.to, strings.Join(append(f.TargetTriggers, f.TargetRules...), ", "))
	case len(f.TargetTriggers)+len(f.TargetRules) > 0:
		return refuse("Drop them: nothing but the rows as they are belongs there.", "triggers or rules on INSERT into %s could change rows on their way, or swallow them: %s",
			t.to, strings.Join(append(f.TargetTriggers, f.TargetRules...), ", "))
	case len(f.Pointing) > 0 && policy.Referenced != config.ReferencedWait:
		return pointedAt(policy, f.Pointing)
	case len(f.Pointing) > 0 && f.Kind != "r":
		return refuse("Take the archive block out, or drop those foreign keys.", "foreign keys point to it, and its partition %s is divided further: %s", t.from, joined(f.Pointing))
	}
	return nil
}

// pointedAt refuses a table that others point to.
func pointedAt(policy config.Archive, pointing []reference) error {
	advice := "Drop those foreign keys, or write referenced = \"wait\" into the archive block: then a row is moved once no row points to it any more."
	if policy.Granularity == config.ByPartition {
		advice = "Drop those foreign keys, or write referenced = \"wait\" and granularity = \"row\" into the archive block: then a row is moved once no row points to it any more."
	}
	return refusal(policy.Table, "foreign keys point to it, which rows in an archive could not satisfy: "+joined(pointing), advice+" Archive the tables that point to it first.")
}

func joined[T fmt.Stringer](list []T) string {
	out := make([]string, len(list))
	for i, l := range list {
		out[i] = l.String()
	}
	return strings.Join(out, ", ")
}

// arrange chooses the order of the batches: by time where an index has it, so that nothing but due rows is read, and where a batch
// ends is found in the index alone; otherwise by the primary key, through the whole table. Either way the next batch begins after the last one, and no dead row is read twice.
func (t *transfer) arrange(policy config.Archive) error {
	t.indexed = t.facts.Indexed
	time := slices.IndexFunc(t.facts.Columns, func(c keyColumn) bool { return c.Name == t.key.Column })
	if time < 0 {
		return fmt.Errorf("column %s of %s is gone", t.key.Column, t.from)
	}
	t.order = nil
	switch {
	case t.indexed:
		t.order = append(t.order, t.facts.Columns[time])
	case len(t.facts.Key) == 0 && t.back && t.facts.Kind == "r":
		// Nobody is to write to an archive, so where a row lies tells it from the others. It is read once, from the first page to the last.
		t.order = []keyColumn{{Name: "ctid", Type: "tid"}}
		return nil
	case len(t.facts.Key) == 0:
		return refusal(policy.Table, fmt.Sprintf("%s has no primary key and no index that begins with %s, so its old rows cannot be found in order", t.from, t.key.Column),
			"Declare such an index in the schema's sources, and `pgtender apply` builds it, or build it yourself:\n"+parts.IndexAdvice(t.from, t.key.Column))
	default:
		t.order = t.facts.Key
	}
	return nil
}

// finer tells rows of the same time apart, which a batch otherwise takes together. It reports false when they are already.
func (t *transfer) finer() bool {
	if !t.indexed || len(t.order) > 1 {
		return false
	}
	for _, c := range t.facts.Key {
		if c.Name != t.key.Column {
			t.order = append(t.order, c)
		}
	}
	if len(t.facts.Key) == 0 {
		if t.facts.Kind == "p" {
			t.order = append(t.order, keyColumn{Name: "tableoid", Type: "oid"})
		}
		t.order = append(t.order, keyColumn{Name: "ctid", Type: "tid"})
	}
	return len(t.order) > 1
}

// byKey gives up the order by time: so many rows have the same time that looking for the next ones takes too long.
func (t *transfer) byKey() bool {
	if !t.indexed || len(t.facts.Key) == 0 {
		return false
	}
	t.indexed, t.order = false, t.facts.Key
	return true
}

// source is the table that rows are taken from, called x.
func (t *transfer) source() string {
	if t.facts.Kind == "p" {
		return ident(t.from) + " AS x"
	}
	return "ONLY " + ident(t.from) + " AS x"
}

// tuple writes the order's columns, or a place in it, as a row.
func (t *transfer) tuple(place []string) string {
	list := make([]string, len(t.order))
	for i, c := range t.order {
		if list[i] = "x." + pg.Ident(c.Name); place != nil {
			list[i] = pg.Literal(place[i]) + "::" + c.Type
		}
	}
	return "(" + strings.Join(list, ", ") + ")"
}

// stretch is the condition for rows after one place and up to another; nil is open. The comparisons of the first column alone
// say nothing new, but every index serves them.
func (t *transfer) stretch(after, upTo []string) []string {
	var list []string
	for _, end := range []struct {
		place []string
		row   string
		first string
	}{{after, ">", ">="}, {upTo, "<=", "<="}} {
		if end.place != nil {
			first := t.order[0]
			list = append(list, t.tuple(nil)+" "+end.row+" "+t.tuple(end.place),
				fmt.Sprintf("x.%s %s %s::%s", pg.Ident(first.Name), end.first, pg.Literal(end.place[0]), first.Type))
		}
	}
	return list
}

// edge is the query for the place of the n-th row after another; no row: fewer are left.
func (t *transfer) edge(after []string, n int) string {
	where := t.stretch(after, nil)
	if t.indexed {
		where = append(where, t.due)
	}
	if len(where) == 0 {
		where = []string{"true"}
	}
	if len(t.order) == 1 && t.order[0].Name == "ctid" {
		// Rows come as they lie without being sorted, which would read the rest of the table for each batch; if they did not, the batch would only be larger.
		return fmt.Sprintf("SELECT ARRAY[max(k)::text] FROM (SELECT x.ctid AS k FROM %s WHERE %s LIMIT %d) AS edge HAVING count(*) = %d",
			t.source(), strings.Join(where, " AND "), n, n)
	}
	// The text is made of the one row outside: within, it would be made of each that OFFSET passes over.
	var texts, names, order []string
	for i, c := range t.order {
		name := fmt.Sprintf("k%d", i)
		texts, names = append(texts, name+"::text"), append(names, "x."+pg.Ident(c.Name)+" AS "+name)
		order = append(order, "x."+pg.Ident(c.Name))
	}
	return fmt.Sprintf("SELECT ARRAY[%s] FROM (SELECT %s FROM %s WHERE %s ORDER BY %s OFFSET %d LIMIT 1) AS edge",
		strings.Join(texts, ", "), strings.Join(names, ", "), t.source(), strings.Join(where, " AND "), strings.Join(order, ", "), n-1)
}

// free are the conditions that no row points to x.
func (t *transfer) free() []string {
	var list []string
	for _, r := range t.facts.Pointing {
		var on []string
		for i, c := range r.Columns {
			on = append(on, fmt.Sprintf("c.%s = x.%s", pg.Ident(c), pg.Ident(r.RefColumns[i])))
		}
		list = append(list, fmt.Sprintf("NOT EXISTS (SELECT FROM %s AS c WHERE %s)", pg.Ident(r.Schema, r.Table), strings.Join(on, " AND ")))
	}
	return list
}
