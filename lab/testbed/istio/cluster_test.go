package istio

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshbench/meshbench/lab/anr"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/trace"
)

// The tests of this file need the mesh of `make cluster-up`, and stop and start
// parts of its control plane: `make cluster-test` runs them.
var onCluster = flag.Bool("cluster", false, "test against the running local cluster")

var clusterScenario = flag.String("scenario", "paper", "that the running local cluster was started with")

// clusterConfig is that of a testbed on the running mesh. The machine may be
// busy: only steps that it distorts much are made again.
func clusterConfig(t *testing.T) Config {
	t.Helper()
	if !*onCluster {
		t.Skip("needs a cluster; `make cluster-test` runs it")
	}
	s, err := scenario.Open(*clusterScenario)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Scenario: s, MaxLag: .2}
}

// paperConfig is clusterConfig for tests whose actions are the paper's.
func paperConfig(t *testing.T) Config {
	t.Helper()
	cfg := clusterConfig(t)
	if cfg.Scenario.Name != "paper" {
		t.Skip("for the paper's mesh")
	}
	return cfg
}

func clusterBed(t *testing.T, cfg Config) *Testbed {
	t.Helper()
	// Pods that another test took away come back.
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Second) {
		bed, err := New(context.Background(), cfg)
		if err == nil {
			t.Cleanup(func() {
				if err := bed.Close(); err != nil {
					t.Error(err)
				}
			})
			return bed
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// inAPI is the routing of all calls as the API server has it.
func inAPI(t *testing.T, bed *Testbed) []routing {
	t.Helper()
	all := make([]routing, len(bed.Space().Layout().Calls))
	for _, o := range objects(bed.Space().Layout(), bed.cfg.object) {
		vs, err := bed.cfg.Dynamic.Resource(virtualServices).Namespace(bed.cfg.Namespace).Get(context.Background(), o.name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w, err := o.read(vs)
		if err != nil {
			t.Fatal(err)
		}
		for k, e := range o.entries {
			all[e.call] = w.routes[k]
		}
	}
	return all
}

// wantInAPI checks that the weights there are those of a.
func wantInAPI(t *testing.T, bed *Testbed, a mesh.Action) {
	t.Helper()
	for c, r := range inAPI(t, bed) {
		if want := Percent(bed.Space().RouteOf(a, c)); !slices.Equal(r.weights, want) {
			t.Errorf("the API server has %v for %s, want %v", r.weights, bed.Space().Layout().CallName(c), want)
		}
	}
}

// deviation is how many standard deviations the split of call c is from the
// weights of a, at the node where it is most. Which node a request without an
// answer was sent to is not known: it counts for the one that fits better.
func deviation(space *mesh.Space, x mesh.Measurement, a mesh.Action, c int) (worst float64) {
	first, end := space.Layout().Of(c)
	failed := x.Failed[space.Layout().Calls[c].Service]
	total := failed
	for _, d := range x.Endpoint[first:end] {
		total += d.Count
	}
	for k, w := range Percent(space.RouteOf(a, c)) {
		p, count := float64(w)/100, x.Endpoint[first+k].Count
		off := max(count-p*total, p*total-count-failed, 0)
		if off > 0 {
			worst = max(worst, off/math.Sqrt(p*(1-p)*total)) // infinite where a weight is 0
		}
	}
	return worst
}

// wantSplit checks that the traffic of a step was split as a says.
func wantSplit(t *testing.T, bed *Testbed, x mesh.Measurement, a mesh.Action) {
	t.Helper()
	l := bed.Space().Layout()
	for c := range l.Calls {
		if z := deviation(bed.Space(), x, a, c); z > 4.5 {
			t.Errorf("%s: %v requests at the nodes, %.1f standard deviations from %v", l.CallName(c), counts(x, l, c), z, bed.Space().Format(a))
		}
	}
}

// counts are the answered requests of call c at its nodes.
func counts(x mesh.Measurement, l *mesh.Layout, c int) (n []float64) {
	first, end := l.Of(c)
	for _, d := range x.Endpoint[first:end] {
		n = append(n, d.Count)
	}
	return n
}

// step makes one and logs what its row says.
func step(t *testing.T, bed *Testbed, a mesh.Action) mesh.Measurement {
	t.Helper()
	x, err := bed.Measure(context.Background(), mesh.Load{20, 20}, a)
	if err != nil {
		t.Fatal(err)
	}
	l := bed.Space().Layout()
	t.Logf("asked %s; requests at the nodes %v and %v, blocked %.0f, failed %.0f; mark: %q", bed.Space().Format(a), counts(x, l, 0), counts(x, l, 1), x.Blocked, x.Failed, x.Mark)
	return x
}

// recovers makes steps until one is undisturbed, which is to be as a says. What
// watches an API server that was away asks it again after up to a minute (30 s,
// and as much again at random), and controllers and kubelet do so in turn.
func recovers(t *testing.T, bed *Testbed, a mesh.Action) {
	t.Helper()
	const limit = 3 * time.Minute
	begin := time.Now()
	for time.Since(begin) < limit {
		if x := step(t, bed, a); x.Mark == "" {
			t.Logf("undisturbed after %.1f s", time.Since(begin).Seconds())
			wantSplit(t, bed, x, a)
			wantInAPI(t, bed, a)
			return
		}
	}
	t.Fatalf("the mesh is still disturbed after %v", limit)
}

func wantMark(t *testing.T, x mesh.Measurement, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(x.Mark, p) {
			t.Errorf("the mark is %q, want %q in it", x.Mark, p)
		}
	}
}

// part ends a part of the control plane, and starts it again.
type part string

func (p part) kill(t *testing.T) {
	t.Helper()
	root, err := study.Root()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, ".cluster", "run", string(p)+".pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.start(t) }) // whatever comes between
	for range 100 {
		if syscall.Kill(pid, 0) != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s did not end", p)
}

func (p part) start(t *testing.T) {
	t.Helper()
	root, err := study.Root()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(root, "cluster", "local", "start.sh"), string(p)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// A random policy's 60 steps: what was asked for is in the API and in the
// traffic, and the trace is sound.
func TestClusterCollect(t *testing.T) {
	bed := clusterBed(t, clusterConfig(t))
	l := bed.Space().Layout()
	file := filepath.Join(t.TempDir(), "istio.csv")
	var worst, blocked, asked float64
	splits, beyond3, marked := 0, 0, 0
	rows, err := testbed.CollectFile(context.Background(), bed, file, testbed.Collection{Scenario: bed.cfg.Scenario, Steps: 60, Seed: 6, Reference: -1, Progress: func(r trace.Row) {
		x := r.Measurement
		wantInAPI(t, bed, r.Action)
		if x.Mark != "" {
			marked++
			t.Logf("step %d is marked: %s", r.Step, x.Mark)
		}
		for c := range l.Calls {
			z := deviation(bed.Space(), x, r.Action, c)
			splits++
			if z > 3 {
				beyond3++
			}
			if worst = max(worst, z); z > 4.5 {
				t.Errorf("step %d, %s: %v requests at the nodes, %.1f standard deviations from %v", r.Step, l.CallName(c), counts(x, l, c), z, bed.Space().Format(r.Action))
			}
		}
		for i, name := range l.Mesh.ServiceNames() {
			// The front deals blocks of 20 requests; a step has parts of two at its
			// ends.
			b, generated := bed.Space().BlockOf(r.Action, i), x.Generated[i]*bed.Timing().Step
			if off := math.Abs(x.Blocked[i] - b*generated); off > 2*20*b*(1-b)+1 {
				t.Errorf("step %d, %s: %v of %v requests blocked, asked %v", r.Step, name, x.Blocked[i], generated, b)
			}
			blocked, asked = blocked+x.Blocked[i], asked+b*generated
		}
	}})
	if err != nil || rows != 60 {
		t.Fatal(rows, err)
	}
	if beyond3 > 2 { // .3 expected of two calls
		t.Errorf("%d of %d splits are more than 3 standard deviations off", beyond3, splits)
	}
	if math.Abs(blocked-asked) > .01*asked {
		t.Errorf("%v requests blocked in all, asked %.1f", blocked, asked)
	}
	table, err := trace.Read(file, trace.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range trace.Audit(table) {
		if f.Code != trace.MarkedSteps || marked > 3 { // a busy machine's late steps are marked, and that is right
			t.Errorf("audit: %s: %s", f.Title, f.Detail)
		}
	}
	d := bed.Followed()
	slices.Sort(d)
	t.Logf("60 steps, %d marked, %d made again; %d splits, the farthest %.2f standard deviations off, %d beyond 3; blocked %.0f, asked %.1f",
		marked, bed.Repeated(), splits, worst, beyond3, blocked, asked)
	t.Logf("patch to traffic: %d patches, median %.0f ms, at most %.0f ms", len(d), 1e3*d[len(d)/2], 1e3*d[len(d)-1])
}

// A policy learned from a short trace of this mesh, beside a random one, under
// both loads. Steps are short, in the trace and in the trial alike, so that the
// model's rewards are those of such steps. A trace is kept for as long as the
// mesh is up.
func TestClusterTrial(t *testing.T) {
	cfg := clusterConfig(t)
	cfg.Scenario.Timing.Step = 2
	bed := clusterBed(t, cfg)
	sc := bed.cfg.Scenario
	ctx := context.Background()
	root, err := study.Root()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, ".cluster", "run", "trace.csv")
	const rows = 300
	if n, err := testbed.CollectFile(ctx, bed, file, testbed.Collection{Scenario: sc, Steps: rows, Seed: 8, Reference: -1}); err != nil || n != rows {
		t.Fatal(n, err)
	}
	s, err := study.Collected(file, sc)
	if err != nil {
		t.Fatal(err)
	}
	s.Forest.MinLeaf = rows / 2 // so few rows bear no splits, only the regression within leaves
	model, err := s.Learn(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	o := sc.Objectives[0]
	reference, err := s.Rewards(model, o)
	if err != nil {
		t.Fatal(err)
	}
	learned, err := study.Train(ctx, reference, sc, study.Best(sc).Short(.2), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	own, err := learned.Policy(model.Space())
	if err != nil {
		t.Fatal(err)
	}
	inModel, _, err := policy.Score(reference, own, sc.Loads.Grid(64))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("in the model the learned policy has ANR %.3f", inModel)
	random := study.Contestant{Name: "random", New: func(int) (policy.Policy, error) { return &policy.Random{Space: model.Space()}, nil }}
	best := study.Contestant{Name: "learned", New: func(int) (policy.Policy, error) { return learned.Policy(model.Space()) }}
	mean := map[string]float64{} // ANR over both loads
	trial := study.Trial{Scenario: sc, Runs: 1, Patterns: study.TrialPatterns(sc, 60), Start: func(context.Context) (testbed.Testbed, error) { return kept{bed}, nil }}
	runs, err := trial.Evaluate(ctx, []study.Contest{{Objective: s.Objective(o), Reference: reference, Policies: []study.Contestant{best, random}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range runs {
		marks := marksOf(r)
		t.Logf("%s, %s load, %d steps: ANR %.3f, %d marked %q", r.Policy, r.Pattern, len(r.Steps), r.ANR(), len(marks), marks)
		mean[r.Policy] += r.ANR() / 2
	}
	// The model foresees too much where noise made a few rows look good, so ANR
	// stays below 1.
	const least, lead = .6, .2
	if !(mean["learned"] > least && mean["learned"] > mean["random"]+lead) {
		t.Errorf("mean ANR %.3f, random %.3f; want more than %g, and %g more than random", mean["learned"], mean["random"], least, lead)
	}
}

func marksOf(r anr.Run) (marks []string) {
	for _, s := range r.Steps {
		if s.Mark != "" {
			marks = append(marks, s.Mark)
		}
	}
	return marks
}

// kept is a testbed that a trial does not close.
type kept struct{ *Testbed }

func (kept) Close() error { return nil }

func TestClusterOtherWriter(t *testing.T) {
	bed := clusterBed(t, paperConfig(t))
	a := action(.8, .4, 0, .2)
	step(t, bed, a)
	patch := func(weights string) {
		t.Helper()
		out, err := exec.Command("kubectl", "-n", bed.cfg.Namespace, "patch", "virtualservice", "service1", "--type=json", "-p", weights).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	const to = `[{"op":"replace","path":"/spec/http/0/route/0/weight","value":%d},{"op":"replace","path":"/spec/http/0/route/1/weight","value":%d}]`
	for _, w := range [][2]int{{0, 100}, {33, 66}} { // the second is one that Istio takes for shares of 99
		patch(fmt.Sprintf(to, w[0], w[1]))
		x := step(t, bed, a)
		wantMark(t, x, "another writer (kubectl-patch) routed service1")
		wantSplit(t, bed, x, a)
		wantInAPI(t, bed, a)
	}
	recovers(t, bed, a)
}

// Weights that would be 99 or 101 in all were each rounded for itself.
func TestClusterRounding(t *testing.T) {
	bed := clusterBed(t, paperConfig(t))
	for _, a := range []mesh.Action{action(.005, .145, 0, 0), action(1./3, .995, 0, 0), action(.495, .335, 0, 0)} {
		x := step(t, bed, a)
		wantSplit(t, bed, x, a)
		wantInAPI(t, bed, a)
		for _, r := range inAPI(t, bed) {
			if r.weights[0]+r.weights[1] != 100 {
				t.Errorf("weights %v", r.weights)
			}
		}
	}
}

// Istio's fault abort blocks each request independently.
func TestClusterFaultBlocking(t *testing.T) {
	cfg := paperConfig(t)
	cfg.Blocking = FaultBlocking
	bed := clusterBed(t, cfg)
	a := action(.6, .4, .4, 0)
	x := step(t, bed, a)
	wantSplit(t, bed, x, a)
	n := x.Generated[0] * bed.Timing().Step
	if z := math.Abs(x.Blocked[0]-.4*n) / math.Sqrt(.4*.6*n); z > 4.5 || x.Blocked[1] != 0 {
		t.Errorf("%v of %v and %v requests blocked, asked .4 and 0", x.Blocked[0], n, x.Blocked[1])
	}
	step(t, bed, bed.Space().Default()) // leaves no abort behind
}

func TestClusterAPIServerDown(t *testing.T) {
	bed := clusterBed(t, paperConfig(t))
	before, after := action(.8, .2, 0, .2), action(.2, .8, .2, 0)
	step(t, bed, before)
	part("apiserver").kill(t)
	begin := time.Now()
	for time.Since(begin) < 20*time.Second {
		x := step(t, bed, after)
		wantMark(t, x, "not applied, the action before stayed in force")
		wantSplit(t, bed, x, before)
	}
	part("apiserver").start(t)
	t.Logf("it was away for %.1f s", time.Since(begin).Seconds())
	recovers(t, bed, after)
}

func TestClusterPodDeleted(t *testing.T) {
	bed := clusterBed(t, paperConfig(t))
	ctx := context.Background()
	a := action(.6, .4, 0, 0)
	step(t, bed, a)
	by, err := bed.plane.pods.list(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := bed.cfg.Kubernetes.CoreV1().Pods(bed.cfg.Namespace).Delete(ctx, by["node2"][0].Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	wantMark(t, step(t, bed, a), "node2")
	recovers(t, bed, a)
}

func TestClusterIstiodRestarts(t *testing.T) {
	bed := clusterBed(t, paperConfig(t))
	before, after := action(.8, .2, 0, 0), action(.2, .8, 0, 0)
	step(t, bed, before)
	part("istiod").kill(t)
	x := step(t, bed, after)
	wantMark(t, x, "the mesh did not follow")
	wantSplit(t, bed, x, before) // proxies go on with what they have
	wantInAPI(t, bed, after)
	part("istiod").start(t)
	recovers(t, bed, after)
}

// An account without the right to patch is told so before a run; one that loses
// its rights in a run ends it.
func TestClusterPermissions(t *testing.T) {
	cfg := paperConfig(t)
	ctx := context.Background()
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	admin, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	const account = "cluster-test"
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:meshbench:" + account,
		Groups: []string{"system:serviceaccounts", "system:authenticated"}}
	if cfg.Kubernetes, err = kubernetes.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	if cfg.Dynamic, err = dynamic.NewForConfig(config); err != nil {
		t.Fatal(err)
	}
	bindings, roles := admin.RbacV1().RoleBindings("meshbench"), admin.RbacV1().Roles("meshbench")
	bind := func(role string) {
		t.Helper()
		_, err := bindings.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: account}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: "meshbench"}}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	unbind := func() { bindings.Delete(ctx, account, metav1.DeleteOptions{}) }
	defer unbind()

	reader, err := roles.Get(ctx, "controller", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	reader.ObjectMeta = metav1.ObjectMeta{Name: account}
	for k := range reader.Rules {
		reader.Rules[k].Verbs = slices.DeleteFunc(reader.Rules[k].Verbs, func(v string) bool { return v == "patch" })
	}
	if _, err := roles.Create(ctx, reader, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer roles.Delete(ctx, account, metav1.DeleteOptions{})

	bind(account)
	time.Sleep(time.Second) // until the API server goes by it
	_, err = New(ctx, cfg)
	var f Findings
	if !errors.As(err, &f) || len(f) != 2 || !strings.Contains(err.Error(), "this user may not patch virtualservices service1") {
		t.Errorf("without the right to patch: %v", err)
	}
	t.Logf("without the right to patch: %v", err)

	unbind()
	bind("controller")
	bed := clusterBed(t, cfg) // with no more rights than the role in cluster/ gives
	before := action(.8, .2, 0, 0)
	step(t, bed, before)
	unbind()
	time.Sleep(time.Second)
	_, err = bed.Measure(ctx, mesh.Load{20, 20}, action(.2, .8, 0, 0))
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("rights withdrawn: %v", err)
	}
	t.Logf("rights withdrawn: %v", err)
	bind("controller")
	time.Sleep(time.Second)
	wantInAPI(t, bed, before)
}

// An interrupted collection leaves a whole action in force and whole rows, and
// goes on where it ended.
func TestClusterInterrupted(t *testing.T) {
	bed := clusterBed(t, clusterConfig(t))
	file := filepath.Join(t.TempDir(), "istio.csv")
	for k, wait := range []time.Duration{0, 3 * time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond} {
		ctx, cancel := context.WithCancel(context.Background())
		rows, err := testbed.CollectFile(ctx, bed, file, testbed.Collection{Scenario: bed.cfg.Scenario, Steps: 20, Seed: 1, Progress: func(r trace.Row) {
			if r.Step == 2*k+1 {
				time.AfterFunc(wait, cancel) // while the next action is put into force, or a little later
			}
		}})
		cancel()
		if !errors.Is(err, context.Canceled) || rows != 2*k+2 {
			t.Fatalf("%d rows: %v", rows, err)
		}
		wantInAPI(t, bed, bed.plane.good)
		t.Logf("interrupted %v after row %d: in force %s; %v", wait, rows-1, bed.Space().Format(bed.plane.good), err)
	}
	if _, err := trace.Read(file, trace.ReadOptions{MinRows: 8}); err != nil {
		t.Error(err)
	}
}
