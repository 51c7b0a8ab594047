package catalog

import (
	"fmt"
	"unicode/utf8"

	"github.com/pgtender/pgtender/internal/pg"
)

// column is a row of pg_attribute with all that can be declared of it.
type column struct {
	table, defaultOID, sequence                      uint32
	number                                           int32
	name, typ, notNull, expression, generated        string
	identity, sequenceOptions, collation             string
	sequenceSchema, sequenceRel, sequenceName        string
	storage, compression, target, options, inherited string
	comment, sequenceComment                         string
}

const columnsSQL = `
	SELECT a.attrelid, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
		CASE WHEN a.attnotnull THEN 'true' ELSE '' END,
		coalesce(ad.oid, 0), coalesce(pg_get_expr(ad.adbin, a.attrelid), ''),
		CASE a.attgenerated WHEN 's' THEN 'stored' WHEN 'v' THEN 'virtual' ELSE '' END,
		CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' ELSE '' END,
		coalesce(s.seqrelid, 0), coalesce(sn.nspname, ''), coalesce(sc.relname, ''), CASE WHEN s.seqrelid IS NULL THEN '' ELSE format('%I.%I', sn.nspname, sc.relname) END,
		CASE WHEN s.seqrelid IS NULL THEN '' ELSE ` + sequenceOptionsSQL + ` END,
		CASE WHEN a.attcollation <> t.typcollation THEN (SELECT format('%I.%I', cn.nspname, co.collname)
			FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) ELSE '' END,
		CASE WHEN a.attstorage = t.typstorage THEN '' WHEN a.attstorage = 'p' THEN 'plain' WHEN a.attstorage = 'e' THEN 'external'
			WHEN a.attstorage = 'm' THEN 'main' ELSE 'extended' END,
		CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' ELSE '' END,
		coalesce(a.attstattarget::text, ''),
		coalesce((SELECT string_agg(o, ', ' ORDER BY o COLLATE "C") FROM unnest(a.attoptions) o), ''),
		CASE WHEN a.attinhcount = 0 THEN '' WHEN a.attislocal THEN 'merged' ELSE 'true' END,
		coalesce(d.description, ''),
		coalesce(sd.description, '')
	FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
	LEFT JOIN pg_attrdef ad ON ad.adrelid = a.attrelid AND ad.adnum = a.attnum
	LEFT JOIN (SELECT i.refobjid, i.refobjsubid, s.* FROM pg_sequence s
		JOIN pg_depend i ON i.classid = 'pg_class'::regclass AND i.objid = s.seqrelid AND i.refclassid = 'pg_class'::regclass AND i.deptype = 'i') s
		ON s.refobjid = a.attrelid AND s.refobjsubid = a.attnum
	LEFT JOIN pg_description sd ON sd.classoid = 'pg_class'::regclass AND sd.objoid = s.seqrelid AND sd.objsubid = 0
	LEFT JOIN pg_class sc ON sc.oid = s.seqrelid LEFT JOIN pg_namespace sn ON sn.oid = sc.relnamespace
	LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass AND d.objoid = a.attrelid AND d.objsubid = a.attnum
	WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
	ORDER BY a.attrelid, a.attnum`

// readColumns: of tables the facts type, not null, default, generated, expression, identity, sequence
// options, sequence name, collation, storage, compression, statistics target, options, inherited, comment.
// The columns of views and materialised views are no objects, since their definition makes them: what else
// can be set on them are facts of the view.
func (r *reader) readColumns() error {
	return r.each(columnsSQL, []any{r.oids("rpvm")}, func(scan func(...any) error) error {
		var c column
		if err := scan(&c.table, &c.number, &c.name, &c.typ, &c.notNull, &c.defaultOID, &c.expression, &c.generated, &c.identity,
			&c.sequence, &c.sequenceSchema, &c.sequenceRel, &c.sequenceName, &c.sequenceOptions, &c.collation, &c.storage, &c.compression, &c.target, &c.options,
			&c.inherited, &c.comment, &c.sequenceComment); err != nil {
			return err
		}
		rel := r.rels[c.table]
		if rel.key.Kind != Table {
			r.viewColumn(r.objects[rel.key], &c)
			return nil
		}
		at := ref{"pg_class", c.table, c.number}
		o := r.part(at, Column, c.table, c.name)
		if o == nil {
			return nil
		}
		r.refs[ref{"pg_attrdef", c.defaultOID, 0}] = o.Key
		if c.sequence != 0 {
			r.refs[ref{"pg_class", c.sequence, 0}] = o.Key
		}
		o.Notes.Position = int(c.number)
		if c.generated != "" {
			o.set(FactGenerated, c.generated).set(FactExpression, c.expression)
		} else {
			o.set(FactDefault, c.expression)
		}
		if c.sequenceSchema != rel.schema || c.sequenceRel != DefaultName(rel.name, c.name, "seq") {
			o.set(FactSequenceName, c.sequenceName)
		}
		o.set(FactType, c.typ).set(FactNotNull, c.notNull).set(FactIdentity, c.identity).set(FactSequence, c.sequenceOptions).
			set(FactCollation, c.collation).set(FactStorage, c.storage).set(FactCompression, c.compression).
			set(FactStatTarget, c.target).set(FactOptions, c.options).set(FactInherited, c.inherited).set(FactComment, c.comment).
			set(FactSeqComment, c.sequenceComment)
		return nil
	})
}

func (r *reader) viewColumn(view *Object, c *column) {
	r.refs[ref{"pg_attrdef", c.defaultOID, 0}] = view.Key
	set := func(format, value string) string {
		if value == "" {
			return ""
		}
		return fmt.Sprintf(format, value)
	}
	view.set(PrefixColumn+c.name, join(set("SET DEFAULT %s", c.expression), set("SET STORAGE %s", c.storage),
		set("SET COMPRESSION %s", c.compression), set("SET STATISTICS %s", c.target), set("SET (%s)", c.options)))
	view.set(PrefixColumnComment+c.name, c.comment)
	view.Notes.Columns = append(view.Notes.Columns, join(fmt.Sprintf("%q %s", c.name, c.typ), c.collation))
}

// DefaultName is the name that the server makes for an object of a table's column when nobody gives one:
// table_column_label, or table_label without a column, with the longer of the two names cut until it fits into 63
// bytes. Source: makeObjectName in src/backend/commands/indexcmds.c.
func DefaultName(table, column, label string) string {
	room := pg.MaxNameBytes - len(label) - 1
	if column != "" {
		room--
	}
	for len(table)+len(column) > room {
		if len(table) > len(column) {
			table = table[:len(table)-1]
		} else {
			column = column[:len(column)-1]
		}
	}
	if column = wholeRunes(column); column != "" {
		column += "_"
	}
	return wholeRunes(table) + "_" + column + label
}

func wholeRunes(s string) string {
	for s != "" {
		if r, size := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || size != 1 {
			break
		}
		s = s[:len(s)-1]
	}
	return s
}
