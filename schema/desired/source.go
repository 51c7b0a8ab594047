package desired

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pgtender/pgtender/internal/config"
)

// Source is where declared files are: a .hcl or .sql file, or a folder of them.
type Source struct {
	// FS holds the files when they are not on the disk, such as those embedded in the binary; then Path is a path in it.
	FS   fs.FS
	Path string
	Raw  string     // as the user wrote it; names the source in messages
	Pos  config.Pos // where it was written
}

// FromConfig are the sources of atlas.hcl, or of --to.
func FromConfig(sources []config.Source) []Source {
	out := make([]Source, len(sources))
	for i, s := range sources {
		out[i] = Source{Path: s.Path, Raw: s.Raw, Pos: s.Pos}
	}
	return out
}

// file is one source file, read.
type file struct {
	name string // as messages show it
	text string
	hcl  bool

	lines []int // where each line begins: a dump has a place for each of its thousands of statements
}

// pos is the place of the byte at offset.
func (f *file) pos(offset int) config.Pos {
	if f.lines == nil {
		f.lines = []int{0}
		for i := range len(f.text) {
			if f.text[i] == '\n' {
				f.lines = append(f.lines, i+1)
			}
		}
	}
	offset = min(max(offset, 0), len(f.text))
	line, found := slices.BinarySearch(f.lines, offset)
	if !found {
		line-- // of the line that began before
	}
	return config.Pos{File: f.name, Line: line + 1, Column: utf8.RuneCountInString(f.text[f.lines[line]:offset]) + 1}
}

// collect reads the sources' files: entries in the order written, a folder's files by name. Folders are not
// searched deeper, as the atlas CLI does not either; what is passed over is returned by name.
func collect(sources []Source) (files []*file, ignored []string, err error) {
	var wrong problems
	for _, s := range sources {
		read, passed, err := s.read()
		if err != nil {
			wrong.add(s.Pos, "read the source %q: %v", s.label(), err)
		}
		files, ignored = append(files, read...), append(ignored, passed...)
	}
	for i, f := range files {
		if slices.ContainsFunc(files[:i], func(g *file) bool { return g.name == f.name }) {
			wrong.add(config.Pos{File: f.name, Line: 1, Column: 1}, "the file is read twice: two sources name it")
		}
		if at := invalidUTF8(f.text); at >= 0 {
			wrong.add(f.pos(at), "the file is not UTF-8 text")
		}
	}
	return files, ignored, wrong.err()
}

func (s *Source) label() string {
	if s.Raw != "" {
		return s.Raw
	}
	return s.Path
}

// display names a file in messages: relative to the working folder when it is below it.
func (s *Source) display(name string) string {
	if s.FS != nil {
		return name
	}
	wd, err := os.Getwd()
	if err != nil {
		return name
	}
	if rel, err := filepath.Rel(wd, name); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return name
}

func (s *Source) read() (files []*file, ignored []string, err error) {
	fsys, root, join := s.FS, s.Path, path.Join
	if fsys == nil {
		fsys, join = disk{}, func(elem ...string) string { return filepath.Join(elem...) }
	}
	info, err := fs.Stat(fsys, root)
	if err != nil {
		return nil, nil, reason(err)
	}
	names := []string{root}
	if info.IsDir() {
		entries, err := fs.ReadDir(fsys, root)
		if err != nil {
			return nil, nil, reason(err)
		}
		names = nil
		for _, e := range entries {
			name := join(root, e.Name())
			if e.IsDir() || !readable(name) {
				ignored = append(ignored, s.display(name))
				continue
			}
			names = append(names, name)
		}
		if len(names) == 0 {
			return nil, nil, errors.New("the folder has no .hcl and no .sql file")
		}
	} else if !readable(root) {
		return nil, nil, errors.New("only .hcl and .sql files, and folders of them, can be read")
	}
	for _, name := range names {
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, nil, reason(err)
		}
		files = append(files, &file{
			name: s.display(name), text: strings.TrimPrefix(string(data), "\uFEFF"), hcl: filepath.Ext(name) == ".hcl",
		})
	}
	return files, ignored, nil
}

func readable(name string) bool {
	base := filepath.Base(name)
	return !strings.HasPrefix(base, ".") && (strings.HasSuffix(base, ".hcl") || strings.HasSuffix(base, ".sql"))
}

// reason takes the operation's name off a file error: the message around it has it.
func reason(err error) error {
	var pathErr *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file or folder")
	case errors.As(err, &pathErr):
		return fmt.Errorf("%s: %w", pathErr.Path, pathErr.Err)
	}
	return err
}

// disk is the operating system's files by whatever path it knows, also absolute ones.
type disk struct{}

func (disk) Open(name string) (fs.File, error)          { return os.Open(name) }
func (disk) ReadFile(name string) ([]byte, error)       { return os.ReadFile(name) }
func (disk) Stat(name string) (fs.FileInfo, error)      { return os.Stat(name) }
func (disk) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

func invalidUTF8(s string) int {
	if i := strings.IndexByte(s, 0); i >= 0 {
		return i
	}
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}
