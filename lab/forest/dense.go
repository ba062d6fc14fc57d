package forest

import (
	"context"
	"math/bits"
	"math/rand/v2"
)

// Features of a system model have few levels: offered loads and actions come
// from short lists. If all of them have at most denseBins together, histograms
// over all levels stay in the first-level cache, and every node has one, down
// to nodes of three items.
const (
	denseBins     = 256
	denseFeatures = 8
)

// denseGrower grows the trees that grower grows, for data that isDense holds
// for.
//
// A node is a range of perm, partitioned in place; a small subtree is grown as a
// part. The histograms of a node's children are that of the smaller one, added
// up, and the node's less that: sums are exact, so that subtracting leaves no
// trace of what was added.
type denseGrower struct {
	b   *builder
	cfg Config
	t   *targets
	rng *rand.PCG

	items   []item
	row     []uint32 // items: the row, or one of them
	perm    []uint32 // items, in node order
	scratch []uint32
	stack   []denseTask
	free    []*bins
	cells   []uint32                // of a leaf
	code    [][denseFeatures]uint16 // item.bin of each cell

	whole  layout // of all levels
	part   part
	search search
}

// layout says which bins of a histogram stand for which levels.
type layout struct {
	first [denseFeatures]int64 // bin of each feature's lowest level
	count [denseFeatures]int64 // levels of each feature
	level [denseBins]uint32    // of each bin
	size  int                  // bins
}

// item is what a bootstrap sample has of a cell, in one line of the cache.
type item struct {
	y     [planeWidth]float64 // targets times counts
	n     uint64              // as in sum
	class uint32              // items of one class have the same targets
	cell  uint32
	bin   [denseFeatures]uint16 // of each feature, times binScale
}

// binScale makes a bin's number the offset of its word, for the assembly.
const binScale = 8

// bins is a histogram over the levels of all features: what a node's items have
// in each bin. Bins of features that cannot split the node mean nothing.
type bins struct {
	y [denseBins][planeWidth]float64
	n [denseBins]uint64
}

