// Package storetest tests a sweep.Store.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/meshbench/meshbench/lab/sweep"
)

// Run tests that what a store of one's own promises is so. open makes an empty one.
func Run(t *testing.T, open func(t *testing.T) sweep.Store) {
	ctx := context.Background()
	t.Run("once", func(t *testing.T) {
		s := open(t)
		if _, err := s.Get(ctx, "results/a"); !errors.Is(err, sweep.ErrAbsent) {
			t.Errorf("an object that is not there: %v", err)
		}
		if ok, err := s.PutIfAbsent(ctx, "results/a", []byte("first")); !ok || err != nil {
			t.Fatal(ok, err)
		}
		if ok, err := s.PutIfAbsent(ctx, "results/a", []byte("second")); ok || err != nil {
			t.Errorf("written again: %v, %v", ok, err)
		}
		if b, err := s.Get(ctx, "results/a"); string(b) != "first" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	})
	t.Run("list", func(t *testing.T) {
		s := open(t)
		if names, err := s.List(ctx, "results/"); len(names) != 0 || err != nil {
			t.Errorf("an empty store has %q, %v", names, err)
		}
		var want []string
		for k := range 1100 { // more than a server lists at once
			want = append(want, fmt.Sprintf("results/%04d", k))
		}
		var g sync.WaitGroup
		turns := make(chan bool, 16)
		for _, n := range append(slices.Clone(want), "policies/x", "resultsnot/x") {
			turns <- true
			g.Go(func() {
				defer func() { <-turns }()
				if _, err := s.PutIfAbsent(ctx, n, []byte(n)); err != nil {
					t.Error(err)
				}
			})
		}
		g.Wait()
		if names, err := s.List(ctx, "results/"); !slices.Equal(names, want) || err != nil {
			t.Errorf("%d names, %v", len(names), err)
		}
		if names, err := s.List(ctx, ""); len(names) != len(want)+2 || err != nil {
			t.Errorf("%d names in all, %v", len(names), err)
		}
	})
	t.Run("race", func(t *testing.T) {
		s := open(t)
		large := func(k int) []byte { return bytes.Repeat([]byte{byte('a' + k)}, 100_000) }
		var won atomic.Int32
		var g sync.WaitGroup
		for k := range 8 {
			g.Go(func() {
				ok, err := s.PutIfAbsent(ctx, "x/contended", large(k))
				if err != nil {
					t.Error(err)
				}
				if ok {
					won.Add(1)
				}
			})
		}
		g.Wait()
		b, err := s.Get(ctx, "x/contended")
		if won.Load() != 1 || err != nil || len(b) != 100_000 || strings.Trim(string(b), string(b[:1])) != "" {
			t.Errorf("%d won; %d bytes, %v", won.Load(), len(b), err)
		}
	})
	t.Run("kept", func(t *testing.T) {
		s := open(t)
		name, err := sweep.Keep(ctx, s, "models", []byte("a model"))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := sweep.Keep(ctx, s, "models", []byte("a model")); again != name || err != nil {
			t.Error(again, err)
		}
		if b, err := sweep.Kept(ctx, s, name); string(b) != "a model" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		if _, err := s.PutIfAbsent(ctx, "models/0123", []byte("another")); err != nil {
			t.Fatal(err)
		}
		if _, err := sweep.Kept(ctx, s, "models/0123"); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("an object of another hash: %v", err)
		}
	})
}
