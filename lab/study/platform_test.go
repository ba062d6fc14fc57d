package study

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/trace"
)

// A column that says what load and action do not, here another tenant's, lowers the
// error much; one of noise lowers nothing; one that is missing or constant is left
// out, and so are rows without a value.
func TestPlatform(t *testing.T) {
	sc := scenario.Paper()
	space := sc.MustSpace()
	tab := trace.New(trace.Meta{Space: space, Platform: []string{"tenant", "noise", "off", "flat"}})
	rng := rand.New(rand.NewPCG(1, 2))
	missing := 0
	for step := range 600 {
		x := mesh.NewMeasurement(space.Layout())
		tenant, a := rng.Float64(), space.At(rng.IntN(space.Len()))
		load := mesh.Load{5 + 15*rng.Float64(), 5 + 15*rng.Float64()}
		for e := range x.Endpoint {
			x.Endpoint[e].Mean, x.Endpoint[e].Count = .02+.001*load[0]+.1*tenant, 20
		}
		x.Endpoint[3].Mean = math.NaN() // never measured
		x.Platform = []float64{tenant, rng.Float64(), math.NaN(), 1}
		if step%10 == 0 {
			x.Platform[1] = math.NaN()
			missing++
		}
		if err := tab.Append(trace.Row{Step: step, Load: load, Action: a, Measurement: x}); err != nil {
			t.Fatal(err)
		}
	}
	s := Source{Name: "own", Scenario: sc, Trace: tab, Kind: model.AsPublished}
	p, err := PlatformOf(context.Background(), s, 1)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Columns, []string{"tenant", "noise"}) || !slices.Equal(p.Left, []string{"off", "flat"}) || p.Rows != 600-missing || len(p.Targets) != 3 {
		t.Fatalf("%+v", p)
	}
	for _, x := range p.Targets {
		if !(x.R2 < .3 && x.R2With > .9 && x.With < x.NMAE/2 && x.ColumnMatters[0] > .5 && math.Abs(x.ColumnMatters[1]) < .1) {
			t.Errorf("%+v", x)
		}
	}
	if table := string(p.Table().Markdown()); !strings.Contains(table, "loss of R² without tenant") || strings.Contains(table, "NaN") {
		t.Error(table)
	}
	few := s
	few.Trace = tab.Subset(whole(40))
	if _, err := PlatformOf(context.Background(), few, 1); err == nil || !strings.Contains(err.Error(), "at least 50") {
		t.Errorf("few rows: %v", err)
	}
	few.Trace = trace.New(trace.Meta{Space: space})
	if p, err := PlatformOf(context.Background(), few, 1); p != nil || err != nil {
		t.Errorf("no columns: %v %v", p, err)
	}
}
