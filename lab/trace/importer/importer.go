package importer

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/trace"
)

// Options say what the trace is to be of.
type Options struct {
	Space    *mesh.Space // mesh and knobs; there is no default
	Scenario string      // name of the scenario; "" for unknown
	SHA256   string      // hash that the file must have, in hexadecimal; default any
}

// Import reads a foreign CSV file, packed by gzip or zstd or not, as a mapping says. It
// streams the file: what it holds is the table and one record. The head of the
// trace says the file's hash (key sha256). Errors name file, row, line, column,
// value and what is accepted; with one there is no table, but what became of the
// rows so far.
func Import(path string, m Mapping, o Options) (*trace.Table, *Outcome, error) {
	if o.Space == nil {
		panic("importer: Import without a space; a trace is of a mesh and its knobs")
	}
	out := new(Outcome)
	if err := m.Validate(); err != nil {
		return nil, out, fmt.Errorf("import %s: mapping: %w", path, err)
	}
	sum, err := trace.SHA256(path)
	if err != nil {
		return nil, out, fmt.Errorf("import: %w", err)
	}
	if o.SHA256 != "" && sum != strings.ToLower(o.SHA256) {
		return nil, out, fmt.Errorf("import %s: its SHA-256 is %s, expected %s", path, sum, csvfile.Cut(strings.ToLower(o.SHA256), 64))
	}
	f, _, err := regular.Read(path)
	if err != nil {
		return nil, out, fmt.Errorf("import: %w", err)
	}
	defer f.Close()
	t, err := read(f, sum, m, o, out)
	if err != nil {
		return nil, out, fmt.Errorf("import %s: %w", path, err)
	}
	return t, out, nil
}

// widest bounds the window of a file that is packed by zstd, and so the memory
// that it takes: what zstd --ultra makes at most, bytes.
const widest = 128 << 20

// unpack is the text of a file that may be packed by gzip or zstd.
func unpack(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	head, _ := b.Peek(4)
	switch {
	case strings.HasPrefix(string(head), "\x1f\x8b"):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		return z, nil
	case string(head) == "\x28\xb5\x2f\xfd":
		// One at a time: nothing goes on in the background that would have to be closed.
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(widest))
		if err != nil {
			return nil, fmt.Errorf("unpack: %w", err)
		}
		return z, nil
	}
	return b, nil
}

// open reads the names of the columns.
func open(r io.Reader, m Mapping) (*csvfile.Reader, []string, error) {
	m = m.defaults()
	r, err := unpack(r)
	if err != nil {
		return nil, nil, err
	}
	in := csvfile.NewReader(r)
	in.Comma, in.Ragged, in.Verbatim = m.comma(), true, !m.Comments
	cells, err := in.Read()
	if err == io.EOF {
		return nil, nil, errors.New("the file is empty; its first line names the columns")
	}
	if err != nil {
		return nil, nil, err
	}
	header := make([]string, len(cells))
	for k, name := range cells {
		header[k] = strings.TrimSpace(name)
	}
	return in, header, nil
}

// read makes a table of a file's text, whose hash is sum.
func read(r io.Reader, sum string, m Mapping, o Options, out *Outcome) (*trace.Table, error) {
	in, header, err := open(r, m)
	if err != nil {
		return nil, err
	}
	p, err := bind(m, header, o.Space)
	if err != nil {
		err = errors.New(strings.ReplaceAll(err.Error(), "\n", "; ")) // one line
		if other := likelyDelimiter(strings.Join(header, ",")); len(header) == 1 && other != "" {
			return nil, fmt.Errorf("line %d: the header is one cell when cells are separated by %s; it has %s: set the delimiter", in.Line(), name(p.Delimiter), name(other))
		}
		return nil, fmt.Errorf("line %d: %w", in.Line(), err)
	}
	meta := trace.Meta{Space: o.Space, Scenario: o.Scenario, StepSeconds: p.Step, Testbed: "imported", Extra: map[string]string{"sha256": sum}}
	about := maps.Clone(p.About)
	for key, at := range map[string]*string{"testbed": &meta.Testbed, "load": &meta.Load, "actions": &meta.Actions} {
		if text, ok := about[key]; ok {
			*at = text
			delete(about, key)
		}
	}
	maps.Copy(meta.Extra, about)
	if err := meta.Validate(); err != nil {
		return nil, err
	}
	a := newAssembler(p, trace.New(meta), out)
	if err := p.rows(in, a); err != nil {
		return nil, err
	}
	if out.Steps == 0 {
		if out.Rows == 0 {
			return nil, errors.New("there is no row after the header")
		}
		most := out.most()
		return nil, fmt.Errorf("none of %d rows could be used; %d of them: %s; first %s: %s", out.Rows, most.Rows, most.Text, most.First, most.Detail)
	}
	return a.table, nil
}

