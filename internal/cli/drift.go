package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/pgtender/pgtender/schema"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/plan"
)

func (a *app) driftCommand() *cobra.Command {
	var format string
	var strict bool
	cmd := &cobra.Command{
		Use: "drift", GroupID: "schema", Short: "Does the live schema equal the declared one?", Args: noArgs,
		Long: `Compare the live schema with the declared one, and name what differs. Nothing is changed. Exit code 0: equal; 2: they
differ; 1: error. An object of a kind that pgtender does not manage is a difference when it is in a managed schema and not excluded by name. What belongs to the
database as a whole, and rights where the sources declare none, are listed by name; with --strict they count as well.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := formatFlag(format, "text", "json"); err != nil {
				return err
			}
			env, err := a.loadDeclared()
			if err != nil {
				return err
			}
			log, err := a.logger()
			if err != nil {
				return err
			}
			drift, err := a.engine(env, log).Drift(cmd.Context())
			if err != nil {
				return err
			}
			if format == "json" {
				err = printJSON(a.stdout, newDriftReport(drift))
			} else {
				a.printDrift(drift)
			}
			if err == nil && (len(drift.Names()) > 0 || strict && len(drift.Unmanaged) > 0) {
				return exitCode(exitChanges)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", "text", "text or json")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 2 also for what is only listed: objects of the whole database, rights that no source declares")
	return cmd
}

func (a *app) printDrift(drift *schema.Drift) {
	for _, d := range drift.Differences {
		fmt.Fprintf(a.stdout, "%s: %s\n", d.Key, changeInWords(d.Change))
		for _, delta := range d.Deltas {
			fmt.Fprintf(a.stdout, "    %s\n", plan.Describe(delta))
		}
	}
	for _, u := range drift.Unmanaged {
		if u.Outside {
			fmt.Fprintf(a.stdout, "not compared: %s\n", u)
			continue
		}
		fmt.Fprintf(a.stdout, "%s: in the database, but not declared, and not managed\n", u)
		if u.Reason != "" {
			fmt.Fprintf(a.stdout, "    %s\n", u.Reason)
		}
	}
	foreign := drift.Foreign()
	switch n := len(drift.Differences); n {
	case 0:
	case 1:
		fmt.Fprintln(a.stdout, "1 object differs. To see what would put it right: pgtender plan")
	default:
		fmt.Fprintf(a.stdout, "%d objects differ. To see what would put them right: pgtender plan\n", n)
	}
	switch n := len(foreign); {
	case n > 0:
		name, _, _ := strings.Cut(foreign[0].Name, "(")
		fmt.Fprintf(a.stdout, "%s that pgtender can neither compare nor change. Leave it alone by name, as in exclude = [%q], or drop it by hand.\n", counted(n, "object"), name)
	case len(drift.Differences) > 0:
	case len(drift.Unmanaged) > 0:
		fmt.Fprintln(a.stdout, "The live schema equals the declared one in all that is compared; what is not stands above.")
	default:
		fmt.Fprintln(a.stdout, "The live schema equals the declared one.")
	}
}

func changeInWords(c catalog.Change) string {
	switch c {
	case catalog.Missing:
		return "declared, but not in the database"
	case catalog.Extra:
		return "in the database, but not declared"
	}
	if c == catalog.Renamed {
		return "declared under a new name"
	}
	return "differs"
}

// driftReport is what `pgtender drift --format json` prints. Fields are added, never changed.
type driftReport struct {
	Equal       bool                `json:"equal"`
	Differences []driftDifference   `json:"differences"` // sorted by object
	Unmanaged   []catalog.Unmanaged `json:"unmanaged"`   // in the database, not compared; a difference unless "outside" is true
	LeftAlone   []string            `json:"left_alone"`  // kept out by a pattern or a policy
}

type driftDifference struct {
	Object string       `json:"object"`
	Change string       `json:"change"` // missing, extra, changed, renamed
	Facts  []driftDelta `json:"facts,omitempty"`
}

type driftDelta struct {
	Name     string `json:"name"`
	Live     string `json:"live"`
	Declared string `json:"declared"`
}

func newDriftReport(drift *schema.Drift) driftReport {
	r := driftReport{Equal: len(drift.Names()) == 0, Differences: []driftDifference{}, Unmanaged: drift.Unmanaged, LeftAlone: drift.LeftAlone}
	if r.Unmanaged == nil {
		r.Unmanaged = []catalog.Unmanaged{}
	}
	if r.LeftAlone == nil {
		r.LeftAlone = []string{}
	}
	for _, d := range drift.Differences {
		out := driftDifference{Object: d.Key.String(), Change: string(d.Change)}
		for _, delta := range d.Deltas {
			out.Facts = append(out.Facts, driftDelta(delta))
		}
		r.Differences = append(r.Differences, out)
	}
	return r
}
