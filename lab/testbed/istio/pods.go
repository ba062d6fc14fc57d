package istio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/lab/internal/words"
)

// sidecar is the name of the container that Istio injects.
const sidecar = "istio-proxy"

// pods looks after the pods of the front, the generator and the nodes.
type pods struct {
	cfg      Config
	restarts map[types.UID]int32        // of all containers, as of the last step
	known    map[string]types.UID       // pod of each workload, as of the last step
	scaled   []string                   // workloads whose number of pods is a knob's
	nodes    map[string]labels.Selector // of an application: the pods of a node

	mu   sync.Mutex
	seen map[string]readiness // of nodes, when the pods were last listed
}

// readiness is how the pods of a node are.
type readiness struct {
	pods     int                  // that are ready
	live     map[types.UID]string // their addresses
	why      string               // others are not
	broken   bool                 // one of those will not become ready by waiting
	least    float64              // cores that they work on
	most     float64
	resize   string // what keeps one from the cores that it was given
	hopeless bool   // it will never get them
}

// observe notes how the pods of nodes are.
func (p *pods) observe(by map[string][]*corev1.Pod) {
	seen := map[string]readiness{}
	for _, name := range p.cfg.Scenario.Mesh.NodeNames() {
		r := readiness{live: map[types.UID]string{}}
		for _, pod := range by[name] {
			if why := unready(pod); why != "" {
				r.why, r.broken = pod.Name+" is not ready: "+why, r.broken || broken(pod)
				continue
			}
			cores, why := limit(pod)
			if why != "" {
				r.resize, r.hopeless = why, r.hopeless || strings.HasPrefix(why, corev1.PodReasonInfeasible)
			}
			if r.pods++; r.pods == 1 {
				r.least, r.most = cores, cores
			}
			r.least, r.most = min(r.least, cores), max(r.most, cores)
			r.live[pod.UID] = pod.Status.PodIP
		}
		seen[name] = r
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = seen
}

// of is how the pods of a node were when they were last listed.
func (p *pods) of(node string) readiness {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[node]
}

// broken tells a pod that waiting does not help from one that starts.
func broken(pod *corev1.Pod) bool {
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "" && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			return true
		}
	}
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
	})
}

// workload is what the pods of one deployment are called in marks: "front",
// "generator", or the node.
func (p *pods) workload(pod *corev1.Pod) string {
	if p.cfg.meshed() {
		for _, node := range p.cfg.Scenario.Mesh.NodeNames() {
			if s := p.nodes[node]; s != nil && s.Matches(labels.Set(pod.Labels)) {
				return node
			}
		}
		if app := pod.Labels["app"]; app == ApplicationFront || app == ApplicationGenerator {
			return app
		}
		return ""
	}
	if node := pod.Labels["node"]; slices.Contains(p.cfg.Scenario.Mesh.NodeNames(), node) {
		return node
	}
	return pod.Labels["app"]
}

// wanted are the workloads that must be there.
func (p *pods) wanted() []string {
	w := []string{p.cfg.front()}
	if p.cfg.LocalLoad == "" && p.cfg.Load == nil {
		w = append(w, p.cfg.generator())
	}
	for _, node := range p.cfg.Scenario.Mesh.NodeNames() {
		if p.cfg.deployment(node) != "" { // else nothing is known of its pods
			w = append(w, node)
		}
	}
	return w
}

// count lists the pods and notes how they are.
func (p *pods) count(ctx context.Context) error {
	by, err := p.list(ctx)
	if err == nil {
		p.observe(by)
	}
	return err
}

// list returns the pods of each workload that are not on their way out.
func (p *pods) list(ctx context.Context) (map[string][]*corev1.Pod, error) {
	l, err := p.cfg.Kubernetes.CoreV1().Pods(p.cfg.Namespace).List(ctx, metav1.ListOptions{LabelSelector: p.cfg.Selector})
	if err != nil {
		return nil, err
	}
	by := map[string][]*corev1.Pod{}
	for k := range l.Items {
		pod := &l.Items[k]
		over := pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if name := p.workload(pod); !over && name != "" {
			by[name] = append(by[name], pod)
		}
	}
	return by, nil
}

