// Package study runs the paper's loop in the simulator, from a trace to
// figures: fit system models, train a policy for every objective, setting and
// seed in parallel, evaluate them beside the baselines, and keep the results.
// Stages are cached by the hash of what they depend on, so a second run, and a
// notebook that asks for the same, takes what is there.
package study

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/sim"
	"github.com/meshbench/meshbench/lab/trace"
)

// Config holds the settings of a study.
type Config struct {
	// Sources are the traces; the first one is drawn in the figures.
	Sources []Source
	// Objectives default to the paper's three.
	Objectives []objective.Objective
	// Settings default to Paper and Best.
	Settings []Setting
	// Seeds is the number of training seeds. If 0, it will be defaulted to 5.
	Seeds int
	// Splits is the number of splits for the model's scores. If 0, it will be
	// defaulted to 5.
	Splits int
	// Truth is how the loss to the true optimum is measured; see Decompose.
	Truth DecompositionConfig
	// Seed is added to every seed.
	Seed uint64
	// Cache keeps results of stages; nil keeps none.
	Cache *Cache
	// Workers is the number of trainings at a time. If 0, it will be defaulted
	// to the number of usable cores.
	Workers int
	// Progress, if set, is told what is done. Calls do not overlap.
	Progress func(stage string, done, total int)
}

func (c Config) defaults() Config {
	if c.Objectives == nil {
		c.Objectives = objective.Paper()
	}
	if c.Settings == nil {
		c.Settings = []Setting{Paper(), Best()}
	}
	if c.Seeds == 0 {
		c.Seeds = 5
	}
	if c.Splits == 0 {
		c.Splits = 5
	}
	if c.Workers == 0 {
		c.Workers = runtime.GOMAXPROCS(0)
	}
	var mu sync.Mutex
	report := c.Progress
	c.Progress = func(stage string, done, total int) {
		if report != nil {
			mu.Lock()
			defer mu.Unlock()
			report(stage, done, total)
		}
	}
	return c
}

// Cell is what one policy scored under one source, objective and load: one run
// per seed.
type Cell struct {
	Source, Objective, Setting, Policy, Load string
	Environment                              string
	Runs                                     []anr.Run
}

// ANR returns the median over runs with its bootstrap interval.
func (c Cell) ANR() anr.Interval {
	var v []float64
	for _, r := range c.Runs {
		v = append(v, r.ANR())
	}
	return anr.Median(v)
}

// Training is one training's learning curve.
type Training struct {
	Source, Objective, Setting string
	Seed                       uint64
	Trained                    Trained
}

// Timing is the wall-clock time of a stage.
type Timing struct {
	Stage   string  `json:"stage"`
	Seconds float64 `json:"seconds"`
}

// Result is what a study found.
type Result struct {
	Config    Config
	Scores    []Score
	Trainings []Training
	Cells     []Cell
	Times     []Timing
}

// timed runs f and notes its time under stage.
func (r *Result) timed(stage string, f func() error) error {
	begin := time.Now()
	err := f()
	r.Times = append(r.Times, Timing{stage, time.Since(begin).Seconds()})
	return err
}

// New returns a study of which nothing has been run, with defaults filled in:
// enough for the drawings that do not need it (see NeedsRun).
func New(cfg Config) *Result { return &Result{Config: cfg.defaults()} }

// Run runs the study.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	r := New(cfg)
	if len(r.Config.Sources) == 0 {
		return nil, fmt.Errorf("study: no trace to learn from")
	}
	for _, s := range r.Config.Sources {
		if err := r.source(ctx, s); err != nil {
			return nil, fmt.Errorf("study of %s: %w", s.Title, err)
		}
	}
	return r, nil
}

// Learn fits the system model of a source to all rows of its trace.
func (s Source) Learn(ctx context.Context, seed uint64) (*sim.Model, error) {
	return s.learn(ctx, s.Rows(), seed)
}

// LearnHalves fits two models to disjoint halves of the rows. Noise that one
// has learned, the other has not: what is optimal under one is evaluated
// honestly by the other.
func (s Source) LearnHalves(ctx context.Context, seed uint64) (a, b *sim.Model, err error) {
	first, second := s.Rows().Split(trace.Split{Train: .5, Seed: seed})
	if a, err = s.learn(ctx, first, seed); err != nil {
		return nil, nil, err
	}
	b, err = s.learn(ctx, second, seed+1)
	return a, b, err
}

