package model

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/meshbench/meshbench/lab/forest"
	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/mesh"
)

// A model's file is a zip: model.json, which is the card below, then forest0,
// forest1, ... in the order of Forests, and for structure "per node" count0, ...
// with the answered requests of each forest's training rows (little-endian
// float64), on nodes of a mix as a share of those that were sent. Entries are stored, and checked by their CRC.

const modelVersion = 5

// maxEntry bounds an entry of a model's file, bytes.
const maxEntry = 1 << 30

// card is model.json in a model's file.
type card struct {
	Version   int             `json:"version"`
	Space     json.RawMessage `json:"space"`
	Kind      Kind            `json:"kind"`
	Structure Structure       `json:"structure"`
	Median    float64         `json:"median,omitempty"`
	Forests   int             `json:"forests"`
	Missing   []int           `json:"unmeasured,omitempty"`  // joint: endpoints without a forest
	Seconds   float64         `json:"stepSeconds,omitempty"` // of the trace
	Mix       [][][]float64   `json:"mix,omitempty"`         // per node: see host
}

// Save writes the model to a file that Load reads, whole or not at all.
func (m *Joint) Save(path string) error {
	return save(path, m, card{Median: m.median, Seconds: m.seconds, Missing: m.unmeasured}, nil)
}

// Save writes the model to a file that Load reads, whole or not at all.
func (p *PerNode) Save(path string) error {
	c := card{Seconds: p.seconds}
	for _, h := range p.hosts {
		c.Mix = append(c.Mix, h.mix)
	}
	return save(path, p, c, p.delays)
}

func save(path string, m Learned, c card, delays []*nodeDelay) error {
	c.Version, c.Kind, c.Structure, c.Forests = modelVersion, m.Kind(), m.Structure(), len(m.Forests())
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	put := func(name string, data []byte) error {
		// Forests are compressed already.
		w, err := z.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Store, CRC32: crc32.ChecksumIEEE(data),
			CompressedSize64: uint64(len(data)), UncompressedSize64: uint64(len(data))})
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	write := func() (err error) {
		if c.Space, err = json.Marshal(m.Space()); err != nil {
			return err
		}
		text, err := json.MarshalIndent(c, "", " ")
		if err != nil {
			return err
		}
		if err := put("model.json", text); err != nil {
			return err
		}
		for k, f := range m.Forests() {
			data, err := f.MarshalBinary()
			if err == nil {
				err = put(fmt.Sprintf("forest%d", k), data)
			}
			if err != nil {
				return err
			}
		}
		for k, d := range delays {
			data, err := binary.Append(nil, binary.LittleEndian, d.count)
			if err == nil {
				err = put(fmt.Sprintf("count%d", k), data)
			}
			if err != nil {
				return err
			}
		}
		if err := z.Close(); err != nil {
			return err
		}
		return atomicfile.Write(path, b.Bytes())
	}
	if err := write(); err != nil {
		return fmt.Errorf("model: save %s: %w", path, err)
	}
	return nil
}

// Load reads a model of what space says: the same predictions as the one saved.
// It is an error when the file is damaged, of another version or for another
// mesh or other knobs.
func Load(path string, space *mesh.Space) (Learned, error) {
	b, err := regular.ReadFile(path, regular.Any)
	if err != nil {
		return nil, fmt.Errorf("model: load: %w", err)
	}
	m, err := unpack(b, space)
	if err != nil {
		return nil, fmt.Errorf("model: load %s: %w", path, err)
	}
	return m, nil
}

// Open reads a model of whatever mesh and knobs it is for. See Load for the
// errors.
func Open(path string) (Learned, error) { return Load(path, nil) }

