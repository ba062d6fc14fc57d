package study

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/trace"
)

var paper = scenario.Paper()

// steps returns a setting with another length of training.
func steps(s Setting, n int) Setting {
	l := s.Learner.(learner.PPO)
	l.Config.TotalSteps = n
	s.Learner = l
	return s
}

func TestCache(t *testing.T) {
	c := &Cache{Dir: t.TempDir(), Code: "1"}
	calls := 0
	compute := func() ([]float64, error) { calls++; return []float64{float64(calls)}, nil }
	get := func(c *Cache, inputs any) float64 {
		t.Helper()
		v, err := Do(c, "stage", []any{inputs}, compute)
		if err != nil {
			t.Fatal(err)
		}
		return v[0]
	}
	if a, b := get(c, "x"), get(c, "x"); a != 1 || b != 1 {
		t.Errorf("the same inputs gave %v, then %v", a, b)
	}
	if v := get(c, "y"); v != 2 {
		t.Errorf("other inputs gave %v, want a new result", v)
	}
	if v := get(&Cache{Dir: c.Dir, Code: "2"}, "x"); v != 3 {
		t.Errorf("other code gave %v, want a new result", v)
	}
	files, err := filepath.Glob(filepath.Join(c.Dir, "*.gob"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if v := get(c, "x"); v != 4 {
		t.Errorf("a damaged file gave %v, want a new result", v)
	}
	if _, err := Do(c, "fails", []any{1}, func() (int, error) { return 0, errors.New("no") }); err == nil {
		t.Error("a failed stage: no error")
	}
}

// The whole study on a short virtual trace: same seed, same results; everything
// is drawn and written.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many seconds")
	}
	ctx := context.Background()
	source, err := Virtual(ctx, paper, 800, 3)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Sources: []Source{source}, Cache: &Cache{Dir: t.TempDir(), Code: "test"}}.Small()
	cfg.Objectives = paper.Objectives[:1]
	for k := range cfg.Settings {
		cfg.Settings[k] = steps(cfg.Settings[k], 4096)
	}
	r, err := Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	uncached := cfg
	uncached.Cache = nil
	again, err := Run(ctx, uncached)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) == 0 || len(r.Cells) != len(again.Cells) {
		t.Fatalf("%d cells, then %d", len(r.Cells), len(again.Cells))
	}
	for k, c := range r.Cells {
		if a, b := c.ANR(), again.Cells[k].ANR(); a != b {
			t.Errorf("%s %s %s %s: %v, then %v", c.Objective, c.Setting, c.Policy, c.Load, a, b)
		}
		if a := c.ANR().Value; !(a > 0 && a <= 1+1e-9) {
			t.Errorf("%s %s %s %s: ANR %v on the model's own optimum", c.Objective, c.Setting, c.Policy, c.Load, a)
		}
	}
	random, _ := r.Find("virtual", "MO1", "", "random", "random")
	constant, _ := r.Find("virtual", "MO1", "", "constant", "random")
	if random.ANR().Value >= constant.ANR().Value {
		t.Errorf("random %v, best constant %v", random.ANR(), constant.ANR())
	}

	dir := t.TempDir()
	cfg.Objectives = paper.Objectives
	if r, err = Run(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	wrote, err := r.Draw(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.WriteResults(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fig1.svg", "fig4.pdf", "fig8.svg", "table2.csv", "table2.md"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("after drawing %v: %v", wrote, err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		ANR []struct {
			Environment, Policy string
			ANR                 float64
			CI                  [2]float64
		}
		Model []Score
		Run   struct {
			Data map[string]string `json:"data_sha256"`
		}
	}
	if err := json.Unmarshal(b, &parsed); err != nil {
		t.Fatal(err)
	}
	if len(parsed.ANR) != len(r.Cells) || len(parsed.Model) == 0 || parsed.Run.Data["virtual"] != source.SHA256 {
		t.Errorf("results.json has %d rows for %d cells, %d scores, data %v", len(parsed.ANR), len(r.Cells), len(parsed.Model), parsed.Run.Data)
	}
	if _, err := os.Stat(filepath.Join(dir, "fig7.svg")); err == nil {
		t.Error("figure 7 was drawn without a trial")
	}
	if _, err := r.Draw(ctx, dir, "fig7"); !errors.Is(err, ErrNoData) {
		t.Errorf("figure 7 without a trial: %v", err)
	}
	if _, err := r.Draw(ctx, dir, "fig99"); err == nil || !strings.Contains(err.Error(), "fig1, fig1a") {
		t.Errorf("an unknown figure: %v", err)
	}
}

// A policy trained on a small problem beats the best constant action, and a
// saved one acts the same.
func TestTrain(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many seconds")
	}
	ctx := context.Background()
	source, err := Virtual(ctx, paper, 3000, 5)
	if err != nil {
		t.Fatal(err)
	}
	m, err := source.Learn(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := optimum.NewRewards(m, paper.Objectives[0], optimum.Config{})
	if err != nil {
		t.Fatal(err)
	}
	set := Best(paper).Short(.2)
	set.Load = load.Random{Ranges: paper.Loads}
	trained, err := Train(ctx, r, paper, set, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := trained.Policy(m.Space())
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := policy.Score(r, p, paper.Loads.Grid(maxGrid))
	if err != nil {
		t.Fatal(err)
	}
	best := 0.0
	for _, e := range trained.Curve {
		best = max(best, e.Score)
	}
	if got != best {
		t.Errorf("the saved policy scores %v, its curve's best is %v", got, best)
	}
	baselines, err := Baselines(r, paper, r)
	if err != nil {
		t.Fatal(err)
	}
	constant, _, err := policy.Score(r, baselines[1], paper.Loads.Grid(maxGrid))
	if err != nil {
		t.Fatal(err)
	}
	if got <= constant {
		t.Errorf("learned %v, best constant %v", got, constant)
	}
	if greedy, _, err := policy.Score(r, baselines[len(baselines)-1], paper.Loads.Grid(maxGrid)); err != nil || greedy != 1 {
		t.Errorf("greedy on the model itself scores %v, %v; want 1", greedy, err)
	}
}

// A trace that does not say how many requests each node answered is learned from
// by a model of all loads and controls.
func TestCollectedWithoutCounts(t *testing.T) {
	sc := scenario.Paper()
	for _, c := range []struct {
		count float64
		want  model.Structure
	}{{math.NaN(), model.JointInputs}, {0, model.JointInputs}, {20, model.NodeInputs}} {
		tab := trace.New(trace.Meta{Space: sc.MustSpace(), Scenario: sc.Name, Testbed: "imported"})
		x := mesh.NewMeasurement(sc.MustSpace().Layout())
		for e := range x.Endpoint {
			x.Endpoint[e].Count, x.Endpoint[e].Mean = c.count, .03
		}
		if err := tab.Append(trace.Row{Load: mesh.Load{5, 5}, Action: mesh.Action{.4, .6, .4, .6, 0, 0}, Measurement: x}); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "t.csv")
		if err := tab.Write(path); err != nil {
			t.Fatal(err)
		}
		s, err := Collected(path, sc)
		if err != nil || s.Structure != c.want || c.want == model.NodeInputs && s.Forest.MinLeaf != 20 {
			t.Errorf("counts of %v: structure %v, leaves of %d rows, %v; want %v", c.count, s.Structure, s.Forest.MinLeaf, err, c.want)
		}
	}
}
