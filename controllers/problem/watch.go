package problem

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/problem"
)

// What follows maps a record to the Problems whose status follows from it. The handlers call it with a record as it
// was and as it is, so that the Problem that a link has left is brought up to date as well as the one it leads to now.

// ofIncident are the Problems of its fingerprint and the one that it names, and those that they are duplicates of.
func (r *Reconciler) ofIncident(ctx context.Context, o client.Object) []ctrl.Request {
	incident, ok := o.(*v1alpha1.Incident)
	if !ok {
		return nil
	}
	found := newRequests(r.Client, incident.Namespace)
	if incident.Status.Fingerprint != "" {
		found.by(ctx, problemFingerprint, incident.Status.Fingerprint)
	}
	if ref := incident.Spec.ProblemRef; ref != nil {
		found.name(ctx, string(ref.Name))
	}
	return found.list
}

// ofChange are the Problems that name it and the one that it names.
func (r *Reconciler) ofChange(ctx context.Context, o client.Object) []ctrl.Request {
	change, ok := o.(*v1alpha1.Change)
	if !ok {
		return nil
	}
	found := newRequests(r.Client, change.Namespace)
	found.by(ctx, problemChange, change.Name)
	if ref := change.Spec.ProblemRef; ref != nil {
		found.name(ctx, string(ref.Name))
	}
	return found.list
}

// ofProblem are itself, those that it is a duplicate of, those that duplicate it, those of the same fingerprint, and
// those that lose or get back incidents that name it.
func (r *Reconciler) ofProblem(ctx context.Context, o client.Object) []ctrl.Request {
	p, ok := o.(*v1alpha1.Problem)
	if !ok {
		return nil
	}
	found := newRequests(r.Client, p.Namespace)
	found.chain(ctx, p)
	found.by(ctx, problemDuplicateOf, p.Name)
	if p.Spec.Fingerprint != "" {
		found.by(ctx, problemFingerprint, p.Spec.Fingerprint)
	}
	for _, fingerprint := range found.namedBy(ctx, p.Name) {
		found.by(ctx, problemFingerprint, fingerprint)
	}
	return found.list
}

// requests collects Problems, each once.
type requests struct {
	links *links
	seen  map[string]bool
	list  []ctrl.Request
}

func newRequests(c client.Reader, namespace string) *requests {
	return &requests{links: newLinks(c, namespace), seen: map[string]bool{}}
}

func (f *requests) add(name string) {
	if !f.seen[name] {
		f.seen[name] = true
		f.list = append(f.list, ctrl.Request{NamespacedName: types.NamespacedName{Namespace: f.links.namespace, Name: name}})
	}
}

// name adds a Problem by its name, which need not exist.
func (f *requests) name(ctx context.Context, name string) {
	if p := f.links.problem(ctx, name); p != nil {
		f.chain(ctx, p)
		return
	}
	f.add(name)
}

// chain adds a Problem and those that it duplicates.
func (f *requests) chain(ctx context.Context, p *v1alpha1.Problem) {
	f.add(p.Name)
	for ref := duplicateOf(p); ref != "" && !f.seen[ref]; {
		f.add(ref)
		next := f.links.problem(ctx, ref)
		if next == nil {
			return
		}
		ref = duplicateOf(next)
	}
	home, _ := practice.Home(p, f.links.lookup(ctx))
	f.add(home.Name)
}

func (f *requests) by(ctx context.Context, field, value string) {
	list, err := f.links.problemsBy(ctx, field, value)
	if err != nil {
		// The cache answers; an error is a missing index, which every test of this package would show.
		ctrl.LoggerFrom(ctx).Error(err, "Looking up Problems", "field", field)
		return
	}
	for i := range list {
		f.chain(ctx, &list[i])
	}
}

// namedBy are the fingerprints of the incidents that name a Problem.
func (f *requests) namedBy(ctx context.Context, problem string) []string {
	list := &v1alpha1.IncidentList{}
	err := f.links.client.List(ctx, list, client.InNamespace(f.links.namespace), client.MatchingFields{incidentProblem: problem}, client.UnsafeDisableDeepCopy)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Looking up the Incidents of a Problem", "problem", problem)
		return nil
	}
	seen, out := map[string]bool{}, []string(nil)
	for i := range list.Items {
		if f := list.Items[i].Status.Fingerprint; f != "" && !seen[f] {
			seen[f] = true
			out = append(out, f)
		}
	}
	return out
}
