package trace

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/meshbench/meshbench/lab/internal/csvfile"
	"github.com/meshbench/meshbench/lab/mesh"
)

const (
	formatName    = "meshbench trace"
	formatVersion = 2
	commonUnits   = "l lg cl in requests/s; n blocked failed in requests per step; d in seconds; p b as fractions; empty is missing"
)

// Keys of the head.
const (
	keyServices  = "services" // services and nodes in version 1 only
	keyNodes     = "nodes"
	keyScenario  = "scenario"
	keySpace     = "space"
	keyStep      = "step seconds"
	keyScale     = "time scale"
	keyTestbed   = "testbed"
	keyLoad      = "load"
	keyActions   = "actions"
	keySeed      = "seed"
	keyReference = "reference every"
	keyPlatform  = "platform"
	keyUnits     = "units"
)

var keys = []string{keyServices, keyNodes, keyScenario, keySpace, keyStep, keyScale, keyTestbed, keyLoad, keyActions, keySeed, keyReference, keyPlatform, keyUnits}

// Validate reports what a trace file could not carry: no space, one that a file
// does not give back or that has two columns of one name, a value with a line
// break, a length or scale that is not positive.
func (m Meta) Validate() error {
	if m.Space == nil {
		return fmt.Errorf("trace: no space; a trace is of a mesh and its knobs")
	}
	m = m.defaults()
	text, err := json.Marshal(m.Space)
	if err != nil {
		return fmt.Errorf("trace: the space as JSON: %w", err)
	}
	var back mesh.Space
	if err := json.Unmarshal(text, &back); err != nil {
		return fmt.Errorf("trace: the space as JSON: %w", err)
	}
	if !back.Same(m.Space) {
		return fmt.Errorf("trace: %s reads back from a file as %s; accepted: names in UTF-8", spaceText(m.Space), spaceText(&back))
	}
	for _, name := range m.Platform {
		if !platformName.MatchString(name) {
			return fmt.Errorf("trace: column %s of the platform; accepted: small letters, digits and _, a letter first", csvfile.Quote(name))
		}
	}
	if err := csvfile.Twice(columnNames(m.columns())); err != nil {
		return fmt.Errorf("trace: of %s: %w", spaceText(m.Space), err)
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
	for _, pair := range m.pairs(formatVersion) {
		if strings.ContainsAny(pair[0], ":\r\n") || strings.ContainsAny(pair[1], "\r\n") ||
			strings.TrimSpace(pair[0]) != pair[0] || strings.TrimSpace(pair[1]) != pair[1] || pair[0] == "" {
			return fmt.Errorf("trace: head entry %s: %s; accepted: one line, no colon in the key, no outer space", csvfile.Quote(pair[0]), csvfile.Quote(pair[1]))
		}
	}
	for key := range m.Extra {
		if slices.Contains(keys, key) {
			return fmt.Errorf("trace: extra head entry %q has the name of a fixed one", key)
		}
	}
	return nil
}

var platformName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// spaceText is a space in an error.
func spaceText(s *mesh.Space) string { return csvfile.Cut(s.String(), 300) }

// what says what a trace is of, in an error.
func (m Meta) what() string {
	if m.Scenario == "" {
		return spaceText(m.Space)
	}
	return fmt.Sprintf("scenario %s, %s", csvfile.Short(m.Scenario), spaceText(m.Space))
}

// pairs lists the entries of the head in the file's order; m has its defaults.
func (m Meta) pairs(version int) [][2]string {
	var list [][2]string
	if version == 1 {
		list = append(list,
			[2]string{keyServices, strings.Join(m.Space.Mesh().ServiceNames(), ", ")},
			[2]string{keyNodes, strings.Join(m.Space.Mesh().NodeNames(), ", ")})
	} else {
		space, err := json.Marshal(m.Space)
		if err != nil {
			panic("trace: " + err.Error()) // Validate reports it
		}
		list = append(list, [2]string{keyScenario, m.Scenario}, [2]string{keySpace, string(space)})
	}
	list = append(list, [][2]string{
		{keyStep, formatNumber(m.StepSeconds)},
		{keyScale, formatNumber(m.TimeScale)},
		{keyTestbed, m.Testbed},
		{keyLoad, m.Load},
		{keyActions, m.Actions},
		{keySeed, strconv.FormatUint(m.Seed, 10)},
		{keyReference, strconv.Itoa(m.Reference)},
	}...)
	if m.Platform != nil {
		list = append(list, [2]string{keyPlatform, strings.Join(m.Platform, ", ")})
	}
	for _, key := range slices.Sorted(maps.Keys(m.Extra)) {
		list = append(list, [2]string{key, m.Extra[key]})
	}
	return append(list, [2]string{keyUnits, m.units()})
}

// units says what columns are measured in.
func (m Meta) units() string {
	text := commonUnits
	seen := map[mesh.Kind]bool{}
	for _, k := range m.Space.Knobs() {
		if k.Info.Unit != "" && !seen[k.Kind] {
			text += fmt.Sprintf("; %s in %s", k.Info.Prefix, k.Info.Unit)
		}
		seen[k.Kind] = true
	}
	return text
}

func formatNumber(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// appendHead writes the head and the line of column names.
func appendHead(dst []byte, m Meta) []byte {
	dst = fmt.Appendf(dst, "# %s %d\n", formatName, formatVersion)
	for _, pair := range m.pairs(formatVersion) {
		dst = append(dst, strings.TrimRight("# "+pair[0]+": "+pair[1], " ")...)
		dst = append(dst, '\n')
	}
	for k, name := range columnNames(m.columns()) {
		if k > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, csvfile.Field(name)...)
	}
	return append(dst, '\n')
}

// fileHead is the head of a file: what its leading lines say, and the names of
// its columns.
type fileHead struct {
	version int
	meta    Meta
	header  []string
	line    int // of the header
}

// readHead reads the leading # lines of a file and the column names after them.
func readHead(in *csvfile.Reader) (h fileHead, err error) {
	values := map[string]string{}
	for first := true; ; first = false {
		line, ok, err := in.Comment()
		if err != nil {
			return h, err
		}
		if first {
			if h.version, err = checkVersion(in, line, ok); err != nil {
				return h, err
			}
		}
		if !ok {
			break
		}
		key, value, found := strings.Cut(line, ":")
		if key = strings.TrimSpace(key); first || !found {
			continue
		}
		if _, twice := values[key]; twice {
			return h, fmt.Errorf("line %d: head entry %s is there twice", in.Line(), csvfile.Quote(key))
		}
		values[key] = strings.TrimSpace(value)
	}
	header, err := in.Read()
	if err != nil {
		return h, noEOF(err, fmt.Errorf("line %d: the names of the columns are missing", in.Next()))
	}
	h.header, h.line = slices.Clone(header), in.Line()
	h.meta, err = metaOf(values, h.version)
	return h, err
}

// checkVersion reads the first line of a file.
func checkVersion(in *csvfile.Reader, comment string, ok bool) (int, error) {
	version, ok2 := strings.CutPrefix(comment, " "+formatName+" ")
	if !ok || !ok2 {
		line := "#" + comment
		if !ok {
			cells, err := in.Read()
			if err != nil && len(cells) == 0 {
				return 0, noEOF(err, fmt.Errorf("the file is empty; line 1 of a trace is \"# %s %d\"", formatName, formatVersion))
			}
			line = strings.Join(cells, ",")
		}
		return 0, fmt.Errorf("line %d is %s; a trace begins with \"# %s %d\" (meshbench import makes one of another CSV file)",
			in.Line(), csvfile.Quote(line), formatName, formatVersion)
	}
	v, err := strconv.Atoi(version)
	if err != nil || v < 1 {
		return 0, fmt.Errorf("line 1: version %s; accepted: 1 to %d", csvfile.Quote(version), formatVersion)
	}
	if v > formatVersion {
		return 0, fmt.Errorf("line 1: version %d is newer than this program, which reads versions 1 to %d", v, formatVersion)
	}
	return v, nil
}

func metaOf(values map[string]string, version int) (Meta, error) {
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
		} else if e := parse(value); e != nil {
			err = fmt.Errorf("head entry %q is %s; accepted: %s", key, csvfile.Quote(value), accepted)
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
	if version == 1 {
		var services, nodes []string
		take(keyServices, "names separated by commas", names(&services))
		take(keyNodes, "names separated by commas", names(&nodes))
		if err == nil {
			m.Space, err = mesh.NewSpace(mesh.Single(services, nodes), mesh.Knob{Kind: mesh.Route}, mesh.Knob{Kind: mesh.Block})
			if err != nil {
				err = fmt.Errorf("head entries %q and %q: %s", keyServices, keyNodes, csvfile.Cut(err.Error(), 300))
			}
		}
	} else {
		take(keyScenario, "", text(&m.Scenario))
		take(keySpace, "a mesh and its knobs as JSON", func(s string) error {
			m.Space = new(mesh.Space)
			if e := json.Unmarshal([]byte(s), m.Space); e != nil {
				err = fmt.Errorf("head entry %q: %s", keySpace, csvfile.Cut(e.Error(), 300))
			}
			return nil
		})
	}
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
	if _, ok := values[keyPlatform]; ok {
		take(keyPlatform, "names separated by commas", names(&m.Platform))
	}
	delete(values, keyUnits)
	if len(values) > 0 {
		m.Extra = values
	}
	if err != nil {
		return m, err
	}
	return m, m.Validate()
}

// other reports in what another trace, whose head is to be m, differs from the
// file, "" when in nothing. Version 1 does not say which scenario a trace is of,
// nor the knobs' points.
func (h fileHead) other(m Meta) string {
	m = m.defaults()
	have := map[string]string{}
	for _, p := range h.meta.defaults().pairs(h.version) {
		have[p[0]] = p[1]
	}
	if !h.meta.Space.Same(m.Space) {
		return fmt.Sprintf("it is of %s, not %s", h.meta.what(), m.what())
	}
	for _, p := range m.pairs(h.version) {
		v, ok := have[p[0]]
		if _, extra := m.Extra[p[0]]; !ok && extra && h.version == 1 {
			continue // what its writers did not know of
		}
		if !ok {
			return fmt.Sprintf("it has no %s, to be %s", csvfile.Quote(p[0]), csvfile.Quote(p[1]))
		}
		if v != p[1] && p[0] == keySpace {
			return "its knobs have other points, or move in another way"
		}
		if v != p[1] {
			return fmt.Sprintf("its %s is %s, not %s", p[0], csvfile.Quote(v), csvfile.Quote(p[1]))
		}
		delete(have, p[0])
	}
	for _, key := range slices.Sorted(maps.Keys(have)) {
		return fmt.Sprintf("its %s is %s, which is not expected", csvfile.Short(key), csvfile.Quote(have[key]))
	}
	return ""
}
