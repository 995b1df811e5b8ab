package problem

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/problem"
)

// links reads how the records of a namespace refer to each other, from the cache and each Problem once.
type links struct {
	client    client.Reader
	namespace string
	problems  map[string]*v1alpha1.Problem
	// failed is the first error of a lookup, which can return none.
	failed error
}

func newLinks(c client.Reader, namespace string) *links {
	return &links{client: c, namespace: namespace, problems: map[string]*v1alpha1.Problem{}}
}

// problem is one that exists, or nil.
func (l *links) problem(ctx context.Context, name string) *v1alpha1.Problem {
	if p, read := l.problems[name]; read {
		return p
	}
	p := &v1alpha1.Problem{}
	err := l.client.Get(ctx, types.NamespacedName{Namespace: l.namespace, Name: name}, p)
	switch {
	case apierrors.IsNotFound(err):
		p = nil
	case err != nil:
		if l.failed == nil {
			l.failed = fmt.Errorf("reading Problem %s: %w", name, err)
		}
		return nil
	case p.DeletionTimestamp != nil:
		p = nil
	}
	l.problems[name] = p
	return p
}

func (l *links) lookup(ctx context.Context) practice.Lookup {
	return func(name string) *v1alpha1.Problem { return l.problem(ctx, name) }
}

// home is where the incidents of a Problem belong.
func (l *links) home(ctx context.Context, p *v1alpha1.Problem) (home *v1alpha1.Problem, refused string) {
	return practice.Home(p, l.lookup(ctx))
}

// maxDuplicates bounds how many duplicates of one Problem are counted with it.
const maxDuplicates = 50

// family are a Problem and all whose incidents belong to it.
func (l *links) family(ctx context.Context, p *v1alpha1.Problem) ([]*v1alpha1.Problem, error) {
	l.problems[p.Name] = p
	family := []*v1alpha1.Problem{p}
	for n := 0; n < len(family) && len(family) < maxDuplicates; n++ {
		list, err := l.problemsBy(ctx, problemDuplicateOf, family[n].Name)
		if err != nil {
			return nil, err
		}
		for i := range list {
			d := &list[i]
			known := slices.ContainsFunc(family, func(q *v1alpha1.Problem) bool { return q.Name == d.Name })
			if home, _ := l.home(ctx, d); !known && home.Name == p.Name {
				family = append(family, d)
			}
		}
	}
	return family, l.failed
}

func (l *links) problemsBy(ctx context.Context, field, value string) ([]v1alpha1.Problem, error) {
	list := &v1alpha1.ProblemList{}
	if err := l.client.List(ctx, list, client.InNamespace(l.namespace), client.MatchingFields{field: value}); err != nil {
		return nil, fmt.Errorf("listing the Problems of %s by %s: %w", l.namespace, field, err)
	}
	return slices.DeleteFunc(list.Items, func(p v1alpha1.Problem) bool { return p.DeletionTimestamp != nil }), nil
}

// incidents are those of the fingerprints of a family, and those that name one of it, each once. One that names
// another Problem belongs there, whatever its fingerprint: a person has said so.
func (l *links) incidents(ctx context.Context, family []*v1alpha1.Problem) ([]practice.Incident, error) {
	var found []practice.Incident
	seen := map[string]bool{}
	for _, p := range family {
		for _, by := range []struct{ field, value string }{{incidentFingerprint, p.Spec.Fingerprint}, {incidentProblem, p.Name}} {
			if by.value == "" {
				continue
			}
			list := &v1alpha1.IncidentList{}
			err := l.client.List(ctx, list, client.InNamespace(l.namespace), client.MatchingFields{by.field: by.value}, client.UnsafeDisableDeepCopy)
			if err != nil {
				return nil, fmt.Errorf("listing the Incidents of Problem %s: %w", p.Name, err)
			}
			for i := range list.Items {
				incident := &list.Items[i]
				if seen[incident.Name] || !l.belongs(ctx, incident, family) {
					continue
				}
				seen[incident.Name] = true
				found = append(found, practice.IncidentOf(incident))
			}
		}
	}
	return found, l.failed
}

