package istio

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/testbed"
)

// shell runs a command in the repository's folder and returns what it prints.
func shell(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	root, err := study.Root()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(name, args...)
	c.Dir = root
	out, err := c.CombinedOutput()
	return string(out), err
}

func mustShell(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := shell(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// beside deploys front and generator of a scenario beside its application, and
// returns the testbed.
func beside(t *testing.T, text string) *Testbed {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "shop.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	mustShell(t, "go", "run", "./cluster/cmd/manifests", file, filepath.Join(dir, "base"))
	mustShell(t, "cp", "-r", "cluster/overlays", dir)
	mustShell(t, "kubectl", "apply", "-k", filepath.Join(dir, "overlays", "local-application"))
	if _, err := shell(t, "kubectl", "-n", "shop", "get", "secret", secretName); err != nil {
		mustShell(t, "kubectl", "-n", "shop", "create", "secret", "generic", secretName, "--from-literal=token=sesame-"+s.Name)
	}
	mustShell(t, "kubectl", "-n", "shop", "rollout", "restart", "deployment", ApplicationFront, ApplicationGenerator)
	for _, d := range []string{ApplicationFront, ApplicationGenerator} {
		mustShell(t, "kubectl", "-n", "shop", "rollout", "status", "deployment", d, "--timeout=120s")
	}
	return clusterBed(t, Config{Scenario: s, MaxLag: .2})
}

// The walk-through in short, on an application of which no line is of this
// project: a chain of two, the second in three versions. It is found, its trace
// collected, a policy learned and put to the test; nothing of its VirtualService
// but the weights of one HTTP entry changes, whoever else writes it.
func TestClusterApplication(t *testing.T) {
	if !*onCluster {
		t.Skip("needs a cluster; `make cluster-test` runs it")
	}
	ctx := context.Background()
	t.Cleanup(func() { mustShell(t, "kubectl", "delete", "namespace", "shop", "--ignore-not-found", "--timeout=120s") })
	// One that another run has deleted may be on its way out.
	mustShell(t, "kubectl", "delete", "namespace", "shop", "--ignore-not-found", "--timeout=60s")
	mustShell(t, "kubectl", "apply", "-k", "cluster/walkthrough/local")
	for _, d := range []string{"web", "echo-v1", "echo-v2", "echo-v3"} {
		mustShell(t, "kubectl", "-n", "shop", "rollout", "status", "deployment", d, "--timeout=120s")
	}
	found, err := Survey(ctx, Config{Namespace: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	if want, err := os.ReadFile(filepath.Join("testdata", "shop.yaml")); err != nil || string(found) != string(want) {
		t.Errorf("%v; found is\n%s", err, found)
	}
	text := strings.NewReplacer("time: TODO", "time: 0.06", "min: TODO, max: TODO", "min: 10, max: 50", "goal: TODO", "goal: 0.15", "path: TODO", "path: /").
		Replace(string(found)) + "timing: {step: 0.7, settle: 0.3}\n"
	bed := beside(t, text)
	now := func() *unstructured.Unstructured {
		t.Helper()
		vs, err := bed.cfg.Dynamic.Resource(virtualServices).Namespace("shop").Get(ctx, "echo-routes", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return vs
	}
	var theirs unstructured.Unstructured
	if err := json.Unmarshal([]byte(now().GetAnnotations()["kubectl.kubernetes.io/last-applied-configuration"]), &theirs.Object); err != nil {
		t.Fatal(err)
	}
	applied := specBut(t, &theirs, "customers")
	a := func(v1, v2, v3, block float64) mesh.Action {
		a := bed.Space().Default()
		h := bed.Space().Find(mesh.Route, bed.Space().Layout().CallOf(0, "echo"))
		copy(bed.Space().Knobs()[h].Values(a), []float64{v1, v2, v3})
		a[len(a)-1] = block
		return a
	}
	measure := func(load float64, a mesh.Action) mesh.Measurement {
		t.Helper()
		x, err := bed.Measure(ctx, mesh.Load{load}, a)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("asked %s: %.0f answered in %.3f s, %.0f blocked, %.0f failed; mark: %q", bed.Space().Format(a), x.Service[0].Count, x.Service[0].Mean, x.Blocked[0], x.Failed[0], x.Mark)
		return x.Clone() // the next step would change it
	}
	unchanged := func() {
		t.Helper()
		if got := specBut(t, now(), "customers"); got != applied {
			t.Errorf("the VirtualService is\n%s\nand was\n%s", got, applied)
		}
	}
	// The weights are those of the sidecar of web, two calls away.
	measure(5, a(0, 0, 1, 0))
	fast := measure(5, a(0, 0, 1, 0))
	measure(5, a(1, 0, 0, 0))
	slow := measure(5, a(1, 0, 0, 0))
	if !(slow.Service[0].Mean > 2*fast.Service[0].Mean) {
		t.Errorf("%.3f s at the slow version, %.3f s at the fast one", slow.Service[0].Mean, fast.Service[0].Mean)
	}
	if x := measure(50, a(.2, .2, .6, .4)); x.Blocked[0] < 5 {
		t.Errorf("%v of %v requests blocked, asked .4", x.Blocked[0], x.Generated[0])
	}
	unchanged()

	file := filepath.Join(t.TempDir(), "shop.csv")
	rows, err := testbed.CollectFile(ctx, bed, file, testbed.Collection{Scenario: bed.cfg.Scenario, Steps: 20, Seed: 1, Reference: -1})
	if err != nil || rows != 20 {
		t.Fatal(rows, err)
	}
	src, err := study.Collected(file, bed.cfg.Scenario)
	if err != nil {
		t.Fatal(err)
	}
	unchanged()

	// Two owners.
	mine := a(.2, .2, .6, 0)
	measure(20, mine)
	dir := t.TempDir()
	echo, err := os.ReadFile(filepath.Join("..", "..", "..", "cluster", "walkthrough", "shop", "echo.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "echo.yaml")
	for _, doc := range strings.Split(string(echo), "\n---\n") {
		if strings.Contains(doc, "kind: VirtualService") {
			if err := os.WriteFile(path, []byte(strings.Replace(doc, "timeout: 3s", "timeout: 4s", 1)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, err := shell(t, "kubectl", "-n", "shop", "apply", "--server-side", "--field-manager=gitops", "-f", path)
	if err == nil || !strings.Contains(out, `"meshbench"`) || !strings.Contains(out, ".spec.http") {
		t.Errorf("another's server-side apply: %v: %s", err, out)
	}
	t.Logf("another's server-side apply: %s", out)
	mustShell(t, "kubectl", "-n", "shop", "apply", "-f", path)
	wantMark(t, measure(20, mine), "another writer (kubectl-client-side-apply) routed web: echo 34/33/33 in place of 20/20/60")
	if x := measure(20, mine); strings.Contains(x.Mark, "writer") {
		t.Errorf("mark %q after it was put right", x.Mark)
	}
	applied = strings.Replace(applied, `"timeout":"3s"`, `"timeout":"4s"`, 1)
	unchanged()
	o := bed.cfg.objects()[0]
	if r, err := o.read(now()); err != nil || r.routes[0].String() != "20/20/60" {
		t.Errorf("weights %+v, %v", r, err)
	}

	t.Run("policy", func(t *testing.T) { applicationPolicy(t, bed, src) })
	unchangedSince := applied
	t.Run("proxy", func(t *testing.T) {
		applicationProxy(t)
		if got := specBut(t, now(), "customers"); got != unchangedSince {
			t.Errorf("the VirtualService is\n%s\nand was\n%s", got, unchangedSince)
		}
	})
}

// applicationPolicy learns a policy from a few rows and makes a short trial of it
// beside a random one. It is too short to say which is better.
func applicationPolicy(t *testing.T, bed *Testbed, src study.Source) {
	ctx := context.Background()
	sc := bed.cfg.Scenario
	src.Forest.MinLeaf = src.Trace.Len() / 2
	model, err := src.Learn(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	reference, err := src.Rewards(model, sc.Defaults().Objectives[0])
	if err != nil {
		t.Fatal(err)
	}
	learned, err := study.Train(ctx, reference, sc, study.Best(sc).Short(.02), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	trial := study.Trial{Scenario: sc, Runs: 1, Patterns: study.TrialPatterns(sc, 8)[:1], Start: func(context.Context) (testbed.Testbed, error) { return kept{bed}, nil }}
	runs, err := trial.Evaluate(ctx, []study.Contest{{Objective: sc.Defaults().Objectives[0], Reference: reference, Policies: []study.Contestant{
		{Name: "learned", New: func(int) (policy.Policy, error) { return learned.Policy(model.Space()) }},
		{Name: "random", New: func(int) (policy.Policy, error) { return &policy.Random{Space: model.Space()}, nil }}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		t.Logf("%s: ANR %.3f in %d steps; marks %q", r.Policy, r.ANR(), len(r.Steps), marksOf(r))
		if len(r.Steps) != 8 || !(r.ANR() >= 0) {
			t.Errorf("%s: ANR %v in %d steps", r.Policy, r.ANR(), len(r.Steps))
		}
	}
}

// directScenario calls the second of the chain from the front.
const directScenario = `name: direct
nodes: [{name: echo-v1}, {name: echo-v2}, {name: echo-v3}]
microservices: [{name: echo, nodes: [echo-v1, echo-v2, echo-v3], time: 0.06}]
services: [{name: direct, stages: [echo], load: {min: 10, max: 50}, goal: 0.15, requests: [{path: /}]}]
timing: {step: 3, settle: 0.3}
application:
  namespace: shop
  blocking: fault
  routes:
    echo: {virtualService: echo-routes, http: customers, port: 8080, destinations: {echo-v1: {subset: v1}, echo-v2: {subset: v2}, echo-v3: {subset: v3}}}
`

// applicationProxy: the front's sidecar tells which version answered, and Istio's
// fault abort blocks.
func applicationProxy(t *testing.T) {
	bed := beside(t, directScenario)
	a := mesh.Action{.2, .3, .5, .4}
	x, err := bed.Measure(context.Background(), mesh.Load{20}, a)
	if err != nil {
		t.Fatal(err)
	}
	total := x.Generated[0] * bed.Timing().Step
	t.Logf("requests at the versions %v, blocked %v of %v, failed %v; mark %q", counts(x, bed.Space().Layout(), 0), x.Blocked, total, x.Failed, x.Mark)
	if z := math.Abs(x.Blocked[0]-.4*total) / math.Sqrt(.24*total); z > 4.5 {
		t.Errorf("%v of %v requests blocked, asked .4", x.Blocked[0], total)
	}
	if z := deviation(bed.Space(), x, a, 0); z > 4.5 || x.Endpoint[2].Count == 0 {
		t.Errorf("%v requests at the versions, %.1f standard deviations from %v", counts(x, bed.Space().Layout(), 0), z, a)
	}
	if _, err := bed.Measure(context.Background(), mesh.Load{20}, mesh.Action{.2, .2, .6, 0}); err != nil { // leaves no abort behind
		t.Fatal(err)
	}
}
