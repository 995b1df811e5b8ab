// Package changepolicy keeps the status of ChangePolicies and Calendars: what they come to, and what of them cannot be
// understood.
package changepolicy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/conditions"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/kube/retry"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
)

// maxMessage bounds a condition's message, in bytes.
const maxMessage = 2048

// +kubebuilder:rbac:groups=itil.dev,resources=changepolicies;calendars,verbs=get;list;watch
// +kubebuilder:rbac:groups=itil.dev,resources=changepolicies/status;calendars/status,verbs=patch
// +kubebuilder:rbac:groups=itil.dev,resources=changes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconciler keeps the status of ChangePolicies and Calendars. The leader alone runs it.
type Reconciler struct {
	Client   client.Client
	Clock    clock.PassiveClock
	Recorder events.EventRecorder

	mu sync.Mutex
	// left are the namespaces that a policy did not select for a while, since its status was last written.
	left map[string]sets.Set[string]
}

// SetupWithManager registers the reconcilers of both kinds.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	policies := ctrl.NewControllerManagedBy(mgr).Named("changepolicy").
		WithOptions(controller.Options{RateLimiter: retry.Limiter[ctrl.Request]()}).
		For(&v1alpha1.ChangePolicy{}).
		Watches(&v1alpha1.Calendar{}, handler.EnqueueRequestsFromMapFunc(r.policiesWith), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		// The map function sees the labels before and after a change of them.
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.policiesOver), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(&admissionregistrationv1.ValidatingWebhookConfiguration{}, handler.EnqueueRequestsFromMapFunc(r.policiesOverAll), builder.WithPredicates(theGate)).
		Watches(&v1alpha1.Change{}, handler.EnqueueRequestsFromMapFunc(r.policiesUsedBy), builder.WithPredicates(used)).
		Complete(r)
	calendars := ctrl.NewControllerManagedBy(mgr).Named("calendar").
		WithOptions(controller.Options{RateLimiter: retry.Limiter[ctrl.Request]()}).
		For(&v1alpha1.Calendar{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(calendarReconciler{r})
	return errors.Join(policies, calendars)
}

// policiesWith are the policies that refer to a Calendar.
func (r *Reconciler) policiesWith(ctx context.Context, o client.Object) []ctrl.Request {
	return r.policies(ctx, func(p *v1alpha1.ChangePolicy) bool {
		w := p.Spec.ChangeWindow
		return w != nil && string(w.CalendarRef.Name) == o.GetName()
	})
}

// policiesOver are the policies that select a namespace.
func (r *Reconciler) policiesOver(ctx context.Context, o client.Object) []ctrl.Request {
	return r.policies(ctx, func(p *v1alpha1.ChangePolicy) bool {
		if practice.InScope(p, o.GetLabels()) {
			return true
		}
		r.leaving(p, o.GetName())
		return false
	})
}

func (r *Reconciler) policies(ctx context.Context, concerned func(*v1alpha1.ChangePolicy) bool) []ctrl.Request {
	all := &v1alpha1.ChangePolicyList{}
	if err := r.Client.List(ctx, all, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing ChangePolicies")
		return nil
	}
	var requests []ctrl.Request
	for i := range all.Items {
		if concerned(&all.Items[i]) {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return requests
}

// Reconcile brings the status of a ChangePolicy up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	p := &v1alpha1.ChangePolicy{}
	if err := r.Client.Get(ctx, request.NamespacedName, p); err != nil {
		if apierrors.IsNotFound(err) {
			r.hasLeft(request.Name)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	namespaces, calendars := &corev1.NamespaceList{}, &v1alpha1.CalendarList{}
	for _, list := range []client.ObjectList{namespaces, calendars} {
		if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
			return ctrl.Result{}, fmt.Errorf("listing %T: %w", list, err)
		}
	}
	uses, err := r.uses(ctx, p, namespaces.Items)
	if err != nil {
		return ctrl.Result{}, err
	}
	listed, err := r.listed(ctx)
	if err != nil {
		return ctrl.Result{}, err
	}
	after, now, left := p.DeepCopy(), r.Clock.Now(), r.hasLeft(p.Name)
	after.Status.EnforcedIn = enforcedIn(p, namespaces.Items, listed, left, now)
	after.Status.StandardChanges = practice.NextStandardChanges(p, uses, now)
	after.Status.WouldDeny = practice.NextWouldDeny(p.Status.WouldDeny, &practice.Refusals{}, now)
	setPolicyStatus(after, namespaces.Items, calendars.Items, now)
	// Every replica adds to wouldDeny: what is trimmed must be the newest. Its event brings us here again.
	_, err = patch.Status(ctx, r.Client, p, after, patch.OptimisticLock)
	if err != nil {
		r.stillLeft(p.Name, left)
	}
	switch {
	case apierrors.IsNotFound(err):
		r.hasLeft(p.Name)
		return ctrl.Result{}, nil
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: patch.StaleRetry}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("writing the status of ChangePolicy %s: %w", p.Name, err)
	}
	r.announce(p, after)
	return again(after, now), nil
}

// again is when something about a policy's status follows from time alone.
func again(p *v1alpha1.ChangePolicy, now time.Time) ctrl.Result {
	at := practice.RefusalsEnd(p.Status.WouldDeny)
	if watched := p.CreationTimestamp.Add(watchedLongEnough); at.IsZero() && onlyWatches(p) && now.Before(watched) {
		at = watched
	}
	if at.IsZero() {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: max(at.Sub(now), time.Second)}
}

// setPolicyStatus says how many namespaces a policy selects, and what of it cannot be understood.
func setPolicyStatus(p *v1alpha1.ChangePolicy, namespaces []corev1.Namespace, calendars []v1alpha1.Calendar, now time.Time) {
	s := &p.Status
	s.ObservedGeneration, s.Namespaces = p.Generation, 0
	for i := range namespaces {
		if practice.InScope(p, namespaces[i].Labels) {
			s.Namespaces++
		}
	}
	hours := make(map[string]practice.Calendar, len(calendars))
	for i := range calendars {
		c, problems := practice.Hours(calendars[i].Spec)
		if len(problems) > 0 {
			c = nil
		}
		hours[calendars[i].Name] = c
	}
	var wrong []string
	for _, part := range practice.Merge([]*v1alpha1.ChangePolicy{p}, hours).Invalid {
		wrong = append(wrong, part.Field+": "+part.Message)
	}
	s.State, s.NextStep = v1alpha1.ChangePolicyActive, ""
	if len(wrong) > 0 {
		s.State, s.NextStep = v1alpha1.ChangePolicyInvalid, "Mend what the condition Valid names: kubectl describe chgpol "+p.Name
	}
	if len(wrong) == 0 {
		s.NextStep = nextStep(p, now)
	}
	setValid(&s.Conditions, wrong, p.Generation, now)
}

// watchedLongEnough is how long a policy must have watched before its silence says something.
const watchedLongEnough = practice.RefusalDays * 24 * time.Hour

func onlyWatches(p *v1alpha1.ChangePolicy) bool {
	return p.Spec.Enforcement == v1alpha1.EnforcementAudit || p.Spec.Enforcement == v1alpha1.EnforcementWarn
}

// nextStep says what a person should do about a policy that is valid; empty for nothing.
func nextStep(p *v1alpha1.ChangePolicy, now time.Time) string {
	for i := range p.Status.StandardChanges {
		if s := &p.Status.StandardChanges[i]; s.Suspended {
			return fmt.Sprintf("standard change %s failed too often (last: Change %.253s) and needs votes until this policy is edited: mend it, or take it out",
				s.Name, s.LastFailed)
		}
	}
	switch w := p.Status.WouldDeny; {
	case !onlyWatches(p):
		return ""
	case w != nil && w.Count > 0:
		return fmt.Sprintf("Enforce would have refused %d requests in the last %d days: see status.wouldDeny, and have Changes filed or standard changes added for them",
			w.Count, practice.RefusalDays)
	case now.Before(p.CreationTimestamp.Add(watchedLongEnough)):
		return ""
	default:
		return fmt.Sprintf("Enforce would have refused nothing in the last %d days: set spec.enforcement: Enforce", practice.RefusalDays)
	}
}

// setValid is the only place that sets the condition Valid.
func setValid(list *[]metav1.Condition, wrong []string, generation int64, now time.Time) {
	c := metav1.Condition{
		Type: v1alpha1.ConditionValid, Status: conditions.Status(len(wrong) == 0), Reason: "Understood",
		Message: "all of it can be understood", ObservedGeneration: generation,
	}
	if len(wrong) > 0 {
		c.Reason, c.Message = "Invalid", strings.Join(wrong, "; ")
		if len(c.Message) > maxMessage {
			c.Message = strings.ToValidUTF8(c.Message[:maxMessage], "") + "…"
		}
	}
	conditions.Set(list, c, now)
	conditions.Keep(list, v1alpha1.ConditionValid)
}

// calendarReconciler keeps the status of Calendars.
type calendarReconciler struct{ *Reconciler }

// Reconcile brings the status of a Calendar up to date.
func (r calendarReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	c := &v1alpha1.Calendar{}
	if err := r.Client.Get(ctx, request.NamespacedName, c); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	after := c.DeepCopy()
	setCalendarStatus(after, r.Clock.Now())
	if _, err := patch.Status(ctx, r.Client, c, after); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("writing the status of Calendar %s: %w", c.Name, err))
	}
	return ctrl.Result{}, nil
}

func setCalendarStatus(c *v1alpha1.Calendar, now time.Time) {
	var wrong []string
	_, problems := practice.Hours(c.Spec)
	for _, problem := range problems {
		wrong = append(wrong, problem.Error())
	}
	c.Status.ObservedGeneration = c.Generation
	c.Status.State, c.Status.NextStep = v1alpha1.CalendarActive, ""
	if len(wrong) > 0 {
		c.Status.State = v1alpha1.CalendarInvalid
		c.Status.NextStep = "It counts as closed. Mend what the condition Valid names: kubectl describe cal " + c.Name
	}
	setValid(&c.Status.Conditions, wrong, c.Generation, now)
}
