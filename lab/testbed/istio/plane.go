package istio

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/internal/words"
	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/testbed"
)

var (
	_ testbed.Plane = (*plane)(nil)
	_ testbed.Meter = (*plane)(nil)
)

// plane puts actions into force, by an actuator for each kind of knob.
type plane struct {
	cfg     Config
	control service.Controller // of the front
	remote  *httpload.Remote   // the generator in the mesh
	client  *http.Client
	pods    pods
	addresses

	actuators []control.Actuator
	scale     *scale
	cores     *cores
	relax     func()       // ends the looks at pods that are starting
	deaf      atomic.Int32 // looks at the nodes' work in a row that had no answer
	now       mesh.Action
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

// seer is an actuator that can tell what is set, whoever set it.
type seer interface {
	// see writes it to a, as look read it.
	see(ctx context.Context, a mesh.Action) error
}

// newPlane makes no request.
func newPlane(cfg Config) *plane {
	p := &plane{cfg: cfg, pods: pods{cfg: cfg}}
	p.addresses.of = map[string]string{}
	p.client = p.newClient()
	p.control = service.Controller{URL: p.url(cfg.Front, cfg.front()), Token: cfg.Token, Space: cfg.space, Run: rand.Text(), Client: p.client}
	p.remote = &httpload.Remote{URL: p.url(cfg.Generator, cfg.generator()), Token: cfg.Token, Client: p.client}
	routes := newRoute(p)
	if cfg.Blocking == FaultBlocking {
		p.actuators = []control.Actuator{&abort{p, routes}, routes}
	} else {
		p.actuators = []control.Actuator{routes, &block{p}}
	}
	p.scale, p.cores = newScale(p), newCores(p)
	for _, own := range []control.Actuator{p.scale, p.cores} {
		if !slices.ContainsFunc(cfg.Actuators, func(a control.Actuator) bool { return a.Kind() == own.Kind() }) {
			p.actuators = append(p.actuators, own)
		} else if own == p.scale {
			p.scale.all = nil
		} else {
			p.cores.all = nil
		}
	}
	p.actuators = append(p.actuators, cfg.Actuators...)
	for _, d := range p.scale.all {
		p.pods.scaled = append(p.pods.scaled, d.node)
	}
	return p
}

// newClient is for requests to the control ports of pods.
func (p *plane) newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: p.dial, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}}
}

func (p *plane) note(mark string) { p.marks = append(p.marks, mark) }

// Reset spreads the requests evenly, blocks nothing, puts the other knobs back
// and begins the front's draws again. It waits for replicas. A mesh that is kept
// or watched stays as it is.
func (p *plane) Reset(ctx context.Context, seed uint64) error {
	p.attendNot()
	p.marks = nil
	p.deaf.Store(0)
	if p.cfg.Keep || p.cfg.Watch {
		if err := p.see(ctx); err != nil {
			return err
		}
		p.pods.begin(ctx)
		p.scale.missing()
		p.marks = nil
		return ctx.Err()
	}
	p.seed = &seed
	defer func() { p.seed = nil }()
	space := p.cfg.space
	start := space.Default()
	for _, z := range p.cores.all {
		z.share = 1
	}
	for h := range space.Knobs() {
		if k := &space.Knobs()[h]; k.Kind == mesh.Replicas || k.Kind == mesh.CPU {
			copy(k.Values(start), k.Points[k.Default])
		}
	}
	if err := p.set(ctx, space.Clamp(start)); err != nil {
		return err
	}
	if err := p.follow(ctx); err != nil {
		return err
	}
	for _, d := range p.scale.all {
		patient, cancel := context.WithTimeout(ctx, time.Duration(p.cfg.Start*1e9))
		err := p.scale.wait(patient, d)
		cancel()
		if err != nil {
			return err
		}
	}
	p.pods.begin(ctx)
	p.scale.missing()
	p.marks = nil // of what was put right before the run
	return ctx.Err()
}

// Apply puts an action into force and waits until the mesh follows. What fails
// for a while is marked, and the action before stays.
func (p *plane) Apply(ctx context.Context, a mesh.Action) error {
	p.attendNot()
	p.marks = nil
	if p.cfg.Watch {
		if err := p.see(ctx); err != nil {
			if ctx.Err() != nil || lasting(err) {
				return err
			}
			p.note(short(err))
		}
		return nil
	}
	a = p.toward(a)
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
	if len(p.scale.all) > 0 && p.pods.count(ctx) == nil && p.scale.rising() {
		p.attend(ctx)
	}
	return ctx.Err()
}

// see reads what is in force, whoever put it there.
func (p *plane) see(ctx context.Context) error {
	patient, cancel := context.WithTimeout(ctx, time.Duration(p.cfg.Patience*1e9))
	defer cancel()
	if err := p.watch(func(w watcher) error { return w.look(patient) }); err != nil {
		return err
	}
	a := p.cfg.space.Default()
	for _, x := range p.actuators {
		if s, ok := x.(seer); ok {
			if err := s.see(patient, a); err != nil {
				return err
			}
		}
	}
	if err := p.cfg.space.ValidateInForce(a); err != nil {
		return lastingError{fmt.Errorf("what is in force cannot be said in the scenario's knobs: %w", err)}
	}
	if len(p.scale.all) > 0 {
		if err := p.pods.count(patient); err != nil {
			return err
		}
	}
	p.good, p.half = a, false
	return nil
}

