package autoscaler_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/meshbench/meshbench/lab/autoscaler"
)

var nan = math.NaN()

// fleet are pods that serve with the given metrics, NaN for a missing one, and
// others that do not serve yet.
func fleet(unready int, metrics ...float64) []autoscaler.Pod {
	var list []autoscaler.Pod
	for _, m := range metrics {
		list = append(list, autoscaler.Pod{Ready: true, Metric: m})
	}
	for range unready {
		list = append(list, autoscaler.Pod{Metric: 1e9}) // which must not be looked at
	}
	return list
}

func all(n int, metric float64) []float64 {
	list := make([]float64, n)
	for k := range list {
		list[k] = metric
	}
	return list
}

// By hand, after the description of the algorithm in the Kubernetes
// documentation; the target is 50.
func TestDesired(t *testing.T) {
	type rule = autoscaler.Rule
	for _, c := range []struct {
		name    string
		rule    rule
		current int
		pods    []autoscaler.Pod
		want    int // -1 where there is nothing to go by
	}{
		{"twice the target", rule{}, 4, fleet(0, all(4, 100)...), 8},
		{"half of it", rule{}, 4, fleet(0, all(4, 25)...), 2},
		{"rounded up", rule{}, 3, fleet(0, all(3, 70)...), 5},                                 // 4.2
		{"rounded up on the way down", rule{}, 10, fleet(0, all(10, 40.5)...), 9},             // 8.1
		{"a whole number is not", rule{}, 10, fleet(0, all(10, 65)...), 13},                   // 13
		{"at the upper tolerance", rule{}, 4, fleet(0, all(4, 55)...), 4},                     // 1.1
		{"just above it", rule{}, 4, fleet(0, all(4, 55.1)...), 5},                            // 1.102: 4.408
		{"at the lower tolerance", rule{}, 10, fleet(0, all(10, 45)...), 10},                  // .9
		{"just below it", rule{}, 10, fleet(0, all(10, 44.9)...), 9},                          // .898: 8.98
		{"just below it, too few to lose one", rule{}, 4, fleet(0, all(4, 44.9)...), 4},       // 3.592
		{"a wide tolerance", rule{Tolerance: .25}, 4, fleet(0, all(4, 62)...), 4},             // 1.24
		{"above a wide one", rule{Tolerance: .25}, 4, fleet(0, all(4, 63)...), 6},             // 1.26: 5.04
		{"no tolerance", rule{Tolerance: -1}, 10, fleet(0, all(10, 51)...), 11},               // 10.2
		{"the mean of unequal pods", rule{}, 3, fleet(0, 20, 40, 90), 3},                      // 1
		{"and above the target", rule{}, 3, fleet(0, 20, 40, 180), 5},                         // 1.6: 4.8
		{"nothing to do at all", rule{}, 4, fleet(0, all(4, 0)...), 0},                        // 0
		{"starting pods count as 0 on the way up", rule{}, 5, fleet(2, all(3, 100)...), 6},    // 300/5/50 = 1.2
		{"which may be enough", rule{}, 4, fleet(2, 100, 100), 4},                             // 1
		{"or turn the direction round", rule{}, 2, fleet(1, 60), 2},                           // .6
		{"starting pods do not count on the way down", rule{}, 4, fleet(2, 20, 20), 1},        // .4 x 2
		{"nor within the tolerance", rule{}, 5, fleet(3, 52, 50), 5},                          // 1.02
		{"a missing metric is 0 on the way up", rule{}, 4, fleet(0, 100, 100, 100, nan), 6},   // 1.5
		{"which may turn the direction round", rule{}, 4, fleet(0, 60, 60, nan, nan), 4},      // .6
		{"and the target on the way down", rule{}, 4, fleet(0, 10, 10, 10, nan), 2},           // 80/4/50 = .4
		{"which may be enough to stay", rule{}, 10, fleet(0, append(all(9, nan), 25)...), 10}, // .95
		{"missing at the target", rule{}, 3, fleet(0, 50, 50, nan), 3},
		{"both on the way up", rule{}, 4, fleet(1, 150, 150, nan), 6},                      // 300/4/50 = 1.5
		{"both on the way down", rule{}, 4, fleet(1, 10, 10, nan), 2},                      // 70/3/50: 1.4
		{"fewer than asked for on the way up", rule{}, 8, fleet(0, 100, 100, 100, nan), 8}, // 6 of 8
		{"more than asked for on the way down", rule{}, 2, fleet(0, 30, 30, 30, nan), 2},   // 140/4/50 = .7: 3
		{"starting pods within the tolerance", rule{}, 3, fleet(1, 80, 80), 3},             // 160/3/50 = 1.067
		{"missing ones too", rule{}, 3, fleet(0, 80, 80, nan), 3},                          // the same
		{"turned round with fewer asked for", rule{}, 1, fleet(1, 60), 1},                  // .6
		{"no pod serves", rule{}, 3, fleet(3), -1},
		{"all metrics missing", rule{}, 3, fleet(0, nan, nan, nan), -1},
		{"no pod", rule{}, 3, nil, -1},
	} {
		got, ok := c.rule.Desired(c.current, 50, c.pods)
		if c.want < 0 && (ok || got != c.current) || c.want >= 0 && (!ok || got != c.want) {
			t.Errorf("%s: %d, %v; want %d", c.name, got, ok, c.want)
		}
	}
	// 3 x .3 / .1 is 9, though not in binary.
	if got, _ := (rule{}).Desired(3, .1, fleet(0, .3, .3, .3)); got != 9 {
		t.Errorf("%d replicas of .1 for .9", got)
	}
	if got, ok := (rule{}).Desired(3, 0, fleet(0, 1)); ok || got != 3 {
		t.Errorf("a target of 0: %d, %v", got, ok)
	}
}

