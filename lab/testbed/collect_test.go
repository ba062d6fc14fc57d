package testbed_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/local"
	"github.com/meshbench/meshbench/lab/testbed/virtual"
	"github.com/meshbench/meshbench/lab/trace"
)

var long = flag.Bool("long", false, "run the long tests")

// collector, when set, makes the test binary collect on the testbed that it
// names until it is done or killed.
const collector = "MESHBENCH_TEST_COLLECTOR"

func TestMain(m *testing.M) {
	if name, path, ok := strings.Cut(os.Getenv(collector), " "); ok {
		if err := collectOn(context.Background(), name, path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Steps of the collections that are killed, on each testbed.
var killSteps = map[string]int{"virtual": 20_000, "local": 200}

func collectOn(ctx context.Context, name, path string) (err error) {
	var bed testbed.Testbed
	s := scenario.Paper()
	if name == "local" {
		// Little to fill the databases with, and 20 steps/s.
		s.Timing = control.Timing{Step: .4, Settle: .1}
		for u := range s.Work {
			s.Work[u].Items = 20
		}
		bed, err = local.New(ctx, local.Config{Scenario: s})
	} else {
		bed, err = virtual.New(virtual.Config{Scenario: s})
	}
	if err != nil {
		return err
	}
	defer bed.Close()
	_, err = testbed.CollectFile(ctx, bed, path, testbed.Collection{Scenario: s, Steps: killSteps[name], Seed: 3, Progress: func(row trace.Row) {
		fmt.Println(row.Step) // one write: the step is in the file when it is seen
	}})
	return err
}

// output is what a collector prints: the steps that it has written.
type output struct {
	mu    sync.Mutex
	text  []byte
	first chan struct{} // closed by the first step
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.text == nil {
		close(o.first)
	}
	o.text = append(o.text, p...)
	return len(p), nil
}

// last is the last step that was written, -1 for none. The collector has ended.
func (o *output) last() int {
	lines := strings.Fields(string(o.text))
	if len(lines) == 0 {
		return -1
	}
	step, err := strconv.Atoi(lines[len(lines)-1])
	if err != nil {
		panic(err)
	}
	return step
}

func start(t *testing.T, name, path string) (cmd *exec.Cmd, written *output) {
	t.Helper()
	written = &output{first: make(chan struct{})}
	cmd = exec.Command(os.Args[0])
	// What a killed collector leaves behind goes with the test's directory.
	cmd.Env = append(os.Environ(), collector+"="+name+" "+path, "TMPDIR="+filepath.Dir(path))
	cmd.Stdout, cmd.Stderr = written, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, written
}

// A collector that is killed at any moment leaves whole rows: all those that it
// reported, none twice, none changed by the next one, which goes on.
func TestCollectKilled(t *testing.T) {
	const kills = 20
	longest := map[string]int{"virtual": 20e6, "local": 1e9} // ns from the first step to the kill
	for _, name := range []string{"virtual", "local"} {
		t.Run(name, func(t *testing.T) {
			if name == "local" && !*long {
				t.Skip("half a minute: run with -long")
			}
			path := filepath.Join(t.TempDir(), "trace.csv")
			rng := rand.New(rand.NewPCG(20, 0))
			var before []byte // the file's whole lines after the last kill
			rows, interrupted, torn := 0, 0, 0
			for k := range kills {
				cmd, written := start(t, name, path)
				// Every fourth is killed at some moment of its start or soon after,
				// the others while they collect.
				pause := time.Duration(rng.IntN(longest[name]))
				if k%4 > 0 {
					select {
					case <-written.first:
					case <-time.After(time.Minute):
						t.Fatal("the collector does not collect")
					}
				}
				time.Sleep(pause)
				cmd.Process.Signal(syscall.SIGKILL)
				if cmd.Wait() != nil {
					interrupted++
				}
				lines, rest := whole(t, path)
				if rest > 0 {
					torn++
				}
				if !bytes.HasPrefix(lines, before) {
					t.Fatal("the next collector changed rows that were there")
				}
				rows = check(t, lines)
				if last := written.last(); last >= 0 && (rows < last+1 || rows > last+2) {
					t.Errorf("%d rows in the file; the last reported step is %d", rows, last)
				}
				before = bytes.Clone(lines)
				if rows == killSteps[name] {
					break
				}
			}
			cmd, _ := start(t, name, path)
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			lines, _ := whole(t, path)
			if n := check(t, lines); n != killSteps[name] || !bytes.HasPrefix(lines, before) {
				t.Errorf("%d rows at the end, want %d, the first %d as they were", n, killSteps[name], rows)
			}
			t.Logf("%d of %d starts killed, %d of them within a row; %d rows were there before the last", interrupted, kills, torn, rows)
			if rows == 0 || interrupted < kills/2 {
				t.Errorf("the kills did not fall into the collection: %d rows, %d killed", rows, interrupted)
			}
		})
	}
}

// whole returns the whole lines of a file, and how many bytes of a torn one
// follow, which count for nothing.
func whole(t *testing.T, path string) (lines []byte, rest int) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	end := bytes.LastIndexByte(data, '\n') + 1
	return data[:end], len(data) - end
}

// check checks that a trace file of these lines has each step once, in order,
// and returns their number.
func check(t *testing.T, lines []byte) int {
	t.Helper()
	if header := bytes.Index(lines, []byte("\nstep,")); header < 0 || bytes.IndexByte(lines[header+1:], '\n') == len(lines)-header-2 {
		return 0 // killed within the head, or before the first row
	}
	copied := filepath.Join(t.TempDir(), "copy.csv")
	if err := os.WriteFile(copied, lines, 0o644); err != nil {
		t.Fatal(err)
	}
	table, err := trace.Read(copied, trace.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for r := range table.Len() {
		if table.Row(r).Step != r {
			t.Fatalf("row %d is step %d", r, table.Row(r).Step)
		}
	}
	return table.Len()
}

// memory collects into a table.
func memory(t *testing.T, c testbed.Collection, stops ...int) *trace.Table {
	t.Helper()
	if c.Scenario.Name == "" {
		c.Scenario = scenario.Paper()
	}
	bed, err := virtual.New(virtual.Config{Scenario: c.Scenario})
	if err != nil {
		t.Fatal(err)
	}
	meta, err := c.Meta(bed)
	if err != nil {
		t.Fatal(err)
	}
	table := trace.New(meta)
	for _, stop := range append(stops, c.Steps) {
		ctx, cancel := context.WithCancel(context.Background())
		part := c
		part.Progress = func(row trace.Row) {
			if row.Step+1 == stop {
				cancel()
			}
		}
		err := testbed.Collect(ctx, bed, table, part)
		cancel()
		if stop < c.Steps && !errors.Is(err, context.Canceled) || stop == c.Steps && err != nil {
			t.Fatal(err)
		}
		if table.Len() != stop {
			t.Fatalf("%d rows after a stop at %d", table.Len(), stop)
		}
	}
	return table
}

// An interrupted collection has the loads and actions of an uninterrupted one.
func TestCollectResumes(t *testing.T) {
	for _, actions := range []string{testbed.RandomActions, testbed.GridActions} {
		c := testbed.Collection{Steps: 300, Seed: 5, Actions: actions}
		a, b := memory(t, c), memory(t, c, 1, 100, 101, 257)
		m := a.Space()
		for r := range a.Len() {
			x, y := a.Row(r), b.Row(r)
			if fmt.Sprint(x.Load, m.Format(x.Action)) != fmt.Sprint(y.Load, m.Format(y.Action)) {
				t.Fatalf("%s, step %d: %v %s and %v %s", actions, r, x.Load, m.Format(x.Action), y.Load, m.Format(y.Action))
			}
		}
	}
}

// Grid actions come equally often, whatever the reference steps.
func TestCollectGrid(t *testing.T) {
	s := scenario.Paper()
	s.Knobs = []mesh.Knob{{Kind: mesh.Route, Levels: 3}, {Kind: mesh.Block, Levels: 3}}
	space := s.MustSpace() // 81 actions
	c := testbed.Collection{Scenario: s, Steps: 7 * space.Len() * 10 / 9, Actions: testbed.GridActions, Reference: 10, Load: load.Constant{Load: mesh.Load{20, 20}}}
	table := memory(t, c)
	count := make([]int, space.Len())
	reference := space.FromChoice(space.Nearest(space.Default()))
	for r := range table.Len() {
		k, ok := space.Index(table.Row(r).Action)
		if !ok {
			t.Fatalf("step %d is off the grid", r)
		}
		if r%10 == 0 {
			if k != reference {
				t.Fatalf("step %d is not the reference", r)
			}
			continue
		}
		count[k]++
	}
	for k, n := range count {
		if n != 7 {
			t.Errorf("%s came %d times, want 7", space.Format(space.At(k)), n)
		}
	}
}

func TestCollectErrors(t *testing.T) {
	bed, err := virtual.New(virtual.Config{Scenario: scenario.Paper()})
	if err != nil {
		t.Fatal(err)
	}
	wide, err := scenario.Open("wide")
	if err != nil {
		t.Fatal(err)
	}
	wideBed, err := virtual.New(virtual.Config{Scenario: wide})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		bed  testbed.Testbed
		c    testbed.Collection
		want string
	}{
		{bed, testbed.Collection{}, "no service"},
		{bed, testbed.Collection{Scenario: scenario.Paper(), Steps: -1}, "-1 steps; accepted: 1 or more"},
		{bed, testbed.Collection{Scenario: scenario.Paper(), Actions: "best"}, `"best"; accepted: random, grid`},
		{bed, testbed.Collection{Scenario: wide}, "scenario wide is of login,search,feed,report on node1,"},
		{wideBed, testbed.Collection{Scenario: wide, Actions: testbed.GridActions}, `1.27e+10 actions to go through; accepted: at most 1000000, so choose actions by "random"`},
	} {
		path := filepath.Join(t.TempDir(), "t.csv")
		if _, err := testbed.CollectFile(context.Background(), c.bed, path, c.c); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one with %q", err, c.want)
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s was made", path)
		}
	}
	// Another seed, or a scenario that differs in what requests meet, is another
	// trace; nothing is changed. Goals are not what a trace depends on.
	path := filepath.Join(t.TempDir(), "t.csv")
	if _, err := testbed.CollectFile(context.Background(), bed, path, testbed.Collection{Scenario: scenario.Paper(), Steps: 3}); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	slower, goals := scenario.Paper(), scenario.Paper()
	slower.Work[0].Time *= 2
	goals.Targets[0].Goal *= 2
	for _, c := range []testbed.Collection{{Scenario: scenario.Paper(), Steps: 9, Seed: 1}, {Scenario: slower, Steps: 9}} {
		if _, err := testbed.CollectFile(context.Background(), bed, path, c); err == nil || !strings.Contains(err.Error(), "another trace") {
			t.Errorf("error %v", err)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Error("the refused file was changed")
		}
	}
	if rows, err := testbed.CollectFile(context.Background(), bed, path, testbed.Collection{Scenario: goals, Steps: 5}); rows != 5 || err != nil {
		t.Errorf("with other goals: %d rows, %v", rows, err)
	}
}

// Every built-in scenario can be collected; each knob takes all of its points,
// equally often, and the reference comes in between.
func TestCollectScenarios(t *testing.T) {
	for _, name := range scenario.List() {
		t.Run(name, func(t *testing.T) {
			s, err := scenario.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			const steps = 600
			table := memory(t, testbed.Collection{Scenario: s, Steps: steps, Reference: 10}, 57)
			space := table.Space()
			load, reference := s.Reference(space)
			count := make([][]int, len(space.Knobs()))
			for h := range count {
				count[h] = make([]int, space.Choices()[h])
			}
			answered := make([]float64, space.Mesh().M())
			for r := range table.Len() {
				row := table.Row(r)
				choice, ok := space.ChoiceOf(nil, row.Action)
				if !ok {
					t.Fatalf("step %d is off the grid: %v", r, row.Action)
				}
				if r%10 == 0 {
					if fmt.Sprint(row.Load, row.Action) != fmt.Sprint(load, reference) {
						t.Fatalf("step %d is %v %v, not the reference", r, row.Load, row.Action)
					}
					continue
				}
				for h, u := range choice {
					count[h][u]++
				}
				for i, d := range row.Measurement.Service {
					answered[i] += d.Count
				}
			}
			for h, n := range count {
				want := float64(steps*9/10) / float64(len(n))
				for u, k := range n {
					if math.Abs(float64(k)-want) > 5*math.Sqrt(want) {
						t.Errorf("point %d of knob %s came %d times, about %.0f are due", u, space.Knobs()[h].Name, k, want)
					}
				}
			}
			for i, n := range answered {
				if n == 0 {
					t.Errorf("no request of service %d was answered", i+1)
				}
			}
		})
	}
}

// stuck is a testbed whose second replica never gets ready.
type stuck struct{ *virtual.Testbed }

func (s stuck) InForce() (mesh.Action, []mesh.Pending) {
	return mesh.Action{1}, []mesh.Pending{{Knob: 0, Point: 1}}
}

func (s stuck) Measure(ctx context.Context, load mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	x, err := s.Testbed.Measure(ctx, load, a)
	x.Mark = "pool has 1 of 2 replicas: no space"
	return x, err
}

// A collection ends with what is wrong where an action does not come into force.
func TestCollectNeverInForce(t *testing.T) {
	s, err := scenario.Open("autoscale")
	if err != nil {
		t.Fatal(err)
	}
	v, err := virtual.New(virtual.Config{Scenario: s})
	if err != nil {
		t.Fatal(err)
	}
	var table trace.Table
	err = testbed.Collect(context.Background(), stuck{v}, &table, testbed.Collection{Scenario: s, Steps: 10})
	if err == nil || !strings.Contains(err.Error(), "is not in force after 35 steps: pool has 1 of 2 replicas: no space") {
		t.Errorf("error %v", err)
	}
}
