package refresh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// basis is what a view's contents follow from, and what tells whether that has changed since. It is stored with the
// refresh as pgtender.refresh_state.fingerprint.
type basis struct {
	Server    string   `json:"server"` // changes whenever the counters may have begun anew
	Clock     float64  `json:"clock"`  // when it was read, by the server; in seconds since 1970
	Loaded    float64  `json:"loaded"` // when the session that read it loaded the server's settings
	View      edition  `json:"view"`   // as the refresh left it
	Rules     []rule   `json:"rules"`
	Relations []source `json:"relations"`
	Crowd     []string `json:"crowd"` // sessions that were idle or within a transaction; see guard.go
}

// edition is the state of the view itself, which every refresh replaces, whoever makes it.
type edition struct {
	OID  uint32 `json:"oid"`
	Mark string `json:"mark"` // its file, and the transaction that wrote its row of pg_class
}

// rule is a stored query: the view's, or that of a plain view in it.
type rule struct {
	OID    uint32 `json:"oid"`
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// source is a relation that the view reads, with its partitions.
type source struct {
	OID     uint32 `json:"oid"`
	Name    string `json:"name"`
	Storage string `json:"storage"` // digest of its files, partitions, columns and row security
	Ins     int64  `json:"ins"`     // rows inserted, updated, deleted since the statistics began, also by what was rolled back
	Upd     int64  `json:"upd"`
	Del     int64  `json:"del"`
}

// serverSQL changes with: another cluster, a promotion, a restart, a crash, a reset of statistics, another database.
const serverSQL = `
SELECT extract(epoch FROM clock_timestamp())::float8, extract(epoch FROM pg_conf_load_time())::float8,
       concat_ws(' ', (SELECT system_identifier FROM pg_control_system()), substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8),
                 extract(epoch FROM pg_postmaster_start_time()), extract(epoch FROM (SELECT stats_reset FROM pg_stat_get_wal())),
                 d.oid, coalesce(extract(epoch FROM pg_stat_get_db_stat_reset_time(d.oid)), 0))
  FROM pg_database d WHERE d.datname = current_database()`

// Each REFRESH writes the view's row of pg_class, also one that changes no row of the view (SetMatViewPopulatedState, matview.c); VACUUM,
// ANALYZE and index builds change that row in place, which keeps its xmin.
const editionSQL = "SELECT oid, format('%s %s', relfilenode, xmin) FROM pg_class WHERE oid = $1"

const rulesNowSQL = `
SELECT r.ev_class, r.ev_class::regclass::text, format('%s %s', r.xmin, md5(r.ev_action::text))
  FROM pg_rewrite r WHERE r.ev_class = ANY ($1) AND r.ev_type = '1' ORDER BY 1`

// Generation expressions are not part of a stored query, and no row need change when one of a virtual column does.
const sourcesSQL = treeSQL + `
SELECT t.root, coalesce((SELECT oid::regclass::text FROM pg_class WHERE oid = t.root), t.root::text),
       md5(string_agg(format('%s %s %s %s %s %s %s', t.oid, c.relkind, c.relfilenode, c.relnatts, c.relrowsecurity, t.via,
             (SELECT string_agg(format('%s:%s', d.adnum, d.xmin), ',' ORDER BY d.adnum) FROM pg_attrdef d WHERE d.adrelid = t.oid)),
             E'\n' ORDER BY t.oid, t.via)),
       coalesce(sum(pg_stat_get_tuples_inserted(t.oid)), 0)::bigint, coalesce(sum(pg_stat_get_tuples_updated(t.oid)), 0)::bigint,
       coalesce(sum(pg_stat_get_tuples_deleted(t.oid)), 0)::bigint
  FROM tree t LEFT JOIN pg_class c ON c.oid = t.oid
 GROUP BY t.root ORDER BY t.root`

// readBasis reads all but the crowd.
func readBasis(ctx context.Context, q pg.Querier, c closure) (*basis, error) {
	var b basis
	if err := q.QueryRow(ctx, serverSQL).Scan(&b.Clock, &b.Loaded, &b.Server); err != nil {
		return nil, fmt.Errorf("read the identity of the server's statistics: %w", err)
	}
	if err := q.QueryRow(ctx, editionSQL, c.view).Scan(&b.View.OID, &b.View.Mark); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("read the state of the view: %w", err)
	}
	rows, err := q.Query(ctx, rulesNowSQL, c.rules)
	if err == nil {
		b.Rules, err = pgx.CollectRows(rows, pgx.RowToStructByPos[rule])
	}
	if err != nil {
		return nil, fmt.Errorf("read the stored queries: %w", err)
	}
	rows, err = q.Query(ctx, sourcesSQL, c.relations)
	if err == nil {
		b.Relations, err = pgx.CollectRows(rows, pgx.RowToStructByPos[source])
	}
	if err != nil {
		return nil, fmt.Errorf("read the counters of what the view reads: %w", err)
	}
	return &b, nil
}

