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
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
)

// Files are zip archives of a JSON header, arrays of little-endian numbers and
// SHA256SUMS, which `sha256sum -c` checks after unpacking. The archive's comment
// is a checksum of all bytes before it, so that no change goes unnoticed.
//
// Version 1 had no comment, compressed the arrays, knew no autoregressive
// policies and kept the choices, masks and ends of a checkpoint's steps in its
// header. It can still be read.

const (
	formatVersion = 2 // of both kinds of file
	sumsName      = "SHA256SUMS"
	weightsName   = "weights.f32"

	sealPrefix = "sha256 of all bytes before these digits: "
	sealDigits = 2 * sha256.Size

	// maxUnpacked limits what all compressed entries of a file unpack to: headers,
	// and the arrays of version 1. Other arrays are stored as they are, so that
	// no file takes much more memory than it has bytes.
	maxUnpacked = 64 << 20
)

// entryNames are all entries of policies and checkpoints.
var entryNames = []string{
	policyName, checkpointName, sumsName, weightsName, firstMoment, secondMoment,
	rolloutName, choiceName, doneName, maskName,
}

// policyHeader is policy.json.
type policyHeader struct {
	Format     string            `json:"format"` // policyFormat
	Version    int               `json:"version"`
	Obs        int               `json:"observation"`
	Heads      []int             `json:"heads"`
	Hidden     []int             `json:"hidden"`
	Chained    bool              `json:"autoregressive,omitempty"`
	Immediate  bool              `json:"immediate,omitempty"`
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
	stack("value", s.values())
	return list
}

// Array is one array of a policy's file, row-major. A layer computes observation ·
// weight + bias.
type Array struct {
	Name   string // for instance "policy.0.weight"
	Shape  []int
	Values []float32
}

