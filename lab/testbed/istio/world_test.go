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
	"strings"
	"sync"
	"testing"

	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	fakediscovery "k8s.io/client-go/discovery/fake"
	fakedynamic "k8s.io/client-go/dynamic/fake"
	fakekubernetes "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service"
)

// world is a cluster in memory: an API server that minds versions as the real
// one does, and a mesh that routes by what the API server has. Front and control
// endpoint are the real ones.
type world struct {
	scenario  scenario.Scenario
	layout    *mesh.Layout
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
	refuse    func(verb, name string) error         // of requests for Deployments and to resize; nil for none
	slow      bool                                  // new pods do not get ready
	quota     int                                   // replicas of which no more are made; 0 for no limit
	small     float64                               // cores of the machine: more are infeasible; 0 for no limit
	made      int                                   // pods so far
	scales    int                                   // writings of scales
	kube      *fakekubernetes.Clientset
	dynamic   *fakedynamic.FakeDynamicClient
	front     *httptest.Server
	upstreams []*httptest.Server // the mesh, by microservice
	routed    map[string]int     // requests by "call node", probes left out
}

// virtualService is that of a microservice with even weights, as cluster/ has
// it, and things of its owner's.
func virtualService(l *mesh.Layout, microservice string) *unstructured.Unstructured {
	var http []any
	for _, o := range objects(l, func(name string) string { return name }) {
		if o.name != microservice {
			continue
		}
		for _, e := range o.entries {
			var route []any
			for j, node := range e.nodes {
				weight := int64(100 / len(e.nodes))
				if j == 0 {
					weight += int64(100 % len(e.nodes))
				}
				route = append(route, map[string]any{"destination": map[string]any{"host": microservice, "subset": node}, "weight": weight})
			}
			h := map[string]any{"name": l.Mesh.Services[l.Calls[e.call].Service].Name, "retries": map[string]any{"attempts": int64(0)}, "timeout": "10s",
				"headers": map[string]any{"request": map[string]any{"set": map[string]any{"x-kept": "yes"}}}, "route": route}
			if e.service != "" {
				h["match"] = []any{map[string]any{"headers": map[string]any{serviceHeader: map[string]any{"exact": e.service}}}}
			}
			http = append(http, h)
		}
	}
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
		"metadata": map[string]any{"name": microservice, "namespace": "meshbench", "generation": int64(1), "resourceVersion": "1"},
		"spec":     map[string]any{"hosts": []any{microservice}, "http": http}}}
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
	one := corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "meshbench", Labels: labels, UID: types.UID("uid of " + name)},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Resources: one}}, InitContainers: []corev1.Container{{Name: sidecar}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "127.0.0.1", ContainerStatuses: []corev1.ContainerStatus{{Name: "app", Resources: &one}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
}

func newWorld(t *testing.T) *world { return newWorldOf(t, scenario.Paper()) }

func newWorldOf(t *testing.T, s scenario.Scenario) *world {
	t.Helper()
	w := &world{scenario: s, layout: s.Mesh.Layout(), objects: map[string]*unstructured.Unstructured{}, version: 1, routed: map[string]int{}}
	var rules []runtime.Object
	for _, o := range objects(w.layout, func(name string) string { return name }) {
		w.objects[o.name] = virtualService(w.layout, o.name)
		rules = append(rules, destinationRule(o.name, o.subsets()...))
	}
	w.dynamic = fakedynamic.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{virtualServices: "VirtualServiceList", destinationRules: "DestinationRuleList", scaledObjects: "ScaledObjectList"}, rules...)
	w.dynamic.PrependReactor("*", "virtualservices", w.serve)
	objects := []runtime.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "meshbench"}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: settingsName, Namespace: "meshbench"}, Data: map[string]string{"TIME_SCALE": "10"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secretName, Namespace: "meshbench"}, Data: map[string][]byte{secretKey: []byte("sesame\n")}},
		pod("front-a", map[string]string{"app": "front"}), pod("generator-a", map[string]string{"app": "generator"}),
	}
	for _, node := range s.Mesh.NodeNames() {
		objects = append(objects, pod(node+"-a", map[string]string{"app": "node", "node": node}), deployment(node))
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
	w.startDeployments()
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
	if p, ok := a.(clienttesting.PatchAction); ok {
		w.annotate(name, p.GetPatch())
	}
	vs = w.objects[name].DeepCopy()
	after := w.after
	w.mu.Unlock()
	if after != nil {
		after(a.GetVerb(), name)
	}
	return true, vs, nil
}

