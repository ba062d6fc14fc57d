package study_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
	"github.com/meshbench/meshbench/lab/trace"
)

// of is a scenario of a mesh: every microservice takes 20 ms, and loads are what
// the mesh carries at four fifths of its capacity.
func of(name string, m mesh.Mesh) scenario.Scenario {
	s := scenario.Scenario{Name: name, Mesh: m}
	l := m.Layout()
	for range l.Microservices {
		s.Work = append(s.Work, scenario.Work{Time: .02})
	}
	most := .8 * float64(m.N()) / (.02 * float64(len(l.Calls)))
	for i := range m.Services {
		s.Loads = append(s.Loads, load.Range{Min: most / 4, Max: most, Quantum: .5})
		s.Targets = append(s.Targets, objective.Target{Goal: .05 * float64(len(m.Services[i].Stages))})
	}
	return s.Defaults()
}

// meshes are those that the loop is tried on.
func meshes() []scenario.Scenario {
	var list []scenario.Scenario
	for _, x := range []struct {
		name string
		m, n int
	}{{"1x1", 1, 1}, {"1x3", 1, 3}, {"2x2", 2, 2}, {"2x4", 2, 4}, {"3x3", 3, 3}, {"4x2", 4, 2}} {
		list = append(list, of(x.name, mesh.New(x.m, x.n)))
	}
	call := func(name string, nodes ...string) mesh.Call { return mesh.Call{Microservice: name, Nodes: nodes} }
	nodes := []mesh.Node{{Name: "a"}, {Name: "b", Speed: 2}, {Name: "c"}, {Name: "d"}}
	return append(list,
		of("chain", mesh.Mesh{Nodes: nodes, Services: []mesh.Service{{Name: "shop", Stages: []mesh.Stage{
			{call("web", "a", "b")}, {call("logic", "b", "c")}, {call("store", "c", "d")}}}}}),
		of("parallel", mesh.Mesh{Nodes: nodes, Services: []mesh.Service{
			{Name: "browse", Stages: []mesh.Stage{{call("web", "a", "b")}, {call("stock", "c", "d")}}},
			{Name: "order", Stages: []mesh.Stage{{call("web", "a", "b")}, {call("users", "b", "c"), call("stock", "c", "d")}}}}}))
}

// The whole loop on eight meshes: collect, audit, learn, optimum, train,
// evaluate, draw.
func TestMeshes(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many seconds")
	}
	for _, s := range meshes() {
		t.Run(s.Name, func(t *testing.T) {
			ctx := context.Background()
			path := filepath.Join(t.TempDir(), "trace.csv")
			bed, err := virtual.New(virtual.Config{Scenario: s})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := testbed.CollectFile(ctx, bed, path, testbed.Collection{Scenario: s, Steps: 500, Seed: 1}); err != nil {
				t.Fatal(err)
			}
			bed.Close()
			source, err := study.Collected(path, s)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range trace.Audit(source.Trace) {
				t.Logf("audit: %s: %s", f.Title, f.Detail)
			}
			set := study.Best(s)
			l := set.Learner.(learner.PPO)
			l.Config.TotalSteps, l.Config.EvalEvery, l.Config.Steps, l.Config.Batch = 2000, 1000, 500, 128
			l.Environments, l.Config.Common = 1, false
			set.Learner = l
			r, err := study.Run(ctx, study.Config{Sources: []study.Source{source}, Settings: []study.Setting{set},
				Patterns: study.Patterns(s, 10, 10), Seeds: 1, Splits: 1})
			if err != nil {
				t.Fatal(err)
			}
			m, err := source.Learn(ctx, 0)
			if err != nil {
				t.Fatal(err)
			}
			rewards, err := source.Rewards(m, s.Objectives[0])
			if err != nil {
				t.Fatal(err)
			}
			best, err := rewards.Best(s.Loads.Mid())
			if err != nil {
				t.Fatal(err)
			}
			if small := m.Space().Len() <= 1<<14; best.Exact != small || !(best.Reward > 0) {
				t.Errorf("the best of %s actions pays %v, exact: %v", m.Space().Size(), best.Reward, best.Exact)
			}
			random, _ := r.Find(source.Name, s.Objectives[0].Name, "", "random", "random")
			learned, ok := r.Find(source.Name, s.Objectives[0].Name, set.Name, set.Learner.Name(), "random")
			if a, b := learned.ANR().Value, random.ANR().Value; !ok || math.IsNaN(a) || a > 1+1e-9 || a < b {
				t.Errorf("the learned policy has ANR %v, a random one %v", a, b)
			}
			if err := r.True(ctx, source, study.TrueConfig{Loads: 1, Steps: 5, Score: 10, Trials: 10}); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			wrote, err := r.Draw(ctx, dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.WriteResults(dir); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"mesh.svg", "learning.pdf", "policies.svg", "importance.svg", "predicted.svg", "anr.md", "true.csv", "results.json"} {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					t.Errorf("after drawing %v: %v", wrote, err)
				}
			}
		})
	}
}
