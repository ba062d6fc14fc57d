package importer

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/internal/yamlfile"
)

// Mapping says how a foreign CSV file is a trace; see the package's comment.
type Mapping struct {
	Title     string             `yaml:"title,omitempty"`
	Delimiter string             `yaml:"delimiter,omitempty"` // one character, or "tab"; default ","
	Decimal   string             `yaml:"decimal,omitempty"`   // "." or ","; default "."
	Comments  bool               `yaml:"comments,omitempty"`  // lines that begin with # are passed over
	Missing   []string           `yaml:"missing,omitempty"`   // cells that stand for nothing; default Missing
	Row       float64            `yaml:"row,omitempty"`       // s that a row is about; default 5
	Step      float64            `yaml:"step,omitempty"`      // s of a step, a multiple of Row; default Row
	Columns   []Column           `yaml:"columns"`
	Services  Services           `yaml:"services,omitempty"`
	Set       map[string]float64 `yaml:"set,omitempty"` // value of a field in every row, in the trace's unit

	// What is done about a step without a row, a row of a step that is there,
	// a clock that goes back, and a row that cannot be used.
	Gaps       Policy `yaml:"gaps,omitempty"`       // default Report
	Duplicates Policy `yaml:"duplicates,omitempty"` // default Report: the first counts
	Back       Policy `yaml:"back,omitempty"`       // default Refuse
	Unusable   Policy `yaml:"unusable,omitempty"`   // default Report

	// About is what the trace's head says of it: testbed, load and actions as in
	// trace.Meta, and any further facts.
	About map[string]string `yaml:"about,omitempty"`
}

// Column maps a column of the file to a field of the trace.
type Column struct {
	Column  string   `yaml:"column"`
	Field   string   `yaml:"field"`
	Unit    string   `yaml:"unit,omitempty"`    // default the field's
	Scale   float64  `yaml:"scale,omitempty"`   // a further factor; default 1
	Zero    string   `yaml:"zero,omitempty"`    // "missing" where 0 says that nothing was measured; default "value"
	Missing []string `yaml:"missing,omitempty"` // further cells that stand for nothing
	// Optional columns are left out where the scenario has no such field.
	Optional bool `yaml:"optional,omitempty"`
}

// Services says which service a row is about, in files of a row per service.
type Services struct {
	Columns []string          `yaml:"columns,omitempty"` // whose cells, joined by a space, are the entry
	Names   map[string]string `yaml:"names,omitempty"`   // service of an entry; default the one of that name
}

// Policy is what is done about something that is amiss.
type Policy string

const (
	Report Policy = "report" // it is counted and listed
	Refuse Policy = "refuse" // the file is not imported; the error says where
)

// Fields beside those of trace.Fields.
const (
	timeField = "time"
	stepField = "step"
	markField = "mark"
)

// numberSign stands for the number of a row's service in a field.
const numberSign = "{i}"

// Missing are the cells that stand for nothing where a mapping does not say.
func Missing() []string { return []string{"NA", "N/A", "NaN", "nan", "null", "None", "none", `\N`} }

// maxMapping bounds a mapping's file, bytes.
const maxMapping = 1 << 20

// Open reads a mapping from a YAML file.
func Open(path string) (Mapping, error) {
	text, err := regular.ReadFile(path, maxMapping)
	if err != nil {
		return Mapping{}, fmt.Errorf("mapping: %w", err)
	}
	return Parse(path, text)
}

// Parse reads a mapping from YAML. name is the file's, for errors.
func Parse(name string, text []byte) (Mapping, error) {
	var m Mapping
	if err := decode(text, &m); err != nil {
		return Mapping{}, fmt.Errorf("mapping %s: %w", name, err)
	}
	if err := m.Validate(); err != nil {
		return Mapping{}, fmt.Errorf("mapping %s: %w", name, err)
	}
	return m, nil
}

// ParseColumn reads an entry of a mapping's columns, written as in its file with
// or without the braces: "column: latency, field: d1, unit: ms".
func ParseColumn(text string) (Column, error) {
	var c Column
	braced := text
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		braced = "{" + text + "}"
	}
	if err := decode([]byte(braced), &c); err != nil {
		return c, fmt.Errorf("%.80q: %w; an entry is for instance \"column: latency, field: d1, unit: ms\"", text, err)
	}
	return c, c.validate()
}

// decode reads one YAML document into v. Keys that v does not have are an error,
// which is one line.
func decode(text []byte, v any) error {
	if problems := yamlfile.Decode(text, v, nil); problems != nil {
		return errors.New(csvfile.Cut(strings.Join(problems, "; "), 1000))
	}
	return nil
}

// defaults returns m with its zero fields filled in.
func (m Mapping) defaults() Mapping {
	for _, p := range []struct {
		at    *Policy
		value Policy
	}{{&m.Gaps, Report}, {&m.Duplicates, Report}, {&m.Back, Refuse}, {&m.Unusable, Report}} {
		if *p.at == "" {
			*p.at = p.value
		}
	}
	if m.Delimiter == "" {
		m.Delimiter = ","
	}
	if m.Decimal == "" {
		m.Decimal = "."
	}
	if m.Missing == nil {
		m.Missing = Missing()
	}
	if m.Row == 0 {
		m.Row = 5
	}
	if m.Step == 0 {
		m.Step = m.Row
	}
	m.Columns = slices.Clone(m.Columns)
	for k := range m.Columns {
		if m.Columns[k].Scale == 0 {
			m.Columns[k].Scale = 1
		}
	}
	return m
}

