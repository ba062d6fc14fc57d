package study

import (
	"fmt"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/internal/median"
	"github.com/meshbench/meshbench/lab/trace"
)

// TrainingTimes compares the time that training takes in the simulator, as
// measured, with what the same steps would take on the testbed of the source's
// trace (paper, Section V), by objective and setting: medians over seeds.
// Training counts to convergence, where the curve converged, else to its end.
func (r *Result) TrainingTimes(s Source) figure.Table {
	t := figure.Table{Header: []string{"objective", "setting", "steps to convergence", "simulator (s)", "testbed, s per step", "testbed (h)", "testbed / simulator"}}
	step := StepTime(s.Trace)
	type key struct{ objective, setting string }
	var order []key
	steps, seconds := map[key][]float64{}, map[key][]float64{}
	for _, x := range r.Trainings {
		if x.Source != s.Name || len(x.Trained.Curve) == 0 {
			continue
		}
		k := key{x.Objective, x.Setting}
		if steps[k] == nil {
			order = append(order, k)
		}
		end := x.Trained.Curve[len(x.Trained.Curve)-1].Steps
		n := x.Trained.Converged
		if n == 0 {
			n = end
		}
		steps[k] = append(steps[k], float64(n))
		seconds[k] = append(seconds[k], x.Trained.Seconds*float64(n)/float64(end))
	}
	for _, k := range order {
		n, sim := median.Of(steps[k]), median.Of(seconds[k])
		bed := n * step
		t.Rows = append(t.Rows, []string{k.objective, k.setting, figure.Number(n, 0), figure.Number(sim, 2), figure.Number(step, 2),
			figure.Number(bed/3600, 1), fmt.Sprintf("%.0f", bed/sim)})
	}
	return t
}

// StepTime is the time in unscaled s from one step's beginning to the next,
// the median over a trace; where start times are missing, as in a simulated
// trace, the measured part of a step.
func StepTime(t *trace.Table) float64 {
	var gaps []float64
	for r := 1; r < t.Len(); r++ {
		a, b := t.Row(r-1), t.Row(r)
		if !a.Start.IsZero() && !b.Start.IsZero() && b.Step == a.Step+1 {
			gaps = append(gaps, b.Start.Sub(a.Start).Seconds()*t.Meta().TimeScale)
		}
	}
	if gaps == nil {
		return t.Meta().StepSeconds
	}
	return median.Of(gaps)
}
