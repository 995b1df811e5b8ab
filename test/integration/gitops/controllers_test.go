package gitops

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	fluxName = "system:serviceaccount:flux-system:kustomize-controller"
	argoName = "system:serviceaccount:argocd:argocd-application-controller"
)

// wire is a client of a GitOps controller: it remembers what it deleted and which warnings it was given.
type wire struct {
	client.Client
	heard   *warnings
	mu      sync.Mutex
	deleted []string
}

func dial(name string) *wire {
	GinkgoHelper()
	w := &wire{heard: &warnings{}}
	config := env.Config(GinkgoTB(), name)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodDelete {
				w.mu.Lock()
				w.deleted = append(w.deleted, r.URL.Path)
				w.mu.Unlock()
			}
			return next.RoundTrip(r)
		})
	})
	w.Client = connect(config, w.heard)
	return w
}

func connect(config *rest.Config, heard *warnings) client.Client {
	GinkgoHelper()
	config.WarningHandlerWithContext = heard
	c, err := client.New(config, client.Options{Scheme: env.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	return c
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type warnings struct {
	mu    sync.Mutex
	texts []string
}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.texts)
}

func (w *wire) existing(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	found := &unstructured.Unstructured{}
	found.SetGroupVersionKind(o.GroupVersionKind())
	err := w.Get(ctx, client.ObjectKeyFromObject(o), found)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return found, err
}

// flux applies like the kustomize-controller (fluxcd/pkg/ssa, ResourceManager.ApplyAllStaged, read at e2cfd1a2): every
// object of the bundle is applied as a dry run first; if one fails, nothing is applied. Then what has drifted is applied,
// in the order of kinds, and the first failure ends it. With force, an object is deleted and made again where an error is
// a conflict, is invalid, or has words about immutability in it.
type flux struct {
	*wire
	force bool
	// early kinds are applied in a stage before the others: the flag --custom-apply-stage-kinds.
	early []string
}

var fluxImmutable = regexp.MustCompile(`is\simmutable|immutable\sfield`)

// fluxFirst are the kinds that come before those it does not know, a Change among them.
var fluxFirst = []string{"Namespace", "ServiceAccount", "Role", "RoleBinding", "ConfigMap", "Secret", "Service", "Deployment", "StatefulSet", "CronJob"}

func (f *flux) reconcile(ctx context.Context, bundle ...*unstructured.Unstructured) error {
	isEarly := func(o *unstructured.Unstructured) bool { return slices.Contains(f.early, o.GetKind()) }
	var stages [2][]*unstructured.Unstructured
	for _, o := range bundle {
		if isEarly(o) {
			stages[0] = append(stages[0], o)
		} else {
			stages[1] = append(stages[1], o)
		}
	}
	for _, stage := range stages {
		if err := f.applyAll(ctx, stage); err != nil {
			return err
		}
	}
	return nil
}

func (f *flux) applyAll(ctx context.Context, bundle []*unstructured.Unstructured) error {
	order := func(o *unstructured.Unstructured) int {
		if at := slices.Index(fluxFirst, o.GetKind()); at >= 0 && o.GroupVersionKind().Group != "itil.dev" {
			return at
		}
		return len(fluxFirst)
	}
	sorted := slices.SortedStableFunc(slices.Values(bundle), func(a, b *unstructured.Unstructured) int { return cmp.Compare(order(a), order(b)) })
	var drifted []*unstructured.Unstructured
	for _, o := range sorted {
		before, err := f.existing(ctx, o)
		if err != nil {
			return err
		}
		dry, err := f.apply(ctx, o, client.DryRunAll)
		if err != nil && before != nil && f.force && (apierrors.IsConflict(err) || apierrors.IsInvalid(err) || fluxImmutable.MatchString(err.Error())) {
			if err := f.Delete(ctx, before, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
				return err
			}
			dry, err = f.apply(ctx, o, client.DryRunAll)
		}
		if err != nil {
			return errors.Join(errDryRun, err)
		}
		if before == nil || !sameDesire(before, dry) {
			drifted = append(drifted, o)
		}
	}
	for _, o := range drifted {
		if _, err := f.apply(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

var errDryRun = errors.New("dry-run failed")

func (f *flux) apply(ctx context.Context, o *unstructured.Unstructured, options ...client.PatchOption) (*unstructured.Unstructured, error) {
	sent := o.DeepCopy()
	data, err := json.Marshal(sent)
	if err != nil {
		return nil, err
	}
	options = append(options, client.ForceOwnership, client.FieldOwner("kustomize-controller"))
	return sent, f.Patch(ctx, sent, client.RawPatch(types.ApplyPatchType, data), options...)
}

func sameDesire(a, b *unstructured.Unstructured) bool {
	part := func(o *unstructured.Unstructured) []byte {
		encoded, err := json.Marshal([]any{o.Object["spec"], o.GetLabels(), o.GetAnnotations()})
		Expect(err).NotTo(HaveOccurred())
		return encoded
	}
	return string(part(a)) == string(part(b))
}

// argo syncs like Argo CD (argoproj/gitops-engine, sync_context and resource_ops, read at 5baed56): its own dry run is
// of the client and sends nothing but reads; with server-side diff, the live state is compared by a server-side dry run.
// Then wave by wave, kind by kind, everything is applied, also after something failed, as kubectl apply does: a three-way
// patch, or server-side with ServerSideApply=true; Replace=true is kubectl replace. With Force=true, kubectl deletes and
// makes again on a conflict or what is invalid, and before a replace.
type argo struct {
	*wire
	serverSide, serverSideDiff, replace, force bool
}

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

func (a *argo) sync(ctx context.Context, bundle ...*unstructured.Unstructured) error {
	for _, o := range bundle {
		if _, err := a.existing(ctx, o); err != nil {
			return err
		}
		if a.serverSideDiff {
			if err := a.serverApply(ctx, o, client.DryRunAll); err != nil {
				return errors.Join(errDryRun, err)
			}
		}
	}
	waves := map[int][]*unstructured.Unstructured{}
	var order []int
	for _, o := range bundle {
		wave, _ := strconv.Atoi(o.GetAnnotations()["argocd.argoproj.io/sync-wave"])
		if len(waves[wave]) == 0 {
			order = append(order, wave)
		}
		waves[wave] = append(waves[wave], o)
	}
	slices.Sort(order)
	for _, wave := range order {
		var failures []error
		for _, o := range waves[wave] {
			failures = append(failures, a.applyObject(ctx, o))
		}
		if err := errors.Join(failures...); err != nil {
			return err
		}
	}
	return nil
}

func (a *argo) applyObject(ctx context.Context, o *unstructured.Unstructured) error {
	switch {
	case a.replace:
		return a.replaceObject(ctx, o)
	case a.serverSide:
		return a.serverApply(ctx, o)
	}
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error { return a.threeWay(ctx, o) })
	if a.force && (apierrors.IsConflict(err) || apierrors.IsInvalid(err)) {
		return a.again(ctx, o)
	}
	return err
}

func (a *argo) serverApply(ctx context.Context, o *unstructured.Unstructured, options ...client.PatchOption) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	options = append(options, client.ForceOwnership, client.FieldOwner("argocd-controller"))
	return a.Patch(ctx, o.DeepCopy(), client.RawPatch(types.ApplyPatchType, data), options...)
}

// threeWay is kubectl apply.
func (a *argo) threeWay(ctx context.Context, o *unstructured.Unstructured) error {
	modified := o.DeepCopy()
	plain, err := json.Marshal(o)
	if err != nil {
		return err
	}
	annotations := modified.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[lastApplied] = string(plain)
	modified.SetAnnotations(annotations)
	live, err := a.existing(ctx, o)
	if err != nil {
		return err
	}
	if live == nil {
		return a.Create(ctx, modified)
	}
	original := []byte(live.GetAnnotations()[lastApplied])
	wanted, err := json.Marshal(modified)
	if err != nil {
		return err
	}
	current, err := json.Marshal(live)
	if err != nil {
		return err
	}
	patch, kind, err := threeWayPatch(o.GroupVersionKind(), original, wanted, current)
	if err != nil || string(patch) == "{}" {
		return err
	}
	return a.Patch(ctx, live, client.RawPatch(kind, patch), client.FieldOwner("argocd-controller"))
}

func threeWayPatch(gvk schema.GroupVersionKind, original, modified, current []byte) ([]byte, types.PatchType, error) {
	typed, err := env.Scheme().New(gvk)
	if err != nil || gvk.Group == "itil.dev" {
		patch, err := jsonmergepatch.CreateThreeWayJSONMergePatch(original, modified, current)
		return patch, types.MergePatchType, err
	}
	meta, err := strategicpatch.NewPatchMetaFromStruct(typed)
	if err != nil {
		return nil, "", err
	}
	patch, err := strategicpatch.CreateThreeWayMergePatch(original, modified, current, meta, true)
	return patch, types.StrategicMergePatchType, err
}

// replaceObject is kubectl replace, with or without --force.
func (a *argo) replaceObject(ctx context.Context, o *unstructured.Unstructured) error {
	live, err := a.existing(ctx, o)
	switch {
	case err != nil:
		return err
	case live == nil:
		return a.Create(ctx, o.DeepCopy())
	case a.force:
		return a.again(ctx, o)
	}
	sent := o.DeepCopy()
	sent.SetResourceVersion(live.GetResourceVersion())
	return a.Update(ctx, sent)
}

// again deletes and creates.
func (a *argo) again(ctx context.Context, o *unstructured.Unstructured) error {
	if err := a.Delete(ctx, o.DeepCopy(), client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
		return err
	}
	return a.Create(ctx, o.DeepCopy())
}

// prune deletes what is no longer in the bundle.
func (a *argo) prune(ctx context.Context, o *unstructured.Unstructured) error {
	return a.Delete(ctx, o.DeepCopy(), client.PropagationPolicy(metav1.DeletePropagationForeground))
}

func deployment(namespace, image string) *unstructured.Unstructured {
	labels := map[string]any{"app": "checkout"}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"name": "checkout", "namespace": namespace, "labels": labels},
		"spec": map[string]any{
			"replicas": int64(2), "selector": map[string]any{"matchLabels": labels},
			"template": map[string]any{
				"metadata": map[string]any{"labels": labels},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": image}}},
			},
		},
	}}
}

func configMap(namespace string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{"name": "settings", "namespace": namespace}, "data": map[string]any{"colour": "blue"},
	}}
}

func changeOf(namespace, name, image string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "itil.dev/v1alpha1", "kind": "Change",
		"metadata": map[string]any{"name": name, "namespace": namespace},
		"spec": map[string]any{
			"summary": "Roll out " + image,
			"targets": []any{map[string]any{
				"workload": map[string]any{"kind": "Deployment", "name": "checkout"}, "images": map[string]any{"app": image},
			}},
		},
	}}
}

func annotate(o *unstructured.Unstructured, key, value string) *unstructured.Unstructured {
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[key] = value
	o.SetAnnotations(annotations)
	return o
}
