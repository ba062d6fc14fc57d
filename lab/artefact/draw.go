package artefact

import (
	"fmt"
	"math"
	"slices"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
)

const (
	// points of a line over a range of loads.
	points = 121
	// maxLines is the number of lines of a panel that can be told apart, and
	// maxPanels that of panels that fit a page.
	maxLines, maxPanels = 8, 8
)

// Draw draws a policy's decisions or a model's predictions over the range of each
// service's load, the others being in the middle of theirs. Of a policy each knob
// that varies has a panel; of a model each service, with the mean response times
// without control.
func (f File) Draw() (figure.Figure, error) {
	loads, err := f.Loads()
	if err != nil {
		return figure.Figure{}, err
	}
	panels := f.predictions
	if f.Policy != nil {
		panels = f.decisions
	}
	list, err := panels(loads)
	if err != nil {
		return figure.Figure{}, err
	}
	return figure.Panels(list...)
}

// sweep is the range of service i's load, with the others in the middle of theirs.
func sweep(loads load.Ranges, i int) (list []mesh.Load) {
	for k := range points {
		l := loads.Mid()
		l[i] = loads[i].Min + (loads[i].Max-loads[i].Min)*float64(k)/(points-1)
		list = append(list, l)
	}
	return list
}

// decisions has a panel for each value of a knob that varies, for the first one
// where none does.
func (f File) decisions(loads load.Ranges) ([]figure.Panel, error) {
	d := f.Policy.Description()
	var panels []figure.Panel
	var at []int // the value of an action that a panel shows
	for _, k := range d.Space.Knobs() {
		lo, hi := math.Inf(1), math.Inf(-1)
		for _, p := range k.Points {
			lo, hi = min(lo, slices.Min(p)), max(hi, slices.Max(p))
		}
		for j, column := range k.Columns[:k.Free] {
			panels = append(panels, figure.Panel{Axes: figure.Axes{X: "load, % of its range", Y: column, Min: lo, Max: hi, Steps: true}})
			at = append(at, k.First+j)
		}
	}
	for i, name := range d.Space.Mesh().ServiceNames() {
		if i == maxLines {
			break
		}
		for n := range panels {
			panels[n].Series = append(panels[n].Series, figure.Series{Name: "load of " + name})
		}
		for k, l := range sweep(loads, i) {
			a, err := f.Policy.Act(steady(d, l))
			if err != nil {
				return nil, err
			}
			for n := range panels {
				s := &panels[n].Series[i]
				s.X, s.Y = append(s.X, 100*float64(k)/(points-1)), append(s.Y, a[at[n]])
			}
		}
	}
	varying := slices.DeleteFunc(slices.Clone(panels), func(p figure.Panel) bool {
		return !slices.ContainsFunc(p.Series, func(s figure.Series) bool { return slices.Min(s.Y) != slices.Max(s.Y) })
	})
	if len(varying) == 0 {
		varying = panels[:1]
	}
	if n := len(varying); n > maxPanels {
		varying = varying[:maxPanels]
		varying[0].Axes.Title = fmt.Sprintf("the first %d of %d knobs that vary", maxPanels, n)
	}
	return varying, nil
}

// predictions has a panel for each service's load, with the mean response times of
// all services under the action that leaves the mesh as it is.
func (f File) predictions(loads load.Ranges) ([]figure.Panel, error) {
	space := f.Model.Space()
	names := space.Mesh().ServiceNames()
	names = names[:min(len(names), maxLines)]
	m := mesh.NewMeasurement(space.Layout())
	var panels []figure.Panel
	for i, of := range names {
		p := figure.Panel{Axes: figure.Axes{X: "load of " + of + " (requests/s)", Y: "mean response time (s)"}}
		for _, name := range names {
			p.Series = append(p.Series, figure.Series{Name: name})
		}
		for _, l := range sweep(loads, i) {
			forecast, err := f.Model.At(mesh.State{Load: l})
			if err != nil {
				return nil, err
			}
			if err := forecast.Set(space.Default()); err != nil {
				return nil, err
			}
			forecast.Mean(&m)
			for k := range p.Series {
				p.Series[k].X = append(p.Series[k].X, l[i])
				p.Series[k].Y = append(p.Series[k].Y, m.Service[k].Mean)
			}
		}
		panels = append(panels, p)
	}
	return panels, nil
}
