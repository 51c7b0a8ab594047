package config

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// structure holds the names in a file against the reference. It evaluates nothing, so it may look into
// every env.
type structure struct {
	*problems
	root  *block
	notes []Note
}

// scope is where in the file the check is.
type scope struct {
	title  string // for messages: `env "local"`; empty at the top level
	path   string // for notes: "schema.repo"
	names  bool   // only unknown names matter: the block belongs to an env that was not chosen
	within *block
}

func (s *structure) file(body *hclsyntax.Body, chosen *hclsyntax.Block) {
	top := scope{within: s.root}
	for _, a := range body.Attributes {
		s.attribute(a, top)
	}
	seen := map[string]*hclsyntax.Block{}
	for _, b := range body.Blocks {
		in := top
		in.names = b.Type == "env" && b != chosen
		s.block(b, in, seen)
	}
}

func (s *structure) block(b *hclsyntax.Block, in scope, seen map[string]*hclsyntax.Block) {
	ref := in.within.block(b.Type)
	if ref == nil {
		s.unknown("block", b.Type, s.pos(b.TypeRange), in)
		return
	}
	name := strings.TrimPrefix(in.path+"."+b.Type, ".")
	switch {
	case ref.standing == refused && !in.names:
		s.add(s.pos(b.TypeRange), "%s%s is refused: %s", in.lead(), b.Type, ref.reason)
		return
	case ref.standing == ignored && ref.free && !in.names:
		s.notes = append(s.notes, Note{s.pos(b.TypeRange), name, ref.reason})
	}
	if ref.standing == used {
		s.label(b, ref, in)
	}
	if first := seen[b.Type]; first != nil && !ref.many {
		s.add(s.pos(b.TypeRange), "%s%s is given twice; the first is at %s", in.lead(), b.Type, s.pos(first.TypeRange))
	}
	seen[b.Type] = b
	if ref.free {
		return
	}
	inner := scope{title: in.join(title(b)), path: name, names: in.names, within: ref}
	if b.Type == "env" {
		inner.path = ""
	}
	s.body(b, inner)
}

func (s *structure) body(b *hclsyntax.Block, in scope) {
	for _, a := range b.Body.Attributes {
		s.attribute(a, in)
	}
	seen := map[string]*hclsyntax.Block{}
	for _, c := range b.Body.Blocks {
		s.block(c, in, seen)
	}
	if in.names {
		return
	}
	for _, a := range in.within.attrs {
		if a.required && b.Body.Attributes[a.name] == nil {
			s.add(s.pos(b.TypeRange), "%s%s is missing", in.lead(), a.name)
		}
	}
}

func (s *structure) attribute(a *hclsyntax.Attribute, in scope) {
	ref := in.within.attr(a.Name)
	switch {
	case ref == nil:
		s.unknown("attribute", a.Name, s.pos(a.NameRange), in)
	case in.names:
	case ref.standing == refused:
		s.add(s.pos(a.NameRange), "%s%s is refused: %s", in.lead(), a.Name, ref.reason)
	case ref.standing == later:
		s.add(s.pos(a.NameRange), "%s%s: %s", in.lead(), a.Name, ref.reason)
	}
}

func (s *structure) label(b *hclsyntax.Block, ref *block, in scope) {
	switch {
	case ref.label == "" && len(b.Labels) > 0:
		s.add(s.pos(b.LabelRanges[0]), "%s%s takes no label: write %s { … }", in.lead(), b.Type, b.Type)
	case ref.label != "" && len(b.Labels) == 0 && !ref.optional:
		s.add(s.pos(b.TypeRange), "%s%s needs a label, %s: write %s \"NAME\" { … }", in.lead(), b.Type, ref.label, b.Type)
	case len(b.Labels) > 1:
		s.add(s.pos(b.LabelRanges[1]), "%s%s takes one label, %s", in.lead(), b.Type, ref.label)
	}
}

// unknown names the nearest name, or the right way to write a known one.
func (s *structure) unknown(kind, name string, pos Pos, in scope) {
	if kind == "block" && in.within.attr(name) != nil {
		s.add(pos, "%s%s is an attribute, not a block: write %s = …", in.lead(), name, name)
		return
	}
	if kind == "attribute" && in.within.block(name) != nil {
		s.add(pos, "%s%s is a block, not an attribute: write %s { … }, without \"=\"", in.lead(), name, name)
		return
	}
	where := " at the top level"
	if in.title != "" {
		where = " in " + in.title
	}
	if nearest(name, in.within.names()) == "" {
		if parents := s.root.parentsOf(name); len(parents) > 0 {
			s.add(pos, "unknown %s %q%s; it belongs in %s", kind, name, where, either(parents))
			return
		}
	}
	s.add(pos, "unknown %s %q%s%s", kind, name, where, suggest(name, in.within.names()...))
}

// lead begins a message about something in the scope.
func (in scope) lead() string {
	if in.title == "" {
		return ""
	}
	return in.title + ": "
}

// join leaves the env out of the title of what is in it: one file seldom has two at odds.
func (in scope) join(title string) string {
	if in.title == "" || strings.HasPrefix(in.title, "env") {
		return title
	}
	return in.title + ": " + title
}

func title(b *hclsyntax.Block) string {
	if len(b.Labels) == 0 {
		return b.Type
	}
	return fmt.Sprintf("%s %q", b.Type, b.Labels[0])
}
