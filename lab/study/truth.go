package study

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// TruthConfig is how closely the truth of the virtual testbed is computed.
type TruthConfig struct {
	Screen int // steps of every action at every load; default 32
	Refine int // steps of those that look best; default 2000
	Score  int // steps by which the chosen actions, and policies, are scored; default 2000
	Keep   int // actions of a load and objective that Refine looks at; default 32, of which the best 8 in full
	Seed   uint64
}

func (c TruthConfig) defaults() TruthConfig {
	c.Screen = cmp.Or(c.Screen, 32)
	c.Refine = cmp.Or(c.Refine, 2000)
	c.Score = cmp.Or(c.Score, 2000)
	c.Keep = cmp.Or(c.Keep, 32)
	return c
}

// Truth is what actions are worth on the virtual testbed at some loads: the
// expected reward of a step of steady control, by simulation, where no model
// errs. The optimum is found by a tournament: all actions are tried for a few
// steps, the best of them for more, on other requests. Rewards are then
// estimated on requests that had no part in the choice, so that the optimum is
// not the higher for having been chosen.
type Truth struct {
	Loads      []mesh.Load
	Objectives []string
	// Best[o][l] is the number of the best action of objective o at load l.
	Best [][]int
	// Optimum[o][l] is its expected reward.
	Optimum [][]float64
	// Random[o][l] is the mean of the expected rewards of all actions.
	Random [][]float64

	Config   TruthConfig
	Scenario scenario.Scenario
}

// maxTruth is the number of actions up to which all are tried.
const maxTruth = 1 << 14

// seeds of the requests on which each part of the tournament is decided.
const (
	screenSeed = iota + 1
	refineSeed
	finalSeed
	scoreSeed
)

// FindTruth computes the truth of objectives at the given loads, by all actions
// of the scenario. progress, which may be nil, is told of every load.
func FindTruth(ctx context.Context, cfg TruthConfig, sc scenario.Scenario, loads []mesh.Load, objectives []objective.Objective, progress func(done, total int)) (*Truth, error) {
	cfg = cfg.defaults()
	space, err := sc.Space()
	if err != nil {
		return nil, err
	}
	if space.Len() > maxTruth {
		return nil, fmt.Errorf("study: the true optimum among %s actions takes too long; accepted: at most %d; SearchTruth looks near what is good", space.Size(), maxTruth)
	}
	t := &Truth{Loads: loads, Config: cfg, Scenario: sc}
	all := space.Numbers()
	for _, o := range objectives {
		t.Objectives = append(t.Objectives, o.Name)
	}
	t.Best, t.Optimum, t.Random = make([][]int, len(objectives)), make([][]float64, len(objectives)), make([][]float64, len(objectives))
	for l, load := range loads {
		if progress != nil {
			progress(l, len(loads))
		}
		tried := all
		var rewards [][]float64
		var err error
		for _, round := range []struct{ steps, seed, keep int }{
			{cfg.Screen, screenSeed, cfg.Keep},
			{max(cfg.Refine/8, cfg.Screen), refineSeed, (cfg.Keep + 3) / 4},
			{cfg.Refine, finalSeed, 1},
		} {
			if rewards, err = t.rewards(ctx, round.steps, round.seed, space, load, tried, objectives); err != nil {
				return nil, err
			}
			if round.seed == screenSeed {
				for o := range objectives {
					sum := 0.0
					for _, r := range rewards[o] {
						sum += r
					}
					t.Random[o] = append(t.Random[o], sum/float64(len(tried)))
				}
			}
			if round.seed == finalSeed {
				for o := range objectives {
					t.Best[o] = append(t.Best[o], tried[top(rewards[o], 1)[0]])
				}
				continue
			}
			var kept []int
			for o := range objectives {
				for _, k := range top(rewards[o], round.keep) {
					kept = append(kept, tried[k])
				}
			}
			slices.Sort(kept)
			tried = slices.Compact(kept)
		}
		chosen := make([]int, len(objectives))
		for o := range objectives {
			chosen[o] = t.Best[o][l]
		}
		if rewards, err = t.rewards(ctx, cfg.Score, scoreSeed, space, load, chosen, objectives); err != nil {
			return nil, err
		}
		for o := range objectives {
			t.Optimum[o] = append(t.Optimum[o], rewards[o][o])
		}
	}
	return t, nil
}

