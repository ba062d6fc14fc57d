package autoscaler_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/meshbench/meshbench/lab/autoscaler"
	"github.com/meshbench/meshbench/lab/mesh"
)

func TestProbability(t *testing.T) {
	type rule = autoscaler.AdmissionRule
	for _, c := range []struct {
		rule         rule
		n, successes float64
		want         float64
	}{
		{rule{}, 0, 0, 0},
		{rule{}, 100, 100, 0},
		{rule{}, 100, 95, 0},                      // as many as are to succeed
		{rule{}, 100, 76, 20. / 101},              // 76 / .95 = 80
		{rule{Threshold: .5}, 100, 40, 20. / 101}, // 40 / .5 = 80
		{rule{Threshold: .5, Aggression: 2}, 100, 40, math.Sqrt(20. / 101)}, // .445
		{rule{}, 1, 0, .5},
		{rule{}, 1000, 0, .8},
		{rule{Most: .95}, 1000, 0, .95},
		{rule{Most: 1}, 999, 0, .999},
	} {
		if got := c.rule.Probability(c.n, c.successes); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%+v of %v, %v successes: %v, want %v", c.rule, c.n, c.successes, got, c.want)
		}
	}
}

// state is what is seen k steps of 5 s into a run, after a step in which so many
// requests were answered and failed.
func state(s *mesh.Space, k int, load, answered, failed float64) mesh.State {
	x := mesh.NewMeasurement(s.Layout())
	x.Service[0] = mesh.Delay{Count: answered, Mean: .1, P50: nan, P95: nan, P99: nan}
	x.Carried[0], x.Failed[0] = (answered+failed)/5, failed
	return mesh.State{Load: mesh.Load{load}, Time: float64(5 * k), Last: &x, InForce: s.Default()}
}

// Requests of the last 30 s count, those before do not.
func TestAdmission(t *testing.T) {
	s := space(t, mesh.New(1, 1), mesh.Knob{Kind: mesh.Block, Levels: 11})
	p := &autoscaler.Admission{Space: s, Rule: autoscaler.AdmissionRule{Threshold: .8}}
	for range 2 { // the same again after Reset
		p.Reset(1)
		var got []float64
		for k := range 12 {
			st := state(s, k, 20, 100, 0)
			if k == 0 {
				st.Last, st.InForce = nil, nil
			}
			if k >= 2 && k < 6 {
				st = state(s, k, 20, 20, 80) // 20 % succeed
			}
			a, err := p.Act(st)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, a[0])
		}
		// 120 of 200 succeed at k = 2: (200 - 150) / 201 = .25; then 140 of 300, 160 of
		// 400, 180 of 500 and 280 of 600, from which the first leave at k = 7, and the
		// bad ones one by one from k = 8 on: 360, 440, 520 of 600.
		want := "[0 0 0.2 0.4 0.5 0.5 0.4 0.4 0.2 0.1 0 0]"
		if fmt.Sprint(got) != want {
			t.Errorf("blocked %v, want %s", got, want)
		}
	}
	// Below the rate nothing is rejected, and never more than Most.
	p = &autoscaler.Admission{Space: s, Rule: autoscaler.AdmissionRule{MinRate: 5}}
	for failed, want := range map[float64]float64{150: 0, 151: .8} {
		p.Reset(1)
		if a, err := p.Act(state(s, 1, 20, 0, failed)); err != nil || a[0] != want {
			t.Errorf("%v failed: %v (%v), want %v", failed, a, err, want)
		}
	}
}

// Requests that take longer than the deadline are failures.
func TestDeadline(t *testing.T) {
	s := space(t, mesh.New(1, 1), mesh.Knob{Kind: mesh.Block, Levels: 1001})
	quantiles := mesh.Delay{Count: 1000, Mean: .1, P50: .1, P95: .2, P99: .4}
	for _, c := range []struct {
		name     string
		d        mesh.Delay
		deadline float64
		late     float64
	}{
		{"exponential", mesh.Delay{Count: 1000, Mean: .1, P50: nan, P95: nan, P99: nan}, .1, math.Exp(-1)},
		{"the median", quantiles, .1, .5},
		{"the 95th percentile", quantiles, .2, .05},
		{"between them", quantiles, .15, math.Sqrt(.5 * .05)},
		{"below the median", quantiles, .05, math.Sqrt(.5)},
		{"above the 99th", quantiles, .6, .01 / 5}, // as from 95 to 99 %
		{"no reply", mesh.NoDelay(), .1, 0},
	} {
		p := &autoscaler.Admission{Space: s, Rule: autoscaler.AdmissionRule{Threshold: 1, Most: 1}, Deadline: []float64{c.deadline}}
		x := mesh.NewMeasurement(s.Layout())
		x.Service[0], x.Carried[0] = c.d, 200
		a, err := p.Act(mesh.State{Load: mesh.Load{1}, Time: 5, Last: &x, InForce: s.Default()})
		if want := c.late * 1000 / 1001; err != nil || math.Abs(a[0]-want) > .0006 {
			t.Errorf("%s: blocked %v (%v), want %v", c.name, a, err, want)
		}
	}
}

