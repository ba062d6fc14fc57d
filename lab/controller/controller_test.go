package controller_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/controller"
	"github.com/meshbench/meshbench/lab/lease"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
)

// world is the virtual testbed of the paper's mesh, with what may go wrong, by
// step.
type world struct {
	*virtual.Testbed
	slowed *virtual.Testbed // the same mesh with a node at a third of its speed
	step   int
	slow   func(step int) bool
	cut    func(step int) bool // measurements do not come
	blind  func(step int) bool // they come empty
	hang   func(step int) bool // they do not end
	mark   func(step int) string
	asked  []mesh.Action
}

func newWorld(t *testing.T) *world {
	t.Helper()
	bed := func(s scenario.Scenario) *virtual.Testbed {
		b, err := virtual.New(virtual.Config{Scenario: s})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	s := scenario.Paper()
	w := &world{Testbed: bed(s)}
	s.Mesh.Nodes = slices.Clone(s.Mesh.Nodes)
	s.Mesh.Nodes[0].Speed = 1. / 3
	w.slowed = bed(s)
	return w
}

func (w *world) Measure(ctx context.Context, l mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	step := w.step
	w.step++
	w.asked = append(w.asked, a.Clone())
	at := func(f func(int) bool) bool { return f != nil && f(step) }
	switch {
	case at(w.cut):
		return mesh.Measurement{}, errors.New("connection refused")
	case at(w.hang):
		<-ctx.Done()
		return mesh.Measurement{}, ctx.Err()
	case at(w.blind):
		w.Testbed.Measure(ctx, l, a)
		return mesh.NewMeasurement(w.Space().Layout()), nil
	case at(w.slow):
		return w.slowed.Measure(ctx, l, a)
	}
	x, err := w.Testbed.Measure(ctx, l, a)
	if w.mark != nil {
		x.Mark = w.mark(step)
	}
	return x, err
}

// Applied is what was asked for last, of whichever mesh.
func (w *world) Applied() mesh.Action { return w.asked[len(w.asked)-1] }

// between is a stretch of steps.
func between(from, to int) func(int) bool {
	return func(step int) bool { return step >= from && step < to }
}

var (
	paper  = scenario.Paper()
	space  = paper.MustSpace()
	names  = paper.Mesh.ServiceNames()
	apart  = policy.Static{Label: "apart", Action: mesh.Action{1, 0, 0, 1, 0, 0}} // a node for each service
	evenly = policy.Static{Label: "evenly", Action: mesh.Action{.6, .4, .4, .6, 0, 0}}
)

// config drives the world by a node for each service, at a load that suits that,
// and falls back on an even spread.
func config(w *world) controller.Config {
	l := load.Constant{Load: mesh.Load{10, 5}}
	return controller.Config{
		Mesh:   &controller.Offered{System: w, Pattern: l, Seed: 1},
		Policy: apart, Fallback: evenly, Return: 10,
		Names: controller.Names{Title: "a test", Testbed: "virtual", Services: names, Goals: []float64{.06, .2}},
	}
}

// drive makes so many steps.
func drive(t *testing.T, cfg controller.Config, steps int) (*controller.Controller, []controller.Entry) {
	t.Helper()
	var all []controller.Entry
	cfg.Steps, cfg.Pause = steps, time.Nanosecond
	cfg.OnStep = func(e controller.Entry) { all = append(all, e) }
	c, err := controller.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Lead(true, "")
	if err := c.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	return c, all
}

// switches are "step to", with what each says.
func switches(c *controller.Controller) (out []string) {
	for _, s := range c.Status().Switches {
		out = append(out, fmt.Sprintf("%d %s", s.Step, s.To))
	}
	return out
}

func wantSwitches(t *testing.T, c *controller.Controller, want ...string) {
	t.Helper()
	if got := switches(c); !slices.Equal(got, want) {
		t.Errorf("switches %q, want %q; %+v", got, want, c.Status().Switches)
	}
}

// Who was in charge is what was in force.
func wantInForce(t *testing.T, all []controller.Entry) {
	t.Helper()
	for _, e := range all {
		want := map[string]mesh.Action{controller.ByPolicy: apart.Action, controller.ByFallback: evenly.Action}[e.Charge]
		if e.InForce != nil && !slices.Equal(e.InForce, want) {
			t.Errorf("step %d: %v in force, %s in charge", e.Step, e.InForce, e.Charge)
		}
	}
}

// A mesh that is well is the policy's from when a step was measured.
func TestUndisturbed(t *testing.T) {
	cfg := config(newWorld(t))
	cfg.Checks = []controller.Check{&controller.Missing{}, &controller.Missed{Goals: cfg.Names.Goals}, &controller.Outside{Loads: paper.Loads, Seconds: 5}}
	c, all := drive(t, cfg, 100)
	wantSwitches(t, c, "1 policy")
	wantInForce(t, all)
	if s := c.Status(); s.Steps[controller.ByPolicy] != 99 || s.Steps[controller.ByFallback] != 1 || s.Changes != 1 {
		t.Errorf("steps %v, %d changes", s.Steps, s.Changes)
	}
}

// A node gets slow: the model is no longer right.
func TestDrift(t *testing.T) {
	w := newWorld(t)
	w.slow = between(120, 160)
	m, err := model.NewQueueing(paper)
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(w)
	cfg.Checks = []controller.Check{&controller.Drift{Model: m}}
	c, all := drive(t, cfg, 260)
	s := c.Status().Switches
	if len(s) < 3 || s[1].To != controller.ByFallback || s[1].Step < 121 || s[1].Step > 130 || !strings.Contains(s[1].Why, "drift: the mesh is slower than the model says") {
		t.Fatalf("switches %+v; want to the fallback within 10 steps from 120 on", s)
	}
	last := s[len(s)-1]
	if last.To != controller.ByPolicy || last.Step <= 160 {
		t.Errorf("the last switch is %+v; want back to the policy once the node is well", last)
	}
	wantInForce(t, all)
}

// Steps are not measured: the second in a row takes the policy out of charge, ten
// that are bring it back.
func TestMissing(t *testing.T) {
	for name, disturb := range map[string]func(w *world){
		"cut":   func(w *world) { w.cut = between(20, 25) },
		"empty": func(w *world) { w.blind = between(20, 25) },
		"hangs": func(w *world) { w.hang = between(20, 25) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			disturb(w)
			cfg := config(w)
			cfg.Checks, cfg.Timeout = []controller.Check{&controller.Missing{}}, 50*time.Millisecond
			if name != "hangs" {
				cfg.Timeout = 0
			}
			c, all := drive(t, cfg, 60)
			wantSwitches(t, c, "1 policy", "22 fallback", "35 policy")
			wantInForce(t, all)
			for k := 22; k < 35; k++ { // also when it cannot be measured
				if !slices.Equal(w.asked[k], evenly.Action) {
					t.Errorf("step %d: asked for %v", k, w.asked[k])
				}
			}
		})
	}
	w := newWorld(t)
	w.cut = func(step int) bool { return step == 20 || step == 30 } // one at a time
	cfg := config(w)
	cfg.Checks = []controller.Check{&controller.Missing{}}
	c, _ := drive(t, cfg, 60)
	wantSwitches(t, c, "1 policy")
}

