package istio

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"

	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	fakediscovery "k8s.io/client-go/discovery/fake"
	fakedynamic "k8s.io/client-go/dynamic/fake"
	fakekubernetes "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/testbed"
)

// world is a cluster in memory: an API server that minds versions as the real
// one does, and a mesh that routes by what the API server has. Front and control
// endpoint are the real ones.
type world struct {
	mu        sync.Mutex
	objects   map[string]*unstructured.Unstructured // VirtualServices
	version   int
	patches   int
	fail      func(verb, name string) error         // of requests for VirtualServices; nil for none
	admit     func(name string, vs map[string]any)  // changes what is written
	after     func(verb, name string)               // called when a request was served
	frozen    map[string]*unstructured.Unstructured // the mesh's view, where it does not follow
	denied    func(*authv1.ResourceAttributes) bool // permissions that are missing
	pods      func(verb string) error               // failure of requests for pods
	kube      *fakekubernetes.Clientset
	dynamic   *fakedynamic.FakeDynamicClient
	front     *httptest.Server
	upstreams []*httptest.Server // the mesh, by service
	routed    map[string]int     // requests by "service node", probes left out
}

func virtualService(name string, weights ...int64) *unstructured.Unstructured {
	var route []any
	for j, w := range weights {
		route = append(route, map[string]any{"destination": map[string]any{"host": name, "subset": fmt.Sprintf("node%d", j+1)}, "weight": w})
	}
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
		"metadata": map[string]any{"name": name, "namespace": "meshbench", "generation": int64(1), "resourceVersion": "1"},
		"spec": map[string]any{"hosts": []any{name}, "http": []any{map[string]any{"name": name, "retries": map[string]any{"attempts": int64(0)}, "timeout": "10s",
			"headers": map[string]any{"request": map[string]any{"set": map[string]any{"x-kept": "yes"}}}, "route": route}}}}}
}

func destinationRule(name string, nodes ...string) *unstructured.Unstructured {
	var subsets []any
	for _, n := range nodes {
		subsets = append(subsets, map[string]any{"name": n, "labels": map[string]any{"node": n}})
	}
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
		"metadata": map[string]any{"name": name, "namespace": "meshbench"}, "spec": map[string]any{"host": name, "subsets": subsets}}}
}

func pod(name string, labels map[string]string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "meshbench", Labels: labels, UID: types.UID("uid of " + name)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}, InitContainers: []corev1.Container{{Name: sidecar}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "127.0.0.1",
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{objects: map[string]*unstructured.Unstructured{}, version: 1, routed: map[string]int{}}
	for _, name := range []string{"service1", "service2"} {
		w.objects[name] = virtualService(name, 50, 50)
	}
	w.dynamic = fakedynamic.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{virtualServices: "VirtualServiceList", destinationRules: "DestinationRuleList"},
		destinationRule("service1", "node1", "node2"), destinationRule("service2", "node1", "node2"))
	w.dynamic.PrependReactor("*", "virtualservices", w.serve)
	objects := []runtime.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "meshbench", Labels: map[string]string{"istio-injection": "enabled"}}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: settingsName, Namespace: "meshbench"}, Data: map[string]string{"TIME_SCALE": "10"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secretName, Namespace: "meshbench"}, Data: map[string][]byte{secretKey: []byte("sesame\n")}},
	}
	for _, p := range []struct{ name, app, node string }{{"front-a", "front", ""}, {"generator-a", "generator", ""}, {"node1-a", "node", "node1"}, {"node2-a", "node", "node2"}} {
		labels := map[string]string{"app": p.app}
		if p.node != "" {
			labels["node"] = p.node
		}
		objects = append(objects, pod(p.name, labels))
	}
	w.kube = fakekubernetes.NewSimpleClientset(objects...)
	w.kube.PrependReactor("create", "selfsubjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authv1.SelfSubjectAccessReview).DeepCopy()
		r.Status.Allowed = w.denied == nil || !w.denied(r.Spec.ResourceAttributes)
		return true, r, nil
	})
	w.kube.PrependReactor("*", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		w.mu.Lock()
		f := w.pods
		w.mu.Unlock()
		if f != nil {
			if err := f(a.GetVerb()); err != nil {
				return true, nil, err
			}
		}
		return false, nil, nil
	})
	w.kube.Discovery().(*fakediscovery.FakeDiscovery).Resources = []*metav1.APIResourceList{{GroupVersion: "networking.istio.io/v1",
		APIResources: []metav1.APIResource{{Name: "virtualservices"}, {Name: "destinationrules"}}}}
	w.startFront(t)
	return w
}

