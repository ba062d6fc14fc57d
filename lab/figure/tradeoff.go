package figure

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Tradeoff is a point with intervals in both directions: the cost of a policy
// and its violations. Equal or missing (NaN) ends are no interval.
type Tradeoff struct {
	Name        string
	X, XLo, XHi float64
	Y, YLo, YHi float64
}

// mostLabelled bounds how many points have their name beside them.
const mostLabelled = 12

// Tradeoffs draws points with intervals in both directions. Names stand beside
// their points, or in the legend where there are more than a dozen, and cover
// neither each other nor a point. Points without a value are named in the
// legend as such; no point at all is an error.
func Tradeoffs(a Axes, points ...Tradeoff) (Figure, error) {
	if len(points) == 0 {
		return Figure{}, fmt.Errorf("figure: no point to draw")
	}
	points = own(points)
	c := newChart(a.Title, newAxis(a.X, a.LogX), newAxis(a.Y, a.LogY))
	c.x.round = true
	direct := len(points) <= mostLabelled
	var shown []int
	for k, t := range points {
		switch {
		case !c.x.shows(t.X) || !c.y.shows(t.Y):
			c.legend = append(c.legend, entry{t.Name + " (no data)", nil})
			continue
		case !direct && t.Name != "":
			c.legend = append(c.legend, entry{t.Name, point(k)})
		}
		shown = append(shown, k)
		c.x.see(t.X)
		c.y.see(t.Y)
		if interval(t.XLo, t.XHi) {
			c.x.see(t.XLo, t.XHi)
		}
		if interval(t.YLo, t.YHi) {
			c.y.see(t.YLo, t.YHi)
		}
	}
	c.empty = len(shown) == 0
	a.bound(c.y)
	c.add(func(p pane) {
		var taken []vg.Rectangle   // by points and names
		var crossed []vg.Rectangle // by intervals, which a name may cover if it must
		around := func(a, b vg.Point, by vg.Length) vg.Rectangle {
			return vg.Rectangle{Min: vg.Point{X: min(a.X, b.X) - by, Y: min(a.Y, b.Y) - by}, Max: vg.Point{X: max(a.X, b.X) + by, Y: max(a.Y, b.Y) + by}}
		}
		for _, k := range shown {
			t := points[k]
			style := draw.LineStyle{Color: ink(k), Width: .8}
			if interval(t.XLo, t.XHi) {
				p.line(style, p.at(t.XLo, t.Y), p.at(t.XHi, t.Y))
				crossed = append(crossed, around(p.at(t.XLo, t.Y), p.at(t.XHi, t.Y), .5))
			}
			if interval(t.YLo, t.YHi) {
				p.line(style, p.at(t.X, t.YLo), p.at(t.X, t.YHi))
				crossed = append(crossed, around(p.at(t.X, t.YLo), p.at(t.X, t.YHi), .5))
			}
			taken = append(taken, around(p.at(t.X, t.Y), p.at(t.X, t.Y), 2.8))
		}
		type name struct {
			k   int
			box vg.Rectangle
		}
		var names []name
		for _, k := range shown {
			text := shorten(printable(points[k].Name), 7, p.area.Size().X*.35)
			if !direct || text == "" {
				continue
			}
			at := p.at(points[k].X, points[k].Y)
			box, ok := p.free(at, textWidth(text, 7), taken, crossed)
			if !ok {
				continue // the pane is full; the data file has the name
			}
			taken = append(taken, vg.Rectangle{Min: vg.Point{X: box.Min.X - 3, Y: box.Min.Y - .5}, Max: vg.Point{X: box.Max.X + 3, Y: box.Max.Y + .5}})
			names = append(names, name{k, box})
			// A name that had to move away is tied to its point.
			near := vg.Point{X: min(max(at.X, box.Min.X), box.Max.X), Y: min(max(at.Y, box.Min.Y), box.Max.Y)}
			if math.Hypot(float64(near.X-at.X), float64(near.Y-at.Y)) > 7 {
				p.line(draw.LineStyle{Color: color.Gray{0x88}, Width: .4}, at, near)
			}
		}
		for _, k := range shown {
			p.mark(shape(k), ink(k), 2.4, p.at(points[k].X, points[k].Y))
		}
		for _, n := range names {
			p.polygon(color.NRGBA{0xff, 0xff, 0xff, 0xd0}, corners(n.box.Min, n.box.Max)...)
			p.write(points[n.k].Name, 7, vg.Point{X: n.box.Min.X + 1, Y: (n.box.Min.Y + n.box.Max.Y) / 2}, 0, .5, p.area.Size().X*.35, false, color.Black)
		}
	})
	return grid{charts: [][]*chart{{c}}, data: func() Table {
		t := Table{Header: []string{"name", "x", "x lo", "x hi", "y", "y lo", "y hi"}}
		for _, p := range points {
			t.Rows = append(t.Rows, []string{p.Name, exact(p.X), exact(p.XLo), exact(p.XHi), exact(p.Y), exact(p.YLo), exact(p.YHi)})
		}
		return t
	}}.figure(Column, 2.5*vg.Inch), nil
}

// free is the place nearest to a point for a name of a width, clear of what is
// taken; clear of crossed too where that is not much further away.
func (p pane) free(at vg.Point, width vg.Length, taken, crossed []vg.Rectangle) (vg.Rectangle, bool) {
	const height = vg.Length(8)
	w := width + 2
	var best vg.Rectangle
	least := math.Inf(1)
	try := func(x, y vg.Length) {
		r := vg.Rectangle{Min: vg.Point{X: x, Y: y}, Max: vg.Point{X: x + w, Y: y + height}}
		if r.Min.X < p.area.Min.X || r.Max.X > p.area.Max.X || r.Min.Y < p.area.Min.Y || r.Max.Y > p.area.Max.Y {
			return
		}
		near := vg.Point{X: min(max(at.X, r.Min.X), r.Max.X), Y: min(max(at.Y, r.Min.Y), r.Max.Y)}
		cost := math.Hypot(float64(near.X-at.X), float64(near.Y-at.Y))
		if cost >= least {
			return
		}
		for _, t := range taken {
			if overlap(r, t) {
				return
			}
		}
		for _, t := range crossed {
			if overlap(r, t) {
				cost += 12
			}
		}
		if cost < least {
			best, least = r, cost
		}
	}
	for _, x := range []vg.Length{at.X + 4, at.X - w - 4, at.X - w/2} { // beside, above and below it
		for _, y := range []vg.Length{at.Y - height/2, at.Y + 3.5, at.Y - height - 3.5} {
			try(x, y)
		}
	}
	for y := p.area.Min.Y + 1; y < p.area.Max.Y; y += 3 {
		for x := p.area.Min.X + 1; x < p.area.Max.X; x += 4 {
			try(x, y)
		}
	}
	return best, !math.IsInf(least, 1)
}

func overlap(a, b vg.Rectangle) bool {
	return a.Min.X < b.Max.X && b.Min.X < a.Max.X && a.Min.Y < b.Max.Y && b.Min.Y < a.Max.Y
}
