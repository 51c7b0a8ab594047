package checks

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
)

// Sources are what checks ask besides the database.
type Sources struct {
	Now   func() time.Time // nil: time.Now
	Drift func() Drift     // nil: there is no check of drift
}

// All are the checks of one env: those of its policies, those of every database, and its own. Those that the file switches off are
// among them, and say so.
func All(env *config.Env, s Sources) ([]Check, error) {
	if s.Now == nil {
		s.Now = time.Now
	}
	all := slices.Concat(ofPolicies(env), ofSchema(env, s), ofSessions(env), ofServer(env))
	taken := map[string]bool{}
	for i, c := range all {
		taken[c.Name] = true
		if l := env.Limits(c.Name); l.Off {
			all[i] = off(c, l.Pos)
		}
	}
	for _, c := range env.Checks {
		if taken[c.Name] {
			return nil, fmt.Errorf("%s: check %q has the name of a check that pgtender makes itself: give it another", c.Pos, c.Name)
		}
		taken[c.Name] = true
		check := own(c)
		if c.Off {
			check = off(check, c.Pos)
		}
		all = append(all, check)
	}
	return all, nil
}

// off is a check that the file switches off.
func off(c Check, at config.Pos) Check {
	return Check{Name: c.Name, Group: c.Group, Unit: c.Unit, Every: time.Hour, Deadline: time.Second, Memory: true, Off: at.String(),
		Run: func(context.Context, pgx.Tx) ([]Finding, error) {
			return []Finding{{Message: "switched off in " + at.String()}}, nil
		}}
}

// ofPolicies are the checks of what the file has pgtender keep.
func ofPolicies(env *config.Env) []Check {
	var all []Check
	partitions := &readings{env: env}
	if len(env.Partitions) > 0 {
		all = append(all, partitionRunway(partitions, env.Limits("partition_runway")), partitionGaps(partitions),
			defaultPartitionRows(partitions, env.Limits("default_partition_rows")), detachPending(partitions, env.Limits("detach_pending")))
	}
	if len(env.Archives) > 0 { // the lag last in its bundle: only it reads users' tables, which may be locked
		all = append(all, archiveLag(partitions, env.Limits("archive_lag")), archiveMissing(env), archiveRows(env, env.Limits("archive_rows")))
	}
	if env.HasViews() {
		all = append(all, matviewAge(env, env.Limits("matview_age")), matviewPopulated(env), matviewUniqueIndex(env), matviewPrivileges(env))
	}
	if len(scheduledJobs(env)) > 0 {
		all = append(all, leader(env.Limits("leader")), jobSuccess(env, env.Limits("job_success")))
	}
	return all
}

// ofSchema are the checks of the managed schemas.
func ofSchema(env *config.Env, s Sources) []Check {
	all := []Check{invalidIndex(env), notValid(env), schemaApply(), notEnforced(env, env.Limits("not_enforced")),
		foreignKeyIndex(env, env.Limits("foreign_key_index")), duplicateIndex(env, env.Limits("duplicate_index")),
		disabledTrigger(env, env.Limits("disabled_trigger")), unloggedTable(env, env.Limits("unlogged_table")),
		sequenceUse(env, env.Limits("sequence_use")), autovacuumDebt(env, env.Limits("autovacuum_debt")), neverAnalyzed(env)}
	if s.Drift != nil {
		all = append(all, schemaDrift(s.Now, s.Drift, env.Limits("schema_drift")))
	}
	return all
}

// ofSessions are the checks of who does what in the database, and of what it holds up.
func ofSessions(env *config.Env) []Check {
	waiters, ages := newWaiters(), newHorizons()
	return []Check{longTransaction(env.Limits("long_transaction")), idleInTransaction(env.Limits("idle_in_transaction")),
		lockWaits(waiters, env.Limits("lock_waits")), ddlWaiting(waiters, env.Limits("ddl_waiting")),
		preparedTransactions(env.Limits("prepared_transactions")), connections(env.Limits("connections")),
		xidAge(ages, env.Limits("xid_age")), multixactAge(ages, env.Limits("multixact_age")), xminHorizon(env.Limits("xmin_horizon"))}
}

// ofServer are the checks of the server as a whole.
func ofServer(env *config.Env) []Check {
	slots, files := newSlots(), newArchiver()
	return []Check{ioSettings(), ioActivity(env.Limits("io_activity")), pendingRestart(env.Limits("pending_restart")),
		configFiles(env.Limits("config_files")), checksumFailures(env.Limits("checksum_failures")), collationVersion(env.Limits("collation_version")),
		replicationSlots(slots, env.Limits("replication_slots")), slotInactive(slots, env.Limits("slot_inactive")), replicaLag(env.Limits("replica_lag")),
		walArchiving(files, env.Limits("wal_archiving")), walArchiveBacklog(files, env.Limits("wal_archive_backlog"))}
}
