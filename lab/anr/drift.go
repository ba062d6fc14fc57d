package anr

import (
	"fmt"
	"math"
	"slices"
)

// Drift tells, step by step, whether a mesh still behaves as its system model
// says: a CUSUM chart per service, or per any quantity that is positive, of the
// standardised log ratio of what was measured and what was predicted, such as a
// delay. It warns before the ANR of a policy can, since that also falls when the load
// is unlucky.
type Drift struct {
	// Mean and SD of ln(measured/predicted) per service while nothing has
	// changed; see CalibrateDrift.
	Mean, SD []float64
	// Slack and Threshold are those of each service's chart; see CUSUM, also for
	// their defaults.
	Slack, Threshold float64
	// Upward looks for a mesh that is slower than its model alone.
	Upward bool

	chart CUSUM
}

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
func (d *Drift) Reset() { d.chart.Reset() }

// Add takes the delays of a step per service, in s, and returns the statistic, 1 or
// more for an alarm. A missing delay leaves its service's sums as they are.
func (d *Drift) Add(measured, predicted []float64) float64 {
	if d.chart.Slack == nil {
		d.chart.Upward = d.Upward
		d.chart.Slack, d.chart.Threshold = slices.Repeat([]float64{d.Slack}, len(d.Mean)), slices.Repeat([]float64{d.Threshold}, len(d.Mean))
	}
	z := make([]float64, len(d.Mean))
	for i := range z {
		z[i] = (math.Log(measured[i]/predicted[i]) - d.Mean[i]) / d.SD[i]
	}
	return d.chart.Add(z)
}
