// Command postgres gets PostgreSQL 18's programs, if they are not there, and prints their folder.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/pgtender/pgtender/internal/devpg"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	bin, err := devpg.Programs(ctx, ".cache", os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("%s\tPostgreSQL %s (%s)\n", bin.Dir, bin.Version, bin.Origin)
}
