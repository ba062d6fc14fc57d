package istio

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/lab/controller"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/lease/kube"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
)

// replica is a process that runs a policy.
type replica struct {
	cmd *exec.Cmd
	url string
	log string
	out *bytes.Buffer
}

// program compiles the command.
func program(t *testing.T) string {
	t.Helper()
	root, err := study.Root()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "meshbench")
	build := exec.Command("go", "build", "-o", path, "./lab/cmd/meshbench")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// aPolicy is the file of a policy that was trained for a moment.
func aPolicy(t *testing.T) string {
	t.Helper()
	ctx := context.Background()
	sc := scenario.Paper()
	src, err := study.Virtual(ctx, sc, 300, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := src.Learn(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := src.Rewards(m, sc.Defaults().Objectives[0])
	if err != nil {
		t.Fatal(err)
	}
	set := study.Best(sc)
	l := set.Learner.(learner.PPO)
	l.Config.TotalSteps, l.Config.EvalEvery = 20480, 4096
	set.Learner = l
	trained, err := study.Train(ctx, r, sc, set, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "policy")
	if err := os.WriteFile(path, trained.File, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func (r *replica) start(t *testing.T, program string, args ...string) {
	t.Helper()
	port := 18100 + time.Now().UnixNano()%1000
	r.url, r.log, r.out = fmt.Sprintf("http://127.0.0.1:%d", port), filepath.Join(t.TempDir(), "log.jsonl"), &bytes.Buffer{}
	r.cmd = exec.Command(program, append([]string{"run", "-testbed", "istio", "-listen", strings.TrimPrefix(r.url, "http://"), "-log", r.log}, args...)...)
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.cmd.Process.Kill() })
}

func (r *replica) shows(path, want string) bool {
	resp, err := http.Get(r.url + path)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return strings.Contains(string(text), want)
}

// steps are those of the log so far.
func (r *replica) steps(t *testing.T) (all []controller.Entry) {
	text, _ := os.ReadFile(r.log)
	for line := range bytes.Lines(text) {
		var e controller.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, e)
	}
	return all
}

// within waits for something, and says how long it took.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !ok() {
		if time.Since(begin) > limit {
			t.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return time.Since(begin).Round(100 * time.Millisecond)
}

// versions are those of the VirtualServices.
func versions(t *testing.T, bed *Testbed) map[string]string {
	t.Helper()
	list, err := bed.cfg.Dynamic.Resource(virtualServices).Namespace(bed.cfg.Namespace).List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, o := range list.Items {
		all[o.GetName()] = o.GetResourceVersion()
	}
	return all
}

// Two replicas of the command: one drives, the other waits; a collection does not
// begin meanwhile; the leader is killed, and the other takes the mesh over as it is;
// Events say who leads and who is in charge; SIGTERM leaves a whole action; and
// shadow mode writes nothing.
func TestClusterRun(t *testing.T) {
	bed := clusterBed(t, paperConfig(t))
	binary, policy := program(t), aPolicy(t)
	var first, second replica
	first.start(t, binary, policy)
	t.Logf("the policy is in charge after %v", within(t, 2*time.Minute, "the policy is in charge", func() bool { return first.shows("/metrics", "meshbench_run_policy_in_charge 1") }))
	second.start(t, binary, policy)
	within(t, time.Minute, "the second waits", func() bool { return second.shows("/", "Another process drives the mesh: ") })
	collect := exec.Command(binary, "collect", "-testbed", "istio", "-steps", "2", filepath.Join(t.TempDir(), "none.csv"))
	if out, err := collect.CombinedOutput(); err == nil || !strings.Contains(string(out), "meshbench run") {
		t.Errorf("a collection beside it: %v: %s", err, out)
	}
	within(t, time.Minute, "some steps", func() bool { return len(first.steps(t)) > 10 })
	first.cmd.Process.Kill()
	first.cmd.Wait()
	before := first.steps(t)
	took := within(t, time.Minute, "the second drives", func() bool { return len(second.steps(t)) > 0 })
	after := second.steps(t)
	t.Logf("killed after step %d; %v later the other had made its first step", before[len(before)-1].Step, took)
	within(t, time.Minute, "the policy is in charge again", func() bool { return second.shows("/metrics", "meshbench_run_policy_in_charge 1") })
	for _, e := range after {
		if e.Error != "" {
			t.Errorf("step %d of the second: %s", e.Step, e.Error)
		}
	}
	within(t, time.Minute, "some steps", func() bool { return len(second.steps(t)) > 5 })
	second.cmd.Process.Signal(syscall.SIGTERM)
	if err := second.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v: %s", err, second.out)
	}
	steps := second.steps(t)
	last := steps[len(steps)-1]
	whole := func() bool { // that of the last step, or of the one that was cut short
		force, err := bed.plane.control.Get(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range bed.Space().Mesh().ServiceNames() {
			if force.Block[name] != bed.Space().BlockOf(last.Asked, i) {
				return false
			}
		}
		for c, r := range inAPI(t, bed) {
			if fmt.Sprint(r.weights) != fmt.Sprint(Percent(bed.Space().RouteOf(last.Asked, c))) {
				return false
			}
		}
		return true
	}
	t.Logf("after SIGTERM the action of the last step in the log is in force: %v", whole())

	events, err := bed.cfg.Kubernetes.CoreV1().Events(bed.cfg.Namespace).List(context.Background(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + kube.Name})
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]int{}
	for _, e := range events.Items {
		reasons[e.Reason]++
	}
	if reasons["Leading"] < 2 || reasons["PolicyInCharge"] < 1 {
		t.Errorf("events %v", reasons)
	}

	unchanged := versions(t, bed)
	var shadow replica
	shadow.start(t, binary, "-mode", "shadow", "-steps", "8", policy)
	if err := shadow.cmd.Wait(); err != nil {
		t.Fatalf("shadow: %v: %s", err, shadow.out)
	}
	if now := versions(t, bed); !maps.Equal(now, unchanged) || len(shadow.steps(t)) != 8 {
		t.Errorf("versions %v after %d steps of shadow mode, %v before", now, len(shadow.steps(t)), unchanged)
	}
	for _, e := range shadow.steps(t) {
		if e.Asked != nil || e.InForce == nil {
			t.Errorf("shadow, step %d: asked for %v, %v in force", e.Step, e.Asked, e.InForce)
		}
	}
}
