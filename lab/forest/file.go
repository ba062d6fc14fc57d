package forest

import (
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"runtime"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
)

// A forest's file is a line of text with its format's version, the SHA-256 of
// the rest, and the rest compressed: a JSON header, levels, thresholds,
// training data and the splits of every tree. Which rows are in which leaf is
// not stored but found again, by sending each tree's bootstrap sample, which
// follows from the seed, down the tree.
const (
	magic   = "meshbench forest "
	version = 2
)

type fileHeader struct {
	Config                  Config            `json:"config"`
	Meta                    map[string]string `json:"meta"`
	Rows, Features, Outputs int
}

// Save writes the forest to a file, whole or not at all. A forest made by
// Transform is not saved: save the one that it was made of.
func (f *Forest) Save(path string) error {
	b, err := f.MarshalBinary()
	if err != nil {
		return fmt.Errorf("forest: save %s: %w", path, err)
	}
	if err := atomicfile.Write(path, b); err != nil {
		return fmt.Errorf("forest: save %s: %w", path, err)
	}
	return nil
}

// MarshalBinary returns what Save writes.
func (f *Forest) MarshalBinary() ([]byte, error) {
	if f.transformed {
		return nil, errors.New("a transformed forest cannot be saved; save the one that it was made of")
	}
	body, err := f.encode()
	if err != nil {
		return nil, err
	}
	head := fmt.Sprintf("%s%d\n%x\n", magic, version, sha256.Sum256(body))
	return append([]byte(head), body...), nil
}

