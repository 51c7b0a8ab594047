package desired

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/schema/catalog"
)

// shape is what a block may hold. Atlas passes over what it does not know in silence, so this list is exactly what its
// PostgreSQL driver reads (ariga.io/atlas v1.3.0: sql/sqlspec, sql/postgres/sqlspec.go, sql/internal/specutil).
type shape struct {
	least, most int // labels
	attrs       []string
	blocks      map[string]*shape
	once        []string                                 // blocks that may appear once: Atlas would keep one of them
	check       func(w *hclWalk, block *hclsyntax.Block) // further checks, or nil
	open        bool                                     // any attribute
	renames     []catalog.Kind                           // what it declares, which may have been renamed: an attribute of ours, not Atlas's
}

// documentShape is what a schema file may hold. Built anew: no package variable, no state.
func documentShape() *shape {
	key := func(more ...string) *shape {
		return &shape{attrs: append([]string{"column", "expr"}, more...), check: (*hclWalk).columns}
	}
	column := &shape{
		least: 1, most: 1, renames: []catalog.Kind{catalog.Column}, attrs: []string{"null", "type", "default", "comment", "as"}, once: []string{"identity", "as"},
		blocks: map[string]*shape{
			"identity": {attrs: []string{"generated", "start", "increment"}, check: (*hclWalk).identity},
			"as":       {attrs: []string{"expr", "type"}, check: (*hclWalk).generated},
		},
	}
	table := &shape{
		least: 1, most: 2, renames: []catalog.Kind{catalog.Table}, attrs: []string{"schema", "comment", "depends_on"}, once: []string{"primary_key", "partition"},
		blocks: map[string]*shape{
			"column":      column,
			"primary_key": {most: 1, renames: []catalog.Kind{catalog.Constraint}, attrs: []string{"columns", "include"}, check: (*hclWalk).columns},
			"unique": {least: 1, most: 1, renames: []catalog.Kind{catalog.Constraint}, attrs: []string{"columns", "include", "nulls_distinct", "comment"}, check: (*hclWalk).columns,
				blocks: map[string]*shape{"on": {attrs: []string{"column"}, check: (*hclWalk).columns}}},
			"index": {most: 1, renames: []catalog.Kind{catalog.Index}, attrs: []string{"unique", "columns", "type", "where", "nulls_distinct", "include", "page_per_range", "comment"},
				check: (*hclWalk).columns, blocks: map[string]*shape{"on": key("desc", "ops", "nulls_first", "nulls_last")}},
			"foreign_key": {most: 1, renames: []catalog.Kind{catalog.Constraint}, attrs: []string{"columns", "ref_columns", "on_update", "on_delete"}, check: (*hclWalk).columns},
			"check":       {most: 1, renames: []catalog.Kind{catalog.Constraint}, attrs: []string{"expr"}},
			"partition": {attrs: []string{"type", "columns"}, check: (*hclWalk).columns,
				blocks: map[string]*shape{"by": key()}},
		},
	}
	return &shape{blocks: map[string]*shape{
		"schema": {least: 1, most: 1, attrs: []string{"comment"}},
		"enum":   {least: 1, most: 2, renames: []catalog.Kind{catalog.Enum}, attrs: []string{"schema", "values"}},
		"table":  table,
		"locals": {open: true},
	}}
}

// elsewhere are blocks that other editions of Atlas know and that are written in SQL here.
var elsewhere = []string{
	"view", "materialized", "function", "procedure", "trigger", "domain", "extension", "sequence", "policy", "composite", "aggregate",
	"event_trigger", "range", "collation", "rule", "statistics", "server", "foreign_table",
}

// place knows where the parts of a table are declared.
type place struct {
	pos   config.Pos
	parts map[string]config.Pos // columns, constraints and indexes by name
}

// virtualColumn is a column declared VIRTUAL, which Atlas cannot say.
type virtualColumn struct {
	schema, table, column string
	pos                   config.Pos
}

// hclWalk looks at the syntax of all HCL files before Atlas evaluates them.
type hclWalk struct {
	file     string
	wrong    *problems
	table    *hclsyntax.Block // the one being walked
	column   *hclsyntax.Block
	places   map[[2]string]*place  // by schema and table
	blocks   map[string]config.Pos // schemas and enums, as schema.public
	schemas  []schemaRef
	virtuals []virtualColumn
	// directives are what attributes of ours say.
	directives []directive
}

// schemaRef is a place where a table or an enum says which schema it is in.
type schemaRef struct {
	name string
	pos  config.Pos
}

