package plan

import (
	"context"
	"fmt"
	"strings"

	"ariga.io/atlas/sql/migrate"
	"ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"

	"github.com/pgtender/pgtender/schema/catalog"
)

// Atlas plans CREATE TABLE, columns and DROP TABLE. What its model cannot say (VIRTUAL, names of NOT NULL
// constraints, identity options, STORAGE, any constraint's full definition) rides along as a marker, a comment
// that no server-made text contains, and is put in its place in the planned statement.

// draft collects the markers of one statement.
type draft struct {
	id      int      // no two drafts have the same markers
	replace []string // pairs for strings.NewReplacer
}

func (b *builder) draft() *draft {
	b.drafts++
	return &draft{id: b.drafts}
}

// swap returns a marker and remembers that the planned text, with the marker at its place, becomes text.
func (d *draft) swap(planned func(marker string) string, text string) string {
	m := fmt.Sprintf("/*pgtender:%d:%d*/", d.id, len(d.replace)/2)
	d.replace = append(d.replace, planned(m), text)
	return m
}

func (d *draft) finish(sql string) (string, error) {
	sql = strings.NewReplacer(d.replace...).Replace(sql)
	if strings.Contains(sql, "/*pgtender:") {
		return "", fmt.Errorf("a marker was not found again in what Atlas planned: %s", sql)
	}
	return sql, nil
}

// atlasPlan has Atlas plan changes that must come out as one statement.
func (d *draft) plan(change schema.Change) (string, error) {
	p, err := postgres.DefaultPlan.PlanChanges(context.Background(), "pgtender", []schema.Change{change},
		func(o *migrate.PlanOptions) { o.Indent = "  " })
	if err != nil {
		return "", err
	}
	if len(p.Changes) != 1 {
		return "", fmt.Errorf("atlas planned %d statements in place of one", len(p.Changes))
	}
	return d.finish(p.Changes[0].Cmd)
}

// atlasName escapes a name for Atlas, which puts quotes around identifiers but does not look inside.
func atlasName(s string) string { return strings.ReplaceAll(s, `"`, `""`) }

func atlasTable(k catalog.Key) *schema.Table {
	return &schema.Table{Name: atlasName(k.Name), Schema: &schema.Schema{Name: atlasName(k.Schema)}}
}

// atlasColumn is the column for CREATE TABLE and ADD COLUMN. notNull is the column's NOT NULL constraint as written
// behind the type, or empty.
func (d *draft) atlasColumn(o *catalog.Object, notNull string, withDefault bool) *schema.Column {
	typ := o.Fact(catalog.FactType)
	if s := o.Fact(catalog.FactStorage); s != "" {
		typ += " STORAGE " + strings.ToUpper(s)
	}
	if c := o.Fact(catalog.FactCompression); c != "" {
		typ += " COMPRESSION " + c
	}
	if c := o.Fact(catalog.FactCollation); c != "" {
		typ += " COLLATE " + c
	}
	nullable := notNull == ""
	if nullable {
		typ += d.swap(func(m string) string { return m + " NULL" }, "")
	} else {
		typ += d.swap(func(m string) string { return m + " NOT NULL" }, " "+notNull)
	}
	c := &schema.Column{Name: atlasName(o.Key.Name), Type: &schema.ColumnType{Type: &postgres.UserDefinedType{T: typ}, Null: nullable}}
	switch {
	case o.Fact(catalog.FactGenerated) != "":
		c.Attrs = append(c.Attrs, d.generated(o))
	case o.Fact(catalog.FactIdentity) != "":
		c.Attrs = append(c.Attrs, d.identity(o))
	case withDefault && o.Fact(catalog.FactDefault) != "":
		c.Default = &schema.RawExpr{X: o.Fact(catalog.FactDefault)}
	}
	return c
}

// generated marks the end of a VIRTUAL expression, since Atlas prints STORED behind each.
func (d *draft) generated(o *catalog.Object) *schema.GeneratedExpr {
	expr := "(" + unwrap(o.Fact(catalog.FactExpression)) + ")"
	if o.Fact(catalog.FactGenerated) == "virtual" {
		m := d.swap(func(m string) string { return m + ") STORED" }, ") VIRTUAL")
		expr = strings.TrimSuffix(expr, ")") + m + ")"
	}
	return &schema.GeneratedExpr{Expr: expr}
}

func (d *draft) identity(o *catalog.Object) *postgres.Identity {
	generation := strings.ToUpper(o.Fact(catalog.FactIdentity))
	if options := identityOptions(o); options != "" {
		generation += d.swap(func(m string) string { return m + " AS IDENTITY" }, " AS IDENTITY"+options)
	}
	return &postgres.Identity{Generation: generation}
}

// identityOptions are the options of an identity's sequence that are not the default, in parentheses, or nothing.
func identityOptions(o *catalog.Object) string {
	options := sequenceClauses(o.Fact(catalog.FactSequence), sequenceType(o.Fact(catalog.FactSequence)))
	if n := o.Fact(catalog.FactSequenceName); n != "" {
		options = strings.TrimSpace("SEQUENCE NAME " + n + " " + options)
	}
	if options == "" {
		return ""
	}
	return " (" + options + ")"
}

// constraint is a table constraint by its own full definition.
func (d *draft) constraint(name, definition string) *schema.Check {
	m := d.swap(func(m string) string { return "CHECK (" + m + ")" }, definition)
	return &schema.Check{Name: atlasName(name), Expr: m}
}

// unwrap takes away one pair of parentheses that spans the whole expression.
func unwrap(expr string) string {
	if len(expr) < 2 || expr[0] != '(' || expr[len(expr)-1] != ')' {
		return expr
	}
	depth := 0
	for i := 0; i < len(expr); i++ {
		switch expr[i] {
		case '\'', '"': // a doubled quote inside reads as two strings side by side
			end := strings.IndexByte(expr[i+1:], expr[i])
			if end < 0 {
				return expr
			}
			i += end + 1
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 && i < len(expr)-1 {
				return expr
			}
		}
	}
	return expr[1 : len(expr)-1]
}
