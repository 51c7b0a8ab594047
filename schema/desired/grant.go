package desired

import (
	"context"
	"slices"
	"strings"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/schema/catalog"
)

// grant runs GRANT, REVOKE and ALTER DEFAULT PRIVILEGES: once, and in their order, which has a meaning.
func (r *run) grant(ctx context.Context, stmts []*statement) error {
	if len(stmts) == 0 {
		return nil
	}
	foreign, err := catalog.ForeignPrivileges(ctx, r.l.scratch.tx)
	if err != nil {
		return err
	}
	r.l.applied = nil
	objects := len(r.l.done)
	failed, err := r.l.round(ctx, stmts)
	if err != nil {
		return err
	}
	r.l.done = r.l.done[:objects] // what is blamed on statements is what they make
	if err := asError(failed); err != nil {
		return err
	}
	after, err := catalog.ForeignPrivileges(ctx, r.l.scratch.tx)
	if err != nil {
		return err
	}
	var wrong problems
	for _, line := range after {
		if name, _, _ := strings.Cut(line, " "); !slices.Contains(foreign, line) {
			wrong.add(config.Pos{}, "privileges on %s: the system or an extension made it, and of such objects none are managed: remove the GRANT or REVOKE and run it by hand", name)
		}
	}
	return wrong.err()
}