// Decisions in a row, of a load that all replicas share: in units of the target
// of one, so that the load is the number that is desired.
func TestDecide(t *testing.T) {
	type rule = autoscaler.Rule
	type scaling = autoscaler.Scaling
	quick := scaling{Window: -1}
	for _, c := range []struct {
		name  string
		rule  rule
		first int
		every float64   // s
		load  []float64 // at each decision; NaN: no metric
		want  string
	}{
		{"up by 4 pods, then by 100 %", rule{}, 1, 15, []float64{99, 99, 99, 99, 99}, "[5 10 20 30 30]"},
		{"4 pods are more than 100 %", rule{}, 3, 15, []float64{99}, "[7]"},
		{"as much as is desired", rule{}, 3, 15, []float64{5}, "[5]"},
		{"once in a period", rule{}, 1, 5, []float64{99, 99, 99, 99, 99, 99, 99}, "[5 5 5 10 10 10 20]"},
		{"what came within the period counts", rule{}, 1, 5, []float64{3, 4, 9, 9, 9}, "[3 4 5 7 8]"},
		{"up by pods alone", rule{Up: scaling{Percent: -1, Pods: 2}}, 10, 15, []float64{99, 99}, "[12 14]"},
		{"up by percent alone", rule{Up: scaling{Percent: 10, Pods: -1}}, 10, 15, []float64{99, 99}, "[11 13]"},
		{"not up at all", rule{Up: scaling{Percent: -1, Pods: -1}}, 10, 15, []float64{99}, "[10]"},
		{"down at once without a window", rule{Down: quick}, 20, 15, []float64{2}, "[2]"},
		{"down after the window", rule{Down: scaling{Window: 60}}, 20, 15, []float64{2, 2, 2, 2, 2}, "[20 20 20 20 2]"},
		{"down to the highest of the window", rule{Down: scaling{Window: 60}}, 20, 15, []float64{2, 2, 8, 2, 2, 2, 2, 2}, "[20 20 20 20 8 8 2 2]"},
		{"up does not wait", rule{Down: scaling{Window: 60}}, 4, 15, []float64{2, 6, 2, 2, 2, 2}, "[4 6 6 6 6 2]"},
		{"a window on the way up", rule{Up: scaling{Window: 30}}, 4, 15, []float64{8, 8, 6, 8}, "[4 4 6 6]"},
		{"down by percent", rule{Down: scaling{Window: -1, Percent: 50}}, 9, 15, []float64{1, 1, 1}, "[4 2 1]"},
		{"down by pods in a minute", rule{Down: scaling{Window: -1, Percent: -1, Pods: 1, Period: 60}}, 8, 15, []float64{1, 1, 1, 1, 1}, "[7 7 7 7 6]"},
		{"not down at all", rule{Down: scaling{Window: -1, Percent: -1}}, 8, 15, []float64{1}, "[8]"},
		{"at most 30", rule{Down: quick}, 29, 15, []float64{58}, "[30]"},
		{"at least 1", rule{Down: quick}, 9, 15, []float64{0}, "[1]"},
		{"above the most without a metric", rule{}, 40, 15, []float64{nan}, "[30]"},
		{"below the least without a metric", rule{}, 0, 15, []float64{nan}, "[1]"},
		{"a missing metric holds", rule{Down: quick}, 8, 15, []float64{nan, 2}, "[8 2]"},
		{"within the tolerance", rule{}, 20, 15, []float64{21.9, 22.1}, "[20 23]"},
		{"fast", autoscaler.Fast(), 10, 5, []float64{2, 2, 2, 2, 2, 6, 3}, "[10 10 10 10 2 6 6]"},
	} {
		a := autoscaler.Autoscaler{Rule: c.rule}
		for range 2 { // the same again after Reset
			a.Reset()
			current, got := c.first, []int(nil)
			for k, load := range c.load {
				current = a.Decide(float64(k)*c.every, current, 1, 30, 1, fleet(0, all(current, load/float64(current))...))
				got = append(got, current)
			}
			if fmt.Sprint(got) != c.want {
				t.Errorf("%s: %v, want %s", c.name, got, c.want)
			}
		}
	}
	// The default window is 300 s, from the replicas that were found.
	var a autoscaler.Autoscaler
	for k := range 21 {
		got := a.Decide(float64(15*k), 9, 1, 30, 1, fleet(0, all(9, 1./9)...))
		if want := map[bool]int{true: 9, false: 1}[k < 20]; got != want {
			t.Errorf("%d replicas after %d s, want %d", got, 15*k, want)
		}
	}
}

func ExampleRule_Desired() {
	pods := []autoscaler.Pod{{Ready: true, Metric: .95}, {Ready: true, Metric: .85}, {Ready: false}}
	fmt.Println(autoscaler.Rule{}.Desired(3, .5, pods)) // 1.8 of three pods against .5 each
	// Output: 4 true
}
