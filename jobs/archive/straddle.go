package archive

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/jobs"
)

// rowsRun is what moving rows needs of a run.
type rowsRun struct {
	run *jobs.Run
}

// straddling is the partition that the cut goes through, if there is one whose old rows can be moved.
func (p *pass) straddling() *parts.Child {
	for i, c := range p.live.Children {
		if c.Lower.Kind == parts.At && c.Upper.Kind == parts.At && c.Lower.Compare(p.edge) < 0 && c.Upper.Compare(p.edge) > 0 &&
			!c.Pending && c.Kind != 'f' && !p.held(c.Range) {
			return &p.live.Children[i]
		}
	}
	return nil
}

// landing is the partition of the archive with the same bounds as a live one; nil: there is none.
func (p *pass) landing(c parts.Child) *parts.Child {
	for i, a := range p.into.Children {
		if a.Range == c.Range && !a.Pending && a.Kind != 'f' {
			return &p.into.Children[i]
		}
	}
	return nil
}

// moveRows moves the old rows of one live partition into the archive's partition of the same bounds, which it makes first when
// there is none. When all rows of the partition were due and it is empty now for every reader, it goes.
func (j *Job) moveRows(ctx context.Context, r *rowsRun, p *pass, c parts.Child, whole bool) error {
	t := &transfer{claim: p.live.Table, from: c.Table, key: p.live.Key, due: p.due()}
	if some, err := j.someDue(ctx, t); err != nil || !some {
		if err == nil && whole && !r.run.DryRun && p.landing(c) != nil {
			return j.dropEmptied(ctx, r.run, p, c)
		}
		return err
	}
	a := p.landing(c)
	if a == nil {
		for _, other := range p.into.Children {
			if other.Overlaps(c.Range) {
				return overlap(p, c, other)
			}
		}
	}
	to := p.into.OID // a dry run looks at the parent instead
	t.to = p.into.Table
	if a == nil && !r.run.DryRun {
		if err := j.check(ctx, p, c, t, to); err != nil { // before anything is made
			return err
		}
		made, err := j.makeLanding(ctx, r.run, p, c)
		if err != nil {
			return fmt.Errorf("make a partition of %s for the rows of %s: %w", p.into.Table, c.Table, err)
		}
		a = made
	}
	if a != nil {
		to, t.to = a.OID, a.Table
	}
	if err := j.check(ctx, p, c, t, to); err != nil {
		return err
	}
	if r.run.DryRun {
		return j.foretell(ctx, r, p, t)
	}
	bounds := c.Range
	t.entry = j.newEntry(p, r.run.ID, t, &bounds)
	t.entry.bounded = [2]*string{instant(p, c.Lower, j), instant(p, c.Upper, j)}
	if err := t.entry.resume(ctx, j.Pool); err != nil {
		return err
	}
	s, err := j.sweepRows(ctx, r.run, t)
	p.sweeps = append(p.sweeps, s)
	if s.moved > 0 {
		bytes, serr := j.sizeOf(context.WithoutCancel(ctx), t.to)
		if serr == nil {
			serr = t.entry.measure(context.WithoutCancel(ctx), j.Pool, bytes)
		}
		err = errors.Join(err, serr)
	}
	if err == nil && whole && !s.late && s.passed == 0 && s.stays == (stays{}) {
		err = j.dropEmptied(ctx, r.run, p, c)
	}
	return err
}

func (j *Job) check(ctx context.Context, p *pass, c parts.Child, t *transfer, to uint32) error {
	return j.plan(ctx, t, p.policy, c.OID, to, p.live.OID)
}

// instant writes a bound as an instant, nil for an open end.
func instant(p *pass, b parts.Bound, j *Job) *string {
	if b.Kind != parts.At {
		return nil
	}
	text := parts.Key{Type: parts.TimestampTZ}.Text(parts.Bound{Kind: parts.At, Time: p.live.Key.Instant(b.Time, j.Location)})
	return &text
}

// someDue reports whether a partition has any row to be moved, so that nothing is made for nothing.
func (j *Job) someDue(ctx context.Context, t *transfer) (some bool, err error) {
	err = j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL row_security = off"); err != nil {
			return err
		}
		return tx.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM %s AS x WHERE %s)", ident(t.from), t.due)).Scan(&some)
	})
	if err != nil {
		return false, fmt.Errorf("look for old rows in %s: %w", t.from, err)
	}
	return some, nil
}

