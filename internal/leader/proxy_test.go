package leader_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// through returns the connection string with the proxy's address in the server's place.
func through(t *testing.T, target string, listener net.Listener) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = listener.Addr().String()
	q := u.Query()
	q.Set("sslmode", "disable")
	u.RawQuery = q.Encode()
	return u.String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// pooler is a transaction-pooling proxy: each client's transaction runs in whichever server session is free, the
// one left last first. With size 1 all clients share one.
type pooler struct {
	target string
	mu     sync.Mutex
	idle   []*pgconn.HijackedConn
	slots  chan struct{}
}

func newPooler(t *testing.T, target string, size int) string {
	t.Helper()
	l := listen(t)
	p := &pooler{target: target, slots: make(chan struct{}, size)}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		l.Close()
		wg.Wait()
		for _, s := range p.idle {
			s.Conn.Close()
		}
	})
	wg.Go(func() {
		for number := uint32(1); ; number++ {
			client, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { client.Close() })
			wg.Go(func() {
				defer stop()
				defer client.Close()
				_ = p.serve(ctx, client, number) // the client went away
			})
		}
	})
	return through(t, target, l)
}

func (p *pooler) take(ctx context.Context) (*pgconn.HijackedConn, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		s := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return s, nil
	}
	conn, err := pgconn.Connect(ctx, p.target)
	if err != nil {
		return nil, err
	}
	return conn.Hijack()
}

func (p *pooler) give(s *pgconn.HijackedConn) {
	p.mu.Lock()
	p.idle = append(p.idle, s)
	p.mu.Unlock()
	<-p.slots
}

func (p *pooler) serve(ctx context.Context, client net.Conn, number uint32) error {
	back := pgproto3.NewBackend(client, client)
	if _, err := back.ReceiveStartupMessage(); err != nil {
		return err
	}
	back.Send(&pgproto3.AuthenticationOk{})
	back.Send(&pgproto3.ParameterStatus{Name: "server_version", Value: "18.4"})
	back.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	back.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	back.Send(&pgproto3.BackendKeyData{ProcessID: 4000000 + number, SecretKey: []byte{1, 2, 3, 4}})
	back.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if err := back.Flush(); err != nil {
		return err
	}
	var server *pgconn.HijackedConn
	for {
		msg, err := back.Receive()
		if err != nil {
			return err
		}
		if _, ok := msg.(*pgproto3.Terminate); ok {
			return nil
		}
		if server == nil {
			if server, err = p.take(ctx); err != nil {
				return err
			}
		}
		server.Frontend.Send(msg)
		switch msg.(type) {
		case *pgproto3.Query, *pgproto3.Sync:
		default:
			continue // more of the same round to come
		}
		if err := server.Frontend.Flush(); err != nil {
			return err
		}
		status, err := relay(back, server)
		if err != nil {
			return err
		}
		if status == 'I' {
			p.give(server)
			server = nil
		}
	}
}

// relay passes on the server's answers up to and with ReadyForQuery, whose transaction status it returns.
func relay(back *pgproto3.Backend, server *pgconn.HijackedConn) (byte, error) {
	for {
		msg, err := server.Frontend.Receive()
		if err != nil {
			return 0, fmt.Errorf("server: %w", err)
		}
		back.Send(msg)
		if ready, ok := msg.(*pgproto3.ReadyForQuery); ok {
			return ready.TxStatus, back.Flush()
		}
	}
}
