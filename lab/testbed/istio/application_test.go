package istio

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/testbed"
)

// shopScenario is of an application whose names are none of this project's.
const shopScenario = `name: shop
nodes: [{name: old}, {name: new}]
microservices: [{name: echo, nodes: [old, new], time: 0.01}]
services: [{name: shop, stages: [echo], load: {min: 5, max: 40}, goal: 0.1, requests: [{path: /buy}]}]
timing: {step: 1, settle: -1}
application:
  namespace: shop
  routes:
    echo: {virtualService: echo-routes, http: customers, host: echo, port: 8080, destinations: {old: {subset: v1}, new: {subset: v2}}}
  deployments: {old: echo-v1}
`

// shopRoutes is the application's VirtualService, as its owner applies it.
const shopRoutes = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo-routes, namespace: shop, generation: 1, resourceVersion: "1"}
spec:
  hosts: [echo]
  gateways: [mesh]
  http:
  - name: debug
    match: [{uri: {prefix: /debug}}]
    route: [{destination: {host: echo, subset: v2}}]
    timeout: 3s
  - name: testers
    match: [{headers: {x-tester: {exact: a}}}]
    route: [{destination: {host: echo, subset: v1}, weight: 90, headers: {response: {add: {x-was: tested}}}}, {destination: {host: echo, subset: v2}, weight: 10}]
    fault: {delay: {fixedDelay: 1s, percentage: {value: 0.5}}}
  - name: customers
    route: [{destination: {host: echo.shop.svc.cluster.local, subset: v2}, weight: 50}, {destination: {host: echo, subset: v1}, weight: 50}]
    retries: {attempts: 2, perTryTimeout: 1s}
  - route: [{destination: {host: other}}]
  tcp:
  - match: [{port: 8078}]
    route: [{destination: {host: echo, port: {number: 8078}, subset: v2}}]
