package incident

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/incident"
	problempractice "github.com/itil-dev/itil-operator/internal/practice/problem"
)

// problemFacts are what the Problems of a failure say of the Incident: the known error, and whether a fix was applied for
// which it waits. Problems write no Incident: two writers have disjoint fields (docs/adr/0004-two-writers-of-an-incident.md).
func (r *Reconciler) problemFacts(ctx context.Context, i *v1alpha1.Incident, facts *practice.Facts) error {
	p, err := r.problem(ctx, i)
	if err != nil {
		return err
	}
	if p != nil && p.Status.Fix != nil && p.Spec.Decision != nil && p.Spec.Decision.Type == v1alpha1.DecisionFixApplied {
		facts.FixApplied = &practice.FixApplied{Problem: p.Name, At: p.Status.Fix.At.Time, Reason: p.Status.Fix.Reason}
	}
	facts.KnownError = problempractice.KnownErrorOf(p)
	if facts.KnownError != nil || i.Status.Fingerprint == "" {
		return nil
	}
	list := &v1alpha1.ProblemList{}
	if err := r.Client.List(ctx, list, client.InNamespace(i.Namespace), client.MatchingFields{byFingerprint: i.Status.Fingerprint}); err != nil {
		return fmt.Errorf("list the Problems of Incident %s/%s: %w", i.Namespace, i.Name, err)
	}
	l := &problemLookup{client: r.Client, namespace: i.Namespace}
	facts.KnownError = problempractice.KnownErrorAmong(list.Items, l.find(ctx))
	return l.failed
}

// problem that the Incident names or, where that is a duplicate, the one that has its Incidents; nil where it names none
// that exists.
func (r *Reconciler) problem(ctx context.Context, i *v1alpha1.Incident) (*v1alpha1.Problem, error) {
	if i.Spec.ProblemRef == nil {
		return nil, nil //nolint:nilnil // no problem is no error
	}
	l := &problemLookup{client: r.Client, namespace: i.Namespace}
	p := l.find(ctx)(string(i.Spec.ProblemRef.Name))
	if p == nil || l.failed != nil {
		return nil, l.failed
	}
	home, _ := problempractice.Home(p, l.find(ctx))
	return home, l.failed
}

// problemLookup finds Problems for a rule that knows no errors, and keeps the first one.
type problemLookup struct {
	client    client.Reader
	namespace string
	failed    error
}

func (l *problemLookup) find(ctx context.Context) problempractice.Lookup {
	return func(name string) *v1alpha1.Problem {
		p := &v1alpha1.Problem{}
		err := l.client.Get(ctx, client.ObjectKey{Namespace: l.namespace, Name: name}, p)
		if err == nil {
			return p
		}
		if !apierrors.IsNotFound(err) && l.failed == nil {
			l.failed = fmt.Errorf("read Problem %s/%s: %w", l.namespace, name, err)
		}
		return nil
	}
}

// maxDuplicates bounds how many duplicates of a Problem are followed.
const maxDuplicates = 50

// ofProblem are the Incidents that name a Problem, or that fail as it says, and those of its duplicates.
func (r *Reconciler) ofProblem(ctx context.Context, o client.Object) []reconcile.Request {
	p, ok := o.(*v1alpha1.Problem)
	if !ok {
		return nil
	}
	family := []v1alpha1.Problem{*p}
	for n := 0; n < len(family) && len(family) < maxDuplicates; n++ {
		list := &v1alpha1.ProblemList{}
		if err := r.Client.List(ctx, list, client.InNamespace(p.Namespace), client.MatchingFields{byDuplicateOf: family[n].Name}); err != nil {
			// The cache answers; it fails only when it is stopped.
			return nil
		}
		for _, d := range list.Items {
			if !slices.ContainsFunc(family, func(q v1alpha1.Problem) bool { return q.Name == d.Name }) {
				family = append(family, d)
			}
		}
	}
	var out []reconcile.Request
	for _, q := range family {
		out = append(out, r.matching(ctx, client.InNamespace(p.Namespace), client.MatchingFields{byProblem: q.Name})...)
		if q.Spec.Fingerprint != "" {
			out = append(out, r.matching(ctx, client.InNamespace(p.Namespace), client.MatchingFields{byFingerprint: q.Spec.Fingerprint})...)
		}
	}
	return out
}
