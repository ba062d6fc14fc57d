package forest

import (
	"math/rand/v2"
	"slices"
)

// sorted finds splits in any data. It keeps the items sorted by every feature,
// each list partitioned as perm is: to find the best split by a feature, a
// node's part of the feature's list is gone through once.
//
// With Config.RandomSplits, one threshold is drawn for each feature between its
// smallest and its largest value in the node (extremely randomised trees; Geurts
// et al., Machine Learning 63, 2006; scikit-learn's ExtraTreesRegressor).
type sorted struct {
	*grower
	random *rand.Rand // draws from grower.rng

	lists    [][]coded // per feature: items by their codes, each node's as in perm
	moved    []coded   // of partition
	itemOf   []uint32  // cells, as far as the sample has them
	right    []uint8   // items: 1 for those that go right
	features []int     // in the order in which they are drawn

	total []sum    // of the node, per plane
	mean  []centre // per plane
	// Per plane after the first: item.y of every item, and what goes left.
	more [][][planeWidth]float64
	left []sum

	found []choice  // the best split by each feature
	gains []float64 // theirs
}

// coded is an item below its code of a feature, so that what goes through a list
// finds both in one place.
type coded uint64

func (c coded) code() uint32 { return uint32(c >> 32) }
func (c coded) item() uint32 { return uint32(c) }

func newSorted(g *grower) *sorted {
	n, nf, planes := g.t.cells.len(), g.b.data.features, g.t.planes
	s := &sorted{
		grower: g, lists: make([][]coded, nf), moved: make([]coded, n), itemOf: make([]uint32, n), right: make([]uint8, n),
		features: make([]int, nf), left: make([]sum, planes-1), total: make([]sum, planes), mean: make([]centre, planes),
		more: make([][][planeWidth]float64, planes-1),
	}
	for f := range nf {
		s.lists[f] = make([]coded, n)
	}
	for p := range s.more {
		s.more[p] = make([][planeWidth]float64, n)
	}
	return s
}

func (s *sorted) begin() task {
	const none = ^uint32(0)
	for c := range s.itemOf {
		s.itemOf[c] = none
	}
	for q := range s.perm {
		cell := s.items[q].cell
		s.itemOf[cell] = uint32(q)
		for p := range s.more {
			s.more[p][q] = s.t.sum(p+1, cell, s.b.count)
		}
	}
	for f, order := range s.t.order {
		list := s.lists[f][:0]
		for _, cell := range order {
			if q := s.itemOf[cell]; q != none {
				list = append(list, coded(s.t.cells.inputs(cell)[f])<<32|coded(q))
			}
		}
		s.lists[f] = list
		s.features[f] = f
	}
	s.random = rand.New(s.rng)
	return task{end: len(s.perm)}
}

func (s *sorted) choose(t task) (choice, bool) {
	s.survey(s.perm[t.start:t.end])
	s.found, s.gains = s.found[:0], s.gains[:0]
	if s.total[0].rows() < 2*s.cfg.MinLeaf {
		return choice{}, false
	}
	drawn := s.cfg.RandomSplits || s.cfg.MaxFeatures < len(s.features)
	looked := 0
	for i := range s.features {
		if drawn { // the next of a random permutation
			j := i + s.random.IntN(len(s.features)-i)
			s.features[i], s.features[j] = s.features[j], s.features[i]
		}
		f := s.features[i]
		if !s.varies(t, f) {
			continue
		}
		if c, ok := s.scan(s.lists[f][t.start:t.end], f); ok {
			s.found, s.gains = append(s.found, c), append(s.gains, c.gain)
		}
		if looked++; looked == s.cfg.MaxFeatures {
			break
		}
	}
	if len(s.found) == 0 {
		return choice{}, false
	}
	if drawn {
		return s.found[slices.Index(s.gains, slices.Max(s.gains))], true // the order was drawn
	}
	return s.found[s.pick(s.gains)], true
}

// varies tells whether a feature varies among the items of a node.
func (s *sorted) varies(t task, f int) bool {
	return s.lists[f][t.start].code() != s.lists[f][t.end-1].code()
}

// survey sums up the items of a node.
func (s *sorted) survey(items []uint32) {
	clear(s.total)
	for _, q := range items {
		i := &s.items[q]
		s.total[0].add(&sum{i.y, i.n})
		for p := range s.more {
			s.total[p+1].add(&sum{s.more[p][q], i.n})
		}
	}
	for p := range s.total {
		s.mean[p] = s.total[p].mean()
	}
}

