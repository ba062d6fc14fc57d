package local

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/cause"
	"github.com/meshbench/meshbench/lab/testbed"
)

// node is a processing node: replicas that have one address and one queue.
type node struct {
	name string
	addr string // fixed once it is known, so that a node restarts where it was
	dsn  string
	t    *Testbed

	mu       sync.Mutex // guards what follows
	door     *door      // nil while the node is down
	line     *service.Line
	life     context.Context // ends when the node is stopped
	kill     context.CancelFunc
	replicas []*replica       // by age
	total    int              // replicas that are to be there
	admitted int              // the first so many of them may serve
	sorry    *service.Running // answers while none serves
	speed    float64          // factor, of its CPU knob
	work     []float64        // factors of each microservice's service times
	leaving  sync.WaitGroup
}

// replica is a server of a node, with a database connection of its own.
type replica struct {
	ready    context.Context // ends when the replica is given up before it serves
	giveUp   context.CancelFunc
	database *service.Database // nil while it is being opened
	handler  *service.Node     // nil before it serves
	server   *service.Running
	err      error // of the last try to start
}

// start brings a node up, with the replicas that may serve.
func (n *node) start(ctx context.Context) (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.door != nil {
		return nil
	}
	for len(n.replicas) < n.admitted {
		r := n.newReplica(n.t.life)
		if r.database, err = service.OpenDatabase(ctx, n.dsn, n.t.catalogue); err != nil {
			return fmt.Errorf("%s: %w", n.name, err)
		}
		n.replicas = append(n.replicas, r)
	}
	if n.door, err = openDoor(n.name, n.addr); err != nil {
		return err
	}
	if addr := n.door.Addr().String(); n.addr != addr { // only at the first start: others read it
		n.addr = addr
	}
	n.line = service.NewLine(n.t.cfg.Scenario.Queue)
	n.line.SetSpeed(n.speed)
	n.line.SetWork(n.work)
	n.life, n.kill = context.WithCancel(n.t.life)
	n.settle()
	for _, r := range n.replicas[:n.admitted] {
		if r.handler == nil {
			return fmt.Errorf("%s: %w", n.name, r.err)
		}
	}
	return nil
}

// stop takes a node down: its connections break.
func (n *node) stop() {
	n.mu.Lock()
	if n.kill != nil {
		n.kill()
	}
	door, sorry, replicas := n.door, n.sorry, n.replicas
	n.door, n.line, n.sorry, n.replicas = nil, nil, nil, nil
	n.mu.Unlock()
	if sorry != nil {
		sorry.Close()
	}
	for _, r := range replicas {
		r.close()
	}
	n.leaving.Wait() // those that start or drain were broken off
	if door != nil {
		door.close()
	}
}

// scale has so many replicas there, of which the first may serve. Those that are
// missing begin to start, those too many end when their requests are done.
func (n *node) scale(total, admitted int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.total, n.admitted = total, admitted
	if n.door != nil {
		n.settle()
	}
}

// setSpeed sets the factor of its speed, and those of the work of each
// microservice.
func (n *node) setSpeed(factor float64, work []float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.speed, n.work = factor, work; n.line != nil {
		n.line.SetSpeed(factor)
		n.line.SetWork(work)
	}
}

// settle brings about what scale said, as far as it can be at once; the lock is
// held.
func (n *node) settle() {
	for len(n.replicas) < n.total {
		r := n.newReplica(n.life)
		n.replicas = append(n.replicas, r)
		n.leaving.Go(func() { n.open(r) })
	}
	serving := 0
	for k, r := range n.replicas {
		if k < n.admitted && r.database != nil && r.handler == nil {
			n.admit(r)
		}
		if k < n.admitted && r.handler != nil {
			serving++
		}
	}
	if serving == 0 && n.sorry == nil {
		n.sorry = n.serve(http.HandlerFunc(n.nobody))
	}
	for _, r := range n.replicas[n.admitted:] {
		if r.handler != nil {
			n.retire(r)
		}
	}
	n.replicas = slices.DeleteFunc(n.replicas, func(r *replica) bool { return r.handler != nil && r.server == nil })
	for len(n.replicas) > n.total {
		n.replicas[n.total].close()
		n.replicas = slices.Delete(n.replicas, n.total, n.total+1)
	}
	if serving > 0 && n.sorry != nil {
		sorry, life := n.sorry, n.life
		n.leaving.Go(func() { sorry.Drain(life) })
		n.sorry = nil
	}
}

