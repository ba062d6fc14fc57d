package service

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service/cause"
)

// shopMesh is a service and a second one on two nodes, which are versions of an
// application.
var shopMesh = mesh.Single([]string{"shop", "search"}, []string{"v1", "v2"})

func passing(t *testing.T, a Application, handler func(version string) http.HandlerFunc) (front, control *httptest.Server, f *Front) {
	t.Helper()
	var nodes []string
	for _, v := range []string{"v1", "v2"} {
		s := httptest.NewServer(handler(v))
		t.Cleanup(s.Close)
		nodes = append(nodes, s.URL+"/base")
	}
	if a.Requests == nil {
		a.Requests = []request.Mix{
			{{Request: request.Request{Path: "/product/{id}", Headers: map[string]string{"Host": "shop.example"}}, Values: map[string]request.Values{"id": {Min: 1, Max: 9}}}},
			{{Request: request.Request{Method: "POST", Path: "/search"}}},
		}
	}
	f, err := NewFront(FrontConfig{Mesh: shopMesh, Nodes: nodes, Token: "secret", Application: &a})
	if err != nil {
		t.Fatal(err)
	}
	front, control = httptest.NewServer(f), httptest.NewServer(f.Control())
	t.Cleanup(front.Close)
	t.Cleanup(control.Close)
	return front, control, f
}

func ask(t *testing.T, method, url, body string, header http.Header) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
		req.Host = header.Get("Host")
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// Requests of any path go to the nodes as they are, by the service's weights,
// which the control endpoint sets; the application sees none of our headers.
func TestPass(t *testing.T) {
	front, control, _ := passing(t, Application{}, func(version string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set(NodeHeader, "forged")
			switch r.URL.Path {
			case "/base/product/1":
				http.Redirect(w, r, "/base/product/2", http.StatusFound)
			case "/base/product/3":
				w.WriteHeader(http.StatusTooManyRequests)
			default:
				ours := 0
				for name := range r.Header {
					if strings.HasPrefix(name, "Meshbench") {
						ours++
					}
				}
				fmt.Fprintf(w, "%s|%s %s|%v|%s|%d", version, r.Method, r.URL.RequestURI(), r.Host == "shop.example", body, ours)
			}
		}
	})
	space := mesh.Grid(shopMesh, 6)
	c := Controller{URL: control.URL, Token: "secret", Space: space, Weights: true}
	if err := c.Apply(context.Background(), mesh.Action{0, 1, 1, 0, 0, 1}, nil); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name, method, path, body string
		header                   http.Header
		status                   int
		want, node, failure      string
	}{
		{"by what it looks like", "GET", "/product/7?x=%20y", "", nil, 200, "v2|GET /base/product/7?x=%20y|false||0", "v2", ""},
		{"by the header", "PUT", "/any/path", "text", http.Header{ServiceHeader: {"shop"}, RunHeader: {"r"}}, 200, "v2|PUT /base/any/path|false|text|0", "v2", ""},
		{"the host of the scenario", "GET", "/product/7", "", http.Header{"Host": {"shop.example"}}, 200, "v2|GET /base/product/7|true||0", "v2", ""},
		{"blocked", "POST", "/search", "q", nil, 429, "", "", cause.Blocked},
		{"turned away by the application", "GET", "/product/3", "", nil, 429, "", "v2", cause.Limited},
		{"of no service", "GET", "/admin", "", nil, 404, "no service", "", ""},
		{"of another service", "GET", "/product/7", "", http.Header{ServiceHeader: {"cart"}}, 404, "no service", "", ""},
		{"paths of our own fronts", "GET", "/control", "", nil, 404, "no service", "", ""},
	} {
		resp, text := ask(t, x.method, front.URL+x.path, x.body, x.header)
		if resp.StatusCode != x.status || !strings.HasPrefix(text, x.want) || resp.Header.Get(NodeHeader) != x.node || resp.Header.Get(FailureHeader) != x.failure {
			t.Errorf("%s: %d %q, node %q, failure %q; want %d %q, %q, %q", x.name, resp.StatusCode, text, resp.Header.Get(NodeHeader), resp.Header.Get(FailureHeader), x.status, x.want, x.node, x.failure)
		}
	}
	if resp, _ := ask(t, "GET", front.URL+"/product/1", "", nil); resp.Header.Get("Location") != "/product/2" {
		t.Errorf("a redirect leads to %q, want past the front's base path", resp.Header.Get("Location"))
	}
	if resp, _ := ask(t, "GET", control.URL+"/product/1", "", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the control endpoint passes requests on: %s", resp.Status)
	}
}

