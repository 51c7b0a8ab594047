// Command gotest runs `go test` with its arguments while it holds the tests' server open, so that the
// server starts once and not once a package, prints the failures and a summary, and ends with go
// test's exit code. With -v, -json or -bench, go test's own output is shown instead.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/pgtender/pgtender/internal/devpg"
	"github.com/pgtender/pgtender/internal/pgtest"
)

func main() {
	if devpg.GuardMain() {
		return
	}
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
	}
	os.Exit(code)
}

func run(args []string) (code int, err error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	start := time.Now()
	server, err := pgtest.Hold(context.Background())
	if err != nil {
		return 1, err
	}
	fmt.Printf("PostgreSQL is up after %.1f s; its log is %s\n", time.Since(start).Seconds(), server.Log())
	defer func() {
		if stopErr := server.Stop(context.Background()); stopErr != nil {
			code, err = 1, errors.Join(err, stopErr)
		}
	}()
	if ownOutput(args) {
		return goTest(args, signals, nil)
	}
	sum := summary{out: os.Stdout}
	code, err = goTest(append([]string{"-json"}, args...), signals, &sum)
	sum.print(time.Since(start))
	if code == 0 && sum.passed == 0 {
		return 1, errors.New("no test ran")
	}
	return code, err
}

func ownOutput(args []string) bool {
	for _, arg := range args {
		name, _, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		if strings.HasPrefix(arg, "-") && (name == "v" || name == "json" || name == "bench") {
			return true
		}
	}
	return false
}

// goTest runs go test in a process group of its own, to which it hands on the signals, so that the
// tests end and not only go.
func goTest(args []string, signals <-chan os.Signal, sum *summary) (int, error) {
	cmd := exec.Command("go", append([]string{"test"}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if sum != nil {
		cmd.Stdout = sum
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("run go test: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			if err := syscall.Kill(-cmd.Process.Pid, sig.(syscall.Signal)); err != nil {
				return 1, fmt.Errorf("end go test: %w", err)
			}
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return max(1, exit.ExitCode()), nil
			}
			if err != nil {
				return 1, fmt.Errorf("run go test: %w", err)
			}
			return 0, nil
		}
	}
}
