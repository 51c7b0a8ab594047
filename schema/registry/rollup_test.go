package registry_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
	"github.com/pgtender/pgtender/schema/registry/registrytest"
	"github.com/pgtender/pgtender/schema/registry/sample"
)

// counts shows what the roll-up has filled: requests, errors, mean time.
func (d db) counts(deployment int) string {
	d.Helper()
	return get[string](d, "SELECT format('%s %s %s', request_count, error_count, avg_response_time) FROM public.model_deployments WHERE id = $1", deployment)
}

// log gives a registry with deployments 1 and 2, and a partition for each month of 2026.
func requestLog(t testing.TB) db {
	t.Helper()
	d := empty(t)
	d.deployment(1)
	d.deployment(2)
	for month := 1; month <= 12; month++ {
		d.do(fmt.Sprintf(`CREATE TABLE public.inference_requests_2026_%02[1]d PARTITION OF public.inference_requests
			FOR VALUES FROM ('2026-%02[1]d-01 00:00+00') TO ('%[2]s-01 00:00+00')`, month,
			time.Date(2026, time.Month(month)+1, 1, 0, 0, 0, 0, time.UTC).Format("2006-01")))
	}
	return d
}

func (d db) request(deployment int, status string, ms any, at string) {
	d.Helper()
	d.do("INSERT INTO public.inference_requests (deployment_id, status, processing_time_ms, created_at) VALUES ($1, $2, $3, $4::text::timestamptz)",
		deployment, status, ms, at)
}

// age makes what the run before noted old enough to count as settled, if no transaction of that time is open.
func (d db) age() {
	d.Helper()
	d.do("UPDATE public.deployment_roll_up_state SET pending_at = pending_at - interval '2 minutes'")
	d.do("CALL public.roll_up_deployments()")
}

// settle makes it count as settled: other tests on this server may have transactions open.
func (d db) settle() {
	d.Helper()
	d.do("UPDATE public.deployment_roll_up_state SET pending_xmax = '3'")
	d.age()
}

func TestRollUpFillsDeployments(t *testing.T) {
	t.Parallel()
	d := requestLog(t)
	d.do("CALL public.roll_up_deployments()") // an empty log
	want(t, "deployment 1", d.counts(1), "0 0 ")
	d.request(1, "success", 10, "2026-05-01 10:00+00")
	d.request(1, "error", 21, "2026-05-01 10:59:59+00")
	d.request(1, "timeout", 30000, "2026-05-01 11:00+00")
	d.request(1, "success", nil, "2026-06-01 00:00+00")
	d.request(2, "success", nil, "2026-05-01 10:00+00")
	for range 3 { // twice or thrice is as once
		d.do("CALL public.roll_up_deployments()")
		want(t, "deployment 1", d.counts(1), "4 2 10010.333")
		want(t, "deployment 2", d.counts(2), "1 0 ")
	}
	d.settle()
	want(t, "deployment 1, settled", d.counts(1), "4 2 10010.333")
	want(t, "hours", get[int](d, "SELECT count(*) FROM public.deployment_request_stats WHERE deployment_id = 1"), 3)
	// The greatest times that can be logged do not overflow.
	d.request(2, "success", 2147483647, "2026-05-01 10:10+00")
	d.request(2, "success", 2147483647, "2026-05-01 10:20+00")
	d.do("CALL public.roll_up_deployments()")
	want(t, "deployment 2", d.counts(2), "3 0 2147483647.000")
}

func TestRollUpFindsLateRows(t *testing.T) {
	t.Parallel()
	d := requestLog(t)
	d.request(1, "success", 10, "2026-10-01 10:00+00")
	d.do("CALL public.roll_up_deployments()")
	d.settle()
	d.settle()
	// Logged now, dated months ago: into an hour of its own, and into one that is counted already.
	d.request(1, "success", 20, "2026-02-01 10:00+00")
	d.request(1, "error", 30, "2026-10-01 10:30+00")
	d.do("CALL public.roll_up_deployments()")
	want(t, "deployment 1", d.counts(1), "3 1 20.000")
}

