package cli

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"go.uber.org/zap"

	"github.com/pgtender/pgtender/checks"
	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
)

// tour tells whoever started the daemon by hand what it has done and where to look.
func (a *app) tour(ctx context.Context, d *daemon) {
	fmt.Fprintln(a.stdout)
	if err := a.tourTables(ctx, d); err != nil && ctx.Err() == nil {
		d.log.Warn("the tables could not be counted", zap.Error(err))
	}
	if err := a.tourViews(ctx, d); err != nil && ctx.Err() == nil {
		d.log.Warn("the views could not be counted", zap.Error(err))
	}
	base := "http://" + d.server.Addr()
	fmt.Fprintf(a.stdout, `
The daemon is ready. Ctrl-C ends it.
  status page   %[1]s/status
  metrics       %[1]s/metrics
  probes        %[1]s/livez  %[1]s/readyz
  database      %[2]s
`, base, pg.Redact(d.env.URL))
}

func (a *app) tourTables(ctx context.Context, d *daemon) error {
	if len(d.env.Partitions)+len(d.env.Archives) == 0 {
		return nil
	}
	runways := d.samples("pgtender_partition_runway_seconds")
	t := newTable(a.stdout, "table", "live rows", "archived rows", "together", "partitions ahead until")
	for _, p := range d.env.Partitions {
		live, err := d.count(ctx, p.Table)
		if err != nil {
			return err
		}
		row := table.Row{p.Table.String(), live, "-", live, "?"}
		if p.Archive != nil {
			archived, err := d.count(ctx, p.Archive.Into)
			if err != nil {
				return err
			}
			row[2], row[3] = archived, live+archived
		}
		if s, ok := runways[p.Table]; ok && !math.IsInf(s, 0) {
			until := time.Now().Add(time.Duration(s) * time.Second)
			row[4] = fmt.Sprintf("%s (%.0f days)", until.Round(time.Minute).In(d.env.Daemon.Location).Format("2006-01-02"), math.Floor(s/86400))
		}
		t.AppendRow(row)
	}
	for _, p := range d.env.Archives {
		if p.Partitioned {
			continue
		}
		live, err := d.count(ctx, p.Table)
		if err != nil {
			return err
		}
		archived, err := d.count(ctx, p.Into)
		if err != nil {
			return err
		}
		t.AppendRow(table.Row{p.Table.String(), live, archived, live + archived, "-"})
	}
	t.Render()
	return nil
}

func (a *app) tourViews(ctx context.Context, d *daemon) error {
	if len(d.env.Views()) == 0 {
		return nil
	}
	fmt.Fprintln(a.stdout)
	t := newTable(a.stdout, "materialised view", "rows", "schedule")
	for _, r := range d.env.Views() {
		rows, err := d.count(ctx, r.View)
		if err != nil {
			return err
		}
		t.AppendRow(table.Row{r.View.String(), rows, r.Schedule.Text})
	}
	t.Render()
	return nil
}

func (d *daemon) count(ctx context.Context, t config.Table) (n int64, err error) {
	if err := d.pool.QueryRow(ctx, "SELECT count(*) FROM "+pg.Ident(t.Schema, t.Name)).Scan(&n); err != nil {
		return 0, fmt.Errorf("count the rows of %s: %w", t, err)
	}
	return n, nil
}

// samples are the last values of a metric labelled schema, table.
func (d *daemon) samples(metric string) map[config.Table]float64 {
	out := map[config.Table]float64{}
	each := func(s checks.Sample) {
		if s.Metric == metric && len(s.Labels) == 2 {
			out[config.Table{Schema: s.Labels[0], Name: s.Labels[1]}] = s.Value
		}
	}
	for _, r := range d.collector.Results() {
		for _, f := range r.Findings {
			for _, s := range f.Samples {
				each(s)
			}
		}
	}
	return out
}
