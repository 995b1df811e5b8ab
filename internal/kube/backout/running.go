package backout

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/kube/owner"
)

// Running returns the ReplicaSets of a Deployment that have pods; none where the Deployment does not exist. It asks the API
// server twice.
func (r *Restorer) Running(ctx context.Context, w Workload) ([]Revision, error) {
	obj, err := r.Get(ctx, w)
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	selector, err := selectorOf(obj)
	if err != nil {
		return nil, fmt.Errorf("reading the selector of %s: %w", w, err)
	}
	k := kinds[kindDeployment]
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(k.revisions)
	if err := r.Reader.List(ctx, list, client.InNamespace(w.Namespace), client.MatchingLabelsSelector{Selector: selector}, client.Limit(mostRevisions)); err != nil {
		return nil, fmt.Errorf("listing the ReplicaSets of %s: %w", w, err)
	}
	var running []Revision
	for i := range list.Items {
		set := &list.Items[i]
		pods, _, err := unstructured.NestedInt64(set.Object, "status", "replicas")
		if err == nil && pods > 0 && owner.Is(set, obj.GetUID()) {
			running = append(running, Revision{Name: set.GetName(), Template: k.template(set.Object)})
		}
	}
	return running, nil
}
