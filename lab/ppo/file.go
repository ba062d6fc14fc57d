package ppo

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Files are zip archives of a JSON header, arrays of little-endian float32 and
// SHA256SUMS, which `sha256sum -c` checks after unpacking.

const (
	formatVersion = 1 // of both kinds of file
	sumsName      = "SHA256SUMS"
	weightsName   = "weights.f32"
	maxEntry      = 4 * maxWeights
)

// policyHeader is policy.json.
type policyHeader struct {
	Format     string            `json:"format"` // policyFormat
	Version    int               `json:"version"`
	Obs        int               `json:"observation"`
	Heads      []int             `json:"heads"`
	Hidden     []int             `json:"hidden"`
	Chained    bool              `json:"autoregressive,omitempty"`
	Activation string            `json:"activation"`
	Tensors    []tensor          `json:"tensors"`
	Metadata   map[string]string `json:"metadata,omitempty"`
}

const (
	policyFormat = "meshbench policy"
	policyName   = "policy.json"
)

// tensor is one array of weights.f32, row-major, in the order of the list. A
// layer computes observation · weight + bias.
type tensor struct {
	Name  string `json:"name"`
	Shape []int  `json:"shape"`
}

// tensors lists the arrays that pack writes.
func (s shape) tensors() []tensor {
	var list []tensor
	add := func(name string, in, out int) {
		list = append(list, tensor{name + ".weight", []int{in, out}}, tensor{name + ".bias", []int{out}})
	}
	stack := func(name string, outs ...int) (in int) {
		in = s.obs
		for i, width := range append(slices.Clone(s.hidden), outs...) {
			add(fmt.Sprintf("%s.%d", name, i), in, width)
			in = width
		}
		return in
	}
	if s.chained {
		in, before := stack("policy"), 0
		for h, n := range s.heads {
			if h > 0 {
				list = append(list, tensor{fmt.Sprintf("policy.head.%d.earlier", h), []int{before, in}})
			}
			add(fmt.Sprintf("policy.head.%d", h), in, n)
			before += n
		}
	} else {
		stack("policy", s.choices())
	}
	stack("value", 1)
	return list
}

// rows calls f with every row of every array of w, without padding.
func (w *weights) rows(f func(row []float32)) {
	for _, l := range w.all() {
		for i := range l.in {
			f(l.w[i*l.ld:][:l.out])
		}
		if l.b != nil {
			f(l.b[:l.out])
		}
	}
}

// pack returns w's arrays without padding.
func (w *weights) pack() []byte {
	var b []byte
	w.rows(func(row []float32) { b = appendFloats(b, row) })
	return b
}

// unpack is pack's inverse; b has the right length.
func (w *weights) unpack(b []byte) error {
	var err error
	w.rows(func(row []float32) {
		readFloats(row, b)
		b = b[4*len(row):]
		if i := notFinite(row); i >= 0 && err == nil {
			err = fmt.Errorf("a weight is %v, want finite numbers", row[i])
		}
	})
	return err
}

func appendFloats(b []byte, x []float32) []byte {
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func readFloats(x []float32, b []byte) {
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
}

// Save writes the policy to a file: a zip archive of policy.json (version,
// spaces, list of arrays, metadata), weights.f32 (little-endian float32) and
// SHA256SUMS. The file appears complete or not at all.
func (p *Policy) Save(path string) error {
	header := policyHeader{
		Format: policyFormat, Version: formatVersion, Obs: p.shape.obs, Heads: p.shape.heads, Hidden: p.shape.hidden,
		Chained: p.shape.chained, Activation: "tanh", Tensors: p.shape.tensors(), Metadata: p.Metadata,
	}
	text, err := json.MarshalIndent(header, "", "  ")
	if err == nil {
		err = writeArchive(path, map[string][]byte{policyName: append(text, '\n'), weightsName: p.weights.pack()})
	}
	if err != nil {
		return fmt.Errorf("ppo: saving policy %s: %w", path, err)
	}
	return nil
}

// Load reads a policy that [Policy.Save] wrote. A file that is truncated,
// changed, of a newer version or of inconsistent shape is an error.
func Load(path string) (*Policy, error) {
	p, err := load(path)
	if err != nil {
		return nil, fmt.Errorf("ppo: loading policy %s: %w", path, err)
	}
	return p, nil
}

// LoadFor is [Load] for an environment: a policy for other spaces is an error.
func LoadFor(path string, env Env) (*Policy, error) {
	p, err := Load(path)
	if err != nil {
		return nil, err
	}
	if obs, heads := env.Spaces(); obs != p.shape.obs || !slices.Equal(heads, p.shape.heads) {
		return nil, fmt.Errorf("ppo: loading policy %s: it maps %d observations to heads %v, want %d and %v", path, p.shape.obs, p.shape.heads, obs, heads)
	}
	return p, nil
}

func load(path string) (*Policy, error) {
	files, err := readArchive(path)
	if err != nil {
		return nil, err
	}
	var h policyHeader
	if err := readHeader(files, policyName, policyFormat, &h); err != nil {
		return nil, err
	}
	s := shape{obs: h.Obs, heads: h.Heads, hidden: h.Hidden, chained: h.Chained}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", policyName, err)
	}
	if h.Activation != "tanh" {
		return nil, fmt.Errorf("%s: activation %q, want \"tanh\"", policyName, h.Activation)
	}
	if !slices.EqualFunc(h.Tensors, s.tensors(), func(a, b tensor) bool { return a.Name == b.Name && slices.Equal(a.Shape, b.Shape) }) {
		return nil, fmt.Errorf("%s: tensors do not fit an observation of %d, hidden layers %v and heads %v", policyName, s.obs, s.hidden, s.heads)
	}
	data, err := s.entry(files, weightsName)
	if err != nil {
		return nil, err
	}
	p := newPolicy(s, newWeights(s))
	if err := p.weights.unpack(data); err != nil {
		return nil, fmt.Errorf("%s: %w", weightsName, err)
	}
	maps.Copy(p.Metadata, h.Metadata)
	return p, nil
}

