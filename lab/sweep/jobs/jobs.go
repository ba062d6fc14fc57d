// Package jobs does a sweep as an Indexed Job of Kubernetes: index i does task i of
// a plan in the store. A pod that fails for a reason of the moment is made again,
// index by index; a task whose setting is not accepted fails its index at once and
// no other. Nothing of a sweep is in the API server but the Job.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// BadCode is the exit code of a pod whose task cannot be done, whoever tries.
const BadCode = 3

// IndexVariable has the index of a pod.
const IndexVariable = "JOB_COMPLETION_INDEX"

// Config describes a Job.
type Config struct {
	Namespace string // default default
	Name      string
	Image     string // with meshbench as its entry point
	Args      []string
	Tasks     int
	Parallel  int // pods at a time; default 10
	Retries   int // of an index, for reasons of the moment; default 3, negative for none
	// Queue is the local queue of Kueue that the Job waits in; "" for none.
	Queue string
	// CPU and Memory are what a pod asks for, and gets no more of. Defaults 1 and
	// 1Gi.
	CPU, Memory string
	// Spread has each pod on a machine of its own, as timed runs need it.
	Spread bool
	// Claim is a PersistentVolumeClaim that is mounted at Mount; "" for none.
	Claim, Mount string
	// Secret has the pods' environment, for instance the keys of a bucket; "" for
	// none.
	Secret string
	// Account of the pods; default the namespace's own. They do not use it.
	Account string
	// Keep is for how long the Job is there after its end. Default a day.
	Keep time.Duration
}

// maxTasks is the most indexes that an Indexed Job may have.
const maxTasks = 100_000

// Job is the object.
func (c Config) Job() (*batchv1.Job, error) {
	if c.Namespace == "" {
		c.Namespace = metav1.NamespaceDefault
	}
	if c.Parallel == 0 {
		c.Parallel = 10
	}
	if c.Retries == 0 {
		c.Retries = 3
	}
	if c.CPU == "" {
		c.CPU = "1"
	}
	if c.Memory == "" {
		c.Memory = "1Gi"
	}
	if c.Keep == 0 {
		c.Keep = 24 * time.Hour
	}
	switch {
	case c.Name == "" || c.Image == "":
		return nil, fmt.Errorf("jobs: name %q, image %q; both are needed", c.Name, c.Image)
	case c.Tasks < 1 || c.Tasks > maxTasks || c.Parallel < 1:
		return nil, fmt.Errorf("jobs: %d tasks, %d at a time; accepted: 1 to %d, 1 or more", c.Tasks, c.Parallel, maxTasks)
	case (c.Claim == "") != (c.Mount == ""):
		return nil, fmt.Errorf("jobs: claim %q at %q; accepted: both or none", c.Claim, c.Mount)
	}
	limits := corev1.ResourceList{}
	for name, text := range map[corev1.ResourceName]string{corev1.ResourceCPU: c.CPU, corev1.ResourceMemory: c.Memory} {
		q, err := resource.ParseQuantity(text)
		if err != nil || q.Sign() <= 0 {
			return nil, fmt.Errorf("jobs: %s of %q; accepted: a quantity above 0, such as 500m or 1Gi", name, text)
		}
		limits[name] = q
	}
	labels := map[string]string{"app.kubernetes.io/part-of": "meshbench", "meshbench-sweep": c.Name}
	pod := corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, ServiceAccountName: c.Account, AutomountServiceAccountToken: new(false),
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), RunAsUser: new(int64(10001)), RunAsGroup: new(int64(10001)), FSGroup: new(int64(10001)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Containers: []corev1.Container{{
			Name: "worker", Image: c.Image, ImagePullPolicy: corev1.PullIfNotPresent, Args: c.Args,
			Resources: corev1.ResourceRequirements{Requests: limits, Limits: limits},
			SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}},
			VolumeMounts: []corev1.VolumeMount{{Name: "tmp", MountPath: "/tmp"}},
		}},
		Volumes: []corev1.Volume{{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
	}
	if c.Claim != "" {
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "store", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: c.Claim}}})
		pod.Containers[0].VolumeMounts = append(pod.Containers[0].VolumeMounts, corev1.VolumeMount{Name: "store", MountPath: c.Mount})
	}
	if c.Secret != "" {
		pod.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: c.Secret}}}}
	}
	if c.Spread {
		pod.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"meshbench-sweep": c.Name}}}}}}
	}
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: c.Name, Namespace: c.Namespace, Labels: labels},
		Spec: batchv1.JobSpec{
			CompletionMode: new(batchv1.IndexedCompletion), Completions: new(int32(c.Tasks)), Parallelism: new(int32(min(c.Parallel, c.Tasks))),
			BackoffLimitPerIndex: new(int32(max(c.Retries, 0))), MaxFailedIndexes: new(int32(c.Tasks)), TTLSecondsAfterFinished: new(int32(c.Keep.Seconds())),
			PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
				{Action: batchv1.PodFailurePolicyActionFailIndex, OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{BadCode}}},
				// A pod that was taken away is no try.
				{Action: batchv1.PodFailurePolicyActionIgnore, OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}},
			}},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: map[string]string{"sidecar.istio.io/inject": "false"}}, Spec: pod},
		},
	}
	if c.Queue != "" { // Kueue starts it when there is room
		job.Labels = map[string]string{"kueue.x-k8s.io/queue-name": c.Queue}
		for k, v := range labels {
			job.Labels[k] = v
		}
		job.Spec.Suspend = new(true)
	}
	return job, nil
}

