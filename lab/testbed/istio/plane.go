package istio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/testbed"
)

var _ testbed.Plane = (*plane)(nil)

// plane puts actions into force.
type plane struct {
	cfg     Config
	control service.Controller // of the front
	remote  *httpload.Remote   // the generator in the mesh
	client  *http.Client
	pods    pods
	addresses

	prefix string // of revisions
	serial int
	good   *mesh.Action // the last action that is wholly in force; nil before the first
	have   []*written   // per service: its VirtualService as last read or written; nil before
	half   bool         // an action may be in force in part
	seen   []string     // per service: the revision that the last probe was routed by
	sent   []time.Time  // per service: when its VirtualService was last sent
	mine   []string     // per service: the revision that was last sent to the API server
	marks  []string     // of the step under way

	followed []float64 // s
}

// written is a VirtualService in the API.
type written struct {
	routing
	generation int64 // counts the changes of its spec
}

func newPlane(cfg Config) *plane {
	m := cfg.Mesh.M()
	p := &plane{cfg: cfg, prefix: revisionPrefix(), have: make([]*written, m), seen: make([]string, m), mine: make([]string, m), sent: make([]time.Time, m)}
	p.pods = pods{cfg: cfg}
	p.addresses.of = map[string]string{}
	p.client = p.newClient()
	p.control = service.Controller{URL: p.url(cfg.Front, frontApp), Token: cfg.Token, Mesh: cfg.Mesh, Client: p.client}
	p.remote = &httpload.Remote{URL: p.url(cfg.Generator, generatorApp), Token: cfg.Token, Client: p.client}
	return p
}

func (p *plane) note(mark string) { p.marks = append(p.marks, mark) }

// Reset spreads the requests evenly, blocks nothing, and begins the front's
// draws again.
func (p *plane) Reset(ctx context.Context, seed uint64) error {
	p.marks = nil
	a := mesh.Even(p.cfg.Mesh)
	if err := p.set(ctx, a, &seed); err != nil {
		return err
	}
	if err := p.follow(ctx); err != nil {
		return err
	}
	p.pods.begin(ctx)
	p.marks = nil // of what was put right before the run
	return ctx.Err()
}

// Apply puts an action into force and waits until the mesh follows. What fails
// for a while is marked, and the action before stays.
func (p *plane) Apply(ctx context.Context, a mesh.Action) error {
	p.marks = nil
	if err := p.set(ctx, a, nil); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if lasting(err) || p.good == nil {
			return err
		}
		what := "the action before stayed in force (" + p.cfg.Mesh.FormatAction(*p.good) + ")"
		if p.half {
			what = "the action may be in force in part"
		}
		p.note("not applied, " + what + ": " + short(err))
	}
	if err := p.follow(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.note(short(err))
	}
	return ctx.Err()
}

// set writes an action wholly or, on an error, puts back what it had written.
// It does not end half-way when ctx does.
func (p *plane) set(ctx context.Context, a mesh.Action, seed *uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	begin := context.WithoutCancel(ctx)
	patient, cancel := context.WithTimeout(begin, time.Duration(p.cfg.Patience*1e9))
	defer cancel()
	if err := p.look(patient); err != nil {
		return err
	}
	before := make([]routing, len(p.have))
	for i, h := range p.have {
		before[i] = h.routing
	}
	err := p.write(patient, a, seed)
	if err == nil {
		kept := a.Clone()
		p.good, p.half = &kept, false
		return nil
	}
	p.half = true
	undo, cancelUndo := context.WithTimeout(begin, time.Duration(p.cfg.Patience*1e9))
	defer cancelUndo()
	if e := p.undo(undo, before); e != nil {
		return errors.Join(err, fmt.Errorf("putting back: %w", e))
	}
	p.half = false
	return err
}

// undo puts the last good action back, or what was there before the first.
func (p *plane) undo(ctx context.Context, before []routing) error {
	if p.good != nil {
		return p.write(ctx, *p.good, nil)
	}
	for i, r := range before {
		if err := p.route(ctx, i, r); err != nil {
			return err
		}
	}
	return nil
}

// write puts an action into force: routing first, then blocking.
func (p *plane) write(ctx context.Context, a mesh.Action, seed *uint64) error {
	n := p.cfg.Mesh.N()
	front := a
	if p.cfg.Blocking == FaultBlocking {
		front = mesh.Action{Route: a.Route, Block: make([]float64, len(a.Block))}
	}
	for i := range p.have {
		r := routing{weights: Percent(a.Route[i*n : i*n+n])}
		if p.cfg.Blocking == FaultBlocking {
			r.abort = 100 * a.Block[i]
		}
		if err := p.route(ctx, i, r); err != nil {
			return err
		}
	}
	return retry(ctx, func() error { return p.control.Apply(ctx, front, seed) })
}

