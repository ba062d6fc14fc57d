package autoscaler

import "math"

// Pod is one replica as an autoscaler sees it.
type Pod struct {
	Ready  bool    // it serves requests
	Metric float64 // in the unit of the target; NaN where it is missing. Not looked at before the pod is ready.
}

// Scaling bounds how replicas change in one direction.
type Scaling struct {
	// Window is the stabilisation window in s: up to the lowest number that was
	// recommended in it, down to the highest. Default 0 up and 300 down,
	// negative: none.
	Window float64
	// In each Period, at most Percent of the replicas that were there when it began
	// come or go, or at most Pods of them, whichever is more. Negative: not by this
	// bound. Both negative: no change in this direction. Percent has default 100;
	// Pods 4 up and none down.
	Percent float64
	Pods    int
	Period  float64 // s; default 15
}

// Rule is the algorithm of the Horizontal Pod Autoscaler, as Kubernetes
// documents it; names and defaults are those of spec.behavior of its API,
// autoscaling/v2. The zero value is the default autoscaler.
type Rule struct {
	// Tolerance is how far the ratio of metric to target may be from 1 for nothing
	// to be done. Default 0.1, negative: 0.
	Tolerance float64
	// Sync is the time in s between two decisions. Default 15.
	Sync     float64
	Up, Down Scaling
}

// Fast are the settings of an autoscaler that decides every second and
// stabilises for 20 s, for loads that change within minutes.
func Fast() Rule { return Rule{Sync: 1, Down: Scaling{Window: 20}} }

func (r Rule) sync() float64 { return or(r.Sync, 15) }

// rounding is the error of a ratio that is on an edge in decimal numbers.
const rounding = 1e-9

// maxReplicas keeps numbers of replicas within int.
const maxReplicas = 1e6

// Desired is the number of pods that the metric asks for, current x metric /
// target rounded up, without bounds on how fast; current are those that were
// asked for. Pods that are not ready are left out, and count as 0 where the
// others ask for more. A missing metric counts as 0 where the others ask for
// more and as the target where they ask for less. When that turns the direction
// round, or the ratio is within the tolerance, it is current. It reports false
// where no ready pod has a metric or the target is not above 0: then there is
// nothing to go by.
func (r Rule) Desired(current int, target float64, pods []Pod) (desired int, ok bool) {
	sum, measured, unready, missing := 0.0, 0, 0, 0
	for _, p := range pods {
		switch {
		case !p.Ready:
			unready++
		case math.IsNaN(p.Metric):
			missing++
		default:
			sum += p.Metric
			measured++
		}
	}
	if measured == 0 || !(target > 0) {
		return current, false
	}
	tolerance := positive(r.Tolerance, .1)
	ratio := sum / float64(measured) / target
	up, n := ratio > 1, measured
	if up {
		n += unready + missing
	} else if missing > 0 && ratio < 1 {
		n += missing
		sum += float64(float64(missing) * target)
	}
	again := sum / float64(n) / target
	if math.Abs(again-1) <= tolerance+rounding || up != (again > 1) {
		return current, true
	}
	desired = int(min(math.Ceil(again*float64(n)-rounding), maxReplicas))
	if up != (desired > current) && n > measured {
		return current, true // what was filled in must not turn the direction round
	}
	return desired, true
}

// Autoscaler is a Rule in time: it remembers what it recommended and how
// replicas changed.
type Autoscaler struct {
	Rule Rule

	began   bool
	at      float64 // s; the decision before
	current int     // and the replicas that it found
	recent  []recommendation
	changes []change
}

type recommendation struct {
	at       float64
	replicas int
}

type change struct {
	at float64
	by int
}

// Reset forgets what was.
func (a *Autoscaler) Reset() {
	a.began, a.recent, a.changes = false, a.recent[:0], a.changes[:0]
}

// Decide is how many pods to ask for at time now in s, of which least to most
// are accepted. The replicas that it finds at the first decision are a
// recommendation too, so that a run does not begin by scaling down.
func (a *Autoscaler) Decide(now float64, current, least, most int, target float64, pods []Pod) int {
	a.see(now, current)
	if current < least || current > most {
		return min(max(current, least), most)
	}
	desired, ok := a.Rule.Desired(current, target, pods)
	if !ok {
		return current
	}
	a.recent = append(a.recent, recommendation{now, desired})
	return min(max(a.limit(now, a.stabilise(now, current, desired)), least), most)
}

// see takes note of how replicas changed since the decision before, and forgets
// what no window and no period reaches.
func (a *Autoscaler) see(now float64, current int) {
	if !a.began {
		a.recent = append(a.recent, recommendation{now, current})
	} else if current != a.current {
		a.changes = append(a.changes, change{a.at, current - a.current})
	}
	a.began, a.at, a.current = true, now, current
	up, down := a.up(), a.down()
	window, period := max(up.Window, down.Window), max(up.Period, down.Period)
	for len(a.recent) > 0 && !within(a.recent[0].at, now, window) {
		a.recent = a.recent[1:]
	}
	for len(a.changes) > 0 && !within(a.changes[0].at, now, period) {
		a.changes = a.changes[1:]
	}
}

// within reports whether what was at a time is less than so many s ago.
func within(at, now, seconds float64) bool { return at > now-seconds+rounding }

func (a *Autoscaler) up() Scaling   { return a.Rule.Up.defaults(0, 4) }
func (a *Autoscaler) down() Scaling { return a.Rule.Down.defaults(300, -1) }

func (s Scaling) defaults(window float64, pods int) Scaling {
	return Scaling{positive(s.Window, window), or(s.Percent, 100), or(s.Pods, pods), or(s.Period, 15)}
}

// stabilise holds back what was not recommended all through the windows.
func (a *Autoscaler) stabilise(now float64, current, desired int) int {
	lowest, highest := desired, desired
	for _, r := range a.recent {
		if within(r.at, now, a.up().Window) {
			lowest = min(lowest, r.replicas)
		}
		if within(r.at, now, a.down().Window) {
			highest = max(highest, r.replicas)
		}
	}
	return min(max(current, lowest), highest)
}

// limit bounds the change within a period.
func (a *Autoscaler) limit(now float64, desired int) int {
	up, down := a.up(), a.down()
	most, start := a.current, a.start(now, up.Period)
	if up.Percent > 0 {
		most = max(most, int(math.Ceil(float64(start)*(1+up.Percent/100)-rounding)))
	}
	if up.Pods > 0 {
		most = max(most, start+up.Pods)
	}
	least, start := a.current, a.start(now, down.Period)
	if down.Percent > 0 {
		least = min(least, int(float64(float64(start)*(1-down.Percent/100))+rounding))
	}
	if down.Pods > 0 {
		least = min(least, start-down.Pods)
	}
	return min(max(desired, least), most)
}

// start is how many replicas there were when the period before now began.
func (a *Autoscaler) start(now, period float64) int {
	n := a.current
	for _, c := range a.changes {
		if within(c.at, now, period) {
			n -= c.by
		}
	}
	return n
}
