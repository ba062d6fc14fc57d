package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/meshbench/meshbench/lab/load/pace"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/service/cause"
	"github.com/meshbench/meshbench/lab/service/item"
)

// NodeConfig describes a processing node.
type NodeConfig struct {
	Name      string          // a node of the mesh, named in each reply; default the first
	Mesh      mesh.Mesh       // says which microservices are on the node, and its speed
	Catalogue *item.Catalogue // of all the layout's microservices
	Database  *Database
	Queue     int     // requests that wait, besides the one in service; default item.Queue
	Line      *Line   // shared with the node's other replicas; default one of its own, of Queue places
	TimeScale float64 // by which service times are divided; default 1
}

// Node serves the items of its microservices first come, first served, with one
// worker. It has a fixed share of a processor: a request takes its real look-up
// and rendering, and is then held for the rest of the service time that follows
// from the item's size, so that a node saturates at the same load on any
// machine that is fast enough. Several that share a Line are replicas of one
// node.
//
//	GET /{microservice}/items/{key}   the item, or 404, 500, 503
//	GET /healthz, /readyz             alive; able to serve (the database answers)
//	GET /metrics                      Prometheus
type Node struct {
	cfg    NodeConfig
	speed  float64
	serves map[string]int // numbers of the microservices on the node
	all    []string       // names of all microservices
	mux    *http.ServeMux
	line   *Line
	ctx    context.Context // ends when the node stops
	stop   context.CancelFunc
	worker sync.WaitGroup

	leaving atomic.Bool
	retired chan struct{} // closed when the worker is to leave
	retire  sync.Once

	served  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// job is a request in the queue.
type job struct {
	ctx          context.Context
	microservice int
	key          int
	arrived      time.Time
	speed        float64 // of the line for it, when it came
	done         chan reply
}

type reply struct {
	body    []byte
	seconds float64 // from arrival to the end of service
	err     error
}

// NewNode starts a node's worker; the caller serves the node over HTTP.
func NewNode(cfg NodeConfig) (*Node, error) {
	if err := cfg.Mesh.Validate(); err != nil {
		return nil, fmt.Errorf("service: node: %w", err)
	}
	if cfg.Name == "" {
		cfg.Name = cfg.Mesh.NodeNames()[0]
	}
	j, err := cfg.Mesh.Node(cfg.Name)
	if err != nil {
		return nil, fmt.Errorf("service: %w", err)
	}
	if cfg.Queue == 0 {
		cfg.Queue = item.Queue
	}
	if cfg.TimeScale == 0 {
		cfg.TimeScale = 1
	}
	l := cfg.Mesh.Layout()
	if cfg.Catalogue == nil || cfg.Database == nil || cfg.Catalogue.Services() != len(l.Microservices) {
		return nil, fmt.Errorf("service: node %s needs a database and a catalogue of %d microservices", cfg.Name, len(l.Microservices))
	}
	if cfg.Line == nil && cfg.Queue < 1 || !(cfg.TimeScale > 0) || math.IsInf(cfg.TimeScale, 1) {
		return nil, fmt.Errorf("service: node %s: queue of %d, time scale %v; both must be above 0", cfg.Name, cfg.Queue, cfg.TimeScale)
	}
	ctx, cancel := context.WithCancel(context.Background())
	timer, err := pace.New(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	if cfg.Line == nil {
		cfg.Line = NewLine(cfg.Queue)
	}
	n := &Node{cfg: cfg, mux: http.NewServeMux(), line: cfg.Line, ctx: ctx, stop: cancel, retired: make(chan struct{}),
		speed: cfg.Mesh.Speed(j), serves: map[string]int{}, all: l.Microservices}
	for _, e := range l.Endpoints {
		if e.Node == j {
			u := l.Calls[e.Call].Microservice
			n.serves[l.Microservices[u]] = u
		}
	}
	registry := prometheus.NewRegistry()
	n.served = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "meshbench_requests_total",
		Help: "Requests by service and status code."}, []string{"service", "code"})
	n.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "meshbench_node_seconds",
		Help:    "Time from a request's arrival at the node to its reply, in real seconds.",
		Buckets: prometheus.ExponentialBuckets(.001, 2, 14)}, []string{"service"})
	queue := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "meshbench_queue_length",
		Help: "Requests that wait at the node."}, func() float64 { return float64(len(n.line.jobs)) })
	speed := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "meshbench_speed",
		Help: "Factor of the node's speed, of its cores."}, n.line.Speed)
	worked := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "meshbench_work_seconds_total",
		Help: "Time for which the node has worked on requests, in real seconds."}, func() float64 {
		worked, _ := n.line.Worked()
		return worked.Seconds()
	})
	registry.MustRegister(n.served, n.seconds, queue, speed, worked)
	n.mux.HandleFunc("GET /{microservice}/items/{key}", n.item)
	n.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	n.mux.HandleFunc("GET /readyz", n.ready)
	n.mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	n.line.join()
	n.worker.Add(1)
	go n.work(timer)
	return n, nil
}

// Retire has the worker leave after the request that it serves. The requests that
// wait are the other replicas'; without any, it serves them first. The node
// answers until Close.
func (n *Node) Retire() { n.retire.Do(func() { close(n.retired) }) }

