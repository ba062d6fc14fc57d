package autoscaler_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/autoscaler"
	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/policy"
)

var (
	_ policy.Policy = (*autoscaler.HPA)(nil)
	_ policy.Policy = (*autoscaler.Steps)(nil)
	_ policy.Policy = (*autoscaler.Lookahead)(nil)
	_ policy.Policy = (*autoscaler.Admission)(nil)
	_ policy.Policy = (*autoscaler.Concurrency)(nil)
	_ policy.Policy = (*autoscaler.Spread)(nil)
)

// plant is a mesh without chance in steps of 5 s: servers are at work for each
// request that comes to their node, as far as there are any, and what is too
// much fails.
type plant struct {
	space    *mesh.Space
	time     float64 // s that a request keeps a server busy
	progress *control.Progress
	applied  mesh.Action
	seconds  float64
}

func newPlant(space *mesh.Space, time float64) *plant {
	return &plant{space: space, time: time, progress: control.NewProgress(space)}
}

func (p *plant) Name() string                           { return "plant" }
func (p *plant) Space() *mesh.Space                     { return p.space }
func (p *plant) Elapsed() float64                       { return p.seconds }
func (p *plant) Applied() mesh.Action                   { return p.applied }
func (p *plant) InForce() (mesh.Action, []mesh.Pending) { return p.progress.InForce() }

func (p *plant) Reset(context.Context, uint64) error {
	p.progress.Reset()
	p.seconds = 0
	return nil
}

func (p *plant) Measure(_ context.Context, l mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	x := mesh.NewMeasurement(p.space.Layout())
	p.progress.Ask(a)
	now, _ := p.progress.InForce()
	p.applied = now.Clone()
	for j := range x.Busy {
		x.Busy[j] = 0
	}
	for c, call := range p.space.Layout().Calls {
		x.Carried[call.Service] = l[call.Service] * (1 - p.space.BlockOf(now, call.Service))
		for k, share := range p.space.RouteOf(now, c) {
			j := call.Nodes[k]
			x.Busy[j] += x.Carried[call.Service] * share * p.time / p.space.Mesh().Speed(j)
		}
	}
	late := 1.0
	for j := range x.Busy {
		servers := p.space.Value(now, mesh.Replicas, j, 1)
		late = max(late, x.Busy[j]/servers)
		x.Busy[j] = min(x.Busy[j], servers)
	}
	for i := range x.Service {
		x.Service[i].Mean = p.time * late
	}
	p.progress.Advance(5)
	p.seconds += 5
	return x, nil
}

