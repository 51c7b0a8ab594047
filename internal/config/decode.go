package config

import (
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// decodeEnv fills l.env from the chosen block. The daemon block is read first: schedules need its zone.
func (l *loader) decodeEnv(b *hclsyntax.Block) {
	s := section{l, b, l.root.block("env"), title(b)}
	l.envName(s)
	l.env.Daemon = defaultDaemon()
	if d := first(b, "daemon"); d != nil {
		l.env.Daemon = s.in(d).daemon()
	}
	l.connections(s, l.env)
	l.env.Schemas, l.env.SchemasGiven = l.schemas(s)
	l.env.Exclude = l.exclude(s)
	l.env.Sources = l.sources(s)
	for _, c := range b.Body.Blocks {
		if ref := s.ref.block(c.Type); ref != nil && (ref.label != "") == (len(c.Labels) > 0) {
			l.policy(s.in(c))
		}
	}
}

// first returns the first block of a type; that there is a second is reported elsewhere.
func first(b *hclsyntax.Block, name string) *hclsyntax.Block {
	for _, c := range b.Body.Blocks {
		if c.Type == name {
			return c
		}
	}
	return nil
}

func (l *loader) envName(s section) {
	name, ok := s.text("name")
	switch {
	case len(s.block.Labels) > 0 && s.attr("name") != nil:
		s.wrong("name", "is for an env without a label: remove it")
	case len(s.block.Labels) == 0 && s.attr("name") == nil:
		l.add(s.pos(), "env has no label: write env \"NAME\" { … }, or name = atlas.env to take the name from --env")
	case len(s.block.Labels) == 0 && ok && name != l.env.Name:
		s.wrong("name", "must be atlas.env in an env without a label")
	}
}

func defaultDaemon() Daemon {
	history, _ := ParseInterval(defaultHistory) // a constant, held by a test
	return Daemon{Listen: defaultListen, Location: time.UTC, Apply: defaultApply, History: history}
}

func (s section) daemon() Daemon {
	d := Daemon{
		Listen:  s.str("listen", defaultListen),
		Apply:   oneOf(s, "apply", defaultApply, ApplySafe, ApplyOff),
		History: s.interval("history", defaultHistory),
		Pos:     s.pos(),
	}
	if why := badListen(d.Listen); why != "" {
		s.wrong("listen", "%q %s", d.Listen, why)
	}
	zone := s.str("time_zone", defaultTimeZone)
	loc, why := location(zone)
	if why != "" {
		s.wrong("time_zone", "%q %s", zone, why)
	}
	d.Location = loc
	return d
}

// location returns a zone that means the same on every machine; UTC with the reason if it is none.
func location(name string) (*time.Location, string) {
	const example = `: write an IANA name such as "UTC" or "Europe/Berlin"`
	switch {
	case strings.TrimSpace(name) == "":
		return time.UTC, "is empty" + example
	case name == "Local":
		return time.UTC, "depends on the machine" + example
	case strings.HasPrefix(name, "right/"):
		return time.UTC, "counts leap seconds, which PostgreSQL does not" + example
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC, "is no known time zone" + example
	}
	return loc, ""
}

// CheckListen says what is wrong with the address of --listen: the same as for listen in the file.
func CheckListen(addr string) error {
	if why := badListen(addr); why != "" {
		return &Error{[]Problem{{Text: "--listen " + strconv.Quote(addr) + " " + why}}}
	}
	return nil
}

func badListen(addr string) string {
	const example = `: write host:port, for example "127.0.0.1:9818" or ":9818"`
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "is no address" + example
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return "has no port from 0 to 65535" + example
	}
	if strings.ContainsAny(host, " \t\r\n/@%") && net.ParseIP(strings.Split(host, "%")[0]) == nil {
		return "has no host name or IP address before the port" + example
	}
	return ""
}

// connections reads url and dev, or takes the flags'. No message repeats a connection string.
func (l *loader) connections(s section, env *Env) {
	env.URL, env.DevURL = l.opts.URL, l.opts.DevURL
	if l.opts.URL == "" {
		url, given := s.text("url")
		env.URL = strings.TrimSpace(url)
		if env.URL == "" && (given || s.unset("url")) {
			l.add(s.at("url"), "the database is not named: set DATABASE_URL when env.url takes it from there, write env.url, or give --url")
		}
	}
	if l.opts.DevURL == "" {
		env.DevURL = strings.TrimSpace(s.str("dev", ""))
	}
	l.checkURL(s, "url", "--url", env.URL, l.opts.URL != "")
	l.checkURL(s, "dev", "--dev-url", env.DevURL, l.opts.DevURL != "")
}

