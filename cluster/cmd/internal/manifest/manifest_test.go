package manifest

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	fakedynamic "k8s.io/client-go/dynamic/fake"
	fakekubernetes "k8s.io/client-go/kubernetes/fake"

	"github.com/meshbench/meshbench/lab/lease/kube"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed/istio"
)

const cluster = "../../.."

// cluster/base is the paper's, as it is written today.
func TestBase(t *testing.T) {
	files, err := Files("paper")
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadDir(filepath.Join(cluster, "base"))
	if err != nil {
		t.Fatal(err)
	}
	if len(have) != len(files) {
		t.Errorf("%d files in cluster/base, want %d", len(have), len(files))
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(cluster, "base", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("cluster/base/%s is not what `go run ./cluster/cmd/manifests paper cluster/base` writes: %v", name, err)
		}
	}
}

// render is what an overlay over a scenario's manifests gives, as kubectl has it.
func render(t *testing.T, name, overlay string) []*unstructured.Unstructured {
	t.Helper()
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("needs kubectl, which has kustomize")
	}
	dir := t.TempDir()
	if err := Write(name, filepath.Join(dir, "base")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "run"), os.DirFS(filepath.Join(cluster, "run"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "overlay"), 0o755); err != nil {
		t.Fatal(err)
	}
	head := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../base]\n"
	if err := os.WriteFile(filepath.Join(dir, "overlay", "kustomization.yaml"), []byte(head+overlay), 0o644); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(kubectl, "kustomize", filepath.Join(dir, "overlay"))
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	var all []*unstructured.Unstructured
	in := yaml.NewDecoder(bytes.NewReader(out))
	for {
		var object map[string]any
		if in.Decode(&object) != nil {
			return all
		}
		// Numbers as the API machinery has them.
		u := &unstructured.Unstructured{Object: map[string]any{}}
		b, err := (&unstructured.Unstructured{Object: numbers(object).(map[string]any)}).MarshalJSON()
		if err == nil {
			err = u.UnmarshalJSON(b)
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, u)
	}
}

func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case int:
		return int64(v)
	}
	return v
}

// texts are all strings of an object with where they stand.
func texts(path string, v any, do func(path, text string)) {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			texts(path+"/"+k, v[k], do)
		}
	case []any:
		for _, x := range v {
			texts(path, x, do)
		}
	case string:
		do(path, v)
	}
}

// An overlay with a namespace, a prefix, a suffix and labels of its own leaves no
// name behind, so that two of them live in one cluster and one namespace.
func TestOverlay(t *testing.T) {
	const overlay = `namespace: elsewhere
namePrefix: x-
nameSuffix: -y
labels: [{pairs: {app.kubernetes.io/instance: x}, includeSelectors: true}]
`
	for _, name := range []string{"paper", "graph"} {
		sc, err := scenario.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		all := render(t, name, overlay)
		old := append([]string{"front", "generator", "controller", "meshbench", "meshbench-settings", "meshbench-scenario"}, sc.Mesh.Layout().Microservices...)
		old = append(old, sc.Mesh.NodeNames()...)
		// Where a name is not an object's: labels, containers, the names of HTTP
		// entries, subsets, and a node's own name.
		kept := func(path string) bool {
			for _, part := range []string{"/labels", "/matchLabels", "/selector", "/subsets", "/subset", "/containers/name", "/containers/image", "/env/", "/http/name",
				"/exact", "/ports/name", "/volumes/name", "/volumeMounts", "/data/"} {
				if strings.Contains(path+"/", part+"/") || strings.Contains(path, part) && strings.HasSuffix(part, "/") {
					return true
				}
			}
			return false
		}
		for _, o := range all {
			what := o.GetKind() + " " + o.GetName()
			switch {
			case o.GetKind() == "Namespace":
				if o.GetName() != "elsewhere" {
					t.Errorf("%s: %s is not the overlay's", name, what)
				}
				continue
			case o.GetNamespace() != "elsewhere":
				t.Errorf("%s: %s is in namespace %q; one of the cluster would be shared", name, what, o.GetNamespace())
			case !strings.HasPrefix(o.GetName(), "x-") || !strings.HasSuffix(o.GetName(), "-y"):
				t.Errorf("%s: %s has no name of its own", name, what)
			}
			texts("", o.Object, func(path, text string) {
				if slices.Contains(old, text) && !kept(path) {
					t.Errorf("%s: %s still has %q at %s", name, what, text, path)
				}
			})
			// Pods of another installation are none of its own.
			if path := map[string][]string{"Service": {"spec", "selector"}, "Deployment": {"spec", "selector", "matchLabels"}, "NetworkPolicy": {"spec", "podSelector", "matchLabels"}}[o.GetKind()]; path != nil && o.GetName() != "x-default-deny-y" {
				if labels, _, _ := unstructured.NestedStringMap(o.Object, path...); labels["app.kubernetes.io/instance"] != "x" {
					t.Errorf("%s: %s selects by %v", name, what, labels)
				}
			}
		}

		// The testbed finds it by those names, and the account may do all that it
		// needs to do.
		cfg := istio.Config{Scenario: sc, Namespace: "elsewhere", Prefix: "x-", Suffix: "-y", Selector: "app.kubernetes.io/instance=x", LocalLoad: "http://127.0.0.1:1"}
		rights, err := cfg.Rights()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rights {
			if !granted(all, r.Group, r.Resource, r.Verb, r.Name) {
				t.Errorf("%s: the role does not grant %s", name, r)
			}
		}
		found(t, cfg, all)
	}
}

