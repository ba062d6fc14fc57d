package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/lab/lease"
	"github.com/meshbench/meshbench/lab/scenario"
)

// noLock is the value of -lock for no lease.
const noLock = "none"

// lease is that of the testbed, for a command; it waits for it or gives up.
func (b *bed) lease(s scenario.Scenario, command string, wait bool, waiting func(owner string)) (lease.Lease, error) {
	switch {
	case b.name == "virtual" || b.lock == noLock:
		return lease.None{}, nil
	case b.name == "istio":
		return b.leaseIstio(s, command, wait, waiting)
	}
	path := b.lock
	if path == "" {
		name := fmt.Sprintf("meshbench-%d-%s", os.Getuid(), b.name)
		if b.name == "http" { // there may be several applications
			name += "-" + s.Hash()[:12]
		}
		path = filepath.Join(os.TempDir(), name+".lock")
	}
	return lease.File{Path: path, Owner: "meshbench " + command + ", " + lease.Process(), Wait: wait, Waiting: waiting}, nil
}

// hold does something while this process alone drives the testbed.
func (b *bed) hold(ctx context.Context, s scenario.Scenario, command string, do func(context.Context) error) error {
	l, err := b.lease(s, command, false, func(owner string) { warn("waiting: %s had the testbed last", owner) })
	if err != nil {
		return err
	}
	return l.Hold(ctx, do)
}
