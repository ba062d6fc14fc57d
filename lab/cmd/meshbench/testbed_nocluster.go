//go:build nocluster

package main

import (
	"context"
	"errors"

	"github.com/meshbench/meshbench/lab/lease"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
)

// errNoCluster is of what this program was compiled without: the clients of
// Kubernetes, which take longer than all else.
var errNoCluster = errors.New("this program is without testbed istio, clusters and buckets; go run ./lab/cmd/meshbench has them")

func (b *bed) startIstio(context.Context, scenario.Scenario) (testbed.Testbed, error) {
	return nil, errNoCluster
}

func fromCluster(context.Context, []string) error { return errNoCluster }

func (b *bed) checkIstio(context.Context, scenario.Scenario) error { return errNoCluster }

func (b *bed) leaseIstio(scenario.Scenario, string, bool, func(string)) (lease.Lease, error) {
	return nil, errNoCluster
}

func (b *bed) eventsIstio(scenario.Scenario) (func(bool, string, string), func(), error) {
	return nil, nil, errNoCluster
}