// serve is the API server for VirtualServices.
func (w *world) serve(a clienttesting.Action) (bool, runtime.Object, error) {
	var name string
	if n, ok := a.(interface{ GetName() string }); ok {
		name = n.GetName()
	}
	w.mu.Lock()
	fail := w.fail
	w.mu.Unlock()
	if fail != nil {
		if err := fail(a.GetVerb(), name); err != nil {
			return true, nil, err
		}
	}
	w.mu.Lock()
	vs := w.objects[name]
	if vs == nil {
		w.mu.Unlock()
		return true, nil, apierrors.NewNotFound(virtualServices.GroupResource(), name)
	}
	if p, ok := a.(clienttesting.PatchAction); ok {
		var patch struct {
			Metadata struct{ ResourceVersion string }
			Spec     map[string]any
		}
		if err := json.Unmarshal(p.GetPatch(), &patch); err != nil {
			w.mu.Unlock()
			return true, nil, err
		}
		if patch.Metadata.ResourceVersion != vs.GetResourceVersion() {
			w.mu.Unlock()
			return true, nil, apierrors.NewConflict(virtualServices.GroupResource(), name, fmt.Errorf("the object has been modified"))
		}
		w.patches++
		w.change(name, func(spec map[string]any) {
			u := unstructured.Unstructured{}
			b, _ := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "x", "spec": patch.Spec})
			if err := u.UnmarshalJSON(b); err != nil {
				panic(err)
			}
			maps.Copy(spec, u.Object["spec"].(map[string]any)) // numbers as the API machinery has them
			if w.admit != nil {
				w.admit(name, spec)
			}
		})
	}
	vs = w.objects[name].DeepCopy()
	after := w.after
	w.mu.Unlock()
	if after != nil {
		after(a.GetVerb(), name)
	}
	return true, vs, nil
}

// change writes a VirtualService; the lock is held.
func (w *world) change(name string, edit func(spec map[string]any)) {
	vs := w.objects[name].DeepCopy()
	edit(vs.Object["spec"].(map[string]any))
	w.version++
	vs.SetResourceVersion(strconv.Itoa(w.version))
	vs.SetGeneration(vs.GetGeneration() + 1)
	w.objects[name] = vs
}

