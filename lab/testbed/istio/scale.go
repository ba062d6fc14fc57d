package istio

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
)

var (
	_ control.Actuator = (*scale)(nil)
	_ watcher          = (*scale)(nil)
)

// manager is what the testbed is called among those who write an object.
const manager = "meshbench"

// scale sets the replicas of nodes by the scale subresource of their
// Deployments.
type scale struct {
	p    *plane
	all  []*scaled
	took []float64 // real s from asked to ready, of each time that there were to be more
}

// scaled is a Deployment and what is known of it.
type scaled struct {
	knob   *mesh.KnobAt
	h      int // number of the knob
	node   string
	name   string
	have   int // replicas of its spec, as last read or written; -1 before
	mine   int // that were last sent to the API server; -1 before
	before int // as of the first look
	asked  time.Time
	rising bool   // more were asked for, and not all are ready
	failed string // why no more pods can be made, in the API server's words

	reached int                  // most that were ready since they were asked for
	live    map[types.UID]string // that were ready at the last check
	fewer   int                  // by how many it was scaled down since
}

func newScale(p *plane) *scale {
	s := &scale{p: p}
	space := p.cfg.space
	for h := range space.Knobs() {
		if k := &space.Knobs()[h]; k.Kind == mesh.Replicas {
			node := space.Mesh().Nodes[k.Of].Name
			s.all = append(s.all, &scaled{knob: k, h: h, node: node, name: p.cfg.deployment(node), have: -1, mine: -1, before: -1})
		}
	}
	return s
}

// Kind is mesh.Replicas.
func (s *scale) Kind() mesh.Kind { return mesh.Replicas }

// Needs are the rights to Deployments, and to see who else scales them.
func (s *scale) Needs() (rights []control.Right) {
	for _, d := range s.all {
		rights = append(rights, control.Right{Group: appsv1.GroupName, Resource: "deployments", Verb: "get", Name: d.name},
			control.Right{Group: appsv1.GroupName, Resource: "deployments/scale", Verb: "update", Name: d.name})
	}
	if len(s.all) > 0 {
		rights = append(rights, control.Right{Group: "autoscaling", Resource: "horizontalpodautoscalers", Verb: "list"},
			control.Right{Group: scaledObjects.Group, Resource: scaledObjects.Resource, Verb: "list"})
	}
	return rights
}

// Apply scales the Deployments that do not have a's replicas.
func (s *scale) Apply(ctx context.Context, a mesh.Action) error {
	for _, d := range s.all {
		if err := s.write(ctx, d, int(d.knob.Values(a)[0])); err != nil {
			return err
		}
	}
	return nil
}

// see writes the replicas that look read.
func (s *scale) see(_ context.Context, a mesh.Action) error {
	for _, d := range s.all {
		d.knob.Values(a)[0] = float64(d.have)
	}
	return nil
}

func (s *scale) restore(ctx context.Context) error {
	for _, d := range s.all {
		if d.before < 0 {
			continue
		}
		if err := s.write(ctx, d, d.before); err != nil {
			return err
		}
	}
	return nil
}

func (s *scale) get(ctx context.Context, d *scaled) (*appsv1.Deployment, error) {
	return s.p.cfg.Kubernetes.AppsV1().Deployments(s.p.cfg.Namespace).Get(ctx, d.name, metav1.GetOptions{})
}

func (s *scale) look(ctx context.Context) error {
	for _, d := range s.all {
		err := retry(ctx, func() error {
			x, err := s.get(ctx, d)
			if err == nil {
				s.take(d, x)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("reading Deployment %s: %w", d.name, err)
		}
		if d.before < 0 {
			d.before = d.have
		}
	}
	return nil
}

func (s *scale) check(ctx context.Context) error {
	for _, d := range s.all {
		x, err := s.get(ctx, d)
		if err != nil {
			return fmt.Errorf("the replicas of %s could not be checked: %w", d.node, err)
		}
		s.take(d, x)
	}
	return nil
}

// take notes what a Deployment says, and marks what others wrote.
func (s *scale) take(d *scaled, x *appsv1.Deployment) {
	now := 1
	if x.Spec.Replicas != nil {
		now = int(*x.Spec.Replicas)
	}
	if d.have >= 0 && now != d.have && now != d.mine && !s.p.cfg.Watch && !s.p.half && s.p.good != nil {
		who := "another writer"
		if owners := owners(x); len(owners) > 0 {
			who += " (" + owners[0] + ")"
		}
		s.p.note(fmt.Sprintf("%s scaled %s to %d in place of %d", who, d.node, now, d.have))
	}
	d.failed = ""
	for _, c := range x.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			d.failed = c.Message
		}
	}
	d.set(now)
}

// set notes how many replicas there are to be.
func (d *scaled) set(replicas int) {
	if replicas == d.have {
		return
	}
	if d.have >= 0 {
		d.rising = replicas > d.have
		d.fewer += max(0, d.have-replicas)
	}
	d.have, d.asked, d.reached = replicas, time.Now(), 0
}

