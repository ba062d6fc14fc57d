package ppo

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// sb3Layer is a layer as testdata/sb3_reference.py writes it.
type sb3Layer struct {
	Weight [][]float32
	Bias   []float32
}

type sb3Weights struct{ Policy, Value []sb3Layer }

// The results of Stable-Baselines3 2.9.2 on given rollouts: advantages,
// returns, logged values and the weights after several epochs.
func TestAgainstSB3(t *testing.T) {
	var ref struct {
		Versions    map[string]string
		Observation int
		Heads       []int
		Hidden      []int
		Steps       int
		Cases       []struct {
			Name         string
			Envs, Epochs int
			Config       struct {
				LearningRate  float64 `json:"learning_rate"`
				Gamma         float64
				GAELambda     float64 `json:"gae_lambda"`
				EntropyCoef   float64 `json:"ent_coef"`
				ValueCoef     float64 `json:"vf_coef"`
				Clip          float64 `json:"clip_range"`
				ClipValue     float64 `json:"clip_range_vf"`
				MaxGradNorm   float64 `json:"max_grad_norm"`
				TargetKL      float64 `json:"target_kl"`
				NormAdvantage *bool   `json:"normalize_advantage"`
			}
			Before, After sb3Weights
			Obs           [][][]float32
			Choice        [][][]int32
			Reward, Value [][]float32
			Done          [][]bool
			LogProb       [][]float32
			Advantage     [][]float32
			Return        [][]float32
			Metrics       map[string]float64
		}
		Masked struct {
			Logits           [][]float32
			Mask             [][]bool
			Choice           [][]int32
			LogProb, Entropy []float32
		}
	}
	text, err := os.ReadFile("testdata/sb3.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &ref); err != nil {
		t.Fatal(err)
	}
	near := func(t *testing.T, what string, got, want, tolerance float64) {
		t.Helper()
		if !(math.Abs(got-want) <= tolerance*(1+math.Abs(want))) {
			t.Errorf("%s: %v, SB3 has %v", what, got, want)
		}
	}
	for _, c := range ref.Cases {
		t.Run(c.Name, func(t *testing.T) {
			cfg := Config{
				Hidden: ref.Hidden, Steps: ref.Steps, Batch: ref.Steps * c.Envs, Epochs: c.Epochs,
				LearningRate: c.Config.LearningRate, Gamma: c.Config.Gamma, GAELambda: c.Config.GAELambda,
				Clip: c.Config.Clip, ClipValue: c.Config.ClipValue, EntropyCoef: c.Config.EntropyCoef,
				ValueCoef: c.Config.ValueCoef, MaxGradNorm: c.Config.MaxGradNorm, TargetKL: c.Config.TargetKL,
				RawAdvantages: c.Config.NormAdvantage != nil && !*c.Config.NormAdvantage,
			}
			envs := make([]Env, c.Envs)
			for i := range envs {
				envs[i] = sb3Spaces{ref.Observation, ref.Heads}
			}
			tr := newTrainer(t, cfg, envs...)
			walk := func(w sb3Weights, f func(at *float32, value float32)) {
				for n, net := range [][]sb3Layer{w.Policy, w.Value} {
					for i, ref := range net {
						l := [][]layer{tr.weights.policy, tr.weights.value}[n][i]
						for p, row := range ref.Weight {
							for j, v := range row {
								f(&l.w[p*l.ld+j], v)
							}
						}
						for j, v := range ref.Bias {
							f(&l.b[j], v)
						}
					}
				}
			}
			walk(c.Before, func(at *float32, v float32) { *at = v })
			r := tr.rollout
			r.grow(r.steps)
			for s, envs := range c.Obs {
				for e, x := range envs {
					row := s*c.Envs + e
					copy(r.obs[row*ref.Observation:], x)
					if s == ref.Steps {
						continue
					}
					copy(r.choice[row*len(ref.Heads):], c.Choice[s][e])
					r.reward[row], r.done[row] = c.Reward[s][e], c.Done[s][e]
					r.value[row], r.logProb[row] = c.Value[s][e], c.LogProb[s][e]
				}
			}
			r.n, r.valued = ref.Steps, ref.Steps*c.Envs
			m, err := tr.optimise()
			if err != nil {
				t.Fatal(err)
			}
			for s := range c.Advantage {
				for e := range c.Envs {
					near(t, "advantage", float64(r.advantage[s*c.Envs+e]), float64(c.Advantage[s][e]), 1e-6)
					near(t, "return", float64(r.ret[s*c.Envs+e]), float64(c.Return[s][e]), 1e-6)
				}
			}
			for name, got := range map[string]float64{
				"approx_kl": m.ApproxKL, "clip_fraction": m.ClipFraction, "entropy_loss": m.EntropyLoss,
				"explained_variance": m.ExplainedVariance, "policy_gradient_loss": m.PolicyGradientLoss,
				"value_loss": m.ValueLoss, "loss": m.Loss, "learning_rate": m.LearningRate, "n_updates": float64(m.Epochs),
			} {
				near(t, name, got, c.Metrics[name], 2e-6)
			}
			moved, worst := 0.0, 0.0
			walk(c.After, func(at *float32, v float32) { worst = max(worst, math.Abs(float64(*at-v))) })
			var before []float32
			walk(c.Before, func(_ *float32, v float32) { before = append(before, v) })
			i := 0
			walk(c.After, func(_ *float32, v float32) {
				moved = max(moved, math.Abs(float64(v-before[i])))
				i++
			})
			t.Logf("weights moved by up to %.3g and differ from SB3's by at most %.3g", moved, worst)
			if worst > 1e-3*moved {
				t.Errorf("weights differ from SB3's by up to %g, having moved by up to %g", worst, moved)
			}
		})
	}
	t.Run("masked", func(t *testing.T) {
		rows := len(ref.Masked.Logits)
		d := newDistribution(shape{heads: ref.Heads}, rows)
		logits := make([]float32, rows*d.ld)
		b := minibatch{rows: rows, credits: 1, logProb: make([]float32, rows), advantage: make([]float32, rows), ret: make([]float32, rows), value: make([]float32, rows)}
		for r, row := range ref.Masked.Logits {
			copy(logits[r*d.ld:], row)
			b.inputs.rows, b.input = rows, append(b.input, int32(r))
			b.inputs.mask = append(b.inputs.mask, ref.Masked.Mask[r]...)
			b.choice = append(b.choice, ref.Masked.Choice[r]...)
		}
		d.set(logits, rows, b.inputs.mask, 0, len(ref.Heads))
		entropy, credit := 0.0, make([]int, len(ref.Heads))
		for r := range rows {
			var logProb [1]float32
			d.logProbs(r, b.choice[r*len(ref.Heads):], credit, logProb[:])
			near(t, "log-probability", float64(logProb[0]), float64(ref.Masked.LogProb[r]), 1e-6)
			entropy += float64(ref.Masked.Entropy[r]) / float64(rows)
		}
		l := loss(lossWeights{clip: .2}, &b, credit, d, make([]float32, rows), 1, make([]float32, rows))
		near(t, "entropy", l.entropy, entropy, 1e-6)
	})
}

