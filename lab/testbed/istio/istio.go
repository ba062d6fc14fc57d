package istio

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshbench/meshbench/lab/control"
	"github.com/meshbench/meshbench/lab/internal/regular"
	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/load/request"
	"github.com/meshbench/meshbench/lab/mesh"
	"github.com/meshbench/meshbench/lab/scenario"
	"github.com/meshbench/meshbench/lab/service"
	"github.com/meshbench/meshbench/lab/service/item"
	"github.com/meshbench/meshbench/lab/testbed"
)

var _ testbed.Testbed = (*Testbed)(nil)

// Blocking is what turns requests away.
type Blocking int

const (
	// FrontBlocking blocks by the front's control endpoint, exactly in the long
	// run.
	FrontBlocking Blocking = iota
	// FaultBlocking blocks by Istio's fault abort, which draws each request
	// independently. It is for services that make one call.
	FaultBlocking
)

// Names in cluster/ that overlays do not change, and ones of objects before they
// do.
const (
	settingsName = "meshbench-settings" // ConfigMap
	scenarioName = "meshbench-scenario" // ConfigMap
	scenarioKey  = "scenario.yaml"
	secretName   = "meshbench-control"
	secretKey    = "token"
	frontApp     = "front" // value of the label app of the pods
	generatorApp = "generator"
)

// Config describes the testbed. With a scenario it is that scenario's mesh as
// cluster/ deploys it, at the current context of the user's kubeconfig.
type Config struct {
	// Scenario is what was deployed; there is no default. Its microservices are
	// VirtualServices and DestinationRules of that name, its nodes their subsets.
	Scenario scenario.Scenario
	// TimeScale is that of the pods; default the value in their ConfigMap
	// meshbench-settings.
	TimeScale float64
	// Kubeconfig is a file; default $KUBECONFIG, then ~/.kube/config, then,
	// within a pod, the account of that pod.
	Kubeconfig string
	Context    string // of the kubeconfig; default its current one
	Namespace  string // default that of the scenario's application, else meshbench
	// Prefix and Suffix are what an overlay puts around the names of objects.
	Prefix, Suffix string
	// Selector chooses the pods by their labels, where other installations have
	// some in the same namespace.
	Selector string
	// Front and Generator are the base URLs of the control ports of the front
	// and of the load generator, such as http://127.0.0.1:8090 for a forwarded
	// port; default port 8090 of their pods.
	Front, Generator string
	// LocalLoad generates the load in this process, not in the mesh, and aims
	// it at LocalLoad, the base URL of the front.
	LocalLoad string
	Token     string // of the control endpoints; default that of Secret
	Secret    string // default meshbench-control
	Blocking  Blocking
	// Actuators are for kinds of knobs that this testbed does not know, or in place
	// of its own for replicas and CPU. They are applied in this order, after
	// routing and blocking.
	Actuators []control.Actuator
	// Faults lets fault rules of others in the VirtualServices be, which count as
	// the mesh's own delays and failures. Default they are reported, and mark
	// steps.
	Faults bool
	// Keep leaves what is in force as it is when a run begins, rather than to
	// begin without control: for who takes a mesh over that is in service.
	Keep bool
	// Watch leaves it as it is for good: steps are measured under what others put
	// into force, which is read before each, and nothing is written.
	Watch bool
	// Safe, if set, is put into force by Close; default the last good action
	// stays.
	Safe mesh.Action
	// Patience is for how long an action is tried to put into force, in real s;
	// default 2. A step then goes on with the action before.
	Patience float64
	// Follow is for how long the mesh is waited for to follow, in real s;
	// default 5.
	Follow float64
	// Start is for how long replicas may take to be ready, in real s, before steps
	// are marked; default 30.
	Start   float64
	MaxLag  float64 // as in testbed.LoopConfig
	Repeats int     // as in testbed.LoopConfig
	// Platform, if set, is asked after each step.
	Platform testbed.Platform
	// Clients of the API; default those of the kubeconfig.
	Kubernetes kubernetes.Interface
	Dynamic    dynamic.Interface
	// Load, if set, offers the load in place of all that is said above.
	Load testbed.Generator

	space *mesh.Space
}

// object is the name of an object that is called so in cluster/.
func (c *Config) object(name string) string { return c.Prefix + name + c.Suffix }

