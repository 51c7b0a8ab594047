package cli_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// seventeen puts a proxy before a server that makes it out to be PostgreSQL 17.5, wherever it names its version, and returns
// the connection string.
func seventeen(t testing.TB, target string) string {
	t.Helper()
	cfg, err := pgconn.ParseConfig(target)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	t.Cleanup(func() { listener.Close(); sessions.Wait() })
	sessions.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			network, address := pgconn.NetworkAddress(cfg.Host, cfg.Port)
			server, err := net.Dial(network, address)
			if err != nil {
				client.Close()
				continue
			}
			sessions.Go(func() { pretend(client, server) })
		}
	})
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = listener.Addr().String()
	return u.String()
}

// pretend passes on one session's messages until either side ends it.
func pretend(client, server net.Conn) {
	defer client.Close()
	defer server.Close()
	back, front := pgproto3.NewBackend(client, client), pgproto3.NewFrontend(server, server)
	startup, err := back.ReceiveStartupMessage()
	if err != nil {
		return
	}
	front.Send(startup)
	if front.Flush() != nil {
		return
	}
	var answers sync.WaitGroup
	defer answers.Wait()
	answers.Go(func() {
		defer client.Close()
		for {
			msg, err := front.Receive()
			if err != nil {
				return
			}
			back.Send(asSeventeen(msg))
			if back.Flush() != nil {
				return
			}
		}
	})
	defer server.Close()
	for {
		msg, err := back.Receive()
		if err != nil {
			return
		}
		front.Send(msg)
		if front.Flush() != nil {
			return
		}
	}
}

func asSeventeen(msg pgproto3.BackendMessage) pgproto3.BackendMessage {
	switch msg := msg.(type) {
	case *pgproto3.ParameterStatus:
		if msg.Name == "server_version" {
			msg.Value = "17.5"
		}
	case *pgproto3.DataRow:
		for i, value := range msg.Values {
			number := len(value) == 4 && binary.BigEndian.Uint32(value)/10000 == 18
			switch {
			case number:
				msg.Values[i] = binary.BigEndian.AppendUint32(nil, 170005)
			case bytes.HasPrefix(value, []byte("1800")) && len(value) == 6:
				msg.Values[i] = []byte("170005")
			case bytes.HasPrefix(value, []byte("18.")):
				msg.Values[i] = []byte("17.5")
			}
		}
	}
	return msg
}
