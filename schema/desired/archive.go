package desired

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// createArchives makes the archive tables that the policies imply, so that they are planned and compared like any other.
func (r *run) createArchives(ctx context.Context, wrong *problems) error {
	r.l.applied = nil
	if _, err := r.l.scratch.tx.Exec(ctx, "SET LOCAL search_path = ''"); err != nil { // definitions are printed in full
		return fmt.Errorf("make the archive tables: %w", err)
	}
	for _, a := range r.o.Archives {
		if err := r.createArchive(ctx, a, wrong); err != nil {
			if pg.Code(err) == "" {
				return err
			}
			// The transaction is of no more use, and the others would fail for that.
			wrong.add(a.Pos, "the archive table %s of %s cannot be made: %v", a.Into, a.Table, err)
			return wrong.err()
		}
	}
	return nil
}

// createArchive makes one archive table: the live table's columns, checks, keys, indexes, extended statistics and
// comments; partitioned alike if the live table is. What would tie archived rows to live ones, or break an ATTACH of
// a partition that was detached from the live table, is left out: identity, defaults (a serial's sequence belongs to
// the live table), foreign keys (a CASCADE would reach archived rows) unless the policy keeps them, triggers, row security.
func (r *run) createArchive(ctx context.Context, a config.Archive, wrong *problems) error {
	tx := r.l.scratch.tx
	live, into := pg.Ident(a.Table.Schema, a.Table.Name), pg.Ident(a.Into.Schema, a.Into.Name)
	var kind, partKey string
	var taken bool
	err := tx.QueryRow(ctx, `SELECT coalesce(c.relkind::text, ''), coalesce(pg_get_partkeydef(c.oid), ''), to_regclass($2) IS NOT NULL
		FROM (SELECT to_regclass($1) AS oid) asked LEFT JOIN pg_class c USING (oid)`, live, into).Scan(&kind, &partKey, &taken)
	switch {
	case err != nil:
		return err
	case taken:
		r.clash(a)
		return nil
	case kind != "r" && kind != "p" || a.Partitioned != (kind == "p"):
		return nil // policyProblems says so
	}
	create := "CREATE TABLE " + into + " (LIKE " + live +
		" INCLUDING COMMENTS INCLUDING COMPRESSION INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE)"
	if kind == "p" {
		create += " PARTITION BY " + partKey
	}
	comment := fmt.Sprintf("Archive of %s; made and kept like it by pgtender", a.Table)
	for _, sql := range []string{create, "COMMENT ON TABLE " + into + " IS " + pg.Literal(comment)} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	for _, step := range []func(context.Context, pgx.Tx, config.Archive) error{archiveConstraints, archiveIndexes, archiveStatistics} {
		if err := step(ctx, tx, a); err != nil {
			return err
		}
	}
	if a.KeepForeignKeys {
		return archiveForeignKeys(ctx, tx, a, wrong)
	}
	return nil
}

// archiveForeignKeys gives the archive the live table's foreign keys. One that points to the live table itself is a mistake: an
// archived row would point to a live one.
func archiveForeignKeys(ctx context.Context, tx pgx.Tx, a config.Archive, wrong *problems) error {
	rows, err := tx.Query(ctx, `
		SELECT conname, pg_get_constraintdef(oid), confrelid = conrelid, coalesce(obj_description(oid, 'pg_constraint'), '')
		FROM pg_constraint WHERE conrelid = to_regclass($1) AND contype = 'f' ORDER BY conname`, pg.Ident(a.Table.Schema, a.Table.Name))
	if err != nil {
		return err
	}
	var todo []string
	var name, definition, comment string
	var self bool
	into := pg.Ident(a.Into.Schema, a.Into.Name)
	_, err = pgx.ForEachRow(rows, []any{&name, &definition, &self, &comment}, func() error {
		if self {
			wrong.add(a.Pos, "archive of %s: keep_foreign_keys: %s points to the table itself, which archived rows cannot keep: remove keep_foreign_keys", a.Table, name)
			return nil
		}
		target := archiveName(a, name)
		todo = append(todo, "ALTER TABLE "+into+" ADD CONSTRAINT "+pg.Ident(target)+" "+definition)
		if comment != "" {
			todo = append(todo, "COMMENT ON CONSTRAINT "+pg.Ident(target)+" ON "+into+" IS "+pg.Literal(comment))
		}
		return nil
	})
	return execAll(ctx, tx, todo, err)
}

func (r *run) clash(a config.Archive) {
	if r.clashes == nil {
		r.clashes = map[catalog.Key]string{}
	}
	for _, kind := range []catalog.Kind{catalog.Table, catalog.View, catalog.MatView, catalog.Sequence} {
		r.clashes[catalog.Key{Kind: kind, Schema: a.Into.Schema, Name: a.Into.Name}] = fmt.Sprintf(
			"%s is declared, but the policy at %s makes it as the archive of %s: remove it from the sources", a.Into, a.Pos, a.Table)
	}
}

