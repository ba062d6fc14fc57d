package ppo

import (
	"math"

	"github.com/meshbench/meshbench/lab/ppo/internal/kernel"
)

// Adam's constants: PyTorch's betas, and the epsilon that SB3 sets for PPO.
const (
	adamBeta1 = 0.9
	adamBeta2 = 0.999
	adamEps   = 1e-5
)

// adam is the optimiser's state: first and second moments of the gradient and
// the number of updates so far.
type adam struct {
	m, v []float32
	t    int
}

func newAdam(n int) *adam { return &adam{m: make([]float32, n), v: make([]float32, n)} }

// step updates params by the gradient times scale.
func (a *adam) step(params, grads []float32, rate, scale float64) {
	a.t++
	t := float64(a.t)
	kernel.Adam(params, a.m, a.v, grads, &kernel.AdamStep{
		GradScale:   float32(scale),
		Beta1Rest:   1 - adamBeta1,
		Beta2:       adamBeta2,
		Beta2Rest:   1 - adamBeta2,
		InvSqrtBias: float32(1 / math.Sqrt(1-math.Pow(adamBeta2, t))),
		Eps:         adamEps,
		Rate:        float32(rate / (1 - math.Pow(adamBeta1, t))),
	})
}

// clipScale is the factor that brings a gradient of the given norm down to
// limit (PyTorch's clip_grad_norm_); limit 0 leaves it as it is.
func clipScale(norm, limit float64) float64 {
	if limit <= 0 {
		return 1
	}
	return min(1, limit/(norm+1e-6))
}
