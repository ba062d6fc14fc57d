package testbed

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/load/stream"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service/cause"
)

// Plane is how a testbed is controlled.
type Plane interface {
	// Apply puts an action into force and returns when the mesh follows it.
	Apply(ctx context.Context, a mesh.Action) error
	// Reset begins the mesh's own random draws again.
	Reset(ctx context.Context, seed uint64) error
	// Faults lists what is out of order in the mesh, a short text each.
	Faults(ctx context.Context) []string
	// InForce is the action in force and what is on its way to be, as far as is
	// known without asking.
	InForce() (mesh.Action, []mesh.Pending)
}

// Meter is a Plane that knows for how long the servers of each node have worked
// so far.
type Meter interface {
	Worked(ctx context.Context) []Work
}

// Work is for how long the servers of a node have worked until some time, in real
// s; NaN where that is not known.
type Work struct {
	Seconds float64
	Until   time.Time
}

// Platform is what measures the mesh beside the client, such as Prometheus.
type Platform interface {
	// Names are those of the columns that its values are kept in.
	Names() []string
	// Measure returns the values of the time from begin to end, NaN for what is
	// missing; the error says why something is.
	Measure(ctx context.Context, begin, end time.Time) ([]float64, error)
}

// Generator offers load to a testbed: an httpload.Generator, or an
// httpload.Remote where it is in the mesh.
type Generator interface {
	Reset(ctx context.Context, seed uint64) error
	Run(ctx context.Context, step httpload.Step) ([]httpload.Result, error)
}

// LoopConfig describes the control loop of a testbed that serves HTTP.
type LoopConfig struct {
	Name      string // of the testbed
	Space     *mesh.Space
	Goals     []float64 // of the services' response times, s; nil for none
	Timing    control.Timing
	TimeScale float64 // that the generator has
	Plane     Plane
	Generator Generator
	Run       string  // what the generator's requests have in service.RunHeader; the plane tells the front; default none
	MaxLag    float64 // mean lag of the generator from which on a step is disturbed, s unscaled; default 0.005
	Repeats   int     // how often a step is made again that the generator disturbed, unless knobs are on their way; default 5, negative for never
	// Platform, if set, is asked after each step.
	Platform Platform
	// Foreign is an application that is not of this project: requests that fail
	// are what it does, not what disturbed a step. They are counted all the same.
	Foreign bool
}

// Loop is the control loop that testbeds share: it makes steps of a mesh that
// serves HTTP. It implements control.Configured and control.Clock.
type Loop struct {
	cfg      LoopConfig
	step     int
	repeated int
	began    time.Time // of the run
	applied  mesh.Action
	layout   *mesh.Layout
	nodes    []string
	tally    *Tally
	calls    []Call
	failures map[string]int
	missing  map[string]int
}

// NewLoop returns the loop before its first step.
func NewLoop(cfg LoopConfig) *Loop {
	cfg.Timing = cfg.Timing.Defaults()
	if cfg.MaxLag == 0 {
		cfg.MaxLag = .005
	}
	if cfg.Repeats == 0 {
		cfg.Repeats = 5
	}
	l := cfg.Space.Layout()
	return &Loop{cfg: cfg, layout: l, nodes: l.Mesh.NodeNames(), tally: NewTally(l, cfg.Goals), failures: map[string]int{}, missing: map[string]int{}}
}

// Name tells which testbed it is.
func (l *Loop) Name() string { return l.cfg.Name }

// Space is what can be controlled.
func (l *Loop) Space() *mesh.Space { return l.cfg.Space }

// Timing is the course of a step.
func (l *Loop) Timing() control.Timing { return l.cfg.Timing }

// TimeScale divides times and multiplies rates inside the testbed.
func (l *Loop) TimeScale() float64 { return l.cfg.TimeScale }

// Now is the time of day.
func (l *Loop) Now() time.Time { return time.Now().UTC() }

// Reset gives up the requests under way and begins again from seed.
func (l *Loop) Reset(ctx context.Context, seed uint64) error {
	l.step = 0
	if err := l.cfg.Generator.Reset(ctx, seed); err != nil {
		return fmt.Errorf("%s: reset: %w", l.cfg.Name, err)
	}
	if err := l.cfg.Plane.Reset(ctx, seed); err != nil {
		return fmt.Errorf("%s: reset: %w", l.cfg.Name, err)
	}
	l.began = time.Now()
	return nil
}

