package istio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/lab/change"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
)

// deployment is that of a node with one replica, as kubectl apply leaves it.
func deployment(name string) *appsv1.Deployment {
	one := int32(1)
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "meshbench", ResourceVersion: "1",
		ManagedFields: []metav1.ManagedFieldsEntry{fields("kubectl-client-side-apply", "", `{"f:spec":{"f:replicas":{},"f:selector":{}}}`)}},
		Spec: appsv1.DeploymentSpec{Replicas: &one}}
}

func fields(manager, part, text string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, Subresource: part, FieldsV1: metav1.NewFieldsV1(text)}
}

// startDeployments adds the API server's part for scales and resizes, and that of
// the Deployments' controller.
func (w *world) startDeployments() {
	refused := func(verb, name string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.refuse == nil {
			return nil
		}
		return w.refuse(verb, name)
	}
	w.kube.PrependReactor("get", "deployments", func(a clienttesting.Action) (bool, runtime.Object, error) {
		return false, nil, refused("get", a.(clienttesting.GetAction).GetName())
	})
	w.kube.PrependReactor("update", "deployments/scale", func(a clienttesting.Action) (bool, runtime.Object, error) {
		s := a.(clienttesting.UpdateAction).GetObject().(*autoscalingv1.Scale).DeepCopy()
		if err := refused("update", s.Name); err != nil {
			return true, nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		d, err := w.deployment(s.Name)
		switch {
		case err != nil:
			return true, nil, err
		case d.ResourceVersion != s.ResourceVersion:
			return true, nil, apierrors.NewConflict(schema.GroupResource{Group: "apps", Resource: "deployments"}, s.Name, fmt.Errorf("the object has been modified"))
		}
		w.scales++
		w.scaleTo(s.Name, s.Spec.Replicas, manager)
		return true, s, nil
	})
	w.kube.PrependReactor("patch", "pods/resize", func(a clienttesting.Action) (bool, runtime.Object, error) {
		p := a.(clienttesting.PatchAction)
		if err := refused("resize", p.GetName()); err != nil {
			return true, nil, err
		}
		var patch struct{ Spec corev1.PodSpec }
		if err := json.Unmarshal(p.GetPatch(), &patch); err != nil {
			return true, nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		obj, err := w.kube.Tracker().Get(corev1.SchemeGroupVersion.WithResource("pods"), "meshbench", p.GetName())
		if err != nil {
			return true, nil, err
		}
		pod := obj.(*corev1.Pod).DeepCopy()
		limits := patch.Spec.Containers[0].Resources.Limits
		pod.Spec.Containers[0].Resources.Limits = limits
		if w.small > 0 && limits.Cpu().AsApproximateFloat64() > w.small {
			pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodResizePending, Status: corev1.ConditionTrue,
				Reason: corev1.PodReasonInfeasible, Message: "Node didn't have enough capacity: cpu"})
		} else {
			pod.Status.Conditions = pod.Status.Conditions[:1]
			pod.Status.ContainerStatuses[0].Resources = &corev1.ResourceRequirements{Limits: limits}
		}
		return true, pod, w.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), pod, "meshbench")
	})
}

func (w *world) deployment(name string) (*appsv1.Deployment, error) {
	obj, err := w.kube.Tracker().Get(appsv1.SchemeGroupVersion.WithResource("deployments"), "meshbench", name)
	if err != nil {
		return nil, err
	}
	return obj.(*appsv1.Deployment).DeepCopy(), nil
}

