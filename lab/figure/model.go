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

// Bar is one bar, or one point, with an interval; equal Lo and Hi for none.
type Bar struct {
	Group, Name   string // bars of one group stand together; names are told apart by colour
	Value, Lo, Hi float64
}

// Dots draws values with intervals, grouped along the horizontal axis: ANR of
// several policies under several loads, or the importance of features for
// several targets. Names keep the order in which they first come.
func Dots(a Axes, bars ...Bar) (Figure, error) {
	if len(bars) == 0 {
		return Figure{}, fmt.Errorf("figure: no value to draw")
	}
	var groups, names []string
	group, name := map[string]int{}, map[string]int{}
	for _, b := range bars {
		if _, ok := group[b.Group]; !ok {
			group[b.Group] = len(groups)
			groups = append(groups, b.Group)
		}
		if _, ok := name[b.Name]; !ok {
			name[b.Name] = len(names)
			names = append(names, b.Name)
		}
	}
	p := panel{plot: newPlot(a.Title, a.X, a.Y)}
	seen := map[string]bool{}
	for _, b := range bars {
		k := name[b.Name]
		x := float64(group[b.Group]) + .7*(float64(k)+.5)/float64(len(names)) - .35
		dot, bar, err := whisker(x, b.Value, b.Lo, b.Hi, palette[k%len(palette)], marks[k%len(marks)])
		if err != nil {
			return Figure{}, fmt.Errorf("figure: %s, %s: %w", b.Group, b.Name, err)
		}
		p.plot.Add(bar, dot)
		if !seen[b.Name] {
			seen[b.Name] = true
			p.legend = append(p.legend, entry{b.Name, []plot.Thumbnailer{dot}})
		}
	}
	p.plot.NominalX(groups...)
	p.plot.X.Min, p.plot.X.Max = -.5, float64(len(groups))-.5
	if a.Min != 0 || a.Max != 0 {
		p.plot.Y.Min, p.plot.Y.Max = a.Min, a.Max
	}
	if a.LogY {
		p.plot.Y.Scale, p.plot.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	}
	return stack(Double, 2.4*vg.Inch, p), nil
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
// they hold, by the logarithm; axes end at the 99th percentile.
func PredictedVsMeasured(targets ...Predicted) (Figure, error) {
	if len(targets) == 0 {
		return Figure{}, fmt.Errorf("figure: no target to draw")
	}
	const columns = 2
	rows := (len(targets) + columns - 1) / columns
	plots := make([][]*plot.Plot, rows)
	for r := range plots {
		plots[r] = make([]*plot.Plot, columns)
	}
	for k, t := range targets {
		p, err := density(t)
		if err != nil {
			return Figure{}, err
		}
		plots[k/columns][k%columns] = p
	}
	return Figure{Column, vg.Length(rows) * 1.75 * vg.Inch, func(c draw.Canvas) {
		canvases := plot.Align(plots, draw.Tiles{Rows: rows, Cols: columns, PadX: 8, PadY: 6}, draw.Crop(c, 2, -6, 2, -2))
		for r := range plots {
			for k, p := range plots[r] {
				if p != nil {
					p.Draw(canvases[r][k])
				}
			}
		}
	}}, nil
}

func density(t Predicted) (*plot.Plot, error) {
	n := len(t.Measured)
	if n == 0 || len(t.Predicted) != n {
		return nil, fmt.Errorf("figure: %s has %d measured and %d predicted values", t.Target, n, len(t.Predicted))
	}
	limit := percentile(append(append([]float64(nil), t.Measured...), t.Predicted...), .99)
	var cells [densityBins][densityBins]int
	most := 0
	for k := range t.Measured {
		x := int(t.Measured[k] / limit * densityBins)
		y := int(t.Predicted[k] / limit * densityBins)
		if x < 0 || y < 0 || x >= densityBins || y >= densityBins {
			continue
		}
		cells[x][y]++
		most = max(most, cells[x][y])
	}
	p := newPlot(fmt.Sprintf("%s: NMAE %.3f, R² %.3f", t.Target, t.NMAE, t.R2), "measured (s)", "predicted (s)")
	side := limit / densityBins
	for x := range cells {
		for y, v := range cells[x] {
			if v == 0 {
				continue
			}
			x0, y0 := float64(x)*side, float64(y)*side
			square, err := plotter.NewPolygon(plotter.XYs{{X: x0, Y: y0}, {X: x0 + side, Y: y0}, {X: x0 + side, Y: y0 + side}, {X: x0, Y: y0 + side}})
			if err != nil {
				return nil, fmt.Errorf("figure: %s: %w", t.Target, err)
			}
			shade := math.Log1p(float64(v)) / math.Log1p(float64(most))
			square.Color = color.RGBA{uint8(235 - 235*shade), uint8(240 - 126*shade), uint8(250 - 72*shade), 0xff}
			square.LineStyle.Width = 0
			p.Add(square)
		}
	}
	diagonal, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 0}, {X: limit, Y: limit}})
	if err != nil {
		return nil, err
	}
	diagonal.LineStyle = draw.LineStyle{Color: palette[1], Width: .8, Dashes: dashes[1]}
	p.Add(diagonal)
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, limit, 0, limit
	return p, nil
}

// whisker is a mark at a value with a line for its interval.
func whisker(x, y, lo, hi float64, c color.Color, mark draw.GlyphDrawer) (*plotter.Scatter, *plotter.Line, error) {
	dot, err := plotter.NewScatter(plotter.XYs{{X: x, Y: y}})
	if err != nil {
		return nil, nil, err
	}
	dot.GlyphStyle = draw.GlyphStyle{Color: c, Radius: 2.2, Shape: mark}
	line, err := plotter.NewLine(plotter.XYs{{X: x, Y: lo}, {X: x, Y: hi}})
	if err != nil {
		return nil, nil, fmt.Errorf("interval: %w", err)
	}
	line.LineStyle = draw.LineStyle{Color: c, Width: 1}
	return dot, line, nil
}