// annotate does what a patch says of annotations; the lock is held.
func (w *world) annotate(name string, patch []byte) {
	var p struct {
		Metadata struct{ Annotations map[string]*string }
	}
	if err := json.Unmarshal(patch, &p); err != nil {
		panic(err)
	}
	all := w.objects[name].GetAnnotations()
	for key, value := range p.Metadata.Annotations {
		if delete(all, key); value == nil {
			continue
		}
		if all == nil {
			all = map[string]string{}
		}
		all[key] = *value
	}
	w.objects[name].SetAnnotations(all)
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

// weights are what the API server has for the calls of a microservice.
func (w *world) weights(t *testing.T, name string) []int {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range objects(w.layout, func(name string) string { return name }) {
		if o.name != name {
			continue
		}
		x, err := o.read(w.objects[name])
		if err != nil {
			t.Fatal(err)
		}
		var all []int
		for _, r := range x.routes {
			all = append(all, r.weights...)
		}
		return all
	}
	t.Fatal("no microservice ", name)
	return nil
}

// matches tells whether an HTTP entry is for a request, by exact headers and the
// beginning of the path.
func matches(entry map[string]any, r *http.Request) bool {
	list, _, _ := unstructured.NestedSlice(entry, "match")
	if len(list) == 0 {
		return true
	}
	for _, m := range list {
		headers, _, _ := unstructured.NestedMap(m.(map[string]any), "headers")
		prefix, _, _ := unstructured.NestedString(m.(map[string]any), "uri", "prefix")
		all := strings.HasPrefix(r.URL.Path, prefix)
		for name, want := range headers {
			all = all && r.Header.Get(name) == want.(map[string]any)["exact"]
		}
		if all {
			return true
		}
	}
	return false
}

// startFront starts the front with a mesh behind it, which has the proxy's
// part: it picks the first entry that matches, aborts, routes by weight and adds
// the headers.
func (w *world) startFront(t *testing.T) {
	nodes := map[string]*url.URL{}
	for _, name := range w.scenario.Mesh.NodeNames() {
		node := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "" {
				t.Error("the token reached a node")
			}
			rw.Header().Set(service.NodeHeader, name)
			io.WriteString(rw, "{}")
		}))
		t.Cleanup(node.Close)
		u, err := url.Parse(node.URL)
		if err != nil {
			t.Fatal(err)
		}
		nodes[name] = u
	}
	rng := rand.New(rand.NewPCG(1, 2))
	cfg := service.FrontConfig{Mesh: w.scenario.Mesh, Token: "sesame"}
	for _, name := range w.layout.Microservices {
		proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			w.mu.Lock()
			vs := w.objects[name]
			if w.frozen != nil {
				vs = w.frozen[name]
			}
			probing := r.Header.Get(service.ProbeHeader) != ""
			var entry map[string]any
			for _, e := range vs.Object["spec"].(map[string]any)["http"].([]any) {
				if e := e.(map[string]any); matches(e, r) {
					entry = e
					break
				}
			}
			if entry == nil {
				w.mu.Unlock()
				http.Error(rw, "no route", http.StatusNotFound)
				return
			}
			if v, ok, _ := unstructured.NestedFieldNoCopy(entry, "fault", "abort", "percentage", "value"); ok {
				if x, _ := number(v); 100*rng.Float64() < x {
					status, _, _ := unstructured.NestedInt64(entry, "fault", "abort", "httpStatus")
					w.mu.Unlock()
					http.Error(rw, "fault filter abort", int(status))
					return
				}
			}
			u, node := 100*rng.Float64(), ""
			for _, d := range entry["route"].([]any) {
				node, _, _ = unstructured.NestedString(d.(map[string]any), "destination", "subset")
				x, _ := number(d.(map[string]any)["weight"])
				if u -= x; u < 0 {
					break
				}
			}
			if !probing {
				call := name
				if from := r.Header.Get(service.ServiceHeader); from != name {
					call = from + "/" + name
				}
				w.routed[call+" "+node]++
			}
			revision, _, _ := unstructured.NestedString(entry, "headers", "response", "set", RouteHeader)
			w.mu.Unlock()
			if revision != "" {
				rw.Header().Set(RouteHeader, revision)
			}
			proxy := httputil.NewSingleHostReverseProxy(nodes[node])
			proxy.ErrorLog = log.New(io.Discard, "", 0) // of requests that the generator gave up
			proxy.ServeHTTP(rw, r)
		}))
		t.Cleanup(proxy.Close)
		w.upstreams, cfg.Upstreams = append(w.upstreams, proxy), append(cfg.Upstreams, proxy.URL)
		cfg.Items = append(cfg.Items, 10)
	}
	front, err := service.NewFront(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.front = httptest.NewServer(front)
	t.Cleanup(w.front.Close)
}

// config is that of a testbed on the world, impatient.
func (w *world) config() Config {
	s := w.scenario
	s.Timing = control.Timing{Step: 1, Settle: -1}
	return Config{Scenario: s, Kubernetes: w.kube, Dynamic: w.dynamic, Front: w.front.URL, LocalLoad: w.front.URL, Patience: .5, Follow: .5, MaxLag: 10}
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

// action of the paper's mesh has weights p11, p21 and blocking rates b1, b2.
func action(p11, p21, b1, b2 float64) mesh.Action {
	return mesh.Action{p11, 1 - p11, p21, 1 - p21, b1, b2}
}

// measure makes a step of 8 requests/s of each service and returns it with what
// the mesh routed where.
func (w *world) measure(t *testing.T, bed *Testbed, a mesh.Action) (mesh.Measurement, map[string]int) {
	t.Helper()
	w.set(func() { clear(w.routed) })
	load := make(mesh.Load, w.scenario.Mesh.M())
	for i := range load {
		load[i] = 8
	}
	x, err := bed.Measure(context.Background(), load, a)
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
