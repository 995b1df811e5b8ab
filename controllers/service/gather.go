package service

import (
	"context"
	"fmt"
	"slices"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

type queue = workqueue.TypedRateLimitingInterface[ctrl.Request]

// observed is all that the status of a Service follows from, but for the health of its dependencies.
type observed struct {
	name    servicelevel.ServiceName
	service *inventory.Service
	// object as it is in the cache; not to be altered.
	object *v1alpha1.Service
	// workloads under its claims, in order; one that two claims match is there once.
	workloads []member
	// missing are claims by name of what does not exist, unmatched are claims by selector of what does not.
	missing   []configuration.Claim
	unmatched []string

	dependents    []servicelevel.ServiceName
	openIncidents int
	openChanges   int

	enforcement v1alpha1.Enforcement
	// stricter claim one of its workloads and enforce more, others as much or less.
	stricter, others []string
	// listed by the gate's webhooks; gateInstalled: there are such webhooks.
	listed        gateconfig.Listed
	gateInstalled bool
	quotas        []corev1.ResourceQuota
	limits        []corev1.LimitRange
	// ceilings are the most replicas that autoscalers make of workloads.
	ceilings map[configuration.Key]int32
	// agreements that goals name as their measure, with how they are kept.
	agreements map[string]v1alpha1.Compliance
}

// member is a workload with the claims of this Service on it.
type member struct {
	*configuration.Workload
	claims []configuration.Claim
	// plannedUntil is the end of the downtime that an implementing Change declared; zero where none did.
	plannedUntil []planned
}

// planned is a downtime from the time that a template went in.
type planned struct{ from, until time.Time }

func (m *member) plannedAt(now time.Time) (until time.Time) {
	for _, p := range m.plannedUntil {
		if !now.Before(p.from) && now.Before(p.until) && p.until.After(until) {
			until = p.until
		}
	}
	return until
}

// gather reads caches only.
func (r *Reconciler) gather(ctx context.Context, name servicelevel.ServiceName) (seen *observed, exists bool, err error) {
	s, ok := r.Inventory.Service(name)
	if !ok {
		return nil, false, nil
	}
	if seen = r.look(s); seen == nil {
		return nil, false, nil
	}
	last := servicelevel.ServiceName{}
	for _, d := range r.Inventory.Dependents(name) {
		if d.Name != last {
			seen.dependents = append(seen.dependents, d.Name)
		}
		last = d.Name
	}
	seen.openIncidents = len(r.Inventory.OpenIncidents(name))
	seen.openChanges = r.Inventory.OpenChangesOf(name)
	r.lookAtGovernance(seen)
	if err := r.readGate(ctx, seen); err != nil {
		return nil, false, err
	}
	if s.Spec.Resources != nil {
		if err := r.readCapacity(ctx, seen); err != nil {
			return nil, false, err
		}
	}
	return seen, true, r.readGoals(ctx, seen)
}

// readCapacity reads what bounds the namespace and its workloads.
func (r *Reconciler) readCapacity(ctx context.Context, seen *observed) error {
	in := client.InNamespace(seen.name.Namespace)
	quotas, limits, scalers := &corev1.ResourceQuotaList{}, &corev1.LimitRangeList{}, &autoscalingv2.HorizontalPodAutoscalerList{}
	for _, list := range []client.ObjectList{quotas, limits, scalers} {
		if err := r.Client.List(ctx, list, in); err != nil {
			return fmt.Errorf("listing %T of %s: %w", list, seen.name.Namespace, err)
		}
	}
	seen.quotas, seen.limits, seen.ceilings = quotas.Items, limits.Items, map[configuration.Key]int32{}
	for i := range scalers.Items {
		target := &scalers.Items[i].Spec.ScaleTargetRef
		group, known := configuration.GroupOf(target.Kind)
		if known {
			key := configuration.Key{Group: group, Kind: target.Kind, Namespace: seen.name.Namespace, Name: target.Name}
			seen.ceilings[key] = max(seen.ceilings[key], scalers.Items[i].Spec.MaxReplicas)
		}
	}
	return nil
}

// readGoals reads how the agreements are kept that goals name as their measure.
func (r *Reconciler) readGoals(ctx context.Context, seen *observed) error {
	for _, g := range seen.service.Spec.Goals {
		if len(validation.IsDNS1123Subdomain(g.Measure)) > 0 {
			continue
		}
		a := &v1alpha1.ServiceLevelAgreement{}
		err := r.Client.Get(ctx, client.ObjectKey{Namespace: seen.name.Namespace, Name: g.Measure}, a)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return fmt.Errorf("reading ServiceLevelAgreement %s/%s: %w", seen.name.Namespace, g.Measure, err)
		default:
			if seen.agreements == nil {
				seen.agreements = map[string]v1alpha1.Compliance{}
			}
			seen.agreements[g.Measure] = a.Status.Compliance
		}
	}
	return nil
}

