package anr

import (
	"fmt"
	"math"
	"slices"
)

// Drift tells, step by step, whether a mesh still behaves as its system model
// says: a two-sided CUSUM chart (Page, Biometrika 1954) per service, or per any
// quantity that is positive, of the standardised log ratio of what was measured and
// what was predicted, such as a delay. It warns before the
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
	since    []int // steps since either sum of a quantity was last 0
	worst    int
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

// Design sets Slack and Threshold so that chance raises an alarm about once in so
// many steps, and a shift of a given size, a log ratio, is found soonest. It is
// given steps on which nothing changed, in their order: the peaks between zeros of
// the sums have a tail that is exponential, which is fitted to the highest twentieth
// of them, so that steps which depend on each other are accounted for.
func (d *Drift) Design(measured, predicted [][]float64, steps, shift float64) error {
	var best Drift
	soonest := math.Inf(1)
	for _, slack := range []float64{.5, .75, 1, 1.25, 1.5, 2} {
		try := Drift{Mean: d.Mean, SD: d.SD, Slack: slack}
		if err := try.setThreshold(measured, predicted, steps); err != nil {
			return err
		}
		for _, sd := range d.SD {
			gain := min(shift/sd, clip) - slack
			if delay := try.Threshold / gain; gain > 0 && delay < soonest {
				best, soonest = try, delay
			}
		}
	}
	if math.IsInf(soonest, 1) {
		return fmt.Errorf("anr: drift: a shift by a factor of %.3g is within what ratios vary by, %.3g", math.Exp(shift), d.SD)
	}
	*d = best
	d.Reset()
	return nil
}

// setThreshold sets Threshold for a Slack; see Design.
func (d *Drift) setThreshold(measured, predicted [][]float64, steps float64) error {
	d.Threshold = 1
	top := make([]float64, 2*len(d.Mean))
	var peaks []float64
	for t := range measured {
		d.Add(measured[t], predicted[t])
		for k := range top {
			now := d.up[k/2]
			if k%2 == 1 {
				now = d.down[k/2]
			}
			if now == 0 && top[k] > 0 {
				peaks = append(peaks, top[k])
				top[k] = 0
			}
			top[k] = max(top[k], now)
		}
	}
	peaks = append(peaks, slices.DeleteFunc(top, func(v float64) bool { return v == 0 })...)
	const fewest = 20
	if len(peaks) < fewest {
		return fmt.Errorf("anr: drift: %d excursions of the sums in %d steps; accepted: at least %d", len(peaks), len(measured), fewest)
	}
	slices.Sort(peaks)
	n := max(len(peaks)/20, fewest/2)
	above := peaks[len(peaks)-n:]
	excess := 0.0
	for _, v := range above {
		excess += (v - above[0]) / float64(n)
	}
	// By an upper estimate of the tail's mean, a standard error above it.
	excess *= 1 + 1/math.Sqrt(float64(n))
	d.Threshold = above[0] + max(excess, .5)*math.Log(max(steps*float64(n)/float64(len(measured)), 1))
	return nil
}

// Reset forgets the steps so far.
func (d *Drift) Reset() { d.up, d.down, d.since, d.worst = nil, nil, nil, 0 }

// Onset is for how many steps, the last one included, the highest sum has been
// above 0: the change is likely to have come before them (Page 1954).
func (d *Drift) Onset() (steps, quantity int) {
	if d.since == nil {
		return 0, 0
	}
	return d.since[d.worst], d.worst
}

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
		d.up, d.down, d.since = make([]float64, len(d.Mean)), make([]float64, len(d.Mean)), make([]int, len(d.Mean))
	}
	statistic := 0.0
	for i := range d.Mean {
		r := math.Log(measured[i] / predicted[i])
		if !math.IsNaN(r) && !math.IsInf(r, 0) {
			z := max(-clip, min(clip, (r-d.Mean[i])/d.SD[i]))
			d.up[i] = max(0, d.up[i]+z-slack)
			d.down[i] = max(0, d.down[i]-z-slack)
		}
		if d.since[i]++; d.up[i] == 0 && d.down[i] == 0 {
			d.since[i] = 0
		}
		if v := max(d.up[i], d.down[i]) / threshold; v > statistic {
			statistic, d.worst = v, i
		}
	}
	return statistic
}