// denseTask is a node to be grown: its items are perm[start:end].
type denseTask struct {
	start, end int
	node       uint32
	depth      int
	features   uint64 // that can split its parent
	hist       *bins
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

// isDense tells whether denseGrower can grow trees of the data.
func isDense(d *training, cfg Config) bool {
	n := 0
	for _, levels := range d.levels {
		n += len(levels)
	}
	return n <= denseBins && d.features <= denseFeatures && d.outputs <= planeWidth && cfg.MaxFeatures == d.features
}

func newDenseGrower(b *builder, cfg Config, t *targets) *denseGrower {
	g := &denseGrower{b: b, cfg: cfg, t: t}
	l := &g.whole
	for f, levels := range b.data.levels {
		l.first[f], l.count[f] = int64(l.size), int64(len(levels))
		for k := range levels {
			l.level[l.size+k] = uint32(k)
		}
		l.size += len(levels)
	}
	g.search = search{layout: l, minLeaf: int64(cfg.MinLeaf), reciprocal: t.reciprocal}
	g.code = make([][denseFeatures]uint16, t.cells.len())
	for c := range g.code {
		for f, code := range t.cells.inputs(uint32(c)) {
			g.code[c][f] = uint16(l.first[f]+int64(code)) * binScale
		}
	}
	n := t.cells.len()
	g.items = make([]item, n)
	g.row, g.perm, g.scratch = make([]uint32, n), make([]uint32, n), make([]uint32, n)
	return g
}

// grow fills the builder with a tree for its bootstrap sample.
func (g *denseGrower) grow(ctx context.Context, tree int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.rng = rand.NewPCG(g.cfg.Seed, 1<<63|uint64(tree))
	g.load()
	root := denseTask{end: len(g.perm), features: 1<<g.b.data.features - 1, hist: g.acquire()}
	g.addAll(root.hist, g.perm, root.features)
	g.stack = append(g.stack[:0], root)
	for len(g.stack) > 0 {
		t := g.stack[len(g.stack)-1]
		g.stack = g.stack[:len(g.stack)-1]
		if t.end-t.start <= partItems {
			g.growPart(t)
		} else {
			g.growNode(t)
		}
	}
	return nil
}

// load makes the items of the bootstrap sample.
func (g *denseGrower) load() {
	c := &g.t.cells
	g.perm, g.row = g.perm[:c.len()], g.row[:c.len()]
	n := 0
	for cell := range uint32(c.len()) {
		first := c.start[cell]
		i := &g.items[n]
		i.cell, i.bin = cell, g.code[cell]
		g.perm[n] = uint32(n)
		if c.start[cell+1]-first == 1 {
			// Most cells have one row: no branch on whether it was drawn, but
			// overwritten by the next one if it was not.
			row := c.row[first]
			w := g.b.count[row]
			v, f := float64(w), &g.t.fixed[first]
			i.y = [planeWidth]float64{v * f[0], v * f[1], v * f[2], v * f[3]}
			i.n, i.class = uint64(w)<<32|1, g.t.class[row]
			g.row[n] = row
			n += int(min(w, 1))
			continue
		}
		if i.n, i.class, g.row[n] = g.t.draw(cell, g.b.count); i.n != 0 {
			i.y = g.t.sum(0, cell, g.b.count)
			n++
		}
	}
	g.perm = g.perm[:n]
}

// growNode splits the node of t and pushes its children, or makes it a leaf.
func (g *denseGrower) growNode(t denseTask) {
	items := g.perm[t.start:t.end]
	c, ok := candidate{}, g.maySplit(t, items)
	if ok {
		c, ok = g.choose(t.hist, t.features)
	}
	if !ok {
		g.cells = g.cells[:0]
		for _, q := range items {
			g.cells = append(g.cells, g.items[q].cell)
		}
		g.b.leafOf(t.node, &g.t.cells, g.cells)
		g.release(t.hist)
		return
	}
	mid := t.start + g.partition(items, c)
	level := &g.whole.level
	child := g.b.split(t.node, c.feature, level[c.lo], level[c.hi])
	left := denseTask{t.start, mid, child, t.depth + 1, g.search.features, nil}
	right := denseTask{mid, t.end, child + 1, t.depth + 1, g.search.features, nil}
	g.share(t.hist, &left, &right)
	// The left child is grown first, so that subtrees are contiguous.
	g.stack = append(g.stack, right, left)
}

// maySplit tells whether the depth allows a split and the targets vary.
func (g *denseGrower) maySplit(t denseTask, items []uint32) bool {
	if g.cfg.MaxDepth != 0 && t.depth >= g.cfg.MaxDepth {
		return false
	}
	first := g.items[items[0]].class
	for _, q := range items[1:] {
		if g.items[q].class != first {
			return true
		}
	}
	return false
}

// choose finds the best split of a node by its histogram, in bins rather than
// codes. It is false if there is none.
func (g *denseGrower) choose(h *bins, features uint64) (c candidate, ok bool) {
	s := &g.search
	s.features = features
	if useAVX2 {
		bestAVX2(h, s)
	} else {
		s.best(h)
	}
	if s.features == 0 {
		return c, false
	}
	best := -1.0
	for m := s.features; m != 0; m &= m - 1 {
		best = max(best, s.gain[bits.TrailingZeros64(m)&(denseFeatures-1)])
	}
	// Of equally good features one is drawn, as pick does.
	var ties [denseFeatures]uint8
	n := 0
	for m := s.features; m != 0; m &= m - 1 {
		f := bits.TrailingZeros64(m) & (denseFeatures - 1)
		ties[n&(denseFeatures-1)] = uint8(f)
		if s.gain[f] >= best*(1-tieTolerance) {
			n++
		}
	}
	f := ties[0]
	if n > 1 {
		f = ties[g.below(n)&(denseFeatures-1)]
	}
	c.feature, c.lo = int(f), uint32(s.bin[f&(denseFeatures-1)])
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

// partition moves the items that go left to the front, both sides in their
// former order, and returns their number.
func (g *denseGrower) partition(items []uint32, c candidate) int {
	f, lo := c.feature&(denseFeatures-1), uint64(c.lo*binScale)
	right := g.scratch[:len(items)]
	nl, nr := 0, 0
	for _, q := range items {
		// Written to both sides and counted on one: there is no branch to
		// mispredict.
		items[nl] = q
		right[nr] = q
		goesRight := int((lo - uint64(g.items[q].bin[f])) >> 63)
		nr += goesRight
		nl += 1 - goesRight
	}
	copy(items[nl:], right[:nr])
	return nl
}

// share makes the children's histograms from that of their parent.
func (g *denseGrower) share(h *bins, left, right *denseTask) {
	smaller, larger := left, right
	if left.end-left.start > right.end-right.start {
		smaller, larger = right, left
	}
	smaller.hist = g.acquire()
	g.addAll(smaller.hist, g.perm[smaller.start:smaller.end], smaller.features)
	h.sub(smaller.hist, g.whole.size)
	larger.hist = h
}

// fewItems are subtracted from a histogram one by one; of more, their own
// histogram is.
const fewItems = 8

// acquire returns an empty histogram.
func (g *denseGrower) acquire() *bins {
	h := g.take()
	clear(h.y[:g.search.layout.size])
	clear(h.n[:g.search.layout.size])
	return h
}

// take returns a histogram with any content.
func (g *denseGrower) take() *bins {
	n := len(g.free)
	if n == 0 {
		return &bins{}
	}
	h := g.free[n-1]
	g.free = g.free[:n-1]
	return h
}

func (g *denseGrower) release(h *bins) {
	if h != nil {
		g.free = append(g.free, h)
	}
}

// addAll adds items to the bins of some features.
func (g *denseGrower) addAll(h *bins, items []uint32, features uint64) {
	if useAVX2 {
		addAVX2(h, &g.items[0], &items[0], len(items), features)
		return
	}
	for _, q := range items {
		h.add(&g.items[q], features, false)
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

// below returns a random number in [0, n).
func (g *denseGrower) below(n int) int {
	hi, _ := bits.Mul64(g.rng.Uint64(), uint64(n))
	return int(hi)
}
