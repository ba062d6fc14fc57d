package study

import (
	"context"
	"fmt"
	"sync"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/sim"
)

// Variant is a way to train that differs from another in one option.
type Variant struct {
	Name    string
	Setting Setting
	// Mean trains by the reward of the mean delay in place of the expected one.
	Mean bool
}

// Variants are setting best, best without one of its options at a time, and
// setting paper. Those of the reward apply to sources that have expected ones.
func Variants(s Source, paper, best Setting) []Variant {
	list := []Variant{{Name: best.Name, Setting: best}}
	without := func(name string, change func(*Variant)) {
		v := Variant{Name: name, Setting: best}
		change(&v)
		v.Setting.Name = best.Name + ": " + name
		list = append(list, v)
	}
	without("a head for each component, not one for all actions", func(v *Variant) { v.Setting.Heads = sim.PerComponent })
	without("loads as they are, not at knots", func(v *Variant) { v.Setting.Observation = sim.Observation{} })
	without("training loads of four values, not of the whole range", func(v *Variant) { v.Setting.Load = load.Random{} })
	without("constant entropy bonus, not falling", func(v *Variant) { v.Setting.PPO.EntropyCoefSchedule = ppo.Constant })
	without("constant learning rate, not falling", func(v *Variant) { v.Setting.PPO.LearningRateSchedule = ppo.Constant })
	if s.Expected {
		without("reward of the mean delay, not the expected one", func(v *Variant) { v.Mean = true })
	}
	last := Variant{Name: paper.Name, Setting: paper, Mean: s.Expected}
	if last.Mean {
		last.Name += ", reward of the mean delay"
	}
	return append(list, last)
}

// AblationTable shows what each option of the study's last setting is worth on a
// source: for every variant the exact ANR under each objective and load, the
// median over seeds and in brackets the lowest and the highest. Loads are those
// of Patterns; all variants are scored by the source's rewards.
func (r *Result) AblationTable(ctx context.Context, s Source) (figure.Table, error) {
	cfg := r.Config
	t := figure.Table{Header: []string{"trace", "setting", "seeds"}}
	for _, o := range cfg.Objectives {
		for _, e := range Patterns() {
			t.Header = append(t.Header, o.Name+", "+e.Pattern.Name())
		}
	}
	model := sync.OnceValues(func() (*sim.Model, error) { return s.Learn(ctx, cfg.Seed) })
	mean := s
	mean.Expected = false
	expectedRewards, meanRewards := r.rewards(s, model), r.rewards(mean, model)
	for _, v := range Variants(s, cfg.Settings[0], cfg.Settings[len(cfg.Settings)-1]) {
		from, rewards := s, expectedRewards
		if v.Mean {
			from, rewards = mean, meanRewards
		}
		key := append(from.key(), v.Setting.describe(), r.names(), cfg.Seeds, cfg.Seed)
		scores, err := Do(cfg.Cache, "ablation", key, func() ([][]float64, error) {
			trained, err := r.train(ctx, from, []Setting{v.Setting}, rewards)
			if err != nil {
				return nil, err
			}
			return r.exact(trained, expectedRewards)
		})
		if err != nil {
			return t, fmt.Errorf("%s: %w", v.Name, err)
		}
		row := []string{s.Name, v.Name, fmt.Sprint(cfg.Seeds)}
		for _, x := range scores {
			row = append(row, extremes(x))
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// exact is the ANR of trained policies, without sampling error: for every
// objective and load of Patterns the values of all seeds.
func (r *Result) exact(trained []Training, rewards map[string]func() (*sim.Rewards, error)) ([][]float64, error) {
	var out [][]float64
	for _, o := range r.Config.Objectives {
		rw, err := rewards[o.Name]()
		if err != nil {
			return nil, err
		}
		for _, e := range Patterns() {
			var values []float64
			for _, t := range trained {
				if t.Objective != o.Name {
					continue
				}
				p, err := t.Trained.Policy(rw.Model().Space())
				if err != nil {
					return nil, err
				}
				score, err := ExactANR(rw, p, e.loads(rw.Model().Mesh()))
				if err != nil {
					return nil, err
				}
				values = append(values, score)
			}
			out = append(out, values)
		}
	}
	return out, nil
}
