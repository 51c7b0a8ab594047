package asyncio

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/pg"
)

// Override is a value that beats ALTER SYSTEM: of a database, a role, a role in a database, or a tablespace.
type Override struct {
	Setting string `json:"setting"`
	Of      string `json:"of"` // "database app", "role batch", "role batch in database app", "tablespace fast"
	Value   string `json:"value"`
	Reset   string `json:"reset"` // the SQL that takes it away
}

// Setting is one I/O setting of this server, as pg_settings has it for pgtender's session.
type Setting struct {
	Name           string     `json:"name"`
	Value          string     `json:"value"`     // in Unit
	Effective      string     `json:"effective"` // what the server does with it, caps included, for people: "128kB"
	Number         *float64   `json:"number,omitempty"`
	Unit           string     `json:"unit,omitempty"`
	Default        string     `json:"default"`
	Context        string     `json:"context"` // postmaster: needs a restart; sighup: a reload; user, superuser: a session may set it
	Source         string     `json:"source"`
	Min            string     `json:"min,omitempty"`
	Max            string     `json:"max,omitempty"`
	Choices        []string   `json:"choices,omitempty"` // of this build
	PendingRestart bool       `json:"pending_restart"`
	Pending        string     `json:"pending,omitempty"` // the value that waits for a restart, where this role may read the files
	File           string     `json:"file,omitempty"`    // with line; only for pg_read_all_settings
	MayAlterSystem bool       `json:"may_alter_system"`
	Overrides      []Override `json:"overrides,omitempty"`
}

// FileError is a line of a configuration file that the server cannot use.
type FileError struct {
	Place string `json:"place"`
	Name  string `json:"name,omitempty"`
	Error string `json:"error"`
}

// Status is everything that is known of the server's I/O settings at one moment.
type Status struct {
	Version          string      `json:"version"`
	Platform         string      `json:"platform,omitempty"` // of a managed service, when it shows
	Standby          bool        `json:"standby"`
	AllowAlterSystem bool        `json:"allow_alter_system"`
	MayReload        bool        `json:"may_reload"`
	MayObserve       bool        `json:"may_observe"` // pg_monitor or pg_read_all_stats
	MaxConnections   string      `json:"max_connections"`
	SharedBuffers    string      `json:"shared_buffers"`
	User             string      `json:"user"`
	Settings         []Setting   `json:"settings"` // sorted by name
	FileErrors       []FileError `json:"file_errors,omitempty"`
	FilesRead        bool        `json:"files_read"` // false: this role may not see pg_file_settings
}

// Setting returns the setting of that name, or nil when this server has none.
func (s *Status) Setting(name string) *Setting {
	for i := range s.Settings {
		if s.Settings[i].Name == name {
			return &s.Settings[i]
		}
	}
	return nil
}

// named are the settings besides io_% that bear on reads, read-ahead, writeback and their timing.
var named = [...]string{
	"backend_flush_after", "bgwriter_flush_after", "checkpoint_flush_after", "debug_io_direct", "effective_io_concurrency",
	"file_extend_method", "maintenance_io_concurrency", "track_io_timing",
}

const serverSQL = `
SELECT current_setting('server_version'), pg_is_in_recovery(),
       coalesce(current_setting('allow_alter_system', true), 'on') = 'on',
       has_function_privilege('pg_reload_conf()', 'EXECUTE'),
       pg_has_role('pg_read_all_stats', 'USAGE'),
       current_setting('max_connections'), current_setting('shared_buffers'), current_user,
       has_function_privilege('pg_show_all_file_settings()', 'EXECUTE') AND has_table_privilege('pg_file_settings', 'SELECT'),
       coalesce((SELECT min(CASE rolname WHEN 'rds_superuser' THEN 'Amazon RDS or Aurora'
                                         WHEN 'cloudsqlsuperuser' THEN 'Google Cloud SQL'
                                         WHEN 'azure_pg_admin' THEN 'Azure Database for PostgreSQL' END)
                   FROM pg_roles WHERE rolname IN ('rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin')), '')`

const settingsSQL = `
SELECT name, setting, coalesce(unit, ''), coalesce(boot_val, ''), context, source, coalesce(min_val, ''), coalesce(max_val, ''),
       coalesce(enumvals, '{}'), pending_restart, coalesce(sourcefile || ':' || sourceline, ''),
       has_parameter_privilege(name, 'ALTER SYSTEM'), vartype IN ('integer', 'real', 'bool')
  FROM pg_settings
 WHERE name LIKE 'io\_%' OR name = ANY ($1)
 ORDER BY name`

// Overrides in force for any session of this database; an entry of pg_db_role_setting is "name=value".
const overridesSQL = `
SELECT split_part(c, '=', 1), substr(c, strpos(c, '=') + 1), coalesce(d.datname, ''), coalesce(r.rolname, ''), ''
  FROM pg_db_role_setting s
  LEFT JOIN pg_database d ON d.oid = s.setdatabase
  LEFT JOIN pg_roles r ON r.oid = s.setrole,
       unnest(s.setconfig) AS c
 WHERE (s.setdatabase = 0 OR d.datname = current_database())
   AND (split_part(c, '=', 1) LIKE 'io\_%' OR split_part(c, '=', 1) = ANY ($1))
UNION ALL
SELECT split_part(o, '=', 1), substr(o, strpos(o, '=') + 1), '', '', t.spcname
  FROM pg_tablespace t, unnest(t.spcoptions) AS o
 WHERE split_part(o, '=', 1) = ANY ($1)
ORDER BY 1, 3, 4, 5`

