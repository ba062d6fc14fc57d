package istio

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// scaledObjects are KEDA's.
var scaledObjects = schema.GroupVersionResource{Group: "keda.sh", Version: "v1alpha1", Resource: "scaledobjects"}

// owned looks for others who scale the Deployments of nodes: two who do undo each
// other's work, and a run would measure neither.
func (s *scale) owned(ctx context.Context) (f Findings) {
	if len(s.all) == 0 {
		return nil
	}
	c := &s.p.cfg
	scalers := map[string][]string{} // by the Deployment that they scale
	hpas, err := c.Kubernetes.AutoscalingV2().HorizontalPodAutoscalers(c.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		f.add("whether a HorizontalPodAutoscaler scales the nodes is not known: "+short(err), "let this user list them")
	} else {
		for _, h := range hpas.Items {
			if to := h.Spec.ScaleTargetRef; to.Kind == "Deployment" {
				scalers[to.Name] = append(scalers[to.Name], "hpa "+h.Name)
			}
		}
	}
	objects, err := c.Dynamic.Resource(scaledObjects).Namespace(c.Namespace).List(ctx, metav1.ListOptions{})
	switch {
	case apierrors.IsNotFound(err) || meta.IsNoMatchError(err): // no KEDA here
	case err != nil:
		f.add("whether a ScaledObject of KEDA scales the nodes is not known: "+short(err), "let this user list them")
	default:
		for _, o := range objects.Items {
			kind, _, _ := unstructured.NestedString(o.Object, "spec", "scaleTargetRef", "kind")
			name, _, _ := unstructured.NestedString(o.Object, "spec", "scaleTargetRef", "name")
			if kind == "" || kind == "Deployment" {
				scalers[name] = append(scalers[name], "scaledobject "+o.GetName())
			}
		}
	}
	for _, d := range s.all {
		for _, by := range scalers[d.name] {
			f.add(fmt.Sprintf("Deployment %s is scaled by %s", d.name, by), fmt.Sprintf("kubectl -n %s delete %s", c.Namespace, by))
		}
		x, err := s.get(ctx, d)
		if err != nil {
			f.add("Deployment "+d.name+": "+short(err), "deploy cluster/ with this scenario, or name the scenario that is deployed")
			continue
		}
		if names := owners(x); len(names) > 0 {
			f.add(fmt.Sprintf("Deployment %s was scaled by %s", d.name, strings.Join(names, ", ")),
				fmt.Sprintf(`see that it does so no more, then kubectl -n %s patch deployment %s --subresource=scale --field-manager=%s --type=merge -p '{"spec":{"replicas":%d}}'`,
					c.Namespace, d.name, manager, *x.Spec.Replicas+1)) // the same number would leave it theirs
		}
	}
	return f
}
