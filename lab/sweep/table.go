package sweep

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/figure"
)

// Collected are the results of a sweep.
type Collected struct {
	Results []Result // in the order of the tasks
	Missing int      // tasks without one
}

// Collect reads the results of tasks.
func Collect(ctx context.Context, s Store, tasks []Task) (c Collected, err error) {
	for _, t := range tasks {
		r, err := Of(ctx, s, t)
		switch {
		case errors.Is(err, ErrAbsent):
			c.Missing++
		case err != nil:
			return c, err
		default:
			c.Results = append(c.Results, r)
		}
	}
	return c, nil
}

// Summary is what the seeds of one cell of a sweep gave.
type Summary struct {
	Scenario, Objective, Setting, Load string

	Scores []float64
	// IQM is the interquartile mean over seeds, with its bootstrap interval.
	IQM  anr.Interval
	Bad  string // why its setting is not accepted; "" where it is
	Best bool   // of its scenario and objective
}

// Summaries are the cells in the order in which they first come.
func (c Collected) Summaries() []Summary {
	var all []Summary
	at := map[[4]string]int{}
	for _, r := range c.Results {
		t := r.Task
		key := [4]string{t.Scenario, t.Objective, t.Setting, t.Load}
		k, ok := at[key]
		if !ok {
			k = len(all)
			at[key], all = k, append(all, Summary{Scenario: t.Scenario, Objective: t.Objective, Setting: t.Setting, Load: t.Load})
		}
		if r.Bad != "" {
			all[k].Bad = r.Bad
			continue
		}
		all[k].Scores = append(all[k].Scores, r.Score)
	}
	best := map[[2]string]int{}
	for k := range all {
		s := &all[k]
		s.IQM = anr.IQM(s.Scores)
		of := [2]string{s.Scenario, s.Objective}
		if b, ok := best[of]; len(s.Scores) > 0 && (!ok || s.IQM.Value > all[b].IQM.Value) {
			best[of] = k
		}
	}
	for _, k := range best {
		all[k].Best = true
	}
	return all
}

// Table has a row for each cell.
func (c Collected) Table() figure.Table {
	t := figure.Table{Header: []string{"scenario", "objective", "setting", "load", "seeds", "score: IQM [95 %]", ""}}
	for _, s := range c.Summaries() {
		row := []string{s.Scenario, s.Objective, s.Setting, s.Load, strconv.Itoa(len(s.Scores)), s.IQM.String(), ""}
		if row[3] == "" {
			row[3] = "the setting's"
		}
		switch {
		case s.Bad != "":
			row[5], row[6] = "-", "not accepted: "+s.Bad
		case s.Best:
			row[6] = "best"
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// Rows has a row for each result: what a program reads.
func (c Collected) Rows() figure.Table {
	t := figure.Table{Header: []string{"scenario", "objective", "setting", "load", "seed", "score", "converged", "bad", "key"}}
	for _, r := range c.Results {
		score := ""
		if r.Bad == "" {
			score = strconv.FormatFloat(r.Score, 'g', -1, 64)
		}
		t.Rows = append(t.Rows, []string{r.Task.Scenario, r.Task.Objective, r.Task.Setting, r.Task.Load, strconv.FormatUint(r.Task.Seed, 10),
			score, strconv.Itoa(r.Converged), r.Bad, r.Task.Key()})
	}
	return t
}

// Draw draws the score of every cell with its interval, a panel for each scenario
// and objective.
func (c Collected) Draw() (figure.Figure, error) {
	var panels []figure.DotPanel
	at := map[string]int{}
	for _, s := range c.Summaries() {
		if len(s.Scores) == 0 {
			continue
		}
		title := s.Scenario + ", " + s.Objective
		k, ok := at[title]
		if !ok {
			k = len(panels)
			at[title], panels = k, append(panels, figure.DotPanel{Axes: figure.Axes{Title: title, Y: "score"}})
		}
		group := s.Load
		if group == "" {
			group = " "
		}
		panels[k].Bars = append(panels[k].Bars, figure.Bar{Group: group, Name: s.Setting, Value: s.IQM.Value, Lo: s.IQM.Lo, Hi: s.IQM.Hi})
	}
	if len(panels) == 0 {
		return figure.Figure{}, fmt.Errorf("sweep: no score to draw")
	}
	return figure.DotPanels(2, panels...)
}