// rows reads all rows.
func (p *plan) rows(in *csvfile.Reader, a *assembler) error {
	for {
		cells, err := in.Read()
		if err == io.EOF {
			return a.end()
		}
		if err != nil {
			return fmt.Errorf("row %d: %w", a.out.Rows+1, err)
		}
		a.out.Rows++
		row, bad := p.row(cells)
		row.place = Place{a.out.Rows, in.Line()}
		if err := a.add(row, bad); err != nil {
			return err
		}
	}
}

// row is a row of the file in the trace's terms.
type row struct {
	place   Place
	timed   bool // its time or step is known
	time    time.Time
	step    int
	service int // -1 where a row is about all
	mark    string
	values  []value
	missing []int // sources that gave nothing
}

type value struct {
	field int
	v     float64
}

// row reads the cells of a row. What is wrong with it comes beside what could be
// read: its time counts even so.
func (p *plan) row(cells []string) (row, *problem) {
	r := row{service: -1}
	if len(cells) != len(p.header) {
		return r, &problem{"wrong number of cells", fmt.Sprintf("it has %d cells; accepted: %d", len(cells), len(p.header))}
	}
	for k := range cells {
		cells[k] = strings.TrimSpace(cells[k])
	}
	refuse := func(k int, what, accepted string) *problem {
		return &problem{fmt.Sprintf("column %s %s", csvfile.Short(p.header[k]), what),
			fmt.Sprintf("column %s is %s; accepted: %s", csvfile.Short(p.header[k]), csvfile.Quote(cells[k]), accepted)}
	}
	switch {
	case p.time >= 0:
		var err error
		if r.time, err = p.clock.parse(cells[p.time]); err != nil {
			return r, refuse(p.time, "holds no time", p.clock.accepted)
		}
	case p.step >= 0:
		v, ok := parseNumber(cells[p.step], p.Decimal)
		if r.step = int(v); !ok || !(v >= 0 && v <= 1<<40) || float64(r.step) != v {
			return r, refuse(p.step, "holds no step", "a whole number >= 0")
		}
	}
	r.timed = true
	if p.entry != nil {
		parts := make([]string, len(p.entry))
		for k, at := range p.entry {
			parts[k] = cells[at]
		}
		entry, ok := strings.Join(parts, " "), false
		if r.service, ok = p.services[entry]; !ok {
			r.service = -1
			return r, &problem{"entry of no service", fmt.Sprintf("entry %s; accepted: %s, or map it in services.names", csvfile.Quote(entry), csvfile.List(p.space.Mesh().ServiceNames()))}
		}
	}
	if p.mark >= 0 {
		r.mark = strings.Clone(cells[p.mark])
	}
	for k, s := range p.sources {
		cell := cells[s.at]
		field := s.fields[0]
		if s.per {
			field = s.fields[r.service]
		}
		f := p.fields[field]
		accepted := func() string {
			if s.unit.usual && s.Scale == 1 {
				return f.Accepted()
			}
			text := f.Accepted() + "; the column is in " + s.unit.name
			if s.Scale != 1 {
				text += fmt.Sprintf(" times %v", s.Scale)
			}
			return text
		}
		v, ok := 0.0, true
		absent := p.absent(s, cell)
		if !absent {
			if v, ok = parseNumber(cell, p.Decimal); !ok {
				return r, refuse(s.at, "holds no number", accepted())
			}
			absent = v == 0 && s.Zero == "missing"
		}
		if absent {
			if f.Required {
				return r, refuse(s.at, "is missing", accepted())
			}
			r.missing = append(r.missing, k)
			continue
		}
		if v = s.unit.of(v, s.Scale); !f.Holds(v) {
			return r, refuse(s.at, "is out of range", accepted())
		}
		r.values = append(r.values, value{field, v})
	}
	return r, nil
}

// absent reports whether a cell stands for nothing.
func (p *plan) absent(s source, cell string) bool {
	if cell == "" {
		return true
	}
	for _, list := range [][]string{p.Mapping.Missing, s.Missing} {
		for _, m := range list {
			if cell == m {
				return true
			}
		}
	}
	return false
}
