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
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/sim"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/local"
	"github.com/meshbench/meshbench/lab/trace"
)

// Trial is an evaluation on a testbed: every entrant under every objective and
// load, several times, all entrants under the same loads and requests. The zero
// value is the full trial on the local testbed.
type Trial struct {
	// Start starts a testbed; default the local one at its defaults.
	Start func(context.Context) (testbed.Testbed, error)
	// Beds is the number of testbeds that run at a time. If 0, it will be
	// defaulted to 1. More than one share the machine: look at the marks.
	Beds int
	// Patterns default to 150 steps of random load and of a sinusoid of that
	// period.
	Patterns []Evaluated
	// Runs of each entrant, with seeds Seed, Seed+1, ... . If 0, it will be
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
	if t.Start == nil {
		t.Start = func(ctx context.Context) (testbed.Testbed, error) { return local.New(ctx, local.Config{}) }
	}
	if t.Beds == 0 {
		t.Beds = 1
	}
	if t.Patterns == nil {
		t.Patterns = TrialPatterns(150)
	}
	if t.Runs == 0 {
		t.Runs = 5
	}
	return t
}

// TrialPatterns are the loads of a trial: the given number of steps of random
// load, which is that of training, and of one period of a sinusoid, which is
// not.
func TrialPatterns(steps int) []Evaluated {
	return []Evaluated{{load.Random{}, steps}, {load.Sinusoidal{Period: steps}, steps}}
}

// Event is what a trial holds under one objective.
type Event struct {
	Objective objective.Objective
	Reference *sim.Rewards // its optimal rewards are those of ANR
	Entrants  []Entrant
}

// Entrant is a policy in a trial.
type Entrant struct {
	Name string
	New  func(run int) (policy.Policy, error) // for a run, counted from 0
}

// bout is one run to be made.
type bout struct {
	event   Event
	entrant Entrant
	load    Evaluated
	run     int
}

