package partition

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgtender/pgtender/internal/config"
	"github.com/pgtender/pgtender/internal/parts"
	"github.com/pgtender/pgtender/jobs"
)

// rehearseMove says what moveAside would do.
func (j *Job) rehearseMove(ctx context.Context, run *jobs.Run, group []design, found besides, p *pass) error {
	m := &move{j: j, run: run, set: group[0].set, group: group, name: fmt.Sprintf("move_%d", group[0].set.Default.OID)}
	def := m.set.Default.Table
	m.rest = config.Table{Schema: def.Schema, Name: parts.Fit(def.Name, "_new")}
	var build []string
	err := j.Patience.InTx(ctx, j.Pool, func(tx pgx.Tx) (err error) {
		build, err = m.build(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	say := func(statements []string) {
		for _, s := range statements {
			run.Say("%s;", s)
		}
	}
	run.Say("-- %s of %s belong to new partitions. Copies are made of it, empty at first:", rowCount(found.total()), def)
	say(build)
	run.Say("-- changes of its rows are noted, from one moment on, when nobody writes to it:")
	say(m.watch())
	run.Say("-- its rows as of that moment are copied, some megabytes at a time:")
	run.Say("INSERT INTO %s (%s) SELECT %s FROM ONLY %s;", m.shell(), m.list(""), m.list(""), ident(def))
	run.Say("-- the noted changes are done to the copy, again and again, until few are left:")
	say([]string{m.replay()})
	run.Say("-- the last of them, and the following, in one transaction that has locked %s against writers; from then on each change", def)
	run.Say("-- is done to the copy, too (that transaction's number stands in place of 3):")
	say(m.joining("3"))
	run.Say("-- when all transactions have ended that began before that, in one transaction that has locked %s against everybody:", m.set.Table)
	say(m.exchange())
	for _, d := range m.group {
		p.created = append(p.created, d.name.String())
	}
	return nil
}
