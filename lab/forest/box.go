package forest

import (
	"math/bits"
	"slices"
)

const (
	// boxLevels is the number of levels that a box has bits for.
	boxLevels = 63
	// groupLevels is the number of levels that are looked up together, and the
	// largest number of levels of one feature.
	groupLevels = 12
	// blockCells is the largest number of combinations in a block.
	blockCells = 1 << 16
	// abreast is the number of trees whose leaves are found before their values
	// are added up.
	abreast = 4
	// spare is room for what is written, or read ahead, beyond a queue's end.
	spare = 33
)

// box is a set of a block's combinations, all those of some levels of each
// feature: a bit for each level, and one that is always set.
type box uint64

const always box = 1 << boxLevels

// sides are the levels of a feature on both sides of a threshold.
type sides struct{ left, right box }

// block is a grid that is small enough for its boxes to be words. A tree is gone
// through breadth first, from the box of all combinations, which is the order of
// its nodes in memory: the boxes that reach them divide on the way down, without
// a branch that depends on the tree.
type block struct {
	forest *Forest
	cells  int
	all    box
	// The sides of a threshold are sides[base[feature]+rank]; a leaf's feature
	// and rank lead to two empty ones.
	sides []sides
	base  [leafMark + 1]int
	// levels are the sides between a level and the one before it, by its bit.
	levels [boxLevels + 1]sides
	lowest box // bits of the lowest levels
	// several is the number of bits of a box of more than two combinations.
	several int
	groups  []group

	// level has one level of a tree and the next, in turn in either half.
	level, leaves queue
	half          int
	// value is the leaf value of each combination in some trees.
	value [abreast][]uint32
	sums  []float64 // combinations x outputs
}

// queue holds boxes with the node, or the leaf value, that they reach.
type queue struct {
	at  []uint32
	box []box
}

func newQueue(n int) queue { return queue{make([]uint32, n), make([]box, n)} }

// newBlock prepares for the given levels of each feature: at most groupLevels of
// one and boxLevels of all.
func newBlock(f *Forest, levels [][]float64) *block {
	p := &block{forest: f, cells: 1, all: always, several: 3}
	end := 0 // of the bits so far
	for j := len(levels) - 1; j >= 0; j-- {
		wide, bit := len(levels[j]), end
		field := always
		if wide > 1 {
			field = (1<<wide - 1) << bit
		}
		cut := func(left int) sides { // so many levels go left
			low := field
			if left < wide {
				low = (1<<left - 1) << bit
			}
			return sides{low, field &^ low}
		}
		if wide > 1 {
			end += wide
			if n := len(p.groups); n == 0 || end-p.groups[n-1].shift > groupLevels {
				p.groups = append(p.groups, newGroup(bit))
			}
			p.groups[len(p.groups)-1].extend(wide, p.cells)
			p.all |= field
			p.several++
			p.lowest |= 1 << bit
			for l := 1; l < wide; l++ {
				p.levels[bit+l] = cut(l)
			}
			p.cells *= wide
		}
		p.base[j] = len(p.sides)
		left := 0
		for _, threshold := range f.cuts[j] {
			for left < wide && levels[j][left] <= threshold {
				left++
			}
			p.sides = append(p.sides, cut(left))
		}
	}
	longest := 0
	for _, t := range f.trees {
		longest = max(longest, len(t))
	}
	// A level has at most as many nodes as the tree has leaves.
	p.half = (longest+1)/2 + spare
	p.level, p.leaves = newQueue(2*p.half), newQueue(p.half+2*p.cells)
	p.base[leafMark] = len(p.sides) - (maxThresholds - 1)
	p.sides = append(p.sides, sides{})
	for k := range p.value {
		p.value[k] = make([]uint32, p.cells)
	}
	p.sums = make([]float64, p.cells*f.outputs())
	return p
}

// predict leaves the sums over all trees, in their order.
func (p *block) predict() {
	for first := 0; first < len(p.forest.trees); first += abreast {
		trees := p.forest.trees[first:min(first+abreast, len(p.forest.trees))]
		for k, t := range trees {
			p.tree(p.value[k], t)
		}
		p.add(len(trees))
	}
}

