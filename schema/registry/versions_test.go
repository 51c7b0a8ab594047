package registry_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

const activeVersions = "SELECT coalesce(string_agg(version, ' ' ORDER BY version), '') FROM public.model_versions WHERE is_active AND model_id = $1"

func TestTwoActiveVersionsAreImpossible(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.model(1, "1.0.0", "1.1.0")
	d.model(2, "1.0.0")
	d.do("UPDATE public.model_versions SET is_active = true WHERE version = '1.0.0'") // one of each model
	d.refused(uniqueViolation, "UPDATE public.model_versions SET is_active = true WHERE version = '1.1.0'")
	d.refused(uniqueViolation, `INSERT INTO public.model_versions (model_id, version, version_type, model_file_path, is_active)
		VALUES (1, '2.0.0', 'major', '/models/m/2.0.0/model.pt', true)`)
	want(t, "active", get[string](d, activeVersions, 1), "1.0.0")
}

func TestActivateAndRollBack(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.model(1, "1.0.0", "1.1.0", "2.0.0")
	d.model(2, "9.0.0")
	want(t, "activated", get[string](d, "SELECT public.activate_model_version(1, '2.0.0')"), "2.0.0")
	want(t, "active", get[string](d, activeVersions, 1), "2.0.0")
	want(t, "activated again", get[string](d, "SELECT public.activate_model_version(1, '2.0.0')"), "2.0.0")
	want(t, "active", get[string](d, activeVersions, 1), "2.0.0")

	err := d.refused(noDataFound, "SELECT public.activate_model_version(1, '7.7.7')")
	if err != nil && !strings.Contains(err.Error(), "version 7.7.7 of model 1 does not exist") {
		t.Errorf("no such version: %v", err)
	}
	d.refused(noDataFound, "SELECT public.activate_model_version(2, '2.0.0')") // another model's
	want(t, "active after errors", get[string](d, activeVersions, 1), "2.0.0")

	want(t, "rolled back to", get[string](d, "SELECT public.roll_back_model_version(1)"), "1.1.0")
	want(t, "rolled back to", get[string](d, "SELECT public.roll_back_model_version(1)"), "1.0.0")
	want(t, "active", get[string](d, activeVersions, 1), "1.0.0")
	err = d.refused(notInPrerequisite, "SELECT public.roll_back_model_version(1)")
	if err != nil && !strings.Contains(err.Error(), "model 1 has no version to roll back to") {
		t.Errorf("nothing to roll back to: %v", err)
	}
	want(t, "active after errors", get[string](d, activeVersions, 1), "1.0.0")
	d.refused(notInPrerequisite, "SELECT public.roll_back_model_version(2)") // none is active
	d.refused(notInPrerequisite, "SELECT public.roll_back_model_version(3)") // no such model
}

// Versions registered in one transaction have the same created_at.
func TestRollBackAmongVersionsOfOneMoment(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.model(1, "1.0.0", "1.1.0", "2.0.0")
	d.do("UPDATE public.model_versions SET created_at = '2026-01-01 00:00+00'")
	d.do("SELECT public.activate_model_version(1, '2.0.0')")
	want(t, "rolled back to", get[string](d, "SELECT public.roll_back_model_version(1)"), "1.1.0")
}

