package archive

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// entry is the row of the manifest that a transfer of rows keeps: it grows with each batch, in the batch's transaction.
type entry struct {
	id       int64 // 0: not written yet
	live     config.Table
	archive  config.Table
	place    config.Table // that takes the rows, or gives them back
	bounds   *parts.Range // of a partition
	key      parts.Key
	bounded  [2]*string // instants, where there are no partition bounds: what a restore was asked for
	run      *int64
	back     bool        // out of the archive
	time     keyColumn   // the time column
	number   *keyColumn  // the first column of the primary key besides, if it has an order
	digested []keyColumn // what the digest covers: the primary key and the time
}

func (j *Job) newEntry(p *pass, runID int64, t *transfer, bounds *parts.Range) entry {
	e := entry{live: p.live.Table, archive: p.into.Table, place: t.to, bounds: bounds, key: p.live.Key, back: t.back}
	if t.back {
		e.place = t.from
	}
	if runID != 0 {
		e.run = &runID
	}
	for _, c := range t.facts.Columns {
		if c.Name == e.key.Column {
			e.time = c
		}
	}
	for _, c := range t.facts.Key {
		if c.Name != e.key.Column && c.Least && e.number == nil {
			e.number = &c
		}
		if c.Hashable {
			e.digested = append(e.digested, c)
		}
	}
	if !slices.ContainsFunc(e.digested, func(c keyColumn) bool { return c.Name == e.time.Name }) {
		e.digested = append(e.digested, e.time)
	}
	return e
}

// wholeEntry says what the manifest keeps of a partition that was moved whole: its digest covers every column that has a hash and
// is not computed from others.
func wholeEntry(ctx context.Context, q pg.Querier, t config.Table, key parts.Key) (entry, error) {
	var oid uint32
	if err := q.QueryRow(ctx, "SELECT $1::regclass::oid", ident(t)).Scan(&oid); err != nil {
		return entry{}, err
	}
	f, err := readRowFacts(ctx, q, oid, oid, key.Column, oid)
	if err != nil {
		return entry{}, err
	}
	e := entry{key: key}
	for _, c := range f.Columns {
		if c.Name == key.Column {
			e.time = c
		}
		if c.Hashable && !c.Generated {
			e.digested = append(e.digested, c)
		}
	}
	for _, c := range f.Key {
		if c.Name != key.Column && c.Least && e.number == nil {
			e.number = &c
		}
	}
	return e, nil
}

// figured are the columns that the figures are made of.
func (e entry) figured() []keyColumn {
	list := append([]keyColumn{e.time}, e.digested...)
	if e.number != nil {
		list = append(list, *e.number)
	}
	return list
}

// figures is the JSON object that the manifest keeps of a set of rows.
func (e entry) figures() string {
	list := []string{"'min_key', " + extreme("min", e.time), "'max_key', " + extreme("max", e.time), "'digest', " + digest(e.digested)}
	if e.number != nil {
		list = append(list, "'min_number', "+extreme("min", *e.number), "'max_number', "+extreme("max", *e.number))
	}
	return "json_build_object(" + strings.Join(list, ", ") + ")::text"
}

// extreme is the least or greatest value of a column as text. UUIDs have no min(), but their text has the same order.
func extreme(which string, c keyColumn) string {
	if c.Least {
		return fmt.Sprintf("%s(%s)::text", which, pg.Ident(c.Name))
	}
	return fmt.Sprintf(`%s(%s::text COLLATE "C")`, which, pg.Ident(c.Name))
}

// digest is one number for a set of rows whatever their order: the XOR of a hash of each row's columns. That of two sets together is the
// XOR of theirs. The hash is the one that hash partitions stand on, so no later release changes it.
func digest(columns []keyColumn) string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = pg.Ident(c.Name)
	}
	return "coalesce(bit_xor(hash_record_extended(ROW(" + strings.Join(list, ", ") + "), 0)), 0)::text"
}

func names(columns []keyColumn) []string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.Name
	}
	return list
}