`

func shopObject(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	b, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{}
	if err := u.UnmarshalJSON(b); err != nil {
		t.Fatal(err)
	}
	return u
}

// newShop is a world with an application of others. edit changes the scenario.
func newShop(t *testing.T, edit ...string) (*world, Config) {
	t.Helper()
	s, err := scenario.Parse("shop.yaml", []byte(strings.NewReplacer(edit...).Replace(shopScenario)))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldOf(t, scenario.Paper()) // what is around: API, permissions
	w.scenario, w.layout = s, s.Mesh.Layout()
	w.objects = map[string]*unstructured.Unstructured{"echo-routes": shopObject(t, shopRoutes)}
	rule := destinationRule("versions", "v1", "v2")
	rule.SetNamespace("shop")
	if err := unstructured.SetNestedField(rule.Object, "echo.shop", "spec", "host"); err != nil {
		t.Fatal(err)
	}
	if err := w.dynamic.Tracker().Create(destinationRules, rule, "shop"); err != nil {
		t.Fatal(err)
	}
	d := deployment("echo-v1")
	d.Namespace, d.Spec.Selector = "shop", &metav1.LabelSelector{MatchLabels: map[string]string{"app": "echo", "version": "v1"}}
	old := pod("echo-v1-x", d.Spec.Selector.MatchLabels)
	old.Spec.InitContainers = nil // of the front alone a sidecar is asked
	for _, x := range []*corev1.Pod{pod("meshbench-front-a", map[string]string{"app": ApplicationFront}), pod("meshbench-generator-a", map[string]string{"app": ApplicationGenerator}), old,
		pod("front-of-theirs", map[string]string{"app": "front"})} {
		x.Namespace = "shop"
		if err := w.kube.Tracker().Add(x); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{w.kube.Tracker().Add(d),
		w.kube.Tracker().Add(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}),
		w.kube.Tracker().Add(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: settingsName, Namespace: "shop"}, Data: map[string]string{"TIME_SCALE": "1"}}),
		w.kube.Tracker().Add(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secretName, Namespace: "shop"}, Data: map[string][]byte{secretKey: []byte("sesame\n")}})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	requests, control := w.shopFront(t)
	g, err := httpload.New(httpload.Config{Target: requests, Mesh: s.Mesh, Requests: s.Requests, NodeHeader: service.NodeHeader, FailureHeader: service.FailureHeader,
		RunHeader: service.RunHeader, ServiceHeader: service.ServiceHeader}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	h, err := httpload.NewHandler(g, "sesame")
	if err != nil {
		t.Fatal(err)
	}
	generator := httptest.NewServer(h)
	t.Cleanup(generator.Close)
	return w, Config{Scenario: s, Kubernetes: w.kube, Dynamic: w.dynamic, Front: control, Generator: generator.URL, Patience: .5, Follow: .5, MaxLag: 10}
}

// shopFront starts the application, a sidecar before it and the front, as it is
// deployed beside applications.
func (w *world) shopFront(t *testing.T) (requests, control string) {
	nodes := map[string]*url.URL{}
	for _, version := range []string{"v1", "v2"} {
		node := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get(service.RunHeader) != "" || r.Header.Get("Authorization") != "" {
				t.Error("a header of this project reached the application")
			}
			rw.Header().Set("X-Version", version)
			if r.URL.Path != "/buy" {
				http.NotFound(rw, r)
			}
		}))
		t.Cleanup(node.Close)
		u, err := url.Parse(node.URL)
		if err != nil {
			t.Fatal(err)
		}
		nodes[version] = u
	}
	view := func() *unstructured.Unstructured {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.frozen != nil {
			return w.frozen["echo-routes"]
		}
		return w.objects["echo-routes"]
	}
	rng := rand.New(rand.NewPCG(1, 2))
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for _, e := range view().Object["spec"].(map[string]any)["http"].([]any) {
			e := e.(map[string]any)
			if !matches(e, r) {
				continue
			}
			w.mu.Lock()
			u, v := 100*rng.Float64(), 100*rng.Float64()
			w.mu.Unlock()
			if a, ok, _ := unstructured.NestedFieldNoCopy(e, "fault", "abort", "percentage", "value"); ok {
				if x, _ := number(a); v < x {
					rw.WriteHeader(http.StatusTooManyRequests)
					io.WriteString(rw, "fault filter abort")
					return
				}
			}
			subset := ""
			for _, d := range e["route"].([]any) {
				subset, _, _ = unstructured.NestedString(d.(map[string]any), "destination", "subset")
				x, _ := number(d.(map[string]any)["weight"])
				if u -= x; u < 0 {
					break
				}
			}
			p := httputil.NewSingleHostReverseProxy(nodes[subset])
			p.ModifyResponse = func(resp *http.Response) error {
				resp.Header.Set(scenario.ProxyHeader, "outbound|8080|"+subset+"|echo.shop.svc.cluster.local;")
				return nil
			}
			p.ServeHTTP(rw, r)
			return
		}
	}))
	t.Cleanup(proxy.Close)
	sidecar := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/config_dump" || r.Header.Get("Authorization") != "" {
			t.Errorf("the sidecar was asked for %s with the token %q", r.URL, r.Header.Get("Authorization"))
		}
		json.NewEncoder(rw).Encode(envoyOf(view()))
	}))
	t.Cleanup(sidecar.Close)
	front, err := service.NewFront(service.FrontConfig{Mesh: w.scenario.Mesh, Token: "sesame", Upstreams: []string{proxy.URL}, Sidecar: sidecar.URL,
		Application: &service.Application{Requests: w.scenario.Requests, Node: w.scenario.NodeOf(), Aborted: w.scenario.Defaults().Application.Blocking == scenario.FaultBlocks}})
	if err != nil {
		t.Fatal(err)
	}
	a, b := httptest.NewServer(front), httptest.NewServer(front.Control())
	t.Cleanup(a.Close)
	t.Cleanup(b.Close)
	return a.URL, b.URL
}

// envoyOf is what istiod makes of a VirtualService: a route for each match, whose
// destinations of weight 0 are left out.
func envoyOf(vs *unstructured.Unstructured) any {
	var routes []any
	for _, e := range vs.Object["spec"].(map[string]any)["http"].([]any) {
		e := e.(map[string]any)
		var clusters []any
		for _, d := range e["route"].([]any) {
			d := d.(map[string]any)
			subset, _, _ := unstructured.NestedString(d, "destination", "subset")
			host, _, _ := unstructured.NestedString(d, "destination", "host")
			host, _, _ = strings.Cut(host, ".")
			if x, _ := number(d["weight"]); x > 0 || len(e["route"].([]any)) == 1 {
				clusters = append(clusters, map[string]any{"name": "outbound|8080|" + subset + "|" + host + ".shop.svc.cluster.local", "weight": max(x, 1)})
			}
		}
		route := map[string]any{"weighted_clusters": map[string]any{"clusters": clusters}}
		if len(clusters) == 1 {
			route = map[string]any{"cluster": clusters[0].(map[string]any)["name"]}
		}
		out := map[string]any{"route": route, "metadata": map[string]any{"filter_metadata": map[string]any{"istio": map[string]any{
			"config": "/apis/networking.istio.io/v1/namespaces/shop/virtual-service/" + vs.GetName()}}}}
		if name, ok := e["name"]; ok {
			out["name"] = name
		}
		if a, ok, _ := unstructured.NestedFieldNoCopy(e, "fault", "abort", "percentage", "value"); ok {
			x, _ := number(a)
			out["typed_per_filter_config"] = map[string]any{"envoy.filters.http.fault": map[string]any{"abort": map[string]any{
				"percentage": map[string]any{"numerator": 10000 * x, "denominator": "MILLION"}}}}
		}
		routes = append(routes, out)
	}
	return map[string]any{"configs": []any{map[string]any{"route_config": map[string]any{"virtual_hosts": []any{map[string]any{"routes": routes}}}}}}
}

// specBut is a VirtualService's spec as text, without the weights of an HTTP entry.
func specBut(t *testing.T, vs *unstructured.Unstructured, entry string) string {
	t.Helper()
	c := vs.DeepCopy()
	for _, e := range c.Object["spec"].(map[string]any)["http"].([]any) {
		if e := e.(map[string]any); e["name"] == entry {
			for _, d := range e["route"].([]any) {
				delete(d.(map[string]any), "weight")
			}
		}
	}
	b, err := json.Marshal(c.Object["spec"])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (w *world) get(name string) *unstructured.Unstructured {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.objects[name].DeepCopy()
}

// Of an application's VirtualService weights alone are changed, and of one HTTP
// entry; the mesh follows, and which node answered is known.
func TestApplication(t *testing.T) {
	w, cfg := newShop(t)
	before := specBut(t, w.get("echo-routes"), "customers")
	bed := w.testbed(t, cfg)
	for _, old := range []float64{.2, 1, 0} {
		a := mesh.Action{old, 1 - old, .4}
		x, err := bed.Measure(context.Background(), mesh.Load{40}, a)
		if err != nil {
			t.Fatal(err)
		}
		vs := w.get("echo-routes")
		if after := specBut(t, vs, "customers"); after != before {
			t.Errorf("the VirtualService is now\n%s\nbefore\n%s", after, before)
		}
		got := bed.plane.cfg.objects()[0]
		if r, err := got.read(vs); err != nil || !slices.Equal(r.routes[0].weights, []int{int(100 * old), int(100 - 100*old)}) || r.revision == "" {
			t.Errorf("weights %+v, %v", r, err)
		}
		n := x.Endpoint[0].Count + x.Endpoint[1].Count
		if share := x.Endpoint[0].Count / n; x.Mark != "" || n < 10 || share < old-.35 || share > old+.35 || old == 0 && share > 0 || x.Blocked[0] < 10 {
			t.Errorf("%s: %v and %v answered, %v blocked, mark %q", bed.Space().Format(a), x.Endpoint[0].Count, x.Endpoint[1].Count, x.Blocked[0], x.Mark)
		}
	}
	if n := len(bed.Followed()); n < 3 {
		t.Errorf("%d changes were followed", n)
	}
	top, err := bed.Topology(context.Background())
	if err != nil || !slices.Equal(top.Weights[0], []int{0, 100}) || len(top.Pods) != 3 {
		t.Errorf("topology %+v, %v", top, err)
	}
	// A mesh that does not follow is said.
	w.set(func() {
		w.frozen = map[string]*unstructured.Unstructured{"echo-routes": w.objects["echo-routes"].DeepCopy()}
	})
	x, err := bed.Measure(context.Background(), mesh.Load{20}, mesh.Action{.6, .4, 0})
	if err != nil || !strings.Contains(x.Mark, "the mesh did not follow within 0.5 s: shop: echo is not yet routed 60/40: ") {
		t.Errorf("mark %q, %v", x.Mark, err)
	}
}

// apply is the application's owner, who applies his file again by kubectl.
func (w *world) apply(t *testing.T, manager, text string) {
	t.Helper()
	u := shopObject(t, text)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.change("echo-routes", func(spec map[string]any) {
		clear(spec)
		for k, v := range u.Object["spec"].(map[string]any) {
			spec[k] = v
		}
	})
	now := metav1.NewTime(time.Unix(int64(w.version), 0))
	w.objects["echo-routes"].SetManagedFields([]metav1.ManagedFieldsEntry{
		{Manager: "meshbench", Operation: "Update", Time: &metav1.Time{Time: time.Unix(1, 0)}, FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{}}`)},
		{Manager: manager, Operation: "Update", Time: &now, FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:http":{}}}`)}})
}

