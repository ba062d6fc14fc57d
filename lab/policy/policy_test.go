package policy_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/sim"
)

var (
	_ policy.Policy = (*policy.Random)(nil)
	_ policy.Policy = policy.Static{}
	_ policy.Policy = policy.Proportional{}
	_ policy.Policy = policy.Greedy{}
	_ policy.Policy = (*policy.Learned)(nil)
)

func TestRandom(t *testing.T) {
	space := mesh.NewSpace(mesh.Mesh{}, 0)
	draw := func(seed uint64) (ks []int) {
		p := &policy.Random{Space: space}
		p.Reset(seed)
		for range 20 {
			a, err := p.Act(mesh.State{})
			if err != nil {
				t.Fatal(err)
			}
			k, _ := space.Index(a)
			ks = append(ks, k)
		}
		return ks
	}
	a, b, c := draw(1), draw(1), draw(2)
	same := true
	for k := range a {
		if a[k] != b[k] {
			t.Fatalf("the same seed draws %v and %v", a, b)
		}
		same = same && a[k] == c[k]
	}
	if same {
		t.Errorf("two seeds draw the same: %v", a)
	}
}

func TestProportional(t *testing.T) {
	space := mesh.NewSpace(mesh.Mesh{}, 0)
	for _, tt := range []struct {
		name string
		load mesh.Load
		p    policy.Proportional
		want string
	}{
		{"little load", mesh.Load{5, 5}, policy.Proportional{}, "p11=0.6 p21=0.6 b1=0 b2=0"},
		{"twice the bound", mesh.Load{20, 20}, policy.Proportional{Bound: .45}, "p11=0.6 p21=0.6 b1=0.6 b2=0.6"},
		{"a node of four times the capacity", mesh.Load{5, 5}, policy.Proportional{Capacity: []float64{4, 1}}, "p11=0.8 p21=0.8 b1=0 b2=0"},
	} {
		tt.p.Space, tt.p.ServiceTime = space, []float64{.020, .070}
		a, err := tt.p.Act(mesh.State{Load: tt.load})
		if err != nil {
			t.Fatal(err)
		}
		if got := space.Mesh().FormatAction(a); got != tt.want && got != strings.ReplaceAll(tt.want, "p11=0.6 p21=0.6", "p11=0.4 p21=0.4") {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	if _, err := (policy.Proportional{Space: space}).Act(mesh.State{Load: mesh.Load{5, 5}}); err == nil {
		t.Error("without service times: no error")
	}
}

// bandit is an environment to make a network with.
type bandit struct{ heads []int }

func (b bandit) Spaces() (int, []int)              { return 2, b.heads }
func (b bandit) Reset(_ uint64, o []float32) error { o[0], o[1] = 1, 2; return nil }
func (b bandit) Step(_ []int, o []float32) (float64, bool, error) {
	o[0], o[1] = 2, 1
	return 1, false, nil
}

func learned(t *testing.T, space *mesh.Space, heads sim.Heads) *policy.Learned {
	t.Helper()
	trainer, err := ppo.New(ppo.Config{Steps: 64}, bandit{heads.Of(space)})
	if err != nil {
		t.Fatal(err)
	}
	if err := trainer.Train(context.Background(), 64); err != nil {
		t.Fatal(err)
	}
	p, err := policy.NewLearned(trainer.Policy(), space, sim.Observation{}, heads)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestSaveLoad(t *testing.T) {
	space := mesh.NewSpace(mesh.Mesh{}, 0)
	path := filepath.Join(t.TempDir(), "policy.zip")
	for _, heads := range []sim.Heads{sim.WholeAction, sim.PerComponent} {
		p := learned(t, space, heads)
		if err := p.Save(path); err != nil {
			t.Fatal(err)
		}
		again, err := policy.Load(path, space)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range []mesh.Load{{5, 20}, {20, 5}, {12.5, 7}} {
			a, _ := p.Act(mesh.State{Load: l})
			b, _ := again.Act(mesh.State{Load: l})
			if mesh.Mesh.FormatAction(mesh.Mesh{}, a) != mesh.Mesh.FormatAction(mesh.Mesh{}, b) {
				t.Errorf("heads %q at %v: %v, after loading %v", heads, l, a, b)
			}
		}
	}

	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.zip")
	if err := os.WriteFile(cut, bytes.Clone(data[:len(data)/2]), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path, want string
		space            *mesh.Space
	}{
		{"truncated", cut, "cut.zip", space},
		{"missing", path + "x", "policy.zipx", space},
		{"another mesh", path, "is for service1,service2 on node1,node2", mesh.NewSpace(mesh.Mesh{Services: []string{"a", "b"}, Nodes: []string{"x", "y"}}, 0)},
		{"other levels", path, "with 6 levels", mesh.NewSpace(mesh.Mesh{}, 3)},
	} {
		if _, err := policy.Load(tt.path, tt.space); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %q", tt.name, err, tt.want)
		}
	}
}
