package forest

import "math/bits"

// partItems is the number of items up to which denseGrower grows a subtree as
// sets of items, in a copy of them: as many as a word has bits.
const partItems = 64

// part is a subtree: its items, with the levels that occur among them numbered
// anew, so that there are few bins.
type part struct {
	layout layout
	items  [partItems]item
	row    [partItems]uint32
	upTo   [denseBins]uint64 // items with a level of at most that of the bin
	stack  []partTask
}

// partTask is a node to be grown, as a set of items.
type partTask struct {
	set      uint64
	features uint64 // that can split its parent
	hist     *bins  // or nil, if the node is single or will be split as a pair
	node     uint32
	depth    int
}

// growPart grows the subtree of a node with at most partItems items.
func (g *denseGrower) growPart(t denseTask) {
	p := &g.part
	h := g.loadPart(t)
	g.search.layout = &p.layout
	p.stack = append(p.stack[:0], partTask{^uint64(0) >> (partItems - (t.end - t.start)), t.features, h, t.node, t.depth})
	for len(p.stack) > 0 {
		now := p.stack[len(p.stack)-1]
		p.stack = p.stack[:len(p.stack)-1]
		for g.splitSet(&now) {
		}
	}
	g.search.layout = &g.whole
}

// loadPart copies the items of t and returns its histogram in the new layout.
func (g *denseGrower) loadPart(t denseTask) *bins {
	p := &g.part
	l := &p.layout
	l.size = 0
	h := g.take()
	var bin [denseBins]uint16 // from old to new
	for m := t.features; m != 0; m &= m - 1 {
		f := bits.TrailingZeros64(m) & (denseFeatures - 1)
		l.first[f] = int64(l.size)
		for k := g.whole.first[f]; k < g.whole.first[f]+g.whole.count[f]; k++ {
			// Overwritten by the next level if this one does not occur.
			n := l.size % denseBins
			bin[k] = uint16(n)
			l.level[n] = g.whole.level[k]
			h.y[n], h.n[n] = t.hist.y[k], t.hist.n[k]
			p.upTo[n] = 0
			l.size += int(min(t.hist.n[k], 1))
		}
		l.count[f] = int64(l.size) - l.first[f]
	}
	g.release(t.hist)
	for k, q := range g.perm[t.start:t.end] {
		i := &p.items[k]
		*i = g.items[q]
		p.row[k] = g.row[q]
		for m := t.features; m != 0; m &= m - 1 {
			f := bits.TrailingZeros64(m) & (denseFeatures - 1)
			b := bin[i.bin[f]/binScale%denseBins]
			i.bin[f] = b * binScale
			p.upTo[b%denseBins] |= 1 << k
		}
	}
	for m := t.features; m != 0; m &= m - 1 {
		f := bits.TrailingZeros64(m) & (denseFeatures - 1)
		for k := l.first[f] + 1; k < l.first[f]+l.count[f]; k++ {
			p.upTo[k] |= p.upTo[k-1]
		}
	}
	return h
}

// splitSet splits the node of t, makes t its left child, and pushes the right
// one; or it makes the node a leaf, or two, and returns false.
func (g *denseGrower) splitSet(t *partTask) bool {
	p := &g.part
	if t.set&(t.set-1) == 0 || !g.maySplitSet(t) {
		g.leafSet(t.node, t.set)
		g.release(t.hist)
		return false
	}
	if t.hist == nil {
		g.splitPair(t)
		return false
	}
	c, ok := g.choose(t.hist, t.features)
	if !ok {
		g.leafSet(t.node, t.set)
		g.release(t.hist)
		return false
	}
	level := &p.layout.level
	child := g.b.split(t.node, c.feature, level[c.lo], level[c.hi])
	left := partTask{t.set & p.upTo[c.lo], g.search.features, nil, child, t.depth + 1}
	right := partTask{t.set &^ p.upTo[c.lo], g.search.features, nil, child + 1, t.depth + 1}
	g.shareSet(t.hist, &left, &right)
	p.stack = append(p.stack, right)
	*t = left
	return true
}