// A transaction that began before a roll-up and commits after it has lower ids than rows that were counted.
func TestRollUpFindsRowsOfOpenTransactions(t *testing.T) {
	t.Parallel()
	d := requestLog(t)
	d.request(1, "success", 10, "2026-05-01 10:00+00")
	d.do("CALL public.roll_up_deployments()")
	d.settle()
	want(t, "settled id", get[int](d, "SELECT counted_id::integer FROM public.deployment_roll_up_state"), 1)

	open := d.second()
	open.do("BEGIN")
	open.request(1, "success", 20, "2026-07-01 10:00+00") // id 2
	d.settle()
	d.request(1, "success", 30, "2026-05-01 10:00+00") // id 3
	for range 3 {
		d.do("CALL public.roll_up_deployments()")
		d.age()
	}
	want(t, "deployment 1 while a transaction is open", d.counts(1), "2 0 20.000")
	open.do("COMMIT")
	d.do("CALL public.roll_up_deployments()")
	want(t, "deployment 1", d.counts(1), "3 0 20.000")
	d.settle()
	d.settle()
	want(t, "settled id", get[int](d, "SELECT counted_id::integer FROM public.deployment_roll_up_state"), 3)
	want(t, "deployment 1, settled", d.counts(1), "3 0 20.000")
}

func TestRollUpKeepsArchivedCounts(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"CALL public.roll_up_deployments()", "CALL public.roll_up_deployments(recount => true)"} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			d := requestLog(t)
			for _, at := range []string{"2026-01-10 10:00+00", "2026-01-20 10:00+00", "2026-02-10 10:00+00", "2026-02-10 10:30+00"} {
				d.request(1, "error", 10, at)
			}
			d.request(1, "success", 60, "2026-06-01 10:00+00")
			d.do(call)
			d.settle()
			want(t, "before", d.counts(1), "5 4 20.000")
			d.do("ALTER TABLE public.inference_requests DETACH PARTITION public.inference_requests_2026_01") // a whole month
			d.do("DELETE FROM public.inference_requests WHERE created_at < '2026-02-10 10:15+00'")           // row by row, half an hour
			d.do(call)
			want(t, "after the archive", d.counts(1), "5 4 20.000")
			d.request(1, "success", 80, "2026-06-01 10:00+00")
			d.request(1, "success", 20, "2026-02-10 11:00+00") // late, beside the archived rows
			d.do(call)
			want(t, "going on", d.counts(1), "7 4 28.571")
			// A month that comes back was counted before.
			d.do(`ALTER TABLE public.inference_requests ATTACH PARTITION public.inference_requests_2026_01
				FOR VALUES FROM ('2026-01-01 00:00+00') TO ('2026-02-01 00:00+00')`)
			d.do(call)
			want(t, "after a restore", d.counts(1), "7 4 28.571")
		})
	}
}

func TestRecountSeesChangedRows(t *testing.T) {
	t.Parallel()
	d := requestLog(t)
	d.request(1, "success", 10, "2026-05-01 10:00+00")
	d.do("CALL public.roll_up_deployments()")
	d.settle()
	d.do("UPDATE public.inference_requests SET status = 'error', processing_time_ms = 30")
	d.do("INSERT INTO public.inference_requests (id, deployment_id, status, processing_time_ms, created_at) OVERRIDING SYSTEM VALUE VALUES (0, 1, 'success', 10, '2026-03-01 10:00+00')")
	d.do("CALL public.roll_up_deployments()")
	want(t, "counted once", d.counts(1), "1 0 10.000")
	d.do("CALL public.roll_up_deployments(recount => true)")
	want(t, "recounted", d.counts(1), "2 1 20.000")
}

func TestRollUpWhenIdsBeginAnew(t *testing.T) {
	t.Parallel()
	d := requestLog(t)
	for range 3 {
		d.request(1, "success", 10, "2026-05-01 10:00+00")
	}
	d.do("CALL public.roll_up_deployments()")
	d.settle()
	d.do("TRUNCATE public.inference_requests RESTART IDENTITY")
	d.request(1, "error", 10, "2026-05-02 10:00+00")
	for range 2 {
		d.do("CALL public.roll_up_deployments()")
		want(t, "deployment 1", d.counts(1), "4 1 10.000")
		d.settle()
	}
	d.request(1, "error", 10, "2026-05-02 10:00+00")
	d.do("CALL public.roll_up_deployments()")
	want(t, "deployment 1", d.counts(1), "5 2 10.000")
}

