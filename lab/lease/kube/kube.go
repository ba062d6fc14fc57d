// Package kube is the lease of a testbed on Kubernetes: an object of
// coordination.k8s.io that replicas elect their leader by, and Events about it.
package kube

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"

	"github.com/meshbench/meshbench/lab/lease"
)

// Name is that of the Lease of a mesh, in the mesh's namespace.
const Name = "meshbench-testbed"

// Lease is held by one of all processes that name it.
type Lease struct {
	Client    kubernetes.Interface
	Namespace string // of the mesh
	Name      string // default Name
	// Identity tells this process from all others. There is no default.
	Identity string
	// Duration is for how long nobody else takes a lease that is not renewed,
	// Renew for how long the owner tries to, Retry the time between two tries.
	// Defaults 15, 10 and 2 s.
	Duration, Renew, Retry time.Duration
	// Wait says to wait for the lease rather than to give up. Even so one of an owner
	// who does not renew it, as after a kill, is waited for until it has run out.
	Wait bool
	// Waiting, if set, is called when the owner is or becomes another.
	Waiting func(owner string)
}

var _ lease.Lease = Lease{}

func (l *Lease) defaults() error {
	if l.Name == "" {
		l.Name = Name
	}
	if l.Duration == 0 {
		l.Duration = 15 * time.Second
	}
	if l.Renew == 0 {
		l.Renew = l.Duration * 2 / 3
	}
	if l.Retry == 0 {
		l.Retry = l.Duration * 2 / 15
	}
	if l.Identity == "" {
		return fmt.Errorf("lease: %s without an identity", l.Name)
	}
	return nil
}

// Hold is elected, and calls do.
func (l Lease) Hold(ctx context.Context, do func(context.Context) error) error {
	if err := l.defaults(); err != nil {
		return err
	}
	patience := make(<-chan time.Time) // for ever
	if !l.Wait {
		if err := l.free(ctx); err != nil {
			return err
		}
		// An elector counts the duration from when it first sees the lease, and
		// tries again after Retry to Retry times 1 + JitterFactor.
		patience = time.After(l.Duration + time.Duration((2+leaderelection.JitterFactor)*float64(l.Retry)))
	}
	// The lease is given back when do has ended, not when ctx has.
	electing, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	led, over := make(chan context.Context, 1), make(chan struct{})
	e, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{LeaseMeta: metav1.ObjectMeta{Namespace: l.Namespace, Name: l.Name}, Client: l.Client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: l.Identity}},
		LeaseDuration: l.Duration, RenewDeadline: l.Renew, RetryPeriod: l.Retry, ReleaseOnCancel: true, Name: l.Name,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { led <- ctx },
			OnStoppedLeading: func() {},
			OnNewLeader: func(id string) {
				if id != l.Identity && id != "" && l.Waiting != nil {
					l.Waiting(id)
				}
			},
		}})
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	go func() {
		e.Run(electing)
		close(over)
	}()
	give := func() {
		end()
		<-over
	}
	var leading context.Context
	select {
	case <-ctx.Done():
		give()
		return ctx.Err()
	case <-patience:
		give()
		return lease.HeldError{What: l.Name, Owner: e.GetLeader()}
	case leading = <-led:
	}
	work, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(leading, func() { cancel(lease.ErrLost) })
	err = do(work)
	lost := leading.Err() != nil
	stop()
	cancel(nil)
	give()
	if lost {
		return lease.ErrLost
	}
	return err
}

// free reports who holds and renews the lease, or why that is not known.
func (l *Lease) free(ctx context.Context) error {
	var first *coordinationv1.LeaseSpec
	for {
		x, err := l.Client.CoordinationV1().Leases(l.Namespace).Get(ctx, l.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return fmt.Errorf("lease: who drives the mesh is not known: %w", err)
		}
		owner := x.Spec.HolderIdentity
		if owner == nil || *owner == "" || *owner == l.Identity || expired(x.Spec) {
			return nil
		}
		switch {
		case first == nil:
			first = &x.Spec
			if l.Waiting != nil {
				l.Waiting(*owner)
			}
		case !x.Spec.RenewTime.Equal(first.RenewTime):
			return lease.HeldError{What: l.Name, Owner: *owner}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(l.Retry / 2):
		}
	}
}

func expired(s coordinationv1.LeaseSpec) bool {
	if s.RenewTime == nil || s.LeaseDurationSeconds == nil {
		return true
	}
	return time.Since(s.RenewTime.Time) > time.Duration(*s.LeaseDurationSeconds)*time.Second
}

// Events writes Kubernetes Events about the Lease of that name; source says who
// does. end waits until those so far are sent, 5 s at most: some may be left out
// where too many are alike, and the API server may be away.
func Events(client kubernetes.Interface, namespace, name, source string) (note func(warning bool, reason, message string), end func()) {
	b := record.NewBroadcaster()
	s := &sink{EventSink: &typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events(namespace)}}
	b.StartRecordingToSink(s)
	r := b.NewRecorder(scheme.Scheme, corev1.EventSource{Component: source})
	of := &corev1.ObjectReference{APIVersion: coordinationv1.SchemeGroupVersion.String(), Kind: "Lease", Namespace: namespace, Name: name}
	note = func(warning bool, reason, message string) {
		kind := corev1.EventTypeNormal
		if warning {
			kind = corev1.EventTypeWarning
		}
		s.open.Add(1)
		r.Event(of, kind, reason, message)
	}
	return note, func() {
		// Shutdown gives up what is not sent yet.
		for until := time.Now().Add(5 * time.Second); s.open.Load() > 0 && time.Now().Before(until); {
			time.Sleep(10 * time.Millisecond)
		}
		b.Shutdown()
	}
}

// sink counts the events that are not written yet.
type sink struct {
	record.EventSink
	open atomic.Int64
}

func (s *sink) Create(e *corev1.Event) (*corev1.Event, error) {
	return s.done(s.EventSink.Create(e))
}

func (s *sink) Patch(e *corev1.Event, data []byte) (*corev1.Event, error) {
	return s.done(s.EventSink.Patch(e, data))
}

func (s *sink) done(e *corev1.Event, err error) (*corev1.Event, error) {
	if err == nil {
		s.open.Add(-1)
	}
	return e, err
}