// unready says why a pod does not serve, "" when it does.
func unready(pod *corev1.Pod) string {
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "" {
			return w.Reason
		}
	}
	for _, c := range pod.Status.Conditions {
		switch {
		case c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue:
			return ""
		case c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Message != "":
			return c.Message
		}
	}
	return strings.ToLower(string(pod.Status.Phase)) + ", not ready"
}

func restarts(pod *corev1.Pod) (n int32) {
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		n += c.RestartCount
	}
	return n
}

// begin takes the pods as they are for what is to be expected.
func (p *pods) begin(ctx context.Context) {
	p.restarts, p.known = nil, nil
	p.check(ctx)
}

// check lists what is wrong with the pods and what happened to them since the
// last check.
func (p *pods) check(ctx context.Context) (faults []string, err error) {
	by, err := p.list(ctx)
	if err != nil {
		return nil, err
	}
	p.observe(by)
	count, known := map[types.UID]int32{}, map[string]types.UID{}
	for _, name := range p.wanted() {
		scaled := slices.Contains(p.scaled, name) // whose pods come and go
		if len(by[name]) == 0 && !scaled {
			faults = append(faults, name+" has no pod")
		}
		for _, pod := range by[name] {
			if why := unready(pod); why != "" && !scaled {
				faults = append(faults, name+" is not ready: "+why)
			}
			count[pod.UID], known[name] = restarts(pod), pod.UID
			if was, ok := p.restarts[pod.UID]; ok && was != count[pod.UID] {
				faults = append(faults, name+" restarted")
			}
			if was, ok := p.known[name]; ok && was != pod.UID && len(by[name]) == 1 && !scaled {
				faults = append(faults, name+" has a new pod")
			}
		}
		if _, ok := known[name]; !ok {
			if was, ok := p.known[name]; ok {
				known[name] = was // so that the next one is new
			}
		}
	}
	p.restarts, p.known = count, known
	return faults, nil
}

// controlPort is the port of the front's and the generator's pods that is not
// the mesh's, for those who control them.
const controlPort = "8090"

// url is the base URL of a control port: the configured one, else one whose
// host the dialer knows to find.
func (p *plane) url(configured, app string) string {
	if configured != "" {
		return strings.TrimRight(configured, "/")
	}
	return "http://" + app + podDomain + ":" + controlPort
}

// podDomain marks the names that are looked up among the pods.
const podDomain = ".pod"

// addresses remembers where the pods were last found, so that they are reached
// when the API server is not.
type addresses struct {
	mu sync.Mutex
	of map[string]string
}

// dial connects, and looks up the address of a pod again where its last one
// does not answer.
func (p *plane) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: time.Second}
	app, ok := strings.CutSuffix(host, podDomain)
	if !ok {
		return d.DialContext(ctx, network, address)
	}
	p.addresses.mu.Lock()
	last := p.addresses.of[app]
	p.addresses.mu.Unlock()
	if last != "" {
		if c, err := d.DialContext(ctx, network, net.JoinHostPort(last, port)); err == nil {
			return c, nil
		}
	}
	by, err := p.pods.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking for the pod of the %s: %w", app, err)
	}
	for _, pod := range by[app] {
		if unready(pod) == "" && pod.Status.PodIP != "" {
			p.addresses.mu.Lock()
			p.addresses.of[app] = pod.Status.PodIP
			p.addresses.mu.Unlock()
			return d.DialContext(ctx, network, net.JoinHostPort(pod.Status.PodIP, port))
		}
	}
	return nil, fmt.Errorf("no pod of the %s is ready", app)
}

// maxWords bounds what a server says, in bytes.
const maxWords = 400

// short is an error in a few words that do not differ from step to step.
func short(err error) string {
	var (
		link *url.Error
		op   *net.OpError
	)
	text := err.Error()
	if errors.As(err, &link) {
		reason := link.Err.Error()
		switch {
		case link.Timeout():
			reason = "no answer in time"
		case errors.As(link.Err, &op):
			reason = op.Err.Error()
		}
		text = strings.Replace(text, link.Error(), reason, 1)
	}
	// What is no Status, the client has a sentence of its own for.
	if c, ok := apierrors.StatusCause(err, metav1.CauseTypeUnexpectedServerResponse); ok && c.Message != "unknown" && !apierrors.IsInternalError(err) && !strings.Contains(text, c.Message) {
		text += ": " + c.Message
	}
	return words.Bounded(text, maxWords) // it may be a page of a proxy's
}
