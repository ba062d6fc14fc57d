package study

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/episode"
	"github.com/meshbench/meshbench/lab/internal/appendfile"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/testbed"
)

// RewardTrial is the comparison of policies on a testbed where knobs take their
// time, all under the same loads and requests, run by run.
type RewardTrial struct {
	Start    func(context.Context) (testbed.Testbed, error)
	Load     load.Pattern // default the scenario's patterns in turn
	Runs     int          // of each policy; default 5
	Steps    int          // of a run; default 60
	Beds     int          // testbeds at a time; default 1
	Policies []string     // by name; default all
	// File keeps the runs, a line of JSON each, and is gone on from.
	File string
	// Progress, if set, is told of each run.
	Progress func(run RewardRun, done, total int)
}

// RewardRun is a run of a RewardTrial.
type RewardRun struct {
	Scenario    string         `json:"scenario"`
	Hash        string         `json:"scenario_hash"` // of the scenario and the objective
	Environment string         `json:"environment"`
	Objective   string         `json:"objective"`
	Load        string         `json:"load"`
	Policy      string         `json:"policy"`
	Setting     string         `json:"setting,omitempty"`
	Run         int            `json:"run"`
	Steps       int            `json:"steps"`
	Result      episode.Result `json:"result"`
	// Waited are the s from when a higher value of a knob was asked for until it was
	// in force, as seen at the ends of steps.
	Waited []float64 `json:"waited,omitempty"`
	// Marks are what disturbed steps, each once.
	Marks []string `json:"marks,omitempty"`
}

// RewardTrial makes a trial on a testbed of what was trained and calibrated on all
// loads, and adds its cells to r.
func (r *Result) RewardTrial(ctx context.Context, s Source, t RewardTrial) error {
	wrap := func(err error) error { return fmt.Errorf("study: trial: %w", err) }
	o := r.Config.Objectives[0]
	x, err := newScaler(r.Config, s.fitted(ctx, r.Config), o, r.Config.Settings[0])
	if err != nil {
		return wrap(err)
	}
	if t.Load == nil {
		t.Load = load.Switching{Patterns: x.patterns}
	}
	t.Runs, t.Steps, t.Beds = max(t.Runs, 1), max(t.Steps, 1), max(t.Beds, 1)
	contestants, err := r.contestants(ctx, x, s)
	if err != nil {
		return wrap(err)
	}
	if t.Policies != nil {
		for _, name := range t.Policies {
			if !slices.ContainsFunc(contestants, func(c contestant) bool { return c.name == name }) {
				var names []string
				for _, c := range contestants {
					names = append(names, c.name)
				}
				return wrap(fmt.Errorf("unknown policy %q; accepted: %v", name, names))
			}
		}
		contestants = slices.DeleteFunc(contestants, func(c contestant) bool { return !slices.Contains(t.Policies, c.name) })
	}
	hash := s.Scenario.Hash()[:12] + " " + fmt.Sprint(objectiveKey(o))
	file, kept, err := openLines[RewardRun](t.File)
	if err != nil {
		return wrap(err)
	}
	defer file.Close()
	kept = slices.DeleteFunc(kept, func(k RewardRun) bool { return k.Hash != hash || k.Load != t.Load.Name() || k.Steps != t.Steps })
	type job struct {
		contestant, run int
	}
	var jobs []job
	for run := range t.Runs {
		for c := range contestants {
			if !slices.ContainsFunc(kept, func(k RewardRun) bool { return k.Policy == contestants[c].name && k.Run == run }) {
				jobs = append(jobs, job{c, run})
			}
		}
	}
	total := t.Runs * len(contestants)
	done := total - len(jobs)
	err = onBeds(ctx, t.Beds, t.Start, jobs, file, func(ctx context.Context, bed testbed.Testbed, j job) (RewardRun, error) {
		c := contestants[j.contestant]
		out := RewardRun{Scenario: s.Scenario.Name, Hash: hash, Environment: bed.Name(), Objective: o.Name, Load: t.Load.Name(), Policy: c.name, Setting: c.setting, Run: j.run, Steps: t.Steps}
		err := x.onBed(ctx, bed, c.makers[j.run%len(c.makers)], t.Load, &out)
		if err != nil {
			err = fmt.Errorf("%s, run %d: %w", c.name, j.run, err)
		}
		return out, err
	}, func(out RewardRun) {
		kept = append(kept, out)
		if done++; t.Progress != nil {
			t.Progress(out, done, total)
		}
	})
	if err != nil {
		return wrap(err)
	}
	for _, c := range contestants {
		var runs []RewardRun
		for _, k := range kept {
			if k.Policy == c.name && k.Run < t.Runs {
				runs = append(runs, k)
			}
		}
		slices.SortFunc(runs, func(a, b RewardRun) int { return a.Run - b.Run })
		cell := RewardCell{Source: s.Name, Objective: o.Name, Load: t.Load.Name(), Policy: c.name, Setting: c.setting, TrainedOn: c.on, Seeds: 1}
		for _, k := range runs {
			cell.Environment = k.Environment
			cell.Runs = append(cell.Runs, k.Result)
		}
		r.Rewards = append(r.Rewards, cell)
	}
	return nil
}

