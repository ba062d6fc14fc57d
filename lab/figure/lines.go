package figure

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Series is a named line. Where Y is NaN the line has a gap.
type Series struct {
	Name   string
	X, Y   []float64
	Lo, Hi []float64 // band around the line; nil for none
}

func (s Series) check() error {
	n := len(s.X)
	if n == 0 || len(s.Y) != n || s.Lo != nil && (len(s.Lo) != n || len(s.Hi) != n) {
		return fmt.Errorf("figure: series %q has %d x, %d y, a band of %d and %d; lengths must agree and not be 0", s.Name, n, len(s.Y), len(s.Lo), len(s.Hi))
	}
	return nil
}

// pieces are the stretches of a series without NaN.
func (s Series) pieces() []plotter.XYs {
	var out []plotter.XYs
	var now plotter.XYs
	for k := range s.X {
		if math.IsNaN(s.Y[k]) {
			if now != nil {
				out, now = append(out, now), nil
			}
			continue
		}
		now = append(now, plotter.XY{X: s.X[k], Y: s.Y[k]})
	}
	if now != nil {
		out = append(out, now)
	}
	return out
}

// Axes labels the axes of a figure and bounds the vertical one (0, 0 for what
// the data needs).
type Axes struct {
	Title, X, Y string
	Min, Max    float64
	LogX, LogY  bool
	Steps       bool // values hold until the next: loads
}

