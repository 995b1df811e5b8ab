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

// trial is what a server-side dry run made of a workload: what would be stored, with the API server's defaults and
// whatever else admits or alters it, and what it warned of. The gate lets every dry run pass, and says as a warning
// what it would have said.
type trial struct {
	kind, namespace, name string
	// before is the workload as it is; nil where there is none.
	before *unstructured.Unstructured
	// after is what would be stored; nil for a deletion.
	after    *unstructured.Unstructured
	warnings []string
	// untried: the user may not deploy it, so that nobody asked the gate; after was made here.
	untried bool
}

// template is the pod template that would be stored.
func (t *trial) template() configuration.Template { return templateOf(t.after) }

func templateOf(object *unstructured.Unstructured) configuration.Template {
	if object == nil {
		return configuration.Template{}
	}
	return configuration.ParseTemplate(object.GetKind(), configuration.RawTemplate(object.Object))
}

// governed reports whether the gate had something to say: that no Change covers it.
func (t *trial) governed() bool {
	opening := strings.ToLower(t.kind) + " " + t.namespace + "/" + t.name + " is governed by "
	return slices.ContainsFunc(t.warnings, func(w string) bool { return strings.HasPrefix(w, opening) })
}

const (
	lastApplied = corev1.LastAppliedConfigAnnotation
	helmRelease = "meta.helm.sh/release-name"
	// kubectlApplier is the field manager of `kubectl apply --server-side`.
	kubectlApplier = "kubectl"
)

// tryManifest tries a manifest as whoever deploys it would send it, since what a manifest leaves out goes away, or
// does not, by the way it is sent: server-side apply under the field manager that applied the template last (Flux, and
// Argo CD where it is told to); else the three-way merge of `kubectl apply` and Argo CD; for Helm, whose merge has
// nothing but its own releases in it, the manifest's template as it is.
func tryManifest(ctx context.Context, s *session.Session, manifest *unstructured.Unstructured, manager string) (*trial, error) {
	t := &trial{kind: manifest.GetKind(), namespace: manifest.GetNamespace(), name: manifest.GetName()}
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(manifest.GroupVersionKind())
	err := s.Get(ctx, client.ObjectKeyFromObject(manifest), live)
	switch {
	case apierrors.IsNotFound(err):
		return t, t.create(ctx, s, manifest)
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
		return t, t.serverSideApply(ctx, s, manifest, manager)
	case annotations[lastApplied] != "":
		return t, t.apply(ctx, s, manifest, annotations[lastApplied])
	case annotations[helmRelease] != "":
		return t, t.replaceTemplate(ctx, s, manifest)
	default:
		return t, t.serverSideApply(ctx, s, manifest, kubectlApplier)
	}
}

func (t *trial) create(ctx context.Context, s *session.Session, manifest *unstructured.Unstructured) error {
	ctx, collector := session.Collecting(ctx)
	t.after = manifest.DeepCopy()
	err := s.Create(ctx, t.after, client.DryRunAll)
	t.warnings = collector.Texts()
	return dryRunRefused(err, t)
}

// apply is a client-side `kubectl apply`: a three-way merge of what was applied, what is, and what is to be.
func (t *trial) apply(ctx context.Context, s *session.Session, manifest *unstructured.Unstructured, previous string) error {
	modified, err := manifest.MarshalJSON()
	if err != nil {
		return err
	}
	current, err := t.before.MarshalJSON()
	if err != nil {
		return err
	}
	typed, err := s.Factory.Scheme.New(manifest.GroupVersionKind())
	if err != nil {
		return fmt.Errorf("reading %s: %w", t, err)
	}
	meta, err := strategicpatch.NewPatchMetaFromStruct(typed)
	if err != nil {
		return fmt.Errorf("comparing %s with what was applied: %w", t, err)
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch([]byte(previous), modified, current, meta, true)
	if err != nil {
		return fmt.Errorf("comparing %s with what was applied: %w", t, err)
	}
	return t.patch(ctx, s, client.RawPatch(types.StrategicMergePatchType, patch))
}

func (t *trial) serverSideApply(ctx context.Context, s *session.Session, manifest *unstructured.Unstructured, manager string) error {
	ctx, collector := session.Collecting(ctx)
	applied := manifest.DeepCopy()
	err := s.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied), client.DryRunAll, client.ForceOwnership, client.FieldOwner(manager))
	t.after, t.warnings = applied, collector.Texts()
	return dryRunRefused(err, t)
}