// What docs/registry.md tells to grant is enough for the jobs.
func TestJobsNeedFewRights(t *testing.T) {
	t.Parallel()
	d := requestLog(t)
	d.request(1, "error", 10, "2026-05-01 10:00+00")
	role := connect(t, pgtest.Role(t, d.url,
		"REVOKE ALL ON ALL ROUTINES IN SCHEMA public FROM PUBLIC",
		"GRANT USAGE ON SCHEMA public TO {role}",
		"GRANT EXECUTE ON ALL ROUTINES IN SCHEMA public TO {role}",
		"GRANT SELECT ON public.inference_requests, public.model_deployments, public.anomaly_rules TO {role}",
		"GRANT UPDATE (request_count, error_count, avg_response_time) ON public.model_deployments TO {role}",
		"GRANT SELECT, INSERT, UPDATE ON public.deployment_request_stats, public.deployment_roll_up_state, public.inference_anomalies TO {role}"))
	role.do("CALL public.roll_up_deployments()")
	role.do("CALL public.roll_up_deployments(recount => true)")
	role.do("CALL public.detect_inference_anomalies()")
	want(t, "deployment 1", d.counts(1), "1 1 10.000")
	role.refused(pg.InsufficientPrivilege, "UPDATE public.model_deployments SET deployment_status = 'failed'")
}

// A dump that is restored elsewhere brings a transaction number that means nothing there.
func TestRollUpAfterRestoreOnAnotherServer(t *testing.T) {
	t.Parallel()
	d := requestLog(t)
	d.request(1, "success", 10, "2026-05-01 10:00+00")
	d.do("CALL public.roll_up_deployments()")
	d.do("UPDATE public.deployment_roll_up_state SET pending_xmax = '9000000000000000000'")
	d.request(1, "success", 10, "2026-05-01 10:00+00")
	d.do("CALL public.roll_up_deployments()")
	d.settle()
	want(t, "settled id", get[int](d, "SELECT counted_id::integer FROM public.deployment_roll_up_state"), 2)
	want(t, "deployment 1", d.counts(1), "2 0 10.000")
}

func TestRollUpsWaitForEachOther(t *testing.T) {
	t.Parallel()
	d := requestLog(t)
	d.do("CALL public.roll_up_deployments()")
	d.do("BEGIN")
	d.request(1, "success", 10, "2026-05-01 10:00+00")
	d.do("CALL public.roll_up_deployments()")
	other, err := pg.Dedicated(context.Background(), d.url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := other.Exec(context.Background(), "CALL public.roll_up_deployments()")
		done <- err
	}()
	pgtest.Eventually(t, d.url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = $1)", other.PgConn().PID())
	d.do("COMMIT")
	if err := <-done; err != nil {
		t.Error(err)
	}
	want(t, "deployment 1", d.counts(1), "1 0 10.000")
}

// On the sample: right against a plain count of the log, and cheap when little is new.
func TestRollUpOfSample(t *testing.T) {
	t.Parallel()
	d := connect(t, registrytest.Sample(t))
	wrong := `SELECT count(*) FROM public.model_deployments AS d
		LEFT JOIN (SELECT deployment_id, count(*) AS n, count(*) FILTER (WHERE status <> 'success') AS e, round(avg(processing_time_ms), 3) AS ms
		           FROM public.inference_requests GROUP BY 1) AS r ON r.deployment_id = d.id
		WHERE (d.request_count, d.error_count, d.avg_response_time) IS DISTINCT FROM (coalesce(r.n, 0), coalesce(r.e, 0), r.ms)`
	want(t, "deployments with wrong counts", get[int](d, wrong), 0)
	want(t, "requests counted", get[int](d, "SELECT sum(request_count)::integer FROM public.model_deployments"), sample.InferenceRequests)
	d.settle()
	d.do(`INSERT INTO public.inference_requests (deployment_id, status, processing_time_ms, created_at)
		SELECT deployment_id, 'error', 1, created_at FROM public.inference_requests WHERE id % 5000 = 7`)
	// The counters also hold what earlier statements of the session have not yet handed in.
	rowsRead := `SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::integer FROM pg_stat_xact_user_tables WHERE relname LIKE 'inference\_requests\_%'`
	d.do("BEGIN")
	before := get[int](d, rowsRead)
	d.do("CALL public.roll_up_deployments()")
	read := get[int](d, rowsRead) - before
	d.do("COMMIT")
	want(t, "deployments with wrong counts", get[int](d, wrong), 0)
	t.Logf("rows read: %d", read)
	if read == 0 || read > 5000 {
		t.Errorf("counting 20 new requests among 100,000 read %d rows", read)
	}
}
