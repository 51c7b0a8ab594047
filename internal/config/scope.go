package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"ariga.io/atlas/schemahcl"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// buildScope makes what expressions may use: the atlas CLI's functions, atlas.env, var and local. What
// could not be had is reported and unknown, so that the reading can go on.
func (l *loader) buildScope(body *hclsyntax.Body, env string) bool {
	outer, err := l.atlasScope(env)
	if err != nil {
		l.add(Pos{File: l.file}, "set up the functions of the atlas CLI: %v", err)
		return false
	}
	l.scope = outer
	variables := l.variables(body)
	l.scope = outer.NewChild()
	l.scope.Variables = map[string]cty.Value{"var": cty.ObjectVal(variables)}
	l.locals(body)
	return true
}

// atlasScope is the evaluation context that the atlas CLI gives to a project file. The library keeps
// its functions to itself; an init block is handed them.
func (l *loader) atlasScope(env string) (*hcl.EvalContext, error) {
	const probe = "pgtender_probe"
	var scope *hcl.EvalContext
	state := schemahcl.New(
		schemahcl.WithVariables(map[string]cty.Value{"atlas": cty.ObjectVal(map[string]cty.Value{"env": cty.StringVal(env)})}),
		schemahcl.WithFunctions(map[string]function.Function{
			"file":    schemahcl.MakeFileFunc(l.base),
			"glob":    schemahcl.MakeGlobFunc(l.base),
			"fileset": schemahcl.MakeFileSetFunc(l.base),
			"getenv":  l.getenv(),
		}),
		schemahcl.WithInitBlock(probe, func(_ context.Context, ctx *hcl.EvalContext, _ *hclsyntax.Block) (cty.Value, error) {
			scope = ctx
			return cty.True, nil
		}),
	)
	if err := state.EvalBytes([]byte(probe+" {}\n"), &struct{}{}, nil); err != nil {
		return nil, err
	}
	delete(scope.Variables, probe)
	delete(scope.Variables, "var") // empty there, and made by the caller
	inner := scope.NewChild()
	inner.Functions = map[string]function.Function{"print": noPrint()}
	return inner, nil
}

func (l *loader) getenv() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "key", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := args[0].AsString()
			value := l.opts.Getenv(name)
			l.secrets.learn(name, value)
			return cty.StringVal(value), nil
		},
	})
}

// noPrint stands before the atlas CLI's print, which writes to standard output, where plans go.
func noPrint() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowNull: true}},
		Type:   function.StaticReturnType(cty.DynamicPseudoType),
		Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
			return cty.NilVal, errors.New("print is not supported: it would write into the output of commands")
		},
	})
}

func (l *loader) variables(body *hclsyntax.Body) map[string]cty.Value {
	values, first := map[string]cty.Value{}, map[string]Pos{}
	for _, b := range body.Blocks {
		if b.Type != "variable" || len(b.Labels) == 0 {
			continue
		}
		name, pos := b.Labels[0], l.pos(b.LabelRanges[0])
		if at, twice := first[name]; twice {
			l.add(pos, "variable %q is given twice; the first is at %s", name, at)
			continue
		}
		first[name] = pos
		values[name] = l.variable(section{l, b, l.root.block("variable"), title(b)}, name)
	}
	known := slices.Sorted(maps.Keys(first))
	for _, name := range slices.Sorted(maps.Keys(l.opts.Vars)) {
		if _, ok := first[name]; !ok {
			l.add(Pos{File: l.file}, "--var %s: there is no such variable%s", name, suggest(name, known...))
		}
	}
	return values
}

// variable returns the value in its declared type; unknown after a problem.
func (l *loader) variable(s section, name string) cty.Value {
	s.str("description", "") // has no effect, but is a string
	typ, ok := l.variableType(s)
	if !ok {
		return cty.DynamicVal
	}
	if text, given := l.opts.Vars[name]; given {
		l.secrets.learn(name, text)
		value, err := fromText(text, typ)
		if err != nil {
			l.add(s.pos(), "%s: --var %s is no %s: %v", s.title, name, typ.FriendlyName(), err)
		}
		return value
	}
	attr := s.attr("default")
	if attr == nil {
		l.add(s.pos(), "%s has no default: set it with --var %s=VALUE", s.title, name)
		return cty.DynamicVal
	}
	value := l.value(attr.Expr, s.title+": default")
	if !value.IsWhollyKnown() {
		return cty.DynamicVal
	}
	converted, err := convert.Convert(value, typ)
	if err != nil {
		l.add(l.pos(attr.Expr.Range()), "%s: default is no %s: %v", s.title, typ.FriendlyName(), err)
		return cty.DynamicVal
	}
	if typ == cty.String && !converted.IsNull() {
		l.secrets.learn(name, converted.AsString())
	}
	return converted
}

