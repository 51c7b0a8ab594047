package desired

import (
	"fmt"
	"strings"
)

// tokenKind is what a piece of SQL is, as far as splitting and refusing need it.
type tokenKind int

const (
	word       tokenKind = iota // an identifier or keyword without quotes
	quotedName                  // "…"
	text                        // '…', E'…', $tag$…$tag$
	number
	symbol
)

type token struct {
	kind       tokenKind
	start, end int    // byte offsets in the file
	text       string // upper case for words, else as written
}

// piece is one statement of a SQL file, or one of psql's own commands.
type piece struct {
	start, end int // of the text, without the semicolon
	tokens     []token
	meta       string // psql command such as \restrict, or ""
	notes      []note // comments before, in or behind it that may be directives
}

// lexer splits SQL as psql does, so a file that psql reads means the same here. Source of the rules: psqlscan.l.
type lexer struct {
	src     string
	at      int
	tokens  []token
	pieces  []piece
	notes   []note // of the piece that is being read
	parens  int
	routine bool // CREATE [OR REPLACE] FUNCTION or PROCEDURE
	blocks  int  // open BEGIN and CASE of such a routine's SQL body
}

// lexError is text that never ends; offset is where it begins.
type lexError struct {
	offset int
	what   string
}

func (e *lexError) Error() string { return e.what }

// split cuts the source into pieces. After an error the pieces before it are still good.
func split(src string) ([]piece, *lexError) {
	l := &lexer{src: src}
	for l.at < len(l.src) {
		if err := l.next(); err != nil {
			return l.pieces, err
		}
	}
	l.finish(len(src))
	if len(l.notes) > 0 {
		return l.pieces, &lexError{l.notes[0].start, "no declaration follows this directive"}
	}
	return l.pieces, nil
}

func (l *lexer) next() *lexError {
	rest := l.src[l.at:]
	switch c := rest[0]; {
	case strings.IndexByte(" \t\r\n\f\v", c) >= 0:
		l.at++
	case strings.HasPrefix(rest, "--"):
		l.note(rest[:lineEnd(rest)])
		l.at += lineEnd(rest)
	case strings.HasPrefix(rest, "/*"):
		return l.comment()
	case c == '\'':
		return l.quoted('\'', false, "string")
	case c == '"':
		return l.quoted('"', false, "name in double quotes")
	case c == '$':
		return l.dollar()
	case c == '\\':
		l.metaCommand()
	case isWordStart(c):
		return l.word()
	case c >= '0' && c <= '9':
		n := 1
		for n < len(rest) && (isWordStart(rest[n]) || rest[n] >= '0' && rest[n] <= '9' || rest[n] == '.') {
			n++
		}
		l.add(number, n)
	case c == ';' && l.parens == 0 && l.blocks == 0:
		l.finish(l.at)
		l.at++
	default:
		if c == '(' {
			l.parens++
		} else if c == ')' && l.parens > 0 {
			l.parens--
		}
		l.add(symbol, 1)
	}
	return nil
}

func (l *lexer) add(kind tokenKind, length int) {
	t := token{kind: kind, start: l.at, end: l.at + length, text: l.src[l.at : l.at+length]}
	if kind == word {
		t.text = strings.ToUpper(t.text)
	}
	l.tokens = append(l.tokens, t)
	l.at += length
}

func (l *lexer) finish(end int) {
	if len(l.tokens) > 0 {
		l.pieces = append(l.pieces, piece{start: l.tokens[0].start, end: end, tokens: l.tokens, notes: l.notes})
		l.notes = nil
	}
	copying := len(l.tokens) > 0 && l.tokens[0].text == "COPY" && has(l.tokens, "STDIN")
	l.tokens, l.parens, l.blocks, l.routine = nil, 0, 0, false
	if copying { // rows follow, up to a line of \. alone
		if i := strings.Index(l.src[end:], "\n\\."); i >= 0 {
			l.at = end + i + len("\n\\.") - 1
		}
	}
}

// note keeps a comment that may be a directive. One behind a statement's end, on the same line, is that statement's.
func (l *lexer) note(comment string) {
	n, ok := asNote(l.at, comment)
	if !ok {
		return
	}
	if last := len(l.pieces) - 1; len(l.tokens) == 0 && len(l.notes) == 0 && last >= 0 && !strings.Contains(l.src[l.pieces[last].end:l.at], "\n") {
		l.pieces[last].notes = append(l.pieces[last].notes, n)
		return
	}
	l.notes = append(l.notes, n)
}

