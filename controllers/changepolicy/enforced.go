package changepolicy

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
)

// maxEnforcedIn bounds the namespaces of which a policy's status tells since when the gate enforces there.
const maxEnforcedIn = 2000

// theGate lets through news of the gate's configuration.
var theGate = predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetName() == gateconfig.Name })

// enforcesAll reports whether a policy by itself has the gate refuse what nobody agreed to, of workloads that no Service
// claims as well.
func enforcesAll(p *v1alpha1.ChangePolicy) bool {
	return practice.EnforcementFor(nil, practice.Merge([]*v1alpha1.ChangePolicy{p}, nil)) == v1alpha1.EnforcementEnforce
}

// policiesOverAll are the policies that follow the gate's configuration.
func (r *Reconciler) policiesOverAll(ctx context.Context, _ client.Object) []ctrl.Request {
	return r.policies(ctx, func(p *v1alpha1.ChangePolicy) bool { return enforcesAll(p) || len(p.Status.EnforcedIn) > 0 })
}

// listed are the namespaces that the API server asks the gate about; none where the gate's configuration is gone.
func (r *Reconciler) listed(ctx context.Context) (gateconfig.Namespaces, error) {
	config := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: gateconfig.Name}, config)
	switch {
	case apierrors.IsNotFound(err):
		return gateconfig.Namespaces{}, nil
	case err != nil:
		return gateconfig.Namespaces{}, fmt.Errorf("reading webhook configuration %s: %w", gateconfig.Name, err)
	}
	return gateconfig.Read(config), nil
}

// enforcedIn are the namespaces in which the gate enforces a policy over all workloads, and since when, as the status is to
// have it. A namespace comes in once the gate's configuration lists it, and stays while that is gone: nobody agreed to that.
// It goes out with the policy's spec or its own labels, and what has left is another's when it comes back, even where it did
// so before we looked. Of two edits of the spec at once nobody knows what the first of them said.
func enforcedIn(
	p *v1alpha1.ChangePolicy, namespaces []corev1.Namespace, listed gateconfig.Namespaces, left sets.Set[string], now time.Time,
) []v1alpha1.EnforcedNamespace {
	if !enforcesAll(p) {
		return nil
	}
	since := map[v1alpha1.NamespaceName]metav1.Time{}
	if p.Generation-p.Status.ObservedGeneration <= 1 {
		for _, e := range p.Status.EnforcedIn {
			since[e.Namespace] = e.Since
		}
	}
	var kept, fresh []v1alpha1.EnforcedNamespace
	for i := range namespaces {
		ns := &namespaces[i]
		if !practice.InScope(p, ns.Labels) {
			continue
		}
		name := v1alpha1.NamespaceName(ns.Name)
		at, known := since[name]
		switch {
		case known && !left.Has(ns.Name) && !at.Before(&ns.CreationTimestamp):
			kept = append(kept, v1alpha1.EnforcedNamespace{Namespace: name, Since: at})
		case listed.Of(ns.Name) == gateconfig.ListedEnforce:
			fresh = append(fresh, v1alpha1.EnforcedNamespace{Namespace: name, Since: metav1.NewTime(now.Truncate(time.Second))})
		}
	}
	byName := func(a, b v1alpha1.EnforcedNamespace) int { return cmp.Compare(a.Namespace, b.Namespace) }
	slices.SortFunc(fresh, byName)
	kept = append(kept, fresh...)
	kept = kept[:min(len(kept), maxEnforcedIn)]
	slices.SortFunc(kept, byName)
	return kept
}

// leaving takes down that a namespace has left a policy: that it is back when we look does not undo it.
func (r *Reconciler) leaving(p *v1alpha1.ChangePolicy, namespace string) {
	if !slices.ContainsFunc(p.Status.EnforcedIn, func(e v1alpha1.EnforcedNamespace) bool { return string(e.Namespace) == namespace }) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left == nil {
		r.left = map[string]sets.Set[string]{}
	}
	if r.left[p.Name] == nil {
		r.left[p.Name] = sets.New[string]()
	}
	r.left[p.Name].Insert(namespace)
}

// hasLeft takes what left a policy since it was last asked.
func (r *Reconciler) hasLeft(policy string) sets.Set[string] {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := r.left[policy]
	delete(r.left, policy)
	return left
}

// stillLeft puts back what could not be written.
func (r *Reconciler) stillLeft(policy string, left sets.Set[string]) {
	if len(left) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left == nil {
		r.left = map[string]sets.Set[string]{}
	}
	r.left[policy] = left.Union(r.left[policy])
}
