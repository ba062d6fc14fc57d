package study

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/trace"
)

// Trial is an evaluation on a testbed: every policy under every objective and
// load, several times, all policies under the same loads and requests. Zero
// values are those of the full trial.
type Trial struct {
	// Scenario is what the testbed runs. There is no default.
	Scenario scenario.Scenario
	// Start starts a testbed. There is no default.
	Start func(context.Context) (testbed.Testbed, error)
	// Code is the hash of the code that runs there, by which the cache knows what
	// CachedTrial found (see Code); "" keeps nothing.
	Code string
	// Beds is the number of testbeds that run at a time. If 0, it will be
	// defaulted to 1. More than one share the machine: look at the marks.
	Beds int
	// Patterns default to 150 steps of random load and of a sinusoid of that
	// period.
	Patterns []Evaluated
	// Runs of each policy, with seeds Seed, Seed+1, ... . If 0, it will be
	// defaulted to 5.
	Runs int
	Seed uint64
	// File keeps every run as it is done (see anr.AppendRun), and is where an
	// interrupted trial goes on; "" keeps none.
	File string
	// Progress, if set, is told of every run. Calls do not overlap.
	Progress func(run anr.Run, done, total int)
}

func (t Trial) defaults() Trial {
	if t.Beds == 0 {
		t.Beds = 1
	}
	if t.Patterns == nil {
		t.Patterns = TrialPatterns(t.Scenario, 150)
	}
	if t.Runs == 0 {
		t.Runs = 5
	}
	return t
}

// Contest is what a trial compares under one objective.
type Contest struct {
	Objective objective.Objective
	Reference *optimum.Rewards // its best rewards are those of ANR
	Policies  []Contestant
}

// Contestant is a policy in a trial.
type Contestant struct {
	Name string
	New  func(run int) (policy.Policy, error) // for a run, counted from 0
}

// trialRun is one run to be made.
type trialRun struct {
	contest Contest
	policy  Contestant
	load    Evaluated
	run     int
}

// Evaluate makes the runs that File does not have yet, and returns all of the
// trial's. Rounds are complete one after the other, so that what an
// interrupted trial leaves can be compared.
func (t Trial) Evaluate(ctx context.Context, contests []Contest) ([]anr.Run, error) {
	t = t.defaults()
	if t.Start == nil {
		return nil, errors.New("study: a trial needs a testbed to start")
	}
	var all []trialRun
	for run := range t.Runs {
		for _, e := range contests {
			for _, l := range t.Patterns {
				for _, x := range e.Policies {
					all = append(all, trialRun{e, x, l, run})
				}
			}
		}
	}
	first, err := t.Start(ctx)
	if err != nil {
		return nil, err
	}
	beds := []testbed.Testbed{first}
	defer func() {
		for _, b := range beds {
			b.Close()
		}
	}()
	have := map[string]anr.Run{}
	if t.File != "" {
		runs, err := anr.ReadRuns(t.File, first.Space())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, r := range runs {
			have[r.Key()] = r
		}
	}
	out := make([]anr.Run, len(all))
	var open []int
	for k, b := range all {
		key := anr.Run{Environment: first.Name(), Objective: b.contest.Objective.Name, Policy: b.policy.Name, Pattern: b.load.Pattern.Name(), Seed: t.Seed + uint64(b.run)}.Key()
		if r, ok := have[key]; ok && len(r.Steps) == b.load.Steps {
			out[k] = r
		} else {
			open = append(open, k)
		}
	}
	for len(beds) < min(t.Beds, len(open)) {
		b, err := t.Start(ctx)
		if err != nil {
			return nil, err
		}
		beds = append(beds, b)
	}
	var mu sync.Mutex
	done := len(all) - len(open)
	next := 0
	g, ctx := errgroup.WithContext(ctx)
	for _, bed := range beds {
		g.Go(func() error {
			for {
				mu.Lock()
				if next == len(open) {
					mu.Unlock()
					return nil
				}
				k := open[next]
				next++
				mu.Unlock()
				r, err := all[k].on(ctx, bed, t.Seed)
				if err != nil {
					return err
				}
				mu.Lock()
				out[k] = r
				done++
				if t.File != "" {
					err = anr.AppendRun(t.File, bed.Space(), r)
				}
				if err == nil && t.Progress != nil {
					t.Progress(r, done, len(all))
				}
				mu.Unlock()
				if err != nil {
					return err
				}
			}
		})
	}
	return out, g.Wait()
}

