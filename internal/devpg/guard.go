package devpg

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

// guardVariable marks a process of our own program that is to be a guard.
const guardVariable = "PGTENDER_DEV_GUARD"

// order is what the process that started the guard asks of it, one JSON value a line; the first says
// what to guard. The guard answers each with one answer.
type order struct {
	Start    *assignment       `json:",omitempty"`
	Down     int               `json:",omitempty"` // the signal to end the server with
	Up       bool              `json:",omitempty"`
	Settings map[string]string `json:",omitempty"` // with Up: on top of those before
}

type answer struct {
	Error   string
	Address Address
}

// assignment is a server to guard.
type assignment struct {
	Dir       string
	Cluster   cluster
	Postgres  string
	Sockets   string // the folder of its socket
	Port      int    // 0: any free one
	LastPort  int    // preferred, if it is free
	Access    string // pg_hba.conf
	Settings  map[string]string
	Ephemeral bool // nothing of the data is worth keeping
	Private   bool // nobody joins; if Ephemeral, too, the whole folder goes at the end
}

// Address is where a running server listens.
type Address struct {
	PID     int    // the postmaster's
	Port    int    // on 127.0.0.1
	Sockets string // the folder of its unix socket
}

// GuardMain is the whole life of a guard. A program that calls Start calls this first, before it
// looks at its arguments, and ends when the answer is true. In any other process it does nothing.
func GuardMain() bool {
	if os.Getenv(guardVariable) == "" {
		return false
	}
	// The postmaster gets its signal when the thread that started it ends: this thread stays.
	runtime.LockOSThread()
	if err := guardMain(); err != nil {
		fmt.Fprintln(os.Stderr, "guard:", err)
	}
	return true
}

// guard owns a server. Its methods are called from one goroutine.
type guard struct {
	assignment
	answers *json.Encoder
	log     *os.File
	port    int
	alone   chan struct{} // closed when the last user is gone
	server  *postmaster   // nil while it is down
}

func guardMain() error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	if err := adoptOrphans(); err != nil {
		return err
	}
	orders := json.NewDecoder(bufio.NewReader(os.Stdin))
	var first order
	if err := orders.Decode(&first); err != nil || first.Start == nil {
		return fmt.Errorf("nothing to guard: %w", err)
	}
	g := &guard{assignment: *first.Start, answers: json.NewEncoder(os.Stdout), log: os.Stderr, port: first.Start.Port, alone: make(chan struct{})}
	locks, err := g.lock()
	if err != nil {
		return errors.Join(err, g.answer(err))
	}
	for _, lock := range locks {
		defer lock.Close()
	}
	clients, err := openLock(filepath.Join(g.Dir, "clients.lock"))
	if err != nil {
		return errors.Join(err, g.answer(err))
	}
	defer clients.Close()
	go func() {
		for syscall.Flock(int(clients.Fd()), syscall.LOCK_EX) == syscall.EINTR {
		}
		close(g.alone)
	}()
	if err := g.answer(g.up(nil)); err != nil || g.server == nil {
		g.clear()
		return err
	}
	g.serve(orders, signals)
	return nil
}

// lock takes the locks that say that a guard lives: that of the folder and, when the data lie outside,
// one beside them, since a copied checkout points to the same data.
func (g *guard) lock() ([]*os.File, error) {
	// A server's last user may hold it for a moment to see whether the guard before has ended.
	ctx, cancel := context.WithTimeout(context.Background(), immediatePatience)
	defer cancel()
	lock, err := lockFile(ctx, filepath.Join(g.Dir, "guard.lock"))
	if err != nil || !g.Cluster.Outside {
		return []*os.File{lock}, err
	}
	beside, err := openLock(g.Cluster.Data + ".lock")
	if err == nil {
		err = flock(beside, syscall.LOCK_EX)
	}
	if errors.Is(err, errHeld) {
		err = fmt.Errorf("the data folder %s is used by the server of another folder than %s: if this is a copy, remove the link %s to start afresh",
			g.Cluster.Data, g.Dir, filepath.Join(g.Dir, "data"))
	}
	return []*os.File{lock, beside}, err
}

// serve looks after the server until its last user is gone.
func (g *guard) serve(orders *json.Decoder, signals <-chan os.Signal) {
	asked := make(chan order)
	go func() {
		for {
			var next order
			if orders.Decode(&next) != nil {
				return // who started us is gone or wants no more
			}
			asked <- next
		}
	}()
	for {
		var died <-chan struct{}
		if g.server != nil {
			died = g.server.done
		}
		select {
		case next := <-asked:
			_ = g.answer(g.obey(next)) // an answer that nobody reads is no trouble
		case <-died:
			g.say("the server ended by itself")
			g.server = nil
			reapOrphans(immediatePatience)
			if !g.Private {
				// Whoever comes next is to find a server that works, not this one.
				g.clear()
				return
			}
		case sig := <-signals:
			g.say("got %v", sig)
			g.clear()
			return
		case <-g.alone:
			g.clear()
			return
		}
	}
}

func (g *guard) obey(next order) error {
	switch {
	case next.Down != 0:
		g.down(syscall.Signal(next.Down))
		return nil
	case next.Up:
		return g.up(next.Settings)
	}
	return errors.New("not an order that a guard knows")
}

func (g *guard) answer(err error) error {
	reply := answer{}
	if err != nil {
		reply.Error = err.Error()
	} else if g.server != nil {
		reply.Address = Address{PID: g.server.cmd.Process.Pid, Port: g.port, Sockets: g.Sockets}
	}
	return g.answers.Encode(reply)
}

func (g *guard) say(format string, args ...any) {
	fmt.Fprintf(g.log, "guard: "+format+"\n", args...)
}

// down ends the server, if it runs, and waits until none of its processes is left.
func (g *guard) down(sig syscall.Signal) {
	if g.server == nil {
		return
	}
	g.server.stop(sig)
	g.server = nil
	reapOrphans(immediatePatience)
}

// clear ends the server and leaves nothing behind but what is to be found again.
func (g *guard) clear() {
	sig := syscall.SIGINT
	if g.Ephemeral {
		sig = syscall.SIGQUIT
	}
	g.down(sig)
	gone := []string{filepath.Join(g.Dir, addressName), g.Sockets}
	if g.Ephemeral {
		gone = append(gone, g.Cluster.Data)
	}
	if g.Ephemeral && g.Private {
		gone = append(gone, g.Dir)
	}
	for _, path := range gone {
		if err := os.RemoveAll(path); err != nil {
			g.say("%v", err)
		}
	}
	if g.Ephemeral && g.Private {
		if err := g.Cluster.removeOutside(); err != nil {
			g.say("%v", err)
		}
	}
}
