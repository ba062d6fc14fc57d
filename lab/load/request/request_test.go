package request

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func parse(t testing.TB, text string) Mix {
	t.Helper()
	var m Mix
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

const shop = `
- path: /product/{id}?lang={lang}&x={{}}
  weight: 3
  values: {id: {min: 1, max: 4}, lang: [en, "å ä"]}
  headers: {Accept: text/html, X-Lang: "{lang}"}
- values: {user: [anna, "b/c"]}
  pause: 0.5
  session:
    - {method: POST, path: /cart, body: '{"user": "{user}", "n": {"x": 1}}', expect: [200, 201]}
    - {path: "/checkout/{user}"}
`

// Draws follow the weights and values, are functions of their number, and keep
// values throughout a session.
func TestDraw(t *testing.T) {
	p, err := Compile(parse(t, shop))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := p.Length(), (3*1+1*2)/4.; got != want {
		t.Errorf("%v requests to an arrival, want %v", got, want)
	}
	seen := map[string]int{}
	const n = 8000
	for draw := range uint64(n) {
		calls, pause := p.Draw(draw)
		again, _ := p.Draw(draw)
		if !reflect.DeepEqual(calls, again) {
			t.Fatalf("draw %d: %v, then %v", draw, calls, again)
		}
		for _, c := range calls {
			seen[c.Method+" "+c.Path]++
		}
		if len(calls) == 1 {
			c := calls[0]
			lang := "en"
			if strings.Contains(c.Path, "%") {
				lang = "å ä"
			}
			if c.Header.Get("X-Lang") != lang || c.Header.Get("Accept") != "text/html" || c.Body != "" || !c.Expected(200) || c.Expected(201) {
				t.Fatalf("%+v", c)
			}
			continue
		}
		user := map[string]string{"/checkout/anna": "anna", "/checkout/b%2Fc": "b/c"}[calls[1].Path]
		if want := `{"user": "` + user + `", "n": {"x": 1}}`; calls[0].Body != want || pause != .5 || !calls[0].Expected(201) {
			t.Fatalf("%+v, pause %v, want body %s", calls, pause, want)
		}
	}
	want := map[string]float64{"POST /cart": .25, "GET /checkout/anna": .125, "GET /checkout/b%2Fc": .125}
	for id := 1; id <= 4; id++ {
		want[fmt.Sprintf("GET /product/%d?lang=en&x={{}}", id)] = .75 / 8
		want[fmt.Sprintf("GET /product/%d?lang=%%C3%%A5+%%C3%%A4&x={{}}", id)] = .75 / 8
	}
	for path, share := range want {
		// Five standard deviations.
		if got := float64(seen[path]) / n; math.Abs(got-share) > 5*math.Sqrt(share*(1-share)/n) {
			t.Errorf("%s comes in %.3f of arrivals, want %.3f", path, got, share)
		}
		delete(seen, path)
	}
	if len(seen) > 0 {
		t.Errorf("also %v", seen)
	}
}

func TestCompileRefuses(t *testing.T) {
	for _, c := range []struct{ text, words string }{
		{"[]", "no request"},
		{"[{}]", `request 1: path ""; accepted: from / on`},
		{"[{path: /a}, {path: b}]", `request 2: path "b"`},
		{"[{path: /a b}]", "no space"},
		{"[{path: '/{id}'}]", `path: no value "id"`},
		{"[{path: /a, body: '{id}', values: {no: [1]}}]", `body: no value "id"; there are values of: no`},
		{"[{path: /a, values: {id: [1]}}]", `value "id" is used nowhere`},
		{"[{path: '/{id}', values: {id: []}}]", "an empty list"},
		{"[{path: '/{id}', values: {id: {min: 5, max: 1}}}]", "from 5 to 1"},
		{"[{path: '/{id}', values: {id: {}}}]", "accepted: a list, min and max, or csv"},
		{"[{path: '/{id}', values: {id: {list: [a], max: 1}}}]", "a list and a range"},
		{"[{path: '/{id}', values: {id: {csv: x.csv}}}]", "x.csv was not loaded"},
		{"[{path: /a, values: {a-b: [1]}}]", `value "a-b"; accepted: names`},
		{"[{path: /a, weight: -1}]", "weight -1"},
		{"[{path: /a, pause: -1}]", "pause -1"},
		{"[{path: /a, method: 'GET /'}]", `method "GET /"`},
		{"[{path: /a, expect: [20]}]", "expected status 20"},
		{"[{path: /a, headers: {'a b': x}}]", `header "a b"`},
		{"[{path: /a, session: [{path: /b}]}]", "a session and a request of its own"},
		{"[{session: []}]", "a session of 0 requests"},
		{"[{session: [{path: /b}, {path: c}]}]", `request 1: request 2 of the session: path "c"`},
	} {
		if _, err := Compile(parse(t, c.text)); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%s: %v, want %q", c.text, err, c.words)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"users.csv": "id,name\n1,anna\n2,\"b, c\"\n", "empty.csv": "id\n", "bad.csv": "id\n1,2\n", "ca.pem": "-----BEGIN CERTIFICATE-----\nx\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := Load(parse(t, "[{path: '/{u}/{i}', values: {u: {csv: users.csv, column: name}, i: {csv: users.csv}}}]"), dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(m[0].Values["u"].List, m[0].Values["i"].List); got != "[anna b, c] [1 2]" {
		t.Errorf("loaded %s", got)
	}
	for _, c := range []struct{ value, words string }{
		{"{csv: none.csv}", "none.csv"},
		{"{csv: users.csv, column: nam}", `no column "nam" (did you mean "name"?)`},
		{"{csv: empty.csv}", "no row after the header"},
		{"{csv: bad.csv}", "line 2 has 2 cells; accepted: 1"},
	} {
		if _, err := Load(parse(t, "[{path: '/{u}', values: {u: "+c.value+"}}]"), dir); err == nil || !strings.Contains(err.Error(), c.words) || !strings.Contains(err.Error(), `request 1: value "u"`) {
			t.Errorf("%s: %v, want %q", c.value, err, c.words)
		}
	}
	c, err := Client{CA: "ca.pem"}.Load(dir)
	if err != nil || !strings.HasPrefix(c.CA, "-----BEGIN") {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := (Client{CA: "none.pem"}).Load(dir); err == nil || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("a CA file that is not there: %v", err)
	}
}

func TestClient(t *testing.T) {
	for _, c := range []struct {
		client Client
		words  string
	}{
		{Client{Timeout: math.NaN()}, "timeout NaN"},
		{Client{Redirects: -1}, "-1 redirects"},
		{Client{Idle: -1}, "idle -1"},
		{Client{HTTP: "3"}, `http "3"; accepted: 1.1, 2`},
		{Client{CA: "x"}, "ca holds no certificate"},
	} {
		if err := c.client.Validate(); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%+v: %v, want %q", c.client, err, c.words)
		}
	}
	if err := (Client{}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestMatch(t *testing.T) {
	m, err := NewMatcher(parse(t, shop))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path string
		want         bool
	}{
		{"GET", "/product/7", true}, {"GET", "/product/7/8", false}, {"POST", "/product/7", false}, {"GET", "/product/", false},
		{"POST", "/cart", true}, {"GET", "/checkout/zoe", true}, {"GET", "/", false},
	} {
		if got := m.Match(c.method, c.path); got != c.want {
			t.Errorf("%s %s: %v, want %v", c.method, c.path, got, c.want)
		}
	}
}
