package schema

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/pgtender/pgtender/internal/pg"
	"github.com/pgtender/pgtender/schema/catalog"
	"github.com/pgtender/pgtender/schema/desired"
)

// keptRows is how many versions of the sources a database remembers: those of a few branches and programs.
const keptRows = 8

// maxMemory is how many bytes are unpacked of a row; the snapshot of 10,000 tables has some tens of millions.
const maxMemory = 1 << 30

// memory is what one database remembers of the sources (table pgtender.declared): what they declare, and which state of the catalogs was last
// found equal to it. It is written by whoever applies and read by everybody. Whatever is missing, damaged or of another
// server, version or program is no answer, and the sources are loaded: a memory saves time and rights, and decides nothing.
type memory struct {
	log *zap.Logger
	key string // empty: the sources cannot be told apart, or there is nothing to remember in
	// found tells whether the row is there, so that what is found equal can be noted.
	found bool
	stamp string // of the catalogs when they were last equal
	equal leftOut
}

// leftOut is what a reading found and did not compare.
type leftOut struct {
	Unmanaged []catalog.Unmanaged
	LeftAlone []string
}

// content is what is stored of a result.
type content struct {
	Snapshot   catalog.Snapshot
	Schemas    []string
	Scope      catalog.Scope
	Ignored    []string
	Renames    []catalog.Rename
	Extensions map[string]string // versions that the server had to offer of the declared ones
	Roles      string            // digest of the roles, when privileges are compared
}

// keyed is a Desired that can tell its sources apart without loading them.
type keyed interface{ Key() (string, error) }

// Key is a digest of what the sources are.
func (s Sources) Key() (string, error) { return desired.Options(s).Key() }

// serverSQL is what the printing of a schema depends on besides the sources.
const serverSQL = `
SELECT concat_ws(' ', current_setting('server_version_num'), pg_encoding_to_char(encoding), datlocprovider, datcollate, datctype, datlocale, daticurules),
       to_regclass('pgtender.declared') IS NOT NULL AND coalesce(has_table_privilege(to_regclass('pgtender.declared'), 'SELECT'), false)
          AND has_schema_privilege('pgtender', 'USAGE')
  FROM pg_database WHERE datname = current_database()`

// recall looks whether the database remembers what the sources declare. A nil result is no error: they are to be loaded.
func recall(ctx context.Context, conn *pgx.Conn, d Desired, log *zap.Logger) (*memory, *desired.Result) {
	m := &memory{log: log}
	k, ok := d.(keyed)
	if !ok {
		return m, nil
	}
	sources, err := k.Key()
	if err != nil {
		return m, nil // loading them says what is wrong
	}
	var server string
	var there bool
	err = conn.QueryRow(ctx, serverSQL).Scan(&server, &there)
	if pg.Is(err, pg.InvalidSchemaName) { // pgtender has never worked here
		return m, nil
	}
	if err != nil {
		log.Debug("what the sources declare is not remembered", zap.Error(err))
		return m, nil
	}
	sum := sha256.Sum256([]byte(sources + "\n" + server))
	m.key = hex.EncodeToString(sum[:])
	if !there {
		return m, nil
	}
	result, err := m.read(ctx, conn)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		log.Debug("what is remembered of the sources cannot be used; they are loaded", zap.Error(err))
	}
	return m, result
}

func (m *memory) read(ctx context.Context, conn *pgx.Conn) (*desired.Result, error) {
	var packed, digest, equal []byte
	var stamp *string
	err := conn.QueryRow(ctx, "SELECT content, digest, stamp, equal FROM pgtender.declared WHERE key = $1", m.key).Scan(&packed, &digest, &stamp, &equal)
	if err != nil {
		return nil, err
	}
	c, err := m.open(packed, digest)
	if err != nil {
		return nil, err
	}
	now, err := surroundings(ctx, conn, c.Scope)
	if err != nil {
		return nil, err
	}
	if fmt.Sprint(now.Extensions) != fmt.Sprint(c.Extensions) || now.Roles != c.Roles {
		return nil, errors.New("the server's extensions or roles have changed")
	}
	m.found = true
	if stamp != nil {
		m.believe(*stamp, equal)
	}
	return &desired.Result{Snapshot: &c.Snapshot, Schemas: c.Schemas, Scope: c.Scope, Ignored: c.Ignored, Renames: c.Renames}, nil
}

// open reads a row's content, if it is whole, of this key, and fit to be used.
func (m *memory) open(packed, digest []byte) (c content, err error) {
	if !bytes.Equal(digest, m.digest(packed, nil)) {
		return c, errors.New("the row is damaged")
	}
	if err := unpack(packed, &c); err != nil {
		return c, err
	}
	for i, o := range c.Snapshot.Objects {
		if i > 0 && catalog.CompareKeys(c.Snapshot.Objects[i-1].Key, o.Key) >= 0 {
			return c, errors.New("the objects are not in order")
		}
	}
	return c, nil
}

