package parts

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// LeftError says what an interrupted piece of work could not take away again, and what does.
type LeftError struct{ What string }

func (e *LeftError) Error() string { return e.What }

// Left is what is left, for the ledger.
func (e *LeftError) Left() string { return e.What }

// Stopped says in one line that a run was told to stop; Done is what it had done by then.
type Stopped struct {
	Done   string
	causes []error
}

func (e *Stopped) Error() string   { return e.Done }
func (e *Stopped) Unwrap() []error { return e.causes }

// Stop puts one Stopped in place of all errors that only say that ctx ended, and keeps the others. While ctx goes on it changes
// nothing. An empty done is: nothing, but what a LeftError tells. That it was stopped, and by what, the runner says.
func Stop(ctx context.Context, errs []error, done string) []error {
	cause := ctx.Err()
	if cause == nil {
		return errs
	}
	causes := []error{cause}
	var left []string
	for _, err := range errs {
		var l *LeftError
		if errors.Is(err, cause) && errors.As(err, &l) {
			causes, left = append(causes, l), append(left, l.What)
		}
	}
	switch {
	case done != "":
		done = "before that: " + done
	case len(left) == 0:
		done = "nothing was changed"
	}
	done = strings.TrimPrefix(strings.Join(append([]string{done}, left...), "; "), "; ")
	errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, cause) })
	return append(errs, &Stopped{done, causes})
}
