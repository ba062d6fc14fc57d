package anr

import (
	"math"
	"math/rand/v2"
	"testing"
)

// values are steps of two quantities: one that goes on from step to step, as queues
// do, and one of heavy tails; the first is shifted, and the second missing now and
// then.
func values(n int, shift float64, seed uint64) (z [][]float64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	x := 0.0
	for range n {
		x = .3*x + .95*rng.NormFloat64()
		y := rng.NormFloat64() * math.Exp(.5*rng.NormFloat64())
		if rng.IntN(10) == 0 {
			y = math.NaN()
		}
		z = append(z, []float64{x + shift, y})
	}
	return z
}

// Chance reaches the thresholds of a design about as seldom as was asked for, also
// where steps depend on each other and tails are heavy, and a shift of the size that
// it is for is found in some steps; the onset is about where it was.
func TestDesign(t *testing.T) {
	for _, clip := range []float64{0, 5} {
		c := CUSUM{Clip: clip}
		if err := c.Design(values(4000, 0, 1), []float64{3, 3}, 20_000); err != nil {
			t.Fatal(err)
		}
		alarms := 0
		for _, z := range values(400_000, 0, 2) {
			if c.Add(z) >= 1 {
				alarms++
				c.Reset()
			}
		}
		if alarms > 100 {
			t.Errorf("clip %v: %d alarms in 400,000 steps; want about 20, at most 100", clip, alarms)
		}
		for seed := range uint64(20) {
			c.Reset()
			at := -1
			for k, z := range append(values(50, 0, seed+10), values(50, 3, seed+40)...) {
				if c.Add(z) >= 1 {
					at = k
					break
				}
			}
			if onset, of := c.Onset(); at < 50 || at > 62 || at-onset < 30 || of != 0 {
				t.Errorf("clip %v, seed %d: alarm at %d, since %d", clip, seed, at, at-onset)
			}
		}
	}
}

// One step is no alarm, however far off it is and however seldom it is in what the
// chart was designed on.
func TestOneStep(t *testing.T) {
	c := CUSUM{Clip: 5}
	if err := c.Design(values(500, 0, 1), []float64{3, 3}, 100); err != nil {
		t.Fatal(err)
	}
	if s := c.Add([]float64{100, math.NaN()}); s >= 1 {
		t.Errorf("a single step gives %v", s)
	}
}

func TestDesignErrors(t *testing.T) {
	var c CUSUM
	z := values(500, 0, 1)
	for what, err := range map[string]error{
		"47 steps":           c.Design(z[:47], []float64{3, 3}, 1000),
		"a shift missing":    c.Design(z, []float64{3}, 1000),
		"shifts within .5":   c.Design(z, []float64{.5, .1}, 1000),
		"an alarm in 0 step": c.Design(z, []float64{3, 3}, 0),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// An upward chart has no alarm where values fall, and the same where they rise.
func TestUpward(t *testing.T) {
	alarm := func(upward bool, shift float64) int {
		c := CUSUM{Upward: upward}
		for n := range 60 {
			if c.Add([]float64{shift}) >= 1 {
				return n + 1
			}
		}
		return 0
	}
	if up, both := alarm(true, 2), alarm(false, 2); up != both || up == 0 {
		t.Errorf("after %d steps, a two-sided chart after %d", up, both)
	}
	if down, both := alarm(true, -2), alarm(false, -2); down != 0 || both == 0 {
		t.Errorf("values that fall: after %d steps, a two-sided chart after %d", down, both)
	}
}