// believe takes over which catalogs were found equal, if the note is whole and of this row.
func (m *memory) believe(stamp string, equal []byte) {
	if len(equal) <= sha256.Size {
		return
	}
	var left leftOut
	body := equal[sha256.Size:]
	if bytes.Equal(equal[:sha256.Size], m.digest(body, []byte(stamp))) && unpack(body, &left) == nil {
		m.stamp, m.equal = stamp, left
	}
}

// digest covers the key too, so that no row can stand in for another.
func (m *memory) digest(packed, more []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%q\n", m.key, more)
	h.Write(packed)
	return h.Sum(nil)
}

// surroundings are what else of the server the declared schema depends on.
func surroundings(ctx context.Context, conn *pgx.Conn, scope catalog.Scope) (content, error) {
	c := content{Extensions: map[string]string{}}
	if len(scope.Extensions) > 0 {
		rows, err := conn.Query(ctx, "SELECT name, default_version FROM pg_available_extensions WHERE name = ANY ($1)", scope.Extensions)
		if err != nil {
			return c, err
		}
		var name, version string
		if _, err := pgx.ForEachRow(rows, []any{&name, &version}, func() error { c.Extensions[name] = version; return nil }); err != nil {
			return c, err
		}
	}
	if len(scope.Privileges) > 0 {
		err := conn.QueryRow(ctx, "SELECT md5(string_agg(rolname, ' ' ORDER BY rolname)) FROM pg_roles").Scan(&c.Roles)
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// remember stores what the sources declare. It is called by whoever applies, where the schema pgtender is there and may be written.
func (m *memory) remember(ctx context.Context, conn *pgx.Conn, r *desired.Result) error {
	if m.key == "" || m.found {
		return nil
	}
	c, err := surroundings(ctx, conn, r.Scope)
	if err != nil {
		return fmt.Errorf("remember what the sources declare: %w", err)
	}
	c.Snapshot, c.Schemas, c.Scope, c.Ignored, c.Renames = *r.Snapshot, r.Schemas, r.Scope, r.Ignored, r.Renames
	packed, err := pack(c)
	if err != nil {
		return fmt.Errorf("remember what the sources declare: %w", err)
	}
	_, err = conn.Exec(ctx, `
		INSERT INTO pgtender.declared AS d (key, content, digest) VALUES ($1, $2, $3)
		ON CONFLICT (key) DO UPDATE SET content = excluded.content, digest = excluded.digest, loaded_at = excluded.loaded_at, stamp = NULL, equal = NULL, equal_at = NULL`,
		m.key, packed, m.digest(packed, nil))
	if err == nil {
		_, err = conn.Exec(ctx, `
			DELETE FROM pgtender.declared WHERE key IN (SELECT key FROM pgtender.declared WHERE key <> $1 ORDER BY loaded_at DESC, key OFFSET $2)`, m.key, keptRows-1)
	}
	if err != nil {
		return fmt.Errorf("remember what the sources declare: %w", err)
	}
	m.found, m.stamp = true, ""
	return nil
}

// note says that the catalogs with this stamp, taken before they were read, equal what is declared. Who may not write it
// loses nothing.
func (m *memory) note(ctx context.Context, conn *pgx.Conn, stamp string, live *catalog.Snapshot) {
	m.stamp, m.equal = stamp, leftOut{live.Unmanaged, live.LeftAlone}
	if !m.found {
		return
	}
	packed, err := pack(m.equal)
	if err == nil {
		_, err = conn.Exec(ctx, "UPDATE pgtender.declared SET stamp = $2, equal = $3, equal_at = clock_timestamp() WHERE key = $1",
			m.key, stamp, append(m.digest(packed, []byte(stamp)), packed...))
	}
	if err != nil {
		m.log.Debug("it is not noted that the database equals the sources", zap.Error(err))
	}
}

// spared is the snapshot of a database whose catalogs have not changed since they equalled what is declared.
func (m *memory) spared(declared *catalog.Snapshot) *catalog.Snapshot {
	live := *declared
	live.Unmanaged, live.LeftAlone, live.Children = m.equal.Unmanaged, m.equal.LeftAlone, nil
	return &live
}

func pack(v any) ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(z).Encode(v); err != nil { // it tells an empty list from none, which a scope depends on
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func unpack(packed []byte, v any) error {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(z, maxMemory+1))
	if err != nil {
		return err
	}
	if len(text) > maxMemory {
		return fmt.Errorf("it has more than %d bytes", maxMemory)
	}
	return json.Unmarshal(text, v)
}
