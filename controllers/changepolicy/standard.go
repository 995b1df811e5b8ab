package changepolicy

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/index"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
)

// standardChangeIndex finds Changes by the standard change that they name.
const standardChangeIndex = "spec.standardChange"

// What an event about a ChangePolicy tells.
const (
	eventSuspended = "StandardChangeSuspended"
	actionSuspend  = "Suspend"
)

func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	return index.Add(ctx, indexer, index.By(standardChangeIndex, func(c *v1alpha1.Change) []string { return index.Value(c.Spec.StandardChange) }))
}

// standardChangeOf is the standard change that a Change names; empty: none.
func standardChangeOf(o client.Object) string {
	if chg, ok := o.(*v1alpha1.Change); ok {
		return chg.Spec.StandardChange
	}
	return ""
}

// used lets through when a Change began to be a use of a standard change, or ended as one.
var used = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return standardChangeOf(e.Object) != "" },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, wasChange := e.ObjectOld.(*v1alpha1.Change)
		after, isChange := e.ObjectNew.(*v1alpha1.Change)
		if !wasChange || !isChange {
			return false
		}
		old, was := practice.UseOf(before)
		now, is := practice.UseOf(after)
		return was != is || old != now
	},
	// Those whose retention time is over are counted no more.
	DeleteFunc: func(e event.DeleteEvent) bool { return standardChangeOf(e.Object) != "" },
}

// policiesUsedBy are the policies that have the standard change which a Change names.
func (r *Reconciler) policiesUsedBy(ctx context.Context, o client.Object) []ctrl.Request {
	name := standardChangeOf(o)
	if name == "" {
		return nil
	}
	return r.policies(ctx, func(p *v1alpha1.ChangePolicy) bool {
		return slices.ContainsFunc(p.Spec.StandardChanges, func(c v1alpha1.StandardChange) bool { return c.Name == name })
	})
}

// uses of the standard changes of a policy, in the namespaces that it selects.
func (r *Reconciler) uses(ctx context.Context, p *v1alpha1.ChangePolicy, namespaces []corev1.Namespace) (map[string][]practice.Use, error) {
	if len(p.Spec.StandardChanges) == 0 {
		return nil, nil
	}
	inScope := map[string]bool{}
	for i := range namespaces {
		inScope[namespaces[i].Name] = practice.InScope(p, namespaces[i].Labels)
	}
	out := map[string][]practice.Use{}
	for _, c := range p.Spec.StandardChanges {
		changes := &v1alpha1.ChangeList{}
		if err := r.Client.List(ctx, changes, client.MatchingFields{standardChangeIndex: c.Name}, client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing the Changes of standard change %s: %w", c.Name, err)
		}
		for i := range changes.Items {
			if u, is := practice.UseOf(&changes.Items[i]); is && inScope[changes.Items[i].Namespace] {
				out[c.Name] = append(out[c.Name], u)
			}
		}
	}
	return out, nil
}

// announce standard changes that were just suspended.
func (r *Reconciler) announce(before, after *v1alpha1.ChangePolicy) {
	if r.Recorder == nil {
		return
	}
	for i := range after.Status.StandardChanges {
		s := &after.Status.StandardChanges[i]
		was := slices.ContainsFunc(before.Status.StandardChanges, func(b v1alpha1.StandardChangeStatus) bool { return b.Name == s.Name && b.Suspended })
		if s.Suspended && !was {
			r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, eventSuspended, actionSuspend,
				"standard change %s failed %d times in a row (last: Change %.253s): it needs votes until the policy is edited", s.Name, s.Failed, s.LastFailed)
		}
	}
}