func (l *loader) checkURL(s section, name, flag, value string, fromFlag bool) {
	if value == "" {
		return
	}
	where, pos := "env."+name, s.at(name)
	if fromFlag {
		where, pos = flag, Pos{}
	}
	scheme, _, isURL := strings.Cut(value, "://")
	switch {
	case strings.ContainsRune(value, 0):
		l.add(pos, "%s has a zero byte", where)
	case isURL && (scheme == "postgres" || scheme == "postgresql"):
	case isURL && !strings.ContainsAny(scheme, " ='"):
		advice := "write postgres://user@host:5432/database"
		if name == "dev" {
			advice += ", or leave it out: then the target's server is used"
		}
		l.add(pos, "%s has the scheme %q, which is not PostgreSQL's: %s", where, scheme, advice)
	case !isURL && !strings.Contains(value, "="):
		l.add(pos, "%s is no connection string: write postgres://user@host:5432/database", where)
	}
}

func (l *loader) schemas(s section) ([]string, bool) {
	list, given := s.strs("schemas", false, "names no schema: leave it out for public and those that the sources create")
	if !given {
		return []string{defaultSchema}, false
	}
	var names []string
	for _, entry := range list {
		reserved := reservedSchema(entry.text)
		switch err := checkName(entry.text); {
		case err != nil:
			l.add(entry.pos, "%s: schemas: %q %v", s.title, entry.text, err)
		case reserved != "":
			l.add(entry.pos, "%s: schemas: %q cannot be managed: %s", s.title, entry.text, reserved)
		case slices.Contains(names, entry.text):
			l.add(entry.pos, "%s: schemas: %q is given twice", s.title, entry.text)
		default:
			names = append(names, entry.text)
		}
	}
	return names, true
}

func (l *loader) exclude(s section) []Pattern {
	list, _ := s.strs("exclude", false, "")
	var patterns []Pattern
	for _, entry := range list {
		globs, err := parsePattern(entry.text)
		if err != nil {
			l.add(entry.pos, "%s: exclude: %q %v", s.title, entry.text, err)
			continue
		}
		if l.env.SchemasGiven && !matchesAny(globs[0], l.env.Schemas) && len(l.env.Schemas) > 0 {
			l.add(entry.pos, "%s: exclude: %q matches none of the managed schemas (%s): for objects write schema.object, for example %q",
				s.title, entry.text, strings.Join(l.env.Schemas, ", "), l.env.Schemas[0]+"."+entry.text)
			continue
		}
		patterns = append(patterns, Pattern{entry.text, entry.pos})
	}
	return patterns
}

func matchesAny(glob string, names []string) bool {
	for _, name := range names {
		if globMatch(glob, name) {
			return true
		}
	}
	return false
}

// sources reads schema.src, or src of the env, which is its older form.
func (l *loader) sources(s section) []Source {
	if len(l.opts.To) > 0 {
		return l.flagSources()
	}
	from := s
	if b := first(s.block, "schema"); b != nil {
		if s.attr("src") != nil {
			s.wrong("src", "is given beside the schema block: keep schema { src = … }")
			return nil
		}
		from = s.in(b)
	}
	list, _ := from.strs("src", true, `names nothing: write ["file://schema"]`)
	var sources []Source
	for _, entry := range list {
		source, why := l.source(entry, l.base, false)
		if why == "" {
			why = twice(sources, source)
		}
		if why != "" {
			l.add(entry.pos, "%s: src: %q %s", from.title, entry.text, why)
			continue
		}
		sources = append(sources, source)
	}
	return sources
}

// flagSources reads --to, where a plain path will do.
func (l *loader) flagSources() []Source {
	var sources []Source
	for _, raw := range l.opts.To {
		source, why := l.source(located{text: raw}, "", true)
		if why == "" {
			why = twice(sources, source)
		}
		if why != "" {
			l.add(Pos{}, "--to %q %s", raw, why)
			continue
		}
		sources = append(sources, source)
	}
	return sources
}

func twice(sources []Source, source Source) string {
	for _, other := range sources {
		if other.Path == source.Path {
			return "is given twice"
		}
	}
	return ""
}

// source resolves one entry of src against base, or against the working directory when base is empty.
func (l *loader) source(entry located, base string, plain bool) (Source, string) {
	const example = `: write "file://schema"`
	path, isFile := strings.CutPrefix(entry.text, "file://")
	if scheme, _, isURL := strings.Cut(entry.text, "://"); isURL && !isFile {
		return Source{}, "has the scheme " + strconv.Quote(scheme) + ": only file:// is read"
	}
	switch {
	case path == "":
		return Source{}, "names no path" + example
	case !isFile && !plain:
		return Source{}, "has no scheme: write " + strconv.Quote("file://"+entry.text)
	case isFile:
		u, err := url.Parse(entry.text)
		if err != nil || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return Source{}, "is more than a path" + example
		}
		path = u.Host + u.Path
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return Source{}, "cannot be made absolute: " + err.Error()
	}
	switch info, err := os.Stat(path); {
	case os.IsNotExist(err):
		return Source{}, "does not exist: looked for " + path
	case err != nil:
		return Source{}, "cannot be read: " + err.Error()
	case !info.IsDir() && filepath.Ext(path) != ".hcl" && filepath.Ext(path) != ".sql":
		return Source{}, "is neither a .hcl nor a .sql file nor a folder of them"
	}
	return Source{Path: path, Raw: entry.text, Pos: entry.pos}, ""
}
