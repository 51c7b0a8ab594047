package pg

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// noticeLoss bounds how long the server may leave unacknowledged what we sent: keep-alives are for silence only.
func noticeLoss(network, _ string, raw syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 11_000) // milliseconds
	})
	if err != nil {
		return err
	}
	return failed
}
