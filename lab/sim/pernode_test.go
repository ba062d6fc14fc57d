package sim_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/sim"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
	"github.com/meshbench/meshbench/lab/trace"
)

func learnPerNode(t testing.TB, m mesh.Mesh) *sim.Model {
	t.Helper()
	model, err := sim.Learn(context.Background(), synthetic(t, m, 3000), sim.ModelConfig{Structure: sim.PerNode, Forest: forest.Config{Trees: 20, MinLeaf: 40}})
	if err != nil {
		t.Fatal(err)
	}
	return model
}

// Delays that grow linearly with what the node carries are found at loads and
// actions that are not in the trace, where a forest of all controls cannot.
func TestPerNode(t *testing.T) {
	model := learnPerNode(t, mesh.Mesh{})
	if model.Structure() != sim.PerNode || len(model.Forests()) != 6 {
		t.Errorf("structure %v with %d forests", model.Structure(), len(model.Forests()))
	}
	for _, tt := range []struct {
		load mesh.Load
		a    mesh.Action
	}{
		{mesh.Load{12, 8}, mesh.Action{Route: []float64{.5, .5, .3, .7}, Block: []float64{0, .2}}},
		{mesh.Load{7.5, 17.5}, mesh.Action{Route: []float64{1, 0, 0, 1}, Block: []float64{.1, .1}}},
		{mesh.Load{20, 20}, mesh.Action{Route: []float64{.6, .4, .4, .6}, Block: []float64{0, 0}}},
	} {
		y, err := model.Predict(tt.load, tt.a)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			c := tt.load[i] * (1 - tt.a.Block[i])
			if math.Abs(y[6+i]-c) > .01 {
				t.Errorf("load %v, action %v: carried load %v of service %d, want %v", tt.load, tt.a, y[6+i], i+1, c)
			}
			want := 0.0
			for j := range 2 {
				rate := 0.0
				for s := range 2 {
					rate += tt.load[s] * (1 - tt.a.Block[s]) * tt.a.Route[2*s+j]
				}
				d := .01 + .001*rate
				want += tt.a.Route[2*i+j] * d
				if tt.a.Route[2*i+j] > 0 && math.Abs(y[2*i+j]-d) > .02*d {
					t.Errorf("load %v, action %v: d%d%d is %v, want %v", tt.load, tt.a, i+1, j+1, y[2*i+j], d)
				}
			}
			if math.Abs(y[4+i]-want) > .02*want {
				t.Errorf("load %v, action %v: d%d is %v, want %v", tt.load, tt.a, i+1, y[4+i], want)
			}
		}
	}
}

// PredictMatrix says what Predict does, and delays of nodes everywhere.
func TestPredictMatrix(t *testing.T) {
	for _, model := range []*sim.Model{learn(t, mesh.Mesh{}), learnPerNode(t, mesh.Mesh{})} {
		a := mesh.Action{Route: []float64{1, 0, .4, .6}, Block: []float64{.2, 0}}
		l := mesh.Load{10, 15}
		want, err := model.Predict(l, a)
		if err != nil {
			t.Fatal(err)
		}
		got := model.PredictMatrix(mat.NewDense(1, 6, model.Mesh().Features(nil, l, a)))
		for k, v := range want {
			switch g := got.At(0, k); {
			case math.IsNaN(v) && !(g > 0):
				t.Errorf("%v: target %d is %v where no request goes", model.Structure(), k, g)
			case !math.IsNaN(v) && g != v:
				t.Errorf("%v: target %d is %v, Predict says %v", model.Structure(), k, g, v)
			}
		}
	}
}

func TestPerNodeKind(t *testing.T) {
	_, err := sim.Learn(context.Background(), synthetic(t, mesh.Mesh{}, 100), sim.ModelConfig{Kind: sim.AsPublished, Structure: sim.PerNode})
	if err == nil || !strings.Contains(err.Error(), "measured") {
		t.Errorf("per node, as published: %v", err)
	}
}

