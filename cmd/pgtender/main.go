// Command pgtender tends a PostgreSQL 18 database.
package main

import (
	"os"
	_ "time/tzdata" // a container may have no zone files

	"github.com/pgtender/pgtender/internal/cli"
	"github.com/pgtender/pgtender/internal/devpg"
)

func main() {
	if devpg.GuardMain() { // this process watches over the server of `pgtender dev`
		return
	}
	os.Exit(cli.Process())
}
