package checks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
)

// defaultPartitionRows counts the rows that no partition wanted: they keep a partition of their time from being attached. Source:
// the DEFAULT partition's live rows in the statistics, which follow within a second of the commit and need no lock; as a crash or a reset
// makes them 0, a 0 is believed only when a look finds no row; and the first and last row, where half a second is enough to find them. Unit: rows; 0 without a DEFAULT. Warning above 0. Remedy: the partition job moves those of
// the time that the policy keeps ahead; the others need a partition made by hand, or must go.
func defaultPartitionRows(r *readings, l limits) Check {
	return partitionCheck("default_partition_rows", "rows", r, func(ctx context.Context, tx pgx.Tx, all []kept) ([]Finding, error) {
		rows, err := defaultRows(ctx, tx, all)
		if err == nil {
			err = vouch(ctx, tx, all, rows)
		}
		if err != nil {
			return nil, err
		}
		out, err := each(func(k kept) Finding {
			f := Finding{Message: "it has no DEFAULT partition"}
			if k.Default != nil {
				f.Value = float64(rows[k.Default.OID].live)
				f.Message = fmt.Sprintf("its DEFAULT partition %s is empty", k.Default.Table)
				if why := rows[k.Default.OID].unknown; why != "" {
					return Finding{Status: Unknown, Remedy: rows[k.Default.OID].grant, Message: fmt.Sprintf("whether its DEFAULT partition %s holds rows is not known: the statistics say none, which a crash or a reset makes them say, and %s", k.Default.Table, why)}
				}
			}
			f.Samples = []Sample{{"pgtender_default_partition_rows", k.labels(), f.Value}}
			return f
		})(ctx, tx, all)
		for i := range out {
			if out[i].Value > 0 && out[i].Status != Unknown && err == nil {
				err = all[i].judgeDefault(ctx, tx, &out[i], rows[all[i].Default.OID], r.env.Daemon.Location)
				out[i].Status = judge(out[i].Value, l)
			}
			all[i].judgeLeft(&out[i])
		}
		return out, err
	})
}

// judgeDefault words what lies in a DEFAULT partition. As the ranges that partitions hold are none of its, rows that the job would
// move are there only while a wanted partition is missing.
func (k kept) judgeDefault(ctx context.Context, tx pgx.Tx, f *Finding, facts defaultFacts, loc *time.Location) error {
	verb := "lie"
	if f.Value == 1 {
		verb = "lies"
	}
	f.Message = fmt.Sprintf("about %s %s in its DEFAULT partition %s, because no other wanted %s", many(int64(f.Value), "row"), verb, k.Default.Table,
		map[bool]string{true: "it", false: "them"}[f.Value == 1])
	job := jobCommand("partition", k.policy.Table.String())
	window := k.Window(k.policy.Interval, k.policy.Ahead, loc)
	first, last, looked, err := k.ends(ctx, tx)
	if err != nil {
		return err
	}
	if first != nil {
		f.Message += fmt.Sprintf("; the first of %s, the last of %s", first.Format(time.RFC3339), last.Format(time.RFC3339))
	}
	if len(k.Missing(k.policy.Interval, k.policy.Ahead, loc)) > 0 {
		f.Remedy = job + "  -- moves rows up to " + boundText(window.Upper) + "; others need a partition made by hand, or must go"
		return nil
	}
	f.Message += fmt.Sprintf(". They are of times other than what the policy keeps (%s to %s), so the partition job does not move them", boundText(window.Lower), boundText(window.Upper))
	all, err := parts.Obstacles(ctx, tx, k.Set)
	if err != nil {
		return err
	}
	var hinder, firsts []string
	for _, o := range all {
		if hinder = append(hinder, o.What); o.Never {
			firsts = append(firsts, o.First)
		}
	}
	if len(hinder) > 0 { // no statement of ours deletes what something hangs on
		f.Remedy = "their deletion would do more than delete them, so decide yourself: " + strings.Join(append(hinder, firsts...), "; ")
		return nil
	}
	switch key := pg.Ident(k.Key.Column); {
	case first != nil:
		f.Remedy = k.byHand(facts, *first, loc)
	case looked:
		f.Message += "; none of them has a finite time, so no other partition can hold them"
		f.Remedy = fmt.Sprintf("they hinder nothing; delete them, if they are mistakes: DELETE FROM %s WHERE NOT (%s);", quoted(k.Default.Table), k.finite())
	default:
		f.Remedy = fmt.Sprintf("see of what times they are: SELECT min(%s), max(%[1]s) FROM %s WHERE %s;  -- reads all of it; with an index on %[1]s, this check finds them by itself, and prints the statements that move or delete them",
			key, quoted(k.Default.Table), k.finite())
	}
	return nil
}

