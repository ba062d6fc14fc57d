package forest

import (
	"math/bits"
	"slices"
)

// smallItems is the number of items up to which a subtree is grown in a copy of
// them: as many as a word has bits, so that a node is a word. To split a node,
// its items are summed up by code, one feature after the other, and the codes
// that occur are gone through in order.
const smallItems = 64

const (
	// narrowCodes is the number of levels up to which small subtrees code a
	// feature by its levels. They code others by rank among their rows.
	narrowCodes = 64
	// keyFeatures is the number of codes, a byte each, in a word.
	keyFeatures = 8
)

// small holds the items of a subtree, and what finding a split needs.
type small struct {
	cell  [smallItems]uint32
	class [smallItems]uint32   // items of one class have the same targets
	keys  [][smallItems]uint64 // words x items: codes
	level [][]uint32           // per feature that is not narrow: what its codes stand for
	sums  [][smallItems]sum    // planes x items

	bins  [][smallItems]sum  // planes x codes; 0 between scans
	in    [smallItems]uint64 // items of each code; 0 between scans
	total []sum              // of the node, per plane
	mean  []centre           // per plane
	left  []sum              // per plane

	differ []uint64    // words: bytes that are not 0 mark features that vary
	vary   []int       // those features
	found  []candidate // the best split by each feature
	stack  []smallTask
}

// smallTask is a node to be grown and its items.
type smallTask struct {
	items uint64
	node  uint32
	depth int
}

func (s *small) init(d *training, planes int) {
	words := keyWords(d.features)
	s.keys = make([][smallItems]uint64, words)
	s.differ = make([]uint64, words)
	s.level = make([][]uint32, d.features)
	s.sums = make([][smallItems]sum, planes)
	s.bins = make([][smallItems]sum, planes)
	s.total = make([]sum, planes)
	s.mean = make([]centre, planes)
	s.left = make([]sum, planes)
	s.found = make([]candidate, d.features)
}

func keyWords(features int) int { return (features + keyFeatures - 1) / keyFeatures }

// packKeys returns the codes of all cells as small subtrees have them: words x
// cells. Bytes of features that are not narrow are left 0.
func packKeys(d *training, c *cells) []uint64 {
	n := c.len()
	keys := make([]uint64, keyWords(d.features)*n)
	for f, levels := range d.levels {
		if len(levels) > narrowCodes {
			continue
		}
		word, shift := keys[f/keyFeatures*n:], f%keyFeatures*8
		for i := range n {
			word[i] |= uint64(c.inputs(uint32(i))[f]) << shift
		}
	}
	return keys
}

// growSmall grows the subtree of a node with at most smallItems items.
func (g *grower) growSmall(t task) {
	s := &g.small
	items := g.perm[t.start:t.end]
	g.loadSmall(items)
	now := smallTask{^uint64(0) >> (smallItems - len(items)), t.node, t.depth}
	s.stack = s.stack[:0]
	for {
		c, ok := candidate{}, false
		if g.maySplitSmall(now) {
			c, ok = g.chooseSmall(now.items)
		}
		if !ok {
			g.leafSmall(now.node, now.items)
			if len(s.stack) == 0 {
				return
			}
			now = s.stack[len(s.stack)-1]
			s.stack = s.stack[:len(s.stack)-1]
			continue
		}
		if len(g.b.data.levels[c.feature]) > narrowCodes {
			c.lo, c.hi = s.level[c.feature][c.lo], s.level[c.feature][c.hi]
		}
		child := g.b.split(now.node, c.feature, c.lo, c.hi)
		s.stack = append(s.stack, smallTask{now.items &^ c.left, child + 1, now.depth + 1})
		now = smallTask{c.left, child, now.depth + 1}
	}
}

// loadSmall copies the items of a node.
func (g *grower) loadSmall(items []uint32) {
	s, d := &g.small, g.b.data
	n := g.t.cells.len()
	for i, q := range items {
		cell := g.cell[q]
		s.cell[i] = cell
		s.class[i] = g.class[q]
		for w := range s.keys {
			s.keys[w][i] = g.t.keys[w*n+int(cell)]
		}
		for p := range s.sums {
			s.sums[p][i] = g.sums[p*n+int(q)]
		}
	}
	for f, levels := range d.levels {
		if len(levels) > narrowCodes {
			s.rank(&g.t.cells, f, len(items))
		}
	}
}

