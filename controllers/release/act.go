package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/backout"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	practice "github.com/itil-dev/itil-operator/internal/practice/release"
)

// errRefused makes a refused write be tried again, later and later.
var errRefused = errors.New("the write was refused")

// act does the write that comes next, while the Release at the API server is the one that it was decided on: a cache
// that lags must not set an image after the release was stopped.
func (r *Reconciler) act(ctx context.Context, in *practice.Input, w *practice.Write) (ctrl.Result, error) {
	live := &v1alpha1.Release{}
	name := client.ObjectKeyFromObject(in.Release)
	if err := r.Reader.Get(ctx, name, live); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("reading Release %s: %w", name, err))
	}
	if live.ResourceVersion != in.Release.ResourceVersion {
		return ctrl.Result{}, nil
	}
	switch w.Kind {
	case practice.RaiseChange:
		return ctrl.Result{}, r.raise(ctx, in.Release, w.Change)
	case practice.CancelChange:
		return ctrl.Result{}, r.cancelChange(ctx, w.Change)
	case practice.CarryIncident:
		return ctrl.Result{}, r.mark(ctx, in.Release, w.Incident)
	case practice.DeleteBroken:
		return r.deleteBroken(ctx, in, w)
	case practice.ApplyImages, practice.RestoreTemplate:
	}
	out, err := r.toUnit(ctx, in.Release, w)
	if err != nil || out == nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{}, r.record(ctx, in, out)
}

// record writes down what came of a write, whoever else wrote the Release meanwhile: what it returned cannot be asked
// for again.
func (r *Reconciler) record(ctx context.Context, in *practice.Input, out *practice.Outcome) error {
	const attempts = 5
	after := *in
	after.Done = out
	for range attempts {
		d := practice.Decide(&after, r.Clock.Now())
		next := after.Release.DeepCopy()
		next.Status = d.Status
		err := r.writeStatus(ctx, after.Release, next)
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err == nil:
			r.tell(after.Release, d.Events)
			if out.Denied != "" {
				return fmt.Errorf("%s of unit %s of Release %s: %w: %s", out.Kind, out.Unit, client.ObjectKeyFromObject(next), errRefused, out.Denied)
			}
			return nil
		case !apierrors.IsConflict(err):
			return fmt.Errorf("recording what was written for Release %s: %w", client.ObjectKeyFromObject(next), err)
		}
		live := &v1alpha1.Release{}
		if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(after.Release), live); err != nil {
			return client.IgnoreNotFound(fmt.Errorf("reading Release %s: %w", client.ObjectKeyFromObject(after.Release), err))
		}
		after.Release = live
	}
	return nil
}

// raise creates the Change. One of that name which was not raised for exactly this is another's, and stays so: the next
// name is tried when it is known.
func (r *Reconciler) raise(ctx context.Context, rel *v1alpha1.Release, chg *v1alpha1.Change) error {
	err := r.Client.Create(ctx, chg, FieldOwner)
	if !apierrors.IsAlreadyExists(err) {
		if err != nil {
			return fmt.Errorf("raising Change %s: %w", client.ObjectKeyFromObject(chg), err)
		}
		return nil
	}
	live := &v1alpha1.Change{}
	if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(chg), live); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("reading Change %s: %w", client.ObjectKeyFromObject(chg), err))
	}
	if !practice.RaisedFor(rel, live) {
		return fmt.Errorf("raising Change %s: one of that name exists and is not of this Release", client.ObjectKeyFromObject(chg))
	}
	return nil
}

func (r *Reconciler) cancelChange(ctx context.Context, chg *v1alpha1.Change) error {
	after := chg.DeepCopy()
	after.Spec.Cancel = true
	err := r.Client.Patch(ctx, after, client.MergeFrom(chg), FieldOwner)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("withdrawing Change %s: %w", client.ObjectKeyFromObject(chg), err)
	}
	return nil
}

// mark writes the Release's name on an Incident.
func (r *Reconciler) mark(ctx context.Context, rel *v1alpha1.Release, incident types.NamespacedName) error {
	bears := map[string]string{v1alpha1.AnnotationRelease: rel.Name}
	metadata := map[string]any{"annotations": bears}
	if len(rel.Name) <= 63 {
		metadata["labels"] = bears
	}
	data, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return err
	}
	target := &v1alpha1.Incident{}
	target.Namespace, target.Name = incident.Namespace, incident.Name
	if err := r.Client.Patch(ctx, target, client.RawPatch(types.MergePatchType, data), FieldOwner); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing Release %s on Incident %s: %w", rel.Name, incident, err)
	}
	return nil
}

func (r *Reconciler) deleteBroken(ctx context.Context, in *practice.Input, w *practice.Write) (ctrl.Result, error) {
	which := backout.Workload{Kind: string(w.Workload.Kind), Namespace: in.Release.Namespace, Name: string(w.Workload.Name)}
	if _, err := r.Restorer.DeleteBroken(ctx, which, is(which.Kind, w.From)); err != nil {
		return ctrl.Result{}, err
	}
	wake := practice.Decide(in, r.Clock.Now()).Wake
	return ctrl.Result{RequeueAfter: max(wake.Sub(r.Clock.Now()), soon)}, nil
}

