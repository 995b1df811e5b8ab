package replica

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Seen is what the replica's watches have told of some kinds.
type Seen struct {
	kinds []schema.GroupVersionKind

	mu sync.Mutex
	// versions of objects, by their kind and name.
	versions map[schema.GroupVersionKind]map[client.ObjectKey]string
}

// See follows kinds that the replica watches, each in the form in which it does: typed, or unstructured.
func (r *Replica) See(ctx context.Context, kinds ...client.Object) (*Seen, error) {
	s := &Seen{versions: map[schema.GroupVersionKind]map[client.ObjectKey]string{}}
	for _, kind := range kinds {
		gvk, err := apiutil.GVKForObject(kind, r.manager.GetScheme())
		if err != nil {
			return nil, fmt.Errorf("find the kind of %T: %w", kind, err)
		}
		informer, err := r.Cache().GetInformer(ctx, kind)
		if err != nil {
			return nil, fmt.Errorf("follow %s: %w", gvk.Kind, err)
		}
		s.kinds = append(s.kinds, gvk)
		s.versions[gvk] = map[client.ObjectKey]string{}
		put := func(obj any) { s.put(gvk, obj, true) }
		if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: put, UpdateFunc: func(_, obj any) { put(obj) }, DeleteFunc: func(obj any) { s.put(gvk, obj, false) },
		}); err != nil {
			return nil, fmt.Errorf("follow %s: %w", gvk.Kind, err)
		}
	}
	return s, nil
}

func (s *Seen) put(gvk schema.GroupVersionKind, obj any, exists bool) {
	if gone, is := obj.(toolscache.DeletedFinalStateUnknown); is {
		obj = gone.Obj
	}
	o, err := meta.Accessor(obj)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := client.ObjectKey{Namespace: o.GetNamespace(), Name: o.GetName()}
	if exists {
		s.versions[gvk][key] = o.GetResourceVersion()
	} else {
		delete(s.versions[gvk], key)
	}
}

// Behind are the objects of which the replica has not yet seen what a reader has, which must not be a cache itself.
func (s *Seen) Behind(ctx context.Context, reader client.Reader) ([]string, error) {
	var out []string
	for _, gvk := range s.kinds {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(gvk.GroupVersion().WithKind(gvk.Kind + "List"))
		if err := reader.List(ctx, list); err != nil {
			return nil, fmt.Errorf("list %s: %w", gvk.Kind, err)
		}
		out = append(out, s.behind(gvk, list)...)
	}
	slices.Sort(out)
	return out, nil
}

func (s *Seen) behind(gvk schema.GroupVersionKind, list *metav1.PartialObjectMetadataList) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	live := map[client.ObjectKey]bool{}
	for i := range list.Items {
		key := client.ObjectKeyFromObject(&list.Items[i])
		live[key] = true
		if s.versions[gvk][key] != list.Items[i].ResourceVersion {
			out = append(out, gvk.Kind+" "+key.String())
		}
	}
	for key := range s.versions[gvk] {
		if !live[key] {
			out = append(out, gvk.Kind+" "+key.String()+", which is gone")
		}
	}
	return out
}
