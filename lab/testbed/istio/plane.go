package istio

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/testbed"
)

var _ testbed.Plane = (*plane)(nil)

// plane puts actions into force, by an actuator for each kind of knob.
type plane struct {
	cfg     Config
	control service.Controller // of the front
	remote  *httpload.Remote   // the generator in the mesh
	client  *http.Client
	pods    pods
	addresses

	actuators []control.Actuator
	good      mesh.Action // the last action that is wholly in force; nil before the first
	half      bool        // an action may be in force in part
	seed      *uint64     // of the front's draws, while they begin again
	marks     []string    // of the step under way

	followed []float64 // s
}

// watcher is an actuator whose settings others may change.
type watcher interface {
	// look reads what is set before an action is put into force, trying again
	// where that fails, and marks what others did since.
	look(ctx context.Context) error
	// check does so once, after a step.
	check(ctx context.Context) error
	// restore puts back what look saw.
	restore(ctx context.Context) error
}

// newPlane makes no request.
func newPlane(cfg Config) *plane {
	p := &plane{cfg: cfg, pods: pods{cfg: cfg}}
	p.addresses.of = map[string]string{}
	p.client = p.newClient()
	p.control = service.Controller{URL: p.url(cfg.Front, frontApp), Token: cfg.Token, Space: cfg.space, Run: rand.Text(), Client: p.client}
	p.remote = &httpload.Remote{URL: p.url(cfg.Generator, generatorApp), Token: cfg.Token, Client: p.client}
	routes := newRoute(p)
	if cfg.Blocking == FaultBlocking {
		p.actuators = []control.Actuator{&abort{p, routes}, routes}
	} else {
		p.actuators = []control.Actuator{routes, &block{p}}
	}
	p.actuators = append(p.actuators, cfg.Actuators...)
	return p
}

// newClient is for requests to the control ports of pods.
func (p *plane) newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: p.dial, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}}
}

func (p *plane) note(mark string) { p.marks = append(p.marks, mark) }

// Reset spreads the requests evenly, blocks nothing, and begins the front's
// draws again.
func (p *plane) Reset(ctx context.Context, seed uint64) error {
	p.marks, p.seed = nil, &seed
	defer func() { p.seed = nil }()
	if err := p.set(ctx, p.cfg.space.Default()); err != nil {
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
	if err := p.set(ctx, a); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if lasting(err) || p.good == nil {
			return err
		}
		what := "the action before stayed in force (" + p.cfg.space.Format(p.good) + ")"
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
func (p *plane) set(ctx context.Context, a mesh.Action) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	begin := context.WithoutCancel(ctx)
	patient, cancel := context.WithTimeout(begin, time.Duration(p.cfg.Patience*1e9))
	defer cancel()
	err := p.watch(func(w watcher) error { return w.look(patient) })
	if err != nil {
		return err
	}
	if err = p.write(patient, a); err == nil {
		p.good, p.half = a.Clone(), false
		return nil
	}
	p.half = true
	undo, cancelUndo := context.WithTimeout(begin, time.Duration(p.cfg.Patience*1e9))
	defer cancelUndo()
	if e := p.undo(undo); e != nil {
		return errors.Join(err, fmt.Errorf("putting back: %w", e))
	}
	p.half = false
	return err
}

// undo puts the last good action back, or what was there before the first.
func (p *plane) undo(ctx context.Context) error {
	if p.good != nil {
		return p.write(ctx, p.good)
	}
	return p.watch(func(w watcher) error { return w.restore(ctx) })
}

func (p *plane) write(ctx context.Context, a mesh.Action) error {
	for _, x := range p.actuators {
		if err := x.Apply(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// watch does something with each actuator that is a watcher.
func (p *plane) watch(do func(watcher) error) error {
	for _, x := range p.actuators {
		if w, ok := x.(watcher); ok {
			if err := do(w); err != nil {
				return err
			}
		}
	}
	return nil
}

// follow waits until all that was applied is in force.
func (p *plane) follow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.cfg.Follow*1e9))
	defer cancel()
	for _, x := range p.actuators {
		if err := x.Follow(ctx); err != nil {
			return fmt.Errorf("the mesh did not follow within %g s: %w", p.cfg.Follow, err)
		}
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

// probe asks by which revision the front's proxy routes a microservice.
func (p *plane) probe(ctx context.Context, o *object) (revision string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.control.URL+o.probe, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+p.control.Token)
	resp, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	// A node that is down still shows the revision in the proxy's reply.
	if revision = resp.Header.Get(RouteHeader); revision == "" && resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("probe of %s: %s", o.title, answer(resp))
	}
	return revision, nil
}

// answer is a reply in its own words.
func answer(resp *http.Response) string {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
	words := strings.Join(strings.Fields(strings.ToValidUTF8(string(text), "?")), " ")
	if words == "" {
		return resp.Status
	}
	return resp.Status + ": " + words
}

// Faults lists what disturbed the step: what Apply could not do, other writers,
// pods, requests of others.
func (p *plane) Faults(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.cfg.Patience*1e9))
	defer cancel()
	if err := p.check(ctx); err != nil {
		p.note(short(err))
	}
	switch strangers, err := p.control.Strangers(ctx); {
	case err != nil && ctx.Err() == nil:
		p.note("the front does not answer")
	case strangers != "":
		p.note(strangers)
	}
	return p.marks
}

// check looks at the mesh once, without trying again.
func (p *plane) check(ctx context.Context) error {
	if err := p.watch(func(w watcher) error { return w.check(ctx) }); err != nil {
		return err
	}
	faults, err := p.pods.check(ctx)
	p.marks = append(p.marks, faults...)
	if err != nil {
		return fmt.Errorf("the pods could not be checked: %w", err)
	}
	return nil
}

// InForce is the last action that is wholly in force.
func (p *plane) InForce() (mesh.Action, []mesh.Pending) { return p.good, nil }

// close leaves a whole action in force.
func (p *plane) close() error {
	defer p.client.CloseIdleConnections()
	ctx := context.Background()
	switch {
	case p.cfg.Safe != nil:
		return p.set(ctx, p.cfg.Safe)
	case p.half && p.good != nil:
		return p.set(ctx, p.good)
	}
	return nil
}
