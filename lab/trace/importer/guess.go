package importer

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshbench/meshbench/lab/trace"
)

// words says what a part of a column's name stands for. Where several do, the
// first in this order counts: a carried load is no load.
var words = []struct {
	prefix string // of the field; "" for none that a trace has
	what   string
	names  []string
}{
	{"", "a deviation", []string{"std", "stddev", "sd", "var", "stdev"}},
	{timeField, "a time", []string{"time", "timestamp", "ts", "date", "datetime", "when"}},
	{stepField, "a step", []string{"step", "index", "idx", "interval"}},
	{"cl", "a carried load", []string{"cl", "carried", "admitted", "accepted"}},
	{"blocked", "requests turned away", []string{"blocked", "rejected", "throttled"}},
	{"failed", "requests without an answer", []string{"failed", "failures", "errors", "error", "drop", "drops", "dropped"}},
	{"d_n", "numbers of requests", []string{"count", "answered", "replies", "responses"}},
	{"d", "a delay", []string{"d", "delay", "latency", "rt", "response", "duration"}},
	{"l", "a load as configured", []string{"expected", "max", "configured", "offered", "target"}},
	{"lg", "a load as sent", []string{"l", "load", "lg", "rps", "qps", "rate", "requests", "throughput", "generated"}},
	{"p", "a weight", []string{"p", "weight", "share", "split", "route"}},
	{"b", "a share blocked", []string{"b", "block", "blocking"}},
	{"cpu", "cores", []string{"cpu", "cores", "c", "millicores"}},
	{"r", "replicas", []string{"r", "replicas", "pods", "instances", "c"}},
}

var tokens = regexp.MustCompile(`[a-z]+|[0-9]+`)

var capital = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// tokensOf splits a name at signs, digits and capitals.
func tokensOf(name string) []string {
	return tokens.FindAllString(strings.ToLower(capital.ReplaceAllString(name, "${1}_$2")), -1)
}

// columns takes every column for the field that its name and values speak for.
func (g *guesser) columns() {
	taken := map[string]string{}
	for k, name := range g.header {
		if g.taken(name) {
			continue // names the service
		}
		field, why := g.field(k)
		if other, ok := taken[field]; ok && field != "" {
			field, why = "", fmt.Sprintf("%s is %s already", field, csvQuote(other))
		}
		if field == "" {
			g.out.Why = append(g.out.Why, Why{name, "", why})
			continue
		}
		taken[field] = name
		c, more := g.column(k, field)
		g.out.Mapping.Columns = append(g.out.Mapping.Columns, c)
		g.out.Why = append(g.out.Why, Why{name, field, strings.Join(append([]string{why}, more...), "; ")})
	}
}

func csvQuote(s string) string { return fmt.Sprintf("%q", s) }

// taken reports whether a column names the service.
func (g *guesser) taken(column string) bool {
	return slices.Contains(g.out.Mapping.Services.Columns, column)
}

// field is what a column is taken for, "" for nothing, and why.
func (g *guesser) field(k int) (field, why string) {
	name, s := g.header[k], g.stats[k]
	if _, ok := g.plan.at[name]; ok && s.numeric && !g.configured(name) {
		return name, "its name is the field's"
	}
	parts := tokensOf(name)
	for _, w := range words {
		at := slices.IndexFunc(parts, func(t string) bool { return slices.Contains(w.names, t) })
		if at < 0 {
			continue
		}
		why := fmt.Sprintf("%q in its name says %s", parts[at], w.what)
		if w.prefix == "" {
			return "", why + ", which a trace does not have"
		}
		if w.prefix == timeField {
			return timeField, why
		}
		if !s.numeric {
			return "", "its cells are no numbers"
		}
		if w.prefix == stepField {
			if !s.rising || !s.whole {
				return "", why + ", but its values are no steps"
			}
			return stepField, why
		}
		if w.prefix == "l" && !slices.ContainsFunc(parts, func(t string) bool {
			return slices.Contains([]string{"l", "load", "rps", "qps", "rate", "requests"}, t)
		}) {
			continue
		}
		if field, how := g.numbered(w.prefix, parts); field != "" {
			return field, why + how
		}
	}
	if !s.numeric {
		return "", "its cells are no numbers, nor is its name one of a time"
	}
	return "", "its name says nothing that fits the scenario"
}

// configured reports whether l1 is rather the load as sent, since the file has
// another column of loads as configured.
func (g *guesser) configured(name string) bool {
	if !regexp.MustCompile(`^l\d*$`).MatchString(name) {
		return false
	}
	return slices.ContainsFunc(g.header, func(other string) bool {
		parts := tokensOf(other)
		return slices.ContainsFunc(parts, func(t string) bool {
			return slices.Contains([]string{"expected", "max", "configured", "offered", "target"}, t)
		}) &&
			slices.Contains(parts, "l")
	})
}

