package sweep

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/internal/yamlfile"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
)

// Spec is what a file of a sweep says.
type Spec struct {
	// Name is a word.
	Name string `yaml:"name"`
	// Scenarios are built-in ones or files. Default paper.
	Scenarios []string `yaml:"scenarios"`
	// Trace is the file that models are learned from, where there is one scenario.
	// Default the project's own trace of it, or one of its virtual testbed.
	Trace string `yaml:"trace"`
	// Objectives are names. Default the first of each scenario.
	Objectives []string `yaml:"objectives"`
	// Settings are ways to train. Default the setting best.
	Settings []Variant `yaml:"settings"`
	// Loads are what is offered in training, as load.Parse takes them. Default
	// that of the setting.
	Loads []string `yaml:"loads"`
	// Seeds are those of trainings. Default 0 to 4.
	Seeds []uint64 `yaml:"seeds"`
	// Steps of a training. Default those of the setting.
	Steps int `yaml:"steps"`
	// Random, if above 0, draws so many of the combinations, with Draw as seed,
	// rather than all of them.
	Random int    `yaml:"random"`
	Draw   uint64 `yaml:"draw"`
}

// Variant is a setting, with changes.
type Variant struct {
	// Of is the setting that is changed, best or paper. Default best.
	Of string `yaml:"of"`
	// Name is for people. Default Of and the changes.
	Name string `yaml:"name"`
	// Change has values of the learner's fields, as learner.PPO names them in JSON:
	// "ppo.LearningRate", "observation.knots", "heads".
	Change map[string]any `yaml:"change"`
	// Grid has lists of such values, of which all combinations are settings.
	Grid map[string][]any `yaml:"grid"`
}

const (
	maxTasks = 1_000_000 // of a sweep
	maxFile  = 1 << 20   // bytes
)

// Read reads the file of a sweep.
func Read(path string) (Spec, error) {
	text, err := regular.ReadFile(path, maxFile)
	if err != nil {
		return Spec{}, fmt.Errorf("sweep: %w", err)
	}
	s, err := Parse(text)
	if err != nil {
		return s, fmt.Errorf("sweep: %s: %w", path, err)
	}
	return s, nil
}

// Parse reads a sweep from YAML, and fills in the defaults.
func Parse(text []byte) (s Spec, err error) {
	if problems := yamlfile.Decode(text, &s, map[string]string{"Spec": "sweep"}); problems != nil {
		return s, errors.New(csvfile.Cut(strings.Join(problems, "; "), 1000))
	}
	if s.Name == "" || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.Trim(s.Name, "-") != s.Name || len(s.Name) > 40 {
		return s, fmt.Errorf("name %s; accepted: small letters, digits and -, at most 40", csvfile.Quote(s.Name))
	}
	if s.Scenarios == nil {
		s.Scenarios = []string{scenario.Paper().Name}
	}
	if s.Objectives == nil {
		s.Objectives = []string{""}
	}
	if s.Settings == nil {
		s.Settings = []Variant{{}}
	}
	if s.Loads == nil {
		s.Loads = []string{""}
	}
	if s.Seeds == nil {
		s.Seeds = []uint64{0, 1, 2, 3, 4}
	}
	switch {
	case s.Trace != "" && len(s.Scenarios) > 1:
		return s, fmt.Errorf("trace %s for %d scenarios; accepted: one scenario", s.Trace, len(s.Scenarios))
	case s.Steps < 0 || s.Random < 0:
		return s, fmt.Errorf("steps %d, random %d; accepted: 0 or more", s.Steps, s.Random)
	}
	return s, nil
}

// setting is a Variant with one value for each change.
type setting struct {
	of, name string
	change   map[string]any
}

