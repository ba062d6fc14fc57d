package istio

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshbench/meshbench/lab/load/httpload"
	"github.com/meshbench/meshbench/lab/mesh"
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
	// independently.
	FaultBlocking
)

// Names of the objects in cluster/, which the testbed looks for.
const (
	settingsName = "meshbench-settings" // ConfigMap
	secretName   = "meshbench-control"
	secretKey    = "token"
	frontApp     = "front" // value of the label app of the pods
	generatorApp = "generator"
)

// Config describes the testbed. The zero value is the mesh of cluster/, at the
// current context of the user's kubeconfig.
type Config struct {
	Mesh   mesh.Mesh      // services are VirtualServices and DestinationRules of that name, nodes their subsets
	Timing testbed.Timing // unscaled
	// TimeScale is that of the pods; default the value in their ConfigMap
	// meshbench-settings.
	TimeScale float64
	// Kubeconfig is a file; default $KUBECONFIG, then ~/.kube/config, then,
	// within a pod, the account of that pod.
	Kubeconfig string
	Context    string // of the kubeconfig; default its current one
	Namespace  string // default meshbench
	// Front and Generator are the base URLs of the control ports of the front
	// and of the load generator, such as http://127.0.0.1:8090 for a forwarded
	// port; default port 8090 of their pods.
	Front, Generator string
	// LocalLoad generates the load in this process, not in the mesh, and aims
	// it at LocalLoad, the base URL of the front.
	LocalLoad string
	Token     string // of the control endpoints; default that of the Secret meshbench-control
	Blocking  Blocking
	// Safe, if set, is put into force by Close; default the last good action
	// stays.
	Safe *mesh.Action
	// Patience is for how long an action is tried to put into force, in real s;
	// default 2. A step then goes on with the action before.
	Patience float64
	// Follow is for how long the mesh is waited for to follow, in real s;
	// default 5.
	Follow  float64
	MaxLag  float64 // as in testbed.LoopConfig
	Repeats int     // as in testbed.LoopConfig
	// Clients of the API; default those of the kubeconfig.
	Kubernetes kubernetes.Interface
	Dynamic    dynamic.Interface
	// Load, if set, offers the load in place of all that is said above.
	Load testbed.Generator
}

// complete fills in the defaults that need no cluster.
func (c Config) complete() (Config, error) {
	if err := c.Mesh.Validate(); err != nil {
		return c, err
	}
	if c.Namespace == "" {
		c.Namespace = "meshbench"
	}
	if c.Patience == 0 {
		c.Patience = 2
	}
	if c.Follow == 0 {
		c.Follow = 5
	}
	c.Timing = c.Timing.Defaults()
	switch {
	case !(c.Timing.Step > 0):
		return c, fmt.Errorf("step of %v s; accepted: above 0", c.Timing.Step)
	case !(c.TimeScale >= 0) || math.IsInf(c.TimeScale, 1):
		return c, fmt.Errorf("time scale %v; accepted: above 0, 1 is real time", c.TimeScale)
	case !(c.Patience > 0) || !(c.Follow > 0):
		return c, fmt.Errorf("patience of %v s and %v s to follow; accepted: above 0", c.Patience, c.Follow)
	case c.Blocking != FrontBlocking && c.Blocking != FaultBlocking:
		return c, fmt.Errorf("unknown blocking %d", c.Blocking)
	}
	if c.Safe != nil {
		if err := c.Safe.Validate(c.Mesh); err != nil {
			return c, fmt.Errorf("safe action: %w", err)
		}
	}
	return c, c.connect()
}

// connect makes the clients that are not given.
func (c *Config) connect() error {
	if c.Kubernetes != nil && c.Dynamic != nil {
		return nil
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.Kubeconfig
	var overrides clientcmd.ConfigOverrides
	overrides.CurrentContext = c.Context
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &overrides).ClientConfig()
	if err != nil {
		return fmt.Errorf("kubeconfig: %w; name a file in KUBECONFIG", err)
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
// even routing that blocks nothing. What is missing is returned as Findings.
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
	t.Loop = testbed.NewLoop(testbed.LoopConfig{Name: "istio", Mesh: cfg.Mesh, Timing: cfg.Timing, TimeScale: cfg.TimeScale,
		Plane: p, Generator: load, MaxLag: cfg.MaxLag, Repeats: cfg.Repeats})
	if err := t.Reset(ctx, 0); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// localLoad is a generator in this process.
func localLoad(cfg Config) (*httpload.Generator, error) {
	c, err := item.NewCatalogue(item.Paper(cfg.Mesh.M()), 0)
	if err != nil {
		return nil, err
	}
	var items []int
	for i := range cfg.Mesh.M() {
		items = append(items, c.Len(i))
	}
	return httpload.New(httpload.Config{Target: strings.TrimRight(cfg.LocalLoad, "/"), Mesh: cfg.Mesh, Items: items,
		TimeScale: cfg.TimeScale, NodeHeader: service.NodeHeader, FailureHeader: service.FailureHeader}, 0)
}

// Followed lists, for each writing of a VirtualService so far, the real time in
// s from when it was sent to the API server to the first reply through the mesh
// that was routed by it.
func (t *Testbed) Followed() []float64 { return append([]float64(nil), t.plane.followed...) }

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

// settings reads the time scale and the token that are not given.
func (c *Config) settings(ctx context.Context) (f Findings) {
	if c.TimeScale == 0 {
		m, err := c.Kubernetes.CoreV1().ConfigMaps(c.Namespace).Get(ctx, settingsName, metav1.GetOptions{})
		if err != nil {
			f.add("the time scale of the pods is not known: "+short(err), "deploy cluster/, or set Config.TimeScale")
		} else if text, ok := m.Data["TIME_SCALE"]; !ok {
			c.TimeScale = 1
		} else if k, err := strconv.ParseFloat(text, 64); err != nil || !(k > 0) {
			f.add(fmt.Sprintf("TIME_SCALE in ConfigMap %s is %q", settingsName, text), "set a number above 0 and restart the pods")
		} else {
			c.TimeScale = k
		}
	}
	if c.Token == "" {
		s, err := c.Kubernetes.CoreV1().Secrets(c.Namespace).Get(ctx, secretName, metav1.GetOptions{})
		if err != nil {
			f.add("the control token is not known: "+short(err),
				fmt.Sprintf("kubectl -n %s create secret generic %s --from-literal=%s=$(openssl rand -hex 32), or set Config.Token", c.Namespace, secretName, secretKey))
		} else if c.Token = strings.TrimSpace(string(s.Data[secretKey])); c.Token == "" {
			f.add(fmt.Sprintf("Secret %s has no key %s", secretName, secretKey), "set it")
		}
	}
	return f
}

// revisionPrefix tells the writings of one process from those of another.
func revisionPrefix() string { return strings.ToLower(rand.Text()[:8]) + "-" }

// client is for requests to the control ports of pods.
func (p *plane) newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: p.dial, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}}
}
