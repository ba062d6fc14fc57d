package study

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/trace"
)

// The figures and tables of any scenario.

func init() {
	notPaper := func(s scenario.Scenario) bool { return s.Name != scenario.Paper().Name }
	stepwise := func(s scenario.Scenario) bool { return notPaper(s) && !slow(s) }
	quick := func(s scenario.Scenario) bool { return !slow(s) }
	RegisterDrawing(Drawing{Name: "mesh", Title: "services, stages and nodes", For: notPaper, Make: func(_ context.Context, r *Result, _ Source) (Output, error) {
		return drawn(figure.Mesh(r.Config.Scenario().MustSpace()))
	}})
	RegisterDrawing(Drawing{Name: "learning", Title: "learning curves, setting best", Needs: NeedsRun, For: notPaper, Make: func(_ context.Context, r *Result, s Source) (Output, error) {
		return drawn(r.Curves(s, BestSetting))
	}})
	RegisterDrawing(Drawing{Name: "true", Title: "true expected rewards beside the best that search finds", Needs: NeedsRun, For: stepwise, Make: func(_ context.Context, r *Result, s Source) (Output, error) {
		return listed(r.TrueTable(s))
	}})
	RegisterDrawing(Drawing{Name: "anr", Title: "ANR of all policies", Needs: NeedsRun, For: stepwise, Make: func(_ context.Context, r *Result, s Source) (Output, error) {
		return listed(r.ANRTable(s))
	}})
	RegisterDrawing(Drawing{Name: "policies", Title: "ANR of all policies", Needs: NeedsRun, For: quick, Make: func(_ context.Context, r *Result, s Source) (Output, error) {
		return drawn(figure.Dots(figure.Axes{Y: "ANR", X: "objective and load", Min: 0, Max: 1.05}, r.Bars(s.Name, "simulation")...))
	}})
	RegisterDrawing(Drawing{Name: "importance", Title: "importance of the model's features", Make: func(ctx context.Context, r *Result, s Source) (Output, error) {
		bars, err := Do(r.Config.Cache, "importance", s.key(), func() ([]figure.Bar, error) { return Importance(ctx, s, 3) })
		if err != nil {
			return Output{}, err
		}
		return drawn(figure.Dots(figure.Axes{X: "feature", Y: "loss of R² when shuffled"}, bars...))
	}})
	RegisterDrawing(Drawing{Name: "predicted", Title: "predicted against measured delays", Make: func(ctx context.Context, r *Result, s Source) (Output, error) {
		p, err := Do(r.Config.Cache, "predicted", s.key(), func() ([]figure.Predicted, error) { return PredictedNodes(ctx, s) })
		if err != nil {
			return Output{}, err
		}
		return drawn(figure.PredictedVsMeasured(p...))
	}})
	RegisterDrawing(Drawing{Name: "trial", Title: "the policies on a testbed, pair by pair", Needs: NeedsTrial, PerSource: true, Make: func(_ context.Context, r *Result, s Source) (Output, error) {
		return listed(r.TrialTable(s.Name))
	}})
	RegisterDrawing(Drawing{Name: "times", Title: "times of training (Section V)", Needs: NeedsRun, PerSource: true, Make: func(_ context.Context, r *Result, s Source) (Output, error) {
		return listed(r.TrainingTimes(s), nil)
	}})
	RegisterDrawing(Drawing{Name: "models", Title: "system models compared by cross-validation", Long: true, PerSource: true, Make: func(ctx context.Context, r *Result, s Source) (Output, error) {
		return listed(r.ModelTable(ctx, s))
	}})
}

// Curves draws the learning curves of all objectives in a setting.
func (r *Result) Curves(s Source, setting string) (figure.Figure, error) {
	var series []figure.Series
	for _, o := range r.Config.Objectives {
		series = append(series, r.Curve(s.Name, o.Name, setting))
	}
	if slow(s.Scenario) {
		return figure.Lines(figure.Axes{X: "environment steps (thousands)", Y: "mean reward of a step"}, series...)
	}
	return figure.LearningCurve(series...)
}

