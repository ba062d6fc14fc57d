package forest

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
)

// doc.go describes the format. Which rows are in which leaf is not
// stored but found again, by sending each tree's bootstrap sample down the tree.
//
// The checksum of version 2, which is read but no longer written, leaves out the
// first line.
const (
	magic      = "meshbench forest "
	version    = 3
	oldVersion = 2
)

// Rows in leaves are what a file need not spell out: a tree of one leaf is two
// bytes. A forest may have this many of them, or leafRowsPerByte for each byte
// of its file, so that a small file takes little memory.
const (
	freeLeafRows    = 1 << 24
	leafRowsPerByte = 1 << 10
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
	if tooManyLeafRows(len(f.trees), f.data.rows, len(body)) {
		return nil, errLeafRows
	}
	first := fmt.Sprintf("%s%d\n", magic, version)
	return slices.Concat([]byte(first), checksum(first, body), body), nil
}

// checksum is the second line of a file.
func checksum(first string, body []byte) []byte {
	h := sha256.New()
	io.WriteString(h, first)
	h.Write(body)
	return fmt.Appendf(nil, "%x\n", h.Sum(nil))
}

var errLeafRows = errors.New("its trees have more rows in their leaves than a file of its size may have")

func tooManyLeafRows(trees, rows, size int) bool {
	return trees > max(freeLeafRows, leafRowsPerByte*size)/rows
}

