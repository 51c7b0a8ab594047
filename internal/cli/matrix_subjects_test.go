package cli_test

// subject is one command that changes something, with what it finds to do.
type subject struct {
	name    string
	covers  string   // the job, or the command if it is none
	prepare []string // of the template: SQL, or after "$ " a command
	command string
	code    int    // of a run that was not disturbed
	idle    string // what the command's output matches when there is nothing to do
	tables  string // whose lock queue is filled
	few     bool   // a few of its statements will do, as the others are among other subjects'
	// alone is for what is of the whole server: the subject has one of its own, and this SQL is run before each disturbed run.
	alone string
}

// Rows that are old are two years old, so that no cut passes through them while the tests run. Their times are the same on each server.
const (
	oldYears = `DO $$
		DECLARE y timestamptz := date_trunc('year', now(), 'UTC') - interval '5 years';
		BEGIN
			FOR i IN 1..2 LOOP
				EXECUTE format('CREATE TABLE whole_%s PARTITION OF whole FOR VALUES FROM (%L) TO (%L)', i, y, y + interval '1 year');
				INSERT INTO whole (at, note) SELECT y + g * interval '1 hour', 'n' || g FROM generate_series(1, 400) g;
				y := y + interval '1 year';
			END LOOP;
		END $$`
	straddlingRows = `DO $$ BEGIN
			EXECUTE format('CREATE TABLE straddling_cut PARTITION OF straddling FOR VALUES FROM (%L) TO (%L)', date_trunc('day', now(), 'UTC') - interval '26 months', date_trunc('day', now(), 'UTC') - interval '3 months');
		END $$;
		INSERT INTO straddling (at, note) SELECT date_trunc('day', now(), 'UTC') - interval '25 months' + g * interval '1 hour', 'n' || g FROM generate_series(1, 1500) g;
		INSERT INTO straddling (at, note) SELECT date_trunc('day', now(), 'UTC') - interval '6 months' + g * interval '1 hour', 'n' || g FROM generate_series(1, 100) g`
	plainRows = `INSERT INTO plain (at, kind, n) SELECT date_trunc('day', now(), 'UTC') - interval '2 years' - g * interval '1 hour', chr(97 + g % 3), g FROM generate_series(1, 1500) g;
		INSERT INTO plain (at, kind, n) SELECT date_trunc('day', now(), 'UTC') - g * interval '1 minute', chr(97 + g % 3), g FROM generate_series(1, 200) g`
	spilled = `CREATE TABLE spilt_default PARTITION OF spilt DEFAULT;
		INSERT INTO spilt (at, note) SELECT date_trunc('month', now(), 'UTC') + g * interval '1 hour', 'n' || g FROM generate_series(1, 300) g;
		INSERT INTO spilt (at, note) SELECT date_trunc('day', now(), 'UTC') - interval '10 years' + g * interval '1 hour', 'n' || g FROM generate_series(1, 20) g`
	statistics = `DO $$
		DECLARE m timestamptz := date_trunc('month', now(), 'UTC');
		BEGIN
			EXECUTE format('CREATE TABLE ahead_now PARTITION OF ahead FOR VALUES FROM (%L) TO (%L)', m, m + interval '40 days');
			INSERT INTO ahead (at) SELECT m + g * interval '1 minute' FROM generate_series(1, 3000) g;
		END $$`
)

// subjects are all of them. The test fails for a job, or a command that changes something, that is not among them.
func subjects() []subject {
	archived := []string{oldYears, "$ job run archive --table whole"}
	return []subject{
		{name: "partition", covers: "partition", command: "job run partition --table ahead", idle: "partition public.ahead: noop", tables: "ahead"},
		{name: "partition default", covers: "partition", prepare: []string{spilled}, command: "job run partition --table spilt", idle: "partition public.spilt: noop", tables: "spilt"},
		{name: "archive partition", covers: "archive", prepare: archived[:1], command: "job run archive --table whole", idle: "archive public.whole: noop", tables: "whole"},
		{name: "archive rows", covers: "archive", prepare: []string{straddlingRows}, command: "job run archive --table straddling", idle: "archive public.straddling: noop", tables: "straddling"},
		{name: "archive plain", covers: "archive", prepare: []string{plainRows}, command: "job run archive --table plain", idle: "archive public.plain: noop", tables: "plain"},
		{name: "archive restore", covers: "archive restore", prepare: archived, command: "archive restore --table whole --from 2000-01 --to 2099-01", code: 0,
			idle: "holds nothing", tables: "whole"},
		{name: "archive release", covers: "archive release", prepare: append(archived, "$ archive restore --table whole --from 2000-01 --to 2099-01"),
			command: "archive release --table whole", idle: "Nothing of public.whole is held", tables: "whole"},
		{name: "refresh", covers: "refresh", prepare: []string{"$ job run refresh", plainRows}, command: "job run refresh", idle: "refresh public.by_kind: (noop|skipped)", tables: "by_kind"},
		{name: "analyze", covers: "analyze", prepare: []string{statistics}, command: "job run analyze", idle: "analyze: noop", tables: "ahead"},
		{name: "io", covers: "io", command: "job run io", idle: "io: noop", tables: "plain"},
		{name: "io revert", covers: "io revert", prepare: []string{`INSERT INTO pgtender.setting_change (name, new_value, state, reason, detail, ended_at)
			VALUES ('effective_io_concurrency', '64', 'kept', 'of the test', '{"before": "16"}', now())`},
			alone: "ALTER SYSTEM SET effective_io_concurrency = 64; SELECT pg_reload_conf()", command: "io revert", idle: "noop: nothing to put back", tables: "plain"},
		{name: "own job", covers: "an own job", prepare: []string{plainRows}, command: "job run rollup", idle: "rollup: success", tables: "rolled_up"},
		{name: "drift", covers: "drift", prepare: []string{plainRows, "DROP INDEX plain_at; DROP MATERIALIZED VIEW total; DROP TABLE rolled_up; COMMENT ON TABLE ahead IS 'stray'"},
			command: "job run drift", idle: "drift: noop", tables: "plain"},
		{name: "apply", covers: "apply", prepare: []string{plainRows, spilled, "INSERT INTO rolled_up SELECT chr(97 + g), 0 FROM generate_series(0, 2) g"},
			command: "apply --auto-approve --allow-hazards all --to changed.sql", idle: "already as declared|nothing to do", tables: "plain"},
		{name: "plan", covers: "plan", command: "plan --to changed.sql", code: 2, idle: "statements?", tables: "plain"},
		{name: "run", covers: "run", prepare: []string{plainRows, oldYears}, command: "run --once", few: true, idle: "archive public.plain: noop", tables: "plain"},
	}
}

// elsewhere are the commands that no subject has, and why.
func elsewhere() map[string]string {
	const reads = "it only reads"
	return map[string]string{
		"archive list": reads, "archive verify": reads, "check": reads, "drift": reads, "grants": reads, "io recommend": reads, "io status": reads,
		"job list": reads, "probe": reads, "version": reads,
		"job run": "by its jobs", "dev": "it is run, with a server of its own",
		"io apply": "takes minutes: TestKilledTrial in jobs/asyncio",
	}
}
