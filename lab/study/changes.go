package study

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/meshbench/meshbench/lab/adapt"
	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/episode"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/rollout"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// What happens when the mesh changes, and what is done about it: a policy that was
// learned on the mesh as it was meets each of the scenario's changes, looked after
// by an adapt.Loop in one of several ways, beside an oracle that knows the change.
// All ways meet the same loads and requests, run by run.

// Adaptation is what is done about a change.
type Adaptation string

const (
	// NoAdaptation leaves the policy of before in charge.
	NoAdaptation Adaptation = "none"
	// RolloutAdaptation is rollout over the present model, at once.
	RolloutAdaptation Adaptation = "rollout"
	// RetrainAdaptation is training on the present model, begun with the weights of
	// before, in the background, of as many steps as the first.
	RetrainAdaptation Adaptation = "retrain"
	// TransferAdaptation is a fifth of that, at a third of the learning rate.
	TransferAdaptation Adaptation = "transfer"
	// OracleAdaptation is rollout over a model of which the factors are right, from
	// the step of the change on.
	OracleAdaptation Adaptation = "oracle"
)

// Adaptations lists them.
func Adaptations() []Adaptation {
	return []Adaptation{NoAdaptation, OracleAdaptation, RolloutAdaptation, TransferAdaptation, RetrainAdaptation}
}

// overload is the highest load that models of changes know, as a share of the
// highest of the scenario: that of a mesh which is so many times slower.
const overload = 2.5

// monitored are the runs, of an episode each, that a monitor is calibrated on.
const monitored = 8

// firstMonitored is the seed of the first.
const firstMonitored = 700

// Changed is a scenario that is ready for its changes: a model that knows loads as
// high as a slower mesh must feel them, a policy that was learned on it, and a
// monitor that is calibrated with both.
type Changed struct {
	Scenario  scenario.Scenario
	Objective objective.Objective
	Changes   []change.Change
	Model     model.Learned
	Monitor   *adapt.Monitor

	source  Source
	setting Setting
	trained Trained
	base    *learner.Network
	pattern load.Pattern
	loads   rollout.Loads
	past    int
	workers Config
}

// Overloaded is a trace of a scenario's virtual testbed as Virtual makes it, under
// loads of up to 2.5 times the scenario's.
func Overloaded(ctx context.Context, sc scenario.Scenario, seed uint64) (Source, error) {
	wide := sc.Defaults()
	wide.Loads = slices.Clone(wide.Loads)
	for i := range wide.Loads {
		wide.Loads[i].Max *= overload
		wide.Loads[i].Values = nil
	}
	src, err := Virtual(ctx, wide, wide.Collect.Steps, seed)
	if err != nil {
		return src, err
	}
	src.Scenario = sc.Defaults()
	if sc.Mesh.N() > 1 {
		// Nodes are told apart; failures come of what is lost, which needs no learning.
		src.Kind, src.Structure, src.Expected, src.Settle = model.Measured, model.NodeInputs, true, src.settle()
		src.Forest.MinLeaf = min(max(src.Trace.Len()/75, 20), 80)
	}
	return src, nil
}

// NewChanged learns what a study of a scenario's changes begins with, or takes it
// from the cache of cfg.
func NewChanged(ctx context.Context, cfg Config, sc scenario.Scenario) (*Changed, error) {
	wrap := func(err error) (*Changed, error) { return nil, fmt.Errorf("study: changes: %w", err) }
	sc = sc.Defaults()
	if !sc.MustSpace().Slow() {
		return wrap(fmt.Errorf("scenario %s has no knob that takes its time; accepted: those that have", sc.Name))
	}
	changes, err := sc.MeshChanges()
	if err != nil {
		return wrap(err)
	}
	src, err := Overloaded(ctx, sc, 1)
	if err != nil {
		return wrap(err)
	}
	cfg.Sources = []Source{src}
	cfg = cfg.defaults()
	c := &Changed{Scenario: sc, Objective: sc.Objectives[0], Changes: changes, source: src, setting: Best(sc), workers: cfg}
	for _, s := range cfg.Settings {
		if s.Name == BestSetting {
			c.setting = s
		}
	}
	patterns, err := sc.LoadPatterns()
	if err != nil {
		return wrap(err)
	}
	c.pattern = loadSet{patterns: patterns}.one()
	work := cfg.Of(ctx, src)
	if c.Model, err = work.Model(); err != nil {
		return wrap(err)
	}
	l, ok := c.setting.Learner.(learner.PPO)
	if !ok {
		return wrap(fmt.Errorf("setting %s has learner %q; accepted: ppo", c.setting.Name, c.setting.Learner.Name()))
	}
	c.past = l.Observation.Past
	if c.trained, err = work.Train(ctx, c.Objective, c.setting, cfg.Seed, nil); err != nil {
		return wrap(err)
	}
	if c.base, err = c.trained.Policy(sc.MustSpace()); err != nil {
		return wrap(err)
	}
	c.loads = rollout.Trend{Ranges: sc.Loads}
	bed, err := virtual.New(virtual.Config{Scenario: sc})
	if err != nil {
		return wrap(err)
	}
	if err := c.Calibrate(ctx, bed, monitored, sc.Episode); err != nil {
		return wrap(err)
	}
	return c, nil
}

