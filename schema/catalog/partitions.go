package catalog

import (
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
)

// placeDeclared files a partition that is compared: facts partition of, bound, partition by, persistence, access method, tablespace, options,
// comment. All else it has from its parent; what it has of its own is Unmanaged.
func (r *reader) placeDeclared(c, parent *relation) {
	k := Key{Kind: Partition, Schema: c.schema, Name: c.name}
	if r.scope.excludes(c.schema, c.name) {
		r.leave(k.String())
		return
	}
	if !slices.Contains(r.schemas, c.schema) {
		r.outside("partition", qualified(c.schema, c.name), "in a schema that is not managed")
		return
	}
	r.refs[ref{"pg_type", c.rowType, 0}], r.refs[ref{"pg_type", c.arrayType, 0}] = k, k
	r.partitions = append(r.partitions, c.oid)
	o := r.put(ref{"pg_class", c.oid, 0}, k)
	o.set(FactPartitionOf, pg.Ident(parent.schema, parent.name)).set(FactBound, c.bound).set(FactPartitionKey, c.partKey).set(FactPersistence, c.persistence).
		set(FactAccessMethod, c.accessMethod).set(FactTablespace, c.tablespace).set(FactOptions, join(c.options, c.toastOptions)).set(FactComment, c.comment)
	o.Notes = Notes{Rows: int64(c.rows), Bytes: c.bytes}
	if c.kind == "p" {
		o.Notes = Notes{Partitioned: true}
	}
}

// readPartitionExtras finds what compared partitions have of their own.
func (r *reader) readPartitionExtras() error {
	if len(r.partitions) == 0 {
		return nil
	}
	if err := r.readPartitionIndexes(); err != nil {
		return err
	}
	return r.each(`
		SELECT 'index of a partition alone', n.nspname, c.relname || '.' || i.relname FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
		JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE x.indrelid = ANY($1::oid[]) AND NOT i.relispartition
		UNION ALL
		SELECT 'constraint of a partition alone', n.nspname, c.relname || '.' || k.conname FROM pg_constraint k
		JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE k.conrelid = ANY($1::oid[]) AND k.conparentid = 0 AND k.coninhcount = 0 AND k.contype IN ('c', 'n', 'f')
		UNION ALL
		SELECT 'trigger of a partition alone', n.nspname, c.relname || '.' || t.tgname FROM pg_trigger t
		JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE t.tgrelid = ANY($1::oid[]) AND NOT t.tgisinternal AND t.tgparentid = 0
		UNION ALL
		SELECT 'policy of a partition alone', n.nspname, c.relname || '.' || p.polname FROM pg_policy p
		JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE p.polrelid = ANY($1::oid[])
		UNION ALL
		SELECT 'rule of a partition alone', n.nspname, c.relname || '.' || w.rulename FROM pg_rewrite w
		JOIN pg_class c ON c.oid = w.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace WHERE w.ev_class = ANY($1::oid[])
		UNION ALL
		SELECT 'statistics of a partition alone', n.nspname, c.relname || '.' || s.stxname FROM pg_statistic_ext s
		JOIN pg_class c ON c.oid = s.stxrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE s.stxrelid = ANY($1::oid[])
		UNION ALL
		SELECT 'property of a partition alone', n.nspname, c.relname || ' (' || concat_ws(', ', CASE WHEN c.relrowsecurity OR c.relforcerowsecurity THEN 'row security' END,
			CASE WHEN c.relreplident <> p.relreplident THEN 'replica identity' END, CASE WHEN c.relacl IS NOT NULL THEN 'privileges' END) || ')'
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_inherits h ON h.inhrelid = c.oid JOIN pg_class p ON p.oid = h.inhparent
		WHERE c.oid = ANY($1::oid[]) AND (c.relrowsecurity OR c.relforcerowsecurity OR c.relreplident <> p.relreplident OR c.relacl IS NOT NULL)
		UNION ALL
		SELECT 'column property of a partition alone', n.nspname, c.relname || '.' || a.attname
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_inherits h ON h.inhrelid = c.oid JOIN pg_attribute b ON b.attrelid = h.inhparent AND b.attname = a.attname AND b.attnum > 0
		LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum LEFT JOIN pg_attrdef bd ON bd.adrelid = b.attrelid AND bd.adnum = b.attnum
		LEFT JOIN pg_description t ON t.classoid = 'pg_class'::regclass AND t.objoid = c.oid AND t.objsubid = a.attnum
		WHERE c.oid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped AND (t.description IS NOT NULL OR a.attstattarget IS NOT NULL OR a.attoptions IS NOT NULL
			OR a.attacl IS NOT NULL OR pg_get_expr(ad.adbin, a.attrelid) IS DISTINCT FROM pg_get_expr(bd.adbin, b.attrelid))`,
		[]any{r.partitions}, func(scan func(...any) error) error {
			var kind, schema, name string
			if err := scan(&kind, &schema, &name); err != nil {
				return err
			}
			table, _, _ := strings.Cut(name, ".")
			if r.scope.excludes(schema, table) {
				return nil
			}
			r.unmanage(kind, qualified(schema, name), "")
			return nil
		})
}

// readPartitionIndexes reads by which names partitions' indexes go: a plan gives those that it makes the names that the server gives them.
func (r *reader) readPartitionIndexes() error {
	return r.each(`
		SELECT n.nspname, i.relname, coalesce(c.relname, ''), coalesce(p.relname, ''), CASE WHEN c.oid IS NULL OR i.relispartition THEN '' ELSE pg_get_indexdef(i.oid) END
		FROM pg_class i JOIN pg_namespace n ON n.oid = i.relnamespace LEFT JOIN pg_index x ON x.indexrelid = i.oid
		LEFT JOIN pg_class c ON c.oid = x.indrelid AND c.oid = ANY($1::oid[])
		LEFT JOIN pg_inherits h ON h.inhrelid = i.oid AND i.relkind IN ('i', 'I') LEFT JOIN pg_class p ON p.oid = h.inhparent
		WHERE n.oid IN (SELECT relnamespace FROM pg_class WHERE oid = ANY($1::oid[])) AND (NOT $2 OR p.oid IS NOT NULL)
		ORDER BY n.nspname COLLATE "C", i.relname COLLATE "C"`,
		[]any{r.partitions, r.scope.Declaring}, func(scan func(...any) error) error {
			var x Relation
			if err := scan(&x.Schema, &x.Name, &x.Table, &x.Of, &x.Definition); err != nil {
				return err
			}
			r.relations = append(r.relations, x)
			return nil
		})
}

// DeclaredPartitions are the tables, partitions too, of which some partition is compared, for a Scope.
func DeclaredPartitions(s *Snapshot) []Key {
	var out []Key
	for _, c := range s.Children {
		if _, ok := s.Lookup(Key{Kind: Partition, Schema: c.Table.Schema, Name: c.Table.Name}); ok {
			out = append(out, c.Parent)
		}
	}
	slices.SortFunc(out, CompareKeys)
	return slices.Compact(out)
}
