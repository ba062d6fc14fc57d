package istio

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/mesh"
)

var (
	_ control.Actuator = (*cores)(nil)
	_ watcher          = (*cores)(nil)
)

// cores sets the CPU limit of nodes by the resize subresource of their pods,
// which go on as they are. Pods that come later are resized when they are seen.
type cores struct {
	p   *plane
	all []*sized
}

// sized is a node and what is known of it.
type sized struct {
	knob   *mesh.KnobAt // nil where its cores are none
	node   string
	of     int                   // number of the node
	want   float64               // 0 before
	share  float64               // of it that it is given; see Testbed.Change
	given  map[types.UID]float64 // that pods were given, or had at the last look
	before map[types.UID]float64 // the first
}

// limit is what its pods are given, to the thousandth of a core; 0 before.
func (z *sized) limit() float64 {
	if z.want == 0 {
		return 0
	}
	return max(math.Round(1000*z.want*z.share)/1000, leastCores)
}

func newCores(p *plane) *cores {
	c := &cores{p: p}
	space := p.cfg.space
	for h := range space.Knobs() {
		if k := &space.Knobs()[h]; k.Kind == mesh.CPU {
			c.all = append(c.all, &sized{knob: k, node: space.Mesh().Nodes[k.Of].Name, of: k.Of, share: 1, given: map[types.UID]float64{}})
		}
	}
	return c
}

// take sees to the cores of node j also where they are no knob: they are those that
// its pods have.
func (c *cores) take(ctx context.Context, j int) error {
	if slices.ContainsFunc(c.all, func(z *sized) bool { return z.of == j }) {
		return nil
	}
	z := &sized{node: c.p.cfg.space.Mesh().Nodes[j].Name, of: j, share: 1, given: map[types.UID]float64{}}
	err := retry(ctx, func() error {
		by, err := c.p.pods.list(ctx)
		for _, pod := range by[z.node] {
			if k := application(pod); k >= 0 {
				z.given[pod.UID] = pod.Spec.Containers[k].Resources.Limits.Cpu().AsApproximateFloat64()
				z.want = max(z.want, z.given[pod.UID])
			}
		}
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("the cores of %s: %w", z.node, err)
	case z.want == 0:
		return fmt.Errorf("the pods of %s have no CPU limit of which they could be given a share", z.node)
	}
	z.before, c.all = maps.Clone(z.given), append(c.all, z)
	return nil
}

// Kind is mesh.CPU.
func (c *cores) Kind() mesh.Kind { return mesh.CPU }

// Needs is the right to resize pods.
func (c *cores) Needs() []control.Right {
	if len(c.all) == 0 {
		return nil
	}
	return []control.Right{{Resource: "pods/resize", Verb: "patch"}}
}

// Apply resizes the pods that do not have a's cores.
func (c *cores) Apply(ctx context.Context, a mesh.Action) error {
	for _, z := range c.all {
		if z.knob != nil {
			z.want = z.knob.Values(a)[0]
		}
	}
	return c.fit(ctx)
}

// fit resizes the pods that do not have what they should.
func (c *cores) fit(ctx context.Context) error {
	if len(c.all) == 0 {
		return nil
	}
	return retry(ctx, func() error {
		by, err := c.p.pods.list(ctx)
		if err != nil {
			return err
		}
		for _, z := range c.all {
			for _, pod := range by[z.node] {
				if err := c.resize(ctx, z, pod, z.limit()); err != nil {
					return fmt.Errorf("resizing %s to %g cores: %w", z.node, z.limit(), err)
				}
			}
		}
		return nil
	})
}

// resize sets the limit of a pod.
func (c *cores) resize(ctx context.Context, z *sized, pod *corev1.Pod, want float64) error {
	k := application(pod)
	if k < 0 || want == 0 {
		return nil
	}
	if pod.Spec.Containers[k].Resources.Limits.Cpu().AsApproximateFloat64() == want {
		z.given[pod.UID] = want
		return nil
	}
	patch := fmt.Sprintf(`{"spec":{"containers":[{"name":%q,"resources":{"limits":{"cpu":%q}}}]}}`, pod.Spec.Containers[k].Name, quantity(want))
	_, err := c.p.cfg.Kubernetes.CoreV1().Pods(c.p.cfg.Namespace).
		Patch(ctx, pod.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: manager}, "resize")
	if err == nil {
		z.given[pod.UID] = want
	}
	return refusal(err)
}

// leastCores is the least limit that a kernel enforces.
const leastCores = .01

func quantity(cores float64) string {
	return resource.NewMilliQuantity(int64(math.Round(1000*cores)), resource.DecimalSI).String()
}

