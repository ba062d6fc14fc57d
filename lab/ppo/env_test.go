package ppo

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// The environments that the tests learn. Each draws from its own generator,
// seeded by Reset, and can be saved.

// identity shows one number per head and rewards each head that repeats it;
// an episode lasts length steps.
type identity struct {
	heads  []int
	length int

	rng    *rand.PCG
	wanted []int
	step   int
}

func newIdentity() *identity { return &identity{heads: []int{4, 3}, length: 10} }

func (e *identity) Spaces() (int, []int) { return sum(e.heads), e.heads }

func (e *identity) Reset(seed uint64, obs []float32) error {
	e.rng, e.step, e.wanted = rand.NewPCG(seed, 0), 0, make([]int, len(e.heads))
	e.next(obs)
	return nil
}

func (e *identity) next(obs []float32) { // one-hot
	clear(obs)
	at := 0
	for h, n := range e.heads {
		e.wanted[h] = int(e.rng.Uint64() % uint64(n))
		obs[at+e.wanted[h]] = 1
		at += n
	}
}

func (e *identity) Step(choice []int, obs []float32) (float64, bool, error) {
	reward := 0.0
	for h, c := range choice {
		if c == e.wanted[h] {
			reward++
		}
	}
	e.step++
	e.next(obs)
	return reward, e.step == e.length, nil
}

type identityState struct {
	Rng    []byte
	Wanted []int
	Step   int
}

func (e *identity) State() ([]byte, error) {
	if e.rng == nil {
		return []byte("{}"), nil
	}
	b, err := e.rng.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return json.Marshal(identityState{b, e.wanted, e.step})
}

func (e *identity) SetState(b []byte) error {
	var s identityState
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s.Rng == nil { // before the first reset; a damaged checkpoint may go on without one
		e.rng, e.wanted, e.step = rand.NewPCG(0, 0), make([]int, len(e.heads)), 0
		return nil
	}
	if len(s.Wanted) != len(e.heads) {
		return errors.New("a state of other heads")
	}
	e.rng, e.wanted, e.step = new(rand.PCG), s.Wanted, s.Step
	return e.rng.UnmarshalBinary(s.Rng)
}

// masked is identity with some choices forbidden, the wanted one never; it
// fails where a forbidden one is taken.
type masked struct {
	identity
	allowed []bool
}

func newMasked() *masked { return &masked{identity: *newIdentity()} }

func (e *masked) Mask(dst []bool) {
	at := 0
	for h, n := range e.heads {
		for c := range n {
			dst[at+c] = c == e.wanted[h] || (c+e.step+h)%3 == 0
		}
		at += n
	}
	e.allowed = append(e.allowed[:0], dst...)
}

func (e *masked) Step(choice []int, obs []float32) (float64, bool, error) {
	at := 0
	for h, n := range e.heads {
		if !e.allowed[at+choice[h]] {
			return 0, false, errors.New("forbidden choice taken")
		}
		at += n
	}
	return e.identity.Step(choice, obs)
}

// bandit has a context of two loads of four levels and pays, per head, by how
// near the choice is to a function of both.
type bandit struct {
	rng  *rand.Rand
	a, b float64
}

var banditLevels = []float32{.25, .5, .75, 1}

func (e *bandit) Spaces() (int, []int) { return 2, []int{6, 6} }

func (e *bandit) Reset(seed uint64, obs []float32) error {
	e.rng = rand.New(rand.NewPCG(seed, 0))
	e.next(obs)
	return nil
}

func (e *bandit) next(obs []float32) {
	for i := range obs {
		obs[i] = banditLevels[e.rng.IntN(4)]
	}
	e.a, e.b = float64(obs[0]), float64(obs[1])
}

func banditReward(a, b float64, choice []int) float64 {
	x, y := float64(choice[0])/5, float64(choice[1])/5
	return 1 - (math.Abs(x-a*b)+math.Abs(y-max(0, a-b)))/2
}

func (e *bandit) Step(choice []int, obs []float32) (float64, bool, error) {
	reward := banditReward(e.a, e.b, choice)
	e.next(obs)
	return reward, false, nil
}

// banditScore is the policy's share of the optimal reward over all contexts.
func banditScore(act func(choice []int, obs []float32)) float64 {
	got, best := 0.0, 0.0
	for _, a := range banditLevels {
		for _, b := range banditLevels {
			choice := make([]int, 2)
			act(choice, []float32{a, b})
			got += banditReward(float64(a), float64(b), choice)
			top := 0.0
			for x := range 6 {
				for y := range 6 {
					top = max(top, banditReward(float64(a), float64(b), []int{x, y}))
				}
			}
			best += top
		}
	}
	return got / best
}

func newTrainer(tb testing.TB, cfg Config, envs ...Env) *Trainer {
	tb.Helper()
	t, err := New(cfg, envs...)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}