func (n *node) serve(h http.Handler) *service.Running {
	return service.ServeOn(n.door.entrance(), h, service.Limits{Write: n.t.write()})
}

// nobody answers for a node without replicas, whose clients fare as those of a
// full queue.
func (n *node) nobody(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
		return
	}
	w.Header().Set(service.NodeHeader, n.name)
	w.Header().Set(service.FailureHeader, cause.Queue)
	http.Error(w, n.name+" has no replica", http.StatusServiceUnavailable)
}

func (n *node) newReplica(life context.Context) *replica {
	r := &replica{}
	r.ready, r.giveUp = context.WithCancel(life)
	return r
}

// pause is the time between two tries to start a replica.
const pause = 100 * time.Millisecond

// open starts a replica: it tries until the database is there.
func (n *node) open(r *replica) {
	for {
		d, err := service.OpenDatabase(r.ready, n.dsn, n.t.catalogue)
		n.mu.Lock()
		switch {
		case r.ready.Err() != nil:
			if err == nil {
				d.Close()
			}
			n.mu.Unlock()
			return
		case err == nil:
			r.database, r.err = d, nil
			n.settle()
			n.mu.Unlock()
			return
		}
		r.err = err
		n.mu.Unlock()
		select {
		case <-r.ready.Done():
			return
		case <-time.After(pause):
		}
	}
}

// admit has a replica serve that is open.
func (n *node) admit(r *replica) {
	handler, err := service.NewNode(service.NodeConfig{Name: n.name, Mesh: n.t.cfg.Scenario.Mesh, Catalogue: n.t.catalogue,
		Database: r.database, Line: n.line, TimeScale: n.t.cfg.TimeScale})
	if err != nil {
		r.err = err // out of file descriptors; the next call of settle tries again
		return
	}
	r.handler, r.server, r.err = handler, n.serve(handler), nil
}

// retire has a replica end when its requests are done.
func (n *node) retire(r *replica) {
	server, life := r.server, n.life
	r.server = nil
	r.handler.Retire()
	n.leaving.Go(func() {
		server.Drain(life)
		r.close()
	})
}

// close ends a replica at once.
func (r *replica) close() {
	r.giveUp()
	if r.server != nil {
		r.server.Close()
	}
	if r.handler != nil {
		r.handler.Close()
	}
	if r.database != nil {
		r.database.Close()
	}
}

// serving is how many replicas serve.
func (n *node) serving() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.count()
}

func (n *node) count() (serving int) {
	for _, r := range n.replicas {
		if r.server != nil {
			serving++
		}
	}
	return serving
}

// missing says which of the replicas that should serve do not, "" for none.
func (n *node) missing() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.door == nil || n.count() >= n.admitted {
		return ""
	}
	why := "starting"
	for _, r := range n.replicas[:n.admitted] {
		if r.err != nil {
			why = r.err.Error()
		}
	}
	return fmt.Sprintf("%s has %d of %d replicas: %s", n.name, n.count(), n.admitted, why)
}

// worked is for how long its servers have worked since it was started.
func (n *node) worked() testbed.Work {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.line == nil {
		return testbed.Work{Seconds: math.NaN()}
	}
	s, until := n.line.Worked()
	return testbed.Work{Seconds: s.Seconds(), Until: until}
}

// closeDatabases closes those of all replicas.
func (n *node) closeDatabases() (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, r := range n.replicas {
		if r.database != nil {
			if e := r.database.Close(); err == nil {
				err = e
			}
		}
	}
	return err
}
