package forest

import "math/bits"

// Features of a system model have few levels: offered loads and actions come
// from short lists. If all of them have at most denseBins together, histograms
// over all levels stay in the first-level cache, and every node has one, down
// to nodes of three items.
const (
	denseBins     = 256
	denseFeatures = 8
)

// dense finds splits in data that isDense holds for. A small subtree it grows as
// a part.
//
// The histograms of a node's children are that of the smaller one, added up, and
// the node's less that: sums are exact, so that subtracting leaves no trace of
// what was added.
type dense struct {
	*grower
	whole  layout // of all levels
	search search
	free   []*bins
	part   part
}

// layout says which bins of a histogram stand for which levels.
type layout struct {
	first [denseFeatures]int64 // bin of each feature's lowest level
	count [denseFeatures]int64 // levels of each feature
	level [denseBins]uint32    // of each bin
	size  int                  // bins
}

// binScale makes a bin's number the offset of its word, for the assembly.
const binScale = 8

// bins is a histogram over the levels of all features: what a node's items have
// in each bin. Bins of features that cannot split the node mean nothing.
type bins struct {
	y [denseBins][planeWidth]float64
	n [denseBins]uint64
}

// search is what finding the best split of a node needs and gives.
type search struct {
	features   uint64 // in: those to look at; out: those that can split the node
	layout     *layout
	minLeaf    int64
	reciprocal []float64 // 1/i at i
	// Of each feature that can split the node, the gain of its best split and
	// the bin after which it is.
	gain [denseFeatures]float64
	bin  [denseFeatures]int64
}

// isDense tells whether dense finds splits in the data.
func isDense(d *training, cfg Config) bool {
	n := 0
	for _, levels := range d.levels {
		n += len(levels)
	}
	return n <= denseBins && d.features <= denseFeatures && d.outputs <= planeWidth && cfg.MaxFeatures == d.features && !cfg.RandomSplits
}

// wholeLayout is the layout of all levels.
func wholeLayout(d *training) (l layout) {
	for f, levels := range d.levels {
		l.first[f], l.count[f] = int64(l.size), int64(len(levels))
		for k := range levels {
			l.level[l.size+k] = uint32(k)
		}
		l.size += len(levels)
	}
	return l
}

// cellBins returns item.bin of each cell.
func cellBins(d *training, c *cells) [][denseFeatures]uint16 {
	l := wholeLayout(d)
	out := make([][denseFeatures]uint16, c.len())
	for k := range out {
		for f, code := range c.inputs(uint32(k)) {
			out[k][f] = uint16(l.first[f]+int64(code)) * binScale
		}
	}
	return out
}

func newDense(g *grower) *dense {
	e := &dense{grower: g, whole: wholeLayout(g.b.data)}
	e.search = search{layout: &e.whole, minLeaf: int64(g.cfg.MinLeaf), reciprocal: g.t.reciprocal}
	return e
}

func (e *dense) begin() task {
	root := task{end: len(e.perm), features: 1<<e.b.data.features - 1, hist: e.acquire()}
	e.addAll(root.hist, e.perm, root.features)
	return root
}

func (e *dense) subtree(t task) bool {
	if t.end-t.start > partItems {
		return false
	}
	e.growPart(t)
	return true
}

func (e *dense) choose(t task) (choice, bool) {
	c, ok := e.best(t.hist, t.features)
	c.lo, c.hi = e.whole.level[c.lo%denseBins], e.whole.level[c.hi%denseBins]
	return c, ok
}

// best finds the best split of a node by its histogram, in bins rather than
// codes. It is false if there is none.
func (e *dense) best(h *bins, features uint64) (c choice, ok bool) {
	s := &e.search
	s.features = features
	if useAVX2 {
		bestAVX2(h, s)
	} else {
		s.best(h)
	}
	var gains [denseFeatures]float64
	var of [denseFeatures]uint8
	n := 0
	for m := s.features; m != 0; m &= m - 1 {
		f := bits.TrailingZeros64(m) & (denseFeatures - 1)
		gains[n], of[n] = s.gain[f], uint8(f)
		n++
	}
	if n == 0 {
		return c, false
	}
	f := of[e.pick(gains[:n])]
	c.feature, c.lo = int(f), uint32(s.bin[f])
	c.hi = c.lo + 1
	for h.n[c.hi%denseBins] == 0 {
		c.hi++
	}
	return c, true
}

