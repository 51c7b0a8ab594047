package desired

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// hclStatements has Atlas evaluate the HCL files together and plan their tables from empty.
func hclStatements(files []*file, wrong *problems) ([]*statement, []virtualColumn, []directive) {
	if len(files) == 0 {
		return nil, nil, nil
	}
	before := len(*wrong)
	parser, walk := parseHCL(files, wrong)
	if len(*wrong) > before {
		return nil, nil, nil
	}
	realm, err := evaluate(parser)
	if err != nil {
		var diags hcl.Diagnostics
		if errors.As(err, &diags) {
			addDiagnostics(wrong, files[0].name, diags)
		} else {
			wrong.add(config.Pos{File: files[0].name, Line: 1, Column: 1}, "Atlas cannot evaluate the HCL files: %v", err)
		}
		return nil, nil, nil
	}
	for _, s := range realm.Schemas {
		for _, t := range s.Tables {
			honest(t, walk.places[[2]string{s.Name, t.Name}], wrong)
		}
	}
	if len(*wrong) > before {
		return nil, nil, nil
	}
	out, err := planRealm(realm, walk)
	if err != nil {
		wrong.add(config.Pos{File: files[0].name, Line: 1, Column: 1}, "Atlas cannot plan the HCL files' tables: %v", err)
	}
	return out, walk.virtuals, walk.directives
}

// evaluate guards against a crash inside Atlas on input that the walk let pass.
func evaluate(parser *hclparse.Parser) (realm *schema.Realm, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it stopped on: %v", r)
		}
	}()
	realm = &schema.Realm{}
	return realm, postgres.EvalHCL.Eval(parser, realm, nil)
}

// planRealm writes schemas and enums itself and leaves the tables to Atlas.
func planRealm(realm *schema.Realm, walk *hclWalk) ([]*statement, error) {
	var out []*statement
	var changes []schema.Change
	var after []*statement // comments
	places, renames := map[*schema.Table]*place{}, map[*schema.Table]string{}
	for _, s := range realm.Schemas {
		objects, err := schemaStatements(s, walk)
		if err != nil {
			return nil, err
		}
		out = append(out, objects...)
		for _, t := range s.Tables {
			places[t] = walk.places[[2]string{s.Name, t.Name}]
			if pk := t.PrimaryKey; pk != nil && pk.Name != "" { // Atlas plans it without its name
				renames[t] = fmt.Sprintf("ALTER TABLE %s RENAME CONSTRAINT %s TO %s", pg.Ident(s.Name, t.Name),
					pg.Ident(catalog.DefaultName(t.Name, "", "pkey")), pg.Ident(pk.Name))
			}
			after = append(after, comments(t, places[t])...)
			changes = append(changes, &schema.AddTable{T: t})
		}
	}
	named := map[[2]string]*schema.Table{} // where tables refer to each other in a circle, Atlas plans copies of them
	for _, s := range realm.Schemas {
		escape(s)
		for _, t := range s.Tables {
			named[[2]string{s.Name, t.Name}] = t
		}
	}
	plan, err := postgres.DefaultPlan.PlanChanges(context.Background(), "sources", changes,
		func(o *migrate.PlanOptions) { o.Indent = "  " })
	if err != nil {
		return nil, err
	}
	for _, c := range plan.Changes {
		t, creates := tableOf(c)
		if t != nil && places[t] == nil {
			t = named[[2]string{t.Schema.Name, t.Name}]
		}
		if places[t] == nil {
			return nil, fmt.Errorf("Atlas planned a statement of a table that is not declared: %s", c.Cmd)
		}
		sql, err := virtual(c.Cmd)
		if err != nil {
			return nil, err
		}
		out = append(out, places[t].statement(sql))
		if creates && renames[t] != "" {
			out = append(out, places[t].statement(renames[t]))
			delete(renames, t)
		}
	}
	return append(out, after...), nil
}

func schemaStatements(s *schema.Schema, walk *hclWalk) ([]*statement, error) {
	at := &place{pos: walk.blocks["schema."+s.Name]}
	create := at.statement("CREATE SCHEMA IF NOT EXISTS " + pg.Ident(s.Name))
	create.schema = s.Name
	out := []*statement{create}
	for _, a := range s.Attrs {
		if c, ok := a.(*schema.Comment); ok && c.Text != "" {
			out = append(out, at.statement("COMMENT ON SCHEMA "+pg.Ident(s.Name)+" IS "+pg.Literal(c.Text)))
		}
	}
	for _, o := range s.Objects {
		e, ok := o.(*schema.EnumType)
		if !ok {
			return nil, fmt.Errorf("schema %q has an object that is no enum: %T", s.Name, o)
		}
		values := make([]string, len(e.Values))
		for i, v := range e.Values {
			values[i] = pg.Literal(v)
		}
		at := &place{pos: walk.blocks["enum."+e.T]}
		out = append(out, at.statement("CREATE TYPE "+pg.Ident(s.Name, e.T)+" AS ENUM ("+strings.Join(values, ", ")+")"))
	}
	return out, nil
}