// rank codes a feature that is not narrow by its ranks among the first n items.
func (s *small) rank(c *cells, f, n int) {
	levels := s.level[f][:0]
	for _, cell := range s.cell[:n] {
		levels = append(levels, c.inputs(cell)[f])
	}
	slices.Sort(levels)
	levels = slices.Compact(levels)
	s.level[f] = levels
	keys, shift := &s.keys[f/keyFeatures], f%keyFeatures*8
	for i := range n {
		r, _ := slices.BinarySearch(levels, c.inputs(s.cell[i])[f])
		keys[i] = keys[i]&^(0xff<<shift) | uint64(r)<<shift
	}
}

func (g *grower) leafSmall(node uint32, items uint64) {
	g.cells = g.cells[:0]
	for ; items != 0; items &= items - 1 {
		g.cells = append(g.cells, g.small.cell[bits.TrailingZeros64(items)])
	}
	g.b.leafOf(node, &g.t.cells, g.cells)
}

// maySplitSmall is maySplit for a node of the subtree.
func (g *grower) maySplitSmall(t smallTask) bool {
	if t.items&(t.items-1) == 0 || g.cfg.MaxDepth != 0 && t.depth >= g.cfg.MaxDepth {
		return false
	}
	class := &g.small.class
	first := class[bits.TrailingZeros64(t.items)]
	for m := t.items & (t.items - 1); m != 0; m &= m - 1 {
		if class[bits.TrailingZeros64(m)&(smallItems-1)] != first {
			return true
		}
	}
	return false
}

// chooseSmall finds the best split of a node of the subtree.
func (g *grower) chooseSmall(items uint64) (candidate, bool) {
	s := &g.small
	if rest := items & (items - 1); rest&(rest-1) == 0 && g.cfg.MinLeaf == 1 {
		return g.pair(items)
	}
	s.survey(items)
	if s.total[0].rows() < 2*g.cfg.MinLeaf {
		return candidate{}, false
	}
	if g.cfg.MaxFeatures < g.b.data.features {
		g.drawSmall()
	}
	found := g.scanSmall(items)
	return g.pick(found)
}

// pair parts two items. Every feature that varies does it equally well.
func (g *grower) pair(items uint64) (candidate, bool) {
	s := &g.small
	a, b := bits.TrailingZeros64(items), 63-bits.LeadingZeros64(items)
	varying := 0
	for w := range s.keys {
		s.differ[w] = marks(s.keys[w][a] ^ s.keys[w][b])
		varying += bits.OnesCount64(s.differ[w])
	}
	if varying == 0 {
		return candidate{}, false
	}
	k := 0
	if varying > 1 {
		k = g.below(varying)
	}
	f := s.varying(k)
	keys, shift := &s.keys[f/keyFeatures], f%keyFeatures*8
	lo, hi := uint32(keys[a]>>shift)&0xff, uint32(keys[b]>>shift)&0xff
	left := items & -items
	if lo > hi {
		left, lo, hi = items&(items-1), hi, lo
	}
	return candidate{0, left, lo, hi, f}, true
}

// marks has the top bit of each byte of x that is not 0. Bytes are below 0x80.
func marks(x uint64) uint64 { return (x + 0x7f7f7f7f7f7f7f7f) & 0x8080808080808080 }

// varying returns the k-th feature that s.differ marks.
func (s *small) varying(k int) int {
	for w, m := range s.differ {
		if n := bits.OnesCount64(m); k >= n {
			k -= n
			continue
		}
		for range k {
			m &= m - 1
		}
		return w*keyFeatures + bits.TrailingZeros64(m)/8
	}
	panic("forest: fewer features vary")
}