// write scales a Deployment, unless it is so already, and looks at the answer.
func (s *scale) write(ctx context.Context, d *scaled, want int) error {
	if !s.p.half && d.have == want {
		return nil
	}
	api := s.p.cfg.Kubernetes.AppsV1().Deployments(s.p.cfg.Namespace)
	conflicts := 0
	err := retry(ctx, func() error {
		x, err := s.get(ctx, d)
		if err != nil {
			return err
		}
		if s.take(d, x); d.have == want {
			return nil
		}
		d.mine = want
		back, err := api.UpdateScale(ctx, d.name, &autoscalingv1.Scale{
			ObjectMeta: metav1.ObjectMeta{Name: d.name, Namespace: s.p.cfg.Namespace, ResourceVersion: x.ResourceVersion},
			Spec:       autoscalingv1.ScaleSpec{Replicas: int32(want)}}, metav1.UpdateOptions{FieldManager: manager})
		switch {
		case err != nil:
			if conflicts++; apierrors.IsConflict(err) && conflicts >= tries {
				return lastingError{fmt.Errorf("others change it all the time: %w", err)}
			}
			return refusal(err)
		case int(back.Spec.Replicas) != want:
			d.set(int(back.Spec.Replicas))
			return lastingError{fmt.Errorf("it has %d after it was scaled to %d: an admission webhook changes it", back.Spec.Replicas, want)}
		}
		d.set(want)
		return nil
	})
	if err != nil {
		return fmt.Errorf("scaling %s to %d: %w", d.node, want, err)
	}
	return nil
}

// Follow waits for replicas of knobs that are to take no time; others come when
// they are ready.
func (s *scale) Follow(ctx context.Context) error {
	for _, d := range s.all {
		if d.knob.Slow() {
			continue
		}
		if err := s.wait(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// podPoll is the time between two looks at pods that are starting.
const podPoll = 200 * time.Millisecond

// wait returns when as many pods of a node are ready as there are to be.
func (s *scale) wait(ctx context.Context, d *scaled) error {
	for {
		err := s.p.pods.count(ctx)
		ready := s.p.pods.of(d.node)
		if err == nil && ready.pods == d.have {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("%s has %d of %d replicas%s", d.node, ready.pods, d.have, because(d, ready))
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(podPoll):
		}
	}
}

// because says why replicas are missing.
func because(d *scaled, r readiness) string {
	switch {
	case d.failed != "":
		return ": " + d.failed
	case r.why != "":
		return ": " + r.why
	}
	return ""
}

// note takes how many replicas are ready.
func (s *scale) note() {
	for _, d := range s.all {
		ready := s.p.pods.of(d.node).pods
		d.reached = max(d.reached, ready)
		if d.rising && ready >= d.have {
			d.rising = false
			s.took = append(s.took, time.Since(d.asked).Seconds())
		}
	}
}

// rising reports whether replicas are on their way.
func (s *scale) rising() bool {
	return slices.ContainsFunc(s.all, func(d *scaled) bool { return s.p.pods.of(d.node).pods < d.have })
}

// missing are faults of a step: replicas that went, and those that should be
// ready and are not. Those that have begun to start a short while ago are not
// among them.
func (s *scale) missing() (faults []string) {
	s.note()
	for _, d := range s.all {
		r := s.p.pods.of(d.node)
		gone := 0
		for uid := range d.live {
			if r.live[uid] == "" {
				gone++
			}
		}
		if gone > d.fewer {
			faults = append(faults, fmt.Sprintf("%s lost %d of its replicas", d.node, gone-d.fewer))
		}
		d.live, d.fewer = r.live, 0
		late := time.Since(d.asked).Seconds() > s.p.cfg.Start
		if r.pods < d.have && (late || d.failed != "" || r.broken || r.pods < min(d.reached, d.have)) {
			faults = append(faults, fmt.Sprintf("%s has %d of %d replicas%s", d.node, r.pods, d.have, because(d, r)))
		}
	}
	return faults
}

// inForce writes the replicas that are ready to now, and returns those that are
// on their way.
func (s *scale) inForce(now mesh.Action) (pending []mesh.Pending) {
	for _, d := range s.all {
		if d.have < 0 {
			continue
		}
		ready := min(s.p.pods.of(d.node).pods, d.have)
		d.knob.Values(now)[0] = float64(ready)
		if ready < d.have {
			left := max(0, d.knob.Up-time.Since(d.asked).Seconds()*s.p.cfg.TimeScale)
			pending = append(pending, mesh.Pending{Knob: d.h, Point: d.knob.Nearest([]float64{float64(d.have)}), Left: left})
		}
	}
	return pending
}

// owners are those, other than the testbed and who made the Deployment, who
// wrote how many replicas it has.
func owners(d *appsv1.Deployment) (names []string) {
	for _, m := range d.ManagedFields {
		var fields struct {
			Spec map[string]json.RawMessage `json:"f:spec"`
		}
		if m.FieldsV1 == nil || json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) != nil || fields.Spec["f:replicas"] == nil {
			continue
		}
		if _, made := fields.Spec["f:selector"]; !made && m.Manager != manager {
			names = append(names, m.Manager)
		}
	}
	return names
}