// defaults fills in what needs no cluster, and reports what is not accepted.
func (c Config) defaults() (Config, error) {
	if err := c.Scenario.Validate(); err != nil {
		return c, err
	}
	c.Scenario = c.Scenario.Defaults()
	var err error
	if c.space, err = c.Scenario.Space(); err != nil {
		return c, err
	}
	if err := c.application(); err != nil {
		return c, err
	}
	if c.Namespace == "" {
		c.Namespace = "meshbench"
	}
	if c.Secret == "" {
		c.Secret = secretName
	}
	if c.Patience == 0 {
		c.Patience = 2
	}
	if c.Follow == 0 {
		c.Follow = 5
	}
	if c.Start == 0 {
		c.Start = 30
	}
	switch {
	case c.TimeScale != 0 && testbed.CheckTimeScale(c.TimeScale) != nil:
		return c, testbed.CheckTimeScale(c.TimeScale)
	case !(c.Patience > 0) || !(c.Follow > 0) || !(c.Start > 0):
		return c, fmt.Errorf("patience of %v s, %v s to follow, %v s to start; accepted: above 0", c.Patience, c.Follow, c.Start)
	case c.Watch && c.Safe != nil:
		return c, errors.New("a safe action to leave a mesh with that is only watched; accepted: one of both")
	case c.Blocking != FrontBlocking && c.Blocking != FaultBlocking:
		return c, fmt.Errorf("unknown blocking %d", c.Blocking)
	}
	if err := control.CheckKnobs(c.space, newPlane(c).actuators); err != nil {
		return c, err
	}
	for _, k := range c.space.Knobs() {
		switch {
		case (k.Kind == mesh.Route || k.Kind == mesh.Block) && (k.Up > 0 || k.Down > 0):
			return c, fmt.Errorf("knob %s takes %g s up and %g s down; accepted: 0, for the mesh follows at once", k.Name, k.Up, k.Down)
		case k.Kind == mesh.CPU && slices.ContainsFunc(k.Points, func(p []float64) bool { return p[0] < leastCores }):
			return c, fmt.Errorf("knob %s has points below %g; accepted: limits that Kubernetes takes", k.Name, leastCores)
		}
	}
	if c.Blocking == FaultBlocking {
		l := c.space.Layout()
		for i, name := range l.Mesh.ServiceNames() {
			if c.space.Find(mesh.Block, i) >= 0 && (len(l.Stages[i]) > 1 || len(l.Stages[i][0]) > 1) {
				return c, fmt.Errorf("service %q makes several calls, and a fault abort ends one of them, not the request; accepted: blocking by the front", name)
			}
		}
	}
	if c.Safe != nil {
		if err := c.space.Validate(c.Safe); err != nil {
			return c, fmt.Errorf("safe action: %w", err)
		}
	}
	return c, nil
}

// complete also makes the clients.
func (c Config) complete() (Config, error) {
	c, err := c.defaults()
	if err != nil {
		return c, err
	}
	return c, c.connect()
}

// Rights are what the account of a testbed of this configuration must be allowed
// to do.
func (c Config) Rights() ([]control.Right, error) {
	c, err := c.defaults()
	if err != nil {
		return nil, fmt.Errorf("istio: %w", err)
	}
	return c.rights(newPlane(c)), nil
}

func (c *Config) rights(p *plane) (rights []control.Right) {
	for _, a := range p.actuators {
		rights = append(rights, a.Needs()...)
	}
	if c.Watch {
		rights = slices.DeleteFunc(rights, func(r control.Right) bool { return r.Verb != "get" && r.Verb != "list" })
	}
	rights = append(rights, control.Right{Resource: "pods", Verb: "list"})
	if c.meshed() {
		rights = append(rights, c.applicationRights()...)
	}
	if c.TimeScale == 0 {
		rights = append(rights, control.Right{Resource: "configmaps", Verb: "get", Name: c.object(settingsName)})
	}
	if c.Token == "" {
		rights = append(rights, control.Right{Resource: "secrets", Verb: "get", Name: c.Secret})
	}
	return rights
}

// Client is the client of the API server that a testbed of this configuration
// uses, for what else is to be done there.
func (c Config) Client() (kubernetes.Interface, error) {
	c, err := c.complete()
	if err != nil {
		return nil, fmt.Errorf("istio: %w", err)
	}
	return c.Kubernetes, nil
}

