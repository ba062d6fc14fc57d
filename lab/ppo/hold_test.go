package ppo

import (
	"math"
	"testing"
)

// slowly pays for the second choice of its first head only once it was made eight
// times in a row; its second head says nothing.
type slowly struct {
	run     int
	choices [][]int
}

func (e *slowly) Spaces() (int, []int)                { return 1, []int{2, 2} }
func (e *slowly) Reset(_ uint64, obs []float32) error { e.run, obs[0] = 0, 0; return nil }
func (e *slowly) Step(choice []int, obs []float32) (float64, bool, error) {
	e.choices = append(e.choices, append([]int(nil), choice...))
	if e.run++; choice[0] == 0 {
		e.run = 0
	}
	pays := 0.0
	if choice[0] == 0 {
		pays = .1
	}
	if e.run >= 8 {
		pays = 1
	}
	obs[0] = float32(min(e.run, 8)) / 8
	return pays, false, nil
}
func (e *slowly) State() ([]byte, error)  { return []byte{byte(e.run)}, nil }
func (e *slowly) SetState(b []byte) error { e.run = int(b[0]); return nil }

// Held draws find what pays only when it is done for long, which independent ones
// do not; the other head's stay independent, and choices as likely as before.
func TestHold(t *testing.T) {
	train := func(hold []int) (*Trainer, *slowly) {
		e := &slowly{}
		tr, err := New(Config{Seed: 1, Gamma: .9, Steps: 512, Hold: hold}, e)
		if err != nil {
			t.Fatal(err)
		}
		if err := tr.Train(ctx, 15*512); err != nil {
			t.Fatal(err)
		}
		return tr, e
	}
	finds := func(tr *Trainer) bool {
		choice := make([]int, 2)
		tr.Policy().Act(choice, []float32{0})
		return choice[0] == 1
	}
	tr, e := train([]int{16, 1})
	if !finds(tr) {
		t.Error("held draws did not find what pays")
	}
	if other, _ := train(nil); finds(other) {
		t.Error("independent draws found it too: the test says nothing")
	}
	same, ones, turns := 0, 0, 0
	for k, c := range e.choices[:512] { // of the first rollout, by a policy that does not change
		ones += c[0]
		if k > 0 && c[0] == e.choices[k-1][0] {
			same++
		}
		if k > 0 && c[1] != e.choices[k-1][1] {
			turns++
		}
	}
	if same < 480 || math.Abs(float64(turns)-256) > 60 || ones < 128 || ones > 384 {
		t.Errorf("of 512 steps %d kept the held choice, %d turned the other, %d were the second", same, turns, ones)
	}
}

// Held draws are in a checkpoint.
func TestHoldResume(t *testing.T) {
	sameAfterBreak(t, Config{Seed: 1, Gamma: .9, Steps: 100, Hold: []int{30, 1}}, 17, 1000, func() []Env { return []Env{&slowly{}, &slowly{}} })
}

func TestHoldErrors(t *testing.T) {
	for _, hold := range [][]int{{1}, {1, 0}, {1, 2, 3}} {
		if _, err := New(Config{Hold: hold}, &slowly{}); err == nil {
			t.Errorf("Hold %v: no error", hold)
		}
	}
}