func (l *lexer) comment() *lexError {
	if strings.HasPrefix(strings.TrimLeft(l.src[l.at+2:], "* \t\r\n"), directivePrefix) {
		return &lexError{l.at, "a directive is a comment that begins with two dashes: " + directiveForms}
	}
	depth, i := 0, l.at
	for i < len(l.src) {
		switch {
		case strings.HasPrefix(l.src[i:], "/*"):
			depth, i = depth+1, i+2
		case strings.HasPrefix(l.src[i:], "*/"):
			depth, i = depth-1, i+2
			if depth == 0 {
				l.at = i
				return nil
			}
		default:
			i++
		}
	}
	return &lexError{l.at, "this /* comment never ends"}
}

// quoted reads up to the closing quote; a doubled one stands for itself.
func (l *lexer) quoted(quote byte, backslashes bool, what string) *lexError {
	start := l.at
	i := l.at
	for l.src[i] != quote { // a prefix such as E
		i++
	}
	for i++; i < len(l.src); i++ {
		switch {
		case backslashes && l.src[i] == '\\':
			i++
		case l.src[i] == quote && i+1 < len(l.src) && l.src[i+1] == quote:
			i++
		case l.src[i] == quote:
			kind := text
			if quote == '"' {
				kind = quotedName
			}
			l.add(kind, i+1-start)
			return nil
		}
	}
	return &lexError{start, fmt.Sprintf("this %s never ends", what)}
}

func (l *lexer) dollar() *lexError {
	rest := l.src[l.at:]
	n := 1
	for n < len(rest) && (isWordStart(rest[n]) || n > 1 && rest[n] >= '0' && rest[n] <= '9') {
		n++
	}
	if n == len(rest) || rest[n] != '$' {
		l.add(symbol, 1)
		return nil
	}
	tag := rest[:n+1]
	end := strings.Index(rest[len(tag):], tag)
	if end < 0 {
		return &lexError{l.at, fmt.Sprintf("this string in %s never ends", tag)}
	}
	l.add(text, end+2*len(tag))
	return nil
}

func (l *lexer) word() *lexError {
	rest := l.src[l.at:]
	n := 1
	for n < len(rest) && (isWordStart(rest[n]) || rest[n] >= '0' && rest[n] <= '9' || rest[n] == '$') {
		n++
	}
	prefix := strings.ToUpper(rest[:n])
	switch after := rest[n:]; {
	case strings.HasPrefix(after, "'") && (prefix == "E" || prefix == "B" || prefix == "X" || prefix == "N"):
		return l.quoted('\'', prefix == "E", "string")
	case prefix == "U" && strings.HasPrefix(after, "&'"):
		return l.quoted('\'', false, "string")
	case prefix == "U" && strings.HasPrefix(after, `&"`):
		return l.quoted('"', false, "name in double quotes")
	}
	l.add(word, n)
	l.block(prefix)
	return nil
}

// block follows the BEGIN ATOMIC … END of a routine, inside which a semicolon ends no statement.
func (l *lexer) block(w string) {
	if w == "FUNCTION" || w == "PROCEDURE" {
		t := l.tokens
		l.routine = l.routine || len(t) == 2 && t[0].text == "CREATE" ||
			len(t) == 4 && t[0].text == "CREATE" && t[1].text == "OR" && t[2].text == "REPLACE"
	}
	switch {
	case !l.routine || l.parens > 0:
	case w == "BEGIN", w == "CASE" && l.blocks > 0:
		l.blocks++
	case w == "END" && l.blocks > 0:
		l.blocks--
	}
}

// metaCommand takes the rest of the line: \restrict and its like belong to psql.
func (l *lexer) metaCommand() {
	rest := l.src[l.at:]
	n := lineEnd(rest)
	if len(l.tokens) > 0 { // in the middle of a statement: let it be a symbol that classify refuses
		l.add(symbol, 1)
		return
	}
	l.pieces = append(l.pieces, piece{start: l.at, end: l.at + n, meta: strings.TrimSpace(rest[:n])})
	l.at += n
}

func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i
	}
	return len(s)
}

func isWordStart(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func has(tokens []token, words ...string) bool {
	for i := range tokens {
		if startsWith(tokens[i:], words...) {
			return true
		}
	}
	return false
}

// startsWith compares words only: a quoted "table" is no keyword.
func startsWith(tokens []token, words ...string) bool {
	if len(tokens) < len(words) {
		return false
	}
	for i, w := range words {
		if tokens[i].kind != word || tokens[i].text != w {
			return false
		}
	}
	return true
}