// Two write a VirtualService: the owner by kubectl, and the testbed. All of the
// owner's stays; the weights of the one HTTP entry are put right at the next
// step, and the row of the one before names him.
func TestApplicationTwoOwners(t *testing.T) {
	w, cfg := newShop(t)
	bed := w.testbed(t, cfg)
	a := mesh.Action{.2, .8, 0}
	measure := func() string {
		t.Helper()
		x, err := bed.Measure(context.Background(), mesh.Load{20}, a)
		if err != nil {
			t.Fatal(err)
		}
		return x.Mark
	}
	if mark := measure(); mark != "" {
		t.Fatalf("mark %q", mark)
	}
	theirs := strings.Replace(strings.Replace(shopRoutes, "timeout: 3s", "timeout: 4s", 1), "  - route: [{destination: {host: other}}]\n",
		"    timeout: 7s\n  - {name: new, match: [{uri: {prefix: /new}}], route: [{destination: {host: new}}]}\n", 1)
	for n, c := range []struct{ text, want string }{
		{theirs, "another writer (kubectl-client-side-apply) routed shop: echo 50/50 in place of 20/80"},
		{strings.Replace(strings.Replace(theirs, "timeout: 7s", "timeout: 9s", 1), "weight: 50}, {destination: {host: echo, subset: v1}, weight: 50", "weight: 80}, {destination: {host: echo, subset: v1}, weight: 20", 1),
			"another writer (kubectl-client-side-apply) changed VirtualService echo-routes"},
	} {
		before := w.get("echo-routes").GetGeneration()
		w.set(func() {
			w.after = func(verb, _ string) { // between the writing and the look after the step
				if w.get("echo-routes").GetGeneration() == before {
					w.apply(t, "kubectl-client-side-apply", c.text)
				}
			}
		})
		if mark := measure(); !strings.Contains(mark, c.want) {
			t.Errorf("%d: mark %q, want %q", n, mark, c.want)
		}
		w.set(func() { w.after = nil })
		if mark := measure(); mark != "" {
			t.Errorf("%d: mark %q after it was put right", n, mark)
		}
		if got, want := specBut(t, w.get("echo-routes"), "customers"), specBut(t, shopObject(t, c.text), "customers"); got != want {
			t.Errorf("%d: of the owner's is left\n%s\nwant\n%s", n, got, want)
		}
		o := bed.cfg.objects()[0]
		if r, err := o.read(w.get("echo-routes")); err != nil || !slices.Equal(r.routes[0].weights, []int{20, 80}) {
			t.Errorf("%d: weights %+v, %v", n, r, err)
		}
	}
	// An owner who takes the entry away ends the run.
	w.apply(t, "helm", strings.Replace(shopRoutes, "name: customers", "name: clients", 1))
	_, err := bed.Measure(context.Background(), mesh.Load{20}, a)
	if err == nil || !strings.Contains(err.Error(), "VirtualService echo-routes has no HTTP entry with one destination for each of the destinations of old, new and the name customers") {
		t.Errorf("error %v", err)
	}
}

