package mdp_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/meshbench/meshbench/lab/mdp"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/trace/importer"
)

// Two states: 1 pays 1 a step but may fall back to 0, from where the way up costs.
var two = mdp.Table{
	{{0, []mdp.Next{{0, 1}}}, {-.5, []mdp.Next{{1, 1}}}},
	{{1, []mdp.Next{{1, .9}, {0, .1}}}, {.2, []mdp.Next{{1, 1}}}},
}

func TestSolutions(t *testing.T) {
	// v1 = 1 + g(.9 v1 + .1 v0), v0 = -.5 + g v1.
	const g = .9
	v1 := (1 - g*.1*.5) / (1 - g*.9 - g*g*.1)
	want := mdp.Values{-.5 + g*v1, v1}
	v, err := mdp.ValueIteration(two, g, 1e-10)
	if err != nil {
		t.Fatal(err)
	}
	best, w, steps, err := mdp.PolicyIteration(two, g, 1e-10, nil)
	if err != nil {
		t.Fatal(err)
	}
	for s := range want {
		if math.Abs(v[s]-want[s]) > 1e-8 || math.Abs(w[s]-want[s]) > 1e-8 {
			t.Errorf("state %d: %v by values, %v by policies, want %v", s, v[s], w[s], want[s])
		}
	}
	if !slices.Equal(best, mdp.Policy{1, 0}) || len(steps) != 2 || steps[0][0] != 0 {
		t.Errorf("policy %v after %d steps", best, len(steps))
	}
	// Looking one step ahead of 0 stays below; two steps ahead see that the way up pays.
	if one, two := mdp.Lookahead(two, make(mdp.Values, 2), g, 1), mdp.Lookahead(two, make(mdp.Values, 2), g, 2); one[0] != 0 || two[0] != 1 {
		t.Errorf("one step ahead %v, two %v", one, two)
	}
	if _, err := mdp.ValueIteration(two, 1, 0); err == nil {
		t.Error("discount 1: no error")
	}
	if _, err := mdp.Return(two, mdp.Policy{1, 0}, 1, 3); err == nil {
		t.Error("a return that is not certain: no error")
	}
}

// The returns of scenario 2 of Samani, Hammar and Stadler (NOMS 2024), before and
// after its node 2 became slow, from their traces: eight steps from all requests
// to node 1 with five cores.
func TestNOMS(t *testing.T) {
	kth, err := importer.FindKTH()
	if errors.Is(err, importer.ErrNoKTH) {
		t.Skip("the traces of the rollout paper are not here: ", err)
	} else if err != nil {
		t.Fatal(err)
	}
	sc, err := scenario.Open("increments")
	if err != nil {
		t.Fatal(err)
	}
	space := sc.MustSpace()
	process := func(file string) *mdp.Configurations {
		path := filepath.Join(filepath.Dir(kth), "..", "noms", file)
		if _, err := os.Stat(path); err != nil {
			t.Skip("the traces of the rollout paper are not here: ", err)
		}
		m, err := importer.Preset("noms-2024")
		if err != nil {
			t.Fatal(err)
		}
		tab, _, err := importer.Import(path, m, importer.Options{Space: space, Scenario: sc.Name})
		if err != nil {
			t.Fatal(err)
		}
		r, err := mdp.CellRewards(tab, sc.Objectives[0], mesh.Load{1})
		if err != nil {
			t.Fatal(err)
		}
		c, err := mdp.NewConfigurations(space, r)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before, after := process("scenario2_before.csv"), process("scenario2_after.csv")
	const gamma = .99
	start, ok := space.Index(mesh.Action{1, 0, 5})
	if !ok {
		t.Fatal("no such start")
	}
	values := func(v mdp.Values, err error) mdp.Values {
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	old := values(mdp.ValueIteration(before, gamma, 0))
	oldPolicy := mdp.Greedy(before, old, gamma)
	inNew := values(mdp.Evaluate(after, oldPolicy, gamma, 0))
	best := values(mdp.ValueIteration(after, gamma, 0))
	check := func(name string, p mdp.Process, policy mdp.Policy, want float64) {
		got, err := mdp.Return(p, policy, start, 8)
		if err != nil || fmt.Sprintf("%.3f", got) != fmt.Sprintf("%.3f", want) {
			t.Errorf("%s: %.3f (%v), want %.3f", name, got, err, want)
		}
		t.Logf("%-40s %7.3f", name, got)
	}
	check("old policy on the old system", before, oldPolicy, 3.568)
	check("old policy on the new system", after, oldPolicy, -.660)
	for k, want := range []float64{-.495, -.230, .130, 1.600} {
		check(fmt.Sprintf("%d steps, old values", k+1), after, mdp.Lookahead(after, old, gamma, k+1), want)
	}
	for k, want := range []float64{1.600, 1.600, 3.795, 3.795} {
		check(fmt.Sprintf("%d steps, old policy in the new model", k+1), after, mdp.Lookahead(after, inNew, gamma, k+1), want)
	}
	for k, want := range []float64{1.600, 3.795, 3.795} {
		check(fmt.Sprintf("%d steps, nothing after", k+1), after, mdp.Lookahead(after, make(mdp.Values, after.Len()), gamma, k+1), want)
	}
	check("new optimum", after, mdp.Greedy(after, best, gamma), 3.795)
}
