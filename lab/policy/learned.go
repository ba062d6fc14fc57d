package policy

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/ppo"
	"github.com/meshbench/meshbench/lab/sim"
)

// Learned is a policy that was trained by PPO, acting deterministically.
type Learned struct {
	net    *ppo.Policy
	space  *mesh.Space
	obs    sim.Observation
	heads  sim.Heads
	input  []float32
	choice []int
}

// NewLearned makes a policy of a trained network for the actions of space,
// with the observation and the heads that it was trained with.
func NewLearned(net *ppo.Policy, space *mesh.Space, obs sim.Observation, heads sim.Heads) (*Learned, error) {
	inputs, choices := net.Spaces()
	if want := obs.Len(space.Mesh().M()); inputs != want || !slices.Equal(choices, heads.Of(space)) {
		return nil, fmt.Errorf("policy: the network takes %d inputs and has heads %v; %s with %d levels takes %d and has %v",
			inputs, choices, space.Mesh(), space.Levels(), want, heads.Of(space))
	}
	return &Learned{net: net, space: space, obs: obs, heads: heads, input: make([]float32, inputs), choice: make([]int, len(choices))}, nil
}

// Name is "ppo".
func (p *Learned) Name() string { return "ppo" }

// Reset does nothing: the policy is deterministic.
func (p *Learned) Reset(uint64) {}

// Act returns the most probable action.
func (p *Learned) Act(s mesh.State) (mesh.Action, error) {
	p.obs.Encode(p.input, s)
	p.net.Act(p.choice, p.input)
	return p.space.At(p.heads.Action(p.space, p.choice)), nil
}

// card is what a policy file says besides the network.
type card struct {
	Mesh        mesh.Mesh       `json:"mesh"`
	Levels      int             `json:"levels"`
	Observation sim.Observation `json:"observation"`
	Heads       sim.Heads       `json:"heads,omitempty"`
}

const cardKey = "meshbench"

// Save writes the policy to a file that Load reads: a zip with the network's
// weights and a readable description. It is written whole or not at all.
func (p *Learned) Save(path string) error {
	c, err := json.Marshal(card{
		Mesh:   mesh.Mesh{Services: p.space.Mesh().ServiceNames(), Nodes: p.space.Mesh().NodeNames()},
		Levels: p.space.Levels(), Observation: p.obs, Heads: p.heads,
	})
	if err != nil {
		return fmt.Errorf("policy: describe %s: %w", path, err)
	}
	if p.net.Metadata == nil {
		p.net.Metadata = map[string]string{}
	}
	p.net.Metadata[cardKey] = string(c)
	return p.net.Save(path)
}

// Load reads a policy for the actions of space. It is an error when the file
// is damaged, of a newer version, or made for another mesh or action space.
func Load(path string, space *mesh.Space) (*Learned, error) {
	net, err := ppo.Load(path)
	if err != nil {
		return nil, err
	}
	text, ok := net.Metadata[cardKey]
	if !ok {
		return nil, fmt.Errorf("policy: %s does not say which mesh it is for; use ppo.Load and NewLearned", path)
	}
	var c card
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, fmt.Errorf("policy: %s: description: %w", path, err)
	}
	if c.Mesh.String() != space.Mesh().String() || c.Levels != space.Levels() {
		return nil, fmt.Errorf("policy: %s is for %s with %d levels, not for %s with %d",
			path, c.Mesh, c.Levels, space.Mesh(), space.Levels())
	}
	p, err := NewLearned(net, space, c.Observation, c.Heads)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}