// honest refuses what Atlas would plan differently from what was declared.
func honest(t *schema.Table, at *place, wrong *problems) {
	if at == nil {
		wrong.add(config.Pos{}, "table %q: its schema must be written as schema.%s", t.Name, t.Schema.Name)
		return
	}
	for _, c := range t.Columns {
		if _, serial := c.Type.Type.(*postgres.SerialType); serial && c.Default != nil {
			wrong.add(at.part(c.Name), "column %q of table %q is serial and has a default, which Atlas would pass over: remove it", c.Name, t.Name)
		}
	}
}

// escape prepares names for Atlas, which puts quotes around them without looking inside.
func escape(s *schema.Schema) {
	name := func(p *string) { *p = strings.ReplaceAll(*p, `"`, `""`) }
	name(&s.Name)
	for _, t := range s.Tables {
		name(&t.Name)
		for _, c := range t.Columns {
			name(&c.Name)
		}
		for _, x := range t.Indexes {
			name(&x.Name)
			for _, a := range x.Attrs {
				if c, ok := a.(*postgres.Constraint); ok {
					name(&c.N)
				}
			}
		}
		for _, f := range t.ForeignKeys {
			name(&f.Symbol)
		}
		for _, a := range t.Attrs {
			if c, ok := a.(*schema.Check); ok {
				name(&c.Name)
			}
		}
	}
}

// comments takes the comments of a table and its parts away from Atlas, which takes one in quotes for SQL.
func comments(t *schema.Table, at *place) []*statement {
	var out []*statement
	take := func(attrs *[]schema.Attr, object, part string) {
		*attrs = slices.DeleteFunc(*attrs, func(a schema.Attr) bool {
			c, ok := a.(*schema.Comment)
			if ok && c.Text != "" {
				sql := "COMMENT ON " + object + " IS " + pg.Literal(c.Text)
				out = append(out, &statement{sql: sql, pos: at.pos, locate: func(int, string) config.Pos { return at.part(part) }})
			}
			return ok
		})
	}
	take(&t.Attrs, "TABLE "+pg.Ident(t.Schema.Name, t.Name), "")
	for _, c := range t.Columns {
		take(&c.Attrs, "COLUMN "+pg.Ident(t.Schema.Name, t.Name, c.Name), c.Name)
	}
	for _, x := range t.Indexes {
		take(&x.Attrs, "INDEX "+pg.Ident(t.Schema.Name, x.Name), x.Name)
	}
	return out
}

// part is where the named part is declared, or the table.
func (p *place) part(name string) config.Pos {
	if at, ok := p.parts[name]; ok {
		return at
	}
	return p.pos
}

func tableOf(c *migrate.Change) (t *schema.Table, creates bool) {
	switch src := c.Source.(type) {
	case *schema.AddTable:
		return src.T, true
	case *schema.ModifyTable:
		return src.T, false
	}
	return nil, false
}

// virtual puts VIRTUAL in the place of STORED behind each marker.
func virtual(sql string) (string, error) {
	marked := regexp.MustCompile(`\n?/\*pgtender:virtual:\d+\*/(\)+) STORED`)
	sql = marked.ReplaceAllString(sql, "\n$1 VIRTUAL") // the line's end: the expression may end in a comment
	if strings.Contains(sql, "/*pgtender:virtual:") {
		return "", fmt.Errorf("a virtual column was not found again in what Atlas planned: %s", sql)
	}
	return sql, nil
}

// statement is one of the table's, whose errors are located by the line of Atlas's text that they are in.
func (p *place) statement(sql string) *statement {
	return &statement{sql: sql, pos: p.pos, locate: func(position int, part string) config.Pos {
		if at, ok := p.parts[part]; ok {
			return at
		}
		runes := []rune(sql)
		if position <= 0 || position > len(runes) {
			return p.pos
		}
		before, after := string(runes[:position-1]), string(runes[position-1:])
		line := before[strings.LastIndexByte(before, '\n')+1:]
		if i := strings.IndexByte(after, '\n'); i >= 0 {
			after = after[:i]
		}
		named := regexp.MustCompile(`^\s*(?:CONSTRAINT |CREATE (?:UNIQUE )?INDEX )?"((?:[^"]|"")+)"`).FindStringSubmatch(line + after)
		if named != nil {
			return p.part(strings.ReplaceAll(named[1], `""`, `"`))
		}
		return p.pos
	}}
}