// ANRTable lists the ANR of all policies of a source in the simulator.
func (r *Result) ANRTable(s Source) (figure.Table, error) {
	t := figure.Table{Header: []string{"objective", "load", "policy", "ANR", "reference", "runs x steps", "learned policy's advantage", "learned better"}}
	for _, c := range r.Cells {
		if c.Source != s.Name || c.Environment != "simulation" {
			continue
		}
		reference := "best found"
		if c.Exact() {
			reference = "optimum"
		}
		row := []string{c.Objective, c.Load, c.Name(), c.ANR().String(), reference, fmt.Sprintf("%d x %d", len(c.Runs), len(c.Runs[0].Steps)), "", ""}
		learned, ok := r.longest(func(x Cell) bool {
			return x.Source == c.Source && x.Environment == c.Environment && x.Objective == c.Objective && x.Load == c.Load && x.Learned()
		})
		if ok && !c.Learned() {
			d, err := anr.Compare(learned.Runs, c.Runs)
			if err != nil {
				return t, err
			}
			row[6], row[7] = d.Difference.String(), fmt.Sprintf("%.2f", d.Improvement)
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// trialRewards draws the longest trial's run of median ANR under each load.
func (r *Result) trialRewards(o objective.Objective) (figure.Figure, error) {
	var runs []figure.Run
	for _, load := range []string{"random", "sinusoidal"} {
		c, ok := r.longest(func(c Cell) bool {
			return c.Learned() && c.Objective == o.Name && c.Load == load && c.Environment != "simulation"
		})
		if !ok {
			return figure.Figure{}, fmt.Errorf("nothing was evaluated on a testbed under %s load: %w", load, ErrNoData)
		}
		runs = append(runs, r.Drawn(c.Median()))
	}
	return figure.NormalisedRewards(runs[0], runs[1])
}

// longest returns the cell with the most evaluated steps of those that are
// wanted.
func (r *Result) longest(wanted func(Cell) bool) (best Cell, ok bool) {
	most := 0
	for _, c := range r.Cells {
		steps := 0
		for _, run := range c.Runs {
			steps += len(run.Steps)
		}
		if steps > most && wanted(c) {
			best, most, ok = c, steps, true
		}
	}
	return best, ok
}

// Curve is the learning curve of an objective under a setting: median and
// range over seeds, steps in thousands.
func (r *Result) Curve(source, objective, setting string) figure.Series {
	s := figure.Series{Name: objective}
	var curves [][]float64
	for _, t := range r.Trainings {
		if t.Source != source || t.Objective != objective || t.Setting != setting {
			continue
		}
		var y []float64
		s.X = s.X[:0]
		for _, e := range t.Trained.Curve {
			s.X = append(s.X, float64(e.Steps)/1000)
			y = append(y, e.Score)
		}
		curves = append(curves, y)
	}
	for k := range s.X {
		var at []float64
		for _, c := range curves {
			at = append(at, c[k])
		}
		slices.Sort(at)
		s.Y = append(s.Y, at[len(at)/2])
		s.Lo, s.Hi = append(s.Lo, at[0]), append(s.Hi, at[len(at)-1])
	}
	return s
}

// Drawn converts a run for drawing.
func (r *Result) Drawn(run anr.Run) figure.Run {
	d := figure.Run{Services: r.Config.Scenario().Mesh.ServiceNames(), NR: run.NR(), ANR: run.ANR()}
	for _, s := range run.Steps {
		d.Add(s.Load, s.Carried, nil)
	}
	return d
}

// Median returns the run of a cell whose ANR is the median.
func (c Cell) Median() anr.Run {
	runs := slices.Clone(c.Runs)
	slices.SortFunc(runs, func(a, b anr.Run) int {
		switch x, y := a.ANR(), b.ANR(); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	return runs[len(runs)/2]
}

// Importance is the permutation importance of the model's features on rows
// that it was not fitted to, by target, with the range over repeats.
func Importance(ctx context.Context, s Source, repeats int) ([]figure.Bar, error) {
	train, test := s.Rows().Split(trace.Split{})
	m, err := s.learn(ctx, train, 0)
	if err != nil {
		return nil, err
	}
	x := test.Features()
	y, err := model.TargetValues(test, s.Kind)
	if err != nil {
		return nil, err
	}
	delays := len(m.Space().Layout().Endpoints)
	base := r2(y, m.PredictMatrix(x), delays)
	_, features := x.Dims()
	out := make([]figure.Bar, features*delays)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for j, name := range m.Space().FeatureNames()[:features] {
		g.Go(func() error {
			falls, x := make([][]float64, delays), mat.DenseCopyOf(x)
			shuffled(x, j, rand.New(rand.NewPCG(1, uint64(j))), repeats, func() {
				for k, v := range r2(y, m.PredictMatrix(x), delays) {
					falls[k] = append(falls[k], base[k]-v)
				}
			})
			for k, v := range falls {
				slices.Sort(v)
				out[j*delays+k] = figure.Bar{Group: name, Name: model.Targets(m.Space(), s.Kind)[k], Value: v[len(v)/2], Lo: v[0], Hi: v[len(v)-1]}
			}
			return ctx.Err()
		})
	}
	return out, g.Wait()
}

// shuffled calls f so many times with the values of column j of x in another order,
// and then puts them back.
func shuffled(x *mat.Dense, j int, rng *rand.Rand, times int, f func()) {
	values := mat.Col(nil, j, x)
	for range times {
		for r, from := range rng.Perm(len(values)) {
			x.Set(r, j, values[from])
		}
		f()
	}
	x.SetCol(j, values)
}

// r2 scores the first columns of hat on the rows that have them.
func r2(y, hat *mat.Dense, columns int) []float64 {
	rows, _ := y.Dims()
	var out []float64
	for k := range columns {
		var a, b []float64
		for r := range rows {
			if !math.IsNaN(y.At(r, k)) {
				a, b = append(a, y.At(r, k)), append(b, hat.At(r, k))
			}
		}
		out = append(out, forest.R2(column(a), column(b))[0])
	}
	return out
}

// Bars are the ANR of all policies of a source in an environment, for
// figure.Dots.
func (r *Result) Bars(source, environment string) []figure.Bar {
	var bars []figure.Bar
	for _, c := range r.Cells {
		if c.Source != source || c.Environment != environment {
			continue
		}
		i := c.ANR()
		bars = append(bars, figure.Bar{Group: c.Objective + ", " + c.Load, Name: c.Name(), Value: i.Value, Lo: i.Lo, Hi: i.Hi})
	}
	return bars
}

// PredictedNodes predicts the delays d_ij of the rows that a model fitted to
// the other 70 % has not seen, of those that there are.
func PredictedNodes(ctx context.Context, s Source) ([]figure.Predicted, error) {
	train, test := s.Rows().Split(trace.Split{})
	m, err := s.learn(ctx, train, 0)
	if err != nil {
		return nil, err
	}
	p, err := Predicted(m, train, test)
	if err != nil {
		return nil, err
	}
	scores := scored(s, "row", p)
	var out []figure.Predicted
	for k := range s.Trace.Space().Layout().Endpoints {
		if p[k].Measured == nil {
			continue
		}
		out = append(out, figure.Predicted{Target: p[k].Target, Measured: p[k].Measured, Predicted: p[k].Predicted, NMAE: scores[k].NMAE, R2: scores[k].R2})
	}
	return out, nil
}
