package sweep_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/sweep"
	"github.com/meshbench/meshbench/lab/sweep/storetest"
)

func TestFolder(t *testing.T) {
	storetest.Run(t, func(t *testing.T) sweep.Store { return sweep.Folder{Dir: filepath.Join(t.TempDir(), "new")} })
}

// file is a sweep of eight settings, one of which is not accepted.
const file = `
name: test
objectives: [MO1, MO2]
steps: 1024
seeds: [0, 1]
settings:
  - of: paper
    grid: {ppo.LearningRate: [0.001, 0.003, -1]}
  - {of: paper, name: wide, change: {ppo.Hidden: [96, 96], observation.normalise: true}}
`

// tasks are those of a file, with the model of a short trace in the store.
func tasks(t *testing.T, s sweep.Store, text string) []sweep.Task {
	t.Helper()
	ctx := context.Background()
	spec, err := sweep.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	sc := scenario.Paper()
	src, err := study.Virtual(ctx, sc, 300, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := src.Learn(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text2, err := scenario.Text("paper")
	if err != nil {
		t.Fatal(err)
	}
	x := sweep.Source{Scenario: sc, Expected: src.Expected, Code: "code"}
	if x.File, err = sweep.Keep(ctx, s, "scenarios", text2); err == nil {
		x.Model, err = sweep.Keep(ctx, s, "models", model)
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := spec.Tasks([]sweep.Source{x})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// objects are all of a store.
func objects(t *testing.T, s sweep.Store) map[string]string {
	t.Helper()
	names, err := s.List(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, n := range names {
		b, err := s.Get(context.Background(), n)
		if err != nil {
			t.Fatal(err)
		}
		all[n] = string(b)
	}
	return all
}

// A sweep that is cut short and goes on, with another number of workers, gives the
// same bytes as one that is not; nothing that is done is done again, and of a bad
// setting only its own tasks have no score.
func TestDo(t *testing.T) {
	ctx := context.Background()
	whole, cut := sweep.Folder{Dir: t.TempDir()}, sweep.Folder{Dir: t.TempDir()}
	all := tasks(t, whole, file)
	if len(all) != 16 || len(tasks(t, cut, file)) != 16 {
		t.Fatalf("%d tasks, want 16", len(all))
	}
	s, err := sweep.Do(ctx, all, sweep.Config{Store: whole, Workers: 3})
	if err != nil || s.Now != 16 || s.Bad != 4 || s.Tries != 16 || s.Left() != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	short, cancel := context.WithCancel(ctx)
	first, err := sweep.Do(short, all, sweep.Config{Store: cut, Progress: func(s sweep.State) {
		if s.Now == 6 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || first.Now < 6 || first.Now > 7 {
		t.Fatalf("cut short: %+v, %v", first, err)
	}
	second, err := sweep.Do(ctx, all, sweep.Config{Store: cut, Workers: 2})
	if err != nil || second.Before != first.Now || second.Now != 16-first.Now || second.Tries != second.Now {
		t.Fatalf("goes on: %+v, %v", second, err)
	}
	if a, b := objects(t, whole), objects(t, cut); !maps.Equal(a, b) {
		for n := range a {
			if a[n] != b[n] {
				t.Errorf("%s differs", n)
			}
		}
		t.Errorf("%d objects and %d", len(a), len(b))
	}
	third, err := sweep.Do(ctx, all, sweep.Config{Store: cut})
	if err != nil || third.Before != 16 || third.Tries != 0 {
		t.Fatalf("again: %+v, %v", third, err)
	}

	c, err := sweep.Collect(ctx, cut, all)
	if err != nil || c.Missing != 0 {
		t.Fatal(c.Missing, err)
	}
	best := 0
	for _, x := range c.Summaries() {
		bad := strings.Contains(x.Setting, "LearningRate=-1")
		switch {
		case bad != (x.Bad != ""), bad != (len(x.Scores) == 0), !bad && len(x.Scores) != 2, !bad && !(x.IQM.Value > .3 && x.IQM.Value <= 1.0001):
			t.Errorf("%+v", x)
		}
		if x.Best {
			best++
		}
	}
	if text := string(c.Table().Markdown()); best != 2 || !strings.Contains(text, "not accepted: ") || !strings.Contains(text, "wide") {
		t.Errorf("%d best:\n%s", best, text)
	}
	if _, err := c.Draw(); err != nil {
		t.Error(err)
	}
	p, err := sweep.Policy(ctx, cut, c.Results[0])
	if err != nil || !bytes.HasPrefix(p, []byte("PK")) {
		t.Errorf("the policy is %d bytes: %v", len(p), err)
	}
}

// A result that is not as it was written is not taken for one.
func TestDamagedResult(t *testing.T) {
	ctx := context.Background()
	f := sweep.Folder{Dir: t.TempDir()}
	task := tasks(t, f, "name: a\nseeds: [3]")[0]
	_, err := sweep.Do(ctx, []sweep.Task{task}, sweep.Config{Store: f, Do: func(_ context.Context, t sweep.Task) (sweep.Result, []byte, error) {
		return sweep.Result{Task: t, Score: .8125, Policy: strings.Repeat("0", 64)}, nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := sweep.Of(ctx, f, task); err != nil || r.Score != .8125 {
		t.Fatal(r, err)
	}
	path := filepath.Join(f.Dir, "results", task.Key())
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, b []byte) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sweep.Of(ctx, f, task); err == nil || !strings.Contains(err.Error(), "is damaged, remove results/"+task.Key()) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := range len(whole) - 1 {
		if n%7 == 0 {
			check(fmt.Sprintf("cut to %d bytes", n), whole[:n])
		}
		b := bytes.Clone(whole)
		b[n] ^= 1
		check(fmt.Sprintf("byte %d of %d", n, len(whole)), b)
	}
}

// What fails for a reason of the moment is tried again, a bad setting is not; what
// fails for good keeps no other from being done.
func TestTries(t *testing.T) {
	store := sweep.Folder{Dir: t.TempDir()}
	var all []sweep.Task
	for k := range 20 {
		all = append(all, sweep.Task{Scenario: "paper", Seed: uint64(k)})
	}
	var mu sync.Mutex
	tried := map[uint64]int{}
	s, err := sweep.Do(context.Background(), all, sweep.Config{Store: store, Workers: 4, Pause: time.Millisecond,
		Do: func(_ context.Context, task sweep.Task) (sweep.Result, []byte, error) {
			mu.Lock()
			defer mu.Unlock()
			tried[task.Seed]++
			switch {
			case task.Seed == 3:
				return sweep.Result{}, nil, errors.New("no space left")
			case task.Seed == 4 && tried[4] < 3:
				return sweep.Result{}, nil, errors.New("reset by peer")
			case task.Seed == 5:
				return sweep.Result{Task: task, Bad: "a rate below 0"}, nil, nil
			}
			return sweep.Result{Task: task, Score: 1}, nil, nil
		}})
	if err == nil || !strings.Contains(err.Error(), "seed 3: no space left") || s.Failed != 1 || s.Now != 19 || s.Bad != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if tried[3] != 3 || tried[4] != 3 || tried[5] != 1 {
		t.Errorf("tries %v", tried)
	}
	c, err := sweep.Collect(context.Background(), store, all)
	if err != nil || c.Missing != 1 || len(c.Results) != 19 {
		t.Errorf("%d missing, %d there: %v", c.Missing, len(c.Results), err)
	}
}

func TestPlan(t *testing.T) {
	ctx, store := context.Background(), sweep.Folder{Dir: t.TempDir()}
	all := tasks(t, store, file)
	name, err := sweep.Plan(ctx, store, all)
	if err != nil {
		t.Fatal(err)
	}
	got, err := sweep.Planned(ctx, store, name)
	if err != nil || !slices.EqualFunc(got, all, func(a, b sweep.Task) bool { return a.Key() == b.Key() }) {
		t.Errorf("%d tasks of %d: %v", len(got), len(all), err)
	}
	r, err := sweep.One(ctx, got[0], sweep.Config{Store: store})
	if err != nil || r.Score == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	_, err = sweep.One(ctx, got[0], sweep.Config{Store: store, Do: func(context.Context, sweep.Task) (sweep.Result, []byte, error) {
		t.Error("it is done again")
		return sweep.Result{}, nil, nil
	}})
	if err != nil {
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	src := sweep.Source{Scenario: scenario.Paper()}
	for text, want := range map[string]string{
		"name: A b":        "accepted: small letters",
		"":                 "the file is empty",
		"name: a\nseed: 3": `unknown key "seed" of a sweep; accepted: name, scenarios`,
		"name: a\ntrace: x\nscenarios: [paper, graph]":            "accepted: one scenario",
		"name: a\nobjectives: [MO9]":                              "MO9",
		"name: a\nloads: [sinus]":                                 "unknown pattern",
		"name: a\nsettings: [{of: bset}]":                         "accepted: best, paper",
		"name: a\nsettings: [{change: {ppo.LearnRate: 1}}]":       `unknown field "LearnRate"`,
		"name: a\nsettings: [{change: {ppo.LearningRate: fast}}]": "LearningRate = fast",
		"name: a\nsettings: [{of: paper}, {of: paper}]":           "two settings are called",
		"name: a\nsettings: [{change: {ppo.GAELambda: 0}}]":       "ppo.GAELambda = 0, which would stand for the default; accepted: above 0 to 1, negative for 0",
		"name: a\nsettings: [{grid: {ppo.learningrate: [0.0]}}]":  "ppo.learningrate = 0, which would stand for the default; accepted: above 0",
		"name: " + strings.Repeat("x", 100_000):                   "accepted: small letters",
		"name: a\nrandom: -1":                                     "accepted: 0 or more",
	} {
		spec, err := sweep.Parse([]byte(text))
		if err == nil {
			_, err = spec.Tasks([]sweep.Source{src})
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 1000 {
			t.Errorf("%q: error %v, want one line with %q", text, err, want)
		}
	}
}

// A random sweep is a part of the whole, the same for the same draw.
func TestRandom(t *testing.T) {
	src := []sweep.Source{{Scenario: scenario.Paper()}}
	of := func(text string) (keys []string) {
		spec, err := sweep.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		all, err := spec.Tasks(src)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range all {
			keys = append(keys, x.Key())
		}
		return keys
	}
	whole, some := of(file), of(file+"random: 5\n")
	if len(some) != 5 || !slices.Equal(some, of(file+"random: 5\n")) || slices.Equal(some, of(file+"random: 5\ndraw: 1\n")) {
		t.Errorf("%d drawn", len(some))
	}
	for _, k := range some {
		if !slices.Contains(whole, k) {
			t.Error("a task that is not of the whole")
		}
	}
}

// counted counts what a store is asked for.
type counted struct {
	sweep.Store
	gets, puts, lists atomic.Int64
}

func (c *counted) Get(ctx context.Context, name string) ([]byte, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, name)
}

func (c *counted) PutIfAbsent(ctx context.Context, name string, data []byte) (bool, error) {
	c.puts.Add(1)
	return c.Store.PutIfAbsent(ctx, name, data)
}

func (c *counted) List(ctx context.Context, prefix string) ([]string, error) {
	c.lists.Add(1)
	return c.Store.List(ctx, prefix)
}

// Throughput against the number of workers, with trainings that only wait: what
// the store sees is two writings a task and one list a sweep, whatever the workers.
func TestThroughput(t *testing.T) {
	if testing.Short() {
		t.Skip("a few seconds")
	}
	policy := make([]byte, 40<<10)
	for _, workers := range []int{1, 2, 10, 100, 1000} {
		store := &counted{Store: sweep.Folder{Dir: t.TempDir()}}
		n := min(5*workers, 2000)
		var all []sweep.Task
		for k := range n {
			all = append(all, sweep.Task{Scenario: "paper", Seed: uint64(k)})
		}
		const training = 200 * time.Millisecond
		begin := time.Now()
		s, err := sweep.Do(context.Background(), all, sweep.Config{Store: store, Workers: workers, Do: func(_ context.Context, task sweep.Task) (sweep.Result, []byte, error) {
			time.Sleep(training)
			return sweep.Result{Task: task, Score: 1}, policy, nil
		}})
		took := time.Since(begin).Seconds()
		if err != nil || s.Now != n || s.Tries != n {
			t.Fatalf("%+v, %v", s, err)
		}
		if p, l := store.puts.Load(), store.lists.Load(); p != int64(2*n) || l != 1 || store.gets.Load() != 0 {
			t.Errorf("%d workers: %d writings, %d lists, %d readings", workers, p, l, store.gets.Load())
		}
		t.Logf("%4d workers: %5.0f tasks/s, %.0f %% of what the trainings alone would give", workers, float64(n)/took, 100*float64(n)/took*training.Seconds()/float64(workers))
	}
}

func ExampleParse() {
	spec, err := sweep.Parse([]byte(`
name: rates
settings:
  - of: paper
    grid: {ppo.LearningRate: [0.001, 0.003]}
seeds: [0, 1, 2]
`))
	if err != nil {
		panic(err)
	}
	all, err := spec.Tasks([]sweep.Source{{Scenario: scenario.Paper()}})
	if err != nil {
		panic(err)
	}
	fmt.Println(len(all))
	fmt.Println(all[5])
	// Output:
	// 6
	// paper, MO1, paper LearningRate=0.003, seed 2
}
