package parts

import (
	"context"
	"errors"
	"slices"
)

// Stopped says in one line that a run was told to stop; Done is what it had done by then.
type Stopped struct {
	Done  string
	cause error
}

func (e *Stopped) Error() string { return e.Done }
func (e *Stopped) Unwrap() error { return e.cause }

// Stop puts one Stopped in place of all errors that only say that ctx ended, and keeps the others. While ctx goes on it changes
// nothing. An empty done is: nothing. That it was stopped, and by what, the runner says.
func Stop(ctx context.Context, errs []error, done string) []error {
	cause := ctx.Err()
	if cause == nil {
		return errs
	}
	if done == "" {
		done = "nothing was changed"
	} else {
		done = "before that: " + done
	}
	errs = slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, cause) })
	return append(errs, &Stopped{done, cause})
}
