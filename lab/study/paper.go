package study

import (
	"context"
	"fmt"
	"slices"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/scenario"
)

// The figures and tables of the paper, and those that go with its traces.

func init() {
	paper := func(s scenario.Scenario) bool { return s.Name == scenario.Paper().Name }
	for _, d := range []Drawing{
		{Name: "fig1", Title: "Fig. 1(b): services and nodes of the use case", Make: func(_ context.Context, r *Result, _ Source) (Output, error) {
			return drawn(figure.Mesh(r.Config.Scenario().MustSpace()))
		}},
		{Name: "fig1a", Title: "Fig. 1(a): a general mesh, that of scenario graph", Make: func(context.Context, *Result, Source) (Output, error) {
			graph, err := scenario.Open("graph")
			if err != nil {
				return Output{}, err
			}
			return drawn(figure.Mesh(graph.MustSpace()))
		}},
		{Name: "fig2", Title: "Fig. 2: the application on the mesh", Make: func(_ context.Context, r *Result, _ Source) (Output, error) {
			return drawn(figure.Architecture(deployment(r)))
		}},
		{Name: "overview", Title: "a policy, and the application on the mesh that it controls", Make: func(_ context.Context, r *Result, _ Source) (Output, error) {
			d := deployment(r)
			d.Policy = "policy"
			return drawn(figure.Architecture(d))
		}},
		{Name: "framework", Title: "the loop of the method", Make: func(context.Context, *Result, Source) (Output, error) { return drawn(figure.Framework(), nil) }},
		{Name: "fig3", Title: "Fig. 3: components of the objectives", Make: func(_ context.Context, r *Result, _ Source) (Output, error) {
			return drawn(figure.Objectives(RewardCurves(r.Config.Scenario())))
		}},
		{Name: "fig4", Title: "Fig. 4: learning curves, setting paper", Needs: NeedsRun, Make: func(_ context.Context, r *Result, s Source) (Output, error) {
			return drawn(r.Curves(s, PaperSetting))
		}},
		evaluation("fig5", "Fig. 5: MO1 under random load", "MO1", "random", figure.Evaluation),
		evaluation("fig6", "Fig. 6: MO1 under sinusoidal load", "MO1", "sinusoidal", figure.Evaluation),
		{Name: "fig7", Title: "Fig. 7: MO1 on the local testbed", Needs: NeedsTrial, Make: func(_ context.Context, r *Result, _ Source) (Output, error) {
			return drawn(r.trialRewards(r.Config.Objectives[0]))
		}},
		evaluation("fig8", "Fig. 8: loads under MO2", "MO2", "sinusoidal", figure.Loads),
		{Name: "table2", Title: "table 2: ANR of all policies, beside the paper's", Needs: NeedsTrial, PerSource: true,
			Make: func(_ context.Context, r *Result, s Source) (Output, error) { return listed(r.Table2(s.Name), nil) }},
		{Name: "benchmark", Title: "what a score on the trace means: optimum, policy and constant by a model of other rows", Long: true, PerSource: true,
			Make: func(ctx context.Context, r *Result, s Source) (Output, error) {
				return listed(r.BenchmarkTable(ctx, s))
			}},
		{Name: "ablation", Title: "setting best, one option less at a time", Long: true, PerSource: true,
			Make: func(ctx context.Context, r *Result, s Source) (Output, error) { return listed(r.AblationTable(ctx, s)) }},
		{Name: "decomposition", Title: "from the true optimum to a policy on a testbed", Long: true, Make: func(ctx context.Context, r *Result, _ Source) (Output, error) {
			shares, err := r.Decompose(ctx)
			if err != nil {
				return Output{}, err
			}
			f, err := DecompositionFigure(shares)
			t := DecompositionTable(shares)
			return Output{&f, &t}, err
		}},
	} {
		d.For = paper
		RegisterDrawing(d)
	}
}

// evaluation draws the run of median ANR in setting best, beside the best constant
// under the same loads.
func evaluation(name, title, objective, load string, draw func(figure.Run) (figure.Figure, error)) Drawing {
	return Drawing{Name: name, Title: title, Needs: NeedsRun, Make: func(_ context.Context, r *Result, s Source) (Output, error) {
		set, err := r.Config.setting(BestSetting)
		if err != nil {
			if set, err = r.Config.setting(PaperSetting); err != nil {
				return Output{}, err
			}
		}
		c, ok := r.Find(s.Name, objective, set.Name, set.Learner.Name(), load)
		if !ok {
			return Output{}, fmt.Errorf("%s under %s load, setting %s: %w", objective, load, set.Name, ErrNoData)
		}
		run := c.Median()
		d := r.Drawn(run)
		if constant, ok := r.Find(s.Name, objective, "", "constant", load); ok {
			for _, other := range constant.Runs {
				if sameLoads(run, other) {
					d.Beside = []figure.Beside{{Name: "best constant", NR: other.NR(), ANR: other.ANR()}}
				}
			}
		}
		return drawn(draw(d))
	}}
}

