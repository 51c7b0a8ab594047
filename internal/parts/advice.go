package parts

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// IndexAdvice is the statement that gives a table an index that begins with its time column. An index that is built by hand alone is drift, which
// apply takes away again.
func IndexAdvice(t config.Table, column string) string {
	return fmt.Sprintf("CREATE INDEX CONCURRENTLY ON %s (%s);  -- and declare it in the schema's sources, else it is drift and `pgtender apply` drops it", pg.Ident(t.Schema, t.Name), pg.Ident(column))
}

// facts are what the advice for a table that is not partitioned stands on.
type facts struct {
	Kind     string
	Now      time.Time
	Columns  []timeColumn // of a type that can be a key
	Unique   []uniqueKey  // the primary key first
	Identity []serial     // columns
	Serial   []serial
	Others   []string // what LIKE does not copy and Carry cannot, by name
	Carry    []string // statements that give the new table the rest; {new} and {old} stand for the tables
	Kin      []string // tables that it inherits from, or that inherit from it
	Pointing []string // tables with foreign keys to this one
}

type timeColumn struct{ Name, Type string }

// serial is a column with the sequence that it owns.
type serial struct{ Column, Sequence string }

type uniqueKey struct {
	Name    string
	Primary bool
	Columns []string
}

// transition tells a row trigger that a partitioned table cannot have; views are the relations v whose queries read table c.
const (
	transition = "(tgtype & 1 = 1 AND (tgoldtable IS NOT NULL OR tgnewtable IS NOT NULL))"
	views      = `pg_depend d JOIN pg_rewrite w ON w.oid = d.objid JOIN pg_class v ON v.oid = w.ev_class
	           WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND v.oid <> c.oid`
)

