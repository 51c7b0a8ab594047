package checks

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pgtender/pgtender/internal/config"
)

// ownRows bounds the objects of one own check.
const ownRows = 100

// own is a check of the file: one number, or (object, number) rows, held against its thresholds: it gets worse as its number grows. It runs with the search_path that the
// role or the database has, read-only like all checks. A NULL is Unknown, not fine.
func own(c config.SQLCheck) Check {
	return Check{Name: c.Name, Group: "own", Every: time.Minute, Deadline: 10 * time.Second,
		Run: func(ctx context.Context, tx pgx.Tx) ([]Finding, error) {
			if _, err := tx.Exec(ctx, "SET LOCAL search_path TO DEFAULT"); err != nil {
				return nil, err
			}
			rows, err := tx.Query(ctx, c.SQL)
			if err != nil {
				return nil, err
			}
			defer rows.Close()
			var out []Finding
			for rows.Next() {
				if len(out) == ownRows {
					return nil, fmt.Errorf("it yields more than %d rows, each of which would be a series: say LIMIT or GROUP BY", ownRows)
				}
				f, err := ownRow(c, rows)
				if err != nil {
					return nil, err
				}
				out = append(out, f)
			}
			if err := rows.Err(); err != nil {
				return nil, err
			}
			if tx.Conn().PgConn().TxStatus() != 'T' {
				return nil, fmt.Errorf("it ended the check's transaction: it must be one SELECT")
			}
			return out, ownShape(out, len(rows.FieldDescriptions()))
		}}
}

// ownShape refuses answers that cannot be told apart.
func ownShape(out []Finding, columns int) error {
	switch {
	case columns == 1 && len(out) == 0:
		return fmt.Errorf("it yields no row: a check of one number yields one row")
	case columns == 1 && len(out) > 1:
		return fmt.Errorf("it yields %d rows of one number: say which object each is of, as (object, number)", len(out))
	}
	seen := map[string]bool{}
	for _, f := range out {
		if seen[f.Object] {
			return fmt.Errorf("it yields two rows for object %q", f.Object)
		}
		seen[f.Object] = true
	}
	return nil
}

func ownRow(c config.SQLCheck, rows pgx.Rows) (Finding, error) {
	values, err := rows.Values()
	if err != nil {
		return Finding{}, err
	}
	var f Finding
	switch len(values) {
	case 1:
	case 2:
		f.Object = "NULL"
		if values[0] != nil {
			f.Object = fmt.Sprint(values[0])
		}
	default:
		return f, fmt.Errorf("it yields %d columns: it must be one number, or an object and a number", len(values))
	}
	field := rows.FieldDescriptions()[len(values)-1]
	value, known, err := asNumber(values[len(values)-1])
	if err != nil {
		return f, fmt.Errorf("column %s: %w", field.Name, err)
	}
	if !known || math.IsNaN(value) {
		f.Status, f.Message = Unknown, "it yields no number here (NULL or NaN): say coalesce(…) where none is fine"
		return f, nil
	}
	f.Value = value
	f.Status, f.Message = ownStatus(c, value)
	return f, nil
}

func ownStatus(c config.SQLCheck, value float64) (Status, string) {
	beyond := func(limit *float64) bool { return limit != nil && value >= *limit }
	n := strconv.FormatFloat(value, 'g', -1, 64)
	switch {
	case beyond(c.Critical):
		return Critical, fmt.Sprintf("%s is at or above critical = %g", n, *c.Critical)
	case beyond(c.Warning):
		return Warning, fmt.Sprintf("%s is at or above warning = %g", n, *c.Warning)
	}
	return OK, n
}

// asNumber reads whatever number type the query yields; known is false for NULL.
func asNumber(v any) (value float64, known bool, err error) {
	switch n := v.(type) {
	case nil:
		return 0, false, nil
	case int16:
		return float64(n), true, nil
	case int32:
		return float64(n), true, nil
	case int64:
		return float64(n), true, nil
	case float32:
		return float64(n), true, nil
	case float64:
		return n, true, nil
	case bool:
		if n {
			return 1, true, nil
		}
		return 0, true, nil
	case pgtype.Numeric:
		f, err := n.Float64Value()
		return f.Float64, f.Valid, err
	case pgtype.Interval, time.Time:
		return 0, false, fmt.Errorf("a time is not a number: say extract(epoch FROM …)")
	}
	return 0, false, fmt.Errorf("%T is not a number", v)
}
