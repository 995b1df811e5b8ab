// Package backout puts the whole earlier pod template of a workload back, from what Kubernetes keeps of it: the
// ReplicaSets of a Deployment, the ControllerRevisions of a StatefulSet or DaemonSet.
//
// It decides nothing. Which template goes back, and whether the gate will let it in (it does as a rollback, where it
// is proven), is the caller's to know; and the caller must have ended the coverage of what is undone, where everybody
// can see it, before the first Restore: else a GitOps controller puts the bad template in again.
package backout

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/kube/owner"
)

// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets,verbs=get;patch
// +kubebuilder:rbac:groups=apps,resources=replicasets;controllerrevisions,verbs=list
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;delete

// FieldOwner is the field manager of what is restored.
const FieldOwner = client.FieldOwner("itil-operator")

// LabelBackout on a workload says on whose behalf its template was put back: a hash of the mark and the workload's UID. It
// is written together with the template, so that whoever looks, after whatever crash, knows that it was done and does not
// do it twice. The admission policy itil-operator-backouts keeps it for the operator. It is a label because annotations
// travel: the Deployment's controller copies them to its ReplicaSets, and kubectl rollout undo back.
const LabelBackout = "itil.dev/backout"

const (
	// mostRevisions of a workload are looked through; Kubernetes keeps 10 by default.
	mostRevisions = 500
	// mostPods of one revision are looked at in one call of DeleteBroken.
	mostPods = 500
)

var (
	// ErrNoRevision says that Kubernetes keeps no revision of the workload with the template asked for, or its kind has
	// none. It was never the workload's, or spec.revisionHistoryLimit dropped it.
	ErrNoRevision = errors.New("no revision of the workload has this template")
	// ErrConflict says that the workload was written since it was read; read it again.
	ErrConflict = errors.New("the workload was written by somebody else at the same time")
)

// Workload names a workload.
type Workload struct {
	// Kind is Deployment, StatefulSet or DaemonSet; of other kinds Kubernetes keeps no revisions.
	Kind            string
	Namespace, Name string
}

// String is the workload as messages name it.
func (w Workload) String() string { return w.Kind + " " + w.Namespace + "/" + w.Name }

// Matcher says whether a raw pod template (metadata and spec) is the one that is meant. The labels that controllers
// generate may be in it.
type Matcher func(template map[string]any) bool

// Restorer restores. Its methods may be called at the same time.
type Restorer struct {
	// Reader asks the API server itself: caches keep no templates, and what is to be overwritten must be fresh.
	Reader client.Reader
	// Client writes.
	Client client.Client
}

// Revision is a template that a workload had.
type Revision struct {
	// Name of the ReplicaSet or ControllerRevision that holds it. Of the latter it is also the value of the label
	// controller-revision-hash on its pods.
	Name string
	// Template as it is to be put back, without what controllers generated.
	Template map[string]any
}

// HasRevisions reports whether Kubernetes keeps earlier templates of workloads of a kind.
func HasRevisions(kind string) bool {
	_, ok := kinds[kind]
	return ok
}

// Get reads a workload from the API server. The error is as of any read.
func (r *Restorer) Get(ctx context.Context, w Workload) (*unstructured.Unstructured, error) {
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: w.Kind})
	if err := r.Reader.Get(ctx, types.NamespacedName{Namespace: w.Namespace, Name: w.Name}, obj); err != nil {
		return nil, err
	}
	return obj, nil
}