// scan finds the best split by a feature that varies among the items of list, or
// tries the one that is drawn.
func (s *sorted) scan(list []coded, f int) (choice, bool) {
	from := list[0].code() // the least code that may be the last to go left
	if s.cfg.RandomSplits {
		from = s.threshold(f, from, list[len(list)-1].code())
	}
	if s.b.data.outputs == 1 && !s.cfg.RandomSplits {
		return s.scanOne(list, f)
	}
	best := choice{feature: f, gain: -1}
	count, slack := s.total[0].count(), s.total[0].rows()-2*s.cfg.MinLeaf
	// What goes left, of the first plane in variables, which need no memory.
	var y0, y1, y2, y3 float64
	var sums uint64
	mean := &s.mean[0]
	clear(s.left)
	code := list[0].code()
	for k, c := range list[:len(list)-1] {
		q := c.item()
		i := &s.items[q]
		y0 += i.y[0]
		y1 += i.y[1]
		y2 += i.y[2]
		y3 += i.y[3]
		sums += i.n
		for p := range s.more {
			s.left[p].add(&sum{s.more[p][q], i.n})
		}
		here := code
		if code = list[k+1].code(); code == here || code <= from {
			continue
		}
		if n := int(uint32(sums)) - s.cfg.MinLeaf; uint(n) <= uint(slack) {
			// As sum.deviation has it.
			w := int64(sums >> 32)
			v := float64(w)
			a, b, c, d := y0-float64(v*mean[0]), y1-float64(v*mean[1]), y2-float64(v*mean[2]), y3-float64(v*mean[3])
			gain := (float64(a*a) + float64(c*c)) + (float64(b*b) + float64(d*d))
			for p := range s.left {
				gain += s.left[p].deviation(&s.mean[p+1])
			}
			if gain *= s.t.reciprocal[w] + s.t.reciprocal[count-w]; gain > best.gain {
				best.gain, best.lo, best.hi = gain, here, code
			}
		}
		if s.cfg.RandomSplits {
			break
		}
	}
	return best, best.gain >= 0
}

// scanOne is scan of one output, whose other sums would be 0.
func (s *sorted) scanOne(list []coded, f int) (choice, bool) {
	best := choice{feature: f, gain: -1}
	count, slack := s.total[0].count(), s.total[0].rows()-2*s.cfg.MinLeaf
	var y float64
	var sums uint64
	mean := s.mean[0][0]
	code := list[0].code()
	for k, c := range list[:len(list)-1] {
		i := &s.items[c.item()]
		y += i.y[0]
		sums += i.n
		here := code
		if code = list[k+1].code(); code == here {
			continue
		}
		if n := int(uint32(sums)) - s.cfg.MinLeaf; uint(n) <= uint(slack) {
			w := int64(sums >> 32)
			a := y - float64(float64(w)*mean)
			if gain := float64(a*a) * (s.t.reciprocal[w] + s.t.reciprocal[count-w]); gain > best.gain {
				best.gain, best.lo, best.hi = gain, here, code
			}
		}
	}
	return best, best.gain >= 0
}

// threshold draws a threshold between two levels of a feature and returns the
// last level below it.
func (s *sorted) threshold(f int, lo, hi uint32) uint32 {
	levels := s.b.data.levels[f]
	at, found := slices.BinarySearch(levels, levels[lo]+float64(s.random.Float64()*(levels[hi]-levels[lo])))
	if !found {
		at--
	}
	return min(max(uint32(at), lo), hi-1)
}

func (s *sorted) divide(t task, c choice) (left, right task) {
	// The list of the feature itself is divided already.
	n := 0
	for _, q := range s.lists[c.feature][t.start:t.end] {
		goesRight := uint8(one(q.code() > c.lo))
		s.right[q.item()] = goesRight
		n += int(1 - goesRight)
	}
	for f := range s.lists {
		if f != c.feature && s.varies(t, f) { // else it is not looked at again
			partition(s.lists[f][t.start:t.end], s.moved, s.right)
		}
	}
	partition(s.perm[t.start:t.end], s.scratch, s.right)
	return task{start: t.start, end: t.start + n}, task{start: t.start + n, end: t.end}
}

// partition moves the items that go left to the front, both sides in their
// former order.
func partition[T uint32 | coded](list, scratch []T, goes []uint8) {
	right := scratch[:len(list)]
	nl, nr := 0, 0
	for _, q := range list {
		// Written to both sides and counted on one: there is no branch to
		// mispredict.
		list[nl] = q
		right[nr] = q
		goesRight := int(goes[uint32(q)])
		nr += goesRight
		nl += 1 - goesRight
	}
	copy(list[nl:], right[:nr])
}

func (s *sorted) subtree(task) bool { return false }

func (s *sorted) release(task) {}
