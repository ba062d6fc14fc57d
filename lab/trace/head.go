package trace

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The head of a trace file is lines that begin with #: the format's version,
// then one "key: value" each.

const (
	formatName    = "meshbench trace"
	formatVersion = 1
	units         = "l lg cl in requests/s; n blocked failed in requests per step; d in seconds; p b as fractions; empty is missing"
)

// Keys of the head.
const (
	keyServices  = "services"
	keyNodes     = "nodes"
	keyStep      = "step seconds"
	keyScale     = "time scale"
	keyTestbed   = "testbed"
	keyLoad      = "load"
	keyActions   = "actions"
	keySeed      = "seed"
	keyReference = "reference every"
	keyUnits     = "units"
)

var keys = []string{keyServices, keyNodes, keyStep, keyScale, keyTestbed, keyLoad, keyActions, keySeed, keyReference, keyUnits}

// Validate reports what a trace file could not carry: an invalid mesh, a name
// with a comma, a value with a line break, a length or scale that is not
// positive.
func (m Meta) Validate() error {
	m = m.defaults()
	if err := m.Mesh.Validate(); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	for _, name := range append(slices.Clone(m.Mesh.Services), m.Mesh.Nodes...) {
		if strings.ContainsAny(name, ",\r\n") || strings.TrimSpace(name) != name {
			return fmt.Errorf("trace: name %q; a name in a trace has no comma, line break or outer space", name)
		}
	}
	if !(m.StepSeconds > 0) || math.IsInf(m.StepSeconds, 1) {
		return fmt.Errorf("trace: %s is %v; accepted: a finite number > 0", keyStep, m.StepSeconds)
	}
	if !(m.TimeScale > 0) || math.IsInf(m.TimeScale, 1) {
		return fmt.Errorf("trace: %s is %v; accepted: a finite number > 0", keyScale, m.TimeScale)
	}
	if m.Reference < 0 {
		return fmt.Errorf("trace: %s is %d; accepted: a number of steps, 0 for never", keyReference, m.Reference)
	}
	for _, pair := range m.pairs() {
		if strings.ContainsAny(pair[0], ":\r\n") || strings.ContainsAny(pair[1], "\r\n") ||
			strings.TrimSpace(pair[0]) != pair[0] || strings.TrimSpace(pair[1]) != pair[1] || pair[0] == "" {
			return fmt.Errorf("trace: head entry %q: %q; accepted: one line, no colon in the key, no outer space", pair[0], pair[1])
		}
	}
	for key := range m.Extra {
		if slices.Contains(keys, key) {
			return fmt.Errorf("trace: extra head entry %q has the name of a fixed one", key)
		}
	}
	return nil
}

// pairs lists the entries of the head in the file's order; m has its defaults.
func (m Meta) pairs() [][2]string {
	list := [][2]string{
		{keyServices, strings.Join(m.Mesh.Services, ", ")},
		{keyNodes, strings.Join(m.Mesh.Nodes, ", ")},
		{keyStep, formatNumber(m.StepSeconds)},
		{keyScale, formatNumber(m.TimeScale)},
		{keyTestbed, m.Testbed},
		{keyLoad, m.Load},
		{keyActions, m.Actions},
		{keySeed, strconv.FormatUint(m.Seed, 10)},
		{keyReference, strconv.Itoa(m.Reference)},
	}
	for _, key := range slices.Sorted(maps.Keys(m.Extra)) {
		list = append(list, [2]string{key, m.Extra[key]})
	}
	return append(list, [2]string{keyUnits, units})
}

