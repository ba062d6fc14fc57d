//go:build unix

package study_test

import (
	"context"
	"flag"
	"math"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/rollout"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

var longChanges = flag.Bool("changes", false, "measure rollout's decisions on route-and-scale")

func changed(t testing.TB, name string, short float64) *study.Changed {
	t.Helper()
	s, err := scenario.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if short < 1 {
		s.Collect.Steps = 2500
	}
	c, err := study.NewChanged(context.Background(), study.Config{Settings: []study.Setting{study.Best(s).Short(short)}}, s)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A short trial through one change: each adaptation is there, rollout is paid more
// than no adaptation, and runs say what happened.
func TestChangeTrial(t *testing.T) {
	if testing.Short() {
		t.Skip("learns a model and a policy")
	}
	c := changed(t, "two-pools", .05)
	trial := study.ChangeTrial{Runs: 2, Steps: 120, Changes: []string{"lost:node=far,at=40"}, File: t.TempDir() + "/runs.jsonl",
		Adaptations: []study.Adaptation{study.NoAdaptation, study.OracleAdaptation, study.RolloutAdaptation},
		Start: func(context.Context) (testbed.Changeable, error) {
			return virtual.New(virtual.Config{Scenario: c.Scenario})
		}}
	runs, err := c.Trial(context.Background(), trial)
	if err != nil {
		t.Fatal(err)
	}
	cells := study.ChangeCells(runs, study.Adaptations())
	if len(runs) != 6 || len(cells) != 3 {
		t.Fatalf("%d runs, %d cells", len(runs), len(cells))
	}
	none, oracle, roll := cells[0], cells[1], cells[2]
	if !(roll.After.Value > none.After.Value+.05 && oracle.Lost.Value == 0 && roll.Lost.Value <= none.Lost.Value) {
		t.Errorf("paid %v without adaptation, %v by rollout, %v by the oracle", none.After, roll.After, oracle.After)
	}
	for _, r := range runs {
		if r.Begins != 40 || len(r.Reward) != 120 || r.Adaptation == study.RolloutAdaptation && (len(r.Alarms) == 0 || len(r.Why) == 0) {
			t.Errorf("%s: begins at %d, %d rewards, alarms %v, %v", r.Adaptation, r.Begins, len(r.Reward), r.Alarms, r.Why)
		}
	}
	if _, err := study.ChangeLines(runs, 5); err != nil {
		t.Error(err)
	}
	// What is there is not made again.
	trial.Start = func(context.Context) (testbed.Changeable, error) {
		t.Error("a testbed was started")
		return virtual.New(virtual.Config{Scenario: c.Scenario})
	}
	again, err := c.Trial(context.Background(), trial)
	if err != nil || len(again) != 6 || !slices.Equal(again[0].Reward, runs[0].Reward) {
		t.Errorf("again: %d runs (%v)", len(again), err)
	}
}

// One knob after the other tries the sum of the knobs' points, not their product,
// and is within 1 % of all actions together; a decision takes less than 50 ms.
func TestDecisions(t *testing.T) {
	if !*longChanges {
		t.Skip("minutes: run with -changes")
	}
	c := changed(t, "route-and-scale", .1)
	base, err := c.Base()
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Value(c.Model, nil)
	if err != nil {
		t.Fatal(err)
	}
	make := func(joint bool) *rollout.Policy {
		return &rollout.Policy{Rewards: r, Base: base, Also: []policy.Policy{policy.Greedy{Optimum: r}, rollout.Stay{Space: r.Space()}},
			Loads: rollout.Trend{Ranges: c.Scenario.Loads}, Gamma: c.Scenario.Gamma(), Horizon: 12, Joint: joint, Sweeps: 2}
	}
	turns, together := make(false), make(true)
	bed, err := virtual.New(virtual.Config{Scenario: c.Scenario})
	if err != nil {
		t.Fatal(err)
	}
	env, err := control.NewEnv(bed, c.Pattern(), c.Objective, control.Config{Past: 6, Seconds: c.Scenario.Timing.Seconds()})
	if err != nil {
		t.Fatal(err)
	}
	s, err := env.Reset(context.Background(), 5)
	if err != nil {
		t.Fatal(err)
	}
	turns.Reset(5)
	together.Reset(5)
	var seconds, worked []float64
	sum, all, tried, triedAll, n := 0.0, 0.0, 0, 0, 0
	for step := range 300 {
		begin, before := time.Now(), processor()
		a, err := turns.Act(s)
		if err != nil {
			t.Fatal(err)
		}
		seconds, worked = append(seconds, time.Since(begin).Seconds()), append(worked, processor()-before)
		if step%60 == 7 {
			mine := a.Clone()
			if _, err := together.Act(s); err != nil {
				t.Fatal(err)
			}
			a = mine
			sum, all = sum+turns.Worth, all+together.Worth
			tried, triedAll, n = tried+turns.Evaluated, triedAll+together.Evaluated, n+1
		}
		x, err := env.Step(context.Background(), a)
		if err != nil {
			t.Fatal(err)
		}
		s = x.Next
	}
	slices.Sort(seconds)
	slices.Sort(worked)
	t.Logf("processor time of a decision: median %.1f ms, 99th percentile %.1f ms", 1e3*worked[len(worked)/2], 1e3*worked[len(worked)*99/100])
	t.Logf("%d decisions: median %.1f ms, 99th percentile %.1f ms; %.1f actions tried, together %.1f of %d; worth %.4f, together %.4f: %.2f %% less",
		len(seconds), 1e3*seconds[len(seconds)/2], 1e3*seconds[len(seconds)*99/100], float64(tried)/float64(n), float64(triedAll)/float64(n), r.Space().Len(), sum/float64(n), all/float64(n), 100*(all-sum)/math.Abs(all))
	points := 3
	for _, k := range r.Space().Choices() {
		points += k
	}
	if tried > 2*n*points || sum < all-.01*math.Abs(all) {
		t.Errorf("one after the other: %d actions in %d decisions, worth %v of %v", tried, n, sum, all)
	}
}

// processor is the processor time of this process so far, s.
func processor() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

// BenchmarkDecision is one decision of rollout on route-and-scale.
func BenchmarkDecision(b *testing.B) {
	c := changed(b, "route-and-scale", .05)
	base, err := c.Base()
	if err != nil {
		b.Fatal(err)
	}
	r, err := c.Value(c.Model, nil)
	if err != nil {
		b.Fatal(err)
	}
	p := &rollout.Policy{Rewards: r, Base: base, Also: []policy.Policy{policy.Greedy{Optimum: r}, rollout.Stay{Space: r.Space()}},
		Loads: rollout.Trend{Ranges: c.Scenario.Loads}, Gamma: c.Scenario.Gamma(), Horizon: 12, Sweeps: 2}
	p.Reset(1)
	s := mesh.State{Load: c.Scenario.Loads.Mid(), Delay: []float64{math.NaN(), math.NaN()}, InForce: r.Space().Action(nil, r.Space().Nearest(r.Space().Default()))}
	for range 6 {
		s.Past = append(s.Past, s.Load)
	}
	for k := 0; b.Loop(); k++ {
		s.Load = c.Pattern().At(nil, 3, k)
		if _, err := p.Act(s); err != nil {
			b.Fatal(err)
		}
	}
}