const factsQuery = `
SELECT json_build_object('Kind', c.relkind, 'Now', now(),
	'Columns', (SELECT json_agg(json_build_object('Name', a.attname, 'Type', CASE a.atttypid WHEN 'pg_catalog.timestamptz'::regtype THEN 'timestamptz'
	            WHEN 'pg_catalog.timestamp'::regtype THEN 'timestamp' ELSE 'date' END) ORDER BY a.attnotnull DESC, a.attnum)
	            FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
	            AND a.atttypid IN ('pg_catalog.timestamptz'::regtype, 'pg_catalog.timestamp'::regtype, 'pg_catalog.date'::regtype)),
	'Unique', (SELECT json_agg(json_build_object('Name', k.conname, 'Primary', k.contype = 'p', 'Columns',
	               (SELECT json_agg(a.attname ORDER BY u.n) FROM unnest(k.conkey) WITH ORDINALITY u(num, n)
	                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.num)) ORDER BY k.contype, k.conname)
	           FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u')),
	'Identity', (SELECT json_agg(json_build_object('Column', a.attname, 'Sequence', format('%I.%I', n.nspname, s.relname)) ORDER BY a.attnum)
	           FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
	           JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND a.attidentity <> ''
	           WHERE d.refobjid = c.oid AND d.deptype = 'i' AND d.classid = 'pg_class'::regclass),
	'Serial', (SELECT json_agg(json_build_object('Column', a.attname, 'Sequence', format('%I.%I', n.nspname, s.relname)) ORDER BY a.attnum)
	           FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace n ON n.oid = s.relnamespace
	           JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
	           WHERE d.refobjid = c.oid AND d.deptype = 'a' AND d.classid = 'pg_class'::regclass),
	'Others', (SELECT json_agg(what ORDER BY what) FROM (
	           SELECT 'rule ' || rulename AS what FROM pg_rewrite WHERE ev_class = c.oid
	           UNION ALL SELECT 'trigger ' || tgname || ', which a partitioned table cannot have (transition tables of a row trigger)'
	           FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND ` + transition + `
	           UNION ALL SELECT 'the replica identity, by an index' WHERE c.relreplident = 'i'
	           UNION ALL SELECT DISTINCT 'materialised view ' || v.oid::regclass || ', which is to be dropped and made again after COMMIT' FROM ` + views + ` AND v.relkind = 'm') o),
	'Carry', (SELECT json_agg(does ORDER BY rank, part, does) FROM (
	           SELECT 1 AS rank, 0 AS part, format('ALTER TABLE {new} OWNER TO %I', pg_get_userbyid(c.relowner)) AS does
	           UNION ALL SELECT 2, 0, format('GRANT %s ON TABLE {new} TO %s%s', a.privilege_type, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
	                  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner
	           UNION ALL SELECT 2, t.attnum, format('GRANT %s (%I) ON TABLE {new} TO %s%s', a.privilege_type, t.attname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
	                  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
	           FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = c.oid AND NOT t.attisdropped AND a.grantee <> c.relowner
	           UNION ALL SELECT 3, 0, format('COMMENT ON TABLE {new} IS %L', obj_description(c.oid, 'pg_class')) WHERE obj_description(c.oid, 'pg_class') IS NOT NULL
	           UNION ALL SELECT 4, 1, format('CREATE POLICY %I ON {new} AS %s FOR %s TO %s%s%s', polname, CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
	                  CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
	                  (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(polroles) r),
	                  ' USING (' || pg_get_expr(polqual, polrelid) || ')', ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')') FROM pg_policy WHERE polrelid = c.oid
	           UNION ALL SELECT 4, 2, 'ALTER TABLE {new} ENABLE ROW LEVEL SECURITY' WHERE c.relrowsecurity
	           UNION ALL SELECT 4, 3, 'ALTER TABLE {new} FORCE ROW LEVEL SECURITY' WHERE c.relforcerowsecurity
	           UNION ALL SELECT 5, 0, 'ALTER TABLE {new} REPLICA IDENTITY ' || CASE c.relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END WHERE c.relreplident IN ('f', 'n')
	           UNION ALL SELECT 6, row_number() OVER (ORDER BY tgname)::int, format('DROP TRIGGER %I ON {old}; ', tgname) || pg_get_triggerdef(oid) ||
	                  CASE tgenabled WHEN 'D' THEN format('; ALTER TABLE {new} DISABLE TRIGGER %I', tgname) WHEN 'A' THEN format('; ALTER TABLE {new} ENABLE ALWAYS TRIGGER %I', tgname)
	                  WHEN 'R' THEN format('; ALTER TABLE {new} ENABLE REPLICA TRIGGER %I', tgname) ELSE '' END
	           FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND NOT ` + transition + `
	           UNION ALL SELECT 7, 0, format('ALTER TABLE {new} ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE conrelid = c.oid AND contype = 'f'
	           UNION ALL SELECT 8, 0, format('ALTER PUBLICATION %I SET (publish_via_partition_root = true); ALTER PUBLICATION %1$I DROP TABLE {old}; ALTER PUBLICATION %1$I ADD TABLE {new}%s%s', b.pubname,
	                  (SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')' FROM unnest(p.prattrs::int2[]) u(num) JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.num),
	                  ' WHERE (' || pg_get_expr(p.prqual, c.oid) || ')') FROM pg_publication_rel p JOIN pg_publication b ON b.oid = p.prpubid WHERE p.prrelid = c.oid
	           UNION ALL SELECT DISTINCT 9, 0, format('CREATE OR REPLACE VIEW %s%s AS %s', v.oid::regclass, ' WITH (' || array_to_string(v.reloptions, ', ') || ')', rtrim(pg_get_viewdef(v.oid), ';'))
	           FROM ` + views + ` AND v.relkind = 'v') x),
	'Kin', (SELECT json_agg(DISTINCT k ORDER BY k) FROM (SELECT inhparent::regclass::text AS k FROM pg_inherits WHERE inhrelid = c.oid
	        UNION ALL SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = c.oid) kin),
	'Pointing', (SELECT json_agg(DISTINCT conrelid::regclass::text) FROM pg_constraint WHERE confrelid = c.oid AND contype = 'f'))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`

