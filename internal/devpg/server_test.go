package devpg

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgtender/pgtender/internal/pg"
)

func TestSecondStartFindsDataAndPort(t *testing.T) {
	t.Parallel()
	dir := openFolder(t, "dev")
	first := start(t, Options{Dir: dir})
	if ask[string](t, first.URL("postgres"), "SHOW fsync") != "on" {
		t.Error("a server whose data are kept runs without fsync")
	}
	execute(t, first.URL("postgres"), "CREATE TABLE kept AS SELECT 42 AS a")
	stop(t, first)
	waitGone(t, first.PID, first.Data)
	if exists(first.Sockets) {
		t.Errorf("%s is left", first.Sockets)
	}

	second := start(t, Options{Dir: dir})
	if second.Port != first.Port {
		t.Errorf("the port changed from %d to %d", first.Port, second.Port)
	}
	if got := ask[int](t, second.URL("postgres"), "SELECT a FROM kept"); got != 42 {
		t.Errorf("kept %d, want 42", got)
	}
	if got := ask[int](t, second.SocketURL("postgres"), "SELECT a FROM kept"); got != 42 {
		t.Errorf("over the socket: %d, want 42", got)
	}
}

func TestServerRunsAsOrdinaryUser(t *testing.T) {
	t.Parallel()
	server := start(t, Options{Dir: openFolder(t, "dev")})
	info, err := os.Stat(server.Data)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if owner == 0 {
		t.Error("the data belong to root")
	}
	if proc, err := os.Stat(fmt.Sprintf("/proc/%d", server.PID)); err == nil {
		if got := proc.Sys().(*syscall.Stat_t).Uid; got != owner {
			t.Errorf("the server runs as user %d, its data belong to %d", got, owner)
		}
	}
	if os.Geteuid() != 0 && int(owner) != os.Geteuid() {
		t.Errorf("the data belong to user %d, not to us", owner)
	}
}

func TestFolderOutOfReach(t *testing.T) {
	t.Parallel()
	closed := openFolder(t, "closed")
	if err := os.Chmod(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir, outside := filepath.Join(closed, "checkout", ".pgtender"), openFolder(t, "outside")
	first := start(t, Options{Dir: dir, outside: outside})
	execute(t, first.URL("postgres"), "CREATE TABLE kept AS SELECT 42 AS a")
	stop(t, first)

	link := filepath.Join(dir, "data")
	target, err := os.Readlink(link)
	if root := os.Geteuid() == 0; root != (err == nil) {
		t.Fatalf("as root (%v) the data lie elsewhere, else in the folder: %v", root, err)
	}
	if err == nil && !strings.HasPrefix(target, outside) {
		t.Errorf("the data lie in %s", target)
	}
	second := start(t, Options{Dir: dir, outside: outside})
	if got := ask[int](t, second.URL("postgres"), "SELECT a FROM kept"); got != 42 {
		t.Errorf("kept %d, want 42", got)
	}
	stop(t, second)

	// The link is gone, the data are not.
	if err := os.RemoveAll(filepath.Join(dir, "data.lock")); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
	third := start(t, Options{Dir: dir, outside: outside})
	if got := ask[int](t, third.URL("postgres"), "SELECT a FROM kept"); got != 42 {
		t.Errorf("kept %d, want 42", got)
	}
}

func TestFolderClosedAfterwards(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		// Nobody but root starts servers as another user: then there is nothing to move.
		t.Log("as an ordinary user, the data stay where they are")
	}
	dir, outside := openFolder(t, "dev"), openFolder(t, "outside")
	first := start(t, Options{Dir: dir, outside: outside})
	execute(t, first.URL("postgres"), "CREATE TABLE kept AS SELECT 42 AS a")
	stop(t, first)
	if err := os.Chmod(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	second := start(t, Options{Dir: dir, outside: outside})
	if got := ask[int](t, second.URL("postgres"), "SELECT a FROM kept"); got != 42 {
		t.Errorf("kept %d, want 42", got)
	}
	if moved := second.Data != first.Data; moved != (os.Geteuid() == 0) {
		t.Errorf("the data are in %s", second.Data)
	}
}

func TestServerIsShared(t *testing.T) {
	t.Parallel()
	dir := openFolder(t, "dev")
	first, second := start(t, Options{Dir: dir}), start(t, Options{Dir: dir})
	if first.Address != second.Address || first.Data != second.Data {
		t.Fatalf("two servers: %+v, %+v", first, second)
	}
	if err := second.Down(t.Context(), Fast); err == nil {
		t.Error("one who joined could stop the server under the other")
	}
	stop(t, first)
	if got := ask[int](t, second.URL("postgres"), "SELECT 1"); got != 1 {
		t.Error("the server stopped under its second user")
	}
	stop(t, second)
	waitGone(t, second.PID, second.Data)
}

func TestPrivateRefusesToJoin(t *testing.T) {
	t.Parallel()
	dir := openFolder(t, "dev")
	first := start(t, Options{Dir: dir})
	_, err := Start(t.Context(), Options{Programs: programs(t), Dir: dir, Private: true})
	mustContain(t, err, dir, "already")
	execute(t, first.URL("postgres"), "CREATE TABLE kept AS SELECT 42 AS a")
	stop(t, first)
	for range 2 {
		private := start(t, Options{Dir: dir, Private: true})
		if got := ask[int](t, private.URL("postgres"), "SELECT a FROM kept"); got != 42 {
			t.Errorf("kept %d, want 42", got)
		}
		stop(t, private)
	}
}

func TestEphemeralRefusesOthersData(t *testing.T) {
	t.Parallel()
	dir := openFolder(t, "dev")
	first := start(t, Options{Dir: dir})
	execute(t, first.URL("postgres"), "CREATE TABLE kept AS SELECT 42 AS a")
	stop(t, first)
	_, err := Start(t.Context(), Options{Programs: programs(t), Dir: dir, Ephemeral: true})
	mustContain(t, err, "data", "move them away")
	mustContain(t, Clear(t.Context(), dir), "data", "move them away")
	second := start(t, Options{Dir: dir})
	if got := ask[int](t, second.URL("postgres"), "SELECT a FROM kept"); got != 42 {
		t.Errorf("kept %d, want 42", got)
	}
}

func TestFixedPortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	dir := openFolder(t, "dev")
	_, err = Start(t.Context(), Options{Programs: programs(t), Dir: dir, Port: port})
	mustContain(t, err, fmt.Sprint("port ", port), "another program")
	waitFree(t, dir)

	l.Close()
	if server := start(t, Options{Dir: dir, Port: port}); server.Port != port {
		t.Errorf("listens on %d, not %d", server.Port, port)
	}
}