// replaceTemplate puts the manifest's template in the place of the one that is.
func (t *trial) replaceTemplate(ctx context.Context, s *session.Session, manifest *unstructured.Unstructured) error {
	ctx, collector := session.Collecting(ctx)
	t.after = t.before.DeepCopy()
	path := templatePath(t.kind)
	if err := unstructured.SetNestedMap(t.after.Object, configuration.RawTemplate(manifest.Object), path...); err != nil {
		return fmt.Errorf("reading the pod template of %s: %w", t, err)
	}
	err := s.Update(ctx, t.after, client.DryRunAll)
	t.warnings = collector.Texts()
	return dryRunRefused(err, t)
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

func (t *trial) patch(ctx context.Context, s *session.Session, patch client.Patch) error {
	ctx, collector := session.Collecting(ctx)
	t.after = t.before.DeepCopy()
	err := s.Patch(ctx, t.after, patch, client.DryRunAll)
	t.warnings = collector.Texts()
	return dryRunRefused(err, t)
}

// tryImages tries what `kubectl set image` would do.
func tryImages(ctx context.Context, s *session.Session, live *unstructured.Unstructured, images map[string]string) (*trial, error) {
	t := trialOf(live)
	patch, err := imagesPatch(live, images)
	if err != nil {
		return nil, err
	}
	return t, t.patch(ctx, s, client.RawPatch(types.StrategicMergePatchType, patch))
}

// withImages is a workload with new images, as it would be stored where nothing else alters it: for who may file a
// Change and leave the deployment to somebody else.
func withImages(live *unstructured.Unstructured, images map[string]string) *trial {
	t := trialOf(live)
	t.after, t.untried = live.DeepCopy(), true
	// The copy of an object is of the types of the object.
	template, _, _ := unstructured.NestedFieldNoCopy(t.after.Object, append(templatePath(t.kind), "spec")...)
	spec, _ := template.(map[string]any)
	for _, list := range []string{"initContainers", "containers"} {
		containers, _ := spec[list].([]any)
		for _, item := range containers {
			container, _ := item.(map[string]any)
			name, _ := container["name"].(string)
			if image, asked := images[name]; asked {
				container["image"] = image
			}
		}
	}
	return t
}

// tryDeletion tries to delete a workload.
func tryDeletion(ctx context.Context, s *session.Session, live *unstructured.Unstructured) (*trial, error) {
	t := trialOf(live)
	ctx, collector := session.Collecting(ctx)
	err := s.Delete(ctx, live.DeepCopy(), client.DryRunAll, client.PropagationPolicy(metav1.DeletePropagationBackground))
	t.warnings = collector.Texts()
	return t, dryRunRefused(err, t)
}

// trialOf is a workload of which nothing was tried yet.
func trialOf(live *unstructured.Unstructured) *trial {
	return &trial{kind: live.GetKind(), namespace: live.GetNamespace(), name: live.GetName(), before: live}
}

// imagesPatch sets images by container name, of init containers too.
func imagesPatch(live *unstructured.Unstructured, images map[string]string) ([]byte, error) {
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
	var patch any = map[string]any{"spec": spec}
	for _, key := range slices.Backward(templatePath(live.GetKind())) {
		patch = map[string]any{key: patch}
	}
	return json.Marshal(patch)
}

// templatePath is where a kind has its pod template.
func templatePath(kind string) []string {
	if kind == configuration.KindCronJob {
		return []string{"spec", "jobTemplate", "spec", "template"}
	}
	return []string{"spec", "template"}
}

func (t *trial) String() string { return t.kind + " " + t.namespace + "/" + t.name }

// dryRunRefused says what a dry run was for, and what it takes.
func dryRunRefused(err error, t *trial) error {
	if err == nil {
		return nil
	}
	failure := &exit.Error{Code: exit.CodeOf(err), Message: fmt.Sprintf("trying %s (server-side dry run): %v", t, err), Cause: err, Next: exit.NextOf(err)}
	if apierrors.IsForbidden(err) {
		failure.Next = "a dry run takes the same rights as the real thing: ask for them, or let whoever deploys it run this"
	}
	return failure
}
