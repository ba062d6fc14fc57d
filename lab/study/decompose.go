package study

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/stat"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/internal/median"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// DecompositionConfig is what Decompose measures, and how closely.
type DecompositionConfig struct {
	Rows   int    // of the trace that is learned from; default those of the project's own, 6,000
	Seed   uint64 // of the trace; default 1
	Period int    // of the sinusoidal load, steps, each a load at which the truth is found; default 50
	Steps  int    // of a run on the testbed; default 150
	Runs   int    // of each policy on the testbed; default 40
	Truth  TruthConfig
}

func (c DecompositionConfig) defaults() DecompositionConfig {
	c.Rows = cmp.Or(c.Rows, 6000)
	c.Seed = cmp.Or(c.Seed, 1)
	c.Period = cmp.Or(c.Period, 50)
	c.Steps = cmp.Or(c.Steps, 150)
	c.Runs = cmp.Or(c.Runs, 40)
	return c
}

// Share is what is left of the true optimum at each step from it to a policy
// on a testbed, under one objective and load: means over loads of expected
// reward over the best one. Slices are by training seed.
type Share struct {
	Way, Objective, Load string
	// Simulated is the ANR that the policies have in the simulator.
	Simulated []float64
	// Promised is the reward of the model's optimum as the model foresees it:
	// above Greedy by what its optimum owes to its errors.
	Promised float64
	// Greedy takes the action that the model says is best.
	Greedy float64
	// Seen are policies trained at these very loads, Policies those trained as
	// the setting has it; the same under random load.
	Seen, Policies []float64
	// Long is the mean over all runs of Policies on the testbed, where a step
	// begins with the queues of the one before.
	Long []float64
	// Runs are the ANR of single runs, all training seeds.
	Runs []float64
	// Constant is the best action for all loads by the model, Random the mean
	// over all actions, OptimumLong what the true optimum has on the testbed.
	Constant, Random, OptimumLong float64
}

// way is a system model with a setting of training that goes with it.
type way struct {
	name    string
	source  Source
	setting Setting
}

// Decompose finds where the loss of a learned policy comes from, on the virtual
// testbed, whose true optimum can be computed: a trace is collected there as
// the project's own was, models are learned from it, and policies in them, by
// setting paper with the paper's model and by setting best with the project's. Their actions are then valued by the truth.
func (r *Result) Decompose(ctx context.Context) ([]Share, error) {
	cfg := r.Config.Truth.defaults()
	sc := r.Config.Scenario()
	source, err := Virtual(ctx, sc, cfg.Rows, cfg.Seed)
	if err != nil {
		return nil, err
	}
	paper, err := r.Config.setting(PaperSetting)
	if err != nil {
		return nil, err
	}
	best, err := r.Config.setting(BestSetting)
	if err != nil {
		return nil, err
	}
	ways := []way{
		{"the paper's model, setting " + paper.Name, source.Paper(), paper},
		{"own model, setting " + best.Name, source, best},
	}
	var out []Share
	for _, e := range TrialPatterns(sc, cfg.Period) {
		truth, err := Do(r.Config.Cache, "truth", append(r.objectiveKeys(), cfg.Truth, sc.Hash(), e.Loads), func() (*Truth, error) {
			return FindTruth(ctx, cfg.Truth, sc, e.Loads, r.Config.Objectives, func(done, total int) {
				r.Config.Progress("finding the true optimum under "+e.Pattern.Name()+" load", done, total)
			})
		})
		if err != nil {
			return nil, err
		}
		for _, w := range ways {
			shares, err := Do(r.Config.Cache, "decompose", append(append(append(w.source.key(), cfg, pattern(e.Pattern), r.Config.Seeds, r.Config.Seed), w.setting.key()...), r.objectiveKeys()...), func() ([]Share, error) {
				return r.decompose(ctx, cfg, w, e, truth)
			})
			if err != nil {
				return nil, fmt.Errorf("%s, %s load: %w", w.name, e.Pattern.Name(), err)
			}
			out = append(out, shares...)
		}
	}
	return out, nil
}