// Learning proceeds as Stable-Baselines3's does: the mean reward of every
// rollout, averaged over five seeds each, on the same environment.
func TestLearnsAsSB3(t *testing.T) {
	var ref struct{ Curves [][]float64 }
	text, err := os.ReadFile("testdata/sb3_learning.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &ref); err != nil {
		t.Fatal(err)
	}
	seeds, updates := len(ref.Curves), len(ref.Curves[0])
	ours := make([]float64, updates)
	for seed := range seeds {
		tr := newTrainer(t, Config{Seed: uint64(seed)}, new(bandit))
		for u := range ours {
			m, err := tr.Update(ctx)
			if err != nil {
				t.Fatal(err)
			}
			ours[u] += m.MeanReward / float64(seeds)
		}
	}
	for u, got := range ours {
		var mean float64
		for _, c := range ref.Curves {
			mean += c[u] / float64(seeds)
		}
		// One seed's reward varies by about 0.01 (standard deviation) early on
		// and 0.003 later, so three standard errors of the difference are
		// below 0.02 and 0.006.
		tolerance := .02
		if u >= updates/2 {
			tolerance = .006
		}
		if math.Abs(got-mean) > tolerance {
			t.Errorf("update %d: mean reward %.4f, SB3 %.4f", u+1, got, mean)
		}
	}
	t.Logf("mean rewards %.3f", ours)
}

// sb3Spaces is an environment of the reference's size that is never stepped.
type sb3Spaces struct {
	obs   int
	heads []int
}

func (e sb3Spaces) Spaces() (int, []int)                         { return e.obs, e.heads }
func (e sb3Spaces) Reset(uint64, []float32) error                { panic("not reached") }
func (e sb3Spaces) Step([]int, []float32) (float64, bool, error) { panic("not reached") }
