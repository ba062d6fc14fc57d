package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/lab/sweep/jobs"
)

var config = jobs.Config{Name: "sweep-x", Image: "meshbench:1", Args: []string{"sweep", "-plan", "plans/1"}, Tasks: 40, Parallel: 8}

func TestJob(t *testing.T) {
	c := config
	c.Queue, c.Spread, c.Claim, c.Mount, c.Secret, c.CPU = "team", true, "store", "/store", "keys", "500m"
	j, err := c.Job()
	if err != nil {
		t.Fatal(err)
	}
	s, p := j.Spec, j.Spec.Template.Spec
	w := p.Containers[0]
	switch {
	case *s.CompletionMode != batchv1.IndexedCompletion, *s.Completions != 40, *s.Parallelism != 8, *s.BackoffLimitPerIndex != 3:
		t.Errorf("%v, %d completions, %d at a time, %d retries", *s.CompletionMode, *s.Completions, *s.Parallelism, *s.BackoffLimitPerIndex)
	case s.PodFailurePolicy.Rules[0].Action != batchv1.PodFailurePolicyActionFailIndex, s.PodFailurePolicy.Rules[0].OnExitCodes.Values[0] != jobs.BadCode:
		t.Error("a bad setting is tried again")
	case j.Labels["kueue.x-k8s.io/queue-name"] != "team", !*s.Suspend:
		t.Error("it does not wait in the queue")
	case s.Template.Annotations["sidecar.istio.io/inject"] != "false":
		t.Error("a sidecar would keep it from ending")
	case p.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].TopologyKey != corev1.LabelHostname:
		t.Error("pods share machines")
	case p.RestartPolicy != corev1.RestartPolicyNever, !*p.SecurityContext.RunAsNonRoot, !*w.SecurityContext.ReadOnlyRootFilesystem, w.SecurityContext.Capabilities.Drop[0] != "ALL":
		t.Error("pods are not restricted")
	case w.Resources.Limits.Cpu().String() != "500m", w.Resources.Requests.Memory().String() != "1Gi", w.EnvFrom[0].SecretRef.Name != "keys", w.VolumeMounts[1].MountPath != "/store":
		t.Errorf("container %+v", w)
	}
	if j, err = config.Job(); err != nil || j.Spec.Suspend != nil || j.Spec.Template.Spec.Affinity != nil || j.Namespace != "default" {
		t.Errorf("%+v, %v", j, err)
	}
	for want, change := range map[string]func(*jobs.Config){
		"both are needed":      func(c *jobs.Config) { c.Image = "" },
		"1 to 100000":          func(c *jobs.Config) { c.Tasks = 0 },
		"a quantity above 0":   func(c *jobs.Config) { c.Memory = "much" },
		"accepted: both or no": func(c *jobs.Config) { c.Claim = "x" },
	} {
		c := config
		change(&c)
		if _, err := c.Job(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

// A Job is followed until it is over, also when the API server is away meanwhile,
// and is not made twice.
func TestFollow(t *testing.T) {
	ctx := context.Background()
	client := fake.NewSimpleClientset()
	for range 2 {
		if err := jobs.Submit(ctx, client, config); err != nil {
			t.Fatal(err)
		}
	}
	looks := 0
	client.PrependReactor("get", "jobs", func(a clienttesting.Action) (bool, runtime.Object, error) {
		looks++
		j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "sweep-x"}}
		switch {
		case looks == 1:
			j.Status = batchv1.JobStatus{Active: 8}
		case looks < 5:
			return true, nil, errors.New("connection refused")
		case looks == 5:
			j.Status = batchv1.JobStatus{Active: 8, CompletedIndexes: "0,3-9", Failed: 2, FailedIndexes: new("1")}
		default:
			j.Status = batchv1.JobStatus{CompletedIndexes: "0,2-39", Failed: 2, FailedIndexes: new("1"),
				Conditions: []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "FailedIndexes", Message: "Job has failed indexes"}}}
		}
		return true, j, nil
	})
	var told []jobs.State
	away := 0
	end, err := jobs.Follow(ctx, client, "default", "sweep-x", time.Millisecond, func(s jobs.State, err error) {
		if err != nil {
			away++
			return
		}
		told = append(told, s)
	})
	if err != nil || away != 3 || len(told) != 3 || told[1].Done != 8 || told[1].Failed != 1 || end.Done != 39 || !end.Over || end.Why != "FailedIndexes: Job has failed indexes" {
		t.Errorf("%v; away %d times; %+v", err, away, told)
	}
	if err := jobs.Cancel(ctx, client, "default", "sweep-x"); err != nil {
		t.Fatal(err)
	}
	if l, _ := client.BatchV1().Jobs("default").List(ctx, metav1.ListOptions{}); len(l.Items) != 0 {
		t.Error("it is still there")
	}
	if err := jobs.Cancel(ctx, client, "default", "sweep-x"); err != nil {
		t.Error("cancelled again: ", err)
	}
}

func TestIndex(t *testing.T) {
	if i, err := jobs.Index("17"); i != 17 || err != nil {
		t.Error(i, err)
	}
	if _, err := jobs.Index(""); err == nil {
		t.Error("no index is accepted")
	}
}
