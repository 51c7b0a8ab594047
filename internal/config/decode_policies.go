package config

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

// policy adds what one block inside the env says. A block whose label is wrong adds nothing.
func (l *loader) policy(s section) {
	switch s.block.Type {
	case "partition":
		l.partition(s)
	case "archive":
		l.archive(s)
	case "refresh":
		l.refresh(s)
	case "io":
		if l.env.IO == nil {
			l.env.IO = &IO{
				Mode:       oneOf(s, "mode", defaultIOMode, IOObserve, IORecommend, IOApply),
				Schedule:   s.schedule(defaultSchedule),
				MaxWorkers: s.whole("max_workers", 0, 1, maxIOWorkers),
				Pos:        s.pos(),
			}
		}
	case "job":
		l.job(s)
	case "check":
		l.check(s)
	}
}

// table reads the label and schema of a policy.
func (l *loader) table(s section) (Table, bool) {
	schema, given := s.text("schema")
	if !given {
		schema = defaultSchema
	} else if err := checkName(schema); err != nil {
		s.wrong("schema", "%q %v", schema, err)
		return Table{}, false
	}
	label, at := s.block.Labels[0], l.pos(s.block.LabelRanges[0])
	table, err := ParseTable(label, schema)
	switch {
	case err != nil:
		l.add(at, "%s: the label %v", s.title, err)
		return Table{}, false
	case given && table.Schema != schema:
		s.wrong("schema", "is %q, and the label says %q: keep one of them", schema, table.Schema)
		return Table{}, false
	}
	return table, true
}

func (l *loader) partition(s section) {
	table, ok := l.table(s)
	p := Partition{
		Table:    table,
		Interval: oneOf(s, "interval", Unit(""), Day, Week, Month, Quarter, Year),
		Ahead:    s.whole("ahead", defaultAhead, 1, maxAhead),
		Schedule: s.schedule(defaultSchedule),
		Pos:      s.pos(),
	}
	if b := first(s.block, "archive"); b != nil && ok {
		inner := s.in(b)
		a := Archive{
			Table: table, Partitioned: true, Interval: p.Interval,
			Into:        l.into(inner, table),
			After:       inner.interval("after", ""),
			Schedule:    inner.schedule(defaultArchiveSchedule),
			Granularity: oneOf(inner, "granularity", defaultGranularity, ByPartition, ByRow),
			Pos:         inner.pos(),
		}
		l.archiveOptions(inner, &a)
		p.Archive = &a
		l.env.Archives = append(l.env.Archives, a)
	}
	if ok {
		l.env.Partitions = append(l.env.Partitions, p)
	}
}

func (l *loader) archive(s section) {
	table, ok := l.table(s)
	a := Archive{
		Table:       table,
		Into:        l.into(s, table),
		Column:      l.column(s),
		After:       s.interval("after", ""),
		Schedule:    s.schedule(defaultArchiveSchedule),
		Granularity: ByRow,
		Pos:         s.pos(),
	}
	l.archiveOptions(s, &a)
	if ok {
		l.env.Archives = append(l.env.Archives, a)
	}
}

// archiveOptions reads what both forms of an archive policy may say.
func (l *loader) archiveOptions(s section, a *Archive) {
	a.KeepForeignKeys = s.boolean("keep_foreign_keys", false)
	a.Referenced = oneOf(s, "referenced", ReferencedRefuse, ReferencedRefuse, ReferencedWait)
	a.FireTriggers = s.boolean("fire_triggers", false)
	if a.Granularity == ByPartition {
		if a.Referenced == ReferencedWait {
			s.wrong("referenced", `is "wait", which moves single rows: write granularity = "row" beside it`)
		}
		if a.FireTriggers {
			s.wrong("fire_triggers", `has no effect on whole partitions: write granularity = "row" beside it, or remove it`)
		}
	}
	if !a.Partitioned {
		return // drop_after is refused
	}
	a.DropAfter = s.interval("drop_after", "")
	allowed := s.boolean("allow_data_loss", false)
	switch {
	case s.attr("drop_after") == nil && s.attr("allow_data_loss") != nil:
		s.wrong("allow_data_loss", "has no effect without drop_after: remove it")
	case a.DropAfter.IsZero():
	case !allowed:
		s.wrong("drop_after", "drops archived rows for good: write allow_data_loss = true beside it if that is meant, or remove it")
	case !a.DropAfter.longer(a.After):
		s.wrong("drop_after", "is not longer than after, %s: what is archived would be dropped at once", a.After)
	}
}

// into reads the archive table, by default in the schema of the table itself. The zero Table is a reported one.
func (l *loader) into(s section, table Table) Table {
	text, ok := s.text("into")
	if !ok {
		return Table{}
	}
	l.intoAt[s.pos()] = s.at("into")
	into, err := ParseTable(text, table.Schema)
	if err != nil {
		s.wrong("into", "%q %v", text, err)
		return Table{}
	}
	return into
}

func (l *loader) column(s section) string {
	text, ok := s.text("column")
	if !ok {
		return ""
	}
	if err := checkName(text); err != nil {
		s.wrong("column", "%q %v", text, err)
	}
	return text
}

