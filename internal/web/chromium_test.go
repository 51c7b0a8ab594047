//go:build browser

package web

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// chromium is a headless browser, spoken to over a pipe in the DevTools protocol.
type chromium struct {
	t    *testing.T
	in   io.Writer
	mu   sync.Mutex
	next int
	wait map[int]chan message
	tabs map[string]*tab // by session
}

type message struct {
	ID        int             `json:"id,omitempty"`
	Session   string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Exception *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

const browserPatience = 60 * time.Second

// launch starts the browser; it ends with the test.
func launch(t *testing.T) *chromium {
	t.Helper()
	program := os.Getenv("CHROMIUM")
	if program == "" {
		program = "chromium"
	}
	toBrowser, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, fromBrowser, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// The sandbox does not run as root, and the page is ours. Nothing is asked of the network.
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{toBrowser, fromBrowser}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	toBrowser.Close()
	fromBrowser.Close()
	b := &chromium{t: t, in: in, wait: map[int]chan message{}, tabs: map[string]*tab{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read(out)
	}()
	t.Cleanup(func() {
		b.call("", "Browser.close", nil, nil)
		_ = cmd.Wait()
		in.Close()
		<-read
		out.Close()
	})
	return b
}

// read hands on what the browser says, until it ends.
func (b *chromium) read(out io.Reader) {
	r := bufio.NewReader(out)
	for {
		text, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m) != nil {
			continue
		}
		b.mu.Lock()
		if c := b.wait[m.ID]; m.ID != 0 && c != nil {
			c <- m
		} else if tab := b.tabs[m.Session]; tab != nil {
			tab.heard(m)
		}
		b.mu.Unlock()
	}
}

func (b *chromium) call(session, method string, params, result any) {
	b.t.Helper()
	text, err := json.Marshal(params)
	if err != nil {
		b.t.Fatal(err)
	}
	if params == nil {
		text = []byte("{}")
	}
	answer := make(chan message, 1)
	b.mu.Lock()
	b.next++
	m := message{ID: b.next, Session: session, Method: method, Params: text}
	b.wait[m.ID] = answer
	text, err = json.Marshal(m)
	if err == nil {
		_, err = b.in.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		b.t.Fatalf("%s: %v", method, err)
	}
	select {
	case m := <-answer:
		if m.Exception != nil {
			b.t.Fatalf("%s: %s", method, m.Exception.Message)
		}
		if result != nil {
			if err := json.Unmarshal(m.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-time.After(browserPatience):
		b.t.Fatalf("%s: no answer in %s", method, browserPatience)
	}
}

// tab is one page of the browser.
type tab struct {
	t       *testing.T
	b       *chromium
	session string
	loaded  chan struct{}

	mu    sync.Mutex
	asked []string
	said  []string
}

// open makes a tab that shows pages as such a screen would.
func (b *chromium) open(t *testing.T, width, height int, mobile bool, scheme string) *tab {
	t.Helper()
	var made struct{ TargetID string }
	var context struct{ BrowserContextID string }
	b.call("", "Target.createBrowserContext", nil, &context)
	b.call("", "Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": context.BrowserContextID}, &made)
	var attached struct{ SessionID string }
	b.call("", "Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &attached)
	p := &tab{t: t, b: b, session: attached.SessionID, loaded: make(chan struct{}, 16)}
	b.mu.Lock()
	b.tabs[p.session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.call(domain+".enable", nil, nil)
	}
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}, nil)
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	t.Cleanup(func() {
		b.call("", "Target.disposeBrowserContext", map[string]any{"browserContextId": context.BrowserContextID}, nil)
	})
	return p
}

func (p *tab) call(method string, params, result any) {
	p.t.Helper()
	p.b.call(p.session, method, params, result)
}

// visit loads a page.
func (p *tab) visit(url string) {
	p.t.Helper()
	var went struct{ ErrorText string }
	p.call("Page.navigate", map[string]any{"url": url}, &went)
	if went.ErrorText != "" {
		p.t.Fatalf("%s: %s", url, went.ErrorText)
	}
	select {
	case <-p.loaded:
	case <-time.After(browserPatience):
		p.t.Fatalf("%s was not loaded in %s", url, browserPatience)
	}
}

// evaluate runs a script and decodes its value.
func (p *tab) evaluate(script string, into any) {
	p.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct{ Exception struct{ Description string } }
	}
	p.call("Runtime.evaluate", map[string]any{"expression": script, "returnByValue": true}, &r)
	if r.ExceptionDetails != nil {
		p.t.Fatalf("script: %s", r.ExceptionDetails.Exception.Description)
	}
	if into != nil {
		if err := json.Unmarshal(r.Result.Value, into); err != nil {
			p.t.Fatalf("script: %v in %s", err, r.Result.Value)
		}
	}
}

func (p *tab) heard(m message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var e struct {
		Request          struct{ URL string }
		Entry            struct{ Level, Text, URL string }
		Type             string
		ExceptionDetails struct{ Text string }
	}
	_ = json.Unmarshal(m.Params, &e)
	switch m.Method {
	case "Page.loadEventFired":
		select {
		case p.loaded <- struct{}{}:
		default:
		}
	case "Network.requestWillBeSent":
		p.asked = append(p.asked, e.Request.URL)
	case "Log.entryAdded":
		p.said = append(p.said, e.Entry.Level+": "+e.Entry.Text+" "+e.Entry.URL)
	case "Runtime.consoleAPICalled":
		p.said = append(p.said, "console "+e.Type)
	case "Runtime.exceptionThrown":
		p.said = append(p.said, e.ExceptionDetails.Text)
	}
}

func (p *tab) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *tab) complaints() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said
}
