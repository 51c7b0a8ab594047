package desired

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// Options say what is declared and where it may be tried out.
type Options struct {
	TargetURL string // the scratch database gets its encoding and locale
	DevURL    string // where scratch databases may be made; empty: the target's server
	Sources   []Source

	Schemas []string // managed schemas; nil: public and those that the sources create
	Exclude []string // see catalog.Scope

	Partitions []config.Partition
	Archives   []config.Archive
	Refreshes  []config.Refresh

	// Pending are renames that the target has still to see: Result.Before is read without them. See Result.Pending.
	Pending []catalog.Rename

	Log *zap.Logger // nil: none
}

// FromEnv are the options that an env block says.
func FromEnv(env *config.Env, log *zap.Logger) Options {
	o := Options{
		TargetURL: env.URL, DevURL: env.DevURL, Sources: FromConfig(env.Sources),
		Partitions: env.Partitions, Archives: env.Archives, Refreshes: env.Refreshes, Log: log,
	}
	if env.SchemasGiven {
		o.Schemas = env.Schemas
	}
	for _, p := range env.Exclude {
		o.Exclude = append(o.Exclude, p.Text)
	}
	return o
}

// Result is what the sources declare.
type Result struct {
	Snapshot *catalog.Snapshot
	Schemas  []string // managed, sorted
	// Scope is what to read the target by, so that both snapshots are of the same things: extensions that no source
	// declares are left alone there.
	Scope   catalog.Scope
	Ignored []string         // files and folders beside the sources' files that were not read
	Renames []catalog.Rename // declared ones, done and pending, in the order in which they are undone
	// Before is what is declared, under the names before Options.Pending; nil when there are none.
	Before *catalog.Snapshot
}

// Load reads the sources, loads them into a scratch database and returns its snapshot. Neither the target nor the
// dev database is changed, and the scratch database is gone afterwards, also when ctx is cancelled. An *Error says what is
// wrong with the sources, a *ScratchError that there is nowhere to load them into.
func Load(ctx context.Context, o Options) (*Result, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if len(o.Sources) == 0 {
		return nil, errors.New("no sources are named: what is not declared would count as superfluous; name them in env schema src or with --to")
	}
	files, ignored, err := collect(o.Sources)
	if err != nil {
		return nil, err
	}
	var wrong problems
	stmts, virtuals, said := parse(files, &wrong)
	if err := wrong.err(); err != nil {
		return nil, err
	}
	s, err := openScratch(ctx, o.TargetURL, o.DevURL, o.Log)
	if err != nil {
		return nil, err
	}
	defer s.close(ctx)
	r := &run{o: o, using: map[catalog.Key]string{}, l: &loader{scratch: s, path: searchPath(o.Schemas)}}
	snap, err := r.load(ctx, stmts, said)
	if err != nil {
		return nil, err
	}
	if err := verifyVirtual(snap, virtuals); err != nil {
		return nil, err
	}
	scope := r.scope
	scope.Partitioned = catalog.DeclaredPartitions(snap)
	for _, k := range scope.Partitioned {
		if old := oldNames(r.renames)(k); old != k {
			scope.Partitioned = append(scope.Partitioned, old)
		}
	}
	scope.Declaring, scope.Privileges = false, r.privileges(snap)
	scope.Extensions = []string{}
	for _, obj := range snap.Objects {
		if obj.Key.Kind == catalog.Extension {
			scope.Extensions = append(scope.Extensions, obj.Key.Name)
		}
	}
	out := &Result{Snapshot: snap, Schemas: scope.Schemas, Scope: scope, Ignored: ignored, Renames: r.renames}
	if len(o.Pending) > 0 {
		out.Before, err = r.before(ctx, o.Pending)
	}
	return out, err
}

// anyVersion are the extensions, also those that others bring along, whose version no statement says.
func (r *run) anyVersion(ctx context.Context) ([]string, error) {
	rows, err := r.l.scratch.tx.Query(ctx, "SELECT extname FROM pg_extension ORDER BY 1")
	if err != nil {
		return nil, fmt.Errorf("list the declared extensions: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(r.l.done, func(s *statement) bool { return s.version == name })
	}), err
}

// parse reads all files into statements: HCL first, then SQL in the order of files. The order decides nothing but speed.
func parse(files []*file, wrong *problems) ([]*statement, []virtualColumn, []directive) {
	var hclFiles []*file
	for _, f := range files {
		if f.hcl {
			hclFiles = append(hclFiles, f)
		}
	}
	stmts, virtuals, said := hclStatements(hclFiles, wrong)
	for _, f := range files {
		if !f.hcl {
			stmts = append(stmts, f.statements(wrong)...)
		}
	}
	for _, s := range stmts {
		said = append(said, s.directives...)
	}
	// What unqualified names and types depend on comes first.
	slices.SortStableFunc(stmts, func(a, b *statement) int { return a.rank() - b.rank() })
	return stmts, virtuals, said
}

