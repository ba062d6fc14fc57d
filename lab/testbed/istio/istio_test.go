package istio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
)

func TestPercent(t *testing.T) {
	for _, c := range []struct {
		p    []float64
		want []int
	}{
		{[]float64{1}, []int{100}},
		{[]float64{.4, .6}, []int{40, 60}},
		{[]float64{0, 1}, []int{0, 100}},
		{[]float64{1. / 3, 1. / 3, 1. / 3}, []int{34, 33, 33}},                                  // rounded each: 99
		{[]float64{.335, .335, .33}, []int{34, 33, 33}},                                         // rounded each: 101
		{[]float64{.005, .995}, []int{1, 99}},                                                   // rounded each: 101
		{[]float64{.145, .145, .145, .145, .145, .145, .13}, []int{15, 15, 15, 14, 14, 14, 13}}, // rounded each: 103
		{[]float64{.29, .71}, []int{29, 71}},                                                    // 100 * .29 is below 29
		{[]float64{.07, .93}, []int{7, 93}},
	} {
		if got := Percent(c.p); !slices.Equal(got, c.want) {
			t.Errorf("Percent(%v) is %v, want %v", c.p, got, c.want)
		}
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		p, sum := make([]float64, 1+rng.IntN(12)), 0.0
		for j := range p {
			p[j] = rng.ExpFloat64()
			sum += p[j]
		}
		total := 0
		for j := range p {
			p[j] /= sum
		}
		for j, w := range Percent(p) {
			total += w
			if math.Abs(float64(w)-100*p[j]) >= 1 {
				t.Fatalf("%v gives %d for %v", p, w, p[j])
			}
		}
		if total != 100 {
			t.Fatalf("%v gives %d in all", p, total)
		}
	}
}

// paperObject is service1 of the paper's mesh.
func paperObject() (*object, *unstructured.Unstructured) {
	l := scenario.Paper().Mesh.Layout()
	return &objects(l, func(name string) string { return name })[0], virtualService(l, "service1")
}

// put puts HTTP entries into a VirtualService and returns what is read back.
func put(t *testing.T, o *object, vs *unstructured.Unstructured, http []any) *written {
	t.Helper()
	if err := unstructured.SetNestedSlice(vs.Object, http, "spec", "http"); err != nil {
		t.Fatal(err)
	}
	w, err := o.read(vs)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// What the testbed does not manage in a VirtualService stays as it is.
func TestRouting(t *testing.T) {
	o, vs := paperObject()
	for k, r := range []routing{{weights: []int{20, 80}}, {weights: []int{0, 100}, abort: 40}, {weights: []int{100, 0}}} {
		revision := fmt.Sprint("r", k)
		http, err := o.write(vs, []routing{r}, revision, r.abort > 0)
		if err != nil {
			t.Fatal(err)
		}
		if want := 1 + min(1, int(r.abort)); len(http) != want {
			t.Errorf("%d entries, want %d", len(http), want)
		}
		if back := put(t, o, vs, http); !back.same([]routing{r}) || back.revision != revision {
			t.Errorf("%v was read back as %v", r, back)
		}
		for _, e := range http {
			e := e.(map[string]any)
			kept, _, _ := unstructured.NestedString(e, "headers", "request", "set", "x-kept")
			if kept != "yes" || e["timeout"] != "10s" {
				t.Errorf("lost in %v", e)
			}
			if _, fault := e["fault"]; fault != (r.abort > 0 && !isProbe(e)) {
				t.Errorf("fault in %v", e)
			}
		}
	}
	for what, edit := range map[string]func(http []any) []any{
		"no HTTP entry": func([]any) []any { return nil },
		"two HTTP entries": func(h []any) []any {
			return append(h, (&unstructured.Unstructured{Object: h[0].(map[string]any)}).DeepCopy().Object)
		},
		"no HTTP entry with one": func(h []any) []any {
			h[0].(map[string]any)["route"] = h[0].(map[string]any)["route"].([]any)[:1]
			return h
		},
	} {
		o, vs := paperObject()
		vs.Object["spec"].(map[string]any)["http"] = edit(vs.Object["spec"].(map[string]any)["http"].([]any))
		if _, err := o.read(vs); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("error %v, want %q", err, what)
		}
	}
}

