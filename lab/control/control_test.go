package control_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/objective"
)

// bed is a system whose delays are a hundredth of the load in s, and which keeps
// what it was asked.
type bed struct {
	space  *mesh.Space
	seeds  []uint64
	loads  []mesh.Load
	broken error
}

func (b *bed) Name() string       { return "bed" }
func (b *bed) Space() *mesh.Space { return b.space }
func (b *bed) Reset(_ context.Context, seed uint64) error {
	b.seeds = append(b.seeds, seed)
	return b.broken
}

func (b *bed) Measure(_ context.Context, l mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	b.loads = append(b.loads, slices.Clone(l))
	x := mesh.NewMeasurement(b.space.Layout())
	for i := range l {
		x.Carried[i] = l[i] * (1 - b.space.BlockOf(a, i))
		if x.Carried[i] > 0 {
			x.Service[i].Mean = x.Carried[i] / 100
		}
	}
	return x, b.broken
}

// slow is a bed in which an action is in force one step later.
type slow struct {
	bed
	asked, now mesh.Action
}

func (s *slow) Reset(ctx context.Context, seed uint64) error {
	s.asked, s.now = s.space.Default(), s.space.Default()
	return s.bed.Reset(ctx, seed)
}

func (s *slow) Measure(ctx context.Context, l mesh.Load, a mesh.Action) (mesh.Measurement, error) {
	s.now, s.asked = s.asked, slices.Clone(a)
	return s.bed.Measure(ctx, l, s.now)
}

func (s *slow) Applied() mesh.Action { return s.now }

func (s *slow) InForce() (mesh.Action, []mesh.Pending) {
	return s.now, []mesh.Pending{{Knob: 3, Point: 1, Left: 5}}
}

func space() *mesh.Space { return mesh.Grid(mesh.New(2, 2), 6) }

func useful() objective.Objective {
	return objective.Useful("useful", []string{"service1", "service2"}, []objective.Target{{Goal: .1}, {Goal: .1}})
}

var replay = load.NewReplay("replay", []mesh.Load{{1, 2}, {3, 4}, {5, 6}, {7, 8}})

