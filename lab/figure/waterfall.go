package figure

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Fall is a value that falls from 1 in steps, each by a cause.
type Fall struct {
	Name   string    // told apart by colour
	Levels []float64 // what is left after each cause; NaN where it is unknown
	Lo, Hi float64   // spread about the last level; equal for none
}

// WaterfallPanel is one panel of Waterfalls.
type WaterfallPanel struct {
	Title string
	Falls []Fall
}

// Waterfalls draws falls side by side in panels, so many in a row: a bar for
// what each cause takes, with the change in hundredths below it, from the level
// that the causes before have left. Bars that gain are hollow. The last level
// has a dot, with its spread. axes bounds all panels alike. A name has the same
// colour in all panels; a panel without falls says "no data".
func Waterfalls(axes Axes, causes []string, columns int, panels ...WaterfallPanel) (Figure, error) {
	if len(panels) == 0 || columns < 1 {
		return Figure{}, fmt.Errorf("figure: %d panels in %d columns", len(panels), columns)
	}
	columns, panels, causes = min(columns, len(panels)), own(panels), own(causes)
	var legend []entry
	name := map[string]int{}
	for _, w := range panels {
		for _, f := range w.Falls {
			if len(f.Levels) != len(causes) {
				return Figure{}, fmt.Errorf("figure: %s, %s: %d levels after %d causes", w.Title, f.Name, len(f.Levels), len(causes))
			}
			if _, ok := name[f.Name]; !ok {
				name[f.Name] = len(name)
				legend = append(legend, entry{f.Name, point(name[f.Name])})
			}
		}
	}
	var charts []*chart
	var ys []*axis
	for k, w := range panels {
		c := waterfall(axes, causes, w, name)
		if k%columns > 0 {
			c.y.label = ""
		}
		charts, ys = append(charts, c), append(ys, c.y)
	}
	share(ys...)
	return grid{charts: inColumns(charts, columns), legend: legend, pad: 8, data: func() Table {
		t := Table{Header: append([]string{"panel", "name"}, append(append([]string(nil), causes...), "lo", "hi")...)}
		for _, w := range panels {
			for _, f := range w.Falls {
				row := []string{w.Title, f.Name}
				for _, l := range f.Levels {
					row = append(row, exact(l))
				}
				t.Rows = append(t.Rows, append(row, exact(f.Lo), exact(f.Hi)))
			}
		}
		return t
	}}.figure(Double, 1.75*vg.Inch), nil
}

// change is v in hundredths with its sign.
func change(v float64) string {
	switch s := decimal(100*math.Abs(v), 1); {
	case s == "0.0":
		return "0"
	case v < 0:
		return "−" + s
	default:
		return "+" + s
	}
}

func waterfall(a Axes, causes []string, w WaterfallPanel, name map[string]int) *chart {
	c := newChart(w.Title, newAxis("", false), newAxis(a.Y, false))
	c.x.names = append(append([]string(nil), causes...), a.X)
	c.small = true // five of them in a third of a page
	c.y.see(1)
	for _, f := range w.Falls {
		for _, l := range f.Levels {
			if finite(l) {
				c.empty = false
				c.y.see(l)
			}
		}
		if interval(f.Lo, f.Hi) {
			c.y.see(f.Lo, f.Hi)
		}
	}
	// Room for what is written below the lowest bar.
	if c.y.lo < 1 {
		if low := c.y.lo - .06*(c.y.hi-c.y.lo); finite(low) && (c.y.lo < 0 || low > 0) {
			c.y.see(low)
		}
	}
	a.bound(c.y)
	c.add(func(p pane) {
		last := len(causes)
		p.line(draw.LineStyle{Color: color.Gray{0x80}, Width: .6}, p.at(p.x.min, 1), p.at(p.x.max, 1))
		width := .8 / float64(max(1, len(w.Falls)))
		slot := p.area.Size().X / vg.Length(last+1)
		for n, f := range w.Falls {
			k := name[f.Name]
			left := func(c int) float64 { return float64(c) - .4 + width*float64(n) }
			level := 1.
			for c, next := range f.Levels {
				if !finite(next) {
					continue
				}
				x0, x1 := left(c), left(c)+width*.9
				end := left(c+1) + width*.9
				if c+1 == last {
					end = left(c+1) + width*.45
				}
				p.line(draw.LineStyle{Color: ink(k), Width: .5, Dashes: dash(k)}, p.at(x0, next), p.at(end, next))
				bar := corners(p.at(x0, level), p.at(x1, next))
				if next <= level {
					p.polygon(ink(k), bar...)
				}
				p.border(draw.LineStyle{Color: ink(k), Width: .7}, bar...)
				at := p.at((x0+x1)/2, min(level, next))
				p.write(change(next-level), 6, vg.Point{X: at.X, Y: at.Y - 1.5}, .5, 1, max(slot*vg.Length(width)*1.2, 14), false, ink(k))
				level = next
			}
			if last > 0 && finite(f.Levels[last-1]) {
				p.whisker(left(last)+width*.45, level, f.Lo, f.Hi, k)
			}
		}
	})
	return c
}
