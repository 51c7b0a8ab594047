package catalog

import "strings"

// canonical rewrites the expressions that the server prints differently once it has read its own print. One is a cast
// of an array constructor: of status IN ('a', 'b') on a varchar it prints
//
//	(status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[])
//
// and, when that is read and printed again,
//
//	(status)::text = ANY (ARRAY[('a'::character varying)::text, ('b'::character varying)::text])
//
// because the parser hands the cast down to the elements (transformTypeCast in parser/parse_expr.c). The other is what IN
// makes of a list that is not constant, ((a OR b) OR c), which the grammar flattens to (a OR b OR c). A database
// made from the first print would differ for ever, so both are compared as the second. Strings, quoted names and
// dollar-quoted bodies are left as they are.
func canonical(sql string) string { return flatten(handDownCasts(sql)) }

func handDownCasts(sql string) string {
	const open = "(ARRAY["
	if !strings.Contains(sql, open) {
		return sql
	}
	var out strings.Builder
	for i := 0; i < len(sql); {
		if n := opaque(sql[i:]); n > 0 {
			out.WriteString(sql[i : i+n])
			i += n
			continue
		}
		if strings.HasPrefix(sql[i:], open) {
			if elements, typ, n, ok := castArray(sql[i+len(open):]); ok {
				for k, e := range elements {
					elements[k] = "(" + handDownCasts(e) + ")::" + typ
				}
				out.WriteString("ARRAY[" + strings.Join(elements, ", ") + "]")
				i += len(open) + n
				continue
			}
		}
		out.WriteByte(sql[i])
		i++
	}
	return out.String()
}

// castArray reads the elements of an array constructor and the type that it is cast to, from behind its opening
// bracket. n is how much it has read. Nested constructors are not taken apart.
func castArray(s string) (elements []string, typ string, n int, ok bool) {
	depth, start := 0, 0
	for i := 0; i < len(s); {
		if k := opaque(s[i:]); k > 0 {
			i += k
			continue
		}
		switch s[i] {
		case '(', '[':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				elements = append(elements, strings.TrimSpace(s[start:i]))
				start = i + 1
			}
		case ']':
			if depth > 0 {
				depth--
				break
			}
			elements = append(elements, strings.TrimSpace(s[start:i]))
			const cast = "])::"
			if !strings.HasPrefix(s[i:], cast) {
				return nil, "", 0, false
			}
			typ, k := arrayType(s[i+len(cast):])
			for _, e := range elements {
				if e == "" || strings.HasPrefix(e, "ARRAY[") {
					return nil, "", 0, false
				}
			}
			return elements, typ, i + len(cast) + k, k > 0
		}
		i++
	}
	return nil, "", 0, false
}

// arrayType reads a type name followed by []: text[], character varying(20)[], public."odd name"[]. n includes the brackets.
func arrayType(s string) (typ string, n int) {
	for i := 0; i < len(s); {
		if s[i] == '"' {
			i += opaque(s[i:])
			continue
		}
		switch c := s[i]; {
		case c == '[':
			if i > 0 && strings.HasPrefix(s[i:], "[]") {
				return s[:i], i + 2
			}
			return "", 0
		case c == '(':
			end := strings.IndexByte(s[i:], ')')
			if end < 0 {
				return "", 0
			}
			i += end + 1
		case c == ' ' || c == '.' || c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80:
			i++
		default:
			return "", 0
		}
	}
	return "", 0
}

// flatten takes the parentheses off the first operand of an OR or AND that is one of the same kind.
func flatten(sql string) string {
	for _, op := range []string{" OR ", " AND "} {
		if strings.Count(sql, op) < 2 {
			continue
		}
		for i := 0; i < len(sql); {
			if n := opaque(sql[i:]); n > 0 {
				i += n
				continue
			}
			if strings.HasPrefix(sql[i:], "((") {
				inner := group(sql[i+1:]) // the first operand, if that is one whole group
				outer := group(sql[i:])
				if inner > 0 && outer > 0 && strings.HasPrefix(sql[i+1+inner:], op) &&
					joins(sql[i+2:i+inner], op) && joins(sql[i+1:i+outer-1], op) {
					sql = sql[:i+1] + sql[i+2:i+inner] + sql[i+1+inner:]
					continue // the operand may begin with another
				}
			}
			i++
		}
	}
	return sql
}

// group returns the length of the parenthesised text that s begins with, or 0.
func group(s string) int {
	if s == "" || s[0] != '(' {
		return 0
	}
	depth := 0
	for i := 0; i < len(s); {
		if n := opaque(s[i:]); n > 0 {
			i += n
			continue
		}
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return 0
}

// joins reports whether s, outside parentheses, is operands joined by op, each a group: then nothing else binds them.
func joins(s, op string) bool {
	for first := true; ; first = false {
		n := group(s)
		if n == 0 {
			return false
		}
		if s = s[n:]; s == "" {
			return !first
		}
		if !strings.HasPrefix(s, op) {
			return false
		}
		s = s[len(op):]
	}
}

// opaque returns the length of the string constant, quoted name or dollar-quoted text that s begins with, or 0.
func opaque(s string) int {
	switch s[0] {
	case '\'', '"':
		for i := 1; i < len(s); i++ {
			if s[i] == s[0] {
				if i+1 < len(s) && s[i+1] == s[0] {
					i++
					continue
				}
				return i + 1
			}
		}
		return len(s)
	case 'E':
		if len(s) > 1 && s[1] == '\'' {
			for i := 2; i < len(s); i++ {
				switch s[i] {
				case '\\':
					i++
				case '\'':
					if i+1 < len(s) && s[i+1] == '\'' {
						i++
						continue
					}
					return i + 1
				}
			}
			return len(s)
		}
	case '$':
		end := strings.IndexByte(s[1:], '$')
		if end < 0 || strings.ContainsAny(s[1:1+end], " '\"()[],;\n") {
			return 0
		}
		tag := s[:end+2]
		if close := strings.Index(s[len(tag):], tag); close >= 0 {
			return len(tag) + close + len(tag)
		}
	}
	return 0
}
