package config

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Measure is what the number of a check counts, and so how its thresholds are written.
type Measure string

// The measures.
const (
	Seconds      Measure = "seconds"      // thresholds are intervals: "5 minutes"
	Bytes        Measure = "bytes"        // sizes: "10 GB"
	Share        Measure = "ratio"        // of 1: 0.8
	Count        Measure = "count"        // a number
	Transactions Measure = "transactions" // a number
	Multiple     Measure = "multiple"     // of a period or another limit: 2.5
	State        Measure = "state"        // good or bad: there is no threshold
)

// BuiltinCheck is a check that pgtender brings.
type BuiltinCheck struct {
	Name    string // of the check, and of the block that sets its thresholds
	Measure Measure
	Low     bool // less is worse
	// At or beyond these the check warns, or is critical; 0: never, unless the file says when.
	Warning, Critical float64
	Doc               string // what it looks at, and anything special about its thresholds
}

const (
	minute = 60.0
	hour   = 60 * minute
	gib    = 1 << 30
)

// BuiltinChecks are the checks that pgtender brings, by name, with their thresholds. A check without any tells and never warns,
// unless the file gives it thresholds.
func BuiltinChecks() []BuiltinCheck {
	list := []BuiltinCheck{
		{"partition_runway", Seconds, true, 7 * 24 * hour, 24 * hour, "For how long inserts have a partition to go to. For a policy that keeps less ahead than the defaults suppose, they are a half and a quarter of what it keeps."},
		{"partition_gaps", State, false, 0, 0, "Holes between partitions: critical in what should be kept ahead, otherwise a warning."},
		{"default_partition_rows", Count, false, 1, 0, "Rows in a DEFAULT partition."},
		{"detach_pending", Count, false, 1, 0, "Partitions whose DETACH CONCURRENTLY was interrupted."},
		{"archive_lag", Multiple, false, 2, 0, "For how many partitions' widths (or, by rows, scheduled times) the oldest live data has been due for the archive."},
		{"archive_missing", State, false, 0, 0, "Archived partitions that are no longer in their archive: critical."},
		{"archive_rows", Count, false, 0, 0, "Rows archived so far."},
		{"matview_age", Multiple, false, 2.5, 0, "How many scheduled refreshes a materialised view has missed; critical besides when it is older than its max_staleness."},
		{"matview_populated", State, false, 0, 0, "Materialised views of refresh policies that are not there, or cannot be read: critical."},
		{"matview_privileges", State, false, 0, 0, "Materialised views of refresh policies that this role may not refresh: critical."},
		{"matview_unique_index", State, false, 0, 0, "Materialised views that no unique index lets refresh beside readers: a warning."},

		{"schema_drift", Count, false, 1, 0, "Objects that differ from the declared schema."},
		{"schema_apply", State, false, 0, 0, "How the last application of a plan ended: a warning when it failed."},
		{"invalid_index", State, false, 0, 0, "Indexes that are invalid and not being built, those of partitioned tables too: a warning each."},
		{"not_valid", State, false, 0, 0, "Constraints that old rows were never checked against: a warning each."},
		{"not_enforced", Count, false, 0, 0, "Constraints that are NOT ENFORCED."},
		{"foreign_key_index", Count, false, 0, 0, "Foreign keys without an index on the referencing side: deletes of the parent read the whole child."},
		{"duplicate_index", Count, false, 0, 0, "Indexes that repeat another one."},
		{"disabled_trigger", Count, false, 0, 0, "Triggers that are disabled, those of foreign keys too."},
		{"unlogged_table", Count, false, 0, 0, "Unlogged tables, which a crash empties."},
		{"sequence_use", Share, false, 0.7, 0.9, "How much of a sequence, or of the integer column that it fills, is used up."},

		{"long_transaction", Seconds, false, 5 * minute, 0, "The age of the oldest transaction."},
		{"idle_in_transaction", Seconds, false, 5 * minute, 0, "For how long a session has been idle within a transaction."},
		{"lock_waits", Seconds, false, 30, minute, "The longest wait for a lock."},
		{"ddl_waiting", Seconds, false, 30, minute, "The longest wait for an ACCESS EXCLUSIVE lock, behind which everybody else waits."},
		{"prepared_transactions", Seconds, false, 10 * minute, 0, "The age of the oldest prepared transaction."},
		{"connections", Share, false, 0.8, 0.95, "How many of the connections for ordinary roles are taken."},

		{"xid_age", Transactions, false, 300e6, 1e9, "Transactions until the oldest row that is not frozen, in the worst database; at 2 billion the server stops."},
		{"multixact_age", Transactions, false, 300e6, 1e9, "The same for multixacts."},
		{"xmin_horizon", Transactions, false, 50e6, 0, "For how many transactions a session, a replication slot, a prepared transaction or a standby has kept dead rows from being removed."},
		{"autovacuum_debt", Multiple, false, 2, 0, "Dead rows of a table, as a multiple of what should set autovacuum off."},
		{"never_analyzed", State, false, 0, 0, "Tables with rows and without statistics, partitioned parents too: a warning each."},

		{"replication_slots", Bytes, false, 10 * gib, 0, "WAL that a replication slot keeps; critical when it has lost what its reader needs, or is about to."},
		{"slot_inactive", Seconds, false, hour, 0, "For how long nobody has read from a replication slot."},
		{"replica_lag", Seconds, false, 5 * minute, 0, "How far a replica is behind; on a standby, how far this server is."},
		{"wal_archiving", Seconds, false, 0, 15 * minute, "For how long the oldest finished WAL file has waited to be archived."},
		{"wal_archive_backlog", Count, false, 50, 0, "WAL files that wait to be archived."},

		{"io_settings", State, false, 0, 0, "I/O settings that wait for a restart: a warning each."},
		{"io_activity", Count, false, 0, 0, "Asynchronous I/O operations in flight, and how many I/O workers are busy."},
		{"pending_restart", Count, false, 1, 0, "Settings that wait for a restart, other than those of I/O."},
		{"config_files", Count, false, 1, 0, "Errors in postgresql.conf, pg_hba.conf and pg_ident.conf, which bite at the next reload or restart."},
		{"checksum_failures", Count, false, 0, 1, "Pages that failed their checksum, in any database."},
		{"collation_version", Count, false, 1, 0, "Collations in use, and databases, whose sort order the operating system has changed: indexes may be wrong."},

		{"leader", Seconds, false, 2 * minute, 0, "For how long no pgtender daemon has led this database."},
		{"job_success", Multiple, false, 2.5, 0, "How many scheduled times a job has missed since it last ended well."},
	}
	slices.SortFunc(list, func(a, b BuiltinCheck) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list
}

func builtinCheck(name string) (BuiltinCheck, bool) {
	all := BuiltinChecks()
	i := slices.IndexFunc(all, func(b BuiltinCheck) bool { return b.Name == name })
	if i < 0 {
		return BuiltinCheck{}, false
	}
	return all[i], true
}

// CheckLimits are the thresholds of one built-in check in force, 0: none.
type CheckLimits struct {
	Warning, Critical float64 // in the unit of the check; at them, or beyond
	Low               bool    // less is worse
	Given             bool    // at least one is the file's
	Off               bool    // the check is not to be run
	Pos               Pos     // of the block; zero: there is none
}

// Beyond reports which threshold a value has reached.
func (l CheckLimits) Beyond(value float64) (warning, critical bool) {
	reached := func(limit float64) bool {
		return limit != 0 && (!l.Low && value >= limit || l.Low && value <= limit)
	}
	return reached(l.Warning), reached(l.Critical)
}

// Limits are the thresholds of a built-in check: the file's, or else its own.
func (e *Env) Limits(name string) CheckLimits {
	if l, ok := e.CheckLimits[name]; ok {
		return l
	}
	b, _ := builtinCheck(name)
	return CheckLimits{Warning: b.Warning, Critical: b.Critical, Low: b.Low}
}

// builtin reads the block of a check that pgtender brings.
func (l *loader) builtin(s section, b BuiltinCheck) {
	if s.attr("sql") != nil {
		s.wrong("sql", "is given, and pgtender has a check %q of its own: give yours another name, or leave sql out to set the thresholds of pgtender's", b.Name)
		return
	}
	if l.env.CheckLimits == nil {
		l.env.CheckLimits = map[string]CheckLimits{}
	}
	if other, twice := l.env.CheckLimits[b.Name]; twice {
		l.add(s.pos(), "%s is given twice; the first is at %s", s.title, other.Pos)
		return
	}
	limits := CheckLimits{Low: b.Low, Off: !s.boolean("enabled", true), Pos: s.pos()}
	given := 0
	limits.Warning, given = l.threshold(s, b, "warning", b.Warning, given)
	limits.Critical, given = l.threshold(s, b, "critical", b.Critical, given)
	limits.Given = given > 0
	l.env.CheckLimits[b.Name] = limits
	worse := limits.Warning > limits.Critical
	if b.Low {
		worse = limits.Warning < limits.Critical
	}
	switch {
	case given == 0 && s.attr("warning") == nil && s.attr("critical") == nil && s.attr("enabled") == nil:
		l.add(s.pos(), "%s: it says nothing: give it warning, critical or enabled = false; with sql it would be your own, under another name", s.title)
	case given > 0 && limits.Warning != 0 && limits.Critical != 0 && worse:
		attr := "warning"
		if s.attr(attr) == nil {
			attr = "critical"
		}
		s.wrong(attr, "does not fit: warning is %s and critical %s, so it would never warn: set both", b.written(limits.Warning), b.written(limits.Critical))
	}
}

// threshold reads one threshold as the check's measure has it.
func (l *loader) threshold(s section, b BuiltinCheck, name string, def float64, given int) (float64, int) {
	if s.unset(name) {
		return def, given
	}
	if b.Measure == State {
		s.wrong(name, "is given, and this check has no thresholds: it can only be switched off, with enabled = false")
		return def, given
	}
	before := len(s.problems.list)
	var value float64
	switch b.Measure {
	case Seconds:
		value = s.duration(name, 100*366*24*time.Hour).Seconds()
	case Bytes:
		value = s.size(name)
	default:
		if n := s.number(name); n != nil {
			value = *n
		}
	}
	switch {
	case len(s.problems.list) > before:
		return def, given
	case value <= 0:
		s.wrong(name, "must be more than 0; to switch the check off, write enabled = false")
		return def, given
	case b.Measure == Share && value > 1:
		s.wrong(name, "is %v, and this check measures a share of 1: write 0.8 for 80 %%", value)
		return def, given
	}
	return value, given + 1
}

// size reads an amount of memory as PostgreSQL writes it: "10 GB".
func (s section) size(name string) float64 {
	text, ok := s.text(name)
	if !ok {
		return 0
	}
	n, err := parseSize(text)
	if err != nil {
		s.wrong(name, "%q %v", text, err)
	}
	return n
}

var sizePattern = regexp.MustCompile(`^\s*([0-9]+)\s*(B|kB|MB|GB|TB)\s*$`)

// parseSize reads bytes, of which 1024 are a kB, as PostgreSQL has it.
func parseSize(text string) (float64, error) {
	m := sizePattern.FindStringSubmatch(text)
	if m == nil {
		return 0, errors.New(`is no size: write for example "10 GB" or "512 MB" (B, kB, MB, GB, TB)`)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	n *= math.Pow(1024, float64(slices.Index([]string{"B", "kB", "MB", "GB", "TB"}, m[2])))
	if err != nil || n > math.MaxInt64 {
		return 0, errors.New("is too large")
	}
	return n, nil
}

// written is a threshold as it stands in the file.
func (b BuiltinCheck) written(v float64) string {
	if v == 0 {
		return ""
	}
	switch b.Measure {
	case Seconds:
		return strconv.Quote(writtenSeconds(v))
	case Bytes:
		units := []string{"B", "kB", "MB", "GB", "TB"}
		i := 0
		for ; i < len(units)-1 && math.Mod(v, 1024) == 0; i++ {
			v /= 1024
		}
		return strconv.Quote(fmt.Sprintf("%.0f %s", v, units[i]))
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func writtenSeconds(v float64) string {
	for _, u := range []struct {
		name string
		secs float64
	}{{"day", 24 * hour}, {"hour", hour}, {"minute", minute}} {
		if n := v / u.secs; n >= 1 && n == math.Trunc(n) {
			if n > 1 {
				u.name += "s"
			}
			return fmt.Sprintf("%.0f %s", n, u.name)
		}
	}
	return strconv.FormatFloat(v, 'f', -1, 64) + " seconds"
}
