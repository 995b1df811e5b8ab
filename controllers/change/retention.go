package change

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/expire"
	"github.com/itil-dev/itil-operator/internal/kube/index"
	kubepush "github.com/itil-dev/itil-operator/internal/kube/push"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// +kubebuilder:rbac:groups=itil.dev,resources=changes;changeapprovals,verbs=delete
// +kubebuilder:rbac:groups=itil.dev,resources=changes;changeapprovals;incidents;problems;releases,verbs=get;list;watch

const (
	// lookAgain is how soon a Change that is kept because something refers to it is looked at again.
	lookAgain = 24 * time.Hour
	// mostSurplus of one workload go in one reconcile.
	mostSurplus = 20

	endedIndex      = "itil.dev/ended-target"
	referringIndex  = "itil.dev/refers-to-change"
	beforeRetention = "Change deleted after its retention time"
)

var retired = prometheus.NewCounter(prometheus.CounterOpts{
	Name: "itil_change_retired_total",
	Help: "Changes that were deleted because they had been kept long enough, or were more than are kept of a workload.",
})

func init() { metrics.Registry.MustRegister(retired) }

// Retirer deletes Changes that ended long ago, with their votes, after having logged each in one line. It never deletes
// one that something still refers to. The leader alone runs it.
type Retirer struct {
	Client    client.Client
	Inventory *inventory.Inventory
	Clock     clock.PassiveClock
	Retention practice.Retention
}

// SetupWithManager registers the retirer, and the indexes by which it finds what refers to a Change.
func (r *Retirer) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := IndexReferences(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).Named("changeretention").
		WithOptions(controller.Options{RateLimiter: retry.Limiter[ctrl.Request]()}).
		WatchesRawSource(r.changes()).
		Complete(r)
}

// changes pushes the Changes that something happened to, and first of all those that exist; before any is looked at, the
// votes on those that are gone have gone too.
func (r *Retirer) changes() source.Source {
	return kubepush.FollowedNames(
		func(push func(types.NamespacedName)) (stop func()) {
			return r.Inventory.Subscribe(func(e inventory.Event) {
				if e.Change.Name != "" {
					push(e.Change)
				}
			})
		},
		func(ctx context.Context, push func(types.NamespacedName)) bool {
			if !r.Inventory.WaitForSync(ctx) {
				return false
			}
			if err := r.orphans(ctx); err != nil {
				log.FromContext(ctx).Error(err, "Deleting the votes on Changes that were deleted")
			}
			return kubepush.All(ctx, r.Client, &v1alpha1.ChangeList{}, push)
		},
	)
}

// IndexReferences lets a cache find the Changes of a workload that ended, and what refers to a Change. SetupWithManager
// calls it.
func IndexReferences(ctx context.Context, indexer client.FieldIndexer) error {
	return index.Add(ctx, indexer,
		index.By(endedIndex, endedTargets),
		index.By(referringIndex, changesOfIncident),
		index.By(referringIndex, changesOfProblem),
		index.By(referringIndex, changesOfRelease),
	)
}

// Reconcile deletes a Change that was kept long enough, and those of its workloads that are more than are kept.
func (r *Retirer) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	known, exists := r.Inventory.Change(request.NamespacedName)
	if !exists || practice.EndedAt(known.Object).IsZero() || !known.Object.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	now := r.Clock.Now()
	due, at := r.Retention.Due(known.Object, now)
	leave, err := r.surplus(ctx, known.Object)
	if err != nil {
		return ctrl.Result{}, err
	}
	if due && !slices.ContainsFunc(leave, func(c *v1alpha1.Change) bool { return c.Name == known.Object.Name }) {
		leave = append(leave, known.Object)
	}
	gone := false
	for _, chg := range leave {
		deleted, err := r.retire(ctx, chg)
		if err != nil {
			return ctrl.Result{}, err
		}
		gone = gone || deleted && chg.Name == known.Object.Name
	}
	switch {
	case gone, at.IsZero():
		return ctrl.Result{}, nil
	case due: // Something refers to it.
		return ctrl.Result{RequeueAfter: lookAgain}, nil
	}
	return ctrl.Result{RequeueAfter: at.Sub(now)}, nil
}

// surplus are the Changes of the workloads of one that are more than are kept.
func (r *Retirer) surplus(ctx context.Context, chg *v1alpha1.Change) ([]*v1alpha1.Change, error) {
	var out []*v1alpha1.Change
	for _, target := range endedTargets(chg) {
		list := &v1alpha1.ChangeList{}
		if err := r.Client.List(ctx, list, client.InNamespace(chg.Namespace), client.MatchingFields{endedIndex: target}, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("looking up the Changes of %s that ended: %w", target, err)
		}
		ended := make([]*v1alpha1.Change, 0, len(list.Items))
		for i := range list.Items {
			ended = append(ended, &list.Items[i])
		}
		for _, c := range r.Retention.Surplus(ended) {
			if len(out) < mostSurplus && !slices.ContainsFunc(out, func(o *v1alpha1.Change) bool { return o.Name == c.Name }) {
				out = append(out, c)
			}
		}
	}
	return out, nil
}