// Rows after a step with a node behind are left out, the first row and rows
// after a gap are not.
func TestSettled(t *testing.T) {
	table := trace.New(trace.Meta{})
	for k, tt := range []struct {
		step  int
		delay float64
	}{{0, .1}, {1, .5}, {2, .1}, {3, .6}, {5, .1}, {6, math.NaN()}, {7, .4}, {8, .4}} {
		x := mesh.NewMeasurement(mesh.Mesh{})
		x.Node[2].Mean = tt.delay
		row := trace.Row{Step: tt.step, Load: mesh.Load{5, float64(k)}, Action: mesh.Even(mesh.Mesh{}), Measurement: x}
		if err := table.Append(row); err != nil {
			t.Fatal(err)
		}
	}
	got := sim.Settled(table, .3)
	var steps []int
	for r := range got.Len() {
		steps = append(steps, got.Row(r).Step)
	}
	want := []int{0, 1, 3, 5, 6, 7}
	if len(steps) != len(want) {
		t.Fatalf("steps %v, want %v", steps, want)
	}
	for k := range want {
		if steps[k] != want[k] {
			t.Fatalf("steps %v, want %v", steps, want)
		}
	}
	if sim.Settled(table, 0) != table {
		t.Error("a limit of 0 leaves rows out")
	}
}

// What a model of 3,000 steps of the virtual testbed expects of an action is
// close to what the testbed pays on average, and better than what it pays for
// the mean delays. 40 steps a cell leave a standard error of about .8.
func TestExpectedRewardIsTrue(t *testing.T) {
	ctx := context.Background()
	bed, err := virtual.New(virtual.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer bed.Close()
	c := testbed.Collection{Steps: 3000, Seed: 3}
	meta, err := c.Meta(bed)
	if err != nil {
		t.Fatal(err)
	}
	table := trace.New(meta)
	if err := testbed.Collect(ctx, bed, table, c); err != nil {
		t.Fatal(err)
	}
	model, err := sim.Learn(ctx, sim.Settled(table, .3), sim.ModelConfig{Structure: sim.PerNode, Forest: forest.Config{Trees: 30, MinLeaf: 80}})
	if err != nil {
		t.Fatal(err)
	}
	loads := []mesh.Load{{10, 10}, {20, 15}}
	var actions []mesh.Action
	var index []int
	for k := 0; k < model.Space().Len(); k += 5 {
		actions, index = append(actions, model.Space().At(k)), append(index, k)
	}
	paid, err := virtual.Rewards(ctx, virtual.TruthConfig{Steps: 40, Seed: 1}, loads, actions, objective.Paper())
	if err != nil {
		t.Fatal(err)
	}
	for o, mo := range objective.Paper() {
		var rms [2]float64
		for e, expected := range []bool{false, true} {
			r, err := sim.NewRewards(model, mo, sim.RewardsConfig{Expected: expected})
			if err != nil {
				t.Fatal(err)
			}
			for l := range loads {
				x, err := r.At(loads[l])
				if err != nil {
					t.Fatal(err)
				}
				for k := range actions {
					e2 := x.Reward[index[k]] - paid[o][l][k]
					rms[e] += e2 * e2 / float64(len(loads)*len(actions))
				}
			}
			rms[e] = math.Sqrt(rms[e])
		}
		t.Logf("%s: root mean square error of the reward of mean delays %.2f, of the expected reward %.2f", mo.Name, rms[0], rms[1])
		if rms[1] > .6*rms[0] {
			t.Errorf("%s: expected rewards are off by %.2f, rewards of mean delays by %.2f", mo.Name, rms[1], rms[0])
		}
	}
}

// What an environment pays is the table's, also while there is none.
func TestOne(t *testing.T) {
	for _, cfg := range []sim.RewardsConfig{{}, {Expected: true}} {
		m := learnPerNode(t, mesh.Mesh{})
		r, err := sim.NewRewards(m, objective.MO1(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := sim.NewRewards(m, objective.MO1(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		env := r.NewEnv(load.NewReplay("one load", []mesh.Load{{7.3, 12}}))
		if _, err := env.Reset(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		table, err := whole.At(mesh.Load{7.3, 12})
		if err != nil {
			t.Fatal(err)
		}
		for step := range 130 { // a table is made on the way
			k := 1 + step*37%(m.Space().Len()-1)
			s, err := env.Step(context.Background(), m.Space().At(k))
			if err != nil {
				t.Fatal(err)
			}
			if s.Reward != table.Reward[k] {
				t.Fatalf("%+v, step %d: action %d pays %v, the table says %v", cfg, step, k, s.Reward, table.Reward[k])
			}
		}
	}
}
