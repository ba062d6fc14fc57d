package study

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/internal/appendfile"
	"github.com/meshbench/meshbench/lab/internal/median"
	"github.com/meshbench/meshbench/lab/testbed"
)

// ChangeTrial is all adaptations through all changes of a scenario, run by run.
type ChangeTrial struct {
	Start       func(context.Context) (testbed.Changeable, error)
	Changes     []string     // as change.Parse takes them; default the scenario's
	Adaptations []Adaptation // default all
	Runs        int          // of each; default 20
	Steps       int          // of a run; default 220
	Beds        int          // testbeds at a time; default 1
	// Quiet is how many runs are made without a change, to count false alarms.
	Quiet int
	// File keeps the runs, a line of JSON each, and is gone on from. Default none.
	File string
	// Progress, if set, is told of each run.
	Progress func(run ChangeRun, done, total int)
}

// Trial makes a trial and returns its runs, those of the file with them.
func (c *Changed) Trial(ctx context.Context, t ChangeTrial) ([]ChangeRun, error) {
	wrap := func(err error) ([]ChangeRun, error) { return nil, fmt.Errorf("study: changes: %w", err) }
	if t.Changes == nil {
		t.Changes = c.Scenario.Changes
	}
	for _, a := range t.Adaptations {
		if !slices.Contains(Adaptations(), a) {
			return wrap(fmt.Errorf("unknown adaptation %q; accepted: %v", a, Adaptations()))
		}
	}
	if len(t.Changes) == 0 && t.Quiet == 0 {
		return wrap(errNoChange)
	}
	if t.Adaptations == nil {
		t.Adaptations = Adaptations()
	}
	if t.Runs == 0 {
		t.Runs = 20
	}
	if t.Steps == 0 {
		t.Steps = 220
	}
	type job struct {
		changes    []change.Change
		adaptation Adaptation
		run        int
	}
	l := c.Scenario.Mesh.Layout()
	var jobs []job
	for run := range t.Quiet {
		jobs = append(jobs, job{nil, RolloutAdaptation, run})
	}
	for _, a := range t.Adaptations {
		for run := range t.Runs {
			for _, text := range t.Changes {
				list, err := change.ParseAll(strings.Fields(text), l)
				if err != nil {
					return wrap(err)
				}
				jobs = append(jobs, job{list, a, run})
			}
		}
	}
	var file *appendfile.File
	var kept []ChangeRun
	var err error
	if t.File != "" {
		if file, kept, err = openLines[ChangeRun](t.File); err != nil {
			return wrap(err)
		}
		defer file.Close()
	}
	hash := c.Scenario.Hash()[:12]
	kept = slices.DeleteFunc(kept, func(r ChangeRun) bool { return r.Hash != hash || len(r.Reward) != t.Steps })
	total := len(jobs)
	jobs = slices.DeleteFunc(jobs, func(j job) bool {
		name := c.format(j.changes)
		return slices.ContainsFunc(kept, func(r ChangeRun) bool {
			return r.Change == name && r.Adaptation == j.adaptation && r.Run == j.run
		})
	})
	done := total - len(jobs)
	err = onBeds(ctx, t.Beds, t.Start, jobs, file, func(ctx context.Context, bed testbed.Changeable, j job) (ChangeRun, error) {
		out, err := c.Run(ctx, bed, j.changes, j.adaptation, j.run, t.Steps)
		if err != nil {
			err = fmt.Errorf("%s, %s, run %d: %w", out.Change, j.adaptation, j.run, err)
		}
		return out, err
	}, func(out ChangeRun) {
		kept = append(kept, out)
		if done++; t.Progress != nil {
			t.Progress(out, done, total)
		}
	})
	if err != nil {
		return wrap(err)
	}
	slices.SortFunc(kept, func(a, b ChangeRun) int { return a.Run - b.Run })
	return kept, nil
}

// format is what happens in a run, as a scenario says it.
func (c *Changed) format(list []change.Change) string {
	var texts []string
	for _, x := range list {
		texts = append(texts, x.Format(c.Scenario.Mesh.Layout()))
	}
	return strings.Join(texts, " ")
}

const (
	// recovery is the number of steps whose mean reward counts as recovered.
	recovery = 12
	// recovered is the share of the loss without adaptation that may be left.
	recovered = .1
)

// ChangeCell is what the runs of an adaptation through a change gave. Losses are
// those against the oracle, step by step in pairs of runs.
type ChangeCell struct {
	Change     string
	Adaptation Adaptation
	Runs       int
	Before     anr.Interval // mean reward of a step before the change
	After      anr.Interval // and after it
	Lost       anr.Interval // reward lost until recovery, in all
	Share      float64      // of what retraining recovers, from 12 steps after detection on; NaN where that is less than 1 a run
	Detected   anr.Interval // median steps from where the change can be seen to the alarm, over runs that had one
	Missed     int          // runs without an alarm after the change
	Recovered  anr.Interval // median steps from the change to recovery; of runs that do not recover all that are left
	Never      int          // runs that do not recover
	Trained    float64      // s of a training, median; NaN without one
	Seconds    [2]float64   // of a decision: median of medians, highest 99th percentile
}

// detected is how many steps after its change could be seen a run had an alarm, -1 for
// never.
func (r ChangeRun) detected() int {
	for _, t := range r.Alarms {
		if t > r.Shows {
			return t - r.Shows
		}
	}
	return -1
}

