package parts

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// facts are what the advice for a table that is not partitioned stands on. Statements in them name the new table {new} and the old one {old}.
type facts struct {
	Kind                string
	Now                 time.Time
	Method, Tablespace  string       // "": the default ones
	Columns             []timeColumn // of a type that can be a key
	Uniques             []unique     // the primary key first; unique indexes without a constraint last
	Indexes, Statistics []part
	Identity, Serial    []serial
	Pointing            []pointing // foreign keys to this table
	Reasons             []string   // what must go before, each with how
	Others              []string   // what no step carries over
	Carry               []string   // statements that give the new table the rest, before the old one becomes its partition
	Publications        []publication
	Views               []matView // materialised views that read the table
}

type timeColumn struct{ Name, Type string }

// unique is a key, or a unique index without a constraint.
type unique struct {
	Name, Schema string
	Constraint   string // PRIMARY KEY, UNIQUE; "": an index alone
	Columns      []string
	List         string // them, as the server quotes them
	Tail         string // of the index's definition, from USING on
	Defer        string // DEFERRABLE …
	Plain        bool   // its columns are all columns, and it has no predicate
	Replica      bool   // the replica identity
	Comments     []string
}

// part is an index, or extended statistics.
type part struct {
	Schema, Name string
	Definition   string // of the new table's, under the same name
	Replica      bool
	Comments     []string
}

// serial is a column with the sequence that it owns.
type serial struct {
	Column, Schema, Name string
	Carry                []string // {seq} is the sequence
}

type pointing struct {
	Table, Name, Definition string
	Columns                 []string // of this table
}

type publication struct {
	Name    string
	Listed  bool   // the table by name; else with all tables, or all of its schema
	ViaRoot bool   // sends the rows of partitions under the table's name
	Suffix  string // columns and WHERE
	Others  []string
	Divided []string // of the others: partitioned tables, and partitions
}

type matView struct {
	Schema, Name string
	With, Query  string
	Indexes      []part   // the definition is all but CREATE INDEX name
	Carry        []string // {view}
	Readers      []string
}

// transition tells a row trigger that a partitioned table cannot have; readers are the rules w, of relations v, that read or write table c.
const (
	transition = "(tgtype & 1 = 1 AND (tgoldtable IS NOT NULL OR tgnewtable IS NOT NULL))"
	readers    = `pg_depend d JOIN pg_rewrite w ON w.oid = d.objid JOIN pg_class v ON v.oid = w.ev_class
	           WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND v.oid <> c.oid`
	grantTo = `CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END`
	using   = `substring(pg_get_indexdef(x.indexrelid) FROM ' USING .*')`
)

// remarks yields the statement, if any, that gives what is named, in SQL, the comment of the object.
func remarks(what, class, oid string) string {
	return fmt.Sprintf(`(SELECT json_agg(format('COMMENT ON %%s IS %%L', %s, description)) FROM pg_description WHERE classoid = '%s'::regclass AND objoid = %s AND objsubid = 0)`, what, class, oid)
}