// Failures counts the requests that failed since the start by why, whatever the
// steps in which they did.
func (l *Loop) Failures() map[string]int { return maps.Clone(l.failures) }

// Platform names the columns that the platform measures, nil for none.
func (l *Loop) Platform() []string {
	if l.cfg.Platform == nil {
		return nil
	}
	return l.cfg.Platform.Names()
}

// Unmeasured counts the steps since the start in which the platform did not give
// all of its values, by why: those are missing, and the step is as sound as
// without.
func (l *Loop) Unmeasured() map[string]int { return maps.Clone(l.missing) }

// Elapsed is the time of the run in s, unscaled: what is done between two steps
// takes its time, too.
func (l *Loop) Elapsed() float64 { return time.Since(l.began).Seconds() * l.cfg.TimeScale }

// Applied is the action that was in force when the last step began.
func (l *Loop) Applied() mesh.Action { return l.applied }

// InForce is the action in force and what is on its way to be.
func (l *Loop) InForce() (mesh.Action, []mesh.Pending) { return l.cfg.Plane.InForce() }

// Repeated is the number of steps that were made again since the start.
func (l *Loop) Repeated() int { return l.repeated }

// Measure makes one step: apply, settle, measure (see Timing). When the
// generator was late on average, because the machine was busy with something
// else, the instrument failed and not the mesh: the step is made again with the
// same requests, unless knobs are on their way, and what persists is marked.
func (l *Loop) Measure(ctx context.Context, load mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	wrap := func(err error) (mesh.Measurement, error) {
		return mesh.Measurement{}, fmt.Errorf("%s: step %d: %w", l.cfg.Name, l.step, err)
	}
	if err := control.CheckStep(l.cfg.Space, load, a); err != nil {
		return wrap(err)
	}
	if err := stream.Check(load, l.cfg.Timing.Seconds()); err != nil {
		return wrap(err)
	}
	if err := l.cfg.Plane.Apply(ctx, a); err != nil {
		return wrap(err)
	}
	inForce, pending := l.cfg.Plane.InForce()
	repeats := l.cfg.Repeats
	if len(pending) > 0 { // which would be further on the second time
		repeats = 0
	}
	l.applied = append(l.applied[:0], inForce...)
	var begin, end time.Time
	var x mesh.Measurement
	var marks []string
	for try := 0; ; try++ {
		begin = time.Now()
		busy := l.meter(ctx)
		results, err := l.cfg.Generator.Run(ctx, httpload.Step{
			Number: l.step, Load: load, Settle: l.cfg.Timing.Settling(), Seconds: l.cfg.Timing.Step, Run: l.cfg.Run})
		if err != nil {
			return wrap(err)
		}
		end = time.Now()
		measured := begin.Add(time.Duration(l.cfg.Timing.Settling() / l.cfg.TimeScale * 1e9))
		until := measured.Add(time.Duration(l.cfg.Timing.Step / l.cfg.TimeScale * 1e9))
		x, marks = l.summarise(results)
		copy(x.Busy, busy())
		x.Platform = l.platform(ctx, measured, until)
		lag := meanLag(results)
		if lag <= l.cfg.MaxLag {
			break
		}
		if try >= repeats {
			marks = append(marks, fmt.Sprintf("generator late: %.0f ms on average", 1e3*lag))
			break
		}
		l.repeated++
	}
	l.step++
	marks = append(marks, clock(begin, end)...)
	x.Mark = strings.Join(append(marks, l.cfg.Plane.Faults(ctx)...), "; ")
	return x, nil
}

// meter begins to measure how many servers of each node are at work in the
// measured part of a step that begins now; what it returns waits for the result,
// nil where that is not known.
func (l *Loop) meter(ctx context.Context) func() []float64 {
	m, ok := l.cfg.Plane.(Meter)
	if !ok {
		return func() []float64 { return nil }
	}
	result := make(chan []float64, 1)
	go func() {
		var worked [2][]Work
		for k, wait := range []float64{l.cfg.Timing.Settling(), l.cfg.Timing.Step} {
			select {
			case <-ctx.Done():
				result <- nil
				return
			case <-time.After(time.Duration(wait / l.cfg.TimeScale * 1e9)):
			}
			worked[k] = m.Worked(ctx)
		}
		busy := make([]float64, len(worked[1]))
		for j, end := range worked[1] {
			begin := worked[0][j]
			busy[j] = (end.Seconds - begin.Seconds) / end.Until.Sub(begin.Until).Seconds()
			if busy[j] < 0 { // the node was started anew
				busy[j] = math.NaN()
			}
		}
		result <- busy
	}()
	return func() []float64 { return <-result }
}

