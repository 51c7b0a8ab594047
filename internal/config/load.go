package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Flags is what the command line says in the place of the file.
type Flags struct {
	URL    string   // --url
	DevURL string   // --dev-url
	To     []string // --to: file:// URLs or paths, against the working directory
}

// LoadOptions says which file to read, and how.
type LoadOptions struct {
	File   string                   // --config; empty: atlas.hcl, which need not exist when Flags.URL is given
	Env    string                   // --env; may be empty when the file has one env
	Vars   map[string]string        // --var
	Getenv func(name string) string // for getenv() in the file; nil: os.Getenv
	Flags                           // these come before the file
}

// Load reads one env of the file. The error is an *Error with every problem that was found, or says why
// the file cannot be read. Only the chosen env is evaluated; names are checked in all.
func Load(opts LoadOptions) (*Env, error) {
	if opts.Getenv == nil {
		opts.Getenv = os.Getenv
	}
	given := opts.File != ""
	opts.File = filepath.Clean(strings.TrimPrefix(cmp.Or(opts.File, defaultFile), "file://"))
	source, err := readFile(opts.File)
	switch {
	case errors.Is(err, os.ErrNotExist) && !given && opts.URL != "":
		if opts.Env != "" || len(opts.Vars) > 0 {
			return nil, fmt.Errorf("%s: no such file, and --env and --var need it: name it with --config FILE", opts.File)
		}
		return FromFlags(opts.Flags)
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("%s: no such file: name one with --config FILE, or say everything with --url URL --to SRC", opts.File)
	case err != nil:
		return nil, err
	}
	base, err := filepath.Abs(filepath.Dir(opts.File))
	if err != nil {
		return nil, fmt.Errorf("find the folder of %s: %w", opts.File, err)
	}
	l := newLoader(opts, base)
	env := l.load(source)
	if err := l.err(); err != nil {
		return nil, err
	}
	return env, nil
}

// FromFlags is an env made of flags only: no policies, the managed schemas are public and those that the
// sources create. Without To it has no declared schema, which is enough for commands that only look.
func FromFlags(flags Flags) (*Env, error) {
	l := newLoader(LoadOptions{Flags: flags}, "")
	env := &Env{Schemas: []string{defaultSchema}, Daemon: defaultDaemon()}
	l.connections(section{loader: l}, env)
	env.Sources = l.flagSources()
	if err := l.err(); err != nil {
		return nil, err
	}
	return env, nil
}

const (
	maxFileBytes = 256 << 10
	maxNesting   = 100
)

func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a folder: name the file with --config FILE", name)
	case info.Size() > maxFileBytes:
		return nil, fmt.Errorf("%s has %d bytes: at most %d are read", name, info.Size(), maxFileBytes)
	}
	return os.ReadFile(name)
}

// loader reads one file once.
type loader struct {
	*problems
	opts     LoadOptions
	base     string // the folder of the file
	root     *block
	scope    *hcl.EvalContext
	withheld map[string]string // locals that cannot be had, and why
	env      *Env
	intoAt   map[Pos]Pos // by the place of an archive block, that of its into
}

func newLoader(opts LoadOptions, base string) *loader {
	return &loader{
		problems: &problems{file: opts.File}, opts: opts, base: base, root: root(),
		withheld: map[string]string{}, intoAt: map[Pos]Pos{},
	}
}

func (l *loader) load(source []byte) *Env {
	if len(source) > maxFileBytes {
		l.add(Pos{File: l.file}, "the file has %d bytes: at most %d are read", len(source), maxFileBytes)
		return nil
	}
	if deep := TooDeep(source, l.file); deep != nil {
		l.add(l.pos(*deep), "the file is nested too deeply")
		return nil
	}
	file, diags := hclsyntax.ParseConfig(source, l.file, hcl.InitialPos)
	if diags.HasErrors() {
		l.addDiagnostics(diags, "")
		return nil
	}
	body := file.Body.(*hclsyntax.Body)
	chosen, name := l.choose(body)
	names := &structure{problems: l.problems, root: l.root}
	names.file(body, chosen)
	if !l.buildScope(body, name) || chosen == nil {
		return nil
	}
	l.env = &Env{Name: name, File: l.opts.File, Ignored: names.notes}
	l.decodeEnv(chosen)
	l.validate()
	return l.env
}

// TooDeep is where a file in HCL is nested so deeply that the stack of the recursive parser might overflow, which nothing can catch; nil: nowhere.
func TooDeep(source []byte, file string) *hcl.Range {
	tokens, _ := hclsyntax.LexConfig(source, file, hcl.InitialPos) // what is wrong here, the parser says better
	depth, signs, questions := 0, 0, 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenOQuote,
			hclsyntax.TokenOHeredoc, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth++
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCQuote,
			hclsyntax.TokenCHeredoc, hclsyntax.TokenTemplateSeqEnd:
			depth--
		case hclsyntax.TokenQuestion:
			questions++
		}
		if t.Type == hclsyntax.TokenBang || t.Type == hclsyntax.TokenMinus {
			signs++
		} else {
			signs = 0
		}
		if depth > maxNesting || signs > maxNesting || questions > 10*maxNesting {
			return &t.Range
		}
	}
	return nil
}

// choose finds the env block to read and its name. As in the atlas CLI, a block with the label comes
// before one without any that takes its name from --env.
func (l *loader) choose(body *hclsyntax.Body) (*hclsyntax.Block, string) {
	byName := map[string]*hclsyntax.Block{}
	var names []string
	var unlabelled *hclsyntax.Block
	for _, b := range body.Blocks {
		switch {
		case b.Type != "env":
		case len(b.Labels) == 0 && unlabelled == nil:
			unlabelled = b
		case len(b.Labels) == 0:
			l.add(l.pos(b.TypeRange), "a second env without a label; the first is at %s", l.pos(unlabelled.TypeRange))
		case byName[b.Labels[0]] != nil:
			l.add(l.pos(b.LabelRanges[0]), "env %q is given twice; the first is at %s", b.Labels[0], l.pos(byName[b.Labels[0]].TypeRange))
		case b.Labels[0] == "":
			l.add(l.pos(b.LabelRanges[0]), "env has an empty name")
		default:
			byName[b.Labels[0]] = b
			names = append(names, b.Labels[0])
		}
	}
	slices.Sort(names)
	at := Pos{File: l.file}
	switch want := l.opts.Env; {
	case want != "" && byName[want] != nil:
		return byName[want], want
	case want != "" && unlabelled != nil:
		return unlabelled, want
	case want != "" && len(names) > 0:
		l.add(at, "there is no env %q%s", want, suggest(want, names...))
	case len(names) == 1 && unlabelled == nil:
		return byName[names[0]], names[0]
	case len(names) > 0:
		l.add(at, "choose one of the envs with --env: %s", strings.Join(names, ", "))
	case unlabelled != nil:
		l.add(at, "the env takes its name from the command line: give one with --env NAME")
	default:
		l.add(at, "there is no env block: write env \"local\" { url = … }")
	}
	return nil, ""
}
