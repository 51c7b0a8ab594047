package refresh

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/jobs"
)

// Each SQLSTATE that the server may answer a refresh with, also where a look beforehand would have said so: the state of things may
// change between the two.
func TestEverySQLSTATEHasAdvice(t *testing.T) {
	b := newBench(t, things, `CREATE TABLE public.base (a int, b int); CREATE MATERIALIZED VIEW public.twice AS SELECT * FROM public.base;
		CREATE UNIQUE INDEX ON public.twice (a); INSERT INTO public.base VALUES (1, 1), (1, 2);
		CREATE MATERIALIZED VIEW public.same AS SELECT b, b AS c FROM public.base; CREATE UNIQUE INDEX ON public.same (b); INSERT INTO public.base VALUES (2, 2);
		CREATE MATERIALIZED VIEW public.empty AS SELECT 1 AS id WITH NO DATA; CREATE UNIQUE INDEX ON public.empty (id);
		CREATE MATERIALIZED VIEW public.above AS SELECT id FROM public.empty WITH NO DATA;
		CREATE MATERIALIZED VIEW public.partial AS SELECT 1 AS id; CREATE UNIQUE INDEX ON public.partial (id) WHERE id > 0;
		CREATE MATERIALIZED VIEW public.expression AS SELECT 1 AS id; CREATE UNIQUE INDEX ON public.expression ((id + 1));
		CREATE MATERIALIZED VIEW public.invalid AS SELECT 1 AS id; CREATE UNIQUE INDEX invalid_key ON public.invalid (id);
		UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.invalid_key'::regclass;
		CREATE FUNCTION public.lost() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM base); END';
		CREATE MATERIALIZED VIEW public.lost AS SELECT public.lost() WITH NO DATA`)
	stranger := pgtest.Role(t, b.url)
	const concurrently, plainly = "REFRESH MATERIALIZED VIEW CONCURRENTLY public.", "REFRESH MATERIALIZED VIEW public."
	for _, c := range []struct{ view, sql, before, url, code, advice string }{
		{"mv", concurrently, "", "", pg.NotInPrerequisite, "CREATE UNIQUE INDEX ON"},
		{"partial", concurrently, "", "", pg.NotInPrerequisite, "without WHERE"},
		{"expression", concurrently, "", "", pg.NotInPrerequisite, "plain columns"},
		{"invalid", concurrently, "", "", pg.NotInPrerequisite, "needs a unique index"},
		{"empty", concurrently, "", "", pg.FeatureNotSupported, "the next run will fill it plainly"},
		{"above", plainly, "", "", pg.NotInPrerequisite, "refresh that one first"},
		{"twice", concurrently, "", "", uniqueViolation, "mend the query"},
		{"twice", plainly, "", "", uniqueViolation, "keeps its old rows"},
		{"same", concurrently, "", "", cardinalityViolation, "mend the query"},
		{"mv", plainly, "", stranger, pg.InsufficientPrivilege, "pgtender grants"},
		{"mv", plainly, "SET default_transaction_read_only = on", "", pg.ReadOnlyTransaction, "connect to the primary"},
		{"lost", plainly, "SET search_path = ''", "", pg.UndefinedTable, "write the schema before each name"},
	} {
		url := b.url
		if c.url != "" {
			url = c.url
		}
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), c.before); err != nil {
			t.Fatal(err)
		}
		if c.view == "same" {
			must(t, conn, "UPDATE public.base SET b = 7")
		}
		_, err = conn.Exec(t.Context(), c.sql+c.view)
		conn.Close(context.WithoutCancel(t.Context()))
		r := &refresher{policy: policy(c.view), pool: b.pool, patience: pg.Gentle}
		told := r.advise(t.Context(), err)
		var ours *Error
		if pg.Code(err) != c.code || !errors.As(told, &ours) || !strings.Contains(ours.Advice, c.advice) || !strings.Contains(ours.Problem, c.code) {
			t.Errorf("%s%s: %v\ntold as: %v\nwant %s and %q", c.sql, c.view, err, told, c.code, c.advice)
		}
		if (c.code == uniqueViolation || c.code == cardinalityViolation) && !strings.Contains(ours.Problem, "(1") && !strings.Contains(ours.Problem, "7") {
			t.Errorf("the key is not shown: %v", told)
		}
	}
}

func TestInvalidIndexIsNamedBeforehand(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX broken ON public.mv (id)", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.broken'::regclass")
	b.fails(b.pool, policy("mv"), "", "broken (it is invalid)", `("id");`)
}