// searchPath is where names without a schema are made and looked up: the first managed schema, then public.
func searchPath(schemas []string) string {
	if len(schemas) == 0 || schemas[0] == "public" {
		return "public"
	}
	return pg.Ident(schemas[0]) + ", public"
}

// run is one loading of sources.
type run struct {
	o     Options
	l     *loader
	scope catalog.Scope
	// borrowed is what a borrowed database has of kinds that cannot be compared, such as the privilege to create in it.
	privileged []catalog.Privileges
	borrowed   []catalog.Unmanaged
	// clashes are declared tables with the name of an archive table, and what to say about each.
	clashes map[catalog.Key]string
	renames []catalog.Rename
	// declared is what is read in the end.
	declared *catalog.Snapshot
	using    map[catalog.Key]string // of columns: how their values are converted
}

func (r *run) load(ctx context.Context, stmts []*statement, said []directive) (*catalog.Snapshot, error) {
	if err := r.l.start(ctx); err != nil {
		return nil, err
	}
	if !r.l.scratch.own() {
		empty, err := catalog.Read(ctx, r.l.scratch.tx, catalog.Scope{Schemas: []string{"public"}, Declaring: true})
		if err != nil {
			return nil, err
		}
		r.borrowed, r.privileged, r.l.applied = empty.Unmanaged, catalog.DeclaredPrivileges(empty), nil
	}
	if err := r.l.invent(ctx, r.given(stmts)...); err != nil {
		return nil, err
	}
	objects := slices.IndexFunc(stmts, func(s *statement) bool { return s.rank() >= rankGrant })
	if objects < 0 {
		objects = len(stmts)
	}
	failed, err := r.l.load(ctx, stmts[:objects])
	if err != nil {
		return nil, err
	}
	if err := asError(failed); err != nil {
		return nil, err
	}
	if err := r.setScope(ctx); err != nil {
		return nil, err
	}
	if failed, err = r.l.checkBodies(ctx, r.scope.Schemas); err != nil {
		return nil, err
	}
	if err := asError(failed); err != nil {
		return nil, err
	}
	var wrong problems
	if err := r.createArchives(ctx, &wrong); err != nil {
		return nil, err
	}
	if err := r.grant(ctx, stmts[objects:]); err != nil {
		return nil, err
	}
	snap, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	snap.Unmanaged = slices.DeleteFunc(snap.Unmanaged, func(u catalog.Unmanaged) bool { return slices.Contains(r.borrowed, u) })
	offences, err := r.offences(ctx, snap)
	if err != nil {
		return nil, err
	}
	if len(offences) > 0 {
		if err := r.blame(ctx, offences, &wrong); err != nil {
			return nil, err
		}
	}
	r.declared = snap
	r.renames = r.direct(snap, said, &wrong)
	r.note(snap, func(k catalog.Key) catalog.Key { return k })
	for _, rename := range r.renames { // until it is applied, the policies mean the table under its old name
		if rename.Key.Kind == catalog.Table && slices.Contains(r.scope.Policies, rename.Key) {
			r.scope.Policies = append(r.scope.Policies, catalog.TableKey(rename.Key.Schema, rename.Old))
		}
	}
	wrong = append(wrong, policyProblems(snap, r.o.Partitions, r.o.Archives, r.o.Refreshes)...)
	return snap, wrong.err()
}

// read reads what is declared, without the privileges that a borrowed database came with.
func (r *run) read(ctx context.Context) (*catalog.Snapshot, error) {
	snap, err := catalog.Read(ctx, r.l.scratch.tx, r.scope)
	if err != nil {
		return nil, err
	}
	for _, p := range r.privileged {
		if o, ok := snap.Lookup(p.Key); ok {
			o.ForgetPrivileges(p)
		}
	}
	return snap, nil
}

// given are the managed schemas that no source creates: naming them in atlas.hcl declares them.
func (r *run) given(stmts []*statement) []string {
	return slices.DeleteFunc(slices.Clone(r.o.Schemas), func(name string) bool {
		return name == "public" || slices.ContainsFunc(stmts, func(s *statement) bool { return s.schema == name })
	})
}