// decompose values what one way gives under one load.
func (r *Result) decompose(ctx context.Context, cfg DecompositionConfig, w way, e Evaluated, truth *Truth) ([]Share, error) {
	f := w.source.fitted(ctx, r.Config)
	m, err := f.model()
	if err != nil {
		return nil, err
	}
	space := m.Space()
	settings := []Setting{w.setting}
	if !slices.EqualFunc(e.Loads, w.source.Scenario.Loads.Grid(maxGrid), slices.Equal) { // not the loads that policies are kept by
		seen := w.setting
		seen.Name += ", trained on " + e.Pattern.Name()
		seen.Load, seen.Score = e.Pattern, truth.Loads
		settings = append(settings, seen)
	}
	trained, err := r.train(ctx, f, settings)
	if err != nil {
		return nil, err
	}
	var out []Share
	for _, o := range r.Config.Objectives {
		rewards, err := f.rewards[o.Name]()
		if err != nil {
			return nil, err
		}
		s := Share{Way: w.name, Objective: o.Name, Load: e.Pattern.Name()}
		constant, err := policy.BestConstant(rewards, w.source.Scenario.Loads.Grid(maxGrid))
		if err != nil {
			return nil, err
		}
		policies := []policy.Policy{policy.Greedy{Optimum: rewards}, constant}
		for _, set := range settings {
			for _, t := range trained {
				if t.Objective != o.Name || t.Setting != set.Name {
					continue
				}
				p, err := t.Trained.Policy(space)
				if err != nil {
					return nil, err
				}
				policies = append(policies, p)
			}
		}
		scores, err := truth.Scores(ctx, space, o, policies)
		if err != nil {
			return nil, err
		}
		n := r.Config.Seeds
		s.Greedy, s.Constant, s.Policies, s.Seen = scores[0], scores[1], scores[2:2+n], scores[len(scores)-n:]
		at := slices.Index(truth.Objectives, o.Name)
		best, err := Optima(rewards, truth.Loads)
		if err != nil {
			return nil, err
		}
		for l := range truth.Loads {
			s.Promised += best[l] / truth.Optimum[at][l] / float64(len(best))
			s.Random += truth.Random[at][l] / truth.Optimum[at][l] / float64(len(best))
		}
		r.Config.Progress("on the virtual testbed, "+o.Name+", "+e.Pattern.Name()+" load", 0, 1)
		runs := make([][]float64, n+1)
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(r.Config.Workers)
		for k, p := range append(slices.Clone(policies[2:2+n]), truth.Policy(space, o.Name)) {
			if k < n {
				score, _, err := policy.Score(rewards, p, truth.Loads)
				if err != nil {
					return nil, err
				}
				s.Simulated = append(s.Simulated, score)
			}
			g.Go(func() (err error) {
				runs[k], err = truth.runs(ctx, cfg, e.Pattern, p, rewards)
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		for _, one := range runs[:n] {
			s.Long = append(s.Long, stat.Mean(one, nil))
			s.Runs = append(s.Runs, one...)
		}
		s.OptimumLong = stat.Mean(runs[n], nil)
		out = append(out, s)
	}
	return out, nil
}

// runs evaluates a policy on the virtual testbed, from as many seeds, and
// returns the ANR of each run by the true optimum.
func (t *Truth) runs(ctx context.Context, cfg DecompositionConfig, offered load.Pattern, p policy.Policy, rewards *optimum.Rewards) ([]float64, error) {
	bed, err := virtual.New(virtual.Config{Scenario: t.Scenario})
	if err != nil {
		return nil, err
	}
	defer bed.Close()
	o := rewards.Objective()
	env, err := control.NewEnv(bed, offered, o, control.Config{Space: rewards.Space()})
	if err != nil {
		return nil, err
	}
	at := slices.Index(t.Objectives, o.Name)
	var out []float64
	for seed := range cfg.Runs {
		run, err := anr.Evaluate(ctx, env, p, rewards, anr.Config{Steps: cfg.Steps, Seed: uint64(seed)})
		if err != nil {
			return nil, err
		}
		for k := range run.Steps {
			s := &run.Steps[k]
			l := t.index(s.Load)
			if l < 0 {
				return nil, fmt.Errorf("study: the truth is not known at load %v", s.Load)
			}
			s.Optimal = t.Optimum[at][l]
		}
		out = append(out, run.ANR())
	}
	return out, nil
}

// Losses name what takes a policy away from the true optimum, in the order of
// levels: the model's errors, what training leaves to greedy on the model where
// it saw the loads, and where it did not, and the queues that a step finds.
var Losses = []string{"model", "policy", "unseen loads", "queues"}

// levels are what is left of the true optimum after each of Losses: medians over
// training seeds.
func (s Share) levels() []float64 {
	return []float64{s.Greedy, median.Of(s.Seen), median.Of(s.Policies), median.Of(s.Long)}
}

// DecompositionTable lists shares of the true optimum.
func DecompositionTable(shares []Share) figure.Table {
	t := figure.Table{Header: []string{"objective", "load", "learned by", "ANR in the simulator", "optimum as the model foresees it",
		"greedy on the model", "policy, loads seen", "policy", "policy on the testbed", "runs of the testbed, 95 %",
		"true optimum on the testbed", "best constant by the model", "random"}}
	three := func(v float64) string { return figure.Number(v, 3) }
	for _, s := range shares {
		lo, hi := s.spread()
		t.Rows = append(t.Rows, []string{s.Objective, s.Load, s.Way, extremes(s.Simulated), three(s.Promised), three(s.Greedy), extremes(s.Seen), extremes(s.Policies),
			extremes(s.Long), fmt.Sprintf("%.3f to %.3f", lo, hi), three(s.OptimumLong), three(s.Constant), three(s.Random)})
	}
	return t
}

// spread is the interval that 95 % of single runs lie in.
func (s Share) spread() (lo, hi float64) {
	v := slices.Sorted(slices.Values(s.Runs))
	return stat.Quantile(.025, stat.Empirical, v, nil), stat.Quantile(.975, stat.Empirical, v, nil)
}

// DecompositionFigure draws shares as waterfalls, a panel for each load and
// objective.
func DecompositionFigure(shares []Share) (figure.Figure, error) {
	var panels []figure.WaterfallPanel
	for _, s := range shares {
		title := s.Objective + ", " + s.Load + " load"
		k := slices.IndexFunc(panels, func(p figure.WaterfallPanel) bool { return p.Title == title })
		if k < 0 {
			k = len(panels)
			panels = append(panels, figure.WaterfallPanel{Title: title})
		}
		f := figure.Fall{Name: s.Way, Levels: s.levels()}
		f.Lo, f.Hi = s.spread()
		panels[k].Falls = append(panels[k].Falls, f)
	}
	return figure.Waterfalls(figure.Axes{X: "testbed", Y: "share of the true optimum"}, []string{"model", "policy", "unseen\nloads", "queues"}, min(3, len(panels)), panels...)
}