func (f *Forest) encode() ([]byte, error) {
	d := f.data
	header, err := json.Marshal(fileHeader{f.cfg, f.Meta, d.rows, d.features, d.outputs})
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	z, err := flate.NewWriter(&buf, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	w := &fileWriter{w: bufio.NewWriterSize(z, 1<<16)}
	w.uint(uint64(len(header)))
	w.w.Write(header)
	for j, levels := range d.levels {
		w.floats(levels)
		w.floats(f.cuts[j])
	}
	for j := range d.features {
		for r := range d.rows {
			w.uint(uint64(d.codes[r*d.features+j]))
		}
	}
	w.floats(d.y)
	for _, t := range f.trees {
		w.uint(uint64(len(t)))
		for _, n := range t {
			w.w.WriteByte(n.feature())
			if !n.isLeaf() {
				w.uint(uint64(n.cut()))
			}
		}
	}
	if err := w.w.Flush(); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

type fileWriter struct {
	w       *bufio.Writer
	scratch [binary.MaxVarintLen64]byte
}

func (w *fileWriter) uint(v uint64) {
	w.w.Write(w.scratch[:binary.PutUvarint(w.scratch[:], v)])
}

func (w *fileWriter) floats(v []float64) {
	w.uint(uint64(len(v)))
	for _, x := range v {
		binary.LittleEndian.PutUint64(w.scratch[:8], math.Float64bits(x))
		w.w.Write(w.scratch[:8])
	}
}

// Load reads a forest that Save wrote: the same predictions, bit for bit. The
// error names the file and says whether it is no forest, of a newer version,
// truncated or damaged.
func Load(path string) (*Forest, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("forest: load: %w", err)
	}
	f := new(Forest)
	if err := f.UnmarshalBinary(b); err != nil {
		return nil, fmt.Errorf("forest: load %s: %w", path, err)
	}
	return f, nil
}

// UnmarshalBinary makes f the forest that MarshalBinary returned b for.
func (f *Forest) UnmarshalBinary(b []byte) error {
	first, rest, ok := bytes.Cut(b, []byte("\n"))
	var v int
	if n, _ := fmt.Sscanf(string(first), magic+"%d", &v); !ok || n != 1 {
		return fmt.Errorf("it is not a forest's file, which begins with %q", magic)
	}
	if v != version {
		return fmt.Errorf("it has version %d of the format; this program reads version %d", v, version)
	}
	sum, body, _ := bytes.Cut(rest, []byte("\n"))
	if want := fmt.Sprintf("%x", sha256.Sum256(body)); string(sum) != want {
		return errors.New("it is truncated or damaged: its checksum is not that of its content")
	}
	g, err := decode(body)
	if err != nil {
		return err
	}
	*f = *g
	return nil
}

var errFormat = errors.New("its content does not follow the format")

func decode(body []byte) (*Forest, error) {
	r := &fileReader{r: bufio.NewReaderSize(flate.NewReader(bytes.NewReader(body)), 1<<16)}
	text := make([]byte, r.count(1<<24))
	r.full(text)
	var h fileHeader
	if r.err != nil {
		return nil, r.err
	}
	if err := json.Unmarshal(text, &h); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if h.Rows < 1 || h.Features < 1 || h.Features > maxFeatures || h.Outputs < 1 || h.Rows > math.MaxInt32/h.Features || h.Rows > math.MaxInt32/h.Outputs || h.Config.Trees < 1 {
		return nil, errFormat
	}
	d := &training{rows: h.Rows, features: h.Features, outputs: h.Outputs, levels: make([][]float64, h.Features), codes: make([]uint32, h.Rows*h.Features)}
	f := &Forest{Meta: maps.Clone(h.Meta), cfg: h.Config, data: d}
	cuts := make([][]float64, h.Features)
	for j := range d.levels {
		d.levels[j], cuts[j] = r.floats(), r.floats()
	}
	for j := range d.features {
		for row := range d.rows {
			code := r.count(uint64(len(d.levels[j])))
			if r.err == nil && int(code) >= len(d.levels[j]) {
				r.err = errFormat
			}
			d.codes[row*d.features+j] = uint32(code)
		}
	}
	d.y = r.floats()
	if r.err == nil && len(d.y) != d.rows*d.outputs {
		r.err = errFormat
	}
	splits := make([][]storedSplit, f.cfg.Trees)
	for t := range splits {
		splits[t] = make([]storedSplit, r.count(2*uint64(d.rows)))
		for n := range splits[t] {
			s := storedSplit{feature: r.byte()}
			if s.feature != leafMark {
				s.cut = uint32(r.count(maxThresholds))
				if int(s.feature) >= d.features || int(s.cut) >= len(cuts[s.feature]) {
					r.err = errFormat
				}
			}
			splits[t][n] = s
			if r.err != nil {
				return nil, r.err
			}
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	return f, f.regrow(cuts, splits)
}

// storedSplit is a node as a file has it.
type storedSplit struct {
	feature uint8 // or leafMark
	cut     uint32
}

// regrow builds the trees of the stored splits.
func (f *Forest) regrow(cuts [][]float64, splits [][]storedSplit) error {
	d := f.data
	d.tabulateCuts()
	for j := range cuts {
		if d.pairCut[j] == nil {
			d.cuts[j] = cuts[j] // of a wide feature, complete already
		} else if len(cuts[j]) != len(d.cuts[j]) {
			return errFormat
		}
	}
	f.cuts = cuts
	rank := make([][]uint32, d.features)
	for j, levels := range d.levels {
		rank[j] = f.levelRanks(j, levels)
	}
	return f.build(context.Background(), runtime.GOMAXPROCS(0), nil, func(b *builder) func(int) error {
		var left, right []uint32
		return func(tree int) error {
			nodes := splits[tree]
			b.nodes = append(b.nodes[:0], make([]node, len(nodes))...)
			// Breadth first, the children of a split follow those of the split
			// before it.
			first := make([]uint32, len(nodes))
			next := 1
			for n, s := range nodes {
				if s.feature == leafMark {
					continue
				}
				if next <= n {
					return errFormat
				}
				first[n] = uint32(next)
				next += 2
			}
			if next != len(nodes) {
				return errFormat
			}
			rows := append([]uint32(nil), b.bag...)
			type part struct {
				node       uint32
				start, end int
			}
			stack := []part{{0, 0, len(rows)}}
			for len(stack) > 0 {
				p := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				if p.start == p.end {
					return errFormat
				}
				s := nodes[p.node]
				if s.feature == leafMark {
					b.leaf(p.node, rows[p.start:p.end]...)
					continue
				}
				left, right = left[:0], right[:0]
				j := int(s.feature)
				for _, r := range rows[p.start:p.end] {
					if rank[j][d.codes[int(r)*d.features+j]] > s.cut {
						right = append(right, r)
					} else {
						left = append(left, r)
					}
				}
				copy(rows[p.start:], left)
				mid := p.start + len(left)
				copy(rows[mid:], right)
				b.nodes[p.node] = splitNode(first[p.node], j, s.cut)
				stack = append(stack, part{first[p.node] + 1, mid, p.end}, part{first[p.node], p.start, mid})
			}
			return nil
		}
	})
}

// fileReader reads what fileWriter wrote and keeps the first error.
type fileReader struct {
	r   *bufio.Reader
	err error
}

func (r *fileReader) fail(err error) {
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("%w: %v", errFormat, err)
	}
}

// count reads a number of at most limit.
func (r *fileReader) count(limit uint64) uint64 {
	if r.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(r.r)
	r.fail(err)
	if err == nil && v > limit {
		r.err = errFormat
	}
	if r.err != nil {
		return 0
	}
	return v
}

func (r *fileReader) full(b []byte) {
	if r.err == nil {
		_, err := io.ReadFull(r.r, b)
		r.fail(err)
	}
}

func (r *fileReader) byte() uint8 {
	if r.err != nil {
		return leafMark
	}
	b, err := r.r.ReadByte()
	r.fail(err)
	return b
}

func (r *fileReader) floats() []float64 {
	v := make([]float64, r.count(1<<31))
	var b [8]byte
	for k := range v {
		if r.full(b[:]); r.err != nil {
			return nil
		}
		v[k] = math.Float64frombits(binary.LittleEndian.Uint64(b[:]))
	}
	return v
}