// Which node answered is known by the front, or by a header, or not at all; what
// breaks is said.
func TestPassAttribution(t *testing.T) {
	broken := func(version string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Pod", "pod-"+version)
			if r.URL.Path == "/base/product/5" {
				c, _, err := http.NewResponseController(w).Hijack()
				if err == nil {
					c.Close()
				}
			}
		}
	}
	for _, x := range []struct {
		name string
		node func(string, http.Header) string
		want string
		lost string // of a connection that was closed
	}{
		{"by the front", nil, "v1", "v1"},
		{"by a header", func(_ string, h http.Header) string { return map[string]string{"pod-v1": "one"}[h.Get("X-Pod")] }, "one", ""},
		{"unknown", func(string, http.Header) string { return "" }, "", ""},
	} {
		front, control, _ := passing(t, Application{Node: x.node}, broken)
		c := Controller{URL: control.URL, Token: "secret", Space: mesh.Grid(shopMesh, 6), Weights: true}
		if err := c.Apply(context.Background(), mesh.Action{1, 0, 1, 0, 0, 0}, nil); err != nil {
			t.Fatal(err)
		}
		if resp, _ := ask(t, "GET", front.URL+"/product/7", "", nil); resp.Header.Get(NodeHeader) != x.want {
			t.Errorf("%s: node %q, want %q", x.name, resp.Header.Get(NodeHeader), x.want)
		}
		resp, _ := ask(t, "GET", front.URL+"/product/5", "", nil)
		if resp.StatusCode != http.StatusBadGateway || resp.Header.Get(FailureHeader) != "connection: closed" || resp.Header.Get(NodeHeader) != x.lost {
			t.Errorf("%s: a closed connection gives %d, failure %q of node %q", x.name, resp.StatusCode, resp.Header.Get(FailureHeader), resp.Header.Get(NodeHeader))
		}
	}
}

func TestPassRefuses(t *testing.T) {
	mix := request.Mix{{Request: request.Request{Path: "/"}}}
	for _, c := range []struct {
		cfg   FrontConfig
		words string
	}{
		{FrontConfig{Application: &Application{Requests: []request.Mix{mix}}}, "requests of 1 services; the mesh has 2"},
		{FrontConfig{Application: &Application{Requests: []request.Mix{mix, nil}}}, "service search: no request"},
		{FrontConfig{Link: 1, Application: &Application{Requests: []request.Mix{mix, mix}}}, "emulates no link"},
		{FrontConfig{Application: &Application{Requests: []request.Mix{mix, mix}, Client: request.Client{HTTP: "3"}}}, `http "3"`},
	} {
		c.cfg.Mesh, c.cfg.Token, c.cfg.Nodes = shopMesh, "t", []string{"http://a", "http://b"}
		if _, err := NewFront(c.cfg); err == nil || !strings.Contains(err.Error(), c.words) {
			t.Errorf("%v, want %q", err, c.words)
		}
	}
}

// An answer that is cut off is seen by who asked; there is no line for each.
func TestPassCutOff(t *testing.T) {
	var lines bytes.Buffer
	log.SetOutput(&lines)
	defer log.SetOutput(os.Stderr)
	front, _, _ := passing(t, Application{}, func(string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "500")
			io.WriteString(w, "abc")
		}
	})
	resp, err := http.Get(front.URL + "/product/1")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	front.Close()
	if err == nil || lines.Len() > 0 {
		t.Errorf("error %v, log %q", err, lines.String())
	}
}
