package study

import (
	"context"
	"fmt"
	"slices"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/internal/median"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
)

// Benchmarked is what a policy scores by the model that it was found on, and by
// one of the other half of the rows: exact ANR under random load, a value for
// each model.
type Benchmarked struct {
	Objective, Policy string
	Own, Other        []float64
}

// Benchmark tells how much an ANR says that is measured on a model of the same
// rows. Over several splits models are fitted to each half of a source's rows;
// on each the optimum and the best constant action are enumerated, and a policy
// is trained. All are scored by both models.
func (r *Result) Benchmark(ctx context.Context, s Source, set Setting) ([]Benchmarked, error) {
	cfg := r.Config
	var out []Benchmarked
	for seed := range cfg.Splits {
		cfg.Progress("benchmark of "+s.Name, seed, cfg.Splits)
		a, b, err := s.LearnHalves(ctx, cfg.Seed+uint64(seed))
		if err != nil {
			return nil, err
		}
		var scored []Benchmarked
		for _, o := range cfg.Objectives {
			one, err := s.benchmark(ctx, a, b, o, set, cfg.Seed+uint64(2*seed))
			if err != nil {
				return nil, err
			}
			scored = append(scored, one...)
		}
		if out == nil {
			out = scored
			continue
		}
		for k, x := range scored {
			out[k].Own, out[k].Other = append(out[k].Own, x.Own...), append(out[k].Other, x.Other...)
		}
	}
	return out, nil
}

// benchmark scores what is found on each of two models by both.
func (s Source) benchmark(ctx context.Context, a, b model.Learned, o objective.Objective, set Setting, seed uint64) ([]Benchmarked, error) {
	var halves []*optimum.Rewards
	for _, m := range []model.Learned{a, b} {
		r, err := s.Rewards(m, o)
		if err != nil {
			return nil, err
		}
		halves = append(halves, r)
	}
	loads := s.Scenario.Loads.Grid(maxGrid)
	var out []Benchmarked
	for h, own := range halves {
		constant, err := policy.BestConstant(own, loads)
		if err != nil {
			return nil, err
		}
		trained, err := Train(ctx, own, s.Scenario, set, seed+uint64(h), nil)
		if err != nil {
			return nil, err
		}
		learned, err := trained.Policy(a.Space())
		if err != nil {
			return nil, err
		}
		for k, p := range []policy.Policy{policy.Greedy{Optimum: own, Label: "optimum, enumerated"}, learned, constant} {
			if h == 0 {
				out = append(out, Benchmarked{Objective: o.Name, Policy: p.Name()})
			}
			mine, _, err := policy.Score(own, p, loads)
			if err != nil {
				return nil, err
			}
			theirs, _, err := policy.Score(halves[1-h], p, loads)
			if err != nil {
				return nil, err
			}
			out[k].Own, out[k].Other = append(out[k].Own, mine), append(out[k].Other, theirs)
		}
		random, err := meanANR(own, loads)
		if err != nil {
			return nil, err
		}
		if h == 0 {
			out = append(out, Benchmarked{Objective: o.Name, Policy: "random"})
		}
		last := &out[len(out)-1]
		last.Own, last.Other = append(last.Own, random), append(last.Other, random)
	}
	return out, nil
}

// meanANR is that of drawing actions at random: the mean over all that are within
// the limits.
func meanANR(r *optimum.Rewards, loads []mesh.Load) (float64, error) {
	sum, within := 0.0, r.Space().Numbers()
	for _, l := range loads {
		t, err := r.Table(l)
		if err != nil {
			return 0, err
		}
		for _, k := range within {
			sum += t.Reward[k] / t.Best / float64(len(within)*len(loads))
		}
	}
	return sum, nil
}

// BenchmarkTable lists what Benchmark finds for setting paper: medians over the models and in brackets the lowest and the highest value.
func (r *Result) BenchmarkTable(ctx context.Context, s Source) (figure.Table, error) {
	t := figure.Table{Header: []string{"trace", "objective", "policy", "ANR by its own model", "ANR by a model of the other half of the rows"}}
	set, err := r.Config.setting(PaperSetting)
	if err != nil {
		return t, err
	}
	key := append(append(append(s.key(), r.Config.Splits, r.Config.Seed), set.key()...), r.objectiveKeys()...)
	found, err := Do(r.Config.Cache, "benchmark", key, func() ([]Benchmarked, error) { return r.Benchmark(ctx, s, set) })
	if err != nil {
		return t, err
	}
	for _, b := range found {
		name := b.Policy
		if name == set.Learner.Name() {
			name += ", setting " + set.Name
		}
		t.Rows = append(t.Rows, []string{s.Name, b.Objective, name, extremes(b.Own), extremes(b.Other)})
	}
	return t, nil
}

// extremes formats the median of v with its lowest and highest value.
func extremes(v []float64) string {
	return fmt.Sprintf("%.3f [%.3f, %.3f]", median.Of(v), slices.Min(v), slices.Max(v))
}
