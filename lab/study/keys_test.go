package study

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/scenario"
)

// What is cached is keyed by what it depends on: trainings on the expected
// reward and on that of the mean delay are two, whoever asks first.
func TestTrainingsOfTwoRewards(t *testing.T) {
	ctx := context.Background()
	source, err := Virtual(ctx, paper, 400, 3)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Sources: []Source{source}, Cache: &Cache{Dir: t.TempDir(), Code: "test"}}
	set := steps(Paper(paper), 1024)
	mean := source
	mean.Expected = false
	var curves [][]learner.Point
	for _, s := range []Source{mean, source, mean} {
		got, err := cfg.Of(ctx, s).Train(ctx, paper.Objectives[0], set, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		curves = append(curves, got.Curve)
	}
	if slices.Equal(curves[0], curves[1]) {
		t.Error("the training on expected rewards is that on rewards of the mean delay")
	}
	if !slices.Equal(curves[0], curves[2]) {
		t.Error("the same training twice differs")
	}
	files, _ := filepath.Glob(filepath.Join(cfg.Cache.Dir, "train-*"))
	if len(files) != 2 {
		t.Errorf("%d trainings are kept; want 2", len(files))
	}
}

// An objective is its data: one of the same name with other weights is another,
// and an own function without a version is not cached at all.
func TestTrainingsOfObjectives(t *testing.T) {
	ctx := context.Background()
	source, err := Virtual(ctx, paper, 400, 3)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Sources: []Source{source}, Cache: &Cache{Dir: t.TempDir(), Code: "test"}}
	set := steps(Paper(paper), 1024)
	one := paper.Objectives[0]
	other := objective.Useful(one.Name, one.Services, one.Targets, 1, 50)
	own := one
	own.Terms, own.Reward = nil, func(s []objective.Outcome, _ objective.Step) float64 { return s[0].Carried * s[0].Utility }
	versioned := own
	versioned.Version = "1"
	study := cfg.Of(ctx, source)
	for k, o := range []objective.Objective{one, other, own, versioned} {
		if _, err := study.Train(ctx, o, set, 1, nil); err != nil {
			t.Fatal(err)
		}
		files, _ := filepath.Glob(filepath.Join(cfg.Cache.Dir, "train-*"))
		if want := []int{1, 2, 2, 3}[k]; len(files) != want {
			t.Errorf("after training %d: %d are kept; want %d", k+1, len(files), want)
		}
	}
}

// Settings are hashed by their data: a pointer's address is none, and what cannot
// be written down is not cached.
func TestSettingKeys(t *testing.T) {
	a, b := Paper(paper), Paper(paper)
	l := a.Learner.(learner.PPO)
	l.Config.Stop = &ppo.Convergence{Window: 3}
	a.Learner = l
	l.Config.Stop = &ppo.Convergence{Window: 3}
	b.Learner = l
	if !slices.EqualFunc(a.key(), b.key(), same) {
		t.Errorf("equal settings have keys %v and %v", a.key(), b.key())
	}
	l.Config.Stop = &ppo.Convergence{Window: 4}
	b.Learner = l
	if slices.EqualFunc(a.key(), b.key(), same) {
		t.Error("settings that stop otherwise have one key")
	}
	b = a
	b.Load = load.Uniform{Ranges: paper.Loads}
	if slices.EqualFunc(a.key(), b.key(), same) {
		t.Error("random and uniform load have one key")
	}
	if _, ok := plain(func() {}).(uncached); !ok {
		t.Error("a function has a key")
	}
}

func same(a, b any) bool { return fmtAny(a) == fmtAny(b) }

func fmtAny(v any) string { s, _ := plain(v).(string); return s }

// The proportional rule goes by the service times of the scenario's work: 24 and
// 72 ms in the paper's.
func TestProportionalTimes(t *testing.T) {
	ctx := context.Background()
	source, err := Virtual(ctx, paper, 400, 3)
	if err != nil {
		t.Fatal(err)
	}
	m, err := source.Learn(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := source.Rewards(m, paper.Objectives[0])
	if err != nil {
		t.Fatal(err)
	}
	p, err := calibrate(r, paper, paper.Loads.Grid(maxGrid))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Time, []float64{.024, .072}) {
		t.Errorf("service times %v", p.Time)
	}
}