// Of a fault rule only the testbed's own abort is its business.
func TestOthersFault(t *testing.T) {
	abort := func() map[string]any {
		return map[string]any{"httpStatus": int64(503), "percentage": map[string]any{"value": int64(1)}}
	}
	delay := map[string]any{"fixedDelay": "1s", "percentage": map[string]any{"value": 5.5}}
	fault := func(http []any) any {
		for _, h := range http {
			if h := h.(map[string]any); !isProbe(h) {
				return h["fault"]
			}
		}
		return nil
	}
	even := routing{weights: []int{50, 50}}
	o, vs := paperObject()
	http := vs.Object["spec"].(map[string]any)["http"].([]any)
	http[0].(map[string]any)["fault"] = map[string]any{"abort": abort(), "delay": delay}
	out, err := o.write(vs, []routing{even}, "r", false)
	if want := map[string]any{"abort": abort(), "delay": delay}; err != nil || !reflect.DeepEqual(fault(out), want) {
		t.Errorf("blocking at the front left %v, %v", fault(out), err)
	}
	if back := put(t, o, vs, out); !back.same([]routing{even}) || back.routes[0].others != "abort, delay" {
		t.Errorf("read as %+v", back.routes)
	}
	if _, err := o.write(vs, []routing{even}, "r", true); err == nil || !lasting(err) || !strings.Contains(err.Error(), "abort of another") {
		t.Errorf("blocking by abort: error %v", err)
	}
	// A delay stays beside an abort of ours, and when that goes.
	delete(out[0].(map[string]any)["fault"].(map[string]any), "abort")
	put(t, o, vs, out)
	blocked := routing{weights: []int{50, 50}, abort: 30}
	if out, err = o.write(vs, []routing{blocked}, "r", true); err != nil {
		t.Fatal(err)
	}
	if back := put(t, o, vs, out); !back.same([]routing{blocked}) || back.routes[0].others != "delay" {
		t.Errorf("read as %+v", back.routes)
	}
	if out, err = o.write(vs, []routing{even}, "r", false); err != nil || len(out) != 1 || !reflect.DeepEqual(fault(out), map[string]any{"delay": delay}) {
		t.Errorf("%d entries, fault %v, %v", len(out), fault(out), err)
	}
	// 429 alone does not make an abort ours.
	own := abort()
	own["httpStatus"] = int64(statusBlocked)
	out[0].(map[string]any)["fault"] = map[string]any{"abort": own}
	if back := put(t, o, vs, out); back.routes[0].abort != 0 || back.routes[0].others != "abort" {
		t.Errorf("read as %+v", back.routes)
	}

	// Preflight names it; who wants it so has it.
	w := newWorld(t)
	entry := func() map[string]any {
		return w.objects["service1"].Object["spec"].(map[string]any)["http"].([]any)[0].(map[string]any)
	}
	entry()["fault"] = map[string]any{"abort": abort()}
	cfg := w.config()
	if f, err := Preflight(context.Background(), cfg); err != nil || len(f) != 1 || !strings.Contains(f[0].What, "service1 has a fault rule for service1 that is not the testbed's (abort)") {
		t.Errorf("%v, %v", f, err)
	}
	cfg.Faults = true
	bed := w.testbed(t, cfg)
	if x, _ := w.measure(t, bed, action(.2, .6, 0, 0)); strings.Contains(x.Mark, "fault rule") {
		t.Errorf("mark %q", x.Mark)
	}
	bed.Close()
	if got := entry()["fault"]; !reflect.DeepEqual(got, map[string]any{"abort": abort()}) {
		t.Errorf("after Close: %v", got)
	}
	cfg.Blocking = FaultBlocking
	if f, err := Preflight(context.Background(), cfg); err != nil || len(f) != 1 || !strings.Contains(f[0].What, "can have no other") {
		t.Errorf("%v, %v", f, err)
	}

	// One that comes in a run stays and marks every step.
	w = newWorld(t)
	bed = w.testbed(t, w.config())
	w.set(func() {
		w.change("service2", func(spec map[string]any) {
			spec["http"].([]any)[0].(map[string]any)["fault"] = map[string]any{"delay": delay}
		})
	})
	for range 2 {
		if x, _ := w.measure(t, bed, action(.2, .6, 0, 0)); !strings.Contains(x.Mark, "another's fault rule for service2 (delay)") {
			t.Errorf("mark %q", x.Mark)
		}
	}
}

// A service of several stages, microservices that several services call, and
// calls with three candidates.
func TestGraph(t *testing.T) {
	s, err := scenario.Open("graph")
	if err != nil {
		t.Fatal(err)
	}
	s.Mesh.Nodes = append(s.Mesh.Nodes, mesh.Node{Name: "edge-c"})
	for i := range s.Mesh.Services { // both call the frontend first
		s.Mesh.Services[i].Stages[0][0].Nodes = []string{"edge-a", "edge-b", "edge-c"}
	}
	w := newWorldOf(t, s)
	cfg := w.config()
	bed := w.testbed(t, cfg)
	l := bed.Space().Layout()
	a := bed.Space().Default()
	set := func(service, microservice string, weights ...float64) {
		i, err := l.Mesh.Service(service)
		if err != nil {
			t.Fatal(err)
		}
		copy(bed.Space().RouteOf(a, l.CallOf(i, microservice)), weights)
	}
	set("browse", "frontend", 1./3, 1./3, 1./3)
	set("order", "frontend", 0, 0, 1)
	set("browse", "stock", 1, 0)
	set("order", "stock", 0, 1)
	x, routed := w.measure(t, bed, a)
	if x.Mark != "" || x.Failed[0]+x.Failed[1] != 0 {
		t.Errorf("mark %q, failed %v", x.Mark, x.Failed)
	}
	if got := w.weights(t, "frontend"); !slices.Equal(got, []int{34, 33, 33, 0, 0, 100}) {
		t.Errorf("frontend has %v", got)
	}
	if got := w.weights(t, "stock"); !slices.Equal(got, []int{100, 0, 0, 100}) {
		t.Errorf("stock has %v", got)
	}
	for _, never := range []string{"order/frontend edge-a", "order/frontend edge-b", "browse/stock core-b", "order/stock core-a"} {
		if routed[never] != 0 {
			t.Errorf("%d requests: %s", routed[never], never)
		}
	}
	for _, some := range []string{"order/frontend edge-c", "browse/stock core-a", "order/stock core-b"} {
		if routed[some] == 0 {
			t.Errorf("no request: %s", some)
		}
	}
	e := l.Endpoint(l.CallOf(1, "stock"), 3)
	if x.Endpoint[e].Count == 0 || l.Mesh.Nodes[3].Name != "core-b" {
		t.Errorf("no call of stock by order at core-b: %+v", x.Endpoint)
	}
	patches := w.patches
	set("order", "stock", 1, 0)
	if w.measure(t, bed, a); w.patches != patches+1 {
		t.Errorf("%d patches for the weights of one call", w.patches-patches)
	}
	w.set(func() {
		w.change("stock", func(spec map[string]any) {
			spec["http"].([]any)[1].(map[string]any)["route"].([]any)[0].(map[string]any)["weight"] = int64(60)
			spec["http"].([]any)[1].(map[string]any)["route"].([]any)[1].(map[string]any)["weight"] = int64(40)
		})
	})
	if x, _ := w.measure(t, bed, a); x.Mark != "another writer routed stock browse: stock 100/0, order: stock 60/40 in place of browse: stock 100/0, order: stock 100/0" {
		t.Errorf("mark %q", x.Mark)
	}
	topology, err := bed.Topology(context.Background())
	if err != nil || len(topology.Weights) != len(l.Calls) || !slices.Equal(topology.Weights[l.CallOf(1, "frontend")], []int{0, 0, 100}) {
		t.Errorf("%+v, %v", topology, err)
	}
	cfg.Blocking = FaultBlocking
	if _, err := New(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "makes several calls") {
		t.Errorf("error %v", err)
	}
}

