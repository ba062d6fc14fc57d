package study

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/autoscaler"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/episode"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// Where knobs take their time a step's reward depends on what was asked for long
// before, so that there is no optimum of a step and no ANR. Policies are compared
// by the mean reward of whole episodes on the virtual testbed, under loads of
// seeds that none of them has seen: learned ones, the rules of operators, which
// are calibrated on the testbed itself, and the bounds that dynamic programming
// over the model gives.

// RewardCell is what a policy was paid under one load.
type RewardCell struct {
	Source, Objective, Environment string
	Load                           string
	Policy, Setting                string // Setting is "" for a policy that was not learned
	// TrainedOn is the load that it was learned or calibrated on: "all", a
	// pattern's name, or "all but NAME". "" for none.
	TrainedOn string
	Seeds     int // trainings
	// Runs has an episode for every training seed and, of each, every load seed.
	Runs []episode.Result
}

// over lists a quantity of all runs.
func (c RewardCell) over(f func(episode.Result) float64) []float64 {
	var v []float64
	for _, r := range c.Runs {
		v = append(v, f(r))
	}
	return v
}

// Reward is the mean reward of a step, Cost what is paid per s, Missed the share
// of steps in which a goal was missed, Failed that of requests that failed: means
// over runs with bootstrap intervals.
func (c RewardCell) Reward() anr.Interval {
	return anr.Mean(c.over(func(r episode.Result) float64 { return r.Reward }))
}

// Late is the mean share of the answered requests that were later than their goal;
// NaN where that is not known.
func (c RewardCell) Late() anr.Interval {
	return anr.Mean(c.over(func(r episode.Result) float64 {
		if r.Late == nil {
			return math.NaN()
		}
		return *r.Late
	}))
}

// Cost is described at Reward.
func (c RewardCell) Cost() anr.Interval {
	return anr.Mean(c.over(func(r episode.Result) float64 { return r.Cost }))
}

// Missed is described at Reward.
func (c RewardCell) Missed() anr.Interval {
	return anr.Mean(c.over(func(r episode.Result) float64 { return r.Missed }))
}

// Failed is described at Reward.
func (c RewardCell) Failed() anr.Interval {
	return anr.Mean(c.over(func(r episode.Result) float64 { return r.Failed }))
}

// Against compares c with o in pairs of runs under the same load: the mean
// difference of their rewards, and the share of pairs in which c is better, ties
// counting half.
func (c RewardCell) Against(o RewardCell) (difference anr.Interval, improvement float64) {
	runs := len(c.Runs) / c.Seeds
	var diff []float64
	for k, x := range c.Runs {
		for other := k % runs; other < len(o.Runs); other += runs {
			if c.Seeds == o.Seeds && k/runs != other/runs {
				continue // of two learned ones seed by seed
			}
			d := x.Reward - o.Runs[other].Reward
			diff = append(diff, d)
			switch {
			case d > 0:
				improvement++
			case d == 0:
				improvement += .5
			}
		}
	}
	return anr.Mean(diff), improvement / float64(len(diff))
}

const (
	heldOut      = 5    // load seeds of an evaluation
	heldOutSeed  = 9000 // the first of them
	calibrations = 2    // load seeds of a calibration
	calibration  = 500  // the first of them
	fewSeeds     = 3    // trainings on one pattern alone, for the matrix
)

// loadSet is what policies are trained or calibrated on.
type loadSet struct {
	name     string
	patterns []load.Pattern
	seeds    int
}

// one is the set as a pattern.
func (l loadSet) one() load.Pattern {
	if len(l.patterns) == 1 {
		return l.patterns[0]
	}
	return load.Switching{Patterns: l.patterns}
}

const (
	allLoads = "all"
	allBut   = "all but "
)

