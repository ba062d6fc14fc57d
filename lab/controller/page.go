package controller

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/meshbench/meshbench/lab/figure"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// Handler serves the status as a page (/), as JSON (/status.json), as a picture
// (/chart.svg) and for Prometheus (/metrics). /healthz answers as long as the
// process does; /readyz likewise, for one that waits for the lease is ready to
// take over.
func (c *Controller) Handler() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics{c})
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	mux.HandleFunc("GET /healthz", ok)
	mux.HandleFunc("GET /readyz", ok)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /status.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		e.Encode(c.Status())
	})
	mux.HandleFunc("GET /chart.svg", func(w http.ResponseWriter, _ *http.Request) {
		f, err := c.Status().Chart()
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "image/svg+xml")
		f.WriteTo(w)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		var b bytes.Buffer
		if err := page.Execute(&b, c.view()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(b.Bytes())
	})
	return mux
}

// view is what the page shows.
type view struct {
	Status
	Head, Text, Tone string
	Age              string
	Chart            bool
	Services         []string
	Rows             []row
	Counts           [][2]string
}

type row struct {
	Entry
	Decided, Asked, InForce, Why string
	Load, Delay                  []string
	Missed                       []bool
}

// shown are the steps in the page's table.
const shown = 20

func (c *Controller) view() view {
	s := c.Status()
	v := view{Status: s, Chart: len(s.Recent) > 1, Services: s.Names.Services}
	why := strings.TrimSuffix(s.Why, ".")
	switch {
	case !s.Leading:
		v.Head, v.Tone = "Waiting", "wait"
		v.Text = "Another process drives the mesh: " + s.Owner + ". This one takes over when it ends."
		if s.Owner == "" {
			v.Text = "The lease of the mesh is asked for."
		}
	case s.Shadow:
		v.Head, v.Tone = "Shadow: nothing is changed", "wait"
		v.Text = fmt.Sprintf("The policy would have done what was in force in %d of %d steps.", s.Agreed, s.Compared)
		if s.Valued > 0 {
			v.Text += fmt.Sprintf(" By the model, what is in force pays %.3f a step, the policy's decisions %.3f.",
				float64(s.Worth)/float64(s.Valued), float64(s.Would)/float64(s.Valued))
		}
		if !s.Trusted {
			v.Text += " Now it would not act: " + why + "."
		}
	case s.Charge == ByPolicy:
		v.Head, v.Tone = "The policy is in charge", "good"
		if k := len(s.Switches) - 1; k >= 0 {
			v.Text = fmt.Sprintf("Since step %d: %s.", s.Switches[k].Step, s.Switches[k].Why)
		}
	default:
		v.Head, v.Tone = "The fallback is in charge", "bad"
		v.Text = fmt.Sprintf("%s. The policy comes back after %s without an objection; so far %d.", why, steps1(s.Wait), s.Calm)
	}
	if age, ok := s.age(time.Now()); ok {
		v.Age = fmt.Sprintf("The last measurement is %.1f s old.", age.Seconds())
	} else if s.Leading {
		v.Age = "Nothing is measured yet."
	}
	v.Counts = [][2]string{
		{"steps by the policy", fmt.Sprint(s.Steps[ByPolicy])},
		{"steps by the fallback", fmt.Sprint(s.Steps[ByFallback])},
		{"switches to the fallback", fmt.Sprint(s.Switched[ByFallback])},
		{"steps with a goal missed", fmt.Sprint(s.Missed)},
		{"steps without a measurement", fmt.Sprint(s.Failed)},
		{"changes of the action", fmt.Sprint(s.Changes)},
		{"changes cut by a limit", fmt.Sprint(s.Limited)},
	}
	for _, e := range slices.Backward(s.Recent) {
		if len(v.Rows) == shown {
			break
		}
		v.Rows = append(v.Rows, c.row(s, e))
	}
	return v
}

func (c *Controller) row(s Status, e Entry) row {
	r := row{Entry: e}
	for _, a := range []struct {
		to *string
		of []float64
	}{{&r.Decided, e.Decided}, {&r.Asked, e.Asked}, {&r.InForce, e.InForce}} {
		if *a.to = "-"; a.of != nil {
			*a.to = c.space.Format(a.of)
		}
	}
	for i := range s.Names.Services {
		l, d, missed := "-", "-", false
		if i < len(e.Load) {
			l, d = cell("%.1f", float64(e.Load[i])), cell("%.0f", 1e3*float64(e.Delay[i]))
			missed = i < len(s.Names.Goals) && float64(e.Delay[i]) > s.Names.Goals[i]
		}
		r.Load, r.Delay, r.Missed = append(r.Load, l), append(r.Delay, d), append(r.Missed, missed)
	}
	var why []string
	for _, x := range s.Checks {
		if o := e.Objections[x.Name]; o != "" {
			why = append(why, x.Name+": "+o)
		}
	}
	if e.Limited {
		why = append(why, "less than decided: a limit")
	}
	if e.Mark != "" {
		why = append(why, "disturbed: "+e.Mark)
	}
	if e.Error != "" {
		why = append(why, e.Error)
	}
	r.Why = strings.Join(why, "; ")
	return r
}

// cell is a number, or a dash for a missing one.
func cell(format string, v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf(format, v)
}

// Chart draws the response times and the load of the last steps, shaded where
// something other than the policy was in charge.
func (s Status) Chart() (figure.Figure, error) {
	if len(s.Recent) == 0 {
		return figure.Figure{}, fmt.Errorf("controller: no step to draw yet")
	}
	var x []float64
	for _, e := range s.Recent {
		x = append(x, float64(e.Step))
	}
	delays := figure.TimelinePanel{Axes: figure.Axes{Title: "response time, shaded where the fallback is in charge", X: "step", Y: "ms"}}
	loads := figure.TimelinePanel{Axes: figure.Axes{Title: "offered load", X: "step", Y: "requests/s"}}
	for i := range s.Names.Services {
		var d, l, goal []float64
		for _, e := range s.Recent {
			goal = append(goal, 1e3*s.Names.Goals[i])
			if i >= len(e.Delay) {
				d, l = append(d, missing), append(l, missing)
				continue
			}
			d, l = append(d, 1e3*float64(e.Delay[i])), append(l, float64(e.Load[i]))
		}
		name := serviceName(s.Names, i)
		delays.Series = append(delays.Series, figure.Series{Name: name, X: x, Y: d}, figure.Series{Name: "goal of " + name, X: x, Y: goal})
		loads.Series = append(loads.Series, figure.Series{Name: name, X: x, Y: l})
	}
	for k := 0; k < len(s.Recent); {
		first := k
		for k < len(s.Recent) && s.Recent[k].Charge == ByFallback {
			k++
		}
		if k > first {
			delays.Events = append(delays.Events, figure.Event{From: float64(s.Recent[first].Step), To: float64(s.Recent[k-1].Step + 1)})
		} else {
			k++
		}
	}
	return figure.Timelines(delays, loads)
}

// missing is a value that is not there.
var missing = math.NaN()

func serviceName(n Names, i int) string {
	if i < len(n.Services) {
		return n.Services[i]
	}
	return fmt.Sprintf("service %d", i+1)
}
