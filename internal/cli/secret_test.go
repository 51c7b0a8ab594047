package cli_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/pgtest"
)

// A password, however it is given, right or wrong, is in nothing that the program prints, serves, stores or shows of itself to the machine.
func TestThePasswordIsNowhere(t *testing.T) {
	t.Parallel()
	const password, wrong = "Sesame/0pen@you", "Wr0ng:Sesame?x"
	server := pgtest.PrivateWithPassword(t, password)
	admin := pgtest.DatabaseOn(t, server)
	u := mustParse(t, admin)
	user := u.User.Username()
	bare := pgtest.As(t, admin, user, "")
	dir := folder(t, "atlas.hcl", "env \"local\" {\n  url     = getenv(\"DATABASE_URL\")\n  schemas = [\"public\"]\n  schema { src = [\"file://s.sql\"] }\n  daemon { listen = \"127.0.0.1:0\" }\n"+
		"  job \"tick\" {\n    schedule = \"@every 1s\"\n    sql      = \"INSERT INTO public.t VALUES (1)\"\n  }\n}\n", "s.sql", "CREATE TABLE t (a int);",
		"pgpass", "*:*:*:*:"+password+"\n", "services", "[kept]\nhost="+u.Hostname()+"\nport="+u.Port()+"\nuser="+user+"\ndbname="+strings.TrimPrefix(u.Path, "/")+"\npassword="+password+"\n")
	if err := os.Chmod(filepath.Join(dir, "pgpass"), 0o600); err != nil {
		t.Fatal(err)
	}
	clean := func(what, text string) {
		t.Helper()
		for _, secret := range []string{"Sesame", "0pen", "Wr0ng"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows %q:\n%s", what, secret, text)
			}
		}
	}
	p := start(t, dir, []string{"DATABASE_URL=" + pgtest.As(t, admin, user, password)}, "run")
	p.ready()
	p.logged("job done", "job", "tick", "outcome", "success")
	for _, path := range []string{"/status", "/status.json", "/metrics", "/readyz", "/livez"} {
		_, body := p.get(path)
		clean(path, body)
	}
	line, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/cmdline")
	if err == nil {
		clean("the process list", string(line))
	}
	p.terminate()
	clean("the log", p.stderr.String()+p.stdout.String())
	var ledger string
	session := pgtest.Session(t, admin)
	if err := session.QueryRow(t.Context(), "SELECT string_agg(r::text, ' ') || coalesce((SELECT string_agg(p::text, ' ') FROM pgtender.applied_plan p), '') FROM pgtender.run r").Scan(&ledger); err != nil {
		t.Fatal(err)
	}
	clean("the ledger", ledger)
	for name, env := range map[string][]string{
		"PGPASSWORD": {"DATABASE_URL=" + bare, "PGPASSWORD=" + password}, "a password file": {"DATABASE_URL=" + bare, "PGPASSFILE=" + filepath.Join(dir, "pgpass")},
		"a service":   {"DATABASE_URL=service=kept", "PGSERVICEFILE=" + filepath.Join(dir, "services")},
		"a wrong one": {"DATABASE_URL=" + pgtest.As(t, admin, user, wrong)}, "a wrong PGPASSWORD": {"DATABASE_URL=" + bare, "PGPASSWORD=" + wrong},
		"a raw one": {"DATABASE_URL=postgres://" + user + ":" + password + "@" + u.Host + u.Path}, "a wrong service": {"DATABASE_URL=service=none password=" + password, "PGSERVICEFILE=" + filepath.Join(dir, "services")},
	} {
		p := start(t, dir, env, "--log-level", "debug", "plan")
		code := p.wait(patience)
		if fine := !strings.Contains(name, "wrong") && name != "a raw one"; fine != (code == 0) {
			t.Errorf("%s: exit code %d\n%s", name, code, &p.stderr)
		}
		clean(name, p.stderr.String()+p.stdout.String())
	}
}