// overlap refuses a partition for whose bounds the archive has another one.
func overlap(p *pass, c, there parts.Child) error {
	return refusal(p.live.Table, fmt.Sprintf("partition %s: the archive already has %s for %s", c.Table, there.Table, p.into.Key.ForValues(there.Range)),
		fmt.Sprintf("Detach it from the archive, or move its rows by hand: ALTER TABLE %s DETACH PARTITION %s;", ident(p.into.Table), ident(there.Table)))
}

// makeLanding makes a partition of the archive with the bounds of a live one, and attaches it, in one transaction. ATTACH
// keeps nobody from reading or writing the archive.
func (j *Job) makeLanding(ctx context.Context, run *jobs.Run, p *pass, c parts.Child) (*parts.Child, error) {
	name, err := j.landingName(ctx, p, c)
	if err != nil {
		return nil, err
	}
	locks := []parts.Lock{{Table: p.into.Table, Mode: parts.ShareUpdateExclusive}}
	patience := parts.Telling(ctx, j.Pool, j.Patience, run.Say, locks)
	made := parts.Child{Table: name, Range: c.Range, Kind: 'r'}
	err = patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
		if err := parts.Claim(ctx, tx, p.live.Table); err != nil {
			return err
		}
		var owner string
		if err := tx.QueryRow(ctx, "SELECT CASE WHEN pg_get_userbyid(relowner) <> current_user THEN pg_get_userbyid(relowner) ELSE '' END FROM pg_class WHERE oid = $1", p.into.OID).Scan(&owner); err != nil {
			return err
		}
		make := []string{fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL, CONSTRAINT %s CHECK (%s))", ident(name), ident(p.into.Table), parts.BoundsCheck, p.live.Key.Check(c.Range))}
		if owner != "" {
			make = append(make, fmt.Sprintf("ALTER TABLE %s OWNER TO %s", ident(name), pg.Ident(owner)))
		}
		if _, err := tx.Exec(ctx, strings.Join(make, ";\n")); err != nil {
			return err
		}
		if err := parts.LockAll(ctx, tx, j.Patience, locks); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s %s", ident(p.into.Table), ident(name), p.live.Key.ForValues(c.Range))); err != nil {
			return err
		}
		return tx.QueryRow(ctx, "SELECT $1::regclass::oid", ident(name)).Scan(&made.OID)
	})
	if err != nil {
		return nil, parts.Busy(context.WithoutCancel(ctx), j.Pool, err, locks)
	}
	p.into.Children = append(p.into.Children, made)
	run.Say("made %s, a partition of %s %s, for the rows of %s", name, p.into.Table, p.live.Key.ForValues(c.Range), c.Table)
	return &made, nil
}

