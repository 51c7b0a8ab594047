package archive

import "time"

// pace decides how many rows one batch takes: as many as the server moves in target, within the limits. Whoever wants one
// of its rows, and a standby that replays it, waits for a batch no longer than that.
type pace struct {
	rows   int
	least  int
	most   int
	target time.Duration
}

// The limits of a batch. Nobody waits long for a row that is in one, and a transaction of theirs never takes a second.
const (
	firstBatch   = 1000
	leastBatch   = 10
	mostBatch    = 50_000
	batchTarget  = 250 * time.Millisecond
	batchTimeout = 750 * time.Millisecond
	batchBytes   = 32 << 20 // of rows, by their average size
	batchMemory  = 64 << 20 // for the same rows, as the server keeps them until the batch is over
)

// newPace is the pace for rows of an average size in bytes; 0: not known.
func newPace(rowBytes int64) pace {
	p := pace{rows: firstBatch, least: leastBatch, most: mostBatch, target: batchTarget}
	if rowBytes > 0 {
		p.most = max(p.least, min(p.most, int(batchBytes/rowBytes)))
	}
	p.rows = min(p.rows, p.most)
	return p
}

// took learns from a batch of p.rows rows: towards the target, at most doubled or halved.
func (p *pace) took(d time.Duration) {
	if d <= 0 {
		d = time.Millisecond
	}
	want := int(float64(p.rows) * float64(p.target) / float64(d))
	p.set(min(max(want, p.rows/2), 2*p.rows))
}

// tooMuch halves the batch: it met a lock, a timeout, or a standby that does not keep up. It reports false when that is not possible.
func (p *pace) tooMuch() bool {
	before := p.rows
	p.set(p.rows / 2)
	return p.rows < before
}

func (p *pace) set(rows int) { p.rows = min(max(rows, p.least), p.most) }
