package checks

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// horizon is the database of the server whose transactions, or multixacts, are the oldest.
type horizon struct {
	database string
	age      float64
	here     bool // it is this one
	closed   bool // nobody can connect to it
}

// horizons are both, of one reading.
type horizons struct{ xid, multixact horizon }

// wraparoundBundle is the name under which the checks that share the horizons run in one transaction.
const wraparoundBundle = "wraparound"

func newHorizons() *shared[horizons] { return &shared[horizons]{read: readHorizons} }

func readHorizons(ctx context.Context, tx pgx.Tx) (h horizons, err error) {
	for _, each := range []struct {
		age string
		to  *horizon
	}{{"age(datfrozenxid)", &h.xid}, {"mxid_age(datminmxid)", &h.multixact}} {
		err = tx.QueryRow(ctx, "SELECT datname, "+each.age+"::float8, datname = current_database(), NOT datallowconn FROM pg_database ORDER BY 2 DESC, datname <> current_database(), 1 LIMIT 1").
			Scan(&each.to.database, &each.to.age, &each.to.here, &each.to.closed)
		if err != nil {
			return h, err
		}
	}
	return h, nil
}

// judgeHorizon words one of them. age is SQL for the age of a table c in pg_class.
func judgeHorizon(ctx context.Context, tx pgx.Tx, h horizon, l limits, age, what string) ([]Finding, error) {
	f := Finding{Value: h.age, Status: judge(h.age, l), Message: fmt.Sprintf("the oldest is %s %s old, in database %s", thousands(h.age), what, h.database)}
	switch {
	case f.Status == OK:
		return []Finding{f}, nil
	case !h.here && h.closed:
		f.Remedy = "autovacuum must do it, as nobody can connect to " + h.database + ": look at xmin_horizon and at what autovacuum is doing"
		return []Finding{f}, nil
	case !h.here:
		f.Remedy = "VACUUM (FREEZE);  -- in database " + pg.Ident(h.database)
		return []Finding{f}, nil
	}
	var schema, table string
	var oldest float64
	err := tx.QueryRow(ctx, `
		SELECT n.nspname, o.relname, `+age+`::float8
		  FROM pg_class c
		  LEFT JOIN pg_class main ON c.relkind = 't' AND main.reltoastrelid = c.oid
		  JOIN pg_class o ON o.oid = coalesce(main.oid, c.oid)
		  JOIN pg_namespace n ON n.oid = o.relnamespace
		 WHERE c.relkind IN ('r', 'm', 't') AND c.relfrozenxid <> '0'
		 ORDER BY 3 DESC, 1, 2 LIMIT 1`).Scan(&schema, &table, &oldest)
	if errors.Is(err, pgx.ErrNoRows) {
		return []Finding{f}, nil
	}
	f.Message += fmt.Sprintf(", there in %s.%s", schema, table)
	f.Remedy = fmt.Sprintf("VACUUM (FREEZE, VERBOSE) %s;  -- and see that xmin_horizon lets it", pg.Ident(schema, table))
	return []Finding{f}, err
}
