package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/lab/mesh"
)

// Setting is the body of the front's control endpoint. What is not named keeps
// what it has.
type Setting struct {
	// Block is the share of a service's requests to be turned away, in [0, 1].
	Block map[string]float64 `json:"block,omitempty"`
	// Route has the weights of a call's nodes, which sum to 1; a node that is not
	// named gets none. Calls are named by CallKey. Not for a front whose mesh
	// routes.
	Route map[string]map[string]float64 `json:"route,omitempty"`
	// Seed, when given, begins the order of blocking and routing again.
	Seed *uint64 `json:"seed,omitempty"`
	// Run, when given, is what requests of this run have in RunHeader; others are
	// counted from then on.
	Run string `json:"run,omitempty"`
	// Strangers is, in replies, how many requests since Run was given were none of
	// the run's.
	Strangers int `json:"strangers,omitempty"`
}

// CallKey names call c in a Setting: "shop" where the service makes no other
// call, else "shop/cart", service and microservice.
func CallKey(l *mesh.Layout, c int) string {
	at := l.Calls[c]
	name := l.Mesh.Services[at.Service].Name
	if single(l, at.Service) {
		return name
	}
	return name + "/" + l.Microservices[at.Microservice]
}

// single reports whether service i makes one call only.
func single(l *mesh.Layout, i int) bool { return len(l.Stages[i]) == 1 && len(l.Stages[i][0]) == 1 }

// callOf is the call of that name; "shop/cart" also where "shop" would do.
func callOf(l *mesh.Layout, key string) (int, error) {
	var keys []string
	for c, at := range l.Calls {
		k := CallKey(l, c)
		if key == k || key == l.Mesh.Services[at.Service].Name+"/"+l.Microservices[at.Microservice] {
			return c, nil
		}
		keys = append(keys, k)
	}
	if i := slices.Index(l.Mesh.ServiceNames(), key); i >= 0 {
		return 0, fmt.Errorf("service %q makes more than one call; accepted: %s", key, strings.Join(keys, ", "))
	}
	return 0, fmt.Errorf("unknown call %q; accepted: %s", key, strings.Join(keys, ", "))
}

// NewSetting is the setting that puts action a into force, without its weights
// where the mesh routes. It panics for an action that does not fit the space.
func NewSetting(space *mesh.Space, a mesh.Action, weights bool) Setting {
	if len(a) != space.Width() {
		panic(fmt.Sprintf("service: action of %d values for %s", len(a), space))
	}
	l := space.Layout()
	f := force{}
	for i := range l.Mesh.Services {
		f.block = append(f.block, space.BlockOf(a, i))
	}
	for c := range l.Calls {
		f.route = append(f.route, space.RouteOf(a, c))
	}
	return f.setting(l, weights)
}

// force is what is in force at a front.
type force struct {
	block []float64   // per service
	route [][]float64 // per call and its nodes
}

func (f force) setting(l *mesh.Layout, weights bool) Setting {
	s := Setting{Block: map[string]float64{}}
	for i, service := range l.Mesh.ServiceNames() {
		s.Block[service] = f.block[i]
	}
	if !weights {
		return s
	}
	s.Route = map[string]map[string]float64{}
	for c, at := range l.Calls {
		row := map[string]float64{}
		for k, j := range at.Nodes {
			row[l.Mesh.Nodes[j].Name] = f.route[c][k]
		}
		s.Route[CallKey(l, c)] = row
	}
	return s
}

// merge is f changed by the setting.
func (s Setting) merge(l *mesh.Layout, f force) (force, error) {
	f.block, f.route = slices.Clone(f.block), slices.Clone(f.route)
	for name, b := range s.Block {
		i, err := l.Mesh.Service(name)
		if err != nil {
			return f, fmt.Errorf("block: %w", err)
		}
		if err := check(mesh.Block, b); err != nil {
			return f, fmt.Errorf("block of %s: %w", name, err)
		}
		f.block[i] = b
	}
	for key, weights := range s.Route {
		c, err := callOf(l, key)
		if err != nil {
			return f, fmt.Errorf("route: %w", err)
		}
		nodes := l.Calls[c].Nodes
		row := make([]float64, len(nodes))
		for node, w := range weights {
			j, err := l.Mesh.Node(node)
			if err != nil {
				return f, fmt.Errorf("route of %s: %w", key, err)
			}
			k := slices.Index(nodes, j)
			if k < 0 {
				return f, fmt.Errorf("route of %s: node %q does not serve it", key, node)
			}
			row[k] = w
		}
		if err := check(mesh.Route, row...); err != nil {
			return f, fmt.Errorf("route of %s: %w", key, err)
		}
		f.route[c] = row
	}
	return f, nil
}

// check reports values that knobs of a kind do not take.
func check(kind mesh.Kind, values ...float64) error {
	info, err := mesh.KindOf(kind)
	if err != nil {
		return err
	}
	return info.Check(values)
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
	json.NewEncoder(w).Encode(f.Setting())
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
	Space   *mesh.Space
	Weights bool // false where the mesh routes
	// Run is what the generator's requests have in RunHeader; "" where strangers
	// are not counted.
	Run    string
	Client *http.Client // default http.DefaultClient
}

// Get returns the setting in force.
func (c *Controller) Get(ctx context.Context) (Setting, error) {
	return c.ask(ctx, http.MethodGet, nil)
}

// Strangers is how many requests came to the front since the last Apply that
// were not of Run, as a fault of a step: "" for none.
func (c *Controller) Strangers(ctx context.Context) (fault string, err error) {
	s, err := c.Get(ctx)
	if err != nil || s.Strangers == 0 {
		return "", err
	}
	return fmt.Sprintf("%d requests of others at the front", s.Strangers), nil
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
		return have, fmt.Errorf("service: control at %s: %s: %.300s", c.URL, resp.Status, strings.TrimSpace(string(text)))
	}
	if err := json.Unmarshal(text, &have); err != nil {
		return have, fmt.Errorf("service: control at %s answered %.300q: %w", c.URL, text, err)
	}
	return have, nil
}

// Apply puts action a into force and checks what the front then has. A seed
// also begins the order of blocking and routing again.
func (c *Controller) Apply(ctx context.Context, a mesh.Action, seed *uint64) error {
	s := NewSetting(c.Space, a, c.Weights)
	s.Seed, s.Run = seed, c.Run
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("service: control: %w", err)
	}
	have, err := c.ask(ctx, http.MethodPut, body)
	if err != nil {
		return err
	}
	l := c.Space.Layout()
	for _, name := range l.Mesh.ServiceNames() {
		if have.Block[name] != s.Block[name] {
			return fmt.Errorf("service: control at %s: blocking of %s is %v after it was set to %v", c.URL, name, have.Block[name], s.Block[name])
		}
	}
	for k := range l.Calls {
		key := CallKey(l, k)
		for _, j := range l.Calls[k].Nodes {
			node := l.Mesh.Nodes[j].Name
			if c.Weights && have.Route[key][node] != s.Route[key][node] {
				return fmt.Errorf("service: control at %s: weight of %s on %s is %v after it was set to %v", c.URL, key, node, have.Route[key][node], s.Route[key][node])
			}
		}
	}
	return nil
}
