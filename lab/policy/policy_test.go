package policy_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/internal/modeltest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/scenario"
)

var (
	_ policy.Policy = (*policy.Random)(nil)
	_ policy.Policy = policy.Static{}
	_ policy.Policy = policy.Proportional{}
	_ policy.Policy = policy.Greedy{}
)

// The same seed draws the same actions, in small spaces and in large ones.
func TestRandom(t *testing.T) {
	huge := mesh.Grid(mesh.New(9, 4), 21) // more than MaxInt actions
	if huge.Len() != math.MaxInt {
		t.Fatalf("%s actions", huge.Size())
	}
	for _, space := range []*mesh.Space{modeltest.Paper(), huge} {
		draw := func(seed uint64) (s string) {
			p := &policy.Random{Space: space}
			p.Reset(seed)
			for range 20 {
				a, err := p.Act(mesh.State{})
				if err != nil {
					t.Fatal(err)
				}
				if _, ok := space.ChoiceOf(nil, a); !ok {
					t.Fatalf("%v is not in the space", a)
				}
				s += space.Format(a) + "\n"
			}
			return s
		}
		if a, b := draw(1), draw(1); a != b {
			t.Fatalf("the same seed draws %v and %v", a, b)
		}
		if draw(1) == draw(2) {
			t.Error("two seeds draw the same")
		}
	}
}

func paperMesh(speed1, speed2 float64) *mesh.Space {
	m := mesh.New(2, 2)
	m.Nodes[0].Speed, m.Nodes[1].Speed = speed1, speed2
	return mesh.Grid(m, 6)
}

