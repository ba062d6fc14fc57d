package study

import (
	"context"
	"fmt"
	"strings"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/episode"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// The figures and tables of scenarios whose knobs take their time.

// slow says whether knobs of a scenario take their time or move by increments.
func slow(s scenario.Scenario) bool { return s.MustSpace().Slow() }

func init() {
	RegisterDrawing(Drawing{Name: "rewards", Title: "reward, cost and goals missed of all policies under each load", Needs: NeedsRun, For: slow, Make: func(_ context.Context, r *Result, s Source) (Output, error) {
		t, err := r.RewardTable(s)
		if err != nil {
			return Output{}, err
		}
		f, err := r.rewardDots(s)
		return Output{&f, &t}, err
	}})
	RegisterDrawing(Drawing{Name: "unseen", Title: "the same under loads that were not trained or calibrated on", Needs: NeedsRun, For: slow, Make: func(_ context.Context, r *Result, s Source) (Output, error) {
		return listed(r.UnseenTable(s))
	}})
	RegisterDrawing(Drawing{Name: "matrix", Title: "reward by the load trained on and the load met", Needs: NeedsRun, For: slow, Make: func(_ context.Context, r *Result, s Source) (Output, error) {
		return r.matrix(s)
	}})
	RegisterDrawing(Drawing{Name: "episode", Title: "an episode of the learned policy and of the rules", Needs: NeedsRun, For: slow, Make: func(ctx context.Context, r *Result, s Source) (Output, error) {
		return drawn(r.episode(ctx, s))
	}})
}

// rewardCells are those of a source's first objective that are wanted.
func (r *Result) rewardCells(s Source, wanted func(RewardCell) bool) []RewardCell {
	var list []RewardCell
	for _, c := range r.Rewards {
		if c.Source == s.Name && wanted(c) {
			list = append(list, c)
		}
	}
	return list
}

// RewardTable lists all policies under each load, of what was learned or
// calibrated that on all loads.
func (r *Result) RewardTable(s Source) (figure.Table, error) {
	return r.rewardTable(s, func(c RewardCell) bool {
		return c.Environment == "virtual" && (c.TrainedOn == allLoads || c.TrainedOn == "" || c.Policy == "dp")
	})
}

// UnseenTable lists policies under each load, of what was learned or calibrated
// that on all loads but this.
func (r *Result) UnseenTable(s Source) (figure.Table, error) {
	if len(r.rewardCells(s, func(c RewardCell) bool { return strings.HasPrefix(c.TrainedOn, allBut) })) == 0 {
		return figure.Table{}, ErrNoData
	}
	return r.rewardTable(s, func(c RewardCell) bool { return c.TrainedOn == allBut+c.Load || c.TrainedOn == "" })
}

// TrialRewards lists what RewardTrial added.
func (r *Result) TrialRewards(s Source) (figure.Table, error) {
	return r.rewardTable(s, func(RewardCell) bool { return true })
}

func (r *Result) rewardTable(s Source, wanted func(RewardCell) bool) (figure.Table, error) {
	t := figure.Table{Header: []string{"objective", "load", "policy", "reward", "cost", "steps over the goal", "requests over the goal", "requests failed", "trainings x runs", "learned policy's advantage", "learned better", "advantage, learned on the testbed", "better, learned on the testbed"}}
	cells := r.rewardCells(s, wanted)
	if len(cells) == 0 {
		return t, ErrNoData
	}
	for _, c := range cells {
		row := []string{c.Objective, c.Load, c.Policy, c.Reward().String(), figure.Number(c.Cost().Value, 2), figure.Number(c.Missed().Value, 3), figure.Number(c.Late().Value, 3), figure.Number(c.Failed().Value, 4),
			fmt.Sprintf("%d x %d", c.Seeds, len(c.Runs)/c.Seeds), "", "", "", ""}
		for _, l := range cells {
			if l.Objective != c.Objective || l.Load != c.Load || l.Setting == "" || c.Setting != "" {
				continue
			}
			at := 9
			if l.Setting == direct {
				at = 11
			}
			d, better := l.Against(c)
			row[at], row[at+1] = d.String(), fmt.Sprintf("%.2f", better)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

func (r *Result) rewardDots(s Source) (figure.Figure, error) {
	var bars []figure.Bar
	o := r.Config.Objectives[0].Name
	for _, c := range r.rewardCells(s, func(c RewardCell) bool {
		return c.Objective == o && (c.TrainedOn == allLoads || c.TrainedOn == "" || c.Policy == "dp")
	}) {
		i := c.Reward()
		bars = append(bars, figure.Bar{Group: c.Load, Name: c.Policy, Value: i.Value, Lo: i.Lo, Hi: i.Hi})
	}
	if bars == nil {
		return figure.Figure{}, ErrNoData
	}
	return figure.Dots(figure.Axes{Y: "mean reward", X: "load"}, bars...)
}

// matrix is the mean reward of the learned policy, and of the HPA, by what it was
// trained on and what it met.
func (r *Result) matrix(s Source) (Output, error) {
	o := r.Config.Objectives[0].Name
	patterns, err := s.Scenario.LoadPatterns()
	if err != nil {
		return Output{}, err
	}
	sets := loadSets(s.Scenario, patterns, 1)
	if len(sets) == 1 {
		return Output{}, ErrNoData // nothing was trained on one load alone
	}
	m := figure.Matrix{Title: "mean reward", RowLabel: "trained on", ColumnLabel: "met", Decimals: 2}
	t := figure.Table{Header: []string{"policy", "trained on"}}
	for _, p := range patterns {
		m.ColumnNames = append(m.ColumnNames, p.Name())
		t.Header = append(t.Header, p.Name())
	}
	rows := func(name string) error {
		for _, set := range sets {
			if strings.HasPrefix(set.name, allBut) {
				continue
			}
			row, values := []string{name, set.name}, []float64(nil)
			for _, p := range patterns {
				cells := r.rewardCells(s, func(c RewardCell) bool {
					return c.Objective == o && c.Policy == name && c.TrainedOn == set.name && c.Load == p.Name()
				})
				if len(cells) != 1 {
					return ErrNoData
				}
				i := cells[0].Reward()
				row, values = append(row, i.String()), append(values, i.Value)
			}
			t.Rows = append(t.Rows, row)
			m.RowNames, m.Values = append(m.RowNames, name+", "+set.name), append(m.Values, values)
		}
		return nil
	}
	if len(r.Config.Settings) == 0 {
		return Output{}, ErrNoData
	}
	if err := rows(r.Config.Settings[0].Learner.Name()); err != nil {
		return Output{}, err
	}
	if err := rows("hpa"); err != nil && len(ruleGrids(s.Scenario)) > 0 {
		return Output{}, err
	}
	f, err := figure.HeatMap(m)
	return Output{&f, &t}, err
}

// episodeSteps is how much of an episode is drawn.
const episodeSteps = 180

// episode draws load, paid cost and rewards of the learned policy and of the HPA
// under the load in which they differ most.
func (r *Result) episode(ctx context.Context, s Source) (figure.Figure, error) {
	o := r.Config.Objectives[0]
	var at string
	most := 0.0
	for _, c := range r.rewardCells(s, func(c RewardCell) bool {
		return c.Objective == o.Name && c.Policy == "hpa-fast" && c.TrainedOn == allLoads
	}) {
		for _, l := range r.rewardCells(s, func(l RewardCell) bool {
			return l.Objective == o.Name && l.Setting != "" && l.TrainedOn == allLoads && l.Load == c.Load
		}) {
			if d, _ := l.Against(c); d.Value > most || at == "" {
				at, most = c.Load, d.Value
			}
		}
	}
	patterns, err := s.Scenario.LoadPatterns()
	if err != nil {
		return figure.Figure{}, err
	}
	sc, err := newScaler(r.Config, s.fitted(ctx, r.Config), o, r.Config.Settings[0])
	if err != nil {
		return figure.Figure{}, err
	}
	for _, p := range patterns {
		if p.Name() != at {
			continue
		}
		rules, err := r.calibrated(ctx, sc, s)
		if err != nil {
			return figure.Figure{}, err
		}
		var policies []policy.Policy
		for _, t := range r.Trainings {
			if t.Objective == o.Name && t.Seed == r.Config.Seed {
				q, err := t.Trained.Policy(sc.rewards.Space())
				if err != nil {
					return figure.Figure{}, err
				}
				policies = append(policies, q)
				break
			}
		}
		for n, rule := range ruleGrids(s.Scenario) {
			if rule.name == "hpa" || rule.name == "hpa-fast" {
				policies = append(policies, named{rule.candidates()[rules[n]], rule.name})
			}
		}
		return sc.timelines(ctx, p, policies)
	}
	return figure.Figure{}, ErrNoData
}

// named is a policy under another name.
type named struct {
	policy.Policy
	name string
}

func (n named) Name() string { return n.name }

// timelines draws load, cost and what each policy was paid, over an episode.
func (s *scaler) timelines(ctx context.Context, pattern load.Pattern, policies []policy.Policy) (figure.Figure, error) {
	loads := figure.TimelinePanel{Axes: figure.Axes{Y: "load (requests/s)"}}
	costs := figure.TimelinePanel{Axes: figure.Axes{Y: "paid per s"}}
	paid := figure.TimelinePanel{Axes: figure.Axes{Y: "reward", X: "time (min)"}}
	for k, p := range policies {
		bed, err := virtual.New(virtual.Config{Scenario: s.f.Scenario})
		if err != nil {
			return figure.Figure{}, err
		}
		env, err := control.NewEnv(bed, pattern, s.objective, control.Config{Past: s.past})
		if err != nil {
			return figure.Figure{}, err
		}
		c, w := figure.Series{Name: p.Name()}, figure.Series{Name: p.Name()}
		var offered []figure.Series
		_, err = episode.Run(ctx, env, p, min(s.steps, episodeSteps), heldOutSeed, func(x control.Step) {
			minutes := x.Next.Time / 60
			c.X, c.Y = append(c.X, minutes), append(c.Y, x.Cost)
			w.X, w.Y = append(w.X, minutes), append(w.Y, x.Reward)
			for i, l := range x.Load {
				if i == len(offered) {
					offered = append(offered, figure.Series{Name: s.f.Scenario.Mesh.Services[i].Name})
				}
				offered[i].X, offered[i].Y = append(offered[i].X, minutes), append(offered[i].Y, l)
			}
		})
		if err != nil {
			return figure.Figure{}, err
		}
		if k == 0 {
			loads.Series = offered
		}
		costs.Series, paid.Series = append(costs.Series, c), append(paid.Series, w)
	}
	return figure.Timelines(loads, costs, paid)
}
