package pgtest

import (
	"os"
	"testing"

	"github.com/pgtender/pgtender/internal/devpg"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestStandbyFollowsAndRefusesWrites(t *testing.T) {
	t.Parallel()
	primary := Private(t)
	Exec(t, primary.URL("postgres"), "CREATE TABLE mark AS SELECT 1 AS a")
	standby := Standby(t, primary)
	Exec(t, primary.URL("postgres"), "INSERT INTO mark VALUES (2)")
	Eventually(t, standby.URL("postgres"), "SELECT pg_is_in_recovery() AND to_regclass('mark') IS NOT NULL AND (SELECT count(*) = 2 FROM mark)")
}

func TestPrivateServerComesUpAgainOnTheSamePort(t *testing.T) {
	t.Parallel()
	for _, how := range []devpg.Shutdown{devpg.Fast, devpg.Immediate, devpg.Killed} {
		server := Private(t, "io_method=sync")
		url := server.URL("postgres")
		Exec(t, url, "CREATE TABLE mark AS SELECT 1 AS a")
		if err := server.Down(t.Context(), how); err != nil {
			t.Fatal(err)
		}
		if err := server.Up(t.Context(), map[string]string{"work_mem": "5MB"}); err != nil {
			t.Fatal(err)
		}
		if server.URL("postgres") != url {
			t.Errorf("the server moved from %s to %s", url, server.URL("postgres"))
		}
		Eventually(t, url, "SELECT count(*) = 1 AND current_setting('work_mem') = '5MB' AND current_setting('io_method') = 'sync' FROM mark")
	}
}
