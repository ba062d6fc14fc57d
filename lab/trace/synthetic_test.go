package trace

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
)

// reference is the period of the reference cell in synthetic traces.
const reference = 100

// grid is the space of m services on n nodes at six levels; grid(2, 2) is the
// paper's.
func grid(m, n int) *mesh.Space { return mesh.Grid(mesh.New(m, n), 6) }

// graph is a space of two services, one of two stages of which the second makes
// two calls, with knobs of four kinds, one of which moves by steps.
func graph(t testing.TB) *mesh.Space {
	t.Helper()
	m := mesh.Mesh{
		Nodes: []mesh.Node{{Name: "a"}, {Name: "b, the second", Speed: 2}, {Name: "c"}},
		Services: []mesh.Service{
			{Name: "shop: all", Stages: []mesh.Stage{
				{{Microservice: "web", Nodes: []string{"a", "b, the second"}}},
				{{Microservice: "cart", Nodes: []string{"a", "c"}}, {Microservice: "price", Nodes: []string{"c"}}},
			}},
			{Name: "help", Stages: []mesh.Stage{{{Microservice: "web", Nodes: []string{"b, the second", "c"}}}}},
		},
	}
	s, err := mesh.NewSpace(m, mesh.Knob{Kind: mesh.Route, Call: "web"}, mesh.Knob{Kind: mesh.Route, Call: "cart", Points: [][]float64{{1, 0}, {0, 1}}},
		mesh.Knob{Kind: mesh.Block, Service: "help", Levels: 3}, mesh.Knob{Kind: mesh.Replicas, Node: "c", Min: 1, Max: 4, Step: 1, Up: 20},
		mesh.Knob{Kind: mesh.CPU, Min: .5, Max: 2, By: .5})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// synthetic makes the rows of a sound trace: random loads and actions, Poisson
// arrivals thinned by blocking and routing, and noisy delays that grow with a
// node's load.
func synthetic(s *mesh.Space, steps int, seed uint64) []Row {
	random := rand.New(rand.NewPCG(seed, 1))
	m, layout := s.Mesh(), s.Layout()
	pattern := load.Random{Ranges: make(load.Ranges, m.M())}
	for i := range pattern.Ranges {
		pattern.Ranges[i] = load.Range{Min: 5, Max: 20}
	}
	start := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	var arrivals []float64
	rows := make([]Row, steps)
	choice := make([]int, len(s.Choices()))
	for t := range rows {
		for h, n := range s.Choices() {
			choice[h] = random.IntN(n)
		}
		row := Row{
			Step:        t,
			Start:       start.Add(time.Duration(t) * 5 * time.Second),
			Load:        pattern.At(nil, seed, t),
			Action:      s.Action(nil, choice),
			Measurement: mesh.NewMeasurement(layout),
		}
		if t%reference == 0 {
			for i := range row.Load {
				row.Load[i] = 10
			}
			row.Action = s.Default()
			for _, k := range s.Knobs() {
				if k.Kind == mesh.Block {
					row.Action[k.First] = .2
				}
			}
		}
		x := &row.Measurement
		counts := make([]float64, len(layout.Endpoints))
		nodes := make([]float64, m.N())
		for i := range m.M() {
			arrivals = load.Arrivals(arrivals[:0], row.Load[i], 5, seed, t, i)
			x.Generated[i] = float64(len(arrivals)) / 5
			x.Blocked[i], x.Carried[i], x.Failed[i] = 0, 0, 0
			for range arrivals {
				if random.Float64() < s.BlockOf(row.Action, i) {
					x.Blocked[i]++
					continue
				}
				x.Carried[i] += .2
				for c, at := range layout.Calls {
					if at.Service != i {
						continue
					}
					weights := s.RouteOf(row.Action, c)
					u, j := random.Float64(), 0
					for ; u >= weights[j] && j < len(weights)-1; j++ {
						u -= weights[j]
					}
					for weights[j] == 0 { // rounding at the end of the weights
						j--
					}
					counts[at.First+j]++
					nodes[at.Nodes[j]] += .02 * float64(1+2*i)
				}
			}
		}
		for i, stages := range layout.Stages {
			var all mesh.Delay
			for _, stage := range stages {
				for _, c := range stage {
					first, end := layout.Of(c)
					for e := first; e < end; e++ {
						if n := counts[e]; n > 0 {
							d := .02 * float64(1+2*i) * (1 + nodes[layout.Endpoints[e].Node]/5) * math.Exp(.05*random.NormFloat64())
							x.Endpoint[e] = mesh.Delay{Count: n, Mean: d, P50: d * .9, P95: d * 2, P99: d * 3}
							all.Mean += n * d
							all.Count += n
						}
					}
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

func syntheticMeta(s *mesh.Space) Meta {
	return Meta{Space: s, Scenario: "synthetic", Testbed: "synthetic", Load: "random", Actions: "random", Seed: 7, Reference: reference, TimeScale: 10,
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