// on makes the run.
func (b trialRun) on(ctx context.Context, bed testbed.Testbed, seed uint64) (anr.Run, error) {
	wrap := func(err error) (anr.Run, error) {
		return anr.Run{}, fmt.Errorf("study: %s on %s, %s, %s load, run %d: %w", b.policy.Name, bed.Name(), b.contest.Objective.Name, b.load.Pattern.Name(), b.run, err)
	}
	p, err := b.policy.New(b.run)
	if err != nil {
		return wrap(err)
	}
	env, err := control.NewEnv(bed, b.load.Pattern, b.contest.Objective, control.Config{Space: b.contest.Reference.Space()})
	if err != nil {
		return wrap(err)
	}
	r, err := anr.Evaluate(ctx, env, p, b.contest.Reference, anr.Config{Steps: b.load.Steps, Seed: seed + uint64(b.run)})
	if err != nil {
		return wrap(err)
	}
	r.Policy = b.policy.Name
	return r, nil
}

// Cells groups runs by environment, objective, policy and load, in the order
// in which they first come; learned is the policy that was trained in the given
// setting.
func Cells(source, setting, learned string, runs []anr.Run) []Cell {
	var cells []Cell
	for _, r := range runs {
		k := slices.IndexFunc(cells, func(c Cell) bool {
			return c.Environment == r.Environment && c.Objective == r.Objective && c.Policy == r.Policy && c.Load == r.Pattern
		})
		if k < 0 {
			k = len(cells)
			c := Cell{Source: source, Objective: r.Objective, Policy: r.Policy, Load: r.Pattern, Environment: r.Environment}
			if r.Policy == learned {
				c.Setting = setting
			}
			cells = append(cells, c)
		}
		cells[k].Runs = append(cells[k].Runs, r)
	}
	return cells
}

// Contests are the study's objectives with what a trial of source s compares:
// the policies trained in the given setting, a training seed for each run, and
// the baselines, calibrated on the same model: random, the best constant
// action, the proportional rule, and greedy as in the simulator; of an application
// that is deployed also what it is without control, an even split.
func (r *Result) Contests(ctx context.Context, s Source, set Setting) ([]Contest, error) {
	f := s.fitted(ctx, r.Config)
	greedy, err := s.Greedy(ctx, r.Config.Seed)
	if err != nil {
		return nil, err
	}
	var contests []Contest
	for _, o := range r.Config.Objectives {
		reference, baselines, err := f.baselines(o, greedy)
		if err != nil {
			return nil, err
		}
		var policies []Trained
		for _, t := range r.Trainings {
			if t.Source == s.Name && t.Objective == o.Name && t.Setting == set.Name {
				policies = append(policies, t.Trained)
			}
		}
		if policies == nil {
			return nil, fmt.Errorf("study: no policy was trained on %s for %s in setting %s", s.Name, o.Name, set.Name)
		}
		c := Contest{Objective: s.Objective(o), Reference: reference, Policies: []Contestant{{set.Learner.Name(), func(run int) (policy.Policy, error) {
			return policies[run%len(policies)].Policy(reference.Space())
		}}}}
		for _, b := range baselines {
			c.Policies = append(c.Policies, Contestant{b.Name(), func(int) (policy.Policy, error) { return b.fresh(), nil }})
		}
		if s.Scenario.Deployed() {
			c.Policies = append(c.Policies, Contestant{"even", func(int) (policy.Policy, error) {
				space := reference.Space()
				return policy.Static{Label: "even", Action: space.Default()}, nil
			}})
		}
		contests = append(contests, c)
	}
	return contests, nil
}

// TrialFile is the file of the committed trial on the local testbed, relative
// to Root.
const TrialFile = "datasets/local-evaluation.csv"

// Trial evaluates source s on a testbed and adds what it finds to the cells.
func (r *Result) Trial(ctx context.Context, s Source, setting string, t Trial) ([]anr.Run, error) {
	set, err := r.Config.setting(setting)
	if err != nil {
		return nil, err
	}
	t.Scenario = s.Scenario
	var runs []anr.Run
	err = r.Timed("evaluation on a testbed, "+s.Name, func() error {
		contests, err := r.Contests(ctx, s, set)
		if err != nil {
			return err
		}
		runs, err = t.Evaluate(ctx, contests)
		return err
	})
	r.Cells = append(r.Cells, Cells(s.Name, setting, set.Learner.Name(), runs)...)
	return runs, err
}