// Dead rows: VACUUM when it pays, not again while nothing more can be removed.
func TestVacuumWhenItPays(t *testing.T) {
	b := newBench(t, "CREATE TABLE public.base (id int PRIMARY KEY, v int)", "INSERT INTO public.base SELECT i, 0 FROM generate_series(1, 12000) i",
		"CREATE MATERIALIZED VIEW public.mv WITH (autovacuum_enabled = false) AS SELECT * FROM public.base", "CREATE UNIQUE INDEX ON public.mv (id)", "VACUUM ANALYZE public.mv")
	b.exec("UPDATE public.base SET v = 1 WHERE id <= 5000")
	r := b.must(policy("mv"))
	if r.Detail["dead_rows"] != int64(5000) || r.Detail["vacuumed_rows"] != nil {
		t.Errorf("few dead rows: %v", r.Detail)
	}
	old := hold(t, b.url, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM public.mv")
	b.exec("UPDATE public.base SET v = 2")
	r = b.must(policy("mv"))
	left, _ := r.Detail["dead_rows_left"].(int64)
	if r.Detail["dead_rows"] != int64(17000) || left < 12000 || !strings.Contains(strings.Join(b.said, "\n"), "an open transaction may still see them") {
		t.Errorf("held back: %v, said %q", r.Detail, b.said)
	}
	b.exec("UPDATE public.base SET v = 3 WHERE id <= 500")
	if r = b.must(policy("mv")); r.Detail["vacuumed_rows"] != nil {
		t.Errorf("VACUUM ran again though little more was dead: %v", r.Detail)
	}
	if err := old.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.exec("UPDATE public.base SET v = 4")
	r = b.must(policy("mv"))
	if r.Detail["dead_rows_left"] != int64(0) || r.Detail["vacuumed_rows"] == nil || r.Detail["mostly_changed_runs"] != 1 {
		t.Errorf("free: %v", r.Detail)
	}
	for range 2 {
		b.exec("UPDATE public.base SET v = v + 1")
		r = b.must(policy("mv"))
	}
	if !strings.Contains(r.Summary, "a plain one (concurrently = false) would cost far less") {
		t.Errorf("most rows changed three times in a row: %s", r.Summary)
	}
	if b.one("SELECT current_setting('vacuum_cost_delay')") != "0" {
		t.Error("a setting was left behind")
	}
}

// A busy session is above doubt when it was seen in a pause after the server's timer.
func TestBusySessionsAreClearedInTime(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	w := &watch{known: []string{"1/0/idle/5", "2/0/3/9"}, now: func() time.Time { return now }, seen: map[string]time.Time{}}
	one := func(kind, state, mark string, idle float64) session {
		return session{Process: "7/0", Kind: kind, State: state, Mark: mark, Idle: idle}
	}
	for _, c := range []struct {
		after time.Duration
		s     session
		clear bool
	}{
		{0, one("client backend", "idle", "1/0/idle/5", 1), true},
		{0, one("client backend", "idle in transaction", "2/0/3/9", 1), true},
		{0, one("client backend", "active", "2/0/3/10", 100), false},
		{0, one("client backend", "disabled", "", 100), false},
		{0, one("client backend", "", "", 100), false},
		{0, one("", "", "", 100), false},
		{0, one("logical replication apply worker", "idle", "1/0/idle/5", 100), false},
		{0, one("pg_cron", "", "", 100), false},
		{0, one("client backend", "idle", "7/0/idle/1", 15.1), true},
		{0, one("client backend", "idle", "7/0/idle/1", 14.9), false},
		{10 * time.Second, one("client backend", "idle", "7/0/idle/2", 5), false},
		{6*time.Second + time.Millisecond, one("client backend", "active", "7/0/3/1", 5), false},
		{0, one("client backend", "idle", "7/0/idle/3", 0.5), false},
		{0, one("client backend", "idle", "7/0/idle/3", 1), true},
	} {
		now = now.Add(c.after)
		if got := len(w.doubtful([]session{c.s})) == 0; got != c.clear {
			t.Errorf("%+v: above doubt %v, want %v", c.s, got, c.clear)
		}
	}
	first, counted := one("client backend", "active", "8/0/3/1", 1), one("client backend", "idle", "8/0/idle/1", 0)
	first.First, counted.Counted = true, true
	if len(w.doubtful([]session{first, counted})) != 0 {
		t.Error("sessions of pgtender's own are in doubt")
	}
}

// A worker that is there refreshes, and is named.
func TestWorkersAreInDoubt(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, "wal_level=logical")
	b := benchOn(t, pgtest.DatabaseOn(t, server), things, "CREATE UNIQUE INDEX ON public.mv (id)")
	from := pgtest.DatabaseOn(t, server)
	pgtest.Exec(t, from, "CREATE TABLE public.things (id int PRIMARY KEY, v text)", "CREATE PUBLICATION p FOR TABLE public.things",
		"SELECT pg_create_logical_replication_slot('s', 'pgoutput')", "INSERT INTO public.things VALUES (5000, 'from afar')")
	b.must(auto("mv"))
	b.skipped(auto("mv"))
	b.exec("CREATE SUBSCRIPTION s CONNECTION " + pg.Literal(from) + " PUBLICATION p WITH (create_slot = false, copy_data = false)")
	pgtest.Eventually(t, b.url, "SELECT EXISTS (SELECT FROM public.things WHERE id = 5000)")
	r := b.refreshed(auto("mv"), "")
	if got := b.one("SELECT count(*)::text FROM public.mv WHERE id = 5000"); got != "1" {
		t.Errorf("the replicated row is missing: %s", r.Summary)
	}
	pgtest.Eventually(t, b.url, "SELECT pg_stat_get_tuples_inserted('public.things'::regclass) = (SELECT count(*) FROM public.things)") // the worker has counted it
	b.must(auto("mv"))
	b.refreshed(auto("mv"), "logical replication")
	b.exec("ALTER SUBSCRIPTION s DISABLE", "ALTER SUBSCRIPTION s SET (slot_name = NONE)", "DROP SUBSCRIPTION s")
	pgtest.Eventually(t, b.url, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND backend_type LIKE 'logical replication%')")
	b.must(auto("mv"))
	b.skipped(auto("mv"))
	pgtest.Exec(t, from, "SELECT pg_drop_replication_slot('s')")
}

