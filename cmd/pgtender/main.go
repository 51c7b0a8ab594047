// Command pgtender tends a PostgreSQL 18 database.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // a container may have no zone files

	"github.com/pgtender/pgtender/internal/cli"
	"github.com/pgtender/pgtender/internal/devpg"
)

func main() {
	if devpg.GuardMain() { // this process watches over the server of `pgtender dev`
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
	stop()
	os.Exit(code)
}
