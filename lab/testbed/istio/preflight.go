package istio

import (
	"context"
	"encoding/json"
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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"

	"github.com/meshbench/meshbench/lab/control"
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
	switch err := cfg.version(ctx); {
	case apierrors.IsForbidden(err): // it answers, and need not tell its version
	case apierrors.IsUnauthorized(err):
		f.add("the API server does not know this user: "+short(err), "check the credentials in KUBECONFIG and its current context")
		return nil, f // all else would only say the same
	case err != nil:
		f.add("the API server does not answer: "+short(err), "check the cluster, KUBECONFIG and its current context")
		return nil, f
	}
	rights := cfg.rights(newPlane(*cfg)) // before what is read needs no right any more
	f = append(f, cfg.crds()...)
	f = append(f, cfg.namespace(ctx)...)
	f = append(f, cfg.permissions(ctx, rights)...)
	f = append(f, cfg.settings(ctx)...)
	p := newPlane(*cfg)
	f = append(f, p.objects(ctx)...)
	if !cfg.Watch {
		f = append(f, p.scale.owned(ctx)...)
	}
	ready := p.pods.ready(ctx)
	f = append(f, ready...)
	if cfg.Token != "" && len(ready) == 0 {
		f = append(f, p.answers(ctx)...)
	}
	return p, f
}

// version asks for the API server's version, and returns an error in its own
// words, which the discovery client drops. A page of a proxy's is no version.
func (c *Config) version(ctx context.Context) error {
	if client := c.Kubernetes.Discovery().RESTClient(); client != nil {
		answer := client.Get().AbsPath("/version").Do(ctx)
		if err := answer.Error(); err != nil {
			return err
		}
		var v version.Info
		if text, err := answer.Raw(); err != nil || json.Unmarshal(text, &v) != nil || v.GitVersion == "" {
			return fmt.Errorf("what is there is none; asked for its version it says %.200q", text)
		}
		return nil
	}
	_, err := c.Kubernetes.Discovery().ServerVersion() // of a client in memory
	return err
}

// crds looks whether Istio's resources are served. Whether they can be used is
// seen when they are read.
func (c *Config) crds() (f Findings) {
	const do = "install Istio (istioctl install), or at least its CRDs"
	group := virtualServices.GroupVersion()
	l, err := c.Kubernetes.Discovery().ServerResourcesForGroupVersion(group.String())
	switch {
	case apierrors.IsForbidden(err):
		return nil
	case err != nil:
		older := schema.GroupVersion{Group: group.Group, Version: "v1beta1"}.String()
		if _, e := c.Kubernetes.Discovery().ServerResourcesForGroupVersion(older); e == nil {
			f.add("the API server serves "+older+", not "+group.String(), "upgrade Istio to 1.22 or newer")
		} else {
			f.add("the API server does not serve "+group.String()+": "+short(err), do)
		}
		return f
	}
	for _, r := range []schema.GroupVersionResource{virtualServices, destinationRules} {
		if !slices.ContainsFunc(l.APIResources, func(a metav1.APIResource) bool { return a.Name == r.Resource }) {
			f.add("the API server does not serve "+r.Resource+" of "+group.String(), do)
		}
	}
	return f
}

// namespace looks whether it is there, where this user may.
func (c *Config) namespace(ctx context.Context) (f Findings) {
	if _, err := c.Kubernetes.CoreV1().Namespaces().Get(ctx, c.Namespace, metav1.GetOptions{}); apierrors.IsNotFound(err) {
		f.add("namespace "+c.Namespace+": "+short(err), "kubectl apply -k cluster/overlays/..., or set Config.Namespace")
	}
	return f
}

// permissions asks for every right that the testbed uses.
func (c *Config) permissions(ctx context.Context, rights []control.Right) (f Findings) {
	const do = "use the service account of cluster/ (Role controller), or bind that role to this user"
	for _, r := range rights {
		resource, part, _ := strings.Cut(r.Resource, "/")
		review := &authv1.SelfSubjectAccessReview{Spec: authv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authv1.ResourceAttributes{
			Namespace: c.Namespace, Group: r.Group, Resource: resource, Subresource: part, Verb: r.Verb, Name: r.Name}}}
		answer, err := c.Kubernetes.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		switch {
		case apierrors.IsForbidden(err):
			// One who may not ask is told by what is asked for: reading is done below.
			if err := c.try(ctx, r); err != nil {
				f.add("this user may not "+r.String()+": "+short(err), do)
			}
		case err != nil:
			f.add("whether this user may "+r.String()+", and what else is needed, is not known: "+short(err), do)
			return f // it would be said of every right
		case !answer.Status.Allowed:
			what := "this user may not " + r.String()
			if answer.Status.Reason != "" {
				what += ": " + answer.Status.Reason
			}
			f.add(what, do)
		}
	}
	return f
}

// try uses a right to patch without changing anything.
func (c *Config) try(ctx context.Context, r control.Right) error {
	if r.Verb != "patch" {
		return nil
	}
	_, err := c.Dynamic.Resource(schema.GroupVersionResource{Group: r.Group, Version: virtualServices.Version, Resource: r.Resource}).Namespace(c.Namespace).
		Patch(ctx, r.Name, types.MergePatchType, []byte("{}"), metav1.PatchOptions{FieldManager: manager, DryRun: []string{metav1.DryRunAll}})
	if apierrors.IsForbidden(err) {
		return err
	}
	return nil // any other reason is found where the object is read
}

