package problem

import (
	"context"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	practice "github.com/itil-dev/itil-operator/internal/practice/problem"
)

// fingerprint is what the opener reconciles: all incidents that fail in the same way.
type fingerprint struct{ Namespace, Value string }

// opener opens a Problem where the same failure recurs. It has no state: whoever comes second finds what the first
// has made, by its name.
type opener struct {
	Client client.Client
	// Reader knows what the cache does not show yet.
	Reader client.Reader
	Clock  clock.PassiveClock
	Rules  practice.Rules
}

// setUp watches Incidents, and Problems: one that is deleted, or whose accepted risk is due, answers for nothing any more.
func (o *opener) setUp(mgr ctrl.Manager) error {
	return builder.TypedControllerManagedBy[fingerprint](mgr).Named("problem-opener").
		WithOptions(controller.TypedOptions[fingerprint]{RateLimiter: retry.Limiter[fingerprint]()}).
		Watches(&v1alpha1.Incident{}, handler.TypedEnqueueRequestsFromMapFunc(o.ofIncident), builder.WithPredicates(countsOtherwise())).
		Watches(&v1alpha1.Problem{}, handler.TypedEnqueueRequestsFromMapFunc(o.ofProblem), builder.WithPredicates(linksOtherwise())).
		Complete(o)
}

func (o *opener) ofIncident(_ context.Context, obj client.Object) []fingerprint {
	incident, ok := obj.(*v1alpha1.Incident)
	if !ok || incident.Status.Fingerprint == "" {
		return nil
	}
	return []fingerprint{{Namespace: incident.Namespace, Value: incident.Status.Fingerprint}}
}

// ofProblem are its fingerprint, those of the Problems that duplicate it, and those of the incidents that name it.
func (o *opener) ofProblem(ctx context.Context, obj client.Object) []fingerprint {
	p, ok := obj.(*v1alpha1.Problem)
	if !ok {
		return nil
	}
	found := newRequests(o.Client, p.Namespace)
	values := append(found.namedBy(ctx, p.Name), p.Spec.Fingerprint)
	found.by(ctx, problemDuplicateOf, p.Name)
	for _, q := range found.list {
		if d := found.links.problem(ctx, q.Name); d != nil {
			values = append(values, d.Spec.Fingerprint)
		}
	}
	var out []fingerprint
	for _, value := range values {
		if value != "" {
			out = append(out, fingerprint{Namespace: p.Namespace, Value: value})
		}
	}
	return out
}

// Reconcile opens a Problem for a fingerprint, if its incidents ask for one and none is open.
func (o *opener) Reconcile(ctx context.Context, f fingerprint) (reconcile.Result, error) {
	l := newLinks(o.Client, f.Namespace)
	problems, err := l.problemsBy(ctx, problemFingerprint, f.Value)
	if err != nil {
		return reconcile.Result{}, err
	}
	// The incidents that name another Problem are answered for by that one.
	family := make([]*v1alpha1.Problem, 0, len(problems))
	for i := range problems {
		family = append(family, &problems[i])
	}
	if len(family) == 0 {
		family = append(family, &v1alpha1.Problem{Spec: v1alpha1.ProblemSpec{Fingerprint: f.Value}})
	}
	incidents, err := l.incidents(ctx, family)
	if err != nil {
		return reconcile.Result{}, err
	}
	opening := practice.Opens(problems, l.lookup(ctx), incidents, o.Rules, o.Clock.Now())
	if l.failed != nil || opening.Cause == practice.NoCause {
		return reconcile.Result{}, l.failed
	}
	return reconcile.Result{}, o.open(ctx, f, newest(incidents), opening)
}

func newest(incidents []practice.Incident) practice.Incident {
	last := incidents[0]
	for _, i := range incidents {
		if i.StartedAt.After(last.StartedAt) {
			last = i
		}
	}
	return last
}

// maxAttempts bounds how many names that are taken are passed over.
const maxAttempts = 10

// open creates the Problem. A name that is taken is a success only if it is that of an open Problem about the same:
// else somebody else's, or an earlier one's that the cache does not show yet, and the next is tried.
func (o *opener) open(ctx context.Context, f fingerprint, last practice.Incident, opening practice.Opening) error {
	for episode := opening.Episode; episode < opening.Episode+maxAttempts; episode++ {
		p := o.problem(f, episode, last, opening)
		err := o.Client.Create(ctx, p)
		switch {
		case err == nil:
			ctrl.LoggerFrom(ctx).Info("Opened a Problem", "problem", p.Name, "cause", string(opening.Cause), "failures", opening.Count)
			return nil
		case !apierrors.IsAlreadyExists(err):
			return fmt.Errorf("opening Problem %s: %w", p.Name, err)
		}
		live := &v1alpha1.Problem{}
		switch err := o.Reader.Get(ctx, client.ObjectKeyFromObject(p), live); {
		case apierrors.IsNotFound(err):
			return fmt.Errorf("opening Problem %s: it existed a moment ago, and is gone: %w", p.Name, err)
		case err != nil:
			return fmt.Errorf("reading Problem %s, whose name is taken: %w", p.Name, err)
		case live.Spec.Fingerprint == f.Value && practice.IsOpen(live):
			return nil
		}
	}
	return fmt.Errorf("opening a Problem for %s in namespace %s: %d names are taken by others", last.Workload, f.Namespace, maxAttempts)
}

func (o *opener) problem(f fingerprint, episode int, last practice.Incident, opening practice.Opening) *v1alpha1.Problem {
	p := &v1alpha1.Problem{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.Namespace,
			Name:      practice.Name(last.Workload, last.Reason, f.Value, episode),
			Labels:    map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, v1alpha1.LabelEpisode: strconv.Itoa(episode)},
		},
		Spec: v1alpha1.ProblemSpec{
			Statement:   practice.Statement(last, opening.Cause, opening.Count, o.Rules),
			Fingerprint: f.Value,
		},
	}
	if last.Service != "" {
		p.Spec.ServiceRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(last.Service)}
	}
	return p
}