func formatNumber(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// appendHead writes the head and the line of column names.
func appendHead(dst []byte, m Meta) []byte {
	dst = fmt.Appendf(dst, "# %s %d\n", formatName, formatVersion)
	for _, pair := range m.pairs() {
		dst = append(dst, strings.TrimRight("# "+pair[0]+": "+pair[1], " ")...)
		dst = append(dst, '\n')
	}
	dst = append(dst, strings.Join(Columns(m.Mesh), ",")...)
	return append(dst, '\n')
}

// parseHead reads the leading # lines of a file and the column names after
// them. It returns the number of lines that it read.
func parseHead(text string) (meta Meta, header []string, lines int, err error) {
	values := map[string]string{}
	for {
		line, rest, _ := strings.Cut(text, "\n")
		line = strings.TrimSuffix(line, "\r")
		lines++
		comment, isHead := strings.CutPrefix(line, "#")
		if lines == 1 {
			if err := checkVersion(line); err != nil {
				return meta, nil, lines, err
			}
		} else if !isHead {
			if line == "" {
				return meta, nil, lines, fmt.Errorf("line %d: the names of the columns are missing", lines)
			}
			header = strings.Split(line, ",")
			break
		} else if key, value, ok := strings.Cut(comment, ":"); ok {
			key = strings.TrimSpace(key)
			if _, twice := values[key]; twice {
				return meta, nil, lines, fmt.Errorf("line %d: head entry %q is there twice", lines, key)
			}
			values[key] = strings.TrimSpace(value)
		}
		text = rest
	}
	meta, err = metaOf(values)
	return meta, header, lines, err
}

func checkVersion(line string) error {
	version, ok := strings.CutPrefix(line, "# "+formatName+" ")
	if !ok {
		return fmt.Errorf("line 1 is %.40q; a trace begins with \"# %s %d\" (the published trace is read by ImportKTH)", line, formatName, formatVersion)
	}
	v, err := strconv.Atoi(version)
	if err != nil || v < 1 {
		return fmt.Errorf("line 1: version %q; accepted: %d", version, formatVersion)
	}
	if v > formatVersion {
		return fmt.Errorf("line 1: version %d is newer than this program, which reads version %d", v, formatVersion)
	}
	return nil
}

func metaOf(values map[string]string) (Meta, error) {
	var m Meta
	var err error
	take := func(key, accepted string, parse func(string) error) {
		value, ok := values[key]
		delete(values, key)
		if err != nil {
			return
		}
		if !ok {
			err = fmt.Errorf("the head has no entry %q", key)
		} else if parse(value) != nil {
			err = fmt.Errorf("head entry %q is %q; accepted: %s", key, value, accepted)
		}
	}
	text := func(dst *string) func(string) error {
		return func(s string) error { *dst = s; return nil }
	}
	names := func(dst *[]string) func(string) error {
		return func(s string) error { *dst = strings.Split(s, ", "); return nil }
	}
	positive := func(dst *float64) func(string) error {
		return func(s string) (e error) {
			*dst, e = strconv.ParseFloat(s, 64)
			if e == nil && (!(*dst > 0) || math.IsInf(*dst, 1)) {
				e = strconv.ErrRange
			}
			return e
		}
	}
	take(keyServices, "names separated by commas", names(&m.Mesh.Services))
	take(keyNodes, "names separated by commas", names(&m.Mesh.Nodes))
	take(keyStep, "a finite number > 0", positive(&m.StepSeconds))
	take(keyScale, "a finite number > 0", positive(&m.TimeScale))
	take(keyTestbed, "", text(&m.Testbed))
	take(keyLoad, "", text(&m.Load))
	take(keyActions, "", text(&m.Actions))
	take(keySeed, "a whole number >= 0", func(s string) (e error) { m.Seed, e = strconv.ParseUint(s, 10, 64); return e })
	take(keyReference, "a whole number >= 0", func(s string) error {
		v, e := strconv.ParseUint(s, 10, 31)
		m.Reference = int(v)
		return e
	})
	delete(values, keyUnits)
	if len(values) > 0 {
		m.Extra = values
	}
	if err == nil {
		err = m.Validate()
	}
	return m, err
}

// timeLayout keeps milliseconds; times are written in UTC.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// resolution is that of times in a file, in seconds: far below what can be
// measured over a network, and half the digits of a float64.
const resolution = 1e-7

// appendRow writes row r of t as one line.
func appendRow(dst []byte, t *Table, r int, list []column) []byte {
	dst = strconv.AppendInt(dst, int64(t.step[r]), 10)
	dst = append(dst, ',')
	if !t.start[r].IsZero() {
		dst = t.start[r].UTC().AppendFormat(dst, timeLayout)
	}
	for _, c := range list {
		dst = append(dst, ',')
		v := *c.cell(t, r)
		if math.IsNaN(v) {
			continue
		}
		if c.kind == seconds {
			v = math.Round(v/resolution) / (1 / resolution)
			dst = strconv.AppendFloat(dst, v, 'f', -1, 64)
		} else {
			dst = strconv.AppendFloat(dst, v, 'g', -1, 64)
		}
	}
	dst = append(dst, ',')
	dst = append(dst, quote(t.mark[r])...)
	return append(dst, '\n')
}

// quote makes a mark one CSV field on one line.
func quote(s string) string {
	if s == "" {
		return ""
	}
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
	if strings.ContainsAny(s, `,"`) {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, s)
}

// sameTrace reports in what the heads of two traces differ, "" when in nothing.
func sameTrace(have, want Meta) string {
	a, b := have.defaults().pairs(), want.defaults().pairs()
	ma := map[string]string{}
	for _, p := range a {
		ma[p[0]] = p[1]
	}
	for _, p := range b {
		v, ok := ma[p[0]]
		if !ok {
			return fmt.Sprintf("it has no %q, to be %q", p[0], p[1])
		}
		if v != p[1] {
			return fmt.Sprintf("its %s is %q, not %q", p[0], v, p[1])
		}
		delete(ma, p[0])
	}
	for _, key := range slices.Sorted(maps.Keys(ma)) {
		return fmt.Sprintf("its %s is %q, which is not expected", key, ma[key])
	}
	return ""
}
