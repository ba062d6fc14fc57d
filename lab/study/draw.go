package study

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"gonum.org/v1/gonum/mat"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/sim"
	"github.com/meshbench/meshbench/lab/trace"
)

// PaperTable2 holds the paper's ANR (Table 2): simulation with random and
// sinusoidal load, testbed with random and sinusoidal load.
var PaperTable2 = map[string][4]float64{
	"MO1": {.99, .95, .85, .90},
	"MO2": {.96, .91, .81, .80},
	"MO3": {.98, .97, .85, .80},
}

// anrRow is a row of results.json (see README).
type anrRow struct {
	Trace       string     `json:"trace"`
	Objective   string     `json:"objective"`
	Environment string     `json:"environment"`
	Load        string     `json:"load"`
	Policy      string     `json:"policy"`
	Setting     string     `json:"setting,omitempty"`
	Seeds       int        `json:"seeds"`
	Steps       int        `json:"steps"`
	ANR         float64    `json:"anr"`
	CI          [2]float64 `json:"ci"`
}

type results struct {
	ANR   []anrRow `json:"anr"`
	Model []Score  `json:"model"`
	Time  []Timing `json:"time"`
	Run   manifest `json:"run"`
}

type manifest struct {
	Versions map[string]string `json:"versions"`
	Seed     uint64            `json:"seed"`
	Data     map[string]string `json:"data_sha256"`
}

// WriteResults writes results.json into dir.
func (r *Result) WriteResults(dir string) error {
	out := results{Model: r.Scores, Time: r.Times, Run: manifest{Versions: versions(), Seed: r.Config.Seed, Data: map[string]string{}}}
	for _, c := range r.Cells {
		i := c.ANR()
		if math.IsNaN(i.Value) {
			continue
		}
		out.ANR = append(out.ANR, anrRow{c.Source, c.Objective, c.Environment, c.Load, c.Policy, c.Setting,
			len(c.Runs), len(c.Runs[0].Steps), i.Value, [2]float64{i.Lo, i.Hi}})
	}
	for _, s := range r.Config.Sources {
		out.Run.Data[s.Name] = s.SHA256
	}
	b, err := json.MarshalIndent(out, "", " ")
	if err != nil {
		return fmt.Errorf("study: results: %w", err)
	}
	if err := atomicfile.Write(filepath.Join(dir, "results.json"), append(b, '\n')); err != nil {
		return fmt.Errorf("study: results: %w", err)
	}
	return nil
}

