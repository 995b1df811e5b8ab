package release

import (
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

func now(c clock.PassiveClock) metav1.Time {
	return metav1.NewTime(c.Now().UTC().Truncate(time.Second))
}

// live reads a workload from the API server, with its template and its field managers, which no cache keeps.
func (r *Reconciler) live(ctx context.Context, key configuration.Key) (*unstructured.Unstructured, error) {
	kind, known := configuration.KindNamed(key.Kind)
	if !known {
		return nil, fmt.Errorf("reading %s %s/%s: its kind is not known", key.Kind, key.Namespace, key.Name)
	}
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(schema.GroupVersionKind{Group: kind.Group(), Version: kind.Version(), Kind: kind.Name()})
	if err := r.Reader.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, obj); err != nil {
		return nil, fmt.Errorf("reading %s %s/%s: %w", key.Kind, key.Namespace, key.Name, err)
	}
	return obj, nil
}

// setImages sets the images of some containers, of exactly the object that was read: server-side apply of these fields
// alone, taken from whoever owns them.
func (r *Reconciler) setImages(ctx context.Context, obj *unstructured.Unstructured, images map[string]string) (*unstructured.Unstructured, error) {
	kind, known := configuration.KindNamed(obj.GetKind())
	if !known {
		return nil, fmt.Errorf("setting images: %s is not a kind that makes pods", obj.GetKind())
	}
	desired := &unstructured.Unstructured{Object: map[string]any{}}
	desired.SetGroupVersionKind(obj.GroupVersionKind())
	desired.SetNamespace(obj.GetNamespace())
	desired.SetName(obj.GetName())
	desired.SetUID(obj.GetUID())
	desired.SetResourceVersion(obj.GetResourceVersion())
	spec := append(kind.TemplatePath(), "spec")
	for _, list := range containerLists {
		if named := namedIn(obj, spec, list, images); len(named) > 0 {
			if err := unstructured.SetNestedSlice(desired.Object, named, append(slices.Clone(spec), list)...); err != nil {
				return nil, fmt.Errorf("setting images of %s %s: %w", obj.GetKind(), obj.GetName(), err)
			}
		}
	}
	if err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(desired), FieldOwner, client.ForceOwnership); err != nil {
		return nil, fmt.Errorf("setting images of %s %s: %w", obj.GetKind(), obj.GetName(), err)
	}
	return desired, nil
}

var containerLists = []string{"initContainers", "containers"}

// namedIn are the containers of a list whose image is to be set, with nothing but name and image.
func namedIn(obj *unstructured.Unstructured, spec []string, list string, images map[string]string) []any {
	items, _, _ := unstructured.NestedSlice(obj.Object, append(slices.Clone(spec), list)...)
	var out []any
	for _, item := range items {
		container, _ := item.(map[string]any)
		name, _ := container["name"].(string)
		if image, named := images[name]; named {
			out = append(out, map[string]any{"name": name, "image": image})
		}
	}
	return out
}

// imageManager returns a reconciling field manager that owns the image of one of some containers; empty: none does.
// What an earlier release forced from it, it will set back.
func (r *Reconciler) imageManager(obj *unstructured.Unstructured, containers []string) string {
	kind, known := configuration.KindNamed(obj.GetKind())
	if !known {
		return ""
	}
	return r.Managers.OfImages(obj, kind.TemplatePath(), containers)
}