// variableType evaluates a type such as string or list(string), which the atlas CLI has as values.
func (l *loader) variableType(s section) (cty.Type, bool) {
	attr := s.attr("type")
	if attr == nil {
		return cty.NilType, false // reported as missing
	}
	value, ok := s.eval("type")
	if !ok {
		return cty.NilType, false
	}
	if value.Type().IsCapsuleType() {
		if typ, ok := value.EncapsulatedValue().(*cty.Type); ok {
			return *typ, true
		}
	}
	l.add(l.pos(attr.Expr.Range()), "%s: type is no type: write string, number, bool, list(string), set(string) or map(string), without quotes", s.title)
	return cty.NilType, false
}

// fromText converts the text of --var. Errors do not repeat it: it may be a secret.
func fromText(text string, typ cty.Type) (cty.Value, error) {
	switch {
	case typ == cty.String:
		return cty.StringVal(text), nil
	case typ.IsPrimitiveType():
		value, err := convert.Convert(cty.StringVal(text), typ)
		if err != nil {
			return cty.DynamicVal, fmt.Errorf("a %s is required", typ.FriendlyName())
		}
		return value, nil
	case typ.IsListType() && typ.ElementType() == cty.String && !strings.HasPrefix(strings.TrimSpace(text), "["):
		return cty.ListVal([]cty.Value{cty.StringVal(text)}), nil
	}
	value, err := ctyjson.Unmarshal([]byte(text), typ)
	if err != nil {
		return cty.DynamicVal, errors.New("it is read as JSON, and is not of that type")
	}
	return value, nil
}

// locals evaluates the locals in the order in which they need each other.
func (l *loader) locals(body *hclsyntax.Body) {
	attrs := map[string]*hclsyntax.Attribute{}
	for _, b := range body.Blocks {
		if b.Type != "locals" {
			continue
		}
		for _, inner := range b.Body.Blocks {
			l.add(l.pos(inner.TypeRange), "locals has no blocks: write %s = …", inner.Type)
		}
		for name, a := range b.Body.Attributes {
			if first := attrs[name]; first != nil {
				l.add(l.pos(a.NameRange), "local %q is given twice; the first is at %s", name, l.pos(first.NameRange))
				continue
			}
			attrs[name] = a
		}
	}
	w := &localWalk{loader: l, attrs: attrs, values: map[string]cty.Value{}, state: map[string]int{}}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		w.visit(name)
	}
	l.scope.Variables["local"] = cty.ObjectVal(w.values)
}

// localWalk evaluates each local after those that it uses.
type localWalk struct {
	*loader
	attrs  map[string]*hclsyntax.Attribute
	values map[string]cty.Value
	state  map[string]int // 1: being evaluated, 2: done
}

func (w *localWalk) visit(name string) {
	attr := w.attrs[name]
	if attr == nil || w.state[name] == 2 {
		return
	}
	if w.state[name] == 1 {
		w.add(w.pos(attr.NameRange), "local %q is defined by itself", name)
		w.state[name], w.values[name] = 2, cty.DynamicVal
		return
	}
	w.state[name] = 1
	for _, used := range hclsyntax.Variables(attr.Expr) {
		if used.RootName() == "local" {
			w.visit(attrName(used))
		}
	}
	if w.state[name] == 2 { // found in a circle
		return
	}
	w.state[name] = 2
	w.scope.Variables["local"] = cty.ObjectVal(w.values)
	if why := w.elsewhere(attr.Expr); why != "" { // an error only where it is used
		w.withheld[name], w.values[name] = why, cty.DynamicVal
		return
	}
	w.values[name] = w.value(attr.Expr, fmt.Sprintf("local %q", name))
}

// attrName is the name behind the root of a traversal: x of local.x.
func attrName(t hcl.Traversal) string {
	if len(t) > 1 {
		if attr, ok := t[1].(hcl.TraverseAttr); ok {
			return attr.Name
		}
	}
	return ""
}