// maxJoined bounds the rows that are joined into a step.
const maxJoined = 3600

// Validate reports what is wrong with a mapping whatever the file and the
// scenario; the rest is found when it is used.
func (m Mapping) Validate() error {
	m = m.defaults()
	if comma := m.comma(); comma == 0 {
		return fmt.Errorf("delimiter %q; accepted: one character that is not a quote, letter, digit or line end, or tab", m.Delimiter)
	}
	if m.Decimal != "." && m.Decimal != "," {
		return fmt.Errorf("decimal %q; accepted: \".\" and \",\"", m.Decimal)
	}
	for _, p := range []struct {
		name  string
		value Policy
	}{{"gaps", m.Gaps}, {"duplicates", m.Duplicates}, {"back", m.Back}, {"unusable", m.Unusable}} {
		if p.value != Report && p.value != Refuse {
			return fmt.Errorf("%s is %q; accepted: report, refuse", p.name, p.value)
		}
	}
	if !(m.Row > 0 && m.Row <= 86400) {
		return fmt.Errorf("row is %v s; accepted: above 0, at most 86400", m.Row)
	}
	if k := m.Step / m.Row; !(k >= 1 && k <= maxJoined) || math.Abs(k-math.Round(k)) > 1e-9*k {
		return fmt.Errorf("step is %v s where a row is about %v s; accepted: a whole multiple, at most %d rows", m.Step, m.Row, maxJoined)
	}
	if len(m.Columns) == 0 {
		return errors.New("no column is mapped")
	}
	seen := map[string]bool{}
	for _, c := range m.Columns {
		if err := c.validate(); err != nil {
			return err
		}
		if seen[c.Field] {
			return fmt.Errorf("field %q is mapped twice", c.Field)
		}
		seen[c.Field] = true
	}
	if seen[timeField] && seen[stepField] {
		return errors.New("both time and step are mapped; accepted: one of them")
	}
	for _, field := range slices.Sorted(maps.Keys(m.Set)) {
		if seen[field] {
			return fmt.Errorf("field %q is mapped and set", field)
		}
	}
	if len(m.Services.Names) > 0 && len(m.Services.Columns) == 0 {
		return errors.New("services have names but no columns to find them in")
	}
	return nil
}

func (c Column) validate() error {
	switch {
	case c.Column == "" || c.Field == "":
		return fmt.Errorf("an entry with column %q and field %q; it needs both", c.Column, c.Field)
	case c.Zero != "" && c.Zero != "missing" && c.Zero != "value":
		return fmt.Errorf("column %q: zero is %q; accepted: missing, value", c.Column, c.Zero)
	case c.Scale < 0 || math.IsNaN(c.Scale) || math.IsInf(c.Scale, 0):
		return fmt.Errorf("column %q: scale is %v; accepted: a finite number above 0", c.Column, c.Scale)
	}
	return nil
}

// comma is the delimiter, 0 for one that is not accepted.
func (m Mapping) comma() byte {
	if m.Delimiter == "tab" || m.Delimiter == `\t` {
		return '\t'
	}
	if len(m.Delimiter) != 1 || strings.ContainsAny(m.Delimiter, "\"\r\n.+-_0123456789") || m.Delimiter[0] >= 0x80 {
		return 0
	}
	if c := m.Delimiter[0] | 0x20; c >= 'a' && c <= 'z' {
		return 0
	}
	return m.Delimiter[0]
}

// joined is how many rows make a step.
func (m Mapping) joined() int { return int(math.Round(m.Step / m.Row)) }

// Over returns m with the columns of o, which replace those of the same field
// and the values that were set for it.
func (m Mapping) Over(columns ...Column) Mapping {
	m.Columns, m.Set = slices.Clone(m.Columns), maps.Clone(m.Set)
	for _, c := range columns {
		delete(m.Set, c.Field)
		if k := slices.IndexFunc(m.Columns, func(have Column) bool { return have.Field == c.Field }); k >= 0 {
			m.Columns[k] = c
		} else {
			m.Columns = append(m.Columns, c)
		}
	}
	return m
}

// Fix returns m with a field set to a value in every row, in place of a column.
func (m Mapping) Fix(field string, value float64) Mapping {
	m.Columns, m.Set = slices.Clone(m.Columns), maps.Clone(m.Set)
	m.Columns = slices.DeleteFunc(m.Columns, func(c Column) bool { return c.Field == field })
	if m.Set == nil {
		m.Set = map[string]float64{}
	}
	m.Set[field] = value
	return m
}

// Entry returns m with rows of an entry taken to be about a service.
func (m Mapping) Entry(entry, service string) Mapping {
	m.Services.Names = maps.Clone(m.Services.Names)
	if m.Services.Names == nil {
		m.Services.Names = map[string]string{}
	}
	m.Services.Names[entry] = service
	return m
}