// objects looks at the VirtualServices and the subsets of the DestinationRules.
func (p *plane) objects(ctx context.Context) (f Findings) {
	const do = "deploy cluster/ with this scenario, or name the scenario that is deployed"
	c := &p.cfg
	if c.meshed() {
		return p.lacks(ctx)
	}
	for _, o := range c.objects() {
		vs, err := c.Dynamic.Resource(virtualServices).Namespace(c.Namespace).Get(ctx, o.name, metav1.GetOptions{})
		if err != nil {
			f.add("VirtualService "+o.name+": "+short(err), do)
		} else {
			f = append(f, o.usable(vs, c)...)
		}
		rule, err := c.Dynamic.Resource(destinationRules).Namespace(c.Namespace).Get(ctx, o.name, metav1.GetOptions{})
		if err != nil {
			f.add("DestinationRule "+o.name+": "+short(err), do)
			continue
		}
		for _, node := range o.subsets() {
			if subsetLabels(rule, node) == nil {
				f.add("DestinationRule "+o.name+" has no subset "+node+" with labels", do)
			}
		}
	}
	return f
}

// usable looks at the entries of a VirtualService.
func (o *object) usable(vs *unstructured.Unstructured, c *Config) (f Findings) {
	http, err := httpOf(vs)
	if err != nil {
		f.add(err.Error(), "put it right")
		return f
	}
	for _, e := range o.entries {
		k, _, err := e.find(vs, http)
		if err != nil {
			f.add(err.Error(), "deploy cluster/ with this scenario, or name the scenario that is deployed")
			continue
		}
		if attempts, ok, _ := unstructured.NestedFieldNoCopy(http[k], "retries", "attempts"); !c.meshed() && (!ok || attempts != int64(0)) {
			f.add("VirtualService "+o.name+" lets the proxy try requests again ("+e.name+"), which hides failures in delays", "set retries: {attempts: 0} in its HTTP entry")
		}
		_, others := e.fault(vs, http, k)
		switch {
		case others != "" && !c.Faults:
			f.add("VirtualService "+o.name+" has a fault rule for "+e.name+" that is not the testbed's ("+others+"), which would be measured as the mesh's own",
				"remove it, or set Config.Faults to have it so")
		case c.Blocking == FaultBlocking && slices.Contains(strings.Split(others, ", "), "abort"):
			f.add("VirtualService "+o.name+" has a fault abort for "+e.name+" that is not the testbed's, and can have no other", "remove it, or block at the front")
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
		if name == p.cfg.front() && len(by[name]) > 1 {
			f.add(fmt.Sprintf("%d pods of the front, each blocking for itself", len(by[name])),
				"kubectl -n "+p.cfg.Namespace+" scale deployment "+p.cfg.object(name)+" --replicas=1; where they are of several installations, set Config.Selector")
		}
		// Replicas that a run before has asked for may still be on their way.
		enough := slices.Contains(p.scaled, name) && slices.ContainsFunc(by[name], func(pod *corev1.Pod) bool { return unready(pod) == "" })
		for _, pod := range by[name] {
			if why := unready(pod); why != "" && !enough {
				f.add("pod "+pod.Name+" is not ready: "+why, "kubectl -n "+p.cfg.Namespace+" describe pod "+pod.Name)
			}
			if !hasSidecar(pod) && (name == p.cfg.front() || !p.cfg.meshed()) {
				f.add("pod "+pod.Name+" has no sidecar", "switch injection on (kubectl label namespace "+p.cfg.Namespace+" istio-injection=enabled, or its revision's label), then delete the pod")
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
	if p.cfg.meshed() {
		f = append(f, p.seen(ctx)...)
	} else {
		for _, o := range p.cfg.objects() {
			if _, err := p.tryProbe(ctx, &o); err != nil {
				f.add("the front does not reach "+o.title+": "+short(err), "check the sidecars' logs")
			}
		}
	}
	if slices.Contains(p.pods.wanted(), p.cfg.generator()) {
		// An order without content is refused, but only to those who have the token
		// is it said why.
		if err := p.asks(ctx, http.MethodPost, p.remote.URL+"/reset", http.StatusBadRequest); err != nil {
			f.add("the load generator does not answer: "+short(err), fmt.Sprintf(do, controlPort, "Generator"))
		} else if p.cfg.meshed() {
			f = append(f, p.tries(ctx)...)
		}
	}
	return f
}

// tryProbe probes for as long as a new sidecar may take to hear of a service.
func (p *plane) tryProbe(ctx context.Context, o *object) (revision string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.cfg.Follow*1e9))
	defer cancel()
	err = retry(ctx, func() error {
		revision, err = p.probe(ctx, o)
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
	defer resp.Body.Close()
	if resp.StatusCode != want {
		return fmt.Errorf("%s: %s", url, answer(resp))
	}
	return nil
}

// hasSidecar tells whether Istio's proxy was injected, as a container or, where
// Kubernetes knows sidecars, as an init container.
func hasSidecar(pod *corev1.Pod) bool {
	return slices.ContainsFunc(slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers), func(c corev1.Container) bool { return c.Name == sidecar })
}
