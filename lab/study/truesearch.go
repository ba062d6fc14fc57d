package study

import (
	"context"
	"fmt"
	"math"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// TrueShare is what a policy truly gets on the virtual testbed, which no model
// errs about: the mean over some loads of its expected reward over that of the
// best action known there, with the interval over training seeds.
type TrueShare struct {
	Scenario  string     `json:"scenario"`
	Objective string     `json:"objective"`
	Policy    string     `json:"policy"`
	Setting   string     `json:"setting,omitempty"`
	Loads     int        `json:"loads"`
	Seeds     int        `json:"seeds"`
	Share     float64    `json:"share"`
	CI        [2]float64 `json:"ci"`
	Exact     bool       `json:"exact"` // the best action is that of all, not the best found
}

// TrueConfig is how closely SearchTruth looks.
type TrueConfig struct {
	Loads  int    // that are drawn from the whole range, not seen in training; default 8
	Steps  int    // by which an action of the search is valued; default 60
	Score  int    // by which the chosen actions are scored, on other requests; default 400
	Trials int    // actions that the search values at a load; default 250
	Seed   uint64 // of the loads and requests
}

func (c TrueConfig) defaults() TrueConfig {
	for _, v := range []struct {
		at *int
		to int
	}{{&c.Loads, 8}, {&c.Steps, 60}, {&c.Score, 400}, {&c.Trials, 250}} {
		if *v.at == 0 {
			*v.at = v.to
		}
	}
	return c
}

// trueContestant is a policy that SearchTruth values.
type trueContestant struct {
	name, setting string
	policy        policy.Policy
}

// searchTruth values policies on the virtual testbed at loads that were not seen
// in training, beside the best action that a search finds there: it starts from
// what every policy and the model's optimum choose, and moves knob after knob.
// The best is chosen on some requests and scored, like the policies, on others.
func searchTruth(ctx context.Context, cfg TrueConfig, sc scenario.Scenario, loads []mesh.Load, o objective.Objective, list []trueContestant, workers int) (shares [][]float64, err error) {
	space, err := sc.Space()
	if err != nil {
		return nil, err
	}
	// What policies choose is asked for in turn: they are for one goroutine.
	actions := make([][]mesh.Action, len(loads))
	for l, load := range loads {
		s := mesh.State{Load: load, Delay: make([]float64, space.Mesh().M())}
		for i := range s.Delay {
			s.Delay[i] = math.NaN()
		}
		for _, c := range list {
			if policy.SeesDelays(c.policy) {
				return nil, fmt.Errorf("study: policy %s looks at response times, which are missing here", c.name)
			}
			a, err := c.policy.Act(s)
			if err != nil {
				return nil, err
			}
			actions[l] = append(actions[l], a.Clone())
		}
	}
	shares = make([][]float64, len(list))
	for k := range shares {
		shares[k] = make([]float64, len(loads))
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for l := range loads {
		g.Go(func() error {
			bed, err := virtual.New(virtual.Config{Scenario: sc})
			if err != nil {
				return err
			}
			defer bed.Close()
			w := &trueWalk{ctx: ctx, cfg: cfg, bed: bed, space: space, load: loads[l], known: map[string]float64{}}
			if w.evaluator, err = o.Bind(space); err != nil {
				return err
			}
			best, err := w.search(actions[l])
			if err != nil {
				return err
			}
			top, err := w.score(best)
			if err != nil {
				return err
			}
			scores := make([]float64, len(list))
			for k, a := range actions[l] {
				if scores[k], err = w.score(a); err != nil {
					return err
				}
				top = max(top, scores[k])
			}
			for k, v := range scores {
				shares[k][l] = v / top
			}
			return nil
		})
	}
	return shares, g.Wait()
}

// trueWalk is the search at one load.
type trueWalk struct {
	ctx       context.Context
	cfg       TrueConfig
	bed       *virtual.Testbed
	space     *mesh.Space
	load      mesh.Load
	evaluator *objective.Evaluator
	known     map[string]float64
	trials    int
}

// value is the expected reward of an action on the search's requests.
func (w *trueWalk) value(a mesh.Action) (float64, error) {
	key := w.space.Format(a)
	if v, ok := w.known[key]; ok {
		return v, nil
	}
	w.trials++
	v, err := w.mean(a, w.cfg.Steps, searchSeed)
	w.known[key] = v
	return v, err
}

// score is that on other requests.
func (w *trueWalk) score(a mesh.Action) (float64, error) { return w.mean(a, w.cfg.Score, scoreSeed) }

const searchSeed = 100

func (w *trueWalk) mean(a mesh.Action, steps int, seed uint64) (float64, error) {
	sum := 0.0
	err := w.bed.Replicate(w.ctx, w.load, a, steps, w.cfg.Seed+seed, func(x mesh.Measurement) {
		sum += w.evaluator.Reward(objective.Steady(w.bed.Space(), w.load, a, x)) / float64(steps)
	})
	return sum, err
}

// search returns the best action that it finds from the given starts.
func (w *trueWalk) search(starts []mesh.Action) (mesh.Action, error) {
	var best []int
	top := math.Inf(-1)
	for _, a := range starts {
		choice, ok := w.space.ChoiceOf(nil, a)
		if !ok {
			continue
		}
		v, err := w.value(a)
		if err != nil {
			return nil, err
		}
		if v > top {
			top, best = v, choice
		}
	}
	// Knob after knob, the points in the order of their distance.
	allowed := w.space.AllowedIn(mesh.State{})
	for again := true; again && w.trials < w.cfg.Trials; {
		again = false
		for h, n := range w.space.Choices() {
			at := best[h]
			order := make([]int, 0, n)
			for u := range n {
				if u != at {
					order = append(order, u)
				}
			}
			knob := &w.space.Knobs()[h]
			slices.SortStableFunc(order, func(a, b int) int {
				x, y := mesh.Distance(knob.Points[a], knob.Points[at]), mesh.Distance(knob.Points[b], knob.Points[at])
				switch {
				case x < y:
					return -1
				case x > y:
					return 1
				}
				return 0
			})
			for _, u := range order[:min(len(order), 12)] {
				if w.trials >= w.cfg.Trials {
					break
				}
				for _, choice := range allowed.Moves(best, h, u) {
					v, err := w.value(w.space.Action(nil, choice))
					if err != nil {
						return nil, err
					}
					if v > top {
						top, best, again = v, choice, true
					}
				}
			}
		}
	}
	return w.space.Action(nil, best), nil
}

// True values the policies of a source on the virtual testbed, and keeps what it
// finds.
func (r *Result) True(ctx context.Context, s Source, cfg TrueConfig) error {
	cfg = cfg.defaults()
	f := s.fitted(ctx, r.Config)
	unseen := unseenLoads(s.Scenario, cfg)
	for k, o := range r.Config.Objectives {
		r.Config.Progress("true rewards on the virtual testbed", k, len(r.Config.Objectives))
		shares, err := Do(r.Config.Cache, "true", append(r.key(s, o), cfg), func() ([]TrueShare, error) {
			return r.trueShares(ctx, f, cfg, unseen, o)
		})
		if err != nil {
			return fmt.Errorf("true rewards of %s: %w", o.Name, err)
		}
		r.Truths = append(r.Truths, shares...)
	}
	return nil
}

func (r *Result) trueShares(ctx context.Context, f *fitted, cfg TrueConfig, loads []mesh.Load, o objective.Objective) ([]TrueShare, error) {
	greedy, err := f.Greedy(ctx, r.Config.Seed)
	if err != nil {
		return nil, err
	}
	rw, baselines, err := f.baselines(o, greedy)
	if err != nil {
		return nil, err
	}
	list := []trueContestant{{"optimum of the model", "", policy.Greedy{Optimum: rw}}}
	for _, b := range baselines {
		list = append(list, trueContestant{b.Name(), "", b.fresh()})
	}
	for _, t := range r.Trainings {
		if t.Source != f.Name || t.Objective != o.Name {
			continue
		}
		p, err := t.Trained.Policy(rw.Space())
		if err != nil {
			return nil, err
		}
		list = append(list, trueContestant{p.Name(), t.Setting, p})
	}
	shares, err := searchTruth(ctx, cfg, f.Scenario, loads, o, list, r.Config.Workers)
	if err != nil {
		return nil, err
	}
	var out []TrueShare
	var values [][]float64
	for k, c := range list {
		mean := 0.0
		for _, v := range shares[k] {
			mean += v / float64(len(loads))
		}
		at := slices.IndexFunc(out, func(x TrueShare) bool { return x.Policy == c.name && x.Setting == c.setting })
		if at < 0 {
			at = len(out)
			out = append(out, TrueShare{Scenario: f.Scenario.Name, Objective: o.Name, Policy: c.name, Setting: c.setting, Loads: len(loads)})
			values = append(values, nil)
		}
		values[at] = append(values[at], mean)
	}
	for k := range out {
		i := anr.Median(values[k])
		out[k].Seeds, out[k].Share, out[k].CI = len(values[k]), i.Value, [2]float64{i.Lo, i.Hi}
	}
	return out, nil
}

// unseenLoads are drawn from the whole range with a seed of their own.
func unseenLoads(s scenario.Scenario, cfg TrueConfig) []mesh.Load {
	var out []mesh.Load
	for t := range cfg.Loads {
		out = append(out, load.Uniform{Ranges: s.Loads}.At(nil, 0x74727565+cfg.Seed, t))
	}
	return out
}

// TrueTable lists what True found.
func (r *Result) TrueTable(s Source) (figure.Table, error) {
	t := figure.Table{Header: []string{"objective", "policy", "share of the best true reward", "best", "loads", "seeds"}}
	for _, x := range r.Truths {
		name, best := x.Policy, "best found"
		if x.Setting != "" {
			name += ", " + x.Setting + " setting"
		}
		if x.Exact {
			best = "optimum"
		}
		t.Rows = append(t.Rows, []string{x.Objective, name, anr.Interval{Value: x.Share, Lo: x.CI[0], Hi: x.CI[1]}.String(), best, fmt.Sprint(x.Loads), fmt.Sprint(x.Seeds)})
	}
	if len(t.Rows) == 0 {
		return t, ErrNoData
	}
	return t, nil
}