// replicas sets a knob that the testbed knows nothing of.
type replicas struct {
	space *mesh.Space
	have  []float64 // per node
	fail  error     // of Apply
	late  error     // of Follow
}

func (r *replicas) Kind() mesh.Kind { return mesh.Replicas }
func (r *replicas) Needs() []control.Right {
	return []control.Right{{Group: "apps", Resource: "deployments/scale", Verb: "patch", Name: "node1"}}
}
func (r *replicas) Apply(_ context.Context, a mesh.Action) error {
	if r.fail != nil {
		return r.fail
	}
	r.have = r.have[:0]
	for j := range r.space.Mesh().Nodes {
		r.have = append(r.have, r.space.Value(a, mesh.Replicas, j, 1))
	}
	return nil
}
func (r *replicas) Follow(context.Context) error { return r.late }

// A kind of knob from outside is applied, undone and waited for as the others
// are.
func TestOwnActuator(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.Scenario.Knobs = append(slices.Clone(cfg.Scenario.Knobs), mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 3})
	r := &replicas{space: cfg.Scenario.MustSpace()}
	cfg.Actuators = []control.Actuator{r}
	bed := w.testbed(t, cfg)
	first, second := append(action(.2, .6, 0, 0), 3, 1), append(action(.8, .4, 0, 0), 1, 2)
	if x, _ := w.measure(t, bed, first); x.Mark != "" || !slices.Equal(r.have, []float64{3, 1}) {
		t.Errorf("%v, mark %q", r.have, x.Mark)
	}
	r.late = errors.New("node1 has 1 of 3 replicas")
	if x, _ := w.measure(t, bed, first); x.Mark != "the mesh did not follow within 0.5 s: node1 has 1 of 3 replicas" {
		t.Errorf("mark %q", x.Mark)
	}
	r.late = nil
	r.fail = errors.New("quota exceeded")
	if x, _ := w.measure(t, bed, second); !strings.HasPrefix(x.Mark, "not applied, ") || !strings.Contains(x.Mark, "quota exceeded") || !slices.Equal(r.have, []float64{3, 1}) {
		t.Errorf("%v, mark %q", r.have, x.Mark)
	}
	wantWeights(t, w, []int{20, 80}, []int{60, 40}) // put back with it
	w.denied = func(a *authv1.ResourceAttributes) bool { return a.Group == "apps" && a.Subresource == "scale" }
	if f, err := Preflight(context.Background(), cfg); err != nil || len(f) != 1 || f[0].What != "this user may not patch deployments/scale node1" {
		t.Errorf("%v, %v", f, err)
	}
}

// Where an overlay gave names and labels of its own, so does the configuration.
func TestNames(t *testing.T) {
	cfg := newWorld(t).config()
	cfg.Prefix, cfg.Suffix, cfg.LocalLoad, cfg.Secret = "a-", "-b", "", "mine"
	rights, err := cfg.Rights()
	if err != nil {
		t.Fatal(err)
	}
	want := "[get virtualservices a-service1-b patch virtualservices a-service1-b get destinationrules a-service1-b" +
		" get virtualservices a-service2-b patch virtualservices a-service2-b get destinationrules a-service2-b" +
		" list pods get configmaps a-meshbench-settings-b get secrets mine]"
	if got := fmt.Sprint(rights); got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
}

