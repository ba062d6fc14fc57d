package istio

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service"
)

// What this testbed can set. Another kind of knob is a type like these, and its
// place in newPlane's list, or in Config.Actuators.
var (
	_ control.Actuator = (*route)(nil)
	_ control.Actuator = (*block)(nil)
	_ control.Actuator = (*abort)(nil)
	_ watcher          = (*route)(nil)
)

// route sets routing weights in VirtualServices, and with them the aborts that
// were put down in it.
type route struct {
	p      *plane
	prefix string // of revisions
	serial int
	abort  []float64 // percent of each service's requests; nil where the front blocks
	all    []*routed
}

// routed is an object and what is known of it.
type routed struct {
	object
	have   *written  // as last read or written; nil before
	before []routing // as of look
	seen   string    // the revision that the last probe was routed by
	mine   string    // the revision that was last sent to the API server
	sent   time.Time // when that was
}

func newRoute(p *plane) *route {
	// The prefix tells the writings of one process from those of another.
	r := &route{p: p, prefix: strings.ToLower(rand.Text()[:8]) + "-"}
	for _, o := range p.cfg.objects() {
		r.all = append(r.all, &routed{object: o})
	}
	return r
}

// Kind is mesh.Route.
func (r *route) Kind() mesh.Kind { return mesh.Route }

// Needs are the rights to VirtualServices and DestinationRules.
func (r *route) Needs() (rights []control.Right) {
	for _, o := range r.all {
		vs, rule := virtualServices.GroupResource(), destinationRules.GroupResource()
		rights = append(rights, control.Right{Group: vs.Group, Resource: vs.Resource, Verb: "get", Name: o.name},
			control.Right{Group: vs.Group, Resource: vs.Resource, Verb: "patch", Name: o.name})
		if !r.p.cfg.meshed() {
			rights = append(rights, control.Right{Group: rule.Group, Resource: rule.Resource, Verb: "get", Name: o.name})
		}
	}
	return rights
}

// Apply writes the VirtualServices that do not have a's weights.
func (r *route) Apply(ctx context.Context, a mesh.Action) error {
	s := r.p.cfg.space
	for _, o := range r.all {
		want := make([]routing, len(o.entries))
		for k, e := range o.entries {
			want[k].weights = Percent(s.RouteOf(a, e.call))
			if r.abort != nil {
				want[k].abort = r.abort[s.Layout().Calls[e.call].Service]
			}
		}
		if err := r.write(ctx, o, want); err != nil {
			return err
		}
	}
	return nil
}

func (r *route) restore(ctx context.Context) error {
	for _, o := range r.all {
		if err := r.write(ctx, o, o.before); err != nil {
			return err
		}
	}
	return nil
}

// see writes the weights that look read.
func (r *route) see(_ context.Context, a mesh.Action) error {
	s := r.p.cfg.space
	for _, o := range r.all {
		for k, e := range o.entries {
			h := s.Find(mesh.Route, e.call)
			if h < 0 {
				continue
			}
			for j, w := range o.have.routes[k].weights {
				s.Knobs()[h].Values(a)[j] = float64(w) / 100
			}
		}
	}
	return nil
}

func (r *route) get(ctx context.Context, o *routed) (*unstructured.Unstructured, error) {
	return r.p.cfg.Dynamic.Resource(virtualServices).Namespace(r.p.cfg.Namespace).Get(ctx, o.name, metav1.GetOptions{})
}

func (r *route) look(ctx context.Context) error {
	for _, o := range r.all {
		err := retry(ctx, func() error {
			vs, err := r.get(ctx, o)
			if err != nil {
				return err
			}
			return r.take(o, vs)
		})
		if err != nil {
			return fmt.Errorf("reading VirtualService %s: %w", o.name, err)
		}
		o.before = o.have.routes
	}
	return nil
}

func (r *route) check(ctx context.Context) error {
	for _, o := range r.all {
		vs, err := r.get(ctx, o)
		if err != nil {
			return fmt.Errorf("the routing could not be checked: %w", err)
		}
		if err := r.take(o, vs); err != nil {
			return err
		}
		for k, x := range o.have.routes {
			if x.others != "" && !r.p.cfg.Faults {
				r.p.note(fmt.Sprintf("another's fault rule for %s (%s)", o.entries[k].name, x.others))
			}
		}
	}
	return nil
}

// take notes what a VirtualService says, and marks what others wrote.
func (r *route) take(o *routed, vs *unstructured.Unstructured) error {
	now, err := o.read(vs)
	if err != nil {
		return err
	}
	last := o.have
	if last != nil && !r.p.cfg.Watch && !r.p.half && r.p.good != nil && (now.revision != o.mine || now.revision == last.revision) {
		who := "another writer"
		if names := writers(vs); len(names) > 0 {
			who += " (" + names[0] + ")"
		}
		switch {
		case !now.same(last.routes) || now.revision != last.revision:
			r.p.note(fmt.Sprintf("%s routed %s %s in place of %s", who, o.title, o.say(now.routes), o.say(last.routes)))
		case now.generation != last.generation:
			r.p.note(who + " changed VirtualService " + o.name)
		}
	}
	o.have = now
	return nil
}

// tries bounds how often a change is made again that somebody else's came
// before.
const tries = 6

