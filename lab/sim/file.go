package sim

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"meshbench/lab/forest"
	"meshbench/lab/internal/atomicfile"
	"meshbench/lab/mesh"
)

const modelVersion = 1

// modelCard is model.json in a model's file.
type modelCard struct {
	Version int       `json:"version"`
	Mesh    mesh.Mesh `json:"mesh"`
	Kind    Kind      `json:"kind"`
	Levels  int       `json:"levels"`
	Forests int       `json:"forests"`
}

// Save writes the model to a zip file of its forests and a readable
// description, whole or not at all.
func (m *Model) Save(path string) error {
	card, err := json.MarshalIndent(modelCard{modelVersion, mesh.Mesh{Services: m.mesh.ServiceNames(), Nodes: m.mesh.NodeNames()},
		m.kind, m.space.Levels(), len(m.forests)}, "", " ")
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
	for k, f := range m.forests {
		var data []byte
		if data, err = f.MarshalBinary(); err == nil {
			err = put(fmt.Sprintf("forest%d", k), data)
		}
		if err != nil {
			break
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
	case card.Kind != Measured && card.Kind != AsPublished || card.Levels < 2:
		return nil, errors.New("model.json does not describe a model")
	}
	model := newModel(m, card.Kind, card.Levels)
	outputs := 0
	for k := range card.Forests {
		data, err := get(fmt.Sprintf("forest%d", k))
		if err != nil {
			return nil, err
		}
		f := new(forest.Forest)
		if err := f.UnmarshalBinary(data); err != nil {
			return nil, fmt.Errorf("forest %d: %w", k, err)
		}
		if len(f.Features()) != len(m.FeatureNames()) {
			return nil, fmt.Errorf("forest %d has %d inputs, %s needs %d", k, len(f.Features()), m, len(m.FeatureNames()))
		}
		outputs += len(f.Outputs())
		model.forests = append(model.forests, f)
	}
	if outputs != len(model.targets) {
		return nil, fmt.Errorf("its forests predict %d targets, a model of kind %q has %d", outputs, card.Kind, len(model.targets))
	}
	return model, nil
}