func asError(failed []failure) error {
	var wrong problems
	for _, f := range failed {
		wrong = append(wrong, f.problem())
	}
	return wrong.err()
}

// userSchemas are the schemas that neither the server nor an extension made.
const userSchemas = `SELECT nspname FROM pg_namespace n WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
	AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_namespace'::regclass AND e.objid = n.oid AND e.deptype = 'e') ORDER BY 1`

func (r *run) schemas(ctx context.Context) ([]string, error) {
	rows, err := r.l.scratch.tx.Query(ctx, userSchemas)
	if err != nil {
		return nil, fmt.Errorf("list the declared schemas: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// setScope decides what is managed.
func (r *run) setScope(ctx context.Context) error {
	r.scope = catalog.Scope{Declaring: true, Exclude: r.o.Exclude, Schemas: slices.Sorted(slices.Values(r.o.Schemas))}
	if r.o.Schemas == nil {
		all, err := r.schemas(ctx)
		if err != nil {
			return err
		}
		r.scope.Schemas = slices.DeleteFunc(all, func(name string) bool {
			return name == catalog.OwnSchema || slices.Contains(r.l.invented, name)
		})
	}
	var err error
	if r.scope.AnyVersion, err = r.anyVersion(ctx); err != nil {
		return err
	}
	for _, p := range r.o.Partitions {
		r.scope.Policies = append(r.scope.Policies, catalog.TableKey(p.Table.Schema, p.Table.Name))
	}
	for _, a := range r.o.Archives {
		r.scope.Policies = append(r.scope.Policies, catalog.TableKey(a.Into.Schema, a.Into.Name))
	}
	return nil
}

// offences are what the sources made and may not: by name, with the reason.
func (r *run) offences(ctx context.Context, snap *catalog.Snapshot) (map[string]string, error) {
	out := map[string]string{}
	for _, u := range snap.Unmanaged {
		what := u.Kind + " " + u.Name
		if u.Kind == "partition" {
			out[what] = what + ": it is " + u.Reason + ": remove it, or add the schema to schemas in atlas.hcl"
			continue
		}
		out[what] = what + ": this kind of object cannot be compared yet, so it cannot be declared: remove it and create it by hand"
	}
	for _, c := range snap.Children {
		_, declared := snap.Lookup(catalog.Key{Kind: catalog.Partition, Schema: c.Table.Schema, Name: c.Table.Name})
		if what := "partition " + c.Table.Schema + "." + c.Table.Name; !declared && out[what] == "" && !slices.Contains(snap.LeftAlone, what) {
			out[what] = what + ": a policy of atlas.hcl makes the partitions of " + c.Parent.String() + ": remove it from the sources"
		}
	}
	for k, text := range r.clashes {
		if _, ok := snap.Lookup(k); ok {
			out[k.String()] = text
		}
	}
	all, err := r.schemas(ctx)
	if err != nil {
		return nil, err
	}
	outside := slices.DeleteFunc(all, func(name string) bool {
		return slices.Contains(r.scope.Schemas, name) || slices.Contains(r.l.invented, name)
	})
	return out, r.outside(ctx, outside, out)
}

// outside adds what was made in schemas that are not managed.
func (r *run) outside(ctx context.Context, schemas []string, out map[string]string) error {
	if i := slices.Index(schemas, catalog.OwnSchema); i >= 0 {
		out["schema "+catalog.OwnSchema] = "schema " + catalog.OwnSchema + " is pgtender's own: remove it"
		schemas = slices.Delete(schemas, i, i+1)
	}
	if len(schemas) == 0 {
		return nil
	}
	snap, err := catalog.Read(ctx, r.l.scratch.tx, catalog.Scope{Schemas: schemas, Extensions: []string{}})
	if err != nil {
		return err
	}
	advice := fmt.Sprintf(", which is not managed: remove it, or add the schema to schemas in atlas.hcl (now: %s)", strings.Join(r.scope.Schemas, ", "))
	for _, o := range snap.Objects {
		switch k := o.Key; {
		case k.Kind == catalog.Schema && k.Name != "public":
			out[k.String()] = k.String() + advice
		case k.Kind != catalog.Schema && k.Table == "" && k.Kind != catalog.Extension:
			out[k.String()] = k.String() + " is in schema " + k.Schema + advice
		}
	}
	for _, u := range snap.Unmanaged {
		elsewhere := u.Kind == "default privileges" && strings.Contains(u.Name, " in schema ")
		if what := u.Kind + " " + u.Name; out[what] == "" && (u.Reason == "" || elsewhere) {
			out[what] = what + " is in a schema" + advice
		}
	}
	return nil
}