func TestApply(t *testing.T) {
	for _, blocking := range []Blocking{FrontBlocking, FaultBlocking} {
		w := newWorld(t)
		cfg := w.config()
		cfg.Blocking = blocking
		bed := w.testbed(t, cfg)
		x, routed := w.measure(t, bed, action(1, 0, 0, 1))
		if x.Mark != "" {
			t.Errorf("marked: %s", x.Mark)
		}
		if routed["service1 node1"] == 0 || routed["service1 node2"] != 0 || routed["service2 node1"]+routed["service2 node2"] != 0 || x.Blocked[1] == 0 || x.Carried[1] != 0 {
			t.Errorf("routed %v, blocked %v", routed, x.Blocked)
		}
		wantWeights(t, w, []int{100, 0}, []int{0, 100})
		if x, routed = w.measure(t, bed, action(.2, .6, .4, 0)); x.Mark != "" || routed["service1 node2"] < routed["service1 node1"] || x.Blocked[0] == 0 || x.Blocked[1] != 0 {
			t.Errorf("routed %v, blocked %v, mark %q", routed, x.Blocked, x.Mark)
		}
		wantWeights(t, w, []int{20, 80}, []int{60, 40})
		before := w.patches
		w.measure(t, bed, action(.2, .6, .4, 0))
		if w.patches != before {
			t.Errorf("%d patches for an action that was in force", w.patches-before)
		}
		w.measure(t, bed, action(.2, .4, .4, 0))
		if w.patches != before+1 {
			t.Errorf("%d patches for one service's weights", w.patches-before)
		}
		if n := len(bed.Followed()); n != w.patches {
			t.Errorf("%d times to follow for %d patches", n, w.patches)
		}
	}
}

func TestConflicts(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.Patience = 2
	bed := w.testbed(t, cfg)
	left := 3
	conflict := func(verb, name string) error {
		if verb == "patch" && left > 0 {
			left--
			return apierrors.NewConflict(virtualServices.GroupResource(), name, errors.New("modified"))
		}
		return nil
	}
	w.set(func() { w.fail = conflict })
	if x, _ := w.measure(t, bed, action(1, 1, 0, 0)); x.Mark != "" || left != 0 {
		t.Errorf("mark %q, %d conflicts left", x.Mark, left)
	}
	wantWeights(t, w, []int{100, 0}, []int{100, 0})

	// A true one: somebody writes between the reading and the patch.
	once := true
	w.set(func() {
		w.fail = nil
		w.after = func(verb, name string) {
			if verb == "get" && name == "service2" && once {
				once = false
				w.route(t, "service2", 7, 93)
			}
		}
	})
	if x, _ := w.measure(t, bed, action(0, 0, 0, 0)); x.Mark != "another writer routed service2 7/93 in place of 100/0" {
		t.Errorf("mark %q", x.Mark)
	}
	wantWeights(t, w, []int{0, 100}, []int{0, 100})

	// Conflicts without end are not waited out.
	w.set(func() { w.after, w.fail = nil, conflict; left = 1000 })
	if _, err := bed.Measure(context.Background(), mesh.Load{1, 1}, action(.2, .2, 0, 0)); err == nil || !strings.Contains(err.Error(), "others change it all the time") {
		t.Errorf("error %v", err)
	}
	w.set(func() { w.fail = nil })
	wantWeights(t, w, []int{0, 100}, []int{0, 100})
}

// A webhook that changes what is written is found out by reading back, and what
// was written before is put back.
func TestReadBack(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.Patience = 2
	bed := w.testbed(t, cfg)
	w.measure(t, bed, action(.2, .2, 0, 0))
	w.set(func() {
		w.admit = func(name string, spec map[string]any) {
			d := spec["http"].([]any)[0].(map[string]any)["route"].([]any)
			if name == "service2" && d[0].(map[string]any)["weight"] == int64(80) {
				d[0].(map[string]any)["weight"], d[1].(map[string]any)["weight"] = int64(50), int64(50)
			}
		}
	})
	_, err := bed.Measure(context.Background(), mesh.Load{1, 1}, action(.8, .8, 0, 0))
	if err == nil || !strings.Contains(err.Error(), "routing service2 80/20: it is 50/50 after it was set to 80/20, and again at each try") {
		t.Errorf("error %v", err)
	}
	wantWeights(t, w, []int{20, 80}, []int{20, 80})
}

func TestForbidden(t *testing.T) {
	w := newWorld(t)
	bed := w.testbed(t, w.config())
	w.measure(t, bed, action(.2, .2, 0, 0))
	w.set(func() {
		w.fail = func(verb, name string) error {
			if verb == "patch" && name == "service2" {
				return apierrors.NewForbidden(virtualServices.GroupResource(), name, errors.New("no longer"))
			}
			return nil
		}
	})
	begin := time.Now()
	if _, err := bed.Measure(context.Background(), mesh.Load{1, 1}, action(.8, .8, 0, 0)); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("error %v", err)
	}
	if d := time.Since(begin); d > time.Second {
		t.Errorf("tried for %v", d)
	}
	wantWeights(t, w, []int{20, 80}, []int{20, 80}) // service1 was put back
}