// Marks say, among others, that an action was not put into force.
func TestDisturbed(t *testing.T) {
	w := newWorld(t)
	w.mark = func(step int) string {
		if step >= 20 && step < 30 {
			return "not applied: the API server is away"
		}
		return ""
	}
	cfg := config(w)
	cfg.Checks = []controller.Check{&controller.Missing{}}
	c, _ := drive(t, cfg, 60)
	wantSwitches(t, c, "1 policy", "25 fallback", "40 policy")
	if why := c.Status().Switches[1].Why; !strings.Contains(why, "disturbed for 5 steps: not applied: the API server is away") {
		t.Error(why)
	}
}

// A policy that misses a goal for long gets another try later, and later.
func TestMissed(t *testing.T) {
	w := newWorld(t)
	cfg := config(w)
	cfg.Mesh = &controller.Offered{System: w, Pattern: load.Constant{Load: mesh.Load{20, 14.5}}, Seed: 1} // too much for a node of service 2's
	cfg.Checks = []controller.Check{&controller.Missed{Goals: []float64{math.NaN(), .2}, Names: names, Steps: 5}}
	c, _ := drive(t, cfg, 120)
	s := c.Status().Switches
	if len(s) < 5 {
		t.Fatalf("switches %v", switches(c))
	}
	first, second := s[2].Step-s[1].Step, s[4].Step-s[3].Step
	if !strings.HasPrefix(s[1].Why, "goals: service2 misses its goal of 200 ms for 5 steps") || first != 10 || second != 20 {
		t.Errorf("%q; back after %d, then after %d steps; want 10 and 20", s[1].Why, first, second)
	}
}

