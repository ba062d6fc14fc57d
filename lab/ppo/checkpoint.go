package ppo

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
)

// checkpointHeader is checkpoint.json: what is not an array of floats.
type checkpointHeader struct {
	Format  string       `json:"format"` // checkpointFormat
	Version int          `json:"version"`
	Config  Config       `json:"config"`
	Obs     int          `json:"observation"`
	Heads   []int        `json:"heads"`
	Envs    int          `json:"environments"`
	Masked  bool         `json:"masked"`
	Steps   int          `json:"steps"`
	Updates int          `json:"updates"`
	AdamT   int          `json:"adam_steps"`
	Started bool         `json:"started"`
	Rollout int          `json:"rollout_steps"` // since the last update
	Curve   []Evaluation `json:"curve,omitempty"`

	Episodes  episodes `json:"episodes"`
	Sampling  []byte   `json:"rng_sampling"`
	Shuffling []byte   `json:"rng_shuffling"`
	Resets    []byte   `json:"rng_resets"`

	EnvState [][]byte `json:"environment_state"`
	Choice   []int32  `json:"rollout_choice,omitempty"`
	Mask     []bool   `json:"rollout_mask,omitempty"`
	Done     []bool   `json:"rollout_done,omitempty"`
}

const (
	checkpointFormat = "meshbench checkpoint"
	checkpointName   = "checkpoint.json"
	firstMoment      = "adam_m.f32"
	secondMoment     = "adam_v.f32"
	rolloutName      = "rollout.f32"
)

// Checkpoint writes everything that the training depends on to a file, so that
// [Resume] goes on as if there had been no break, to the byte. Each
// environment must be a [Stater]. The file appears complete or not at all.
func (t *Trainer) Checkpoint(path string) error {
	fail := func(err error) error { return fmt.Errorf("ppo: checkpoint %s: %w", path, err) }
	if t.err != nil {
		return fail(fmt.Errorf("the training has failed: %w", t.err))
	}
	r := t.rollout
	t.value()
	rows := r.n * r.envs
	h := checkpointHeader{
		Format: checkpointFormat, Version: formatVersion, Config: t.cfg,
		Obs: t.shape.obs, Heads: t.shape.heads, Envs: len(t.envs), Masked: r.widths.mask > 0,
		Steps: t.steps, Updates: t.updates, AdamT: t.adam.t, Started: t.started, Rollout: r.n,
		Curve: t.curve, Episodes: t.episodes,
		Choice: r.choice[:rows*len(t.shape.heads)], Done: r.done[:rows],
	}
	if r.widths.mask > 0 {
		h.Mask = r.mask[:rows*t.shape.choices()]
	}
	for _, s := range []struct {
		to  *[]byte
		pcg *rand.PCG
	}{{&h.Sampling, t.sampling}, {&h.Shuffling, t.shuffling}, {&h.Resets, t.resets}} {
		b, err := s.pcg.MarshalBinary()
		if err != nil {
			return fail(err)
		}
		*s.to = b
	}
	for i, e := range t.envs {
		s, ok := e.(Stater)
		if !ok {
			return fail(fmt.Errorf("environment %d (%T) is no Stater: it has no State and SetState methods", i, e))
		}
		b, err := s.State()
		if err != nil {
			return fail(fmt.Errorf("state of environment %d: %w", i, err))
		}
		h.EnvState = append(h.EnvState, b)
	}
	text, err := json.MarshalIndent(h, "", " ")
	if err != nil {
		return fail(err)
	}
	moments := func(m []float32) []byte {
		w := newWeights(t.shape)
		copy(w.data, m)
		return w.pack()
	}
	var floats []byte
	for _, part := range r.state() {
		floats = appendFloats(floats, part)
	}
	err = writeArchive(path, map[string][]byte{
		checkpointName: append(text, '\n'),
		weightsName:    t.weights.pack(),
		firstMoment:    moments(t.adam.m),
		secondMoment:   moments(t.adam.v),
		rolloutName:    floats,
	})
	if err != nil {
		return fail(err)
	}
	return nil
}

// state returns the parts of the rollout that hold its n steps.
func (r *rollout) state() [][]float32 {
	rows := r.n * r.envs
	return [][]float32{r.obs[:(rows+r.envs)*r.widths.obs], r.logProb[:rows], r.value[:rows], r.reward[:rows]}
}

