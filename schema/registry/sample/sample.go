// Package sample fills an empty registry with data that looks like 18 months of work: 20 models, 100
// versions, their training, evaluation and deployment, and two logs with something to archive.
//
// The data is computed from the time given and from nothing else: the same time gives the same rows.
package sample

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// Rows of the two logs after Load, whatever the time: what a caller may compare live + archived rows
// with. They lie within the last 18 months.
const (
	TrainingRecords   = 98_285
	InferenceRequests = 100_000
)

// months is the age of the oldest rows.
const months = 18

//go:embed *.sql
var files embed.FS

// Total is the number of rows of one table.
type Total struct {
	Table string // without the schema, which is public
	Rows  int64
}

// NotEmptyError says that the registry holds rows that are not the sample's. Nothing was changed.
type NotEmptyError struct {
	Tables []string // those with rows
}

func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("the registry is in use: rows in %s. Sample data goes into an empty registry only. Nothing was changed.",
		strings.Join(e.Tables, ", "))
}

// ErrNoRegistry says that the database does not hold the registry's tables.
var ErrNoRegistry = errors.New("the database has no registry yet: create it with `pgtender apply`")

// Loaded reports whether the registry holds the sample data. A database without the registry does not.
func Loaded(ctx context.Context, db pg.Querier) (bool, error) {
	there, err := hasRegistry(ctx, db)
	if err != nil || !there {
		return false, err
	}
	var loaded bool
	err = db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM public.ai_models WHERE metadata @> '{"sample": "pgtender"}')`).Scan(&loaded)
	if err != nil {
		return false, fmt.Errorf("look for sample data: %w", err)
	}
	return loaded, nil
}

func hasRegistry(ctx context.Context, db pg.Querier) (bool, error) {
	var there bool
	err := db.QueryRow(ctx, `SELECT bool_and(to_regclass('public.' || t) IS NOT NULL) FROM unnest($1::text[]) AS t`, tables()).Scan(&there)
	if err != nil {
		return false, fmt.Errorf("look for the registry: %w", err)
	}
	return there, nil
}

// Load fills the registry as of now, in one transaction, and makes the partitions that the rows need. When
// the sample is there already, it does nothing. A registry with other rows is refused with a
// NotEmptyError. log, which may be nil, is told of each step and at the end of each table's rows.
func Load(ctx context.Context, db pg.Beginner, now time.Time, log func(string)) error {
	if log == nil {
		log = func(string) {}
	}
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		there, err := hasRegistry(ctx, tx)
		if err != nil {
			return err
		}
		if !there {
			return ErrNoRegistry
		}
		if err := prepare(ctx, tx, now); err != nil {
			return err
		}
		loaded, err := Loaded(ctx, tx)
		if err != nil {
			return err
		}
		if loaded {
			log("the sample data is there already")
			return nil
		}
		if err := requireEmpty(ctx, tx); err != nil {
			return err
		}
		if err := fill(ctx, tx, now, log); err != nil {
			return err
		}
		return report(ctx, tx, log)
	})
}

// prepare keeps other loaders out and makes the session's results depend on nothing but now.
func prepare(ctx context.Context, tx pgx.Tx, now time.Time) error {
	_, err := tx.Exec(ctx, `SET LOCAL search_path = ''; SET LOCAL TimeZone = 'UTC'; SET LOCAL statement_timeout = 0;
		SET LOCAL check_function_bodies = on; LOCK TABLE public.ai_models IN SHARE ROW EXCLUSIVE MODE`)
	if err != nil {
		return fmt.Errorf("lock ai_models: %w", err)
	}
	_, err = tx.Exec(ctx, "SELECT set_config('registry_sample.now', $1, true), set_config('registry_sample.requests', $2, true)",
		stamp(now), strconv.Itoa(InferenceRequests))
	return err
}

func requireEmpty(ctx context.Context, tx pgx.Tx) error {
	totals, err := Count(ctx, tx)
	if err != nil {
		return err
	}
	var used []string
	for _, t := range totals {
		// The roll-up keeps its state in an empty registry, too.
		if t.Rows > 0 && t.Table != "deployment_roll_up_state" {
			used = append(used, t.Table)
		}
	}
	if len(used) > 0 {
		return &NotEmptyError{Tables: used}
	}
	return nil
}

func fill(ctx context.Context, tx pgx.Tx, now time.Time, log func(string)) error {
	for _, name := range []string{"inference_requests", "training_records"} {
		made, err := makePartitions(ctx, tx, config.Table{Schema: "public", Name: name}, now)
		if err != nil {
			return err
		}
		log(fmt.Sprintf("%s: %d partitions made", name, made))
	}
	// Rows that draw their number from a sequence begin at 1, also after a load that was rolled back.
	if err := setSequences(ctx, tx); err != nil {
		return err
	}
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, string(text)); err != nil {
			return fmt.Errorf("sample data, %s: %w", name, err)
		}
		log("loaded " + name)
	}
	if err := setSequences(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "ANALYZE public."+strings.Join(tables(), ", public.")); err != nil {
		return fmt.Errorf("analyze the sample data: %w", err)
	}
	return nil
}

// setSequences lets each identity column go on after its greatest number.
func setSequences(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		SELECT format('SELECT setval(%L, coalesce(max(%I), 0) + 1, false) FROM public.%I',
		              pg_get_serial_sequence(format('public.%I', c.relname), a.attname), a.attname, c.relname)
		FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
		WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY ($1) AND a.attidentity <> '' AND NOT a.attisdropped
		ORDER BY c.relname`, tables())
	if err != nil {
		return fmt.Errorf("read the identity columns: %w", err)
	}
	statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("read the identity columns: %w", err)
	}
	for _, sql := range statements {
		if _, err := tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("set a sequence (%s): %w", sql, err)
		}
	}
	return nil
}