// The API server is down: the action before stays in force, the rows say so.
func TestDown(t *testing.T) {
	w := newWorld(t)
	bed := w.testbed(t, w.config())
	w.measure(t, bed, action(1, 1, 0, 0))
	w.down(true)
	x, routed := w.measure(t, bed, action(0, 0, 1, 1))
	if want := "not applied, the action before stayed in force (p11=1 p21=1 b1=0 b2=0): reading VirtualService service1: connection refused; the routing could not be checked: connection refused"; x.Mark != want {
		t.Errorf("mark\n%q, want\n%q", x.Mark, want)
	}
	if routed["service1 node1"] == 0 || routed["service1 node2"]+routed["service2 node2"] > 0 || x.Blocked[0]+x.Blocked[1] != 0 {
		t.Errorf("routed %v, blocked %v", routed, x.Blocked)
	}
	w.down(false)
	if x, routed = w.measure(t, bed, action(0, 0, 0, 1)); x.Mark != "" || routed["service1 node2"] == 0 || routed["service1 node1"] > 0 || x.Carried[1] != 0 {
		t.Errorf("routed %v, blocked %v, mark %q", routed, x.Blocked, x.Mark)
	}
}

// One of the patches fails for a while: neither is in force.
func TestRollback(t *testing.T) {
	w := newWorld(t)
	bed := w.testbed(t, w.config())
	w.measure(t, bed, action(.2, .2, 0, 0))
	w.set(func() {
		w.fail = func(verb, name string) error {
			if verb == "patch" && name == "service2" {
				return apierrors.NewServiceUnavailable("overloaded")
			}
			return nil
		}
	})
	x, _ := w.measure(t, bed, action(1, 1, 1, 1))
	if want := "not applied, the action before stayed in force (p11=0.2 p21=0.2 b1=0 b2=0): routing service2 100/0: overloaded"; x.Mark != want {
		t.Errorf("mark %q, want %q", x.Mark, want)
	}
	wantWeights(t, w, []int{20, 80}, []int{20, 80})
	if x.Blocked[0] != 0 {
		t.Errorf("blocked %v", x.Blocked)
	}

	// Putting back fails as well: that is said, and is made good later.
	patched := false
	w.set(func() {
		w.fail = func(verb, name string) error {
			switch {
			case verb == "patch" && !patched:
				patched = true
				return nil
			case verb == "patch":
				return apierrors.NewServiceUnavailable("overloaded")
			}
			return nil
		}
	})
	if x, _ = w.measure(t, bed, action(1, 1, 1, 1)); !strings.HasPrefix(x.Mark, "not applied, the action may be in force in part: ") {
		t.Errorf("mark %q", x.Mark)
	}
	wantWeights(t, w, []int{100, 0}, []int{20, 80})
	w.set(func() { w.fail = nil })
	if err := bed.Close(); err != nil {
		t.Fatal(err)
	}
	wantWeights(t, w, []int{20, 80}, []int{20, 80})
}

// A reply that is lost on its way back is not taken for another writer's work.
func TestLostReply(t *testing.T) {
	w := newWorld(t)
	bed := w.testbed(t, w.config())
	lost := false
	w.set(func() {
		w.fail = func(verb, name string) error {
			if verb == "get" && w.patches > 2 && !lost {
				lost = true
				return apierrors.NewTimeoutError("slow", 1)
			}
			return nil
		}
	})
	if x, _ := w.measure(t, bed, action(1, 1, 0, 0)); x.Mark != "" || !lost {
		t.Errorf("mark %q, lost %v", x.Mark, lost)
	}
}

func TestClose(t *testing.T) {
	for _, c := range []struct {
		safe               mesh.Action
		service1, service2 []int
		blocked            float64
	}{
		{nil, []int{20, 80}, []int{60, 40}, 1},
		{action(.5, 1, 0, 0), []int{50, 50}, []int{100, 0}, 0},
	} {
		w := newWorld(t)
		cfg := w.config()
		cfg.Safe = c.safe
		bed := w.testbed(t, cfg)
		w.measure(t, bed, action(.2, .6, 1, 1))
		if err := bed.Close(); err != nil {
			t.Fatal(err)
		}
		wantWeights(t, w, c.service1, c.service2)
		next := w.testbed(t, w.config()) // whoever comes next begins anew
		wantWeights(t, w, []int{50, 50}, []int{50, 50})
		next.Close()
	}
}

