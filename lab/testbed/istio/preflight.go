package istio

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Finding is one thing that the testbed needs and the cluster lacks.
type Finding struct {
	What string // is missing
	Do   string // about it
}

// Findings are all that is missing. As an error they are printed one a line.
type Findings []Finding

func (f *Findings) add(what, do string) { *f = append(*f, Finding{what, do}) }

func (f Findings) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the cluster is not ready for the testbed; missing (%d):", len(f))
	for _, x := range f {
		fmt.Fprintf(&b, "\n- %s: %s", x.What, x.Do)
	}
	return b.String()
}

// Preflight lists all that a testbed of this configuration needs and that is
// not there; it changes nothing in the cluster. An error is one of the
// configuration or the context.
func Preflight(ctx context.Context, cfg Config) (Findings, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, fmt.Errorf("istio: %w", err)
	}
	_, f := preflight(ctx, &cfg)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("istio: %w", err)
	}
	return f, nil
}

// preflight completes cfg from the cluster and returns the plane for it.
func preflight(ctx context.Context, cfg *Config) (*plane, Findings) {
	var f Findings
	if _, err := cfg.Kubernetes.Discovery().ServerVersion(); err != nil {
		f.add("the API server does not answer: "+short(err), "check the cluster, KUBECONFIG and its current context")
		return nil, f // all else would only say the same
	}
	f = append(f, cfg.crds()...)
	f = append(f, cfg.injection(ctx)...)
	f = append(f, cfg.permissions(ctx)...)
	f = append(f, cfg.objects(ctx)...)
	f = append(f, cfg.settings(ctx)...)
	p := newPlane(*cfg)
	ready := p.pods.ready(ctx)
	f = append(f, ready...)
	if cfg.Token != "" && len(ready) == 0 {
		f = append(f, p.answers(ctx)...)
	}
	return p, f
}

func (c *Config) crds() (f Findings) {
	const do = "install Istio (istioctl install), or at least its CRDs"
	group := virtualServices.GroupVersion().String()
	l, err := c.Kubernetes.Discovery().ServerResourcesForGroupVersion(group)
	if err != nil {
		f.add("the API server does not serve "+group+": "+short(err), do)
		return f
	}
	for _, r := range []schema.GroupVersionResource{virtualServices, destinationRules} {
		if !slices.ContainsFunc(l.APIResources, func(a metav1.APIResource) bool { return a.Name == r.Resource }) {
			f.add("the API server does not serve "+r.Resource+" of "+group, do)
		}
	}
	return f
}

// injection looks at the namespace; without leave to do so, the pods' sidecars
// tell.
func (c *Config) injection(ctx context.Context) (f Findings) {
	n, err := c.Kubernetes.CoreV1().Namespaces().Get(ctx, c.Namespace, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
	case err != nil:
		f.add("namespace "+c.Namespace+": "+short(err), "kubectl apply -k cluster/overlays/..., or set Config.Namespace")
	case n.Labels["istio-injection"] != "enabled" && n.Labels["istio.io/rev"] == "":
		f.add("sidecar injection is off in namespace "+c.Namespace, "kubectl label namespace "+c.Namespace+" istio-injection=enabled, then restart the pods")
	}
	return f
}

// permissions asks for every right that the testbed uses.
func (c *Config) permissions(ctx context.Context) (f Findings) {
	type right struct{ group, resource, verb, name string }
	var rights []right
	for _, s := range c.Mesh.ServiceNames() {
		rights = append(rights, right{virtualServices.Group, virtualServices.Resource, "get", s},
			right{virtualServices.Group, virtualServices.Resource, "patch", s},
			right{destinationRules.Group, destinationRules.Resource, "get", s})
	}
	rights = append(rights, right{"", "pods", "list", ""})
	if c.TimeScale == 0 {
		rights = append(rights, right{"", "configmaps", "get", settingsName})
	}
	if c.Token == "" {
		rights = append(rights, right{"", "secrets", "get", secretName})
	}
	for _, r := range rights {
		what := strings.TrimSpace(fmt.Sprintf("%s %s %s", r.verb, r.resource, r.name))
		review := &authv1.SelfSubjectAccessReview{Spec: authv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authv1.ResourceAttributes{
			Namespace: c.Namespace, Group: r.group, Resource: r.resource, Verb: r.verb, Name: r.name}}}
		answer, err := c.Kubernetes.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		const do = "use the service account of cluster/ (Role controller), or bind that role to this user"
		switch {
		case err != nil:
			f.add("whether this user may "+what+" is not known: "+short(err), do)
		case !answer.Status.Allowed:
			f.add("this user may not "+what, do)
		}
	}
	return f
}