// maxFailures bounds the kinds of failures in a mark; the rest is counted.
const maxFailures = 5

// summarise counts the requests of a step and lists what disturbed it.
func (l *Loop) summarise(results []httpload.Result) (mesh.Measurement, []string) {
	l.tally.Reset()
	failures := map[string]int{}
	for _, r := range results {
		what := Failed
		switch {
		case r.Failure == "":
			what = Answered
		case r.Status == http.StatusTooManyRequests && r.Failure != cause.Limited:
			what = Blocked
		default:
			why := request.Short(r.Node + " " + r.Failure)
			l.count(why)
			if r.Failure != cause.Queue && !l.cfg.Foreign { // a full queue is overload, not a fault
				failures[why]++
			}
		}
		l.tally.Add(r.Service, what, r.Delay, l.callsOf(r, what))
	}
	kinds := slices.Sorted(maps.Keys(failures))
	if len(kinds) > maxFailures {
		slices.SortStableFunc(kinds, func(a, b string) int { return failures[b] - failures[a] })
	}
	var marks []string
	rest := 0
	for k, f := range kinds {
		if k < maxFailures {
			marks = append(marks, fmt.Sprintf("%d requests failed: %s", failures[f], f))
		} else {
			rest += failures[f]
		}
	}
	if rest > 0 {
		marks = append(marks, fmt.Sprintf("%d requests failed for %d other reasons", rest, len(kinds)-maxFailures))
	}
	return l.tally.Measurement(l.cfg.Timing.Step), marks
}

// platform asks for what the platform measured.
func (l *Loop) platform(ctx context.Context, begin, end time.Time) []float64 {
	if l.cfg.Platform == nil {
		return nil
	}
	values, err := l.cfg.Platform.Measure(ctx, begin, end)
	if err != nil {
		why := err.Error()
		if _, ok := l.missing[why]; !ok && len(l.missing) >= maxKinds {
			why = "other reasons"
		}
		l.missing[why]++
	}
	return values
}

// maxKinds bounds the reasons that are counted apart.
const maxKinds = 1000

func (l *Loop) count(why string) {
	if _, ok := l.failures[why]; !ok && len(l.failures) >= maxKinds {
		why = "other reasons"
	}
	l.failures[why]++
}

// callsOf are the answered calls of a request, valid until the next call. The
// one call of a service without more takes as long as the request.
func (l *Loop) callsOf(r httpload.Result, what Outcome) []Call {
	l.calls = l.calls[:0]
	if stages := l.layout.Stages[r.Service]; len(stages) == 1 && len(stages[0]) == 1 {
		if j := slices.Index(l.nodes, r.Node); what == Answered && j >= 0 {
			l.calls = append(l.calls, Call{l.layout.Endpoint(stages[0][0], j), r.Delay})
		}
		return l.calls
	}
	for _, x := range r.Calls {
		c, j := l.layout.CallOf(r.Service, x.Microservice), slices.Index(l.nodes, x.Node)
		if c >= 0 && j >= 0 {
			l.calls = append(l.calls, Call{l.layout.Endpoint(c, j), x.Seconds})
		}
	}
	return l.calls
}

// meanLag is the time in s from when the requests were due to when they were
// sent, on average; 0 without requests.
func meanLag(results []httpload.Result) float64 {
	sum := 0.0
	for _, r := range results {
		sum += r.Lag
	}
	return sum / max(1, float64(len(results)))
}

// maxDrift is how far the wall clock may move against the monotonic one within
// a step.
const maxDrift = 20 * time.Millisecond

// clock reports a wall clock that was set during a step: start times are then
// no measure of its length.
func clock(begin, end time.Time) []string {
	drift := end.Round(0).Sub(begin.Round(0)) - end.Sub(begin)
	if math.Abs(float64(drift)) <= float64(maxDrift) {
		return nil
	}
	return []string{fmt.Sprintf("clock set by %.3f s", drift.Seconds())}
}
