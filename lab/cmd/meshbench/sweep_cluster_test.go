//go:build !nocluster

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/study"
	"github.com/meshbench/meshbench/lab/sweep"
	"github.com/meshbench/meshbench/lab/sweep/jobs"
)

// jobController stands in for a cluster: it runs the pods of an Indexed Job as
// processes, two at a time, and minds its failure policy.
type jobController struct {
	program string

	mu     sync.Mutex
	job    *batchv1.Job
	begun  map[int]int // pods by index
	failed []string
	done   []string
	away   bool
	kill   func(index, try int, cmd *exec.Cmd)
	over   sync.WaitGroup
}

func (c *jobController) run(t *testing.T, job *batchv1.Job) {
	pod := job.Spec.Template.Spec.Containers[0]
	turns := make(chan bool, 2)
	for i := range int(*job.Spec.Completions) {
		c.over.Go(func() {
			turns <- true
			defer func() { <-turns }()
			for try := 0; ; try++ {
				cmd := exec.Command(c.program, pod.Args...)
				cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", jobs.IndexVariable, i))
				if err := cmd.Start(); err != nil {
					t.Error(err)
					return
				}
				c.mu.Lock()
				c.begun[i]++
				c.mu.Unlock()
				c.kill(i, try, cmd)
				err := cmd.Wait()
				x, _ := errors.AsType[*exec.ExitError](err)
				c.mu.Lock()
				again := false
				switch {
				case err == nil:
					c.done = append(c.done, fmt.Sprint(i))
				case x != nil && x.ExitCode() == int(job.Spec.PodFailurePolicy.Rules[0].OnExitCodes.Values[0]) || try >= int(*job.Spec.BackoffLimitPerIndex):
					c.failed = append(c.failed, fmt.Sprint(i))
				default:
					again = true
					c.job.Status.Failed++
				}
				c.job.Status.CompletedIndexes, c.job.Status.FailedIndexes = strings.Join(c.done, ","), new(strings.Join(c.failed, ","))
				if n := int(*job.Spec.Completions); len(c.done)+len(c.failed) == n {
					kind := batchv1.JobComplete
					if len(c.failed) > 0 {
						kind = batchv1.JobFailed
					}
					c.job.Status.Conditions = []batchv1.JobCondition{{Type: kind, Status: corev1.ConditionTrue}}
				}
				c.mu.Unlock()
				if !again {
					return
				}
			}
		})
	}
}

// A sweep as an Indexed Job gives the bytes that it gives here: a pod is killed and
// made again, the API server is away for a while, and a bad setting is not tried
// twice.
func TestSweepJobs(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	ctx := context.Background()
	dir := t.TempDir()
	program := filepath.Join(dir, "meshbench")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	here, there := sweep.Folder{Dir: filepath.Join(dir, "here")}, sweep.Folder{Dir: filepath.Join(dir, "there")}
	spec, err := sweep.Parse([]byte("name: small\nsteps: 1024\nseeds: [0, 1, 2]\nsettings: [{of: paper, grid: {ppo.LearningRate: [0.001, 0.003, -1]}}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	sc := scenario.Paper()
	src, err := study.Virtual(ctx, sc, 300, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &sweeping{}
	file, err := s.model(ctx, src)
	if err != nil {
		t.Fatal(err)
	}
	text, err := scenario.Text("paper")
	if err != nil {
		t.Fatal(err)
	}
	var tasks []sweep.Task
	for _, store := range []sweep.Folder{here, there} {
		x := sweep.Source{Scenario: sc, Expected: src.Expected, Code: "code"}
		if x.File, err = sweep.Keep(ctx, store, "scenarios", text); err == nil {
			x.Model, err = sweep.Keep(ctx, store, "models", file)
		}
		if err == nil {
			tasks, err = spec.Tasks([]sweep.Source{x})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sweep.Do(ctx, tasks, sweep.Config{Store: here, Workers: 2}); err != nil {
		t.Fatal(err)
	}

	c := &jobController{program: program, begun: map[int]int{}}
	c.kill = func(index, try int, cmd *exec.Cmd) {
		if index == 1 && try == 0 {
			cmd.Process.Kill()
		}
		if index == 2 {
			c.mu.Lock()
			c.away = true
			c.mu.Unlock()
			time.AfterFunc(3*time.Second, func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.away = false
			})
		}
	}
	client := fake.NewSimpleClientset()
	client.PrependReactor("create", "jobs", func(a clienttesting.Action) (bool, runtime.Object, error) {
		c.mu.Lock()
		c.job = a.(clienttesting.CreateAction).GetObject().(*batchv1.Job).DeepCopy()
		job := c.job.DeepCopy()
		c.mu.Unlock()
		c.run(t, job)
		return true, job, nil
	})
	refused := 0
	client.PrependReactor("get", "jobs", func(clienttesting.Action) (bool, runtime.Object, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.away {
			refused++
			return true, nil, errors.New("connection refused")
		}
		return true, c.job.DeepCopy(), nil
	})
	s = &sweeping{store: there.Dir, jobOptions: jobOptions{space: "default", image: "meshbench:local", parallel: 2, cpu: "1", memory: "1Gi"}}
	if err := s.submit(ctx, client, there, spec, tasks); err != nil {
		t.Fatal(err)
	}
	c.over.Wait()
	a, b := files(t, here.Dir), files(t, there.Dir)
	maps.DeleteFunc(b, func(name, _ string) bool { return strings.HasPrefix(name, "plans/") })
	if !maps.Equal(a, b) {
		t.Errorf("%d objects here, %d there, or they differ", len(a), len(b))
	}
	for i := range tasks {
		want := 1
		if i == 1 {
			want = 2
		}
		if c.begun[i] != want {
			t.Errorf("index %d, %s: %d pods, want %d", i, tasks[i], c.begun[i], want)
		}
	}
	if len(c.failed) != 3 || refused == 0 {
		t.Errorf("indexes %v failed, want the three of the bad setting; the API server was away for %d looks", c.failed, refused)
	}
	if err := s.submit(ctx, client, there, spec, tasks); err != nil || len(c.begun) != len(tasks) {
		t.Error("again: ", err)
	}
}
