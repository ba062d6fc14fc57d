package istio

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/sweep"
	"github.com/meshbench/meshbench/lab/sweep/jobs"
)

// fortyTasks are 40 short trainings, ten of them of a setting that is not accepted.
const fortyTasks = `name: forty
objectives: [MO1, MO2]
steps: 20480
settings:
  - of: paper
    grid: {ppo.LearningRate: [0.001, 0.003, -1]}
  - {of: paper, name: wide, change: {ppo.Hidden: [96, 96]}}
`

// fill puts the scenario and a model into a store, and returns the tasks.
func fill(t *testing.T, store sweep.Store, model []byte, expected bool) []sweep.Task {
	t.Helper()
	ctx := context.Background()
	text, err := scenario.Text("paper")
	if err != nil {
		t.Fatal(err)
	}
	x := sweep.Source{Scenario: scenario.Paper(), Expected: expected, Code: "code"}
	if x.File, err = sweep.Keep(ctx, store, "scenarios", text); err == nil {
		x.Model, err = sweep.Keep(ctx, store, "models", model)
	}
	if err != nil {
		t.Fatal(err)
	}
	spec, err := sweep.Parse([]byte(fortyTasks))
	if err != nil {
		t.Fatal(err)
	}
	tasks, err := spec.Tasks([]sweep.Source{x})
	if err != nil {
		t.Fatal(err)
	}
	return tasks
}

// objectsOf are the results and policies of a store.
func objectsOf(t *testing.T, store sweep.Store) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, prefix := range []string{"results/", "policies/"} {
		names, err := store.List(context.Background(), prefix)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			b, err := store.Get(context.Background(), n)
			if err != nil {
				t.Fatal(err)
			}
			all[n] = string(b)
		}
	}
	return all
}

// Forty trainings as an Indexed Job give the bytes that they give here, with a pod
// killed, the API server away for 20 s, and a bad setting, of which no task is
// tried twice.
func TestClusterSweep(t *testing.T) {
	cfg := clusterConfig(t)
	if err := cfg.connect(); err != nil {
		t.Fatal(err)
	}
	ctx, client := context.Background(), cfg.Kubernetes
	const namespace, name, image = "default", "sweep-test", "meshbench.local/meshbench:local"
	src, err := study.Virtual(ctx, scenario.Paper(), 300, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, err := src.Learn(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "model")
	if err := m.Save(file); err != nil {
		t.Fatal(err)
	}
	model, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// A volume that pods of another user write to.
	dir, err := os.MkdirTemp("", "meshbench-sweep-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, d := range []string{dir, filepath.Join(dir, "results"), filepath.Join(dir, "policies")} {
		err := os.MkdirAll(d, 0o777)
		if err == nil {
			err = os.Chmod(d, 0o777)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	here, there := sweep.Folder{Dir: t.TempDir()}, sweep.Folder{Dir: dir}
	tasks := fill(t, here, model, src.Expected)
	if fill(t, there, model, src.Expected); len(tasks) != 40 {
		t.Fatalf("%d tasks", len(tasks))
	}
	plan, err := sweep.Plan(ctx, there, tasks)
	if err != nil {
		t.Fatal(err)
	}
	size := corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	modes := []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	_, err = client.CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{Capacity: size, AccessModes: modes, PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: dir}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CoreV1().PersistentVolumes().Delete(ctx, name, metav1.DeleteOptions{})
	_, err = client.CoreV1().PersistentVolumeClaims(namespace).Create(ctx, &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{AccessModes: modes, StorageClassName: new(""), VolumeName: name, Resources: corev1.VolumeResourceRequirements{Requests: size}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CoreV1().PersistentVolumeClaims(namespace).Delete(ctx, name, metav1.DeleteOptions{})

	begin := time.Now()
	err = jobs.Submit(ctx, client, jobs.Config{Namespace: namespace, Name: name, Image: image, Args: []string{"sweep", "-store", "/store", "-plan", plan},
		Tasks: len(tasks), Parallel: 4, CPU: "500m", Memory: "512Mi", Claim: name, Mount: "/store"})
	if err != nil {
		t.Fatal(err)
	}
	defer jobs.Cancel(ctx, client, namespace, name)
	selector := metav1.ListOptions{LabelSelector: "meshbench-sweep=" + name}
	server := part("apiserver")
	var away time.Time
	killed, back, silent := "", false, 0
	end, err := jobs.Follow(ctx, client, namespace, name, time.Second, func(s jobs.State, err error) {
		t.Logf("%v: %+v %v", time.Since(begin).Round(time.Second), s, err)
		switch {
		case err != nil:
			if silent++; !back && !away.IsZero() && time.Since(away) > 20*time.Second {
				back = true
				server.start(t)
			}
		case killed == "" && s.Done >= 5:
			pods, err := client.CoreV1().Pods(namespace).List(ctx, selector)
			if err != nil {
				t.Error(err)
				return
			}
			for _, p := range pods.Items {
				if p.Status.Phase == corev1.PodRunning {
					killed = p.Name
					if err := client.CoreV1().Pods(namespace).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}); err != nil {
						t.Error(err)
					}
					break
				}
			}
		case away.IsZero() && s.Done >= 15:
			away = time.Now()
			server.kill(t)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d done, %d failed, %d pods failed in %v; pod %s was killed; the API server did not answer %d times", end.Done, end.Failed, end.Retried, time.Since(begin).Round(time.Second), killed, silent)
	if end.Done != 30 || end.Failed != 10 || killed == "" || !back {
		t.Errorf("%+v; want 30 done and 10 not accepted", end)
	}
	if _, err := sweep.Do(ctx, tasks, sweep.Config{Store: here, Workers: 2}); err != nil {
		t.Fatal(err)
	}
	a, b := objectsOf(t, here), objectsOf(t, there)
	if !maps.Equal(a, b) {
		t.Errorf("%d objects here, %d there, or they differ", len(a), len(b))
	}
	pods, err := client.CoreV1().Pods(namespace).List(ctx, selector)
	if err != nil {
		t.Fatal(err)
	}
	tries := map[string]int{}
	for _, p := range pods.Items {
		tries[p.Labels["batch.kubernetes.io/job-completion-index"]]++
	}
	for i, n := range tries { // those that are still there: the one that was killed is not
		if n > 1 {
			t.Errorf("index %s has %d pods", i, n)
		}
	}
}