// Calibrate makes the monitor anew from runs on a testbed to which nothing happens.
func (c *Changed) Calibrate(ctx context.Context, bed testbed.Testbed, runs, steps int) error {
	env, err := c.env(bed)
	if err != nil {
		return err
	}
	p, err := c.base.Clone()
	if err != nil {
		return err
	}
	var seeds []uint64
	for k := range runs {
		seeds = append(seeds, firstMonitored+uint64(k))
	}
	rows, err := adapt.Healthy(ctx, env, p, steps, seeds...)
	if err != nil {
		return err
	}
	var limits, work []float64
	for _, w := range c.Scenario.Work {
		work = append(work, w.Time)
	}
	for _, t := range c.Scenario.Targets {
		limits = append(limits, 2*t.Goal)
	}
	c.Monitor, err = adapt.NewMonitor(c.Model, rows, adapt.Calibration{Overloaded: limits, Work: work, Seconds: c.Scenario.Timing.Step})
	return err
}

// Base makes the policy that was learned.
func (c *Changed) Base() (policy.Policy, error) { return c.base.Clone() }

// Pattern is the load that it was learned under.
func (c *Changed) Pattern() load.Pattern { return c.pattern }

func (c *Changed) env(bed testbed.Testbed) (*control.Env, error) {
	return control.NewEnv(bed, c.pattern, c.Objective, control.Config{Past: c.past, Seconds: bed.Timing().Seconds()})
}

// Value values a model as the study does, by fewer searches; knobs are late by so
// many s, nil for none.
func (c *Changed) Value(m control.Model, late []float64) (*optimum.Rewards, error) {
	cfg := optimum.Config{Expected: c.source.Expected, Timing: c.Scenario.Timing, Late: late, Search: optimum.Search{Restarts: 1, Kicks: 2, Finalists: 4}, MaxEnumerated: 512}
	for _, r := range c.Scenario.Loads {
		cfg.Quanta = append(cfg.Quanta, r.Quantum)
	}
	return optimum.NewRewards(m, c.Objective, cfg)
}

// How long trainings are taken to last, in control steps: a minute and ten seconds of
// the mesh, on a controller that is not spared for them. ChangeRun.Trained has what
// they took.
const (
	retrainSteps  = 12
	transferSteps = 2
)

// Loop is an adaptive loop over the policy of before, which does a about changes;
// told are the changes that an oracle knows, of the run of a seed.
func (c *Changed) Loop(a Adaptation, told []change.Change, seed uint64) (*adapt.Loop, error) {
	cfg := adapt.Config{Model: c.Model, Value: c.Value, Base: c.Base,
		Monitor: c.Monitor, Seconds: c.Scenario.Timing.Seconds()}
	roll := &adapt.Rollout{Loads: c.loads, Gamma: c.Scenario.Gamma(), Horizon: c.horizon()}
	switch a {
	case NoAdaptation:
	case RolloutAdaptation:
		cfg.Rollout = roll
		cfg.Explore = adapt.Explore{Share: .1, Loss: .25, Total: 2}
	case RetrainAdaptation:
		cfg.Learn, cfg.LearnFor = c.learn(1, 1), retrainSteps
	case TransferAdaptation:
		cfg.Learn, cfg.LearnFor = c.learn(.2, 1./3), transferSteps
	case OracleAdaptation:
		cfg.Rollout = roll
		cfg.Told = func(t int) *adapt.Estimate {
			e := c.Truth(change.At(c.Scenario.Mesh.Layout(), told, seed, t))
			if e.Same() {
				return nil
			}
			return &e
		}
	default:
		return nil, fmt.Errorf("study: unknown adaptation %q; accepted: %v", a, Adaptations())
	}
	return adapt.New(cfg)
}

// horizon is that of rollout: until what is asked for now has been in force for a
// while.
func (c *Changed) horizon() int {
	return int(math.Ceil(c.Scenario.MustSpace().Longest()/c.Scenario.Timing.Seconds())) + 6
}

// Truth is the estimate that is right for a condition.
func (c *Changed) Truth(now change.Condition) adapt.Estimate {
	space := c.Scenario.MustSpace()
	var node []float64
	for _, v := range now.Speed {
		node = append(node, 1/v)
	}
	return adapt.Factor(space, node, now.Work, testbed.Lateness(space, now))
}

