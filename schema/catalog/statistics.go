package catalog

import (
	"slices"
	"strings"
)

// readStatistics: facts definition, statistics target, comment. The server prints the columns in their order in the
// table, which says nothing and may differ where the statistics do not: here they are by name, expressions last.
func (r *reader) readStatistics() error {
	return r.each(`
		SELECT s.oid, n.nspname, s.stxname, format('%I.%I', n.nspname, s.stxname), format('%I.%I', cn.nspname, c.relname), s.stxkind::text[],
			ARRAY(SELECT quote_ident(a.attname) FROM unnest(s.stxkeys::int2[]) k JOIN pg_attribute a ON a.attrelid = s.stxrelid AND a.attnum = k),
			coalesce(pg_get_statisticsobjdef_expressions(s.oid), '{}'), coalesce(s.stxstattarget::text, ''), coalesce(d.description, '')
		FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
		JOIN pg_class c ON c.oid = s.stxrelid JOIN pg_namespace cn ON cn.oid = c.relnamespace
		LEFT JOIN pg_description d ON d.classoid = 'pg_statistic_ext'::regclass AND d.objoid = s.oid AND d.objsubid = 0
		WHERE s.stxrelid = ANY($1::oid[])`,
		[]any{r.oids("rpm")}, func(scan func(...any) error) error {
			var oid uint32
			var schema, name, full, table, target, comment string
			var kinds, columns, expressions []string
			if err := scan(&oid, &schema, &name, &full, &table, &kinds, &columns, &expressions, &target, &comment); err != nil {
				return err
			}
			k := Key{Kind: Statistics, Schema: schema, Name: name}
			if r.scope.excludes(schema, name) {
				r.leave(k.String())
				return nil
			}
			r.put(ref{"pg_statistic_ext", oid, 0}, k).set(FactDefinition, statisticsDefinition(full, table, kinds, columns, expressions)).
				set(FactStatTarget, target).set(FactComment, comment)
			return nil
		})
}

func statisticsDefinition(full, table string, kinds, columns, expressions []string) string {
	slices.Sort(columns)
	slices.Sort(expressions)
	for _, e := range expressions {
		columns = append(columns, "("+e+")")
	}
	var named []string
	for _, kind := range [][2]string{{"d", "ndistinct"}, {"f", "dependencies"}, {"m", "mcv"}} {
		if slices.Contains(kinds, kind[0]) {
			named = append(named, kind[1])
		}
	}
	clause := ""
	if len(named) < 3 && len(columns) > 1 { // all of them is the default; a single expression has none
		clause = " (" + strings.Join(named, ", ") + ")"
	}
	return "CREATE STATISTICS " + full + clause + " ON " + strings.Join(columns, ", ") + " FROM " + table
}