// numbered finds the field of a prefix by the names or numbers of services and
// nodes in the parts of a column's name.
func (g *guesser) numbered(prefix string, parts []string) (field, how string) {
	prefix, suffix, found := strings.Cut(prefix, "_")
	if found {
		suffix = "_" + suffix
	}
	number := ""
	for _, t := range parts {
		if _, err := strconv.Atoi(t); err != nil {
			continue
		}
		if prefix == "d" && slices.Contains([]string{"50", "90", "95", "99"}, t) {
			if _, _, err := g.plan.places(prefix + number + t); err != nil { // no service of that number
				suffix = "_p" + t
				continue
			}
		}
		number += t
	}
	if slices.Contains(parts, "median") {
		suffix = "_p50"
	}
	try := func(number, format string, args ...any) bool {
		name := prefix + number + suffix
		if _, _, err := g.plan.places(name); err != nil {
			return false
		}
		field, how = name, fmt.Sprintf(format, args...)
		return true
	}
	// Names of the scenario say more than numbers, which they may have.
	m, joined := g.space.Mesh(), strings.Join(parts, "")
	service, node := 0, 0
	for i, s := range m.ServiceNames() {
		if strings.Contains(joined, strings.Join(tokensOf(s), "")) {
			service = i + 1
		}
	}
	for j, n := range m.NodeNames() {
		if strings.Contains(joined, strings.Join(tokensOf(n), "")) {
			node = j + 1
		}
	}
	of := service
	if of == 0 && m.M() == 1 {
		of = 1
	}
	switch {
	case node > 0 && of > 0 && try(fmt.Sprintf("%d%d", of, node), " of service %d on node %d", of, node):
	case node > 0 && try(fmt.Sprint(node), " of node %d", node):
	case service > 0 && try(fmt.Sprint(service), " of service %d", service):
	case number != "":
		try(number, " of number %s", number)
	case g.long && try(numberSign, " of the row's service"):
	case g.long:
		try(numberSign+"1", " of the row's service and the first node")
	case of > 0:
		try(fmt.Sprint(of), " of the one service")
	}
	return field, how
}

// column is the entry of column k as a field, with what its values say of its
// unit.
func (g *guesser) column(k int, field string) (c Column, why []string) {
	c = Column{Column: g.header[k], Field: field}
	s := g.stats[k]
	if field == timeField || field == stepField {
		return c, nil
	}
	places, _, err := g.plan.places(field)
	if err != nil {
		return c, nil
	}
	f := g.plan.fields[places[0]]
	parts := tokensOf(c.Column)
	if s.numeric && s.markers != nil {
		c.Missing = s.markers
		why = append(why, fmt.Sprintf("%q stands where no number does", s.markers))
	}
	switch f.Kind {
	case trace.Seconds:
		for _, u := range delayUnits[1:] {
			if slices.Contains(parts, u.name) {
				c.Unit = u.name
				why = append(why, fmt.Sprintf("%q is in its name", u.name))
			}
		}
		if c.Unit == "" && s.median >= 10 && !slices.Contains(parts, "s") {
			c.Unit = "ms"
			why = append(why, fmt.Sprintf("half of its values are above %.3g, which is much for s", s.median))
		}
		c.Zero = "missing"
		if s.zeros > 0 {
			why = append(why, fmt.Sprintf("%d of %d rows have 0, in which nothing is answered", s.zeros, s.rows))
		}
		if s.min < 0 && s.numeric {
			c.Missing = append(c.Missing, strconv.FormatFloat(s.min, 'g', -1, 64))
			why = append(why, fmt.Sprintf("%v is no delay", s.min))
		}
	case trace.Fraction:
		if s.max > 1 && s.max <= 100 {
			c.Unit = "%"
			why = append(why, fmt.Sprintf("values go to %v", s.max))
		}
	case trace.Setting:
		if strings.HasPrefix(field, "cpu") && s.max >= 100 {
			c.Scale = .001
			why = append(why, fmt.Sprintf("values go to %v: thousandths of a core", s.max))
		}
	}
	return c, why
}