// landingName is the live partition's name with the archive's in place of the live table's.
func (j *Job) landingName(ctx context.Context, p *pass, c parts.Child) (config.Table, error) {
	suffix, ok := strings.CutPrefix(c.Table.Name, p.live.Table.Name)
	if !ok || suffix == "" {
		suffix = "_" + c.Table.Name
	}
	var tried []string
	for _, s := range []string{suffix, suffix + "_rows"} {
		name := config.Table{Schema: p.into.Table.Schema, Name: parts.Fit(p.into.Table.Name, s)}
		var taken bool
		err := j.Pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2)`, name.Schema, name.Name).Scan(&taken)
		if err != nil || !taken {
			return name, err
		}
		tried = append(tried, name.String())
	}
	return config.Table{}, refusal(p.live.Table, fmt.Sprintf("a partition of %s is wanted for the rows of %s, but %s are there and are none for its bounds", p.into.Table, c.Table, strings.Join(tried, " and ")),
		"Rename one of them; the next run then makes the partition.")
}

// dropEmptied takes a live partition away whose rows have all been moved. A reader whose snapshot is older than the moves still
// finds them in it, so it may go only once none is left for anybody: VACUUM then has cut its file to nothing, and that is
// what is looked at while everybody is kept out.
func (j *Job) dropEmptied(ctx context.Context, run *jobs.Run, p *pass, c parts.Child) error {
	err := j.Patience.Do(ctx, func() error {
		conn, err := j.Pool.Acquire(ctx)
		if err != nil {
			return err
		}
		defer conn.Release()
		_, err = conn.Exec(ctx, fmt.Sprintf("SET lock_timeout = %d", j.Patience.LockTimeout.Milliseconds()))
		if err == nil {
			_, err = conn.Exec(ctx, "VACUUM (TRUNCATE true, PARALLEL 0) "+ident(c.Table))
		}
		if _, rerr := conn.Exec(context.WithoutCancel(ctx), "SET lock_timeout = 0"); rerr != nil {
			conn.Conn().Close(context.WithoutCancel(ctx)) // else the next user would inherit it
		}
		return err
	})
	var busy *pg.BusyError
	if errors.As(err, &busy) {
		run.Say("%s is empty and stays until a later run: it cannot be vacuumed now, %v", c.Table, busy.Err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("vacuum the emptied partition %s: %w", c.Table, err)
	}
	m, err := j.inspectOne(ctx, p, c)
	if err != nil {
		return err
	}
	locks := m.locks(p, false)
	patience := parts.Telling(ctx, j.Pool, j.Patience, run.Say, locks)
	gone, attempt := false, 0
	err = patience.InTx(ctx, j.Pool, func(tx pgx.Tx) error {
		attempt++
		gone, err = j.dropEmptiedIn(ctx, tx, p, c, m.locks(p, attempt%2 == 0))
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("drop the emptied partition %s: %w", c.Table, parts.Busy(context.WithoutCancel(ctx), j.Pool, err, locks))
	case !gone:
		run.Say("all rows of %s are in the archive; it stays until no reader with an older view of the data needs it", c.Table)
	default:
		p.dropped = append(p.dropped, c.Table.String())
		run.Say("dropped %s: all its rows are in the archive, and nobody sees one in it any more", c.Table)
	}
	return nil
}

func (j *Job) dropEmptiedIn(ctx context.Context, tx pgx.Tx, p *pass, c parts.Child, locks []parts.Lock) (bool, error) {
	if err := parts.Claim(ctx, tx, p.live.Table); err != nil {
		return false, err
	}
	if err := parts.LockAll(ctx, tx, j.Patience, locks); err != nil {
		return false, err
	}
	var empty bool
	err := tx.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM pg_partition_tree($1) WHERE isleaf AND pg_relation_size(relid) > 0)
		AND EXISTS (SELECT FROM pg_inherits WHERE inhrelid = $1 AND inhparent = $2)`, c.OID, p.live.OID).Scan(&empty)
	if err != nil || !empty {
		return false, err
	}
	_, err = tx.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s; DROP TABLE %s", ident(p.live.Table), ident(c.Table), ident(c.Table)))
	if err != nil {
		return false, err
	}
	_, err = tx.Exec(ctx, `UPDATE pgtender.archived_partition SET detail = detail || jsonb_build_object('emptied', $5::text, 'emptied_at', clock_timestamp())
		WHERE kind = 'rows' AND gone_at IS NULL AND (live_schema, live_table, lower_bound, upper_bound) = ($1, $2, $3, $4)`,
		p.live.Table.Schema, p.live.Table.Name, p.live.Key.Text(c.Lower), p.live.Key.Text(c.Upper), c.Table.String())
	return err == nil, err
}

// foretell says what a transfer would move.
func (j *Job) foretell(ctx context.Context, r *rowsRun, p *pass, t *transfer) error {
	if some, err := j.someDue(ctx, t); err != nil || !some {
		return err
	}
	where := []string{t.due}
	if t.wait {
		where = append(where, t.free()...)
	}
	var plan []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	sql := fmt.Sprintf("EXPLAIN (FORMAT json) SELECT FROM %s WHERE %s", t.source(), strings.Join(where, " AND "))
	if err := j.Pool.QueryRow(ctx, sql).Scan(&plan); err != nil {
		return fmt.Errorf("estimate the rows of %s that are due: %w", t.from, err)
	}
	n := int64(0)
	if len(plan) > 0 {
		n = int64(plan[0].Plan.Rows)
	}
	how := "by the index on " + t.key.Column
	if !t.indexed {
		how = "by the primary key, reading the whole table, since no index begins with " + t.key.Column
	}
	run := r.run
	run.Say("-- move the rows of %s that are older than %s, about %d, into %s, in batches %s", t.from, p.live.Key.Text(p.edge), n, t.to, how)
	if t.wait {
		run.Say("-- rows stay while one points to them from: %s", joined(t.facts.Pointing))
	}
	p.foretold = append(p.foretold, foretold{t.from, n})
	return nil
}

type foretold struct {
	table config.Table
	rows  int64
}
