package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/jobs"
	"github.com/pgtender/pgtender/jobs/archive"
)

func (a *app) archiveVerifyCommand() *cobra.Command {
	var tableName, format string
	cmd := &cobra.Command{
		Use: "verify", Short: "Does the archive still hold what was moved? Exit 0 if it does, 2 if not", Args: noArgs,
		Long: `Count what is in the archive and hold it against the manifest that each move has left: as many rows, and the same
checksum. It reads all archived rows, in a snapshot for each partition, and hinders nobody.

  intact   as many rows as were moved, and the same checksum
  counted  as many rows; the checksum cannot be compared, and the line says why
  CHANGED  rows are missing, surplus, or others
  MISSING  the partition is not in the archive
  unknown  not counted yet, or this role may not see the rows

The checksum is the XOR of a hash of each row: of a partition that was moved whole, over all columns whose type has a hash and which are
not generated; of rows that were moved one by one, over the primary key and the time. It is taken in the move's statement for
rows, and right after the move for a whole partition, when nobody writes to it any more. It finds accidents, not a forger.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := formatFlag(format, "text", "json"); err != nil {
				return err
			}
			env, err := a.load()
			if err != nil {
				return err
			}
			pool, err := a.open(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer pool.Close()
			asked, err := tableFlag(tableName)
			if err != nil {
				return err
			}
			list := []archive.Verdict{}
			err = archive.Verify(cmd.Context(), pool, asked.Schema, asked.Name, func(v archive.Verdict) {
				list = append(list, v)
				if isTerminal(a.stderr) && format == "text" {
					fmt.Fprintf(a.stderr, "%s: %s\n", v.Partition, v.State)
				}
			})
			if err != nil {
				return explainRights(cmd.Context(), pool, manifestError(err))
			}
			if format == "json" {
				err = printJSON(a.stdout, list)
			} else {
				err = a.printVerdicts(list)
			}
			if err == nil && slices.ContainsFunc(list, archive.Verdict.Bad) {
				return exitCode(exitChanges)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&tableName, "table", "", "only this live table (`name` or schema.name)")
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	return cmd
}

func (a *app) printVerdicts(list []archive.Verdict) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(a.stdout, "Nothing is archived.")
		return err
	}
	t := newTable(a.stdout, "table", "archived in", "rows moved", "rows found", "state", "checksum over", "")
	bad := 0
	for _, v := range list {
		over := strings.Join(v.Covers, ", ")
		switch n := len(v.Covers); {
		case n == 0:
			over = "-"
		case n > 3:
			over = fmt.Sprintf("%d columns", n)
		}
		t.AppendRow(table.Row{v.Table, v.Partition, v.Moved, v.Found, v.State, over, v.What})
		if v.Bad() {
			bad++
		}
	}
	t.Render()
	if bad > 0 {
		_, err := fmt.Fprintf(a.stdout, "\n%d of %d are not what was moved. `pgtender archive list` shows when and by which run that was.\n", bad, len(list))
		return err
	}
	return nil
}

// span is a range of time on the command line.
type span struct{ tableName, from, to string }

func (s *span) flags(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&s.tableName, "table", "", what+" this live table (`name` or schema.name)")
	cmd.Flags().StringVar(&s.from, "from", "", "from this time on (`date`: 2025-01, 2025-01-31, '2025-01-31 10:00:00', or with an offset)")
	cmd.Flags().StringVar(&s.to, "to", "", "up to this time, which is not included (`date`)")
}

// policy is the archive policy of the table that was named.
func (s *span) policy(env *config.Env) (config.Archive, error) {
	var tables []string
	for _, p := range env.Archives {
		if p.Table.Named(s.tableName) {
			return p, nil
		}
		tables = append(tables, p.Table.Arg())
	}
	if s.tableName == "" {
		return config.Archive{}, fmt.Errorf("name the table: --table %s", strings.Join(tables, ", or "))
	}
	return config.Archive{}, fmt.Errorf("%s declares no archive of %q; it declares those of: %s", orNone(env.File), s.tableName, strings.Join(tables, ", "))
}

// times reads both ends; a missing one is zero.
func (s *span) times(loc *time.Location) (from, to time.Time, err error) {
	if from, err = instantOf("--from", s.from, loc); err == nil {
		to, err = instantOf("--to", s.to, loc)
	}
	return from, to, err
}

func instantOf(flag, text string, loc *time.Location) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999Z07:00", "2006-01-02 15:04:05.999999Z07"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	for _, layout := range []string{"2006-01", "2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			return config.OnWall(t, loc), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s %q is no time: write for example 2025-01-01, or '2025-01-01 00:00:00+00'", flag, text)
}

func (a *app) archiveRestoreCommand() *cobra.Command {
	var s span
	var dryRun bool
	cmd := &cobra.Command{
		Use: "restore --table T --from DATE --to DATE", Short: "Bring archived months back into the live table", Args: noArgs,
		Long: `Bring what was archived in a range of time back into the live table: --from is included, --to is not; without an offset they are
in the daemon's time zone. Of a partitioned table whole partitions come back, each in one transaction; single rows come back in
batches, and each row is in one of the two tables for every reader. What has come back is held: the archive job leaves it
alone until "pgtender archive release" lets it go again.

    pgtender archive restore --table training_records --from 2025-01-01 --to 2025-02-01`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := a.logger()
			if err != nil {
				return err
			}
			env, err := a.load()
			if err != nil {
				return err
			}
			policy, err := s.policy(env)
			if err != nil {
				return err
			}
			if s.from == "" || s.to == "" {
				return errors.New("say what is to come back: --from and --to, for example --from 2025-01-01 --to 2025-02-01")
			}
			from, to, err := s.times(env.Daemon.Location)
			if err != nil {
				return err
			}
			open := a.openPrimary
			if dryRun {
				open = a.open
			}
			w := &workshop{env: env}
			if w.pool, err = open(cmd.Context(), env); err != nil {
				return err
			}
			defer w.close()
			w.tasks = []jobs.Task{archive.RestoreTask(env, w.pool, policy, from, to)}
			w.runner, err = jobs.NewRunner(jobs.Options{URL: env.URL, Pool: w.pool, Location: env.Daemon.Location, Log: log}, w.tasks)
			if err != nil {
				return err
			}
			return a.runOnce(cmd.Context(), w, jobs.Once{DryRun: dryRun})
		},
	}
	s.flags(cmd, "of")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

func (a *app) archiveReleaseCommand() *cobra.Command {
	var s span
	cmd := &cobra.Command{
		Use: "release --table T [--from DATE] [--to DATE]", Short: "Let what was restored be archived again", Args: noArgs,
		Long: `Let what "pgtender archive restore" brought back be archived again, at the next run of the archive job: all of a table, or what
a range of time touches.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := a.load()
			if err != nil {
				return err
			}
			policy, err := s.policy(env)
			if err != nil {
				return err
			}
			from, to, err := s.times(env.Daemon.Location)
			if err != nil {
				return err
			}
			pool, err := a.openPrimary(cmd.Context(), env)
			if err != nil {
				return err
			}
			defer pool.Close()
			n, err := archive.Release(cmd.Context(), pool, policy.Table, from, to)
			if err != nil {
				return explainRights(cmd.Context(), pool, err)
			}
			switch n {
			case 0:
				fmt.Fprintf(a.stdout, "Nothing of %s is held there.\n", policy.Table)
			case 1:
				fmt.Fprintf(a.stdout, "Released 1 restore of %s; the next run of the archive job moves what is old enough.\n", policy.Table)
			default:
				fmt.Fprintf(a.stdout, "Released %d restores of %s; the next run of the archive job moves what is old enough.\n", n, policy.Table)
			}
			return nil
		},
	}
	s.flags(cmd, "of")
	return cmd
}