// survey sums up the items and finds the features that vary among them.
func (s *small) survey(items uint64) {
	if useAVX2 && len(s.sums) == 1 {
		for w := range s.keys {
			s.differ[w] = marks(totalAVX2(items, &s.keys[w][0], &s.sums[0][0], &s.total[0]))
		}
	} else {
		for w := range s.keys {
			keys := &s.keys[w]
			first, differ := keys[bits.TrailingZeros64(items)&(smallItems-1)], uint64(0)
			for m := items & (items - 1); m != 0; m &= m - 1 {
				differ |= keys[bits.TrailingZeros64(m)&(smallItems-1)] ^ first
			}
			s.differ[w] = marks(differ)
		}
		for p := range s.total {
			s.total[p] = sum{}
			for m := items; m != 0; m &= m - 1 {
				s.total[p].add(&s.sums[p][bits.TrailingZeros64(m)&(smallItems-1)])
			}
		}
	}
	for p := range s.total {
		s.mean[p] = s.total[p].mean()
	}
}

// drawSmall leaves MaxFeatures of the features that vary, drawn at random.
func (g *grower) drawSmall() {
	s := &g.small
	varying := 0
	for _, m := range s.differ {
		varying += bits.OnesCount64(m)
	}
	for ; varying > g.cfg.MaxFeatures; varying-- {
		f := s.varying(g.below(varying))
		s.differ[f/keyFeatures] &^= 0xff << (f % keyFeatures * 8)
	}
}

// scanSmall finds the best split by each feature that varies.
func (g *grower) scanSmall(items uint64) []candidate {
	s := &g.small
	found := 0
	if useAVX2 && len(s.sums) == 1 {
		n := smallNode{items, s.total[0].count(), g.cfg.MinLeaf, s.total[0].rows() - 2*g.cfg.MinLeaf, s.mean[0],
			&s.sums[0][0], &s.bins[0][0], &s.in[0], &g.t.reciprocal[0]}
		for w, differ := range s.differ {
			if differ == 0 {
				continue
			}
			first := found
			found += scanAVX2(&n, &s.keys[w][0], differ, &s.found[found])
			for k := first; k < found; k++ {
				s.found[k].feature += w * keyFeatures
			}
		}
		return s.found[:found]
	}
	for w, differ := range s.differ {
		for ; differ != 0; differ &= differ - 1 {
			s.found[found] = g.scanFeature(items, w*keyFeatures+bits.TrailingZeros64(differ)/8)
			found++
		}
	}
	return s.found[:found]
}

// smallNode is what the assembly of scanSmall works on.
type smallNode struct {
	items          uint64
	count          int64
	minLeaf, slack int // slack: items beyond minLeaf on each side
	mean           centre
	sums, bins     *sum
	in             *uint64
	reciprocal     *float64
}

// scanFeature finds the best split of the items by a feature that varies.
func (g *grower) scanFeature(items uint64, f int) candidate {
	s := &g.small
	keys, shift := &s.keys[f/keyFeatures], f%keyFeatures*8
	present := uint64(0) // codes
	for m := items; m != 0; m &= m - 1 {
		i := bits.TrailingZeros64(m) & (smallItems - 1)
		c := keys[i] >> shift & (smallItems - 1)
		present |= 1 << c
		s.in[c] |= m & -m
		for p := range s.bins {
			s.bins[p][c].add(&s.sums[p][i])
		}
	}
	best := candidate{gain: -1, feature: f}
	clear(s.left)
	left, count := uint64(0), s.total[0].count()
	slack := s.total[0].rows() - 2*g.cfg.MinLeaf
	for m := present; ; {
		c := bits.TrailingZeros64(m) & (smallItems - 1)
		left |= s.in[c]
		s.in[c] = 0
		gain := 0.0
		for p := range s.bins {
			s.left[p].add(&s.bins[p][c])
			s.bins[p][c] = sum{}
			gain += s.left[p].deviation(&s.mean[p])
		}
		if m &= m - 1; m == 0 {
			return best
		}
		w := s.left[0].count()
		gain *= g.t.reciprocal[w] + g.t.reciprocal[count-w]
		if n := s.left[0].rows() - g.cfg.MinLeaf; gain > best.gain && uint(n) <= uint(slack) {
			best.gain, best.left, best.lo, best.hi = gain, left, uint32(c), uint32(bits.TrailingZeros64(m))
		}
	}
}