// Resume returns a trainer that goes on from a checkpoint, with as many
// environments as it was written with, of the same kind; their state is set.
// The configuration is the checkpoint's; of cfg, Evaluate and OnUpdate are
// used, which files cannot hold, and TotalSteps unless it is 0, so that a
// training can be prolonged (which changes linear schedules from there on).
func Resume(path string, cfg Config, envs ...Env) (*Trainer, error) {
	t, err := resume(path, cfg, envs)
	if err != nil {
		return nil, fmt.Errorf("ppo: resuming from %s: %w", path, err)
	}
	return t, nil
}

func resume(path string, cfg Config, envs []Env) (*Trainer, error) {
	files, err := readArchive(path)
	if err != nil {
		return nil, err
	}
	var h checkpointHeader
	if err := readHeader(files, checkpointName, checkpointFormat, &h); err != nil {
		return nil, err
	}
	if len(envs) != h.Envs || len(h.EnvState) != h.Envs {
		return nil, fmt.Errorf("%d environments, the checkpoint has %d", len(envs), h.Envs)
	}
	c := h.Config
	c.Evaluate, c.OnUpdate = cfg.Evaluate, cfg.OnUpdate
	if cfg.TotalSteps != 0 {
		c.TotalSteps = cfg.TotalSteps
	}
	t, err := New(c, envs...)
	if err != nil {
		return nil, err
	}
	if t.shape.obs != h.Obs || !slices.Equal(t.shape.heads, h.Heads) {
		return nil, fmt.Errorf("environments of %d observations and heads %v, the checkpoint has %d and %v", t.shape.obs, t.shape.heads, h.Obs, h.Heads)
	}
	for _, part := range []struct {
		name string
		to   []float32
	}{{weightsName, t.weights.data}, {firstMoment, t.adam.m}, {secondMoment, t.adam.v}} {
		data, err := t.shape.entry(files, part.name)
		if err != nil {
			return nil, err
		}
		w := newWeights(t.shape)
		if err := w.unpack(data); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
		copy(part.to, w.data)
	}

	r := t.rollout
	if masked := r.widths.mask > 0; masked != h.Masked {
		return nil, fmt.Errorf("environments that mask: %v, in the checkpoint: %v", masked, h.Masked)
	}
	if h.Rollout < 0 || h.Rollout > r.steps {
		return nil, fmt.Errorf("%s: %d steps since the last update, want 0 to %d", checkpointName, h.Rollout, r.steps)
	}
	r.n = h.Rollout
	r.grow(r.n)
	rows := r.n * r.envs
	r.valued = rows
	floats := files[rolloutName]
	want := 0
	for _, part := range r.state() {
		want += 4 * len(part)
	}
	masks := 0
	if r.widths.mask > 0 {
		masks = rows * t.shape.choices()
	}
	if len(floats) != want || len(h.Choice) != rows*len(h.Heads) || len(h.Done) != rows || len(h.Mask) != masks {
		return nil, fmt.Errorf("the steps since the last update do not fit: %s has %d bytes, want %d", rolloutName, len(floats), want)
	}
	for _, part := range r.state() {
		readFloats(part, floats)
		floats = floats[4*len(part):]
	}
	for i, c := range h.Choice {
		if n := h.Heads[i%len(h.Heads)]; c < 0 || int(c) >= n {
			return nil, fmt.Errorf("%s: choice %d, want less than %d", checkpointName, c, n)
		}
	}
	copy(r.choice, h.Choice)
	copy(r.done, h.Done)
	copy(r.mask, h.Mask)

	if e := h.Episodes; len(e.Reward) != h.Envs || len(e.Length) != h.Envs || len(e.LastReward) != episodeWindow || len(e.LastLength) != episodeWindow || e.Done < 0 {
		return nil, fmt.Errorf("%s: episodes do not fit %d environments", checkpointName, h.Envs)
	}
	t.episodes, t.started, t.steps, t.updates, t.curve, t.adam.t = h.Episodes, h.Started, h.Steps, h.Updates, h.Curve, h.AdamT
	for _, s := range []struct {
		from []byte
		pcg  *rand.PCG
	}{{h.Sampling, t.sampling}, {h.Shuffling, t.shuffling}, {h.Resets, t.resets}} {
		if err := s.pcg.UnmarshalBinary(s.from); err != nil {
			return nil, fmt.Errorf("%s: state of a random generator: %w", checkpointName, err)
		}
	}
	for i, e := range envs {
		s, ok := e.(Stater)
		if !ok {
			return nil, fmt.Errorf("environment %d (%T) is no Stater: it has no State and SetState methods", i, e)
		}
		if err := s.SetState(h.EnvState[i]); err != nil {
			return nil, fmt.Errorf("state of environment %d: %w", i, err)
		}
	}
	return t, nil
}