// archiveConstraints adds keys, and gives the copied checks the live ones' validity: LIKE makes all of them valid, and
// a partition with a check that is NOT VALID cannot be attached below a valid one.
func archiveConstraints(ctx context.Context, tx pgx.Tx, a config.Archive) error {
	rows, err := tx.Query(ctx, `
		SELECT k.conname, k.contype::text, pg_get_constraintdef(k.oid), coalesce(obj_description(k.oid, 'pg_constraint'), ''),
			EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = to_regclass($2) AND c.conname = k.conname AND c.contype = k.contype
				AND pg_get_constraintdef(c.oid) = pg_get_constraintdef(k.oid)),
			EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = to_regclass($2) AND c.conname = k.conname)
		FROM pg_constraint k WHERE k.conrelid = to_regclass($1) AND k.contype IN ('p', 'u', 'x', 'c', 'n') ORDER BY k.contype = 'p' DESC, k.conname`,
		pg.Ident(a.Table.Schema, a.Table.Name), pg.Ident(a.Into.Schema, a.Into.Name))
	if err != nil {
		return err
	}
	var todo []string
	var name, kind, definition, comment string
	var same, present bool
	into := pg.Ident(a.Into.Schema, a.Into.Name)
	_, err = pgx.ForEachRow(rows, []any{&name, &kind, &definition, &comment, &same, &present}, func() error {
		target := name
		switch {
		case kind == "p" || kind == "u" || kind == "x":
			target = archiveName(a, name)
		case same:
			return nil
		case present:
			todo = append(todo, "ALTER TABLE "+into+" DROP CONSTRAINT "+pg.Ident(name))
		}
		todo = append(todo, "ALTER TABLE "+into+" ADD CONSTRAINT "+pg.Ident(target)+" "+definition)
		if comment != "" {
			todo = append(todo, "COMMENT ON CONSTRAINT "+pg.Ident(target)+" ON "+into+" IS "+pg.Literal(comment))
		}
		return nil
	})
	return execAll(ctx, tx, todo, err)
}

func archiveIndexes(ctx context.Context, tx pgx.Tx, a config.Archive) error {
	rows, err := tx.Query(ctx, `
		SELECT i.relname, quote_ident(i.relname) || CASE WHEN c.relkind = 'p' THEN ' ON ONLY ' ELSE ' ON ' END || format('%I.%I', n.nspname, c.relname),
			pg_get_indexdef(x.indexrelid), coalesce(obj_description(i.oid, 'pg_class'), '')
		FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE x.indrelid = to_regclass($1) AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x'))
		ORDER BY i.relname`, pg.Ident(a.Table.Schema, a.Table.Name))
	if err != nil {
		return err
	}
	var todo []string
	var name, subject, definition, comment string
	_, err = pgx.ForEachRow(rows, []any{&name, &subject, &definition, &comment}, func() error {
		target := archiveName(a, name)
		before, after, ok := strings.Cut(definition, " INDEX "+subject+" ")
		if !ok {
			return fmt.Errorf("index %s: its definition is not understood: %s", name, definition)
		}
		todo = append(todo, before+" INDEX "+pg.Ident(target)+" ON "+pg.Ident(a.Into.Schema, a.Into.Name)+" "+after)
		if comment != "" {
			todo = append(todo, "COMMENT ON INDEX "+pg.Ident(a.Into.Schema, target)+" IS "+pg.Literal(comment))
		}
		return nil
	})
	return execAll(ctx, tx, todo, err)
}

func archiveStatistics(ctx context.Context, tx pgx.Tx, a config.Archive) error {
	rows, err := tx.Query(ctx, `
		SELECT s.stxname, format('%I.%I', sn.nspname, s.stxname), format('%I.%I', n.nspname, c.relname), pg_get_statisticsobjdef(s.oid)
		FROM pg_statistic_ext s JOIN pg_namespace sn ON sn.oid = s.stxnamespace
		JOIN pg_class c ON c.oid = s.stxrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE s.stxrelid = to_regclass($1) ORDER BY s.stxname`, pg.Ident(a.Table.Schema, a.Table.Name))
	if err != nil {
		return err
	}
	var todo []string
	var name, subject, table, definition string
	_, err = pgx.ForEachRow(rows, []any{&name, &subject, &table, &definition}, func() error {
		middle, ok := strings.CutPrefix(definition, "CREATE STATISTICS "+subject)
		middle, ok2 := strings.CutSuffix(middle, " FROM "+table)
		if !ok || !ok2 {
			return fmt.Errorf("statistics %s: their definition is not understood: %s", name, definition)
		}
		todo = append(todo, "CREATE STATISTICS "+pg.Ident(a.Into.Schema, archiveName(a, name))+middle+" FROM "+pg.Ident(a.Into.Schema, a.Into.Name))
		return nil
	})
	return execAll(ctx, tx, todo, err)
}

func execAll(ctx context.Context, tx pgx.Tx, statements []string, err error) error {
	for _, sql := range statements {
		if err != nil {
			break
		}
		_, err = tx.Exec(ctx, sql)
	}
	return err
}

// archiveName is the name of the archive's counterpart to an index, a key or statistics of the live table: the archive
// table's name in place of the live table's, or before it. It depends on nothing else, so it is stable while others come and
// go; where it would be longer than the server keeps, its end becomes a digest of the whole.
func archiveName(a config.Archive, name string) string {
	rest, ok := strings.CutPrefix(name, a.Table.Name+"_")
	if !ok {
		rest = name
	}
	full := a.Into.Name + "_" + rest
	if len(full) <= pg.MaxNameBytes {
		return full
	}
	digest := sha256.Sum256([]byte(full))
	cut := full[:pg.MaxNameBytes-9]
	for !utf8.ValidString(cut) {
		cut = cut[:len(cut)-1]
	}
	return cut + "_" + hex.EncodeToString(digest[:4])
}
