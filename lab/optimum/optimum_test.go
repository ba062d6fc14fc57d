package optimum_test

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/internal/modeltest"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/scenario"
)

var _ optimum.Optimum = (*optimum.Rewards)(nil)

func rewards(t testing.TB, m control.Model, o objective.Objective, cfg optimum.Config) *optimum.Rewards {
	t.Helper()
	r, err := optimum.NewRewards(m, o, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mo(m control.Model, weights ...float64) objective.Objective {
	return modeltest.Useful(m.Space().Mesh(), weights...)
}

// The enumeration is what each action pays, and its best the best of them.
func TestOptimum(t *testing.T) {
	for _, m := range []control.Model{modeltest.Joint(t, modeltest.Paper()), modeltest.PerNode(t, modeltest.Paper())} {
		for _, expected := range []bool{false, true} {
			r := rewards(t, m, mo(m), optimum.Config{Expected: expected})
			l := mesh.Load{5, 5}
			table, err := r.Table(l)
			if err != nil {
				t.Fatal(err)
			}
			v, err := r.At(l)
			if err != nil {
				t.Fatal(err)
			}
			top, ties := math.Inf(-1), 0
			for k, got := range table.Reward {
				want, err := v.Of(m.Space().At(k))
				if err != nil {
					t.Fatal(err)
				}
				if got != want {
					t.Fatalf("%s: action %d pays %v, in the table %v", m.Name(), k, want, got)
				}
				top = max(top, want)
			}
			for _, v := range table.Reward {
				if v >= top-1e-9*top {
					ties++
				}
			}
			best, err := r.Best(l)
			if err != nil {
				t.Fatal(err)
			}
			if table.Best != top || len(table.Action) != ties || best.Reward != top || !best.Exact || !slices.Equal(best.Action, m.Space().At(table.Action[0])) {
				t.Errorf("best %v with %d actions and %+v, want %v with %d", table.Best, len(table.Action), best, top, ties)
			}
		}
	}
}

// What is prepared for several objectives together is what each makes alone; models
// and ways to value that differ are not mixed up, and what is there stays.
func TestPrepare(t *testing.T) {
	a, b := modeltest.PerNode(t, modeltest.Paper()), modeltest.Joint(t, modeltest.Paper())
	make := func() []*optimum.Rewards {
		var list []*optimum.Rewards
		for _, m := range []control.Model{a, b} {
			for _, cfg := range []optimum.Config{{}, {Expected: true}, {Quanta: []float64{2, 2}}, {MaxEnumerated: 1}} {
				list = append(list, rewards(t, m, mo(m), cfg), rewards(t, m, mo(m, 1, 5), cfg))
			}
		}
		return list
	}
	loads := []mesh.Load{{5, 5}, {19, 11}, {5, 5}}
	together, alone := make(), make()
	there, err := together[2].Table(loads[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := optimum.Prepare(context.Background(), loads, together...); err != nil {
		t.Fatal(err)
	}
	if again, _ := together[2].Table(loads[1]); again != there {
		t.Error("a table that was there was made again")
	}
	for k := range together {
		for _, l := range loads {
			x, err := together[k].Best(l)
			if err != nil {
				t.Fatal(err)
			}
			y, err := alone[k].Best(l)
			if err != nil {
				t.Fatal(err)
			}
			if x.Reward != y.Reward || !slices.Equal(x.Action, y.Action) {
				t.Errorf("rewards %d, load %v: %+v together, %+v alone", k, l, x, y)
			}
			if !together[k].Exact() {
				continue
			}
			p, _ := together[k].Table(l)
			q, _ := alone[k].Table(l)
			if !slices.Equal(p.Reward, q.Reward) || !slices.Equal(p.Action, q.Action) {
				t.Errorf("rewards %d, load %v: tables differ", k, l)
			}
		}
	}
}

// With one training row per leaf the expected reward is that of the mean. The
// quantiles of a leaf of one row are that row.
func TestExpected(t *testing.T) {
	deep := modeltest.Learn(t, modeltest.Paper(), 3000, model.Config{Forest: forest.Config{Trees: 1, NoBootstrap: true}})
	l := mesh.Load{20, 20}
	x, err := rewards(t, deep, mo(deep), optimum.Config{}).Table(l)
	if err != nil {
		t.Fatal(err)
	}
	y, err := rewards(t, deep, mo(deep), optimum.Config{Expected: true}).Table(l)
	if err != nil {
		t.Fatal(err)
	}
	differ := 0
	for k := range x.Reward {
		if math.Abs(x.Reward[k]-y.Reward[k]) > 1e-6 {
			differ++
		}
	}
	if differ > len(x.Reward)/20 {
		t.Errorf("%d of %d rewards differ with one row per leaf", differ, len(x.Reward))
	}
}

// The expected reward of a joint model, a mean over 31 quantiles, is within 2 % of
// the mean of the utilities of the leaves' rows, which is exact.
func TestExpectedOfLeaves(t *testing.T) {
	m := modeltest.Learn(t, modeltest.Paper(), 3000, model.Config{Forest: forest.Config{Trees: 10, MinLeaf: 40}}).(*model.Joint)
	targets := modeltest.Targets(m.Space().Mesh())
	r := rewards(t, m, mo(m), optimum.Config{Expected: true})
	l := mesh.Load{20, 20}
	table, err := r.Table(l)
	if err != nil {
		t.Fatal(err)
	}
	f, err := m.At(mesh.State{Load: l})
	if err != nil {
		t.Fatal(err)
	}
	x := mesh.NewMeasurement(m.Space().Layout())
	var n forest.Neighbours
	worst := 0.0
	for k := 0; k < m.Space().Len(); k += 7 {
		a := m.Space().At(k)
		if err := f.Set(a); err != nil {
			t.Fatal(err)
		}
		f.Mean(&x)
		want := 0.0
		for i := range l {
			if !(x.Carried[i] > 0) {
				continue
			}
			trees := m.Forests()[4+i]
			trees.Neighbours(&n, m.Space().Features(nil, l, a))
			utility := 0.0
			for at, row := range n.Rows {
				utility += n.Weights[at] * targets[i].Utility(trees.Target(int(row))[0])
			}
			want += x.Carried[i] * utility
		}
		worst = max(worst, math.Abs(table.Reward[k]-want)/(l[0]+l[1]))
	}
	t.Logf("off by %.4f of the load at most", worst)
	if worst > .02 {
		t.Errorf("expected rewards are off by %.3f of the load", worst)
	}
}

// What an environment pays is the table's, also while there is none.
func TestValue(t *testing.T) {
	m := modeltest.PerNode(t, modeltest.Paper())
	for _, cfg := range []optimum.Config{{}, {Expected: true}} {
		r, whole := rewards(t, m, mo(m), cfg), rewards(t, m, mo(m), cfg)
		env, err := r.NewEnv(load.NewReplay("one load", []mesh.Load{{7.3, 12}}), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := env.Reset(context.Background(), 0); err != nil {
			t.Fatal(err)
		}
		table, err := whole.Table(mesh.Load{7.3, 12})
		if err != nil {
			t.Fatal(err)
		}
		for step := range 130 { // a table is made on the way
			k := 1 + step*37%(m.Space().Len()-1)
			s, err := env.Step(context.Background(), m.Space().At(k))
			if err != nil {
				t.Fatal(err)
			}
			if s.Reward != table.Reward[k] {
				t.Fatalf("%+v, step %d: action %d pays %v, the table says %v", cfg, step, k, s.Reward, table.Reward[k])
			}
		}
	}
}

// The environment of rewards pays what the general one does.
func TestEnvs(t *testing.T) {
	m := modeltest.Joint(t, modeltest.Paper())
	o := mo(m, 1, 5)
	r := rewards(t, m, o, optimum.Config{})
	sine := load.Sinusoidal{Ranges: modeltest.Ranges(m.Space().Mesh())}
	general, err := control.NewEnv(control.NewSimulator(m, control.Timing{}), sine, o, control.Config{})
	if err != nil {
		t.Fatal(err)
	}
	fast, err := r.NewEnv(sine, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	a, err := general.Reset(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	b, err := fast.Reset(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	for step := range 50 {
		if a.Load[0] != b.Load[0] {
			t.Fatalf("step %d: loads %v and %v", step, a.Load, b.Load)
		}
		action := m.Space().At((step * 37) % 1296)
		x, err := general.Step(ctx, action)
		if err != nil {
			t.Fatal(err)
		}
		y, err := fast.Step(ctx, action)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(x.Reward-y.Reward) > 1e-12 {
			t.Fatalf("step %d: rewards %v and %v", step, x.Reward, y.Reward)
		}
		a, b = x.Next, y.Next
	}
}

// A space that is too large for a table says so, with its size and what to use,
// and is searched.
func TestLarge(t *testing.T) {
	m, err := model.NewQueueing(modeltest.Builtin(t, "wide"))
	if err != nil {
		t.Fatal(err)
	}
	s := modeltest.Builtin(t, "wide")
	r := rewards(t, m, objective.Useful("useful", s.Mesh.ServiceNames(), s.Targets), optimum.Config{})
	_, err = r.Table(s.Loads.Mid())
	for _, want := range []string{"1.27e+10", "16384", "Best searches"} {
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("a table of too many actions: %v, want one line with %q", err, want)
		}
	}
	best, err := r.Best(s.Loads.Mid())
	if err != nil {
		t.Fatal(err)
	}
	if best.Exact || r.Exact() {
		t.Error("a search claims to be exact")
	}
	if v, err := r.Value(s.Loads.Mid(), best.Action); err != nil || v != best.Reward {
		t.Errorf("the best action pays %v (%v), not %v", v, err, best.Reward)
	}
}

// found is the number of loads at which the search finds the enumerated optimum.
func found(t *testing.T, s scenario.Scenario, steps, loads int) (n int, worst float64) {
	t.Helper()
	m := modeltest.Virtual(t, s, steps)
	o := objective.Useful("useful", s.Mesh.ServiceNames(), s.Targets)
	enumerated, searched := rewards(t, m, o, optimum.Config{Expected: true}), rewards(t, m, o, optimum.Config{Expected: true, MaxEnumerated: 1})
	for k := range loads {
		l := load.Uniform{Ranges: s.Loads}.At(nil, 1, k)
		want, err := enumerated.Best(l)
		if err != nil {
			t.Fatal(err)
		}
		got, err := searched.Best(l)
		if err != nil {
			t.Fatal(err)
		}
		if !want.Exact || got.Exact {
			t.Fatalf("exact: enumerated %v, searched %v", want.Exact, got.Exact)
		}
		if v, err := enumerated.Value(l, got.Action); err != nil || math.Abs(v-got.Reward) > 1e-12 {
			t.Fatalf("the search's action pays %v (%v), not %v", v, err, got.Reward)
		}
		loss := 1 - got.Reward/want.Reward
		worst = max(worst, loss)
		if loss < 1e-9 {
			n++
		} else {
			t.Logf("load %v: found %v of %v", l, got.Reward, want.Reward)
		}
	}
	return n, worst
}

// Where both can be done, the search finds what enumeration does.
func TestSearch(t *testing.T) {
	if n, worst := found(t, modeltest.Nodes(2), 2000, 100); n < 99 {
		t.Errorf("two nodes: the optimum at %d of 100 loads, off by %.4f at most", n, worst)
	}
	if testing.Short() {
		return
	}
	if n, worst := found(t, modeltest.Nodes(3), 2000, 100); n < 99 {
		t.Errorf("three nodes: the optimum at %d of 100 loads, off by %.4f at most", n, worst)
	}
}

// What is found at a load does not depend on what was asked before.
func TestDeterministic(t *testing.T) {
	m := modeltest.PerNode(t, modeltest.Paper())
	cfg := optimum.Config{Expected: true, MaxEnumerated: 1}
	one, other := rewards(t, m, mo(m), cfg), rewards(t, m, mo(m), cfg)
	loads := make([]mesh.Load, 6)
	for k := range loads {
		loads[k] = load.Uniform{Ranges: modeltest.Ranges(m.Space().Mesh())}.At(nil, 1, k)
	}
	var first []optimum.Best
	for _, l := range loads {
		b, err := one.Best(l)
		if err != nil {
			t.Fatal(err)
		}
		first = append(first, b)
	}
	for k := len(loads) - 1; k >= 0; k-- {
		if _, err := other.Value(loads[k], m.Space().At(3)); err != nil {
			t.Fatal(err)
		}
		b, err := other.Best(loads[k])
		if err != nil {
			t.Fatal(err)
		}
		if b.Reward != first[k].Reward || !slices.Equal(b.Action, first[k].Action) {
			t.Errorf("load %v: found %+v, then %+v", loads[k], first[k], b)
		}
	}
}

func TestErrors(t *testing.T) {
	m := modeltest.Joint(t, modeltest.Paper())
	if _, err := optimum.NewRewards(m, objective.Objective{Name: "none"}, optimum.Config{}); err == nil {
		t.Error("an objective without terms: no error")
	}
	nothing := mo(m)
	nothing.Terms, nothing.Reward = nil, func([]objective.Outcome, objective.Step) float64 { return math.NaN() }
	r := rewards(t, m, nothing, optimum.Config{})
	if _, err := r.Best(mesh.Load{5, 5}); err == nil || !strings.Contains(err.Error(), "no number") {
		t.Errorf("a reward that is no number: %v", err)
	}
	if _, err := r.Best(mesh.Load{5}); err == nil {
		t.Error("a load of one service: no error")
	}
}

// The best actions of the paper's mesh by a model that needs no trace.
func ExampleRewards() {
	s := scenario.Paper()
	m, err := model.NewQueueing(s)
	if err != nil {
		fmt.Println(err)
		return
	}
	o, err := s.Objective("MO1")
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := optimum.NewRewards(m, o, optimum.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range []mesh.Load{{5, 5}, {20, 10}, {20, 20}} {
		b, err := r.Best(l)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v: %.1f by %s, exact: %v\n", l, b.Reward, m.Space().Format(b.Action), b.Exact)
	}
	// Output:
	// [5 5]: 10.0 by p11=0 p21=1 b1=0 b2=0, exact: true
	// [20 10]: 18.1 by p11=0.4 p21=1 b1=0 b2=0.8, exact: true
	// [20 20]: 18.0 by p11=0.4 p21=0 b1=0 b2=1, exact: true
}

// oneByOne is a model whose forecasts foresee one action after the other.
type oneByOne struct{ control.Model }

func (m oneByOne) At(s mesh.State) (control.Forecast, error) {
	f, err := m.Model.At(s)
	return struct{ control.Forecast }{f}, err
}

// The search finds the same, whether actions and their draws are foreseen one by one
// or many at once.
func TestBatched(t *testing.T) {
	wide, paper := modeltest.Builtin(t, "wide"), modeltest.Builtin(t, "paper")
	m, err := model.Learn(t.Context(), modeltest.Collect(t, wide, 400), model.Config{Structure: model.JointInputs, Forest: forest.Config{Trees: 8, MinLeaf: 5}})
	if err != nil {
		t.Fatal(err)
	}
	joint, graph := modeltest.Joint(t, paper.MustSpace()), modeltest.Builtin(t, "graph")
	slow, err := joint.Slower([][]float64{{1.2, 1.2}, {1.2, 1.2}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		s        scenario.Scenario
		m        control.Model
		expected bool
	}{{wide, m, false}, {wide, m, true}, {paper, joint, true}, {paper, slow, true}, {graph, modeltest.Virtual(t, graph, 400), true}, {graph, modeltest.Virtual(t, graph, 400), false}} {
		o := objective.Useful("useful", c.s.Mesh.ServiceNames(), c.s.Targets)
		cfg := optimum.Config{Expected: c.expected, MaxEnumerated: 1, Search: optimum.Search{Restarts: 1, Kicks: 2}}
		together, alone := rewards(t, c.m, o, cfg), rewards(t, oneByOne{c.m}, o, cfg)
		for k := range 3 {
			l := load.Uniform{Ranges: c.s.Loads}.At(nil, 1, k)
			got, err := together.Best(l)
			if err != nil {
				t.Fatal(err)
			}
			want, err := alone.Best(l)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, load %v: %v of many at once, %v one by one", c.s.Name, l, got, want)
			}
		}
	}
}
