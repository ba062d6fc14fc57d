// Package request has the requests of a service as data: what is asked for, by
// which method and path, with which headers and body, what answer is expected,
// and in which mix. Paths, headers and bodies are templates whose values are
// drawn from a seed, so that a run can be repeated request by request.
//
//	requests:
//	  - path: /product/{id}?lang={lang}
//	    weight: 8
//	    values: {id: {min: 1, max: 500}, lang: [en, sv]}
//	  - weight: 1
//	    values: {user: {csv: users.csv, column: name}}
//	    pause: 0.5
//	    session:
//	      - {method: POST, path: /cart, headers: {Content-Type: application/json}, body: '{"user": "{user}"}', expect: [201]}
//	      - {path: "/checkout/{user}"}
//
// An entry with a session stands for requests that follow each other. Sessions
// arrive by themselves, whatever becomes of others; within one a request is due
// a pause after the answer to the one before: the partly-open system of
// Schroeder, Wierman and Harchol-Balter, Open Versus Closed (NSDI 2006).
package request

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mix is what a service is asked for: for every arrival one of its entries, drawn
// by weight. An empty mix asks for the items of this project's own services.
type Mix []Entry

// Entry is a request, or a session of several.
type Entry struct {
	Request `yaml:",inline"`
	Weight  float64           `yaml:"weight" json:",omitempty"`  // share of the arrivals, relative to the other entries; default 1
	Values  map[string]Values `yaml:"values" json:",omitempty"`  // of {name} in paths, headers and bodies, the same throughout a session
	Session []Request         `yaml:"session" json:",omitempty"` // requests in order, in place of the one above; each session has its own cookies
	Pause   float64           `yaml:"pause" json:",omitempty"`   // s from an answer to when the next request of the session is due; default 0
}

// Request is one request. A value's name in braces stands for the value: in a
// path and query escaped, in headers and body as it is.
type Request struct {
	Method  string            `yaml:"method" json:",omitempty"` // default GET
	Path    string            `yaml:"path" json:",omitempty"`   // with the query, from / on
	Headers map[string]string `yaml:"headers" json:",omitempty"`
	Body    string            `yaml:"body" json:",omitempty"`
	Expect  []int             `yaml:"expect" json:",omitempty"` // statuses of a good answer; default 200
}

// Values are what a name in a template stands for, drawn uniformly: those of a
// list, or the whole numbers from Min to Max.
type Values struct {
	List   []string `yaml:"list" json:",omitempty"`
	Min    int64    `yaml:"min" json:",omitempty"`
	Max    int64    `yaml:"max" json:",omitempty"`
	CSV    string   `yaml:"csv" json:"-"`    // a file with a list, which Load reads
	Column string   `yaml:"column" json:"-"` // of it; default the first
}

// UnmarshalYAML also takes a list alone.
func (v *Values) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.SequenceNode {
		return n.Decode(&v.List)
	}
	if n.Kind == yaml.MappingNode {
		// A node's own decoder passes over keys that it does not know.
		for k := 0; k < len(n.Content); k += 2 {
			if key := n.Content[k]; !slices.Contains(valueKeys, key.Value) {
				return fmt.Errorf("line %d: unknown key %q of a value; accepted: %s, or a list alone", key.Line, key.Value, strings.Join(valueKeys, ", "))
			}
		}
	}
	type plain Values
	return n.Decode((*plain)(v))
}

var valueKeys = []string{"list", "min", "max", "csv", "column"}

// requests are those of an arrival.
func (e Entry) requests() []Request {
	if e.Session != nil {
		return e.Session
	}
	return []Request{e.Request}
}

// maxSession bounds the requests of a session.
const maxSession = 100

// Plan is a mix that was checked, ready to draw from. It may be used by several
// goroutines.
type Plan struct {
	entries []entry
	total   float64 // of the weights
	length  float64
}

type entry struct {
	weight, pause float64
	names         []string // of values, in the order in which they are drawn
	values        []Values
	calls         []call
}

type call struct {
	method      string
	path, query template
	headers     http.Header         // without values
	filled      map[string]template // with values
	body        template
	expect      []int
	hasQuery    bool
}

