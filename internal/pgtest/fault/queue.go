package fault

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Queue fills the lock queue of a table, as a report that takes long and somebody's ALTER TABLE behind it do: one session
// holds the table in ACCESS SHARE MODE, and another waits for ACCESS EXCLUSIVE. It returns when both do, or when the first does not get its
// lock within a moment. release ends both. The table's name is SQL.
func Queue(t testing.TB, url, table string) (release func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	var open []*pgx.Conn
	release = func() {
		cancel()
		for _, conn := range open {
			conn.Close(context.Background())
		}
	}
	session := func() *pgx.Conn {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Errorf("fault: fill a lock queue: %v", err)
			return nil
		}
		open = append(open, conn)
		return conn
	}
	holder, waiter := session(), session()
	if holder == nil || waiter == nil {
		return release
	}
	if _, err := holder.Exec(ctx, "SET lock_timeout = 50; BEGIN; LOCK TABLE "+table+" IN ACCESS SHARE MODE"); err != nil {
		return release // whoever holds it is in nobody's way any more
	}
	waits := make(chan struct{})
	go func() {
		defer close(waits)
		_, _ = waiter.Exec(ctx, "BEGIN; LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE") // it is cancelled, or closed
	}()
	end := release
	release = func() {
		cancel()
		<-waits
		end()
	}
	for range 200 {
		var waiting bool
		err := holder.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks WHERE pid = $1 AND NOT granted)", waiter.PgConn().PID()).Scan(&waiting)
		if err != nil || waiting {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	return release
}
