package kube_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/lab/lease"
	"github.com/meshbench/meshbench/lab/lease/kube"
)

func of(client *fake.Clientset, who string) kube.Lease {
	return kube.Lease{Client: client, Namespace: "mesh", Identity: who, Duration: 3 * time.Second, Renew: 2 * time.Second, Retry: 100 * time.Millisecond}
}

// One leads; who may not wait is told who does; a replica that waits takes over
// when the leader ends.
func TestLease(t *testing.T) {
	client := fake.NewSimpleClientset()
	ctx := context.Background()
	over, told := make(chan error, 1), make(chan string, 10)
	var leading atomic.Int32
	err := of(client, "a").Hold(ctx, func(context.Context) error {
		leading.Add(1)
		var held lease.HeldError
		if err := of(client, "c").Hold(ctx, func(context.Context) error { t.Error("two leaders"); return nil }); !errors.As(err, &held) || held.Owner != "a" {
			t.Errorf("error %v, want that a holds it", err)
		}
		go func() {
			b := of(client, "b")
			b.Wait, b.Waiting = true, func(owner string) { told <- owner }
			over <- b.Hold(ctx, func(context.Context) error {
				if leading.Load() != 0 {
					t.Error("two leaders")
				}
				return nil
			})
		}()
		if owner := <-told; owner != "a" {
			t.Errorf("b waits for %q", owner)
		}
		leading.Add(-1)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	x, err := client.CoordinationV1().Leases("mesh").Get(ctx, kube.Name, metav1.GetOptions{})
	if err != nil || x.Spec.HolderIdentity == nil || *x.Spec.HolderIdentity != "" {
		t.Errorf("it was not given back: %v %v", x, err)
	}
}

// Who was killed is waited for, also by who may not wait for others.
func TestKilled(t *testing.T) {
	client := fake.NewSimpleClientset()
	l := of(client, "a")
	holder, now := "killed", metav1.NowMicro()
	_, err := client.CoordinationV1().Leases("mesh").Create(context.Background(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: kube.Name},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: new(int32(3)), AcquireTime: &now, RenewTime: &now}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := l.Hold(context.Background(), func(context.Context) error { return nil }); err != nil || time.Since(begin) < 2*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// Who cannot renew it stops before another may begin, and says so.
func TestLost(t *testing.T) {
	client := fake.NewSimpleClientset()
	var away atomic.Bool
	client.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		if away.Load() {
			return true, nil, errors.New("connection refused")
		}
		return false, nil, nil
	})
	begin := time.Now()
	err := of(client, "a").Hold(context.Background(), func(ctx context.Context) error {
		away.Store(true)
		<-ctx.Done()
		if context.Cause(ctx) != lease.ErrLost {
			t.Errorf("the work ends with %v", context.Cause(ctx))
		}
		return ctx.Err()
	})
	if err != lease.ErrLost {
		t.Errorf("error %v after %v", err, time.Since(begin))
	}
}

func TestEvents(t *testing.T) {
	client := fake.NewSimpleClientset()
	note, end := kube.Events(client, "mesh", kube.Name, "meshbench-run")
	note(true, "FellBack", "drift")
	end()
	all, err := client.CoreV1().Events("mesh").List(context.Background(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Items) != 1 || all.Items[0].Reason != "FellBack" || all.Items[0].Type != "Warning" || !strings.Contains(all.Items[0].Message, "drift") ||
		all.Items[0].InvolvedObject.Kind != "Lease" {
		t.Errorf("events %+v", all.Items)
	}
}
