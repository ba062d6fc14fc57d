//go:build nocluster

package main

import (
	"context"
	"strings"

	"github.com/meshbench/meshbench/lab/sweep"
)

// This program is without the clients of clusters and buckets; see errNoCluster.

const badCode = 3

func podIndex() (int, error) { return 0, errNoCluster }

func isBucket(name string) bool { return strings.HasPrefix(name, "s3://") }

func openBucket(context.Context, string) (sweep.Store, error) { return nil, errNoCluster }

func (s *sweeping) onCluster(context.Context, sweep.Store, sweep.Spec, []sweep.Task) error {
	return errNoCluster
}