// Call is a request that was drawn.
type Call struct {
	Method string
	Path   string // with the query
	Header http.Header
	Body   string
	Expect []int
}

// Expected reports whether a status is that of a good answer.
func (c Call) Expected(status int) bool { return slices.Contains(c.Expect, status) }

// Compile checks a mix: the error says which entry is wrong, by what, and what is
// accepted. Lists of files must have been loaded.
func Compile(m Mix) (*Plan, error) {
	p := &Plan{}
	for n, e := range m {
		x, err := compileEntry(e)
		if err != nil {
			return nil, fmt.Errorf("request %d: %w", n+1, err)
		}
		p.entries = append(p.entries, x)
		p.total += x.weight
		p.length += x.weight * float64(len(x.calls))
	}
	if len(m) == 0 {
		return nil, fmt.Errorf("no request")
	}
	p.length /= p.total
	return p, nil
}

func compileEntry(e Entry) (x entry, err error) {
	x = entry{weight: e.Weight, pause: e.Pause, names: slices.Sorted(maps.Keys(e.Values))}
	if x.weight == 0 {
		x.weight = 1
	}
	one := e.Request
	switch {
	case !(x.weight > 0) || math.IsInf(x.weight, 1):
		return x, fmt.Errorf("weight %v; accepted: above 0", e.Weight)
	case !(e.Pause >= 0 && e.Pause <= 3600):
		return x, fmt.Errorf("pause %v s; accepted: 0 to 3600", e.Pause)
	case e.Session != nil && (one.Method != "" || one.Path != "" || one.Body != "" || one.Headers != nil || one.Expect != nil):
		return x, fmt.Errorf("it has a session and a request of its own; accepted: one of them")
	case e.Session != nil && (len(e.Session) == 0 || len(e.Session) > maxSession):
		return x, fmt.Errorf("a session of %d requests; accepted: 1 to %d", len(e.Session), maxSession)
	}
	for _, name := range x.names {
		v := e.Values[name]
		if !valueName.MatchString(name) {
			return x, fmt.Errorf("value %q; accepted: names of letters, digits and _, not with a digit first", name)
		}
		switch {
		case v.CSV != "" && v.List == nil:
			return x, fmt.Errorf("value %q: the file %s was not loaded", name, v.CSV)
		case v.List != nil && (v.Min != 0 || v.Max != 0):
			return x, fmt.Errorf("value %q has a list and a range; accepted: one of them", name)
		case v.List != nil && len(v.List) == 0:
			return x, fmt.Errorf("value %q: an empty list", name)
		case v.List == nil && (v.Max < v.Min || v.Min == 0 && v.Max == 0):
			return x, fmt.Errorf("value %q: from %d to %d; accepted: a list, min and max, or csv", name, v.Min, v.Max)
		}
		x.values = append(x.values, v)
	}
	used := map[int]bool{}
	for k, r := range e.requests() {
		c, err := compileCall(r, x.names, used)
		if err != nil && e.Session != nil {
			return x, fmt.Errorf("request %d of the session: %w", k+1, err)
		}
		if err != nil {
			return x, err
		}
		x.calls = append(x.calls, c)
	}
	for n, name := range x.names {
		if !used[n] {
			return x, fmt.Errorf("value %q is used nowhere", name)
		}
	}
	return x, nil
}

var methodToken = regexp.MustCompile(`^[A-Za-z]+$`)

