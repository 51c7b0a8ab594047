package jobs

import (
	"slices"
	"time"
)

// queue holds the tasks that are due and those that run, and decides which may begin. It runs nothing itself.
//
// What became due at the same moment is a batch: in it, a task waits until those of lower Order have ended, but
// no longer than until its own next time comes. No task runs beside itself, or beside another with
// which it shares a lock.
type queue struct {
	tasks   []Task // sorted by Order
	limit   int
	batch   int
	waiting map[int]waiting
	running map[int]turn
}

type waiting struct {
	due
	batch  int
	peeped bool // a Glance has found work
}

// turn is a task that runs, or that a Glance is asked about.
type turn struct {
	waiting
	glancing *glancing
}

func newQueue(tasks []Task, limit int) *queue {
	return &queue{tasks: tasks, limit: limit, waiting: map[int]waiting{}, running: map[int]turn{}}
}

// add takes what became due at one moment and returns what must be skipped, because it is still running. What still
// waits for its turn serves its latest time.
func (q *queue) add(dues []due) (overlapping []due) {
	q.batch++
	for _, d := range dues {
		if _, runs := q.running[d.task]; runs {
			overlapping = append(overlapping, d)
			continue
		}
		q.waiting[d.task] = waiting{due: d, batch: q.batch}
	}
	return overlapping
}

// glances returns the looks to begin now, without changing anything: call peep for each. They are not counted as runs.
func (q *queue) glances() []*glancing {
	var list []*glancing
	for i := range q.tasks {
		w, ok := q.waiting[i]
		if !ok || w.peeped || q.tasks[i].Glance == nil || q.mustWait(w, nil) {
			continue
		}
		at := slices.IndexFunc(list, func(g *glancing) bool { return g.glance == q.tasks[i].Glance })
		if at < 0 {
			at, list = len(list), append(list, &glancing{glance: q.tasks[i].Glance, work: map[int]bool{}})
		}
		list[at].dues = append(list[at].dues, w.due)
	}
	return list
}

// ready returns the tasks that may begin now, in order, without changing anything: call begin for each.
func (q *queue) ready() []due {
	var out []due
	busy := 0
	for _, t := range q.running {
		if t.glancing == nil {
			busy++
		}
	}
	chosen := map[int]bool{}
	for i := range q.tasks {
		w, ok := q.waiting[i]
		if !ok || busy+len(out) >= q.limit || q.tasks[i].Glance != nil && !w.peeped || q.mustWait(w, chosen) {
			continue
		}
		chosen[i] = true
		out = append(out, w.due)
	}
	return out
}

func (q *queue) mustWait(w waiting, chosen map[int]bool) bool {
	order := q.tasks[w.task].Order
	for i, other := range q.waiting {
		if other.batch == w.batch && q.tasks[i].Order < order {
			return true
		}
	}
	for i, t := range q.running {
		if t.batch == w.batch && q.tasks[i].Order < order || q.share(w.task, i) {
			return true
		}
	}
	for i := range chosen {
		if q.share(w.task, i) {
			return true
		}
	}
	return false
}

func (q *queue) share(a, b int) bool {
	return slices.ContainsFunc(q.tasks[a].Locks, func(lock string) bool { return slices.Contains(q.tasks[b].Locks, lock) })
}

func (q *queue) begin(task int) {
	q.running[task] = turn{waiting: q.waiting[task]}
	delete(q.waiting, task)
}

// peep is begin for the tasks of a look.
func (q *queue) peep(g *glancing) {
	for _, d := range g.dues {
		q.running[d.task] = turn{q.waiting[d.task], g}
		delete(q.waiting, d.task)
	}
}

// end takes a task out; where a look has found work for it, it waits for its run.
func (q *queue) end(task int) {
	t := q.running[task]
	delete(q.running, task)
	if t.glancing != nil && t.glancing.work[task] {
		t.peeped = true
		q.waiting[task] = t.waiting
	}
}

// since returns the time that a waiting task serves, or zero.
func (q *queue) since(task int) time.Time { return q.waiting[task].at }
