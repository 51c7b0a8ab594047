package pg_test

import (
	"os/exec"
	"testing"

	"github.com/pgtender/pgtender/internal/pg"
)

// A shell gets back what was meant.
func TestWord(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"public.events", `public.we"ird 'na$me`, "", "a\nb", "`id`", `\`, "*", "-x", "é", "a;b"} {
		out, err := exec.Command("sh", "-c", "printf '%s' "+pg.Word(s)).Output()
		if err != nil || string(out) != s {
			t.Errorf("%q becomes %q: %v", s, out, err)
		}
	}
	if got := pg.Word("public.events_2026-05"); got != "public.events_2026-05" {
		t.Errorf("quoted without need: %s", got)
	}
}
