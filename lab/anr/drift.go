package anr

import (
	"fmt"
	"math"
	"slices"
)

// Drift tells, step by step, whether a mesh still behaves as its system model
// says: a two-sided CUSUM chart (Page, Biometrika 1954) per service of the
// standardised log ratio of measured and predicted delay. It warns before the
// ANR of a policy can, since that also falls when the load is unlucky.
type Drift struct {
	// Mean and SD of ln(measured/predicted) per service while nothing has
	// changed; see CalibrateDrift.
	Mean, SD []float64
	// Slack is the shift that is not looked for, in SD; default 0.5.
	Slack float64
	// Threshold is the sum of shifts beyond slack that is an alarm, in SD;
	// default 10, which chance reaches about once in 35,000 steps of two
	// services with independent normal ratios (Siegmund's approximation), and
	// more often where tails are heavier.
	Threshold float64

	up, down []float64
}

// clip bounds a standardised ratio, so that a single overload is no alarm.
const clip = 3

// CalibrateDrift takes the ratios of steps on which a model was right: the
// delays of services (steps x m, s) as measured and as predicted by a model
// that did not see them. Missing ones are left out.
func CalibrateDrift(measured, predicted [][]float64) (Drift, error) {
	var d Drift
	if len(measured) == 0 || len(measured) != len(predicted) {
		return d, fmt.Errorf("anr: drift: %d measured and %d predicted steps; accepted: as many, and at least 1", len(measured), len(predicted))
	}
	for i := range measured[0] {
		var ratios []float64
		for t := range measured {
			if r := math.Log(measured[t][i] / predicted[t][i]); !math.IsNaN(r) && !math.IsInf(r, 0) {
				ratios = append(ratios, r)
			}
		}
		if len(ratios) < 20 {
			return d, fmt.Errorf("anr: drift: service %d has %d steps with both delays; accepted: at least 20", i+1, len(ratios))
		}
		// Median and quartiles: overloads are in the tails.
		slices.Sort(ratios)
		n := len(ratios)
		d.Mean = append(d.Mean, ratios[n/2])
		d.SD = append(d.SD, max(1e-6, (ratios[3*n/4]-ratios[n/4])/1.349))
	}
	return d, nil
}

// Reset forgets the steps so far.
func (d *Drift) Reset() { d.up, d.down = nil, nil }

// Add takes the delays of a step per service, in s, and returns the statistic:
// the highest sum of any service over the threshold, so that 1 or more is an
// alarm. A missing delay leaves its service's sums as they are.
func (d *Drift) Add(measured, predicted []float64) float64 {
	slack, threshold := d.Slack, d.Threshold
	if slack == 0 {
		slack = .5
	}
	if threshold == 0 {
		threshold = 10
	}
	if d.up == nil {
		d.up, d.down = make([]float64, len(d.Mean)), make([]float64, len(d.Mean))
	}
	statistic := 0.0
	for i := range d.Mean {
		r := math.Log(measured[i] / predicted[i])
		if !math.IsNaN(r) && !math.IsInf(r, 0) {
			z := max(-clip, min(clip, (r-d.Mean[i])/d.SD[i]))
			d.up[i] = max(0, d.up[i]+z-slack)
			d.down[i] = max(0, d.down[i]-z-slack)
		}
		statistic = max(statistic, d.up[i]/threshold, d.down[i]/threshold)
	}
	return statistic
}