// A run that is interrupted while an action is being applied leaves a whole one.
func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	bed := w.testbed(t, w.config())
	w.measure(t, bed, action(.2, .2, 0, 0))
	ctx, cancel := context.WithCancel(context.Background())
	w.set(func() {
		w.after = func(verb, name string) {
			if verb == "patch" && name == "service1" {
				cancel()
			}
		}
	})
	if _, err := bed.Measure(ctx, mesh.Load{20, 20}, action(1, 1, 0, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := bed.Close(); err != nil {
		t.Fatal(err)
	}
	wantWeights(t, w, []int{100, 0}, []int{100, 0})
}

func TestOtherWriter(t *testing.T) {
	w := newWorld(t)
	bed := w.testbed(t, w.config())
	a := action(1, 1, 0, 0)
	w.measure(t, bed, a)

	// Between two steps: put right before the step, which says so.
	w.route(t, "service1", 0, 100)
	x, routed := w.measure(t, bed, a)
	if x.Mark != "another writer routed service1 0/100 in place of 100/0" || routed["service1 node2"] > 0 {
		t.Errorf("mark %q, routed %v", x.Mark, routed)
	}
	if x, _ = w.measure(t, bed, a); x.Mark != "" {
		t.Errorf("mark %q on the step after", x.Mark)
	}

	// Within a step: that one is marked, the next is sound again.
	go func() {
		time.Sleep(50 * time.Millisecond) // of 100
		w.route(t, "service2", 0, 100)
	}()
	if x, routed = w.measure(t, bed, a); x.Mark != "another writer routed service2 0/100 in place of 100/0" || routed["service2 node2"] == 0 {
		t.Errorf("mark %q, routed %v", x.Mark, routed)
	}
	if x, routed = w.measure(t, bed, a); x.Mark != "" || routed["service2 node2"] > 0 {
		t.Errorf("mark %q, routed %v", x.Mark, routed)
	}

	// There and back, or in a field that is not ours.
	w.route(t, "service2", 0, 100)
	w.route(t, "service2", 100, 0)
	if x, _ = w.measure(t, bed, a); x.Mark != "another writer changed VirtualService service2" {
		t.Errorf("mark %q", x.Mark)
	}
}

// A mesh that does not follow in time is marked until it does.
func TestNotFollowing(t *testing.T) {
	w := newWorld(t)
	bed := w.testbed(t, w.config())
	w.measure(t, bed, action(1, 1, 0, 0))
	w.set(func() {
		w.frozen = map[string]*unstructured.Unstructured{"service1": w.objects["service1"], "service2": w.objects["service2"]}
	})
	for range 2 {
		x, routed := w.measure(t, bed, action(0, 1, 0, 0))
		if !strings.HasPrefix(x.Mark, "the mesh did not follow within 0.5 s: service1 is not yet routed 0/100: ") || routed["service1 node2"] > 0 {
			t.Errorf("mark %q, routed %v", x.Mark, routed)
		}
	}
	before := w.patches
	w.set(func() { w.frozen = nil })
	if x, routed := w.measure(t, bed, action(0, 1, 0, 0)); x.Mark != "" || routed["service1 node1"] > 0 || w.patches != before {
		t.Errorf("mark %q, routed %v", x.Mark, routed)
	}
}

func (w *world) editPod(t *testing.T, name string, edit func(*corev1.Pod)) {
	t.Helper()
	pods := w.kube.CoreV1().Pods("meshbench")
	p, err := pods.Get(context.Background(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	edit(p)
	if _, err := pods.Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestFaults(t *testing.T) {
	w := newWorld(t)
	bed := w.testbed(t, w.config())
	for _, c := range []struct {
		what string
		do   func()
	}{
		{"", func() {}},
		{"node2 is not ready: CrashLoopBackOff", func() {
			w.editPod(t, "node2-a", func(p *corev1.Pod) {
				p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}}
			})
		}},
		{"node2 restarted", func() {
			w.editPod(t, "node2-a", func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: 1}} })
		}},
		{"", func() {}},
		{"node1 has no pod", func() {
			w.kube.CoreV1().Pods("meshbench").Delete(context.Background(), "node1-a", metav1.DeleteOptions{})
		}},
		{"node1 has a new pod", func() {
			w.kube.CoreV1().Pods("meshbench").Create(context.Background(), pod("node1-b", map[string]string{"app": "node", "node": "node1"}), metav1.CreateOptions{})
		}},
		{"", func() {}},
		{"front is not ready: running, not ready", func() {
			w.editPod(t, "front-a", func(p *corev1.Pod) { p.Status.Conditions[0].Status = corev1.ConditionFalse })
		}},
	} {
		c.do()
		if x, _ := w.measure(t, bed, action(.6, .6, 0, 0)); x.Mark != c.what {
			t.Errorf("mark %q, want %q", x.Mark, c.what)
		}
	}
}

// unsteady is a generator that fails at times and forgets its seed then.
type unsteady struct {
	fail int
	seed []uint64
	runs int
}

func (g *unsteady) Reset(_ context.Context, seed uint64) error {
	g.seed = append(g.seed, seed)
	return nil
}
func (g *unsteady) Run(context.Context, httpload.Step) ([]httpload.Result, error) {
	g.runs++
	if g.fail > 0 {
		g.fail--
		return nil, errors.New("broken pipe")
	}
	return []httpload.Result{{}}, nil
}

func TestGeneratorFails(t *testing.T) {
	var marks []string
	u := &unsteady{}
	g := &generator{Generator: u, patience: time.Second, mark: func(m string) { marks = append(marks, m) }}
	ctx := context.Background()
	g.Reset(ctx, 9)
	if _, err := g.Run(ctx, httpload.Step{}); err != nil || marks != nil {
		t.Errorf("%v, %v", err, marks)
	}
	u.fail = 1
	if _, err := g.Run(ctx, httpload.Step{}); err != nil || fmt.Sprint(marks) != "[step made again: the generator failed: broken pipe]" || fmt.Sprint(u.seed) != "[9 9]" {
		t.Errorf("%v, %v, %v", err, marks, u.seed)
	}
	u.fail = 1000
	if _, err := g.Run(ctx, httpload.Step{}); err == nil || !strings.Contains(err.Error(), "broken pipe") {
		t.Error(err)
	}
}

