package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// value evaluates an expression; context says for whom. After a problem, which it reports, it is unknown.
func (l *loader) value(expr hclsyntax.Expression, context string) cty.Value {
	if !l.resolve(expr, context) {
		return cty.DynamicVal
	}
	value, diags := expr.Value(l.scope)
	if diags.HasErrors() {
		l.addDiagnostics(diags, context+": ")
		return cty.DynamicVal
	}
	value, _ = value.UnmarkDeep()
	return value
}

// resolve reports names in an expression that stand for nothing, in better words than the library, which
// speaks of objects and their attributes.
func (l *loader) resolve(expr hclsyntax.Expression, context string) bool {
	ok := true
	bad := func(r hcl.Range, format string, args ...any) {
		ok = false
		l.add(l.pos(r), "%s: %s", context, fmt.Sprintf(format, args...))
	}
	if why := l.elsewhere(expr); why != "" {
		bad(expr.Range(), "%s", why)
	}
	for _, t := range hclsyntax.Variables(expr) {
		root, name := t.RootName(), attrName(t)
		known, isScope := l.lookup(root)
		switch {
		case root == "data" || root == "docker":
		case !isScope && (root == "var" || root == "local"):
			bad(t.SourceRange(), "a variable's default may not use other variables or locals")
		case !isScope:
			bad(t.SourceRange(), "unknown word %s: put it in quotes if it is a text", root)
		case name != "" && !slices.Contains(known, name):
			bad(t.SourceRange(), "there is no %s.%s%s", root, name, suggest(name, known...))
		}
	}
	for _, call := range calls(expr) {
		if functions := l.functions(); !slices.Contains(functions, call.Name) {
			hint := ""
			if best := nearest(call.Name, functions); best != "" {
				hint = fmt.Sprintf("; did you mean %q?", best)
			}
			bad(call.NameRange, "there is no function %s%s", call.Name, hint)
		}
	}
	return ok
}

// elsewhere says why an expression has no value here though it has one for the atlas CLI; empty: it has.
func (l *loader) elsewhere(expr hclsyntax.Expression) string {
	for _, used := range hclsyntax.Variables(expr) {
		switch root := used.RootName(); root {
		case "data", "docker":
			return root + " blocks are not evaluated: pass the value as a variable, with --var or getenv"
		case "local":
			if why := l.withheld[attrName(used)]; why != "" {
				return fmt.Sprintf("local.%s cannot be had: %s", attrName(used), why)
			}
		}
	}
	return ""
}

// lookup returns the names in a root variable such as var, and whether there is such a root.
func (l *loader) lookup(root string) ([]string, bool) {
	for ctx := l.scope; ctx != nil; ctx = ctx.Parent() {
		value, ok := ctx.Variables[root]
		if !ok {
			continue
		}
		if !value.Type().IsObjectType() {
			return nil, true
		}
		return slices.Sorted(maps.Keys(value.Type().AttributeTypes())), true
	}
	return nil, false
}

func (l *loader) functions() []string {
	var names []string
	for ctx := l.scope; ctx != nil; ctx = ctx.Parent() {
		names = slices.AppendSeq(names, maps.Keys(ctx.Functions))
	}
	return names
}

// calls finds the function calls in an expression.
func calls(expr hclsyntax.Expression) []*hclsyntax.FunctionCallExpr {
	var found []*hclsyntax.FunctionCallExpr
	_ = hclsyntax.VisitAll(expr, func(node hclsyntax.Node) hcl.Diagnostics { // the visitor never fails
		if call, ok := node.(*hclsyntax.FunctionCallExpr); ok {
			found = append(found, call)
		}
		return nil
	})
	return found
}