func compileCall(r Request, names []string, used map[int]bool) (c call, err error) {
	c = call{method: r.Method, expect: r.Expect, headers: http.Header{}, filled: map[string]template{}}
	if c.method == "" {
		c.method = http.MethodGet
	}
	if c.expect == nil {
		c.expect = []int{http.StatusOK}
	}
	if !methodToken.MatchString(c.method) {
		return c, fmt.Errorf("method %q; accepted: GET, POST and others of letters alone", r.Method)
	}
	for _, status := range c.expect {
		if status < 200 || status > 599 {
			return c, fmt.Errorf("expected status %d; accepted: 200 to 599", status)
		}
	}
	if !strings.HasPrefix(r.Path, "/") || strings.ContainsAny(r.Path, "#\r\n\t ") {
		return c, fmt.Errorf("path %q; accepted: from / on, with a query or without, no space", r.Path)
	}
	parse := func(what, text string) template {
		t, e := parseTemplate(text, names, used)
		if e != nil && err == nil {
			err = fmt.Errorf("%s: %w", what, e)
		}
		return t
	}
	path, query, hasQuery := strings.Cut(r.Path, "?")
	c.path, c.query, c.hasQuery = parse("path", path), parse("path", query), hasQuery
	c.body = parse("body", r.Body)
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		value := r.Headers[name]
		if !headerName.MatchString(name) || strings.ContainsAny(value, "\r\n") {
			return c, fmt.Errorf("header %q: %q; accepted: a name without spaces, a value of one line", name, value)
		}
		if t := parse("header "+name, value); t.fixed() {
			c.headers.Set(name, value)
		} else {
			c.filled[http.CanonicalHeaderKey(name)] = t
		}
	}
	if err == nil {
		_, e := url.ParseRequestURI(path)
		bad := e != nil && c.path.fixed()
		for _, text := range c.path.text { // values come escaped, whole
			_, e := url.PathUnescape(text)
			bad = bad || e != nil
		}
		if bad {
			err = fmt.Errorf("path %q is none of a URL; accepted: %% before two hexadecimal digits, %%25 for itself", r.Path)
		}
	}
	return c, err
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// Length is the mean number of requests of an arrival, above 1 where there are
// sessions.
func (p *Plan) Length() float64 { return p.length }

// stream keeps these draws apart from others of the same number.
const stream = 0x72657175657374

// Draw is the requests of an arrival, in order, and the s between them. It is a
// pure function of draw.
func (p *Plan) Draw(draw uint64) (calls []Call, pause float64) {
	random := rand.New(rand.NewPCG(draw, stream))
	at := random.Float64() * p.total
	e := &p.entries[len(p.entries)-1]
	for k := range p.entries {
		if at -= p.entries[k].weight; at < 0 {
			e = &p.entries[k]
			break
		}
	}
	values := make([]string, len(e.values))
	for k, v := range e.values {
		if v.List != nil {
			values[k] = v.List[random.IntN(len(v.List))]
		} else {
			values[k] = strconv.FormatInt(v.Min+int64(random.Uint64N(uint64(v.Max-v.Min)+1)), 10)
		}
	}
	for _, c := range e.calls {
		out := Call{Method: c.method, Path: c.path.fill(values, url.PathEscape), Header: c.headers, Body: c.body.fill(values, nil), Expect: c.expect}
		if c.hasQuery {
			out.Path += "?" + c.query.fill(values, url.QueryEscape)
		}
		if len(c.filled) > 0 {
			out.Header = c.headers.Clone()
			for name, t := range c.filled {
				out.Header.Set(name, oneLine.Replace(t.fill(values, nil)))
			}
		}
		calls = append(calls, out)
	}
	return calls, e.pause
}

// oneLine keeps values from ending a header.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// Matcher tells which requests are of a mix, by method and path.
type Matcher struct {
	list  []match
	hosts []string
}

type match struct {
	method string
	path   *regexp.Regexp
}

// NewMatcher returns the matcher of a mix that compiles.
func NewMatcher(m Mix) (*Matcher, error) {
	p, err := Compile(m)
	if err != nil {
		return nil, err
	}
	x := &Matcher{}
	for _, e := range p.entries {
		for _, c := range e.calls {
			x.list = append(x.list, match{c.method, c.path.pattern()})
			if host := c.headers.Get("Host"); host != "" {
				x.hosts = append(x.hosts, host)
			}
		}
	}
	return x, nil
}

// Match reports whether a request could be one of the mix.
func (m *Matcher) Match(method, path string) bool {
	return slices.ContainsFunc(m.list, func(x match) bool { return x.method == method && x.path.MatchString(path) })
}

// Host reports whether a request of the mix says that host in its headers.
func (m *Matcher) Host(name string) bool { return slices.Contains(m.hosts, name) }
