package config

import "strconv"

const (
	scheduleKind = "string, a schedule"
	intervalKind = "string, an interval"
	schemaDoc    = "The schema, when the label does not say it."
	scheduleOff  = "what is no schedule, and one that never fires"
)

func daemonBlock() block {
	return block{
		name: "daemon", doc: "How `pgtender run` works.",
		attrs: []attribute{
			{name: "listen", kind: "string", def: defaultListen, doc: "Where HTTP is served, as `host:port`; without a host, on all addresses. `--listen` comes first.", refuses: "a port that is no number from 0 to 65535"},
			{name: "time_zone", kind: "string", def: defaultTimeZone, doc: "The IANA name of the time zone of schedules and partition boundaries.", refuses: "unknown names, and `Local`, which would depend on the machine"},
			{name: "apply", kind: "string", def: string(defaultApply), doc: "What happens to a difference in the schema, on start and on drift: `safe` applies statements without a hazard, `off` none."},
			{name: "history", kind: intervalKind, def: defaultHistory, doc: "How long the ledger of runs is kept."},
		},
	}
}

func partitionBlock() block {
	return block{
		name: "partition", label: "the table's name", many: true,
		doc: "Keeps partitions of a table, partitioned by range of time, ahead of the clock. Of a table that is partitioned by something else (LIST, say), every branch that is partitioned by time is kept so, whether the sources declare the branches or somebody else makes them; a branch may have a block of its own instead, and must where it has an archive.",
		attrs: []attribute{
			{name: "schema", kind: "string", def: defaultSchema, doc: schemaDoc},
			{name: "interval", kind: "string", required: true, doc: "The width of a partition: `day`, `week` (ISO, from Monday), `month`, `quarter` or `year`."},
			{name: "ahead", kind: "whole number", def: strconv.Itoa(defaultAhead), doc: "How many whole intervals after the current one exist at least.", refuses: "less than 1, more than " + strconv.Itoa(maxAhead)},
			{name: "schedule", kind: scheduleKind, def: defaultSchedule, doc: "When to look.", refuses: scheduleOff},
		},
		blocks: []block{{
			name: "archive", doc: "Moves what is old into another table.",
			attrs: append([]attribute{
				{name: "after", kind: intervalKind, required: true, doc: "How old a row must be."},
				{name: "into", kind: "string", required: true, doc: "The archive table, `name` or `schema.name`; without a schema, in the table's own. It is not declared: its definition follows from the table's.", refuses: "the table itself, a table with a policy, an excluded one, and one archive table for two tables"},
				{name: "schedule", kind: scheduleKind, def: defaultArchiveSchedule, doc: "When to move.", refuses: scheduleOff},
				{name: "granularity", kind: "string", def: string(defaultGranularity), doc: "`partition` moves whole partitions only; `row` also the old rows of the one that straddles the cut, in batches, into a partition of the archive with the same bounds. Once all of it is old, the rest follows by rows too, and the emptied partition is dropped."},
				{name: "drop_after", kind: intervalKind, doc: "How old an archived partition must be to be DROPPED for good, by its real upper bound. Only what pgtender has archived and counted is dropped, and never by the run that archived it; the manifest and the ledger keep what went. Left out: nothing is ever dropped.", refuses: "being given without `allow_data_loss = true`; what is not longer than `after`"},
				{name: "allow_data_loss", kind: "true or false", def: "false", doc: "The word that `drop_after` is meant.", refuses: "being given without `drop_after`"},
			}, archiveOptions()...),
		}},
	}
}

// archiveOptions are what both forms of an archive policy may say.
func archiveOptions() []attribute {
	return []attribute{
		{name: "keep_foreign_keys", kind: "true or false", def: "false", doc: "Whether archived rows keep the foreign keys of the live table. **Danger**: a key with `ON DELETE CASCADE` or `SET NULL` then reaches into the archive: deleting a model deletes its archived rows. Without it an archived row survives what it points to. After a change, `pgtender apply` adds the keys to the archive, or takes them away."},
		{name: "referenced", kind: "string", def: string(ReferencedRefuse), doc: "What happens when foreign keys of other tables point to this one: `refuse` archives nothing and names them; `wait` moves rows, never whole partitions, and a row only once no row points to it any more, be it that those were archived before or are gone. So the tables that point are archived first; a chain of three takes two runs.", refuses: "`wait` with `granularity = \"partition\"`"},
		{name: "fire_triggers", kind: "true or false", def: "false", doc: "Whether the table's own DELETE triggers may fire for each row that is moved. With `false`, a table that has one is refused where rows would be moved, since the trigger would take a move for a deletion.", refuses: "`true` with `granularity = \"partition\"`"},
	}
}

