package inventory

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Object is what the cache keeps of a workload: who it is, and what the practices need to know of it. The template is
// hashed and dropped; whoever needs it asks the API server.
type Object struct {
	metav1.PartialObjectMetadata
	// Workload is shared and never altered; nil where the object could not be read as one.
	Workload *configuration.Workload
}

// DeepCopyObject implements runtime.Object. The workload is shared.
func (o *Object) DeepCopyObject() runtime.Object {
	out := &Object{Workload: o.Workload}
	o.PartialObjectMetadata.DeepCopyInto(&out.PartialObjectMetadata)
	return out
}

// workloadKinds are the kinds that a Service can claim.
var workloadKinds = claimable()

func claimable() []schema.GroupVersionKind {
	var out []schema.GroupVersionKind
	for _, k := range configuration.ClaimableKinds() {
		out = append(out, schema.GroupVersionKind{Group: k.Group(), Version: k.Version(), Kind: k.Name()})
	}
	return out
}

// CacheByObject is how the manager's cache must keep workloads, for cache.Options.ByObject. They are read as
// unstructured objects, so that fields which our Go types do not know enter the hash.
func CacheByObject() map[client.Object]cache.ByObject {
	out := make(map[client.Object]cache.ByObject, len(workloadKinds))
	for _, gvk := range workloadKinds {
		out[unstructuredOf(gvk)] = cache.ByObject{Transform: TransformWorkload}
	}
	return out
}

func unstructuredOf(gvk schema.GroupVersionKind) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(gvk)
	return u
}

// TransformWorkload is a cache transform that makes an Object of an unstructured workload. What is none, or was
// transformed before, passes, without its managed fields.
func TransformWorkload(in any) (any, error) {
	u, ok := in.(*unstructured.Unstructured)
	if !ok {
		if m, err := meta.Accessor(in); err == nil && m.GetManagedFields() != nil {
			m.SetManagedFields(nil)
		}
		return in, nil
	}
	return objectOf(u), nil
}

func objectOf(u *unstructured.Unstructured) *Object {
	o := &Object{}
	o.SetGroupVersionKind(u.GroupVersionKind())
	o.Namespace, o.Name = u.GetNamespace(), u.GetName()
	o.UID, o.ResourceVersion = u.GetUID(), u.GetResourceVersion()
	// An error cannot be told to anybody here; an Object without a workload is nothing to the inventory.
	if w, err := configuration.FromObject(u.Object); err == nil {
		o.Workload = &w
	}
	return o
}
