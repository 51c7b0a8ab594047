package fault

import (
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgproto3"
)

// link is one client's connection.
type link struct {
	proxy  *Proxy
	number int
	client net.Conn
	back   *pgproto3.Backend

	mu     sync.Mutex
	server net.Conn
	gone   bool
	over   chan struct{} // closed when gone
	rounds []round       // those whose answer has not come to its end
	silent atomic.Bool

	prepared map[string]string // names of statements → texts
	portals  map[string]string
}

// round is what a client sends up to a Query or a Sync; the server answers it with one ReadyForQuery.
type round struct {
	statement Statement
	after     *Rule // nil: nothing happens
}

// cut closes both sides.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return
	}
	l.gone = true
	close(l.over)
	l.client.Close()
	if l.server != nil {
		l.server.Close()
	}
}

// fallSilent keeps the connection open until it is cut.
func (l *link) fallSilent() {
	l.silent.Store(true)
	<-l.over
}

func (l *link) serve() {
	defer l.cut()
	if l.silent.Load() {
		<-l.over
		return
	}
	l.prepared, l.portals = map[string]string{}, map[string]string{}
	l.back = pgproto3.NewBackend(l.client, l.client)
	front, err := l.start()
	if err != nil || front == nil {
		return
	}
	var answers sync.WaitGroup
	defer answers.Wait()
	defer l.cut()
	answers.Go(func() { l.relay(front) })
	l.requests()
}

// start connects to the server and leads the client through its start-up. It returns nil when there is no session to come.
func (l *link) start() (*pgproto3.Frontend, error) {
	for {
		msg, err := l.back.ReceiveStartupMessage()
		if err != nil {
			return nil, err
		}
		switch msg := msg.(type) {
		case *pgproto3.SSLRequest, *pgproto3.GSSEncRequest:
			if _, err := l.client.Write([]byte{'N'}); err != nil {
				return nil, err
			}
		case *pgproto3.CancelRequest:
			return nil, l.pass(msg)
		case *pgproto3.StartupMessage:
			return l.connect(msg)
		}
	}
}

// pass hands a request to cancel to the server, which answers by closing the connection.
func (l *link) pass(msg pgproto3.FrontendMessage) error {
	if err := l.dial(); err != nil {
		return err
	}
	text, err := msg.Encode(nil)
	if err != nil {
		return err
	}
	if _, err := l.server.Write(text); err != nil {
		return err
	}
	_, err = l.server.Read(make([]byte, 1))
	return err
}

func (l *link) dial() error {
	server, err := l.proxy.dial()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = server
	if l.gone {
		server.Close()
		return net.ErrClosed
	}
	return nil
}

func (l *link) connect(startup *pgproto3.StartupMessage) (*pgproto3.Frontend, error) {
	s, rule := l.proxy.statement(l.number, Connect)
	if rule != nil {
		rule.do(s)
		if code := rule.fault.Code; code != "" {
			l.back.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: "a fault of the test: " + rule.fault.Name})
			return nil, l.back.Flush()
		}
		switch rule.fault.Then {
		case Cut:
			return nil, nil
		case Silent:
			l.fallSilent()
			return nil, nil
		}
	}
	if err := l.dial(); err != nil {
		return nil, err
	}
	front := pgproto3.NewFrontend(l.server, l.server)
	front.Send(startup)
	if err := front.Flush(); err != nil {
		return nil, err
	}
	return front, l.authenticate(front)
}

// authenticate passes on what is said until the session is there.
func (l *link) authenticate(front *pgproto3.Frontend) error {
	for {
		msg, err := front.Receive()
		if err != nil {
			return err
		}
		asks := false
		switch msg := msg.(type) {
		case *pgproto3.AuthenticationCleartextPassword:
			asks, err = true, l.back.SetAuthType(pgproto3.AuthTypeCleartextPassword)
		case *pgproto3.AuthenticationMD5Password:
			asks, err = true, l.back.SetAuthType(pgproto3.AuthTypeMD5Password)
		case *pgproto3.AuthenticationSASL:
			asks, err = true, l.back.SetAuthType(pgproto3.AuthTypeSASL)
		case *pgproto3.AuthenticationSASLContinue:
			asks, err = true, l.back.SetAuthType(pgproto3.AuthTypeSASLContinue)
		case *pgproto3.ReadyForQuery:
			l.back.Send(msg)
			return l.back.Flush()
		}
		if err != nil {
			return err
		}
		l.back.Send(msg)
		if err := l.back.Flush(); err != nil {
			return err
		}
		if !asks {
			continue
		}
		answer, err := l.back.Receive()
		if err != nil {
			return err
		}
		front.Send(answer)
		if err := front.Flush(); err != nil {
			return err
		}
	}
}