// Everything that is missing is in one list.
func TestPreflight(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	if f, err := Preflight(ctx, w.config()); err != nil || len(f) > 0 {
		t.Fatalf("%v, %v", f, err)
	}
	if w.patches != 0 {
		t.Errorf("preflight patched %d times", w.patches)
	}
	w = newWorld(t)
	kube := w.kube.CoreV1()
	kube.Namespaces().Delete(ctx, "meshbench", metav1.DeleteOptions{})
	kube.Secrets("meshbench").Delete(ctx, secretName, metav1.DeleteOptions{})
	kube.ConfigMaps("meshbench").Delete(ctx, settingsName, metav1.DeleteOptions{})
	w.editPod(t, "node2-a", func(p *corev1.Pod) { p.Spec.InitContainers = nil })
	w.editPod(t, "front-a", func(p *corev1.Pod) { p.Status.Conditions = nil })
	kube.Pods("meshbench").Delete(ctx, "node1-a", metav1.DeleteOptions{})
	w.dynamic.Tracker().Delete(destinationRules, "meshbench", "service1")
	w.dynamic.Tracker().Update(destinationRules, destinationRule("service2", "node1"), "meshbench")
	w.set(func() {
		delete(w.objects, "service1")
		delete(w.objects["service2"].Object["spec"].(map[string]any)["http"].([]any)[0].(map[string]any), "retries")
	})
	w.denied = func(r *authv1.ResourceAttributes) bool { return r.Verb == "patch" || r.Resource == "secrets" }
	_, err := New(ctx, w.config())
	var f Findings
	if !errors.As(err, &f) {
		t.Fatal(err)
	}
	lines := strings.Split(err.Error(), "\n")
	for _, want := range []string{
		"namespace meshbench: ",
		"this user may not patch virtualservices service1", "this user may not patch virtualservices service2", "this user may not get secrets meshbench-control",
		"VirtualService service1: ", "VirtualService service2 lets the proxy try requests again",
		"DestinationRule service1: ", "DestinationRule service2 has no subset node2",
		"the time scale of the pods is not known", "the control token is not known",
		"pod front-a is not ready", "pod node2-a has no sidecar", "no pod of the node1",
	} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "- "+want) }) {
			t.Errorf("not in the list: %s", want)
		}
	}
	if len(f) != 13 || len(lines) != len(f)+1 {
		t.Errorf("%d findings in %d lines:\n%s", len(f), len(lines), err)
	}

	for _, c := range []struct {
		what string
		do   func(*world, *Config)
	}{
		{"the front's control endpoint does not answer: http://", func(w *world, c *Config) { c.Token = "wrong" }},
		{"the front's control endpoint does not answer: connect: connection refused", func(w *world, c *Config) { c.Front = "http://127.0.0.1:1" }},
		{"the load generator does not answer: ", func(w *world, c *Config) { c.LocalLoad, c.Generator = "", w.front.URL }},
		{"the front does not reach service1: probe of service1: 502 Bad Gateway", func(w *world, c *Config) {
			w.upstreams[0].Close()
		}},
		{"the API server does not serve networking.istio.io/v1: ", func(w *world, c *Config) { w.kube.Fake.Resources = nil }},
		{"the API server serves networking.istio.io/v1beta1, not networking.istio.io/v1", func(w *world, c *Config) {
			w.kube.Fake.Resources[0].GroupVersion = "networking.istio.io/v1beta1"
		}},
		{"the API server does not know this user: token expired", func(w *world, c *Config) {
			w.kube.PrependReactor("get", "version", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewUnauthorized("token expired")
			})
		}},
		{"the pods run scenario chain (shop: ", func(w *world, c *Config) {
			text, err := scenario.Text("chain")
			if err != nil {
				t.Fatal(err)
			}
			w.kube.CoreV1().ConfigMaps("meshbench").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: scenarioName}, Data: map[string]string{scenarioKey: string(text)}}, metav1.CreateOptions{})
		}},
	} {
		w := newWorld(t)
		cfg := w.config()
		c.do(w, &cfg)
		if f, err := Preflight(ctx, cfg); err != nil || len(f) != 1 || !strings.HasPrefix(f[0].What, c.what) {
			t.Errorf("%v, %v, want %s", f, err, c.what)
		}
	}
}

