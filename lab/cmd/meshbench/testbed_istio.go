//go:build !nocluster

package main

import (
	"context"

	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
	"github.com/meshbench/meshbench/lab/testbed/istio"
)

// startIstio takes control of a mesh on a cluster.
func (b *bed) startIstio(ctx context.Context, s scenario.Scenario) (testbed.Testbed, error) {
	cfg := istio.Config{Scenario: s, Kubeconfig: b.kubeconfig, Context: b.cluster, Namespace: b.space, Front: b.front, Generator: b.generator}
	if b.block == "fault" {
		cfg.Blocking = istio.FaultBlocking
	}
	return istio.New(ctx, cfg)
}
