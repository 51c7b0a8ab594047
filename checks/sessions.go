package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// offender is the session that a check of sessions found to be the worst, of how many.
type offender struct {
	sees    bool // whether this role sees other sessions at all
	user    string
	count   int
	age     time.Duration
	pid     int
	role    string
	program string
	doing   string
}

// worstSession reads the session that matches a condition and has the greatest age, which is an SQL expression of seconds.
func worstSession(ctx context.Context, tx pgx.Tx, age, where string, l limits) (offender, error) {
	var o offender
	var secs float64
	err := tx.QueryRow(ctx, `
		WITH found AS MATERIALIZED (
		  SELECT pid, coalesce(usename, '') AS role, coalesce(application_name, '') AS program, coalesce(state, '') AS doing,
		         extract(epoch FROM `+age+`)::float8 AS age
		    FROM pg_stat_activity
		   WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND `+where+`
		)
		SELECT pg_has_role('pg_read_all_stats', 'USAGE'), current_user, (SELECT count(*) FROM found WHERE age >= $1),
		       coalesce(w.age, 0), coalesce(w.pid, 0), coalesce(w.role, ''), coalesce(w.program, ''), coalesce(w.doing, '')
		  FROM (VALUES (1)) AS one (row)
		  LEFT JOIN (SELECT * FROM found ORDER BY age DESC NULLS LAST, pid LIMIT 1) AS w ON true`, leastOf(l)).
		Scan(&o.sees, &o.user, &o.count, &secs, &o.pid, &o.role, &o.program, &o.doing)
	o.age = max(seconds(secs), 0)
	return o, err
}

// who names the session without its query, which may hold what is not for a status page.
func (o offender) who() string {
	s := fmt.Sprintf("pid %d (%s", o.pid, o.role)
	if o.program != "" {
		s += ", " + o.program
	}
	return s + ")"
}

// leastOf is the threshold that is reached first.
func leastOf(l limits) float64 {
	if l.Warning == 0 {
		return l.Critical
	}
	return l.Warning
}

// sight tells whether this role sees what pg_monitor shows.
func sight(ctx context.Context, tx pgx.Tx) (sees bool, user string, err error) {
	err = tx.QueryRow(ctx, "SELECT pg_has_role('pg_read_all_stats', 'USAGE'), current_user").Scan(&sees, &user)
	return sees, user, err
}

// blind is the finding of a role that does not see what the check is about.
func blind(user string) Finding {
	return Finding{Status: Unknown, Message: fmt.Sprintf("role %q may not see other sessions", user),
		Remedy: "GRANT pg_monitor TO " + pg.Ident(user) + ";"}
}

func cancel(pid int) string {
	return fmt.Sprintf("SELECT pg_terminate_backend(%d);  -- after asking whose it is", pid)
}
