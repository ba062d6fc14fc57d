package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/meshbench/meshbench/lab/artefact"
	"github.com/meshbench/meshbench/lab/card"
	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/model"
	"github.com/meshbench/meshbench/lab/nb"
	"github.com/meshbench/meshbench/lab/objective"
	"github.com/meshbench/meshbench/lab/optimum"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/tensorboard"
)

const trainText = `train [options] -o FILE

Trains a policy on a model, and writes it with its card: what it is, learned
from what, how good, where it must not be used. Beside it, FILE.training.csv has
a row for each update: steps, score, losses, KL, entropy, clip fraction, seconds;
TensorBoard shows the same from the folder FILE.training.`

func trainCommand(ctx context.Context, args []string) error {
	o := newOptions("train")
	var l learning
	l.register(o, "policy")
	from := o.String("model", "", "`FILE` of the model to train on (default one that is learned from the trace)")
	name := o.String("objective", "", "`NAME` of the objective (default the scenario's first)")
	setting := o.String("setting", study.BestSetting, "how to train: "+study.BestSetting+" or "+study.PaperSetting)
	steps := o.Int("steps", 0, "steps of the training (default those of the setting)")
	seed := o.Uint64("seed", 0, "seed of all random draws of the training")
	sc, help, err := o.parse(args, trainText)
	if help || err != nil {
		return err
	}
	if err := l.check(o); err != nil {
		return err
	}
	history := training{path: l.out}
	if err := history.free(); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if *from != "" && (l.trace != "" || l.joint) {
		return fmt.Errorf("train: -model %s beside -trace or -joint; accepted: a model, or what to learn one from", *from)
	}
	obj, err := sc.Objective(*name)
	if err != nil {
		return fmt.Errorf("train: -objective: %w", err)
	}
	set, err := trainSetting(sc, *setting, *steps)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	base, err := l.base(ctx, sc, *from)
	if err != nil {
		return stopped("train", err)
	}
	r, err := base.source.Rewards(base.model, obj)
	if err != nil {
		return err
	}
	history.watch(&set)
	live := nb.NewLive()
	trained, err := study.Train(ctx, r, sc, set, *seed, func(curve []learner.Point) {
		p := curve[len(curve)-1]
		history.scored(p)
		live.Text("training: %d steps, score %.4f", p.Steps, p.Score)
	})
	live.Close()
	if err != nil {
		return stopped("train", err)
	}
	net, err := trained.Policy(sc.MustSpace())
	if err != nil {
		return err
	}
	c := about(card.Policy, sc, *seed)
	c.Data, c.Objective, c.Setting = base.data, obj.Name, set.Name
	c.Limits = append(c.Limits, base.limits...)
	c.Limits = append(c.Limits, "Another objective than its own.",
		"As a claim about the mesh: its score is by the model that it learned on, whose noise it has learned too. meshbench evaluate measures policies on a testbed.")
	if c.Scores, err = policyScores(r, obj, sc, set, trained.Curve); err != nil {
		return err
	}
	c.Settings, err = json.Marshal(struct {
		Learner learner.Learner `json:"learner"`
		Load    string          `json:"load"`
	}{set.Learner, set.Load.Name()})
	if err != nil {
		return err
	}
	if err := c.SavePolicy(l.out, net, net.Trained()); err != nil {
		return err
	}
	if err := history.write(); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: policy for %s, setting %s, %s %.4f; its card is %s, its training %s\n",
		l.out, obj.Name, set.Name, c.Scores[0].Name, c.Scores[0].Value, card.Beside(l.out, ".md"), history.csv())
	return nil
}

// trainSetting is the setting of that name, with so many steps; 0 leaves them.
func trainSetting(sc scenario.Scenario, name string, steps int) (study.Setting, error) {
	var set study.Setting
	switch name {
	case study.BestSetting:
		set = study.Best(sc)
	case study.PaperSetting:
		set = study.Paper(sc)
	default:
		return set, fmt.Errorf("-setting %q; accepted: %s, %s", name, study.BestSetting, study.PaperSetting)
	}
	if steps < 0 {
		return set, fmt.Errorf("-steps %d; accepted: 0 for those of the setting, or more", steps)
	}
	if l, ok := set.Learner.(learner.PPO); ok && steps > 0 {
		l.Config.TotalSteps = steps
		l.Config.EvalEvery = min(l.Config.EvalEvery, steps)
		set.Learner = l
	}
	return set, nil
}

// base is what a policy is trained on.
type base struct {
	source study.Source // how the model is valued
	model  model.Learned
	data   card.Data
	limits []string // besides those of every card
}