// Activations from several sessions at once: none fails, one version is active at the end.
func TestConcurrentActivations(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.model(1, "1.0.0", "1.1.0")
	errs := make(chan error)
	const sessions = 4
	for i := range sessions {
		conn, err := pg.Dedicated(context.Background(), d.url, "")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer conn.Close(context.Background())
			for n := range 25 {
				_, err := conn.Exec(context.Background(), "SELECT public.activate_model_version(1, $1)", fmt.Sprintf("1.%d.0", (i+n)%2))
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range sessions {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	want(t, "active versions", get[int](d, "SELECT count(*) FROM public.model_versions WHERE is_active"), 1)
}

// Whoever waits behind an open activation goes by what that one leaves.
func TestActivationWaitsForAnother(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.model(1, "1.0.0", "1.1.0", "2.0.0")
	d.do("SELECT public.activate_model_version(1, '2.0.0')")
	d.do("BEGIN")
	want(t, "first roll-back", get[string](d, "SELECT public.roll_back_model_version(1)"), "1.1.0")
	other, done := d.second(), make(chan string, 1)
	go func() {
		var version string
		err := other.QueryRow(context.Background(), "SELECT public.roll_back_model_version(1)").Scan(&version)
		done <- fmt.Sprint(version, err)
	}()
	pgtest.Eventually(t, d.url, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = $1)", other.PgConn().PID())
	d.do("COMMIT")
	want(t, "second roll-back", <-done, "1.0.0<nil>")
}

func TestReleasedVersionIsFixed(t *testing.T) {
	t.Parallel()
	for name, release := range map[string]string{
		"active":     "SELECT public.activate_model_version(1, '1.0.0')",
		"production": "UPDATE public.model_versions SET is_production = true",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := empty(t)
			d.model(1, "1.0.0")
			d.model(2)
			changes := []string{
				"model_file_path = '/models/m/1.0.1/model.pt'", "checksum = 'feed'", `training_config = '{"epochs": 1}'`,
				"version = '1.0.1'", "version_type = 'patch'", "model_id = 2", "released_at = NULL", "released_at = now()",
			}
			for _, change := range changes[:3] { // before the release, all is open
				d.do("UPDATE public.model_versions SET " + change)
			}
			d.do("UPDATE public.model_versions SET checksum = 'beef', model_file_path = '/models/m/1.0.0/model.pt', training_config = '{}'")
			d.do(release)
			// Once released, it stays so: a version that is rolled back may come back.
			d.do("UPDATE public.model_versions SET is_active = false, is_production = false")
			for _, change := range changes {
				d.refused(integrityViolation, "UPDATE public.model_versions SET "+change)
			}
			d.do(`UPDATE public.model_versions SET performance_metrics = '{"accuracy": 0.9}', notes = 'n', is_production = true, checksum = 'beef'`)
		})
	}
	t.Run("from the first", func(t *testing.T) {
		t.Parallel()
		d := empty(t)
		d.model(1)
		d.do(`INSERT INTO public.model_versions (model_id, version, version_type, model_file_path, is_active)
			VALUES (1, '1.0.0', 'major', '/models/m/1.0.0/model.pt', true)`)
		d.refused(integrityViolation, "UPDATE public.model_versions SET checksum = 'feed'")
	})
}

func TestVersionNumbers(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.model(1)
	insert := "INSERT INTO public.model_versions (model_id, version, version_type, model_file_path) VALUES (1, $1, 'minor', '/models/m/1.0.0/model.pt')"
	for _, version := range []string{"1.0.0", "v2.1", "3", "1.0.0-rc.1", "1.0.0+build.5", "10.20.30-beta+exp.sha"} {
		d.do(insert, version)
	}
	for _, version := range []string{"", "latest", "1.0.0.0", "1..0", "v", "1.0.0 ", "1.0.0-"} {
		d.refused(checkViolation, insert, version)
	}
	d.refused(uniqueViolation, insert, "1.0.0")
	d.refused(checkViolation, "UPDATE public.model_versions SET version_type = 'huge'")
}

func TestPathFunctionIsImmutable(t *testing.T) {
	t.Parallel()
	d := empty(t)
	want(t, "functions that CHECKs call and that are not immutable", get[int](d, `SELECT count(*)
		FROM pg_depend AS dep JOIN pg_constraint AS c ON dep.classid = 'pg_constraint'::regclass AND dep.objid = c.oid
		JOIN pg_proc AS p ON dep.refclassid = 'pg_proc'::regclass AND dep.refobjid = p.oid
		WHERE c.contype = 'c' AND p.provolatile <> 'i'`), 0)
	want(t, "check_model_path", get[string](d, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'check_model_path'"),
		"CHECK (public.validate_model_path(model_file_path))")
}

func TestPathRulePerStorage(t *testing.T) {
	t.Parallel()
	d := empty(t)
	d.model(1)
	n := 0
	insert := func() (string, []any) {
		n++
		return "INSERT INTO public.model_versions (model_id, version, version_type, model_file_path) VALUES (1, '1.0.' || $1::integer, 'patch', $2)", []any{n}
	}
	accepted := func(paths ...string) {
		t.Helper()
		for _, path := range paths {
			sql, args := insert()
			d.do(sql, append(args, path)...)
			want(t, path, get[bool](d, "SELECT public.validate_model_path($1)", path), true)
		}
	}
	refused := func(paths ...string) {
		t.Helper()
		for _, path := range paths {
			sql, args := insert()
			d.refused(checkViolation, sql, append(args, path)...)
		}
	}
	local, s3, gcs := "/models/bert/1.0.0/model.onnx", "s3://prod-models/bert/1.0.0/model.pt", "gs://team-models/nlp/bert/1.0.0/model.pkl"
	malformed := []string{
		"/tmp/bert/1.0.0/model.pt", "/models/bert/model.pt", "/models/bert/1.0/model.pt", "/models/bert/1.0.0/model.exe", "/models/../etc/1.0.0/model.pt",
		"models/bert/1.0.0/model.pt", "s3://prod-models/1.0.0/model.pt", "s3://Bucket/bert/1.0.0/model.pt", "gs://b/../bert/1.0.0/model.pt",
		"http://prod-models/bert/1.0.0/model.pt", "s3:/prod-models/bert/1.0.0/model.pt", "", "/models/bert/1.0.0/model.pt\n",
	}
	accepted(local, s3, gcs)
	refused(malformed...)
	for _, path := range malformed {
		want(t, path, get[bool](d, "SELECT public.validate_model_path($1)", path), false)
	}

	// Patterns narrow their own storage and leave the others alone.
	d.do("INSERT INTO public.model_file_paths (storage_type, path_pattern) VALUES ('s3', '^s3://prod-models/'), ('s3', '^s3://spare-models/')")
	accepted(local, s3, gcs, "s3://spare-models/bert/1.0.0/model.pt")
	refused("s3://other-models/bert/1.0.0/model.pt")
	// A pattern widens nothing.
	d.do("INSERT INTO public.model_file_paths (storage_type, path_pattern) VALUES ('local', '.')")
	refused(malformed...)
	// Without an active pattern a storage is closed; what is there stays.
	d.do("UPDATE public.model_file_paths SET is_active = false WHERE storage_type = 's3'")
	accepted(local, gcs)
	refused(s3)
	d.do("UPDATE public.model_versions SET notes = 'still there'")
	d.refused(checkViolation, "UPDATE public.model_versions SET model_file_path = $1 WHERE model_file_path = $2", s3, local)

	d.refused("2201B", "INSERT INTO public.model_file_paths (storage_type, path_pattern) VALUES ('local', '^/models/(')")
	d.refused(checkViolation, "INSERT INTO public.model_file_paths (storage_type, path_pattern) VALUES ('ftp', '.')")
}