// unpack reads a model for space, or for the file's own where that is nil.
func unpack(b []byte, space *mesh.Space) (Learned, error) {
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
		// Entries are stored: none is larger than the file.
		data, err := io.ReadAll(io.LimitReader(f, min(int64(len(b)), maxEntry)+1))
		if err == nil && len(data) > len(b) {
			err = errors.New("it is larger than its file")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return data, nil
	}
	text, err := get("model.json")
	if err != nil {
		return nil, err
	}
	var c card
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("model.json: %w", err)
	}
	if c.Version != modelVersion && c.Version != modelVersion-1 {
		return nil, fmt.Errorf("it has version %d of the format; this program reads versions %d and %d", c.Version, modelVersion-1, modelVersion)
	}
	var of mesh.Space
	if err := json.Unmarshal(c.Space, &of); err != nil {
		return nil, fmt.Errorf("model.json: %w", err)
	}
	if space == nil {
		space = &of
	}
	switch {
	case !of.Same(space):
		return nil, fmt.Errorf("it is for %s, not for %s", &of, space)
	case c.Kind < Measured || c.Kind > Tails, !(c.Seconds >= 0), !(c.Median >= 0 && c.Median <= 1), c.Forests < 1 || c.Forests > len(z.File),
		c.Structure != JointInputs && (c.Structure != NodeInputs || c.Kind != Measured || !(c.Seconds > 0)):
		return nil, errors.New("model.json does not describe a model")
	}
	var forests []*forest.Forest
	for k := range c.Forests {
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
	if c.Structure == NodeInputs {
		return unpackPerNode(space, c, forests, get)
	}
	outputs := 0
	for k, f := range forests {
		if len(f.Features()) != len(space.FeatureNames()) {
			return nil, fmt.Errorf("forest %d has %d inputs, %s needs %d", k, len(f.Features()), space, len(space.FeatureNames()))
		}
		outputs += len(f.Outputs())
	}
	for k, e := range c.Missing {
		if e < 0 || e >= len(space.Layout().Endpoints) || k > 0 && e <= c.Missing[k-1] || !c.Kind.measured() {
			return nil, fmt.Errorf("unmeasured endpoints %v; accepted: numbers of %d that rise", c.Missing, len(space.Layout().Endpoints))
		}
	}
	outputs += len(c.Missing)
	m := newJoint(space, c.Kind, forests, c.Missing, c.Median, c.Seconds)
	if outputs != m.targets || c.Kind.measured() && len(forests)+len(c.Missing) != outputs {
		return nil, fmt.Errorf("its %d forests predict %d targets, a model of kind %q has %d", len(forests), outputs, c.Kind, m.targets)
	}
	return m, nil
}

// unpackPerNode puts a model of structure "per node" together; get reads an
// entry of its file.
func unpackPerNode(space *mesh.Space, c card, forests []*forest.Forest, get func(string) ([]byte, error)) (*PerNode, error) {
	if err := checkConfigs(space); err != nil {
		return nil, err
	}
	p := newPerNode(space, c.Seconds)
	m := space.Mesh().M()
	if len(c.Mix) != len(p.hosts) {
		return nil, fmt.Errorf("it has %d nodes, the mesh has %d", len(c.Mix), len(p.hosts))
	}
	for j := range p.hosts {
		h := &p.hosts[j]
		h.mix = c.Mix[j]
		if want := h.inputs(); len(h.mix) != 0 && len(h.mix) != maxInputs || want > maxInputs {
			return nil, fmt.Errorf("node %d has %d inputs; accepted: at most %d", j+1, want, maxInputs)
		}
		for _, weights := range h.mix {
			if len(weights) != len(h.microservices) {
				return nil, fmt.Errorf("node %d has %d microservices, not %d", j+1, len(h.microservices), len(weights))
			}
		}
	}
	var inputs []int
	for _, d := range p.delays {
		inputs = append(inputs, p.hosts[d.node].inputs())
	}
	for range m {
		inputs = append(inputs, 2)
	}
	for i, stages := range p.layout.Stages {
		o := &overlap{}
		for k, stage := range stages {
			if len(stage) > 1 {
				o.stages = append(o.stages, k)
			}
		}
		if o.stages != nil {
			p.overlap[i] = o
			inputs = append(inputs, 2)
		}
	}
	if len(forests) != len(inputs) {
		return nil, fmt.Errorf("it has %d forests, %s needs %d", len(forests), space, len(inputs))
	}
	for k, f := range forests {
		if len(f.Features()) != inputs[k] || len(f.Outputs()) != 1 {
			return nil, fmt.Errorf("forest %d has %d inputs and %d outputs, not %d and 1", k, len(f.Features()), len(f.Outputs()), inputs[k])
		}
	}
	p.carried = forests[len(p.delays) : len(p.delays)+m]
	rest := forests[len(p.delays)+m:]
	for _, o := range p.overlap {
		if o != nil {
			o.forest, rest = rest[0], rest[1:]
		}
	}
	for k, d := range p.delays {
		data, err := get(fmt.Sprintf("count%d", k))
		if err != nil {
			return nil, err
		}
		d.forest = forests[k]
		if len(data) != 8*d.forest.Rows() {
			return nil, fmt.Errorf("counts of forest %d have %d bytes; accepted: %d", k, len(data), 8*d.forest.Rows())
		}
		d.count = make([]float64, d.forest.Rows())
		if _, err := binary.Decode(data, binary.LittleEndian, d.count); err != nil {
			return nil, fmt.Errorf("counts of forest %d: %w", k, err)
		}
		d.prepare()
	}
	return p, nil
}