// retire logs and deletes a Change that nothing refers to, as it was seen, and then the votes on it.
func (r *Retirer) retire(ctx context.Context, chg *v1alpha1.Change) (gone bool, err error) {
	name := client.ObjectKeyFromObject(chg)
	logger := log.FromContext(ctx).WithValues("change", name.String())
	why, err := r.needed(ctx, chg)
	if err != nil {
		return false, err
	}
	if why != "" {
		logger.V(1).Info("Kept although its retention time is over", "why", why)
		return false, nil
	}
	logger.Info(beforeRetention, "record", map[string]any{
		"kind": "Change", "namespace": chg.Namespace, "name": chg.Name, "uid": chg.UID,
		"creationTimestamp": chg.CreationTimestamp, "spec": chg.Spec, "status": chg.Status,
	})
	if gone, err = expire.Record(ctx, r.Client, "Change", chg); !gone || err != nil {
		return false, err
	}
	retired.Inc()
	for _, vote := range r.Inventory.Approvals(name) {
		if err := r.deleteVote(ctx, vote); err != nil {
			return true, err
		}
	}
	return true, nil
}

func (r *Retirer) deleteVote(ctx context.Context, vote *v1alpha1.ChangeApproval) error {
	err := r.Client.Delete(ctx, vote.DeepCopy(), client.Preconditions{UID: &vote.UID})
	if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting ChangeApproval %s, whose Change was deleted: %w", client.ObjectKeyFromObject(vote), err)
	}
	return nil
}

// orphans deletes the votes of Changes that were deleted when we died: those as old as the Changes that go.
func (r *Retirer) orphans(ctx context.Context) error {
	if r.Retention.Age <= 0 {
		return nil
	}
	votes := &v1alpha1.ChangeApprovalList{}
	if err := r.Client.List(ctx, votes, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing ChangeApprovals: %w", err)
	}
	before := r.Clock.Now().Add(-r.Retention.Age)
	for i := range votes.Items {
		vote := &votes.Items[i]
		_, exists := r.Inventory.Change(types.NamespacedName{Namespace: vote.Namespace, Name: string(vote.Spec.ChangeRef.Name)})
		if exists || vote.CreationTimestamp.After(before) {
			continue
		}
		if err := r.deleteVote(ctx, vote); err != nil {
			return err
		}
	}
	return nil
}

// needed says why a Change must be kept; empty: nothing refers to it any more.
func (r *Retirer) needed(ctx context.Context, chg *v1alpha1.Change) (string, error) {
	for i := range chg.Spec.Targets {
		key := practice.KeyOf(chg.Namespace, chg.Spec.Targets[i].Workload)
		_, exists := r.Inventory.Workload(key)
		if why := practice.Needed(chg, key, exists, r.Inventory.Baselines(key)); why != "" {
			return why, nil
		}
		for _, a := range r.Inventory.Admissions(key) {
			if a.Change == chg.Name {
				return "what was let into " + key.Kind + " " + key.Name + " came in by it", nil
			}
		}
	}
	name := client.ObjectKeyFromObject(chg).String()
	incidents, problems, releases := &v1alpha1.IncidentList{}, &v1alpha1.ProblemList{}, &v1alpha1.ReleaseList{}
	for _, list := range []client.ObjectList{incidents, problems, releases} {
		if err := r.Client.List(ctx, list, client.MatchingFields{referringIndex: name}, client.Limit(1), client.UnsafeDisableDeepCopy); err != nil {
			return "", fmt.Errorf("looking up what refers to Change %s: %w", name, err)
		}
	}
	switch {
	case len(incidents.Items) > 0:
		return "Incident " + incidents.Items[0].Name + " refers to it", nil
	case len(problems.Items) > 0:
		return "Problem " + problems.Items[0].Name + " refers to it", nil
	case len(releases.Items) > 0:
		return "Release " + releases.Items[0].Name + " refers to it", nil
	}
	return "", nil
}

// endedTargets are the workloads of a Change that ended, as Kind/name.
func endedTargets(chg *v1alpha1.Change) []string {
	if practice.EndedAt(chg).IsZero() {
		return nil
	}
	var out []string
	for i := range chg.Spec.Targets {
		w := &chg.Spec.Targets[i].Workload
		out = append(out, string(w.Kind)+"/"+string(w.Name))
	}
	return out
}

// changesOfIncident are the Changes that an Incident which is not closed refers to.
func changesOfIncident(i *v1alpha1.Incident) []string {
	if i.Status.State == v1alpha1.IncidentClosed {
		return nil
	}
	return append(named(i, i.Spec.ChangeRefs), index.Key(incident.Suspected(i))...)
}

// changesOfProblem are the Changes that a Problem which is not closed refers to.
func changesOfProblem(p *v1alpha1.Problem) []string {
	if p.Status.State == v1alpha1.ProblemClosed {
		return nil
	}
	return named(p, p.Spec.ChangeRefs)
}

// changesOfRelease is the Change that a Release goes, or went, in under.
func changesOfRelease(r *v1alpha1.Release) []string {
	var refs []v1alpha1.LocalReference
	for _, ref := range []*v1alpha1.LocalReference{r.Spec.ChangeRef, r.Status.ChangeRef} {
		if ref != nil {
			refs = append(refs, *ref)
		}
	}
	return named(r, refs)
}

func named(o client.Object, refs []v1alpha1.LocalReference) []string {
	var out []string
	for _, ref := range refs {
		out = append(out, types.NamespacedName{Namespace: o.GetNamespace(), Name: string(ref.Name)}.String())
	}
	return out
}
