package forest

// smallRows is the number of rows up to which a subtree is grown in a copy of
// its rows.
const smallRows = 64

// small holds the rows of a subtree. For every feature they are sorted once;
// splits then partition the sorted lists and keep them sorted, so that a node
// costs a pass over its rows per feature and no histogram.
type small struct {
	// order[f] lists rows by code of feature f; the last one, by number.
	order   [][smallRows]uint8
	code    [][smallRows]uint32 // level of each row, per feature
	sums    [][smallRows]sum    // per plane
	row     [smallRows]uint32   // training row
	first   [smallRows]float64  // its first target
	total   []sum               // of the node in work, per plane
	right   [smallRows]uint8    // 1 where a row goes right
	scratch [smallRows]uint8
	gains   [smallRows]float64
	draw    []int
	stack   []task
}

func (s *small) init(features, planes int) {
	s.order = make([][smallRows]uint8, features+1)
	s.code = make([][smallRows]uint32, features)
	s.sums = make([][smallRows]sum, planes)
	s.total = make([]sum, planes)
	s.draw = make([]int, features)
}

// growSmall grows the subtree of a node with at most smallRows rows, whose
// bounds are b.
func (g *grower) growSmall(t task, b []bounds) {
	s, d := &g.small, g.b.data
	nf, m := d.features, len(g.b.bag)
	n := t.end - t.start
	for i, q := range g.perm[t.start:t.end] {
		row := g.b.bag[q]
		s.row[i] = row
		s.first[i] = d.y[int(row)*d.outputs]
		for f, c := range d.codes[int(row)*nf : int(row)*nf+nf] {
			s.code[f][i] = c
		}
		for p := range s.sums {
			s.sums[p][i] = g.sums[p*m+int(q)]
		}
		s.order[nf][i] = uint8(i)
	}
	for f := range nf {
		s.sortBy(f, n)
	}
	s.stack = append(s.stack[:0], task{start: 0, end: n, node: t.node, depth: t.depth})
	for len(s.stack) > 0 {
		top := len(s.stack) - 1
		t := s.stack[top]
		s.stack = s.stack[:top]
		c, ok := choice{}, false
		if t.end-t.start > 1 && g.maySplitSmall(t) {
			c, ok = g.chooseSmall(t)
		}
		if !ok {
			g.rows = g.rows[:0]
			for _, i := range s.order[nf][t.start:t.end] {
				g.rows = append(g.rows, s.row[i])
			}
			g.b.leaf(t.node, g.rows...)
			continue
		}
		mid := s.split(t, c)
		child := g.b.split(t.node, c.feature, c.lo, c.hi)
		s.stack = append(s.stack, task{mid, t.end, child + 1, t.depth + 1, nil}, task{t.start, mid, child, t.depth + 1, nil})
	}
}

// sortBy fills order[f] for the first n rows, by insertion: rows come in the
// order of the trace, which is often sorted already.
func (s *small) sortBy(f, n int) {
	order, code := &s.order[f], &s.code[f]
	for i := range n {
		c := code[i]
		j := i
		for ; j > 0 && code[order[j-1]&(smallRows-1)] > c; j-- {
			order[j] = order[j-1]
		}
		order[j] = uint8(i)
	}
}

// maySplitSmall is maySplit for a node of the subtree.
func (g *grower) maySplitSmall(t task) bool {
	if n := t.end - t.start; n < 2*g.cfg.MinLeaf || g.cfg.MaxDepth != 0 && t.depth >= g.cfg.MaxDepth {
		return false
	}
	s, d := &g.small, g.b.data
	rows := s.order[d.features][t.start:t.end]
	for _, i := range rows[1:] {
		if s.first[i&(smallRows-1)] != s.first[rows[0]&(smallRows-1)] {
			return true
		}
	}
	first := d.y[int(s.row[rows[0]])*d.outputs:]
	for _, i := range rows[1:] {
		y := d.y[int(s.row[i])*d.outputs:]
		for o := range d.outputs {
			if y[o] != first[o] {
				return true
			}
		}
	}
	return false
}

// chooseSmall finds the best split of a node of the subtree.
func (g *grower) chooseSmall(t task) (choice, bool) {
	s, nf := &g.small, g.b.data.features
	best := contest{}
	if t.end-t.start > 2 {
		rows := s.order[nf][t.start:t.end]
		for p := range s.total {
			s.total[p] = sum{}
			for _, i := range rows {
				s.total[p].add(&s.sums[p][i&(smallRows-1)])
			}
		}
	}
	if g.cfg.MaxFeatures == nf {
		for f := range nf {
			g.scanSmall(t, f, &best)
		}
		return best.choice, best.ties > 0
	}
	for f := range nf {
		s.draw[f] = f
	}
	varying := 0
	for i := range s.draw {
		j := i + g.below(nf-i)
		s.draw[i], s.draw[j] = s.draw[j], s.draw[i]
		if g.scanSmall(t, s.draw[i], &best) {
			if varying++; varying == g.cfg.MaxFeatures {
				break
			}
		}
	}
	return best.choice, best.ties > 0
}

// scanSmall enters the splits of a node on feature f into the contest, and
// tells whether f varies in the node.
func (g *grower) scanSmall(t task, f int, best *contest) bool {
	s := &g.small
	order, code := s.order[f][t.start:t.end], &s.code[f]
	n := len(order)
	if code[order[0]&(smallRows-1)] == code[order[n-1]&(smallRows-1)] {
		return false
	}
	if n == 2 {
		// Two rows are parted by every feature that varies, equally well.
		best.enter(g, 1, f, code[order[0]&(smallRows-1)])
		if best.feature == f {
			best.hi = code[order[1]&(smallRows-1)]
		}
		return true
	}
	gains := s.gains[:n]
	clear(gains)
	for p := range s.sums {
		sums := &s.sums[p]
		var left sum
		mean, count := s.total[p].mean(), s.total[p].count()
		for k, i := range order[:n-1] {
			left.add(&sums[i&(smallRows-1)])
			if code[i&(smallRows-1)] != code[order[k+1]&(smallRows-1)] {
				w := left.count()
				gains[k] += left.deviation(&mean) * (g.t.reciprocal[w] + g.t.reciprocal[count-w])
			}
		}
	}
	for k := g.cfg.MinLeaf - 1; k < n-g.cfg.MinLeaf; k++ {
		if lo := code[order[k]]; lo != code[order[k+1]] {
			best.enter(g, gains[k], f, lo)
			if best.feature == f && best.lo == lo {
				best.hi = code[order[k+1]]
			}
		}
	}
	return true
}

// split partitions the lists of the node's rows and returns where the right
// part starts.
func (s *small) split(t task, c choice) int {
	code := &s.code[c.feature]
	for _, i := range s.order[c.feature][t.start:t.end] {
		s.right[i] = uint8((uint64(c.lo) - uint64(code[i])) >> 63)
	}
	mid := t.end
	for f := range s.order {
		rows := s.order[f][t.start:t.end]
		nl, nr := 0, 0
		for _, i := range rows {
			// As in partition: both are written, one counts.
			rows[nl] = i
			s.scratch[nr&(smallRows-1)] = i
			r := int(s.right[i&(smallRows-1)])
			nr += r
			nl += 1 - r
		}
		copy(rows[nl:], s.scratch[:nr])
		mid = t.start + nl
	}
	return mid
}
