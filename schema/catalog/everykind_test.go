package catalog_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pgtest"
)

// TestEveryCatalogIsAccountedFor: whatever a database can hold has a row in some system catalog, and of each of them it is known how its rows are
// read: as objects, as parts of objects, as kinds that are listed because they are not managed, or why they are no part of a schema. A
// catalog that a later PostgreSQL adds fails here until somebody has decided.
func TestEveryCatalogIsAccountedFor(t *testing.T) {
	t.Parallel()
	known := map[string]string{
		"compared": `pg_aggregate pg_attrdef pg_attribute pg_class pg_collation pg_constraint pg_default_acl pg_description pg_enum pg_event_trigger pg_extension pg_index
			pg_inherits pg_namespace pg_partitioned_table pg_policy pg_proc pg_range pg_rewrite pg_sequence pg_statistic_ext pg_trigger pg_type`,
		"listed": `pg_am pg_cast pg_conversion pg_foreign_data_wrapper pg_foreign_server pg_foreign_table pg_language pg_opclass pg_operator pg_opfamily pg_publication
			pg_seclabel pg_subscription pg_transform pg_ts_config pg_ts_dict pg_ts_parser pg_ts_template pg_user_mapping`,
		"parts of what is listed":            "pg_amop pg_amproc pg_publication_namespace pg_publication_rel pg_subscription_rel pg_ts_config_map",
		"how objects hang together":          "pg_depend pg_init_privs pg_shdepend",
		"rows, not the schema":               "pg_largeobject pg_largeobject_metadata pg_statistic pg_statistic_ext_data",
		"of the server, not of one database": "pg_auth_members pg_authid pg_database pg_db_role_setting pg_parameter_acl pg_replication_origin pg_shdescription pg_shseclabel pg_tablespace",
	}
	var want []string
	for _, names := range known {
		want = append(want, strings.Fields(names)...)
	}
	slices.Sort(want)
	conn := pgtest.Session(t, pgtest.Database(t))
	rows, err := conn.Query(t.Context(), `SELECT relname::text FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' ORDER BY relname COLLATE "C"`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the server has\n%v\nknown are\n%v", got, want)
	}
}
