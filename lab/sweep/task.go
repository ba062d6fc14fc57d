package sweep

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
)

// Task is one training. It says all that its result depends on.
type Task struct {
	Scenario  string          `json:"scenario"` // name
	File      string          `json:"file"`     // of the scenario, in the store
	Model     string          `json:"model"`    // that is trained on, in the store
	Expected  bool            `json:"expected,omitempty"`
	Objective string          `json:"objective"`
	Setting   string          `json:"setting"` // name, for people
	Of        string          `json:"of"`      // the setting that has the rest
	Learner   json.RawMessage `json:"learner"` // learner.PPO
	Load      string          `json:"load,omitempty"`
	Seed      uint64          `json:"seed"`
	Code      string          `json:"code"` // hash of what learns and trains
}

// Key names the task's result.
func (t Task) Key() string {
	b, err := json.Marshal(t)
	if err != nil {
		panic("sweep: " + err.Error()) // it is plain data
	}
	return hash(b)[:40]
}

func (t Task) String() string {
	text := fmt.Sprintf("%s, %s, %s", t.Scenario, t.Objective, t.Setting)
	if t.Load != "" {
		text += ", " + t.Load
	}
	return fmt.Sprintf("%s, seed %d", text, t.Seed)
}

// Result is what became of a task. It has no time and no place.
type Result struct {
	Task Task `json:"task"`
	// Score is the highest of the learning curve: ANR by the model or, where knobs
	// take their time, the mean reward of an episode.
	Score     float64         `json:"score"`
	Converged int             `json:"converged,omitempty"` // steps; see study.Trained
	Curve     []learner.Point `json:"curve,omitempty"`
	Policy    string          `json:"policy,omitempty"` // SHA-256 of its file
	// Bad says why a task cannot be done, whoever tries: its setting is not
	// accepted.
	Bad string `json:"bad,omitempty"`
	// SHA256 is that of the rest, as it is stored.
	SHA256 string `json:"sha256"`
}

// Worker does tasks. It keeps what several of them need. It may be used by any
// number of goroutines.
type Worker struct {
	Store Store

	mu     sync.Mutex
	models map[string]*loaded
	values map[string]func() (*optimum.Rewards, error)
}

// Do trains, and returns the result with the policy's file, nil for a bad task.
// An error is one of the moment: trying again may help.
func (w *Worker) Do(ctx context.Context, t Task) (Result, []byte, error) {
	r := Result{Task: t}
	bad := func(err error) (Result, []byte, error) {
		r.Bad = err.Error()
		return r, nil, nil
	}
	m, sc, err := w.model(ctx, t)
	if err != nil {
		return r, nil, err
	}
	s, err := base(sc, t.Of)
	if err != nil {
		return bad(err)
	}
	var l learner.PPO
	if err := json.Unmarshal(t.Learner, &l); err != nil {
		return bad(err)
	}
	s.Learner, s.Name = l, t.Setting
	if t.Load != "" {
		if s.Load, err = load.Parse(t.Load, sc.Loads); err != nil {
			return bad(err)
		}
	}
	rewards, err := w.rewards(t, m, sc)
	if err != nil {
		return bad(err)
	}
	trained, err := study.Train(ctx, rewards, sc, s, t.Seed, nil)
	switch {
	case ctx.Err() != nil:
		return r, nil, ctx.Err()
	case err != nil:
		return bad(err)
	}
	r.Score, r.Converged, r.Curve, r.Policy = trained.Curve[0].Score, trained.Converged, trained.Curve, hash(trained.File)
	for _, p := range trained.Curve {
		r.Score = max(r.Score, p.Score)
	}
	return r, trained.File, nil
}

// loaded is a model and its scenario, read once.
type loaded struct {
	mu       sync.Mutex
	model    model.Learned
	scenario scenario.Scenario
}

// model is that of a task, and its scenario.
func (w *Worker) model(ctx context.Context, t Task) (model.Learned, scenario.Scenario, error) {
	w.mu.Lock()
	if w.models == nil {
		w.models = map[string]*loaded{}
	}
	key := t.File + " " + t.Model
	l := w.models[key]
	if l == nil {
		l = &loaded{}
		w.models[key] = l
	}
	w.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.model != nil {
		return l.model, l.scenario, nil
	}
	text, err := Kept(ctx, w.Store, t.File)
	if err != nil {
		return nil, l.scenario, err
	}
	sc, err := scenario.Parse(t.Scenario, text)
	if err != nil {
		return nil, sc, err
	}
	l.scenario = sc.Defaults()
	file, err := Kept(ctx, w.Store, t.Model)
	if err != nil {
		return nil, sc, err
	}
	m, err := viaFile(file, func(path string) (model.Learned, error) { return model.Load(path, sc.MustSpace()) })
	if err == nil {
		l.model = m
	}
	return m, l.scenario, err
}

// rewards are those of a model under an objective, with the table that they keep
// of them.
func (w *Worker) rewards(t Task, m model.Learned, sc scenario.Scenario) (*optimum.Rewards, error) {
	w.mu.Lock()
	if w.values == nil {
		w.values = map[string]func() (*optimum.Rewards, error){}
	}
	key := fmt.Sprint(t.File, " ", t.Model, " ", t.Expected, " ", t.Objective)
	get := w.values[key]
	if get == nil {
		get = sync.OnceValues(func() (*optimum.Rewards, error) {
			o, err := sc.Objective(t.Objective)
			if err != nil {
				return nil, err
			}
			return study.Source{Scenario: sc, Kind: m.Kind(), Structure: m.Structure(), Expected: t.Expected}.Rewards(m, o)
		})
		w.values[key] = get
	}
	w.mu.Unlock()
	return get()
}

// viaFile reads what is in memory with a function that takes a path.
func viaFile[T any](data []byte, read func(path string) (T, error)) (v T, err error) {
	dir, err := os.MkdirTemp("", "meshbench-sweep-")
	if err != nil {
		return v, fmt.Errorf("sweep: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return v, fmt.Errorf("sweep: %w", err)
	}
	return read(path)
}
