// Package study runs the whole loop in the simulator, from a trace to figures:
// fit system models, train a policy for every objective, setting and seed in
// parallel, evaluate them beside the baselines, and keep the results. The
// paper's study is that of its scenario on its traces; any other scenario's is
// the same on a trace of its virtual testbed. Stages are cached by the hash of
// what they depend on, so a second run, and a notebook that asks for the same,
// takes what is there.
package study

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
)

// Config holds the settings of a study.
type Config struct {
	// Sources are the traces, all of one scenario; the first one is drawn in the
	// figures.
	Sources []Source
	// Objectives default to the scenario's.
	Objectives []objective.Objective
	// Settings default to Paper and Best.
	Settings []Setting
	// Patterns are the loads that policies are evaluated under. Default
	// PaperPatterns.
	Patterns []Evaluated
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

// Scenario is that of the sources.
func (c Config) Scenario() scenario.Scenario { return c.Sources[0].Scenario }

func (c Config) defaults() Config {
	if len(c.Sources) > 0 {
		s := c.Scenario()
		if c.Objectives == nil {
			c.Objectives = s.Defaults().Objectives
		}
		if c.Settings == nil {
			c.Settings = []Setting{Paper(s), Best(s)}
		}
		if c.Patterns == nil {
			c.Patterns = PaperPatterns(s)
		}
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

// setting returns the study's setting of that name.
func (c Config) setting(name string) (Setting, error) {
	for _, s := range c.Settings {
		if s.Name == name {
			return s, nil
		}
	}
	return Setting{}, fmt.Errorf("study: it has no setting %q", name)
}

// Cell is what one policy scored under one source, objective and load: one run
// per seed.
type Cell struct {
	Source, Objective, Setting, Policy, Load string // Setting is "" for a policy that was not learned
	Environment                              string
	Runs                                     []anr.Run
}

// Learned reports whether the cell's policies were trained.
func (c Cell) Learned() bool { return c.Setting != "" }

// Name is the policy, with its setting where it was trained in one.
func (c Cell) Name() string {
	if c.Learned() {
		return fmt.Sprintf("%s, %s setting", c.Policy, c.Setting)
	}
	return c.Policy
}

// ANR returns the median over runs with its bootstrap interval.
func (c Cell) ANR() anr.Interval {
	var v []float64
	for _, r := range c.Runs {
		v = append(v, r.ANR())
	}
	return anr.Median(v)
}

// Exact reports whether ANR is against the optimum of the reference model,
// rather than the best found.
func (c Cell) Exact() bool {
	for _, r := range c.Runs {
		if !r.Exact() {
			return false
		}
	}
	return true
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
	Rewards   []RewardCell // in place of Cells, where knobs take their time
	Truths    []TrueShare
	Times     []Timing
}

// Timed runs f and notes its time under stage.
func (r *Result) Timed(stage string, f func() error) error {
	begin := time.Now()
	err := f()
	r.Times = append(r.Times, Timing{stage, time.Since(begin).Seconds()})
	return err
}

// New returns a study of which nothing has been run, with defaults filled in:
// enough for the drawings that do not need it.
func New(cfg Config) *Result { return &Result{Config: cfg.defaults()} }

// Run runs the study.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	r := New(cfg)
	if len(r.Config.Sources) == 0 {
		return nil, fmt.Errorf("study: no trace to learn from")
	}
	for _, s := range r.Config.Sources {
		if s.Scenario.Hash() != r.Config.Scenario().Hash() {
			return nil, fmt.Errorf("study: trace %s is of scenario %s, the first one of %s", s.Name, s.Scenario.Name, r.Config.Scenario().Name)
		}
	}
	for _, s := range r.Config.Sources {
		if err := r.source(ctx, s); err != nil {
			return nil, fmt.Errorf("study of %s: %w", s.Title, err)
		}
	}
	return r, nil
}

// fitted is a source with its model, fitted at first need: a study whose stages
// are all cached fits nothing.
type fitted struct {
	Source
	model   func() (model.Learned, error)
	rewards map[string]func() (*optimum.Rewards, error) // by the objective's name
}

func (s Source) fitted(ctx context.Context, cfg Config) *fitted {
	f := &fitted{Source: s, rewards: map[string]func() (*optimum.Rewards, error){},
		model: sync.OnceValues(func() (model.Learned, error) { return s.Learn(ctx, cfg.Seed) })}
	for _, o := range cfg.Objectives {
		f.value(o)
	}
	return f
}

// value adds an objective to those that the model is valued by.
func (f *fitted) value(o objective.Objective) {
	f.rewards[o.Name] = sync.OnceValues(func() (*optimum.Rewards, error) {
		m, err := f.model()
		if err != nil {
			return nil, err
		}
		return f.Rewards(m, o)
	})
}

// under is the same model valued in another way; the key of a training follows
// from the source, so the two are never taken for each other.
func (f *fitted) under(cfg Config, expected bool) *fitted {
	s := f.Source
	s.Expected = expected
	g := &fitted{Source: s, rewards: map[string]func() (*optimum.Rewards, error){}, model: f.model}
	for _, o := range cfg.Objectives {
		g.value(o)
	}
	return g
}

func (r *Result) source(ctx context.Context, s Source) error {
	cfg := r.Config
	err := r.Timed("scores of the model, "+s.Name, func() error {
		cfg.Progress("scoring the model of "+s.Name, 0, 1)
		scores, err := CachedScores(ctx, Config{Sources: []Source{s}, Splits: cfg.Splits, Cache: cfg.Cache})
		r.Scores = append(r.Scores, scores...)
		return err
	})
	if err != nil {
		return err
	}
	f := s.fitted(ctx, cfg)
	if s.Scenario.MustSpace().Slow() {
		return r.scaling(ctx, f)
	}
	var trainings []Training
	err = r.Timed("fit and training, "+s.Name, func() (err error) {
		trainings, err = r.train(ctx, f, cfg.Settings)
		return err
	})
	if err != nil {
		return err
	}
	r.Trainings = append(r.Trainings, trainings...)
	greedy := sync.OnceValues(func() (func(objective.Objective) (*optimum.Rewards, error), error) { return r.prepared(ctx, f) })
	return r.Timed("evaluation, "+s.Name, func() error {
		cfg.Progress("evaluating on "+s.Name, 0, len(cfg.Objectives))
		for k, o := range cfg.Objectives {
			cells, err := Do(cfg.Cache, "evaluate", r.key(s, o), func() ([]Cell, error) {
				g, err := greedy()
				if err != nil {
					return nil, err
				}
				return r.evaluate(ctx, f, o, trainings, g)
			})
			if err != nil {
				return err
			}
			r.Cells = append(r.Cells, cells...)
			cfg.Progress("evaluating on "+s.Name, k+1, len(cfg.Objectives))
		}
		return nil
	})
}

// prepared is Source.Greedy, all of the study's objectives being valued at the loads
// of the evaluation, together as far as they can.
func (r *Result) prepared(ctx context.Context, f *fitted) (func(objective.Objective) (*optimum.Rewards, error), error) {
	make, err := f.Greedy(ctx, r.Config.Seed)
	if err != nil {
		return nil, err
	}
	var loads []mesh.Load
	for _, e := range r.Config.Patterns {
		loads = append(loads, e.Loads...)
	}
	looks := map[string]*optimum.Rewards{}
	var all []*optimum.Rewards
	for _, o := range r.Config.Objectives {
		rw, err := f.rewards[o.Name]()
		if err != nil {
			return nil, err
		}
		if looks[o.Name], err = make(o); err != nil {
			return nil, err
		}
		all = append(all, rw, looks[o.Name])
	}
	return func(o objective.Objective) (*optimum.Rewards, error) { return looks[o.Name], nil }, optimum.Prepare(ctx, loads, all...)
}

// key is what the evaluation of an objective on a source depends on.
func (r *Result) key(s Source, o objective.Objective) []any {
	key := append(s.key(), objectiveKey(o), r.Config.Seeds, r.Config.Seed)
	for _, set := range r.Config.Settings {
		key = append(key, set.key()...)
	}
	for _, e := range r.Config.Patterns {
		key = append(key, pattern(e.Pattern), e.Steps)
	}
	return key
}

// objectiveKey is an objective as a hash sees it.
func objectiveKey(o objective.Objective) any {
	key, ok := o.Key()
	if !ok {
		return uncached{}
	}
	return key
}

// objectiveKeys are those of the study's objectives.
func (r *Result) objectiveKeys() []any {
	var keys []any
	for _, o := range r.Config.Objectives {
		keys = append(keys, objectiveKey(o))
	}
	return keys
}

// evaluate runs every policy under all loads, one run per seed, all policies
// under the same loads.
func (r *Result) evaluate(ctx context.Context, f *fitted, o objective.Objective, trainings []Training,
	greedy func(objective.Objective) (*optimum.Rewards, error)) ([]Cell, error) {
	rw, baselines, err := f.baselines(o, greedy)
	if err != nil {
		return nil, err
	}
	type job struct {
		cell, run int
		seed      uint64
		pattern   Evaluated
		policy    func() (policy.Policy, error)
	}
	var cells []Cell
	var jobs []job
	for _, e := range r.Config.Patterns {
		add := func(setting, name string) int {
			cells = append(cells, Cell{Source: f.Name, Objective: o.Name, Setting: setting, Policy: name, Load: e.Pattern.Name(), Environment: "simulation"})
			return len(cells) - 1
		}
		for _, set := range r.Config.Settings {
			c := add(set.Name, set.Learner.Name())
			for _, t := range trainings {
				if t.Objective == o.Name && t.Setting == set.Name {
					jobs = append(jobs, job{c, len(cells[c].Runs), t.Seed, e, func() (policy.Policy, error) { return t.Trained.Policy(rw.Space()) }})
					cells[c].Runs = append(cells[c].Runs, anr.Run{})
				}
			}
		}
		for _, p := range baselines {
			c := add("", p.Name())
			for k := range r.Config.Seeds {
				jobs = append(jobs, job{c, k, r.Config.Seed + uint64(k), e, func() (policy.Policy, error) { return p.fresh(), nil }})
				cells[c].Runs = append(cells[c].Runs, anr.Run{})
			}
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.Config.Workers)
	for _, j := range jobs {
		g.Go(func() error {
			p, err := j.policy()
			if err != nil {
				return err
			}
			env, err := rw.NewEnv(j.pattern.Pattern, 0)
			if err != nil {
				return err
			}
			cells[j.cell].Runs[j.run], err = anr.Evaluate(ctx, env, p, rw, anr.Config{Steps: j.pattern.Steps, Seed: 1000 + j.seed})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if !rw.Exact() {
		bestFound(cells)
	}
	return cells, nil
}

// bestFound raises the best reward that a search found at a load to that of any
// policy at the same load, so that no ratio to it is above 1.
func bestFound(cells []Cell) {
	best := map[string]float64{}
	each := func(visit func(key string, s *anr.Step)) {
		for c := range cells {
			for n := range cells[c].Runs {
				for t := range cells[c].Runs[n].Steps {
					s := &cells[c].Runs[n].Steps[t]
					visit(fmt.Sprint(s.Load), s)
				}
			}
		}
	}
	each(func(key string, s *anr.Step) {
		if !math.IsNaN(s.Reward) {
			best[key] = max(best[key], s.Reward, s.Optimal)
		}
	})
	each(func(key string, s *anr.Step) {
		if v, ok := best[key]; ok {
			s.Optimal = v
		}
	})
}

// Baseline is a policy that a learned one is shown beside.
type Baseline struct {
	policy.Policy
	space *mesh.Space
}

// fresh is a policy for one goroutine.
func (b Baseline) fresh() policy.Policy {
	if _, draws := b.Policy.(*policy.Random); draws { // has a state of its own
		return &policy.Random{Space: b.space}
	}
	return b.Policy
}

// Baselines returns the policies that a learned one is shown beside, calibrated
// on r: random, the best constant action on random load, the proportional rule
// with its best utilisation bound, and greedy by another model.
func Baselines(r *optimum.Rewards, s scenario.Scenario, greedy *optimum.Rewards) ([]Baseline, error) {
	space := r.Space()
	loads := s.Loads.Grid(maxGrid)
	constant, err := policy.BestConstant(r, loads)
	if err != nil {
		return nil, err
	}
	best, err := calibrate(r, s, loads)
	if err != nil {
		return nil, err
	}
	var list []Baseline
	for _, p := range []policy.Policy{&policy.Random{Space: space}, constant, best, policy.Greedy{Optimum: greedy}} {
		list = append(list, Baseline{p, space})
	}
	return list, nil
}

// baselines values the source's model by an objective and calibrates Baselines on
// it; greedy values what the policy of that name looks at (see Source.Greedy).
func (f *fitted) baselines(o objective.Objective, greedy func(objective.Objective) (*optimum.Rewards, error)) (*optimum.Rewards, []Baseline, error) {
	rw, err := f.rewards[o.Name]()
	if err != nil {
		return nil, nil, err
	}
	looks, err := greedy(o)
	if err != nil {
		return nil, nil, err
	}
	list, err := Baselines(rw, f.Scenario, looks)
	return rw, list, err
}

// calibrate returns the proportional rule with the utilisation bound that scores
// best.
func calibrate(r *optimum.Rewards, s scenario.Scenario, loads []mesh.Load) (policy.Proportional, error) {
	var times []float64
	for _, w := range s.Work {
		times = append(times, w.Time)
	}
	var best policy.Proportional
	top := math.Inf(-1)
	for bound := .2; bound < 1.6; bound += .1 {
		p := policy.Proportional{Space: r.Space(), Time: times, Bound: bound}
		score, _, err := policy.Score(r, p, loads)
		if err != nil {
			return best, err
		}
		if score > top {
			best, top = p, score
		}
	}
	return best, nil
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

// Optima returns the best rewards of an objective at the given loads.
func Optima(r *optimum.Rewards, loads []mesh.Load) ([]float64, error) {
	var out []float64
	for _, l := range loads {
		b, err := r.Best(l)
		if err != nil {
			return nil, err
		}
		out = append(out, b.Reward)
	}
	return out, nil
}