func space(t testing.TB, m mesh.Mesh, knobs ...mesh.Knob) *mesh.Space {
	t.Helper()
	s, err := mesh.NewSpace(m, knobs...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run is what a policy asks for in each step of a plant.
func run(t testing.TB, p policy.Policy, s *plant, loads []mesh.Load) (asked []mesh.Action) {
	t.Helper()
	o := objective.Useful("useful", s.space.Mesh().ServiceNames(), make([]objective.Target, s.space.Mesh().M()))
	for i := range o.Targets {
		o.Targets[i].Goal = 1
	}
	env, err := control.NewEnv(s, load.NewReplay("loads", loads), o, control.Config{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	state, err := env.Reset(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	p.Reset(1)
	for range loads {
		a, err := p.Act(state)
		if err != nil {
			t.Fatalf("%s: %v", p.Name(), err)
		}
		if _, ok := s.space.ChoiceOf(nil, a); !ok {
			t.Fatalf("%s: %v is not in the space", p.Name(), a)
		}
		asked = append(asked, a.Clone())
		x, err := env.Step(ctx, a)
		if err != nil {
			t.Fatal(err)
		}
		state = x.Next
	}
	return asked
}

// column is one value of all actions, and loads that of one service.
func column(actions []mesh.Action, k int) string {
	var list []float64
	for _, a := range actions {
		list = append(list, a[k])
	}
	return strings.Trim(fmt.Sprint(list), "[]")
}

func loads(list ...float64) (out []mesh.Load) {
	for _, l := range list {
		out = append(out, mesh.Load{l})
	}
	return out
}

func held(times int, list ...float64) (out []float64) {
	for _, x := range list {
		out = append(out, all(times, x)...)
	}
	return out
}

func one(k mesh.Knob) []mesh.Knob {
	if k.Kind = mesh.Replicas; k.Up == 0 {
		k.Up = -1
	}
	return []mesh.Knob{k}
}

// Requests keep a server busy for .1 s, so that a load of 10 is 1 server.
func TestHPA(t *testing.T) {
	for _, c := range []struct {
		name  string
		knob  mesh.Knob
		p     autoscaler.HPA
		loads []float64
		want  string
	}{
		// At 15 s 1 of 1 server at work against .5: 2. At 30 s 2 of 2: 4.
		{"in every third step", mesh.Knob{Min: 1, Max: 9}, autoscaler.HPA{Target: .5}, all(10, 40), "1 1 1 2 2 2 4 4 4 8"},
		// 80 %: a ratio of 1.25 at most, of servers that are all at work.
		{"the default target", mesh.Knob{Min: 1, Max: 9}, autoscaler.HPA{}, all(10, 24), "1 1 1 2 2 2 3 3 3 3"},
		// 30 s to start: at 30 s 1 of 2 serves and 1/2 is the target.
		{"replicas that start", mesh.Knob{Min: 1, Max: 9, Up: 30}, autoscaler.HPA{Target: .5}, all(16, 40), "1 1 1 2 2 2 2 2 2 2 2 2 4 4 4 4"},
		// One serves from 35 s on and has no metric then: .3 and .5 of .5 are 1.6.
		{"a replica without a metric yet", mesh.Knob{Min: 1, Max: 9, Up: 30}, autoscaler.HPA{Target: .5,
			Rule: autoscaler.Rule{Sync: 5, Down: autoscaler.Scaling{Window: -1}}}, append(all(6, 10), all(4, 3)...), "1 2 2 2 2 2 2 2 1 1"},
		{"requests for each replica", mesh.Knob{Min: 1, Max: 9}, autoscaler.HPA{Metric: autoscaler.Requests, Target: 8}, all(7, 40), "1 1 1 5 5 5 5"},
		{"fast", mesh.Knob{Min: 1, Max: 9}, autoscaler.HPA{Metric: autoscaler.Requests, Target: 10, Rule: autoscaler.Fast()},
			held(4, 40, 10, 10), "1 4 4 4 4 4 4 4 1 1 1 1"},
		{"on the points there are", mesh.Knob{Min: 1, Max: 9, By: 4}, autoscaler.HPA{Metric: autoscaler.Requests, Target: 10}, all(7, 20), "1 1 1 5 5 5 5"},
		{"by increments", mesh.Knob{Min: 1, Max: 9, Step: 1}, autoscaler.HPA{Metric: autoscaler.Requests, Target: 8}, all(8, 40), "1 1 1 2 3 4 5 5"},
		{"not below 1", mesh.Knob{Min: 0, Max: 3}, autoscaler.HPA{Rule: autoscaler.Fast()}, held(6, 9, 0), "1 2 2 2 2 2 2 2 2 2 1 1"},
	} {
		c.p.Space = space(t, mesh.New(1, 1), one(c.knob)...)
		if got := column(run(t, &c.p, newPlant(c.p.Space, .1), loads(c.loads...)), 0); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// The metric is the mean of all steps since the decision before, and steps
// without one do not count.
func TestHPAMetric(t *testing.T) {
	s := space(t, mesh.New(1, 1), one(mesh.Knob{Min: 1, Max: 9})...)
	p := autoscaler.HPA{Space: s, Target: .5}
	for _, c := range []struct {
		busy []float64
		want float64
	}{
		{[]float64{1, .5, .3}, 2}, // .6
		{[]float64{.4, nan, .4}, 1},
		{[]float64{nan, 1, nan}, 2},
		{[]float64{nan, nan, nan}, 1},
	} {
		p.Reset(1)
		state := mesh.State{Load: mesh.Load{1}, InForce: mesh.Action{1}}
		a, err := p.Act(state)
		for k, b := range c.busy {
			x := mesh.NewMeasurement(s.Layout())
			x.Busy[0] = b
			state.Time, state.Last = float64(5*k+5), &x
			if err == nil {
				a, err = p.Act(state)
			}
		}
		if err != nil || a[0] != c.want {
			t.Errorf("busy for %v: %v (%v), want %v", c.busy, a, err, c.want)
		}
	}
}

// Each node has an autoscaler of its own, what comes to it counts, and a slower
// node gets more replicas for the same requests.
func TestHPAOfNodes(t *testing.T) {
	m := mesh.New(1, 2)
	m.Nodes[1].Speed = .5
	s := space(t, m, mesh.Knob{Kind: mesh.Route, Levels: 5}, mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 20, Up: -1})
	p := &autoscaler.HPA{Space: s, Metric: autoscaler.Requests, Target: 10, Base: policy.Static{Action: mesh.Action{.75, .25, 1, 1}}}
	asked := run(t, p, newPlant(s, .1), loads(all(10, 80)...))
	if got, want := s.Format(asked[9]), "p11=0.75 r1=6 r2=4"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	spread := &autoscaler.Spread{Space: s}
	p.Base = spread
	asked = run(t, p, newPlant(s, .1), loads(all(40, 80)...))
	if got, want := s.Format(asked[0]), "p11=0.75 r1=1 r2=1"; got != want { // 2/3 is nearest to 3/4
		t.Errorf("spread over replicas begins with %s, want %s", got, want)
	}
	last := asked[len(asked)-1]
	capacity := last[2] + last[3]/2
	if math.Abs(last[0]-last[2]/capacity) > .125 {
		t.Errorf("%s is not spread by what the nodes can do", s.Format(last))
	}
}

func TestSteps(t *testing.T) {
	for _, c := range []struct {
		name  string
		p     autoscaler.Steps
		loads []float64
		want  string
	}{
		{"thresholds", autoscaler.Steps{Metric: autoscaler.Requests, Cooldown: -1,
			Rule: autoscaler.StepRule{Thresholds: []autoscaler.Threshold{{30, 8}, {10, 3}, {20, 5}}}}, []float64{5, 10, 29, 31, 0, 0}, "1 1 3 5 8 1"},
		{"per replica", autoscaler.Steps{Metric: autoscaler.Requests, Cooldown: -1, Rule: autoscaler.StepRule{PerReplica: 5, Activation: 6}},
			[]float64{6, 7, 31, 99, 1, 1}, "1 1 2 7 9 1"},
		// 1 server at work at 5 s, 2 at 10 s, 2.4 at 15 s.
		{"servers at work", autoscaler.Steps{Rule: autoscaler.StepRule{PerReplica: .6}}, all(6, 24), "1 2 4 4 4 4"},
		{"a cooldown", autoscaler.Steps{Metric: autoscaler.Requests, Cooldown: 15, Rule: autoscaler.StepRule{PerReplica: 10}},
			[]float64{40, 20, 20, 40, 20, 10, 10, 10, 10}, "1 4 4 4 4 4 4 1 1"},
	} {
		c.p.Space = space(t, mesh.New(1, 1), one(mesh.Knob{Min: 1, Max: 9})...)
		if got := column(run(t, &c.p, newPlant(c.p.Space, .1), loads(c.loads...)), 0); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	// 300 s by default.
	p := autoscaler.Steps{Space: space(t, mesh.New(1, 1), one(mesh.Knob{Min: 1, Max: 9})...), Metric: autoscaler.Requests, Rule: autoscaler.StepRule{PerReplica: 10}}
	got := run(t, &p, newPlant(p.Space, .1), loads(append([]float64{40}, all(70, 10)...)...))
	// Up at 5 s, when the rule last asks for 4.
	if k := slices.IndexFunc(got[1:], func(a mesh.Action) bool { return a[0] < 4 }) + 1; k != 61 {
		t.Errorf("down in step %d, want 61", k)
	}
	// A metric that is missing leaves all as it is, or gives the fallback.
	x := mesh.NewMeasurement(p.Space.Layout())
	state := mesh.State{Load: mesh.Load{1}, InForce: mesh.Action{2}, Last: &x}
	for fallback, want := range map[int]float64{0: 2, 6: 6} {
		p.Reset(1)
		p.Fallback = fallback
		if a, err := p.Act(state); err != nil || a[0] != want {
			t.Errorf("fallback %d: %v (%v), want %v", fallback, a, err, want)
		}
	}
}

// Replicas are the lowest point that has them, in whatever order the points are.
func TestPoints(t *testing.T) {
	p := autoscaler.Lookahead{Space: space(t, mesh.New(1, 1), one(mesh.Knob{Points: [][]float64{{8}, {1}, {4}, {2}}})...), Time: []float64{.1}, Bound: 1}
	for load, want := range map[float64]float64{5: 1, 15: 2, 20: 2, 21: 4, 70: 8, 200: 8} {
		if a, err := p.Act(mesh.State{Load: mesh.Load{load}}); err != nil || a[0] != want {
			t.Errorf("load %v: %v (%v), want %v", load, a, err, want)
		}
	}
	// What the base turns away does not come to a node.
	p.Space = space(t, mesh.New(1, 1), mesh.Knob{Kind: mesh.Block}, mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 9, Up: -1})
	p = autoscaler.Lookahead{Space: p.Space, Time: p.Time, Bound: 1, Base: policy.Static{Action: mesh.Action{.6, 1}}}
	if a, err := p.Act(mesh.State{Load: mesh.Load{50}}); err != nil || a[0] != .6 || a[1] != 2 {
		t.Errorf("with 60 %% blocked: %v (%v), want 2 replicas", a, err)
	}
}

// Calls go where replicas serve, by their speed.
func TestSpread(t *testing.T) {
	m := mesh.New(1, 2)
	m.Nodes[1].Speed = .5
	s := space(t, m, mesh.Knob{Kind: mesh.Route, Levels: 11}, mesh.Knob{Kind: mesh.Replicas, Max: 9, Up: -1})
	p := &autoscaler.Spread{Space: s}
	for replicas, want := range map[[2]float64]float64{{1, 1}: .7, {1, 8}: .2, {2, 0}: 1, {0, 3}: 0, {0, 0}: .5} {
		a, err := p.Act(mesh.State{Load: mesh.Load{1}, InForce: mesh.Action{.5, .5, replicas[0], replicas[1]}})
		if err != nil || a[0] != want {
			t.Errorf("%v replicas: %v (%v), want %v", replicas, a, err, want)
		}
	}
}

func TestTrend(t *testing.T) {
	for _, c := range []struct {
		now  float64
		past []float64
		want float64
	}{
		{5, nil, 0},
		{5, []float64{3}, 2},
		{5, []float64{3, 1, -1}, 2},
		{5, []float64{5, 5}, 0},
		{4, []float64{1, 4}, 0},
		{10, []float64{4, 4, 0}, 3}, // slope of 0 4 4 10: (1.5 x 10 + .5 x 4 - .5 x 4) / 5
	} {
		if got := autoscaler.Trend(nil, mesh.Load{c.now}, loads(c.past...))[0]; math.Abs(got-c.want) > 1e-12 {
			t.Errorf("trend of %v after %v: %v, want %v", c.now, c.past, got, c.want)
		}
	}
}

func TestLookahead(t *testing.T) {
	ramp := func(n int, from, by float64) (list []float64) {
		for k := range n {
			list = append(list, from+by*float64(k))
		}
		return list
	}
	for _, c := range []struct {
		name  string
		up    float64
		p     autoscaler.Lookahead
		loads []float64
		want  string
	}{
		{"a steady load", 30, autoscaler.Lookahead{Bound: .5}, all(3, 20), "4 4 4"},
		{"the default bound", 30, autoscaler.Lookahead{}, all(3, 20), "3 3 3"}, // 2.86
		// From the second step on 7 steps ahead: 12 + 14, 14 + 14, ...
		{"a rising load", 30, autoscaler.Lookahead{Bound: 1}, ramp(5, 10, 2), "1 3 3 3 4"}, // 1, 2.6, 2.8, 3, 3.2
		{"one step ahead", 0, autoscaler.Lookahead{Bound: 1}, ramp(5, 10, 2), "1 2 2 2 2"}, // 1, 1.4, 1.6, 1.8, 2
		{"no window", 30, autoscaler.Lookahead{Bound: 1, Window: 1}, ramp(5, 10, 3), "1 2 2 2 3"},
		{"a falling load", 30, autoscaler.Lookahead{Bound: 1}, ramp(4, 40, -5), "4 4 3 3"},
		{"two loads", 0, autoscaler.Lookahead{Bound: 1, Window: 2}, []float64{10, 10, 10, 20, 20}, "1 1 1 3 2"},
		{"at least one", 0, autoscaler.Lookahead{}, all(2, 0), "1 1"},
	} {
		c.p.Space, c.p.Time = space(t, mesh.New(1, 1), one(mesh.Knob{Min: 1, Max: 9, Up: c.up})...), []float64{.1}
		if got := column(run(t, &c.p, newPlant(c.p.Space, .1), loads(c.loads...)), 0); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	// Loads that the state has come before those that were seen: one step ahead of
	// 10, after 20.
	p := autoscaler.Lookahead{Space: space(t, mesh.New(1, 1), one(mesh.Knob{Min: 1, Max: 9})...), Time: []float64{.1}, Bound: 1}
	if _, err := p.Act(mesh.State{Load: mesh.Load{5}}); err != nil {
		t.Fatal(err)
	}
	if a, err := p.Act(mesh.State{Load: mesh.Load{20}, Past: loads(10), Time: 5}); err != nil || a[0] != 3 {
		t.Errorf("with a past: %v (%v), want 3", a, err)
	}
}

// What a policy needs and does not have is an error that says so.
func TestErrors(t *testing.T) {
	routes, replicas := space(t, mesh.New(1, 2), mesh.Knob{Kind: mesh.Route}), space(t, mesh.New(1, 1), one(mesh.Knob{Min: 1, Max: 3})...)
	blocks := space(t, mesh.New(1, 1), mesh.Knob{Kind: mesh.Block})
	for _, c := range []struct {
		p     policy.Policy
		words string
	}{
		{&autoscaler.HPA{Space: routes}, "hpa sets knobs of kind replicas; the space has none"},
		{&autoscaler.HPA{Space: replicas, Metric: autoscaler.Requests}, "target of 0 (requests) per replica"},
		{&autoscaler.HPA{Space: replicas, Target: -1}, "target of -1 (cpu)"},
		{&autoscaler.Steps{Space: routes, Rule: autoscaler.StepRule{PerReplica: 1}}, "steps sets knobs of kind replicas"},
		{&autoscaler.Steps{Space: replicas}, "no threshold and a metric of 0 per replica"},
		{&autoscaler.Steps{Space: replicas, Rule: autoscaler.StepRule{Thresholds: []autoscaler.Threshold{{nan, 1}}}}, "1 replicas from NaN on"},
		{&autoscaler.Lookahead{Space: routes, Time: []float64{1}}, "lookahead sets knobs of kind replicas"},
		{&autoscaler.Lookahead{Space: replicas}, "0 service times for the 1 microservices"},
		{&autoscaler.Admission{Space: routes}, "admission sets knobs of kind block"},
		{&autoscaler.Admission{Space: blocks, Deadline: []float64{1, 2}}, "2 deadlines for the 1 services"},
		{&autoscaler.Concurrency{Space: routes, Label: "limit"}, "limit sets knobs of kind block"},
		{&autoscaler.HPA{Space: replicas, Base: failing{}}, "no base"},
		{&autoscaler.HPA{Space: replicas, Base: policy.Static{Action: mesh.Action{.5}}}, "not a whole number"},
	} {
		if _, err := c.p.Act(mesh.State{Load: mesh.Load{1}}); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", c.p.Name(), err, c.words)
		}
	}
}

type failing struct{ policy.Static }

func (failing) Act(mesh.State) (mesh.Action, error) { return nil, errors.New("no base") }
