package testbed

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"meshbench/lab/load/httpload"
	"meshbench/lab/mesh"
	"meshbench/lab/service"
)

// Plane is how a testbed is controlled.
type Plane interface {
	// Apply puts an action into force and returns when the mesh follows it.
	Apply(ctx context.Context, a mesh.Action) error
	// Reset begins the mesh's own random draws again.
	Reset(ctx context.Context, seed uint64) error
	// Faults lists what is out of order in the mesh, a short text each.
	Faults(ctx context.Context) []string
}

// LoopConfig describes the control loop of a testbed that serves HTTP.
type LoopConfig struct {
	Name      string // of the testbed
	Mesh      mesh.Mesh
	Timing    Timing
	TimeScale float64 // that the generator has
	Plane     Plane
	Generator *httpload.Generator
	MaxLag    float64 // mean lag of the generator from which on a step is marked, s unscaled; default 0.02
}

// Loop is the control loop that testbeds share: it makes steps of a mesh that
// serves HTTP. It implements sim.System.
type Loop struct {
	cfg   LoopConfig
	step  int
	tally *Tally
}

// NewLoop returns the loop before its first step.
func NewLoop(cfg LoopConfig) *Loop {
	cfg.Timing = cfg.Timing.Defaults()
	if cfg.MaxLag == 0 {
		cfg.MaxLag = .02
	}
	return &Loop{cfg: cfg, tally: NewTally(cfg.Mesh)}
}

// Name tells which testbed it is.
func (l *Loop) Name() string { return l.cfg.Name }

// Mesh is the mesh under control.
func (l *Loop) Mesh() mesh.Mesh { return l.cfg.Mesh }

// Timing is the course of a step.
func (l *Loop) Timing() Timing { return l.cfg.Timing }

// TimeScale divides times and multiplies rates inside the testbed.
func (l *Loop) TimeScale() float64 { return l.cfg.TimeScale }

// Now is the time of day.
func (l *Loop) Now() time.Time { return time.Now().UTC() }

// Reset gives up the requests under way and begins again from seed.
func (l *Loop) Reset(ctx context.Context, seed uint64) error {
	l.step = 0
	l.cfg.Generator.Reset(seed)
	if err := l.cfg.Plane.Reset(ctx, seed); err != nil {
		return fmt.Errorf("%s: reset: %w", l.cfg.Name, err)
	}
	return nil
}

// Measure makes one step: apply, settle, measure (see Timing).
func (l *Loop) Measure(ctx context.Context, load mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	wrap := func(err error) (mesh.Measurement, error) {
		return mesh.Measurement{}, fmt.Errorf("%s: step %d: %w", l.cfg.Name, l.step, err)
	}
	if err := CheckStep(l.cfg.Mesh, load, a); err != nil {
		return wrap(err)
	}
	if err := l.cfg.Plane.Apply(ctx, a); err != nil {
		return wrap(err)
	}
	begin := time.Now()
	results, err := l.cfg.Generator.Run(ctx, httpload.Step{
		Number: l.step, Load: load, Settle: l.cfg.Timing.Settle, Seconds: l.cfg.Timing.Step})
	if err != nil {
		return wrap(err)
	}
	end := time.Now()
	l.step++
	x, marks := l.summarise(results)
	marks = append(marks, clock(begin, end)...)
	x.Mark = strings.Join(append(marks, l.cfg.Plane.Faults(ctx)...), "; ")
	return x, nil
}

// summarise counts the requests of a step and lists what disturbed it.
func (l *Loop) summarise(results []httpload.Result) (mesh.Measurement, []string) {
	l.tally.Reset()
	names := l.cfg.Mesh.NodeNames()
	failures := map[string]int{}
	lag := 0.0
	for _, r := range results {
		what := Failed
		switch {
		case r.Failure == "" && r.Status == http.StatusOK:
			what = Answered
		case r.Status == http.StatusTooManyRequests:
			what = Blocked
		case r.Failure != service.FailureQueue: // a full queue is overload, not a fault
			failures[strings.TrimSpace(r.Node+" "+r.Failure)]++
		}
		l.tally.Add(r.Service, what, slices.Index(names, r.Node), r.Delay)
		lag += r.Lag
	}
	var marks []string
	for _, f := range slices.Sorted(func(yield func(string) bool) {
		for f := range failures {
			if !yield(f) {
				return
			}
		}
	}) {
		marks = append(marks, fmt.Sprintf("%d requests failed: %s", failures[f], f))
	}
	if len(results) > 0 {
		if mean := lag / float64(len(results)); mean > l.cfg.MaxLag {
			marks = append(marks, fmt.Sprintf("generator late: %.0f ms on average", 1e3*mean))
		}
	}
	return l.tally.Measurement(l.cfg.Timing.Step), marks
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