// encode returns a file's body.
func (f *Forest) encode() ([]byte, error) {
	d := f.data
	header, err := json.Marshal(fileHeader{f.cfg, f.Meta, d.rows, d.features, d.outputs})
	if err != nil {
		return nil, err
	}
	content := append(binary.AppendUvarint(nil, uint64(len(header))), header...)
	for j, levels := range d.levels {
		content = appendFloats(appendFloats(content, levels), f.cuts[j])
	}
	for j := range d.features {
		for r := range d.rows {
			content = binary.AppendUvarint(content, uint64(d.codes[r*d.features+j]))
		}
	}
	content = appendFloats(content, d.y)
	for _, t := range f.trees {
		content = binary.AppendUvarint(content, uint64(len(t)))
		for _, n := range t {
			content = append(content, n.feature())
			if !n.isLeaf() {
				content = binary.AppendUvarint(content, uint64(n.cut()))
			}
		}
	}
	var body bytes.Buffer
	z, err := flate.NewWriter(&body, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(content); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

func appendFloats(b []byte, v []float64) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	return b
}

// Load reads a forest that Save wrote: the same predictions, bit for bit. The
// error names the file and says whether it is no forest, of a newer version,
// truncated or damaged.
func Load(path string) (*Forest, error) {
	b, err := regular.ReadFile(path, regular.Any)
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
	first, rest, _ := bytes.Cut(b, []byte("\n"))
	number, ok := strings.CutPrefix(string(first), magic)
	if !ok {
		return fmt.Errorf("it is not a forest's file, which begins with %q", magic)
	}
	covered := string(first) + "\n"
	switch v, err := strconv.ParseUint(number, 10, 32); {
	case err != nil:
		return errors.New("it is truncated or damaged: its first line is no version of the format")
	case v == oldVersion:
		covered = ""
	case v != version:
		return fmt.Errorf("it has version %d of the format; this program reads versions %d and %d", v, oldVersion, version)
	}
	sum, body, _ := bytes.Cut(rest, []byte("\n"))
	if want := checksum(covered, body); !bytes.Equal(sum, want[:len(want)-1]) {
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

// decode reads a file's body. Its checksum tells damage, not intent: what it
// claims is held against the bytes that are there before memory is taken.
func decode(body []byte) (*Forest, error) {
	compressed := bytes.NewReader(body)
	content, err := io.ReadAll(flate.NewReader(compressed)) // at most 1032 times the body
	if err != nil || compressed.Len() > 0 {
		return nil, errFormat
	}
	r := &fileReader{rest: content}
	var h fileHeader
	if err := json.Unmarshal(r.bytes(r.count(1)), &h); r.failed || err != nil {
		return nil, errFormat
	}
	// The least that the rest has of each row, feature and tree.
	n := len(r.rest)
	if h.Rows < 1 || h.Features < 1 || h.Features > maxFeatures || h.Outputs < 1 || h.Outputs > n/8 ||
		h.Rows > n/(h.Features+8*h.Outputs) || h.Config.Trees < 1 || h.Config.Trees > n/2 {
		return nil, errFormat
	}
	if tooManyLeafRows(h.Config.Trees, h.Rows, len(body)) {
		return nil, errLeafRows
	}
	cfg, err := h.Config.withDefaults(h.Features, h.Outputs)
	if err != nil {
		return nil, errFormat
	}
	cfg.Workers = 0
	d := &training{rows: h.Rows, features: h.Features, outputs: h.Outputs, levels: make([][]float64, h.Features), codes: make([]uint32, h.Rows*h.Features)}
	f := &Forest{Meta: h.Meta, cfg: cfg, data: d}
	if f.Meta == nil {
		f.Meta = map[string]string{}
	}
	cuts := make([][]float64, h.Features)
	for j := range d.levels {
		d.levels[j], cuts[j] = r.floats(), r.floats()
		if len(d.levels[j]) == 0 || !ascend(d.levels[j]) || !ascend(cuts[j]) || len(cuts[j]) >= maxThresholds {
			return nil, errFormat
		}
	}
	for j := range d.features {
		for row := range d.rows {
			d.codes[row*d.features+j] = uint32(r.below(len(d.levels[j])))
		}
	}
	d.y = r.floats()
	if len(d.y) != d.rows*d.outputs || slices.ContainsFunc(d.y, func(v float64) bool { return !(math.Abs(v) <= maxTarget) }) {
		return nil, errFormat
	}
	splits := make([][]storedSplit, cfg.Trees)
	for t := range splits {
		splits[t] = make([]storedSplit, r.count(1))
		for n := range splits[t] {
			s := storedSplit{feature: r.byte()}
			if s.feature != leafMark {
				if int(s.feature) >= d.features {
					return nil, errFormat
				}
				s.cut = uint32(r.below(len(cuts[s.feature])))
			}
			splits[t][n] = s
		}
	}
	if r.failed || len(r.rest) > 0 {
		return nil, errFormat
	}
	return f, f.regrow(cuts, splits)
}

// ascend tells whether values are finite and each above the one before it.
func ascend(v []float64) bool {
	for k := range v {
		if !finite(v[k]) || k > 0 && v[k] <= v[k-1] {
			return false
		}
	}
	return true
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
		} else if !slices.Equal(cuts[j], d.cuts[j]) {
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

// fileReader reads what encode wrote. Once something is not there, all that
// it reads is 0 and empty.
type fileReader struct {
	rest   []byte
	failed bool
}

func (r *fileReader) fail() { r.rest, r.failed = nil, true }

func (r *fileReader) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// count reads the number of things that follow, each of at least size bytes.
func (r *fileReader) count(size int) int {
	v := r.uint()
	if v > uint64(len(r.rest)/size) {
		r.fail()
		return 0
	}
	return int(v)
}

// below reads a number below n.
func (r *fileReader) below(n int) int {
	v := r.uint()
	if v >= uint64(n) {
		r.fail()
		return 0
	}
	return int(v)
}

// bytes reads n bytes, which must be there.
func (r *fileReader) bytes(n int) []byte {
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *fileReader) byte() uint8 {
	if len(r.rest) == 0 {
		r.fail()
		return leafMark
	}
	return r.bytes(1)[0]
}

func (r *fileReader) floats() []float64 {
	v := make([]float64, r.count(8))
	for k := range v {
		v[k] = math.Float64frombits(binary.LittleEndian.Uint64(r.bytes(8)))
	}
	return v
}