// Rewards values a model of the source by objective o.
func (s Source) Rewards(m *sim.Model, o objective.Objective) (*sim.Rewards, error) {
	return sim.NewRewards(m, s.Objective(o), sim.RewardsConfig{Expected: s.Expected})
}

func (s Source) learn(ctx context.Context, t *trace.Table, seed uint64) (*sim.Model, error) {
	cfg := s.Forest
	cfg.Seed = seed
	return sim.Learn(ctx, t, sim.ModelConfig{Kind: s.Kind, Structure: s.Structure, Separate: s.Separate, Median: s.Median, Forest: cfg})
}

func (r *Result) source(ctx context.Context, s Source) error {
	cfg := r.Config
	err := r.timed("scores of the model, "+s.Name, func() error {
		cfg.Progress("scoring the model of "+s.Name, 0, 1)
		scores, err := CachedScores(ctx, Config{Sources: []Source{s}, Splits: cfg.Splits, Cache: cfg.Cache})
		r.Scores = append(r.Scores, scores...)
		return err
	})
	if err != nil {
		return err
	}
	// Fitted at first need: a study whose stages are all cached fits nothing.
	// The other model, of half of the rows, is what greedy looks at.
	model := sync.OnceValues(func() (*sim.Model, error) { return s.Learn(ctx, cfg.Seed) })
	other := sync.OnceValues(func() (*sim.Model, error) {
		half, _ := s.Rows().Split(trace.Split{Train: .5, Seed: cfg.Seed})
		return s.learn(ctx, half, cfg.Seed+1)
	})

	rewards := r.rewards(s, model)
	var trainings []Training
	err = r.timed("fit and training, "+s.Name, func() (err error) {
		trainings, err = r.train(ctx, s, cfg.Settings, rewards)
		return err
	})
	if err != nil {
		return err
	}
	r.Trainings = append(r.Trainings, trainings...)
	return r.timed("evaluation, "+s.Name, func() error {
		for _, o := range cfg.Objectives {
			cells, err := Do(cfg.Cache, "evaluate", r.key(s, o), func() ([]Cell, error) {
				return r.evaluate(ctx, s, o, trainings, rewards[o.Name], other)
			})
			if err != nil {
				return err
			}
			r.Cells = append(r.Cells, cells...)
			cfg.Progress("evaluated "+o.Name+" on "+s.Name, 1, 1)
		}
		return nil
	})
}

func (r *Result) key(s Source, o objective.Objective) []any {
	key := append(s.key(), o.Name, r.Config.Seeds, r.Config.Seed)
	for _, set := range r.Config.Settings {
		key = append(key, set.describe())
	}
	return key
}

// rewards values a model of s by each of the study's objectives, at first need.
func (r *Result) rewards(s Source, model func() (*sim.Model, error)) map[string]func() (*sim.Rewards, error) {
	rewards := map[string]func() (*sim.Rewards, error){}
	for _, o := range r.Config.Objectives {
		rewards[o.Name] = sync.OnceValues(func() (*sim.Rewards, error) {
			m, err := model()
			if err != nil {
				return nil, err
			}
			return s.Rewards(m, o)
		})
	}
	return rewards
}

// train trains a policy for every objective, setting and seed.
func (r *Result) train(ctx context.Context, s Source, sets []Setting, rewards map[string]func() (*sim.Rewards, error)) ([]Training, error) {
	cfg := r.Config
	settings := map[string]Setting{}
	var trainings []Training
	for _, o := range cfg.Objectives {
		for _, set := range sets {
			settings[set.Name] = set
			for k := range cfg.Seeds {
				trainings = append(trainings, Training{Source: s.Name, Objective: o.Name, Setting: set.Name, Seed: cfg.Seed + uint64(k)})
			}
		}
	}
	var mu sync.Mutex
	done := 0
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(cfg.Workers)
	for k := range trainings {
		t := &trainings[k]
		g.Go(func() error {
			set := settings[t.Setting]
			got, err := trainOnce(ctx, cfg, s, t.Objective, set, t.Seed, rewards[t.Objective])
			if err != nil {
				return err
			}
			t.Trained = got
			mu.Lock()
			done++
			n := done
			mu.Unlock()
			cfg.Progress("training on "+s.Name, n, len(trainings))
			return nil
		})
	}
	return trainings, g.Wait()
}