// factsQuery asks for all of it in one reading.
func factsQuery() string {
	return `
SELECT json_build_object('Kind', c.relkind, 'Now', now(),
	'Method', coalesce((SELECT amname FROM pg_am WHERE oid = c.relam AND amname <> current_setting('default_table_access_method')), ''),
	'Tablespace', coalesce((SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace), ''),
	'Columns', (SELECT json_agg(json_build_object('Name', a.attname, 'Type', CASE coalesce(nullif(y.typbasetype, 0), y.oid) WHEN 'pg_catalog.timestamptz'::regtype THEN 'timestamptz'
	            WHEN 'pg_catalog.timestamp'::regtype THEN 'timestamp' WHEN 'pg_catalog.date'::regtype THEN 'date' ELSE 'uuid' END)
	                ORDER BY y.oid = 'pg_catalog.uuid'::regtype, a.attnotnull DESC, a.attnum)
	            FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid LEFT JOIN pg_attrdef e ON e.adrelid = a.attrelid AND e.adnum = a.attnum
	            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
	            AND (coalesce(nullif(y.typbasetype, 0), y.oid) IN ('pg_catalog.timestamptz'::regtype, 'pg_catalog.timestamp'::regtype, 'pg_catalog.date'::regtype)
	                OR y.oid = 'pg_catalog.uuid'::regtype AND pg_get_expr(e.adbin, e.adrelid) = 'uuidv7()')),
	'Uniques', (SELECT json_agg(json_build_object('Name', i.relname, 'Schema', n.nspname, 'Constraint', CASE k.contype WHEN 'p' THEN 'PRIMARY KEY' WHEN 'u' THEN 'UNIQUE' ELSE '' END,
	               'Columns', u.names, 'List', u.list, 'Tail', ` + using + `, 'Defer', CASE WHEN k.condeferred THEN ' DEFERRABLE INITIALLY DEFERRED' WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END,
	               'Plain', NOT 0 = ANY (x.indkey::int2[]) AND x.indpred IS NULL, 'Replica', x.indisreplident AND c.relreplident = 'i',
	               'Comments', (SELECT json_agg(s) FROM (SELECT json_array_elements_text(` + remarks("format('INDEX %I.%I', n.nspname, i.relname)", "pg_class", "i.oid") + `)
	                            UNION ALL SELECT json_array_elements_text(` + remarks("format('CONSTRAINT %I ON {new}', k.conname)", "pg_constraint", "k.oid") + `)) r(s)))
	               ORDER BY k.contype NULLS LAST, i.relname)
	            FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid LEFT JOIN pg_constraint k ON k.conindid = x.indexrelid AND k.conrelid = c.oid AND k.contype IN ('p', 'u')
	            CROSS JOIN LATERAL (SELECT json_agg(a.attname ORDER BY u.n) AS names, string_agg(quote_ident(a.attname), ', ' ORDER BY u.n) AS list
	                FROM unnest((x.indkey::int2[])[0:x.indnkeyatts - 1]) WITH ORDINALITY u(num, n) LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.num AND u.num <> 0) u
	            WHERE x.indrelid = c.oid AND x.indisunique AND x.indisvalid AND NOT x.indisexclusion),
	'Indexes', (SELECT json_agg(json_build_object('Schema', n.nspname, 'Name', i.relname, 'Definition', format('CREATE INDEX %I ON {new}', i.relname) || ` + using + `,
	               'Comments', ` + remarks("format('INDEX %I.%I', n.nspname, i.relname)", "pg_class", "i.oid") + `) ORDER BY i.relname)
	            FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid AND NOT x.indisunique AND NOT x.indisexclusion AND x.indisvalid),
	'Statistics', (SELECT json_agg(json_build_object('Schema', sn.nspname, 'Name', s.stxname,
	               'Definition', substring(pg_get_statisticsobjdef(s.oid) FROM '^(.*) FROM ') || ' FROM {new}' ||
	                    CASE WHEN s.stxstattarget IS NULL THEN '' ELSE format('; ALTER STATISTICS %I.%I SET STATISTICS %s', sn.nspname, s.stxname, s.stxstattarget) END,
	               'Comments', ` + remarks("format('STATISTICS %I.%I', sn.nspname, s.stxname)", "pg_statistic_ext", "s.oid") + `) ORDER BY s.stxname)
	            FROM pg_statistic_ext s JOIN pg_namespace sn ON sn.oid = s.stxnamespace WHERE s.stxrelid = c.oid),
	'Identity', ` + sequences("a.attidentity <> ''", "i") + `,
	'Serial', ` + sequences("true", "a") + `,
	'Pointing', (SELECT json_agg(json_build_object('Table', k.conrelid::regclass, 'Name', k.conname, 'Definition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''),
	               'Columns', (SELECT json_agg(a.attname) FROM unnest(k.confkey) u(num) JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.num)) ORDER BY k.conrelid::regclass::text, k.conname)
	            FROM pg_constraint k WHERE k.confrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0),
	'Reasons', (SELECT json_agg(what ORDER BY what) FROM (` + reasonsQuery + `) r(what)),
	'Others', (SELECT json_agg(what ORDER BY what) FROM (
	            SELECT 'it is UNLOGGED, which new partitions will not be' WHERE c.relpersistence = 'u'
	            UNION ALL SELECT format('security label %L', label) FROM pg_seclabel WHERE classoid = 'pg_class'::regclass AND objoid = c.oid) o(what)),
	'Carry', (SELECT json_agg(does ORDER BY rank, part, does) FROM (` + carryQuery + `) x(rank, part, does)),
	'Publications', (SELECT json_agg(json_build_object('Name', b.pubname, 'Listed', p.oid IS NOT NULL, 'ViaRoot', b.pubviaroot,
	               'Suffix', coalesce((SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) || ')' FROM unnest(p.prattrs::int2[]) u(num) JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.num), '') ||
	                    coalesce(' WHERE (' || pg_get_expr(p.prqual, c.oid) || ')', ''),
	               'Others', (SELECT json_agg(o.oid::regclass::text ORDER BY o.oid::regclass::text) FROM ` + published + `),
	               'Divided', (SELECT json_agg(o.oid::regclass::text ORDER BY o.oid::regclass::text) FROM ` + published + ` AND (o.relkind = 'p' OR o.relispartition))) ORDER BY b.pubname)
	            FROM pg_publication b LEFT JOIN pg_publication_rel p ON p.prpubid = b.oid AND p.prrelid = c.oid
	            WHERE p.oid IS NOT NULL OR b.puballtables OR EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnpubid = b.oid AND s.pnnspid = c.relnamespace)),
	'Views', (SELECT json_agg(json_build_object('Schema', vn.nspname, 'Name', v.relname,
	               'With', coalesce(' USING ' || (SELECT quote_ident(amname) FROM pg_am WHERE oid = v.relam AND amname <> current_setting('default_table_access_method')), '') ||
	                    coalesce(' WITH (' || array_to_string(v.reloptions, ', ') || ')', '') || coalesce(' TABLESPACE ' || (SELECT quote_ident(spcname) FROM pg_tablespace WHERE oid = v.reltablespace), ''),
	               'Query', rtrim(pg_get_viewdef(v.oid), ';'),
	               'Indexes', (SELECT json_agg(json_build_object('Schema', vn.nspname, 'Name', i.relname, 'Definition', CASE WHEN x.indisunique THEN 'UNIQUE' ELSE '' END || '|' || ` + using + `,
	                    'Comments', ` + remarks("format('INDEX %I.%I', vn.nspname, i.relname)", "pg_class", "i.oid") + `) ORDER BY i.relname)
	                    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = v.oid AND x.indisvalid),
	               'Carry', (SELECT json_agg(s ORDER BY s) FROM (SELECT format('ALTER MATERIALIZED VIEW {view} OWNER TO %I', pg_get_userbyid(v.relowner))
	                    UNION ALL SELECT format('GRANT %s ON TABLE {view} TO ', a.privilege_type) || ` + grantTo + ` FROM aclexplode(v.relacl) a WHERE a.grantee <> v.relowner
	                    UNION ALL SELECT json_array_elements_text(` + remarks("'MATERIALIZED VIEW {view}'", "pg_class", "v.oid") + `)
	                    UNION ALL SELECT format('COMMENT ON COLUMN {view}.%I IS %L', attname, col_description(v.oid, attnum)) FROM pg_attribute
	                    WHERE attrelid = v.oid AND col_description(v.oid, attnum) IS NOT NULL) s(s)),
	               'Readers', (SELECT json_agg(DISTINCT dw.ev_class::regclass::text) FROM pg_depend dd JOIN pg_rewrite dw ON dw.oid = dd.objid
	                    WHERE dd.classid = 'pg_rewrite'::regclass AND dd.refclassid = 'pg_class'::regclass AND dd.refobjid = v.oid AND dw.ev_class <> v.oid)) ORDER BY vn.nspname, v.relname)
	            FROM pg_class v JOIN pg_namespace vn ON vn.oid = v.relnamespace WHERE v.relkind = 'm' AND v.oid IN (SELECT v.oid FROM ` + readers + `)))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`
}

