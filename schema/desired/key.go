package desired

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
)

// code is this package's own source, by which sources are loaded.
//
//go:embed *.go
var code embed.FS

// Key is a digest of all that a Result follows from, but for the server: the sources' texts, the policies, what is managed, and this
// program's own way of loading and reading. Where the files are, and where something stands in atlas.hcl, is no part of it.
func (o Options) Key() (string, error) {
	files, _, err := collect(o.Sources)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, own := range []embed.FS{catalog.Code, code} {
		err := fs.WalkDir(own, ".", func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fs.ReadFile(own, path)
			fmt.Fprintf(h, "%q %q\n", path, text)
			return err
		})
		if err != nil {
			return "", err
		}
	}
	fmt.Fprintf(h, "%q %t %q %q\n", o.Schemas, o.Schemas == nil, o.Exclude, pg.Redact(o.DevURL))
	for _, p := range o.Partitions {
		p.Pos, p.Schedule, p.Archive = config.Pos{}, config.Schedule{}, nil // an archive is among the archives
		fmt.Fprintf(h, "%#v\n", p)
	}
	for _, a := range o.Archives {
		a.Pos, a.Schedule = config.Pos{}, config.Schedule{}
		fmt.Fprintf(h, "%#v\n", a)
	}
	for _, r := range o.Refreshes {
		r.Pos, r.Schedule = config.Pos{}, config.Schedule{}
		fmt.Fprintf(h, "%#v\n", r)
	}
	for _, f := range files {
		fmt.Fprintf(h, "%q %t %q\n", filepath.Base(f.name), f.hcl, f.text)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
