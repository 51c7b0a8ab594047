package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// relation is a row of pg_class with what the other readings need of it.
type relation struct {
	oid, rowType, arrayType uint32
	schema, name, kind      string // kind: pg_class.relkind
	partition               bool
	detaching               bool
	parents                 []uint32
	member, typed, identity bool // of an extension; CREATE TABLE … OF; an identity column's sequence
	key                     Key

	persistence, accessMethod, tablespace   string
	rowSecurity, replica, inherits, partKey string
	options, toastOptions, bound, comment   string
	rows                                    float64
	bytes                                   int64
	populated, timed                        bool // timed: partitioned by RANGE of one column of a type that a policy can count in
}

var relKinds = map[string]Kind{"r": Table, "p": Table, "v": View, "m": MatView, "S": Sequence, "c": Composite}

// relationsSQL lists all relations that can be an object of their own in the managed schemas, and every partition
// of the database: those of a managed table may live elsewhere. It prints nothing that needs a lock on them.
const relationsSQL = `
	SELECT c.oid, c.reltype, coalesce(rt.typarray, 0), n.nspname, c.relname, c.relkind::text, c.relispartition,
		coalesce(ih.parents, '{}'), coalesce(ih.detaching, false), 'e' = ANY(coalesce(dp.types, '{}'))
			OR c.relkind = 'c' AND EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_type'::regclass AND e.objid = c.reltype AND e.deptype = 'e'), c.reloftype <> 0,
		c.relkind = 'S' AND 'i' = ANY(coalesce(dp.types, '{}')),
		CASE c.relpersistence WHEN 'u' THEN 'unlogged' ELSE '' END,
		CASE WHEN am.amname IS NULL OR am.amname = 'heap' THEN '' ELSE quote_ident(am.amname) END,
		coalesce(quote_ident(ts.spcname), ''),
		CASE WHEN c.relrowsecurity AND c.relforcerowsecurity THEN 'enabled, forced' WHEN c.relrowsecurity THEN 'enabled'
			WHEN c.relforcerowsecurity THEN 'forced' ELSE '' END,
		CASE c.relreplident WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing' WHEN 'i' THEN coalesce('index ' || (SELECT quote_ident(ic.relname)
			FROM pg_index x JOIN pg_class ic ON ic.oid = x.indexrelid WHERE x.indrelid = c.oid AND x.indisreplident), 'nothing') ELSE '' END,
		CASE WHEN c.relispartition THEN '' ELSE coalesce(ih.names, '') END,
		CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) ELSE '' END,
		coalesce((SELECT string_agg(o, ', ' ORDER BY o COLLATE "C") FROM unnest(c.reloptions) o), ''),
		coalesce((SELECT string_agg('toast.' || o, ', ' ORDER BY o COLLATE "C") FROM unnest(tc.reloptions) o), ''),
		coalesce(pg_get_expr(c.relpartbound, 0), ''), coalesce(d.description, ''),
		c.reltuples, greatest(c.relpages, 0)::bigint * current_setting('block_size')::bigint, c.relispopulated,
		c.relkind = 'p' AND EXISTS (SELECT FROM pg_partitioned_table k JOIN pg_attribute ka ON ka.attrelid = k.partrelid AND ka.attnum = k.partattrs[0]
			JOIN pg_type kt ON kt.oid = ka.atttypid WHERE k.partrelid = c.oid AND k.partstrat = 'r' AND k.partnatts = 1 AND coalesce(nullif(kt.typbasetype, 0), kt.oid)
			IN ('pg_catalog.timestamptz'::regtype, 'pg_catalog.timestamp'::regtype, 'pg_catalog.date'::regtype, 'pg_catalog.uuid'::regtype))
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	LEFT JOIN pg_type rt ON rt.oid = c.reltype
	LEFT JOIN pg_class tc ON tc.oid = c.reltoastrelid AND tc.reloptions IS NOT NULL
	LEFT JOIN (SELECT e.objid, array_agg(e.deptype::text) AS types FROM pg_depend e
		WHERE e.classid = 'pg_class'::regclass AND e.objsubid = 0 AND (e.deptype = 'e' OR e.deptype = 'i' AND e.refclassid = 'pg_class'::regclass)
		GROUP BY 1) dp ON dp.objid = c.oid
	LEFT JOIN (SELECT i.inhrelid, array_agg(i.inhparent ORDER BY i.inhseqno) AS parents, bool_or(i.inhdetachpending) AS detaching,
			string_agg(format('%I.%I', pn.nspname, p.relname), ', ' ORDER BY i.inhseqno) AS names
		FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace GROUP BY 1) ih ON ih.inhrelid = c.oid
	LEFT JOIN pg_am am ON am.oid = c.relam
	LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace
	LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c') AND c.relpersistence <> 't'
	AND (n.nspname = ANY($1) OR c.relispartition AND n.nspname <> ALL(ARRAY['pg_catalog', 'information_schema']))`

