package schema_test

import (
	"os"
	"testing"

	"github.com/pgtender/pgtender/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