// Evaluate makes the runs that File does not have yet, and returns all of the
// trial's. Rounds are complete one after the other, so that what an
// interrupted trial leaves can be compared.
func (t Trial) Evaluate(ctx context.Context, events []Event) ([]anr.Run, error) {
	t = t.defaults()
	var bouts []bout
	for run := range t.Runs {
		for _, e := range events {
			for _, l := range t.Patterns {
				for _, x := range e.Entrants {
					bouts = append(bouts, bout{e, x, l, run})
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
		runs, err := anr.ReadRuns(t.File, first.Mesh())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, r := range runs {
			have[r.Key()] = r
		}
	}
	out := make([]anr.Run, len(bouts))
	var open []int
	for k, b := range bouts {
		key := anr.Run{Environment: first.Name(), Objective: b.event.Objective.Name, Policy: b.entrant.Name, Pattern: b.load.Pattern.Name(), Seed: t.Seed + uint64(b.run)}.Key()
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
	done := len(bouts) - len(open)
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
				r, err := bouts[k].on(ctx, bed, t.Seed)
				if err != nil {
					return err
				}
				mu.Lock()
				out[k] = r
				done++
				if t.File != "" {
					err = anr.AppendRun(t.File, bed.Mesh(), r)
				}
				if err == nil && t.Progress != nil {
					t.Progress(r, done, len(bouts))
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
func (b bout) on(ctx context.Context, bed testbed.Testbed, seed uint64) (anr.Run, error) {
	wrap := func(err error) (anr.Run, error) {
		return anr.Run{}, fmt.Errorf("study: %s on %s, %s, %s load, run %d: %w", b.entrant.Name, bed.Name(), b.event.Objective.Name, b.load.Pattern.Name(), b.run, err)
	}
	p, err := b.entrant.New(b.run)
	if err != nil {
		return wrap(err)
	}
	env, err := sim.NewEnv(bed, b.load.Pattern, b.event.Objective, b.event.Reference.Model().Space())
	if err != nil {
		return wrap(err)
	}
	r, err := anr.Evaluate(ctx, env, p, b.event.Reference, anr.Config{Steps: b.load.Steps, Seed: seed + uint64(b.run)})
	if err != nil {
		return wrap(err)
	}
	r.Policy = b.entrant.Name
	return r, nil
}

// Cells groups runs by environment, objective, policy and load, in the order
// in which they first come.
func Cells(source, setting string, runs []anr.Run) []Cell {
	var cells []Cell
	for _, r := range runs {
		k := slices.IndexFunc(cells, func(c Cell) bool {
			return c.Environment == r.Environment && c.Objective == r.Objective && c.Policy == r.Policy && c.Load == r.Pattern
		})
		if k < 0 {
			k = len(cells)
			c := Cell{Source: source, Objective: r.Objective, Policy: r.Policy, Load: r.Pattern, Environment: r.Environment}
			if r.Policy == "ppo" {
				c.Setting = setting
			}
			cells = append(cells, c)
		}
		cells[k].Runs = append(cells[k].Runs, r)
	}
	return cells
}

// Events are the study's objectives with what a trial of source s compares:
// the policies trained in the given setting, a training seed for each run, and
// the baselines, calibrated on the same model: random, the best constant
// action, the proportional rule, and greedy on mean delays under the paper's
// model (see Source.Paper).
func (r *Result) Events(ctx context.Context, s Source, setting string) ([]Event, error) {
	model, err := s.Learn(ctx, r.Config.Seed)
	if err != nil {
		return nil, err
	}
	paper, err := s.Paper().Learn(ctx, r.Config.Seed)
	if err != nil {
		return nil, err
	}
	var events []Event
	for _, o := range r.Config.Objectives {
		reference, err := s.Rewards(model, o)
		if err != nil {
			return nil, err
		}
		mean, err := s.Paper().Rewards(paper, o)
		if err != nil {
			return nil, err
		}
		baselines, err := Baselines(reference, mean)
		if err != nil {
			return nil, err
		}
		var policies []Trained
		for _, t := range r.Trainings {
			if t.Source == s.Name && t.Objective == o.Name && t.Setting == setting {
				policies = append(policies, t.Trained)
			}
		}
		if policies == nil {
			return nil, fmt.Errorf("study: no policy was trained on %s for %s in setting %s", s.Name, o.Name, setting)
		}
		e := Event{Objective: s.Objective(o), Reference: reference, Entrants: []Entrant{{"ppo", func(run int) (policy.Policy, error) {
			return policies[run%len(policies)].Policy(model.Space())
		}}}}
		for _, b := range baselines {
			e.Entrants = append(e.Entrants, Entrant{b.Name(), func(int) (policy.Policy, error) {
				if _, draws := b.(*policy.Random); draws { // has a state of its own
					return &policy.Random{Space: model.Space()}, nil
				}
				return b, nil
			}})
		}
		events = append(events, e)
	}
	return events, nil
}

// TrialFile is the file of the committed trial on the local testbed, relative
// to Root.
const TrialFile = "datasets/local-evaluation.csv"

// Trial evaluates source s on a testbed and adds what it finds to the cells.
func (r *Result) Trial(ctx context.Context, s Source, setting string, t Trial) ([]anr.Run, error) {
	var runs []anr.Run
	err := r.timed("evaluation on a testbed, "+s.Name, func() error {
		events, err := r.Events(ctx, s, setting)
		if err != nil {
			return err
		}
		runs, err = t.Evaluate(ctx, events)
		return err
	})
	r.Cells = append(r.Cells, Cells(s.Name, setting, runs)...)
	return runs, err
}

// Short is a trial of a few minutes: one run of 30 steps of each load, two
// testbeds at a time.
func Short() Trial { return Trial{Beds: 2, Runs: 1, Patterns: TrialPatterns(30)} }

// ShortTrial is Trial with Short, or what it found before.
func (r *Result) ShortTrial(ctx context.Context, s Source, setting string, progress func(anr.Run, int, int)) error {
	t := Short()
	t.Progress = progress
	var key []any
	for _, o := range r.Config.Objectives {
		key = append(key, r.key(s, o))
	}
	var ran bool
	runs, err := Do(r.Config.Cache, "trial", append(key, setting), func() ([]anr.Run, error) {
		ran = true
		return r.Trial(ctx, s, setting, t)
	})
	if !ran {
		r.Cells = append(r.Cells, Cells(s.Name, setting, runs)...)
	}
	return err
}

// KeptTrial adds the runs of the committed trial on the local testbed, where
// there is one.
func (r *Result) KeptTrial(root string, s Source, setting string) error {
	runs, err := anr.ReadRuns(filepath.Join(root, TrialFile), s.Trace.Mesh())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	r.Cells = append(r.Cells, Cells(s.Name, setting, runs)...)
	return err
}

// TrialTable compares the policies of the trials of a source, the largest
// of each environment: ANR as interquartile mean over the runs with its 95 %
// interval, and PPO's advantage over each, paired by run: the median difference
// of ANR and the fraction of the pairs in which PPO is better.
func (r *Result) TrialTable(source string) (figure.Table, error) {
	t := figure.Table{Header: []string{"environment", "objective", "load", "policy", "ANR", "runs x steps", "marked steps", "PPO's advantage", "PPO better"}}
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
		learned, ok := r.longest(func(x Cell) bool { return same(x, c) && x.Policy == "ppo" })
		if ok && c.Policy != "ppo" {
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
func (s Source) Watch(ctx context.Context, seed uint64) (*sim.Model, *anr.Drift, error) {
	first, second := s.Rows().Split(trace.Split{Train: .5, Seed: seed})
	model, err := s.learn(ctx, first, seed)
	if err != nil {
		return nil, nil, err
	}
	var measured, predicted [][]float64
	simulator := sim.NewSimulator(model)
	for r := range second.Len() {
		row := second.Row(r)
		x, err := simulator.Measure(ctx, row.Load, row.Action)
		if err != nil {
			return nil, nil, err
		}
		measured = append(measured, Delays(row.Measurement))
		predicted = append(predicted, Delays(x))
	}
	d, err := anr.CalibrateDrift(measured, predicted)
	return model, &d, err
}

// Delays are the mean response times d_i of a measurement, s.
func Delays(x mesh.Measurement) []float64 {
	var d []float64
	for _, s := range x.Service {
		d = append(d, s.Mean)
	}
	return d
}