// services finds what names the service of a row, in a file that has a row for
// each.
func (g *guesser) services() {
	names := g.space.Mesh().ServiceNames()
	var columns []string
	entries := map[string]bool{}
	for k, name := range g.header {
		if g.stats[k].numeric || g.stats[k].numbers > 0 {
			continue
		}
		word := slices.ContainsFunc(tokensOf(name), func(t string) bool {
			return slices.Contains([]string{"name", "service", "app", "method", "entry", "endpoint", "workload"}, t)
		})
		if word || slices.ContainsFunc(g.cells[k], func(c string) bool { return slices.Contains(names, c) }) {
			columns = append(columns, name)
		}
	}
	if columns == nil {
		return
	}
	for r := range g.cells[0] {
		var parts []string
		for k, name := range g.header {
			if slices.Contains(columns, name) {
				parts = append(parts, g.cells[k][r])
			}
		}
		entries[strings.Join(parts, " ")] = true
	}
	g.long = true
	sv := &g.out.Mapping.Services
	sv.Columns = columns
	list := slices.Sorted(maps.Keys(entries))
	for _, entry := range list {
		joined := strings.Join(tokensOf(entry), "")
		for _, s := range names {
			if entry != s && strings.Contains(joined, strings.Join(tokensOf(s), "")) {
				if sv.Names == nil {
					sv.Names = map[string]string{}
				}
				sv.Names[entry] = s
			}
		}
	}
	if len(list) > 20 {
		list = append(list[:20], fmt.Sprintf("and %d more", len(list)-20))
	}
	g.note("services: %s name what a row is about; entries are %s; services of the scenario are %s: say in names which is which",
		strings.Join(columns, " and "), strings.Join(list, ", "), strings.Join(names, ", "))
}

// layouts of times that are looked for.
var layouts = []string{"rfc3339", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006/01/02 15:04:05", "02.01.2006 15:04:05", "01/02/2006 15:04:05"}

// times finds the unit of the time, and how far apart rows are.
func (g *guesser) times() {
	m := &g.out.Mapping
	at := slices.IndexFunc(m.Columns, func(c Column) bool { return c.Field == timeField })
	if at < 0 {
		if g.step > 0 && g.step != 5 {
			m.Row = g.step
			g.note("row: no time is in the file; rows are taken to last a step of the scenario, %v s", g.step)
		}
		return
	}
	c := &m.Columns[at]
	k := slices.Index(g.header, c.Column)
	s := g.stats[k]
	why := ""
	if s.numeric {
		for _, u := range []struct {
			unit string
			from float64
		}{{"unix ns", 1e17}, {"unix us", 1e14}, {"unix ms", 1e11}, {"unix", 1e8}, {"s", math.Inf(-1)}} {
			if s.min >= u.from {
				c.Unit, why = u.unit, fmt.Sprintf("values from %.6g", s.min)
				break
			}
		}
		if c.Unit == "s" && slices.Contains(tokensOf(c.Column), "ms") {
			c.Unit, why = "ms", "\"ms\" is in its name"
		}
	} else {
		for _, layout := range layouts {
			clock, _ := clockOf(layout, m.Decimal)
			if _, err := clock.parse(g.cells[k][0]); err == nil {
				c.Unit, why = layout, fmt.Sprintf("it reads %q", g.cells[k][0])
				break
			}
		}
	}
	for w := range g.out.Why {
		if g.out.Why[w].Field == timeField {
			g.out.Why[w].Why += "; " + why
		}
	}
	clock, err := clockOf(c.Unit, m.Decimal)
	if err != nil {
		return
	}
	var last time.Time
	var apart []float64
	for _, cell := range g.begin[k] {
		if t, err := clock.parse(cell); err == nil {
			if d := t.Sub(last).Seconds(); !last.IsZero() && d > 0 {
				apart = append(apart, d)
			}
			last = t
		}
	}
	if apart == nil {
		return
	}
	slices.Sort(apart)
	row := apart[len(apart)/2]
	if near := math.Round(row); near > 0 && math.Abs(row-near) < .1*near {
		row = near
	}
	m.Row = row
	g.note("row: half of the rows are %.6g s or less after the one before", row)
	if k := math.Round(g.step / row); k > 1 && math.Abs(g.step-k*row) < 1e-9 {
		m.Step = g.step
		g.note("step: %v rows make a step of the scenario, %v s", k, g.step)
	}
}

// rates finds loads that are counts of a row rather than rates: several times
// what was configured.
func (g *guesser) rates() {
	m := &g.out.Mapping
	for k := range m.Columns {
		c := &m.Columns[k]
		number, ok := strings.CutPrefix(c.Field, "lg")
		if !ok {
			continue
		}
		at := slices.IndexFunc(m.Columns, func(x Column) bool { return x.Field == "l"+number })
		if at < 0 {
			continue
		}
		asked, sent := g.stats[slices.Index(g.header, m.Columns[at].Column)], g.stats[slices.Index(g.header, c.Column)]
		row := m.defaults().Row
		if times := sent.median / asked.median; !(times > 1.5) || math.Abs(times/row-1) > .3 {
			continue
		} else {
			why := fmt.Sprintf("about %.3g times %s: requests of a row of %v s", times, m.Columns[at].Column, row)
			for _, field := range []string{c.Field, "cl" + number} {
				for x := range m.Columns {
					if m.Columns[x].Field == field {
						m.Columns[x].Unit = "requests/row"
					}
				}
				for w := range g.out.Why {
					if g.out.Why[w].Field == field {
						g.out.Why[w].Why += "; " + why
					}
				}
			}
		}
	}
}
