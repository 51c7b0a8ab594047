package fault

import (
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Proxy passes on what clients and a server say to each other, with faults.
type Proxy struct {
	listener net.Listener
	url      string
	tasks    sync.WaitGroup

	mu     sync.Mutex
	target *pgconn.Config
	closed bool
	still  bool // new connections are silent
	links  map[*link]bool
	conns  int
	seen   []Statement
	shapes map[string]int
	rules  []*Rule
}

// Rule is a fault with the statements at which it happens.
type Rule struct {
	match Match
	times int // 0: always
	fault Fault
	proxy *Proxy
	hits  int
	done  chan struct{} // closed when it has happened once
}

// Hits is how often it has happened.
func (r *Rule) Hits() int {
	r.proxy.mu.Lock()
	defer r.proxy.mu.Unlock()
	return r.hits
}

// Happened is closed when the fault's deed was done for the first time.
func (r *Rule) Happened() <-chan struct{} { return r.done }

// End takes the rule away.
func (r *Rule) End() {
	r.proxy.mu.Lock()
	defer r.proxy.mu.Unlock()
	r.proxy.rules = slices.DeleteFunc(r.proxy.rules, func(other *Rule) bool { return other == r })
}

// New starts a proxy before the server of a connection string. It ends with the test.
func New(t testing.TB, target string) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("fault: %v", err)
	}
	u, err := url.Parse(target)
	if err != nil {
		t.Fatalf("fault: %v", err)
	}
	u.Host = listener.Addr().String()
	q := u.Query()
	q.Set("sslmode", "disable")
	q.Del("host")
	u.RawQuery = q.Encode()
	p := &Proxy{listener: listener, url: u.String(), links: map[*link]bool{}, shapes: map[string]int{}}
	p.Turn(t, target)
	p.tasks.Go(p.accept)
	t.Cleanup(p.Close)
	return p
}

// URL is the connection string by way of the proxy.
func (p *Proxy) URL() string { return p.url }

// Turn leads connections that begin from now on to another server.
func (p *Proxy) Turn(t testing.TB, target string) {
	t.Helper()
	cfg, err := pgconn.ParseConfig(target)
	if err != nil {
		t.Fatalf("fault: %v", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = cfg
}

// At adds a rule, which holds for the first statement that it picks.
func (p *Proxy) At(match Match, f Fault) *Rule { return p.rule(match, f, 1) }

// Always adds a rule that holds until its End.
func (p *Proxy) Always(match Match, f Fault) *Rule { return p.rule(match, f, 0) }

func (p *Proxy) rule(match Match, f Fault, times int) *Rule {
	r := &Rule{match: match, times: times, fault: f, proxy: p, done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, r)
	return r
}

// Seen returns all statements so far.
func (p *Proxy) Seen() []Statement {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.seen)
}

// Count is how many there were.
func (p *Proxy) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.seen)
}

// CutAll closes every connection there is.
func (p *Proxy) CutAll() {
	for _, l := range p.all() {
		l.cut()
	}
}

// Silence has nothing pass any more, on any connection, old or new, like a network that went silent; Release ends it.
func (p *Proxy) Silence() {
	p.mu.Lock()
	p.still = true
	p.mu.Unlock()
	for _, l := range p.all() {
		l.silent.Store(true)
	}
}

// Release closes the connections that have fallen silent.
func (p *Proxy) Release() {
	p.mu.Lock()
	p.still = false
	p.mu.Unlock()
	for _, l := range p.all() {
		if l.silent.Load() {
			l.cut()
		}
	}
}

// Close ends the proxy and all connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.listener.Close()
	p.CutAll()
	p.tasks.Wait()
}

func (p *Proxy) all() (links []*link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		links = append(links, l)
	}
	return links
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the client has gone already
		}
		l := &link{proxy: p, client: client, over: make(chan struct{})}
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			client.Close()
			return
		}
		p.conns++
		l.number = p.conns
		l.silent.Store(p.still)
		p.links[l] = true
		p.mu.Unlock()
		p.tasks.Go(func() {
			l.serve()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.links, l)
		})
	}
}

// statement counts one, and returns the rule that holds for it.
func (p *Proxy) statement(conn int, text string) (Statement, *Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Statement{N: len(p.seen) + 1, Conn: conn, Text: strings.TrimSpace(text), Shape: shape(text)}
	p.shapes[s.Shape]++
	s.Nth = p.shapes[s.Shape]
	p.seen = append(p.seen, s)
	for _, r := range p.rules {
		if (r.times == 0 || r.hits < r.times) && r.match(s) {
			r.hits++
			return s, r
		}
	}
	return s, nil
}

// do does the rule's deed.
func (r *Rule) do(s Statement) {
	if r.fault.Do != nil {
		r.fault.Do(s)
	}
	r.proxy.mu.Lock()
	defer r.proxy.mu.Unlock()
	select {
	case <-r.done:
	default:
		close(r.done)
	}
}

func (p *Proxy) dial() (net.Conn, error) {
	p.mu.Lock()
	network, address := pgconn.NetworkAddress(p.target.Host, p.target.Port)
	p.mu.Unlock()
	return net.Dial(network, address)
}
