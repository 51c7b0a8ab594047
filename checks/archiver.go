package checks

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// archiver is what the server's archiving of WAL is at.
type archiver struct {
	mode     string
	idle     bool // this server archives nothing: it is off, or a standby that leaves it to its primary
	blindTo  string
	waiting  int64 // finished files
	oldest   time.Duration
	failing  bool
	lastFile string // that failed
}

// archiverBundle is the name under which the checks that share readArchiver run in one transaction.
const archiverBundle = "archiver"

func newArchiver() *shared[archiver] { return &shared[archiver]{read: readArchiver} }

func readArchiver(ctx context.Context, tx pgx.Tx) (a archiver, err error) {
	var may bool
	var user string
	err = tx.QueryRow(ctx, `
		SELECT current_setting('archive_mode'), current_setting('archive_mode') = 'off' OR pg_is_in_recovery() AND current_setting('archive_mode') <> 'always',
		       has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE'), current_user,
		       coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false), coalesce(last_failed_wal, '')
		  FROM pg_stat_archiver`).Scan(&a.mode, &a.idle, &may, &user, &a.failing, &a.lastFile)
	if err != nil || a.idle {
		return a, err
	}
	if !may {
		a.blindTo = user
		return a, nil
	}
	var oldest float64
	err = tx.QueryRow(ctx, `
		SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(modification)), 0)::float8
		  FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'`).Scan(&a.waiting, &oldest)
	a.oldest = max(seconds(oldest), 0)
	return a, err
}

// nothing is the finding when there is nothing to judge.
func (a archiver) nothing() ([]Finding, bool) {
	switch {
	case a.mode == "off":
		return []Finding{{Message: "archive_mode is off"}}, true
	case a.idle:
		return []Finding{{Message: "this standby leaves archiving to its primary"}}, true
	case a.blindTo != "":
		return []Finding{{Status: Unknown, Message: fmt.Sprintf("role %q may not see what waits to be archived", a.blindTo),
			Remedy: "GRANT pg_monitor TO " + pg.Ident(a.blindTo) + ";"}}, true
	}
	return nil, false
}

// state says in words what waits.
func (a archiver) state() string {
	s := "no WAL file waits to be archived"
	if a.waiting > 0 {
		s = fmt.Sprintf("%s to be archived, the oldest for %s", map[bool]string{true: "1 WAL file waits", false: fmt.Sprintf("%d WAL files wait", a.waiting)}[a.waiting == 1], span(a.oldest))
	}
	if a.failing {
		s += "; the last try, of " + a.lastFile + ", failed"
	}
	return s
}

const archiverRemedy = "see in the server's log why archive_command, or archive_library, fails; SELECT * FROM pg_stat_archiver;"