// add writes a batch into the manifest within its transaction and returns the row's number.
func (e entry) add(ctx context.Context, tx pgx.Tx, rows int64, found string) (int64, error) {
	id := e.id
	if id == 0 {
		var err error
		if id, err = e.begin(ctx, tx); err != nil {
			return 0, fmt.Errorf("write it into pgtender.archived_partition: %w", err)
		}
	}
	both := func(name string, c keyColumn) string {
		fn := "least"
		if strings.HasPrefix(name, "max") {
			fn = "greatest"
		}
		return fmt.Sprintf("'%[1]s', %[2]s((detail->>'%[1]s')::%[3]s, ($3::jsonb->>'%[1]s')::%[3]s)::text", name, fn, c.Type)
	}
	list := []string{both("min_key", e.time), both("max_key", e.time),
		"'digest', (coalesce(detail->>'digest', '0')::bigint # ($3::jsonb->>'digest')::bigint)::text"}
	if e.number != nil {
		list = append(list, both("min_number", *e.number), both("max_number", *e.number))
	}
	_, err := tx.Exec(ctx, `UPDATE pgtender.archived_partition SET rows = coalesce(rows, 0) + $2, run_id = coalesce($4, run_id),
		moved_at = CASE WHEN gone_at IS NULL THEN clock_timestamp() ELSE moved_at END,
		detail = detail || jsonb_strip_nulls(jsonb_build_object(`+strings.Join(list, ", ")+`)) WHERE id = $1`, id, rows, found, e.run)
	if err != nil {
		return 0, fmt.Errorf("write it into pgtender.archived_partition: %w", err)
	}
	return id, nil
}

// begin writes the row without any rows moved. One that gives rows back is gone from its beginning, and holds its range back
// from being archived again.
func (e entry) begin(ctx context.Context, tx pgx.Tx) (id int64, err error) {
	detail := map[string]any{"digest_of": names(e.digested)}
	if e.number != nil {
		detail["number"] = e.number.Name
	}
	var how *string
	var lower, upper *string
	lowerAt, upperAt := e.bounded[0], e.bounded[1]
	if e.bounds != nil {
		a, b := e.key.Text(e.bounds.Lower), e.key.Text(e.bounds.Upper)
		lower, upper = &a, &b
	}
	if e.back {
		restored := "restored"
		how = &restored
		detail["hold"], detail["taken_back"] = true, true
	}
	text, err := json.Marshal(detail)
	if err != nil {
		return 0, err
	}
	err = tx.QueryRow(ctx, `
		INSERT INTO pgtender.archived_partition (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name,
			kind, lower_bound, upper_bound, lower_at, upper_at, rows, rows_exact, run_id, gone_at, gone_how, detail)
		VALUES ($1, $2, $3, $4, $5, $6, 'rows', $7, $8, $9::text::timestamptz, $10::text::timestamptz, 0, true, $11, CASE WHEN $12::text IS NOT NULL THEN clock_timestamp() END, $12, $13)
		RETURNING id`, e.live.Schema, e.live.Name, e.archive.Schema, e.archive.Name, e.place.Schema, e.place.Name,
		lower, upper, lowerAt, upperAt, e.run, how, text).Scan(&id)
	return id, err
}

// resume looks for the row that an earlier run keeps for the same partition.
func (e *entry) resume(ctx context.Context, q pg.Querier) error {
	err := q.QueryRow(ctx, `
		SELECT coalesce(max(id), 0) FROM pgtender.archived_partition
		WHERE kind = 'rows' AND gone_at IS NULL AND (live_schema, live_table, archive_schema, archive_table, partition_schema, partition_name) = ($1, $2, $3, $4, $5, $6)
		  AND detail->'digest_of' = $7::jsonb`,
		e.live.Schema, e.live.Name, e.archive.Schema, e.archive.Name, e.place.Schema, e.place.Name, mustJSON(names(e.digested))).Scan(&e.id)
	if err != nil {
		return fmt.Errorf("look for the manifest of %s: %w", e.place, err)
	}
	return nil
}

func mustJSON(list []string) string {
	text, err := json.Marshal(list)
	if err != nil { // no list of strings does that
		return "[]"
	}
	return string(text)
}

// measure writes the size that the rows have where they are now.
func (e entry) measure(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, bytes int64) error {
	var done bool
	return db.QueryRow(ctx, "UPDATE pgtender.archived_partition SET bytes = $2 WHERE id = $1 RETURNING true", e.id, bytes).Scan(&done)
}