// Short is a trial of a few minutes on the testbeds that start starts, whose code
// has the given hash: one run of 30 steps of each load, two testbeds at a time.
func Short(s scenario.Scenario, start func(context.Context) (testbed.Testbed, error), code string) Trial {
	return Trial{Scenario: s, Start: start, Code: code, Beds: 2, Runs: 1, Patterns: TrialPatterns(s, 30)}
}

// CachedTrial is Trial, or what the same one found before.
func (r *Result) CachedTrial(ctx context.Context, s Source, setting string, t Trial) error {
	set, err := r.Config.setting(setting)
	if err != nil {
		return err
	}
	key := []any{setting, t.Code, t.Runs, t.Seed}
	if t.Code == "" {
		key = append(key, uncached{})
	}
	for _, e := range t.Patterns {
		key = append(key, pattern(e.Pattern), e.Steps)
	}
	for _, o := range r.Config.Objectives {
		key = append(key, r.key(s, o)...)
	}
	var ran bool
	runs, err := Do(r.Config.Cache, "trial", key, func() ([]anr.Run, error) {
		ran = true
		return r.Trial(ctx, s, setting, t)
	})
	if !ran {
		r.Cells = append(r.Cells, Cells(s.Name, setting, set.Learner.Name(), runs)...)
	}
	return err
}

// KeptTrial adds the runs of the committed trial on the local testbed, where
// there is one.
func (r *Result) KeptTrial(root string, s Source, setting string) error {
	set, err := r.Config.setting(setting)
	if err != nil {
		return err
	}
	runs, err := anr.ReadRuns(filepath.Join(root, TrialFile), s.Trace.Space())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	r.Cells = append(r.Cells, Cells(s.Name, setting, set.Learner.Name(), runs)...)
	return err
}

// TrialTable compares the policies of the trials of a source, the largest
// of each environment: ANR as interquartile mean over the runs with its 95 %
// interval, and the learned policy's advantage over each, paired by run: the
// median difference of ANR and the fraction of the pairs in which it is better.
func (r *Result) TrialTable(source string) (figure.Table, error) {
	t := figure.Table{Header: []string{"environment", "objective", "load", "policy", "ANR", "runs x steps", "marked steps", "learned policy's advantage", "learned better"}}
	same := func(a, b Cell) bool {
		return a.Source == b.Source && a.Environment == b.Environment && a.Objective == b.Objective && a.Load == b.Load
	}
	for _, c := range r.Cells {
		if c.Source != source || c.Environment == "simulation" {
			continue
		}
		if best, _ := r.longest(func(x Cell) bool { return same(x, c) && x.Policy == c.Policy }); len(best.Runs) != len(c.Runs) || len(best.Runs[0].Steps) != len(c.Runs[0].Steps) {
			continue
		}
		var values []float64
		marked := 0
		for _, run := range c.Runs {
			values = append(values, run.ANR())
			for _, s := range run.Steps {
				if s.Mark != "" {
					marked++
				}
			}
		}
		row := []string{c.Environment, c.Objective, c.Load, c.Policy, anr.IQM(values).String(), fmt.Sprintf("%d x %d", len(c.Runs), len(c.Runs[0].Steps)), fmt.Sprint(marked), "", ""}
		learned, ok := r.longest(func(x Cell) bool { return same(x, c) && x.Learned() })
		if ok && !c.Learned() {
			d, err := anr.Compare(learned.Runs, c.Runs)
			if err != nil {
				return t, err
			}
			row[7], row[8] = d.Difference.String(), fmt.Sprintf("%.2f", d.Improvement)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// Watch returns a model of half of a source's rows, with which delays are
// predicted, and a drift chart that is calibrated on the other half.
func (s Source) Watch(ctx context.Context, seed uint64) (model.Learned, *anr.Drift, error) {
	first, second := s.Rows().Split(trace.Split{Train: .5, Seed: seed})
	m, err := s.learn(ctx, first, seed)
	if err != nil {
		return nil, nil, err
	}
	var measured, predicted [][]float64
	simulator := control.NewSimulator(m, s.Scenario.Timing)
	for r := range second.Len() {
		row := second.Row(r)
		simulator.Configure(row.Action, nil)
		x, err := simulator.Measure(ctx, row.Load, row.Action)
		if err != nil {
			return nil, nil, err
		}
		measured = append(measured, Delays(row.Measurement))
		predicted = append(predicted, Delays(x))
	}
	d, err := anr.CalibrateDrift(measured, predicted)
	return m, &d, err
}

// Delays are the mean response times d_i of a measurement, s.
func Delays(x mesh.Measurement) []float64 {
	var d []float64
	for _, s := range x.Service {
		d = append(d, s.Mean)
	}
	return d
}
