package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// TxBeginner starts a transaction with options: *pgxpool.Pool, *pgx.Conn.
type TxBeginner interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// ReadDatabase is Read in a REPEATABLE READ, READ ONLY transaction of its own. lockTimeout bounds the wait for
// each lock (see Read) and is in milliseconds on the server's side; 0 waits for ever.
func ReadDatabase(ctx context.Context, db TxBeginner, scope Scope, lockTimeoutMS int) (*Snapshot, error) {
	tx, err := db.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", lockTimeoutMS)); err != nil {
		return nil, fmt.Errorf("read the catalog: %w", err)
	}
	return Read(ctx, tx, scope)
}

// Read reads the scope's objects with a constant number of queries. q must be in a transaction, so that
// the settings which the server's printing depends on last no longer than it; a REPEATABLE READ one, if
// others may change the schema meanwhile.
//
// The functions that print definitions take ACCESS SHARE on the table, view or index they print, and so wait
// for a session that holds ACCESS EXCLUSIVE: set lock_timeout in the transaction and retry on 55P03.
// No privileges are needed on the objects themselves.
func Read(ctx context.Context, q pg.Querier, scope Scope) (*Snapshot, error) {
	r := &reader{
		ctx: ctx, q: q, scope: scope, schemas: scope.schemas(),
		objects: map[Key]*Object{}, refs: map[ref]Key{}, rels: map[uint32]*relation{},
		dependsOn: map[Key][]string{}, left: map[string]bool{}, compared: map[string]bool{},
	}
	for _, step := range []struct {
		what string
		run  func() error
	}{
		{"settings", r.settle},
		{"schemas", r.readSchemas},
		{"extensions", r.readExtensions},
		{"types", r.readTypes},
		{"relations", r.readRelations},
		{"composite types", r.readComposites},
		{"range types", r.readRanges},
		{"collations", r.readCollations},
		{"views", r.readViews},
		{"sequences", r.readSequences},
		{"columns", r.readColumns},
		{"constraints", r.readConstraints},
		{"indexes", r.readIndexes},
		{"extended statistics", r.readStatistics},
		{"routines", r.readRoutines},
		{"aggregates", r.readAggregates},
		{"event triggers", r.readEventTriggers},
		{"triggers", r.readTriggers},
		{"policies", r.readPolicies},
		{"rules", r.readRules},
		{"declared privileges", r.readPrivileges},
		{"roles", r.readRoles},
		{"partitions", r.readPartitionExtras},
		{"unmanaged objects", r.readUnmanaged},
		{"dependencies", r.readDependencies},
		{"owners and privileges", r.readGrants},
	} {
		if err := step.run(); err != nil {
			return nil, fmt.Errorf("read the catalog's %s: %w", step.what, err)
		}
	}
	return r.snapshot(), nil
}

// ref is an object's address as pg_depend writes it.
type ref struct {
	class  string // the catalog's name, such as pg_class
	object uint32
	sub    int32 // attnum of a column
}

type reader struct {
	ctx     context.Context
	q       pg.Querier
	scope   Scope
	schemas []string

	objects   map[Key]*Object
	refs      map[ref]Key          // where managed objects, and what stands for them, are in the catalog
	rels      map[uint32]*relation // managed tables, views, materialised views and sequences
	dependsOn map[Key][]string     // by ALTER … DEPENDS ON EXTENSION
	unmanaged []Unmanaged
	left      map[string]bool
	children  []Child

	partitions []uint32   // that are compared
	relations  []Relation // beside them

	roles, defaultGrantees []string
	compared               map[string]bool // of what the privileges are
}

// settle fixes what the printing of definitions depends on, until the transaction's end.
func (r *reader) settle() error {
	var ignored string
	return r.q.QueryRow(r.ctx, `
		SELECT concat(set_config('search_path', '', true), set_config('quote_all_identifiers', 'off', true),
			set_config('DateStyle', 'ISO, YMD', true), set_config('IntervalStyle', 'postgres', true),
			set_config('TimeZone', 'UTC', true), set_config('extra_float_digits', '1', true),
			set_config('bytea_output', 'hex', true), set_config('lc_monetary', 'C', true),
			set_config('standard_conforming_strings', 'on', true), set_config('jit', 'off', true))`, pgx.QueryExecModeExec).Scan(&ignored)
}

// each runs one query and calls row for every row; row scans by the function it is given.
func (r *reader) each(sql string, args []any, row func(scan func(...any) error) error) error {
	// One round trip, no server-side name: a pooler between us and the server does no harm.
	rows, err := r.q.Query(r.ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// put adds an object found at the reference.
func (r *reader) put(at ref, k Key) *Object {
	o := &Object{Key: k}
	r.objects[k] = o
	r.refs[at] = k
	return o
}

func (r *reader) leave(what string) { r.left[what] = true }

// set adds a fact unless its value is empty.
func (o *Object) set(name, value string) *Object {
	if value == "" {
		return o
	}
	if name != FactComment && !strings.HasPrefix(name, PrefixColumnComment) {
		value = canonical(value)
	}
	o.Facts = append(o.Facts, Fact{name, value})
	return o
}

// oids are the relations of the given kinds, for ANY($1).
func (r *reader) oids(kinds string) []uint32 {
	out := []uint32{}
	for oid, rel := range r.rels {
		if strings.Contains(kinds, rel.kind) {
			out = append(out, oid)
		}
	}
	slices.Sort(out)
	return out
}

func (r *reader) snapshot() *Snapshot {
	s := &Snapshot{Unmanaged: r.unmanaged, Children: r.children, Relations: r.relations, Roles: r.roles, DefaultGrantees: slices.Compact(slices.Sorted(slices.Values(r.defaultGrantees)))}
	for _, o := range r.objects {
		slices.Sort(r.dependsOn[o.Key])
		o.set(FactDependsOn, strings.Join(slices.Compact(r.dependsOn[o.Key]), ", "))
		slices.SortFunc(o.Facts, func(a, b Fact) int { return strings.Compare(a.Name, b.Name) })
		slices.SortFunc(o.Needs, CompareKeys)
		o.Needs = slices.Compact(o.Needs)
		s.Objects = append(s.Objects, *o)
	}
	slices.SortFunc(s.Objects, func(a, b Object) int { return CompareKeys(a.Key, b.Key) })
	slices.SortFunc(s.Unmanaged, func(a, b Unmanaged) int {
		return strings.Compare(a.Kind+"\x00"+a.Name, b.Kind+"\x00"+b.Name)
	})
	slices.SortFunc(s.Children, func(a, b Child) int {
		if c := CompareKeys(a.Parent, b.Parent); c != 0 {
			return c
		}
		return CompareKeys(a.Table, b.Table)
	})
	for what := range r.left {
		s.LeftAlone = append(s.LeftAlone, what)
	}
	slices.Sort(s.LeftAlone)
	return s
}