// sameCatalog tells whether two readings saw the same definitions, files and partitions.
func (b *basis) sameCatalog(other *basis) bool {
	sameRules := slices.EqualFunc(b.Rules, other.Rules, func(x, y rule) bool { return x.OID == y.OID && x.Digest == y.Digest })
	return sameRules && slices.EqualFunc(b.Relations, other.Relations, func(x, y source) bool {
		return x.OID == y.OID && x.Storage == y.Storage
	})
}

// stands tells whether the view's own stored query is among those read.
func (b *basis) stands(view uint32) bool {
	return slices.ContainsFunc(b.Rules, func(r rule) bool { return r.OID == view })
}

// closure is what was read.
func (b *basis) closure() closure {
	c := closure{view: b.View.OID, rules: []uint32{}, relations: []uint32{}}
	for _, r := range b.Rules {
		c.rules = append(c.rules, r.OID)
	}
	for _, s := range b.Relations {
		c.relations = append(c.relations, s.OID)
	}
	return c
}

// changed says what differs from an earlier reading of the same closure; "": nothing.
func (b *basis) changed(since *basis) string {
	if b.Server != since.Server {
		return "the server was restarted, crashed or promoted, or its statistics were reset"
	}
	if b.Loaded > since.Clock {
		return "the server's settings were loaded anew since, so track_counts may have been off for a while"
	}
	if len(b.Rules) != len(since.Rules) || len(b.Relations) != len(since.Relations) {
		return "a relation that it stands on is gone"
	}
	for i, r := range b.Rules {
		if r.OID != since.Rules[i].OID || r.Digest != since.Rules[i].Digest {
			return "the definition of " + r.Name + " changed"
		}
	}
	var out []string
	for i, s := range b.Relations {
		if what := s.changed(since.Relations[i]); what != "" {
			out = append(out, what)
		}
	}
	if len(out) > 3 {
		out = append(out[:3], fmt.Sprintf("%d more", len(out)-3))
	}
	if len(out) == 0 && b.View != since.View {
		return "somebody else has refreshed it since, maybe from older rows, or altered it"
	}
	return strings.Join(out, "; ")
}

func (s source) changed(since source) string {
	if s.OID != since.OID || s.Storage != since.Storage {
		return s.Name + " has other partitions, files or columns (attach, detach, TRUNCATE, rewrite)"
	}
	var out []string
	for _, c := range []struct {
		n    int64
		what string
	}{{s.Ins - since.Ins, "inserted"}, {s.Upd - since.Upd, "updated"}, {s.Del - since.Del, "deleted"}} {
		if c.n != 0 {
			out = append(out, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if len(out) == 0 {
		return ""
	}
	return fmt.Sprintf("%s was written (rows: %s)", s.Name, strings.Join(out, ", "))
}

func (b *basis) text() (string, error) {
	text, err := json.Marshal(b)
	return string(text), err
}

// parseBasis reads what text wrote; nil when another version did.
func parseBasis(text string) *basis {
	var b basis
	if json.Unmarshal([]byte(text), &b) != nil || b.Server == "" || b.View.OID == 0 || b.Clock == 0 || len(b.Rules) == 0 {
		return nil
	}
	return &b
}

// hiddenSQL gives reasons why counters may not tell of every change at all.
const hiddenSQL = `
SELECT CASE
  WHEN (SELECT setting FROM pg_settings WHERE name = 'track_counts') <> 'on' THEN 'track_counts is off: changes are not counted'
  WHEN EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
            AND EXISTS (SELECT FROM unnest(s.setconfig) u WHERE u LIKE 'track\_counts=%'))
       OR (SELECT source FROM pg_settings WHERE name = 'track_counts') NOT IN ('default', 'configuration file', 'command line', 'environment variable')
    THEN 'track_counts is set for a role, a database or this session: changes of others may not be counted'
  WHEN EXISTS (SELECT FROM pg_parameter_acl WHERE parname = 'track_counts')
    THEN 'a role that is no superuser may set track_counts: its changes may not be counted'
  WHEN EXISTS (SELECT FROM pg_proc WHERE EXISTS (SELECT FROM unnest(proconfig) u WHERE u LIKE 'track\_counts=%'))
    THEN 'a function sets track_counts: changes within it may not be counted'
  WHEN EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())
    THEN 'there are prepared transactions: what they change is counted late'
  WHEN EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
            AND state NOT LIKE 'idle%' AND query_start < pg_conf_load_time())
    THEN 'a statement began before the server loaded its settings, and goes by the earlier ones: it may not be counted'
  WHEN NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')
    THEN format('role %I cannot see what other sessions do: GRANT pg_monitor TO %I;', current_user, current_user)
  ELSE '' END`

// hidden says why what happens cannot be seen; "": it can.
func hidden(ctx context.Context, q pg.Querier) (why string, err error) {
	if err := q.QueryRow(ctx, hiddenSQL).Scan(&why); err != nil {
		return "", fmt.Errorf("look whether changes are counted: %w", err)
	}
	return why, nil
}
