package refresh

import "strings"

// node is one node of a stored query, as pg_rewrite.ev_action writes it: {NAME :field value :field value}. A field may come
// more than once: an alias can look like one.
type node struct {
	name   string
	fields map[string][]any // *node, []any (a list), string (a token)
}

// parseTree reads a stored query. Source: PostgreSQL's nodes/read.c. What it cannot read yields ok = false.
func parseTree(text string) (tree any, ok bool) {
	p := treeParser{tokens: tokens(text)}
	tree = p.value()
	return tree, !p.broken && p.at == len(p.tokens)
}

type treeParser struct {
	tokens []string
	at     int
	broken bool
}

func (p *treeParser) next() string {
	if p.at >= len(p.tokens) {
		p.broken = true
		return ""
	}
	p.at++
	return p.tokens[p.at-1]
}

func (p *treeParser) peek() string {
	if p.at >= len(p.tokens) {
		p.broken = true
		return "}"
	}
	return p.tokens[p.at]
}

func (p *treeParser) value() any {
	switch t := p.next(); t {
	case "{":
		n := &node{name: p.next(), fields: map[string][]any{}}
		field := ""
		for !p.broken {
			switch t := p.peek(); {
			case t == "}":
				p.next()
				return n
			case strings.HasPrefix(t, ":"):
				field = p.next()[1:]
			default:
				n.fields[field] = append(n.fields[field], p.value())
			}
		}
		return n
	case "(":
		var list []any
		for !p.broken && p.peek() != ")" {
			if p.peek() == "}" {
				p.broken = true
				break
			}
			list = append(list, p.value())
		}
		p.next()
		return list
	case ")", "}":
		p.broken = true
		return nil
	default:
		return t
	}
}

// tokens splits as pg_strtok does: at white space, with brackets alone, and a backslash keeping what follows.
func tokens(text string) []string {
	var out []string
	start := -1
	end := func(i int) {
		if start >= 0 {
			out = append(out, text[start:i])
			start = -1
		}
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ' ', '\n', '\t':
			end(i)
		case '(', ')', '{', '}':
			end(i)
			out = append(out, text[i:i+1])
		default:
			if start < 0 {
				start = i
			}
			if c == '\\' {
				i++
			}
		}
	}
	end(len(text))
	return out
}

// walk visits every node.
func walk(v any, visit func(*node)) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			walk(item, visit)
		}
	case *node:
		visit(v)
		for _, values := range v.fields {
			walk(values, visit)
		}
	}
}