// FalseAlarms are the alarms of runs without a change and of the steps before one,
// in all those steps; acted are those after which somebody took charge.
func FalseAlarms(runs []ChangeRun) (alarms, acted, steps int) {
	for _, r := range runs {
		if r.Adaptation == OracleAdaptation {
			continue
		}
		end := r.Begins
		if r.Begins < 0 {
			end = len(r.Reward)
		} else if r.Adaptation != RolloutAdaptation {
			continue // the same steps again
		}
		steps += end
		before := func(list []int) (n int) {
			for _, t := range list {
				if t <= end {
					n++
				}
			}
			return n
		}
		alarms += before(r.Alarms)
		acted += before(r.Acted)
	}
	return alarms, acted, steps
}

// ChangeCells sums runs up.
func ChangeCells(runs []ChangeRun, order []Adaptation) []ChangeCell {
	of := map[string]map[Adaptation]map[int]ChangeRun{}
	var names []string
	for _, r := range runs {
		if r.Change == "" {
			continue
		}
		if of[r.Change] == nil {
			of[r.Change] = map[Adaptation]map[int]ChangeRun{}
			names = append(names, r.Change)
		}
		if of[r.Change][r.Adaptation] == nil {
			of[r.Change][r.Adaptation] = map[int]ChangeRun{}
		}
		of[r.Change][r.Adaptation][r.Run] = r
	}
	slices.Sort(names)
	var cells []ChangeCell
	for _, name := range names {
		for _, a := range order {
			c := ChangeCell{Change: name, Adaptation: a}
			var before, after, lost, when, back, seconds, trained []float64
			gained, could := 0.0, 0.0
			for run := range len(runs) {
				r, ok := of[name][a][run]
				o, ok2 := of[name][OracleAdaptation][run]
				none, ok3 := of[name][NoAdaptation][run]
				if !ok || !ok2 || !ok3 {
					continue
				}
				c.Runs++
				before, after = append(before, average(r.Reward[:r.Begins])), append(after, average(r.Reward[r.Begins:]))
				if d := r.detected(); d >= 0 {
					when = append(when, float64(d))
				} else if r.Shows >= 0 {
					c.Missed++
				}
				trained = append(trained, r.Trained...)
				loss, steps, ok := r.recover(o, none)
				lost, back = append(lost, loss), append(back, float64(steps))
				if !ok {
					c.Never++
				}
				seconds = append(seconds, r.Seconds[0])
				c.Seconds[1] = max(c.Seconds[1], r.Seconds[1])
				if b, ok := of[name][RetrainAdaptation][run]; ok {
					if d := of[name][RolloutAdaptation][run].detected(); d >= 0 {
						from := min(of[name][RolloutAdaptation][run].Shows+d+recovery, len(r.Reward))
						gained += total(r.Reward[from:]) - total(none.Reward[from:])
						could += total(b.Reward[from:]) - total(none.Reward[from:])
					}
				}
			}
			if c.Runs == 0 {
				continue
			}
			slices.Sort(seconds)
			c.Seconds[0], c.Trained = seconds[len(seconds)/2], median.Of(trained)
			c.Before, c.After, c.Lost = anr.Mean(before), anr.Mean(after), anr.Mean(lost)
			c.Detected, c.Recovered = anr.Median(when), anr.Median(back)
			if c.Share = math.NaN(); could > float64(c.Runs) { // else there is nothing to have a share of
				c.Share = gained / could
			}
			cells = append(cells, c)
		}
	}
	return cells
}

func total(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		if !math.IsNaN(x) {
			sum += x
		}
	}
	return sum
}

func average(v []float64) float64 {
	sum, n := 0.0, 0
	for _, x := range v {
		if !math.IsNaN(x) {
			sum += x
			n++
		}
	}
	return sum / float64(n)
}

// recover is what a run lost against the oracle until it had recovered, and after
// how many steps it had: until the mean loss of the next 12 steps is at most a
// tenth of the mean loss without adaptation from the change on.
func (r ChangeRun) recover(oracle, none ChangeRun) (lost float64, steps int, ok bool) {
	loss := func(x ChangeRun, from, to int) float64 {
		return total(oracle.Reward[from:to]) - total(x.Reward[from:to])
	}
	n := len(r.Reward)
	limit := float64(recovered * max(loss(none, r.Begins, n)/float64(n-r.Begins), 0))
	at := r.Begins
	for ; at+recovery <= n; at++ {
		if loss(r, at, at+recovery)/recovery <= limit+1e-12 {
			return loss(r, r.Begins, at), at - r.Begins, true
		}
	}
	return loss(r, r.Begins, n), n - r.Begins, false
}

// ChangeTable lists cells.
func ChangeTable(cells []ChangeCell) figure.Table {
	t := figure.Table{Header: []string{"change", "adaptation", "runs", "reward before", "reward after", "lost until recovery", "share of what retraining recovers",
		"steps to detect", "not detected", "steps to recover", "never", "s per training", "ms per decision, median", "99th percentile"}}
	for _, c := range cells {
		row := []string{c.Change, string(c.Adaptation), fmt.Sprint(c.Runs), c.Before.String(), c.After.String(), short(c.Lost), figure.Number(c.Share, 2),
			short(c.Detected), fmt.Sprint(c.Missed), short(c.Recovered), fmt.Sprint(c.Never), figure.Number(c.Trained, 1), figure.Number(1e3*c.Seconds[0], 1), figure.Number(1e3*c.Seconds[1], 1)}
		if c.Adaptation == OracleAdaptation {
			row[7], row[8] = "", ""
		}
		if c.Seconds[1] == 0 {
			row[12], row[13] = "", ""
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// short is an interval of one decimal.
func short(i anr.Interval) string { return fmt.Sprintf("%.1f [%.1f, %.1f]", i.Value, i.Lo, i.Hi) }
