package cli

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/state"
)

// maxConns bounds what one pgtender takes of the server's connections: parallel runs, the collector, and one to spare.
const maxConns = 8

// open connects for a command that reads: the server is there and of the right version, or the error says why not.
//
// A transaction-pooling proxy is refused before anything is set: what our sessions set would reach the application's.
func (a *app) open(ctx context.Context, env *config.Env) (*pgxpool.Pool, error) {
	if err := pg.RequireSessions(ctx, env.URL); err != nil {
		return nil, err
	}
	pool, err := pg.Open(ctx, env.URL, maxConns)
	if err != nil {
		return nil, err
	}
	if _, err := pg.Preflight(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// openPrimary connects for a command that writes: a standby is refused.
func (a *app) openPrimary(ctx context.Context, env *config.Env) (*pgxpool.Pool, error) {
	pool, err := a.open(ctx, env)
	if err != nil {
		return nil, err
	}
	if _, err := pg.PreflightPrimary(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// explainRights says what to grant when the schema pgtender may not be read; other errors pass unchanged.
func explainRights(ctx context.Context, pool *pgxpool.Pool, err error) error {
	var lacking *state.PrivilegeError
	if pg.Is(err, pg.InsufficientPrivilege) && errors.As(state.Ensure(ctx, pool), &lacking) {
		return lacking
	}
	return err
}