// sameLoads reports whether two runs were under the same loads.
func sameLoads(a, b anr.Run) bool {
	return slices.EqualFunc(a.Steps, b.Steps, func(x, y anr.Step) bool { return slices.Equal(x.Load, y.Load) })
}

// PaperTable2 holds the paper's ANR (Table 2): simulation with random and
// sinusoidal load, testbed with random and sinusoidal load.
var PaperTable2 = map[string][4]float64{
	"MO1": {.99, .95, .85, .90},
	"MO2": {.96, .91, .81, .80},
	"MO3": {.98, .97, .85, .80},
}

// Table2 is the paper's table 2 for a source: ours, the median over seeds with
// its 95 % interval, beside the paper's, and below each objective the
// policies that a learned one is to be compared with.
func (r *Result) Table2(source string) figure.Table {
	t := figure.Table{Header: []string{"objective", "policy", "simulation, random", "paper", "simulation, sinusoidal", "paper",
		"testbed, random", "paper", "testbed, sinusoidal", "paper", "testbed runs"}}
	for _, o := range r.Config.Objectives {
		var seen []string
		for _, c := range r.Cells {
			key := c.Setting + "/" + c.Policy
			if c.Source != source || c.Objective != o.Name || slices.Contains(seen, key) {
				continue
			}
			seen = append(seen, key)
			row := []string{o.Name, c.Name()}
			paper, listed := PaperTable2[o.Name]
			simulated := func(x Cell) bool { return x.Environment == "simulation" }
			measured := func(x Cell) bool { return x.Environment != "simulation" }
			column, runs := 0, ""
			for _, where := range []func(Cell) bool{simulated, measured} {
				for _, load := range []string{"random", "sinusoidal"} {
					ours, theirs := "", ""
					if x, ok := r.longest(func(x Cell) bool {
						return x.Source == source && x.Objective == o.Name && x.Setting == c.Setting && x.Policy == c.Policy && x.Load == load && where(x)
					}); ok {
						ours = x.ANR().String()
						if measured(x) {
							runs = fmt.Sprintf("%s, %d x %d steps", x.Environment, len(x.Runs), len(x.Runs[0].Steps))
						}
					}
					if listed && c.Learned() {
						theirs = figure.Number(paper[column], 2)
					}
					row = append(row, ours, theirs)
					column++
				}
			}
			row = append(row, runs)
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// RewardCurves samples the components of a scenario's objectives: the utility of
// every service's delay, and of carried loads that have a bound.
func RewardCurves(s scenario.Scenario) (delay, load []figure.Series) {
	const points = 320
	far := 0.0
	for _, t := range s.Targets {
		far = max(far, 1.45*t.Goal)
	}
	for i, t := range s.Targets {
		c := figure.Series{Name: fmt.Sprintf("%s: O = %g ms", s.Mesh.Services[i].Name, t.Goal*1000)}
		for k := range points + 1 {
			d := far * float64(k) / points
			c.X, c.Y = append(c.X, d), append(c.Y, t.Utility(d))
		}
		delay = append(delay, c)
	}
	var seen []float64
	for _, o := range s.Defaults().Objectives {
		for _, t := range o.Terms {
			for _, f := range t.Product {
				if f.Of != objective.MinLoad || slices.Contains(seen, f.Bound) {
					continue
				}
				seen = append(seen, f.Bound)
				c := figure.Series{Name: fmt.Sprintf("l_min = %g requests/s", f.Bound)}
				for k := range 501 {
					l := 2 * f.Bound * float64(k) / 500
					c.X, c.Y = append(c.X, l), append(c.Y, objective.MinLoadUtility(l, f.Bound))
				}
				load = append(load, c)
			}
		}
	}
	return delay, load
}

// deployment is the application of the paper on its mesh.
func deployment(r *Result) figure.Deployment {
	m := r.Config.Scenario().Mesh
	d := figure.Deployment{Nodes: m.NodeNames()}
	for _, name := range m.ServiceNames() {
		d.Generators = append(d.Generators, "load of "+name)
	}
	for range d.Nodes {
		d.Databases = append(d.Databases, "database")
	}
	return d
}