func env(t *testing.T, s control.System, cfg control.Config) *control.Env {
	t.Helper()
	e, err := control.NewEnv(s, replay, useful(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// A state has the loads of the steps before, the last one first; before the
// first step it has that step's.
func TestPast(t *testing.T) {
	e := env(t, &bed{space: space()}, control.Config{Past: 2})
	s, err := e.Reset(context.Background(), 7)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(s.Load, s.Past); got != "[1 2] [[1 2] [1 2]]" {
		t.Errorf("at first: %s", got)
	}
	for step, want := range []string{"[3 4] [[1 2] [1 2]]", "[5 6] [[3 4] [1 2]]", "[7 8] [[5 6] [3 4]]"} {
		got, err := e.Step(context.Background(), e.Space().At(0))
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprint(got.Next.Load, got.Next.Past); got.T != step || text != want {
			t.Errorf("after step %d: %s, want %s", got.T, text, want)
		}
	}
}

// What was asked for is in force, or what the system says.
func TestInForce(t *testing.T) {
	sp := space()
	e := env(t, &bed{space: sp}, control.Config{})
	s, err := e.Reset(context.Background(), 1)
	if err != nil || s.InForce != nil {
		t.Fatalf("at first %v is in force (%v)", s.InForce, err)
	}
	step, err := e.Step(context.Background(), sp.At(77))
	if err != nil || !slices.Equal(step.Next.InForce, sp.At(77)) {
		t.Errorf("%v is in force, not %v (%v)", step.Next.InForce, sp.At(77), err)
	}

	e = env(t, &slow{bed: bed{space: sp}}, control.Config{})
	if s, err = e.Reset(context.Background(), 1); err != nil || !slices.Equal(s.InForce, sp.Default()) {
		t.Fatalf("at first %v is in force (%v)", s.InForce, err)
	}
	for k, want := range []mesh.Action{sp.Default(), sp.At(10), sp.At(11)} {
		step, err := e.Step(context.Background(), sp.At(10+k))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(step.Next.InForce, want) || len(step.Next.Pending) != 1 {
			t.Errorf("after step %d: %v in force, %v pending, want %v", k, step.Next.InForce, step.Next.Pending, want)
		}
	}
}

// A run that is resumed goes on as the one that was not.
func TestResume(t *testing.T) {
	ctx := context.Background()
	a, b := env(t, &bed{space: space()}, control.Config{Past: 1}), env(t, &bed{space: space()}, control.Config{Past: 1})
	if _, err := a.Reset(ctx, 5); err != nil {
		t.Fatal(err)
	}
	for k := range 2 {
		if _, err := a.Step(ctx, a.Space().At(k)); err != nil {
			t.Fatal(err)
		}
	}
	seed, at, s := a.At()
	b.Resume(seed, at, s.Delay)
	_, _, again := b.At()
	if fmt.Sprint(again.Delay, again.Load, again.Past) != fmt.Sprint(s.Delay, s.Load, s.Past) {
		t.Errorf("resumed in state %+v, not %+v", again, s)
	}
	x, err := a.Step(ctx, a.Space().At(5))
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.Step(ctx, b.Space().At(5))
	if err != nil {
		t.Fatal(err)
	}
	x.Next.Last, y.Next.Last = nil, nil // pointers
	if x.T != y.T || x.Reward != y.Reward || fmt.Sprint(x.Next) != fmt.Sprint(y.Next) {
		t.Errorf("steps %+v and %+v", x, y)
	}
}

// The reward is the objective's of what was measured, or that of a Valuer.
func TestReward(t *testing.T) {
	sp := space()
	e := env(t, &bed{space: sp}, control.Config{})
	s, err := e.Reset(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range s.Delay {
		if !math.IsNaN(d) {
			t.Errorf("delays before the first step: %v", s.Delay)
		}
	}
	step, err := e.Step(context.Background(), sp.At(0)) // nothing is blocked, both are in time
	if err != nil || step.Reward != 3 || step.Next.Delay[1] != .02 {
		t.Errorf("reward %v, delays %v (%v), want 3", step.Reward, step.Next.Delay, err)
	}
	e = env(t, &bed{space: sp}, control.Config{Value: func(s objective.Step) (float64, error) {
		return 10*s.Load[0] + s.Measurement.Carried[1], nil
	}})
	if _, err := e.Reset(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	if step, err = e.Step(context.Background(), sp.At(0)); err != nil || step.Reward != 12 {
		t.Errorf("reward %v (%v), want 12", step.Reward, err)
	}
}

func TestEnvErrors(t *testing.T) {
	other := mesh.Grid(mesh.New(2, 3), 6)
	_, err := control.NewEnv(&bed{space: space()}, replay, useful(), control.Config{Space: other})
	if err == nil || !strings.Contains(err.Error(), "node3") || strings.Contains(err.Error(), "\n") {
		t.Errorf("actions of another mesh: %v", err)
	}
	// Other points of the same knobs are the same space.
	if _, err := control.NewEnv(&bed{space: space()}, replay, useful(), control.Config{Space: mesh.Grid(mesh.New(2, 2), 3)}); err != nil {
		t.Error(err)
	}
	if _, err := control.NewEnv(&bed{space: space()}, replay, objective.Objective{Name: "none"}, control.Config{}); err == nil {
		t.Error("an objective without terms: no error")
	}
	broken := errors.New("it is broken")
	e := env(t, &bed{space: space(), broken: broken}, control.Config{})
	if _, err := e.Reset(context.Background(), 1); !errors.Is(err, broken) {
		t.Errorf("reset of a broken system: %v", err)
	}
	e.Resume(1, 3, []float64{0, 0})
	if _, err := e.Step(context.Background(), space().At(0)); !errors.Is(err, broken) || !strings.Contains(err.Error(), "step 3") {
		t.Errorf("step of a broken system: %v", err)
	}
	if _, at, _ := e.At(); at != 3 {
		t.Errorf("a step that was not made counts: next is %d", at)
	}
}

func TestTiming(t *testing.T) {
	if got := (control.Timing{}).Defaults(); got != (control.Timing{Step: 5, Settle: .5}) {
		t.Errorf("defaults %+v", got)
	}
	if got := (control.Timing{Settle: -1}).Defaults(); got.Defaults() != got || got.Settling() != 0 || got.Seconds() != 5 {
		t.Errorf("no settling: %+v", got)
	}
	for _, bad := range []control.Timing{{Step: -1}, {Step: math.NaN()}, {Step: 1e6}, {Settle: math.Inf(1)}} {
		if bad.Validate() == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

func TestCheckStep(t *testing.T) {
	sp := space()
	for _, tt := range []struct {
		load mesh.Load
		a    mesh.Action
		ok   bool
	}{
		{mesh.Load{1, 2}, sp.At(5), true},
		{mesh.Load{1, 2}, mesh.Action{.123, .877, .5, .5, .05, .3}, true}, // off the grid
		{mesh.Load{1}, sp.At(5), false},
		{mesh.Load{1, -2}, sp.At(5), false},
		{mesh.Load{1, math.NaN()}, sp.At(5), false},
		{mesh.Load{1, 2}, sp.At(5)[:4], false},
		{mesh.Load{1, 2}, mesh.Action{.5, .6, .5, .5, 0, 0}, false},
	} {
		if err := control.CheckStep(sp, tt.load, tt.a); (err == nil) != tt.ok {
			t.Errorf("load %v, action %v: %v", tt.load, tt.a, err)
		}
	}
}

func ExampleEnv() {
	sp := mesh.Grid(mesh.New(2, 2), 6)
	env, err := control.NewEnv(&bed{space: sp}, load.NewReplay("two loads", []mesh.Load{{5, 10}, {20, 20}}), useful(), control.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	s, err := env.Reset(ctx, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 {
		fmt.Println("load", s.Load, "delays", s.Delay)
		step, err := env.Step(ctx, sp.Default())
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("reward %.2f\n", step.Reward)
		s = step.Next
	}
	// Output:
	// load [5 10] delays [NaN NaN]
	// reward 15.00
	// load [20 20] delays [0.05 0.1]
	// reward 0.00
}