func granted(all []*unstructured.Unstructured, group, resource, verb, name string) bool {
	for _, o := range all {
		if o.GetKind() != "Role" {
			continue
		}
		rules, _, _ := unstructured.NestedSlice(o.Object, "rules")
		for _, r := range rules {
			r := r.(map[string]any)
			has := func(key, want string) bool { return slices.Contains(r[key].([]any), any(want)) }
			if has("apiGroups", group) && has("resources", resource) && has("verbs", verb) && (r["resourceNames"] == nil || name != "" && has("resourceNames", name)) {
				return true
			}
		}
	}
	return false
}

// found checks that a testbed misses nothing in VirtualServices, DestinationRules
// and Deployments.
func found(t *testing.T, cfg istio.Config, all []*unstructured.Unstructured) {
	t.Helper()
	var objects, deployments []runtime.Object
	for _, o := range all {
		if o.GetKind() == "Deployment" {
			var d appsv1.Deployment
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d); err != nil {
				t.Fatal(err)
			}
			deployments = append(deployments, &d)
		}
		if o.GetKind() == "VirtualService" || o.GetKind() == "DestinationRule" {
			objects = append(objects, o)
		}
	}
	resource := func(name string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: name}
	}
	cfg.Dynamic = fakedynamic.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
		resource("virtualservices"): "VirtualServiceList", resource("destinationrules"): "DestinationRuleList",
		{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"}: "ScaledObjectList"}, objects...)
	cfg.Kubernetes = fakekubernetes.NewSimpleClientset(deployments...)
	findings, err := istio.Preflight(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if strings.HasPrefix(f.What, "VirtualService ") || strings.HasPrefix(f.What, "DestinationRule ") || strings.HasPrefix(f.What, "Deployment ") {
			t.Errorf("%s: %s", cfg.Scenario.Name, f.What)
		}
	}
}

// Two restricted replicas of run, with the account of the controller, which may
// write Events and hold the Lease.
func TestRun(t *testing.T) {
	all := render(t, "paper", "components: [../run]\nnamespace: elsewhere\n")
	for _, r := range []struct{ group, resource, verb, name string }{
		{"", "events", "create", ""}, {"", "events", "patch", ""}, {"coordination.k8s.io", "leases", "create", ""},
		{"coordination.k8s.io", "leases", "get", kube.Name}, {"coordination.k8s.io", "leases", "update", kube.Name},
	} {
		if !granted(all, r.group, r.resource, r.verb, r.name) {
			t.Errorf("no role grants %s %s %s", r.verb, r.resource, r.name)
		}
	}
	if granted(all, "coordination.k8s.io", "leases", "update", "another") || granted(all, "", "events", "delete", "") {
		t.Error("the roles grant more than is needed")
	}
	seen := map[string]bool{}
	for _, o := range all {
		what := o.GetKind() + " " + o.GetName()
		seen[what] = true
		if o.GetNamespace() != "elsewhere" && o.GetKind() != "Namespace" {
			t.Errorf("%s is in namespace %q", what, o.GetNamespace())
		}
		if what != "Deployment run" {
			continue
		}
		var d appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d); err != nil {
			t.Fatal(err)
		}
		pod := d.Spec.Template.Spec
		c := pod.Containers[0]
		switch s := c.SecurityContext; {
		case *d.Spec.Replicas != 2, pod.ServiceAccountName != "controller", d.Spec.Template.Labels["app"] != "controller":
			t.Errorf("%d replicas of account %s with labels %v", *d.Spec.Replicas, pod.ServiceAccountName, d.Spec.Template.Labels)
		case !*pod.SecurityContext.RunAsNonRoot, pod.SecurityContext.SeccompProfile.Type != "RuntimeDefault", *s.AllowPrivilegeEscalation, !*s.ReadOnlyRootFilesystem, s.Capabilities.Drop[0] != "ALL":
			t.Error("it is not restricted")
		case c.Ports[0].Name != "http", c.Ports[0].ContainerPort != 8090:
			t.Errorf("ports %v", c.Ports)
		}
	}
	for _, what := range []string{"Deployment run", "Service run", "NetworkPolicy metrics-to-run", "RoleBinding run"} {
		if !seen[what] {
			t.Errorf("there is no %s", what)
		}
	}
}