// Advise says how a relation that is not partitioned becomes a table that a policy with the unit can tend: SQL
// with its own names, which moves no row and makes nobody wait for long.
func Advise(ctx context.Context, q pg.Querier, t config.Table, u config.Unit, loc *time.Location) (string, error) {
	var text []byte
	var f facts
	err := q.QueryRow(ctx, factsQuery, t.Schema, t.Name).Scan(&text)
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		return "", fmt.Errorf("read what %s is made of: %w", t, err)
	}
	const need = "A partition policy needs a table that is PARTITION BY RANGE of one column of type timestamptz, timestamp, date or uuid (UUIDv7)."
	switch {
	case f.Kind != "r":
		return need, nil
	case len(f.Columns) == 0:
		return need + " This one has no column of a time type: add one first.", nil
	case len(f.Kin) > 0:
		return need + " This one has to do with " + strings.Join(f.Kin, ", ") + " by INHERITS, and can neither be a partition nor be divided while it has: end that first (ALTER TABLE … NO INHERIT …).", nil
	case len(f.Pointing) > 0:
		return need + " Foreign keys point to this one, from " + strings.Join(f.Pointing, ", ") +
			": they would have to name the time column too, so first decide whether they can go.", nil
	}
	return f.sketch(t, need, u, loc), nil
}

// sketch makes the old table the first partition of a new one.
func (f facts) sketch(t config.Table, need string, u config.Unit, loc *time.Location) string {
	key := Key{f.Columns[0].Name, Type(f.Columns[0].Type)}
	zone := key.Zone(loc)
	edge := key.At(Boundaries(u, key.FromInstant(f.Now, loc), 1, zone)[1])
	r := Range{Bound{Kind: Min}, edge}
	table := pg.Ident(t.Schema, t.Name)
	oldName := Fit(t.Name, "_before_"+stamp(edge.Time, zone))
	old, column := pg.Ident(t.Schema, oldName), pg.Ident(key.Column)

	before := []string{
		fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s) NOT VALID", table, BoundsCheck, key.Check(r)),
		fmt.Sprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s", table, BoundsCheck),
	}
	var swap, keys []string
	for _, k := range f.Unique {
		kind := "UNIQUE"
		if k.Primary {
			kind = "PRIMARY KEY"
		}
		if slices.Contains(k.Columns, key.Column) {
			continue // LIKE copies it
		}
		index := Fit(k.Name, "_"+key.Column)
		columns := quoted(k.Columns) + ", " + column
		before = append(before, fmt.Sprintf("CREATE UNIQUE INDEX CONCURRENTLY %s ON %s (%s)", pg.Ident(index), table, columns))
		swap = append(swap, fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s, ADD CONSTRAINT %s %s USING INDEX %s",
			old, pg.Ident(k.Name), pg.Ident(index), kind, pg.Ident(index)))
		keys = append(keys, fmt.Sprintf("unique is then (%s), no longer (%s)", columns, quoted(k.Columns)))
	}
	at := []string{"BEGIN", "SET LOCAL lock_timeout = '2s'", fmt.Sprintf("ALTER TABLE %s RENAME TO %s", table, pg.Ident(oldName))}
	at = append(at, swap...)
	at = append(at, fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL) PARTITION BY RANGE (%s)", table, old, column),
		fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s", table, BoundsCheck))
	for _, c := range f.Identity {
		at = append(at, fmt.Sprintf("SELECT setval(pg_get_serial_sequence(%s, %s), last_value, is_called) FROM %s", pg.Literal(table), pg.Literal(c.Column), c.Sequence),
			fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s DROP IDENTITY", old, pg.Ident(c.Column)))
	}
	for _, s := range f.Carry {
		at = append(at, strings.NewReplacer("{new}", table, "{old}", old).Replace(s))
	}
	for _, s := range f.Serial {
		at = append(at, fmt.Sprintf("ALTER SEQUENCE %s OWNED BY %s.%s", s.Sequence, table, pg.Ident(s.Column)))
	}
	at = append(at, fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s %s", table, old, key.ForValues(r)), "COMMIT")

	text := need + " To make it one while it is in use, with the rows that are there as its first partition (new rows up to " +
		key.Literal(edge) + " only, until `pgtender job run partition` has made the next ones):\n" + lines(before) + lines(at)
	if len(keys) > 0 {
		text += "A key of a partitioned table holds the partition key: " + strings.Join(keys, "; ") + ".\n"
	}
	if len(f.Others) > 0 {
		text += "Before COMMIT, give the new table what LIKE does not copy: " + strings.Join(f.Others, ", ") + ".\n"
	}
	return text + "Declare the table so in the schema's sources too, so that `pgtender plan` finds nothing to change."
}

func quoted(columns []string) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = pg.Ident(c)
	}
	return strings.Join(list, ", ")
}

func lines(statements []string) string {
	return "  " + strings.Join(statements, ";\n  ") + ";\n"
}
