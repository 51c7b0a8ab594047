package fault

import (
	"fmt"
	"regexp"
	"strings"
)

// Connect is the text of the statement that stands for the start of a connection.
const Connect = "(connect)"

// Statement is one request of a client: all that it sent up to a Query or a Sync, as far as it has the server execute something.
type Statement struct {
	N     int    // its number over all connections of the proxy, from 1
	Conn  int    // the number of its connection, from 1
	Text  string // what is executed; of a batch, one after the other
	Shape string // Text without what differs from run to run: numbers, white space
	Nth   int    // its number among those of the same shape, from 1
}

var (
	random = regexp.MustCompile(`[0-9]+|\b[0-9a-f]{8,}\b|scratch_\w+`)
	blanks = regexp.MustCompile(`\s+`)
)

func shape(text string) string {
	return random.ReplaceAllString(blanks.ReplaceAllString(strings.TrimSpace(text), " "), "#")
}

// When is a moment in the life of a statement.
type When int

// The moments.
const (
	Before When = iota // it has not reached the server
	During             // it has, and the answer is not awaited
	After              // the server has done it, and nobody has seen the answer
)

// Then is what becomes of the connection.
type Then int

// What may become of it.
const (
	GoesOn Then = iota // the answer reaches the client
	Cut                // it is closed on both sides
	Silent             // it stays open, and nothing passes any more; see Proxy.Release
)

// Fault is what goes wrong at a statement.
type Fault struct {
	Name string
	When When
	Do   func(Statement) // the deed; nil: none
	Then Then

	// Code is a SQLSTATE with which the server answers, instead of doing the statement.
	Code string
	// Instead is what the server does instead of the statement.
	Instead string
}

// Error is a fault in which the server answers with an error. At the start of a connection, it refuses it.
func Error(name, code string) Fault { return Fault{Name: name, Code: code} }

// Terminated is the end of the server's process for the connection, as by an administrator.
func Terminated() Fault {
	return Fault{Name: "terminated", Code: "57P01", Instead: "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())"}
}

// instead returns what the server gets in the statement's place, or "".
func (f *Fault) instead() string {
	if f.Instead != "" || f.Code == "" {
		return f.Instead
	}
	return fmt.Sprintf("DO $fault$ BEGIN RAISE EXCEPTION 'a fault of the test: %s' USING ERRCODE = '%s'; END $fault$", f.Name, f.Code)
}

// Match picks statements.
type Match func(Statement) bool

// Nth picks the statement of that number.
func Nth(n int) Match { return func(s Statement) bool { return s.N == n } }

// Like picks the n-th statement of the same shape; with 0, each.
func Like(sql string, n int) Match {
	want := shape(sql)
	return func(s Statement) bool { return s.Shape == want && (n == 0 || s.Nth == n) }
}

// Matching picks statements whose text has a match of the expression.
func Matching(expression string) Match {
	re := regexp.MustCompile(expression)
	return func(s Statement) bool { return re.MatchString(s.Text) }
}

// Any picks every statement.
func Any(Statement) bool { return true }