// Close stops the worker; waiting requests are answered with 503.
func (n *Node) Close() {
	n.stop()
	n.worker.Wait()
}

func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(NodeHeader, n.cfg.Name)
	n.mux.ServeHTTP(w, r)
}

// Leave has the node say that it is not ready any more, so that no new requests
// are sent to it; it goes on serving.
func (n *Node) Leave() { n.leaving.Store(true) }

func (n *Node) ready(w http.ResponseWriter, r *http.Request) {
	if n.leaving.Load() {
		http.Error(w, "the node is leaving", http.StatusServiceUnavailable)
		return
	}
	if err := n.cfg.Database.Ping(r.Context()); err != nil {
		http.Error(w, "the database does not answer: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}

func (n *Node) item(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("microservice")
	i, ok := n.serves[name]
	if !ok {
		var names []string
		for _, u := range n.all {
			if _, here := n.serves[u]; here {
				names = append(names, u)
			}
		}
		http.Error(w, fmt.Sprintf("unknown microservice %q; node %s has %s", name, n.cfg.Name, strings.Join(names, ", ")), http.StatusNotFound)
		return
	}
	fail := func(code int, why, text string) {
		n.served.WithLabelValues(name, strconv.Itoa(code)).Inc()
		if why != "" {
			w.Header().Set(FailureHeader, why)
		}
		http.Error(w, text, code)
	}
	key, err := strconv.Atoi(r.PathValue("key"))
	if err != nil || key < 0 || key >= n.cfg.Catalogue.Len(i) {
		fail(http.StatusNotFound, "", fmt.Sprintf("%s has items 0 to %d, not %q", name, n.cfg.Catalogue.Len(i)-1, r.PathValue("key")))
		return
	}
	j := &job{ctx: r.Context(), microservice: i, key: key, arrived: time.Now(), done: make(chan reply, 1)}
	if !n.line.push(j) {
		fail(http.StatusServiceUnavailable, cause.Queue, fmt.Sprintf("the queue of %d requests is full", cap(n.line.jobs)))
		return
	}
	select {
	case a := <-j.done:
		switch {
		case a.err != nil:
			fail(http.StatusInternalServerError, cause.Database, a.err.Error())
		default:
			n.served.WithLabelValues(name, "200").Inc()
			n.seconds.WithLabelValues(name).Observe(time.Since(j.arrived).Seconds())
			w.Header().Set(SecondsHeader, strconv.FormatFloat(a.seconds, 'f', 6, 64))
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
			w.Write(a.body)
		}
	case <-n.ctx.Done():
		fail(http.StatusServiceUnavailable, cause.Stopping, "the node is stopping")
	case <-r.Context().Done(): // the client has gone; the worker skips the job
	}
}

// work serves jobs one by one. Each is due when the one before was due, or it
// arrived, plus its service time: a wake-up that comes late delays one reply
// and does not lower the node's capacity.
func (n *Node) work(timer *pace.Timer) {
	defer n.worker.Done()
	defer timer.Close()
	due := time.Now() // one that starts late has not worked before
	for j := n.next(); j != nil; j = n.next() {
		a := n.render(j)
		if a.err == nil {
			s := span{from: due}
			if j.arrived.After(due) {
				s.from = j.arrived
			}
			seconds := item.ServiceTime(n.cfg.Catalogue.Size(j.microservice, j.key)) / (n.speed * j.speed) / n.cfg.TimeScale
			s.to = s.from.Add(time.Duration(seconds * 1e9))
			due = s.to
			n.line.begin(n, s)
			err := timer.Until(due)
			n.line.end(n, time.Now())
			if err != nil {
				n.line.leave(true)
				return
			}
			a.seconds = due.Sub(j.arrived).Seconds()
		}
		j.done <- a
	}
}

// next is the next job; nil when the worker has left.
func (n *Node) next() *job {
	for {
		var j *job
		select {
		case <-n.ctx.Done():
			n.line.leave(true)
			return nil
		case <-n.retired:
			if n.line.leave(false) {
				return nil
			}
			select {
			case j = <-n.line.jobs:
			default: // another was faster
			}
		default:
			select {
			case <-n.ctx.Done():
			case <-n.retired:
			case j = <-n.line.jobs:
			}
		}
		if j != nil && j.ctx.Err() == nil {
			return j
		}
	}
}

// lookupTimeout bounds a look-up, in real time, so that a database that hangs
// does not hang the node.
const lookupTimeout = time.Second

// render looks the item up and makes the reply.
func (n *Node) render(j *job) reply {
	ctx, cancel := context.WithTimeout(j.ctx, lookupTimeout)
	defer cancel()
	content, err := n.cfg.Database.Lookup(ctx, j.microservice, j.key)
	if err != nil {
		return reply{err: fmt.Errorf("looking up item %d of %s: %w", j.key, n.all[j.microservice], err)}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"service":%q,"node":%q,"item":`, n.all[j.microservice], n.cfg.Name)
	if err := json.Compact(&b, []byte(content)); err != nil {
		return reply{err: fmt.Errorf("item %d of %s is not JSON: %w", j.key, n.all[j.microservice], err)}
	}
	b.WriteString("}\n")
	return reply{body: b.Bytes()}
}