// scaleTo sets the replicas of a node's Deployment, and makes or deletes pods. The
// lock is held.
func (w *world) scaleTo(name string, replicas int32, by string) {
	d, err := w.deployment(name)
	if err != nil {
		panic(err)
	}
	w.version++
	d.ResourceVersion, d.Spec.Replicas = fmt.Sprint(w.version), &replicas
	d.ManagedFields = append(d.ManagedFields[:0], fields("kubectl-client-side-apply", "", `{"f:spec":{"f:selector":{}}}`), fields(by, "scale", `{"f:spec":{"f:replicas":{}}}`))
	d.Status.Conditions = nil
	pods := corev1.SchemeGroupVersion.WithResource("pods")
	there := w.podsOf(name)
	for n := len(there); n < int(replicas); n++ {
		if w.quota > 0 && n >= w.quota {
			d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue,
				Message: `pods "` + name + `-x" is forbidden: exceeded quota: few`})
			break
		}
		w.made++
		p := pod(fmt.Sprintf("%s-%d", name, w.made), map[string]string{"app": "node", "node": name})
		if w.slow {
			p.Status.Phase, p.Status.Conditions[0].Status = corev1.PodPending, corev1.ConditionFalse
			p.Status.ContainerStatuses[0].State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
		}
		if err := w.kube.Tracker().Create(pods, p, "meshbench"); err != nil {
			panic(err)
		}
	}
	for n := len(there) - 1; n >= int(replicas); n-- {
		if err := w.kube.Tracker().Delete(pods, "meshbench", there[n]); err != nil {
			panic(err)
		}
	}
	if err := w.kube.Tracker().Update(appsv1.SchemeGroupVersion.WithResource("deployments"), d, "meshbench"); err != nil {
		panic(err)
	}
}

// podsOf are the names of a node's pods, those that are ready first: the others
// are the first to go.
func (w *world) podsOf(node string) (names []string) {
	obj, err := w.kube.Tracker().List(corev1.SchemeGroupVersion.WithResource("pods"), corev1.SchemeGroupVersion.WithKind("Pod"), "meshbench")
	if err != nil {
		panic(err)
	}
	var rest []string
	for _, p := range obj.(*corev1.PodList).Items {
		switch {
		case p.Labels["node"] != node:
		case unready(&p) == "":
			names = append(names, p.Name)
		default:
			rest = append(rest, p.Name)
		}
	}
	return append(names, rest...)
}

// wantReplicas checks those of the Deployments.
func (w *world) wantReplicas(t *testing.T, want ...int32) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for j, name := range w.scenario.Mesh.NodeNames() {
		if d, err := w.deployment(name); err != nil || *d.Spec.Replicas != want[j] {
			t.Errorf("Deployment %s: %v replicas, %v; want %d", name, *d.Spec.Replicas, err, want[j])
		}
	}
}

// become makes the pods of a node ready, or not for a reason.
func (w *world) become(t *testing.T, node, why string) {
	t.Helper()
	for _, name := range w.podsOf(node) {
		w.editPod(t, name, func(p *corev1.Pod) {
			ready := p.Status.Conditions[0].Status == corev1.ConditionTrue
			switch {
			case why == "" && !ready:
				p.Status.Phase, p.Status.Conditions[0].Status, p.Status.ContainerStatuses[0].State.Waiting = corev1.PodRunning, corev1.ConditionTrue, nil
			case why != "" && !ready:
				p.Status.ContainerStatuses[0].State.Waiting = &corev1.ContainerStateWaiting{Reason: why}
			}
		})
	}
}

// scaling is the paper's mesh with replicas and cores as knobs.
func scaling(t *testing.T, up float64) (*world, Config) {
	t.Helper()
	s := scenario.Paper()
	s.Knobs = []mesh.Knob{{Kind: mesh.Route}, {Kind: mesh.Block}, {Kind: mesh.Replicas, Min: 1, Max: 4, Up: up, Cost: 1}, {Kind: mesh.CPU, Min: 1, Max: 5}}
	w := newWorldOf(t, s)
	return w, w.config()
}

// act has replicas r1, r2 and cores c1, c2, at weights p11, p21.
func act(p11, p21, r1, r2, c1, c2 float64) mesh.Action {
	return append(action(p11, p21, 0, 0), r1, r2, c1, c2)
}

func wantInForce(t *testing.T, bed *Testbed, a mesh.Action, pending int) {
	t.Helper()
	inForce, p := bed.InForce()
	if bed.Space().Format(inForce) != bed.Space().Format(a) || len(p) != pending {
		t.Errorf("in force %s, pending %+v; want %s and %d", bed.Space().Format(inForce), p, bed.Space().Format(a), pending)
	}
}

