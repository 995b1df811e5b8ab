package problem

import (
	"context"
	"fmt"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	practice "github.com/itil-dev/itil-operator/internal/practice/problem"
)

// labelEpisode on a Problem says the how manieth of its fingerprint it is.
const labelEpisode = "itil.dev/episode"

// fingerprint is what the opener reconciles: all incidents that fail in the same way.
type fingerprint struct{ Namespace, Value string }

// opener opens a Problem where the same failure recurs. It has no state: whoever comes second finds what the first
// has made, by its name.
type opener struct {
	Client client.Client
	Clock  clock.PassiveClock
	Rules  practice.Rules
}

func (o *opener) setUp(mgr ctrl.Manager) error {
	ofIncident := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []fingerprint {
		incident, ok := obj.(*v1alpha1.Incident)
		if !ok || incident.Status.Fingerprint == "" {
			return nil
		}
		return []fingerprint{{Namespace: incident.Namespace, Value: incident.Status.Fingerprint}}
	})
	return builder.TypedControllerManagedBy[fingerprint](mgr).Named("problem-opener").
		Watches(&v1alpha1.Incident{}, ofIncident).
		Complete(o)
}

// Reconcile opens a Problem for a fingerprint, if its incidents ask for one and none is open.
func (o *opener) Reconcile(ctx context.Context, f fingerprint) (reconcile.Result, error) {
	problems := &v1alpha1.ProblemList{}
	if err := o.Client.List(ctx, problems, client.InNamespace(f.Namespace), client.MatchingFields{problemFingerprint: f.Value}); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing the Problems of a fingerprint: %w", err)
	}
	open, episode, answered := latest(problems.Items)
	if open {
		return reconcile.Result{}, nil
	}
	incidents, err := incidentsOf(ctx, o.Client, &v1alpha1.Problem{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.Namespace}, Spec: v1alpha1.ProblemSpec{Fingerprint: f.Value},
	})
	if err != nil || len(incidents) == 0 {
		return reconcile.Result{}, err
	}
	cause, count := practice.Recurs(incidents, answered, o.Rules, o.Clock.Now())
	if cause == practice.NoCause {
		return reconcile.Result{}, nil
	}
	return reconcile.Result{}, o.open(ctx, f, episode+1, newest(incidents), cause, count)
}

// latest finds whether one of a fingerprint's Problems is open, their greatest episode, and until when they answered
// for the failures.
func latest(problems []v1alpha1.Problem) (open bool, episode int, answered time.Time) {
	for i := range problems {
		p := &problems[i]
		open = open || p.Status.State != v1alpha1.ProblemClosed
		if n, err := strconv.Atoi(p.Labels[labelEpisode]); err == nil {
			episode = max(episode, n)
		}
		if at := p.Status.ClosedAt; at != nil && at.After(answered) {
			answered = at.Time
		}
	}
	return open, episode, answered
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

func (o *opener) open(ctx context.Context, f fingerprint, episode int, last practice.Incident, cause practice.Cause, count int) error {
	p := &v1alpha1.Problem{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.Namespace,
			Name:      practice.Name(last.Workload, last.Reason, f.Value, episode),
			Labels:    map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy, labelEpisode: strconv.Itoa(episode)},
		},
		Spec: v1alpha1.ProblemSpec{
			Statement:   practice.Statement(last, cause, count, o.Rules),
			Fingerprint: f.Value,
		},
	}
	if last.Service != "" {
		p.Spec.ServiceRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(last.Service)}
	}
	err := o.Client.Create(ctx, p)
	if apierrors.IsAlreadyExists(err) {
		// The cache has not shown it yet; its event brings the fingerprint's Problem up to date.
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening Problem %s: %w", p.Name, err)
	}
	ctrl.LoggerFrom(ctx).Info("Opened a Problem", "problem", p.Name, "cause", string(cause), "failures", count)
	return nil
}