// write puts routings into an object's VirtualService, unless they are there
// already, and reads them back.
func (r *route) write(ctx context.Context, o *routed, want []routing) error {
	p := r.p
	api := p.cfg.Dynamic.Resource(virtualServices).Namespace(p.cfg.Namespace)
	there := func() bool { return o.have.same(want) && strings.HasPrefix(o.have.revision, r.prefix) }
	if !p.half && there() {
		return nil
	}
	conflicts := 0
	err := retry(ctx, func() error {
		vs, err := r.get(ctx, o)
		if err != nil {
			return err
		}
		if err := r.take(o, vs); err != nil { // another's change since look, or one of ours whose reply was lost
			return err
		}
		if there() {
			return nil
		}
		r.serial++
		revision := fmt.Sprint(r.prefix, r.serial)
		http, err := o.object.write(vs, want, revision, r.abort != nil)
		if err != nil {
			return err
		}
		metadata := map[string]any{"resourceVersion": vs.GetResourceVersion()}
		if p.cfg.meshed() {
			metadata["annotations"] = o.annotations(want, revision)
		}
		patch, err := json.Marshal(map[string]any{"metadata": metadata, "spec": map[string]any{"http": http}})
		if err != nil {
			return err
		}
		o.mine, o.sent = revision, time.Now()
		_, err = api.Patch(ctx, o.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: manager})
		if err != nil {
			if conflicts++; apierrors.IsConflict(err) && conflicts >= tries {
				return lastingError{fmt.Errorf("others change it all the time: %w", err)}
			}
			return err
		}
		back, err := r.get(ctx, o)
		if err != nil {
			return err
		}
		now, err := o.read(back)
		if err != nil {
			return err
		}
		o.have = now
		if !now.same(want) || now.revision != revision {
			if conflicts++; conflicts >= tries {
				return lastingError{fmt.Errorf("it is %s after it was set to %s, and again at each try: an admission webhook or another controller changes it", o.say(now.routes), o.say(want))}
			}
			return fmt.Errorf("it is %s after it was set to %s", o.say(now.routes), o.say(want))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("routing %s %s: %w", o.title, o.say(want), err)
	}
	return nil
}

// poll is the time between probes.
const poll = 3 * time.Millisecond

// Follow waits until the front's proxy routes every microservice as it was last
// told.
func (r *route) Follow(ctx context.Context) error {
	for _, o := range r.all {
		h := o.have
		if h == nil || h.revision == "" || o.seen == h.revision {
			continue
		}
		if r.p.cfg.meshed() {
			if err := r.followApplication(ctx, o); err != nil {
				return err
			}
			o.seen = h.revision
			continue
		}
		var why error // of the last probe that was not cut off
		for {
			revision, err := r.p.probe(ctx, &o.object)
			if err == nil {
				o.seen = revision
			}
			if revision == h.revision {
				if strings.HasPrefix(revision, r.prefix) {
					r.p.followed = append(r.p.followed, time.Since(o.sent).Seconds())
				}
				break
			}
			switch {
			case err == nil:
				why = fmt.Errorf("it is at revision %q", revision)
			case why == nil || ctx.Err() == nil:
				why = err
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s is not yet routed %s: %w", o.title, o.say(h.routes), why)
			case <-time.After(poll):
			}
		}
	}
	return nil
}

// block has the front turn requests away.
type block struct{ p *plane }

// Kind is mesh.Block.
func (b *block) Kind() mesh.Kind { return mesh.Block }

// Needs is nothing: the front asks for its token.
func (b *block) Needs() []control.Right { return nil }

// Apply tells the front, which follows at once.
func (b *block) Apply(ctx context.Context, a mesh.Action) error {
	return retry(ctx, func() error { return b.p.control.Apply(ctx, a, b.p.seed) })
}

// see asks the front.
func (b *block) see(ctx context.Context, a mesh.Action) error {
	var have service.Setting
	err := retry(ctx, func() (err error) {
		have, err = b.p.control.Get(ctx)
		return err
	})
	s := b.p.cfg.space
	for i, name := range s.Mesh().ServiceNames() {
		if h := s.Find(mesh.Block, i); h >= 0 {
			s.Knobs()[h].Values(a)[0] = have.Block[name]
		}
	}
	return err
}

// Follow has nothing to wait for.
func (b *block) Follow(context.Context) error { return nil }

// abort has the proxies turn requests away in place of the front. It comes
// before route, which writes both.
type abort struct {
	p      *plane
	routes *route
}

// Kind is mesh.Block.
func (b *abort) Kind() mesh.Kind { return mesh.Block }

// Needs is nothing besides what route needs.
func (b *abort) Needs() []control.Right { return nil }

// Apply has the front let everything through, and puts the aborts down for
// route.
func (b *abort) Apply(ctx context.Context, a mesh.Action) error {
	s := b.p.cfg.space
	open := a.Clone()
	b.routes.abort = make([]float64, s.Mesh().M())
	for i := range b.routes.abort {
		b.routes.abort[i] = 100 * s.BlockOf(a, i)
		if h := s.Find(mesh.Block, i); h >= 0 {
			clear(s.Knobs()[h].Values(open))
		}
	}
	return retry(ctx, func() error { return b.p.control.Apply(ctx, open, b.p.seed) })
}

// see takes the aborts from what route's look read.
func (b *abort) see(_ context.Context, a mesh.Action) error {
	s := b.p.cfg.space
	for _, o := range b.routes.all {
		for k, e := range o.entries {
			if h := s.Find(mesh.Block, s.Layout().Calls[e.call].Service); h >= 0 {
				s.Knobs()[h].Values(a)[0] = o.have.routes[k].abort / 100
			}
		}
	}
	return nil
}

// Follow has nothing to wait for that route does not.
func (b *abort) Follow(context.Context) error { return nil }