// Blocking by abort writes one into the entry and takes it out again; another's
// stays.
func TestApplicationFault(t *testing.T) {
	w, cfg := newShop(t, "  namespace: shop", "  namespace: shop\n  blocking: fault")
	bed := w.testbed(t, cfg)
	fault := func() any {
		list, _, _ := unstructured.NestedSlice(w.get("echo-routes").Object, "spec", "http")
		return list[2].(map[string]any)["fault"]
	}
	x, err := bed.Measure(context.Background(), mesh.Load{40}, mesh.Action{.6, .4, .4})
	if err != nil || x.Mark != "" || x.Blocked[0] < 8 || x.Failed[0] > 0 || x.Endpoint[0].Count == 0 {
		t.Errorf("%v blocked, %v failed, mark %q, %v", x.Blocked[0], x.Failed[0], x.Mark, err)
	}
	if want := map[string]any{"abort": map[string]any{"httpStatus": int64(429), "percentage": map[string]any{"value": int64(40)}}}; !reflect.DeepEqual(fault(), want) {
		t.Errorf("fault %v, want %v", fault(), want)
	}
	before := specBut(t, shopObject(t, shopRoutes), "customers")
	if _, err := bed.Measure(context.Background(), mesh.Load{20}, mesh.Action{.6, .4, 0}); err != nil || specBut(t, w.get("echo-routes"), "customers") != before {
		t.Errorf("%v; left is %s", err, specBut(t, w.get("echo-routes"), "customers"))
	}
	own := strings.Replace(shopRoutes, "    retries:", "    fault: {abort: {httpStatus: 429, percentage: {value: 1}}}\n    retries:", 1)
	w.apply(t, "helm", own)
	if f, err := Preflight(context.Background(), cfg); err != nil || len(f) != 1 || !strings.Contains(f[0].What, "has a fault abort for shop: echo that is not the testbed's") {
		t.Errorf("%v, %v", f, err)
	}
}

