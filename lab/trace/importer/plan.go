package importer

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/trace"
)

// plan is a mapping that was found to fit a file's header and a space.
type plan struct {
	Mapping
	space    *mesh.Space
	fields   []trace.Field
	at       map[string]int // place of a field in fields
	header   []string
	sources  []source
	time     int // columns of the file; -1 for none
	step     int
	mark     int
	clock    clock
	entry    []int // columns that name the service
	services map[string]int
	set      []setting
	rests    []rest
	knobs    []int        // places of the action's values, in its order
	mapped   map[int]bool // fields that have a value
	left     []Column     // optional ones that the space has no field for
}

// source is a column that gives a numeric field.
type source struct {
	Column
	at     int // in the file
	unit   unit
	fields []int // places of the field: of each service where the column is of the row's
	per    bool  // of the row's service
}

type setting struct {
	field int
	value float64
}

// rest is the weight of a call that has no column.
type rest struct {
	field  int
	others []int
	name   string // what the weights share
}

// bind lists all in which m does not fit: errors joined.
func bind(m Mapping, header []string, space *mesh.Space) (*plan, error) {
	m = m.defaults()
	p := &plan{Mapping: m, space: space, fields: trace.Fields(space), at: map[string]int{}, mapped: map[int]bool{}, header: header, time: -1, step: -1, mark: -1}
	for k, f := range p.fields {
		p.at[f.Name] = k
	}
	var all []error
	for _, c := range m.Columns {
		at, err := column(header, c.Column)
		if err != nil {
			all = append(all, fmt.Errorf("%w; the mapping takes %s from it", err, c.Field))
			continue
		}
		switch c.Field {
		case timeField:
			p.time = at
			if p.clock, err = clockOf(c.Unit, m.Decimal); err != nil {
				all = append(all, fmt.Errorf("column %s: %w", csvfile.Quote(c.Column), err))
			}
			continue
		case stepField:
			p.step = at
			continue
		case markField:
			p.mark = at
			continue
		}
		s := source{Column: c, at: at}
		if s.fields, s.per, err = p.places(c.Field); err != nil && c.Optional {
			p.left = append(p.left, c)
			continue
		} else if err != nil {
			all = append(all, fmt.Errorf("column %s: %w", csvfile.Quote(c.Column), err))
			continue
		}
		if s.unit, err = unitOf(c.Unit, p.fields[s.fields[0]].Kind, m.Row); err != nil {
			all = append(all, fmt.Errorf("column %s: %w", csvfile.Quote(c.Column), err))
		}
		for _, f := range s.fields {
			p.mapped[f] = true
		}
		p.sources = append(p.sources, s)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Set)) {
		places, _, err := p.places(name)
		if err != nil {
			all = append(all, fmt.Errorf("set: %w", err))
			continue
		}
		for _, f := range places {
			if !p.fields[f].Holds(m.Set[name]) {
				all = append(all, fmt.Errorf("set: %s is %v; accepted: %s", name, m.Set[name], p.fields[f].Accepted()))
			}
			p.mapped[f] = true
			p.set = append(p.set, setting{f, m.Set[name]})
		}
	}
	all = append(all, p.bindServices()...)
	p.bindKnobs()
	var lacking []string
	for k, f := range p.fields {
		if f.Required && !p.mapped[k] {
			lacking = append(lacking, f.Name)
		}
	}
	if len(lacking) > 0 && len(all) == 0 {
		all = append(all, fmt.Errorf("the mapping has no column for %s; map one, or set a value: loads and knobs are never missing", csvfile.List(lacking)))
	}
	return p, errors.Join(all...)
}

// column finds a column of the file by its name.
func column(header []string, name string) (int, error) {
	at := slices.Index(header, name)
	if at < 0 {
		return 0, fmt.Errorf("column %s is not in the file%s; it has %s", csvfile.Quote(name), csvfile.Suggest(name, header), csvfile.List(header))
	}
	if slices.Contains(header[at+1:], name) {
		return 0, fmt.Errorf("column %s is there twice", csvfile.Quote(name))
	}
	return at, nil
}

// places finds a field: its place, or with a number sign those of all services.
func (p *plan) places(field string) (list []int, per bool, err error) {
	per = strings.Contains(field, numberSign)
	services := 1
	if per {
		services = p.space.Mesh().M()
	}
	for i := range services {
		name := strings.ReplaceAll(field, numberSign, strconv.Itoa(i+1))
		k, ok := p.at[name]
		if !ok {
			names := []string{timeField, stepField, markField}
			for _, f := range p.fields {
				names = append(names, f.Name)
			}
			return nil, per, fmt.Errorf("unknown field %s%s of %s; accepted: %s", csvfile.Quote(name), csvfile.Suggest(name, names), csvfile.Cut(p.space.Mesh().String(), 100), csvfile.List(names))
		}
		list = append(list, k)
	}
	return list, per, nil
}

// bindServices finds what names the service of a row.
func (p *plan) bindServices() (all []error) {
	per := ""
	for _, s := range p.sources {
		if s.per {
			per = s.Field
		}
	}
	if len(p.Services.Columns) == 0 {
		if per != "" {
			all = append(all, fmt.Errorf("field %q is of the row's service; services.columns says which columns name it", per))
		}
		return all
	}
	if per == "" {
		all = append(all, fmt.Errorf("services.columns are given, but no field has %s", numberSign))
	}
	for _, name := range p.Services.Columns {
		at, err := column(p.header, name)
		if err != nil {
			all = append(all, fmt.Errorf("services: %w", err))
		}
		p.entry = append(p.entry, at)
	}
	p.services = map[string]int{}
	for i, name := range p.space.Mesh().ServiceNames() {
		p.services[name] = i
	}
	for _, entry := range slices.Sorted(maps.Keys(p.Services.Names)) {
		i, err := p.space.Mesh().Service(p.Services.Names[entry])
		if err != nil {
			all = append(all, fmt.Errorf("services: entry %s: %w", csvfile.Quote(entry), err))
		}
		p.services[entry] = i
	}
	return all
}

// bindKnobs finds the values of the action, and the weights that the others
// leave.
func (p *plan) bindKnobs() {
	for _, knob := range p.space.Knobs() {
		var places, open []int
		for _, name := range knob.Columns {
			k := p.at[name]
			places = append(places, k)
			if !p.mapped[k] {
				open = append(open, k)
			}
		}
		p.knobs = append(p.knobs, places...)
		if knob.Kind != mesh.Route || len(open) != 1 {
			continue
		}
		p.mapped[open[0]] = true
		others := slices.DeleteFunc(slices.Clone(places), func(k int) bool { return k == open[0] })
		p.rests = append(p.rests, rest{open[0], others, knob.Name})
	}
}

// ignored are the columns of the file that nothing is taken from.
func (p *plan) ignored() []string {
	used := map[int]bool{p.time: true, p.step: true, p.mark: true}
	for _, s := range p.sources {
		used[s.at] = true
	}
	for _, k := range p.entry {
		used[k] = true
	}
	var list []string
	for k, name := range p.header {
		if !used[k] {
			list = append(list, name)
		}
	}
	return list
}