// maySplitSet is maySplit for a node of the part.
func (g *denseGrower) maySplitSet(t *partTask) bool {
	if g.cfg.MaxDepth != 0 && t.depth >= g.cfg.MaxDepth {
		return false
	}
	items := &g.part.items
	first := items[bits.TrailingZeros64(t.set)&(partItems-1)].class
	for m := t.set & (t.set - 1); m != 0; m &= m - 1 {
		if items[bits.TrailingZeros64(m)&(partItems-1)].class != first {
			return true
		}
	}
	return false
}

// splitPair parts two items, by one of the features that could split the
// parent. Every feature that varies does it equally well.
func (g *denseGrower) splitPair(t *partTask) {
	p := &g.part
	i, j := bits.TrailingZeros64(t.set)&(partItems-1), (63-bits.LeadingZeros64(t.set))&(partItems-1)
	a, b := &p.items[i].bin, &p.items[j].bin
	var varying [denseFeatures]uint8
	k := 0
	for m := t.features; m != 0; m &= m - 1 {
		f := bits.TrailingZeros64(m) & (denseFeatures - 1)
		varying[k&(denseFeatures-1)] = uint8(f)
		if a[f] != b[f] {
			k++
		}
	}
	f := varying[0] & (denseFeatures - 1)
	if k > 1 {
		f = varying[g.below(k)&(denseFeatures-1)] & (denseFeatures - 1)
	}
	if a[f] > b[f] {
		a, b = b, a
		i, j = j, i
	}
	level := &p.layout.level
	child := g.b.split(t.node, int(f), level[a[f]/binScale%denseBins], level[b[f]/binScale%denseBins])
	g.leafSet(child, 1<<i)
	g.leafSet(child+1, 1<<j)
}

// shareSet is share for nodes of the part.
func (g *denseGrower) shareSet(h *bins, left, right *partTask) {
	smaller, larger := left, right
	if bits.OnesCount64(left.set) > bits.OnesCount64(right.set) {
		smaller, larger = right, left
	}
	if !g.needsHistSet(larger.set) {
		g.release(h)
		return
	}
	if g.needsHistSet(smaller.set) {
		smaller.hist = g.acquire()
		g.addSet(smaller.hist, smaller.set, smaller.features, false)
	}
	if smaller.hist != nil && bits.OnesCount64(smaller.set) > fewItems {
		h.sub(smaller.hist, g.part.layout.size)
	} else {
		g.addSet(h, smaller.set, larger.features, true)
	}
	larger.hist = h
}

// needsHistSet tells whether a node may be split otherwise than as a pair.
func (g *denseGrower) needsHistSet(set uint64) bool {
	rest := set & (set - 1)
	return rest != 0 && (rest&(rest-1) != 0 || g.cfg.MinLeaf > 1)
}

// addSet adds items to the bins of some features, or subtracts them.
func (g *denseGrower) addSet(h *bins, set, features uint64, subtract bool) {
	if useAVX2 {
		negate := uint64(0)
		if subtract {
			negate--
		}
		addSetAVX2(h, &g.part.items[0], set, features, negate)
		return
	}
	for ; set != 0; set &= set - 1 {
		h.add(&g.part.items[bits.TrailingZeros64(set)], features, subtract)
	}
}

func (g *denseGrower) leafSet(node uint32, set uint64) {
	p := &g.part
	if set&(set-1) == 0 {
		if i := bits.TrailingZeros64(set) & (partItems - 1); uint32(p.items[i].n) == 1 {
			g.b.nodes[node] = leafNode(p.row[i])
			return
		}
	}
	g.cells = g.cells[:0]
	for ; set != 0; set &= set - 1 {
		g.cells = append(g.cells, p.items[bits.TrailingZeros64(set)&(partItems-1)].cell)
	}
	g.b.leafOf(node, &g.t.cells, g.cells)
}
