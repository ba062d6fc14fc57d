package figure

import (
	"fmt"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// chart is a pair of axes with what is drawn between them.
type chart struct {
	title  string
	x, y   *axis
	layers []func(pane) // drawn in this order
	legend []entry
	empty  bool      // no value to draw, which the chart says
	small  bool      // smaller labels along x, for names in a third of a page
	beside []string  // at the right of the names along y
	strip  vg.Length // above the pane, for what a layer writes there
}

// entry is a line of a legend.
type entry struct {
	label string
	thumb func(*page, vg.Rectangle)
}

// pane is where a chart draws its data.
type pane struct {
	*page
	area vg.Rectangle
	x, y *axis
}

func (p pane) at(x, y float64) vg.Point {
	size := p.area.Size()
	return vg.Point{X: p.area.Min.X + vg.Length(p.x.at(x))*size.X, Y: p.area.Min.Y + vg.Length(p.y.at(y))*size.Y}
}

func newChart(title string, x, y *axis) *chart {
	y.round = true
	return &chart{title: title, x: x, y: y, empty: true}
}

func (c *chart) add(layer func(pane)) { c.layers = append(c.layers, layer) }

// Sizes of a chart's parts.
const (
	lineHeight  = vg.Length(9.5)
	titleHeight = vg.Length(12)
	legendRow   = vg.Length(11)
	legendGap   = vg.Length(3) // between a legend and what is below it
	thumbWidth  = vg.Length(16)
	edge        = vg.Length(3) // around a figure
	nameHeight  = vg.Length(62)
	legendRows  = 40
)

// line draws a line through points.
func (p *page) line(style draw.LineStyle, points ...vg.Point) {
	if len(points) < 2 || style.Width <= 0 {
		return
	}
	p.SetColor(style.Color)
	p.SetLineWidth(style.Width)
	p.SetLineDash(style.Dashes, 0)
	var path vg.Path
	path.Move(points[0])
	for _, q := range points[1:] {
		path.Line(q)
	}
	p.Stroke(path)
}

// polygon fills a polygon.
func (p *page) polygon(c color.Color, points ...vg.Point) {
	if len(points) < 3 {
		return
	}
	p.SetColor(c)
	var path vg.Path
	path.Move(points[0])
	for _, q := range points[1:] {
		path.Line(q)
	}
	path.Close()
	p.Fill(path)
}

// corners are those of the rectangle between two points.
func corners(a, b vg.Point) []vg.Point {
	return []vg.Point{a, {X: b.X, Y: a.Y}, b, {X: a.X, Y: b.Y}}
}

// border draws the outline of a polygon.
func (p *page) border(style draw.LineStyle, points ...vg.Point) {
	p.line(style, append(append([]vg.Point(nil), points...), points[0])...)
}

// hatch fills the rectangle between two points with slanted lines.
func (p *page) hatch(style draw.LineStyle, a, b vg.Point) {
	a, b = vg.Point{X: min(a.X, b.X), Y: min(a.Y, b.Y)}, vg.Point{X: max(a.X, b.X), Y: max(a.Y, b.Y)}
	w, h := b.X-a.X, b.Y-a.Y
	gap := max(4, (w+h)/200)
	for d := gap / 2; d < w+h; d += gap { // from the left or upper edge to the lower or right one
		from, to := vg.Point{X: a.X, Y: a.Y + d}, vg.Point{X: a.X + d, Y: a.Y}
		if d > h {
			from = vg.Point{X: a.X + d - h, Y: b.Y}
		}
		if d > w {
			to = vg.Point{X: b.X, Y: a.Y + d - w}
		}
		p.line(style, from, to)
	}
}

func (p *page) mark(shape draw.GlyphDrawer, c color.Color, radius vg.Length, at vg.Point) {
	canvas := draw.New(p)
	p.SetLineDash(nil, 0)
	p.SetLineWidth(1)
	canvas.DrawGlyph(draw.GlyphStyle{Color: c, Radius: radius, Shape: shape}, at)
}

// write writes one line of text around a point: alignX and alignY are the
// shares of the text that lie to the left of and below it. It is shortened to
// width; turned, it reads upwards and aligns alike along its own direction.
func (p *page) write(text string, size vg.Length, at vg.Point, alignX, alignY float64, width vg.Length, turned bool, c color.Color) {
	p.SetColor(c)
	clean := printable(text)
	s := shorten(clean, size, width)
	full := text
	if clean == s {
		full = s
	}
	along, up := -vg.Length(alignX)*textWidth(s, size), vg.Length(.1-.82*alignY)*size
	if turned {
		p.string(size, vg.Point{X: at.X - up, Y: at.Y + along}, math.Pi/2, s, full)
		return
	}
	p.string(size, vg.Point{X: at.X + along, Y: at.Y + up}, 0, s, full)
}

// rows arranges entries in rows of a width. What is beyond the last row is
// counted in its place.
func rows(entries []entry, width vg.Length) [][]entry {
	var out [][]entry
	left := vg.Length(-1)
	for k, e := range entries {
		need := e.width(width)
		if need > left {
			if len(out) == legendRows-1 && k < len(entries)-1 {
				return append(out, []entry{{fmt.Sprintf("and %d more", len(entries)-k), nil}})
			}
			out, left = append(out, nil), width+legendSpace
		}
		out[len(out)-1] = append(out[len(out)-1], e)
		left -= need
	}
	return out
}

const legendSpace = vg.Length(10) // between entries

// width is that of an entry with the space after it.
func (e entry) width(most vg.Length) vg.Length {
	return min(thumbWidth+3+textWidth(printable(e.label), legendSize), most) + legendSpace
}

func legendHeight(entries []entry, width vg.Length) vg.Length {
	if len(entries) == 0 {
		return 0
	}
	return vg.Length(len(rows(entries, width)))*legendRow + legendGap
}

// drawLegend writes entries below the top of r, as wide as r at most.
func drawLegend(p *page, r vg.Rectangle, entries []entry) {
	width := r.Size().X
	y := r.Max.Y
	for _, row := range rows(entries, width) {
		total := -legendSpace
		for _, e := range row {
			total += e.width(width)
		}
		x := r.Min.X + (width-total)/2
		for _, e := range row {
			box := vg.Rectangle{Min: vg.Point{X: x, Y: y - legendRow + 1}, Max: vg.Point{X: x + thumbWidth, Y: y - 1}}
			if e.thumb != nil {
				e.thumb(p, box)
			}
			p.write(e.label, legendSize, vg.Point{X: x + thumbWidth + 3, Y: y - legendRow/2}, 0, .5, width-thumbWidth-3, false, color.Black)
			x += e.width(width)
		}
		y -= legendRow
	}
}

// margins are what surrounds the pane of a chart.
type margins struct{ left, right, bottom, top vg.Length }

func (m margins) or(n margins) margins {
	return margins{max(m.left, n.left), max(m.right, n.right), max(m.bottom, n.bottom), max(m.top, n.top)}
}

// tickSize is that of the labels along x.
func (c *chart) tickSize() vg.Length {
	if c.small {
		return 6.5
	}
	return textSize
}

// names says how names along x are written: in lines of a width, or turned.
func (c *chart) names(width vg.Length) (lines int, turned bool) {
	slot := width / vg.Length(max(1, len(c.x.names)))
	size := c.tickSize()
	longest := vg.Length(0) // word
	for _, n := range c.x.names {
		for _, w := range strings.Fields(printable(n)) {
			longest = max(longest, textWidth(w, size))
		}
	}
	if slot < 60 && longest > slot-3 {
		return 0, true
	}
	for _, n := range c.x.names {
		lines = max(lines, len(wrap(n, size, slot-3, 3)))
	}
	return lines, false
}

// measure resolves the axes, and says what the pane leaves to labels in width.
func (c *chart) measure(width, legendWidth vg.Length) margins {
	c.x.resolve()
	c.y.resolve()
	m := margins{right: 5, top: 3, bottom: 3}
	for _, t := range c.y.ticks {
		m.left = max(m.left, textWidth(printable(t.label), textSize))
	}
	m.left = min(m.left, width*.42) + 5
	if c.y.label != "" {
		m.left += lineHeight + 1
	}
	if c.title != "" {
		m.top += titleHeight
	}
	m.top += legendHeight(c.legend, legendWidth) + c.strip
	for _, t := range c.beside {
		m.right = max(m.right, textWidth(t, textSize)+6)
	}
	if c.x.names != nil {
		lines, turned := c.names(width - m.left - m.right)
		if turned {
			long := vg.Length(0)
			for _, n := range c.x.names {
				long = max(long, textWidth(printable(n), c.tickSize()))
			}
			m.bottom += min(long, nameHeight)
		}
		m.bottom += vg.Length(lines) * lineHeight
	} else {
		m.bottom += lineHeight
	}
	if c.x.label != "" {
		m.bottom += lineHeight
	}
	if n := len(c.x.ticks); n > 0 && c.x.names == nil {
		last := c.x.ticks[n-1]
		beyond := textWidth(last.label, textSize)/2 - vg.Length(1-c.x.at(last.value))*(width-m.left-m.right)
		m.right = max(m.right, beyond+2)
	}
	return m
}

var frameLine = draw.LineStyle{Color: color.Gray{0x55}, Width: .6}

// draw draws the chart in slot with its pane in area.
func (c *chart) draw(p *page, slot, area vg.Rectangle) {
	middle := (area.Min.X + area.Max.X) / 2
	top := slot.Max.Y
	if c.title != "" {
		p.write(c.title, textSize, vg.Point{X: (slot.Min.X + slot.Max.X) / 2, Y: top - titleHeight/2 + 1}, .5, .5, slot.Size().X, false, color.Black)
		top -= titleHeight
	}
	drawLegend(p, vg.Rectangle{Min: slot.Min, Max: vg.Point{X: slot.Max.X, Y: top}}, c.legend)
	if c.x.label != "" {
		p.write(c.x.label, textSize, vg.Point{X: middle, Y: slot.Min.Y}, .5, 0, slot.Size().X, false, color.Black)
	}
	if c.y.label != "" {
		p.write(c.y.label, textSize, vg.Point{X: slot.Min.X, Y: (area.Min.Y + area.Max.Y) / 2}, .5, 1, min(slot.Size().Y, area.Size().Y+16), true, color.Black)
	}
	on := pane{p, area, c.x, c.y}
	grid := draw.LineStyle{Color: grey, Width: .4}
	faint := draw.LineStyle{Color: color.Gray{0xee}, Width: .3}
	if c.x.names == nil {
		for _, v := range c.x.minor {
			x := on.at(v, c.y.min).X
			p.line(faint, vg.Point{X: x, Y: area.Min.Y}, vg.Point{X: x, Y: area.Max.Y})
		}
		for _, t := range c.x.ticks {
			x := on.at(t.value, c.y.min).X
			p.line(grid, vg.Point{X: x, Y: area.Min.Y}, vg.Point{X: x, Y: area.Max.Y})
		}
	}
	if c.y.names == nil {
		for _, v := range c.y.minor {
			y := on.at(c.x.min, v).Y
			p.line(faint, vg.Point{X: area.Min.X, Y: y}, vg.Point{X: area.Max.X, Y: y})
		}
		for _, t := range c.y.ticks {
			y := on.at(c.x.min, t.value).Y
			p.line(grid, vg.Point{X: area.Min.X, Y: y}, vg.Point{X: area.Max.X, Y: y})
		}
	}
	p.border(frameLine, corners(area.Min, area.Max)...)
	c.labelX(on)
	c.labelY(on, slot)
	for _, l := range c.layers {
		l(on)
	}
	if c.empty {
		p.write("no data", textSize, vg.Point{X: middle, Y: (area.Min.Y + area.Max.Y) / 2}, .5, .5, area.Size().X, false, color.Gray{0x55})
	}
}

func (c *chart) labelX(on pane) {
	width := on.area.Size().X
	if c.x.names == nil {
		every := stride(c.x.ticks, width, 5, func(t tick) vg.Length { return textWidth(t.label, textSize) })
		for k, t := range c.x.ticks {
			at := vg.Point{X: on.at(t.value, c.y.min).X, Y: on.area.Min.Y}
			on.line(frameLine, at, vg.Point{X: at.X, Y: at.Y - 2})
			if k%every == 0 {
				on.write(t.label, textSize, vg.Point{X: at.X, Y: at.Y - 3}, .5, 1, width, false, color.Black)
			}
		}
		return
	}
	lines, turned := c.names(width)
	slot := width / vg.Length(max(1, len(c.x.names)))
	size := c.tickSize()
	every := 1
	if turned {
		every = stride(c.x.ticks, width, 0, func(tick) vg.Length { return size })
	}
	for k, t := range c.x.ticks {
		if k%every != 0 {
			continue
		}
		at := vg.Point{X: on.at(t.value, c.y.min).X, Y: on.area.Min.Y - 3}
		if turned {
			on.write(t.label, size, vg.Point{X: at.X - size/2, Y: at.Y}, 1, 1, nameHeight, true, color.Black)
			continue
		}
		whole := printable(t.label)
		cut := wrap(t.label, size, slot-3, max(1, lines))
		for _, l := range cut {
			on.SetColor(color.Black)
			// What a shortened line stands for is the whole name.
			full := l
			if containsEllipsis(cut) && !containsEllipsis([]string{whole}) {
				full = t.label
			}
			on.string(size, vg.Point{X: at.X - textWidth(l, size)/2, Y: at.Y - .8*size}, 0, l, full)
			at.Y -= lineHeight
		}
	}
}

func containsEllipsis(lines []string) bool {
	for _, l := range lines {
		for _, r := range l {
			if r == '…' {
				return true
			}
		}
	}
	return false
}

func (c *chart) labelY(on pane, slot vg.Rectangle) {
	height := on.area.Size().Y
	room := on.area.Min.X - slot.Min.X - 4
	if c.y.label != "" {
		room -= lineHeight
	}
	every := stride(c.y.ticks, height, 0, func(tick) vg.Length { return textSize })
	for k, t := range c.y.ticks {
		at := vg.Point{X: on.area.Min.X, Y: on.at(c.x.min, t.value).Y}
		if c.y.names == nil {
			on.line(frameLine, at, vg.Point{X: at.X - 2, Y: at.Y})
		}
		if k%every == 0 {
			on.write(t.label, textSize, vg.Point{X: at.X - 3.5, Y: at.Y}, 1, .5, room, false, color.Black)
			if k < len(c.beside) {
				on.write(c.beside[k], textSize, vg.Point{X: on.area.Max.X + 3, Y: at.Y}, 0, .5, room+height, false, color.Black)
			}
		}
	}
}

// stride is such that every so many-th label stands clear of the next.
func stride(ticks []tick, room, gap vg.Length, size func(tick) vg.Length) int {
	widest := vg.Length(1)
	for _, t := range ticks {
		widest = max(widest, size(t))
	}
	return max(1, int(math.Ceil(float64(vg.Length(max(0, len(ticks)-1))*(widest+gap)/max(room, 1))-1e-9)))
}

// grid draws charts in rows and columns with panes of equal size, below a
// legend common to all. A place may be nil.
type grid struct {
	charts [][]*chart
	legend []entry
	data   func() Table
	pad    vg.Length
}

// figure gives every row a height, and room for its legends.
func (g grid) figure(width, each vg.Length) Figure {
	columns := 1
	for _, r := range g.charts {
		columns = max(columns, len(r))
	}
	if g.pad == 0 {
		g.pad = 6
	}
	slot := (width - 2*edge - vg.Length(columns-1)*g.pad) / vg.Length(columns)
	common := legendHeight(g.legend, width-2*edge)
	height := common + 2*edge + vg.Length(len(g.charts)-1)*g.pad
	tall := make([]vg.Length, len(g.charts))
	for k, r := range g.charts {
		tall[k] = each
		for _, c := range r {
			if c != nil {
				tall[k] = max(tall[k], each+legendHeight(c.legend, slot))
			}
		}
		height += tall[k]
	}
	return Figure{width, height, func(canvas draw.Canvas) {
		p := canvas.Canvas.(*page)
		p.data = g.data
		// Labels depend on no other column; panes do, to stand in line.
		space := make([]margins, len(g.charts))
		var all margins
		for k, r := range g.charts {
			for _, c := range r {
				if c != nil {
					m := c.measure(slot, slot)
					space[k] = space[k].or(m)
					all.left, all.right = max(all.left, m.left), max(all.right, m.right)
				}
			}
		}
		top := height - edge
		drawLegend(p, vg.Rectangle{Min: vg.Point{X: edge}, Max: vg.Point{X: width - edge, Y: top}}, g.legend)
		top -= common
		for k, r := range g.charts {
			for n, c := range r {
				if c == nil {
					continue
				}
				x := edge + vg.Length(n)*(slot+g.pad)
				place := vg.Rectangle{Min: vg.Point{X: x, Y: top - tall[k]}, Max: vg.Point{X: x + slot, Y: top}}
				area := vg.Rectangle{
					Min: vg.Point{X: place.Min.X + all.left, Y: place.Min.Y + space[k].bottom},
					Max: vg.Point{X: place.Max.X - all.right, Y: place.Max.Y - space[k].top}}
				area.Max.X, area.Max.Y = max(area.Max.X, area.Min.X+10), max(area.Max.Y, area.Min.Y+10)
				c.draw(p, place, area)
			}
			top -= tall[k] + g.pad
		}
	}}
}

// column is a grid of one column.
func column(charts []*chart) [][]*chart {
	var out [][]*chart
	for _, c := range charts {
		out = append(out, []*chart{c})
	}
	return out
}

// inColumns is a grid of so many columns.
func inColumns(charts []*chart, columns int) [][]*chart {
	var out [][]*chart
	for k := 0; k < len(charts); k += columns {
		row := make([]*chart, columns)
		copy(row, charts[k:])
		out = append(out, row)
	}
	return out
}
