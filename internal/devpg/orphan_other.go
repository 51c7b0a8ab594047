//go:build !linux

package devpg

import (
	"syscall"
	"time"
)

// This system sends no signal when a parent dies and hands orphans to nobody: a server whose guard
// was killed is stopped by the next Start in its folder.

func signalOrphan(*syscall.SysProcAttr, syscall.Signal) {}

func adoptOrphans() error { return nil }

func reapOrphans(time.Duration) {}
