package figure

import (
	"fmt"
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Bar is one bar, or one point, with an interval; equal or missing (NaN) Lo and
// Hi for none.
type Bar struct {
	Group, Name   string // bars of one group stand together; names are told apart by colour
	Value, Lo, Hi float64
}

// DotPanel is one panel of DotPanels.
type DotPanel struct {
	Axes Axes
	Bars []Bar
}

// Dots draws values with intervals, grouped along the horizontal axis: ANR of
// several policies under several loads, or the importance of features for
// several targets. Names keep the order in which they first come. Missing
// values are left out; no bar at all is an error.
func Dots(a Axes, bars ...Bar) (Figure, error) {
	if len(bars) == 0 {
		return Figure{}, fmt.Errorf("figure: no value to draw")
	}
	return DotPanels(1, DotPanel{a, bars})
}

// DotPanels draws panels of Dots side by side, so many in a row, two columns of
// a page wide in all: a panel per objective, say. A name has the same colour
// and mark in all panels, and their vertical axes are alike, since panels are
// there to be compared.
func DotPanels(columns int, panels ...DotPanel) (Figure, error) {
	if len(panels) == 0 || columns < 1 {
		return Figure{}, fmt.Errorf("figure: %d panels in %d columns", len(panels), columns)
	}
	columns, panels = min(columns, len(panels)), own(panels)
	var names []string
	name, seen := map[string]int{}, map[string]bool{}
	for _, p := range panels {
		for _, b := range p.Bars {
			if _, ok := name[b.Name]; !ok {
				name[b.Name] = len(names)
				names = append(names, b.Name)
			}
			if newAxis("", p.Axes.LogY).shows(b.Value) {
				seen[b.Name] = true
			}
		}
	}
	var charts []*chart
	var axes []*axis
	for k, p := range panels {
		c := dots(p, name)
		if k%columns > 0 && p.Axes.Y == panels[0].Axes.Y {
			c.y.label = ""
		}
		charts, axes = append(charts, c), append(axes, c.y)
	}
	share(axes...)
	var legend []entry
	for k, n := range names {
		e := entry{n, point(k)}
		if !seen[n] {
			e = entry{n + " (no data)", nil}
		}
		if n != "" {
			legend = append(legend, e)
		}
	}
	return grid{charts: inColumns(charts, columns), legend: legend, data: func() Table {
		t := Table{Header: []string{"panel", "group", "name", "value", "lo", "hi"}}
		for _, p := range panels {
			for _, b := range p.Bars {
				t.Rows = append(t.Rows, []string{p.Axes.Title, b.Group, b.Name, exact(b.Value), exact(b.Lo), exact(b.Hi)})
			}
		}
		return t
	}}.figure(Double, 2.3*vg.Inch), nil
}

func dots(of DotPanel, name map[string]int) *chart {
	a := of.Axes
	c := newChart(a.Title, newAxis(a.X, false), newAxis(a.Y, a.LogY))
	c.x.names = []string{}
	group := map[string]int{}
	for _, b := range of.Bars {
		if _, ok := group[b.Group]; !ok {
			group[b.Group] = len(c.x.names)
			c.x.names = append(c.x.names, b.Group)
		}
		if c.y.shows(b.Value) {
			c.empty = false
			c.y.see(b.Value)
			if interval(b.Lo, b.Hi) {
				c.y.see(b.Lo, b.Hi)
			}
		}
	}
	if len(c.x.names) == 0 {
		c.x.names = []string{""}
	}
	a.bound(c.y)
	c.add(func(p pane) {
		for k := 1; k < len(c.x.names); k++ {
			x := float64(k) - .5
			p.line(draw.LineStyle{Color: grey, Width: .4}, p.at(x, p.y.min), p.at(x, p.y.max))
		}
		for _, b := range of.Bars {
			k := name[b.Name]
			x := float64(group[b.Group]) + .8*((float64(k)+.5)/float64(len(name))-.5)
			p.whisker(x, b.Value, b.Lo, b.Hi, k)
		}
	})
	return c
}

// interval says whether there is one.
func interval(lo, hi float64) bool { return finite(lo) && finite(hi) && lo != hi }

// point is the k-th mark in a legend.
func point(k int) func(*page, vg.Rectangle) {
	return func(p *page, r vg.Rectangle) {
		p.mark(shape(k), ink(k), 2.2, vg.Point{X: (r.Min.X + r.Max.X) / 2, Y: (r.Min.Y + r.Max.Y) / 2})
	}
}

// whisker draws a mark at a value with a line for its interval, to the end of
// a logarithmic axis where the interval reaches 0.
func (p pane) whisker(x, y, lo, hi float64, k int) {
	if !p.y.shows(y) {
		return
	}
	if interval(lo, hi) {
		p.line(draw.LineStyle{Color: ink(k), Width: 1}, p.at(x, lo), p.at(x, hi))
	}
	p.mark(shape(k), ink(k), 2.2, p.at(x, y))
}

// Predicted is one target of a model on rows that it has not seen.
type Predicted struct {
	Target              string
	Measured, Predicted []float64 // s
	NMAE, R2            float64
}

const densityBins = 48

// PredictedVsMeasured draws how many rows lie where, a panel per target, with
// the diagonal on which predictions are exact. Cells are darker the more rows
// they hold, by the logarithm. Axes end at the 99th percentile; how many rows
// lie beyond is said in the panel. Rows with a missing value are left out.
func PredictedVsMeasured(targets ...Predicted) (Figure, error) {
	if len(targets) == 0 {
		return Figure{}, fmt.Errorf("figure: no target to draw")
	}
	targets = own(targets)
	var charts []*chart
	for _, t := range targets {
		c, err := density(t)
		if err != nil {
			return Figure{}, err
		}
		charts = append(charts, c)
	}
	return grid{charts: inColumns(charts, 2), data: func() Table {
		t := Table{Header: []string{"target", "measured (s)", "predicted (s)"}}
		for _, p := range targets {
			for k := range p.Measured {
				t.Rows = append(t.Rows, []string{p.Target, exact(p.Measured[k]), exact(p.Predicted[k])})
			}
		}
		return t
	}}.figure(Column, 1.75*vg.Inch), nil
}

func density(t Predicted) (*chart, error) {
	n := len(t.Measured)
	if n == 0 || len(t.Predicted) != n {
		return nil, fmt.Errorf("figure: %s has %d measured and %d predicted values", t.Target, n, len(t.Predicted))
	}
	c := newChart("", newAxis("measured (s)", false), newAxis("predicted (s)", false))
	c.title = fmt.Sprintf("%s: NMAE %s, R² %s", t.Target, decimal(t.NMAE, 3), decimal(t.R2, 3))
	var x, y, all []float64
	for k := range t.Measured {
		if finite(t.Measured[k]) && finite(t.Predicted[k]) {
			x, y = append(x, t.Measured[k]), append(y, t.Predicted[k])
			all = append(all, t.Measured[k], t.Predicted[k])
		}
	}
	if len(all) == 0 {
		return c, nil
	}
	c.empty = false
	slices.Sort(all)
	lo, hi := min(0, all[len(all)/100]), all[int(.99*float64(len(all)-1))]
	c.x.see(lo, hi)
	share(c.x, c.y)
	c.y.round = false
	c.add(func(p pane) {
		var cells [densityBins][densityBins]int
		most, beyond := 1, 0
		cell := func(v float64) int {
			share := p.x.at(v)
			if !(share >= 0 && share <= 1) {
				return -1
			}
			return min(int(share*densityBins), densityBins-1)
		}
		for k := range x {
			a, b := cell(x[k]), cell(y[k])
			if a < 0 || b < 0 {
				beyond++
				continue
			}
			cells[a][b]++
			most = max(most, cells[a][b])
		}
		side := vg.Point{X: p.area.Size().X / densityBins, Y: p.area.Size().Y / densityBins}
		for a := range cells {
			for b, v := range cells[a] {
				if v == 0 {
					continue
				}
				at := vg.Point{X: p.area.Min.X + vg.Length(a)*side.X, Y: p.area.Min.Y + vg.Length(b)*side.Y}
				shade := math.Log1p(float64(v)) / math.Log1p(float64(most))
				p.polygon(color.RGBA{uint8(235 - 235*shade), uint8(240 - 126*shade), uint8(250 - 72*shade), 0xff}, corners(at, vg.Point{X: at.X + side.X, Y: at.Y + side.Y})...)
			}
		}
		p.line(draw.LineStyle{Color: palette[1], Width: .8, Dashes: dashes[1]}, p.area.Min, p.area.Max)
		if beyond > 0 {
			p.write(fmt.Sprintf("%s %% beyond", decimal(100*float64(beyond)/float64(len(x)), 1)), 6.5, vg.Point{X: p.area.Min.X + 3, Y: p.area.Max.Y - 2}, 0, 1, p.area.Size().X-6, false, color.Black)
		}
	})
	return c, nil
}
