package policy

import (
	"encoding/json"
	"fmt"

	"meshbench/lab/mesh"
	"meshbench/lab/ppo"
	"meshbench/lab/sim"
)

// Learned is a policy that was trained by PPO, acting deterministically.
type Learned struct {
	net    *ppo.Policy
	space  *mesh.Space
	obs    sim.Observation
	input  []float32
	choice []int
}

// NewLearned makes a policy of a trained network for the actions of space,
// with the observation that it was trained on.
func NewLearned(net *ppo.Policy, space *mesh.Space, obs sim.Observation) (*Learned, error) {
	inputs, heads := net.Spaces()
	if want := obs.Len(space.Mesh().M()); inputs != want || !sameInts(heads, space.Heads()) {
		return nil, fmt.Errorf("policy: the network takes %d inputs and has heads %v; %s with %d levels takes %d and has %v",
			inputs, heads, space.Mesh(), space.Levels(), want, space.Heads())
	}
	return &Learned{net: net, space: space, obs: obs, input: make([]float32, inputs), choice: make([]int, len(heads))}, nil
}

func sameInts(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// Name is "ppo".
func (p *Learned) Name() string { return "ppo" }

// Reset does nothing: the policy is deterministic.
func (p *Learned) Reset(uint64) {}

// Act returns the most probable action.
func (p *Learned) Act(s mesh.State) (mesh.Action, error) {
	p.obs.Encode(p.input, s)
	p.net.Act(p.choice, p.input)
	return p.space.At(p.space.FromChoice(p.choice)), nil
}

// card is what a policy file says besides the network.
type card struct {
	Mesh        mesh.Mesh       `json:"mesh"`
	Levels      int             `json:"levels"`
	Observation sim.Observation `json:"observation"`
}

const cardKey = "meshbench"

// Save writes the policy to a file that Load reads: a zip with the network's
// weights and a readable description. It is written whole or not at all.
func (p *Learned) Save(path string) error {
	c, err := json.Marshal(card{
		Mesh:   mesh.Mesh{Services: p.space.Mesh().ServiceNames(), Nodes: p.space.Mesh().NodeNames()},
		Levels: p.space.Levels(), Observation: p.obs,
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
	p, err := NewLearned(net, space, c.Observation)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}
