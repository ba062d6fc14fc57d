package figure

import (
	"cmp"
	"fmt"
	"image/color"
	"slices"
	"strconv"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Event is what happens while a timeline runs: a change at one time, or a
// stretch that is shaded where To is above From.
type Event struct {
	Name     string
	From, To float64
}

// TimelinePanel is one panel of Timelines.
type TimelinePanel struct {
	Axes   Axes
	Series []Series // values that hold until the next; bands are intervals
	Events []Event
}

// Timelines draws step lines over time, panels one above the other, with events
// as shaded stretches and vertical lines. Names of events stand above their
// panel, or, where they are too many or too long for that, as numbers with the
// names in the legend; where even numbers would cover each other, not all. The panels' times are alike. Events without a time are
// named in the legend as such; no panel is an error.
func Timelines(panels ...TimelinePanel) (Figure, error) {
	if len(panels) == 0 {
		return Figure{}, fmt.Errorf("figure: no panel to draw")
	}
	panels = own(panels)
	var charts []*chart
	var times []*axis
	for _, p := range panels {
		p.Axes.Steps = true
		c, err := lines(p.Axes, p.Series)
		if err != nil {
			return Figure{}, err
		}
		for _, e := range p.Events {
			c.x.see(e.From)
			if e.To > e.From {
				c.x.see(e.To)
			}
		}
		charts, times = append(charts, c), append(times, c.x)
	}
	share(times...)
	const width = Double
	for k, p := range panels {
		charts[k].events(p.Events, width-70)
	}
	return grid{charts: column(charts), data: func() Table {
		var of []Panel
		for _, p := range panels {
			of = append(of, Panel{p.Axes, p.Series})
		}
		t := seriesData(func() []Panel { return of })()
		for k := range t.Rows {
			t.Rows[k] = append(t.Rows[k], "", "")
		}
		t.Header = append(t.Header, "from", "to")
		for _, p := range panels {
			for _, e := range p.Events {
				t.Rows = append(t.Rows, []string{p.Axes.Title, e.Name, "", "", "", "", exact(e.From), exact(e.To)})
			}
		}
		return t
	}}.figure(width, 1.6*vg.Inch), nil
}

const (
	eventSize = vg.Length(7)
	eventLane = vg.Length(8.5)
	lanes     = 2
)

// events adds events to a chart whose horizontal axis has seen all, with a pane
// of at least the given width.
func (c *chart) events(events []Event, width vg.Length) {
	var shown []Event
	for _, e := range events {
		if c.x.shows(e.From) {
			shown = append(shown, e)
		} else {
			c.legend = append(c.legend, entry{e.Name + " (no time)", nil})
		}
	}
	if len(shown) == 0 {
		return
	}
	slices.SortStableFunc(shown, func(a, b Event) int { return cmp.Compare(a.From, b.From) })
	names := make([]string, len(shown))
	for k, e := range shown {
		names[k] = e.Name
	}
	c.x.resolve()
	at, all := c.place(shown, names, 0, width)
	if !all {
		for k, e := range shown {
			names[k] = strconv.Itoa(k + 1)
			c.legend = append(c.legend, entry{e.Name, func(p *page, r vg.Rectangle) {
				p.write(strconv.Itoa(k+1), eventSize, vg.Point{X: r.Max.X, Y: (r.Min.Y + r.Max.Y) / 2}, 1, .5, thumbWidth, false, color.Gray{0x33})
			}})
		}
	}
	if !all {
		at, _ = c.place(shown, names, 0, width)
	}
	for _, a := range at {
		c.strip = max(c.strip, vg.Length(a.lane+1)*eventLane+1)
	}
	used := int(c.strip / eventLane)
	shades := func(p pane) {
		for _, e := range shown {
			if e.To > e.From && finite(e.To) {
				p.polygon(color.NRGBA{0x80, 0x80, 0x80, 0x30}, corners(p.at(e.From, p.y.min), p.at(e.To, p.y.max))...)
			}
		}
	}
	c.layers = append([]func(pane){shades}, c.layers...) // below the lines
	c.add(func(p pane) {
		at, _ := c.place(shown, names, p.area.Min.X, p.area.Size().X)
		for k, e := range shown {
			x := p.at(e.From, p.y.min).X
			p.line(draw.LineStyle{Color: color.Gray{0x33}, Width: .7, Dashes: dashes[1]}, vg.Point{X: x, Y: p.area.Min.Y}, vg.Point{X: x, Y: p.area.Max.Y})
			if at[k].lane >= 0 && at[k].lane < used {
				y := p.area.Max.Y + 2 + vg.Length(at[k].lane)*eventLane
				p.write(names[k], eventSize, vg.Point{X: at[k].x, Y: y}, 0, 0, p.area.Size().X, false, color.Gray{0x33})
			}
		}
	})
}

// place is where a name stands.
type place struct {
	x    vg.Length
	lane int // -1 for none
}

// place finds for each name the lowest lane in which it stands clear of the one
// before, and says whether all have one.
func (c *chart) place(events []Event, names []string, left, width vg.Length) ([]place, bool) {
	var end [lanes]vg.Length
	for k := range end {
		end[k] = left - 100
	}
	out, all := make([]place, len(events)), true
	for k, e := range events {
		w := textWidth(printable(names[k]), eventSize)
		x := left + vg.Length(c.x.at(e.From))*width - 1
		x = min(x, left+width-w)
		out[k] = place{x, -1}
		if w == 0 {
			continue
		}
		for l := range end {
			if x >= end[l]+4 && x >= left-2 {
				out[k].lane, end[l] = l, x+w
				break
			}
		}
		all = all && out[k].lane >= 0
	}
	return out, all
}
