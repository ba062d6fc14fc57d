package istio

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/controller"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
)

var (
	long       = flag.Bool("long", false, "have a policy in charge of the mesh for -minutes")
	minutes    = flag.Float64("minutes", 30, "of the wall clock")
	policyFile = flag.String("policy", "", "file of a policy that was trained on a trace of this mesh")
	modelFile  = flag.String("model", "", "file of its model")
)

// disturbance is done to the mesh from one step on, and undone from another, or where
// it lasts so long after that time: who has lost the lease makes no steps.
type disturbance struct {
	what     string
	from, to int
	do, undo func()
	lasts    time.Duration
}

// TestClusterLongRun has a learned policy in charge of the mesh by the command, two
// replicas of it, and provokes each guard: what each did within how many steps, and
// what the traffic saw, is in its log. The scenario's goals are to be such that the
// mesh meets them at low load: -scenario FILE, the paper's with other goals.
func TestClusterLongRun(t *testing.T) {
	if !*long {
		t.Skip("half an hour; -long -policy FILE -model FILE")
	}
	cfg := paperConfig(t)
	bed := clusterBed(t, cfg)
	ctx := context.Background()
	steps := int(*minutes * 60 / (bed.Timing().Seconds() / bed.TimeScale()))
	at := func(share float64) int { return int(share * float64(steps)) }
	signal := func(name string) func() {
		return func() {
			if out, err := exec.Command("pkill", "-"+name, "-x", "generator").CombinedOutput(); err != nil {
				t.Errorf("SIG%s to the generator: %v: %s", name, err, out)
			}
		}
	}
	slow := func(speed float64) func() {
		return func() {
			c := change.As(bed.Space().Layout())
			c.Speed[0] = speed
			if err := bed.Change(ctx, c); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(func() { signal("CONT")(); slow(1)() })
	var first, second replica
	leader := func() *replica { // who made the last step
		a, b := first.steps(t), second.steps(t)
		if len(b) > 0 && b[len(b)-1].Time.After(a[len(a)-1].Time) {
			return &second
		}
		return &first
	}
	surge := disturbance{"load outside", at(.62), at(.62) + 10, func() {}, func() {}, 0}
	all := []disturbance{
		{"node1 at a third of its cores", at(.25), at(.37), slow(1. / 3), slow(1), 0},
		{"measurements cut off", at(.50), at(.50) + 10, signal("STOP"), signal("CONT"), 0},
		surge,
		{"the API server is away", at(.74), at(.74) + 20, func() { part("apiserver").kill(t) }, func() { part("apiserver").start(t) }, 20 * time.Second},
		{"the leader is killed", at(.86), at(.86) + 1, func() { r := leader(); r.cmd.Process.Kill(); r.cmd.Wait() }, func() {}, 0},
	}

	loads := filepath.Join(t.TempDir(), "loads.csv")
	text := strings.Builder{}
	text.WriteString("l1,l2\n")
	quiet := load.Sinusoidal{Ranges: cfg.Scenario.Loads, Period: 120}
	for step := range steps {
		l := quiet.At(nil, 1, step)
		if step >= surge.from && step < surge.to {
			l = mesh.Load{2 * cfg.Scenario.Loads[0].Max, 2 * cfg.Scenario.Loads[1].Max}
		}
		fmt.Fprintf(&text, "%g,%g\n", l[0], l[1])
	}
	if err := os.WriteFile(loads, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}

	binary := program(t)
	options := []string{"-scenario", *clusterScenario, "-model", *modelFile, "-load", "replay:" + loads, *policyFile}
	first.start(t, binary, options...)
	within(t, 2*time.Minute, "the policy is in charge", func() bool { return first.shows("/metrics", "meshbench_run_policy_in_charge 1") })
	second.start(t, binary, options...)
	t.Logf("status pages: %s and %s", first.url, second.url)
	end := time.Now().Add(time.Duration(2 * *minutes * float64(time.Minute)))
	log := func() []controller.Entry { return append(first.steps(t), second.steps(t)...) }
	for _, d := range all {
		for _, wait := range []struct {
			step int
			then func()
		}{{d.from, d.do}, {d.to, d.undo}} {
			for began := time.Now(); len(log()) < wait.step; {
				if wait.step == d.to && d.lasts > 0 && time.Since(began) > d.lasts {
					break
				}
				if time.Now().After(end) {
					t.Fatalf("%s: step %d of %d when the time was over", d.what, len(log()), wait.step)
				}
				time.Sleep(500 * time.Millisecond)
			}
			wait.then()
		}
		t.Logf("%s, steps %d to %d: done", d.what, d.from, len(log()))
	}
	within(t, 10*time.Minute, "the rest of the steps", func() bool { return len(log()) >= steps })

	entries := log()
	quietly := disturbance{what: "nothing", from: at(.08), to: at(.25)}
	for _, d := range append([]disturbance{quietly}, all...) {
		seen := "no fallback"
		for k := d.from; k < min(d.to+3, len(entries)); k++ {
			if entries[k].Charge == controller.ByFallback {
				seen = fmt.Sprintf("fallback after %d steps (%v)", k-d.from, entries[max(k-1, 0)].Objections)
				break
			}
		}
		if back := slices.IndexFunc(entries[min(d.to, len(entries)):], func(e controller.Entry) bool { return e.Charge == controller.ByPolicy }); back > 0 {
			seen += fmt.Sprintf("; the policy back %d steps after its end", back)
		}
		t.Logf("%s, steps %d to %d: %s", d.what, d.from, d.to, seen)
		for _, charge := range []string{controller.ByPolicy, controller.ByFallback} {
			t.Logf("  under the %s: %s", charge, seenBy(entries[d.from:min(d.to, len(entries))], charge, cfg.Scenario.Mesh.ServiceNames()))
		}
	}
}

// seenBy is what the traffic of each service saw in the steps of who was in charge.
func seenBy(entries []controller.Entry, charge string, services []string) string {
	text, n := "", 0
	for i, name := range services {
		var delays []float64
		carried, offered, unmeasured := 0.0, 0.0, 0
		n = 0
		for _, e := range entries {
			switch {
			case e.Charge != charge:
				continue
			case i >= len(e.Delay) || math.IsNaN(float64(e.Delay[i])):
				unmeasured++
			default:
				delays = append(delays, float64(e.Delay[i]))
				carried, offered = carried+float64(e.Carried[i]), offered+float64(e.Load[i])
			}
			n++
		}
		slices.Sort(delays)
		text += fmt.Sprintf("; %s: ", name)
		if len(delays) > 0 {
			text += fmt.Sprintf("median delay %.0f ms, %.0f %% carried, ", 1e3*delays[len(delays)/2], 100*carried/offered)
		}
		text += fmt.Sprintf("%d steps not measured", unmeasured)
	}
	return fmt.Sprintf("%d steps%s", n, text)
}
