package forest

import (
	"context"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// grower grows one tree after another into a builder, reusing its memory.
//
// A node is a range of perm, partitioned in place. Nodes with more than
// smallRows rows share histograms over feature codes with their parents
// (large.go), smaller ones are sets of rows in a copy that stays in the
// first-level cache (small.go). All of them look at every distinct split and choose the one that
// reduces the sum of squares most.
type grower struct {
	b   *builder
	cfg Config
	t   *targets
	rng *rand.PCG

	// The bootstrap sample; a position is an index into builder.bag.
	sums []sum    // planes x positions: the row's targets times its count
	code []uint32 // positions x features; see recode

	perm    []uint32 // positions, in node order
	scratch []uint32
	stack   []task
	bounds  []bounds // features per entry of stack, and of the node in work

	histograms []*histogram // free list
	gains      []float64
	bitmap     []uint64
	bitmapRank []uint32
	features   []int
	rows       []uint32

	small small
}

// task is a node to be grown: its rows are perm[start:end].
type task struct {
	start, end int
	node       uint32
	depth      int
	hist       *histogram // or nil
}

// bounds limit the codes of a feature in a node (both inclusive).
type bounds struct{ lo, hi uint32 }

// choice is a split: rows with a code of at most lo go left, and hi is the
// smallest code on the right.
type choice struct {
	feature int
	lo, hi  uint32
}

func newGrower(b *builder, cfg Config, t *targets) *grower {
	g := &grower{b: b, cfg: cfg, t: t}
	g.small.init(b.data, t.planes)
	return g
}

// grow fills the builder with a tree for its bootstrap sample.
func (g *grower) grow(ctx context.Context, tree int) error {
	g.rng = rand.NewPCG(g.cfg.Seed, 1<<63|uint64(tree))
	g.load()
	nf := g.b.data.features
	g.bounds = append(g.bounds[:0], make([]bounds, nf)...)
	for f, levels := range g.b.data.levels {
		g.bounds[f] = bounds{0, uint32(len(levels) - 1)}
	}
	g.stack = append(g.stack[:0], task{start: 0, end: len(g.perm), node: 0})
	for len(g.stack) > 0 {
		top := len(g.stack) - 1
		t := g.stack[top]
		g.stack = g.stack[:top]
		if t.end-t.start > 4096 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		g.growNode(t, top)
	}
	return nil
}

// load copies codes and targets of the bootstrap sample.
func (g *grower) load() {
	d, bag := g.b.data, g.b.bag
	m, nf := len(bag), d.features
	g.sums = slices.Grow(g.sums[:0], m*g.t.planes)[:m*g.t.planes]
	g.code = slices.Grow(g.code[:0], m*nf)[:m*nf]
	g.perm = slices.Grow(g.perm[:0], m)[:m]
	g.scratch = slices.Grow(g.scratch[:0], m)[:m]
	for i, row := range bag {
		g.perm[i] = uint32(i)
		copy(g.code[i*nf:i*nf+nf], d.codes[int(row)*nf:])
		w := float64(g.b.count[row])
		for p := range g.t.planes {
			y := &g.t.fixed[p*d.rows+int(row)]
			g.sums[p*m+i] = sum{[planeWidth]float64{w * y[0], w * y[1], w * y[2], w * y[3]}, uint64(w)<<32 | 1}
		}
	}
}

// growNode splits the node of t, whose bounds are entry top, and pushes its
// children; or makes it a leaf; or grows its whole subtree if it is small.
func (g *grower) growNode(t task, top int) {
	if t.end-t.start <= smallRows {
		g.release(t.hist)
		g.growSmall(t)
		return
	}
	c, ok := choice{}, false
	if g.maySplit(t) {
		c, ok = g.chooseLarge(&t, g.boundsAt(top))
	}
	if !ok {
		g.release(t.hist)
		g.leafOf(t.node, g.perm[t.start:t.end])
		return
	}
	mid := t.start + g.partition(g.perm[t.start:t.end], c)
	lo := g.level(g.perm[t.start:mid], c.feature, c.lo)
	hi := g.level(g.perm[mid:t.end], c.feature, c.hi)
	child := g.b.split(t.node, c.feature, lo, hi)

	left := task{t.start, mid, child, t.depth + 1, nil}
	right := task{mid, t.end, child + 1, t.depth + 1, nil}
	g.share(t.hist, &left, &right, g.boundsAt(top), c)
	// The left child is grown first, so that subtrees are contiguous.
	g.stack = append(g.stack, right, left)
	nf := g.b.data.features
	if need := (top + 2) * nf; len(g.bounds) < need {
		g.bounds = append(g.bounds, make([]bounds, need-len(g.bounds))...)
	}
	rightBounds, leftBounds := g.boundsAt(top), g.boundsAt(top+1)
	copy(leftBounds, rightBounds)
	leftBounds[c.feature].hi = c.lo
	rightBounds[c.feature].lo = c.hi
}

func (g *grower) boundsAt(i int) []bounds {
	nf := g.b.data.features
	return g.bounds[i*nf : (i+1)*nf]
}

// maySplit tells whether the limits of the configuration allow a split and
// the targets vary.
func (g *grower) maySplit(t task) bool {
	n := t.end - t.start
	return n >= 2*g.cfg.MinLeaf && (g.cfg.MaxDepth == 0 || t.depth < g.cfg.MaxDepth) && g.varies(g.perm[t.start:t.end])
}

// varies tells whether two of the positions have different targets.
func (g *grower) varies(positions []uint32) bool {
	d := g.b.data
	first := int(g.b.bag[positions[0]]) * d.outputs
	for _, q := range positions[1:] {
		row := int(g.b.bag[q]) * d.outputs
		for o := range d.outputs {
			if d.y[row+o] != d.y[first+o] {
				return true
			}
		}
	}
	return false
}

// partition moves the positions that go left to the front, both sides in
// their former order, and returns their number.
func (g *grower) partition(positions []uint32, c choice) int {
	nf := g.b.data.features
	code := g.code[c.feature:]
	right := g.scratch[:len(positions)]
	nl, nr := 0, 0
	for _, q := range positions {
		// Written to both sides and counted on one: there is no branch to
		// mispredict.
		positions[nl] = q
		right[nr] = q
		goesRight := int((uint64(c.lo) - uint64(code[int(q)*nf])) >> 63)
		nr += goesRight
		nl += 1 - goesRight
	}
	copy(positions[nl:], right[:nr])
	return nl
}

// level returns the level that a code stands for, from a row that has it.
func (g *grower) level(positions []uint32, feature int, code uint32) uint32 {
	nf := g.b.data.features
	for _, q := range positions {
		if g.code[int(q)*nf+feature] == code {
			return g.b.data.codes[int(g.b.bag[q])*nf+feature]
		}
	}
	panic("forest: no row has the code of its split")
}

func (g *grower) leafOf(node uint32, positions []uint32) {
	g.rows = g.rows[:0]
	for _, q := range positions {
		g.rows = append(g.rows, g.b.bag[q])
	}
	g.b.leaf(node, g.rows...)
}

// below returns a random number in [0, n).
func (g *grower) below(n int) int {
	hi, _ := bits.Mul64(g.rng.Uint64(), uint64(n))
	return int(hi)
}

// contest keeps the best of a number of splits, and chooses at random between
// equally good ones of different features: without that, features would be
// preferred by their number, and trees would be more alike.
type contest struct {
	gain float64
	choice
	ties int
}

// Gains are equal if they differ by rounding only.
const tieTolerance = 1e-10

// enter compares a split with the best one so far.
func (k *contest) enter(g *grower, gain float64, feature int, lo uint32) {
	if gain < k.gain*(1-tieTolerance) {
		return
	}
	if gain > k.gain*(1+tieTolerance) || k.ties == 0 {
		*k = contest{gain, choice{feature: feature, lo: lo}, 1}
		return
	}
	if feature != k.feature {
		k.ties++
		if g.below(k.ties) == 0 {
			k.choice = choice{feature: feature, lo: lo}
		}
	}
}