// readRelations: tables carry partition by, persistence, row security, replica identity, inherits, access
// method, tablespace, options, comment; views options and comment; materialised views access method,
// tablespace, options, comment; sequences persistence and comment.
func (r *reader) readRelations() error {
	all := map[uint32]*relation{}
	err := r.each(relationsSQL, []any{r.schemas}, func(scan func(...any) error) error {
		var c relation
		err := scan(&c.oid, &c.rowType, &c.arrayType, &c.schema, &c.name, &c.kind, &c.partition, &c.parents, &c.detaching,
			&c.member, &c.typed, &c.identity, &c.persistence, &c.accessMethod, &c.tablespace, &c.rowSecurity, &c.replica, &c.inherits,
			&c.partKey, &c.options, &c.toastOptions, &c.bound, &c.comment, &c.rows, &c.bytes, &c.populated, &c.timed)
		c.key = Key{Kind: relKinds[c.kind], Schema: c.schema, Name: c.name}
		all[c.oid] = &c
		return err
	})
	if err != nil {
		return err
	}
	under := map[Key]int{} // partitions per table under a policy
	for _, c := range all {
		if !c.partition {
			r.placeRelation(c)
		}
	}
	for _, c := range all {
		if c.partition {
			r.placePartition(c, all, under)
		}
	}
	r.addUp(all)
	for parent, n := range under {
		r.leave(fmt.Sprintf("partitions of %s (%d)", parent, n))
	}
	return nil
}

func (r *reader) placeRelation(c *relation) {
	display := c.key
	switch {
	case c.member, c.kind == "S" && c.identity: // an identity column's sequence is part of its column
		return
	case c.kind == "f":
		display.Kind = "foreign table"
	case c.typed:
		display.Kind = "typed table"
	}
	if r.scope.excludes(c.schema, c.name) {
		r.leave(display.String())
		return
	}
	if display.Kind != c.key.Kind {
		r.unmanage(string(display.Kind), qualified(c.schema, c.name), "")
		return
	}
	r.rels[c.oid] = c
	r.refs[ref{"pg_type", c.rowType, 0}] = c.key
	r.refs[ref{"pg_type", c.arrayType, 0}] = c.key
	o := r.put(ref{"pg_class", c.oid, 0}, c.key)
	o.set(FactComment, c.comment)
	switch c.kind {
	case "S":
		o.set(FactPersistence, c.persistence)
		return
	case "c":
		o.Facts = nil // its comment is the type's: see readComposites
		return
	}
	o.set(FactOptions, join(c.options, c.toastOptions)).set(FactAccessMethod, c.accessMethod).set(FactTablespace, c.tablespace)
	o.Notes = Notes{Rows: int64(c.rows), Bytes: c.bytes, Populated: c.populated && c.kind == "m"}
	if c.kind == "p" {
		o.Notes = Notes{Partitioned: true} // its partitions are added up below
	}
	if c.key.Kind == Table {
		o.set(FactPartitionKey, c.partKey).set(FactPersistence, c.persistence).set(FactRLS, c.rowSecurity).
			set(FactReplica, c.replica).set(FactInherits, c.inherits)
	}
}

// placePartition files a partition under its topmost table: as a Child; as an object where it is one that sources declare; otherwise it
// is also Unmanaged, unless a policy looks after it. One of a table that is not managed is nobody's business.
func (r *reader) placePartition(c *relation, all map[uint32]*relation, under map[Key]int) {
	root, depth := c, 0
	named, timed, policy := Key{}, false, false // policy: the one that names a table above makes this partition, which is below one that is divided by time
	for root.partition && len(root.parents) == 1 && depth < 64 {
		up, ok := all[root.parents[0]]
		if !ok {
			return // below a table of a schema that is not managed
		}
		root, depth = up, depth+1
		timed = timed || root.timed
		if r.scope.policy(root.key) {
			named, policy = root.key, timed
		}
	}
	parent := all[c.parents[0]]
	if root.member || !slices.Contains(r.schemas, root.schema) || r.scope.excludes(root.schema, root.name) {
		if slices.Contains(r.schemas, c.schema) && !root.member {
			r.leave(TableKey(c.schema, c.name).String())
		}
		return
	}
	r.children = append(r.children, Child{Parent: parent.key, Table: TableKey(c.schema, c.name), Bound: c.bound, Leaf: c.kind != "p"})
	declared := r.scope.Declaring || slices.Contains(r.scope.Partitioned, parent.key)
	switch {
	case named != Key{} && (policy || !declared):
		under[named]++
	case declared:
		r.placeDeclared(c, parent)
	case r.scope.excludes(c.schema, c.name):
		r.leave(TableKey(c.schema, c.name).String())
	case !slices.Contains(r.schemas, c.schema):
		r.outside("partition", qualified(c.schema, c.name), "in a schema that is not managed")
	default:
		r.unmanage("partition", qualified(c.schema, c.name), "of "+root.key.String()+", which no partition policy names")
	}
}

// addUp gives partitioned tables, and declared partitions that are divided further, the size of what is below them.
func (r *reader) addUp(all map[uint32]*relation) {
	for _, c := range all {
		if !c.partition || c.kind == "p" {
			continue
		}
		for up, depth := c, 0; up.partition && len(up.parents) == 1 && depth < 64; depth++ {
			if up = all[up.parents[0]]; up == nil {
				break
			}
			o, ok := r.objects[up.key]
			if up.partition {
				o, ok = r.objects[Key{Kind: Partition, Schema: up.schema, Name: up.name}]
			}
			if !ok {
				continue
			}
			o.Notes.Leaves++
			if c.rows < 0 {
				o.Notes.Unknown++
			} else {
				o.Notes.Rows, o.Notes.Bytes = o.Notes.Rows+int64(c.rows), o.Notes.Bytes+c.bytes
			}
		}
	}
}

func qualified(schema, name string) string {
	if schema == "" {
		return name
	}
	return schema + "." + name
}

func join(lists ...string) string {
	lists = slices.DeleteFunc(lists, func(s string) bool { return s == "" })
	return strings.Join(lists, ", ")
}