// best finds the best split of a node by each feature.
func (s *search) best(h *bins) {
	total := sum{}
	l := s.layout
	f := bits.TrailingZeros64(s.features)
	for k := l.first[f]; k < l.first[f]+l.count[f]; k++ {
		total.add(&sum{h.y[k], h.n[k]})
	}
	mean := total.mean()
	slack := int64(total.rows()) - 2*s.minLeaf
	features := s.features
	s.features = 0
	if slack < 0 {
		return
	}
	for m := features; m != 0; m &= m - 1 {
		f := bits.TrailingZeros64(m)
		left, best, bin := sum{}, -1.0, int64(-1)
		for k := l.first[f]; k < l.first[f]+l.count[f]-1; k++ {
			left.add(&sum{h.y[k], h.n[k]})
			if uint64(int64(left.rows())-s.minLeaf) > uint64(slack) {
				continue
			}
			w := left.count()
			if gain := left.deviation(&mean) * (s.reciprocal[w] + s.reciprocal[total.count()-w]); gain > best {
				best, bin = gain, k
			}
		}
		if bin >= 0 {
			s.gain[f], s.bin[f] = best, bin
			s.features |= 1 << f
		}
	}
}

// divide partitions the items and makes the children's histograms from that of
// their parent.
func (e *dense) divide(t task, c choice) (left, right task) {
	n := e.partition(e.perm[t.start:t.end], c)
	left = task{start: t.start, end: t.start + n, features: e.search.features}
	right = task{start: t.start + n, end: t.end, features: e.search.features}
	smaller, larger := &left, &right
	if n > right.end-right.start {
		smaller, larger = &right, &left
	}
	smaller.hist = e.acquire()
	e.addAll(smaller.hist, e.perm[smaller.start:smaller.end], smaller.features)
	t.hist.sub(smaller.hist, e.whole.size)
	larger.hist = t.hist
	return left, right
}

// partition moves the items that go left to the front, both sides in their
// former order, and returns their number. It is sorted.partition, and spares a
// pass by looking at the items themselves.
func (e *dense) partition(items []uint32, c choice) int {
	f := c.feature & (denseFeatures - 1)
	lo := uint64(e.whole.first[f]+int64(c.lo)) * binScale
	right := e.scratch[:len(items)]
	nl, nr := 0, 0
	for _, q := range items {
		items[nl] = q
		right[nr] = q
		goesRight := int((lo - uint64(e.items[q].bin[f])) >> 63)
		nr += goesRight
		nl += 1 - goesRight
	}
	copy(items[nl:], right[:nr])
	return nl
}

// fewItems are subtracted from a histogram one by one; of more, their own
// histogram is.
const fewItems = 8

// acquire returns an empty histogram.
func (e *dense) acquire() *bins {
	h := e.take()
	clear(h.y[:e.search.layout.size])
	clear(h.n[:e.search.layout.size])
	return h
}

// take returns a histogram with any content.
func (e *dense) take() *bins {
	n := len(e.free)
	if n == 0 {
		return &bins{}
	}
	h := e.free[n-1]
	e.free = e.free[:n-1]
	return h
}

func (e *dense) release(t task) { e.give(t.hist) }

func (e *dense) give(h *bins) {
	if h != nil {
		e.free = append(e.free, h)
	}
}

// addAll adds items to the bins of some features.
func (e *dense) addAll(h *bins, items []uint32, features uint64) {
	if useAVX2 {
		addAVX2(h, &e.items[0], &items[0], len(items), features)
		return
	}
	for _, q := range items {
		h.add(&e.items[q], features, false)
	}
}

// add adds an item to the bins of some features, or subtracts it.
func (h *bins) add(i *item, features uint64, subtract bool) {
	for m := features; m != 0; m &= m - 1 {
		k := i.bin[bits.TrailingZeros64(m)] / binScale
		bin := sum{h.y[k], h.n[k]}
		if subtract {
			bin.sub(&sum{i.y, i.n})
		} else {
			bin.add(&sum{i.y, i.n})
		}
		h.y[k], h.n[k] = bin.y, bin.n
	}
}

// sub subtracts the first n bins of s.
func (h *bins) sub(s *bins, n int) {
	if useAVX2 {
		subAVX2(h, s, n)
		return
	}
	for k := range n {
		bin := sum{h.y[k], h.n[k]}
		bin.sub(&sum{s.y[k], s.n[k]})
		h.y[k], h.n[k] = bin.y, bin.n
	}
}
