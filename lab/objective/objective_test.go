package objective_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

func TestUtility(t *testing.T) {
	target := objective.Target{Goal: .035, Centre: .050}
	for _, tt := range []struct{ d, want float64 }{
		{0, 1},
		{.035, 1},
		{.050, .5},
		{.040, (1 - math.Tanh(100*(.040-.050))) / 2}, // the paper's other form
		{1, 0},
		{math.NaN(), 0},
	} {
		if got := target.Utility(tt.d); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("Utility(%v) = %v, want %v", tt.d, got, tt.want)
		}
	}
}

func TestMinLoadUtility(t *testing.T) {
	for _, tt := range []struct{ carried, want, tolerance float64 }{
		{20, 1, 0}, {5, 1, 0}, {4.5, .5, 1e-12}, {4, .0067, 1e-4}, {0, 0, 1e-12},
	} {
		if got := objective.MinLoadUtility(tt.carried); math.Abs(got-tt.want) > tt.tolerance {
			t.Errorf("MinLoadUtility(%v) = %v, want %v", tt.carried, got, tt.want)
		}
	}
}

// step is a step of the paper's mesh: service 1 is answered by both nodes,
// service 2 by node 2 only.
func step() (mesh.Load, mesh.Action, mesh.Measurement) {
	x := mesh.NewMeasurement(mesh.Mesh{})
	x.Carried[0], x.Carried[1] = 9, 4
	x.Service[0].Mean, x.Service[1].Mean = .030, .200
	x.Node[0].Mean, x.Node[1].Mean, x.Node[3].Mean = .020, .050, .200
	return mesh.Load{10, 5}, mesh.Action{Route: []float64{.5, .5, 0, 1}, Block: []float64{.2, .2}}, x
}

func TestReward(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    objective.Objective
		want float64
	}{
		{"MO1, paper", objective.MO1(), 9},
		{"MO2, paper", objective.MO2(), 9},
		{"MO3, paper", objective.MO3(), 4},
		{"MO1, published: r1(50 ms) is 1/2, 8 carried", objective.MO1().AsPublished(), 4},
		{"own", objective.Objective{Services: []string{"service2"}, Targets: []objective.Target{{Goal: .3, Centre: .4}},
			Reward: func(s []objective.Outcome) float64 { return s[0].Offered + s[0].Delay + s[0].Utility }}, 6.2},
	} {
		e, err := tt.o.Bind(mesh.Mesh{})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		l, a, x := step()
		if got := e.Reward(l, a, x); math.Abs(got-tt.want) > 1e-6 {
			t.Errorf("%s: reward %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestRewardMissing(t *testing.T) {
	e, _ := objective.MO1().Bind(mesh.Mesh{})
	l, a, x := step()
	x.Carried[0] = math.NaN()
	if got := e.Reward(l, a, x); !math.IsNaN(got) {
		t.Errorf("reward %v with a carried load missing, want NaN", got)
	}
	l, a, x = step()
	x.Service[0] = mesh.NoDelay()
	if got := e.Reward(l, a, x); math.Abs(got) > 1e-6 {
		t.Errorf("reward %v with service 1 unanswered and service 2 late, want 0", got)
	}
}

// The expected reward over a distribution of response times is the mean of the
// rewards, not the reward of the mean.
func TestExpected(t *testing.T) {
	e, _ := objective.MO2().Bind(mesh.Mesh{})
	delays := []float64{.030, .045, .060, .048}
	l, a, x := step()
	mean, utility := 0.0, []float64{0, 0}
	for _, d := range delays {
		x.Service[0].Mean, x.Service[1].Mean = d, 2*d
		mean += e.Reward(l, a, x) / 4
		for i := range utility {
			target, _ := e.Target(i)
			utility[i] += target.Utility(x.Service[i].Mean) / 4
		}
	}
	if got := e.Expected(l, a, x, utility); math.Abs(got-mean) > 1e-12 {
		t.Errorf("expected reward %v, want the mean of the rewards %v", got, mean)
	}
}

func TestBindErrors(t *testing.T) {
	reward := objective.MO1().Reward
	for _, tt := range []struct {
		o    objective.Objective
		want string
	}{
		{objective.Objective{Name: "x"}, "no Reward"},
		{objective.Objective{Name: "x", Services: []string{"frontend"}, Reward: reward}, `unknown service "frontend"; the mesh has service1, service2`},
		{objective.Objective{Name: "x", Services: []string{"service1", "service1"}, Reward: reward}, "named twice"},
		{objective.Objective{Name: "x", Services: []string{"service1"}, Reward: reward}, "2 targets for 1 services"},
		{objective.Objective{Name: "x", Targets: []objective.Target{{Goal: 1, Centre: 1}, {Goal: -1}}, Reward: reward}, "target of service2: goal -1 s"},
	} {
		if _, err := tt.o.Bind(mesh.Mesh{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Bind(%+v): %v, want %q", tt.o, err, tt.want)
		}
	}
	if _, err := objective.Parse("MO4"); err == nil || !strings.Contains(err.Error(), "MO1, MO2, MO3") {
		t.Errorf("Parse(MO4): %v", err)
	}
}

// An objective of one's own: the second service's load counts only while it is
// on time, and blocking costs.
func Example() {
	own := objective.Objective{
		Name: "on time",
		Reward: func(s []objective.Outcome) float64 {
			return s[0].Carried*s[0].Utility - .1*(s[1].Offered-s[1].Carried)
		},
	}
	e, err := own.Bind(mesh.Mesh{})
	if err != nil {
		fmt.Println(err)
		return
	}
	load, action, measured := step()
	fmt.Printf("%.2f\n", e.Reward(load, action, measured))
	// Output: 8.90
}
