package schema

import (
	"context"
	"sync"

	"github.com/pgtender/pgtender/schema/desired"
)

// Memo keeps what was loaded first. A daemon works with the sources as they were when it started, like with its policies: a
// file that somebody is in the middle of editing is never applied.
type Memo struct {
	From Desired

	mu     sync.Mutex
	loaded *desired.Result
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

// Loaded is what was loaded, or nil.
func (m *Memo) Loaded() *desired.Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.loaded
}