func TestGradient(t *testing.T) {
	type rule = autoscaler.Gradient
	for _, c := range []struct {
		rule            rule
		limit, min, rtt float64
		want            float64
	}{
		{rule{}, 16, .1, .125, 20},         // gradient 1: 16 + 4
		{rule{}, 32, .1, .25, 20},          // 1/2: 16 + 4
		{rule{}, 32, .1, 9, 20},            // not below 1/2
		{rule{}, 8, .1, .0625, 20},         // 2: 16 + 4
		{rule{}, 8, .1, .001, 20},          // not above 2
		{rule{Buffer: -1}, 18, .1, .1, 22}, // 18 + 4.24
		{rule{Buffer: 1}, 18, .1, .2, 22},  // 18 + 4.24
		{rule{}, 3, .1, 9, 3},              // 1.5 + 1.2
		{rule{Least: 5}, 3, .1, 9, 5},
		{rule{}, 990, .1, .125, 1000},
		{rule{Most: 50}, 49, .1, .125, 50},
	} {
		if got := c.rule.Next(c.limit, c.min, c.rtt); got != c.want {
			t.Errorf("%+v: %v after %v at %v of %v, want %v", c.rule, got, c.limit, c.rtt, c.min, c.want)
		}
	}
}

// The limit by the controller, and what is blocked for it: 1 - limit / (load x
// response time).
func TestConcurrency(t *testing.T) {
	s := space(t, mesh.New(1, 1), mesh.Knob{Kind: mesh.Block, Levels: 1001})
	p := &autoscaler.Concurrency{Space: s, Jitter: -1}
	act := func(k int, load, mean, median float64) float64 {
		t.Helper()
		st := state(s, k, load, 100, 0)
		st.Last.Service[0].Mean, st.Last.Service[0].P50 = mean, median
		if k == 0 {
			st.Last = nil
		}
		a, err := p.Act(st)
		if err != nil {
			t.Fatal(err)
		}
		return a[0]
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > .0006 {
			t.Errorf("%s: blocked %v, want %v", what, got, want)
		}
	}
	for range 2 {
		p.Reset(1)
		near("before any reply", act(0, 100, nan, nan), 0)
		near("minRTT .1 s, limit 3", act(1, 100, .1, nan), .7)
		near("at minRTT 3 x 1.25 + 1.9", act(2, 100, .1, nan), .5)      // 5
		near("on the way up", act(3, 100, .1, nan), .2)                 // 8: 6.25 + 2.5
		near("slow", act(4, 100, .5, nan), 1-6./50)                     // 4 + 2
		near("a median counts before the mean", act(5, 100, 9, .1), .0) // 7.5 + 2.7 = 10
		near("no reply, the same again", act(6, 200, nan, nan), .5)     // 10 of 20
		near("the limit is enough", act(7, 10, .1, nan), 0)
		// Every 60 s a step at the lowest limit: from 5 s on.
		for k := 8; k < 13; k++ {
			act(k, 100, .1, nan)
		}
		near("a measurement", act(13, 100, .1, nan), .7)
		before := act(14, 100, .4, nan) // minRTT is .4 now, and the limit as before
		act(15, 100, .4, nan)
		if after := act(16, 100, .4, nan); !(after <= before) {
			t.Errorf("at the new minRTT %v is blocked after %v", after, before)
		}
	}
	p = &autoscaler.Concurrency{Space: s, Interval: -1}
	p.Reset(1)
	act(0, 100, nan, nan)
	near("the first is the least", act(1, 100, .2, nan), 1-5./20)
	near("a lower one", act(2, 100, .1, nan), 1-8./10)   // 6.25 + 2.5
	near("against which", act(3, 100, .2, nan), 1-7./20) // 5 + 2.2
	// Never everything, whatever the limit.
	p = &autoscaler.Concurrency{Space: space(t, mesh.New(1, 1), mesh.Knob{Kind: mesh.Block, Levels: 3})}
	p.Reset(1)
	act(0, 1e4, 9, nan)
	near("very much", act(1, 1e4, 9, nan), .5)
}

// Measurements of services are apart, by the run's seed.
func TestConcurrencyJitter(t *testing.T) {
	s := space(t, mesh.New(2, 1), mesh.Knob{Kind: mesh.Block, Levels: 1001})
	p := &autoscaler.Concurrency{Space: s, Jitter: 1}
	probes := func(seed uint64) (list [2][]int) {
		p.Reset(seed)
		for k := range 60 {
			x := mesh.NewMeasurement(s.Layout())
			x.Service[0].Mean, x.Service[1].Mean = .1, .1
			a, err := p.Act(mesh.State{Load: mesh.Load{100, 100}, Time: float64(5 * k), Last: &x, InForce: s.Default()})
			if err != nil {
				t.Fatal(err)
			}
			for i := range list {
				if k > 10 && math.Abs(a[i]-.7) < 1e-9 { // 3 of 10
					list[i] = append(list[i], k)
				}
			}
		}
		return list
	}
	a, b := probes(1), probes(2)
	if fmt.Sprint(a) != fmt.Sprint(probes(1)) {
		t.Error("the same seed measures at other times")
	}
	if fmt.Sprint(a[0]) == fmt.Sprint(a[1]) || fmt.Sprint(a) == fmt.Sprint(b) {
		t.Errorf("services %v and %v, another seed %v", a[0], a[1], b)
	}
	for _, list := range a {
		for k := 1; k < len(list); k++ {
			if d := 5 * (list[k] - list[k-1]); d < 60 || d > 130 {
				t.Errorf("measured %d s apart, want 60 to 120 and a step", d)
			}
		}
		if len(list) < 2 {
			t.Errorf("measured in steps %v only", list)
		}
	}
}