func (l *links) belongs(ctx context.Context, i *v1alpha1.Incident, family []*v1alpha1.Problem) bool {
	if i.Spec.ProblemRef == nil {
		return true
	}
	name := string(i.Spec.ProblemRef.Name)
	return l.problem(ctx, name) == nil || slices.ContainsFunc(family, func(p *v1alpha1.Problem) bool { return p.Name == name })
}

// changes are those that a Problem names, and those that name it.
func (l *links) changes(ctx context.Context, p *v1alpha1.Problem) ([]practice.Change, error) {
	list := &v1alpha1.ChangeList{}
	if err := l.client.List(ctx, list, client.InNamespace(l.namespace), client.MatchingFields{changeProblem: p.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the Changes of Problem %s: %w", p.Name, err)
	}
	var out []practice.Change
	for i := range list.Items {
		out = append(out, practice.ChangeOf(&list.Items[i]))
	}
	has := func(name string) bool {
		return slices.ContainsFunc(out, func(c practice.Change) bool { return c.Name == name })
	}
	for _, ref := range p.Spec.ChangeRefs {
		if has(string(ref.Name)) {
			continue
		}
		c, err := l.change(ctx, string(ref.Name))
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	// One that named it, has ended and is gone. Of one that exists, the link was taken away.
	for _, known := range p.Status.Changes {
		if has(string(known.Name)) {
			continue
		}
		c, err := l.change(ctx, string(known.Name))
		if err != nil {
			return nil, err
		}
		if !c.Found {
			out = append(out, c)
		}
	}
	return out, nil
}

// change reads one that may not exist.
func (l *links) change(ctx context.Context, name string) (practice.Change, error) {
	c := &v1alpha1.Change{}
	err := l.client.Get(ctx, types.NamespacedName{Namespace: l.namespace, Name: name}, c)
	switch {
	case apierrors.IsNotFound(err):
		return practice.Change{Name: name}, nil
	case err != nil:
		return practice.Change{}, fmt.Errorf("reading Change %s: %w", name, err)
	default:
		return practice.ChangeOf(c), nil
	}
}

// gather reads all that the status of a Problem follows from.
func (r *Reconciler) gather(ctx context.Context, p *v1alpha1.Problem) (practice.Input, error) {
	in := practice.Input{Problem: p, Rules: r.Rules}
	l := newLinks(r.Client, p.Namespace)
	family, err := l.family(ctx, p)
	if err != nil {
		return in, err
	}
	home, refused := l.home(ctx, p)
	in.Refused = refused
	if home.Name != p.Name {
		in.Home, in.HomeOpen = home.Name, practice.IsOpen(home)
	} else if in.Incidents, err = l.incidents(ctx, family); err != nil {
		return in, err
	}
	if in.Changes, err = l.changes(ctx, p); err != nil {
		return in, err
	}
	if in.Older, err = l.older(ctx, p); err != nil {
		return in, err
	}
	return in, l.failed
}

// older is an open Problem of the same fingerprint that was there before; empty: none.
func (l *links) older(ctx context.Context, p *v1alpha1.Problem) (string, error) {
	if p.Spec.Fingerprint == "" || !practice.IsOpen(p) {
		return "", nil
	}
	list, err := l.problemsBy(ctx, problemFingerprint, p.Spec.Fingerprint)
	if err != nil {
		return "", err
	}
	before := func(a, b *v1alpha1.Problem) bool {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c < 0
		}
		return a.Name < b.Name
	}
	oldest := p
	for i := range list {
		if practice.IsOpen(&list[i]) && before(&list[i], oldest) {
			oldest = &list[i]
		}
	}
	if oldest.Name == p.Name {
		return "", nil
	}
	return oldest.Name, nil
}
