// Package figure draws the paper's figures and tables, and those that go with
// a model, from plain data: one style, one function per figure. Every figure is
// written as SVG and PDF, of column width unless said otherwise, legible in
// print, and told apart without colour by dashes and marks.
package figure

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgpdf"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
)

// Widths of figures: one column, two columns.
const (
	Column = 3.5 * vg.Inch
	Double = 7.16 * vg.Inch
)

// Figure is a drawing of a fixed size.
type Figure struct {
	width, height vg.Length
	draw          func(draw.Canvas)
}

// WriteTo writes the figure as SVG. The same data gives the same bytes.
func (f Figure) WriteTo(w io.Writer) (int64, error) {
	c := vgsvg.New(f.width, f.height)
	f.draw(draw.New(c))
	return c.WriteTo(w)
}

// WritePDF writes the figure as PDF.
func (f Figure) WritePDF(w io.Writer) error {
	c := vgpdf.New(f.width, f.height)
	f.draw(draw.New(c))
	_, err := c.WriteTo(w)
	return err
}

// Save writes name.svg and name.pdf into dir, which it makes; each whole or
// not at all.
func (f Figure) Save(dir, name string) error {
	var svg, pdf bytes.Buffer
	if _, err := f.WriteTo(&svg); err != nil {
		return fmt.Errorf("figure %s: SVG: %w", name, err)
	}
	if err := f.WritePDF(&pdf); err != nil {
		return fmt.Errorf("figure %s: PDF: %w", name, err)
	}
	if err := atomicfile.Write(filepath.Join(dir, name+".svg"), svg.Bytes()); err != nil {
		return fmt.Errorf("figure %s: %w", name, err)
	}
	if err := atomicfile.Write(filepath.Join(dir, name+".pdf"), pdf.Bytes()); err != nil {
		return fmt.Errorf("figure %s: %w", name, err)
	}
	return nil
}

// palette is Okabe and Ito's, without yellow: told apart by the colour-blind.
var palette = []color.Color{
	color.RGBA{0x00, 0x72, 0xb2, 0xff}, // blue
	color.RGBA{0xd5, 0x5e, 0x00, 0xff}, // vermilion
	color.RGBA{0x00, 0x9e, 0x73, 0xff}, // green
	color.RGBA{0xcc, 0x79, 0xa7, 0xff}, // purple
	color.RGBA{0xe6, 0x9f, 0x00, 0xff}, // orange
	color.RGBA{0x56, 0xb4, 0xe9, 0xff}, // sky
	color.RGBA{0x00, 0x00, 0x00, 0xff},
}

var dashes = [][]vg.Length{nil, {4, 2}, {1, 1.5}, {6, 2, 1, 2}}

var grey = color.Gray{0xdd}

// line is the style of the k-th of several lines.
func line(k int) draw.LineStyle {
	return draw.LineStyle{Color: palette[k%len(palette)], Width: 1, Dashes: dashes[k%len(dashes)]}
}

// marks are the shapes of points, in the order of palette.
var marks = []draw.GlyphDrawer{draw.CircleGlyph{}, draw.SquareGlyph{}, draw.TriangleGlyph{}, draw.CrossGlyph{}, draw.RingGlyph{}, draw.BoxGlyph{}, draw.PlusGlyph{}}

const (
	textSize   = vg.Length(8)
	legendSize = vg.Length(7.5)
)

// newPlot is an empty plot in the common style.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.X.Label.Text, p.Y.Label.Text = x, y
	sans := font.Font{Typeface: "Liberation", Variant: "Sans"}
	for _, s := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		s.Font = sans
		s.Font.Size = textSize
	}
	p.Legend.TextStyle.Font.Size = legendSize
	p.Legend.ThumbnailWidth = 16
	p.Legend.Padding = 1
	p.Title.Padding = 3
	p.BackgroundColor = nil
	p.X.Tick.Marker, p.Y.Tick.Marker = plain{}, plain{}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = grey, grey
	grid.Horizontal.Width, grid.Vertical.Width = .4, .4
	p.Add(grid)
	return p
}

// legendRow is the height of a legend.
const legendRow = vg.Length(13)

// panel is one plot of a figure with the legend above it.
type panel struct {
	plot   *plot.Plot
	legend []entry
}

type entry struct {
	label string
	thumb []plot.Thumbnailer
}

// stack lays panels below each other with their axes aligned. Legends stand in
// one row above each panel, where they cover nothing.
func stack(width, each vg.Length, panels ...panel) Figure {
	height := vg.Length(0)
	for _, p := range panels {
		height += each
		if len(p.legend) > 0 {
			height += legendRow
		}
	}
	return Figure{width, height, func(c draw.Canvas) {
		c = draw.Crop(c, 2, -6, 2, -2)
		plots := make([][]*plot.Plot, len(panels))
		for k := range panels {
			plots[k] = []*plot.Plot{panels[k].plot}
		}
		tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadY: 4}
		canvases := plot.Align(plots, tiles, c)
		for k, p := range panels {
			at := canvases[k][0]
			if len(p.legend) == 0 {
				p.plot.Draw(at)
				continue
			}
			p.plot.Draw(draw.Crop(at, 0, 0, 0, -legendRow))
			drawLegend(at, p)
		}
	}}
}

// drawLegend writes the entries in one row at the top of c.
func drawLegend(c draw.Canvas, p panel) {
	sty := p.plot.Legend.TextStyle
	thumb := p.plot.Legend.ThumbnailWidth
	total := vg.Length(0)
	for _, e := range p.legend {
		total += thumb + 3 + sty.Width(e.label) + 10
	}
	x := c.Max.X - total + 10
	if x < c.Min.X {
		x = c.Min.X
	}
	y := c.Max.Y - legendRow
	for _, e := range p.legend {
		box := draw.Canvas{Canvas: c.Canvas, Rectangle: vg.Rectangle{Min: vg.Point{X: x, Y: y}, Max: vg.Point{X: x + thumb, Y: y + legendRow - 2}}}
		for _, t := range e.thumb {
			t.Thumbnail(&box)
		}
		s := sty
		s.YAlign = draw.YCenter
		c.FillText(s, vg.Point{X: x + thumb + 3, Y: y + (legendRow-2)/2}, e.label)
		x += thumb + 3 + sty.Width(e.label) + 10
	}
}

// plain are the usual ticks with labels as short as they can be: 25, not 25.00.
type plain struct{}

func (plain) Ticks(min, max float64) []plot.Tick {
	out := plot.DefaultTicks{}.Ticks(min, max)
	for k, t := range out {
		if t.Label != "" {
			out[k].Label = strconv.FormatFloat(math.Round(t.Value*1e9)/1e9, 'g', -1, 64)
		}
	}
	return out
}

// ticks are the given values with plain labels.
type ticks []float64

func (t ticks) Ticks(min, max float64) []plot.Tick {
	var out []plot.Tick
	for _, v := range t {
		if v >= min-1e-9 && v <= max+1e-9 {
			out = append(out, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
		}
	}
	return out
}
