package devpg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Shutdown is a way for a server to go down.
type Shutdown int

// The ways, from the gentlest: Fast ends all sessions and checkpoints; Immediate leaves recovery to
// the next start; Killed is kill -9 of the postmaster.
const (
	Fast      = Shutdown(syscall.SIGINT)
	Immediate = Shutdown(syscall.SIGQUIT)
	Killed    = Shutdown(syscall.SIGKILL)
)

// maxLog is the size, in bytes, from which a log is begun anew.
const maxLog = 16 << 20

// Down stops the server but keeps what it needs to come up again on the same port. Like Up it is for
// the process that started the server, and not for use by several goroutines at once.
func (s *Server) Down(ctx context.Context, how Shutdown) error {
	if _, err := s.ask(ctx, order{Down: int(how)}); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	return nil
}

// Up starts a server that is down, with these settings on top of those it had.
func (s *Server) Up(ctx context.Context, settings map[string]string) error {
	at, err := s.ask(ctx, order{Up: true, Settings: settings})
	if err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	s.Address = at
	return nil
}

// Restart is Down(Fast), then Up.
func (s *Server) Restart(ctx context.Context, settings map[string]string) error {
	if err := s.Down(ctx, Fast); err != nil {
		return err
	}
	return s.Up(ctx, settings)
}

// spawnGuard starts a guard, in a session of its own so that no Ctrl-C reaches it, and waits until
// its server accepts connections.
func (s *Server) spawnGuard(ctx context.Context, job assignment) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find our own program: %w", err)
	}
	if self, err := os.Stat("/proc/self/exe"); err == nil && self.Mode().IsRegular() {
		program = "/proc/self/exe" // also when the file was replaced meanwhile
	}
	log, err := openLog(filepath.Join(s.Dir, logName), job.Ephemeral)
	if err != nil {
		return err
	}
	defer log.Close()
	orders, ordersOut, err := os.Pipe()
	if err != nil {
		return err
	}
	defer orders.Close()
	answers, answersIn, err := os.Pipe()
	if err != nil {
		ordersOut.Close()
		return err
	}
	defer answersIn.Close()
	cmd := exec.Command(program)
	cmd.Args = []string{"pgtender-guard", s.Dir} // for ps
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), guardVariable+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = orders, answersIn, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		ordersOut.Close()
		answers.Close()
		return fmt.Errorf("start the server's guard: %w", err)
	}
	answersIn.Close() // the guard's end alone keeps the pipe open
	s.guard, s.orders, s.answers = cmd, ordersOut, answers
	s.Address, err = s.ask(ctx, order{Start: &job})
	if err != nil {
		ordersOut.Close()
		answers.Close()
		go func() { _ = cmd.Wait() }() // it ends by itself: nobody uses its server
		return err
	}
	return nil
}

func openLog(path string, anew bool) (*os.File, error) {
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if info, err := os.Stat(path); err == nil && (anew || info.Size() > maxLog) {
		flags |= os.O_TRUNC
	}
	log, err := os.OpenFile(path, flags, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the server's log: %w", err)
	}
	return log, nil
}

// ask sends the guard an order and waits for its answer as long as ctx allows.
func (s *Server) ask(ctx context.Context, o order) (Address, error) {
	if s.guard == nil {
		return Address{}, errors.New("another process started it, and only that one may")
	}
	stop := context.AfterFunc(ctx, func() { _ = s.answers.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := json.NewEncoder(s.orders).Encode(o); err != nil {
		return Address{}, fmt.Errorf("tell the server's guard: %w", err)
	}
	var reply answer
	if err := json.NewDecoder(s.answers).Decode(&reply); err != nil {
		if ctx.Err() != nil {
			return Address{}, fmt.Errorf("wait for the server: %w", ctx.Err())
		}
		return Address{}, fmt.Errorf("the server's guard ended (its log is %s): %w", s.Log(), err)
	}
	if reply.Error != "" {
		return Address{}, errors.New(reply.Error)
	}
	return reply.Address, nil
}
