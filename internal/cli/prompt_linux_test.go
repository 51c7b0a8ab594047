package cli_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

// At a terminal the plan is shown and a person asked. Anything but yes changes nothing.
func TestApplyAsks(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	before := picture(t, url)
	dir := folder(t, "s.sql", "CREATE TABLE t (a int);")
	for _, c := range []struct {
		answer string
		code   int
		says   string
	}{
		{"\n", 1, "pgtender: not approved; nothing was changed"},
		{"n\n", 1, "pgtender: not approved; nothing was changed"},
		{"yess\n", 1, "pgtender: not approved; nothing was changed"},
		{"\x04", 1, "pgtender: not approved; nothing was changed"}, // Ctrl-D
		{"Yes\n", 0, "Applied 1 statement in"},
	} {
		screen, code := atTerminal(t, dir, "Apply this to "+pg.Redact(url)+"? [y/N] ", c.answer, "--url", url, "--to", "s.sql", "apply")
		if code != c.code || !strings.Contains(screen, c.says) || !strings.Contains(screen, `CREATE TABLE "public"."t"`) {
			t.Errorf("answer %q: exit code %d:\n%s", c.answer, code, screen)
		}
		if c.code != 0 {
			if diff := cmp.Diff(before, picture(t, url)); diff != "" {
				t.Errorf("answer %q: the database was changed:\n%s", c.answer, diff)
			}
		} else if !strings.Contains(screen, "  1/1 table public.t (") { // a terminal sees the progress
			t.Errorf("no progress is shown:\n%s", screen)
		}
	}
}

// atTerminal runs the program at a terminal, answers its question and returns all that was on the screen, and the exit code.
func atTerminal(t *testing.T, dir, question, answer string, args ...string) (screen string, code int) {
	t.Helper()
	master, terminal := openTerminal(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Args, cmd.Dir = append([]string{"pgtender"}, args...), dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TERM=dumb"}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	var shown lines
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&shown, master) // ends with an error when nobody has the terminal open
	}()
	over := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer over.Stop()
	for {
		text, more := shown.now()
		if strings.Contains(text, question) {
			break
		}
		select {
		case <-more:
		case <-read:
			t.Fatalf("it ended without asking %q:\n%s", question, &shown)
		}
	}
	if _, err := io.WriteString(master, answer); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	<-read
	return strings.ReplaceAll(shown.String(), "\r\n", "\n"), cmd.ProcessState.ExitCode()
}

func openTerminal(t *testing.T) (master, terminal *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, terminal
}
