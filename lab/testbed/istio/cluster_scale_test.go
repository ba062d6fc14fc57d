package istio

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/lab/mesh"
)

// scaledBed is a testbed on the paper's mesh with replicas and cores as knobs.
func scaledBed(t *testing.T) *Testbed {
	t.Helper()
	cfg := paperConfig(t)
	cfg.Scenario.Knobs = append(cfg.Scenario.Knobs[:2:2], mesh.Knob{Kind: mesh.Replicas, Min: 1, Max: 3, Up: 30, Cost: 1}, mesh.Knob{Kind: mesh.CPU, Min: 1, Max: 5})
	bed := clusterBed(t, cfg)
	t.Cleanup(func() { // others find one of each, and nobody who scaled them but the testbed
		if err := bed.Reset(context.Background(), 0); err != nil {
			t.Error(err)
		}
	})
	return bed
}

// even has r1, r2 replicas and c1, c2 cores.
func even(r1, r2, c1, c2 float64) mesh.Action { return act(.6, .4, r1, r2, c1, c2) }

// calm makes a step at a load that one replica of each node bears.
func calm(t *testing.T, bed *Testbed, a mesh.Action) mesh.Measurement {
	t.Helper()
	x, err := bed.Measure(context.Background(), mesh.Load{8, 8}, a)
	if err != nil {
		t.Fatal(err)
	}
	inForce, pending := bed.InForce()
	t.Logf("asked %s; in force %s, %d on their way; %v and %v answered, failed %v; busy %.2f; mark: %q", bed.Space().Format(a), bed.Space().Format(inForce), len(pending),
		x.Service[0].Count, x.Service[1].Count, x.Failed, x.Busy, x.Mark)
	return x
}

// wantNoneFailed checks that no request of a step failed.
func wantNoneFailed(t *testing.T, x mesh.Measurement) {
	t.Helper()
	if x.Failed[0] > 0 || x.Failed[1] > 0 || x.Service[0].Count == 0 || x.Service[1].Count == 0 {
		t.Errorf("%v and %v requests were answered, %v failed: %s", x.Service[0].Count, x.Service[1].Count, x.Failed, x.Mark)
	}
}

// until makes steps until an action is in force, at most so many.
func until(t *testing.T, bed *Testbed, a mesh.Action, steps int, each func(mesh.Measurement)) {
	t.Helper()
	for range steps {
		each(calm(t, bed, a))
		if inForce, pending := bed.InForce(); len(pending) == 0 && bed.Space().Format(inForce) == bed.Space().Format(a) {
			return
		}
	}
	t.Errorf("%s is not in force after %d steps", bed.Space().Format(a), steps)
}

// Replicas come and go under load, and no request fails because of that.
func TestClusterScale(t *testing.T) {
	bed := scaledBed(t)
	none := func(x mesh.Measurement) { wantNoneFailed(t, x) }
	for range 3 {
		until(t, bed, even(3, 2, 1, 1), 30, none)
		none(calm(t, bed, even(3, 2, 1, 1)))
		until(t, bed, even(1, 1, 1, 1), 3, none)
		for range 4 { // while pods end
			none(calm(t, bed, even(1, 1, 1, 1)))
		}
	}
	took := bed.Scaled()
	if len(took) != 6 {
		t.Errorf("%d times more replicas were ready, want 6", len(took))
	}
	t.Logf("from asked to ready: %.1f s, real; %g times as long in the mesh's time", took, bed.TimeScale())
}