// Kubeconfig is how the API server is reached by a file, "" for those of
// $KUBECONFIG, then ~/.kube/config, then within a cluster that of the pod, and a
// context, "" for the current one.
func Kubeconfig(path, name string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = path
	for _, p := range append([]string{path}, rules.Precedence...) {
		if err := regular.Free(p); err != nil { // which would be waited for
			return nil, fmt.Errorf("kubeconfig: %w", err)
		}
	}
	overrides := clientcmd.ConfigOverrides{CurrentContext: name}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &overrides).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w; name a file in KUBECONFIG", err)
	}
	return config, nil
}

// connect makes the clients that are not given.
func (c *Config) connect() error {
	if c.Kubernetes != nil && c.Dynamic != nil {
		return nil
	}
	config, err := Kubeconfig(c.Kubeconfig, c.Context)
	if err != nil {
		return err
	}
	// A request that hangs must not outlast the patience with a step.
	config.Timeout = time.Duration(c.Patience * 1e9)
	config.QPS, config.Burst = 100, 200
	config.UserAgent = "meshbench"
	return c.clients(config)
}

func (c *Config) clients(config *rest.Config) (err error) {
	if c.Kubernetes == nil {
		if c.Kubernetes, err = kubernetes.NewForConfig(config); err != nil {
			return fmt.Errorf("client of the API server: %w", err)
		}
	}
	if c.Dynamic == nil {
		if c.Dynamic, err = dynamic.NewForConfig(config); err != nil {
			return fmt.Errorf("client of the API server: %w", err)
		}
	}
	return nil
}

// Testbed is the mesh on a cluster. It is for one goroutine.
type Testbed struct {
	*testbed.Loop
	cfg   Config
	plane *plane
	close []func()
}

// New checks that all is there (see Preflight) and returns the testbed with an
// even routing that blocks nothing, unless what is in force is to be kept. What is missing is returned as Findings.
func New(ctx context.Context, cfg Config) (*Testbed, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, fmt.Errorf("istio: %w", err)
	}
	p, findings := preflight(ctx, &cfg)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("istio: %w", err)
	}
	if len(findings) > 0 {
		return nil, fmt.Errorf("istio: %w", findings)
	}
	t := &Testbed{cfg: cfg, plane: p}
	load := cfg.Load
	switch {
	case load != nil:
	case cfg.LocalLoad != "":
		g, err := localLoad(cfg)
		if err != nil {
			return nil, fmt.Errorf("istio: %w", err)
		}
		t.close = append(t.close, g.Close)
		load = g
	default:
		load = &generator{Generator: p.remote, patience: time.Minute, mark: p.note}
	}
	t.Loop = testbed.NewLoop(testbed.LoopConfig{Name: "istio", Space: cfg.space, Goals: cfg.Scenario.Goals(), Timing: cfg.Scenario.Timing, TimeScale: cfg.TimeScale,
		Plane: p, Generator: load, Run: p.control.Run, MaxLag: cfg.MaxLag, Repeats: cfg.Repeats, Foreign: cfg.meshed(), Platform: cfg.Platform})
	if err := t.Reset(ctx, 0); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// localLoad is a generator in this process.
func localLoad(cfg Config) (*httpload.Generator, error) {
	if cfg.meshed() {
		c := cfg.Scenario.Client
		return httpload.New(httpload.Config{Target: strings.TrimRight(cfg.LocalLoad, "/"), Mesh: cfg.Scenario.Mesh, Requests: cfg.Scenario.Requests,
			Client:     request.Client{Timeout: c.Timeout, Redirects: c.Redirects, Fresh: c.Fresh, Idle: c.Idle},
			NodeHeader: service.NodeHeader, FailureHeader: service.FailureHeader, RunHeader: service.RunHeader, ServiceHeader: service.ServiceHeader}, 0)
	}
	c, err := item.NewCatalogue(cfg.Scenario.Kinds(), 0)
	if err != nil {
		return nil, err
	}
	items := make([]int, c.Services())
	for u := range items {
		items[u] = c.Len(u)
	}
	return httpload.New(httpload.Config{Target: strings.TrimRight(cfg.LocalLoad, "/"), Mesh: cfg.Scenario.Mesh, Items: items,
		TimeScale: cfg.TimeScale, NodeHeader: service.NodeHeader, FailureHeader: service.FailureHeader,
		CallsHeader: service.CallsHeader, RunHeader: service.RunHeader}, 0)
}

