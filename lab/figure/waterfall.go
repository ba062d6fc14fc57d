package figure

import (
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Fall is a value that falls from 1 in steps, each by a cause.
type Fall struct {
	Name   string    // told apart by colour
	Levels []float64 // what is left after each cause
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
// has a dot, with its spread. axes bounds all panels alike.
func Waterfalls(axes Axes, causes []string, columns int, panels ...WaterfallPanel) (Figure, error) {
	if len(panels) == 0 || columns < 1 {
		return Figure{}, fmt.Errorf("figure: %d panels in %d columns", len(panels), columns)
	}
	rows := (len(panels) + columns - 1) / columns
	plots := make([][]*plot.Plot, rows)
	for r := range plots {
		plots[r] = make([]*plot.Plot, columns)
	}
	var legend panel
	for k, w := range panels {
		p, err := waterfall(axes, causes, w)
		if err != nil {
			return Figure{}, err
		}
		if k%columns > 0 {
			p.plot.Y.Label.Text = ""
		}
		if k == 0 {
			legend = p
		}
		plots[k/columns][k%columns] = p.plot
	}
	return Figure{Double, vg.Length(rows)*1.75*vg.Inch + legendRow, func(c draw.Canvas) {
		c = draw.Crop(c, 2, -6, 2, -2)
		drawLegend(c, legend)
		canvases := plot.Align(plots, draw.Tiles{Rows: rows, Cols: columns, PadX: 8, PadY: 8}, draw.Crop(c, 0, 0, 0, -legendRow))
		for r := range plots {
			for k, p := range plots[r] {
				if p != nil {
					p.Draw(canvases[r][k])
				}
			}
		}
	}}, nil
}

// change is v in hundredths with its sign.
func change(v float64) string {
	switch s := fmt.Sprintf("%.1f", 100*math.Abs(v)); {
	case s == "0.0":
		return "0"
	case v < 0:
		return "\u2212" + s
	default:
		return "+" + s
	}
}

func waterfall(a Axes, causes []string, w WaterfallPanel) (panel, error) {
	p := panel{plot: newPlot(w.Title, a.X, a.Y)}
	last := float64(len(causes))
	one, err := plotter.NewLine(plotter.XYs{{X: -.5, Y: 1}, {X: last + .5, Y: 1}})
	if err != nil {
		return panel{}, err
	}
	one.LineStyle = draw.LineStyle{Color: color.Gray{0x80}, Width: .6}
	p.plot.Add(one)
	width := .7 / float64(len(w.Falls))
	for f, fall := range w.Falls {
		if len(fall.Levels) != len(causes) {
			return panel{}, fmt.Errorf("figure: %s, %s: %d levels after %d causes", w.Title, fall.Name, len(fall.Levels), len(causes))
		}
		paint := palette[f%len(palette)]
		left := func(k int) float64 { return float64(k) - .35 + width*float64(f) }
		level := 1.0
		var notes plotter.XYLabels
		for k, next := range fall.Levels {
			x0, x1 := left(k), left(k)+width*.9
			bar, err := plotter.NewPolygon(plotter.XYs{{X: x0, Y: level}, {X: x1, Y: level}, {X: x1, Y: next}, {X: x0, Y: next}})
			if err != nil {
				return panel{}, fmt.Errorf("figure: %s, %s: %w", w.Title, fall.Name, err)
			}
			bar.LineStyle = draw.LineStyle{Color: paint, Width: .7}
			if next <= level {
				bar.Color = paint
			}
			end := left(k+1) + width*.9
			if k+1 == len(causes) {
				end = left(k+1) + width*.45
			}
			on, err := plotter.NewLine(plotter.XYs{{X: x0, Y: next}, {X: end, Y: next}})
			if err != nil {
				return panel{}, err
			}
			on.LineStyle = draw.LineStyle{Color: paint, Width: .5, Dashes: dashes[f%len(dashes)]}
			p.plot.Add(on, bar)
			notes.XYs = append(notes.XYs, plotter.XY{X: (x0 + x1) / 2, Y: min(level, next)})
			notes.Labels = append(notes.Labels, change(next-level))
			level = next
		}
		labels, err := plotter.NewLabels(notes)
		if err != nil {
			return panel{}, err
		}
		for k := range labels.TextStyle {
			labels.TextStyle[k] = p.plot.X.Tick.Label
			labels.TextStyle[k].Font.Size, labels.TextStyle[k].Color = 6, paint
			labels.TextStyle[k].XAlign, labels.TextStyle[k].YAlign = draw.XCenter, draw.YTop
		}
		labels.Offset = vg.Point{Y: -1}
		x := left(len(causes)) + width*.45
		dot, spread, err := whisker(x, level, fall.Lo, fall.Hi, paint, marks[f%len(marks)])
		if err != nil {
			return panel{}, fmt.Errorf("figure: %s, %s: %w", w.Title, fall.Name, err)
		}
		p.plot.Add(spread, dot, labels)
		p.legend = append(p.legend, entry{fall.Name, []plot.Thumbnailer{dot}})
	}
	p.plot.NominalX(append(append([]string(nil), causes...), a.X)...)
	p.plot.X.Label.Text = ""
	p.plot.X.Tick.Label.Font.Size = 6 // five of them in a third of a page
	p.plot.X.Min, p.plot.X.Max = -.5, last+.5
	if a.Min != 0 || a.Max != 0 {
		p.plot.Y.Min, p.plot.Y.Max = a.Min, a.Max
	}
	return p, nil
}