// toward is action a, but for knobs that move by increments: those go as far as
// one step allows.
func (p *plane) toward(a mesh.Action) mesh.Action {
	space := p.cfg.space
	a = a.Clone()
	for h := range space.Knobs() {
		if k := &space.Knobs()[h]; k.Step > 0 && p.good != nil {
			copy(k.Values(a), k.Points[k.Toward(k.Values(p.good), k.Values(a))])
		}
	}
	return space.Reach(p.good, a)
}

// attend looks at the pods while a step is made, to see when those that start are
// ready.
func (p *plane) attend(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var looks sync.WaitGroup
	looks.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(podPoll):
			}
			if p.pods.count(ctx) == nil {
				p.scale.note()
				p.cores.fit(ctx) // those that are new; what fails is seen in what is in force
			}
		}
	})
	p.relax = func() {
		cancel()
		looks.Wait()
	}
}

// attendNot ends that.
func (p *plane) attendNot() {
	if p.relax != nil {
		p.relax()
		p.relax = nil
	}
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
	return errors.As(err, &l) || !refused(err) && apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err) ||
		apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsMethodNotSupported(err)
}

// refusedError is what the API server does not want, such as more than a quota
// allows: trying again does not help, but another action may be welcome.
type refusedError struct{ error }

func (e refusedError) Unwrap() error { return e.error }

func refused(err error) bool {
	var r refusedError
	return errors.As(err, &r)
}

// refusal tells an admission that is refused from what this user may not do at
// all, of which the authorizer says so by name.
func refusal(err error) error {
	if apierrors.IsForbidden(err) && !strings.Contains(err.Error(), `User "`) {
		return refusedError{err}
	}
	return err
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
		if err == nil || lasting(err) || refused(err) || ctx.Err() != nil {
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
	said := words.Bounded(string(text), maxWords)
	if said == "" {
		return resp.Status
	}
	return resp.Status + ": " + said
}

// Faults lists what disturbed the step: what Apply could not do, other writers,
// pods, requests of others.
func (p *plane) Faults(ctx context.Context) []string {
	p.attendNot()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.cfg.Patience*1e9))
	defer cancel()
	if err := p.check(ctx); err != nil {
		p.note(short(err))
	}
	if p.cfg.Watch { // whose requests there are is for those to say who drive
		return p.marks
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
	p.marks = append(p.marks, p.scale.missing()...)
	if err != nil {
		return fmt.Errorf("the pods could not be checked: %w", err)
	}
	return nil
}

// InForce is the last action that is wholly in force, with the replicas that are
// ready and the cores that they work on, as they were when the pods were last
// seen, and the replicas that are on their way.
func (p *plane) InForce() (mesh.Action, []mesh.Pending) {
	p.now = append(p.now[:0], p.good...)
	if p.good == nil {
		return nil, nil
	}
	p.cores.inForce(p.now)
	return p.now, p.scale.inForce(p.now)
}

// hearing bounds the look at the work of one pod.
const hearing = 300 * time.Millisecond

// Worked asks the pods of each node, one after another. Where they cannot be
// reached it soon gives up until the next run.
func (p *plane) Worked(ctx context.Context) []testbed.Work {
	all := make([]testbed.Work, p.cfg.Scenario.Mesh.N())
	for j := range all {
		all[j].Seconds = math.NaN()
	}
	const enough = 3
	if p.cfg.meshed() || p.deaf.Load() >= enough { // (an application does not say)
		return all
	}
	var asked sync.WaitGroup
	for j, node := range p.cfg.Scenario.Mesh.NodeNames() {
		asked.Go(func() {
			sum, began := 0.0, time.Now()
			for _, address := range p.pods.of(node).live {
				s, err := p.worked(ctx, address)
				if err != nil {
					return
				}
				sum += s
			}
			now := time.Now()
			all[j] = testbed.Work{Seconds: sum, Until: now.Add(-now.Sub(began) / 2)}
		})
	}
	asked.Wait()
	if slices.ContainsFunc(all, func(w testbed.Work) bool { return !math.IsNaN(w.Seconds) }) {
		p.deaf.Store(0)
	} else {
		p.deaf.Add(1)
	}
	return all
}

// worked asks one pod for how long it has worked.
func (p *plane) worked(ctx context.Context, address string) (s float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, hearing)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(address, controlPort)+service.WorkedPath, nil)
	if err != nil {
		return 0, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, errors.New(resp.Status)
	}
	_, err = fmt.Fscan(resp.Body, &s)
	return s, err
}

// close leaves a whole action in force.
func (p *plane) close() error {
	p.attendNot()
	defer p.client.CloseIdleConnections()
	ctx := context.Background()
	switch {
	case p.cfg.Watch:
	case p.cfg.Safe != nil:
		return p.set(ctx, p.cfg.Safe)
	case p.half && p.good != nil:
		return p.set(ctx, p.good)
	}
	return nil
}
