package istio

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	fakedynamic "k8s.io/client-go/dynamic/fake"
	fakekubernetes "k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/lab/scenario"
)

var regenerate = flag.Bool("regen", false, "write testdata anew")

// deployed is a configuration whose API server has these manifests in namespace
// shop.
func deployed(t *testing.T, texts ...string) Config {
	t.Helper()
	var kube, others []runtime.Object
	for _, text := range texts {
		for _, doc := range strings.Split(text, "\n---\n") {
			u := &unstructured.Unstructured{}
			b, err := yaml.YAMLToJSON([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			if err := u.UnmarshalJSON(b); err != nil {
				t.Fatal(err)
			}
			u.SetNamespace("shop")
			var typed runtime.Object
			switch u.GetKind() {
			case "Service":
				typed = &corev1.Service{}
			case "Deployment":
				typed = &appsv1.Deployment{}
			default:
				others = append(others, u)
				continue
			}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, typed); err != nil {
				t.Fatal(err)
			}
			kube = append(kube, typed)
		}
	}
	return Config{Namespace: "shop", Kubernetes: fakekubernetes.NewSimpleClientset(kube...),
		Dynamic: fakedynamic.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
			map[schema.GroupVersionResource]string{virtualServices: "VirtualServiceList", destinationRules: "DestinationRuleList"}, others...)}
}

// shopFiles are the manifests of the walk-through's application.
func shopFiles(t *testing.T) (texts []string) {
	t.Helper()
	for _, name := range []string{"web.yaml", "echo.yaml"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "..", "cluster", "walkthrough", "shop", name))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(b))
	}
	return texts
}

// What is deployed is written as a scenario; what cannot be known is named by the
// check, line by line, and the rest is right.
func TestSurvey(t *testing.T) {
	b, err := Survey(context.Background(), deployed(t, shopFiles(t)...))
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "shop.yaml")
	if *regenerate {
		if err := os.WriteFile(golden, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(b, want) {
		t.Errorf("%v; the scenario is\n%s", err, b)
	}
	_, err = scenario.Parse("shop.yaml", b)
	if err == nil {
		t.Fatal("a scenario that says all")
	}
	for _, want := range []string{
		"microservices[1].time is to be filled in: for how long a request alone keeps it busy, s",
		"services[1].load.min is to be filled in: requests/s",
		"services[1].load.max is to be filled in",
		"services[1].goal is to be filled in: of the response time, s",
		"services[1].requests[1].path is to be filled in: what to ask for",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n"); n != strings.Count(string(b), "TODO")-1 { // the comment has one
		t.Errorf("%d lines\n%v", n, err)
	}
	filled := strings.NewReplacer("time: TODO", "time: 0.02", "min: TODO", "min: 5", "max: TODO", "max: 50", "goal: TODO", "goal: 0.2", "path: TODO", "path: /").Replace(string(b))
	s, err := scenario.Parse("shop.yaml", []byte(filled))
	if err != nil {
		t.Fatal(err)
	}
	if s.Mesh.String() != "2 microservices" && len(s.Mesh.Layout().Calls) != 2 || len(applicationObjects(s.Mesh.Layout(), s.Application)) != 1 {
		t.Errorf("%s, %+v", s.Mesh, s.Application)
	}
}

// One Service of two versions behind a host of its own each, and a namespace
// with nothing.
func TestSurveyHosts(t *testing.T) {
	service := func(name, labels string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\nspec: {selector: {" + labels + "}, ports: [{name: grpc, port: 90}, {name: http-x, port: 91}]}\n"
	}
	made := func(name, labels string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name + "}\nspec: {selector: {matchLabels: {" + labels + "}}, template: {metadata: {labels: {" + labels + "}}, spec: {containers: [{name: x, args: [--port, \"80\"]}]}}}\n"
	}
	routes := "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r}\nspec: {hosts: [api.shop.svc.cluster.local], http: [{route: [{destination: {host: blue}, weight: 50}, {destination: {host: green}, weight: 50}]}]}\n"
	b, err := Survey(context.Background(), deployed(t, service("api", "app: api"), service("blue", "app: api, c: b"), service("green", "app: api, c: g"),
		made("blue", "app: api, c: b"), made("green-deployment", "app: api, c: g"), routes))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"{name: api, nodes: [blue, green-deployment], time: TODO}",
		"api: {virtualService: r, host: api, port: 91, destinations: {blue: {host: blue}, green-deployment: {host: green}}}",
		"attribution: proxy",
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%q is not in\n%s", want, b)
		}
	}
	if _, err := Survey(context.Background(), deployed(t, service("api", "app: api"))); err == nil || !strings.Contains(err.Error(), "namespace shop has no Service whose pods a Deployment makes") {
		t.Errorf("of nothing: %v", err)
	}
}
