package plan

// Safe splits a plan into what has no hazard and can run without the rest, and what is left. A statement stays
// behind when it has a hazard, when it must run after one that stays behind, or when it makes sense only together with
// one (its unit). The first part is a plan for the same state, and leads only part of the way to To.
func (p *Plan) Safe() (*Plan, []Statement) {
	stays := make([]bool, len(p.Statements))
	units := map[int]bool{}
	for changed := true; changed; {
		changed = false
		for i := range p.Statements {
			s := &p.Statements[i]
			stay := len(s.Hazards) > 0 || units[s.Unit]
			for _, a := range s.After {
				stay = stay || stays[a]
			}
			if stay && !stays[i] {
				stays[i], changed = true, true
				if s.Unit != 0 {
					units[s.Unit] = true
				}
			}
		}
	}
	out := *p
	out.Statements = nil
	var left []Statement
	index := make([]int, len(p.Statements))
	tx, last := 0, 0
	for i, s := range p.Statements {
		if stays[i] {
			left = append(left, s)
			continue
		}
		index[i] = len(out.Statements)
		if s.Tx != 0 && s.Tx != last {
			tx, last = tx+1, s.Tx
		}
		if s.Tx != 0 {
			s.Tx = tx
		}
		after := s.After
		s.After = nil
		for _, a := range after {
			s.After = append(s.After, index[a])
		}
		out.Statements = append(out.Statements, s)
	}
	return &out, left
}