// "greedy" is one policy in the simulator and on a testbed.
func TestGreedyIsOne(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many seconds")
	}
	ctx := context.Background()
	source, err := Virtual(ctx, paper, 600, 3)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Sources: []Source{source}, Objectives: paper.Objectives[:1]}.Small()
	cfg.Settings = []Setting{steps(Paper(paper), 1024)}
	r := New(cfg)
	f := source.fitted(ctx, r.Config)
	if r.Trainings, err = r.train(ctx, f, cfg.Settings); err != nil {
		t.Fatal(err)
	}
	looks, err := source.Greedy(ctx, cfg.Seed)
	if err != nil {
		t.Fatal(err)
	}
	rw, err := f.rewards["MO1"]()
	if err != nil {
		t.Fatal(err)
	}
	g, err := looks(paper.Objectives[0])
	if err != nil {
		t.Fatal(err)
	}
	simulated, err := Baselines(rw, paper, g)
	if err != nil {
		t.Fatal(err)
	}
	contests, err := r.Contests(ctx, source, cfg.Settings[0])
	if err != nil {
		t.Fatal(err)
	}
	last := contests[0].Policies[len(contests[0].Policies)-1]
	p, err := last.New(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range paper.Loads.Grid(maxGrid) {
		a, err := choice(rw.Space(), simulated[len(simulated)-1], l)
		if err != nil {
			t.Fatal(err)
		}
		b, err := choice(rw.Space(), p, l)
		if err != nil {
			t.Fatal(err)
		}
		if a != b {
			t.Errorf("load %v: action %d in the simulator, %d on a testbed", l, a, b)
		}
	}
}

// Of several that ask for the same result at a time, one computes it.
func TestCacheTogether(t *testing.T) {
	dir := t.TempDir()
	var computed atomic.Int32
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			// A cache of its own, as in another process.
			v, err := Do(&Cache{Dir: dir, Code: "1"}, "stage", []any{1}, func() (int, error) {
				computed.Add(1)
				time.Sleep(50 * time.Millisecond)
				return 7, nil
			})
			if v != 7 {
				t.Errorf("got %d", v)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := computed.Load(); n != 1 {
		t.Errorf("computed %d times", n)
	}
}

// A cache entry with a flipped bit is computed again, and a folder that cannot be
// written is a warning.
func TestCacheDamage(t *testing.T) {
	dir := t.TempDir()
	c := &Cache{Dir: dir, Code: "1"}
	calls := 0
	get := func(c *Cache) int {
		v, err := Do(c, "stage", []any{"x"}, func() (int, error) { calls++; return 7, nil })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	get(c)
	files, _ := filepath.Glob(filepath.Join(dir, "*.gob"))
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for k := range b {
		damaged := slices.Clone(b)
		damaged[k] ^= 1 << (k % 8)
		if err := os.WriteFile(files[0], damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		before := calls
		if v := get(c); v != 7 || calls != before+1 {
			t.Fatalf("with a bit of byte %d flipped: %d, computed %d times", k, v, calls-before)
		}
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var warning error
	if v := get(&Cache{Dir: filepath.Join(file, "below"), Code: "1", Warn: func(err error) { warning = err }}); v != 7 || warning == nil || !strings.Contains(warning.Error(), "not a directory") {
		t.Errorf("a folder that cannot be made: %d, warning %v", v, warning)
	}
}

// A trace of another mesh is refused, and so is a study of two scenarios.
func TestOtherScenario(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes many seconds")
	}
	ctx := context.Background()
	graph, err := scenario.Open("graph")
	if err != nil {
		t.Fatal(err)
	}
	source, err := Virtual(ctx, graph, 60, 1)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "graph.csv")
	if err := source.Trace.Write(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Collected(path, paper); err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "service1,service2 on node1,node2") {
		t.Errorf("a trace of graph for the paper's: %v", err)
	}
	own, err := Virtual(ctx, paper, 60, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Run(ctx, Config{Sources: []Source{own, source}}); err == nil || !strings.Contains(err.Error(), "scenario") {
		t.Errorf("a study of two scenarios: %v", err)
	}
}

// A drawing is added by one registration, and an unknown name lists it.
func TestRegisterDrawing(t *testing.T) {
	RegisterDrawing(Drawing{Name: "nothing", Title: "a test's", Long: true, For: func(s scenario.Scenario) bool { return s.Name == "of a test" },
		Make: func(context.Context, *Result, Source) (Output, error) { return Output{}, ErrNoData }})
	s := paper
	s.Name = "of a test"
	r := New(Config{Sources: []Source{{Scenario: s}}})
	if _, err := r.Draw(context.Background(), t.TempDir(), "nothing"); !errors.Is(err, ErrNoData) {
		t.Errorf("drawing nothing: %v", err)
	}
	if _, err := Chosen(paper, []string{"nothing"}); err == nil {
		t.Error("a drawing for another scenario is accepted")
	}
}