// parseHCL reads and checks the files. The VIRTUAL columns in the parsed syntax are replaced by STORED ones with
// a marker in their expression.
func parseHCL(files []*file, wrong *problems) (*hclparse.Parser, *hclWalk) {
	parser := hclparse.NewParser()
	w := &hclWalk{wrong: wrong, places: map[[2]string]*place{}, blocks: map[string]config.Pos{}}
	for _, f := range files {
		w.file = f.name
		if deep := config.TooDeep([]byte(f.text), f.name); deep != nil {
			wrong.add(w.pos(*deep), "the file is nested too deeply")
			continue
		}
		parsed, diags := parser.ParseHCL([]byte(f.text), f.name)
		addDiagnostics(wrong, f.name, diags)
		if diags.HasErrors() {
			continue
		}
		w.body("a schema file", parsed.Body.(*hclsyntax.Body), documentShape())
	}
	sound := len(*wrong) == 0 // a file that cannot be read may have it
	for _, ref := range w.schemas {
		if _, ok := w.blocks["schema."+ref.name]; !ok && sound {
			wrong.add(ref.pos, "no .hcl source declares the schema %q: write schema %q {} into one of them, as Atlas wants it, also when the schema is there already",
				ref.name, ref.name)
		}
	}
	return parser, w
}

func addDiagnostics(wrong *problems, file string, diags hcl.Diagnostics) {
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		pos := config.Pos{File: file, Line: 1, Column: 1}
		if d.Subject != nil {
			pos = config.Pos{File: d.Subject.Filename, Line: d.Subject.Start.Line, Column: d.Subject.Start.Column}
		}
		detail := strings.Join(strings.Fields(d.Detail), " ")
		if strings.HasPrefix(detail, "There is no type named ") { // Atlas suggests one of equally near names by chance
			detail, _, _ = strings.Cut(detail, " Did you mean ")
		}
		wrong.add(pos, "%s: %s", d.Summary, detail)
	}
}

func (w *hclWalk) pos(r hcl.Range) config.Pos {
	return config.Pos{File: w.file, Line: r.Start.Line, Column: r.Start.Column}
}

func (w *hclWalk) body(owner string, body *hclsyntax.Body, s *shape) {
	for _, attr := range body.Attributes {
		if !s.open && !slices.Contains(s.attrs, attr.Name) {
			w.wrong.add(w.pos(attr.NameRange), "%s has no attribute %q that Atlas would read%s", owner, attr.Name, alternatives(s.attrs, owner))
		}
	}
	seen := map[string]bool{}
	for _, block := range body.Blocks {
		if seen[block.Type] && slices.Contains(s.once, block.Type) {
			w.wrong.add(w.pos(block.TypeRange), "%s has a second block %q, and Atlas would keep only one of them", owner, block.Type)
		}
		seen[block.Type] = true
		inner, ok := s.blocks[block.Type]
		switch {
		case ok:
			w.block(block, inner)
		case slices.Contains(elsewhere, block.Type) && owner == "a schema file":
			w.wrong.add(w.pos(block.TypeRange), "block %q would be passed over or refused by Atlas: declare it in a .sql file beside this one", block.Type)
		case block.Type == "variable" && owner == "a schema file":
			w.wrong.add(w.pos(block.TypeRange), "block \"variable\": a schema file takes no input: use locals")
		case block.Type == "partition":
			w.wrong.add(w.pos(block.TypeRange), "%s has no block \"partition\" that Atlas would read: partitions are made by policies, or declared in a .sql file", owner)
		default:
			w.wrong.add(w.pos(block.TypeRange), "%s has no block %q that Atlas would read%s", owner, block.Type, alternatives(slices.Sorted(maps.Keys(s.blocks)), ""))
		}
	}
}

// alternatives lists what could have been meant.
func alternatives(names []string, owner string) string {
	advice := ""
	if strings.HasPrefix(owner, "block \"") {
		advice = "; what HCL cannot say goes into a .sql file beside this one"
	}
	if len(names) == 0 {
		return advice
	}
	return fmt.Sprintf(" (it has %s)%s", strings.Join(slices.Sorted(slices.Values(names)), ", "), advice)
}

func (w *hclWalk) block(b *hclsyntax.Block, s *shape) {
	if n := len(b.Labels); n < s.least || n > s.most {
		w.wrong.add(w.pos(b.TypeRange), "block %q has %d labels in place of %s", b.Type, n, between(s.least, s.most))
		return
	}
	if attr := b.Body.Attributes["schema"]; attr != nil {
		if path := traversal(attr.Expr); len(path) == 2 && path[0] == "schema" {
			w.schemas = append(w.schemas, schemaRef{path[1], w.pos(attr.Expr.Range())})
		}
	}
	switch b.Type {
	case "table":
		w.table = b
		w.places[tableKey(b)] = &place{pos: w.pos(b.TypeRange), parts: map[string]config.Pos{}}
	case "schema", "enum":
		w.blocks[b.Type+"."+b.Labels[len(b.Labels)-1]] = w.pos(b.TypeRange)
	case "column":
		w.column = b
	}
	if b.Type != "table" && w.table != nil && len(b.Labels) == 1 {
		if p := w.places[tableKey(w.table)]; p != nil {
			p.parts[b.Labels[0]] = w.pos(b.TypeRange)
		}
	}
	w.direct(b, s)
	w.body(fmt.Sprintf("block %q", b.Type), b.Body, s)
	if s.check != nil {
		s.check(w, b)
	}
	if b.Type == "table" {
		w.table = nil
	}
}