// look at the workloads of a Service; nil where it is gone meanwhile.
func (r *Reconciler) look(s *inventory.Service) *observed {
	seen := &observed{name: s.Name, service: s, object: r.Inventory.ServiceObject(s.Name)}
	if seen.object == nil {
		return nil
	}
	matched := make([]bool, len(s.Claims))
	for _, key := range r.Inventory.Members(s.Name) {
		w, exists := r.Inventory.Workload(key)
		if !exists {
			continue
		}
		m := member{Workload: w, plannedUntil: r.plannedOf(key)}
		for i, c := range s.Claims {
			if c.Covers(key.Kind, key.Name, w.Template.Labels) {
				m.claims = append(m.claims, c)
				matched[i] = true
			}
		}
		if len(m.claims) > 0 {
			seen.workloads = append(seen.workloads, m)
		}
	}
	for i, c := range s.Claims {
		switch {
		case matched[i]:
		case c.Name != "":
			seen.missing = append(seen.missing, c)
		default:
			seen.unmatched = append(seen.unmatched, describe(s.Spec.Workloads[i]))
		}
	}
	return seen
}

// plannedOf are the downtimes that Changes of a workload declared, from when their templates went in. A declaration that
// was approved afterwards, also since it was edited, excuses nothing.
func (r *Reconciler) plannedOf(key configuration.Key) []planned {
	var out []planned
	for _, c := range r.Inventory.ChangesOf(key) {
		seconds := c.Object.Spec.ExpectedDowntimeSeconds
		if seconds <= 0 || !c.Candidate.Approval.Approved || c.Candidate.Ended != change.NotEnded {
			continue
		}
		for _, im := range c.Object.Status.Implementations {
			if approved := c.Candidate.Approval.At; im.Workload == change.ReferenceTo(key) && !approved.IsZero() && !approved.After(im.At.Time) {
				out = append(out, planned{from: im.At.Time, until: im.At.Add(time.Duration(seconds) * time.Second)})
			}
		}
	}
	return out
}

func (r *Reconciler) lookAtGovernance(seen *observed) {
	rules := r.Inventory.Rules(seen.name.Namespace)
	claim := func(s *inventory.Service) change.Claim {
		return change.Claim{Service: s.Name.Name, Tier: s.Tier(), Enforcement: s.Enforcement()}
	}
	seen.enforcement = change.EnforcementFor([]change.Claim{claim(seen.service)}, rules)
	for _, m := range seen.workloads {
		for _, c := range r.Inventory.Claimants(m.Key) {
			other := c.Service.Name
			if other == seen.name || slices.Contains(seen.stricter, other.Name) || slices.Contains(seen.others, other.Name) {
				continue
			}
			if both := change.EnforcementFor([]change.Claim{claim(seen.service), claim(c.Service)}, rules); both != seen.enforcement {
				seen.stricter = append(seen.stricter, other.Name)
			} else {
				seen.others = append(seen.others, other.Name)
			}
		}
	}
	slices.Sort(seen.stricter)
	slices.Sort(seen.others)
}

func (r *Reconciler) readGate(ctx context.Context, seen *observed) error {
	config := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: gateconfig.Name}, config)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading webhook configuration %s: %w", gateconfig.Name, err)
	}
	seen.gateInstalled = true
	seen.listed = gateconfig.Read(config).Of(seen.name.Namespace)
	return nil
}
