package study

import (
	"context"
	"fmt"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
)

// The true optimum is not beaten, by another search or by the best action of a
// model, and scores 1 itself; it is far from what random actions get.
func TestTruth(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many seconds")
	}
	ctx := context.Background()
	space := paper.MustSpace()
	loads := []mesh.Load{{5, 20}, {20, 5}, {20, 20}}
	objectives := paper.Objectives[:1]
	find := func(seed uint64) *Truth {
		truth, err := FindTruth(ctx, TruthConfig{Screen: 8, Refine: 400, Score: 400, Seed: seed}, paper, loads, objectives, nil)
		if err != nil {
			t.Fatal(err)
		}
		return truth
	}
	a, b := find(1), find(100)
	own, err := a.Scores(ctx, space, objectives[0], []policy.Policy{a.Policy(space, "MO1"), b.Policy(space, "MO1"), policy.Static{Action: space.At(0)}})
	if err != nil {
		t.Fatal(err)
	}
	if own[0] != 1 {
		t.Errorf("the optimum's share of itself is %v", own[0])
	}
	if own[1] < .97 || own[1] > 1.02 {
		t.Errorf("two searches: the second's optimum has %v of the first's", own[1])
	}
	for l := range loads {
		if a.Random[0][l] > .7*a.Optimum[0][l] {
			t.Errorf("load %v: random actions have %v, the best %v", loads[l], a.Random[0][l], a.Optimum[0][l])
		}
	}
	if _, err := a.Policy(space, "MO1").Act(mesh.State{Load: mesh.Load{1, 1}}); err == nil {
		t.Error("an action for a load at which the truth is not known")
	}
	if _, err := a.Scores(ctx, space, paper.Objectives[1], nil); err == nil {
		t.Error("scores of an objective for which the truth is not known")
	}
}

// A small decomposition: its parts hang together, and it draws.
func TestDecompose(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many seconds")
	}
	cfg := Config{Sources: []Source{{Scenario: paper}}, Objectives: paper.Objectives[:1]}.Small()
	for k := range cfg.Settings {
		cfg.Settings[k] = steps(cfg.Settings[k], 4096)
	}
	shares, err := New(cfg).Decompose(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(shares) != 4 {
		t.Fatalf("%d shares, want one for each of two ways and two loads", len(shares))
	}
	for _, s := range shares {
		if len(s.Policies) != 2 || len(s.Seen) != 2 || len(s.Long) != 2 || len(s.Simulated) != 2 || len(s.Runs) != 4 {
			t.Errorf("%s, %s: %d policies, %d that saw the loads, %d on the testbed, %d simulated, %d runs", s.Way, s.Load, len(s.Policies), len(s.Seen), len(s.Long), len(s.Simulated), len(s.Runs))
		}
		if s.Load == "random" && s.Seen[0] != s.Policies[0] {
			t.Errorf("%s: random load is seen in training, but %v is not %v", s.Way, s.Seen, s.Policies)
		}
		for _, v := range append(s.levels(), s.Constant, s.Random, s.OptimumLong) {
			if !(v > 0 && v < 1.3) {
				t.Errorf("%s, %s: %+v is not of shares", s.Way, s.Load, s)
			}
		}
	}
	if _, err := DecompositionFigure(shares); err != nil {
		t.Error(err)
	}
	if table := DecompositionTable(shares); len(table.Rows) != 4 || len(table.Rows[0]) != len(table.Header) {
		t.Errorf("a table of %d rows", len(table.Rows))
	}
}

// Each variant differs from setting best in one option, and all are scored by
// the same rewards.
func TestAblation(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many seconds")
	}
	ctx := context.Background()
	source, err := Virtual(ctx, paper, 600, 3)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Sources: []Source{source}, Objectives: paper.Objectives[:1], Cache: &Cache{Dir: t.TempDir(), Code: "test"}}.Small()
	for k := range cfg.Settings {
		cfg.Settings[k] = steps(cfg.Settings[k], 4096)
	}
	names := map[string]bool{}
	for _, v := range Variants(source, Paper(paper), Best(paper)) {
		v.Setting.Name = ""
		names[fmt.Sprint(v.Setting.key(), v.Mean)] = true
	}
	variants := Variants(source, cfg.Settings[0], cfg.Settings[1])
	if len(names) != len(variants) {
		t.Errorf("%d variants, of which %d differ", len(variants), len(names))
	}
	table, err := New(cfg).AblationTable(ctx, source)
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Rows) != len(variants) || len(table.Header) != 5 {
		t.Fatalf("%d rows of %d columns for %d variants", len(table.Rows), len(table.Header), len(variants))
	}
	again, err := New(cfg).AblationTable(ctx, source)
	if err != nil {
		t.Fatal(err)
	}
	for k, row := range table.Rows {
		if row[3] == "" || row[3] != again.Rows[k][3] {
			t.Errorf("%s: %s, then %s", row[1], row[3], again.Rows[k][3])
		}
	}
	published := source
	published.Expected = false
	for _, v := range Variants(published, Paper(paper), Best(paper)) {
		if v.Mean {
			t.Errorf("%s: the source has no expected rewards to do without", v.Name)
		}
	}
}

// On a model of the other half of the rows the enumerated optimum has less than
// on its own.
func TestBenchmark(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many seconds")
	}
	ctx := context.Background()
	source, err := Virtual(ctx, paper, 1500, 3)
	if err != nil {
		t.Fatal(err)
	}
	source = source.Paper()
	cfg := Config{Objectives: paper.Objectives[:1], Splits: 1, Sources: []Source{source}}
	got, err := New(cfg).Benchmark(ctx, source, Paper(paper).Short(.02))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 4 {
		t.Fatalf("%d policies", len(got))
	}
	for _, b := range got {
		if len(b.Own) != 2 || len(b.Other) != 2 {
			t.Errorf("%s: %d and %d values", b.Policy, len(b.Own), len(b.Other))
		}
	}
	if best := got[0]; best.Own[0] != 1 || best.Own[1] != 1 || best.Other[0] >= 1 || best.Other[1] >= 1 {
		t.Errorf("the optimum by enumeration: %v by its own model, %v by the other", best.Own, best.Other)
	}
	m, err := source.Learn(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	rewards, err := optimum.NewRewards(m, paper.Objectives[0], optimum.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if random, err := meanANR(rewards, paper.Loads.Grid(maxGrid)); err != nil || random < .1 || random > .8 {
		t.Errorf("random actions score %v, %v", random, err)
	}
}
