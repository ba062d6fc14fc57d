//go:build !nocluster

package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"os"

	"k8s.io/klog/v2"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
	"github.com/meshbench/meshbench/lab/lease"
	"github.com/meshbench/meshbench/lab/lease/kube"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/istio"
)

// The clients of Kubernetes log errors that they also return; people read ours.
func init() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
}

func (b *bed) istioConfig(s scenario.Scenario) istio.Config {
	cfg := istio.Config{Scenario: s, Kubeconfig: b.kubeconfig, Context: b.cluster, Namespace: b.space, Front: b.front, Generator: b.generator, Keep: b.keep, Watch: b.watch}
	if b.block == "fault" {
		cfg.Blocking = istio.FaultBlocking
	}
	return cfg
}

// fromCluster writes a scenario of what is deployed in a namespace.
func fromCluster(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("scenario from-cluster", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var cfg istio.Config
	flags.StringVar(&cfg.Namespace, "n", "", "`NAME` of the namespace")
	flags.StringVar(&cfg.Kubeconfig, "kubeconfig", "", "`FILE` (default $KUBECONFIG, then ~/.kube/config)")
	flags.StringVar(&cfg.Context, "context", "", "`NAME` of a context in it (default its current one)")
	out := flags.String("o", "", "`FILE` to write (default standard output)")
	const text = "accepted: scenario from-cluster -n NAMESPACE [-o FILE] [-kubeconfig FILE] [-context NAME]"
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("scenario from-cluster: %w; %s", err, text)
	}
	if cfg.Namespace == "" || flags.NArg() > 0 {
		return fmt.Errorf("scenario from-cluster: name one namespace; %s", text)
	}
	b, err := istio.Survey(ctx, cfg)
	if err != nil {
		return fmt.Errorf("scenario from-cluster: %w", err)
	}
	if *out == "" {
		_, err = stdout.Write(b)
		return err
	}
	return atomicfile.Write(*out, b)
}

// startIstio takes control of a mesh on a cluster.
func (b *bed) startIstio(ctx context.Context, s scenario.Scenario) (testbed.Testbed, error) {
	cfg := b.istioConfig(s)
	var err error
	if cfg.Platform, err = platformOf(ctx, s); err != nil {
		return nil, err
	}
	return istio.New(ctx, cfg)
}

// checkIstio lists what a mesh on a cluster lacks, and changes nothing.
func (b *bed) checkIstio(ctx context.Context, s scenario.Scenario) error {
	f, err := istio.Preflight(ctx, b.istioConfig(s))
	if err == nil && len(f) > 0 {
		err = f
	}
	return err
}

// leaseIstio is the Lease in the namespace of the mesh.
func (b *bed) leaseIstio(s scenario.Scenario, command string, wait bool, waiting func(string)) (lease.Lease, error) {
	client, err := b.istioConfig(s).Client()
	if err != nil {
		return nil, err
	}
	return kube.Lease{Client: client, Namespace: b.space, Identity: b.identity(command), Wait: wait, Waiting: waiting}, nil
}

// identity tells this process from all others: that of a pod by its name.
func (b *bed) identity(command string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + " meshbench " + command + " " + rand.Text()[:6]
}

// eventsIstio writes Events about the Lease.
func (b *bed) eventsIstio(s scenario.Scenario) (note func(warning bool, reason, message string), end func(), err error) {
	client, err := b.istioConfig(s).Client()
	if err != nil {
		return nil, nil, err
	}
	note, end = kube.Events(client, b.space, kube.Name, "meshbench-run")
	return note, end, nil
}
