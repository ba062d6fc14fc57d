package figure

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Ratio is how many times one thing is another: of speeds, say.
type Ratio struct {
	Name          string
	Value, Lo, Hi float64 // above 0; equal or missing (NaN) Lo and Hi for no interval
}

// Ratios draws ratios as horizontal bars that begin at 1 on a logarithmic axis,
// the first one on top, with the values beside them. A ratio that is missing or
// not above 0 has a row that says "no data"; no ratio at all is an error. Long names
// make it two columns wide. Of
// axes, Min and Max bound the horizontal one.
func Ratios(a Axes, ratios ...Ratio) (Figure, error) {
	if len(ratios) == 0 {
		return Figure{}, fmt.Errorf("figure: no ratio to draw")
	}
	ratios = own(ratios)
	c := newChart(a.Title, newAxis(a.X, true), newAxis(a.Y, false))
	a.bound(c.x)
	c.x.see(1)
	n := len(ratios)
	c.y.names, c.beside = make([]string, n), make([]string, n)
	width := Column
	for k, r := range ratios {
		row := n - 1 - k
		c.y.names[row], c.beside[row] = r.Name, "no data"
		if len(r.Name) > longName {
			width = Double
		}
		if c.x.shows(r.Value) {
			c.empty = false
			c.beside[row] = significant(r.Value) + "×"
			c.x.see(r.Value)
			if interval(r.Lo, r.Hi) {
				c.x.see(r.Lo, r.Hi)
			}
		}
	}
	c.add(func(p pane) {
		for k, r := range ratios {
			if !c.x.shows(r.Value) {
				continue
			}
			y := float64(n - 1 - k)
			paint := palette[0]
			if r.Value < 1 {
				paint = palette[1]
			}
			p.polygon(paint, corners(p.at(1, y-.3), p.at(r.Value, y+.3))...)
			if interval(r.Lo, r.Hi) {
				style := draw.LineStyle{Color: color.Black, Width: .8}
				a, b := p.at(r.Lo, y), p.at(r.Hi, y)
				p.line(style, a, b)
				for _, e := range []vg.Point{a, b} {
					p.line(style, vg.Point{X: e.X, Y: e.Y - 2}, vg.Point{X: e.X, Y: e.Y + 2})
				}
			}
		}
		p.line(draw.LineStyle{Color: color.Black, Width: .8}, p.at(1, p.y.min), p.at(1, p.y.max))
	})
	return grid{charts: [][]*chart{{c}}, data: func() Table {
		t := Table{Header: []string{"name", "value", "lo", "hi"}}
		for _, r := range ratios {
			t.Rows = append(t.Rows, []string{r.Name, exact(r.Value), exact(r.Lo), exact(r.Hi)})
		}
		return t
	}}.figure(width, vg.Length(n)*13+44), nil
}

// longName is the number of letters from which on names of ratios need two columns
// of print.
const longName = 30

// significant is v in about three digits.
func significant(v float64) string {
	switch {
	case v < .001 || v >= 1e6:
		return minus(fmt.Sprintf("%.2e", v))
	case v >= 100:
		return decimal(v, 0)
	case v >= 10:
		return decimal(v, 1)
	case v >= .1:
		return decimal(v, 2)
	}
	return decimal(v, 4)
}
