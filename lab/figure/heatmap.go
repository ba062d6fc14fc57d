package figure

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Matrix is a table of numbers: rows are what a policy was trained on, say, and
// columns what it is deployed on.
type Matrix struct {
	Title          string
	RowLabel       string // of the rows together
	ColumnLabel    string
	RowNames       []string
	ColumnNames    []string
	Values         [][]float64 // row by row; NaN for a missing one
	Decimals       int         // of the numbers in cells
	Diverging      bool        // two colours, on both sides of Middle; otherwise one, darker where larger
	Middle         float64
	CellHeight     vg.Length // 16 pt if 0
	WithoutNumbers bool
}

// HeatMap draws a matrix, its first row on top, with each number in its cell
// unless the cells are too narrow to read it. Missing cells are hatched.
// Lengths that do not agree, and a matrix without cells, are errors.
func HeatMap(m Matrix) (Figure, error) {
	m = own(m)
	rows, columns := len(m.RowNames), len(m.ColumnNames)
	if rows == 0 || columns == 0 || len(m.Values) != rows {
		return Figure{}, fmt.Errorf("figure: matrix of %d rows and %d columns with %d rows of values", rows, columns, len(m.Values))
	}
	for k, row := range m.Values {
		if len(row) != columns {
			return Figure{}, fmt.Errorf("figure: row %d of the matrix has %d values, not %d", k+1, len(row), columns)
		}
	}
	c := newChart(m.Title, newAxis(m.ColumnLabel, false), newAxis(m.RowLabel, false))
	c.x.names = m.ColumnNames
	c.y.names = make([]string, rows)
	lo, hi, gaps := math.Inf(1), math.Inf(-1), false
	for k, row := range m.Values {
		c.y.names[rows-1-k] = m.RowNames[k]
		for _, v := range row {
			if finite(v) {
				lo, hi = min(lo, v), max(hi, v)
			} else {
				gaps = true
			}
		}
	}
	shade := newShade(m, lo, hi)
	swatch := func(v float64) entry {
		return entry{decimal(v, m.Decimals), func(p *page, r vg.Rectangle) { p.polygon(shade.of(v), corners(r.Min, r.Max)...) }}
	}
	hatched := draw.LineStyle{Color: color.Gray{0x99}, Width: .5}
	if lo <= hi {
		c.empty = false
		c.legend = append(c.legend, swatch(lo))
		if m.Diverging && lo < m.Middle && m.Middle < hi {
			c.legend = append(c.legend, swatch(m.Middle))
		}
		if hi > lo {
			c.legend = append(c.legend, swatch(hi))
		}
	}
	if gaps {
		c.legend = append(c.legend, entry{"no data", func(p *page, r vg.Rectangle) {
			p.hatch(hatched, r.Min, r.Max)
			p.border(hatched, corners(r.Min, r.Max)...)
		}})
	}
	c.add(func(p pane) {
		cell := vg.Point{X: p.area.Size().X / vg.Length(columns), Y: p.area.Size().Y / vg.Length(rows)}
		size := min(textSize, cell.Y*.75)
		for _, row := range m.Values { // one size for all
			for _, v := range row {
				if finite(v) {
					size = min(size, size*(cell.X-2)/max(textWidth(decimal(v, m.Decimals), size), 1))
				}
			}
		}
		for k, row := range m.Values {
			for n, v := range row {
				a := vg.Point{X: p.area.Min.X + vg.Length(n)*cell.X, Y: p.area.Max.Y - vg.Length(k+1)*cell.Y}
				b := vg.Point{X: a.X + cell.X, Y: a.Y + cell.Y}
				if !finite(v) {
					p.hatch(hatched, a, b)
				} else {
					p.polygon(shade.of(v), corners(a, b)...)
					if size >= 4 && !m.WithoutNumbers {
						p.write(decimal(v, m.Decimals), size, vg.Point{X: (a.X + b.X) / 2, Y: (a.Y + b.Y) / 2}, .5, .5, cell.X, false, shade.text(v))
					}
				}
				p.border(draw.LineStyle{Color: color.White, Width: .5}, corners(a, b)...)
			}
		}
		p.border(frameLine, corners(p.area.Min, p.area.Max)...)
	})
	width := Column
	if columns > 8 {
		width = Double
	}
	each := m.CellHeight
	if !(each > 0) {
		each = 16
	}
	height := max(each*vg.Length(rows), 40) + 40
	for _, n := range c.x.names { // room for names that are turned or on several lines
		if textWidth(printable(n), textSize) > .7*width/vg.Length(columns) {
			height += nameHeight - 20
			break
		}
	}
	return grid{charts: [][]*chart{{c}}, data: func() Table {
		t := Table{Header: append([]string{m.RowLabel}, m.ColumnNames...)}
		for k, row := range m.Values {
			cells := []string{m.RowNames[k]}
			for _, v := range row {
				cells = append(cells, exact(v))
			}
			t.Rows = append(t.Rows, cells)
		}
		return t
	}}.figure(width, height), nil
}

// shade maps values to colours.
type shade struct {
	lo, hi, middle float64
	diverging      bool
}

func newShade(m Matrix, lo, hi float64) shade {
	s := shade{lo, hi, m.Middle, m.Diverging && finite(m.Middle)}
	if s.diverging { // both sides alike: as far from the middle, as dark
		far := max(hi/2-s.middle/2, s.middle/2-lo/2)
		s.lo, s.hi = -far, far // halves, from the middle
	}
	return s
}

// share is 0 for the lightest and 1 for the darkest, negative below a middle.
func (s shade) share(v float64) float64 {
	if s.diverging {
		if s.hi <= 0 {
			return 0
		}
		return (v/2 - s.middle/2) / s.hi
	}
	if s.hi <= s.lo {
		return .3
	}
	return (v/2 - s.lo/2) / (s.hi/2 - s.lo/2)
}

func (s shade) of(v float64) color.Color {
	share := s.share(v)
	dark := color.RGBA{0x00, 0x4c, 0x8c, 0xff}
	if share < 0 {
		dark, share = color.RGBA{0xb0, 0x46, 0x00, 0xff}, -share
	}
	mix := func(to uint8) uint8 { return uint8(math.Round(245 + (float64(to)-245)*min(share, 1))) }
	return color.RGBA{mix(dark.R), mix(dark.G), mix(dark.B), 0xff}
}

// text is black or white, whichever is read on the shade of v.
func (s shade) text(v float64) color.Color {
	if math.Abs(s.share(v)) > .55 {
		return color.White
	}
	return color.Black
}