// published are the other tables o of a publication b.
const published = `(SELECT o.* FROM pg_class o WHERE o.relkind IN ('r', 'p') AND o.oid <> c.oid AND (EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = b.oid AND r.prrelid = o.oid)
	OR EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnpubid = b.oid AND s.pnnspid = o.relnamespace)
	OR b.puballtables AND o.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_namespace z WHERE z.oid = o.relnamespace AND (z.nspname ~ '^pg_' OR z.nspname IN ('information_schema', 'pgtender'))))) o WHERE true`

// sequences are those that the table's columns own.
func sequences(which, deptype string) string {
	return `(SELECT json_agg(json_build_object('Column', a.attname, 'Schema', sn.nspname, 'Name', s.relname,
	               'Carry', (SELECT json_agg(t ORDER BY t) FROM (SELECT format('GRANT %s ON SEQUENCE {seq} TO ', a.privilege_type) || ` + grantTo + ` FROM aclexplode(s.relacl) a WHERE a.grantee <> s.relowner
	                    UNION ALL SELECT json_array_elements_text(` + remarks("'SEQUENCE {seq}'", "pg_class", "s.oid") + `)) t(t))) ORDER BY a.attnum)
	            FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
	            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND ` + which + `
	            WHERE d.refobjid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype = '` + deptype + `' AND d.classid = 'pg_class'::regclass)`
}