// Replicas and cores are set, are in force when they are, and are put back by the
// next run.
func TestScale(t *testing.T) {
	w, cfg := scaling(t, 30)
	bed := w.testbed(t, cfg)
	wantInForce(t, bed, act(.5, .5, 1, 1, 1, 1), 0)
	w.set(func() { w.slow = true })
	a, before := act(.8, .4, 3, 1, 2, 1), act(.8, .4, 1, 1, 2, 1)
	if x, _ := w.measure(t, bed, a); x.Mark != "" || x.Failed[0] > 0 {
		t.Errorf("mark %q, %v failed", x.Mark, x.Failed)
	}
	w.wantReplicas(t, 3, 1)
	wantInForce(t, bed, before, 1)
	if _, p := bed.InForce(); p[0].Point != 2 || !(p[0].Left > 0 && p[0].Left < 30) {
		t.Errorf("pending %+v", p)
	}
	w.become(t, "node1", "")
	if x, _ := w.measure(t, bed, a); x.Mark != "" {
		t.Errorf("mark %q", x.Mark)
	}
	wantInForce(t, bed, a, 0)
	if bed.Space().Format(bed.Applied()) != bed.Space().Format(a) || len(bed.Scaled()) != 1 {
		t.Errorf("applied %v, scaled in %v s", bed.Applied(), bed.Scaled())
	}
	if x, _ := w.measure(t, bed, act(.8, .4, 1, 1, 1, 1)); x.Mark != "" || w.scales != 2 {
		t.Errorf("mark %q, %d writings", x.Mark, w.scales)
	}
	wantInForce(t, bed, act(.8, .4, 1, 1, 1, 1), 0)
	w.set(func() { w.slow = false })
	w.measure(t, bed, act(.8, .4, 4, 4, 5, 5))
	wantInForce(t, bed, act(.8, .4, 4, 4, 5, 5), 0)
	if err := bed.Reset(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	w.wantReplicas(t, 1, 1)
	wantInForce(t, bed, act(.5, .5, 1, 1, 1, 1), 0)
}

// A run begins also where the one before has left replicas on their way, but not
// where none is ready.
func TestScaleLeft(t *testing.T) {
	w, cfg := scaling(t, 30)
	w.set(func() {
		w.slow = true
		w.scaleTo("node1", 3, manager)
	})
	bed := w.testbed(t, cfg)
	w.wantReplicas(t, 1, 1)
	wantInForce(t, bed, act(.5, .5, 1, 1, 1, 1), 0)
	w.set(func() {
		w.scaleTo("node1", 0, manager)
		w.scaleTo("node1", 1, manager)
	})
	if f, err := Preflight(context.Background(), cfg); err != nil || len(f) != 1 || !strings.Contains(f[0].What, "is not ready: ContainerCreating") {
		t.Errorf("%v, %v", f, err)
	}
}

// A replica that does not get ready is not in force, and the row says why: at
// once where that is known to be in vain, else after a while.
func TestReplicaNeverReady(t *testing.T) {
	for _, c := range []struct{ why, want string }{
		{"CrashLoopBackOff", "node1 has 1 of 2 replicas: node1-1 is not ready: CrashLoopBackOff"},
		{"ContainerCreating", ""},
	} {
		w, cfg := scaling(t, 30)
		cfg.Start = 1.5 // a step takes a tenth
		bed := w.testbed(t, cfg)
		w.set(func() { w.slow = true })
		a := act(.8, .4, 2, 1, 1, 1)
		if x, _ := w.measure(t, bed, a); x.Mark != "" {
			t.Errorf("mark %q", x.Mark)
		}
		w.become(t, "node1", c.why)
		if x, _ := w.measure(t, bed, a); x.Mark != c.want {
			t.Errorf("mark %q, want %q", x.Mark, c.want)
		}
		wantInForce(t, bed, act(.8, .4, 1, 1, 1, 1), 1)
		bed.plane.scale.all[0].asked = bed.plane.scale.all[0].asked.Add(-2e9)
		if x, routed := w.measure(t, bed, a); x.Mark != "node1 has 1 of 2 replicas: node1-1 is not ready: "+c.why || routed["service1 node1"] == 0 || x.Failed[0] > 0 {
			t.Errorf("mark %q, routed %v, failed %v", x.Mark, routed, x.Failed)
		}
	}
}

// What the API server does not want is said in its words, and the action before
// stays, also of what was written before; a right that is missing ends the run.
func TestScaleRefused(t *testing.T) {
	deployments := schema.GroupResource{Group: "apps", Resource: "deployments"}
	for _, c := range []struct {
		name   string
		refuse func(verb, name string) error
		ends   bool
		want   string
	}{
		{"quota", func(verb, name string) error {
			if verb != "update" || name != "node2" {
				return nil
			}
			return apierrors.NewForbidden(deployments, name, fmt.Errorf("exceeded quota: few, requested: count/replicas=3"))
		}, false, "not applied, the action before stayed in force (p11=0.8 p21=0.4 b1=0 b2=0 r1=1 r2=1 cpu1=1 cpu2=1): scaling node2 to 3: deployments.apps \"node2\" is forbidden: exceeded quota: few"},
		{"forbidden", func(verb, name string) error {
			if verb != "update" || name != "node2" {
				return nil
			}
			return apierrors.NewForbidden(deployments, name, fmt.Errorf(`User "controller" cannot update resource "deployments/scale"`))
		}, true, `scaling node2 to 3: deployments.apps "node2" is forbidden: User "controller" cannot update resource`},
		{"conflict", func(verb, name string) error {
			if verb != "update" || name != "node2" {
				return nil
			}
			return apierrors.NewConflict(deployments, name, fmt.Errorf("the object has been modified"))
		}, true, "scaling node2 to 3: others change it all the time: "},
		{"away", func(verb, name string) error {
			if name != "node2" {
				return nil
			}
			return fmt.Errorf("connection refused")
		}, false, "scaling node2 to 3: connection refused"},
		{"resize", func(verb, name string) error {
			if verb != "resize" || name != "node2-a" {
				return nil
			}
			return apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, name, fmt.Errorf("maximum cpu usage per Container is 2, but limit is 4"))
		}, false, "resizing node2 to 4 cores: pods \"node2-a\" is forbidden: maximum cpu usage"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, cfg := scaling(t, 30)
			bed := w.testbed(t, cfg)
			before, after := act(.8, .4, 1, 1, 1, 1), act(.2, .6, 2, 3, 1, 4)
			w.measure(t, bed, before)
			w.set(func() { w.refuse = c.refuse })
			x, err := bed.Measure(context.Background(), mesh.Load{8, 8}, after)
			switch {
			case c.ends && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")):
				t.Errorf("error %v, want %q", err, c.want)
			case !c.ends && (err != nil || !strings.Contains(x.Mark, c.want) || x.Failed[0] > 0 || x.Service[0].Count == 0):
				t.Errorf("mark %q, %v, want %q; %v failed", x.Mark, err, c.want, x.Failed)
			}
			w.wantReplicas(t, 1, 1)
			wantWeights(t, w, []int{80, 20}, []int{40, 60})
			wantInForce(t, bed, before, 0)
			w.set(func() { w.refuse = nil })
			if x, _ := w.measure(t, bed, after); x.Mark != "" {
				t.Errorf("then: mark %q", x.Mark)
			}
			wantInForce(t, bed, after, 0)
		})
	}
}

