package changes

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// delivery sends a workload to the API server as whoever deploys it would, with these annotations on it beside its
// own, and returns what is stored, or would be.
type delivery func(ctx context.Context, s *session.Session, annotations map[string]string, dryRun bool) (*unstructured.Unstructured, error)

const (
	lastApplied = corev1.LastAppliedConfigAnnotation
	helmRelease = "meta.helm.sh/release-name"
	// kubectlApplier is the field manager of `kubectl apply --server-side`.
	kubectlApplier = "kubectl"
)

// planManifest finds out how a manifest is to be sent: as whoever deploys it would, since what a manifest leaves out
// goes away, or does not, by the way it is sent: server-side apply under the field manager that applied the template
// last (Flux, and Argo CD where it is told to); else the three-way merge of `kubectl apply` and Argo CD; for Helm,
// whose merge has nothing but its own releases in it, the manifest's template as it is.
func planManifest(ctx context.Context, s *session.Session, manifest *unstructured.Unstructured, manager string) (*trial, error) {
	t := &trial{kind: manifest.GetKind(), namespace: manifest.GetNamespace(), name: manifest.GetName()}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(manifest.GroupVersionKind())
	err := s.Get(ctx, client.ObjectKeyFromObject(manifest), live)
	switch {
	case apierrors.IsNotFound(err):
		t.deliver = creation(manifest)
		return t, nil
	case err != nil:
		return nil, dryRunRefused(err, t)
	}
	t.before = live
	if manager == "" {
		manager = applier(live.GetManagedFields())
	}
	annotations := live.GetAnnotations()
	switch {
	case manager != "":
		t.deliver = serverSideApply(manifest, manager)
	case annotations[lastApplied] != "":
		t.deliver = clientSideApply(manifest, live, annotations[lastApplied])
	case annotations[helmRelease] != "":
		t.deliver = replacement(live, configuration.RawTemplate(manifest.Object))
	default:
		t.deliver = serverSideApply(manifest, kubectlApplier)
	}
	return t, nil
}

// annotated is a copy of an object with more annotations.
func annotated(object *unstructured.Unstructured, more map[string]string) *unstructured.Unstructured {
	out := object.DeepCopy()
	if len(more) == 0 {
		return out
	}
	annotations := out.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	maps.Copy(annotations, more)
	out.SetAnnotations(annotations)
	return out
}

func creation(manifest *unstructured.Unstructured) delivery {
	return func(ctx context.Context, s *session.Session, annotations map[string]string, dryRun bool) (*unstructured.Unstructured, error) {
		object := annotated(manifest, annotations)
		var options []client.CreateOption
		if dryRun {
			options = append(options, client.DryRunAll)
		}
		return object, s.Create(ctx, object, options...)
	}
}

// clientSideApply is a client-side `kubectl apply`: a three-way merge of what was applied, what is, and what is to be.
func clientSideApply(manifest, live *unstructured.Unstructured, previous string) delivery {
	return func(ctx context.Context, s *session.Session, annotations map[string]string, dryRun bool) (*unstructured.Unstructured, error) {
		patch, err := threeWay(s, manifest, live, previous, annotations)
		if err != nil {
			return nil, fmt.Errorf("comparing %s %s with what was applied: %w", live.GetKind(), live.GetName(), err)
		}
		return patched(ctx, s, live, client.RawPatch(types.StrategicMergePatchType, patch), dryRun)
	}
}

func threeWay(s *session.Session, manifest, live *unstructured.Unstructured, previous string, annotations map[string]string) ([]byte, error) {
	applied, err := manifest.MarshalJSON()
	if err != nil {
		return nil, err
	}
	// What is put on it once is not part of what was applied: the next apply takes it away again.
	modified, err := annotated(annotated(manifest, map[string]string{lastApplied: string(applied)}), annotations).MarshalJSON()
	if err != nil {
		return nil, err
	}
	current, err := live.MarshalJSON()
	if err != nil {
		return nil, err
	}
	typed, err := s.Factory.Scheme.New(manifest.GroupVersionKind())
	if err != nil {
		return nil, err
	}
	meta, err := strategicpatch.NewPatchMetaFromStruct(typed)
	if err != nil {
		return nil, err
	}
	return strategicpatch.CreateThreeWayMergePatch([]byte(previous), modified, current, meta, true)
}

func serverSideApply(manifest *unstructured.Unstructured, manager string) delivery {
	return func(ctx context.Context, s *session.Session, annotations map[string]string, dryRun bool) (*unstructured.Unstructured, error) {
		applied := annotated(manifest, annotations)
		options := []client.ApplyOption{client.ForceOwnership, client.FieldOwner(manager)}
		if dryRun {
			options = append(options, client.DryRunAll)
		}
		return applied, s.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied), options...)
	}
}

