package refresh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// Error is a refresh that did not happen, in words for the person who must mend it. Nothing was changed.
type Error struct {
	View    config.Table
	Problem string // what is the case
	Advice  string // what to do: SQL, a command, or a sentence
	Err     error  // the server's, if it was asked
}

func (e *Error) Error() string {
	s := fmt.Sprintf("refresh %s: %s", e.View, e.Problem)
	if e.Advice != "" {
		s += "\n" + e.Advice
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// SQLSTATEs of a refresh that internal/pg has no name for. Source: PostgreSQL 18, appendix A.
const (
	cardinalityViolation = "21000"
	uniqueViolation      = "23505"
	diskFull             = "53100"
)

// advise turns any error of a run into an Error.
func (r *refresher) advise(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &Error{r.policy.View, "stopped before it was done; nothing was changed: " + context.Cause(ctx).Error(), "", err}
	}
	var busy *pg.BusyError
	if errors.As(err, &busy) {
		return &Error{r.policy.View, fmt.Sprintf("gave up after %d attempts, each of %s: others hold a lock; nothing was changed", busy.Attempts, r.patience.LockTimeout),
			r.holders(ctx), err}
	}
	var ours *Error
	if errors.As(err, &ours) {
		if ours.View == (config.Table{}) {
			ours.View = r.policy.View
		}
		return ours
	}
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return &Error{r.policy.View, err.Error(), "", err}
	}
	advice := r.advice(server)
	problem := fmt.Sprintf("%s (SQLSTATE %s)", server.Message, server.Code)
	if server.Detail != "" {
		problem += ": " + cut(server.Detail, 500)
	}
	return &Error{r.policy.View, problem, advice, err}
}

// advice says what to do about each SQLSTATE that a refresh is known to end with.
func (r *refresher) advice(e *pgconn.PgError) string {
	name := pg.Ident(r.policy.View.Schema, r.policy.View.Name)
	switch e.Code {
	case cardinalityViolation, uniqueViolation:
		return "the view's query yields this key more than once, which its unique index does not allow: mend the query (GROUP BY, DISTINCT ON) " +
			"or give the index the column that tells the rows apart. The view keeps its old rows."
	case pg.FeatureNotSupported:
		return "it lost its contents between the look and the refresh; the next run will fill it plainly."
	case pg.NotInPrerequisite:
		if strings.Contains(e.Message, "has not been populated") {
			return "it stands on a materialised view that is empty: refresh that one first, or give it a refresh block too."
		}
		return "it needs a unique index on plain columns, without WHERE: CREATE UNIQUE INDEX ON " + name + " (…);"
	case pg.InsufficientPrivilege:
		return "the query runs as the view's owner, who needs SELECT on what it reads, EXECUTE on its functions and USAGE on their schemas, besides TEMPORARY on the database; " +
			"the role of pgtender needs MAINTAIN on the view. See: pgtender grants"
	case pg.ReadOnlyTransaction:
		return "the session is read-only: connect to the primary, and look at default_transaction_read_only of the role and the database."
	case pg.QueryCanceled:
		return "somebody cancelled it, or a statement_timeout ended it; nothing is left behind, and the next run tries again."
	case pg.UndefinedTable, pg.UndefinedFunction, pg.UndefinedObject:
		return "a refresh runs with search_path = pg_catalog, pg_temp: write the schema before each name in the functions that the view calls, " +
			"or give them one: ALTER FUNCTION … SET search_path = …;"
	case diskFull:
		return "a concurrent refresh needs room for a temporary copy of the view and for sorting it twice: free some, or set temp_tablespaces."
	case pg.AdminShutdown:
		return "the server ended the session; nothing is left behind, and the next run tries again."
	}
	return ""
}

// holdersSQL lists the sessions whose locks a refresh of the view may be waiting for: any that shuts it out on the view,
// and ACCESS EXCLUSIVE on what the view reads.
const holdersSQL = `
WITH RECURSIVE reads (oid) AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
  UNION
  SELECT d.refobjid
    FROM reads s
    JOIN pg_rewrite r ON r.ev_class = s.oid
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
)
SELECT format('pid %s (%s%s) holds %s on %I.%I', l.pid, coalesce(a.usename, 'a role that we may not see'),
              coalesce(', ' || nullif(a.application_name, ''), ''), l.mode, n.nspname, c.relname)
  FROM pg_locks l
  JOIN pg_class c ON c.oid = l.relation
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN reads r ON r.oid = l.relation
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.granted AND l.locktype = 'relation' AND l.pid <> pg_backend_pid()
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND (l.mode = 'AccessExclusiveLock'
        OR c.relkind = 'm' AND c.relname = $2 AND n.nspname = $1 AND l.mode NOT IN ('AccessShareLock'))
 ORDER BY l.pid, 1
 LIMIT 5`

// holders names who stands in the way, for the person who reads the failure.
func (r *refresher) holders(ctx context.Context) string {
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	rows, err := r.pool.Query(ctx, holdersSQL, r.policy.View.Schema, r.policy.View.Name)
	if err != nil {
		return ""
	}
	defer rows.Close()
	var who []string
	for rows.Next() {
		var s string
		if rows.Scan(&s) == nil {
			who = append(who, s)
		}
	}
	if len(who) == 0 {
		return "nobody holds it now; the next run tries again."
	}
	return strings.Join(who, "\n")
}

// cut shortens s to at most n bytes, at a character's border.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