// top are the indices of the n highest values, highest first.
func top(v []float64, n int) []int {
	order := make([]int, len(v))
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(v[b], v[a]) })
	return order[:min(n, len(order))]
}

// rewards are expected rewards of actions, by number, at one load:
// objectives x actions. Requests are the same for all actions.
func (t *Truth) rewards(ctx context.Context, steps, seed int, space *mesh.Space, load mesh.Load, actions []int, objectives []objective.Objective) ([][]float64, error) {
	var list []mesh.Action
	for _, k := range actions {
		list = append(list, space.At(k).Clone())
	}
	got, err := virtual.Rewards(ctx, virtual.TruthConfig{Virtual: virtual.Config{Scenario: t.Scenario}, Steps: steps, Seed: t.Config.Seed + uint64(seed)}, []mesh.Load{load}, list, objectives)
	if err != nil {
		return nil, fmt.Errorf("study: truth at load %v: %w", load, err)
	}
	var out [][]float64
	for o := range objectives {
		out = append(out, got[o][0])
	}
	return out, nil
}

// Scores are the shares of the true optimum that policies get under objective o:
// for each policy the mean over loads of the expected reward of its action over
// that of the best one. Both are estimated on the same requests, other ones than
// the best action was chosen by. Policies must not look at delays.
func (t *Truth) Scores(ctx context.Context, space *mesh.Space, o objective.Objective, policies []policy.Policy) ([]float64, error) {
	at := slices.Index(t.Objectives, o.Name)
	if at < 0 {
		return nil, fmt.Errorf("study: the truth is not known for objective %q", o.Name)
	}
	sums := make([]float64, len(policies))
	for l, load := range t.Loads {
		var actions []int
		for _, p := range policies {
			k, err := choice(space, p, load)
			if err != nil {
				return nil, err
			}
			actions = append(actions, k)
		}
		distinct := slices.Clone(actions)
		slices.Sort(distinct)
		distinct = slices.Compact(distinct)
		rewards, err := t.rewards(ctx, t.Config.Score, scoreSeed, space, load, distinct, []objective.Objective{o})
		if err != nil {
			return nil, err
		}
		for p, k := range actions {
			i, _ := slices.BinarySearch(distinct, k)
			sums[p] += rewards[0][i] / t.Optimum[at][l] / float64(len(t.Loads))
		}
	}
	return sums, nil
}

// choice is the number of the action that p takes at a load, response times
// being missing.
func choice(space *mesh.Space, p policy.Policy, load mesh.Load) (int, error) {
	if policy.SeesDelays(p) {
		return 0, fmt.Errorf("study: policy %s looks at response times, which are missing here", p.Name())
	}
	s := mesh.State{Load: load, Delay: make([]float64, space.Mesh().M())}
	for i := range s.Delay {
		s.Delay[i] = mesh.NoDelay().Mean
	}
	a, err := p.Act(s)
	if err != nil {
		return 0, err
	}
	k, ok := space.Index(a)
	if !ok || !space.FitsAt(k) {
		return 0, fmt.Errorf("study: policy %s chose %s, which is not in the action space", p.Name(), space.Format(a))
	}
	return k, nil
}

// Policy takes the truly best action of an objective at each of the truth's
// loads, and knows no other load.
func (t *Truth) Policy(space *mesh.Space, objective string) policy.Policy {
	return trueOptimum{t, space, slices.Index(t.Objectives, objective)}
}

type trueOptimum struct {
	truth *Truth
	space *mesh.Space
	o     int
}

func (trueOptimum) Name() string { return "optimum" }

func (trueOptimum) Reset(uint64) {}

func (p trueOptimum) Act(s mesh.State) (mesh.Action, error) {
	l := p.truth.index(s.Load)
	if l < 0 {
		return mesh.Action{}, fmt.Errorf("study: the truth is not known at load %v", s.Load)
	}
	return p.space.At(p.truth.Best[p.o][l]), nil
}

// index is that of a load in the truth's, -1 if it is none of them.
func (t *Truth) index(load mesh.Load) int {
	return slices.IndexFunc(t.Loads, func(l mesh.Load) bool { return slices.Equal(l, load) })
}
