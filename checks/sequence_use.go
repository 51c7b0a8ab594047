package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// A sequence ends where it says, or where the narrowest column that it fills does: those it belongs to, and those whose default calls it.
//
// What a sequence has given out is read under ROW EXCLUSIVE: one that somebody changes would have us wait.
const sequenceUseSQL = `
WITH held AS MATERIALIZED (
  SELECT relation FROM pg_locks
   WHERE locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
), filled AS MATERIALIZED (
  SELECT d.objid AS seq, d.refobjid AS rel, d.refobjsubid::int2 AS num
    FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
  UNION
  SELECT d.refobjid, f.adrelid, f.adnum
    FROM pg_depend d JOIN pg_attrdef f ON f.oid = d.objid
   WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
), narrowest AS MATERIALIZED ( -- joined by hash: a search of each sequence's columns would grow with the square of their number
  SELECT DISTINCT ON (f.seq) f.seq, f.rel, f.num
    FROM filled f JOIN pg_sequence s ON s.seqrelid = f.seq JOIN pg_attribute fa ON fa.attrelid = f.rel AND fa.attnum = f.num
   ORDER BY f.seq, fa.attlen, f.rel, f.num
)
SELECT n.nspname, c.relname, coalesce(tn.nspname, ''), coalesce(t.relname, ''), coalesce(a.attname, ''), coalesce(format_type(a.atttypid, NULL), ''), may, held, coalesce(CASE
         WHEN s.seqincrement > 0 THEN (pos.last::numeric - s.seqmin) / greatest(least(s.seqmax, lim.most)::numeric - s.seqmin, 1)
         ELSE (s.seqmax - pos.last::numeric) / greatest(s.seqmax - greatest(s.seqmin, -lim.most - 1)::numeric, 1) END, 0)::float8,
       s.seqmax > lim.most
  FROM pg_sequence s
  JOIN pg_class c ON c.oid = s.seqrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN narrowest fill ON fill.seq = c.oid
  LEFT JOIN pg_attribute a ON a.attrelid = fill.rel AND a.attnum = fill.num
  LEFT JOIN pg_class t ON t.oid = fill.rel
  LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
 CROSS JOIN LATERAL (SELECT CASE a.atttypid WHEN 'int2'::regtype THEN 32767 WHEN 'int4'::regtype THEN 2147483647 ELSE 9223372036854775807 END AS most) AS lim
 CROSS JOIN LATERAL (SELECT has_sequence_privilege(c.oid, 'SELECT, USAGE') AS may) AS p
 CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM held h WHERE h.relation = c.oid) AS held) AS h
 CROSS JOIN LATERAL (SELECT CASE WHEN may AND NOT held THEN pg_sequence_last_value(c.oid) END AS last) AS pos
 WHERE NOT s.seqcycle AND c.relpersistence <> 't' AND n.nspname = ANY ($1)
 ORDER BY 9 DESC, 1, 2`

// sequenceUse tells how much of each sequence, or of the integer column that it fills, is used up: at the end inserts fail. Source:
// pg_sequence and pg_sequence_last_value, for whoever may SELECT or use the sequence, and pg_depend. Unit: share of 1. Warning from 0.7,
// critical from 0.9. Remedy: a wider column, which writes the table anew: plan it in time.
func sequenceUse(env *config.Env, l limits) Check {
	return Check{Name: "sequence_use", Group: "schema", Unit: "ratio", Every: 5 * time.Minute, Deadline: 5 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			rows, err := tx.Query(ctx, sequenceUseSQL, env.Schemas)
			if err != nil {
				return nil, err
			}
			var out []Finding
			var closed, busy []string
			most, nearest := 0.0, ""
			var s filledSequence
			_, err = pgx.ForEachRow(rows, []any{&s.seq.Schema, &s.seq.Name, &s.table.Schema, &s.table.Name, &s.column, &s.kind, &s.may, &s.held, &s.use, &s.byColumn}, func() error {
				_, left := env.Excluded(s.seq)
				_, leftTable := env.Excluded(s.table)
				switch status := judge(s.use, l); {
				case left || leftTable:
				case !s.may:
					closed = append(closed, pg.Ident(s.seq.Schema, s.seq.Name))
				case s.held:
					busy = append(busy, s.seq.String())
				default:
					if s.use > most {
						most, nearest = s.use, s.seq.String()
					}
					if status != OK {
						out = append(out, s.finding(status))
					}
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			if len(out) == 0 {
				out = []Finding{{Value: most, Message: "no sequence is near its end"}}
				if nearest != "" {
					out[0].Message += fmt.Sprintf("; the nearest, %s, is used to %.0f %%", nearest, 100*most)
				}
			}
			out = capped(out)
			if len(busy) > 0 {
				out = append(out, Finding{Object: "locked", Status: Unknown, Message: fmt.Sprintf("%s not read, being locked by another session: %s",
					many(int64(len(busy)), "sequence"), firstOf(busy, 5))})
			}
			if len(closed) > 0 {
				return unreadSequences(ctx, tx, out, closed)
			}
			return out, nil
		}}
}

// filledSequence is a sequence with the narrowest column that it fills, if any.
type filledSequence struct {
	seq, table   config.Table
	column, kind string
	may          bool // the role may read it
	held         bool // by somebody who changes it
	use          float64
	byColumn     bool // the column ends before the sequence
}

func (s filledSequence) finding(status Status) Finding {
	f := Finding{Object: s.seq.String(), Status: status, Value: s.use, Message: fmt.Sprintf("%.1f %% of its numbers are used up; at the end inserts fail", 100*s.use)}
	switch {
	case s.column == "":
		f.Remedy = fmt.Sprintf("ALTER SEQUENCE %s AS bigint NO MAXVALUE;", quoted(s.seq))
	case s.kind == "bigint" && !s.byColumn:
		f.Message += fmt.Sprintf(" into %s.%s", s.table, s.column)
		f.Remedy = fmt.Sprintf("ALTER SEQUENCE %s NO MAXVALUE;", quoted(s.seq))
	default:
		f.Message += fmt.Sprintf(" into %s.%s, which is %s", s.table, s.column, s.kind)
		f.Remedy = fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s TYPE bigint; ALTER SEQUENCE %s AS bigint;  -- writes the table anew under a lock: for a large one fill a new column first; its references too",
			quoted(s.table), pg.Ident(s.column), quoted(s.seq))
	}
	return f
}

// unreadSequences adds what the role may not read.
func unreadSequences(ctx context.Context, tx pgx.Tx, out []Finding, closed []string) ([]Finding, error) {
	var user string
	if err := tx.QueryRow(ctx, "SELECT current_user").Scan(&user); err != nil {
		return nil, err
	}
	if out[0].Object == "" { // of what is not seen nothing can be said
		out = out[:0]
	}
	return append(out, Finding{Object: "", Status: Unknown, Message: fmt.Sprintf("role %q may not read %s: %s", user, many(int64(len(closed)), "sequence"), firstOf(closed, 5)),
		Remedy: "GRANT SELECT ON SEQUENCE " + firstOf(closed, len(closed)) + " TO " + pg.Ident(user) + ";"}), nil
}