// On a standby nothing is refreshed; after its promotion nothing of the primary's counters counts.
func TestPromotionRefreshes(t *testing.T) {
	t.Parallel()
	primary := pgtest.Private(t)
	b := benchOn(t, pgtest.DatabaseOn(t, primary), things, "CREATE UNIQUE INDEX ON public.mv (id)")
	b.must(auto("mv"))
	b.skipped(auto("mv"))
	b.exec("INSERT INTO public.things VALUES (6000, 'last words')")
	where := b.one("SELECT pg_current_wal_flush_lsn()::text")
	standby := pgtest.Standby(t, primary)
	other := &bench{t: t, url: standby.URL(b.one("SELECT current_database()::text"))}
	pgtest.Eventually(t, other.url, "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", where)
	other.pool = pgtest.Pool(t, other.url)
	if _, err := other.run(t.Context(), other.pool, auto("mv"), false); err == nil || !strings.Contains(err.Error(), "a read-only standby") {
		t.Errorf("on a standby: %v", err)
	}
	other.exec("SELECT pg_promote()")
	other.refreshed(auto("mv"), "promoted")
	if got := other.one("SELECT count(*)::text FROM public.mv WHERE id = 6000"); got != "1" {
		t.Error("the primary's last row is missing")
	}
	other.skipped(auto("mv"))
}

// A refresh of somebody else's may put older rows back, and no counter of the tables tells of it.
func TestRefreshOfSomebodyElseIsNotTrusted(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)")
	b.must(auto("mv"))
	other := pgtest.Session(t, b.url)
	say := func(sql string) {
		t.Helper()
		if _, err := other.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	say("BEGIN ISOLATION LEVEL REPEATABLE READ")
	say("SELECT count(*) FROM public.things")
	b.exec("INSERT INTO public.things VALUES (5000, 'new')")
	b.refreshed(auto("mv"), "")
	say("REFRESH MATERIALIZED VIEW public.mv")
	say("COMMIT")
	if got := b.one("SELECT count(*)::text FROM public.mv WHERE id = 5000"); got != "0" {
		t.Fatal("the other refresh did not put older rows back, so this tests nothing")
	}
	if err := pg.Count(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	b.refreshed(auto("mv"), "somebody else has refreshed it since")
	if got := b.one("SELECT count(*)::text FROM public.mv WHERE id = 5000"); got != "1" {
		t.Error("a committed row is missing from the view")
	}
	b.skipped(auto("mv"))
	say("REFRESH MATERIALIZED VIEW CONCURRENTLY public.mv") // it changes no row, which cannot be told
	if err := pg.Count(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	b.refreshed(auto("mv"), "somebody else has refreshed it since")
	b.skipped(auto("mv"))
	b.exec("VACUUM ANALYZE public.mv", "ANALYZE public.mv", "VACUUM FREEZE public.mv", "CREATE INDEX ON public.mv (v)", "REINDEX TABLE public.mv")
	b.skipped(auto("mv"))
}

// Whatever is the default of the role or the database: pgtender's refresh reads what is committed.
func TestSettingsOfTheDatabaseAreNotInTheWay(t *testing.T) {
	b := newBench(t, things, "CREATE UNIQUE INDEX ON public.mv (id)",
		"DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = serializable', current_database());"+
			"EXECUTE format('ALTER DATABASE %I SET quote_all_identifiers = on', current_database()); END $$")
	b.pool.Reset()
	var got string
	plain, err := pgx.Connect(t.Context(), b.url) // not as pgtender connects
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close(t.Context())
	err = plain.QueryRow(t.Context(), "SELECT current_setting('quote_all_identifiers') || ' ' || current_setting('transaction_isolation')").Scan(&got)
	if err != nil || got != "on serializable" {
		t.Fatal(got, err)
	}
	b.must(auto("mv"))
	b.exec("INSERT INTO public.things VALUES (5000, 'new')")
	if r := b.must(auto("mv")); r.Outcome != jobs.Success {
		t.Errorf("%s: %s", r.Outcome, r.Summary)
	}
	b.skipped(auto("mv"))
}