// Find returns the newest revision of a workload, as Get returned it, whose template is the one meant; ErrNoRevision
// where there is none. It asks the API server once.
func (r *Restorer) Find(ctx context.Context, workload *unstructured.Unstructured, is Matcher) (*Revision, error) {
	k, ok := kinds[workload.GetKind()]
	if !ok {
		return nil, fmt.Errorf("a %s has no revisions: %w", workload.GetKind(), ErrNoRevision)
	}
	selector, err := selectorOf(workload)
	if err != nil {
		return nil, fmt.Errorf("reading the selector of %s: %w", nameOf(workload), err)
	}
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(k.revisions)
	if err := r.Reader.List(ctx, list, client.InNamespace(workload.GetNamespace()), client.MatchingLabelsSelector{Selector: selector}, client.Limit(mostRevisions)); err != nil {
		return nil, fmt.Errorf("listing the revisions of %s: %w", nameOf(workload), err)
	}
	var found *Revision
	var newest int64
	for i := range list.Items {
		item := &list.Items[i]
		if !owner.Is(item, workload.GetUID()) {
			continue
		}
		template := k.template(item.Object)
		if template == nil || !is(template) {
			continue
		}
		if number := k.number(item); found == nil || number > newest {
			found, newest = &Revision{Name: item.GetName(), Template: template}, number
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%s: %w", nameOf(workload), ErrNoRevision)
	}
	return found, nil
}

// Restoration is what Restore is asked for.
type Restoration struct {
	Workload Workload
	// From is the template that is undone. Where the workload has another by now, somebody was faster, and it is left
	// alone.
	From Matcher
	// To is the whole template that goes back.
	To Matcher
	// Mark names on whose behalf: what is undone and its UID, say. A workload that bears the mark was restored before,
	// and is not again.
	Mark string
}

// Result of Restore.
type Result string

const (
	// Restored: it was written.
	Restored Result = "Restored"
	// Already: it bears the mark, or has the template.
	Already Result = "Already"
	// Superseded: it has neither template: somebody put in another one.
	Superseded Result = "Superseded"
	// Missing: the workload does not exist, or is being deleted.
	Missing Result = "Missing"
)

// Restore puts an earlier template back, in one write that fails if the workload was written since it was read. The
// error is ErrNoRevision, ErrConflict, what the gate says (apierrors.IsForbidden), or that of the API server.
func (r *Restorer) Restore(ctx context.Context, what Restoration) (Result, error) {
	obj, err := r.Get(ctx, what.Workload)
	switch {
	case apierrors.IsNotFound(err):
		return Missing, nil
	case err != nil:
		return "", fmt.Errorf("reading %s: %w", what.Workload, err)
	case obj.GetDeletionTimestamp() != nil:
		return Missing, nil
	}
	current, _, err := unstructured.NestedMap(obj.Object, "spec", "template")
	switch {
	case err != nil:
		return "", fmt.Errorf("reading the template of %s: %w", what.Workload, err)
	case what.Mark != "" && obj.GetLabels()[LabelBackout] == labelOf(what.Mark, obj), what.To(current):
		return Already, nil
	case !what.From(current):
		return Superseded, nil
	}
	revision, err := r.Find(ctx, obj, what.To)
	if err != nil {
		return "", err
	}
	return r.write(ctx, obj, revision, what.Mark)
}

func (r *Restorer) write(ctx context.Context, obj *unstructured.Unstructured, revision *Revision, mark string) (Result, error) {
	data, err := restoring(obj, revision.Template, mark)
	if err != nil {
		return "", fmt.Errorf("restoring %s to %s: %w", nameOf(obj), revision.Name, err)
	}
	err = r.Client.Patch(ctx, obj, client.RawPatch(types.JSONPatchType, data), FieldOwner)
	switch {
	case apierrors.IsNotFound(err):
		return Missing, nil
	case apierrors.IsConflict(err):
		return "", fmt.Errorf("restoring %s: %w", nameOf(obj), ErrConflict)
	case err != nil:
		return "", fmt.Errorf("restoring %s to %s: %w", nameOf(obj), revision.Name, err)
	}
	return Restored, nil
}

// DeleteBroken deletes the pods of a StatefulSet or DaemonSet that run the template meant, which is undone, and are
// not ready: a StatefulSet's controller waits for such a pod for ever and does not replace it. Each is deleted as it
// was seen or not at all. It returns how many it deleted, and does nothing before the workload's controller has seen
// the restored template, since it would make such a pod again.
func (r *Restorer) DeleteBroken(ctx context.Context, w Workload, failed Matcher) (deleted int, err error) {
	if w.Kind != kindStatefulSet && w.Kind != kindDaemonSet {
		return 0, nil
	}
	obj, err := r.Get(ctx, w)
	if err != nil {
		return 0, client.IgnoreNotFound(fmt.Errorf("reading %s: %w", w, err))
	}
	observed, _, _ := unstructured.NestedInt64(obj.Object, "status", "observedGeneration")
	template, _, _ := unstructured.NestedMap(obj.Object, "spec", "template")
	if observed < obj.GetGeneration() || failed(template) {
		return 0, nil
	}
	revision, err := r.Find(ctx, obj, failed)
	switch {
	case errors.Is(err, ErrNoRevision):
		return 0, nil
	case err != nil:
		return 0, err
	}
	pods := &corev1.PodList{}
	label, err := podLabel(w.Kind, revision, obj)
	if err != nil {
		return 0, err
	}
	if err := r.Reader.List(ctx, pods, client.InNamespace(w.Namespace), client.MatchingLabels{revisionLabel: label}, client.Limit(mostPods)); err != nil {
		return 0, fmt.Errorf("listing the pods of %s: %w", w, err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if !owner.Is(pod, obj.GetUID()) || pod.DeletionTimestamp != nil || isReady(pod) {
			continue
		}
		seen := client.Preconditions{UID: &pod.UID, ResourceVersion: &pod.ResourceVersion}
		if err := r.Client.Delete(ctx, pod, seen); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return deleted, fmt.Errorf("deleting pod %s of %s: %w", pod.Name, w, err)
		} else if err == nil {
			deleted++
		}
	}
	return deleted, nil
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
