package study

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/scenario"
)

// The figures and tables of changes, of runs that were kept in a file.

// changing says whether a scenario has changes.
func changing(s scenario.Scenario) bool { return len(s.Changes) > 0 && slow(s) }

// ChangeFile is where the runs of a scenario's changes on a testbed are kept,
// relative to Root.
func ChangeFile(s scenario.Scenario, bed string) string {
	return filepath.Join(".out", "changes-"+s.Name+"-"+bed+".jsonl")
}

func init() {
	for _, bed := range []string{"virtual", "local", "istio"} {
		suffix := ""
		if bed != "virtual" {
			suffix = "-" + bed
		}
		RegisterDrawing(Drawing{Name: "changes" + suffix, Title: "what is lost to each change, and how soon it is made up for, on the " + bed + " testbed (runs of meshbench changes)", Long: true, For: changing,
			Make: func(_ context.Context, _ *Result, s Source) (Output, error) {
				runs, err := changeRuns(s.Scenario, bed)
				if err != nil {
					return Output{}, err
				}
				t := ChangeTable(ChangeCells(runs, Adaptations()))
				f, err := ChangeLines(runs, s.Scenario.Timing.Seconds())
				return Output{&f, &t}, err
			}})
	}
}

// changeRuns are those of the file, ErrNoData where there is none.
func changeRuns(s scenario.Scenario, bed string) ([]ChangeRun, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(root, ChangeFile(s, bed))
	f, _, err := regular.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoData
	}
	if err != nil {
		return nil, fmt.Errorf("study: changes: %w", err)
	}
	defer f.Close()
	runs, _, err := readLines[ChangeRun](path, f)
	if err != nil {
		return nil, fmt.Errorf("study: changes: %w", err)
	}
	hash := s.Hash()[:12]
	runs = slices.DeleteFunc(runs, func(r ChangeRun) bool { return r.Hash != hash || r.Change == "" })
	if len(runs) == 0 {
		return nil, ErrNoData
	}
	return runs, nil
}

const (
	// shown are the steps before and after a change that are drawn, and smooth those
	// that a point is the mean of, from it on.
	shownBefore, shownAfter = 24, 96
	smooth                  = 6
)

// ChangeLines draws the mean reward of each adaptation around each change, over
// runs, with 95 % intervals of rollout and of no adaptation.
func ChangeLines(runs []ChangeRun, seconds float64) (figure.Figure, error) {
	var names []string
	for _, r := range runs {
		if r.Change != "" && !slices.Contains(names, r.Change) {
			names = append(names, r.Change)
		}
	}
	slices.Sort(names)
	var panels []figure.TimelinePanel
	for n, name := range names {
		kind, _, _ := strings.Cut(name, ":")
		p := figure.TimelinePanel{Axes: figure.Axes{Y: "reward, " + kind}, Events: []figure.Event{{Name: "change", From: 0}}}
		if n == len(names)-1 {
			p.Axes.X = "steps from the change"
		}
		for _, a := range Adaptations() {
			s := figure.Series{Name: string(a)}
			for at := -shownBefore; at < shownAfter; at += smooth {
				var v []float64
				for _, r := range runs {
					if from, to := r.Begins+at, r.Begins+at+smooth; r.Change == name && r.Adaptation == a && from >= 0 && to <= len(r.Reward) {
						v = append(v, average(r.Reward[from:to]))
					}
				}
				if len(v) == 0 {
					continue
				}
				i := anr.Mean(v)
				s.X, s.Y = append(s.X, float64(at)), append(s.Y, i.Value)
				if a == RolloutAdaptation || a == NoAdaptation {
					s.Lo, s.Hi = append(s.Lo, i.Lo), append(s.Hi, i.Hi)
				}
			}
			if s.X != nil {
				p.Series = append(p.Series, s)
			}
		}
		panels = append(panels, p)
	}
	if panels == nil {
		return figure.Figure{}, ErrNoData
	}
	return figure.Timelines(panels...)
}

// ChangeSummary says what all runs say together: alarms without a change.
func ChangeSummary(runs []ChangeRun) string {
	alarms, acted, steps := FalseAlarms(runs)
	if steps == 0 {
		return "no step without a change"
	}
	if alarms == 0 {
		return fmt.Sprintf("no false alarm in %d steps without a change", steps)
	}
	return fmt.Sprintf("%d false alarms in %d steps without a change, one in %d, after %d of which somebody took charge", alarms, steps, steps/alarms, acted)
}