// A load that the policy was not trained for.
func TestOutside(t *testing.T) {
	surge := pattern(func(step int) mesh.Load {
		if step >= 20 && step < 30 {
			return mesh.Load{45, 5}
		}
		return mesh.Load{10, 5}
	})
	for _, announced := range []bool{false, true} {
		w := newWorld(t)
		cfg := config(w)
		cfg.Mesh = &controller.Offered{System: w, Pattern: surge, Seed: 1, Announced: announced}
		check := &controller.Outside{Loads: paper.Loads, Names: names, Seconds: 5}
		first := "21 fallback" // when it was counted
		back := "40 policy"
		if announced {
			check.Seconds, first, back = 0, "20 fallback", "39 policy"
		}
		cfg.Checks = []controller.Check{check}
		c, _ := drive(t, cfg, 60)
		wantSwitches(t, c, "1 policy", first, back)
		if why := c.Status().Switches[1].Why; !strings.Contains(why, "requests/s; the policy was trained for 5 to 20") {
			t.Error(why)
		}
	}
}

type pattern func(step int) mesh.Load

func (p pattern) Name() string { return "test" }

func (p pattern) At(dst mesh.Load, _ uint64, t int) mesh.Load { return append(dst[:0], p(t)...) }

// In shadow mode nothing is changed, and the policy is compared.
func TestShadow(t *testing.T) {
	w := newWorld(t)
	cfg := config(w)
	cfg.Shadow = true
	cfg.Value = func(_ mesh.Load, a mesh.Action) (float64, error) { return a[0], nil }
	c, all := drive(t, cfg, 20)
	start := space.Action(nil, space.Nearest(space.Default()))
	for _, e := range all {
		if e.Asked != nil || !slices.Equal(e.InForce, start) || e.Charge != controller.ByOthers {
			t.Fatalf("step %d: asked for %v, %v in force", e.Step, e.Asked, e.InForce)
		}
	}
	s := c.Status()
	if s.Compared != 19 || s.Agreed != 0 || s.Valued != 19 || float64(s.Would) != 19 || math.Abs(float64(s.Worth)-19*start[0]) > 1e-9 {
		t.Errorf("%d compared, %d agreed; %d valued at %v, would be %v", s.Compared, s.Agreed, s.Valued, s.Worth, s.Would)
	}
}

func TestLimit(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit controller.Limit
		first int // step in which p11 = 1 is in force
	}{
		{"none", controller.Limit{}, 1},
		{"a fifth of the way", controller.Limit{Move: .2}, 2},
		{"now and then", controller.Limit{Move: .2, Every: 5}, 7},
	} {
		cfg := config(newWorld(t))
		cfg.Limit = tt.limit
		c, all := drive(t, cfg, 20)
		first := slices.IndexFunc(all, func(e controller.Entry) bool { return e.InForce[0] == 1 })
		if first != tt.first || c.Status().Limited != tt.first-1 {
			t.Errorf("%s: there in step %d after %d limited steps, want %d", tt.name, first, c.Status().Limited, tt.first)
		}
		for k := 1; k < len(all); k++ {
			if d := math.Abs(all[k].InForce[0] - all[k-1].InForce[0]); tt.limit.Move > 0 && d > tt.limit.Move+1e-9 {
				t.Errorf("%s: step %d moves by %v", tt.name, k, d)
			}
		}
	}
}

