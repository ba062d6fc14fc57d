package study

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
)

func init() {
	RegisterDrawing(Drawing{Name: "foresight", Title: "where foresight pays: setting best, one option otherwise at a time", Long: true, For: slow, Make: func(ctx context.Context, r *Result, s Source) (Output, error) {
		list, err := r.Foresight(ctx, s)
		if err != nil {
			return Output{}, err
		}
		t, f, err := foresightOutput(list)
		return Output{&f, &t}, err
	}})
}

// ForesightVariant is a scenario and a setting that differ from the best ones in one
// option, and what is paid there: means over all loads.
type ForesightVariant struct {
	Name                    string
	Learned, Greedy, Oracle anr.Interval // Oracle is NaN where it cannot be computed
}

// foresightVariants change one option of a scenario or of a setting.
var foresightVariants = []struct {
	name     string
	scenario func(*scenario.Scenario)
	setting  func(*learner.PPO)
}{
	{"best", nil, nil},
	{"gamma 0", nil, func(l *learner.PPO) { l.Config.Gamma = 0 }},
	{"no loads of before", nil, func(l *learner.PPO) { l.Observation.Past = 0 }},
	{"not what is under way", nil, func(l *learner.PPO) { l.Observation.InForce = false }},
	{"independent draws", nil, func(l *learner.PPO) { l.Hold = 1 }},
	{"by increments", func(s *scenario.Scenario) { eachReplicas(s, func(k *mesh.Knob) { k.Step = 1 }) }, nil},
	{"start-up 0 s", func(s *scenario.Scenario) { eachReplicas(s, func(k *mesh.Knob) { k.Up, k.Step = -1, anyStep }) }, nil},
	{"start-up 60 s", func(s *scenario.Scenario) { eachReplicas(s, func(k *mesh.Knob) { k.Up = 60 }) }, nil},
}

// anyStep lets a knob move to any point at once and still be one of time.
const anyStep = 1000

// eachReplicas changes the knobs that set replicas, of a copy.
func eachReplicas(s *scenario.Scenario, change func(*mesh.Knob)) {
	knobs := append([]mesh.Knob(nil), s.Knobs...)
	for k := range knobs {
		if knobs[k].Kind == mesh.Replicas {
			change(&knobs[k])
		}
	}
	s.Knobs = knobs
}

// Foresight trains and evaluates every variant.
func (r *Result) Foresight(ctx context.Context, s Source) ([]ForesightVariant, error) {
	var list []ForesightVariant
	for n, v := range foresightVariants {
		r.Config.Progress("foresight: "+v.name, n, len(foresightVariants))
		set := r.Config.Settings[0]
		sc := s.Scenario
		if v.scenario != nil {
			v.scenario(&sc)
		}
		l, ok := set.Learner.(learner.PPO)
		if !ok {
			return nil, ErrNoData
		}
		if v.scenario != nil {
			l = Foresighted(sc).Learner.(learner.PPO)
		}
		if v.setting != nil {
			v.setting(&l)
		}
		set.Learner = l
		key := append(append(s.key(), sc.Hash(), v.name, r.Config.Seed, objectiveKey(r.Config.Objectives[0])), set.key()...)
		one, err := Do(r.Config.Cache, "foresight", key, func() (ForesightVariant, error) { return r.variant(ctx, s, sc, set) })
		if err != nil {
			return nil, fmt.Errorf("study: foresight, %s: %w", v.name, err)
		}
		one.Name = v.name
		list = append(list, one)
	}
	return list, nil
}

// variant trains on all loads of a scenario, and evaluates the learned policy
// beside greedy and the oracle.
func (r *Result) variant(ctx context.Context, s Source, sc scenario.Scenario, set Setting) (ForesightVariant, error) {
	var v ForesightVariant
	if sc.Hash() != s.Scenario.Hash() {
		var err error
		if s, err = Virtual(ctx, sc, sc.Defaults().Collect.Steps, 1); err != nil {
			return v, err
		}
	}
	f := s.fitted(ctx, r.Config)
	x, err := newScaler(r.Config, f, r.Config.Objectives[0], set)
	if err != nil {
		return v, err
	}
	all := loadSet{allLoads, x.patterns, fewSeeds}
	set.Load = all.one()
	makers := map[string][]maker{"greedy": {func(load.Pattern) (policy.Policy, error) { return policy.Greedy{Optimum: x.rewards}, nil }}}
	if d, err := optimum.NewDynamics(x.rewards); err == nil {
		makers["oracle"] = []maker{func(p load.Pattern) (policy.Policy, error) {
			return &optimum.Oracle{Dynamics: d, Pattern: p, Steps: x.steps}, nil
		}}
	}
	learned := make([]maker, fewSeeds)
	err = r.Config.parallel(ctx, "training a variant", fewSeeds, func(ctx context.Context, k int) error {
		t, err := f.train(ctx, r.Config, x.objective, set, r.Config.Seed+uint64(k), nil)
		learned[k] = func(load.Pattern) (policy.Policy, error) { return t.Policy(x.rewards.Space()) }
		return err
	})
	if err != nil {
		return v, err
	}
	makers["learned"] = learned
	for name, list := range makers {
		paid := make([]float64, len(list)*heldOut)
		err := r.Config.parallel(ctx, "evaluating a variant", len(paid), func(ctx context.Context, n int) error {
			for _, p := range x.patterns {
				q, err := list[n/heldOut](p)
				if err != nil {
					return err
				}
				one, err := x.run(ctx, q, p, heldOutSeed+uint64(n%heldOut), x.steps)
				if err != nil {
					return err
				}
				paid[n] += one.Reward / float64(len(x.patterns))
			}
			return nil
		})
		if err != nil {
			return v, err
		}
		switch i := anr.Mean(paid); name {
		case "learned":
			v.Learned = i
		case "greedy":
			v.Greedy = i
		default:
			v.Oracle = i
		}
	}
	if makers["oracle"] == nil {
		v.Oracle = anr.Mean(nil)
	}
	return v, nil
}

func foresightOutput(list []ForesightVariant) (figure.Table, figure.Figure, error) {
	t := figure.Table{Header: []string{"variant", "learned", "greedy", "oracle", "learned - greedy"}}
	var bars []figure.Bar
	for _, v := range list {
		oracle := v.Oracle.String()
		if v.Oracle.Value != v.Oracle.Value {
			oracle = ""
		}
		t.Rows = append(t.Rows, []string{v.Name, v.Learned.String(), v.Greedy.String(), oracle, figure.Number(v.Learned.Value-v.Greedy.Value, 3)})
		for _, x := range []struct {
			name string
			i    anr.Interval
		}{{"learned", v.Learned}, {"greedy", v.Greedy}, {"oracle", v.Oracle}} {
			bars = append(bars, figure.Bar{Group: v.Name, Name: x.name, Value: x.i.Value, Lo: x.i.Lo, Hi: x.i.Hi})
		}
	}
	f, err := figure.Dots(figure.Axes{Y: "mean reward over all loads"}, bars...)
	return t, f, err
}
