package archive

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

const (
	mostWalks = 100  // of one run through a table that points to itself: each frees a level
	mostStays = 1000 // due rows that stay are counted up to this many
)

// stays are the due rows that a sweep had to leave.
type stays struct {
	rows    int64 // at most mostStays + 1
	pointed int64 // of them, which other rows point to
	unknown bool  // looking took too long
}

// again reports whether another walk may move what this one has freed: the table points to itself, and the walk moved something.
func (s *sweep) again(before int64, walks int) bool {
	return s.wait && !s.back && s.moved > before && walks < mostWalks && slices.ContainsFunc(s.facts.Pointing, func(r reference) bool {
		return r.Schema == s.claim.Schema && r.Table == s.claim.Name
	})
}

// look counts the due rows that are left where rows may be kept back: those that others point to, and those that a trigger keeps.
func (j *Job) look(ctx context.Context, s *sweep) error {
	if s.back || !s.wait && len(s.facts.Triggers) == 0 {
		return nil
	}
	free := "true"
	if s.wait {
		free = strings.Join(s.free(), " AND ")
	}
	sql := fmt.Sprintf("SELECT count(*), count(*) FILTER (WHERE NOT (%s)) FROM (SELECT x.* FROM %s WHERE %s LIMIT %d) AS x", free, s.source(), s.due, mostStays+1)
	err := pgx.BeginFunc(ctx, j.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, s.limits(j)+"; SET LOCAL row_security = off"); err != nil {
			return err
		}
		return tx.QueryRow(ctx, sql).Scan(&s.stays.rows, &s.stays.pointed)
	})
	if ctx.Err() == nil && (pg.Is(err, pg.QueryCanceled) || pg.Retryable(err)) {
		s.stays.unknown = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("count the due rows that stay in %s: %w", s.from, err)
	}
	return nil
}

// staysText says how many due rows stay and why; "": none.
func (s *sweep) staysText() string {
	if s.stays.unknown {
		return fmt.Sprintf("whether due rows of %s stay is not known: counting them took too long", s.from)
	}
	var list []string
	add := func(n int64, why string) {
		switch {
		case n == 0:
		case s.stays.rows > mostStays:
			list = append(list, fmt.Sprintf("at least %s of %s: %s", counted(n, "due row stays", "due rows stay"), s.from, why))
		default:
			list = append(list, fmt.Sprintf("%s of %s: %s", counted(n, "due row stays", "due rows stay"), s.from, why))
		}
	}
	add(s.stays.pointed, "rows still point there from "+joined(s.facts.Pointing))
	why := "others hold them, or they came meanwhile"
	if len(s.facts.Triggers) > 0 {
		why = "kept by a trigger on DELETE (" + strings.Join(s.facts.Triggers, ", ") + "), or held by others"
	}
	add(s.stays.rows-s.stays.pointed, why)
	return strings.Join(list, "; ")
}