// trainOnce trains a policy unless the cache has it.
func trainOnce(ctx context.Context, cfg Config, s Source, objective string, set Setting, seed uint64, rewards func() (*sim.Rewards, error)) (Trained, error) {
	return Do(cfg.Cache, "train", append(s.key(), objective, set.describe(), seed, cfg.Seed), func() (Trained, error) {
		rw, err := rewards()
		if err != nil {
			return Trained{}, err
		}
		return Train(ctx, rw, set, seed, nil)
	})
}

// CachedTrain trains one of the paper's objectives on the rewards of the first
// source, or takes the policy that the study has trained.
func CachedTrain(ctx context.Context, cfg Config, r *sim.Rewards, set Setting, seed uint64) (Trained, error) {
	return trainOnce(ctx, cfg.defaults(), cfg.Sources[0], r.Objective().Name, set, seed, func() (*sim.Rewards, error) { return r, nil })
}

// proportionalTimes are the mean service times that the proportional rule goes
// by, s: those of the local testbed's services (see lab/service).
var proportionalTimes = []float64{.020, .070}

// evaluate runs every policy under both loads, one run per seed, all policies
// under the same loads.
func (r *Result) evaluate(ctx context.Context, s Source, o objective.Objective, trainings []Training,
	rewards func() (*sim.Rewards, error), other func() (*sim.Model, error)) ([]Cell, error) {
	rw, err := rewards()
	if err != nil {
		return nil, err
	}
	unseen, err := other()
	if err != nil {
		return nil, err
	}
	seen, err := s.Rewards(unseen, o)
	if err != nil {
		return nil, err
	}
	baselines, err := Baselines(rw, seen)
	if err != nil {
		return nil, err
	}
	var cells []Cell
	for _, e := range Patterns() {
		run := func(p policy.Policy, seed uint64) (anr.Run, error) {
			return anr.Evaluate(ctx, rw.NewEnv(e.Pattern), p, rw, anr.Config{Steps: e.Steps, Seed: 1000 + seed})
		}
		cell := func(setting, name string) Cell {
			return Cell{Source: s.Name, Objective: o.Name, Setting: setting, Policy: name, Load: e.Pattern.Name(), Environment: "simulation"}
		}
		for _, set := range r.Config.Settings {
			c := cell(set.Name, "ppo")
			for _, t := range trainings {
				if t.Objective != o.Name || t.Setting != set.Name {
					continue
				}
				p, err := t.Trained.Policy(rw.Model().Space())
				if err != nil {
					return nil, err
				}
				got, err := run(p, t.Seed)
				if err != nil {
					return nil, err
				}
				c.Runs = append(c.Runs, got)
			}
			cells = append(cells, c)
		}
		for _, p := range baselines {
			c := cell("", p.Name())
			for k := range r.Config.Seeds {
				got, err := run(p, r.Config.Seed+uint64(k))
				if err != nil {
					return nil, err
				}
				c.Runs = append(c.Runs, got)
			}
			cells = append(cells, c)
		}
	}
	return cells, nil
}

// Baselines returns the policies that a learned one is shown beside, calibrated
// on r: random, the best constant action on random load, the proportional rule
// with its best utilisation bound, and greedy on a model of other rows.
func Baselines(r, unseen *sim.Rewards) ([]policy.Policy, error) {
	space := r.Model().Space()
	loads := Loads(space.Mesh())
	constant, err := policy.BestConstant(r, loads)
	if err != nil {
		return nil, err
	}
	list := []policy.Policy{&policy.Random{Space: space}, constant}
	if len(proportionalTimes) == space.Mesh().M() {
		best, top := policy.Proportional{}, -1.0
		for bound := .2; bound < 1.6; bound += .1 {
			p := policy.Proportional{Space: space, ServiceTime: proportionalTimes, Bound: bound}
			score, err := ExactANR(r, p, loads)
			if err != nil {
				return nil, err
			}
			if score > top {
				best, top = p, score
			}
		}
		list = append(list, best)
	}
	return append(list, policy.Greedy{Rewards: unseen}), nil
}

// Find returns the cell of a policy, and false when the study has none.
func (r *Result) Find(source, objective, setting, policy, load string) (Cell, bool) {
	for _, c := range r.Cells {
		if c.Source == source && c.Objective == objective && c.Setting == setting && c.Policy == policy && c.Load == load {
			return c, true
		}
	}
	return Cell{}, false
}

// Optima returns the optimal rewards of an objective at the given loads.
func Optima(r *sim.Rewards, loads []mesh.Load) ([]float64, error) {
	var out []float64
	for _, l := range loads {
		t, err := r.At(l)
		if err != nil {
			return nil, err
		}
		out = append(out, t.Best)
	}
	return out, nil
}
