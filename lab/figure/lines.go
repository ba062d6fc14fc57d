package figure

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Series is a named line. Where X or Y is NaN or infinite the line has a gap,
// and also where a value is 0 or less on a logarithmic axis. A value between
// two gaps is a point. A series of gaps only is named in the legend as one
// without data.
type Series struct {
	Name   string
	X, Y   []float64
	Lo, Hi []float64 // band around the line; nil for none
}

func (s Series) check() error {
	n := len(s.X)
	if n == 0 || len(s.Y) != n || (s.Lo != nil || s.Hi != nil) && (len(s.Lo) != n || len(s.Hi) != n) {
		return fmt.Errorf("figure: series %q has %d x, %d y, a band of %d and %d; lengths must agree and not be 0", s.Name, n, len(s.Y), len(s.Lo), len(s.Hi))
	}
	return nil
}

// pieces are the stretches of n values that have a place, each from a to
// before b.
func pieces(n int, has func(k int) bool) (out [][2]int) {
	for a := 0; a < n; a++ {
		if !has(a) {
			continue
		}
		b := a
		for b < n && has(b) {
			b++
		}
		out = append(out, [2]int{a, b})
		a = b
	}
	return out
}

// Axes labels the axes of a figure and bounds the vertical one (0, 0 for what
// the data needs). An axis shows at least what its bounds say, and more where
// data lie beyond: nothing is cut off.
type Axes struct {
	Title, X, Y string
	Min, Max    float64
	LogX, LogY  bool
	Steps       bool // values hold until the next: loads
}

// bound makes room for the bounds.
func (a Axes) bound(y *axis) {
	if a.Min != 0 || a.Max != 0 {
		y.see(a.Min, a.Max)
		y.from, y.to = a.Min, a.Max
	}
}

// lines makes a chart of series. Of no series it says "no data".
func lines(a Axes, series []Series) (*chart, error) {
	c := newChart(a.Title, newAxis(a.X, a.LogX), newAxis(a.Y, a.LogY))
	for k, s := range series {
		if err := s.check(); err != nil {
			return nil, err
		}
		c.line(s, stroked(k), a.Steps)
	}
	a.bound(c.y)
	return c, nil
}

// line adds a series to a chart and its legend.
func (c *chart) line(s Series, style draw.LineStyle, step bool) {
	has := func(k int) bool { return c.x.shows(s.X[k]) && c.y.shows(s.Y[k]) }
	// A step ends where the next begins, the last one after as long a time.
	end := func(k int) float64 {
		if k+1 < len(s.X) && finite(s.X[k+1]) {
			return s.X[k+1]
		}
		if k > 0 && finite(s.X[k-1]) {
			if x := s.X[k] + (s.X[k] - s.X[k-1]); c.x.shows(x) {
				return x
			}
		}
		return s.X[k]
	}
	seen := false
	for k := range s.X {
		if !has(k) {
			continue
		}
		seen = true
		c.x.see(s.X[k])
		c.y.see(s.Y[k])
		if step {
			c.x.see(end(k))
		}
		if s.Lo != nil && finite(s.Lo[k]) && finite(s.Hi[k]) {
			c.y.see(s.Lo[k], s.Hi[k])
		}
	}
	label := s.Name
	thumb := func(p *page, r vg.Rectangle) {
		y := (r.Min.Y + r.Max.Y) / 2
		p.line(style, vg.Point{X: r.Min.X, Y: y}, vg.Point{X: r.Max.X, Y: y})
	}
	if !seen {
		label, thumb = label+" (no data)", nil
	}
	if s.Name != "" {
		c.legend = append(c.legend, entry{label, thumb})
	}
	if !seen {
		return
	}
	c.empty = false
	c.add(func(p pane) {
		if s.Lo != nil {
			p.band(s, style, step, end, has)
		}
		for _, piece := range pieces(len(s.X), has) {
			var points []vg.Point
			for k := piece[0]; k < piece[1]; k++ {
				points = append(points, p.at(s.X[k], s.Y[k]))
				if step {
					points = append(points, p.at(end(k), s.Y[k]))
				}
			}
			points = distinct(points)
			away := func(q vg.Point) bool { return math.Hypot(float64(q.X-points[0].X), float64(q.Y-points[0].Y)) > 1 }
			if !slices.ContainsFunc(points, away) { // too short to be seen as a line
				p.mark(draw.CircleGlyph{}, style.Color, 1.5, points[0])
			}
			p.line(style, points...)
		}
	})
}

