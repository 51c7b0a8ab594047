//go:build browser

// The page in a real browser: `make browser`. It needs chromium, and so is no part of `make test`.
package web

import (
	"encoding/base64"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var (
	shots    = flag.String("shots", "", "keep the screenshots in this `folder`")
	pageURL  = flag.String("page", "", "take one screenshot of the status page of a running daemon (`URL`)")
	pageFile = flag.String("out", "", "where that screenshot goes (`file`)")
)

// The screens and the tastes that the page is looked at with.
var (
	screens = map[string][2]int{"phone": {360, 740}, "tablet": {820, 1180}, "wide": {1440, 900}}
	schemes = []string{"light", "dark"}
)

// Nothing runs off the screen, everything can be read, nothing is loaded from elsewhere and nothing is refused, on a phone as on a wide
// screen, by day and by night.
func TestBrowser(t *testing.T) {
	b := launch(t)
	for name, source := range map[string]func(*testing.T) Source{"showcase": showcase, "gone": gone, "crowd": crowd, "nothing": func(*testing.T) Source { return Source{} }} {
		base := "http://" + serve(t, Options{Source: source(t)})
		for screen, size := range screens {
			for _, scheme := range schemes {
				t.Run(name+"/"+screen+"/"+scheme, func(t *testing.T) {
					p := b.open(t, size[0], size[1], screen == "phone", scheme)
					p.visit(base + "/status")
					p.evaluate("for (const d of document.querySelectorAll('details')) d.open = true", nil)
					var found struct {
						Dark     bool
						Overflow []string
						Contrast []string
						Small    []string
						Texts    int
					}
					p.evaluate(lookScript, &found)
					if found.Dark != (scheme == "dark") {
						t.Errorf("dark: %t", found.Dark)
					}
					if len(found.Overflow) > 0 {
						t.Errorf("runs off the screen: %s", strings.Join(found.Overflow, "; "))
					}
					if len(found.Contrast) > 0 {
						t.Errorf("hard to read: %s", strings.Join(found.Contrast, "; "))
					}
					if screen == "phone" && len(found.Small) > 0 {
						t.Errorf("hard to touch: %s", strings.Join(found.Small, "; "))
					}
					if found.Texts < 20 {
						t.Errorf("%d texts were looked at", found.Texts)
					}
					p.evaluate("for (const d of document.querySelectorAll('details')) d.open = false; scrollTo(0, 0)", nil)
					if *shots != "" && name != "crowd" {
						p.screenshot(filepath.Join(*shots, fmt.Sprintf("%s-%s-%s.png", name, screen, scheme)), 0)
					}
					for _, url := range p.requests() {
						if !strings.HasPrefix(url, base+"/") {
							t.Errorf("asked for %s", url)
						}
					}
					if said := p.complaints(); len(said) > 0 {
						t.Errorf("the browser says: %s", strings.Join(said, "\n"))
					}
				})
			}
		}
	}
}

// What the test looks at does tell a bad page from a good one.
func TestBrowserSeesFaults(t *testing.T) {
	b := launch(t)
	p := b.open(t, 360, 740, true, "light")
	p.visit("http://" + serve(t, Options{Source: showcase(t)}) + "/status")
	p.evaluate(`document.querySelector('h2').textContent = 'x'.repeat(300);
		const s = new CSSStyleSheet(); s.replaceSync('.facts { color: #bbb } nav a { padding: 0; font-size: 8px }'); document.adoptedStyleSheets = [s]`, nil)
	var found struct{ Overflow, Contrast, Small []string }
	p.evaluate(lookScript, &found)
	if len(found.Overflow) == 0 || len(found.Contrast) == 0 || len(found.Small) == 0 {
		t.Errorf("faults not seen: %+v", found)
	}
	p.evaluate(`const i = document.createElement('img'); i.src = 'http://127.0.0.1:1/x.png'; document.body.append(i); const s2 = document.createElement('script'); s2.textContent = 'window.ran = 1'; document.body.append(s2)`, nil)
	var ran bool
	p.evaluate("Boolean(window.ran)", &ran)
	if ran || len(p.complaints()) == 0 {
		t.Errorf("a planted script ran: %t; the browser says %v", ran, p.complaints())
	}
}

// The picture in the README, of a daemon that runs: `make screenshot`.
func TestScreenshot(t *testing.T) {
	if *pageURL == "" {
		return // asked for by name only
	}
	p := launch(t).open(t, 1200, 900, false, "light")
	p.visit(*pageURL)
	var bottom float64 // of the jobs: what follows is for who scrolls
	p.evaluate("(document.getElementById('jobs') || document.body).getBoundingClientRect().bottom + scrollY + 16", &bottom)
	p.screenshot(*pageFile, bottom)
	if said := p.complaints(); len(said) > 0 {
		t.Errorf("the browser says: %s", strings.Join(said, "\n"))
	}
}

// lookScript finds what runs off the screen, and texts whose contrast with what is behind them is below that of WCAG 2.1 AA.
const lookScript = `(() => {
	const found = {Dark: matchMedia('(prefers-color-scheme: dark)').matches, Overflow: [], Contrast: [], Small: [], Texts: 0};
	const width = document.documentElement.clientWidth;
	if (document.documentElement.scrollWidth > width) found.Overflow.push('the page is ' + document.documentElement.scrollWidth + ' wide on ' + width);
	const name = e => e.tagName + '.' + (e.getAttribute('class') || '') + ' "' + (e.textContent || '').trim().slice(0, 40) + '"';
	for (const e of document.body.querySelectorAll('*')) {
		if (e.closest('.scroll') && !e.matches('.scroll') || e.closest('svg')) continue;
		const r = e.getBoundingClientRect();
		if (r.width && r.right > width + 1) found.Overflow.push(name(e) + ' ends at ' + r.right);
		if (r.width && e.matches('nav a, summary, .clock a') && r.height < 24) found.Small.push(name(e) + ' is ' + r.height + ' high');
	}
	const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
	const rgba = c => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
	const behind = e => {
		for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] > .99) return c; }
		return [255, 255, 255, 1];
	};
	const light = c => { const [r, g, b] = c.map(v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	const seen = new Set();
	for (let n; n = texts.nextNode();) {
		const e = n.parentElement;
		if (!n.textContent.trim() || seen.has(e) || e.closest('title, style') || !e.getBoundingClientRect().width) continue;
		seen.add(e);
		found.Texts++;
		const style = getComputedStyle(e), svg = e.closest('svg');
		const front = light(rgba(svg ? style.fill : style.color)), back = light(behind(e));
		const ratio = (Math.max(front, back) + .05) / (Math.min(front, back) + .05);
		const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && style.fontWeight >= 700;
		if (ratio < (large ? 3 : 4.5)) found.Contrast.push(name(e) + ' ' + ratio.toFixed(2));
	}
	found.Overflow = found.Overflow.slice(0, 8); found.Contrast = found.Contrast.slice(0, 8);
	return found;
})()`

func (p *tab) screenshot(file string, height float64) {
	p.t.Helper()
	var size struct {
		CSSContentSize struct{ Width, Height float64 }
	}
	p.call("Page.getLayoutMetrics", nil, &size)
	if height == 0 || height > size.CSSContentSize.Height {
		height = size.CSSContentSize.Height
	}
	var shot struct{ Data string }
	p.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true,
		"clip": map[string]any{"x": 0, "y": 0, "width": size.CSSContentSize.Width, "height": min(height, 6000), "scale": 1}}, &shot)
	text, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