// replacement puts a pod template in the place of the one that is, as `kubectl rollout undo` does: whatever else is
// written to the workload meanwhile does not matter.
func replacement(live *unstructured.Unstructured, template map[string]any) delivery {
	return func(ctx context.Context, s *session.Session, annotations map[string]string, dryRun bool) (*unstructured.Unstructured, error) {
		type operation struct {
			Op    string `json:"op"`
			Path  string `json:"path"`
			Value any    `json:"value"`
		}
		steps := []operation{{"replace", "/" + strings.Join(templatePath(live.GetKind()), "/"), template}}
		if len(annotations) > 0 && len(live.GetAnnotations()) == 0 {
			steps = append(steps, operation{"add", "/metadata/annotations", map[string]any{}})
		}
		for _, key := range sortedKeys(annotations) {
			steps = append(steps, operation{"add", "/metadata/annotations/" + strings.ReplaceAll(key, "/", "~1"), annotations[key]})
		}
		patch, err := json.Marshal(steps)
		if err != nil {
			return nil, err
		}
		return patched(ctx, s, live, client.RawPatch(types.JSONPatchType, patch), dryRun)
	}
}

// newImages is what `kubectl set image` does.
func newImages(live *unstructured.Unstructured, images map[string]string) (delivery, error) {
	patch, err := imagesPatch(live, images)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, s *session.Session, annotations map[string]string, dryRun bool) (*unstructured.Unstructured, error) {
		body := maps.Clone(patch)
		if len(annotations) > 0 {
			body["metadata"] = map[string]any{"annotations": annotations}
		}
		data, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		return patched(ctx, s, live, client.RawPatch(types.StrategicMergePatchType, data), dryRun)
	}, nil
}

func patched(ctx context.Context, s *session.Session, live *unstructured.Unstructured, patch client.Patch, dryRun bool) (*unstructured.Unstructured, error) {
	object := live.DeepCopy()
	var options []client.PatchOption
	if dryRun {
		options = append(options, client.DryRunAll)
	}
	return object, s.Patch(ctx, object, patch, options...)
}

// imagesPatch sets images by container name, of init containers too.
func imagesPatch(live *unstructured.Unstructured, images map[string]string) (map[string]any, error) {
	template := configuration.RawTemplate(live.Object)
	left := maps.Clone(images)
	spec := map[string]any{}
	var have []string
	for _, list := range []string{"initContainers", "containers"} {
		containers, _, err := unstructured.NestedSlice(template, "spec", list)
		if err != nil {
			return nil, fmt.Errorf("reading the containers of %s %s: %w", live.GetKind(), live.GetName(), err)
		}
		var patched []any
		for _, item := range containers {
			container, _ := item.(map[string]any)
			name, _ := container["name"].(string)
			have = append(have, name)
			if image, asked := left[name]; asked {
				patched = append(patched, map[string]any{"name": name, "image": image})
				delete(left, name)
			}
		}
		if len(patched) > 0 {
			spec[list] = patched
		}
	}
	if len(left) > 0 {
		return nil, exit.New(exit.Usage, "%s %s/%s has no container %s", live.GetKind(), live.GetNamespace(), live.GetName(),
			strings.Join(slices.Sorted(maps.Keys(left)), ", ")).WithNext("it has: %s", strings.Join(have, ", "))
	}
	patch := map[string]any{"spec": spec}
	for _, key := range slices.Backward(templatePath(live.GetKind())) {
		patch = map[string]any{key: patch}
	}
	return patch, nil
}

// templatePath is where a kind has its pod template.
func templatePath(kind string) []string {
	if kind == configuration.KindCronJob {
		return []string{"spec", "jobTemplate", "spec", "template"}
	}
	return []string{"spec", "template"}
}

// applier is the field manager that server-side applied the pod template last; empty where none did.
func applier(managers []metav1.ManagedFieldsEntry) string {
	found, last := "", metav1.Time{}
	for i := range managers {
		m := &managers[i]
		if m.Operation != metav1.ManagedFieldsOperationApply || m.FieldsV1 == nil || m.Subresource != "" {
			continue
		}
		if !strings.Contains(string(m.FieldsV1.GetRawBytes()), `"f:template"`) {
			continue
		}
		if m.Time == nil || !m.Time.Before(&last) {
			found = m.Manager
			if m.Time != nil {
				last = *m.Time
			}
		}
	}
	return found
}
