package desired

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/schema/catalog"
)

// blameStep is how many statements are loaded between two looks at the catalog.
const blameStep = 16

// blame loads the statements once more, a few at a time, to find those that made the offences. It is slow, and
// runs only to say where the sources are wrong.
func (r *run) blame(ctx context.Context, offences map[string]string, wrong *problems) error {
	stmts, invented := r.l.done, r.l.invented
	if err := r.l.scratch.reset(ctx, r.o.TargetURL); err != nil {
		return err
	}
	r.l = &loader{scratch: r.l.scratch, path: r.l.path}
	if err := r.l.start(ctx); err != nil {
		return err
	}
	if err := r.l.invent(ctx, invented...); err != nil {
		return err
	}
	left := maps.Clone(offences)
	for len(stmts) > 0 && len(left) > 0 {
		n := min(len(stmts), blameStep)
		if err := r.blameChunk(ctx, stmts[:n], left, wrong); err != nil {
			return err
		}
		stmts = stmts[n:]
	}
	for _, what := range slices.Sorted(maps.Keys(left)) { // made by no single statement
		wrong.add(config.Pos{}, "%s", left[what])
	}
	return nil
}

func (r *run) blameChunk(ctx context.Context, stmts []*statement, left map[string]string, wrong *problems) error {
	tx := r.l.scratch.tx
	if _, err := tx.Exec(ctx, "SAVEPOINT blame"); err != nil {
		return fmt.Errorf("look for the statements to blame: %w", err)
	}
	if err := r.again(ctx, stmts); err != nil {
		return err
	}
	found, err := r.found(ctx, left)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		if _, err := tx.Exec(ctx, "ROLLBACK TO SAVEPOINT blame"); err != nil {
			return fmt.Errorf("look for the statements to blame: %w", err)
		}
		r.l.applied = nil
		for _, s := range stmts {
			if err := r.again(ctx, []*statement{s}); err != nil {
				return err
			}
			if found, err = r.found(ctx, left); err != nil {
				return err
			}
			for _, what := range found {
				*wrong = append(*wrong, Problem{Pos: s.pos, Text: left[what], Excerpt: s.excerpt()})
				delete(left, what)
			}
		}
	}
	if _, err := tx.Exec(ctx, "RELEASE SAVEPOINT blame"); err != nil {
		return fmt.Errorf("look for the statements to blame: %w", err)
	}
	r.l.fresh += len(stmts)
	return r.l.commit(ctx, commitAfter)
}

// again runs statements that are known to work in this order.
func (r *run) again(ctx context.Context, stmts []*statement) error {
	for _, s := range stmts {
		if err := r.l.settings(ctx, s.settings); err != nil {
			return err
		}
		if _, err := r.l.pipeline(ctx, []*statement{s}, func(s *statement) string { return s.sql }); err != nil {
			return fmt.Errorf("load %s once more: %w", s.pos, err)
		}
	}
	return nil
}

// found are those of the offences that the scratch database shows now, sorted.
func (r *run) found(ctx context.Context, left map[string]string) ([]string, error) {
	snap, err := catalog.Read(ctx, r.l.scratch.tx, r.scope)
	if err != nil {
		return nil, err
	}
	r.l.applied = nil // reading sets the search_path
	now, err := r.offences(ctx, snap)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(intersect(now, left))), nil
}

func intersect(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.DeleteFunc(out, func(k, _ string) bool { _, ok := b[k]; return !ok })
	return out
}