func (l *loader) refresh(s section) {
	every := s.block.Labels[0] == "*"
	view, ok := Table{}, true
	if every {
		if s.attr("schema") != nil {
			s.wrong("schema", `has no place here: refresh "*" covers the views of all managed schemas`)
		}
	} else {
		view, ok = l.table(s)
	}
	r := Refresh{
		View:         view,
		Schedule:     s.schedule(""),
		When:         oneOf(s, "when", defaultWhen, RefreshAlways, RefreshAuto),
		MaxStaleness: s.interval("max_staleness", ""),
		Concurrently: s.boolean("concurrently", true),
		Pos:          s.pos(),
	}
	if !r.MaxStaleness.IsZero() && r.When == RefreshAlways {
		s.wrong("max_staleness", `has no effect without when = "auto": add that, or remove it`)
	}
	switch {
	case every && l.env.Every != nil:
		l.add(s.pos(), `refresh "*" is given twice; the first is at %s`, l.env.Every.Policy.Pos)
	case every:
		l.env.Every = &Every{Policy: r}
	case ok:
		l.env.Refreshes = append(l.env.Refreshes, r)
	}
}

func (l *loader) job(s section) {
	l.name(s)
	if slices.Contains(BuiltinJobs(), s.block.Labels[0]) {
		l.add(l.pos(s.block.LabelRanges[0]), "%s: %q is the name of a built-in job: choose another", s.title, s.block.Labels[0])
	}
	l.env.Jobs = append(l.env.Jobs, SQLJob{
		Name:     s.block.Labels[0],
		Schedule: s.schedule(""),
		SQL:      s.sql(),
		Timeout:  s.duration("timeout", maxTimeoutDays*24*time.Hour),
		Pos:      s.pos(),
	})
}

// BuiltinJobs are the jobs that pgtender brings; an own job has another name.
func BuiltinJobs() []string {
	return []string{"analyze", "archive", "drift", "io", "partition", "refresh"}
}

// check reads an own check, or the thresholds of one that pgtender brings.
func (l *loader) check(s section) {
	l.name(s)
	label := s.block.Labels[0]
	if b, ok := builtinCheck(label); ok {
		l.builtin(s, b)
		return
	}
	if s.unset("sql") {
		var names []string
		for _, b := range BuiltinChecks() {
			names = append(names, b.Name)
		}
		const advice = "; its thresholds can be set only of a check that pgtender brings, and docs/configuration.md lists those"
		if near := nearest(label, names); near != "" {
			l.add(s.pos(), "%s: sql is missing; did you mean the check %q, which pgtender brings?", s.title, near)
			return
		}
		l.add(s.pos(), "%s: sql is missing%s", s.title, advice)
	}
	c := SQLCheck{
		Name:     label,
		SQL:      s.sql(),
		Warning:  s.number("warning"),
		Critical: s.number("critical"),
		Off:      !s.boolean("enabled", true),
		Pos:      s.pos(),
	}
	switch {
	case s.attr("warning") == nil && s.attr("critical") == nil:
		l.add(s.pos(), "%s: neither warning nor critical is given: the check would never say anything", s.title)
	case c.Warning != nil && c.Critical != nil && *c.Warning > *c.Critical:
		s.wrong("warning", "is %v, above critical, %v: a check gets worse as its number grows", *c.Warning, *c.Critical)
	}
	l.env.Checks = append(l.env.Checks, c)
}

// name checks the label of an own job or check, which becomes the value of a metric's label and a word on
// the command line.
func (l *loader) name(s section) {
	label := s.block.Labels[0]
	if !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`).MatchString(label) {
		l.add(l.pos(s.block.LabelRanges[0]), "%s: the name may have letters, digits and _, at most 63, and does not begin with a digit", s.title)
	}
}

func (s section) sql() string {
	text, ok := s.text("sql")
	if !ok {
		return ""
	}
	switch {
	case strings.ContainsRune(text, 0):
		s.wrong("sql", "has a zero byte")
	case blank(text):
		s.wrong("sql", "has no statement")
	}
	return strings.TrimSpace(text)
}

// blank reports whether SQL has nothing but space, comments and semicolons.
func blank(sql string) bool {
	for {
		sql = strings.TrimLeft(sql, " \t\r\n\f;")
		switch {
		case sql == "":
			return true
		case strings.HasPrefix(sql, "--"):
			_, sql, _ = strings.Cut(sql, "\n")
		case strings.HasPrefix(sql, "/*"):
			depth := 0 // PostgreSQL's comments nest
			for sql != "" && (depth > 0 || strings.HasPrefix(sql, "/*")) {
				switch {
				case strings.HasPrefix(sql, "/*"):
					depth, sql = depth+1, sql[2:]
				case strings.HasPrefix(sql, "*/"):
					depth, sql = depth-1, sql[2:]
				default:
					sql = sql[1:]
				}
				if depth == 0 {
					break
				}
			}
		default:
			return false
		}
	}
}