// A change by another in the middle of a scaling is no conflict for long.
func TestScaleConflict(t *testing.T) {
	w, cfg := scaling(t, 30)
	bed := w.testbed(t, cfg)
	first := true
	w.set(func() {
		w.refuse = func(verb, name string) error {
			if verb == "update" && first {
				first = false
				return apierrors.NewConflict(schema.GroupResource{Group: "apps", Resource: "deployments"}, name, fmt.Errorf("the object has been modified"))
			}
			return nil
		}
	})
	a := act(.8, .4, 2, 1, 1, 1)
	if x, _ := w.measure(t, bed, a); x.Mark != "" || first {
		t.Errorf("mark %q", x.Mark)
	}
	wantInForce(t, bed, a, 0)
}

// Replicas that no pod can be made for are missing in the row, in the API
// server's words.
func TestPodQuota(t *testing.T) {
	w, cfg := scaling(t, 30)
	bed := w.testbed(t, cfg)
	w.set(func() { w.quota = 2 })
	x, _ := w.measure(t, bed, act(.8, .4, 4, 1, 1, 1))
	if x.Mark != `node1 has 2 of 4 replicas: pods "node1-x" is forbidden: exceeded quota: few` {
		t.Errorf("mark %q", x.Mark)
	}
	wantInForce(t, bed, act(.8, .4, 2, 1, 1, 1), 1)
}