// Submit creates the Job. One of that name that is there already goes on.
func Submit(ctx context.Context, client kubernetes.Interface, c Config) error {
	job, err := c.Job()
	if err != nil {
		return err
	}
	_, err = client.BatchV1().Jobs(job.Namespace).Create(ctx, job, metav1.CreateOptions{FieldManager: "meshbench"})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("jobs: create %s: %w", c.Name, err)
	}
	return nil
}

// Cancel deletes a Job with its pods. What its tasks wrote stays.
func Cancel(ctx context.Context, client kubernetes.Interface, namespace, name string) error {
	err := client.BatchV1().Jobs(namespace).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationForeground)})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("jobs: delete %s: %w", name, err)
	}
	return nil
}

// State is how far a Job is.
type State struct {
	Active, Done, Failed int // pods; indexes; indexes
	Retried              int // pods that failed
	Suspended            bool
	Over                 bool
	Why                  string // a Job that is over did not do all of it because
}

// Follow watches a Job until it is over, and tells about every change. While the
// API server is away it waits: the pods go on without it.
func Follow(ctx context.Context, client kubernetes.Interface, namespace, name string, every time.Duration, tell func(State, error)) (State, error) {
	var last State
	for {
		job, err := client.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case ctx.Err() != nil:
			return last, ctx.Err()
		case apierrors.IsNotFound(err), apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
			return last, fmt.Errorf("jobs: follow %s: %w", name, err)
		case err != nil:
			tell(last, err)
		default:
			if s := stateOf(job); s != last {
				last = s
				tell(s, nil)
			}
			if last.Over {
				return last, nil
			}
		}
		select {
		case <-ctx.Done():
			return last, ctx.Err()
		case <-time.After(every):
		}
	}
}

func stateOf(job *batchv1.Job) State {
	s := State{Active: int(job.Status.Active), Done: count(job.Status.CompletedIndexes), Retried: int(job.Status.Failed)}
	if job.Status.FailedIndexes != nil {
		s.Failed = count(*job.Status.FailedIndexes)
	}
	s.Suspended = job.Spec.Suspend != nil && *job.Spec.Suspend
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			s.Over = true
			if c.Type == batchv1.JobFailed {
				s.Why = strings.Trim(c.Reason+": "+c.Message, ": ")
			}
		}
	}
	return s
}

// count counts indexes in text such as "1,3-5,7".
func count(indexes string) (n int) {
	for _, part := range strings.Split(indexes, ",") {
		from, to, span := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		if err != nil {
			continue
		}
		b := a
		if span {
			if b, err = strconv.Atoi(to); err != nil {
				continue
			}
		}
		n += b - a + 1
	}
	return n
}

// Index is that of the pod that this process is in.
func Index(value string) (int, error) {
	i, err := strconv.Atoi(value)
	if err != nil || i < 0 {
		return 0, errors.New("jobs: $" + IndexVariable + " is " + strconv.Quote(value) + "; accepted: the index of a pod of an Indexed Job")
	}
	return i, nil
}