// lines makes a panel of series.
func lines(a Axes, series []Series) (panel, error) {
	p := panel{plot: newPlot(a.Title, a.X, a.Y)}
	for k, s := range series {
		if err := s.check(); err != nil {
			return panel{}, err
		}
		style := line(k)
		if s.Lo != nil {
			if err := addBand(p.plot, s, palette[k%len(palette)]); err != nil {
				return panel{}, err
			}
		}
		for n, piece := range s.pieces() {
			l, err := plotter.NewLine(piece)
			if err != nil {
				return panel{}, fmt.Errorf("figure: series %q: %w", s.Name, err)
			}
			l.LineStyle = style
			if a.Steps {
				l.StepStyle = plotter.PreStep
			}
			p.plot.Add(l)
			if n == 0 && s.Name != "" {
				p.legend = append(p.legend, entry{s.Name, []plot.Thumbnailer{l}})
			}
		}
	}
	if a.Min != 0 || a.Max != 0 {
		p.plot.Y.Min, p.plot.Y.Max = a.Min, a.Max
	}
	if a.LogX {
		p.plot.X.Scale, p.plot.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	if a.LogY {
		p.plot.Y.Scale, p.plot.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	return p, nil
}

func addBand(p *plot.Plot, s Series, c color.Color) error {
	var ring plotter.XYs
	for k := range s.X {
		if !math.IsNaN(s.Hi[k]) {
			ring = append(ring, plotter.XY{X: s.X[k], Y: s.Hi[k]})
		}
	}
	for k := len(s.X) - 1; k >= 0; k-- {
		if !math.IsNaN(s.Lo[k]) {
			ring = append(ring, plotter.XY{X: s.X[k], Y: s.Lo[k]})
		}
	}
	if len(ring) < 3 {
		return nil
	}
	poly, err := plotter.NewPolygon(ring)
	if err != nil {
		return fmt.Errorf("figure: band of %q: %w", s.Name, err)
	}
	r, g, b, _ := c.RGBA()
	poly.Color = color.NRGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 0x38}
	poly.LineStyle.Width = 0
	p.Add(poly)
	return nil
}

// Lines draws series in one panel.
func Lines(a Axes, series ...Series) (Figure, error) {
	p, err := lines(a, series)
	if err != nil {
		return Figure{}, err
	}
	return stack(Column, 2.1*vg.Inch, p), nil
}

// Objectives draws the components of the reward functions (paper, Fig. 3):
// (a) r_i(d) of the services against the response time in s, (b) r3 against
// the carried load in requests/s.
func Objectives(delay, load []Series) (Figure, error) {
	a, err := lines(Axes{Title: "(a) utility of the response time", X: "response time d (s)", Y: "r(d)"}, delay)
	if err != nil {
		return Figure{}, err
	}
	b, err := lines(Axes{Title: "(b) utility of the carried load", X: "carried load of service 1 (requests/s)", Y: "r3"}, load)
	if err != nil {
		return Figure{}, err
	}
	return stack(Column, 1.7*vg.Inch, a, b), nil
}

// LearningCurve draws ANR against training steps (paper, Fig. 4), one series
// for each objective or setting.
func LearningCurve(series ...Series) (Figure, error) {
	return Lines(Axes{X: "environment steps (thousands)", Y: "ANR"}, series...)
}

// Run is one evaluation, per step and service.
type Run struct {
	Offered, Carried [][]float64 // service x step, requests/s
	Delay            [][]float64 // service x step, s; NaN leaves a gap; only Watch draws it
	NR               []float64   // per step; NaN leaves a gap
	ANR              float64
}

// Add appends a step: loads and delays by service, delay nil where none is
// drawn.
func (r *Run) Add(offered, carried, delay []float64) {
	for _, to := range []struct {
		series *[][]float64
		values []float64
	}{{&r.Offered, offered}, {&r.Carried, carried}, {&r.Delay, delay}} {
		if *to.series == nil {
			*to.series = make([][]float64, len(to.values))
		}
		for i, v := range to.values {
			(*to.series)[i] = append((*to.series)[i], v)
		}
	}
}

// Evaluation draws a run (paper, Figs. 5 and 6): (a) offered and carried load,
// a panel per service, (b) NR with its mean.
func Evaluation(r Run) (Figure, error) {
	panels, err := loads("(a) ", r)
	if err != nil {
		return Figure{}, err
	}
	b, err := nr("(b) normalised reward", r)
	if err != nil {
		return Figure{}, err
	}
	return stack(Column, 1.35*vg.Inch, append(panels, b)...), nil
}

// Loads draws the offered and carried load of a run, a panel per service
// (paper, Fig. 8).
func Loads(r Run) (Figure, error) {
	panels, err := loads("", r)
	if err != nil {
		return Figure{}, err
	}
	return stack(Column, 1.45*vg.Inch, panels...), nil
}

// Watch draws a testbed at work, two columns wide: offered and carried load, a
// panel per service, and the response times of all services on a log scale, with
// their goals in s dashed; goals may be nil.
func Watch(r Run, goals []float64) (Figure, error) {
	panels, err := loads("", r)
	if err != nil {
		return Figure{}, err
	}
	if len(r.Delay) != len(r.Offered) || goals != nil && len(goals) != len(r.Delay) {
		return Figure{}, fmt.Errorf("figure: offered load of %d services, delays of %d, goals of %d", len(r.Offered), len(r.Delay), len(goals))
	}
	var series []Series
	for i, d := range r.Delay {
		series = append(series, Series{Name: fmt.Sprintf("service %d", i+1), X: count(len(d)), Y: d})
	}
	p, err := lines(Axes{Title: "mean response time", X: "step", Y: "seconds", LogY: true, Min: .01, Max: 2}, series)
	if err != nil {
		return Figure{}, err
	}
	for i, o := range goals {
		l, err := plotter.NewLine(plotter.XYs{{X: 0, Y: o}, {X: float64(max(1, len(r.Delay[i])-1)), Y: o}})
		if err != nil {
			return Figure{}, fmt.Errorf("figure: goal of service %d: %w", i+1, err)
		}
		l.LineStyle = draw.LineStyle{Color: palette[i%len(palette)], Width: .8, Dashes: dashes[1]}
		p.plot.Add(l)
	}
	return stack(Double, 1.5*vg.Inch, append(panels, p)...), nil
}

// NormalisedRewards draws NR of two runs (paper, Fig. 7): (a) under random,
// (b) under sinusoidal load.
func NormalisedRewards(random, sinusoidal Run) (Figure, error) {
	a, err := nr("(a) random load", random)
	if err != nil {
		return Figure{}, err
	}
	b, err := nr("(b) sinusoidal load", sinusoidal)
	if err != nil {
		return Figure{}, err
	}
	return stack(Column, 1.6*vg.Inch, a, b), nil
}

func loads(prefix string, r Run) ([]panel, error) {
	if len(r.Offered) == 0 || len(r.Offered) != len(r.Carried) {
		return nil, fmt.Errorf("figure: offered load of %d services, carried load of %d", len(r.Offered), len(r.Carried))
	}
	var panels []panel
	for i := range r.Offered {
		p, err := lines(Axes{Title: fmt.Sprintf("%sservice %d", prefix, i+1), X: "step", Y: "requests/s", Steps: true}, []Series{
			{Name: "offered load", X: count(len(r.Offered[i])), Y: r.Offered[i]},
			{Name: "carried load", X: count(len(r.Carried[i])), Y: r.Carried[i]}})
		if err != nil {
			return nil, err
		}
		p.plot.Y.Min = 0
		panels = append(panels, p)
	}
	return panels, nil
}

func nr(title string, r Run) (panel, error) {
	p, err := lines(Axes{Title: title, X: "step", Y: "NR", Min: 0, Max: top(r.NR)}, []Series{{Name: "NR(t)", X: count(len(r.NR)), Y: r.NR}})
	if err != nil {
		return panel{}, err
	}
	mean, err := plotter.NewLine(plotter.XYs{{X: 0, Y: r.ANR}, {X: float64(len(r.NR) - 1), Y: r.ANR}})
	if err != nil {
		return panel{}, fmt.Errorf("figure: mean of NR: %w", err)
	}
	mean.LineStyle = draw.LineStyle{Color: palette[1], Width: 1, Dashes: dashes[1]}
	p.plot.Add(mean)
	p.legend = append(p.legend, entry{fmt.Sprintf("ANR %.3f", r.ANR), []plot.Thumbnailer{mean}})
	return p, nil
}

// top is a bound for NR that leaves room above 1.
func top(v []float64) float64 {
	m := 1.0
	for _, x := range v {
		if !math.IsNaN(x) {
			m = max(m, x)
		}
	}
	return math.Ceil(m*10+.5) / 10
}

func count(n int) []float64 {
	x := make([]float64, n)
	for k := range x {
		x[k] = float64(k)
	}
	return x
}

// Panel is one panel of Panels.
type Panel struct {
	Axes   Axes
	Series []Series
}

// Panels draws panels of lines one above the other.
func Panels(of ...Panel) (Figure, error) {
	var all []panel
	for _, p := range of {
		l, err := lines(p.Axes, p.Series)
		if err != nil {
			return Figure{}, err
		}
		all = append(all, l)
	}
	return stack(Column, 1.6*vg.Inch, all...), nil
}