// The fallback is in force at once, whatever the limits.
func TestFallbackIsNotLimited(t *testing.T) {
	w := newWorld(t)
	w.blind = between(10, 12)
	cfg := config(w)
	cfg.Limit, cfg.Checks = controller.Limit{Move: .2, Every: 100}, []controller.Check{&controller.Missing{}}
	drive(t, cfg, 20)
	if !slices.Equal(w.asked[12], evenly.Action) {
		t.Errorf("step 12: asked for %v", w.asked[12])
	}
}

// An interrupted run ends without an error, and a failing one with the last.
func TestEnds(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(context.Background())
	w.hang = func(step int) bool {
		if step == 7 {
			cancel()
		}
		return step == 7
	}
	c, err := controller.New(config(w))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(ctx); err != nil || c.Status().Step != 7 {
		t.Errorf("%v after %d steps", err, c.Status().Step)
	}
	w = newWorld(t)
	w.cut = func(step int) bool { return step > 3 }
	cfg := config(w)
	cfg.Failures, cfg.Pause = 5, time.Nanosecond
	if c, err = controller.New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "5 steps in a row failed: connection refused") {
		t.Error(err)
	}
}

// Of two replicas one drives the mesh; when it ends, the other goes on.
func TestReplicas(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "lock")
	ctx, kill := context.WithCancel(context.Background())
	waits := make(chan bool, 1)
	var first, second []controller.Entry
	var driving atomic.Int32
	replica := func(ctx context.Context, steps int, all *[]controller.Entry, after func(int), waiting func()) error {
		cfg := config(w)
		cfg.Steps = steps
		cfg.OnStep = func(e controller.Entry) {
			*all = append(*all, e)
			after(len(*all))
		}
		c, err := controller.New(cfg)
		if err != nil {
			return err
		}
		l := lease.File{Path: path, Wait: true, Waiting: func(owner string) {
			c.Lead(false, owner)
			waiting()
		}}
		return l.Hold(ctx, func(ctx context.Context) error {
			if n := driving.Add(1); n != 1 {
				t.Errorf("%d drive", n)
			}
			defer driving.Add(-1)
			return c.Run(ctx)
		})
	}
	over := make(chan error)
	err := replica(ctx, 0, &first, func(n int) {
		switch n {
		case 5:
			go func() {
				over <- replica(context.Background(), 20, &second, func(int) {}, func() { waits <- true })
			}()
			<-waits
		case 10:
			kill()
		}
	}, func() {})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	if len(first) != 10 || len(second) != 20 || w.step != 30 {
		t.Errorf("%d and %d steps of %d", len(first), len(second), w.step)
	}
}

// What a person and a program read.
func TestHandler(t *testing.T) {
	w := newWorld(t)
	w.cut = between(20, 25)
	cfg := config(w)
	cfg.Checks = []controller.Check{&controller.Missing{}, &controller.Outside{Loads: paper.Loads, Names: names, Seconds: 5}}
	c, _ := drive(t, cfg, 26)
	h := c.Handler()
	get := func(path string) string {
		r := httptest.NewRecorder()
		h.ServeHTTP(r, httptest.NewRequest("GET", path, nil))
		if r.Code != 200 {
			t.Fatalf("%s: %d %s", path, r.Code, r.Body)
		}
		b, _ := io.ReadAll(r.Body)
		return string(b)
	}
	for _, want := range []string{"The fallback is in charge", "not measured for 5 steps: connection refused", "comes back after 10 steps without an objection; so far 1", "service2"} {
		if !strings.Contains(get("/"), want) {
			t.Errorf("the page is without %q", want)
		}
	}
	for _, want := range []string{"meshbench_run_leader 1", "meshbench_run_policy_in_charge 0", `meshbench_run_steps_total{charge="policy"} 21`, "meshbench_run_failed_steps_total 5",
		`meshbench_run_switches_total{to="fallback"} 1`, `meshbench_run_delay_seconds{service="service1"} 0.0`} {
		if !strings.Contains(get("/metrics"), want) {
			t.Errorf("metrics are without %q:\n%s", want, get("/metrics"))
		}
	}
	var s controller.Status
	if err := json.Unmarshal([]byte(get("/status.json")), &s); err != nil || s.Step != 26 || s.Charge != controller.ByFallback {
		t.Errorf("status %+v, %v", s, err)
	}
	if !strings.HasPrefix(get("/chart.svg"), "<") {
		t.Error("no chart")
	}
	c.Lead(false, "another")
	if !strings.Contains(get("/"), "Another process drives the mesh: another") {
		t.Error("the page does not say who drives")
	}
}

