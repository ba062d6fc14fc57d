package ppo

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
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

	Episodes  episodes  `json:"episodes"`
	Sampling  []byte    `json:"rng_sampling"`
	Shuffling []byte    `json:"rng_shuffling"`
	Resets    []byte    `json:"rng_resets"`
	Seed      uint64    `json:"reset_seed,omitempty"` // of the last reset
	Held      []float64 `json:"held_draws,omitempty"`

	EnvState [][]byte `json:"environment_state"`

	// Of version 1; since then entries of the archive.
	Choice []int32 `json:"rollout_choice,omitempty"`
	Mask   []bool  `json:"rollout_mask,omitempty"`
	Done   []bool  `json:"rollout_done,omitempty"`
}

const (
	checkpointFormat = "meshbench checkpoint"
	checkpointName   = "checkpoint.json"
	firstMoment      = "adam_m.f32"
	secondMoment     = "adam_v.f32"
	rolloutName      = "rollout.f32"
	choiceName       = "rollout_choice.i32"
	doneName         = "rollout_done.bool" // a byte each, 0 or 1
	maskName         = "rollout_mask.bool"
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
		Curve: t.curve, Episodes: t.episodes, Held: t.held, Seed: t.seed,
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
	var choices []byte
	for _, c := range r.choice[:rows*r.widths.choice] {
		choices = binary.LittleEndian.AppendUint32(choices, uint32(c))
	}
	err = writeArchive(path, map[string][]byte{
		choiceName:     choices,
		doneName:       packFlags(r.done[:rows]),
		maskName:       packFlags(r.mask[:rows*r.widths.mask]),
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
	n := rows * r.widths.credits
	return [][]float32{r.obs[:(rows+r.envs)*r.widths.obs], r.logProb[:n], r.value[:n], r.reward[:n]}
}

func packFlags(flags []bool) []byte {
	b := make([]byte, len(flags))
	for i, f := range flags {
		if f {
			b[i] = 1
		}
	}
	return b
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
	return parseCheckpoint(files, cfg, envs)
}

// check returns an error unless the header's counts fit each other. Rows of
// arrays are counted as the header says, before memory is taken for them.
func (h *checkpointHeader) check(s shape) error {
	for _, v := range []struct {
		name        string
		value, most int
	}{
		{"environments", h.Envs, maxObs}, {"updates", h.Updates, math.MaxInt32}, {"adam_steps", h.AdamT, math.MaxInt},
		{"rollout_steps", h.Rollout, h.Config.Steps}, {"episodes", h.Episodes.Done, math.MaxInt},
	} {
		if v.value < 0 || v.value > v.most {
			return fmt.Errorf("%s: %s %d, want 0 to %d", checkpointName, v.name, v.value, v.most)
		}
	}
	if steps := (h.Updates*h.Config.Steps + h.Rollout) * h.Envs; h.Steps != steps {
		return fmt.Errorf("%s: %d steps do not fit %d updates and %d steps since the last, which make %d", checkpointName, h.Steps, h.Updates, h.Rollout, steps)
	}
	if e := h.Episodes; len(e.Reward) != h.Envs || len(e.Length) != h.Envs || len(e.LastReward) != episodeWindow || len(e.LastLength) != episodeWindow {
		return fmt.Errorf("%s: episodes do not fit %d environments", checkpointName, h.Envs)
	}
	return s.check()
}

// steps takes the steps since the last update out of the archive, of rows rows:
// choices, ends and masks, wherever the version keeps them.
func (h *checkpointHeader) steps(files archive, s shape, rows int) error {
	masks := 0
	if h.Masked {
		masks = rows * s.choices()
	}
	if h.Version > 1 {
		choices, done, mask := files.entries[choiceName], files.entries[doneName], files.entries[maskName]
		if len(choices) != 4*rows*len(s.heads) || len(done) != rows || len(mask) != masks {
			return fmt.Errorf("the steps since the last update do not fit: %s, %s and %s have %d, %d and %d bytes, want %d, %d and %d",
				choiceName, doneName, maskName, len(choices), len(done), len(mask), 4*rows*len(s.heads), rows, masks)
		}
		h.Choice, h.Done, h.Mask = make([]int32, rows*len(s.heads)), make([]bool, rows), make([]bool, masks)
		for i := range h.Choice {
			h.Choice[i] = int32(binary.LittleEndian.Uint32(choices[4*i:]))
		}
		for i := range h.Done {
			h.Done[i] = done[i] != 0
		}
		for i := range h.Mask {
			h.Mask[i] = mask[i] != 0
		}
	}
	floats := files.entries[rolloutName]
	if want := 4 * ((rows+h.Envs)*s.obs + 3*rows*s.values()); len(floats) != want || len(h.Choice) != rows*len(s.heads) || len(h.Done) != rows || len(h.Mask) != masks {
		return fmt.Errorf("the steps since the last update do not fit: %s has %d bytes, want %d", rolloutName, len(floats), want)
	}
	for i, c := range h.Choice {
		if n := s.heads[i%len(s.heads)]; c < 0 || int(c) >= n {
			return fmt.Errorf("choice %d of a step since the last update, want 0 to %d", c, n-1)
		}
	}
	return nil
}

// parseCheckpoint takes a trainer out of a checkpoint's archive.
func parseCheckpoint(files archive, cfg Config, envs []Env) (*Trainer, error) {
	var h checkpointHeader
	if err := files.header(checkpointName, checkpointFormat, &h); err != nil {
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
	c, err := c.withDefaults(len(envs))
	if err != nil {
		return nil, err
	}
	h.Config = c
	// Everything that memory is taken for is compared with the bytes that are
	// there first.
	obs, heads, err := commonSpaces(envs)
	if err != nil {
		return nil, err
	}
	if obs != h.Obs || !slices.Equal(heads, h.Heads) {
		return nil, fmt.Errorf("environments of %d observations and heads %v, the checkpoint has %d and %v", obs, heads, h.Obs, h.Heads)
	}
	_, immediate, err := c.credits(len(heads))
	if err != nil {
		return nil, err
	}
	s := shape{obs: obs, heads: heads, hidden: c.Hidden, chained: c.Autoregressive, immediate: immediate}
	if err := h.check(s); err != nil {
		return nil, err
	}
	rows := h.Rollout * h.Envs
	if err := h.steps(files, s, rows); err != nil {
		return nil, err
	}
	names := []string{weightsName, firstMoment, secondMoment}
	var parts []*weights
	for _, name := range names {
		data, err := s.entry(files, name)
		if err != nil {
			return nil, err
		}
		w := newWeights(s)
		if err := w.unpack(data); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		parts = append(parts, w)
	}
	t, err := New(c, envs...)
	if err != nil {
		return nil, err
	}
	copy(t.weights.data, parts[0].data)
	copy(t.adam.m, parts[1].data)
	copy(t.adam.v, parts[2].data)

	if h.Held != nil && len(h.Held) != len(t.held) {
		return nil, fmt.Errorf("%s: %d held draws, want %d", checkpointName, len(h.Held), len(t.held))
	}
	copy(t.held, h.Held)

	r := t.rollout
	if masked := r.widths.mask > 0; masked != h.Masked {
		return nil, fmt.Errorf("environments that mask: %v, in the checkpoint: %v", masked, h.Masked)
	}
	r.n, r.valued = h.Rollout, rows
	r.grow(r.n)
	floats := files.entries[rolloutName]
	for _, part := range r.state() {
		readFloats(part, floats)
		if i := notFinite(part); i >= 0 {
			return nil, fmt.Errorf("%s: a number is %v, want finite ones", rolloutName, part[i])
		}
		floats = floats[4*len(part):]
	}
	copy(r.choice, h.Choice)
	copy(r.done, h.Done)
	copy(r.mask, h.Mask)

	t.seed = h.Seed
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
