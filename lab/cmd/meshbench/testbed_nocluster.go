//go:build nocluster

package main

import (
	"context"
	"errors"

	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/testbed"
)

// startIstio fails: this program was compiled without the clients of Kubernetes,
// which take longer than all else.
func (b *bed) startIstio(context.Context, scenario.Scenario) (testbed.Testbed, error) {
	return nil, errors.New("this program is without testbed istio; go run ./lab/cmd/meshbench has it")
}
