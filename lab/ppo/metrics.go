package ppo

import "math"

// Metrics describes an update by what SB3 logs (SB3's name in brackets where it
// differs). Averages are over the update's minibatches unless said otherwise.
type Metrics struct {
	Steps   int // environment steps so far, over all environments (total_timesteps)
	Updates int // updates so far (SB3's n_updates counts their epochs)
	Epochs  int // epochs begun in this update; fewer than configured where TargetKL ended it

	// MeanReward is the mean reward per step of the update's steps.
	MeanReward float64
	// EpisodeReward and EpisodeLength are means over the last 100 complete
	// episodes (ep_rew_mean, ep_len_mean); NaN before the first.
	EpisodeReward float64
	EpisodeLength float64

	// ApproxKL estimates the KL divergence of the new policy from the one that
	// took the steps, mean(ratio - 1 - log ratio), over the last epoch. Much
	// above 0.03, updates are too large.
	ApproxKL float64
	// ClipFraction is the share of steps whose probability ratio lay outside
	// 1 ± Clip.
	ClipFraction float64
	// EntropyLoss is minus the mean entropy of the policy, in nats: rises to 0
	// as the policy becomes deterministic.
	EntropyLoss float64
	// ExplainedVariance is 1 - Var(return - value) / Var(return) of the
	// estimates made before the update: 1 is perfect, below 0 is worse than
	// the mean. NaN where all returns are equal.
	ExplainedVariance float64
	// PolicyGradientLoss is the clipped surrogate loss.
	PolicyGradientLoss float64
	// ValueLoss is the mean squared error of the value network, without ValueCoef.
	ValueLoss float64
	// Loss is the total loss of the last minibatch.
	Loss float64
	// GradNorm is the norm of the gradient before it is clipped.
	GradNorm float64

	LearningRate float64 // of this update
	EntropyCoef  float64 // of this update

	StepSeconds     float64 // that the update's steps took, environments included
	OptimiseSeconds float64 // that the update took after its steps
}

// explainedVariance is 1 - Var(ret - value)/Var(ret).
func explainedVariance(value, ret []float32) float64 {
	var mean, meanErr, ss, ssErr float64
	n := float64(len(ret))
	for i, r := range ret {
		mean += float64(r) / n
		meanErr += (float64(r) - float64(value[i])) / n
	}
	for i, r := range ret {
		d, e := float64(r)-mean, float64(r)-float64(value[i])-meanErr
		ss += d * d
		ssErr += e * e
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
