package trace

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
)

func codes(findings []Finding) []string {
	var list []string
	for _, f := range findings {
		list = append(list, f.Code)
	}
	return list
}

func TestAuditOfSoundTraces(t *testing.T) {
	for _, c := range []struct {
		m     *mesh.Space
		steps int
	}{
		{grid(2, 2), 60}, {grid(2, 2), 6000}, {grid(3, 3), 3000}, {grid(1, 2), 2000}, {grid(2, 4), 2000}, {grid(2, 1), 1000}, {grid(1, 1), 500}, {grid(4, 2), 1000}, {graph(t), 3000},
	} {
		for seed := range uint64(4) {
			tab := table(t, syntheticMeta(c.m), synthetic(c.m, c.steps, seed))
			for _, f := range Audit(tab) {
				t.Errorf("%s, %d steps, seed %d: %s: %s", c.m, c.steps, seed, f.Code, f.Detail)
			}
		}
	}
}

// Every fault by itself is found, and nothing else with it.
func TestAuditOfSingleFaults(t *testing.T) {
	zeros := func(_ *mesh.Space, rows []Row) []Row {
		for _, row := range rows {
			for k := range row.Measurement.Endpoint {
				if d := &row.Measurement.Endpoint[k]; d.Count == 0 {
					*d = mesh.Delay{}
				}
			}
		}
		return rows
	}
	// The labels move on by one service.
	swap := func(m *mesh.Space, rows []Row) []Row {
		for _, row := range rows {
			n := m.Mesh().M() * m.Mesh().N()
			right := row.Action.Clone()[:n]
			for k := range right {
				row.Action[k] = right[(k+m.Mesh().N())%n]
			}
		}
		return rows
	}
	cap := func(_ *mesh.Space, rows []Row) []Row {
		for _, row := range rows {
			row.Measurement.Carried[0] = min(row.Measurement.Carried[0], 8)
		}
		return rows
	}
	sorted := func(m *mesh.Space, rows []Row) []Row {
		rows = slices.DeleteFunc(rows, func(r Row) bool { return r.Step%reference == 0 })
		slices.SortStableFunc(rows, func(a, b Row) int { return slices.Compare(a.Action, b.Action) })
		return renumber(rows)
	}
	// Each action as often as any other, in random order.
	shuffledGrid := func(m *mesh.Space, _ []Row) []Row {
		space := mesh.Grid(m.Mesh(), 3)
		rows := synthetic(m, 2*space.Len()+2*space.Len()/reference, 3)
		rows = slices.DeleteFunc(rows, func(r Row) bool { return r.Step%reference == 0 })
		order := rand.New(rand.NewPCG(1, 1)).Perm(len(rows))
		for t, row := range rows {
			copy(row.Action, space.At(order[t]%space.Len()))
			rows[t].Measurement = mesh.NewMeasurement(m.Layout())
		}
		return renumber(rows)
	}
	single := func(m *mesh.Space, rows []Row) []Row {
		for t := range rows {
			rows[t].Action = rows[0].Action
			x := rows[t].Measurement
			for i := range x.Carried {
				x.Carried[i] = x.Generated[i] * (1 - m.BlockOf(rows[0].Action, i))
			}
		}
		return rows
	}
	drift := func(_ *mesh.Space, rows []Row) []Row {
		for t, row := range rows {
			row.Measurement.Service[0].Mean *= 1 + float64(t)/float64(len(rows))
		}
		return rows
	}
	wander := func(_ *mesh.Space, rows []Row) []Row {
		rows[200].Load[0] = 15
		rows[200].Measurement.Generated[0] = 15
		return rows
	}
	marked := func(_ *mesh.Space, rows []Row) []Row {
		rows[17].Measurement.Mark = "node2 did not answer"
		// What a marked step measured does not count.
		rows[17].Measurement.Carried[0] = 1000
		return rows
	}
	gap := func(_ *mesh.Space, rows []Row) []Row { return slices.Delete(rows, 501, 503) }
	twice := func(_ *mesh.Space, rows []Row) []Row { return slices.Insert(rows, 502, rows[501]) }
	slow := func(m *mesh.Space, rows []Row) []Row {
		for _, row := range rows {
			for i := range row.Load {
				row.Load[i] *= 1.1
			}
		}
		return rows
	}
	bursts := func(m *mesh.Space, rows []Row) []Row {
		for t, row := range rows {
			x := row.Measurement
			shift := min(x.Generated[0], .6*row.Load[0]) * float64(1-t%2*2)
			x.Generated[0] += shift
			x.Carried[0] += shift * (1 - m.BlockOf(row.Action, 0))
			x.Carried[0] = max(0, x.Carried[0])
		}
		return rows
	}
	leak := func(_ *mesh.Space, rows []Row) []Row {
		for t, row := range rows {
			if t%2 == 0 {
				row.Measurement.Endpoint[0] = mesh.Delay{Count: 1, Mean: .02, P50: .02, P95: .02, P99: .02}
			}
		}
		return rows
	}
	for _, c := range []struct {
		name  string
		want  string
		fault func(m *mesh.Space, rows []Row) []Row
		words string
	}{
		{"zeros for missing delays", ZeroDelays, zeros, "where the weight is 0"},
		{"labels of weights swapped", SwappedLabels, swap, "without a delay"},
		{"carried load capped", CarriedLoad, cap, "cl1"},
		{"sorted actions", NotRandom, sorted, "sorted by p11"},
		{"shuffled grid", NotRandom, shuffledGrid, "more evenly than by chance"},
		{"one action", NotRandom, single, "have the action"},
		{"slower and slower", ReferenceDrift, drift, "d1 has medians"},
		{"another reference cell", ReferenceDrift, wander, "do not agree"},
		{"a marked step", MarkedSteps, marked, "node2 did not answer: 1"},
		{"a gap", StepNumbers, gap, "2 steps are missing"},
		{"a step twice", StepNumbers, twice, "1 there again"},
		{"a slow generator", GeneratedLoad, slow, "l1 as generated"},
		{"a bursty generator", GeneratedLoad, bursts, "scatters"},
		{"delays on a node without weight", UnroutedDelays, leak, "service1 has a delay"},
	} {
		for _, m := range []*mesh.Space{grid(2, 2), grid(3, 3)} {
			t.Run(fmt.Sprintf("%s/%d services", c.name, m.Mesh().M()), func(t *testing.T) {
				rows := c.fault(m, synthetic(m, 3000, 2))
				meta := syntheticMeta(m)
				if c.want == NotRandom { // these have no reference cell
					meta.Reference = 0
				}
				findings := Audit(table(t, meta, rows))
				if got := codes(findings); !slices.Equal(got, []string{c.want}) {
					t.Fatalf("findings %v, want %s alone: %+v", got, c.want, findings)
				}
				if f := findings[0]; !strings.Contains(f.Detail, c.words) || f.Title == "" || len(f.Figures) == 0 {
					t.Errorf("detail %q lacks %q, or there are no figures: %v", f.Detail, c.words, f.Figures)
				}
			})
		}
	}
}

// renumber gives rows ascending steps without those of the reference cell, as
// a trace without one would have them.
func renumber(rows []Row) []Row {
	for t := range rows {
		rows[t].Step = t
	}
	return rows
}
