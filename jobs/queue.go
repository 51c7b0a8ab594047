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
	running map[int]int // task → batch
}

type waiting struct {
	due
	batch int
}

func newQueue(tasks []Task, limit int) *queue {
	return &queue{tasks: tasks, limit: limit, waiting: map[int]waiting{}, running: map[int]int{}}
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
		q.waiting[d.task] = waiting{d, q.batch}
	}
	return overlapping
}

// ready returns the tasks that may begin now, in order, without changing anything: call begin for each.
func (q *queue) ready() []due {
	var out []due
	chosen := map[int]bool{}
	for i := range q.tasks {
		w, ok := q.waiting[i]
		if !ok || len(q.running)+len(out) >= q.limit || q.mustWait(w, chosen) {
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
	for i, batch := range q.running {
		if batch == w.batch && q.tasks[i].Order < order || q.share(w.task, i) {
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
	q.running[task] = q.waiting[task].batch
	delete(q.waiting, task)
}

func (q *queue) end(task int) { delete(q.running, task) }

// since returns the time that a waiting task serves, or zero.
func (q *queue) since(task int) time.Time { return q.waiting[task].at }
