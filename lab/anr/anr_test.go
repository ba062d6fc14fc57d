package anr

import (
	"math"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
)

func run(pairs ...float64) Run {
	var r Run
	for k := 0; k < len(pairs); k += 2 {
		r.Steps = append(r.Steps, Step{Load: mesh.Load{5, 5}, Reward: pairs[k], Optimal: pairs[k+1], Exact: true})
	}
	return r
}

func TestANR(t *testing.T) {
	nan := math.NaN()
	for _, tt := range []struct {
		name string
		run  Run
		want float64
	}{
		{"Eq. 6: mean of ratios, not ratio of means", run(10, 10, 0, 30), .5},
		{"a step without reward is left out", run(5, 10, nan, 10), .5},
		{"a step without a positive optimum is left out", run(5, 10, 0, 0), .5},
		{"nothing to score", run(nan, 1), nan},
	} {
		if got := tt.run.ANR(); math.Abs(got-tt.want) > 1e-12 || math.IsNaN(got) != math.IsNaN(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestFindings(t *testing.T) {
	r := run(12, 10, 0, 0, math.NaN(), 10, 9, 10)
	r.Steps[3].Mark = "node2 down"
	var codes []string
	for _, f := range r.Findings() {
		codes = append(codes, f.Code)
		if f.Steps != 1 {
			t.Errorf("%s concerns %d steps, want 1", f.Code, f.Steps)
		}
	}
	if got, want := strings.Join(codes, " "), "nr-above-1 zero-optimum no-reward disturbed"; got != want {
		t.Errorf("findings %q, want %q", got, want)
	}
	if f := run(9, 10, 10, 10).Findings(); f != nil {
		t.Errorf("findings of a sound run: %v", f)
	}
}

func TestIntervals(t *testing.T) {
	v := []float64{.9, .95, math.NaN(), .97, .99, .2}
	m := Median(v)
	if m.Value != .95 || m.Lo < .2 || m.Lo > m.Value || m.Hi < m.Value || m.Hi > .99 {
		t.Errorf("median %v", m)
	}
	if again := Median(v); again != m {
		t.Errorf("%v, then %v", m, again)
	}
	if one := Median([]float64{.5}); one != (Interval{.5, .5, .5}) {
		t.Errorf("of one value: %v", one)
	}
	if none := Median(nil); !math.IsNaN(none.Value) {
		t.Errorf("of nothing: %v", none)
	}
	// The mean of the middle half: of 0..7, that of 2..5.
	if q := IQM([]float64{7, 0, 1, 2, 3, 4, 5, 6}); math.Abs(q.Value-3.5) > 1e-12 {
		t.Errorf("interquartile mean %v, want 3.5", q.Value)
	}
	if q := IQM([]float64{0, 0, 10, 100, 4}); math.Abs(q.Value-(0*.75+4+10*.75)/2.5) > 1e-12 {
		t.Errorf("interquartile mean of five %v, want %v", q.Value, 11.5/2.5)
	}
}

func TestCompare(t *testing.T) {
	a := []Run{run(9, 10), run(8, 10), run(5, 10)}
	b := []Run{run(8, 10), run(8, 10), run(7, 10)}
	c, err := Compare(a, b)
	if err != nil {
		t.Fatal(err)
	}
	if c.Difference.Value != 0 || c.Improvement != .5 || c.Pairs != 3 {
		t.Errorf("%+v", c)
	}
	b[1].Seed = 4
	if _, err := Compare(a, b); err == nil || !strings.Contains(err.Error(), "pair 2") {
		t.Errorf("pairs of different seeds: %v", err)
	}
	if _, err := Compare(a, b[:2]); err == nil {
		t.Error("runs without a partner: no error")
	}
}
