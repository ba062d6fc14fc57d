package anr

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/meshbench/meshbench/lab/mesh"
)

var paper = mesh.Grid(mesh.New(2, 2), 6)

func fileRun(seed uint64, steps int) Run {
	r := Run{Environment: "local", Objective: "MO1", Policy: "ppo", Pattern: "random", Seed: seed}
	for t := range steps {
		r.Steps = append(r.Steps, Step{Load: mesh.Load{5, 20}, Carried: []float64{float64(t), 19.8}, Delay: []float64{.0312345, math.NaN()},
			Action: mesh.Action{.2, .8, 1, 0, 0, .4}, Reward: 1.5, Optimal: 2, Exact: t > 0, Mark: `a "mark", one`})
	}
	return r
}

// A run that a kill cut short is dropped, whatever the byte, and written again.
func TestRunFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "runs.csv")
	for seed := range uint64(2) {
		if err := AppendRun(path, paper, fileRun(seed, 3)); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.Index(string(whole), "ppo,random,1,") // in the first line of the second run
	want := []Run{fileRun(0, 3), fileRun(1, 3)}
	same := func(a, b []Run) string { return cmp.Diff(a, b, cmpopts.EquateNaNs()) }
	for cut := first; cut < len(whole); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		got, err := ReadRuns(path, paper)
		if err != nil {
			t.Fatalf("cut at byte %d: %v", cut, err)
		}
		if d := same(want[:1], got); d != "" {
			t.Fatalf("cut at byte %d: %s", cut, d)
		}
		if err := AppendRun(path, paper, want[1]); err != nil {
			t.Fatal(err)
		}
		again, _ := os.ReadFile(path)
		if string(again) != string(whole) {
			t.Fatalf("cut at byte %d: the repaired file differs:\n%s", cut, again)
		}
	}
	got, err := ReadRuns(path, paper)
	if err != nil || same(want, got) != "" {
		t.Fatalf("%v %s", err, same(want, got))
	}
}

func TestRunFileErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "runs.csv")
	if err := AppendRun(path, paper, fileRun(0, 2)); err != nil {
		t.Fatal(err)
	}
	good, _ := os.ReadFile(path)
	for _, c := range []struct{ name, old, new, want string }{
		{"columns", "reward", "pay", "not a file of runs"},
		{"number", "0.0312345", "fast", `line 4: d1 is "fast"`},
		{"infinite", "0.0312345", "Inf", `line 4: d1 is "Inf"`},
		{"seed", "random,0,2,0", "random,-1,2,0", `seed "-1"`},
		{"missing step", "random,0,2,0", "random,0,2,1", "line 4: step 1 of run"},
	} {
		bad := filepath.Join(dir, c.name)
		if err := os.WriteFile(bad, []byte(strings.Replace(string(good), c.old, c.new, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{func() error { _, err := ReadRuns(bad, paper); return err }(), AppendRun(bad, paper, fileRun(1, 1))} {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
			}
		}
	}
}

// A file of version 1, which has no head and exact optima, is read and goes on.
func TestRunFileVersion1(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.csv")
	text := "environment,objective,policy,load,seed,steps,step,l1,l2,cl1,cl2,d1,d2,p11,p12,p21,p22,b1,b2,reward,optimal,mark\n" +
		"local,MO1,ppo,random,3,1,0,5,20,5,19.8,0.031,,0.2,0.8,1,0,0,0.4,1.5,2,\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	r := fileRun(4, 2)
	if err := AppendRun(path, paper, r); err != nil {
		t.Fatal(err)
	}
	got, err := ReadRuns(path, paper)
	if err != nil || len(got) != 2 || !got[0].Exact() || got[0].Steps[0].Reward != 1.5 || len(got[1].Steps) != 2 {
		t.Errorf("%v, %+v", err, got)
	}
	if b, _ := os.ReadFile(path); !strings.HasPrefix(string(b), text) {
		t.Errorf("what was there has changed: %s", b)
	}
}

// Runs of another mesh, and of other knobs, are refused.
func TestRunFileOtherSpace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.csv")
	if err := AppendRun(path, paper, fileRun(0, 1)); err != nil {
		t.Fatal(err)
	}
	for _, space := range []*mesh.Space{mesh.Grid(mesh.New(3, 3), 6), mesh.Grid(mesh.Single([]string{"a", "b"}, []string{"x", "y"}), 6)} {
		if _, err := ReadRuns(path, space); err == nil || !strings.Contains(err.Error(), "its runs are of service1,service2 on node1,node2") {
			t.Errorf("%s: %v", space, err)
		}
	}
}
