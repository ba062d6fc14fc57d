package anr

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// CUSUM is a chart of cumulative sums (Page, Biometrika 1954) of quantities that are
// standardised, so that each is about 0 with a standard deviation of about 1 while
// nothing has changed: two-sided, unless Upward. The zero value of each field is its
// default.
type CUSUM struct {
	// Slack is the shift of each quantity that is not looked for; default 0.5.
	Slack []float64
	// Threshold is the sum of shifts beyond slack that is an alarm, of each quantity;
	// default 10, which chance reaches about once in 35,000 steps of two quantities
	// that are independent and normal (Siegmund's approximation), and more often
	// where tails are heavier. Design finds thresholds for a rate.
	Threshold []float64
	// Clip bounds a value; default 3, so that a single step is no alarm.
	Clip float64
	// Upward leaves shifts to lower values out.
	Upward bool

	up, down []float64
	since    []int // steps since either sum of a quantity was last 0
	worst    int
}

// clip is the default of CUSUM.Clip.
const clip = 3

func at(list []float64, k int, otherwise float64) float64 {
	if list == nil || list[k] == 0 {
		return otherwise
	}
	return list[k]
}

func (c *CUSUM) clip() float64 {
	if c.Clip == 0 {
		return clip
	}
	return c.Clip
}

// Reset forgets the steps so far.
func (c *CUSUM) Reset() { c.up, c.down, c.since, c.worst = nil, nil, nil, 0 }

// Onset is for how many steps, the last one included, the highest sum has been
// above 0: the change is likely to have come before them (Page 1954).
func (c *CUSUM) Onset() (steps, quantity int) {
	if c.since == nil {
		return 0, 0
	}
	return c.since[c.worst], c.worst
}

// Add takes the values of a step and returns the statistic: the highest sum of any
// quantity over its threshold, so that 1 or more is an alarm. A missing value, NaN
// or infinite, leaves the sums of its quantity as they are.
func (c *CUSUM) Add(z []float64) float64 {
	if c.up == nil {
		c.up, c.down, c.since = make([]float64, len(z)), make([]float64, len(z)), make([]int, len(z))
	}
	statistic, most := 0.0, c.clip()
	for k, v := range z {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			slack := at(c.Slack, k, .5)
			v = max(-most, min(most, v))
			c.up[k] = max(0, c.up[k]+v-slack)
			if !c.Upward {
				c.down[k] = max(0, c.down[k]-v-slack)
			}
		}
		if c.since[k]++; c.up[k] == 0 && c.down[k] == 0 {
			c.since[k] = 0
		}
		if v := max(c.up[k], c.down[k]) / at(c.Threshold, k, 10); v > statistic {
			statistic, c.worst = v, k
		}
	}
	return statistic
}

// blocks are the numbers of steps that are resampled together: one by one, which says
// how often far values meet by chance, and as long as one step leaves something to
// those after it.
var blocks = []int{1, 4, 16}

const (
	// resampled are the steps that a design is simulated for, of each length of blocks,
	// and tail the highest excursions by which the rate of rarer ones is told.
	resampled, tail = 200_000, 100
	// fewestSteps make a design.
	fewestSteps = 48
)

// Design sets Slack and Threshold of each quantity so that in so many steps without
// a change chance raises about one alarm in all, and a shift of a given size,
// shift[k] in standard deviations, is found soonest. z are steps without a change in
// their order, steps x quantities, NaN where missing. Alarms are counted in long runs
// of blocks drawn from them (moving-block bootstrap; Künsch, Annals of Statistics
// 1989), so that what a step leaves to the next, and tails as they are, count; rates
// below what such a run shows follow from the exponential tail of the sums, so that of
// some hundred steps a rate is known to a factor of several only. A
// threshold is at least that of independent normal values, and more than one step
// can reach. It fails where no quantity shows its shift.
func (c *CUSUM) Design(z [][]float64, shift []float64, steps float64) error {
	if len(z) < fewestSteps {
		return fmt.Errorf("anr: CUSUM: %d steps without a change; accepted: at least %d", len(z), fewestSteps)
	}
	n := len(z[0])
	if len(shift) != n || !(steps >= 1) {
		return fmt.Errorf("anr: CUSUM: shifts of %d quantities, an alarm in %v steps; accepted: %d, and at least 1", len(shift), steps, n)
	}
	rng := rand.New(rand.NewPCG(uint64(len(z)), 0x637573756d))
	rows := make([][]int, len(blocks)) // of z
	for k, length := range blocks {
		for len(rows[k]) < resampled {
			b := rng.IntN(len(z) - length + 1)
			for t := range length {
				rows[k] = append(rows[k], b+t)
			}
		}
	}
	c.Slack, c.Threshold = make([]float64, n), make([]float64, n)
	most, seen := c.clip(), false
	for k := range n {
		values := make([]float64, len(z))
		for t := range z {
			values[t] = z[t][k]
		}
		soonest := math.Inf(1)
		for _, slack := range []float64{.5, .75, 1, 1.25, 1.5, 2, 2.5} {
			gain := min(shift[k], most) - slack
			if gain <= 0 && c.Slack[k] > 0 {
				break
			}
			threshold := 1.01 * (most - slack)
			for _, r := range rows {
				threshold = max(threshold, c.reached(values, r, slack, 1/(steps*float64(n))))
			}
			delay := math.Inf(1)
			if gain > 0 {
				delay = math.Ceil(threshold / gain)
			}
			if delay < soonest || c.Slack[k] == 0 {
				c.Slack[k], c.Threshold[k], soonest = slack, threshold, delay
			}
		}
		seen = seen || !math.IsInf(soonest, 1)
	}
	c.Reset()
	if !seen {
		return fmt.Errorf("anr: CUSUM: shifts of %.3g standard deviations; accepted: one above the least slack, 0.5", shift)
	}
	return nil
}

// reached is what sums of the given values, in the order of rows, reach at a rate a
// step.
func (c *CUSUM) reached(values []float64, rows []int, slack, rate float64) float64 {
	var peaks []float64
	most, up, down, topUp, topDown := c.clip(), 0., 0., 0., 0.
	end := func(sum float64, top *float64) {
		if sum == 0 && *top > 0 {
			peaks = append(peaks, *top)
			*top = 0
		}
		*top = max(*top, sum)
	}
	for _, r := range rows {
		v := values[r]
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		v = max(-most, min(most, v))
		up, down = max(0, up+v-slack), max(0, down-v-slack)
		end(up, &topUp)
		end(down, &topDown)
	}
	// Of independent normal values (Siegmund 1985), either side at half of the rate.
	threshold := math.Log1p(4*slack*slack/rate)/(2*slack) - 1.166
	if len(peaks) >= tail {
		slices.Sort(peaks)
		above := peaks[len(peaks)-tail:]
		excess := 0.0
		for _, v := range above {
			excess += (v - above[0]) / tail
		}
		threshold = max(threshold, above[0]+excess*max(math.Log(tail/(rate*float64(len(rows)))), 0))
	}
	return threshold
}
