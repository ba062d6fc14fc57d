package load_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
)

// The paper's scenario has the paper's loads: 5, 10, 15 and 20 requests/s, and a
// sine from 5 to 20.
func TestPaperLoads(t *testing.T) {
	loads := scenario.Paper().Loads
	for i, r := range loads {
		if !slices.Equal(r.Discrete(), []float64{5, 10, 15, 20}) || r.Min != 5 || r.Max != 20 {
			t.Errorf("load of service %d: %+v", i+1, r)
		}
	}
	if got := (load.Sinusoidal{Ranges: loads}).At(nil, 0, 150); !slices.Equal(got, mesh.Load{20, 8.8}) {
		t.Errorf("sine at step 150: %v", got)
	}
}

func TestRangeValidate(t *testing.T) {
	for _, c := range []struct {
		r     load.Range
		words string // "" where it is accepted
	}{
		{load.Range{Min: 5, Max: 20}, ""},
		{load.Range{Max: 1e-3, Quantum: 1e-3}, ""},
		{load.Range{Min: 5, Max: 20, Values: []float64{0, 30}}, ""},
		{load.Range{}, "min < max"},
		{load.Range{Min: 5, Max: 5}, "min < max"},
		{load.Range{Min: -1, Max: 5}, "from -1 to 5"},
		{load.Range{Max: math.Inf(1)}, "max up to 1000000"},
		{load.Range{Min: math.NaN(), Max: 5}, "NaN"},
		{load.Range{Max: 1, Quantum: 2}, "quantum 2"},
		{load.Range{Max: 1, Quantum: -1}, "quantum -1"},
		{load.Range{Max: 1, Values: []float64{math.NaN()}}, "load value NaN"},
	} {
		err := c.r.Validate()
		if c.words == "" && err != nil || c.words != "" && (err == nil || !strings.Contains(err.Error(), c.words)) {
			t.Errorf("%+v: %v, want %q", c.r, err, c.words)
		}
	}
}

func TestGrid(t *testing.T) {
	loads := load.Ranges{{Min: 5, Max: 20}, {Min: 0, Max: 3}, {Values: []float64{7}}}
	got := loads.Grid(100)
	if len(got) != 16 || !slices.Equal(got[0], mesh.Load{5, 0, 7}) || !slices.Equal(got[15], mesh.Load{20, 3, 7}) {
		t.Errorf("grid of 4 x 4 x 1: %v", got)
	}
	some := loads.Grid(10)
	if len(some) != 10 {
		t.Errorf("%d loads, want 10", len(some))
	}
	for _, l := range some {
		if !slices.ContainsFunc(got, func(x mesh.Load) bool { return slices.Equal(x, l) }) {
			t.Errorf("%v is none of the grid's", l)
		}
	}
	if !slices.Equal(loads.Mid(), mesh.Load{12.5, 1.5, 0}) {
		t.Errorf("middle %v", loads.Mid())
	}
}