// A user without leave for what is not needed is not turned away, and who may
// not even ask for leave is told by trying.
func TestPreflightOfFew(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	forbid := func(verb, resource string) {
		w.kube.PrependReactor(verb, resource, func(a clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: resource}, "", errors.New(`user "pat" cannot`))
		})
	}
	for _, r := range [][2]string{{"get", "version"}, {"get", "resource"}, {"get", "namespaces"}, {"create", "selfsubjectaccessreviews"}} {
		forbid(r[0], r[1])
	}
	if f, err := Preflight(ctx, w.config()); err != nil || len(f) > 0 || w.patches > 0 {
		t.Errorf("%v, %v, %d patches", f, err, w.patches)
	}
	w.set(func() {
		w.fail = func(verb, name string) error {
			if verb == "patch" && name == "service2" {
				return apierrors.NewForbidden(virtualServices.GroupResource(), name, errors.New("no such right"))
			}
			return nil
		}
	})
	if f, err := Preflight(ctx, w.config()); err != nil || len(f) != 1 || !strings.Contains(f[0].What, "this user may not patch virtualservices service2: ") || !strings.Contains(f[0].What, "no such right") {
		t.Errorf("%v, %v", f, err)
	}

	// The server's own words, of a real client.
	const words = `forbidden: User "pat" cannot get path "/version"`
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusForbidden)
		json.NewEncoder(rw).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: "Forbidden", Code: 403, Message: words})
	}))
	defer server.Close()
	cfg := w.config()
	var err error
	if cfg.Kubernetes, err = kubernetes.NewForConfig(&rest.Config{Host: server.URL}); err != nil {
		t.Fatal(err)
	}
	if err := cfg.version(ctx); !apierrors.IsForbidden(err) || err.Error() != words {
		t.Errorf("error %v, want %s", err, words)
	}
	// What is between here and an API server, and is none.
	for text, c := range map[string]struct {
		status int
		want   string
	}{
		`no endpoints for "api"`:     {http.StatusServiceUnavailable, `the server is currently unable to handle the request: no endpoints for "api"`},
		"<p>sign in</p>":             {http.StatusOK, `what is there is none; asked for its version it says "<p>sign in</p>"`},
		"{}":                         {http.StatusOK, `what is there is none; asked for its version it says "{}"`},
		`{"gitVersion":"v1.35.0"}`:   {http.StatusOK, ""},
		strings.Repeat("panic ", 99): {http.StatusInternalServerError, `an error on the server ("panic panic`},
	} {
		page := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Content-Type", "text/plain")
			rw.WriteHeader(c.status)
			io.WriteString(rw, text)
		}))
		if cfg.Kubernetes, err = kubernetes.NewForConfig(&rest.Config{Host: page.URL}); err != nil {
			t.Fatal(err)
		}
		if err := cfg.version(ctx); (err == nil) != (c.want == "") || err != nil && (!strings.HasPrefix(short(err), c.want) || len(short(err)) > maxWords+3) {
			t.Errorf("%s: %v, want %s", text, err, c.want)
		}
		page.Close()
	}
}

func TestConfig(t *testing.T) {
	mesh.RegisterKind(mesh.KindInfo{Kind: "window", Scope: mesh.PerNode, Prefix: "w"})
	w := newWorld(t)
	for want, edit := range map[string]func(*Config){
		"step of -1 s": func(c *Config) { c.Scenario.Timing.Step = -1 },
		"no service":   func(c *Config) { c.Scenario = scenario.Scenario{} },
		"knob w1 is of kind window, which nothing here can set; accepted: block, cpu, replicas, route": func(c *Config) {
			c.Scenario.Knobs = append(slices.Clone(c.Scenario.Knobs), mesh.Knob{Kind: "window", Max: 3})
		},
		"knob p1 takes 30 s up and 0 s down; accepted: 0, for the mesh follows at once": func(c *Config) {
			c.Scenario.Knobs = []mesh.Knob{{Kind: mesh.Route, Up: 30}}
		},
		"knob cpu1 has points below 0.01; accepted: limits that Kubernetes takes": func(c *Config) {
			c.Scenario.Knobs = append(slices.Clone(c.Scenario.Knobs), mesh.Knob{Kind: mesh.CPU, Max: 2})
		},
		"-1 s to start":                          func(c *Config) { c.Start = -1 },
		"time scale -3; accepted: 0.001 to 1000": func(c *Config) { c.TimeScale = -3 },
		"unknown blocking 7":                     func(c *Config) { c.Blocking = 7 },
		"safe action: mesh: action":              func(c *Config) { c.Safe = mesh.Action{} },
		"patience of -1 s":                       func(c *Config) { c.Patience = -1 },
		"kubeconfig: ":                           func(c *Config) { c.Kubernetes, c.Kubeconfig = nil, "/nowhere" },
	} {
		cfg := w.config()
		edit(&cfg)
		if _, err := New(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func TestTopology(t *testing.T) {
	w := newWorld(t)
	bed := w.testbed(t, w.config())
	ctx := context.Background()
	if err := bed.plane.Apply(ctx, action(.5, .3, .25, 0)); err != nil {
		t.Fatal(err)
	}
	got, err := bed.Topology(ctx)
	if err != nil {
		t.Fatal(err)
	}
	front := mesh.Pod{Workload: "front", Name: "front-a", Address: "127.0.0.1", Phase: "Running", Sidecar: true}
	if len(got.Pods) != 4 || !reflect.DeepEqual(got.Pods[0], front) || fmt.Sprint(got.Weights, got.Block) != "[[50 50] [30 70]] [0.25 0]" {
		t.Errorf("%+v", got)
	}
	if s := got.Pods[2].Subsets; !slices.Equal(s, []string{"service1/node1", "service2/node1"}) {
		t.Errorf("%s is in the subsets %q", got.Pods[2].Name, s)
	}
	// A front that does not answer is no reason to draw nothing.
	bed.plane.control.Token = "wrong"
	if got, err := bed.Topology(ctx); err != nil || !math.IsNaN(got.Block[0]) {
		t.Errorf("without the front: %v, %v", got.Block, err)
	}
	w.down(true)
	if _, err := bed.Topology(ctx); err == nil {
		t.Error("no error without an API server")
	}
	w.down(false)
}