// learn trains on the present model from the weights of before: a share of the
// setting's steps at a share of its learning rate.
func (c *Changed) learn(steps, rate float64) func(context.Context, *optimum.Rewards, uint64) (policy.Policy, error) {
	return func(ctx context.Context, present *optimum.Rewards, seed uint64) (policy.Policy, error) {
		set := c.setting.Short(steps)
		l := set.Learner.(learner.PPO)
		l.From = c.base
		l.Config.LearningRate *= rate
		if rate < 1 {
			l.Config.EvalEvery = max(l.Config.TotalSteps/4, 1)
		}
		l.Config.LearningRateSchedule = ppo.Linear
		set.Learner = l
		set.Load = c.pattern
		return l.Learn(ctx, Problem(present, c.Scenario, set), seed, nil)
	}
}

// ChangeRun is a run through a change.
type ChangeRun struct {
	Scenario    string     `json:"scenario"`
	Hash        string     `json:"scenario_hash"`
	Environment string     `json:"environment"`
	Change      string     `json:"change"` // as in the scenario, "" for none
	Adaptation  Adaptation `json:"adaptation"`
	Run         int        `json:"run"`
	Begins      int        `json:"begins"` // step of the change; -1 for none
	// Shows is the step from which on the change can be seen: Begins, or if replicas
	// start later the first from then on in which one is overdue; -1 for none.
	Shows    int       `json:"shows"`
	Reward   []float64 `json:"reward"` // of each step
	Alarms   []int     `json:"alarms,omitempty"`
	Acted    []int     `json:"acted,omitempty"` // alarms that were not dismissed
	Why      []string  `json:"why,omitempty"`   // who took charge, when and why
	Explored int       `json:"explored,omitempty"`
	// Trained are the s that trainings took.
	Trained []float64 `json:"trained,omitempty"`
	// Seconds of each decision while whoever adapts was in charge: median and 99th
	// percentile.
	Seconds [2]float64 `json:"seconds"`
	Failed  int        `json:"failed,omitempty"` // decisions
	Marks   []string   `json:"marks,omitempty"`
}

// Run makes a run of so many steps through changes on a testbed.
func (c *Changed) Run(ctx context.Context, bed testbed.Changeable, changes []change.Change, a Adaptation, run, steps int) (ChangeRun, error) {
	seed := heldOutSeed + uint64(run)
	out := ChangeRun{Scenario: c.Scenario.Name, Hash: c.Scenario.Hash()[:12], Environment: bed.Name(), Change: c.format(changes), Adaptation: a, Run: run, Begins: -1, Shows: -1}
	hidden := true
	for k, x := range changes {
		if b := x.Begins(seed, k); out.Begins < 0 || b < out.Begins {
			out.Begins = b
		}
		hidden = hidden && x.Kind == change.StartUp
	}
	if !hidden {
		out.Shows = out.Begins
	}
	env, err := c.env(&testbed.Changing{Changeable: bed, Changes: changes})
	if err != nil {
		return out, err
	}
	loop, err := c.Loop(a, changes, seed)
	if err != nil {
		return out, err
	}
	defer loop.Close()
	p := &timed{Loop: loop}
	var last adapt.Charge
	_, err = episode.Run(ctx, env, p, steps, seed, func(x control.Step) {
		loop.Observe(x)
		s := loop.Status()
		if s.Who != last.Who || s.Since != last.Since && s.Why != last.Why {
			out.Why = append(out.Why, fmt.Sprintf("%d %s: %s", s.Since, s.Who, s.Why))
			last = s.Charge
		}
		p.counts = s.Who != adapt.Base
		if out.Shows < 0 && out.Begins >= 0 && x.T >= out.Begins && s.Overdue > 0 {
			out.Shows = x.T
		}
		out.Reward = append(out.Reward, x.Reward)
		if m := x.Measurement.Mark; m != "" && !slices.Contains(out.Marks, m) && len(out.Marks) < 10 {
			out.Marks = append(out.Marks, m)
		}
	})
	s := loop.Status()
	out.Alarms, out.Acted, out.Trained, out.Explored, out.Failed = s.Alarms, s.Acted, s.Trained, s.Explored, s.Failed
	if s.Failed > 0 {
		out.Marks = append(out.Marks, s.Err.Error())
	}
	out.Seconds = p.quantiles()
	return out, err
}

// timed measures how long decisions take.
type timed struct {
	*adapt.Loop
	counts  bool
	seconds []float64
}

func (p *timed) Act(s mesh.State) (mesh.Action, error) {
	begin := time.Now()
	a, err := p.Loop.Act(s)
	if p.counts {
		p.seconds = append(p.seconds, time.Since(begin).Seconds())
	}
	return a, err
}

func (p *timed) quantiles() (q [2]float64) {
	if len(p.seconds) == 0 {
		return q
	}
	slices.Sort(p.seconds)
	return [2]float64{p.seconds[len(p.seconds)/2], p.seconds[len(p.seconds)*99/100]}
}

// errNoChange says that a scenario has none.
var errNoChange = errors.New("the scenario has no changes")