// finite is true of rows that have a time.
func (k kept) finite() string {
	key := pg.Ident(k.Key.Column)
	if k.Key.Type == parts.UUIDv7 {
		return key + " IS NOT NULL"
	}
	return key + " IS NOT NULL AND isfinite(" + key + ")"
}

// judgeLeft tells what a partition job has on the DEFAULT partition: while it runs, or left by one that was interrupted.
func (k kept) judgeLeft(f *Finding) {
	if k.Default == nil || len(k.Default.Proofs)+len(k.Default.Moves) == 0 {
		return
	}
	var what []string
	if len(k.Default.Proofs) > 0 {
		what = append(what, "CHECKs that refuse rows of new partitions: "+strings.Join(k.Default.Proofs, ", "))
	}
	if len(k.Default.Moves) > 0 {
		what = append(what, "triggers "+parts.MoveTrigger+" that note each change in pgtender."+strings.Join(k.Default.Moves, "_log, pgtender.")+"_log")
	}
	f.Status = max(f.Status, Warning)
	f.Message += fmt.Sprintf("; on %s stand %s. Unless a partition job is running now, an interrupted one left them", k.Default.Table, strings.Join(what, ", and "))
	if job := jobCommand("partition", k.policy.Table.String()); !strings.HasPrefix(f.Remedy, job) {
		f.Remedy = strings.TrimSuffix(job+"  -- takes them away; "+f.Remedy, "; ")
	}
}

// byHand makes a partition of the interval that the time lies in, and moves its rows there.
func (k kept) byHand(facts defaultFacts, t time.Time, loc *time.Location) string {
	edges := parts.Boundaries(k.policy.Interval, t, 1, k.Key.Zone(loc))
	r := parts.Range{Lower: k.Key.At(edges[0]), Upper: k.Key.At(edges[1])}
	name := "_from_" + edges[0].In(k.Key.Zone(loc)).Format("2006_01_02")
	bounds, check := k.Key.ForValues(r), k.Key.Check(r)
	made, table := pg.Ident(k.Table.Schema, parts.Fit(k.Table.Name, name)), quoted(k.Table)
	list := []string{
		"BEGIN", fmt.Sprintf("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", table),
		fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING IDENTITY)", made, table),
		fmt.Sprintf("WITH moved AS (DELETE FROM %s WHERE %s RETURNING %s) INSERT INTO %s (%s) SELECT %s FROM moved",
			quoted(k.Default.Table), check, facts.columns, made, facts.columns, facts.columns),
		fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s %s", table, made, bounds), "COMMIT",
	}
	return fmt.Sprintf("delete them, if they are mistakes: DELETE FROM %s WHERE %s;  -- or make their partition, while nobody else works on the table: %s;",
		quoted(k.Default.Table), check, strings.Join(list, "; "))
}

// ends are the times of the first and the last row of the DEFAULT partition that have one, nil when there are none. They are not looked for when
// that fails: the partition is locked, the role may not read it, half a second is not enough.
func (k kept) ends(ctx context.Context, tx pgx.Tx) (first, last *time.Time, looked bool, err error) {
	inner, err := tx.Begin(ctx) // so that what fails here costs no more than the times
	if err != nil {
		return nil, nil, false, err
	}
	key := pg.Ident(k.Key.Column)
	at := key + "::timestamptz"
	switch {
	case k.Key.Type == parts.UUIDv7:
		at = "uuid_extract_timestamp(" + key + ")"
	case k.Key.Naive():
		at = key + "::timestamp AT TIME ZONE 'UTC'"
	}
	end := func(order string) string {
		return fmt.Sprintf("(SELECT %s FROM %s WHERE %s ORDER BY %s %s LIMIT 1)", at, quoted(k.Default.Table), k.finite(), key, order)
	}
	_, err = inner.Exec(ctx, "SET LOCAL enable_seqscan = off; SET LOCAL row_security = off; SET LOCAL statement_timeout = 500")
	if err == nil {
		err = inner.QueryRow(ctx, "SELECT "+end("ASC")+", "+end("DESC")).Scan(&first, &last)
	}
	if rerr := inner.Rollback(ctx); rerr != nil {
		return nil, nil, false, rerr
	}
	var scan pgx.ScanArgError
	switch {
	case err != nil && (pg.Code(err) != "" || errors.As(err, &scan)):
		return nil, nil, false, nil
	case err != nil:
		return nil, nil, false, err
	case first == nil || last == nil:
		return nil, nil, true, nil
	}
	a, b := first.UTC(), last.UTC()
	return &a, &b, true, nil
}

