package controller

import (
	"cmp"
	"fmt"
	"math"
	"strings"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Step is what a Check sees of a step.
type Step struct {
	Seen
	Err    error // why the step was not made or not measured; then only Next is known
	Policy bool  // it was in charge
}

// Check is a rule that may take the policy out of charge.
type Check interface {
	// Name is a word, for metrics and people.
	Name() string
	// Look sees every step, and returns what speaks against the policy now, ""
	// for nothing.
	Look(s Step) (why string)
	// State says in some words how far from an objection it is.
	State() string
}

// Missing objects when steps in a row are not measured, or are disturbed.
type Missing struct {
	// Steps without a measurement: the step failed, was late, or a service with
	// load that was let in has neither an answer nor a failure counted. Default 2.
	Steps int
	// Disturbed steps have a mark: among others, an action was not put into force.
	// Default 5; negative for any number.
	Disturbed int

	missing, marked int
	why             string
}

// Name is "measurements".
func (c *Missing) Name() string { return "measurements" }

// Look counts.
func (c *Missing) Look(s Step) string {
	steps, disturbed := or(c.Steps, 2), or(c.Disturbed, 5)
	c.why = ""
	switch {
	case s.Err != nil:
		c.missing, c.marked = c.missing+1, 0
		c.why = s.Err.Error()
	case unmeasured(s.Seen) != "":
		c.missing, c.marked = c.missing+1, 0
		c.why = unmeasured(s.Seen)
	case s.Measurement.Mark != "":
		c.missing, c.marked = 0, c.marked+1
		c.why = s.Measurement.Mark
	default:
		c.missing, c.marked = 0, 0
	}
	switch {
	case c.missing >= steps:
		return fmt.Sprintf("not measured for %s: %s", steps1(c.missing), c.why)
	case disturbed > 0 && c.marked >= disturbed:
		return fmt.Sprintf("disturbed for %s: %s", steps1(c.marked), c.why)
	}
	return ""
}

// State is how many there were in a row.
func (c *Missing) State() string {
	switch {
	case c.missing > 0:
		return fmt.Sprintf("%d of %s not measured: %s", c.missing, steps1(or(c.Steps, 2)), c.why)
	case c.marked > 0:
		return fmt.Sprintf("%d disturbed: %s", c.marked, c.why)
	}
	return "measured"
}

// unmeasured says what is missing in a step.
func unmeasured(s Seen) string {
	for i, d := range s.Measurement.Service {
		x := s.Measurement
		switch {
		case math.IsNaN(x.Carried[i]) && math.IsNaN(d.Mean):
			return fmt.Sprintf("nothing is known of service %d", i+1)
		case x.Carried[i] > 0 && d.Count == 0 && math.IsNaN(d.Mean) && !(x.Failed[i] > 0):
			return fmt.Sprintf("service %d carried %.3g requests/s, of which neither an answer nor a failure is known", i+1, x.Carried[i])
		}
	}
	return ""
}

// Missed objects when a service misses its goal for steps in a row under the
// policy: its mean delay is above it, or it had load and no good answer.
type Missed struct {
	Goals []float64 // s per service; NaN for none
	Names []string  // of the services, for people
	Steps int       // default 10

	row []int
}

// Name is "goals".
func (c *Missed) Name() string { return "goals" }

// Look counts the steps in which the policy was in charge: whether the fallback
// does better is no reason to keep the policy away.
func (c *Missed) Look(s Step) string {
	if c.row == nil {
		c.row = make([]int, len(c.Goals))
	}
	if !s.Policy || s.Err != nil {
		clear(c.row)
		return ""
	}
	var why []string
	for i, goal := range c.Goals {
		d := s.Measurement.Service[i].Mean
		if d > goal || math.IsNaN(d) && s.Measurement.Failed[i] > 0 {
			c.row[i]++
		} else {
			c.row[i] = 0
		}
		if c.row[i] >= or(c.Steps, 10) {
			why = append(why, fmt.Sprintf("%s misses its goal of %g ms for %s, with %.0f ms now", c.name(i), 1e3*goal, steps1(c.row[i]), 1e3*d))
		}
	}
	return strings.Join(why, "; ")
}

// State is the longest row.
func (c *Missed) State() string {
	most := 0
	for _, n := range c.row {
		most = max(most, n)
	}
	return fmt.Sprintf("missed in %d of %s", most, steps1(or(c.Steps, 10)))
}

func (c *Missed) name(i int) string {
	if i < len(c.Names) {
		return c.Names[i]
	}
	return fmt.Sprintf("service %d", i+1)
}

// Outside objects to a load that the policy was not trained for.
type Outside struct {
	Loads load.Ranges // trained for
	Names []string    // of the services, for people
	// Seconds is for how long loads are counted. Where it is above 0, a load is
	// outside when it is so by more than three standard deviations of a Poisson
	// count; else, where loads are announced, by anything at all.
	Seconds float64

	state string
}

// Name is "load".
func (c *Outside) Name() string { return "load" }

// Look looks at the load of the step to come, as far as it is known.
func (c *Outside) Look(s Step) string {
	var why, loads []string
	for i, l := range s.Next.Load {
		r, chance := c.Loads[i], 1e-9
		if c.Seconds > 0 {
			chance = 3 * math.Sqrt(max(l, r.Max)/c.Seconds)
		}
		name := fmt.Sprintf("service %d", i+1)
		if i < len(c.Names) {
			name = c.Names[i]
		}
		loads = append(loads, fmt.Sprintf("%.3g", l))
		if l > r.Max+chance || l < r.Min-chance {
			why = append(why, fmt.Sprintf("%s has %.3g requests/s; the policy was trained for %g to %g", name, l, r.Min, r.Max))
		}
	}
	c.state = "requests/s: " + strings.Join(loads, ", ")
	return strings.Join(why, "; ")
}

// State is the load.
func (c *Outside) State() string { return c.state }

// Drift objects when the mesh is slower than its model says, for longer than chance
// would have it: see anr.Drift. A faster one does no harm. After an alarm the chart
// begins anew.
type Drift struct {
	Model control.Model
	// Chart is calibrated. Where it is the zero value, that is done by the first
	// Calibrate steps that are measured, default 50; until then nothing is objected
	// to, and a mesh that has already drifted is taken for a sound one. Its Slack and
	// Threshold, default 1.25 and 12, are wider than a chart's: a model errs by another
	// amount at each load, and twice the delay is still seen within some ten steps.
	Chart     anr.Drift
	Calibrate int

	measured, predicted [][]float64
	statistic           float64
	err                 error
}

// Name is "drift".
func (c *Drift) Name() string { return "drift" }

// Look compares what was measured with what the model says of the same load and
// action.
func (c *Drift) Look(s Step) string {
	if s.Err != nil || s.Measurement.Mark != "" || s.Load == nil {
		return ""
	}
	m, p := make([]float64, len(s.Load)), []float64(nil)
	for i, d := range s.Measurement.Service {
		m[i] = d.Mean
	}
	if p, c.err = Predict(c.Model, s.Load, s.Action); c.err != nil {
		return ""
	}
	if c.Chart.Mean == nil {
		c.measured, c.predicted = append(c.measured, m), append(c.predicted, p)
		if len(c.measured) >= or(c.Calibrate, 50) {
			slack, threshold := cmp.Or(c.Chart.Slack, 1.25), cmp.Or(c.Chart.Threshold, 12)
			var d anr.Drift
			if d, c.err = anr.CalibrateDrift(c.measured, c.predicted); c.err == nil {
				d.Slack, d.Threshold, d.Upward = slack, threshold, true
				c.Chart, c.measured, c.predicted = d, nil, nil
			}
		}
		return ""
	}
	if c.statistic = c.Chart.Add(m, p); c.statistic < 1 {
		return ""
	}
	why := fmt.Sprintf("the mesh is slower than the model says: statistic %.2f, an alarm from 1 on", c.statistic)
	for i := range m {
		why += fmt.Sprintf("; d%d %.0f ms, predicted %.0f", i+1, 1e3*m[i], 1e3*p[i])
	}
	c.Chart.Reset()
	return why
}

// State is the statistic.
func (c *Drift) State() string {
	switch {
	case c.err != nil:
		return c.err.Error()
	case c.Chart.Mean == nil:
		return fmt.Sprintf("calibrating: %d of %s", len(c.measured), steps1(or(c.Calibrate, 50)))
	}
	return fmt.Sprintf("statistic %.2f of 1", c.statistic)
}

// Statistic is that of the last step; 1 is an alarm.
func (c *Drift) Statistic() float64 { return c.statistic }

// Predict is the delay of each service that a model expects, s.
func Predict(m control.Model, l mesh.Load, a mesh.Action) ([]float64, error) {
	f, err := m.At(mesh.State{Load: l})
	if err == nil {
		err = f.Set(a)
	}
	if err != nil {
		return nil, fmt.Errorf("controller: predict load %v: %w", l, err)
	}
	x := mesh.NewMeasurement(m.Space().Layout())
	f.Mean(&x)
	d := make([]float64, len(x.Service))
	for i := range d {
		d[i] = x.Service[i].Mean
	}
	return d, nil
}

func or(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func steps1(n int) string {
	if n == 1 {
		return "1 step"
	}
	return fmt.Sprintf("%d steps", n)
}

// guard says who is in charge.
type guard struct {
	checks []Check
	back   int // steps without an objection until the policy comes back

	policy     bool
	objections []string // by check; "" for none
	why        string   // the last that spoke against the policy
	calm       int      // steps without one
	wait       int      // that are needed
	since      int      // steps since the policy came back
}

// begin begins a run: the policy is in charge when a step was measured.
func (g *guard) begin() {
	g.policy, g.calm, g.wait, g.why = false, 0, 1, "nothing is measured yet"
}

// most is the longest wait, as a multiple of the usual.
const most = 16

// look sees a step and decides who is in charge of the next.
func (g *guard) look(s Step) {
	g.objections = g.objections[:0]
	why := ""
	for _, c := range g.checks {
		o := c.Look(s)
		g.objections = append(g.objections, o)
		if o != "" && why == "" {
			why = c.Name() + ": " + o
		}
	}
	switch {
	case why != "" && g.policy:
		if g.since < g.wait { // soon again
			g.wait = max(g.back, min(2*g.wait, most*g.back))
		} else {
			g.wait = g.back
		}
		g.policy, g.calm, g.why = false, 0, why
	case why != "":
		g.calm, g.why, g.wait = 0, why, max(g.wait, g.back)
	case g.policy:
		g.since++
	default:
		if g.calm++; g.calm >= g.wait {
			g.policy, g.since = true, 0
		}
	}
}