// requests reads what the client sends, round by round, until either side ends.
func (l *link) requests() {
	var bytes []byte
	var texts []string
	for {
		msg, err := l.back.Receive()
		if l.silent.Load() {
			<-l.over
			return
		}
		if err != nil {
			return
		}
		if bytes, err = msg.Encode(bytes); err != nil {
			return
		}
		ends := false
		switch msg := msg.(type) {
		case *pgproto3.Query:
			texts, ends = append(texts, msg.String), true
		case *pgproto3.Parse:
			l.prepared[msg.Name] = msg.Query
		case *pgproto3.Bind:
			l.portals[msg.DestinationPortal] = l.prepared[msg.PreparedStatement]
		case *pgproto3.Execute:
			texts = append(texts, l.portals[msg.Portal])
		case *pgproto3.Sync:
			ends = true
		case *pgproto3.Terminate, *pgproto3.Flush, *pgproto3.CopyData, *pgproto3.CopyDone, *pgproto3.CopyFail:
			if _, err := l.server.Write(bytes); err != nil {
				return
			}
			bytes = bytes[:0]
		}
		if !ends {
			continue
		}
		if !l.round(bytes, strings.Join(texts, "; ")) {
			return
		}
		bytes, texts = bytes[:0], nil
	}
}

// round sends one to the server, unless a rule is against it. It returns false when the connection is over.
func (l *link) round(bytes []byte, text string) bool {
	var s Statement
	var rule *Rule
	if text != "" { // otherwise something is only prepared
		s, rule = l.proxy.statement(l.number, text)
	}
	if rule == nil {
		return l.send(bytes, round{})
	}
	f := &rule.fault
	if f.When == Before {
		rule.do(s)
		if f.Then != GoesOn {
			return l.endBy(f.Then)
		}
	}
	if sql := f.instead(); sql != "" {
		var err error
		if bytes, err = (&pgproto3.Query{String: sql}).Encode(nil); err != nil {
			return false
		}
	}
	this := round{statement: s}
	if f.When == After {
		this.after = rule
	}
	if !l.send(bytes, this) {
		return false
	}
	if f.When == During {
		rule.do(s)
		return f.Then == GoesOn || l.endBy(f.Then)
	}
	return true
}

func (l *link) endBy(then Then) bool {
	if then == Silent {
		l.fallSilent()
	}
	l.cut()
	return false
}

func (l *link) send(bytes []byte, r round) bool {
	l.mu.Lock()
	l.rounds = append(l.rounds, r)
	l.mu.Unlock()
	_, err := l.server.Write(bytes)
	return err == nil
}

// current is the round that the server is answering.
func (l *link) current() (r round, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rounds) == 0 {
		return r, false
	}
	return l.rounds[0], true
}

// relay passes on the server's answers.
func (l *link) relay(front *pgproto3.Frontend) {
	defer l.cut()
	for {
		msg, err := front.Receive()
		if l.silent.Load() {
			<-l.over
			return
		}
		if err != nil {
			_ = l.back.Flush() // what the server said last
			return
		}
		r, busy := l.current()
		_, ready := msg.(*pgproto3.ReadyForQuery)
		if ready {
			l.mu.Lock()
			l.rounds = l.rounds[min(1, len(l.rounds)):]
			l.mu.Unlock()
		}
		if busy && r.after != nil && r.after.fault.Then != GoesOn {
			if ready {
				r.after.do(r.statement)
				l.endBy(r.after.fault.Then)
				return
			}
			continue // nobody is to see it
		}
		if ready && busy && r.after != nil {
			r.after.do(r.statement)
		}
		l.back.Send(msg)
		if ready || !busy || asynchronous(msg) {
			if err := l.back.Flush(); err != nil {
				return
			}
		}
	}
}

// asynchronous tells of messages after which nothing need follow for a while.
func asynchronous(msg pgproto3.BackendMessage) bool {
	switch msg.(type) {
	case *pgproto3.ErrorResponse, *pgproto3.NoticeResponse, *pgproto3.NotificationResponse, *pgproto3.CopyInResponse, *pgproto3.CopyOutResponse:
		return true
	}
	return false
}
