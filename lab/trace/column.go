package trace

import (
	"fmt"
	"math"
	"strings"

	"github.com/meshbench/meshbench/lab/mesh"
)

// kind is what a numeric column holds.
type kind int

const (
	rate     kind = iota // requests/s
	count                // requests per step
	fraction             // of requests, in [0, 1]
	seconds
	percentage // in the published trace only
)

func (k kind) holds(v float64) bool {
	limit := math.MaxFloat64
	switch k {
	case fraction:
		limit = 1
	case percentage:
		limit = 100
	}
	return v >= 0 && v <= limit
}

func (k kind) accepted() string {
	return [...]string{
		"a finite number >= 0 in requests/s",
		"a finite number >= 0 of requests",
		"a fraction in [0, 1]",
		"a finite number >= 0 in seconds",
		"a percentage in [0, 100]",
	}[k]
}

// column is one numeric column of a trace file.
type column struct {
	name     string
	kind     kind
	required bool // never missing: what was configured, not measured
	cell     func(t *Table, r int) *float64
}

func (c column) accepted() string {
	if c.required {
		return c.kind.accepted()
	}
	return c.kind.accepted() + ", or empty where it is missing"
}

// delayParts are the columns of one mesh.Delay: the suffix of the column's name
// and the cell.
var delayParts = []struct {
	suffix string
	kind   kind
	cell   func(d *mesh.Delay) *float64
}{
	{"_n", count, func(d *mesh.Delay) *float64 { return &d.Count }},
	{"", seconds, func(d *mesh.Delay) *float64 { return &d.Mean }},
	{"_p50", seconds, func(d *mesh.Delay) *float64 { return &d.P50 }},
	{"_p95", seconds, func(d *mesh.Delay) *float64 { return &d.P95 }},
	{"_p99", seconds, func(d *mesh.Delay) *float64 { return &d.P99 }},
}

// columns lists the numeric columns of a trace of mesh m in the file's order.
func columns(m mesh.Mesh) []column {
	var list []column
	M, N := m.M(), m.N()
	perService := func(name func(i int) string, k kind, required bool, slab func(t *Table) []float64) {
		for i := range M {
			list = append(list, column{name(i), k, required, func(t *Table, r int) *float64 { return &slab(t)[r*M+i] }})
		}
	}
	numbered := func(prefix string) func(i int) string {
		return func(i int) string { return fmt.Sprintf("%s%d", prefix, i+1) }
	}
	perService(m.LoadName, rate, true, func(t *Table) []float64 { return t.load })
	perService(numbered("lg"), rate, false, func(t *Table) []float64 { return t.generated })
	perService(m.CarriedName, rate, false, func(t *Table) []float64 { return t.carried })
	perService(numbered("blocked"), count, false, func(t *Table) []float64 { return t.blocked })
	perService(numbered("failed"), count, false, func(t *Table) []float64 { return t.failed })
	for i := range M {
		for j := range N {
			k := i*N + j
			list = append(list, column{m.RouteName(i, j), fraction, true, func(t *Table, r int) *float64 { return &t.route[r*M*N+k] }})
		}
	}
	perService(m.BlockName, fraction, true, func(t *Table) []float64 { return t.block })
	for i := range M {
		for _, p := range delayParts {
			list = append(list, column{m.DelayName(i) + p.suffix, p.kind, false,
				func(t *Table, r int) *float64 { return p.cell(&t.service[r*M+i]) }})
		}
	}
	for i := range M {
		for j := range N {
			k := i*N + j
			for _, p := range delayParts {
				list = append(list, column{m.NodeDelayName(i, j) + p.suffix, p.kind, false,
					func(t *Table, r int) *float64 { return p.cell(&t.node[r*M*N+k]) }})
			}
		}
	}
	return list
}

// Columns lists the columns of a trace of mesh m in the file's order: step,
// start, the numeric columns, mark.
func Columns(m mesh.Mesh) []string {
	names := []string{"step", "start"}
	for _, c := range columns(m) {
		names = append(names, c.name)
	}
	return append(names, "mark")
}

// find returns the named numeric column of t.
func (t *Table) find(name string) (column, error) {
	list := columns(t.meta.Mesh)
	names := make([]string, len(list))
	for k, c := range list {
		if c.name == name {
			return c, nil
		}
		names[k] = c.name
	}
	return column{}, fmt.Errorf("trace: no numeric column %q%s; columns: %s", name, suggest(name, names), strings.Join(names, ", "))
}

// Column returns a copy of a numeric column, NaN where a value is missing. The
// error for an unknown name lists the columns.
func (t *Table) Column(name string) ([]float64, error) {
	c, err := t.find(name)
	if err != nil {
		return nil, err
	}
	v := make([]float64, t.Len())
	for r := range v {
		v[r] = *c.cell(t, r)
	}
	return v, nil
}

// suggest is " (did you mean "x"?)" for the name closest to a misspelt one, ""
// when none is close.
func suggest(name string, names []string) string {
	best, distance := "", 3
	for _, n := range names {
		if d := edits(strings.ToLower(name), strings.ToLower(n)); d < distance && d < len(n) {
			best, distance = n, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// edits is the Levenshtein distance of two names.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
