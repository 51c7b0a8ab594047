package checks

import (
	"fmt"
	"time"

	"github.com/pgtender/pgtender/internal/config"
)

// Sources are what checks ask besides the database.
type Sources struct {
	Now   func() time.Time // nil: time.Now
	Drift func() Drift     // nil: there is no check of drift
}

// All are the checks of one env: those of its policies, those of every database, and its own. An own check that bears the
// name of another is an error.
func All(env *config.Env, s Sources) ([]Check, error) {
	if s.Now == nil {
		s.Now = time.Now
	}
	all := []Check{invalidIndex(env), notValid(env), schemaApply(), ioSettings(),
		longTransaction(longTransactionLimit), idleInTransaction(idleLimit), lockWaits(lockWaitWarning, lockWaitCritical)}
	partitions := &readings{env: env}
	if len(env.Partitions) > 0 {
		all = append(all, partitionRunway(partitions), partitionGaps(partitions), defaultPartitionRows(partitions), detachPending(partitions))
	}
	if len(env.Archives) > 0 { // the lag last in its bundle: only it reads users' tables, which may be locked
		all = append(all, archiveLag(partitions), archiveMissing(env), archiveRows(env))
	}
	if len(env.Refreshes) > 0 {
		all = append(all, matviewAge(env), matviewPopulated(env), matviewUniqueIndex(env), matviewPrivileges(env))
	}
	if s.Drift != nil {
		all = append(all, schemaDrift(s.Now, s.Drift))
	}
	taken := map[string]bool{}
	for _, c := range all {
		taken[c.Name] = true
	}
	for _, c := range env.Checks {
		if taken[c.Name] {
			return nil, fmt.Errorf("%s: check %q has the name of a check that pgtender makes itself: give it another", c.Pos, c.Name)
		}
		taken[c.Name] = true
		all = append(all, own(c))
	}
	return all, nil
}