// distinct leaves out points that print on the one before. Of many points in a
// narrow column it keeps the first, the lowest, the highest and the last.
func distinct(of []vg.Point) []vg.Point {
	var out []vg.Point
	for a := 0; a < len(of); {
		b := a + 1
		for b < len(of) && math.Abs(float64(of[b].X-of[a].X)) < .3 {
			b++
		}
		keep := of[a:b]
		if len(keep) > 4 {
			low, high := 0, 0
			for k, q := range keep {
				if q.Y < keep[low].Y {
					low = k
				}
				if q.Y > keep[high].Y {
					high = k
				}
			}
			keep = []vg.Point{keep[0], keep[min(low, high)], keep[max(low, high)], keep[len(keep)-1]}
		}
		for _, q := range keep {
			if n := len(out); n == 0 || math.Abs(float64(q.X-out[n-1].X)) > .02 || math.Abs(float64(q.Y-out[n-1].Y)) > .02 {
				out = append(out, q)
			}
		}
		a = b
	}
	return out
}

// band shades the range about a line; on a logarithmic axis from its lower end
// where the range has none.
func (p pane) band(s Series, style draw.LineStyle, step bool, end func(int) float64, has func(int) bool) {
	whole := func(k int) bool { return has(k) && finite(s.Lo[k]) && finite(s.Hi[k]) }
	for _, piece := range pieces(len(s.X), whole) {
		var upper, lower []vg.Point
		for k := piece[0]; k < piece[1]; k++ {
			upper, lower = append(upper, p.at(s.X[k], s.Hi[k])), append(lower, p.at(s.X[k], s.Lo[k]))
			if step {
				upper, lower = append(upper, p.at(end(k), s.Hi[k])), append(lower, p.at(end(k), s.Lo[k]))
			}
		}
		upper, lower = distinct(upper), distinct(lower)
		if len(upper) == 1 {
			p.line(draw.LineStyle{Color: light(style.Color), Width: 3}, lower[0], upper[0])
			continue
		}
		for k := len(lower) - 1; k >= 0; k-- {
			upper = append(upper, lower[k])
		}
		p.polygon(light(style.Color), upper...)
	}
}

// across draws a level over the whole width, and names it in the legend.
func (c *chart) across(label string, y float64, style draw.LineStyle) {
	thumb := func(p *page, r vg.Rectangle) {
		y := (r.Min.Y + r.Max.Y) / 2
		p.line(style, vg.Point{X: r.Min.X, Y: y}, vg.Point{X: r.Max.X, Y: y})
	}
	if !c.y.shows(y) {
		label, thumb = label+" (no data)", nil
	} else {
		c.y.see(y)
		c.add(func(p pane) { p.line(style, p.at(p.x.min, y), p.at(p.x.max, y)) })
	}
	if label != "" {
		c.legend = append(c.legend, entry{label, thumb})
	}
}

// seriesData are the values of panels of series.
func seriesData(of func() []Panel) func() Table {
	return func() Table {
		t := Table{Header: []string{"panel", "series", "x", "y", "lo", "hi"}}
		for _, p := range of() {
			for _, s := range p.Series {
				for k := range s.X {
					row := []string{p.Axes.Title, s.Name, exact(s.X[k]), exact(s.Y[k]), "", ""}
					if s.Lo != nil {
						row[4], row[5] = exact(s.Lo[k]), exact(s.Hi[k])
					}
					t.Rows = append(t.Rows, row)
				}
			}
		}
		return t
	}
}

