package importer

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/mesh"
)

// Suggestion is a mapping that a file's header and values speak for, to be read
// and corrected.
type Suggestion struct {
	Mapping Mapping
	Why     []Why    // of every column of the file, in its order
	Notes   []string // of the file as a whole
}

// Why says what a column was taken for, and by what.
type Why struct {
	Column string
	Field  string // "" where it is not mapped
	Why    string
}

// sampled is how many rows a suggestion looks at, at least where the file has as
// many, and less than twice as many.
const sampled = 2000

// delimiters that are looked for.
var delimiters = []string{",", ";", "tab", "|"}

// name is a delimiter in an error.
func name(delimiter string) string {
	if word, ok := map[string]string{",": "commas", ";": "semicolons", "tab": "tabs", "|": "bars"}[delimiter]; ok {
		return word
	}
	return csvfile.Quote(delimiter)
}

// likelyDelimiter is the one that a line has most of, "" where it has none.
func likelyDelimiter(line string) string {
	best, most := "", 0
	for _, d := range delimiters {
		if n := strings.Count(line, string(rune(Mapping{Delimiter: d}.comma()))); n > most {
			best, most = d, n
		}
	}
	return best
}

// Suggest proposes a mapping for a file, from the names of its columns and the
// values of some thousand rows from all over the file, for a trace of the given
// space whose steps last step s. Every column has the reason why it was mapped, or why not.
func Suggest(path string, space *mesh.Space, step float64) (*Suggestion, error) {
	s, err := suggest(path, space, step)
	if err != nil {
		return nil, fmt.Errorf("suggest a mapping for %s: %w", path, err)
	}
	return s, nil
}

func suggest(path string, space *mesh.Space, step float64) (*Suggestion, error) {
	g := &guesser{space: space, step: step}
	first, err := firstLine(path)
	if err != nil {
		return nil, err
	}
	m := &g.out.Mapping
	m.Title = "suggested; read it before you use it"
	if d := likelyDelimiter(first); d != "" && d != "," {
		m.Delimiter = d
		g.note("delimiter: the header has more %s than commas", name(d))
	}
	if err := g.sample(path); err != nil {
		return nil, err
	}
	g.decimal()
	g.describe()
	g.services()
	g.columns()
	g.times()
	g.rates()
	g.fill()
	return &g.out, nil
}