// reasonsQuery is what has no place in a partitioned table, or would be broken silently by the old table's change of name.
const reasonsQuery = `
	SELECT format('Trigger %I is a row trigger with transition tables, which a partitioned table cannot have: drop it, or write it FOR EACH STATEMENT.', tgname)
	FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND ` + transition + `
	UNION ALL SELECT format('Exclusion constraint %I holds within one partition only, unless the time column is part of it with =: drop it first (ALTER TABLE %s DROP CONSTRAINT %1$I;).', conname, c.oid::regclass)
	FROM pg_constraint WHERE conrelid = c.oid AND contype = 'x'
	UNION ALL SELECT format('Key %I is WITHOUT OVERLAPS, which cannot be carried over: drop it first.', conname) FROM pg_constraint WHERE conrelid = c.oid AND conperiod AND contype IN ('p', 'u')
	UNION ALL SELECT format('Constraint %I is NOT VALID: ALTER TABLE %s VALIDATE CONSTRAINT %1$I; first.', conname, c.oid::regclass) FROM pg_constraint
	WHERE conrelid = c.oid AND contype IN ('c', 'n') AND conenforced AND NOT convalidated AND conname <> '` + BoundsCheck + `'
	UNION ALL SELECT format('Constraint %I is NO INHERIT, which one of a partitioned table cannot be: drop it, or make it anew without.', conname) FROM pg_constraint
	WHERE conrelid = c.oid AND contype IN ('c', 'n') AND connoinherit
	UNION ALL SELECT format('Index %s is invalid: finish it (REINDEX INDEX CONCURRENTLY %1$s;) or drop it first.', indexrelid::regclass) FROM pg_index WHERE indrelid = c.oid AND NOT indisvalid
	UNION ALL SELECT format('It has to do with %s by INHERITS, and can neither be a partition nor be divided while it has: end that first (ALTER TABLE … NO INHERIT …).', kin::regclass)
	FROM (SELECT inhparent AS kin FROM pg_inherits WHERE inhrelid = c.oid UNION SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid) k
	UNION ALL SELECT format('It is of type %s (CREATE TABLE … OF), which no partition can be: ALTER TABLE %s NOT OF; first.', c.reloftype::regtype, c.oid::regclass) WHERE c.reloftype <> 0
	UNION ALL SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) || ' uses its row type, which goes with the old table: change that first.'
	FROM pg_type y JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid IN (y.oid, y.typarray) WHERE y.typrelid = c.oid AND d.deptype = 'n'
	UNION ALL SELECT 'A subscription writes to it, and would not find it under its new oid: take it out of the publication over there, and in again after COMMIT with ALTER SUBSCRIPTION … REFRESH PUBLICATION.'
	WHERE EXISTS (SELECT FROM pg_subscription_rel WHERE srrelid = c.oid)`