// Cores that a machine does not have are not in force.
func TestResizeInfeasible(t *testing.T) {
	w, cfg := scaling(t, 30)
	bed := w.testbed(t, cfg)
	w.set(func() { w.small = 2 })
	x, _ := w.measure(t, bed, act(.8, .4, 1, 1, 5, 2))
	if x.Mark != "the mesh did not follow within 0.5 s: node1 works on 1 cores, not 5: Infeasible: Node didn't have enough capacity: cpu" || x.Failed[0] > 0 {
		t.Errorf("mark %q, %v failed", x.Mark, x.Failed)
	}
	wantInForce(t, bed, act(.8, .4, 1, 1, 1, 2), 0)
	if x, _ := w.measure(t, bed, act(.8, .4, 1, 1, 2, 2)); x.Mark != "" {
		t.Errorf("then: mark %q", x.Mark)
	}
	wantInForce(t, bed, act(.8, .4, 1, 1, 2, 2), 0)
}

// A replica that dies while another starts is missed, and so is one that is
// replaced between two looks.
func TestReplicaDies(t *testing.T) {
	w, cfg := scaling(t, 30)
	bed := w.testbed(t, cfg)
	two, three := act(.8, .4, 2, 1, 1, 1), act(.8, .4, 3, 1, 1, 1)
	w.measure(t, bed, two)
	w.set(func() { w.slow = true })
	w.measure(t, bed, three)
	kill := func(name string) {
		t.Helper()
		if err := w.kube.CoreV1().Pods("meshbench").Delete(context.Background(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	kill("node1-a")
	x, _ := w.measure(t, bed, three)
	if x.Mark != "node1 lost 1 of its replicas; node1 has 1 of 3 replicas: node1-2 is not ready: ContainerCreating" {
		t.Errorf("mark %q", x.Mark)
	}
	wantInForce(t, bed, act(.8, .4, 1, 1, 1, 1), 1)
	w.become(t, "node1", "")
	w.set(func() { w.slow = false; w.scaleTo("node1", 3, manager) })
	w.measure(t, bed, three)
	wantInForce(t, bed, three, 0)
	kill(w.podsOf("node1")[0])
	w.set(func() { w.scaleTo("node1", 3, manager) })
	if x, _ := w.measure(t, bed, three); x.Mark != "node1 lost 1 of its replicas" {
		t.Errorf("replaced: mark %q", x.Mark)
	}
}

// Another who scales or resizes is named in the row, and what he did put right.
func TestOthersScale(t *testing.T) {
	w, cfg := scaling(t, 30)
	bed := w.testbed(t, cfg)
	a := act(.8, .4, 2, 1, 2, 1)
	w.measure(t, bed, a)
	w.set(func() { w.scaleTo("node1", 4, "kubectl") })
	w.editPod(t, "node2-a", func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3")}
	})
	x, _ := w.measure(t, bed, a)
	if x.Mark != "another writer (kubectl) scaled node1 to 4 in place of 2; another writer gave node2 3 cores in place of 1" {
		t.Errorf("mark %q", x.Mark)
	}
	w.wantReplicas(t, 2, 1)
	wantInForce(t, bed, a, 0)
	if x, _ := w.measure(t, bed, a); x.Mark != "" {
		t.Errorf("then: mark %q", x.Mark)
	}
}

// A controller that is killed between two knobs leaves one of them; the next one
// puts that right.
func TestKilledBetweenKnobs(t *testing.T) {
	w, cfg := scaling(t, 30)
	before, after := act(.8, .4, 1, 1, 1, 1), act(.2, .6, 2, 3, 1, 4)
	w.measure(t, w.testbed(t, cfg), before)
	// Of the one that is killed nothing is heard after its first scaling.
	bed := w.testbed(t, cfg)
	w.measure(t, bed, before)
	done := false
	w.set(func() {
		w.refuse = func(verb, name string) error {
			if done || verb == "resize" || verb == "update" && name == "node2" {
				done = true
				return fmt.Errorf("killed")
			}
			return nil
		}
		w.fail = func(verb, _ string) error {
			if done {
				return fmt.Errorf("killed")
			}
			return nil
		}
	})
	w.measure(t, bed, after)
	w.wantReplicas(t, 2, 1)
	wantWeights(t, w, []int{20, 80}, []int{60, 40})
	w.set(func() { w.refuse, w.fail = nil, nil })
	next := w.testbed(t, cfg)
	w.wantReplicas(t, 1, 1)
	wantInForce(t, next, act(.5, .5, 1, 1, 1, 1), 0)
	if x, _ := w.measure(t, next, after); x.Mark != "" {
		t.Errorf("mark %q", x.Mark)
	}
	w.wantReplicas(t, 2, 3)
	wantInForce(t, next, after, 0)
}

// Who else scales a node is told before a run, by name.
func TestOwners(t *testing.T) {
	ctx := context.Background()
	w, cfg := scaling(t, 30)
	if f, err := Preflight(ctx, cfg); err != nil || len(f) > 0 {
		t.Fatalf("%v, %v", f, err)
	}
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "busy", Namespace: "meshbench"}}
	hpa.Spec.ScaleTargetRef = autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "node1"}
	other := hpa.DeepCopy()
	other.Name, other.Spec.ScaleTargetRef.Name = "front", "front"
	for _, h := range []*autoscalingv2.HorizontalPodAutoscaler{hpa, other} {
		if _, err := w.kube.AutoscalingV2().HorizontalPodAutoscalers("meshbench").Create(ctx, h, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	keda := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": map[string]any{"name": "queue", "namespace": "meshbench"},
		"spec": map[string]any{"scaleTargetRef": map[string]any{"name": "node2"}}}}
	if _, err := w.dynamic.Resource(scaledObjects).Namespace("meshbench").Create(ctx, keda, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.set(func() { w.scaleTo("node2", 2, "argo") })
	_, err := New(ctx, cfg)
	var f Findings
	if !errors.As(err, &f) || len(f) != 3 {
		t.Fatalf("error %v", err)
	}
	for k, want := range []Finding{
		{"Deployment node1 is scaled by hpa busy", "kubectl -n meshbench delete hpa busy"},
		{"Deployment node2 is scaled by scaledobject queue", "kubectl -n meshbench delete scaledobject queue"},
		{"Deployment node2 was scaled by argo", `see that it does so no more, then kubectl -n meshbench patch deployment node2 --subresource=scale --field-manager=meshbench --type=merge -p '{"spec":{"replicas":3}}'`},
	} {
		if f[k] != want {
			t.Errorf("%+v, want %+v", f[k], want)
		}
	}
	w.wantReplicas(t, 1, 2)
	// Without such knobs it is nobody's business.
	cfg.Scenario.Knobs = cfg.Scenario.Knobs[:2]
	if f, err := Preflight(ctx, cfg); err != nil || len(f) > 0 {
		t.Errorf("%v, %v", f, err)
	}
	rights, err := cfg.Rights()
	for _, r := range rights {
		if r.Group == "apps" || r.Resource == "pods/resize" {
			t.Errorf("%v, %v", r, err)
		}
	}
}