// contestant is a policy of a trial: run n is made by maker n modulo their number.
type contestant struct {
	name, setting, on string
	makers            []maker
}

// contestants are the learned policies, rules and the greedy policy.
func (r *Result) contestants(ctx context.Context, x *scaler, s Source) ([]contestant, error) {
	list := []contestant{{name: x.setting.Learner.Name(), setting: x.setting.Name, on: allLoads}, {name: directName(x.setting.Learner), setting: direct, on: allLoads}}
	for n := range list {
		learned := &list[n]
		for _, t := range r.Trainings {
			if t.Objective == x.objective.Name && t.Setting == learned.setting {
				learned.makers = append(learned.makers, x.learned(t.Trained)...)
			}
		}
		if learned.makers == nil {
			return nil, errors.New("nothing was trained")
		}
	}
	best, err := r.calibrated(ctx, x, s)
	if err != nil {
		return nil, err
	}
	for n, rule := range ruleGrids(s.Scenario) {
		list = append(list, contestant{rule.name, "", allLoads, []maker{func(load.Pattern) (policy.Policy, error) { return rule.candidates()[best[n]], nil }}})
	}
	constants, err := x.constants()
	if err != nil {
		return nil, err
	}
	constant := constants[best[len(best)-1]]
	return append(list,
		contestant{"constant", "", allLoads, []maker{func(load.Pattern) (policy.Policy, error) { return constant, nil }}},
		contestant{"greedy", "", "", []maker{func(load.Pattern) (policy.Policy, error) { return policy.Greedy{Optimum: x.rewards}, nil }}}), nil
}

// calibrated are the numbers of the candidates of each rule that score best on all
// loads, and of the constants.
func (r *Result) calibrated(ctx context.Context, x *scaler, s Source) ([]int, error) {
	return Do(r.Config.Cache, "calibrated", append(s.key(), objectiveKey(x.objective)), func() ([]int, error) {
		rules, err := x.rules(ctx)
		var best []int
		for _, rule := range rules {
			best = append(best, rule.best(loadSet{allLoads, x.patterns, 1}))
		}
		return best, err
	})
}

// onBed makes a run on a testbed.
func (s *scaler) onBed(ctx context.Context, bed testbed.Testbed, m maker, pattern load.Pattern, out *RewardRun) error {
	p, err := m(pattern)
	if err != nil {
		return err
	}
	env, err := control.NewEnv(bed, pattern, s.objective, control.Config{Past: s.past, Seconds: bed.Timing().Seconds()})
	if err != nil {
		return err
	}
	w := waits{space: bed.Space()}
	out.Result, err = episode.Run(ctx, env, p, out.Steps, heldOutSeed+uint64(out.Run), func(x control.Step) {
		w.step(x)
		if m := x.Measurement.Mark; m != "" && !slices.Contains(out.Marks, m) && len(out.Marks) < 10 {
			out.Marks = append(out.Marks, m)
		}
	})
	out.Waited = w.waited
	return err
}

// waits measures for how long higher values of knobs are on their way.
type waits struct {
	space  *mesh.Space
	time   float64 // s; when the step began
	since  map[int]wait
	waited []float64
}

type wait struct{ value, since float64 }

func (w *waits) step(x control.Step) {
	if w.since == nil {
		w.since = map[int]wait{}
	}
	for h := range w.space.Knobs() {
		k := &w.space.Knobs()[h]
		if !k.Slow() {
			continue
		}
		asked, inForce := k.Values(x.Asked)[0], k.Values(x.Next.InForce)[0]
		on, waiting := w.since[h]
		switch {
		case waiting && inForce >= on.value:
			w.waited = append(w.waited, x.Next.Time-on.since)
			delete(w.since, h)
		case waiting && asked < on.value:
			delete(w.since, h) // given up
		}
		if _, waiting := w.since[h]; !waiting && asked > inForce {
			w.since[h] = wait{asked, w.time}
		}
	}
	w.time = x.Next.Time
}

// openLines opens a file of runs, a line of JSON each, and reads what it has.
func openLines[T any](path string) (*appendfile.File, []T, error) {
	var runs []T
	f, err := appendfile.Open(path, func(in io.Reader) (size int64, err error) {
		runs, size, err = readLines[T](path, in)
		return size, err
	})
	return f, runs, err
}

// readLines reads whole lines, of a file that may still be written.
func readLines[T any](path string, in io.Reader) (runs []T, size int64, err error) {
	b := bufio.NewReader(in)
	for n := 1; ; n++ {
		line, err := b.ReadBytes('\n')
		if err == io.EOF {
			return runs, size, nil // a torn line is cut off
		}
		if err != nil {
			return runs, size, err
		}
		var run T
		if err := json.Unmarshal(line, &run); err != nil {
			return runs, size, fmt.Errorf("%s: line %d is no run: %w", path, n, err)
		}
		runs = append(runs, run)
		size += int64(len(line))
	}
}