// Every built-in scenario can be deployed, but for those with a knob that needs an
// actuator of its own.
func TestBuiltin(t *testing.T) {
	for _, name := range scenario.List() {
		sc, err := scenario.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(sc.MustSpace().Knobs(), func(k mesh.KnobAt) bool { return k.Kind != mesh.Route && k.Kind != mesh.Block }) {
			continue
		}
		found(t, istio.Config{Scenario: sc, LocalLoad: "http://127.0.0.1:1"}, render(t, name, ""))
	}
}

// Beside an application front and generator alone are deployed, in its namespace,
// with an account that may do what the testbed needs of it and no more.
func TestApplication(t *testing.T) {
	text := `name: shop
nodes: [{name: v1}, {name: v2}]
microservices: [{name: echo, nodes: [v1, v2], time: 0.02}]
services: [{name: shop, stages: [echo], load: {min: 5, max: 20}, goal: 0.1, requests: [{path: /}]}]
application:
  namespace: shop
  routes: {echo: {virtualService: echo-routes, http: customers}}
  deployments: {v1: echo-v1}
`
	write := func(text string) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), "shop.yaml")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	all := render(t, write(text), "")
	var kinds []string
	for _, o := range all {
		if o.GetNamespace() != "shop" || !strings.HasPrefix(o.GetName(), "meshbench-") {
			t.Errorf("%s %s in namespace %q", o.GetKind(), o.GetName(), o.GetNamespace())
		}
		kinds = append(kinds, o.GetKind())
	}
	slices.Sort(kinds)
	if want := []string{"ConfigMap", "ConfigMap", "Deployment", "Deployment", "EnvoyFilter", "Role", "RoleBinding", "Service", "ServiceAccount"}; !slices.Equal(kinds, want) {
		t.Errorf("%v, want %v", kinds, want)
	}
	for _, c := range []struct {
		group, resource, verb, name string
		want                        bool
	}{
		{"networking.istio.io", "virtualservices", "patch", "echo-routes", true},
		{"networking.istio.io", "virtualservices", "patch", "others", false},
		{"networking.istio.io", "destinationrules", "list", "", true},
		{"apps", "deployments", "get", "echo-v1", true},
		{"apps", "deployments/scale", "update", "echo-v1", false},
	} {
		if got := granted(all, c.group, c.resource, c.verb, c.name); got != c.want {
			t.Errorf("the account may %s %s %s: %v", c.verb, c.resource, c.name, got)
		}
	}
	// Files that the scenario names come into its ConfigMap.
	listed := write(strings.Replace(text, "{path: /}", "{path: \"/{id}\", values: {id: {csv: ids.csv, column: id}}}", 1))
	for name, want := range map[string]string{"id\n7\n": "", "id\n" + strings.Repeat("1234567\n", 1<<17): "at most 1048576 in all"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(listed), "ids.csv"), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		files, err := Files(listed)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("a list of %d bytes: %v, want %q", len(name), err, want)
			}
			continue
		}
		if err != nil || string(files["ids.csv"]) != name || !strings.Contains(string(files["kustomization.yaml"]), "- scenario.yaml\n  - ids.csv\n") {
			t.Errorf("%v: %s", err, files["kustomization.yaml"])
		}
	}
	if _, err := Files(write(strings.Replace(text, "application:", "client: {ca: ../ca.pem}\napplication:", 1))); err == nil {
		t.Error("a file of another folder was accepted")
	}
	// Where the application says which node answered, no proxy is told to.
	for _, o := range render(t, write(strings.Replace(text, "  namespace: shop", "  namespace: shop\n  attribution: none", 1)), "") {
		if o.GetKind() == "EnvoyFilter" {
			t.Error("an EnvoyFilter for nothing")
		}
	}
	_, err := Files(write(strings.Replace(text[:strings.Index(text, "  namespace")], "application:", "application: {nodes: {v1: \"http://a\", v2: \"http://b\"}}", 1)))
	if err == nil || !strings.Contains(err.Error(), "its application is on no mesh") {
		t.Errorf("of one without a mesh: %v", err)
	}
}

func TestNames(t *testing.T) {
	sc := scenario.Paper()
	sc.Mesh = mesh.Single([]string{"front", "a_b"}, []string{"generator", "n"})
	err := checkNames(sc)
	for _, want := range []string{`microservice "front"`, `microservice "a_b"`, `node "generator"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	got := fmt.Sprint(list([]string{"a", "1", "on", "null", "1e3", "x-1"}))
	if want := `a, "1", "on", "null", "1e3", x-1`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