func TestProportional(t *testing.T) {
	for _, tt := range []struct {
		name  string
		space *mesh.Space
		load  mesh.Load
		bound float64
		want  string
	}{
		{"little load", paperMesh(1, 1), mesh.Load{5, 5}, 0, "p11=0.6 p21=0.6 b1=0 b2=0"},
		{"twice the bound", paperMesh(1, 1), mesh.Load{20, 20}, .45, "p11=0.6 p21=0.6 b1=0.6 b2=0.6"},
		{"a node of four times the speed", paperMesh(4, 1), mesh.Load{5, 5}, 0, "p11=0.8 p21=0.8 b1=0 b2=0"},
		// 20 (.02 + .07) / 5 = .36 of all nodes, against .3: 1/6 is too much.
		{"unequal speeds above the bound", paperMesh(4, 1), mesh.Load{20, 20}, .3, "p11=0.8 p21=0.8 b1=0.2 b2=0.2"},
		{"more than can be blocked", paperMesh(1, 1), mesh.Load{1e6, 1e6}, 1e-3, "p11=0.6 p21=0.6 b1=1 b2=1"},
	} {
		p := policy.Proportional{Space: tt.space, Time: []float64{.020, .070}, Bound: tt.bound}
		a, err := p.Act(mesh.State{Load: tt.load})
		if err != nil {
			t.Fatal(err)
		}
		if got := tt.space.Format(a); got != tt.want && got != strings.ReplaceAll(tt.want, "p11=0.6 p21=0.6", "p11=0.4 p21=0.4") {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	if _, err := (policy.Proportional{Space: modeltest.Paper()}).Act(mesh.State{Load: mesh.Load{5, 5}}); err == nil {
		t.Error("without service times: no error")
	}
}

// On a graph every call is routed by its own nodes' speeds, and what is blocked
// keeps the busiest node at the bound.
func TestProportionalOnGraph(t *testing.T) {
	m := modeltest.Graph()
	m.Nodes[1].Speed, m.Nodes[2].Speed = 4, 1
	space := mesh.Grid(m, 6)
	times := []float64{.010, .020, .030} // web, cart, price
	p := policy.Proportional{Space: space, Time: times, Bound: .5}
	a, err := p.Act(mesh.State{Load: mesh.Load{5, 5}})
	if err != nil {
		t.Fatal(err)
	}
	// web on a and b: 1 to 4; cart on b and c: 4 to 1; price is on c alone.
	if got, want := space.Format(a), "p1.1.1=0.2 p1.2.2=0.8 p2.1.1=0.2 b1=0 b2=0"; got != want {
		t.Errorf("little load: %s, want %s", got, want)
	}
	l := mesh.Load{40, 10}
	if a, err = p.Act(mesh.State{Load: l}); err != nil {
		t.Fatal(err)
	}
	busy := make([]float64, 3)
	for c, call := range space.Layout().Calls {
		for k, share := range space.RouteOf(a, c) {
			j := call.Nodes[k]
			busy[j] += l[call.Service] * (1 - space.BlockOf(a, call.Service)) * share * times[call.Microservice] / m.Speed(j)
		}
	}
	// price alone would keep c busy for 1.2, cart for .16: .6 is too little to block.
	if top := slices.Max(busy); math.Abs(top-.2*1.36) > 1e-9 {
		t.Errorf("%s keeps the nodes busy for %v, want %v at most", space.Format(a), busy, .2*1.36)
	}
}

func rewards(t testing.TB, m *model.PerNode, cfg optimum.Config) *optimum.Rewards {
	t.Helper()
	r, err := optimum.NewRewards(m, modeltest.Useful(m.Space().Mesh()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Greedy scores 1 on its own model, others less.
func TestScore(t *testing.T) {
	r := rewards(t, modeltest.PerNode(t, modeltest.Paper()), optimum.Config{})
	loads := modeltest.Ranges(r.Space().Mesh()).Grid(100)
	score, exact, err := policy.Score(r, policy.Greedy{Optimum: r}, loads)
	if err != nil || math.Abs(score-1) > 1e-12 || !exact {
		t.Errorf("greedy scores %v, exact %v (%v)", score, exact, err)
	}
	random := &policy.Random{Space: r.Space()}
	if score, _, err = policy.Score(r, random, loads); err != nil || !(score > 0 && score < .9) {
		t.Errorf("random scores %v (%v)", score, err)
	}
	s := rewards(t, modeltest.PerNode(t, modeltest.Paper()), optimum.Config{MaxEnumerated: 1})
	if _, exact, err = policy.Score(s, random, loads[:2]); err != nil || exact {
		t.Errorf("against the best found the score is exact: %v (%v)", exact, err)
	}
	if _, _, err := policy.Score(r, random, []mesh.Load{{0, 0}}); err == nil || !strings.Contains(err.Error(), "above 0") {
		t.Errorf("a load that pays nothing: %v", err)
	}
	if _, _, err := policy.Score(r, seer{}, loads); err == nil || !strings.Contains(err.Error(), "response times") {
		t.Errorf("a policy that looks at delays: %v", err)
	}
}

// seer looks at delays.
type seer struct{ policy.Static }

func (seer) SeesDelays() bool { return true }

// The best constant found is within 0.1 % of the one that is enumerated.
func TestBestConstant(t *testing.T) {
	s := scenario.Paper()
	m := modeltest.Virtual(t, s, 2000)
	loads := s.Loads.Grid(100)
	enumerated := rewards(t, m, optimum.Config{Expected: true})
	want, err := policy.BestConstant(enumerated, loads)
	if err != nil {
		t.Fatal(err)
	}
	got, err := policy.BestConstant(rewards(t, m, optimum.Config{Expected: true, MaxEnumerated: 1}), loads)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := policy.Score(enumerated, want, loads)
	if err != nil {
		t.Fatal(err)
	}
	b, _, err := policy.Score(enumerated, got, loads)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("enumerated %s scores %.4f, searched %s scores %.4f", m.Space().Format(want.Action), a, m.Space().Format(got.Action), b)
	if b < .999*a || b > a+1e-12 || got.Name() != "constant" {
		t.Errorf("the constant found scores %v, the best one %v", b, a)
	}
}

// Act does not allocate.
func TestAllocations(t *testing.T) {
	space := modeltest.Paper()
	r := rewards(t, modeltest.PerNode(t, space), optimum.Config{})
	random := &policy.Random{Space: space}
	random.Reset(1)
	s := mesh.State{Load: mesh.Load{5, 20}}
	for _, p := range []policy.Policy{random, policy.Static{Action: space.At(0)}, policy.Greedy{Optimum: r}} {
		if n := testing.AllocsPerRun(100, func() {
			if _, err := p.Act(s); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s allocates %v times", p.Name(), n)
		}
	}
}

func TestNames(t *testing.T) {
	for want, p := range map[string]policy.Policy{"static": policy.Static{}, "mine": policy.Static{Label: "mine"}, "greedy": policy.Greedy{}, "oracle": policy.Greedy{Label: "oracle"}} {
		if p.Name() != want {
			t.Errorf("name %q, want %q", p.Name(), want)
		}
	}
}

// Baselines on a model of the paper's mesh that needs no trace.
func ExampleScore() {
	s := scenario.Paper()
	m, err := model.NewQueueing(s)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := optimum.NewRewards(m, objective.Useful("MO1", s.Mesh.ServiceNames(), s.Targets), optimum.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	times := make([]float64, len(s.Work))
	for u, w := range s.Work {
		times[u] = w.Time
	}
	for _, p := range []policy.Policy{
		policy.Proportional{Space: m.Space(), Time: times},
		policy.Greedy{Optimum: r},
	} {
		score, exact, err := policy.Score(r, p, s.Loads.Grid(100))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s: %.2f of the optimum, exact: %v\n", p.Name(), score, exact)
	}
	a, err := policy.Greedy{Optimum: r}.Act(mesh.State{Load: load.Random{Ranges: s.Loads}.At(nil, 1, 0)})
	fmt.Println(m.Space().Format(a), err)
	// Output:
	// proportional: 0.27 of the optimum, exact: true
	// greedy: 1.00 of the optimum, exact: true
	// p11=0.4 p21=1 b1=0 b2=0.8 <nil>
}