// Policies see what they are told of the load: what was counted, or the load to
// come, and the loads before.
func TestOffered(t *testing.T) {
	p := pattern(func(step int) mesh.Load { return mesh.Load{float64(step + 5), 5} })
	for _, announced := range []bool{false, true} {
		o := &controller.Offered{System: newWorld(t), Pattern: p, Announced: announced, Past: 2}
		s := o.First()
		if announced != (s.Load != nil) || s.Last != nil {
			t.Errorf("before the first step: %+v", s)
		}
		var seen controller.Seen
		for range 4 {
			var err error
			if seen, err = o.Step(context.Background(), apart.Action); err != nil {
				t.Fatal(err)
			}
		}
		s = seen.Next
		if announced && (s.Load[0] != 9 || s.Past[0][0] != 8 || s.Past[1][0] != 7) {
			t.Errorf("announced: load %v, past %v", s.Load, s.Past)
		}
		if !announced && (s.Load[0] != seen.Measurement.Generated[0] || len(s.Past) != 2) {
			t.Errorf("counted: load %v, past %v", s.Load, s.Past)
		}
	}
}

// observer notes what it is told.
type observer struct {
	policy.Static
	seen []control.Step
}

func (o *observer) Observe(s control.Step) {
	s.Action = s.Action.Clone()
	o.seen = append(o.seen, s)
}

// A policy that adapts is told of every step that was measured.
func TestObserver(t *testing.T) {
	w := newWorld(t)
	w.cut = between(5, 7)
	cfg := config(w)
	o := &observer{Static: apart}
	cfg.Policy, cfg.Checks = o, []controller.Check{&controller.Missing{}}
	drive(t, cfg, 12)
	var steps []int
	for _, s := range o.seen {
		steps = append(steps, s.T)
		if want := w.asked[s.T]; !slices.Equal(s.Action, want) || !slices.Equal(s.Asked, want) || s.Next.Load == nil || !math.IsNaN(s.Reward) {
			t.Errorf("step %d: %+v", s.T, s)
		}
	}
	if !slices.Equal(steps, []int{0, 1, 2, 3, 4, 7, 8, 9, 10, 11}) {
		t.Errorf("told of steps %v", steps)
	}
}

func TestRefused(t *testing.T) {
	cfg := config(newWorld(t))
	cfg.Limit.Move = 2
	if _, err := controller.New(cfg); err == nil || !strings.Contains(err.Error(), "accepted: a share from 0 to 1") {
		t.Error(err)
	}
	if _, err := controller.New(controller.Config{}); err == nil {
		t.Error("no mesh is accepted")
	}
}

var _ control.System = (*world)(nil)

// wrong is a policy of another mesh, or one that has gone wrong: it decides what is
// no action here.
type wrong struct{ mesh.Action }

func (wrong) Name() string                          { return "wrong" }
func (wrong) Reset(uint64)                          {}
func (w wrong) Act(mesh.State) (mesh.Action, error) { return w.Action, nil }

// What is no action is not asked for: the fallback is in charge, and the log says
// why.
func TestWrongAction(t *testing.T) {
	for _, a := range []mesh.Action{nil, {1, 0}, {1, 0, 0, 1, math.NaN(), 0}, {1, 0, 0, 1, 0, 7}} {
		w := newWorld(t)
		cfg := config(w)
		cfg.Policy = wrong{a}
		_, all := drive(t, cfg, 5)
		for _, e := range all {
			if e.Charge != controller.ByFallback || e.Decided != nil || e.Step > 0 && !strings.Contains(e.Error, "action") {
				t.Errorf("%v: step %d by the %s, decided %v, error %q", a, e.Step, e.Charge, e.Decided, e.Error)
			}
			if _, err := json.Marshal(e); err != nil {
				t.Error(err)
			}
		}
		wantInForce(t, all)
	}
}