// What the application lacks is said in one list.
func TestApplicationPreflight(t *testing.T) {
	w, cfg := newShop(t, "subset: v2", "subset: v3", "echo-v1", "echo-v9", "path: /buy", "path: /sell")
	yes := true
	w.objects["echo-routes"].SetOwnerReferences([]metav1.OwnerReference{{Kind: "Canary", Name: "echo", Controller: &yes}})
	f, err := Preflight(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	text := f.Error()
	for _, want := range []string{
		"VirtualService echo-routes has no HTTP entry with one destination for each of the destinations of old, new and the name customers",
		"VirtualService echo-routes is written by Canary echo",
		"no DestinationRule has subset v3 of echo.shop.svc.cluster.local (node new)",
		"Deployment echo-v9 of node old: ",
		"no pod of the old",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	// Of one whose names are right, what it answers.
	_, cfg = newShop(t, "path: /buy", "path: /sell", "  namespace: shop", "  namespace: shop\n  attribution: header\n  header: X-Release")
	if f, err := Preflight(context.Background(), cfg); err != nil || len(f) != 1 || !strings.Contains(f[0].What, "a first request of service shop failed: status 404") {
		t.Errorf("%v, %v", f, err)
	}
	_, cfg = newShop(t, "  namespace: shop", "  namespace: shop\n  attribution: header\n  header: X-Release")
	if f, err := Preflight(context.Background(), cfg); err != nil || len(f) != 1 || !strings.Contains(f[0].What, "an answer to service shop has no header X-Release with the name of a node") {
		t.Errorf("%v, %v", f, err)
	}
	_, cfg = newShop(t, "virtualService: echo-routes", "virtualService: other-routes")
	if f, err := Preflight(context.Background(), cfg); err != nil || len(f) != 2 || !strings.Contains(f[0].What, "VirtualService other-routes: ") ||
		!strings.Contains(f[1].What, "the front's sidecar has no route of VirtualService other-routes for shop: echo") {
		t.Errorf("%v, %v", f, err)
	}
}

// A trace of an application whose answers name their version, and of one that
// does not say.
func TestApplicationCollect(t *testing.T) {
	for name, edit := range map[string][]string{
		"header": {"  namespace: shop", "  namespace: shop\n  attribution: header\n  header: X-Version\n  names: {v1: old, v2: new}"},
		"none":   {"  namespace: shop", "  namespace: shop\n  attribution: none\n  follow: 0.05"},
	} {
		t.Run(name, func(t *testing.T) {
			w, cfg := newShop(t, append(edit, "step: 1", "step: 0.3")...)
			bed := w.testbed(t, cfg)
			file := t.TempDir() + "/shop.csv"
			if n, err := testbed.CollectFile(context.Background(), bed, file, testbed.Collection{Scenario: cfg.Scenario, Steps: 3, Seed: 1, Reference: -1}); err != nil || n != 3 {
				t.Fatal(n, err)
			}
			x, err := bed.Measure(context.Background(), mesh.Load{40}, mesh.Action{.6, .4, 0})
			if err != nil || x.Mark != "" || x.Service[0].Count == 0 || (x.Endpoint[0].Count > 0) != (name == "header") {
				t.Errorf("%+v, %v", x, err)
			}
		})
	}
	for edit, want := range map[string]string{
		"blocking: none":            "a knob that blocks",
		"attribution: front":        `attribution "front"; accepted`,
		"follow: -1":                "follow -1 s",
		"deployments: {x: y}":       "",
		"routes: {cart: {port: 1}}": "",
	} {
		_, err := scenario.Parse("shop.yaml", []byte(strings.Replace(shopScenario, "  namespace: shop", "  namespace: shop\n  "+edit, 1)))
		if err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %q", edit, err, want)
		}
	}
}
