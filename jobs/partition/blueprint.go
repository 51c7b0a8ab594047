package partition

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// blueprint is what a new partition must be given besides what LIKE and ATTACH bring. It is read once for a table that lacks
// partitions.
type blueprint struct {
	Owner      string
	SetOwner   bool // we are not the owner ourselves
	OwnerLacks bool // the owner may not make tables in the schema, and we are no superuser who could give it one all the same
	Tablespace string
	Method     string // access method
	RLS        bool
	ForceRLS   bool
	Identity   string // replica identity: d, f, n, i
	Comment    string
	Columns    []column
	Grants     []grant
	Defaults   []string // roles that default privileges would give something; "" is PUBLIC
	StatTarget bool     // some extended statistics has a target
	Exclude    bool     // there are exclusion constraints
	Referenced []referenced
	// Models are the trees of the partitions that a new one may be like, by oid.
	Models map[uint32][]node
}

type column struct {
	Name      string
	Target    *int     // statistics target
	Options   []string // n_distinct=…
	Generated bool
}

type grant struct {
	Role      string // "" is PUBLIC
	Column    string // "" is the table
	Privilege string
	Grantable bool
}

// referenced is a table that a foreign key of the partitioned table points to.
type referenced struct {
	Schema, Name string
	Lockable     bool
}

// node is one table of an existing partition's tree: the partition itself first, then what it is divided into.
type node struct {
	OID, Parent  uint32
	Schema, Name string
	Bound        string // FOR VALUES …; of the partition itself unused
	Key          string // LIST (tenant); "" is a leaf
	Options      []string
	Toast        []string
}

const blueprintQuery = `
SELECT c.oid, json_build_object(
	'Owner', pg_get_userbyid(c.relowner),
	'SetOwner', pg_get_userbyid(c.relowner) <> current_user,
	'OwnerLacks', pg_get_userbyid(c.relowner) <> current_user AND NOT has_schema_privilege(c.relowner, c.relnamespace, 'CREATE')
	              AND pg_has_role(c.relowner, 'MEMBER') AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
	'Tablespace', coalesce((SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace), ''),
	'Method', coalesce((SELECT amname FROM pg_am WHERE oid = c.relam), ''),
	'RLS', c.relrowsecurity, 'ForceRLS', c.relforcerowsecurity, 'Identity', c.relreplident,
	'Comment', coalesce(obj_description(c.oid, 'pg_class'), ''),
	'Columns', (SELECT json_agg(json_build_object('Name', attname, 'Target', attstattarget, 'Options', attoptions,
	                   'Generated', attgenerated <> '') ORDER BY attnum)
	            FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
	'Grants', (SELECT json_agg(json_build_object('Role', coalesce(r.rolname, ''), 'Column', coalesce(g.col, ''), 'Privilege', g.privilege_type,
	                  'Grantable', g.is_grantable) ORDER BY g.attnum, r.rolname NULLS FIRST, g.is_grantable, g.privilege_type)
	           FROM (SELECT 0 AS attnum, NULL::name AS col, a.* FROM aclexplode(c.relacl) a
	                 UNION ALL
	                 SELECT t.attnum, t.attname, a.* FROM pg_attribute t, aclexplode(t.attacl) a
	                 WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped) g
	           LEFT JOIN pg_roles r ON r.oid = g.grantee
	           WHERE g.grantee <> c.relowner),
	'Defaults', (SELECT json_agg(DISTINCT coalesce(r.rolname, ''))
	             FROM pg_default_acl d CROSS JOIN aclexplode(d.defaclacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
	             WHERE d.defaclobjtype = 'r' AND d.defaclnamespace IN (0, c.relnamespace)
	               AND pg_get_userbyid(d.defaclrole) = current_user AND a.grantee NOT IN (c.relowner, d.defaclrole)),
	'StatTarget', EXISTS (SELECT FROM pg_statistic_ext WHERE stxrelid = c.oid AND stxstattarget IS NOT NULL),
	'Exclude', EXISTS (SELECT FROM pg_constraint WHERE conrelid = c.oid AND contype = 'x'),
	'Referenced', (SELECT json_agg(DISTINCT jsonb_build_object('Schema', n.nspname, 'Name', f.relname,
	                      'Lockable', has_table_privilege(f.oid, 'UPDATE, DELETE, TRUNCATE, MAINTAIN')))
	               FROM pg_constraint k JOIN pg_class f ON f.oid = k.confrelid JOIN pg_namespace n ON n.oid = f.relnamespace
	               WHERE k.conrelid = c.oid AND k.contype = 'f' AND f.oid <> c.oid
	                 AND NOT EXISTS (SELECT FROM pg_constraint up WHERE up.oid = k.conparentid AND up.conrelid = k.conrelid)),
	'Models', (
		WITH RECURSIVE tree AS (
			SELECT m AS model, m AS oid, 0::oid AS parent, 0 AS depth FROM unnest($2::oid[]) m WHERE EXISTS (SELECT FROM pg_inherits WHERE inhrelid = m AND inhparent = c.oid)
			UNION ALL
			SELECT t.model, i.inhrelid, i.inhparent, t.depth + 1 FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid AND NOT i.inhdetachpending)
		SELECT json_object_agg(model, nodes) FROM (
			SELECT t.model, json_agg(json_build_object('OID', x.oid::bigint, 'Parent', t.parent::bigint, 'Schema', n.nspname, 'Name', x.relname,
			       'Bound', pg_get_expr(x.relpartbound, 0),
			       'Key', CASE WHEN x.relkind = 'p' THEN pg_get_partkeydef(x.oid) ELSE '' END,
			       'Options', x.reloptions, 'Toast', o.reloptions) ORDER BY t.depth, n.nspname, x.relname) AS nodes
			FROM tree t JOIN pg_class x ON x.oid = t.oid JOIN pg_namespace n ON n.oid = x.relnamespace
			LEFT JOIN pg_class o ON o.oid = x.reltoastrelid
			GROUP BY t.model) per_model))
FROM pg_class c WHERE c.oid = ANY ($1::oid[])`

