package artefact

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/card"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
)

// Agreement is how far two policies decide alike.
type Agreement struct {
	Loads int     // that were compared
	Equal float64 // share of them at which the actions are equal
	Knob  []float64
}

// Agree compares what two policies of the same actions decide at n loads, drawn
// from the whole range of those that a was trained for; the loads before were the
// same, knobs are as without control, and no response time was measured.
func Agree(a, b *learner.Network, n int) (Agreement, error) {
	da, db := a.Description(), b.Description()
	space := da.Space
	if err := same(space, db.Space); err != nil {
		return Agreement{}, err
	}
	if !slices.Equal(space.Choices(), db.Space.Choices()) {
		return Agreement{}, fmt.Errorf("artefact: the knobs have %v and %v points; only policies of the same are compared", space.Choices(), db.Space.Choices())
	}
	g := Agreement{Loads: n, Knob: make([]float64, len(space.Knobs()))}
	offered := load.Uniform{Ranges: da.Loads}
	for t := range n {
		l := offered.At(nil, 0, t)
		x, err := a.Act(steady(da, l))
		if err != nil {
			return g, err
		}
		y, err := b.Act(steady(db, l))
		if err != nil {
			return g, err
		}
		all := true
		for h, k := range space.Knobs() {
			if slices.Equal(k.Values(x), k.Values(y)) {
				g.Knob[h] += 1 / float64(n)
			} else {
				all = false
			}
		}
		if all {
			g.Equal++
		}
	}
	g.Equal /= float64(n)
	return g, nil
}

func same(a, b *mesh.Space) error {
	if !a.Same(b) {
		return fmt.Errorf("artefact: one is for %s, the other for %s", a, b)
	}
	return nil
}

// Table has the shares of equal decisions, of whole actions and knob by knob.
func (g Agreement) Table(space *mesh.Space) figure.Table {
	t := figure.Table{Header: []string{"decisions", fmt.Sprintf("equal at %d loads", g.Loads)}}
	add := func(name string, share float64) { t.Rows = append(t.Rows, []string{name, figure.Number(share, 3)}) }
	add("whole actions", g.Equal)
	for h, k := range space.Knobs() {
		add(k.Name, g.Knob[h])
	}
	return t
}

// Difference is how far two models' predictions of one target differ.
type Difference struct {
	Target       string
	A, B         float64 // mean predictions
	Mean, Median float64 // of the absolute differences
	Max          float64
}

// Differ compares what two models of one space predict at n pairs of a load from
// the given ranges and an action within a's limits, both drawn at random, for the
// targets that both have.
func Differ(a, b model.Learned, loads load.Ranges, n int) ([]Difference, error) {
	space := a.Space()
	if err := same(space, b.Space()); err != nil {
		return nil, err
	}
	x := mat.NewDense(n, len(space.FeatureNames()), nil)
	rng := rand.New(rand.NewPCG(0, 0x646966666572))
	choice := make([]int, len(space.Choices()))
	draw := func() []int {
		for h, c := range space.Choices() {
			choice[h] = rng.IntN(c)
		}
		return choice
	}
	var action mesh.Action
	offered := load.Uniform{Ranges: loads}
	for r := range n {
		action = space.Action(action, space.Draw(draw))
		space.Features(x.RawRowView(r)[:0], offered.At(nil, 0, r), action)
	}
	ya, yb := a.PredictMatrix(x), b.PredictMatrix(x)
	others := model.Targets(b.Space(), b.Kind())
	var out []Difference
	for k, name := range model.Targets(space, a.Kind()) {
		other := slices.Index(others, name)
		if other < 0 {
			continue
		}
		d := Difference{Target: name}
		var all []float64
		for r := range n {
			p, q := ya.At(r, k), yb.At(r, other)
			if math.IsNaN(p) || math.IsNaN(q) {
				continue
			}
			d.A, d.B = d.A+p, d.B+q
			all = append(all, math.Abs(p-q))
		}
		if m := float64(len(all)); m > 0 {
			slices.Sort(all)
			sum := 0.0
			for _, v := range all {
				sum += v
			}
			d.A, d.B, d.Mean, d.Median, d.Max = d.A/m, d.B/m, sum/m, all[len(all)/2], all[len(all)-1]
		}
		out = append(out, d)
	}
	return out, nil
}

// DifferenceTable lists differences.
func DifferenceTable(list []Difference) figure.Table {
	t := figure.Table{Header: []string{"target", "mean of the first", "of the second", "mean difference", "median", "largest"}}
	for _, d := range list {
		row := []string{d.Target}
		for _, v := range []float64{d.A, d.B, d.Mean, d.Median, d.Max} {
			row = append(row, strconv.FormatFloat(v, 'g', 4, 64))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// Scores lists what the cards of two artefacts say of them, side by side; what only
// one says has an empty cell.
func Scores(a, b File) figure.Table {
	t := figure.Table{Header: []string{"score", "measured", a.Path, b.Path}}
	at := map[card.Score]int{}
	for k, f := range []File{a, b} {
		if f.Card == nil {
			continue
		}
		for _, s := range f.Card.Scores {
			key := card.Score{Name: s.Name, Of: s.Of}
			row, ok := at[key]
			if !ok {
				row = len(t.Rows)
				at[key] = row
				t.Rows = append(t.Rows, []string{s.Name, s.Of, "", ""})
			}
			t.Rows[row][2+k] = strconv.FormatFloat(s.Value, 'g', 4, 64)
		}
	}
	return t
}
