package ppo

// widths are the lengths of a step's parts.
type widths struct {
	obs    int
	choice int // one per head
	mask   int // one per choice; 0 where no environment masks
	// credits is the number of values that heads are credited by.
	credits int
}

// rollout holds the steps between two updates, row by row: step s of
// environment e is row s*envs + e.
type rollout struct {
	steps, envs int
	n           int // steps taken so far
	valued      int // rows whose value has been computed
	widths      widths

	// Memory is taken as steps come, so that a number of steps costs nothing
	// before they are there.
	obs    []float32 // one more step than the others: the last one is what follows
	choice []int32
	mask   []bool // empty where no environment masks
	done   []bool
	// One per value that heads are credited by.
	logProb   []float32 // of its heads
	value     []float32
	reward    []float32 // with what is expected after a truncated episode
	advantage []float32 // by finish
	ret       []float32 // by finish
}

func newRollout(steps, envs int, w widths) *rollout {
	r := &rollout{steps: steps, envs: envs, widths: w}
	r.grow(1)
	return r
}

// grow makes room for so many steps.
func (r *rollout) grow(steps int) {
	if len(r.done) >= steps*r.envs {
		return
	}
	rows := min(r.steps, max(steps, 2*len(r.done)/r.envs)) * r.envs
	r.obs = grown(r.obs, (rows+r.envs)*r.widths.obs)
	r.choice = grown(r.choice, rows*r.widths.choice)
	r.mask = grown(r.mask, rows*r.widths.mask)
	r.done = grown(r.done, rows)
	for _, x := range []*[]float32{&r.logProb, &r.value, &r.reward, &r.advantage, &r.ret} {
		*x = grown(*x, rows*r.widths.credits)
	}
}

// grown returns x with length n.
func grown[T any](x []T, n int) []T {
	y := make([]T, n)
	copy(y, x)
	return y
}

// finish computes advantages by generalised advantage estimation (Schulman et
// al., arXiv:1506.02438) and returns, advantage + value, from the values of
// what follows the last step, one per environment:
//
//	delta(t) = r(t) + gamma V(t+1) - V(t)
//	A(t) = delta(t) + gamma lambda A(t+1)
//
// where V(t+1) and A(t+1) are 0 after the end of an episode. Of the second value
// that heads are credited by gamma is 0.
func (r *rollout) finish(last []float32, gamma, lambda float64) {
	n := r.widths.credits
	for k := range n * r.envs {
		e, c := k/n, k%n
		gamma := gamma
		if c > 0 {
			gamma = 0
		}
		next, sum := float64(last[k]), 0.0
		for s := r.steps - 1; s >= 0; s-- {
			at := (s*r.envs+e)*n + c
			if r.done[at/n] {
				next, sum = 0, 0
			}
			value := float64(r.value[at])
			sum = float64(r.reward[at]) + gamma*next - value + gamma*lambda*sum
			r.advantage[at] = float32(sum)
			r.ret[at] = float32(sum + value)
			next = value
		}
	}
}
