package cli

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var updateReference = flag.Bool("update-reference", false, "write docs/commands.md anew")

// docs/commands.md is what the commands say of themselves.
func TestReferenceIsCurrent(t *testing.T) {
	var out strings.Builder
	out.WriteString("# Commands\n\nWhat `pgtender --help` says, in one place. Made from the program by `go test ./internal/cli -run Reference -update-reference`.\n")
	root := (&app{}).root()
	out.WriteString("\n## Flags of every command\n\n" + flagTable(root.PersistentFlags()))
	describe(&out, root)
	const file = "../../docs/commands.md"
	if *updateReference {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(written), out.String()); diff != "" {
		t.Errorf("docs/commands.md is not current (-written +now); run this test with -update-reference:\n%s", diff)
	}
}

func describe(out *strings.Builder, cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		if c.Name() == "help" || c.Name() == "completion" {
			continue
		}
		if c.HasSubCommands() {
			describe(out, c)
			continue
		}
		fmt.Fprintf(out, "\n## %s\n\n%s.\n", strings.TrimSuffix(c.UseLine(), " [flags]"), c.Short)
		if c.Long != "" {
			fmt.Fprintf(out, "\n%s\n", c.Long)
		}
		if c.HasLocalFlags() {
			fmt.Fprintf(out, "\n%s", flagTable(c.LocalNonPersistentFlags()))
		}
	}
}

func flagTable(flags *pflag.FlagSet) string {
	var out strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		fmt.Fprintf(&out, "- `--%s", f.Name)
		if kind != "" {
			fmt.Fprintf(&out, " %s", kind)
		}
		fmt.Fprintf(&out, "` %s", usage)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" {
			fmt.Fprintf(&out, " (default `%s`)", f.DefValue)
		}
		out.WriteString("\n")
	})
	return out.String()
}