// base reads the model at path or, where that is "", learns one from the trace.
func (l *learning) base(ctx context.Context, sc scenario.Scenario, path string) (b base, err error) {
	if path == "" {
		if b.source, err = l.source(ctx, sc); err != nil {
			return b, err
		}
		b.data, b.limits = l.data(b.source), limits(b.source)
		b.model, err = b.source.Learn(ctx, 0)
		return b, err
	}
	f, err := artefact.Open(path, sc.MustSpace())
	if err != nil {
		return b, err
	}
	if f.Model == nil {
		return b, fmt.Errorf("train: -model %s is a policy; accepted: a model", path)
	}
	b.model = f.Model
	b.source = study.Source{Scenario: sc, Kind: f.Model.Kind(), Structure: f.Model.Structure(), Expected: f.Model.Structure() == model.NodeInputs}
	b.limits = limits(b.source)
	b.data = card.Data{Title: "model " + filepath.Base(path) + ", which has no card", Licence: "not stated; ask whoever learned the model"}
	if c := f.Card; c != nil {
		b.data, b.source.Expected = c.Data, c.Expected
		general := about(card.Model, sc, 0).Limits
		b.limits = slices.DeleteFunc(slices.Clone(c.Limits), func(text string) bool { return slices.Contains(general, text) })
		for i, r := range c.Loads {
			if i < len(sc.Loads) && (sc.Loads[i].Min < r.Min || sc.Loads[i].Max > r.Max) {
				warn("%s is trained on loads of %v to %v requests/s, of which the model knows %v to %v", sc.Mesh.Services[i].Name, sc.Loads[i].Min, sc.Loads[i].Max, r.Min, r.Max)
			}
		}
	}
	if l.licence != "" {
		b.data.Licence = l.licence
	}
	return b, nil
}

// policyScores is the highest score of a training, beside that of the best single
// action where it is a share of the best reward.
func policyScores(r *optimum.Rewards, o objective.Objective, sc scenario.Scenario, set study.Setting, curve []learner.Point) ([]card.Score, error) {
	top := curve[0].Score
	for _, p := range curve {
		top = max(top, p.Score)
	}
	if r.Space().Slow() {
		return []card.Score{{Name: "mean reward of " + o.Name, Value: top, Of: "by the model, an episode of its own loads"}}, nil
	}
	score := card.Score{Name: "ANR of " + o.Name, Value: top, Of: "by the model, mean over the loads of random load"}
	if !r.Exact() { // to look for the best single action would take longer than the training
		return []card.Score{score}, nil
	}
	constant, err := policy.BestConstant(r, sc.Loads.Grid(constantLoads))
	if err != nil {
		return nil, err
	}
	score.Trivial, err = study.Problem(r, sc, set).Score(constant)
	return []card.Score{score}, err
}

// constantLoads bounds the loads that the best single action is chosen by.
const constantLoads = 64

// training is the course of a training, a row for each update.
type training struct {
	path    string // of the policy
	updates []ppo.Metrics
	scores  map[int]float64 // by steps
}

// watch notes the updates of a setting's training.
func (t *training) watch(set *study.Setting) {
	t.scores = map[int]float64{}
	if l, ok := set.Learner.(learner.PPO); ok {
		l.Config.OnUpdate = func(m ppo.Metrics) { t.updates = append(t.updates, m) }
		set.Learner = l
	}
}

func (t *training) scored(p learner.Point) { t.scores[p.Steps] = p.Score }

// csv is the file of the course.
func (t *training) csv() string { return card.Beside(t.path, ".training.csv") }

// events is the folder of the course for TensorBoard.
func (t *training) events() string { return card.Beside(t.path, ".training") }

// free reports what is in the place of the course, before there is one.
func (t *training) free() error {
	if err := regular.Free(t.csv()); err != nil {
		return err
	}
	return regular.Folder(t.events())
}

// measured are what is written of an update, by the names of ppo.Metrics.
var measured = []struct {
	name string
	of   func(ppo.Metrics) float64
}{
	{"mean_reward", func(m ppo.Metrics) float64 { return m.MeanReward }},
	{"loss", func(m ppo.Metrics) float64 { return m.Loss }},
	{"policy_gradient_loss", func(m ppo.Metrics) float64 { return m.PolicyGradientLoss }},
	{"value_loss", func(m ppo.Metrics) float64 { return m.ValueLoss }},
	{"entropy", func(m ppo.Metrics) float64 { return -m.EntropyLoss }},
	{"approx_kl", func(m ppo.Metrics) float64 { return m.ApproxKL }},
	{"clip_fraction", func(m ppo.Metrics) float64 { return m.ClipFraction }},
	{"explained_variance", func(m ppo.Metrics) float64 { return m.ExplainedVariance }},
	{"grad_norm", func(m ppo.Metrics) float64 { return m.GradNorm }},
	{"learning_rate", func(m ppo.Metrics) float64 { return m.LearningRate }},
	{"entropy_coef", func(m ppo.Metrics) float64 { return m.EntropyCoef }},
}

// write writes the course, as CSV and for TensorBoard; the score is empty where the
// policy was not evaluated.
func (t *training) write() error {
	table := figure.Table{Header: []string{"steps", "score"}}
	for _, c := range measured {
		table.Header = append(table.Header, c.name)
	}
	table.Header = append(table.Header, "seconds")
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
	var events tensorboard.Events
	seconds := 0.0
	score := func(steps int) string {
		s, ok := t.scores[steps]
		if !ok {
			return ""
		}
		events.Add(steps, seconds, "eval/score", s)
		return number(s)
	}
	first := make([]string, len(table.Header)) // the policy that training begins with
	first[0], first[1], first[len(first)-1] = "0", score(0), "0"
	table.Rows = append(table.Rows, first)
	for _, m := range t.updates {
		seconds += m.StepSeconds + m.OptimiseSeconds
		row := []string{strconv.Itoa(m.Steps), score(m.Steps)}
		for _, c := range measured {
			v := c.of(m)
			events.Add(m.Steps, seconds, "train/"+c.name, v)
			row = append(row, number(v))
		}
		table.Rows = append(table.Rows, append(row, number(seconds)))
	}
	if err := atomicfile.Write(t.csv(), table.CSV()); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := events.Write(t.events()); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}