// versions are those of Go and of the modules that compute.
func versions() map[string]string {
	v := map[string]string{"go": runtime.Version(), "cores": fmt.Sprint(runtime.GOMAXPROCS(0))}
	if code, err := CodeHash(); err == nil {
		v["code_sha256"] = code
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if strings.HasPrefix(m.Path, "gonum.org/") || strings.HasPrefix(m.Path, "github.com/go-gota/") {
				v[m.Path] = m.Version
			}
		}
	}
	return v
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
			name := c.Policy
			if c.Setting != "" {
				name = fmt.Sprintf("%s, %s setting", c.Policy, c.Setting)
			}
			row := []string{o.Name, name}
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
					if listed && c.Policy == "ppo" {
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
func Drawn(run anr.Run) figure.Run {
	d := figure.Run{NR: run.NR(), ANR: run.ANR()}
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

// RewardCurves samples the components of the paper's objectives for figure 3.
func RewardCurves() (delay, load []figure.Series) {
	for i, t := range objective.PaperTargets() {
		s := figure.Series{Name: fmt.Sprintf("service %d: O = %g ms", i+1, t.Goal*1000)}
		for d := 0.0; d <= .16; d += .0005 {
			s.X, s.Y = append(s.X, d), append(s.Y, t.Utility(d))
		}
		delay = append(delay, s)
	}
	s := figure.Series{Name: fmt.Sprintf("l_min = %d requests/s", objective.MinLoad)}
	for l := 0.0; l <= 10; l += .02 {
		s.X, s.Y = append(s.X, l), append(s.Y, objective.MinLoadUtility(l))
	}
	return delay, append(load, s)
}

// Importance is the permutation importance of the model's features on rows
// that it was not fitted to, by target, with the range over repeats.
func Importance(ctx context.Context, s Source, repeats int) ([]figure.Bar, error) {
	train, test := s.Rows().Split(trace.Split{})
	model, err := s.learn(ctx, train, 0)
	if err != nil {
		return nil, err
	}
	x := test.Features()
	y, err := sim.TargetValues(test, s.Kind)
	if err != nil {
		return nil, err
	}
	delays := model.Mesh().M() * model.Mesh().N()
	base := r2(y, model.PredictMatrix(x), delays)
	rows, features := x.Dims()
	var out []figure.Bar
	for j, name := range model.Mesh().FeatureNames()[:features] {
		column := mat.Col(nil, j, x)
		rng := rand.New(rand.NewPCG(1, uint64(j)))
		falls := make([][]float64, delays)
		for range repeats {
			for r, from := range rng.Perm(rows) {
				x.Set(r, j, column[from])
			}
			for k, v := range r2(y, model.PredictMatrix(x), delays) {
				falls[k] = append(falls[k], base[k]-v)
			}
		}
		x.SetCol(j, column)
		for k, v := range falls {
			slices.Sort(v)
			out = append(out, figure.Bar{Group: name, Name: sim.Targets(model.Mesh(), s.Kind)[k], Value: v[len(v)/2], Lo: v[0], Hi: v[len(v)-1]})
		}
	}
	return out, nil
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

// Drawings are the names that Draw takes.
var Drawings = []string{"fig1", "fig2", "fig3", "fig4", "fig5", "fig6", "fig7", "fig8", "importance", "predicted", "policies", "table2", "trial", "times", "models", "benchmark", "ablation", "decomposition"}

// tables are those of each source; one without rows is not written.
var tables = []struct {
	name string
	// long ones are made only when they are named.
	long bool
	make func(context.Context, *Result, Source) (figure.Table, error)
}{
	{"table2", false, func(_ context.Context, r *Result, s Source) (figure.Table, error) { return r.Table2(s.Name), nil }},
	{"trial", false, func(_ context.Context, r *Result, s Source) (figure.Table, error) { return r.TrialTable(s.Name) }},
	{"times", false, func(_ context.Context, r *Result, s Source) (figure.Table, error) { return r.TrainingTimes(s), nil }},
	{"models", true, func(ctx context.Context, r *Result, s Source) (figure.Table, error) { return r.ModelTable(ctx, s) }},
	{"benchmark", true, func(ctx context.Context, r *Result, s Source) (figure.Table, error) { return r.BenchmarkTable(ctx, s) }},
	{"ablation", true, func(ctx context.Context, r *Result, s Source) (figure.Table, error) { return r.AblationTable(ctx, s) }},
}

// NeedsRun reports whether any of the named drawings, all where there are none,
// shows results of the whole study.
func NeedsRun(names []string) bool {
	alone := []string{"fig1", "fig2", "fig3", "importance", "predicted", "models", "benchmark", "ablation", "decomposition"}
	return len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return !slices.Contains(alone, n) })
}

// CheckDrawings reports the first name that Draw does not take.
func CheckDrawings(names []string) error {
	for _, n := range names {
		if !slices.Contains(Drawings, n) {
			return fmt.Errorf("study: no figure %q; there are %s", n, strings.Join(Drawings, ", "))
		}
	}
	return nil
}

// errNoTrial is why a figure of a testbed cannot be drawn.
var errNoTrial = errors.New("study: nothing was evaluated on a testbed")

// Draw writes figures and tables into dir: those of names, or all that the
// result has the data for when there is none. It returns what it wrote.
func (r *Result) Draw(ctx context.Context, dir string, names ...string) ([]string, error) {
	if err := CheckDrawings(names); err != nil {
		return nil, err
	}
	source := r.Config.Sources[0]
	m := source.Trace.Mesh()
	setting := r.Config.Settings[len(r.Config.Settings)-1].Name
	run := func(objective, load string) (figure.Run, error) {
		c, ok := r.Find(source.Name, objective, setting, "ppo", load)
		if !ok {
			return figure.Run{}, fmt.Errorf("study: nothing evaluated for %s under %s load", objective, load)
		}
		return Drawn(c.Median()), nil
	}
	onTestbed := func(load string) (figure.Run, error) {
		c, ok := r.longest(func(c Cell) bool {
			return c.Policy == "ppo" && c.Objective == r.Config.Objectives[0].Name && c.Load == load && c.Environment != "simulation"
		})
		if !ok {
			return figure.Run{}, fmt.Errorf("%w under %s load", errNoTrial, load)
		}
		return Drawn(c.Median()), nil
	}
	evaluation := func(objective, load string, draw func(figure.Run) (figure.Figure, error)) func() (figure.Figure, error) {
		return func() (figure.Figure, error) {
			d, err := run(objective, load)
			if err != nil {
				return figure.Figure{}, err
			}
			return draw(d)
		}
	}
	all := []struct {
		name string
		draw func() (figure.Figure, error)
	}{
		{"fig1", func() (figure.Figure, error) { return figure.Mesh(m), nil }},
		{"fig2", func() (figure.Figure, error) { return figure.Framework(), nil }},
		{"fig3", func() (figure.Figure, error) { return figure.Objectives(RewardCurves()) }},
		{"fig4", func() (figure.Figure, error) {
			var series []figure.Series
			for _, o := range r.Config.Objectives {
				series = append(series, r.Curve(source.Name, o.Name, r.Config.Settings[0].Name))
			}
			return figure.LearningCurve(series...)
		}},
		{"fig5", evaluation("MO1", "random", figure.Evaluation)},
		{"fig6", evaluation("MO1", "sinusoidal", figure.Evaluation)},
		{"fig7", func() (figure.Figure, error) {
			random, err := onTestbed("random")
			if err != nil {
				return figure.Figure{}, err
			}
			sinusoidal, err := onTestbed("sinusoidal")
			if err != nil {
				return figure.Figure{}, err
			}
			return figure.NormalisedRewards(random, sinusoidal)
		}},
		{"fig8", evaluation("MO2", "sinusoidal", figure.Loads)},
		{"importance", func() (figure.Figure, error) {
			bars, err := Do(r.Config.Cache, "importance", source.key(), func() ([]figure.Bar, error) {
				return Importance(ctx, source, 3)
			})
			if err != nil {
				return figure.Figure{}, err
			}
			return figure.Dots(figure.Axes{X: "feature", Y: "loss of R² when shuffled"}, bars...)
		}},
		{"predicted", func() (figure.Figure, error) {
			p, err := Do(r.Config.Cache, "predicted", source.key(), func() ([]figure.Predicted, error) {
				return PredictedNodes(ctx, source)
			})
			if err != nil {
				return figure.Figure{}, err
			}
			return figure.PredictedVsMeasured(p...)
		}},
		{"policies", func() (figure.Figure, error) {
			return figure.Dots(figure.Axes{Y: "ANR", X: "objective and load", Min: 0, Max: 1.05}, r.Bars(source.Name, "simulation")...)
		}},
	}
	var wrote []string
	for _, f := range all {
		if len(names) > 0 && !slices.Contains(names, f.name) {
			continue
		}
		drawing, err := f.draw()
		if len(names) == 0 && errors.Is(err, errNoTrial) {
			continue
		}
		if err != nil {
			return wrote, fmt.Errorf("draw %s: %w", f.name, err)
		}
		if err := drawing.Save(dir, f.name); err != nil {
			return wrote, err
		}
		wrote = append(wrote, f.name)
	}
	for _, t := range tables {
		if len(names) == 0 && t.long || len(names) > 0 && !slices.Contains(names, t.name) {
			continue
		}
		for k, s := range r.Config.Sources {
			table, err := t.make(ctx, r, s)
			if err != nil {
				return wrote, fmt.Errorf("table %s of %s: %w", t.name, s.Title, err)
			}
			if len(table.Rows) == 0 {
				continue
			}
			name := t.name
			if k > 0 {
				name += "-" + s.Name
			}
			if err := table.Save(dir, name); err != nil {
				return wrote, err
			}
			wrote = append(wrote, name)
		}
	}
	if slices.Contains(names, "decomposition") {
		shares, err := r.Decompose(ctx)
		if err != nil {
			return wrote, fmt.Errorf("decomposition: %w", err)
		}
		drawing, err := DecompositionFigure(shares)
		if err != nil {
			return wrote, fmt.Errorf("draw decomposition: %w", err)
		}
		if err := errors.Join(drawing.Save(dir, "decomposition"), DecompositionTable(shares).Save(dir, "decomposition")); err != nil {
			return wrote, err
		}
		wrote = append(wrote, "decomposition")
	}
	return wrote, nil
}

// Bars are the ANR of all policies of a source in an environment, for
// figure.Dots.
func (r *Result) Bars(source, environment string) []figure.Bar {
	var bars []figure.Bar
	for _, c := range r.Cells {
		if c.Source != source || c.Environment != environment {
			continue
		}
		name := c.Policy
		if c.Setting != "" {
			name += " (" + c.Setting + ")"
		}
		i := c.ANR()
		bars = append(bars, figure.Bar{Group: c.Objective + ", " + c.Load, Name: name, Value: i.Value, Lo: i.Lo, Hi: i.Hi})
	}
	return bars
}

// PredictedNodes predicts the delays d_ij of the rows that a model fitted to
// the other 70 % has not seen.
func PredictedNodes(ctx context.Context, s Source) ([]figure.Predicted, error) {
	train, test := s.Rows().Split(trace.Split{})
	model, err := s.learn(ctx, train, 0)
	if err != nil {
		return nil, err
	}
	p, err := Predicted(model, train, test)
	if err != nil {
		return nil, err
	}
	scores, err := score(s, "row", model, train, test)
	if err != nil {
		return nil, err
	}
	var out []figure.Predicted
	for k := range s.Trace.Mesh().M() * s.Trace.Mesh().N() {
		out = append(out, figure.Predicted{Target: p[k].Target, Measured: p[k].Measured, Predicted: p[k].Predicted, NMAE: scores[k].NMAE, R2: scores[k].R2})
	}
	return out, nil
}

// Sources are the traces of the main study: the published one if it is here,
// as published and corrected, and the project's own.
func Sources(ctx context.Context, root string) ([]Source, error) {
	list, err := Published("")
	if err != nil {
		return nil, err
	}
	own, err := Own(ctx, root)
	if err != nil {
		return nil, err
	}
	return append(list, own), nil
}
