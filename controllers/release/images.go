package release

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
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

// setImages sets the images of some containers, of exactly the object that was read, and returns what became of it.
func (r *Reconciler) setImages(ctx context.Context, obj *unstructured.Unstructured, images map[string]string) (*unstructured.Unstructured, error) {
	kind, known := configuration.KindNamed(obj.GetKind())
	if !known {
		return nil, fmt.Errorf("setting images: %s is not a kind that makes pods", obj.GetKind())
	}
	spec := append(kind.TemplatePath(), "spec")
	set := r.applyImages
	if !kind.MergesContainers() {
		set = r.patchImages
	}
	after, err := set(ctx, obj, spec, images)
	if err != nil {
		return nil, fmt.Errorf("setting images of %s %s: %w", obj.GetKind(), obj.GetName(), err)
	}
	return after, nil
}

// applyImages by server-side apply of these fields alone, taken from whoever owns them.
func (r *Reconciler) applyImages(ctx context.Context, obj *unstructured.Unstructured, spec []string, images map[string]string) (*unstructured.Unstructured, error) {
	desired := &unstructured.Unstructured{Object: map[string]any{}}
	desired.SetGroupVersionKind(obj.GroupVersionKind())
	desired.SetNamespace(obj.GetNamespace())
	desired.SetName(obj.GetName())
	desired.SetUID(obj.GetUID())
	desired.SetResourceVersion(obj.GetResourceVersion())
	lists := map[string][]any{}
	eachContainer(obj, spec, images, func(list string, _ int, name, image string) {
		lists[list] = append(lists[list], map[string]any{"name": name, "image": image})
	})
	for list, containers := range lists {
		if err := unstructured.SetNestedSlice(desired.Object, containers, append(slices.Clone(spec), list)...); err != nil {
			return nil, err
		}
	}
	return desired, r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(desired), FieldOwner, client.ForceOwnership)
}

// patchImages by their places in the lists of containers, where applying one container would replace all.
func (r *Reconciler) patchImages(ctx context.Context, obj *unstructured.Unstructured, spec []string, images map[string]string) (*unstructured.Unstructured, error) {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value"`
	}
	patch := []operation{
		{"replace", "/metadata/resourceVersion", obj.GetResourceVersion()},
		{"replace", "/metadata/uid", obj.GetUID()},
	}
	eachContainer(obj, spec, images, func(list string, at int, _, image string) {
		path := "/" + strings.Join(append(slices.Clone(spec), list, strconv.Itoa(at), "image"), "/")
		patch = append(patch, operation{"add", path, image})
	})
	data, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	after := obj.DeepCopy()
	return after, r.Client.Patch(ctx, after, client.RawPatch(types.JSONPatchType, data), FieldOwner)
}

// eachContainer whose image is to be set: the list that it is in, its place there, its name and that image.
func eachContainer(obj *unstructured.Unstructured, spec []string, images map[string]string, f func(list string, at int, name, image string)) {
	for _, list := range []string{"initContainers", "containers"} {
		items, _, _ := unstructured.NestedSlice(obj.Object, append(slices.Clone(spec), list)...)
		for at, item := range items {
			container, _ := item.(map[string]any)
			name, _ := container["name"].(string)
			if image, named := images[name]; named {
				f(list, at, name, image)
			}
		}
	}
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
