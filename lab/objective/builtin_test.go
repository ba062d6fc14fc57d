package objective_test

import (
	"math"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

// The formulas of the papers, by hand.
func TestBuiltIn(t *testing.T) {
	targets := []objective.Target{{Goal: .2}, {Goal: .15}}
	for _, tt := range []struct {
		name   string
		o      objective.Objective
		d1, d2 float64
		cost   float64
		action mesh.Action
		want   float64
	}{
		// Three cores in all at light load: 2 - 1/8.
		{"tnsm-4, three cores", objective.TNSM4("service1", "service2"), .2, .15, 3, nil, 1.875},
		{"tnsm-4, two cores, late", objective.TNSM4("service1", "service2"), .25, .20, 2, nil, 2 * math.Exp(-.5)},
		{"tnsm-4, ten cores", objective.TNSM4("service1", "service2"), .1, .1, 10, nil, 1},
		{"tnsm-5, met", objective.TNSM5("service1"), .6, 0, 2, nil, 4},
		{"tnsm-5, missed", objective.TNSM5("service1"), 1.6, 0, 2, nil, -1},
		{"noms-2, met", objective.NOMS2("service1"), .12, 0, 2, nil, .6},
		{"noms-2, missed", objective.NOMS2("service1"), .30, 0, 2, nil, -.18},
		{"noms-1, met", objective.NOMS1("service1", "service2", "p12", "p22"), .9, .1, 4, mesh.Action{.8, .2, .4, .6, 0, 0}, .6 * .2 * .6},
		{"noms-1, missed", objective.NOMS1("service1", "service2", "p12", "p22"), 1, .215, 4, nil, -.15},
		{"noms-3, met", objective.NOMS3("service1", "p12"), .1, 0, 1, mesh.Action{.2, .8, 0, 1, 0, 0}, .64},
		{"noms-3, missed", objective.NOMS3("service1", "p12"), .2, 0, 1, nil, -.085},
		{"slo", objective.SLO("slo", services, targets, objective.P95, .1), .1, .09, 3, nil, .7 - .5},
		{"slo, missed", objective.SLO("slo", services, targets, objective.P95, .1), .15, .1, 3, nil, -.3 - .5},
		{"hard slo", objective.HardSLO("hard", services, targets, objective.P95, 50), .1, .09, 3, nil, -3},
		{"hard slo, missed", objective.HardSLO("hard", services, targets, objective.P95, 50), .1, .2, 3, nil, -53},
	} {
		e, err := tt.o.Bind(space)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		x := mesh.NewMeasurement(space.Layout())
		for i, d := range []float64{tt.d1, tt.d2} {
			x.Carried[i], x.Service[i].Mean, x.Service[i].P95 = 1, d, 1.5*d
			x.Service[i].Count, x.Failed[i] = 3, 0
		}
		x.Failed[0] = 1 // a quarter of service 1
		if tt.action == nil {
			tt.action = space.Default()
		}
		s := objective.Steady(space, mesh.Load{1, 1}, tt.action, x)
		s.Cost = tt.cost
		if got := e.Reward(s); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