// Cores change in place: the same pods go on, faster, and none fails; more than
// the namespace allows is refused, in the API server's words.
func TestClusterResize(t *testing.T) {
	bed := scaledBed(t)
	ctx := context.Background()
	uids := func() map[types.UID]string { return bed.plane.pods.of("node1").live }
	work := func(a mesh.Action) (busy float64) {
		calm(t, bed, a)
		const steps = 5
		for range steps {
			x := calm(t, bed, a)
			wantNoneFailed(t, x)
			busy += x.Busy[0] / steps
		}
		return busy
	}
	one := work(even(1, 1, 1, 1))
	before := uids()
	three := work(even(1, 1, 3, 1))
	if math.Abs(three/one-1./3) > .15 {
		t.Errorf("%.3f of node1's server are at work on one core, %.3f on three", one, three)
	}
	if after := uids(); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("node1 had the pods %v, then %v", before, after)
	}
	ranges := bed.cfg.Kubernetes.CoreV1().LimitRanges(bed.cfg.Namespace)
	_, err := ranges.Create(ctx, &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "few"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
		{Type: corev1.LimitTypeContainer, Max: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")}}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ranges.Delete(ctx, "few", metav1.DeleteOptions{})
	time.Sleep(time.Second) // until the API server goes by it
	x := calm(t, bed, even(2, 1, 5, 1))
	wantMark(t, x, "not applied, the action before stayed in force", "resizing node1 to 5 cores: ", "maximum cpu usage per Container is 4")
	wantNoneFailed(t, x)
	if a := bed.Applied(); bed.Space().Format(a) != bed.Space().Format(even(1, 1, 3, 1)) {
		t.Errorf("applied %s", bed.Space().Format(a))
	}
}

// A replica that finds no machine is not in force, and the row says why; it is
// when there is one again.
func TestClusterReplicaNeverReady(t *testing.T) {
	bed := scaledBed(t)
	ctx := context.Background()
	cordon := func(yes bool) {
		t.Helper()
		patch := fmt.Sprintf(`{"spec":{"unschedulable":%v}}`, yes)
		if _, err := bed.cfg.Kubernetes.CoreV1().Nodes().Patch(ctx, "n1", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	calm(t, bed, even(1, 1, 1, 1))
	cordon(true)
	defer cordon(false)
	two := even(2, 1, 1, 1)
	calm(t, bed, two)
	x := calm(t, bed, two)
	wantMark(t, x, "node1 has 1 of 2 replicas: ", "is not ready: 0/1 nodes are available: 1 node(s) were unschedulable")
	wantNoneFailed(t, x)
	if inForce, pending := bed.InForce(); inForce[6] != 1 || len(pending) != 1 {
		t.Errorf("in force %v, pending %+v", inForce, pending)
	}
	cordon(false)
	until(t, bed, two, 30, func(x mesh.Measurement) { wantNoneFailed(t, x) })
}

// A replica is killed while another starts: the row says so, and there are as
// many as were asked for in the end.
func TestClusterReplicaDies(t *testing.T) {
	bed := scaledBed(t)
	ctx := context.Background()
	until(t, bed, even(2, 1, 1, 1), 30, func(mesh.Measurement) {})
	by, err := bed.plane.pods.list(ctx)
	if err != nil {
		t.Fatal(err)
	}
	three := even(3, 1, 1, 1)
	calm(t, bed, three)
	now := int64(0)
	if err := bed.cfg.Kubernetes.CoreV1().Pods(bed.cfg.Namespace).Delete(ctx, by["node1"][0].Name, metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	lost := 0
	until(t, bed, three, 30, func(x mesh.Measurement) {
		if strings.Contains(x.Mark, "node1 lost 1 of its replicas") {
			lost++
		}
	})
	if lost != 1 {
		t.Errorf("%d rows say that a replica was lost", lost)
	}
	wantNoneFailed(t, calm(t, bed, three))
}

// Another who scales is named in the row and overruled; a run does not begin
// where something scales by itself, or somebody did.
func TestClusterOthersScale(t *testing.T) {
	bed := scaledBed(t)
	ctx := context.Background()
	one := even(1, 1, 1, 1)
	calm(t, bed, one)
	deployments := bed.cfg.Kubernetes.AppsV1().Deployments(bed.cfg.Namespace)
	scaleBy := func(who string, replicas int32) {
		t.Helper()
		_, err := deployments.UpdateScale(ctx, "node2", &autoscalingv1.Scale{ObjectMeta: metav1.ObjectMeta{Name: "node2", Namespace: bed.cfg.Namespace},
			Spec: autoscalingv1.ScaleSpec{Replicas: replicas}}, metav1.UpdateOptions{FieldManager: who})
		if err != nil {
			t.Fatal(err)
		}
	}
	scaleBy("somebody", 2)
	x := calm(t, bed, one)
	wantMark(t, x, "another writer (somebody) scaled node2 to 2 in place of 1")
	wantNoneFailed(t, x)
	d, err := deployments.Get(ctx, "node2", metav1.GetOptions{})
	if err != nil || *d.Spec.Replicas != 1 {
		t.Errorf("node2 is to have %d replicas, %v", *d.Spec.Replicas, err)
	}
	hpas := bed.cfg.Kubernetes.AutoscalingV2().HorizontalPodAutoscalers(bed.cfg.Namespace)
	_, err = hpas.Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "busy"}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "node1"}, MaxReplicas: 3}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	scaleBy("somebody", 2)
	f, err := Preflight(ctx, bed.cfg)
	if e := hpas.Delete(ctx, "busy", metav1.DeleteOptions{}); e != nil {
		t.Error(e)
	}
	scaleBy(manager, 1)
	text := f.Error()
	if err != nil || len(f) != 2 || !strings.Contains(text, "Deployment node1 is scaled by hpa busy") || !strings.Contains(text, "Deployment node2 was scaled by somebody") {
		t.Errorf("%v, %v", f, err)
	}
	t.Log(text)
	if f, err := Preflight(ctx, bed.cfg); err != nil || len(f) > 0 {
		t.Errorf("then: %v, %v", f, err)
	}
}