// toUnit sets a unit's images or restores its template. No outcome and no error: it is not what was decided on any more,
// and what made it so is on its way here.
func (r *Reconciler) toUnit(ctx context.Context, rel *v1alpha1.Release, w *practice.Write) (*practice.Outcome, error) {
	out := &practice.Outcome{Kind: w.Kind, Unit: w.Unit}
	var err error
	switch {
	case w.Kind == practice.RestoreTemplate && practice.KeepsRevisions(w.Workload.Kind):
		err = r.restore(ctx, rel, w, out)
	case w.Kind == practice.RestoreTemplate:
		err = r.restoreImages(ctx, rel, w, out)
	default:
		err = r.apply(ctx, rel, w, out)
	}
	switch {
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		out.Denied = plainly(err)
		return out, nil
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), errors.Is(err, backout.ErrConflict), errors.Is(err, errOther):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return out, nil
}

// plainly is an error as the API server said it, without what we were about to do.
func plainly(err error) string {
	if status := apierrors.APIStatus(nil); errors.As(err, &status) {
		return strings.TrimSpace(status.Status().Message)
	}
	return err.Error()
}

// errOther: the workload has another template, or is another, than was decided on.
var errOther = errors.New("the workload is not what was decided on")

// apply sets the images of a unit.
func (r *Reconciler) apply(ctx context.Context, rel *v1alpha1.Release, w *practice.Write, out *practice.Outcome) error {
	obj, err := r.meant(ctx, rel, w)
	if err != nil {
		return err
	}
	now := configuration.ParseTemplate(obj.GetKind(), configuration.RawTemplate(obj.Object))
	if !runs(now.Images, w.Images) {
		if now.Hash != w.From {
			return errOther
		}
		if out.Manager = r.imageManager(obj, slices.Collect(maps.Keys(w.Images))); out.Manager != "" {
			return nil
		}
	}
	after, err := r.setImages(ctx, obj, w.Images)
	if err != nil {
		return err
	}
	out.Template = r.templateOf(after)
	return nil
}

func runs[V ~string](have map[string]string, want map[string]V) bool {
	for container, image := range want {
		if have[container] != string(image) {
			return false
		}
	}
	return true
}

// restore puts the whole earlier template of a unit back.
func (r *Reconciler) restore(ctx context.Context, rel *v1alpha1.Release, w *practice.Write, out *practice.Outcome) error {
	which := backout.Workload{Kind: string(w.Workload.Kind), Namespace: rel.Namespace, Name: string(w.Workload.Name)}
	result, err := r.Restorer.Restore(ctx, backout.Restoration{
		Workload: which, From: is(which.Kind, w.From), To: is(which.Kind, w.To), Mark: "release/" + rel.Name + "/" + string(rel.UID),
	})
	switch {
	case errors.Is(err, backout.ErrNoRevision):
		out.Lost = "no ReplicaSet or ControllerRevision keeps the template that it had"
		return nil
	case err != nil:
		return err
	case result == backout.Missing:
		out.Lost = "it does not exist any more"
		return nil
	case result == backout.Superseded:
		return errOther
	}
	obj, err := r.meant(ctx, rel, w)
	if err != nil {
		return err
	}
	return r.restored(obj, w, out)
}

// restoreImages brings back the template of a workload of which Kubernetes keeps no revisions: only its images were
// set, so setting them back makes the template that was; if that is not so, it is said.
func (r *Reconciler) restoreImages(ctx context.Context, rel *v1alpha1.Release, w *practice.Write, out *practice.Outcome) error {
	obj, err := r.meant(ctx, rel, w)
	if err != nil {
		return err
	}
	if now := configuration.ParseTemplate(obj.GetKind(), configuration.RawTemplate(obj.Object)); now.Hash != w.From && now.Hash != w.To {
		return errOther
	}
	after, err := r.setImages(ctx, obj, w.Images)
	if err != nil {
		return err
	}
	return r.restored(after, w, out)
}

func (r *Reconciler) restored(obj *unstructured.Unstructured, w *practice.Write, out *practice.Outcome) error {
	out.Template = r.templateOf(obj)
	if out.Template.TemplateHash != w.To {
		out.Template, out.Lost = nil, "its images are what they were, but more of its template is not"
	}
	return nil
}

// meant reads a unit's workload from the API server; errOther: it was created anew.
func (r *Reconciler) meant(ctx context.Context, rel *v1alpha1.Release, w *practice.Write) (*unstructured.Unstructured, error) {
	obj, err := r.live(ctx, keyOf(rel, w.Workload))
	switch {
	case err != nil:
		return nil, err
	case obj.GetUID() != w.UID:
		return nil, errOther
	}
	return obj, nil
}

func (r *Reconciler) templateOf(obj *unstructured.Unstructured) *v1alpha1.ReleaseTemplate {
	at := now(r.Clock)
	return &v1alpha1.ReleaseTemplate{
		TemplateHash: configuration.ParseTemplate(obj.GetKind(), configuration.RawTemplate(obj.Object)).Hash,
		WorkloadUID:  string(obj.GetUID()), Generation: obj.GetGeneration(), At: &at,
	}
}