// loadSets are all patterns, all but each, and each alone; all of them only where
// there are many actions, whose trainings take ten times as long.
func loadSets(sc scenario.Scenario, patterns []load.Pattern, seeds int) []loadSet {
	sets := []loadSet{{allLoads, patterns, seeds}}
	if len(patterns) == 1 || sc.MustSpace().Len() > maxOneHead {
		return sets
	}
	for k, p := range patterns {
		rest := slices.Delete(slices.Clone(patterns), k, k+1)
		sets = append(sets, loadSet{allBut + p.Name(), rest, seeds}, loadSet{p.Name(), []load.Pattern{p}, min(seeds, fewSeeds)})
	}
	return sets
}

// TrainedOnAll is a study of a scenario whose knobs take their time of which nothing
// but the policies was made that are learned on all loads.
func TrainedOnAll(ctx context.Context, cfg Config) (*Result, error) {
	r := New(cfg)
	for _, src := range r.Config.Sources {
		f := src.fitted(ctx, r.Config)
		for _, o := range r.Config.Objectives {
			for _, set := range r.Config.Settings {
				s, err := newScaler(r.Config, f, o, set)
				if err != nil {
					return nil, err
				}
				if err := s.train(ctx, loadSets(f.Scenario, s.patterns, r.Config.Seeds)[:1], map[string][]Trained{}, func(t Training) { r.Trainings = append(r.Trainings, t) }); err != nil {
					return nil, err
				}
			}
		}
	}
	return r, nil
}

// scaler compares policies on one objective of a source.
type scaler struct {
	cfg       Config
	f         *fitted
	objective objective.Objective
	rewards   *optimum.Rewards
	setting   Setting
	patterns  []load.Pattern
	steps     int
	past      int
}

