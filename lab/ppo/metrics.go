package ppo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
)

// Metrics describes an update by what SB3 logs (SB3's name in brackets where it
// differs). Averages are over the update's minibatches unless said otherwise.
type Metrics struct {
	Steps   int `json:"steps"`   // environment steps so far, over all environments (total_timesteps)
	Updates int `json:"updates"` // updates so far (SB3's n_updates counts their epochs)
	Epochs  int `json:"epochs"`  // epochs begun in this update; fewer than configured where TargetKL ended it

	// MeanReward is the mean reward per step of the update's steps.
	MeanReward float64 `json:"mean_reward"`
	// EpisodeReward and EpisodeLength are means over the last 100 complete
	// episodes (ep_rew_mean, ep_len_mean); NaN before the first.
	EpisodeReward float64 `json:"episode_reward"`
	EpisodeLength float64 `json:"episode_length"`

	// ApproxKL estimates the KL divergence of the new policy from the one that
	// took the steps, mean(ratio - 1 - log ratio), over the last epoch. Much
	// above 0.03, updates are too large.
	ApproxKL float64 `json:"approx_kl"`
	// ClipFraction is the share of steps whose probability ratio lay outside
	// 1 ± Clip.
	ClipFraction float64 `json:"clip_fraction"`
	// EntropyLoss is minus the mean entropy of the policy, in nats: rises to 0
	// as the policy becomes deterministic.
	EntropyLoss float64 `json:"entropy_loss"`
	// ExplainedVariance is 1 - Var(return - value) / Var(return) of the
	// estimates made before the update: 1 is perfect, below 0 is worse than
	// the mean. NaN where all returns are equal.
	ExplainedVariance float64 `json:"explained_variance"`
	// PolicyGradientLoss is the clipped surrogate loss.
	PolicyGradientLoss float64 `json:"policy_gradient_loss"`
	// ValueLoss is the mean squared error of the value network, without ValueCoef.
	ValueLoss float64 `json:"value_loss"`
	// Loss is the total loss of the last minibatch.
	Loss float64 `json:"loss"`
	// GradNorm is the norm of the gradient before it is clipped.
	GradNorm float64 `json:"grad_norm"`

	LearningRate float64 `json:"learning_rate"` // of this update
	EntropyCoef  float64 `json:"entropy_coef"`  // of this update

	StepSeconds     float64 `json:"step_seconds"`     // that the update's steps took, environments included
	OptimiseSeconds float64 `json:"optimise_seconds"` // that the update took after its steps
}

// MarshalJSON writes numbers that are not finite as null, which JSON has no
// other word for.
func (m Metrics) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	v := reflect.ValueOf(m)
	for i := range v.NumField() {
		value, err := json.Marshal(v.Field(i).Interface())
		if err != nil {
			value = []byte("null")
		}
		fmt.Fprintf(&b, ",%q:%s", v.Type().Field(i).Tag.Get("json"), value)
	}
	b.WriteByte('}')
	b.Bytes()[0] = '{'
	return b.Bytes(), nil
}

// UnmarshalJSON is MarshalJSON's inverse; null is NaN.
func (m *Metrics) UnmarshalJSON(text []byte) error {
	type plain Metrics
	nan := math.NaN()
	// null leaves a number as it is.
	p := plain{EpisodeReward: nan, EpisodeLength: nan, ExplainedVariance: nan, MeanReward: nan, ApproxKL: nan, ClipFraction: nan,
		EntropyLoss: nan, PolicyGradientLoss: nan, ValueLoss: nan, Loss: nan, GradNorm: nan}
	if err := json.Unmarshal(text, &p); err != nil {
		return err
	}
	*m = Metrics(p)
	return nil
}

// explainedVariance is 1 - Var(ret - value)/Var(ret) of every stride-th value.
func explainedVariance(value, ret []float32, stride int) float64 {
	var mean, meanErr, ss, ssErr float64
	n := float64(len(ret) / stride)
	for i := 0; i < len(ret); i += stride {
		r := float64(ret[i])
		mean += r / n
		meanErr += (r - float64(value[i])) / n
	}
	for i := 0; i < len(ret); i += stride {
		r := float64(ret[i])
		d, e := r-mean, r-float64(value[i])-meanErr
		ss += float64(d * d)
		ssErr += float64(e * e)
	}
	if ss == 0 {
		return math.NaN()
	}
	return 1 - ssErr/ss
}

// episodeWindow is the number of complete episodes that averages are over.
const episodeWindow = 100

// episodes keeps the rewards and lengths of the last complete episodes, and of
// the one that each environment is in.
type episodes struct {
	Reward []float64 // of the present episode, per environment
	Length []int
	Done   int // complete episodes so far
	// The last complete ones: number i is at i % episodeWindow.
	LastReward []float64
	LastLength []int
}

func newEpisodes(envs int) episodes {
	return episodes{
		Reward: make([]float64, envs), Length: make([]int, envs),
		LastReward: make([]float64, episodeWindow), LastLength: make([]int, episodeWindow),
	}
}

func (e *episodes) step(env int, reward float64, done bool) {
	e.Reward[env] += reward
	e.Length[env]++
	if done {
		at := e.Done % episodeWindow
		e.LastReward[at], e.LastLength[at] = e.Reward[env], e.Length[env]
		e.Reward[env], e.Length[env] = 0, 0
		e.Done++
	}
}

// means returns the mean reward and length, NaN without a complete episode.
func (e *episodes) means() (reward, length float64) {
	n := min(e.Done, episodeWindow)
	for i := range n {
		reward += e.LastReward[i]
		length += float64(e.LastLength[i])
	}
	return reward / float64(n), length / float64(n)
}