func TestRememberedPortInUse(t *testing.T) {
	t.Parallel()
	dir := openFolder(t, "dev")
	first := start(t, Options{Dir: dir})
	stop(t, first)
	l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", first.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if second := start(t, Options{Dir: dir}); second.Port == first.Port {
		t.Error("two programs on one port")
	}
}

func TestBadSettingThenGood(t *testing.T) {
	t.Parallel()
	dir := openFolder(t, "dev")
	_, err := Start(t.Context(), Options{Programs: programs(t), Dir: dir, Settings: map[string]string{"work_mem": "lots"}})
	mustContain(t, err, dir, "work_mem", "lots")
	waitFree(t, dir)
	server := start(t, Options{Dir: dir, Settings: map[string]string{"work_mem": "5MB", "cluster_name": `it's \ here`}})
	if got := ask[string](t, server.URL("postgres"), "SELECT current_setting('work_mem') || current_setting('cluster_name')"); got != `5MBit's \ here` {
		t.Errorf("settings are %s", got)
	}
	// What the command line sets, ALTER SYSTEM cannot change; ours can be changed.
	execute(t, server.URL("postgres"), "ALTER SYSTEM SET work_mem = '7MB'")
	if err := server.Restart(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := ask[string](t, server.URL("postgres"), "SHOW work_mem"); got != "7MB" {
		t.Errorf("work_mem is %s after ALTER SYSTEM", got)
	}
}

func TestPassword(t *testing.T) {
	t.Parallel()
	server := start(t, Options{Dir: openFolder(t, "ephemeral"), Ephemeral: true, Password: `pa'ss\word/@:`})
	if got := ask[int](t, server.URL("postgres"), "SELECT 1"); got != 1 {
		t.Error("the right password does not work")
	}
	cfg, err := pgconn.ParseConfig(server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"", "wrong"} {
		url := fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/postgres?sslmode=disable", wrong, cfg.Port)
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			conn.Close(context.WithoutCancel(t.Context()))
		}
		if wrong != "" && !pg.Is(err, pg.InvalidPassword) || err == nil {
			t.Errorf("password %q: %v", wrong, err)
		}
	}
}

func TestDownAndUp(t *testing.T) {
	t.Parallel()
	server := start(t, Options{Dir: openFolder(t, "ephemeral"), Ephemeral: true})
	url := server.URL("postgres")
	execute(t, url, "CREATE TABLE mark (how text)")
	for _, how := range []Shutdown{Fast, Immediate, Killed} {
		execute(t, url, fmt.Sprintf("INSERT INTO mark VALUES ('%d')", how))
		before := server.PID
		if err := server.Down(t.Context(), how); err != nil {
			t.Fatal(err)
		}
		if alive(before) {
			t.Errorf("process %d is there after signal %d", before, how)
		}
		if conn, err := pgx.Connect(t.Context(), url); err == nil {
			conn.Close(context.WithoutCancel(t.Context()))
			t.Errorf("something answers after signal %d", how)
		}
		if err := server.Up(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	mustContain(t, server.Up(t.Context(), nil), "runs already")
	if got := ask[int](t, url, "SELECT count(*) FROM mark"); got != 3 {
		t.Errorf("%d rows survived, want 3", got)
	}
}

func TestEphemeralServerLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, private := range []bool{false, true} {
		dir, outside := openFolder(t, "ephemeral"), openFolder(t, "outside")
		if private { // out of reach, too
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		server := start(t, Options{Dir: dir, Ephemeral: true, Private: private, outside: outside})
		stop(t, server)
		waitGone(t, server.PID, server.Data)
		if exists(server.Data) || exists(server.Sockets) || private && exists(dir) {
			t.Errorf("private %v: something is left of %+v", private, server)
		}
		if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
			t.Errorf("private %v: %v is left (%v)", private, left, err)
		}
	}
}
