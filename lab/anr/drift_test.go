package anr

import (
	"math"
	"math/rand/v2"
	"testing"
)

// steps are delays around a prediction, log-normal, shifted by a factor.
func driftSteps(n int, factor float64, seed uint64) (measured, predicted [][]float64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	for range n {
		p := []float64{.02 + .02*rng.Float64(), .1}
		measured = append(measured, []float64{p[0] * factor * math.Exp(.2*rng.NormFloat64()), p[1] * math.Exp(.3*rng.NormFloat64())})
		predicted = append(predicted, p)
	}
	measured[n/2][1] = math.NaN()
	return measured, predicted
}

func TestDrift(t *testing.T) {
	d, err := CalibrateDrift(driftSteps(2000, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(d.SD[0]-.2) > .02 || math.Abs(d.SD[1]-.3) > .03 || math.Abs(d.Mean[0]) > .02 {
		t.Errorf("mean %v, sd %v", d.Mean, d.SD)
	}
	first := func(factor float64, seed uint64) int {
		d.Reset()
		measured, predicted := driftSteps(2000, factor, seed)
		for k := range measured {
			if d.Add(measured[k], predicted[k]) >= 1 {
				return k + 1
			}
		}
		return 0
	}
	alarms := 0
	for seed := range uint64(20) {
		if first(1, seed+10) > 0 {
			alarms++
		}
	}
	if alarms > 6 {
		t.Errorf("%d of 20 runs of 2000 steps with a false alarm", alarms)
	}
	for _, factor := range []float64{1.3, 1 / 1.3} { // 1.3 sd
		for seed := range uint64(10) {
			if k := first(factor, seed+50); k == 0 || k > 60 {
				t.Errorf("delays times %.2f: alarm at step %d", factor, k)
			}
		}
	}
	// One overload is not an alarm.
	d.Reset()
	if s := d.Add([]float64{5, 5}, []float64{.02, .1}); s >= 1 {
		t.Errorf("a single overload gives %v", s)
	}
}

func TestCalibrateDriftErrors(t *testing.T) {
	for _, n := range []int{0, 5} {
		if _, err := CalibrateDrift(make([][]float64, n), make([][]float64, n)); n == 0 && err == nil {
			t.Error("no error for no steps")
		}
	}
	m, p := driftSteps(10, 1, 1)
	if _, err := CalibrateDrift(m, p); err == nil {
		t.Error("no error for 10 steps")
	}
}
