package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Process is the whole life of the program: it runs the command of os.Args and returns the exit code. Ctrl-C and SIGTERM
// ask it to stop.
func Process() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
}
