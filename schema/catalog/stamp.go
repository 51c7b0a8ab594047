package catalog

import (
	"context"
	"embed"
	"fmt"
	"strings"

	"github.com/pgtender/pgtender/internal/pg"
)

// Code is this package's own source: what a stored snapshot was read by. Another reading may find other facts.
//
//go:embed *.go
var Code embed.FS

// stamped are the system catalogs that hold what Read reads, and what the printing of definitions depends on. A change of any row of them has
// a new version of the row, with another place or another xmin.
var stamped = [...]string{
	"pg_aggregate", "pg_am", "pg_amop", "pg_amproc", "pg_attrdef", "pg_attribute", "pg_cast", "pg_class", "pg_collation", "pg_constraint",
	"pg_conversion", "pg_default_acl", "pg_depend", "pg_description", "pg_enum", "pg_event_trigger", "pg_extension", "pg_foreign_data_wrapper",
	"pg_foreign_server", "pg_foreign_table", "pg_index", "pg_inherits", "pg_init_privs", "pg_language", "pg_namespace", "pg_opclass", "pg_operator",
	"pg_opfamily", "pg_partitioned_table", "pg_policy", "pg_proc", "pg_publication", "pg_publication_namespace", "pg_publication_rel", "pg_range",
	"pg_rewrite", "pg_seclabel", "pg_sequence", "pg_statistic_ext", "pg_tablespace", "pg_transform", "pg_trigger", "pg_ts_config",
	"pg_ts_config_map", "pg_ts_dict", "pg_ts_parser", "pg_ts_template", "pg_type",
}

// Stamp is a short text that changes with every change of the catalogs, and also with some that mean nothing, such as a temporary
// table. It costs one query that locks nothing of the user's. Of two readings between which it stayed the same, the second can be spared. It
// tells nothing of another server, nor of a copy of the database.
func Stamp(ctx context.Context, q pg.Querier) (string, error) {
	var sql strings.Builder
	sql.WriteString(`SELECT concat_ws(' ', current_setting('server_version'), (SELECT system_identifier FROM pg_control_system()),
		(SELECT concat_ws(':', oid, xmin, ctid) FROM pg_database WHERE datname = current_database()),
		(SELECT concat_ws(':', count(*), sum(hashtextextended(oid || rolname, 0))) FROM pg_roles),
		(SELECT concat_ws(':', count(*), sum(hashtextextended(oid || subname, 0))) FROM pg_subscription),
		(SELECT concat_ws(':', count(*), sum(hashint8extended(umid::int8, 0))) FROM pg_user_mappings)`)
	for _, name := range stamped {
		fmt.Fprintf(&sql, ",\n\t\t(SELECT concat_ws(':', count(*), sum(hash_record_extended(ROW(c.ctid, c.xmin), 0))) FROM pg_catalog.%s c)", name)
	}
	sql.WriteString(")")
	var stamp string
	if err := q.QueryRow(ctx, sql.String()).Scan(&stamp); err != nil {
		return "", fmt.Errorf("stamp the catalogs: %w", err)
	}
	return stamp, nil
}
