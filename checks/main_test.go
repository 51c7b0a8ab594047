package checks

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/pgtender/pgtender/internal/pgtest"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	if flag.Lookup("test.run").Value.String() == "" && code == 0 {
		if err := planted.unplanted(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
