//go:build !linux

package pg

import "syscall"

// noticeLoss leaves the system's own limit.
func noticeLoss(string, string, syscall.RawConn) error { return nil }
