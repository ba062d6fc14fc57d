package figure

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Stack is a bar of parts: what a policy costs and what its violations cost.
type Stack struct {
	Name  string
	Parts []float64 // NaN for a missing one
}

// Stacked draws bars of parts on one another, negative ones downwards from 0,
// with the sum above each; "?" for a sum with a part missing. Every second part
// is hatched. No bar, another number of parts than named, and a logarithmic
// axis, on which parts do not add up, are errors.
func Stacked(a Axes, parts []string, stacks ...Stack) (Figure, error) {
	if len(stacks) == 0 || len(parts) == 0 {
		return Figure{}, fmt.Errorf("figure: %d bars of %d parts", len(stacks), len(parts))
	}
	if a.LogY {
		return Figure{}, fmt.Errorf("figure: stacked bars on a logarithmic axis")
	}
	parts, stacks = own(parts), own(stacks)
	c := newChart(a.Title, newAxis(a.X, false), newAxis(a.Y, false))
	sums := make([]string, len(stacks))
	seen := make([]bool, len(parts))
	c.y.see(0)
	for k, s := range stacks {
		if len(s.Parts) != len(parts) {
			return Figure{}, fmt.Errorf("figure: %s has %d parts, not %d", s.Name, len(s.Parts), len(parts))
		}
		c.x.names = append(c.x.names, s.Name)
		up, down, missing := 0., 0., 0
		for n, v := range s.Parts {
			switch {
			case !finite(v):
				missing++
				continue
			case v < 0:
				down = within(down + v)
			default:
				up = within(up + v)
			}
			seen[n] = true
		}
		c.y.see(up, down)
		switch {
		case missing == len(parts):
			sums[k] = "no data"
		case missing > 0:
			sums[k] = "?"
		default:
			sums[k] = short3(up + down)
		}
		c.empty = c.empty && missing == len(parts)
	}
	c.y.see(within(c.y.hi + .1*(c.y.hi/2-c.y.lo/2)*2)) // the sums
	a.bound(c.y)
	for n, name := range parts {
		e := entry{name, func(p *page, r vg.Rectangle) { p.part(n, r.Min, r.Max) }}
		if !seen[n] {
			e = entry{name + " (no data)", nil}
		}
		c.legend = append(c.legend, e)
	}
	c.add(func(p pane) {
		slot := p.area.Size().X / vg.Length(len(stacks))
		for k, s := range stacks {
			x, up, down := float64(k), 0., 0.
			for n, v := range s.Parts {
				if !finite(v) || v == 0 {
					continue
				}
				from := &up
				if v < 0 {
					from = &down
				}
				to := within(*from + v)
				p.part(n, p.at(x-.32, *from), p.at(x+.32, to))
				*from = to
			}
			at := p.at(x, up)
			if size := min(7, 7*(slot-1)/max(textWidth(sums[k], 7), 1)); size >= 4 {
				p.write(sums[k], size, vg.Point{X: at.X, Y: at.Y + 1.5}, .5, 0, slot, false, color.Black)
			}
		}
		p.line(frameLine, p.at(p.x.min, 0), p.at(p.x.max, 0))
	})
	width := Column
	if len(stacks) > 8 {
		width = Double
	}
	return grid{charts: [][]*chart{{c}}, data: func() Table {
		t := Table{Header: append([]string{"name"}, parts...)}
		for _, s := range stacks {
			row := []string{s.Name}
			for _, v := range s.Parts {
				row = append(row, exact(v))
			}
			t.Rows = append(t.Rows, row)
		}
		return t
	}}.figure(width, 2.2*vg.Inch), nil
}

// within keeps a sum finite.
func within(v float64) float64 { return min(max(v, -math.MaxFloat64), math.MaxFloat64) }

// short3 is v in about three digits, of either sign.
func short3(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 0:
		return "−" + significant(-v)
	}
	return significant(v)
}

// part fills the rectangle of the n-th part.
func (p *page) part(n int, a, b vg.Point) {
	border := draw.LineStyle{Color: ink(n), Width: .7}
	if n%2 == 0 {
		p.polygon(ink(n), corners(a, b)...)
	} else {
		p.polygon(color.White, corners(a, b)...)
		p.hatch(border, a, b)
	}
	p.border(border, corners(a, b)...)
}
