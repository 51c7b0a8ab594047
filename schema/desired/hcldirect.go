package desired

import (
	"slices"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/pgtender/pgtender/schema/catalog"
)

// The attributes that Atlas passes over and that say what directives say in SQL.
const (
	attrRenamedFrom = "renamed_from"
	attrUsing       = "using"
)

// direct takes the attributes of ours off a block.
func (w *hclWalk) direct(b *hclsyntax.Block, s *shape) {
	if s.renames == nil {
		return
	}
	d := directive{subject: w.subject(b, s)}
	if attr := b.Body.Attributes[attrRenamedFrom]; attr != nil {
		d.from, d.pos = w.constant(attr), w.pos(attr.NameRange)
	}
	if attr := b.Body.Attributes[attrUsing]; attr != nil && slices.Contains(s.renames, catalog.Column) {
		d.using, d.pos = w.constant(attr), w.pos(attr.NameRange)
		delete(b.Body.Attributes, attrUsing)
	}
	delete(b.Body.Attributes, attrRenamedFrom)
	switch {
	case d.from == "" && d.using == "":
	case d.subject.name == "":
		w.wrong.add(d.pos, "block %q has no label, so what it declares is named by the server: give it a name", b.Type)
	case d.from == d.subject.name:
		w.wrong.add(d.pos, "%s: the old name is the new one", attrRenamedFrom)
	default:
		w.directives = append(w.directives, d)
	}
}

func (w *hclWalk) subject(b *hclsyntax.Block, s *shape) subject {
	out := subject{kinds: s.renames}
	if len(b.Labels) > 0 {
		out.name = b.Labels[len(b.Labels)-1]
	}
	of := b
	if b.Type != "table" && b.Type != "enum" && w.table != nil {
		of = w.table
	}
	key := tableKey(of)
	out.schema = key[0]
	if of != b {
		out.table = key[1]
	}
	return out
}

// constant is an attribute's value, which must be a string that is not empty.
func (w *hclWalk) constant(attr *hclsyntax.Attribute) string {
	v, diags := attr.Expr.Value(nil)
	if diags.HasErrors() || v.Type() != cty.String || v.AsString() == "" {
		w.wrong.add(w.pos(attr.Expr.Range()), "%s is a string, written out", attr.Name)
		return ""
	}
	return v.AsString()
}