// objects looks at the VirtualServices and the subsets of the DestinationRules.
func (c *Config) objects(ctx context.Context) (f Findings) {
	nodes := c.Mesh.NodeNames()
	const do = "kubectl apply -k cluster/overlays/..., or name the services and nodes in Config.Mesh"
	for _, name := range c.Mesh.ServiceNames() {
		vs, err := c.Dynamic.Resource(virtualServices).Namespace(c.Namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case err != nil:
			f.add("VirtualService "+name+": "+short(err), do)
		default:
			http, err := entries(vs)
			if err != nil {
				f.add(err.Error(), do)
				break
			}
			k, _, err := managed(vs, http, nodes)
			if err != nil {
				f.add(err.Error(), do)
				break
			}
			if attempts, ok, _ := unstructured.NestedFieldNoCopy(http[k], "retries", "attempts"); !ok || attempts != int64(0) {
				f.add("VirtualService "+name+" lets the proxy try requests again, which hides failures in delays", "set retries: {attempts: 0} in its HTTP entry")
			}
		}
		rule, err := c.Dynamic.Resource(destinationRules).Namespace(c.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			f.add("DestinationRule "+name+": "+short(err), do)
			continue
		}
		for _, node := range nodes {
			if subsetLabels(rule, node) == nil {
				f.add("DestinationRule "+name+" has no subset "+node+" with labels", do)
			}
		}
	}
	return f
}

// subsetLabels are the labels of a DestinationRule's subset, nil when it has
// none.
func subsetLabels(rule *unstructured.Unstructured, subset string) map[string]string {
	list, _, _ := unstructured.NestedSlice(rule.Object, "spec", "subsets")
	for _, s := range list {
		if s, ok := s.(map[string]any); ok && s["name"] == subset {
			labels, _, _ := unstructured.NestedStringMap(s, "labels")
			return labels
		}
	}
	return nil
}

// ready looks at the pods.
func (p *pods) ready(ctx context.Context) (f Findings) {
	by, err := p.list(ctx)
	if err != nil {
		f.add("the pods cannot be listed: "+short(err), "see the permissions above")
		return f
	}
	for _, name := range p.wanted() {
		if len(by[name]) == 0 {
			f.add("no pod of the "+name, "kubectl apply -k cluster/overlays/...")
		}
		if name == frontApp && len(by[name]) > 1 {
			f.add(fmt.Sprintf("%d pods of the front, each blocking for itself", len(by[name])), "kubectl -n "+p.cfg.Namespace+" scale deployment front --replicas=1")
		}
		for _, pod := range by[name] {
			if why := unready(pod); why != "" {
				f.add("pod "+pod.Name+" is not ready: "+why, "kubectl -n "+p.cfg.Namespace+" describe pod "+pod.Name)
			}
			if !hasSidecar(pod) {
				f.add("pod "+pod.Name+" has no sidecar", "delete it once injection is on")
			}
		}
	}
	return f
}

// answers asks the front and the generator, with the token.
func (p *plane) answers(ctx context.Context) (f Findings) {
	const do = "check the pod's log, the token, and that its port %s can be reached from here, else forward it (kubectl port-forward) and set Config.%s"
	if err := p.asks(ctx, http.MethodGet, p.control.URL+"/control", http.StatusOK); err != nil {
		f.add("the front's control endpoint does not answer: "+short(err), fmt.Sprintf(do, controlPort, "Front"))
		return f
	}
	for _, name := range p.cfg.Mesh.ServiceNames() {
		if _, err := p.tryProbe(ctx, name); err != nil {
			f.add("the front does not reach "+name+": "+short(err), "check the sidecars' logs")
		}
	}
	if slices.Contains(p.pods.wanted(), generatorApp) {
		// An order without content is refused, but only to those who have the token
		// is it said why.
		if err := p.asks(ctx, http.MethodPost, p.remote.URL+"/reset", http.StatusBadRequest); err != nil {
			f.add("the load generator does not answer: "+short(err), fmt.Sprintf(do, controlPort, "Generator"))
		}
	}
	return f
}

// tryProbe probes for as long as a new sidecar may take to hear of a service.
func (p *plane) tryProbe(ctx context.Context, name string) (revision string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.cfg.Follow*1e9))
	defer cancel()
	err = retry(ctx, func() error {
		revision, err = p.probe(ctx, name)
		return err
	})
	return revision, err
}

// asks makes one authenticated request, which is to have the given status.
func (p *plane) asks(ctx context.Context, method, url string, want int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.cfg.Patience*1e9))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.cfg.Token)
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != want {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

// hasSidecar tells whether Istio's proxy was injected, as a container or, where
// Kubernetes knows sidecars, as an init container.
func hasSidecar(pod *corev1.Pod) bool {
	return slices.ContainsFunc(slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers), func(c corev1.Container) bool { return c.Name == sidecar })
}