// exact is v so that it reads back the same; missing (NaN) is empty.
func exact(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// Panel is one panel of Panels.
type Panel struct {
	Axes   Axes
	Series []Series
}

// Panels draws panels of lines one above the other. No panel is an error.
func Panels(of ...Panel) (Figure, error) { return panels(Column, 1.6*vg.Inch, of...) }

func panels(width, each vg.Length, of ...Panel) (Figure, error) {
	if len(of) == 0 {
		return Figure{}, fmt.Errorf("figure: no panel to draw")
	}
	of = own(of)
	var all []*chart
	for _, p := range of {
		c, err := lines(p.Axes, p.Series)
		if err != nil {
			return Figure{}, err
		}
		all = append(all, c)
	}
	return grid{charts: column(all), data: seriesData(func() []Panel { return of })}.figure(width, each), nil
}

// Lines draws series in one panel; without series, one that says "no data".
func Lines(a Axes, series ...Series) (Figure, error) {
	return panels(Column, 2.1*vg.Inch, Panel{a, series})
}

// Objectives draws the components of the reward functions (paper, Fig. 3):
// (a) r_i(d) of the services against the response time in s, (b) r3 against
// the carried load in requests/s.
func Objectives(delay, load []Series) (Figure, error) {
	return panels(Column, 1.7*vg.Inch,
		Panel{Axes{Title: "(a) utility of the response time", X: "response time d (s)", Y: "r(d)"}, delay},
		Panel{Axes{Title: "(b) utility of the carried load", X: "carried load of service 1 (requests/s)", Y: "r3"}, load})
}

// LearningCurve draws ANR against training steps (paper, Fig. 4), one series
// for each objective or setting.
func LearningCurve(series ...Series) (Figure, error) {
	return Lines(Axes{X: "environment steps (thousands)", Y: "ANR"}, series...)
}

// Run is one evaluation, per step and service.
type Run struct {
	Services         []string    // names; default "service 1" ...
	Offered, Carried [][]float64 // service x step, requests/s
	Delay            [][]float64 // service x step, s; NaN leaves a gap; only Watch draws it
	NR               []float64   // per step; NaN leaves a gap
	ANR              float64
	// Beside are other policies under the same loads, whose NR is drawn beside.
	Beside []Beside
}

// Beside is what another policy was paid in the steps of a Run.
type Beside struct {
	Name string
	NR   []float64
	ANR  float64
}

// service is the name of service i.
func (r Run) service(i int) string {
	if i < len(r.Services) {
		return r.Services[i]
	}
	return fmt.Sprintf("service %d", i+1)
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
	r = own(r)
	all, err := loads("(a) ", r)
	if err != nil {
		return Figure{}, err
	}
	b, err := nr("(b) normalised reward", r)
	if err != nil {
		return Figure{}, err
	}
	for _, c := range all {
		share(c.x, b.x)
	}
	return grid{charts: column(append(all, b)), data: runData(r)}.figure(Column, 1.35*vg.Inch), nil
}

// Loads draws the offered and carried load of a run, a panel per service
// (paper, Fig. 8).
func Loads(r Run) (Figure, error) {
	r = own(r)
	all, err := loads("", r)
	if err != nil {
		return Figure{}, err
	}
	return grid{charts: column(all), data: runData(r)}.figure(Column, 1.45*vg.Inch), nil
}

// Watch draws a testbed at work, two columns wide: offered and carried load, a
// panel per service, and the response times of all services on a log scale, with
// their goals in s dashed; goals may be nil.
func Watch(r Run, goals []float64) (Figure, error) {
	r = own(r)
	all, err := loads("", r)
	if err != nil {
		return Figure{}, err
	}
	if len(r.Delay) != len(r.Offered) || goals != nil && len(goals) != len(r.Delay) {
		return Figure{}, fmt.Errorf("figure: offered load of %d services, delays of %d, goals of %d", len(r.Offered), len(r.Delay), len(goals))
	}
	c := newChart("mean response time", newAxis("step", false), newAxis("seconds", true))
	for i, d := range r.Delay {
		s := Series{Name: r.service(i), X: count(len(d)), Y: d}
		if err := s.check(); err != nil {
			return Figure{}, err
		}
		style := stroked(i)
		if i > 0 {
			style.Dashes = dash(i + 1) // the goals have the first
		}
		c.line(s, style, false)
	}
	c.y.see(.01, 2)
	c.x.see(all[0].x.lo, all[0].x.hi)
	for i, o := range goals {
		c.across("goal of "+r.service(i), o, draw.LineStyle{Color: ink(i), Width: .8, Dashes: dashes[1]})
	}
	return grid{charts: column(append(all, c)), data: runData(r)}.figure(Double, 1.5*vg.Inch), nil
}

// NormalisedRewards draws NR of two runs (paper, Fig. 7): (a) under random,
// (b) under sinusoidal load. Both axes are alike.
func NormalisedRewards(random, sinusoidal Run) (Figure, error) {
	random, sinusoidal = own(random), own(sinusoidal)
	a, err := nr("(a) random load", random)
	if err != nil {
		return Figure{}, err
	}
	b, err := nr("(b) sinusoidal load", sinusoidal)
	if err != nil {
		return Figure{}, err
	}
	share(a.y, b.y)
	return grid{charts: column([]*chart{a, b}), data: func() Table {
		t := Table{Header: []string{"load", "step", "NR"}}
		for k, v := range random.NR {
			t.Rows = append(t.Rows, []string{"random", strconv.Itoa(k), exact(v)})
		}
		for k, v := range sinusoidal.NR {
			t.Rows = append(t.Rows, []string{"sinusoidal", strconv.Itoa(k), exact(v)})
		}
		return t
	}}.figure(Column, 1.6*vg.Inch), nil
}

func loads(prefix string, r Run) ([]*chart, error) {
	if len(r.Offered) == 0 || len(r.Offered) != len(r.Carried) {
		return nil, fmt.Errorf("figure: offered load of %d services, carried load of %d", len(r.Offered), len(r.Carried))
	}
	var all []*chart
	var axes []*axis
	for i := range r.Offered {
		c, err := lines(Axes{Title: prefix + r.service(i), X: "step", Y: "requests/s", Steps: true}, []Series{
			{Name: "offered load", X: count(len(r.Offered[i])), Y: r.Offered[i]},
			{Name: "carried load", X: count(len(r.Carried[i])), Y: r.Carried[i]}})
		if err != nil {
			return nil, err
		}
		c.y.see(0)
		all, axes = append(all, c), append(axes, c.y)
	}
	share(axes...)
	return all, nil
}

// nr draws NR from 0, or from below where a reward is negative.
func nr(title string, r Run) (*chart, error) {
	all := []Series{{Name: "NR(t)", X: count(len(r.NR)), Y: r.NR}}
	if len(r.Beside) > 0 {
		all[0].Name = "learned, ANR " + decimal(r.ANR, 3)
	}
	for _, b := range r.Beside {
		all = append(all, Series{Name: b.Name + ", ANR " + decimal(b.ANR, 3), X: count(len(b.NR)), Y: b.NR})
	}
	c, err := lines(Axes{Title: title, X: "step", Y: "NR"}, all)
	if err != nil {
		return nil, err
	}
	c.y.see(0, 1)
	if len(r.Beside) > 0 {
		return c, nil
	}
	c.across("ANR "+decimal(r.ANR, 3), r.ANR, draw.LineStyle{Color: palette[1], Width: 1, Dashes: dashes[1]})
	return c, nil
}

// runData are the values of a run, one row per step.
func runData(r Run) func() Table {
	return func() Table {
		t := Table{Header: []string{"step"}}
		type column struct {
			name   string
			values []float64
		}
		var all []column
		for i := range r.Offered {
			all = append(all, column{fmt.Sprintf("offered %d (requests/s)", i+1), r.Offered[i]})
		}
		for i := range r.Carried {
			all = append(all, column{fmt.Sprintf("carried %d (requests/s)", i+1), r.Carried[i]})
		}
		for i := range r.Delay {
			all = append(all, column{fmt.Sprintf("delay %d (s)", i+1), r.Delay[i]})
		}
		all = append(all, column{"NR", r.NR})
		for _, b := range r.Beside {
			all = append(all, column{"NR, " + b.Name, b.NR})
		}
		steps := 0
		for _, c := range all {
			t.Header, steps = append(t.Header, c.name), max(steps, len(c.values))
		}
		for k := range steps {
			row := []string{strconv.Itoa(k)}
			for _, c := range all {
				cell := ""
				if k < len(c.values) {
					cell = exact(c.values[k])
				}
				row = append(row, cell)
			}
			t.Rows = append(t.Rows, row)
		}
		return t
	}
}

func count(n int) []float64 {
	x := make([]float64, n)
	for k := range x {
		x[k] = float64(k)
	}
	return x
}
