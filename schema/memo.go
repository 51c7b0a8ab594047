package schema

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/desired"
)

// Memo keeps what was loaded first. A daemon works with the sources as they were when it started, like with its policies: a
// file that somebody is in the middle of editing is never applied.
type Memo struct {
	From Desired

	mu     sync.Mutex
	loaded *desired.Result
	before *desired.Result // the last one asked for
	under  []catalog.Rename
}

// Load returns what was loaded first, or tries again if nothing was.
func (m *Memo) Load(ctx context.Context) (*desired.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loaded == nil {
		loaded, err := m.From.Load(ctx)
		if err != nil {
			return nil, err
		}
		m.loaded = loaded
	}
	return m.loaded, nil
}

// Key is that of what it is made from.
func (m *Memo) Key() (string, error) {
	if k, ok := m.From.(keyed); ok {
		return k.Key()
	}
	return "", errors.New("these sources have no key")
}

// seed is for what was loaded by an earlier process.
func (m *Memo) seed(r *desired.Result) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loaded == nil {
		m.loaded = r
	}
}

// LoadBefore remembers the last answer: the same renames stay pending until somebody applies them.
func (m *Memo) LoadBefore(ctx context.Context, pending []catalog.Rename) (*desired.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.before == nil || !slices.Equal(m.under, pending) {
		before, err := m.From.LoadBefore(ctx, pending)
		if err != nil {
			return nil, err
		}
		m.before, m.under = before, pending
	}
	return m.before, nil
}

// Loaded is what was loaded, or nil.
func (m *Memo) Loaded() *desired.Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.loaded
}
