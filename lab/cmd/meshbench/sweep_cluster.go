//go:build !nocluster

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/meshbench/meshbench/lab/nb"
	"github.com/meshbench/meshbench/lab/sweep"
	"github.com/meshbench/meshbench/lab/sweep/jobs"
	"github.com/meshbench/meshbench/lab/sweep/s3"
	"github.com/meshbench/meshbench/lab/testbed/istio"
)

const badCode = jobs.BadCode

func podIndex() (int, error) { return jobs.Index(os.Getenv(jobs.IndexVariable)) }

func isBucket(name string) bool { return strings.HasPrefix(name, s3.Scheme) }

func openBucket(ctx context.Context, name string) (sweep.Store, error) { return s3.Open(ctx, name) }

// onCluster does the tasks that have no result as an Indexed Job, and waits for it.
func (s *sweeping) onCluster(ctx context.Context, store sweep.Store, spec sweep.Spec, tasks []sweep.Task) error {
	cfg, err := istio.Kubeconfig(s.kubeconfig, s.cluster)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	cfg.Timeout, cfg.UserAgent = 30*time.Second, "meshbench"
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("sweep: client of the API server: %w", err)
	}
	return s.submit(ctx, client, store, spec, tasks)
}

func (s *sweeping) submit(ctx context.Context, client kubernetes.Interface, store sweep.Store, spec sweep.Spec, tasks []sweep.Task) error {
	left, err := sweep.Left(ctx, store, tasks)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d of %d tasks have a result\n", len(tasks)-len(left), len(tasks))
	if len(left) == 0 {
		return nil
	}
	plan, err := sweep.Plan(ctx, store, left)
	if err != nil {
		return err
	}
	// A Job is of the tasks that are left: the same ones are done by the same Job.
	name := "sweep-" + spec.Name + "-" + plan[strings.LastIndex(plan, "/")+1:][:10]
	if s.cancel {
		return jobs.Cancel(ctx, client, s.space, name)
	}
	if s.remote == "" {
		s.remote = s.store
	}
	c := jobs.Config{Namespace: s.space, Name: name, Image: s.image, Args: []string{"sweep", "-store", s.remote, "-plan", plan}, Tasks: len(left), Parallel: s.parallel,
		Queue: s.queue, CPU: s.cpu, Memory: s.memory, Spread: s.spread, Claim: s.claim, Secret: s.keys}
	if s.claim != "" {
		c.Mount = s.remote
	}
	if err := jobs.Submit(ctx, client, c); err != nil {
		return err
	}
	live := nb.NewLive()
	defer live.Close()
	end, err := jobs.Follow(ctx, client, s.space, name, 2*time.Second, func(x jobs.State, err error) {
		text := fmt.Sprintf("job %s: %d of %d done, %d not accepted or given up, %d pods at work, %d failed", name, x.Done, len(left), x.Failed, x.Active, x.Retried)
		if x.Suspended {
			text += "; it waits in the queue"
		}
		if err != nil {
			text += fmt.Sprintf("; the API server does not answer: %v", err)
		}
		live.Text("%s", text)
	})
	live.Close()
	if ctx.Err() != nil {
		return fmt.Errorf("sweep: interrupted; job %s goes on, the same command follows it, and -cancel ends it", name)
	}
	if err != nil {
		return err
	}
	why := ""
	if end.Why != "" {
		why = ": " + end.Why
	}
	fmt.Fprintf(stdout, "job %s: %d done, %d not accepted or given up; %d pods failed%s\n", name, end.Done, end.Failed, end.Retried, why)
	return nil
}