// check returns an error unless networks can be built for the shape.
func (s shape) check() error {
	if err := checkSpaces(s.obs, s.heads); err != nil {
		return err
	}
	for _, w := range s.hidden {
		if w < 1 || w > maxObs {
			return fmt.Errorf("hidden layer of width %d, want 1 to %d", w, maxObs)
		}
	}
	if s.chained && len(s.hidden) == 0 {
		return errors.New("an autoregressive policy without a hidden layer")
	}
	if n := s.size(); n > maxWeights {
		return fmt.Errorf("networks of %d weights, want at most %d", n, maxWeights)
	}
	return nil
}

// entry returns an archive's entry of as many float32 as the shape has weights.
func (s shape) entry(files map[string][]byte, name string) ([]byte, error) {
	data, ok := files[name]
	if !ok {
		return nil, fmt.Errorf("no %s in the archive", name)
	}
	if len(data) != 4*s.size() {
		return nil, fmt.Errorf("%s has %d bytes, want %d: %d weights of 4 bytes", name, len(data), 4*s.size(), s.size())
	}
	return data, nil
}

// readHeader reads a JSON entry after checking its format and version.
func readHeader(files map[string][]byte, name, format string, header any) error {
	text, ok := files[name]
	if !ok {
		return fmt.Errorf("no %s in the archive, want a %s", name, format)
	}
	var is struct {
		Format  string
		Version int
	}
	switch err := json.Unmarshal(text, &is); {
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case is.Format != format:
		return fmt.Errorf("%s: format %q, want %q", name, is.Format, format)
	case is.Version < 1 || is.Version > formatVersion:
		return fmt.Errorf("%s: version %d, this program reads 1 to %d", name, is.Version, formatVersion)
	}
	if err := json.Unmarshal(text, header); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// writeArchive writes entries and their checksums to a zip file, by way of a
// temporary file in the same folder. The same entries give the same bytes.
func writeArchive(path string, entries map[string][]byte) error {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	write := func(name string, data []byte) error {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate})
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	var sums strings.Builder
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(entries[name]), name)
		if err := write(name, entries[name]); err != nil {
			return err
		}
	}
	if err := write(sumsName, []byte(sums.String())); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename
	_, err = f.Write(buf.Bytes())
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// readArchive reads a file that writeArchive wrote.
func readArchive(path string) (map[string][]byte, error) {
	z, err := zip.OpenReader(path)
	if errors.Is(err, zip.ErrFormat) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, errors.New("not a complete zip archive")
	}
	if err != nil {
		return nil, err
	}
	defer z.Close()
	files := map[string][]byte{}
	for _, f := range z.File {
		if f.UncompressedSize64 > maxEntry {
			return nil, fmt.Errorf("%s has %d bytes, want at most %d", f.Name, f.UncompressedSize64, maxEntry)
		}
		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		data, err := io.ReadAll(io.LimitReader(r, maxEntry+1))
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		files[f.Name] = data
	}
	sums, ok := files[sumsName]
	if !ok {
		return nil, fmt.Errorf("no %s in the archive", sumsName)
	}
	delete(files, sumsName)
	want := map[string]string{}
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		want[name] = sum
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256(files[name])
		if hex.EncodeToString(sum[:]) != want[name] {
			return nil, fmt.Errorf("%s does not have the checksum in %s: the file was damaged or changed", name, sumsName)
		}
	}
	return files, nil
}