// defaultFacts are what the catalog knows of a DEFAULT partition: its live rows, and the columns that are not generated, for SQL.
type defaultFacts struct {
	user     string
	live     int64
	estimate int64 // of the last VACUUM or ANALYZE; -1: none
	columns  string
	unknown  string // why live cannot be believed
	grant    string // what would let this role look
}

// vouch looks into the DEFAULT partitions whose statistics say that they are empty: all in one query, or one by one when that fails, so
// that a locked one hides none of the others.
func vouch(ctx context.Context, tx pgx.Tx, all []kept, rows map[uint32]defaultFacts) error {
	var doubtful []kept
	for _, k := range all {
		if k.Default != nil && rows[k.Default.OID].live == 0 {
			doubtful = append(doubtful, k)
		}
	}
	if found, err := holdRows(ctx, tx, doubtful); err == nil {
		note(rows, found)
		return nil
	}
	for _, k := range doubtful {
		found, err := holdRows(ctx, tx, []kept{k})
		if err != nil && pg.Code(err) == "" {
			return err
		}
		if err != nil {
			f := rows[k.Default.OID]
			f.unknown = pg.Explain(err).Error()
			if pg.Is(err, pg.InsufficientPrivilege) {
				f.grant = fmt.Sprintf("GRANT SELECT ON %s TO %s;", quoted(k.Default.Table), pg.Ident(f.user))
			}
			rows[k.Default.OID] = f
		}
		note(rows, found)
	}
	return nil
}

// note corrects the facts of what holds rows after all.
func note(rows map[uint32]defaultFacts, found []uint32) {
	for _, oid := range found {
		f := rows[oid]
		f.live = max(f.estimate, 1)
		rows[oid] = f
	}
}

// holdRows are those of the DEFAULT partitions in which there is a row.
func holdRows(ctx context.Context, tx pgx.Tx, doubtful []kept) ([]uint32, error) {
	if len(doubtful) == 0 {
		return nil, nil
	}
	var list []string
	for _, k := range doubtful {
		list = append(list, fmt.Sprintf("SELECT %d::oid WHERE EXISTS (SELECT FROM %s)", k.Default.OID, quoted(k.Default.Table)))
	}
	inner, err := tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = inner.Rollback(context.WithoutCancel(ctx)) }() // back to before, also for the settings
	if _, err := inner.Exec(ctx, "SET LOCAL row_security = off; SET LOCAL statement_timeout = 500"); err != nil {
		return nil, err
	}
	found, err := inner.Query(ctx, strings.Join(list, " UNION ALL "))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, pgx.RowTo[uint32])
}

// defaultRows reads the facts of the DEFAULT partitions, by oid.
func defaultRows(ctx context.Context, tx pgx.Tx, all []kept) (map[uint32]defaultFacts, error) {
	var oids []uint32
	for _, k := range all {
		if k.Default != nil {
			oids = append(oids, k.Default.OID)
		}
	}
	out := map[uint32]defaultFacts{}
	rows, err := tx.Query(ctx, `
		SELECT o, current_user, pg_stat_get_live_tuples(o), (SELECT reltuples::bigint FROM pg_class WHERE oid = o),
		       (SELECT coalesce(string_agg(quote_ident(attname), ', ' ORDER BY attnum), '') FROM pg_attribute
		         WHERE attrelid = o AND attnum > 0 AND NOT attisdropped AND attgenerated = '')
		  FROM unnest($1::oid[]) AS t(o)`, oids)
	if err != nil {
		return nil, err
	}
	var oid uint32
	var f defaultFacts
	_, err = pgx.ForEachRow(rows, []any{&oid, &f.user, &f.live, &f.estimate, &f.columns}, func() error {
		out[oid] = f
		return nil
	})
	return out, err
}
