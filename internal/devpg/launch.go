package devpg

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// up starts the server and waits until it accepts connections. Once it had a port, it keeps it.
func (g *guard) up(settings map[string]string) error {
	if g.server != nil {
		return errors.New("the server runs already")
	}
	if g.Settings == nil {
		g.Settings = map[string]string{}
	}
	maps.Copy(g.Settings, settings)
	if err := g.Cluster.evict(g.say); err != nil {
		return err
	}
	if err := g.insist(); err != nil {
		return err
	}
	return g.note()
}

// insist tries to start the server until it runs, or fails for a reason that does not go away.
func (g *guard) insist() error {
	var err error
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		port := g.port
		if port == 0 {
			if port, err = freePort(g.LastPort); err != nil {
				return err
			}
		}
		err = g.try(port)
		switch {
		case errors.Is(err, errPortTaken) && g.port == 0 && time.Since(began) < immediatePatience:
			g.LastPort = 0
		case errors.Is(err, errMemoryHeld) && time.Since(began) < immediatePatience:
		default:
			return err
		}
	}
}

// freePort returns the preferred port, if it is free, or a free one. It lies below the range from which
// the system takes ports for outgoing connections, so that a server that is down for a while gets it back.
func freePort(preferred int) (int, error) {
	var err error
	for range 100 {
		if preferred == 0 {
			preferred = 20000 + rand.IntN(12000)
		}
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(preferred))); err == nil {
			return preferred, l.Close()
		}
		preferred = 0
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

var (
	errPortTaken = errors.New("another program listens there")
	// errMemoryHeld: processes of a postmaster that was killed are about to notice.
	errMemoryHeld = errors.New("processes of the server before still hold its shared memory")
)

// try starts the server on a port.
func (g *guard) try(port int) error {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": g.Sockets,
		"unix_socket_permissions": "0700",
		"logging_collector":       "off",
		"log_destination":         "stderr",
	}
	maps.Copy(settings, g.Settings)
	settings["port"] = strconv.Itoa(port)
	if err := g.Cluster.configure(settings, g.Access); err != nil {
		return err
	}
	orphaned := syscall.SIGINT
	if g.Ephemeral {
		orphaned = syscall.SIGQUIT
	}
	log, err := g.log.Stat()
	if err != nil {
		return fmt.Errorf("server log: %w", err)
	}
	server, err := g.Cluster.spawn(g.Postgres, g.log, orphaned)
	if err != nil {
		return err
	}
	for !server.ended() {
		if now, err := g.Cluster.readPIDFile(); err == nil && now != nil && now.Ready && now.PID == server.cmd.Process.Pid {
			g.server, g.port = server, port
			return nil
		}
		select {
		case <-g.alone:
			server.stop(syscall.SIGQUIT)
			reapOrphans(immediatePatience)
			return errors.New("who asked for the server is gone")
		case <-time.After(10 * time.Millisecond):
		}
	}
	reapOrphans(immediatePatience)
	said := g.since(log.Size())
	switch {
	case strings.Contains(said, "Address already in use"):
		return fmt.Errorf("start the server on port %d: %w", port, errPortTaken)
	case strings.Contains(said, "pre-existing shared memory block"):
		return fmt.Errorf("start the server: %w", errMemoryHeld)
	}
	return fmt.Errorf("the server does not start%s", tail(said, 15))
}

// since returns what was written to the log after the offset.
func (g *guard) since(offset int64) string {
	f, err := os.Open(filepath.Join(g.Dir, logName))
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.NewSectionReader(f, offset, 64<<10))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return string(text)
}

// note writes where the server listens, for those who join.
func (g *guard) note() error {
	text, err := json.Marshal(Address{PID: g.server.cmd.Process.Pid, Port: g.port, Sockets: g.Sockets})
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(g.Dir, addressName), string(text)+"\n", 0o644, nil); err != nil {
		return fmt.Errorf("note where the server listens: %w", err)
	}
	return nil
}
