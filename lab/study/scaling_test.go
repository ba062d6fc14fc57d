package study

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/episode"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// scaled is a small study of scenario autoscale: two loads, short episodes and
// trainings.
func scaled(t *testing.T) Config {
	t.Helper()
	sc, err := scenario.Open("autoscale")
	if err != nil {
		t.Fatal(err)
	}
	sc.Patterns, sc.Episode, sc.Collect.Steps = sc.Patterns[1:3], 60, 800
	cfg, err := Of(context.Background(), sc, "")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Seeds, cfg.Splits = 2, 1
	cfg.Settings = []Setting{cfg.Settings[0].Short(.05)}
	return cfg
}

// A study of slow knobs gives rewards of every policy under every load, and
// writes them.
func TestScaling(t *testing.T) {
	r, err := Run(context.Background(), scaled(t))
	if err != nil {
		t.Fatal(err)
	}
	find := func(policy, load, on string) RewardCell {
		for _, c := range r.Rewards {
			if c.Policy == policy && c.Load == load && c.TrainedOn == on {
				return c
			}
		}
		t.Fatalf("no %s trained on %q under %s", policy, on, load)
		return RewardCell{}
	}
	for _, load := range []string{"bursty", "flashcrowd"} {
		oracle := find("oracle", load, "")
		for _, p := range []string{"ppo", "hpa", "hpa-fast", "keda", "lookahead", "constant", "bandit"} {
			c := find(p, load, allLoads)
			if c.Runs[0].Steps != 60 || len(c.Runs) != c.Seeds*heldOut || math.IsNaN(c.Reward().Value) {
				t.Errorf("%s under %s: %+v", p, load, c)
			}
			// Another run of noise aside, none is paid more than who knows the load.
			if d, _ := c.Against(oracle); d.Value > .02 {
				t.Errorf("%s under %s is paid %v more than the oracle", p, load, d)
			}
		}
		find("ppo", load, "all but "+load)
		find("dp", load, load)
		find("greedy", load, "")
	}
	dir := t.TempDir()
	wrote, err := r.Draw(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rewards", "unseen", "matrix", "episode", "learning", "mesh"} {
		if !slices.Contains(wrote, name) {
			t.Errorf("%s is not drawn: %v", name, wrote)
		}
	}
	if err := r.WriteResults(dir); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Reward []struct {
			Scenario, Policy, Load, Environment string
			TrainedOn                           string `json:"trained_on"`
			Reward, Cost, Violations            float64
			CI                                  [2]float64
		}
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Reward) != len(r.Rewards) || out.Reward[0].Environment != "virtual" || out.Reward[0].Cost < 1 || out.Reward[0].CI[0] > out.Reward[0].Reward {
		t.Errorf("%d rewards, the first %+v", len(out.Reward), out.Reward[0])
	}

	// The same policies on a testbed, run by run; a second call goes on.
	r.Rewards = nil
	trial := RewardTrial{Runs: 2, Steps: 20, Policies: []string{"ppo", "hpa-fast"}, File: filepath.Join(dir, "runs.jsonl"),
		Start: func(context.Context) (testbed.Testbed, error) {
			return virtual.New(virtual.Config{Scenario: r.Config.Scenario()})
		}}
	s := r.Config.Sources[0]
	if err := r.RewardTrial(context.Background(), s, trial); err != nil {
		t.Fatal(err)
	}
	first, _ := os.ReadFile(trial.File)
	if n := strings.Count(string(first), "\n"); n != 4 || len(r.Rewards) != 2 || len(r.Rewards[0].Runs) != 2 {
		t.Errorf("%d lines, %d cells", n, len(r.Rewards))
	}
	if err := os.WriteFile(trial.File, first[:len(first)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.RewardTrial(context.Background(), s, trial); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(trial.File); string(again) != string(first) {
		t.Errorf("gone on:\n%s\nwant\n%s", again, first)
	}
	trial.Policies = []string{"hpe"}
	if err := r.RewardTrial(context.Background(), s, trial); err == nil || !strings.Contains(err.Error(), `unknown policy "hpe"; accepted: [ppo ppo-testbed hpa`) {
		t.Errorf("an unknown policy: %v", err)
	}
}

func TestAgainst(t *testing.T) {
	runs := func(v ...float64) (list []episode.Result) {
		for _, x := range v {
			list = append(list, episode.Result{Reward: x})
		}
		return list
	}
	rule := RewardCell{Seeds: 1, Runs: runs(1, 2)}
	learned := RewardCell{Seeds: 2, Runs: runs(2, 2, 1, 4)} // two trainings of two runs
	d, better := learned.Against(rule)
	if d.Value != .75 || better != .75 {
		t.Errorf("difference %v, better in %v; want 0.75 and 0.75", d, better)
	}
	if d, better := learned.Against(learned); d.Value != 0 || better != .5 {
		t.Errorf("against itself: %v, %v", d, better)
	}
}

// How long a knob was on its way, as the ends of steps show it.
func TestWaits(t *testing.T) {
	space, err := mesh.NewSpace(mesh.New(1, 1), mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 5})
	if err != nil {
		t.Fatal(err)
	}
	w := waits{space: space}
	for n, s := range [][2]float64{{1, 1}, {3, 1}, {3, 1}, {3, 3}, {4, 3}, {2, 2}, {3, 3}} {
		w.step(control.Step{Asked: mesh.Action{s[0]}, Next: mesh.State{InForce: mesh.Action{s[1]}, Time: 5 * float64(n+1)}})
	}
	if !slices.Equal(w.waited, []float64{15}) {
		t.Errorf("waited %v, want 15 s once", w.waited)
	}
}
