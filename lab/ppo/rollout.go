package ppo

// widths are the lengths of a step's parts.
type widths struct {
	obs    int
	choice int // one per head
	mask   int // one per choice; 0 where no environment masks
}

// rollout holds the steps between two updates, row by row: step s of
// environment e is row s*envs + e.
type rollout struct {
	steps, envs int
	n           int // steps taken so far
	widths      widths

	obs       []float32 // one more step than the others: the last one is what follows
	choice    []int32
	mask      []bool // nil where no environment masks
	logProb   []float32
	value     []float32
	reward    []float32
	done      []bool
	advantage []float32 // by finish
	ret       []float32 // by finish
}

func newRollout(steps, envs int, w widths) *rollout {
	rows := steps * envs
	r := &rollout{
		steps: steps, envs: envs, widths: w,
		obs:     make([]float32, (rows+envs)*w.obs),
		choice:  make([]int32, rows*w.choice),
		logProb: make([]float32, rows), value: make([]float32, rows),
		reward: make([]float32, rows), done: make([]bool, rows),
		advantage: make([]float32, rows), ret: make([]float32, rows),
	}
	if w.mask > 0 {
		r.mask = make([]bool, rows*w.mask)
	}
	return r
}

// finish computes advantages by generalised advantage estimation (Schulman et
// al., arXiv:1506.02438) and returns, advantage + value, from the values of
// what follows the last step, one per environment:
//
//	delta(t) = r(t) + gamma V(t+1) - V(t)
//	A(t) = delta(t) + gamma lambda A(t+1)
//
// where V(t+1) and A(t+1) are 0 after the end of an episode.
func (r *rollout) finish(last []float32, gamma, lambda float64) {
	for e := range r.envs {
		next, sum := float64(last[e]), 0.0
		for s := r.steps - 1; s >= 0; s-- {
			at := s*r.envs + e
			if r.done[at] {
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
