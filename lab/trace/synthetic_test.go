package trace

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
)

// reference is the period of the reference cell in synthetic traces.
const reference = 100

// synthetic makes the rows of a sound trace: random loads and actions, Poisson
// arrivals thinned by blocking and routing, and noisy delays that grow with a
// node's load.
func synthetic(m mesh.Mesh, steps int, seed uint64) []Row {
	random := rand.New(rand.NewPCG(seed, 1))
	space := mesh.NewSpace(m, 0)
	pattern := load.Random{Mesh: m}
	start := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	var arrivals []float64
	rows := make([]Row, steps)
	for t := range rows {
		row := Row{
			Step:        t,
			Start:       start.Add(time.Duration(t) * 5 * time.Second),
			Load:        pattern.At(nil, seed, t),
			Action:      space.At(random.IntN(space.Len())).Clone(),
			Measurement: mesh.NewMeasurement(m),
		}
		if t%reference == 0 {
			for i := range row.Load {
				row.Load[i] = 10
				row.Action.Block[i] = .2
				for j := range m.N() {
					row.Action.Route[i*m.N()+j] = 1 / float64(m.N())
				}
			}
		}
		x := &row.Measurement
		counts := make([]float64, m.M()*m.N())
		nodes := make([]float64, m.N())
		for i := range m.M() {
			arrivals = load.Arrivals(arrivals[:0], row.Load[i], 5, seed, t, i)
			x.Generated[i] = float64(len(arrivals)) / 5
			x.Blocked[i], x.Carried[i], x.Failed[i] = 0, 0, 0
			for range arrivals {
				if random.Float64() < row.Action.Block[i] {
					x.Blocked[i]++
					continue
				}
				x.Carried[i] += .2
				u, j := random.Float64(), 0
				for ; u >= row.Action.Route[i*m.N()+j] && j < m.N()-1; j++ {
					u -= row.Action.Route[i*m.N()+j]
				}
				for row.Action.Route[i*m.N()+j] == 0 { // rounding at the end of the weights
					j--
				}
				counts[i*m.N()+j]++
				nodes[j] += .02 * float64(1+2*i)
			}
		}
		for i := range m.M() {
			var all mesh.Delay
			for j := range m.N() {
				if n := counts[i*m.N()+j]; n > 0 {
					d := .02 * float64(1+2*i) * (1 + nodes[j]/5) * math.Exp(.05*random.NormFloat64())
					x.Node[i*m.N()+j] = mesh.Delay{Count: n, Mean: d, P50: d * .9, P95: d * 2, P99: d * 3}
					all.Mean += n * d
					all.Count += n
				}
			}
			if all.Count > 0 {
				d := all.Mean / all.Count
				x.Service[i] = mesh.Delay{Count: all.Count, Mean: d, P50: d * .9, P95: d * 2, P99: d * 3}
			}
		}
		rows[t] = row
	}
	return rows
}

func syntheticMeta(m mesh.Mesh) Meta {
	return Meta{Mesh: m, Testbed: "synthetic", Load: "random", Actions: "random", Seed: 7, Reference: reference, TimeScale: 10,
		Extra: map[string]string{"settle seconds": "0.5"}}
}

// table makes a trace of rows.
func table(t testing.TB, meta Meta, rows []Row) *Table {
	t.Helper()
	tab := New(meta)
	for _, row := range rows {
		if err := tab.Append(row); err != nil {
			t.Fatal(err)
		}
	}
	return tab
}

func kthPath(t testing.TB) string {
	t.Helper()
	path, err := FindKTH()
	if errors.Is(err, ErrNoKTH) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}