// scaling trains and evaluates all policies of a source whose knobs take their
// time.
func (r *Result) scaling(ctx context.Context, f *fitted) error {
	for _, o := range r.Config.Objectives {
		for _, set := range r.Config.Settings {
			s, err := newScaler(r.Config, f, o, set)
			if err != nil {
				return err
			}
			trained := map[string][]Trained{}
			err = r.Timed("training, "+o.Name, func() error {
				return s.train(ctx, loadSets(f.Scenario, s.patterns, r.Config.Seeds), trained, func(t Training) { r.Trainings = append(r.Trainings, t) })
			})
			if err != nil {
				return err
			}
			err = r.Timed("evaluation, "+o.Name, func() error {
				cells, err := Do(r.Config.Cache, "scaling", append(r.key(f.Source, o), set.Name), func() ([]RewardCell, error) { return s.evaluate(ctx, trained) })
				r.Rewards = append(r.Rewards, cells...)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func newScaler(cfg Config, f *fitted, o objective.Objective, set Setting) (*scaler, error) {
	patterns, err := f.Scenario.LoadPatterns()
	if err != nil {
		return nil, err
	}
	s := &scaler{cfg: cfg, f: f, objective: o, setting: set, patterns: patterns, steps: f.Scenario.Defaults().Episode}
	s.past = set.past()
	s.rewards, err = f.rewards[o.Name]()
	return s, err
}

// train trains on load sets, all seeds of each, and on the first of them on the
// virtual testbed itself, too.
func (s *scaler) train(ctx context.Context, sets []loadSet, trained map[string][]Trained, done func(Training)) error {
	type job struct {
		set     loadSet
		name    string // in trained
		setting string
		seed    int
	}
	var jobs []job
	add := func(set loadSet, name, setting string) {
		trained[name] = make([]Trained, set.seeds)
		for k := range set.seeds {
			jobs = append(jobs, job{set, name, setting, k})
		}
	}
	for _, set := range sets {
		add(set, set.name, s.setting.Name)
	}
	add(sets[0], direct, direct)
	out := make([]Trained, len(jobs))
	err := s.cfg.parallel(ctx, "training", len(jobs), func(ctx context.Context, n int) (err error) {
		set, seed := s.setting, s.cfg.Seed+uint64(jobs[n].seed)
		set.Load = jobs[n].set.one()
		if jobs[n].setting == direct {
			out[n], err = s.trainDirect(ctx, set, seed)
		} else {
			out[n], err = s.f.train(ctx, s.cfg, s.objective, set, seed, nil)
		}
		return err
	})
	if err != nil {
		return err
	}
	for n, j := range jobs {
		trained[j.name][j.seed] = out[n]
		if j.set.name == allLoads {
			done(Training{Source: s.f.Name, Objective: s.objective.Name, Setting: j.setting, Seed: s.cfg.Seed + uint64(j.seed), Trained: out[n]})
		}
	}
	return nil
}

// direct is the setting of policies that are learned on the virtual testbed itself:
// what a simulator without queues between steps costs is the difference to them.
// No real testbed has the time for so many steps.
const direct = "testbed"

// trainDirect trains on the virtual testbed.
func (s *scaler) trainDirect(ctx context.Context, set Setting, seed uint64) (Trained, error) {
	key := append([]any{direct, s.f.Scenario.Hash(), objectiveKey(s.objective), seed}, set.key()...)
	return Do(s.cfg.Cache, "train", key, func() (Trained, error) {
		return learn(ctx, onTestbed(s.objective, s.f.Scenario, set), s.objective.Name, set, seed, nil)
	})
}

// directName is the name of a learner's policies that were learned there.
func directName(l learner.Learner) string { return l.Name() + "-" + direct }

// maker makes a policy for one goroutine, for a run under pattern p.
type maker func(p load.Pattern) (policy.Policy, error)

// learned makes the policies of trainings.
func (s *scaler) learned(list ...Trained) (makers []maker) {
	for _, t := range list {
		makers = append(makers, func(load.Pattern) (policy.Policy, error) { return t.Policy(s.rewards.Space()) })
	}
	return makers
}

// rewardJob is one run of a cell.
type rewardJob struct {
	cell, run int
	pattern   load.Pattern
	seed      uint64
	policy    maker
}

// evaluate runs every policy under every load that it is asked under.
func (s *scaler) evaluate(ctx context.Context, trained map[string][]Trained) ([]RewardCell, error) {
	var cells []RewardCell
	var jobs []rewardJob
	add := func(p load.Pattern, name, setting, on string, policies ...maker) {
		c := RewardCell{Source: s.f.Name, Objective: s.objective.Name, Environment: "virtual", Load: p.Name(), Policy: name, Setting: setting,
			TrainedOn: on, Seeds: len(policies), Runs: make([]episode.Result, len(policies)*heldOut)}
		cells = append(cells, c)
		for k, m := range policies {
			for run := range heldOut {
				jobs = append(jobs, rewardJob{len(cells) - 1, k*heldOut + run, p, heldOutSeed + uint64(run), m})
			}
		}
	}
	rules, err := s.rules(ctx)
	if err != nil {
		return nil, err
	}
	var bandits []maker
	for k := range s.cfg.Seeds {
		b, err := s.bandit(ctx, s.cfg.Seed+uint64(k))
		if err != nil {
			return nil, err
		}
		bandits = append(bandits, b)
	}
	bounds, err := s.bounds(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range s.patterns {
		add(p, directName(s.setting.Learner), direct, allLoads, s.learned(trained[direct]...)...)
		for _, set := range loadSets(s.f.Scenario, s.patterns, s.cfg.Seeds) {
			if strings.HasPrefix(set.name, allBut) && set.name != allBut+p.Name() {
				continue
			}
			add(p, s.setting.Learner.Name(), s.setting.Name, set.name, s.learned(trained[set.name]...)...)
			for _, rule := range rules {
				if set.name == allLoads || len(set.patterns) > 1 || rule.name == "hpa" {
					add(p, rule.name, "", set.name, rule.of(set))
				}
			}
		}
		add(p, "bandit", "", allLoads, bandits...)
		add(p, "greedy", "", "", func(load.Pattern) (policy.Policy, error) { return policy.Greedy{Optimum: s.rewards}, nil })
		for _, b := range bounds {
			add(p, b.name, "", b.on(p), b.policy)
		}
	}
	return cells, s.cfg.parallel(ctx, "evaluating", len(jobs), func(ctx context.Context, n int) (err error) {
		j := jobs[n]
		q, err := j.policy(j.pattern)
		if err != nil {
			return err
		}
		cells[j.cell].Runs[j.run], err = s.run(ctx, q, j.pattern, j.seed, s.steps)
		return err
	})
}

// run is an episode on the virtual testbed.
func (s *scaler) run(ctx context.Context, p policy.Policy, pattern load.Pattern, seed uint64, steps int) (episode.Result, error) {
	bed, err := virtual.New(virtual.Config{Scenario: s.f.Scenario})
	if err != nil {
		return episode.Result{}, err
	}
	env, err := control.NewEnv(bed, pattern, s.objective, control.Config{Past: s.past})
	if err != nil {
		return episode.Result{}, err
	}
	return episode.Run(ctx, env, p, steps, seed, nil)
}

// rule is a kind of rule with its settings, and what each scored under each
// pattern.
type rule struct {
	name       string
	candidates func() []policy.Policy // new ones, for one goroutine
	patterns   []load.Pattern
	scores     [][]float64 // candidate x pattern
}

// best is the number of the candidate that scored best over a load set.
func (r rule) best(set loadSet) int {
	best, top := 0, math.Inf(-1)
	for c, scores := range r.scores {
		sum := 0.0
		for k, p := range r.patterns {
			if slices.ContainsFunc(set.patterns, func(q load.Pattern) bool { return q.Name() == p.Name() }) {
				sum += scores[k]
			}
		}
		if sum > top {
			best, top = c, sum
		}
	}
	return best
}

func (r rule) of(set loadSet) maker {
	best := r.best(set)
	return func(load.Pattern) (policy.Policy, error) { return r.candidates()[best], nil }
}

// rules are those of operators, every candidate scored under every pattern on the
// virtual testbed.
func (s *scaler) rules(ctx context.Context) ([]rule, error) {
	list := ruleGrids(s.f.Scenario)
	constants, err := s.constants()
	if err != nil {
		return nil, err
	}
	list = append(list, rule{name: "constant", candidates: func() []policy.Policy { return constants }})
	type job struct{ rule, candidate, pattern int }
	var jobs []job
	for n := range list {
		list[n].patterns = s.patterns
		for c := range list[n].candidates() {
			list[n].scores = append(list[n].scores, make([]float64, len(s.patterns)))
			for p := range s.patterns {
				jobs = append(jobs, job{n, c, p})
			}
		}
	}
	err = s.cfg.parallel(ctx, "calibrating rules", len(jobs), func(ctx context.Context, k int) error {
		j := jobs[k]
		for seed := range uint64(calibrations) {
			x, err := s.run(ctx, list[j.rule].candidates()[j.candidate], s.patterns[j.pattern], calibration+seed, s.steps)
			if err != nil {
				return err
			}
			list[j.rule].scores[j.candidate][j.pattern] += x.Reward / calibrations
		}
		return nil
	})
	return list, err
}

// ruleGrids are the rules that operators set, each with the settings that a
// calibration tries.
func ruleGrids(sc scenario.Scenario) []rule {
	space := sc.MustSpace()
	var times []float64
	for _, w := range sc.Work {
		times = append(times, w.Time)
	}
	var scaled, blocked bool
	for _, k := range space.Knobs() {
		scaled, blocked = scaled || k.Kind == mesh.Replicas, blocked || k.Kind == mesh.Block
	}
	if !scaled {
		return nil
	}
	base := func() policy.Policy { return &autoscaler.Spread{Space: space} }
	hpa := func() []policy.Policy { return autoscaler.HPAGrid(autoscaler.HPA{Space: space, Base: base()}) }
	list := []rule{
		{name: "hpa", candidates: func() []policy.Policy { l := hpa(); return l[:len(l)/2] }},
		{name: "hpa-fast", candidates: func() []policy.Policy { l := hpa(); return l[len(l)/2:] }},
		{name: "keda", candidates: func() []policy.Policy {
			return autoscaler.StepsGrid(autoscaler.Steps{Space: space, Base: base()})
		}},
		{name: "lookahead", candidates: func() []policy.Policy {
			return autoscaler.LookaheadGrid(autoscaler.Lookahead{Space: space, Time: times, Base: base()})
		}},
	}
	if blocked {
		under := func() policy.Policy {
			return &autoscaler.Lookahead{Space: space, Time: times, Base: base()}
		}
		goals := sc.Goals()
		list = append(list,
			rule{name: "admission", candidates: func() []policy.Policy {
				return autoscaler.AdmissionGrid(autoscaler.Admission{Space: space, Deadline: goals, Base: under()})
			}},
			rule{name: "concurrency", candidates: func() []policy.Policy {
				return autoscaler.ConcurrencyGrid(autoscaler.Concurrency{Space: space, Base: under()})
			}})
	}
	return list
}

// fewActions is the number of actions up to which each is tried as a constant;
// of more, those that the model finds best on average are.
const fewActions = 16

// constants are static policies to try.
func (s *scaler) constants() ([]policy.Policy, error) {
	space := s.rewards.Space()
	static := func(a mesh.Action) policy.Policy { return policy.Static{Label: "constant", Action: a} }
	if !s.rewards.Exact() {
		best, err := policy.BestConstant(s.rewards, s.f.Scenario.Loads.Grid(fewActions))
		return []policy.Policy{best}, err
	}
	numbers := space.Numbers()
	if len(numbers) > fewActions {
		sum := make([]float64, space.Len())
		for _, l := range s.f.Scenario.Loads.Grid(fewActions) {
			t, err := s.rewards.Table(l)
			if err != nil {
				return nil, err
			}
			for k, v := range t.Reward {
				sum[k] += v
			}
		}
		slices.SortStableFunc(numbers, func(a, b int) int { return cmp.Compare(sum[b], sum[a]) })
		numbers = numbers[:fewActions]
	}
	var list []policy.Policy
	for _, k := range numbers {
		list = append(list, static(space.At(k)))
	}
	return list, nil
}

// bandit learns a contextual bandit on all loads.
func (s *scaler) bandit(ctx context.Context, seed uint64) (maker, error) {
	set := s.setting
	set.Load = loadSet{patterns: s.patterns}.one()
	set.Learner = learner.Bandit{}
	p, err := set.Learner.Learn(ctx, Problem(s.rewards, s.f.Scenario, set), seed, nil)
	if err != nil {
		return nil, err
	}
	l, ok := p.(*learner.Linear)
	if !ok {
		return nil, fmt.Errorf("study: a bandit learned a %T", p)
	}
	return func(load.Pattern) (policy.Policy, error) { return l.Clone(), nil }, nil
}

// bound is a policy that knows more than any policy can.
type bound struct {
	name   string
	on     func(load.Pattern) string
	policy maker
}

// bounds are dynamic programming, which knows the chain that is nearest to the
// load's law, and an oracle, which knows the load to come; none where the
// configurations are too many.
func (s *scaler) bounds(ctx context.Context) ([]bound, error) {
	d, err := optimum.NewDynamics(s.rewards)
	if err != nil {
		s.cfg.Progress("no bounds: "+err.Error(), 1, 1)
		return nil, nil
	}
	list := []bound{{"oracle", func(load.Pattern) string { return "" }, func(p load.Pattern) (policy.Policy, error) {
		return &optimum.Oracle{Dynamics: d, Pattern: p, Steps: s.steps}, nil
	}}}
	programs := map[string]*optimum.Program{}
	for _, p := range s.patterns {
		c := optimum.NewChain(p, s.f.Scenario.Loads, 0, []uint64{calibration, calibration + 1, calibration + 2, calibration + 3}, 10_000)
		if programs[p.Name()], err = d.Iterate(ctx, c, s.f.Scenario.Gamma()); err != nil {
			return list, nil // too many states for it
		}
	}
	return append(list, bound{"dp", func(p load.Pattern) string { return p.Name() }, func(p load.Pattern) (policy.Policy, error) {
		return programs[p.Name()], nil
	}}), nil
}