// What knobs of increments go to, and replicas that are to take no time.
func TestIncrements(t *testing.T) {
	w, cfg := scaling(t, -1)
	cfg.Scenario.Knobs[2].Step = 1
	bed := w.testbed(t, cfg)
	for _, want := range []float64{2, 3, 4, 4} {
		w.measure(t, bed, act(.8, .4, 4, 1, 1, 1))
		wantInForce(t, bed, act(.8, .4, want, 1, 1, 1), 0)
	}
	w, cfg = scaling(t, -1)
	bed = w.testbed(t, cfg)
	w.set(func() { w.slow = true })
	if x, _ := w.measure(t, bed, act(.8, .4, 2, 1, 1, 1)); !strings.HasPrefix(x.Mark, "the mesh did not follow within 0.5 s: node1 has 1 of 2 replicas: node1-") {
		t.Errorf("mark %q", x.Mark)
	}
}

// A node that is made slower by the API keeps the cores that its knob is said to
// have, and has that share of them: also after the knob was set anew, and not after
// Reset. What the API server refuses or does not answer changes nothing.
func TestChange(t *testing.T) {
	w, cfg := scaling(t, 30)
	bed := w.testbed(t, cfg)
	ctx := context.Background()
	limits := func() (list []string) {
		for _, node := range []string{"node1", "node2"} {
			for _, name := range w.podsOf(node) {
				p, err := w.kube.CoreV1().Pods("meshbench").Get(ctx, name, metav1.GetOptions{})
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, p.Spec.Containers[application(p)].Resources.Limits.Cpu().String())
			}
		}
		return list
	}
	want := func(what string, a mesh.Action, cores ...string) {
		t.Helper()
		if got := limits(); strings.Join(got, " ") != strings.Join(cores, " ") {
			t.Errorf("%s: limits %v, want %v", what, got, cores)
		}
		wantInForce(t, bed, a, 0)
	}
	a := act(.8, .4, 1, 1, 2, 2)
	w.measure(t, bed, a)
	want("before", a, "2", "2")
	c := change.As(bed.Space().Layout())
	c.Speed[0] = .4
	w.set(func() {
		w.refuse = func(verb, _ string) error {
			if verb == "resize" {
				return apierrors.NewServiceUnavailable("away")
			}
			return nil
		}
	})
	if err := bed.Change(ctx, c); err == nil || !strings.Contains(err.Error(), "istio: resizing node1 to 0.8 cores") {
		t.Errorf("while the API server is away: %v", err)
	}
	w.set(func() { w.refuse = nil })
	if x, _ := w.measure(t, bed, a); x.Mark != "" {
		t.Errorf("after a change that failed: mark %q", x.Mark)
	}
	want("after a change that failed", a, "2", "2")
	if err := bed.Change(ctx, c); err != nil {
		t.Fatal(err)
	}
	if x, _ := w.measure(t, bed, a); x.Mark != "" {
		t.Errorf("mark %q", x.Mark)
	}
	want("slower", a, "800m", "2")
	a = act(.8, .4, 1, 1, 5, 1)
	if x, _ := w.measure(t, bed, a); x.Mark != "" {
		t.Errorf("mark %q", x.Mark)
	}
	want("with more cores", a, "2", "1")
	if err := bed.Reset(ctx, 1); err != nil {
		t.Fatal(err)
	}
	want("after Reset", act(.5, .5, 1, 1, 1, 1), "1", "1")
	c.Work[0] = 2
	if err := bed.Change(ctx, c); err == nil || !strings.Contains(err.Error(), "accepted: slower nodes") {
		t.Errorf("more work: %v", err)
	}
	c = change.As(bed.Space().Layout())
	c.Speed[1] = 0
	if err := bed.Change(ctx, c); err == nil {
		t.Error("a lost node was accepted")
	}
}