// tree writes the leaf values of a tree that all combinations reach. Its levels
// share their memory, and leaves are dealt with as they are met, so that all of
// it stays in cache.
func (p *block) tree(value []uint32, t []node) {
	p.level.at[0], p.level.box[0] = 0, p.all
	for from, end := 0, 1; from < end; {
		to := p.half - from
		next, leaves := p.descend(t, from, end, to)
		from, end = to, next
		p.spread(value, leaves)
	}
}

// descend goes down from the nodes of a level, of which there is one at least,
// to those of the next, and returns their end. It notes the leaves that it
// meets.
func (p *block) descend(t []node, from, end, to int) (next, leaves int) {
	if useAVX2 {
		return descendAVX2(p, &t[0], from, end, to)
	}
	q := p.level
	for ; from < end; from++ {
		b, n := q.box[from], t[q.at[from]]
		s := p.sides[p.base[n.feature()]+int(n.cut())]
		// What is written beyond the end is overwritten.
		q.at[to], q.box[to] = n.child(), b&^s.right
		to += one(b&s.left != 0)
		q.at[to], q.box[to] = n.child()+1, b&^s.left
		to += one(b&s.right != 0)
		p.leaves.at[leaves], p.leaves.box[leaves] = n.value(), b
		leaves += one(n.isLeaf())
	}
	return to, leaves
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

// spread writes the values of leaves to the combinations that reach them: to
// the first and the last of a box, which then divides if there are more.
func (p *block) spread(value []uint32, leaves int) {
	if useAVX2 {
		spreadAVX2(p, &value[0], leaves, &p.forest.values[0])
		return
	}
	q := p.leaves
	for i := 0; i < leaves; i++ {
		v, b := q.at[i], q.box[i]
		ends := uint32(0)
		for _, g := range p.groups {
			ends += g.ends[int(b>>g.shift)&g.mask]
		}
		value[ends&(blockCells-1)], value[ends/blockCells] = v, v
		if bits.OnesCount64(uint64(b)) < p.several {
			continue
		}
		s := p.levels[bits.TrailingZeros64(uint64(b&(b-p.lowest)))]
		q.at[leaves], q.box[leaves] = v, b&^s.right
		q.at[leaves+1], q.box[leaves+1] = v, b&^s.left
		leaves += 2
	}
}

// add adds the values of the first trees of those that wait to the sums.
func (p *block) add(trees int) {
	k, values := p.forest.outputs(), p.forest.values
	if useAVX2 && k == planeWidth {
		addLeavesAVX2(p, trees, &values[0])
		return
	}
	for c := range p.cells {
		sums := p.sums[c*k : (c+1)*k]
		for _, value := range p.value[:trees] {
			v := int(value[c]) * k
			for o, y := range values[v : v+k] {
				sums[o] += y
			}
		}
	}
}

// group is a run of features whose levels are looked up together. Each pattern
// of their bits adds some numbers to that of a combination.
type group struct {
	shift, mask int
	patterns    []int // whose bits are, in each feature, a run
	// ends packs the lowest and the highest of the numbers, so that those of all
	// groups can be added.
	ends []uint32
	list [][]uint32 // the numbers of each pattern
}

func newGroup(shift int) group {
	return group{shift: shift, patterns: []int{0}, list: [][]uint32{{0}}}
}

// extend adds a feature of wide levels, stride combinations apart.
func (g *group) extend(wide, stride int) {
	old := *g
	low := len(old.list)
	g.mask = low<<wide - 1
	g.patterns = nil
	g.ends, g.list = make([]uint32, low<<wide), make([][]uint32, low<<wide)
	for lo := range wide {
		for hi := lo + 1; hi <= wide; hi++ {
			for _, pattern := range old.patterns {
				var list []uint32
				for l := lo; l < hi; l++ {
					for _, c := range old.list[pattern] {
						list = append(list, c+uint32(l*stride))
					}
				}
				pattern |= (1<<hi - 1<<lo) * low
				g.patterns = append(g.patterns, pattern)
				g.list[pattern] = list
				g.ends[pattern] = list[0] | slices.Max(list)*blockCells
			}
		}
	}
}
