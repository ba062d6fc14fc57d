package istio

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/controller"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service"
)

// versions are those of all that a run may write.
func (w *world) versions() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]string{}
	for name, vs := range w.objects {
		out[name] = vs.GetResourceVersion()
	}
	return out
}

// blocked is what the front turns away.
func (w *world) blocked(t *testing.T) map[string]float64 {
	t.Helper()
	c := service.Controller{URL: w.front.URL, Token: "sesame"}
	s, err := c.Get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s.Block
}

// set by others: 70 % of service 1 to node 1, 20 % of service 2 blocked.
func (w *world) others(t *testing.T) mesh.Action {
	t.Helper()
	w.route(t, "service1", 70, 30)
	space := w.scenario.MustSpace()
	a := action(.5, .5, 0, .2)
	c := service.Controller{URL: w.front.URL, Token: "sesame", Space: space}
	if err := c.Apply(context.Background(), a, nil); err != nil {
		t.Fatal(err)
	}
	return mesh.Action{.7, .3, .5, .5, 0, .2}
}

func driven(w *world, bed *Testbed, shadow bool) controller.Config {
	return controller.Config{
		Mesh:   &controller.Offered{System: bed, Pattern: load.Constant{Load: mesh.Load{8, 8}}, Seed: 1},
		Policy: policy.Static{Action: action(.8, .2, 0, 0)}, Fallback: policy.Static{Action: action(.6, .4, 0, .2)},
		Checks: []controller.Check{&controller.Missing{Disturbed: 2}}, Return: 2, Shadow: shadow, Pause: time.Millisecond,
	}
}

// Shadow mode writes nothing: resource versions and the front stay as they are,
// also when others change them meanwhile, and what is in force is what those say.
func TestShadow(t *testing.T) {
	w := newWorld(t)
	want := w.others(t)
	cfg := w.config()
	cfg.Watch = true
	versions, blocked := w.versions(), w.blocked(t)
	bed := w.testbed(t, cfg)
	c := driven(w, bed, true)
	c.Steps = 6
	var seen []mesh.Action
	c.OnStep = func(e controller.Entry) {
		if e.Error != "" || e.Mark != "" || e.Asked != nil {
			t.Errorf("step %d: %s%s, asked for %v", e.Step, e.Error, e.Mark, e.Asked)
		}
		seen = append(seen, e.InForce)
		if e.Step == 3 {
			w.route(t, "service1", 40, 60)
			versions = w.versions()
		}
	}
	run, err := controller.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := bed.Close(); err != nil {
		t.Fatal(err)
	}
	later := action(.4, .5, 0, .2)
	for k, a := range seen {
		if k > 3 {
			want = later
		}
		if !slices.Equal(a, want) {
			t.Errorf("step %d: %v in force, want %v", k, a, want)
		}
	}
	if w.patches != 0 || !maps.Equal(w.versions(), versions) || !maps.Equal(w.blocked(t), blocked) {
		t.Errorf("%d patches; versions %v, want %v; the front blocks %v, want %v", w.patches, w.versions(), versions, w.blocked(t), blocked)
	}
	for _, r := range must(cfg.Rights()) {
		if r.Verb != "get" && r.Verb != "list" {
			t.Errorf("to watch needs the right to %s", r)
		}
	}
	if s := run.Status(); s.Compared != 5 || s.Agreed != 0 {
		t.Errorf("%d compared, %d agreed", s.Compared, s.Agreed)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A mesh that is in service is taken over as it is, and driven from then on.
func TestKeep(t *testing.T) {
	w := newWorld(t)
	want := w.others(t)
	cfg := w.config()
	cfg.Keep = true
	bed := w.testbed(t, cfg)
	if a, _ := bed.InForce(); !slices.Equal(a, want) || w.patches != 0 || w.blocked(t)["service2"] != .2 {
		t.Fatalf("%v in force after %d patches, want %v", a, w.patches, want)
	}
	w.measure(t, bed, action(1, 0, 0, 0))
	wantWeights(t, w, []int{100, 0}, []int{0, 100})
}

// A mesh that somebody left over a limit is taken over as it is, and comes within
// with the first action.
func TestKeepOverLimit(t *testing.T) {
	s := scenario.Paper()
	s.Limits = []mesh.Limit{{Kind: mesh.Block, Most: .3}}
	w := newWorldOf(t, s)
	c := service.Controller{URL: w.front.URL, Token: "sesame", Space: scenario.Paper().MustSpace()}
	if err := c.Apply(context.Background(), action(.5, .5, .2, .4), nil); err != nil {
		t.Fatal(err)
	}
	cfg := w.config()
	cfg.Keep = true
	bed := w.testbed(t, cfg)
	if a, _ := bed.InForce(); !slices.Equal(a[4:], []float64{.2, .4}) {
		t.Fatalf("%v in force", a)
	}
	w.measure(t, bed, action(1, 0, 0, .2))
	if b := w.blocked(t); b["service1"] != 0 || b["service2"] != .2 {
		t.Errorf("blocked %v", b)
	}
}

// The API server goes away: the guard sees by the marks that nothing is put into
// force, the action before stays whole; when it is back, the fallback is in force
// and then the policy.
func TestRunAPIServerDown(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.Keep = true
	c := driven(w, w.testbed(t, cfg), false)
	c.Steps = 14
	var all []controller.Entry
	c.OnStep = func(e controller.Entry) {
		all = append(all, e)
		switch e.Step {
		case 3:
			w.down(true)
		case 7:
			w.down(false)
		}
	}
	run, err := controller.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Run(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := run.Status().Switches
	if len(s) != 3 || s[1].To != controller.ByFallback || s[1].Step != 6 || !strings.Contains(s[1].Why, "disturbed for 2 steps") || s[2].To != controller.ByPolicy {
		t.Fatalf("switches %+v", s)
	}
	for _, e := range all[4:8] {
		if e.Mark == "" || !slices.Equal(e.InForce, c.Policy.(policy.Static).Action) {
			t.Errorf("step %d, without the API server: %v in force, mark %q", e.Step, e.InForce, e.Mark)
		}
	}
	if e := all[8]; !slices.Equal(e.InForce, c.Fallback.(policy.Static).Action) {
		t.Errorf("step %d, with it again: %v in force, mark %q", e.Step, e.InForce, e.Mark)
	}
	wantWeights(t, w, []int{80, 20}, []int{20, 80})
}
