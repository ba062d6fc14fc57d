package study

import (
	"context"
	"fmt"

	"github.com/meshbench/meshbench/lab/figure"
	"github.com/meshbench/meshbench/lab/learner"
	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/ppo"
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
	without := func(name string, change func(*Variant, *learner.PPO)) {
		v := Variant{Name: name, Setting: best}
		if l, ok := best.Learner.(learner.PPO); ok {
			change(&v, &l)
			v.Setting.Learner = l
		}
		v.Setting.Name = best.Name + ": " + name
		list = append(list, v)
	}
	without("a head for each knob, not one for all actions", func(_ *Variant, l *learner.PPO) { l.Heads, l.Config.Autoregressive = learner.PerKnob, false })
	without("a head for each knob that knows the choices before it", func(_ *Variant, l *learner.PPO) { l.Heads, l.Config.Autoregressive = learner.PerKnob, true })
	without("loads as they are, not at knots", func(_ *Variant, l *learner.PPO) { l.Observation = learner.Observation{} })
	without("training loads of four values, not of the whole range", func(v *Variant, _ *learner.PPO) { v.Setting.Load = load.Random{Ranges: s.Scenario.Loads} })
	without("constant entropy bonus, not falling", func(_ *Variant, l *learner.PPO) { l.Config.EntropyCoefSchedule = ppo.Constant })
	without("constant learning rate, not falling", func(_ *Variant, l *learner.PPO) { l.Config.LearningRateSchedule = ppo.Constant })
	if s.Expected {
		without("reward of the mean delay, not the expected one", func(v *Variant, _ *learner.PPO) { v.Mean = true })
	}
	last := Variant{Name: paper.Name, Setting: paper, Mean: s.Expected}
	if last.Mean {
		last.Name += ", reward of the mean delay"
	}
	return append(list, last)
}

// AblationTable shows what each option of setting best is worth on a source: for
// every variant the exact ANR under each objective and load, the median over
// seeds and in brackets the lowest and the highest. Loads are those of the
// study's patterns; all variants are scored by the source's rewards.
func (r *Result) AblationTable(ctx context.Context, s Source) (figure.Table, error) {
	cfg := r.Config
	t := figure.Table{Header: []string{"trace", "setting", "seeds"}}
	for _, o := range cfg.Objectives {
		for _, e := range cfg.Patterns {
			t.Header = append(t.Header, o.Name+", "+e.Pattern.Name())
		}
	}
	paper, err := cfg.setting(PaperSetting)
	if err != nil {
		return t, err
	}
	best, err := cfg.setting(BestSetting)
	if err != nil {
		return t, err
	}
	own := s.fitted(ctx, cfg)
	mean := own.under(cfg, false)
	for _, v := range Variants(s, paper, best) {
		from := own
		if v.Mean {
			from = mean
		}
		key := append(append(append(from.key(), cfg.Seeds, cfg.Seed), v.Setting.key()...), r.objectiveKeys()...)
		scores, err := Do(cfg.Cache, "ablation", key, func() ([][]float64, error) {
			trained, err := r.train(ctx, from, []Setting{v.Setting})
			if err != nil {
				return nil, err
			}
			return r.exact(trained, own)
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
// objective and pattern the values of all seeds.
func (r *Result) exact(trained []Training, f *fitted) ([][]float64, error) {
	var out [][]float64
	for _, o := range r.Config.Objectives {
		rw, err := f.rewards[o.Name]()
		if err != nil {
			return nil, err
		}
		for _, e := range r.Config.Patterns {
			var values []float64
			for _, t := range trained {
				if t.Objective != o.Name {
					continue
				}
				p, err := t.Trained.Policy(rw.Space())
				if err != nil {
					return nil, err
				}
				score, _, err := policy.Score(rw, p, e.Loads)
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
