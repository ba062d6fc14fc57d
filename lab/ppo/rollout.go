package ppo

import "slices"

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

	first []int32 // by compare: per row, the first that the networks see alike
	alike map[hash]int32
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

// compare finds the rows that the networks see alike: of the same observation and
// mask, and where heads depend on the choices before them, of the same choices.
func (r *rollout) compare(chained bool) {
	w := r.widths
	if r.alike == nil {
		r.alike = map[hash]int32{}
	}
	clear(r.alike)
	r.first = r.first[:0]
	for row := range r.steps * r.envs {
		obs, mask, choice := r.obs[row*w.obs:][:w.obs], r.mask[row*w.mask:][:w.mask], r.choice[row*w.choice:][:w.choice]
		var h hash
		h.observation(obs)
		for i, ok := range mask {
			if !ok {
				h.mix(i, 0)
			}
		}
		if chained {
			for i, v := range choice {
				h.mix(i, uint32(v))
			}
		}
		first, ok := r.alike[h]
		switch f := int(first); {
		case !ok:
			first, r.alike[h] = int32(row), int32(row)
		case !slices.Equal(obs, r.obs[f*w.obs:][:w.obs]) || !slices.Equal(mask, r.mask[f*w.mask:][:w.mask]) ||
			chained && !slices.Equal(choice, r.choice[f*w.choice:][:w.choice]):
			first = int32(row)
		}
		r.first = append(r.first, first)
	}
}

// input copies what the networks see in a row to place i of dst.
func (r *rollout) input(dst *inputRows, i, row int) {
	w := r.widths
	copy(dst.obs[i*w.obs:][:w.obs], r.obs[row*w.obs:])
	if w.mask > 0 {
		copy(dst.mask[i*w.mask:][:w.mask], r.mask[row*w.mask:])
	}
	if dst.choice != nil {
		copy(dst.choice[i*w.choice:][:w.choice], r.choice[row*w.choice:])
	}
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
			sum = float64(r.reward[at]) + float64(gamma*next) - value + float64(gamma*lambda*sum)
			r.advantage[at] = float32(sum)
			r.ret[at] = float32(sum + value)
			next = value
		}
	}
}