func between(least, most int) string {
	if least == most {
		return fmt.Sprint(least)
	}
	return fmt.Sprintf("%d or %d", least, most)
}

// tableKey is the schema and the name that a table block declares; the schema as its attribute refers to it.
func tableKey(b *hclsyntax.Block) [2]string {
	key := [2]string{"", b.Labels[len(b.Labels)-1]}
	if attr := b.Body.Attributes["schema"]; attr != nil {
		if path := traversal(attr.Expr); len(path) == 2 && path[0] == "schema" {
			key[0] = path[1]
		}
	}
	return key
}

// traversal is the names of a reference such as schema.public, or nil.
func traversal(expr hclsyntax.Expression) []string {
	abs, diags := hcl.AbsTraversalForExpr(expr)
	if diags.HasErrors() {
		return nil
	}
	var out []string
	for _, step := range abs {
		switch s := step.(type) {
		case hcl.TraverseRoot:
			out = append(out, s.Name)
		case hcl.TraverseAttr:
			out = append(out, s.Name)
		case hcl.TraverseIndex:
			if s.Key.Type() == cty.String {
				out = append(out, s.Key.AsString())
			}
		}
	}
	return out
}

// columns checks references to columns of the same table: Atlas says no place, and for a primary key it crashes.
func (w *hclWalk) columns(b *hclsyntax.Block) {
	declared := map[string]bool{}
	for _, c := range w.table.Body.Blocks {
		if c.Type == "column" && len(c.Labels) == 1 {
			declared[c.Labels[0]] = true
		}
	}
	for _, attrName := range []string{"column", "columns", "include"} {
		attr := b.Body.Attributes[attrName]
		if attr == nil {
			continue
		}
		exprs := []hclsyntax.Expression{attr.Expr}
		if tuple, ok := attr.Expr.(*hclsyntax.TupleConsExpr); ok {
			exprs = tuple.Exprs
		}
		for _, e := range exprs {
			path := traversal(e)
			if len(path) != 2 || path[0] != "column" {
				w.wrong.add(w.pos(e.Range()), "a reference such as column.name is expected")
			} else if !declared[path[1]] {
				w.wrong.add(w.pos(e.Range()), "table %q has no column %q", w.table.Labels[len(w.table.Labels)-1], path[1])
			}
		}
	}
}

// identity refuses a zero, which Atlas takes for nothing said.
func (w *hclWalk) identity(b *hclsyntax.Block) {
	for _, attrName := range []string{"start", "increment"} {
		attr := b.Body.Attributes[attrName]
		if attr == nil {
			continue
		}
		if v, diags := attr.Expr.Value(nil); !diags.HasErrors() && v.Type() == cty.Number && v.AsBigFloat().Sign() == 0 {
			w.wrong.add(w.pos(attr.Expr.Range()), "%s = 0 would be passed over by Atlas: declare the table in a .sql file", attrName)
		}
	}
}

// virtualMarker stands in the expression of a VIRTUAL column until Atlas has planned it as a STORED one. It begins with a
// line's end, so that it is no part of a comment at the expression's end.
func virtualMarker(n int) string { return fmt.Sprintf("\n/*pgtender:virtual:%d*/", n) }

// generated reads the kind of a generated column and hides VIRTUAL from Atlas, which makes STORED of whatever it
// does not know.
func (w *hclWalk) generated(b *hclsyntax.Block) {
	kind, expr := b.Body.Attributes["type"], b.Body.Attributes["expr"]
	if expr == nil {
		w.wrong.add(w.pos(b.TypeRange), "block \"as\" needs an attribute expr")
		return
	}
	if kind == nil {
		return // STORED, as in Atlas
	}
	said := ""
	if path := traversal(kind.Expr); len(path) == 1 {
		said = path[0]
	} else if v, diags := kind.Expr.Value(nil); !diags.HasErrors() && v.Type() == cty.String {
		said = v.AsString()
	}
	if said != "STORED" && said != "VIRTUAL" {
		w.wrong.add(w.pos(kind.Expr.Range()), "the type of a generated column is STORED or VIRTUAL")
		return
	}
	kind.Expr = &hclsyntax.LiteralValueExpr{Val: cty.StringVal("STORED"), SrcRange: kind.Expr.Range()}
	if said == "STORED" || w.table == nil || w.column == nil {
		return
	}
	marker := &hclsyntax.LiteralValueExpr{Val: cty.StringVal(virtualMarker(len(w.virtuals))), SrcRange: expr.Expr.Range()}
	expr.Expr = &hclsyntax.TemplateExpr{Parts: []hclsyntax.Expression{expr.Expr, marker}, SrcRange: expr.Expr.Range()}
	key := tableKey(w.table)
	w.virtuals = append(w.virtuals, virtualColumn{schema: key[0], table: key[1], column: w.column.Labels[0], pos: w.pos(b.TypeRange)})
}
