package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
}

// summary reads go test's events: it prints a line for each package, what the failing tests said,
// and counts.
type summary struct {
	out                     io.Writer
	rest                    []byte              // of a line that is not whole yet
	said                    map[string][]string // by test, and by package under ""
	passed, failed, skipped int
	failures                []string
	failing                 map[string]bool // packages with a failed test
}

func (s *summary) Write(p []byte) (int, error) {
	s.rest = append(s.rest, p...)
	for {
		line, rest, whole := bytes.Cut(s.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		var e event
		if json.Unmarshal(line, &e) == nil {
			s.take(e)
		} else {
			fmt.Fprintf(s.out, "%s\n", line) // go's own complaints are not JSON
		}
		s.rest = rest
	}
}

func (s *summary) take(e event) {
	if s.said == nil {
		s.said, s.failing = map[string][]string{}, map[string]bool{}
	}
	key := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(s.out, e.Output)
	case "output":
		if !strings.HasPrefix(e.Output, "=== ") {
			s.said[key] = append(s.said[key], e.Output)
		}
	case "pass", "fail", "skip":
		s.end(e, s.said[key])
		delete(s.said, key)
	}
}

// end takes a test's or a package's end and what it said.
func (s *summary) end(e event, said []string) {
	text := strings.Join(said, "")
	switch {
	case e.Test == "" && e.Action == "fail":
		s.unfinished(e.Package)
		fmt.Fprint(s.out, text)
		if !s.failing[e.Package] {
			s.failed++
			s.failures = append(s.failures, e.Package)
		}
	case e.Test == "":
		lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
		fmt.Fprintln(s.out, strings.TrimSuffix(lines[len(lines)-1], "\n"))
	case e.Action == "pass":
		s.passed++
	case e.Action == "skip":
		s.skipped++
		fmt.Fprint(s.out, text)
	default:
		s.failed++
		s.failing[e.Package] = true
		s.failures = append(s.failures, e.Package+" "+e.Test)
		fmt.Fprint(s.out, text)
	}
}

// unfinished prints what the tests said that ran when their package died.
func (s *summary) unfinished(pkg string) {
	for key, said := range s.said {
		if strings.HasPrefix(key, pkg+" ") && key != pkg+" " {
			fmt.Fprint(s.out, strings.Join(said, ""))
			delete(s.said, key)
		}
	}
}

func (s *summary) print(took time.Duration) {
	fmt.Fprintln(s.out)
	for _, name := range s.failures {
		fmt.Fprintln(s.out, "FAILED", name)
	}
	fmt.Fprintf(s.out, "all tests took %s\n%d passed, %d failed, %d skipped\n", took.Round(time.Second), s.passed, s.failed, s.skipped)
}