// expand lists the settings of all variants.
func (s Spec) expand() (all []setting, err error) {
	seen := map[string]bool{}
	for _, v := range s.Settings {
		if v.Of == "" {
			v.Of = study.BestSetting
		}
		keys := make([]string, 0, len(v.Grid))
		for k := range v.Grid {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		points := []map[string]any{{}}
		for _, k := range keys {
			var more []map[string]any
			for _, p := range points {
				for _, value := range v.Grid[k] {
					q := map[string]any{k: value}
					for key, x := range p {
						q[key] = x
					}
					more = append(more, q)
				}
			}
			if points = more; len(points) > maxTasks {
				return nil, fmt.Errorf("a grid of more than %d settings", maxTasks)
			}
		}
		for _, p := range points {
			x := setting{v.Of, v.Name, map[string]any{}}
			if x.name == "" {
				x.name = v.Of
			}
			for k, value := range v.Change {
				x.change[k] = value
			}
			var said []string
			for _, k := range keys {
				x.change[k] = p[k]
				said = append(said, fmt.Sprintf("%s=%v", k[strings.LastIndex(k, ".")+1:], p[k]))
			}
			if v.Name == "" && len(v.Change) > 0 {
				for _, k := range sorted(v.Change) {
					said = append(said, fmt.Sprintf("%s=%v", k[strings.LastIndex(k, ".")+1:], v.Change[k]))
				}
			}
			x.name = strings.Join(append([]string{x.name}, said...), " ")
			if seen[x.name] {
				return nil, fmt.Errorf("two settings are called %q; name them", x.name)
			}
			seen[x.name] = true
			all = append(all, x)
		}
	}
	return all, nil
}

func sorted(m map[string]any) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// base is the setting of that name of a scenario.
func base(sc scenario.Scenario, of string) (study.Setting, error) {
	switch of {
	case study.BestSetting:
		return study.Best(sc), nil
	case study.PaperSetting:
		return study.Paper(sc), nil
	}
	return study.Setting{}, fmt.Errorf("setting of %q; accepted: %s, %s", of, study.BestSetting, study.PaperSetting)
}

// defaulted are the fields of a learner that are filled in where they are 0, with
// what else they may be.
var defaulted = []struct{ key, accepted string }{
	{"ppo.Steps", "1 or more"}, {"ppo.Batch", "2 or more"}, {"ppo.Epochs", "1 or more"}, {"ppo.LearningRate", "above 0"},
	{"ppo.GAELambda", "above 0 to 1, negative for 0"}, {"ppo.Clip", "above 0"}, {"ppo.ValueCoef", "above 0, negative for 0"},
	{"ppo.MaxGradNorm", "above 0, negative for no limit"}, {"ppo.TotalSteps", "1 or more"}, {"hold", "1 or more"}, {"environments", "1 or more"},
}

// learner is the learner of a setting of a scenario, as JSON. A change of what is
// no field is an error; whether its value is accepted is seen in training.
func (x setting) learner(sc scenario.Scenario, steps int) (json.RawMessage, error) {
	s, err := base(sc, x.of)
	if err != nil {
		return nil, err
	}
	l, ok := s.Learner.(learner.PPO)
	if !ok {
		return nil, fmt.Errorf("setting %s has learner %s; accepted: one of PPO", x.of, s.Learner.Name())
	}
	if steps > 0 {
		l.Config.TotalSteps, l.Config.EvalEvery = steps, min(l.Config.EvalEvery, steps)
	}
	for _, key := range sorted(x.change) {
		// The field within the objects that its path names.
		var value any = x.change[key]
		path := strings.Split(key, ".")
		for _, name := range slices.Backward(path) {
			value = map[string]any{name: value}
		}
		if x.change[key] == 0 || x.change[key] == 0.0 {
			for _, d := range defaulted {
				if strings.EqualFold(key, d.key) {
					return nil, fmt.Errorf("setting %q: %s = 0, which would stand for the default; accepted: %s", x.name, key, d.accepted)
				}
			}
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("setting %q: %s: %w", x.name, key, err)
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			return nil, fmt.Errorf("setting %q: %s = %v: %w", x.name, key, x.change[key], err)
		}
	}
	return json.Marshal(l)
}

// Source is the model of a scenario, as tasks name it.
type Source struct {
	Scenario scenario.Scenario
	File     string // of the scenario, as an object in the store
	Model    string // object in the store
	Expected bool   // see study.Source
	Code     string // hash of the code that learns and trains
}

// Tasks lists the tasks of a sweep with the source of each of its scenarios, in
// the order of scenarios, objectives, settings, loads and seeds.
func (s Spec) Tasks(sources []Source) ([]Task, error) {
	settings, err := s.expand()
	if err != nil {
		return nil, fmt.Errorf("sweep: %w", err)
	}
	var all []Task
	for _, src := range sources {
		sc := src.Scenario.Defaults()
		for _, l := range s.Loads {
			if _, err := load.Parse(l, sc.Loads); l != "" && err != nil {
				return nil, fmt.Errorf("sweep: %w", err)
			}
		}
		for _, name := range s.Objectives {
			o, err := sc.Objective(name)
			if err != nil {
				return nil, fmt.Errorf("sweep: scenario %s: %w", sc.Name, err)
			}
			for _, x := range settings {
				l, err := x.learner(sc, s.Steps)
				if err != nil {
					return nil, fmt.Errorf("sweep: %w", err)
				}
				for _, offered := range s.Loads {
					for _, seed := range s.Seeds {
						all = append(all, Task{Scenario: sc.Name, File: src.File, Model: src.Model, Expected: src.Expected, Objective: o.Name,
							Of: x.of, Setting: x.name, Learner: l, Load: offered, Seed: seed, Code: src.Code})
						if len(all) > maxTasks {
							return nil, fmt.Errorf("sweep: more than %d tasks", maxTasks)
						}
					}
				}
			}
		}
	}
	if s.Random > 0 && s.Random < len(all) {
		picked := rand.New(rand.NewPCG(s.Draw, 0x7377656570)).Perm(len(all))[:s.Random]
		slices.Sort(picked)
		some := make([]Task, len(picked))
		for k, at := range picked {
			some[k] = all[at]
		}
		all = some
	}
	return all, nil
}
