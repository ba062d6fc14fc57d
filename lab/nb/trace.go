package nb

import (
	"fmt"
	"io"
	"strings"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/trace"
)

// Columns shows the range of every column of a trace, and what it is of; columns
// without any value are left out.
func Columns(t *trace.Table) {
	of := parts(t.Space())
	var rows [][]string
	for _, c := range t.Summary() {
		if c.Missing < t.Len() {
			name := c.Name
			if k := strings.LastIndex(name, "_"); of[name] == "" && k > 0 { // d1_p95 is of what d1 is of
				name = name[:k]
			}
			rows = append(rows, []string{c.Name, of[name], figure.Number(c.Min, 3), figure.Number(c.Mean, 3), figure.Number(c.Max, 3), fmt.Sprint(c.Missing)})
		}
	}
	Table([]string{"column", "of", "min", "mean", "max", "missing"}, rows)
}

// parts says which service, call or node a trace's columns are of.
func parts(space *mesh.Space) map[string]string {
	m, l := space.Mesh(), space.Layout()
	of := map[string]string{}
	for i, s := range m.ServiceNames() {
		number := strings.TrimPrefix(m.LoadName(i), "l")
		for _, prefix := range []string{"l", "lg", "cl", "blocked", "failed", "d"} {
			of[prefix+number] = s
		}
	}
	for e, name := range l.DelayNames() {
		of[name] = l.CallName(l.Endpoints[e].Call) + " on " + m.Nodes[l.Endpoints[e].Node].Name
	}
	for _, k := range space.Knobs() {
		for v, name := range k.Columns {
			switch k.Info.Scope {
			case mesh.PerCall:
				of[name] = l.CallName(k.Of) + " to " + m.Nodes[l.Calls[k.Of].Nodes[v]].Name
			case mesh.PerService:
				of[name] = m.Services[k.Of].Name
			case mesh.PerNode:
				of[name] = m.Nodes[k.Of].Name
			}
		}
	}
	return of
}

// Audit shows the findings of a trace's audit.
func Audit(t *trace.Table) {
	var rows [][]string
	for _, f := range trace.Audit(t) {
		rows = append(rows, []string{f.Title, f.Detail})
	}
	if rows == nil {
		Markdown(fmt.Sprintf("The audit of %d rows has no finding.", t.Len()))
		return
	}
	Table([]string{"finding", "what was seen"}, rows)
}

// Watch is a drawing of a mesh at work that grows by a step at a time: load and
// response times of each service, with their goals.
type Watch struct {
	live  *Live
	run   figure.Run
	goals []float64
}

// NewWatch begins a drawing of scenario s at work.
func NewWatch(s scenario.Scenario) *Watch {
	return &Watch{live: NewLive(), run: figure.Run{Services: s.Mesh.ServiceNames()}, goals: s.Goals()}
}

// Row adds the step of a trace's row, of which it keeps nothing.
func (w *Watch) Row(r trace.Row) { w.Measured(r.Measurement) }

// Measured adds what was measured in a step.
func (w *Watch) Measured(x mesh.Measurement) {
	var delays []float64
	for _, d := range x.Service {
		delays = append(delays, d.Mean)
	}
	w.add(x.Generated, x.Carried, delays)
}

// Step adds a step of an evaluation; it is what anr.Config asks for.
func (w *Watch) Step(_ int, s anr.Step) { w.add(s.Load, s.Carried, s.Delay) }

func (w *Watch) add(offered, carried, delays []float64) {
	w.run.Add(offered, carried, delays)
	w.live.Figure(func() (io.WriterTo, error) { return figure.Watch(w.run, w.goals) })
}

// Close shows the last step, also when it came too soon.
func (w *Watch) Close() { w.live.Close() }
