package sim

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/mesh"
)

const modelVersion = 2

// modelCard is model.json in a model's file.
type modelCard struct {
	Version   int       `json:"version"`
	Mesh      mesh.Mesh `json:"mesh"`
	Kind      Kind      `json:"kind"`
	Structure Structure `json:"structure"`
	Median    float64   `json:"median,omitempty"`
	Levels    int       `json:"levels"`
	Forests   int       `json:"forests"`
	Seconds   float64   `json:"stepSeconds,omitempty"` // of structure PerNode
}

// Save writes the model to a zip file of its forests and a readable
// description, whole or not at all.
func (m *Model) Save(path string) error {
	c := modelCard{Version: modelVersion, Mesh: mesh.Mesh{Services: m.mesh.ServiceNames(), Nodes: m.mesh.NodeNames()},
		Kind: m.kind, Structure: m.Structure(), Median: m.median, Levels: m.space.Levels(), Forests: len(m.Forests())}
	if m.nodes != nil {
		c.Seconds = m.nodes.seconds
	}
	card, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return fmt.Errorf("sim: save model %s: %w", path, err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	put := func(name string, data []byte) error {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store}) // forests are compressed already
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	err = put("model.json", card)
	for k, f := range m.Forests() {
		var data []byte
		if data, err = f.MarshalBinary(); err == nil {
			err = put(fmt.Sprintf("forest%d", k), data)
		}
		if err != nil {
			break
		}
	}
	if m.nodes != nil {
		for k, d := range m.nodes.delays {
			if err == nil {
				var data []byte
				data, err = binary.Append(nil, binary.LittleEndian, d.count)
				err = errors.Join(err, put(fmt.Sprintf("count%d", k), data))
			}
		}
	}
	if err == nil {
		err = z.Close()
	}
	if err == nil {
		err = atomicfile.Write(path, b.Bytes())
	}
	if err != nil {
		return fmt.Errorf("sim: save model %s: %w", path, err)
	}
	return nil
}

// LoadModel reads a model of mesh m: the same predictions as the one saved. It
// is an error when the file is damaged, of a newer version or for another mesh.
func LoadModel(path string, m mesh.Mesh) (*Model, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("sim: load model: %w", err)
	}
	model, err := unpack(b, m)
	if err != nil {
		return nil, fmt.Errorf("sim: load model %s: %w", path, err)
	}
	return model, nil
}

func unpack(b []byte, m mesh.Mesh) (*Model, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("it is truncated or not a model's file: %w", err)
	}
	get := func(name string) ([]byte, error) {
		f, err := z.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(f)
	}
	text, err := get("model.json")
	if err != nil {
		return nil, err
	}
	var card modelCard
	if err := json.Unmarshal(text, &card); err != nil {
		return nil, fmt.Errorf("model.json: %w", err)
	}
	switch {
	case card.Version != modelVersion:
		return nil, fmt.Errorf("it has version %d of the format; this program reads version %d", card.Version, modelVersion)
	case card.Mesh.String() != m.String():
		return nil, fmt.Errorf("it is for %s, not for %s", card.Mesh, m)
	case card.Kind != Measured && card.Kind != AsPublished || card.Levels < 2, !(card.Median >= 0 && card.Median <= 1),
		card.Structure != Joint && (card.Structure != PerNode || card.Kind != Measured || !(card.Seconds > 0)):
		return nil, errors.New("model.json does not describe a model")
	}
	model := newModel(m, card.Kind, card.Levels)
	var forests []*forest.Forest
	for k := range card.Forests {
		data, err := get(fmt.Sprintf("forest%d", k))
		if err != nil {
			return nil, err
		}
		f := new(forest.Forest)
		if err := f.UnmarshalBinary(data); err != nil {
			return nil, fmt.Errorf("forest %d: %w", k, err)
		}
		forests = append(forests, f)
	}
	if card.Structure == PerNode {
		model.nodes, err = unpackPerNode(m, card.Seconds, forests, get)
		return model, err
	}
	outputs := 0
	for k, f := range forests {
		if len(f.Features()) != len(m.FeatureNames()) {
			return nil, fmt.Errorf("forest %d has %d inputs, %s needs %d", k, len(f.Features()), m, len(m.FeatureNames()))
		}
		outputs += len(f.Outputs())
	}
	model.forests, model.median = forests, card.Median
	if outputs != len(model.targets) {
		return nil, fmt.Errorf("its forests predict %d targets, a model of kind %q has %d", outputs, card.Kind, len(model.targets))
	}
	return model, nil
}

// unpackPerNode puts a model of structure PerNode together; get reads an entry
// of its file.
func unpackPerNode(m mesh.Mesh, seconds float64, forests []*forest.Forest, get func(string) ([]byte, error)) (*perNode, error) {
	delays := m.M() * m.N()
	if len(forests) != delays+m.M() {
		return nil, fmt.Errorf("it has %d forests, %s needs %d", len(forests), m, delays+m.M())
	}
	for k, f := range forests {
		inputs := m.M()
		if k >= delays {
			inputs = 2
		}
		if len(f.Features()) != inputs || len(f.Outputs()) != 1 {
			return nil, fmt.Errorf("forest %d has %d inputs and %d outputs, not %d and 1", k, len(f.Features()), len(f.Outputs()), inputs)
		}
	}
	p := &perNode{mesh: m, seconds: seconds, carried: forests[delays:]}
	for k, f := range forests[:delays] {
		data, err := get(fmt.Sprintf("count%d", k))
		if err != nil {
			return nil, err
		}
		d := &nodeDelay{forest: f, count: make([]float64, f.Rows())}
		if _, err := binary.Decode(data, binary.LittleEndian, d.count); err != nil {
			return nil, fmt.Errorf("counts of forest %d: %w", k, err)
		}
		d.prepare()
		p.delays = append(p.delays, d)
	}
	return p, nil
}