// application is the number of the container that a pod says is its main one, as
// Istio's injection has it say, or else of the first that is not the sidecar; -1
// for none.
func application(pod *corev1.Pod) int {
	first := -1
	for k, c := range pod.Spec.Containers {
		switch {
		case c.Name == pod.Annotations["kubectl.kubernetes.io/default-container"]:
			return k
		case c.Name != sidecar && first < 0:
			first = k
		}
	}
	return first
}

// limit is the CPU limit that a pod works under, in cores, and what keeps it from
// the one that it was given, "" for nothing; 0 where the first is not known.
func limit(pod *corev1.Pod) (cores float64, why string) {
	if k := application(pod); k >= 0 {
		for _, s := range pod.Status.ContainerStatuses {
			if s.Name == pod.Spec.Containers[k].Name && s.Resources != nil {
				cores = s.Resources.Limits.Cpu().AsApproximateFloat64()
			}
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodResizePending && c.Status == corev1.ConditionTrue || c.Type == corev1.PodResizeInProgress && c.Reason == corev1.PodReasonError {
			why = c.Reason + ": " + c.Message
		}
	}
	return cores, why
}

// look takes what pods have before the first action.
func (c *cores) look(ctx context.Context) error {
	if len(c.all) == 0 {
		return nil
	}
	return retry(ctx, func() error { return c.check(ctx) })
}

// check marks limits that others wrote.
func (c *cores) check(ctx context.Context) error {
	if len(c.all) == 0 {
		return nil
	}
	by, err := c.p.pods.list(ctx)
	if err != nil {
		return fmt.Errorf("the cores could not be checked: %w", err)
	}
	for _, z := range c.all {
		there := map[types.UID]float64{}
		for _, pod := range by[z.node] {
			k := application(pod)
			if k < 0 {
				continue
			}
			now := pod.Spec.Containers[k].Resources.Limits.Cpu().AsApproximateFloat64()
			if was, ok := z.given[pod.UID]; ok && was != now && c.p.good != nil && !c.p.half && !c.p.cfg.Watch {
				c.p.note(fmt.Sprintf("another writer gave %s %g cores in place of %g", z.node, now, was))
			}
			there[pod.UID] = now
		}
		if z.given = there; z.before == nil {
			z.before = maps.Clone(there)
		}
	}
	return nil
}

// see writes the cores that look read: the fewest of a node.
func (c *cores) see(_ context.Context, a mesh.Action) error {
	for _, z := range c.all {
		least := math.Inf(1)
		for _, cores := range z.given {
			least = min(least, cores)
		}
		if z.knob != nil && !math.IsInf(least, 1) && least > 0 {
			z.want, z.knob.Values(a)[0] = least, least
		}
	}
	return nil
}

// restore gives pods what they had at the first look.
func (c *cores) restore(ctx context.Context) error {
	by, err := c.p.pods.list(ctx)
	if err != nil {
		return err
	}
	for _, z := range c.all {
		for _, pod := range by[z.node] {
			if err := c.resize(ctx, z, pod, z.before[pod.UID]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Follow waits until the pods that are ready work under what they were given.
func (c *cores) Follow(ctx context.Context) error {
	for {
		missing, ends, err := c.behind(ctx)
		if err == nil && missing == "" {
			return nil
		}
		if err == nil {
			err = errors.New(missing)
		}
		if ends {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(podPoll):
		}
	}
}

// behind says which pod does not work under what it was given, and whether it
// never will.
func (c *cores) behind(ctx context.Context) (missing string, ends bool, err error) {
	if len(c.all) == 0 {
		return "", true, nil
	}
	if err := c.p.pods.count(ctx); err != nil {
		return "", false, err
	}
	for _, z := range c.all {
		r := c.p.pods.of(z.node)
		if r.pods > 0 && (r.least != z.limit() || r.most != z.limit()) {
			missing = fmt.Sprintf("%s works on %g cores, not %g", z.node, r.least, z.limit())
			if r.resize != "" {
				missing += ": " + r.resize
			}
			return missing, r.hopeless, nil
		}
	}
	return "", true, nil
}

// inForce writes the cores that pods work on to now: the fewest of a node.
func (c *cores) inForce(now mesh.Action) {
	for _, z := range c.all {
		if r := c.p.pods.of(z.node); z.knob != nil && r.pods > 0 && r.least > 0 {
			if z.knob.Values(now)[0] = r.least / z.share; r.least == z.limit() {
				z.knob.Values(now)[0] = z.want
			}
		}
	}
}
