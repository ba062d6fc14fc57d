package trace

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
)

// Split says how a trace is divided into rows to learn from and rows to test
// on.
type Split struct {
	Train    float64 // share of the rows (of the actions with ByAction) to learn from; default .7 as the authors, .5 gives halves
	Seed     uint64
	ByAction bool // all rows of an action on one side: tests what a model says of actions that it has never seen
}

// Split divides the trace; each side keeps the trace's order of rows. It panics
// when Train is outside (0, 1).
func (t *Table) Split(o Split) (train, test *Table) {
	a, b := t.SplitRows(o)
	return t.Subset(a), t.Subset(b)
}

// SplitRows is Split by row numbers, ascending.
func (t *Table) SplitRows(o Split) (train, test []int) {
	if o.Train == 0 {
		o.Train = .7
	}
	if !(o.Train > 0 && o.Train < 1) {
		panic(fmt.Sprintf("trace: Split.Train is %v, outside (0, 1)", o.Train))
	}
	group := make([]int, t.Len()) // rows of one group stay together
	groups := t.Len()
	for r := range group {
		group[r] = r
	}
	if o.ByAction {
		group, groups = t.actions(group)
	}
	learn := make([]bool, groups)
	random := rand.New(rand.NewPCG(o.Seed, 0x5b1f7))
	for _, g := range random.Perm(groups)[:int(math.Round(o.Train*float64(groups)))] {
		learn[g] = true
	}
	for r := range t.Len() {
		if learn[group[r]] {
			train = append(train, r)
		} else {
			test = append(test, r)
		}
	}
	return train, test
}

// actions numbers the distinct actions of some rows in the order in which they
// first come: the number of each row's action, and how many there are.
func (t *Table) actions(rows []int) (number []int, distinct int) {
	seen := map[string]int{}
	number = make([]int, len(rows))
	var key []byte
	for at, r := range rows {
		key = key[:0]
		for _, v := range t.actionOf(r) {
			key = binary.LittleEndian.AppendUint64(key, math.Float64bits(rounded(v)))
		}
		k, ok := seen[string(key)]
		if !ok {
			k = len(seen)
			seen[string(key)] = k
		}
		number[at] = k
	}
	return number, len(seen)
}

// rounded makes values equal that differ by less than a millionth, the tolerance
// of an action's weights.
func rounded(v float64) float64 {
	return math.Round(v*1e6) + 0 // which makes 0 of -0
}
