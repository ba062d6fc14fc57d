package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Setting is the body of the front's control endpoint. A service that is not
// named keeps what it has.
type Setting struct {
	// Block is the share of a service's requests to be turned away, in [0, 1].
	Block map[string]float64 `json:"block,omitempty"`
	// Route has the weights of a service's nodes, which sum to 1; a node that is
	// not named gets none. Not for a front whose mesh routes.
	Route map[string]map[string]float64 `json:"route,omitempty"`
	// Seed, when given, begins the order of blocking and routing again.
	Seed *uint64 `json:"seed,omitempty"`
}

// NewSetting is the setting that puts action a into force on mesh m, without
// its weights where the mesh routes.
func NewSetting(m mesh.Mesh, a mesh.Action, weights bool) Setting {
	s := Setting{Block: map[string]float64{}}
	if weights {
		s.Route = map[string]map[string]float64{}
	}
	for i, service := range m.ServiceNames() {
		s.Block[service] = a.Block[i]
		if weights {
			s.Route[service] = map[string]float64{}
			for j, node := range m.NodeNames() {
				s.Route[service][node] = a.Route[i*m.N()+j]
			}
		}
	}
	return s
}

// merge is action a changed by the setting.
func (s Setting) merge(m mesh.Mesh, a mesh.Action) (mesh.Action, error) {
	for name, b := range s.Block {
		i, err := m.Service(name)
		if err != nil {
			return a, fmt.Errorf("block: %w", err)
		}
		a.Block[i] = b
	}
	for name, weights := range s.Route {
		i, err := m.Service(name)
		if err != nil {
			return a, fmt.Errorf("route: %w", err)
		}
		row := a.Route[i*m.N() : (i+1)*m.N()]
		clear(row)
		for node, w := range weights {
			j, err := m.Node(node)
			if err != nil {
				return a, fmt.Errorf("route of %s: %w", name, err)
			}
			row[j] = w
		}
	}
	return a, a.Validate(m)
}

// maxSetting bounds the body of a request to /control, in bytes.
const maxSetting = 64 << 10

// control answers with the setting in force; a PUT changes it first, wholly or,
// when anything is wrong with the request, not at all.
func (f *Front) control(w http.ResponseWriter, r *http.Request) {
	if !f.authorised(r) {
		refuse(w)
		return
	}
	if r.Method == http.MethodPut {
		s, code, err := readSetting(w, r)
		if err == nil {
			code, err = http.StatusBadRequest, f.change(s)
		}
		if err != nil {
			http.Error(w, err.Error()+"; nothing was changed", code)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(NewSetting(f.cfg.Mesh, f.Action(), f.cfg.Upstreams == nil))
}

// refuse answers who has no token.
func refuse(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="control"`)
	http.Error(w, "this needs the header 'Authorization: Bearer TOKEN' with the front's token", http.StatusUnauthorized)
}

func readSetting(w http.ResponseWriter, r *http.Request) (s Setting, code int, err error) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSetting))
	d.DisallowUnknownFields()
	err = d.Decode(&s)
	if err == nil {
		if _, e := d.Token(); e != io.EOF {
			err = errors.New("more than one JSON object")
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return s, http.StatusRequestEntityTooLarge, fmt.Errorf("a setting has at most %d bytes", maxSetting)
	case err != nil:
		return s, http.StatusBadRequest, fmt.Errorf("the body is not a setting such as "+
			`{"block": {"service1": 0.2}, "route": {"service1": {"node1": 0.4, "node2": 0.6}}}: %w`, err)
	}
	return s, 0, nil
}

// Controller calls the control endpoint of a front.
type Controller struct {
	URL     string // of the front
	Token   string
	Mesh    mesh.Mesh
	Weights bool         // false where the mesh routes
	Client  *http.Client // default http.DefaultClient
}

// Get returns the setting in force.
func (c *Controller) Get(ctx context.Context) (Setting, error) {
	return c.ask(ctx, http.MethodGet, nil)
}

// ask makes a request to the control endpoint, which answers with the setting
// in force.
func (c *Controller) ask(ctx context.Context, method string, body []byte) (have Setting, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+"/control", bytes.NewReader(body))
	if err != nil {
		return have, fmt.Errorf("service: control: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	client := c.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return have, fmt.Errorf("service: control: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxSetting))
	if err != nil {
		return have, fmt.Errorf("service: control: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return have, fmt.Errorf("service: control at %s: %s: %s", c.URL, resp.Status, strings.TrimSpace(string(text)))
	}
	if err := json.Unmarshal(text, &have); err != nil {
		return have, fmt.Errorf("service: control at %s answered %q: %w", c.URL, text, err)
	}
	return have, nil
}

// Apply puts action a into force and checks what the front then has. A seed
// also begins the order of blocking and routing again.
func (c *Controller) Apply(ctx context.Context, a mesh.Action, seed *uint64) error {
	s := NewSetting(c.Mesh, a, c.Weights)
	s.Seed = seed
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("service: control: %w", err)
	}
	have, err := c.ask(ctx, http.MethodPut, body)
	if err != nil {
		return err
	}
	for i, name := range c.Mesh.ServiceNames() {
		if have.Block[name] != a.Block[i] {
			return fmt.Errorf("service: control at %s: blocking of %s is %v after it was set to %v", c.URL, name, have.Block[name], a.Block[i])
		}
		for j, node := range c.Mesh.NodeNames() {
			if w := a.Route[i*c.Mesh.N()+j]; c.Weights && have.Route[name][node] != w {
				return fmt.Errorf("service: control at %s: weight of %s on %s is %v after it was set to %v", c.URL, name, node, have.Route[name][node], w)
			}
		}
	}
	return nil
}