// Arrays returns the weights of both networks, in the order of the file.
func (p *Policy) Arrays() []Array {
	var out []Array
	rest := p.weights.pack()
	for _, t := range p.shape.tensors() {
		n := 1
		for _, d := range t.Shape {
			n *= d
		}
		a := Array{t.Name, t.Shape, make([]float32, n)}
		readFloats(a.Values, rest)
		rest = rest[4*n:]
		out = append(out, a)
	}
	return out
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
func (p *Policy) Save(path string) error { return p.SaveWith(path, nil) }

// SaveWith is Save with entries of its own beside Metadata, or in place of those
// of the same key.
func (p *Policy) SaveWith(path string, more map[string]string) error {
	metadata := maps.Clone(p.Metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	maps.Copy(metadata, more)
	header := policyHeader{
		Format: policyFormat, Version: formatVersion, Obs: p.shape.obs, Heads: p.shape.heads, Hidden: p.shape.hidden,
		Chained: p.shape.chained, Immediate: p.shape.immediate, Activation: "tanh", Tensors: p.shape.tensors(), Metadata: metadata,
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
	data, err := regular.ReadFile(path, regular.Any)
	if err != nil {
		return nil, err
	}
	return parsePolicy(data)
}

// parsePolicy reads the bytes of a policy's file.
func parsePolicy(file []byte) (*Policy, error) {
	files, err := parseArchive(file)
	if err != nil {
		return nil, err
	}
	var h policyHeader
	if err := files.header(policyName, policyFormat, &h); err != nil {
		return nil, err
	}
	s := shape{obs: h.Obs, heads: h.Heads, hidden: h.Hidden, chained: h.Chained, immediate: h.Immediate}
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
	if len(s.hidden) > maxHeads {
		return fmt.Errorf("%d hidden layers, want at most %d", len(s.hidden), maxHeads)
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
func (s shape) entry(files archive, name string) ([]byte, error) {
	data, ok := files.entries[name]
	if !ok {
		return nil, fmt.Errorf("no %s in the archive", name)
	}
	if len(data) != 4*s.size() {
		return nil, fmt.Errorf("%s has %d bytes, want %d: %d weights of 4 bytes", name, len(data), 4*s.size(), s.size())
	}
	return data, nil
}

// archive is what a file holds, after its checksums were compared.
type archive struct {
	entries map[string][]byte // but SHA256SUMS
	sealed  bool              // the file ends in a checksum of the whole
}

// header reads a JSON entry after checking its format and version.
func (a archive) header(name, format string, header any) error {
	text, ok := a.entries[name]
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
	case is.Version > 1 && !a.sealed:
		return errors.New("no checksum at the end of the file: it was damaged or changed")
	}
	if err := json.Unmarshal(text, header); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// writeArchive writes entries and their checksums to a zip file. The same entries
// give the same bytes.
func writeArchive(path string, entries map[string][]byte) error {
	data, err := packArchive(entries)
	if err != nil {
		return err
	}
	return atomicfile.Write(path, data)
}

// packArchive returns the bytes of the file that writeArchive writes.
func packArchive(entries map[string][]byte) ([]byte, error) {
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	write := func(name string, data []byte) error {
		method := zip.Store
		if packed(name) {
			method = zip.Deflate
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	var sums strings.Builder
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(entries[name]), name)
		if err := write(name, entries[name]); err != nil {
			return nil, err
		}
	}
	if err := write(sumsName, []byte(sums.String())); err != nil {
		return nil, err
	}
	if err := z.SetComment(sealPrefix + strings.Repeat("0", sealDigits)); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	data := buf.Bytes()
	body := data[:len(data)-sealDigits]
	sum := sha256.Sum256(body)
	hex.Encode(data[len(body):], sum[:])
	return data, nil
}

// packed says whether an entry is compressed.
func packed(name string) bool { return strings.HasSuffix(name, ".json") }

func readArchive(path string) (archive, error) {
	data, err := regular.ReadFile(path, regular.Any)
	if err != nil {
		return archive{}, err
	}
	return parseArchive(data)
}

// parseArchive reads the bytes of a file that writeArchive wrote.
func parseArchive(file []byte) (archive, error) {
	a := archive{entries: map[string][]byte{}}
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return a, errors.New("not a complete zip archive")
	}
	if digits, ok := strings.CutPrefix(z.Comment, sealPrefix); ok {
		sum := sha256.Sum256(file[:max(0, len(file)-sealDigits)])
		if digits != hex.EncodeToString(sum[:]) {
			return a, errors.New("the file does not have the checksum at its end: it was damaged or changed")
		}
		a.sealed = true
	} else if z.Comment != "" {
		return a, errors.New("no checksum at the end of the file: it was damaged or changed")
	}
	unpacked := 0
	for _, f := range z.File {
		if !slices.Contains(entryNames, f.Name) || a.entries[f.Name] != nil {
			return a, fmt.Errorf("entry %q in the archive is not expected there", f.Name)
		}
		data, err := unpack(f, len(file), maxUnpacked-unpacked, a.sealed && !packed(f.Name))
		if err != nil {
			return a, fmt.Errorf("%s: %w", f.Name, err)
		}
		if f.Method != zip.Store {
			unpacked += len(data)
		}
		a.entries[f.Name] = data
	}
	sums, ok := a.entries[sumsName]
	if !ok {
		return a, fmt.Errorf("no %s in the archive", sumsName)
	}
	delete(a.entries, sumsName)
	want := map[string]string{}
	for line := range strings.Lines(string(sums)) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		want[name] = sum
	}
	for _, name := range slices.Sorted(maps.Keys(a.entries)) {
		sum := sha256.Sum256(a.entries[name])
		if hex.EncodeToString(sum[:]) != want[name] {
			return a, fmt.Errorf("%s does not have the checksum in %s: the file was damaged or changed", name, sumsName)
		}
	}
	return a, nil
}

// unpack returns the bytes of an entry of a file of size bytes: of one that is
// stored as it is no more than there are, else at most limit.
func unpack(f *zip.File, size, limit int, stored bool) ([]byte, error) {
	switch {
	case stored && f.Method != zip.Store:
		return nil, errors.New("compressed, want it stored as it is")
	case f.Method == zip.Store:
		limit = size
	}
	if f.UncompressedSize64 > uint64(limit) {
		return nil, fmt.Errorf("%d bytes claimed, want at most %d", f.UncompressedSize64, limit)
	}
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(data) > limit {
		return nil, fmt.Errorf("more than %d bytes", limit)
	}
	if data == nil {
		data = []byte{}
	}
	return data, nil
}