// Followed lists, for each writing of a VirtualService so far, the real time in
// s from when it was sent to the API server to the first reply through the mesh
// that was routed by it.
func (t *Testbed) Followed() []float64 { return append([]float64(nil), t.plane.followed...) }

// Scaled lists, for each time that a node was to have more replicas and got them,
// the real time in s from when it was scaled to when all of them were ready.
func (t *Testbed) Scaled() []float64 {
	t.plane.attendNot()
	return append([]float64(nil), t.plane.scale.took...)
}

// Close puts the safe action into force where there is one, and sees to it that
// no action is half in force. The mesh itself goes on.
func (t *Testbed) Close() error {
	for _, f := range t.close {
		f()
	}
	t.close = nil
	if err := t.plane.close(); err != nil {
		return fmt.Errorf("istio: close: %w", err)
	}
	return nil
}

// settings reads the time scale and the token that are not given, and looks
// whether the pods run the same scenario.
func (c *Config) settings(ctx context.Context) (f Findings) {
	maps := c.Kubernetes.CoreV1().ConfigMaps(c.Namespace)
	if c.TimeScale == 0 {
		name := c.object(settingsName)
		m, err := maps.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			f.add("the time scale of the pods is not known: "+short(err), "deploy cluster/, or set Config.TimeScale")
		} else if text, ok := m.Data["TIME_SCALE"]; !ok {
			c.TimeScale = 1
		} else if k, err := strconv.ParseFloat(text, 64); err != nil || !(k > 0) || math.IsInf(k, 1) {
			f.add(fmt.Sprintf("TIME_SCALE in ConfigMap %s is %q", name, text), "set a number above 0 and restart the pods")
		} else {
			c.TimeScale = k
		}
		if c.meshed() && c.TimeScale != 1 && c.TimeScale != 0 {
			f.add(fmt.Sprintf("TIME_SCALE in ConfigMap %s is %v, and an application's time is not scaled", name, c.TimeScale), "set 1 and restart the pods")
		}
	}
	// Those who may not read it, or deployed in their own way, know what runs.
	if m, err := maps.Get(ctx, c.object(scenarioName), metav1.GetOptions{}); err == nil {
		there, err := scenario.Parse("in ConfigMap "+m.Name, []byte(m.Data[scenarioKey]))
		switch {
		case err != nil:
			f.add(short(err), "deploy cluster/ again with a scenario that can be read")
		case !sameMesh(there, c.Scenario):
			f.add(fmt.Sprintf("the pods run scenario %s (%s), not %s (%s) as it is here", there.Name, there.Mesh, c.Scenario.Name, c.Scenario.Mesh),
				"name the one that they run, or deploy this one (cluster/README.md)")
		}
	}
	if c.Token == "" {
		s, err := c.Kubernetes.CoreV1().Secrets(c.Namespace).Get(ctx, c.Secret, metav1.GetOptions{})
		if err != nil {
			f.add("the control token is not known: "+short(err),
				fmt.Sprintf("kubectl -n %s create secret generic %s --from-literal=%s=$(openssl rand -hex 32), or set Config.Token", c.Namespace, c.Secret, secretKey))
		} else if c.Token = strings.TrimSpace(string(s.Data[secretKey])); c.Token == "" {
			f.add(fmt.Sprintf("Secret %s has no key %s", c.Secret, secretKey), "set it")
		}
	}
	return f
}

// sameMesh reports whether pods of both scenarios do the same; loads, goals and
// knobs are none of theirs.
func sameMesh(a, b scenario.Scenario) bool {
	if a.Mesh.String() != b.Mesh.String() || !slices.Equal(a.Kinds(), b.Kinds()) || a.Queue != b.Queue || a.Link != b.Link {
		return false
	}
	for j := range a.Mesh.Nodes {
		if a.Mesh.Speed(j) != b.Mesh.Speed(j) {
			return false
		}
	}
	return reflect.DeepEqual(a.Application, b.Application) && reflect.DeepEqual(a.Requests, b.Requests)
}