// route is another writer: it sets the weights of a service.
func (w *world) route(t *testing.T, name string, weights ...int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.change(name, func(spec map[string]any) {
		entry := spec["http"].([]any)[len(spec["http"].([]any))-1].(map[string]any)
		for j, d := range entry["route"].([]any) {
			d.(map[string]any)["weight"] = weights[j]
		}
	})
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// weights are what the API server has.
func (w *world) weights(t *testing.T, name string) []int {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	r, err := readRouting(w.objects[name], []string{"node1", "node2"})
	if err != nil {
		t.Fatal(err)
	}
	return r.weights
}

// startFront starts the front with a mesh behind it, which has the proxy's
// part: it picks the first entry that matches, aborts, routes by weight and adds
// the headers.
func (w *world) startFront(t *testing.T) {
	var nodes []*url.URL
	for _, name := range []string{"node1", "node2"} {
		node := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "" {
				t.Error("the token reached a node")
			}
			rw.Header().Set(service.NodeHeader, name)
		}))
		t.Cleanup(node.Close)
		u, err := url.Parse(node.URL)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, u)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var upstreams []string
	for _, name := range []string{"service1", "service2"} {
		proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			vs := w.objects[name]
			if w.frozen != nil {
				vs = w.frozen[name]
			}
			probing := r.Header.Get(service.ProbeHeader) != ""
			var entry map[string]any
			for _, e := range vs.Object["spec"].(map[string]any)["http"].([]any) {
				entry = e.(map[string]any)
				if entry["name"] != probeEntry || probing {
					break
				}
			}
			if v, ok, _ := unstructured.NestedFieldNoCopy(entry, "fault", "abort", "percentage", "value"); ok {
				if x, _ := number(v); 100*rng.Float64() < x {
					w.mu.Unlock()
					http.Error(rw, "fault filter abort", http.StatusTooManyRequests)
					return
				}
			}
			u, j := 100*rng.Float64(), 0
			for _, d := range entry["route"].([]any) {
				x, _ := number(d.(map[string]any)["weight"])
				if u -= x; u < 0 {
					break
				}
				j++
			}
			if !probing {
				w.routed[fmt.Sprintf("%s node%d", name, j+1)]++
			}
			revision, _, _ := unstructured.NestedString(entry, "headers", "response", "set", RouteHeader)
			w.mu.Unlock()
			if revision != "" {
				rw.Header().Set(RouteHeader, revision)
			}
			proxy := httputil.NewSingleHostReverseProxy(nodes[j])
			proxy.ErrorLog = log.New(io.Discard, "", 0) // of requests that the generator gave up
			proxy.ServeHTTP(rw, r)
		}))
		t.Cleanup(proxy.Close)
		w.upstreams, upstreams = append(w.upstreams, proxy), append(upstreams, proxy.URL)
	}
	front, err := service.NewFront(service.FrontConfig{Upstreams: upstreams, Token: "sesame"})
	if err != nil {
		t.Fatal(err)
	}
	w.front = httptest.NewServer(front)
	t.Cleanup(w.front.Close)
}

// config is that of a testbed on the world, impatient.
func (w *world) config() Config {
	return Config{Kubernetes: w.kube, Dynamic: w.dynamic, Front: w.front.URL, LocalLoad: w.front.URL, Patience: .5, Follow: .5,
		Timing: testbed.Timing{Step: 1, Settle: -1}, MaxLag: 10}
}

func (w *world) testbed(t *testing.T, cfg Config) *Testbed {
	t.Helper()
	bed, err := New(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bed.Close() })
	return bed
}

// action has weights p11, p21 and blocking rates b1, b2.
func action(p11, p21, b1, b2 float64) mesh.Action {
	return mesh.Action{Route: []float64{p11, 1 - p11, p21, 1 - p21}, Block: []float64{b1, b2}}
}

// measure makes a step of 8 requests/s of each service and returns it with what
// the mesh routed where.
func (w *world) measure(t *testing.T, bed *Testbed, a mesh.Action) (mesh.Measurement, map[string]int) {
	t.Helper()
	w.set(func() { clear(w.routed) })
	x, err := bed.Measure(context.Background(), mesh.Load{8, 8}, a)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return x, maps.Clone(w.routed)
}

// down makes the API server unreachable.
func (w *world) down(yes bool) {
	refused := func(string) error {
		return &url.Error{Op: "Get", URL: "https://api/x", Err: fmt.Errorf("connection refused")}
	}
	w.set(func() {
		w.fail, w.pods = nil, nil
		if yes {
			w.fail, w.pods = func(verb, _ string) error { return refused(verb) }, refused
		}
	})
}

func wantWeights(t *testing.T, w *world, service1, service2 []int) {
	t.Helper()
	if a, b := w.weights(t, "service1"), w.weights(t, "service2"); !slices.Equal(a, service1) || !slices.Equal(b, service2) {
		t.Errorf("the API server has %v and %v, want %v and %v", a, b, service1, service2)
	}
}