// firstLine is the first line of a file, packed or not, as text.
func firstLine(path string) (string, error) {
	f, _, err := regular.Read(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	r, err := unpack(f)
	if err != nil {
		return "", err
	}
	head := make([]byte, 1<<16)
	n, err := io.ReadFull(r, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", err
	}
	line, _, _ := bytes.Cut(head[:n], []byte("\n"))
	return string(line), nil
}

type guesser struct {
	space  *mesh.Space
	step   float64
	out    Suggestion
	header []string
	cells  [][]string // of the sampled rows, by column
	begin  [][]string // of the first rows
	stats  []stats
	plan   *plan // for its places of fields
	long   bool  // a row is about one service
}

func (g *guesser) note(format string, args ...any) {
	g.out.Notes = append(g.out.Notes, fmt.Sprintf(format, args...))
}

func (g *guesser) sample(path string) error {
	f, _, err := regular.Read(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in, header, err := open(f, g.out.Mapping)
	if err != nil {
		return err
	}
	g.header, g.cells, g.begin = header, make([][]string, len(header)), make([][]string, len(header))
	rows, every := 0, 1
	for {
		cells, err := in.Read()
		if err == io.EOF && rows == 0 {
			return fmt.Errorf("there is no row after the header")
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if len(cells) != len(header) {
			continue // counted when the file is imported
		}
		for k, cell := range cells {
			cell = strings.TrimSpace(cell)
			if rows < sampled {
				g.begin[k] = append(g.begin[k], strings.Clone(cell))
			}
			if rows%every == 0 {
				g.cells[k] = append(g.cells[k], strings.Clone(cell))
			}
		}
		if rows++; len(g.cells[0]) == 2*sampled { // sorted files differ from end to end
			every *= 2
			for k, column := range g.cells {
				for n := range sampled {
					column[n] = column[2*n]
				}
				g.cells[k] = column[:sampled]
			}
		}
	}
	// An unmapped plan knows the fields.
	g.plan, _ = bind(Mapping{}, header, g.space)
	return nil
}

// decimal looks for numbers with a decimal comma.
func (g *guesser) decimal() {
	commas, points := 0, 0
	for _, column := range g.cells {
		for _, cell := range column {
			if _, ok := parseNumber(cell, "."); ok {
				if strings.Contains(cell, ".") {
					points++
				}
			} else if _, ok := parseNumber(cell, ","); ok {
				commas++
			}
		}
	}
	if commas > points {
		g.out.Mapping.Decimal = ","
		g.note("decimal: %d cells are numbers with a comma, %d with a point", commas, points)
	}
}

// stats describe the values of a column.
type stats struct {
	rows, numbers, zeros int
	numeric, whole       bool
	rising               bool // never falls, and rises
	min, median, max     float64
	markers              []string // what stands where a number is missing
}

func (g *guesser) describe() {
	decimal := g.out.Mapping.defaults().Decimal
	for _, column := range g.cells {
		s := stats{rows: len(column), whole: true, rising: true, min: math.Inf(1), max: math.Inf(-1)}
		var v []float64
		others := map[string]bool{}
		for _, cell := range column {
			x, ok := parseNumber(cell, decimal)
			switch {
			case ok:
				v = append(v, x)
				if x == 0 {
					s.zeros++
				}
				s.whole = s.whole && x == math.Trunc(x)
				s.rising = s.rising && (len(v) < 2 || x >= v[len(v)-2])
			case cell != "" && !slices.Contains(Missing(), cell):
				others[cell] = true
			}
		}
		s.numbers = len(v)
		if s.numeric = len(v) > 0 && len(others) <= 2 && 2*len(v) >= s.rows; s.numeric {
			for cell := range others {
				s.markers = append(s.markers, cell)
			}
			slices.Sort(s.markers)
		}
		if len(v) > 0 {
			slices.Sort(v)
			s.min, s.median, s.max = v[0], v[len(v)/2], v[len(v)-1]
			s.rising = s.rising && s.max > s.min
		}
		g.stats = append(g.stats, s)
	}
}

// fill sets knobs that the file does not have, and loads that it only has as
// they were sent.
func (g *guesser) fill() {
	m := &g.out.Mapping
	p, err := bind(*m, g.header, g.space)
	if err != nil && p == nil {
		return
	}
	action := g.space.Default()
	for k, at := range p.knobs {
		f := p.fields[at]
		if p.mapped[at] {
			continue
		}
		if m.Set == nil {
			m.Set = map[string]float64{}
		}
		m.Set[f.Name] = action[k]
		g.note("set: no column looks like %s; %v leaves the mesh as it is without the knob. Say what it was", f.Name, action[k])
	}
	for i := range g.space.Mesh().M() {
		l := g.space.Mesh().LoadName(i)
		if p.mapped[p.at[l]] {
			continue
		}
		sent := "lg" + strconv.Itoa(i+1)
		if g.long {
			l, sent = "l"+numberSign, "lg"+numberSign
		}
		at := slices.IndexFunc(m.Columns, func(c Column) bool { return c.Field == sent })
		if at < 0 {
			g.note("no column looks like the load %s; map one", l)
		} else {
			c := m.Columns[at]
			c.Field = l
			m.Columns = append(m.Columns, c)
			g.note("%s: what was configured is not in the file; the load as it was sent stands for it", l)
		}
		if g.long {
			return
		}
	}
}

// YAML is the suggestion as a mapping's file, each column with its reason.
func (s *Suggestion) YAML() ([]byte, error) {
	var b bytes.Buffer
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "# %s\n", oneLine(n))
	}
	// Columns are written below, each after its reason.
	var all yaml.Node
	if err := all.Encode(s.Mapping); err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all.Content, func(n *yaml.Node) bool { return n.Value == "columns" })
	all.Content = slices.Delete(all.Content, at, at+2)
	head, err := yaml.Marshal(&all)
	if err != nil {
		return nil, err
	}
	b.Write(head)
	b.WriteString("columns:\n")
	done := map[string]bool{}
	write := func(c Column, why string) error {
		var n yaml.Node
		if err := n.Encode(c); err != nil {
			return err
		}
		n.Style = yaml.FlowStyle
		text, err := yaml.Marshal(&n)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "  # %s\n  - %s", oneLine(why), text)
		done[c.Field] = true
		return nil
	}
	for _, w := range s.Why {
		if w.Field == "" {
			fmt.Fprintf(&b, "  # %s is not mapped: %s\n", csvfile.Quote(w.Column), oneLine(w.Why))
			continue
		}
		for _, c := range s.Mapping.Columns {
			if c.Field == w.Field {
				if err := write(c, w.Why); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, c := range s.Mapping.Columns {
		if !done[c.Field] {
			if err := write(c, "see above"); err != nil {
				return nil, err
			}
		}
	}
	return b.Bytes(), nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