func archiveBlock() block {
	return block{
		name: "archive", label: "the table's name", many: true,
		doc: "Moves the old rows of a table that is not partitioned into another table, in batches, into one that is not partitioned either. For a partitioned table the block stands inside `partition`.",
		attrs: append([]attribute{
			{name: "schema", kind: "string", def: defaultSchema, doc: schemaDoc},
			{name: "column", kind: "string", required: true, doc: "The column that says how old a row is; one where it is null stays. An index should begin with it: without one the whole table is read each time."},
			{name: "after", kind: intervalKind, required: true, doc: "How old a row must be."},
			{name: "into", kind: "string", required: true, doc: "The archive table, as in `partition`.", refuses: "as in `partition`"},
			{name: "schedule", kind: scheduleKind, def: defaultArchiveSchedule, doc: "When to move.", refuses: scheduleOff},
			{name: "granularity", standing: refused, reason: "a table that is not partitioned is always archived by rows; remove it"},
			{name: "drop_after", standing: refused, reason: "the archive of a table that is not partitioned is not partitioned either, and only whole partitions are dropped; remove it"},
			{name: "allow_data_loss", standing: refused, reason: "it belongs to drop_after, which only the archive of a partitioned table has; remove it"},
		}, archiveOptions()...),
	}
}

func refreshBlock() block {
	return block{
		name: "refresh", label: "the view's name", many: true,
		doc: "Keeps a materialised view fresh. `refresh \"*\"` keeps every view of the managed schemas that has no block of its own: those the sources declare, and those that are there when pgtender starts. Views on views are refreshed after those they stand on.",
		attrs: []attribute{
			{name: "schema", kind: "string", def: defaultSchema, doc: schemaDoc},
			{name: "schedule", kind: scheduleKind, required: true, doc: "When to refresh.", refuses: scheduleOff},
			{name: "when", kind: "string", def: string(defaultWhen), doc: "`always` refreshes each time; `auto` passes over a refresh that is proved needless, and shows why one is not: `pgtender job run refresh --table V --dry-run`. It needs pg_monitor (`pgtender grants`), and that no superuser writes with `track_counts` off, which nobody else could see; `max_staleness` bounds what that could cost."},
			{name: "max_staleness", kind: intervalKind, doc: "With `when = \"auto\"`: a refresh is made in any case when the last one is as old as this, or would be before the next scheduled run. Left out: no such limit.", refuses: "being given without `when = \"auto\"`"},
			{name: "concurrently", kind: "true or false", def: "true", doc: "Whether readers may go on during a refresh, which needs a unique index; false blocks them."},
		},
	}
}

func ioBlock() block {
	return block{
		name: "io", doc: "Looks after the server's asynchronous I/O settings. Left out: nothing does.",
		attrs: []attribute{
			{name: "mode", kind: "string", def: string(defaultIOMode), doc: "`observe` measures, `recommend` also gives advice, `apply` also tries changes that a reload can undo, and keeps what proves better. Nothing that needs a restart is ever changed."},
			{name: "schedule", kind: scheduleKind, def: defaultSchedule, doc: "When to look.", refuses: scheduleOff},
			{name: "max_workers", kind: "whole number", doc: "With `mode = \"apply\"`: the most I/O workers that are tried. Left out: four for each core where the server runs on the same machine, else 8.", refuses: "less than 1, more than " + strconv.Itoa(maxIOWorkers)},
		},
	}
}

func jobBlock() block {
	return block{
		name: "job", label: "the job's name", many: true,
		doc: "An own job: one SQL statement on a schedule. The name has letters, digits and `_`, does not begin with a digit, and is not a built-in job's.",
		attrs: []attribute{
			{name: "schedule", kind: scheduleKind, required: true, doc: "When to run.", refuses: scheduleOff},
			{name: "sql", kind: "string", required: true, doc: "The statement.", refuses: "nothing but space and comments"},
			{name: "timeout", kind: intervalKind, doc: "How long the statement may run. Left out: the runner's own limit.", refuses: "months and years, and more than " + strconv.Itoa(maxTimeoutDays) + " days"},
		},
	}
}

func checkBlock() block {
	const measure = "number; for a check that pgtender brings, as the table below has it"
	return block{
		name: "check", label: "the check's name", many: true,
		doc: "With `sql`: an own check, whose name has letters, digits and `_` and does not begin with a digit, with at least one threshold. Without: thresholds of a check that pgtender brings, by its name.",
		attrs: []attribute{
			{name: "sql", kind: "string", doc: "A query that yields one number, or rows of an object's name and a number.", refuses: "nothing but space and comments; being given under the name of a check that pgtender brings"},
			{name: "warning", kind: measure, doc: "At this value or above, the check warns; where less is worse, at this value or below. Left out: an own check never warns, pgtender's keep their default.", refuses: "more than `critical`, or less where less is worse; 0 for pgtender's"},
			{name: "critical", kind: measure, doc: "The same, critical."},
			{name: "enabled", kind: "true or false", def: "true", doc: "`false` switches the check off: it is not run, has no series but `pgtender_check_off`, and `pgtender check` and the status page say so."},
		},
	}
}