// A node whose cores are no knob is given a share of those that its pods have, and
// all of them by Reset.
func TestChangeWithoutKnob(t *testing.T) {
	w := newWorldOf(t, scenario.Paper())
	w.editPod(t, w.podsOf("node2")[0], func(p *corev1.Pod) { p.Spec.Containers[application(p)].Resources.Limits = nil })
	bed := w.testbed(t, w.config())
	ctx := context.Background()
	limit := func() string {
		p, err := w.kube.CoreV1().Pods("meshbench").Get(ctx, w.podsOf("node1")[0], metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return p.Spec.Containers[application(p)].Resources.Limits.Cpu().String()
	}
	w.measure(t, bed, action(.6, .4, 0, 0))
	c := change.As(bed.Space().Layout())
	c.Speed[0] = .4
	if err := bed.Change(ctx, c); err != nil {
		t.Fatal(err)
	}
	if x, _ := w.measure(t, bed, action(.8, .4, 0, 0)); x.Mark != "" || limit() != "400m" {
		t.Errorf("limit %s, mark %q", limit(), x.Mark)
	}
	c.Speed[1] = .5
	if err := bed.Change(ctx, c); err == nil || err.Error() != "istio: the pods of node2 have no CPU limit of which they could be given a share" {
		t.Errorf("a node without a limit: %v", err)
	}
	if err := bed.Reset(ctx, 1); err != nil || limit() != "1" {
		t.Errorf("after Reset: limit %s, %v", limit(), err)
	}
}

// Of containers of others that is resized which the pod says is its main one.
func TestMainContainer(t *testing.T) {
	const annotation = "kubectl.kubernetes.io/default-container"
	for _, c := range []struct {
		says  string
		names []string
		want  int
	}{
		{"", []string{sidecar, "shop"}, 1},
		{"shop", []string{sidecar, "logs", "shop"}, 2},
		{"", []string{"shop", "logs", sidecar}, 0},
		{"gone", []string{"shop", sidecar}, 0},
		{"", []string{sidecar}, -1},
	} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{annotation: c.says}}}
		for _, name := range c.names {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: name})
		}
		if got := application(p); got != c.want {
			t.Errorf("%q of %v: %d, want %d", c.says, c.names, got, c.want)
		}
	}
}
