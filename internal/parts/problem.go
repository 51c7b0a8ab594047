package parts

import (
	"fmt"

	"github.com/pgtender/pgtender/internal/config"
)

// Reason says which kind of Problem it is.
type Reason string

// The reasons.
const (
	NoSuchTable    Reason = "no such table"
	NotPartitioned Reason = "not partitioned"
	UnsuitableKey  Reason = "unsuitable partition key"
)

// Problem is why a table cannot be tended.
type Problem struct {
	Table  config.Table
	Reason Reason
	What   string // what is the case
	Advice string // what to do about it: a sentence, or SQL to adapt
}

func (p *Problem) Error() string {
	s := fmt.Sprintf("%s: %s", p.Table, p.What)
	if p.Advice != "" {
		s += "\n" + p.Advice
	}
	return s
}