// readBlueprints reads the blueprints of partitioned tables, by oid, with the trees of the partitions that models names.
func readBlueprints(ctx context.Context, q pg.Querier, tables, models []uint32) (map[uint32]*blueprint, error) {
	rows, err := q.Query(ctx, blueprintQuery, tables, models)
	if err != nil {
		return nil, err
	}
	found := map[uint32]*blueprint{}
	var oid uint32
	var text []byte
	_, err = pgx.ForEachRow(rows, []any{&oid, &text}, func() error {
		b := &blueprint{}
		found[oid] = b
		return json.Unmarshal(text, b)
	})
	return found, err
}

// requireOwner refuses when what is made could not be given to its owner: ALTER TABLE … OWNER TO asks that one's rights, too.
func (b *blueprint) requireOwner(asked, table config.Table) error {
	if !b.OwnerLacks {
		return nil
	}
	return &Refusal{asked, fmt.Sprintf("a new partition belongs to the owner of %s, %s, who lacks CREATE on schema %s, which the owner of a table must have to be given it",
		table, b.Owner, table.Schema),
		fmt.Sprintf("As the owner of the schema, run what `pgtender grants` prints, too:\n  GRANT CREATE ON SCHEMA %s TO %s;", pg.Ident(table.Schema), pg.Ident(b.Owner))}
}

// model is the partition that the wanted one should be like in what the parent does not say: storage parameters, and how it is
// divided further. It is the nearest one before it, else the nearest one after it, else none (0).
func model(set *parts.Set, w parts.Range) uint32 {
	var oid uint32
	for _, c := range set.Children {
		if c.Pending || c.Kind == 'f' {
			continue
		}
		if oid != 0 && c.Lower.Compare(w.Lower) > 0 {
			break
		}
		oid = c.OID
	}
	return oid
}