// look reads all VirtualServices, and marks what others did to them since they
// were last seen.
func (p *plane) look(ctx context.Context) error {
	for i, name := range p.cfg.Mesh.ServiceNames() {
		err := retry(ctx, func() error {
			vs, err := p.cfg.Dynamic.Resource(virtualServices).Namespace(p.cfg.Namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			return p.take(i, vs)
		})
		if err != nil {
			return fmt.Errorf("reading VirtualService %s: %w", name, err)
		}
	}
	return nil
}

// take notes what a VirtualService says.
func (p *plane) take(i int, vs *unstructured.Unstructured) error {
	r, err := readRouting(vs, p.cfg.Mesh.NodeNames())
	if err != nil {
		return err
	}
	now, last := &written{r, vs.GetGeneration()}, p.have[i]
	if last != nil && !p.half && p.good != nil && (now.revision != p.mine[i] || now.revision == last.revision) {
		switch {
		case !now.same(last.routing) || now.revision != last.revision:
			p.note(fmt.Sprintf("another writer routed %s %s in place of %s", p.cfg.Mesh.ServiceNames()[i], now.routing, last.routing))
		case now.generation != last.generation:
			p.note("another writer changed VirtualService " + p.cfg.Mesh.ServiceNames()[i])
		}
	}
	p.have[i] = now
	return nil
}

// tries bounds how often a change is made again that somebody else's came
// before.
const tries = 6

// route puts a routing into the VirtualService of service i, unless it is there
// already, and reads it back.
func (p *plane) route(ctx context.Context, i int, r routing) error {
	name, nodes := p.cfg.Mesh.ServiceNames()[i], p.cfg.Mesh.NodeNames()
	api := p.cfg.Dynamic.Resource(virtualServices).Namespace(p.cfg.Namespace)
	there := func() bool { return p.have[i].same(r) && strings.HasPrefix(p.have[i].revision, p.prefix) }
	if !p.half && there() {
		return nil
	}
	conflicts := 0
	err := retry(ctx, func() error {
		vs, err := api.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if err := p.take(i, vs); err != nil { // another's change since look, or one of ours whose reply was lost
			return err
		}
		if there() {
			return nil
		}
		p.serial++
		r.revision = fmt.Sprint(p.prefix, p.serial)
		http, err := writeRouting(vs, nodes, r, p.cfg.Blocking == FaultBlocking)
		if err != nil {
			return err
		}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": vs.GetResourceVersion()}, "spec": map[string]any{"http": http}})
		if err != nil {
			return err
		}
		p.mine[i], p.sent[i] = r.revision, time.Now()
		_, err = api.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "meshbench"})
		if err != nil {
			if conflicts++; apierrors.IsConflict(err) && conflicts >= tries {
				return lastingError{fmt.Errorf("others change it all the time: %w", err)}
			}
			return err
		}
		back, err := api.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		now, err := readRouting(back, nodes)
		if err != nil {
			return err
		}
		p.have[i] = &written{now, back.GetGeneration()}
		if !now.same(r) || now.revision != r.revision {
			if conflicts++; conflicts >= tries {
				return lastingError{fmt.Errorf("it is %s after it was set to %s, and again at each try: an admission webhook or another controller changes it", now, r)}
			}
			return fmt.Errorf("it is %s after it was set to %s", now, r)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("routing %s %s: %w", name, r, err)
	}
	return nil
}

// lastingError is one that trying again does not help.
type lastingError struct{ error }

func (e lastingError) Unwrap() error { return e.error }

// lasting tells an error that trying again does not help from one of the
// moment.
func lasting(err error) bool {
	var l lastingError
	return errors.As(err, &l) || apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) ||
		apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err)
}

// Pauses between tries, growing.
const (
	shortestPause = 10 * time.Millisecond
	longestPause  = 300 * time.Millisecond
)

// retry tries until it succeeds, the error is a lasting one, or ctx ends, and
// then returns the last error.
func retry(ctx context.Context, try func() error) error {
	for pause := shortestPause; ; pause = min(2*pause, longestPause) {
		err := try()
		if err == nil || lasting(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// poll is the time between probes.
const poll = 3 * time.Millisecond

// follow waits until the mesh routes all services as it was last told.
func (p *plane) follow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.cfg.Follow*1e9))
	defer cancel()
	for i, name := range p.cfg.Mesh.ServiceNames() {
		h := p.have[i]
		if h == nil || h.revision == "" || p.seen[i] == h.revision {
			continue
		}
		for {
			revision, err := p.probe(ctx, name)
			if err == nil {
				p.seen[i] = revision
			}
			if revision == h.revision {
				if strings.HasPrefix(revision, p.prefix) {
					p.followed = append(p.followed, time.Since(p.sent[i]).Seconds())
				}
				break
			}
			select {
			case <-ctx.Done():
				if err == nil {
					err = fmt.Errorf("it is at revision %q", revision)
				}
				return fmt.Errorf("the mesh did not follow within %g s: %s is not yet routed %s: %w", p.cfg.Follow, name, h.routing, err)
			case <-time.After(poll):
			}
		}
	}
	return nil
}

// probe asks by which revision the front's proxy routes a service.
func (p *plane) probe(ctx context.Context, name string) (revision string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.control.URL+"/probe/"+name, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+p.cfg.Token)
	resp, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	resp.Body.Close()
	// A node that is down still shows the revision in the proxy's reply.
	if revision = resp.Header.Get(RouteHeader); revision == "" && resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("probe of %s: %s", name, resp.Status)
	}
	return revision, nil
}

// Faults lists what disturbed the step: what Apply could not do, other writers,
// pods.
func (p *plane) Faults(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.cfg.Patience*1e9))
	defer cancel()
	if err := p.check(ctx); err != nil {
		p.note(short(err))
	}
	return p.marks
}

// check looks at the mesh once, without trying again.
func (p *plane) check(ctx context.Context) error {
	for i, name := range p.cfg.Mesh.ServiceNames() {
		vs, err := p.cfg.Dynamic.Resource(virtualServices).Namespace(p.cfg.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("the routing could not be checked: %w", err)
		}
		if err := p.take(i, vs); err != nil {
			return err
		}
	}
	faults, err := p.pods.check(ctx)
	p.marks = append(p.marks, faults...)
	if err != nil {
		return fmt.Errorf("the pods could not be checked: %w", err)
	}
	return nil
}

// close leaves a whole action in force.
func (p *plane) close() error {
	defer p.client.CloseIdleConnections()
	ctx := context.Background()
	switch {
	case p.cfg.Safe != nil:
		return p.set(ctx, *p.cfg.Safe, nil)
	case p.half && p.good != nil:
		return p.set(ctx, *p.good, nil)
	}
	return nil
}
