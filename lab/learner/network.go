package learner

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/meshbench/meshbench/lab/load"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/policy"
	"github.com/meshbench/meshbench/lab/ppo"
)

// Network is a policy that was trained by PPO, acting deterministically.
type Network struct {
	net    *ppo.Policy
	space  *mesh.Space
	coder  coder
	heads  Heads
	input  []float32
	choice []int
	mask   []bool // nil where all choices may be made, or that depends on others
	action mesh.Action
}

var (
	_ policy.Policy = (*Network)(nil)
	_ policy.Seer   = (*Network)(nil)
)

// NewNetwork makes a policy of a trained network for the actions of space, with
// the observation and the heads that it was trained with.
func NewNetwork(net *ppo.Policy, space *mesh.Space, p Problem, o Observation, heads Heads) (*Network, error) {
	return newNetwork(net, space, newCoder(o, p.Loads, p.Goals, space), heads)
}

func newNetwork(net *ppo.Policy, space *mesh.Space, c coder, heads Heads) (*Network, error) {
	heads, err := heads.in(space)
	if err != nil {
		return nil, err
	}
	inputs, choices := net.Spaces()
	if want := c.len(); inputs != want || !slices.Equal(choices, heads.of(space)) {
		return nil, fmt.Errorf("learner: the network takes %d inputs and has heads %v; here %d and %v are needed for %s",
			inputs, choices, want, heads.of(space), space.Mesh())
	}
	n := &Network{net: net, space: space, coder: c, heads: heads, input: make([]float32, inputs), choice: make([]int, len(choices))}
	if masked(space) && !heads.limited(space) {
		total := 0
		for _, c := range choices {
			total += c
		}
		n.mask = make([]bool, total)
	}
	return n, nil
}

// Name is "ppo".
func (n *Network) Name() string { return "ppo" }

// Reset does nothing: the policy is deterministic.
func (n *Network) Reset(uint64) {}

// SeesDelays says whether the response times of the step before decide too.
func (n *Network) SeesDelays() bool { return n.coder.Delays }

// Act returns the most probable action.
func (n *Network) Act(s mesh.State) (mesh.Action, error) {
	n.coder.encode(n.input, s)
	switch {
	case n.heads.limited(n.space):
		n.net.MaskedBy(within(n.space.AllowedIn(s))).Act(n.choice, n.input)
	case n.mask != nil:
		n.heads.mask(n.mask, n.space, s)
		n.net.Masked(n.mask).Act(n.choice, n.input)
	default:
		n.net.Act(n.choice, n.input)
	}
	n.action = n.heads.action(n.space, n.action, n.choice)
	return n.action, nil
}

// Clone returns a policy of the same network for another goroutine.
func (n *Network) Clone() (*Network, error) { return newNetwork(n.net, n.space, n.coder, n.heads) }

// Description is what a policy file says besides the network.
type Description struct {
	Space       *mesh.Space `json:"space"`
	Observation Observation `json:"observation"`
	Loads       load.Ranges `json:"loads"`           // that it was trained for
	Goals       []float64   `json:"goals,omitempty"` // of the response times, s
	Heads       Heads       `json:"heads"`
}

// Description says what the policy decides, and by what.
func (n *Network) Description() Description {
	return Description{n.space, n.coder.Observation, n.coder.Loads, n.coder.Goals, n.heads}
}

// Trained is the network itself. Its Metadata are saved with the policy.
func (n *Network) Trained() *ppo.Policy { return n.net }

const cardKey = "meshbench"

// Save writes the policy to a file that Load reads: a zip with the network's
// weights and a readable description. It is written whole or not at all.
func (n *Network) Save(path string) error {
	c, err := json.Marshal(n.Description())
	if err != nil {
		return fmt.Errorf("learner: describe %s: %w", path, err)
	}
	return n.net.SaveWith(path, map[string]string{cardKey: string(c)})
}

// Load reads a policy for the actions of space. It is an error when the file
// is damaged, of a newer version, or made for another mesh or other actions.
func Load(path string, space *mesh.Space) (*Network, error) {
	return read(path, func(of *mesh.Space) (*mesh.Space, error) {
		if of == nil || !of.Same(space) || !slices.Equal(of.Choices(), space.Choices()) {
			return nil, fmt.Errorf("learner: %s is for %s, not for %s", path, describe(of), describe(space))
		}
		return space, nil
	})
}

// Open reads a policy for whatever actions it was made for.
func Open(path string) (*Network, error) {
	return read(path, func(of *mesh.Space) (*mesh.Space, error) {
		if of == nil {
			return nil, fmt.Errorf("learner: %s is for %s", path, describe(of))
		}
		return of, nil
	})
}

// read reads a policy; accept returns the space that it is used for, given that
// of the file.
func read(path string, accept func(of *mesh.Space) (*mesh.Space, error)) (*Network, error) {
	net, err := ppo.Load(path)
	if err != nil {
		return nil, err
	}
	text, ok := net.Metadata[cardKey]
	if !ok {
		return nil, fmt.Errorf("learner: %s does not say which mesh it is for; use ppo.Load and NewNetwork", path)
	}
	var c Description
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, fmt.Errorf("learner: %s: description: %w", path, err)
	}
	space, err := accept(c.Space)
	if err != nil {
		return nil, err
	}
	if len(c.Loads) != space.Mesh().M() || c.Observation.Delays && len(c.Goals) != space.Mesh().M() {
		return nil, fmt.Errorf("learner: %s: description: loads of %d services, goals of %d; the mesh has %d", path, len(c.Loads), len(c.Goals), space.Mesh().M())
	}
	n, err := newNetwork(net, space, newCoder(c.Observation, c.Loads, c.Goals, space), c.Heads)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

func describe(s *mesh.Space) string {
	if s == nil {
		return "no mesh"
	}
	return fmt.Sprintf("%s with %v points", s, s.Choices())
}