// carryQuery is what LIKE does not copy. Texts that the server prints name the table, so they are of the new one when they are run.
const carryQuery = `
	SELECT 1, 0, format('ALTER TABLE {new} OWNER TO %I', pg_get_userbyid(c.relowner))
	UNION ALL SELECT 2, 0, format('GRANT %s ON TABLE {new} TO ', a.privilege_type) || ` + grantTo + ` FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner
	UNION ALL SELECT 2, t.attnum, format('GRANT %s (%I) ON TABLE {new} TO ', a.privilege_type, t.attname) || ` + grantTo + `
	FROM pg_attribute t, aclexplode(t.attacl) a WHERE t.attrelid = c.oid AND NOT t.attisdropped AND a.grantee <> c.relowner
	UNION ALL SELECT 3, 0, format('COMMENT ON TABLE {new} IS %L', obj_description(c.oid, 'pg_class')) WHERE obj_description(c.oid, 'pg_class') IS NOT NULL
	UNION ALL SELECT 3, attnum, format('ALTER TABLE {new} ALTER COLUMN %I SET STATISTICS %s', attname, attstattarget) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attstattarget >= 0
	UNION ALL SELECT 3, attnum, format('ALTER TABLE {new} ALTER COLUMN %I SET (%s)', attname, array_to_string(attoptions, ', ')) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attoptions IS NOT NULL
	UNION ALL SELECT 4, 1, format('CREATE POLICY %I ON {new} AS %s FOR %s TO %s%s%s', polname, CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
	    CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
	    (SELECT string_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ') FROM unnest(polroles) r),
	    ' USING (' || pg_get_expr(polqual, polrelid) || ')', ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')') ||
	    coalesce(format('; COMMENT ON POLICY %I ON {new} IS ', polname) || quote_literal(obj_description(oid, 'pg_policy')), '') FROM pg_policy WHERE polrelid = c.oid
	UNION ALL SELECT 4, 2, 'ALTER TABLE {new} ENABLE ROW LEVEL SECURITY' WHERE c.relrowsecurity
	UNION ALL SELECT 4, 3, 'ALTER TABLE {new} FORCE ROW LEVEL SECURITY' WHERE c.relforcerowsecurity
	UNION ALL SELECT 5, 0, 'ALTER TABLE {new} REPLICA IDENTITY ' || CASE c.relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END WHERE c.relreplident IN ('f', 'n')
	UNION ALL SELECT 6, row_number() OVER (ORDER BY tgname)::int, format('DROP TRIGGER %I ON {old}; ', tgname) || pg_get_triggerdef(oid) ||
	    CASE tgenabled WHEN 'D' THEN format('; ALTER TABLE {new} DISABLE TRIGGER %I', tgname) WHEN 'A' THEN format('; ALTER TABLE {new} ENABLE ALWAYS TRIGGER %I', tgname)
	    WHEN 'R' THEN format('; ALTER TABLE {new} ENABLE REPLICA TRIGGER %I', tgname) ELSE '' END || coalesce(format('; COMMENT ON TRIGGER %I ON {new} IS ', tgname) || quote_literal(obj_description(oid, 'pg_trigger')), '')
	FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND NOT ` + transition + `
	UNION ALL SELECT 7, 0, format('ALTER TABLE {new} ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)) || coalesce(format('; COMMENT ON CONSTRAINT %I ON {new} IS ', conname) || quote_literal(obj_description(oid, 'pg_constraint')), '')
	FROM pg_constraint WHERE conrelid = c.oid AND confrelid <> c.oid AND contype = 'f'
	UNION ALL SELECT 8, row_number() OVER (ORDER BY rulename)::int, format('DROP RULE %I ON {old}; ', rulename) || rtrim(pg_get_ruledef(oid), ';') ||
	    CASE ev_enabled WHEN 'D' THEN format('; ALTER TABLE {new} DISABLE RULE %I', rulename) WHEN 'A' THEN format('; ALTER TABLE {new} ENABLE ALWAYS RULE %I', rulename)
	    WHEN 'R' THEN format('; ALTER TABLE {new} ENABLE REPLICA RULE %I', rulename) ELSE '' END || coalesce(format('; COMMENT ON RULE %I ON {new} IS ', rulename) || quote_literal(obj_description(oid, 'pg_rewrite')), '')
	FROM pg_rewrite WHERE ev_class = c.oid
	UNION ALL SELECT DISTINCT 9, 0, format('CREATE OR REPLACE VIEW %s%s AS %s', v.oid::regclass, ' WITH (' || array_to_string(v.reloptions, ', ') || ')', rtrim(pg_get_viewdef(v.oid), ';'))
	FROM ` + readers + ` AND v.relkind = 'v' AND w.rulename = '_RETURN'
	UNION ALL SELECT DISTINCT 9, 1, regexp_replace(rtrim(pg_get_ruledef(w.oid), ';'), '^CREATE RULE', 'CREATE OR REPLACE RULE') FROM ` + readers + ` AND w.rulename <> '_RETURN'
	UNION ALL SELECT DISTINCT 9, 2, format('ALTER POLICY %I ON %s%s%s', p.polname, p.polrelid::regclass, ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
	FROM pg_depend d JOIN pg_policy p ON p.oid = d.objid WHERE d.classid = 'pg_policy'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND p.polrelid <> c.oid
	UNION ALL SELECT DISTINCT 9, 3, pg_get_functiondef(d.objid) FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.deptype = 'n'`

// readFacts reads what a relation is made of.
func readFacts(ctx context.Context, q pg.Querier, t config.Table) (f facts, _ error) {
	var text []byte
	err := q.QueryRow(ctx, factsQuery(), t.Schema, t.Name).Scan(&text)
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		return f, fmt.Errorf("read what %s is made of: %w", t, err)
	}
	return f, nil
}