// Read reads the settings. It works for a role without any privilege; what such a role cannot see is left out and said so.
func Read(ctx context.Context, db pg.Querier) (*Status, error) {
	var s Status
	err := db.QueryRow(ctx, serverSQL).Scan(&s.Version, &s.Standby, &s.AllowAlterSystem, &s.MayReload, &s.MayObserve,
		&s.MaxConnections, &s.SharedBuffers, &s.User, &s.FilesRead, &s.Platform)
	if err != nil {
		return nil, fmt.Errorf("read the server's I/O settings: %w", pg.Explain(err))
	}
	if err := s.readSettings(ctx, db); err != nil {
		return nil, fmt.Errorf("read the server's I/O settings: %w", err)
	}
	if err := s.readOverrides(ctx, db); err != nil {
		return nil, fmt.Errorf("read the overrides of I/O settings: %w", err)
	}
	if s.FilesRead {
		if s.FileErrors, err = readFileErrors(ctx, db); err != nil {
			return nil, fmt.Errorf("read the errors of the configuration files: %w", err)
		}
		if err := s.readPending(ctx, db); err != nil {
			return nil, fmt.Errorf("read what waits for a restart: %w", err)
		}
	}
	s.setEffective()
	return &s, nil
}

func (s *Status) readSettings(ctx context.Context, db pg.Querier) error {
	rows, err := db.Query(ctx, settingsSQL, named[:])
	if err != nil {
		return err
	}
	s.Settings, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Setting, error) {
		var t Setting
		var numeric bool
		err := row.Scan(&t.Name, &t.Value, &t.Unit, &t.Default, &t.Context, &t.Source, &t.Min, &t.Max,
			&t.Choices, &t.PendingRestart, &t.File, &t.MayAlterSystem, &numeric)
		if numeric {
			t.Number = number(t.Value)
		}
		return t, err
	})
	return err
}

func (s *Status) readOverrides(ctx context.Context, db pg.Querier) error {
	rows, err := db.Query(ctx, overridesSQL, named[:])
	if err != nil {
		return err
	}
	var name, value, database, role, tablespace string
	_, err = pgx.ForEachRow(rows, []any{&name, &value, &database, &role, &tablespace}, func() error {
		setting := s.Setting(name)
		if setting == nil {
			return nil
		}
		o := Override{Setting: name, Value: value}
		switch reset := " RESET " + pg.Ident(name) + ";"; {
		case tablespace != "":
			o.Of, o.Reset = "tablespace "+tablespace, fmt.Sprintf("ALTER TABLESPACE %s RESET (%s);", pg.Ident(tablespace), pg.Ident(name))
		case role != "" && database != "":
			o.Of = "role " + role + " in database " + database
			o.Reset = fmt.Sprintf("ALTER ROLE %s IN DATABASE %s%s", pg.Ident(role), pg.Ident(database), reset)
		case role != "":
			o.Of, o.Reset = "role "+role, "ALTER ROLE "+pg.Ident(role)+reset
		case database != "":
			o.Of, o.Reset = "database "+database, "ALTER DATABASE "+pg.Ident(database)+reset
		default:
			o.Of, o.Reset = "all roles", "ALTER ROLE ALL"+reset
		}
		setting.Overrides = append(setting.Overrides, o)
		return nil
	})
	return err
}

func readFileErrors(ctx context.Context, db pg.Querier) ([]FileError, error) {
	rows, err := db.Query(ctx, `
		SELECT coalesce(f.sourcefile || ':' || f.sourceline, ''), coalesce(f.name, ''), f.error
		  FROM pg_file_settings f LEFT JOIN pg_settings s ON s.name = f.name
		 WHERE f.error IS NOT NULL AND NOT (f.error = 'setting could not be applied' AND s.context = 'postmaster') -- that waits for a restart
		 ORDER BY f.seqno`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[FileError])
}

// readPending finds what waits for a restart. The last line that names a setting decides.
func (s *Status) readPending(ctx context.Context, db pg.Querier) error {
	rows, err := db.Query(ctx, `
		SELECT DISTINCT ON (name) name, setting FROM pg_file_settings
		 WHERE name IN (SELECT p.name FROM pg_settings p WHERE p.pending_restart) ORDER BY name, seqno DESC`)
	if err != nil {
		return err
	}
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		if t := s.Setting(name); t != nil {
			t.Pending = value
		}
		return nil
	})
	return err
}

// setEffective says what each value comes to. The server caps io_combine_limit silently, and SHOW does not tell.
func (s *Status) setEffective() {
	for i := range s.Settings {
		t := &s.Settings[i]
		t.Effective = pretty(t.Value, t.Unit)
		if most := s.Setting("io_max_combine_limit"); t.Name == "io_combine_limit" && most != nil &&
			t.Number != nil && most.Number != nil && *most.Number < *t.Number {
			t.Effective = pretty(most.Value, most.Unit)
			t.Number = most.Number
		}
	}
}

// number is the value as a metric: off and on are 0 and 1.
func number(value string) *float64 {
	var n float64
	switch value {
	case "on":
		n = 1
	case "off":
	default:
		f, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil
		}
		n = f
	}
	return &n
}

// pretty writes a value in pages as kB or MB: 16 × 8kB is 128kB.
func pretty(value, unit string) string {
	kb, ok := strings.CutSuffix(unit, "kB")
	if !ok {
		return value + unit
	}
	each := 1
	if kb != "" {
		if each, _ = strconv.Atoi(kb); each == 0 {
			return value + " × " + unit
		}
	}
	n, err := strconv.Atoi(value)
	switch total := n * each; {
	case err != nil:
		return value + " × " + unit
	case total != 0 && total%1024 == 0:
		return strconv.Itoa(total/1024) + "MB"
	default:
		return strconv.Itoa(total) + "kB"
	}
}