// report tells the rows of each table and holds those of the logs against what was promised.
func report(ctx context.Context, tx pgx.Tx, log func(string)) error {
	totals, err := Count(ctx, tx)
	if err != nil {
		return err
	}
	promised := map[string]int64{"training_records": TrainingRecords, "inference_requests": InferenceRequests}
	for _, t := range totals {
		if want, ok := promised[t.Table]; ok && t.Rows != want {
			return fmt.Errorf("sample data: %s has %d rows, not %d", t.Table, t.Rows, want)
		}
		log(fmt.Sprintf("%s: %d rows", t.Table, t.Rows))
	}
	return nil
}

// Count returns the rows that each table of the registry holds now, in the order of their names;
// archived rows are not among them.
func Count(ctx context.Context, db pg.Querier) ([]Total, error) {
	var parts []string
	for _, t := range tables() {
		parts = append(parts, fmt.Sprintf("SELECT %s, count(*) FROM %s", pg.Literal(t), pg.Ident("public", t)))
	}
	rows, err := db.Query(ctx, strings.Join(parts, " UNION ALL ")+" ORDER BY 1")
	if err != nil {
		return nil, fmt.Errorf("count the registry's rows: %w", err)
	}
	totals, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Total])
	if err != nil {
		return nil, fmt.Errorf("count the registry's rows: %w", err)
	}
	return totals, nil
}

// tables are those of the registry, in the order of their names.
func tables() []string {
	return []string{
		"ab_test_variants", "ab_tests", "ai_models", "anomaly_rules", "dataset_lineage", "dataset_quality_metrics",
		"dataset_versions", "deployment_environments", "deployment_request_stats", "deployment_roll_up_state",
		"evaluation_schedules", "inference_anomalies", "inference_requests", "model_deployments", "model_evaluations",
		"model_file_paths", "model_parameters", "model_version_tags", "model_versions", "training_datasets",
		"training_records", "training_runs",
	}
}

// stamp writes a time as PostgreSQL reads it, whatever the session's time zone.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.999999-07:00") }
