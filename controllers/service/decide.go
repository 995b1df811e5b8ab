package service

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/conditions"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

const (
	maxWorkloads  = 100
	maxDependents = 100
	maxImages     = 50
	maxNextStep   = 1024
)

// decide is the status that follows from what was observed and from the changes of health that no status has yet. Of the
// status before it keeps recorded times alone.
func decide(seen *observed, told servicelevel.ServiceHealth, changes []finding, now time.Time) v1alpha1.ServiceStatus {
	before := &seen.object.Status
	s := v1alpha1.ServiceStatus{
		ObservedGeneration: seen.service.Generation,
		Health:             told.Shown,
		HealthSince:        before.HealthSince.DeepCopy(),
		WorkloadCount:      int32(min(len(seen.workloads), 1<<20)),
		OpenIncidents:      int32(min(seen.openIncidents, 1<<20)), //nolint:gosec // bounded in the same line
		OpenChanges:        int32(min(seen.openChanges, 1<<20)),   //nolint:gosec // bounded in the same line
		Conditions:         slices.Clone(before.Conditions),
		// Another controller writes these (controllers/delivery).
		Delivery: before.Delivery.DeepCopy(),
	}
	s.Transitions = transitions(before, changes, told.Shown, now)
	if n := len(s.Transitions); n > 0 && (s.HealthSince == nil || len(changes) > 0 || before.Health != s.Health) {
		s.HealthSince = s.Transitions[n-1].At.DeepCopy()
	}
	s.Ready, s.Workloads = listWorkloads(seen.workloads)
	for _, d := range seen.dependents[:min(len(seen.dependents), maxDependents)] {
		s.Dependents = append(s.Dependents, v1alpha1.NamespacedReference{
			Namespace: v1alpha1.NamespaceName(d.Namespace), Name: v1alpha1.ObjectName(d.Name),
		})
	}
	conditions.Keep(&s.Conditions, v1alpha1.ConditionHealthy, v1alpha1.ConditionCapacityMet, v1alpha1.ConditionDependenciesHealthy, v1alpha1.ConditionGoverned,
		v1alpha1.ConditionLifecycleKept)
	setHealthy(&s, told, now)
	setDependenciesHealthy(&s, told, now)
	setCapacityMet(&s, seen, now)
	setGoverned(&s, seen, now)
	s.GovernedSince = governedSince(&s, before, seen, now)
	setLifecycleKept(&s, seen, now)
	s.Goals = goals(seen)
	s.NextStep = nextStep(&s, seen)
	return s
}

func listWorkloads(members []member) (ready string, list []v1alpha1.ServiceWorkload) {
	var sumReady, sumDesired int64
	for i := range members {
		w := &members[i]
		sumReady, sumDesired = sumReady+int64(w.Ready), sumDesired+int64(w.Desired)
		if len(list) == maxWorkloads {
			continue
		}
		list = append(list, v1alpha1.ServiceWorkload{
			Kind: v1alpha1.WorkloadKind(w.Key.Kind), Name: v1alpha1.ObjectName(w.Key.Name), Ready: w.Ready, Desired: w.Desired,
			Images:            firstImages(w.Template.Images),
			ConfigurationItem: v1alpha1.ObjectName(configuration.ItemName(w.Key.Kind, w.Key.Name)),
		})
	}
	return fmt.Sprintf("%d/%d", sumReady, sumDesired), list
}

func firstImages(images map[string]string) map[string]string {
	if len(images) == 0 {
		return nil
	}
	out := make(map[string]string, min(len(images), maxImages))
	for _, name := range slices.Sorted(maps.Keys(images))[:min(len(images), maxImages)] {
		out[name] = images[name]
	}
	return out
}

func setHealthy(s *v1alpha1.ServiceStatus, told servicelevel.ServiceHealth, now time.Time) {
	status := metav1.ConditionFalse
	switch told.Shown {
	case v1alpha1.HealthOperational:
		status = metav1.ConditionTrue
	case v1alpha1.HealthUnknown:
		status = metav1.ConditionUnknown
	case v1alpha1.HealthDegraded, v1alpha1.HealthOutage, v1alpha1.HealthMaintenance:
	}
	set(s, v1alpha1.ConditionHealthy, status, told.Reason, told.Message, now)
}

func setDependenciesHealthy(s *v1alpha1.ServiceStatus, told servicelevel.ServiceHealth, now time.Time) {
	d := told.Dependencies
	set(s, v1alpha1.ConditionDependenciesHealthy, d.Status, d.Reason, d.Message, now)
}

// Reasons of the condition Governed.
const (
	reasonEnforced       = "Enforced"
	reasonWarned         = "Warned"
	reasonAudited        = "Audited"
	reasonDisabled       = "Disabled"
	reasonWebhookPending = "WebhookPending"
)

// setGoverned is True only if the API server asks the gate about the namespace, and fails closed where it must.
func setGoverned(s *v1alpha1.ServiceStatus, seen *observed, now time.Time) {
	namespace := seen.name.Namespace
	reason, message, want := "", "", gateconfig.ListedAudit
	switch seen.enforcement {
	case v1alpha1.EnforcementEnforce:
		reason, want = reasonEnforced, gateconfig.ListedEnforce
		message = "changes of its workloads that nobody approved are refused"
	case v1alpha1.EnforcementWarn:
		reason, message = reasonWarned, "changes of its workloads that nobody approved go in with a warning"
	case v1alpha1.EnforcementAudit:
		reason, message = reasonAudited, "changes of its workloads that nobody approved go in and are counted"
	case v1alpha1.EnforcementDisabled, "":
		set(s, v1alpha1.ConditionGoverned, metav1.ConditionFalse, reasonDisabled, "its changeControl is Disabled: nobody looks at changes of its workloads"+strictest(seen), now)
		return
	}
	switch {
	case len(seen.service.Claims) == 0:
		set(s, v1alpha1.ConditionGoverned, metav1.ConditionFalse, reasonDisabled, "it claims no workload, so there is nothing to govern", now)
	case !seen.gateInstalled:
		set(s, v1alpha1.ConditionGoverned, metav1.ConditionFalse, reasonWebhookPending,
			"the gate is not installed: there is no ValidatingWebhookConfiguration "+gateconfig.Name+strictest(seen), now)
	case seen.listed != want && seen.listed != gateconfig.ListedEnforce:
		set(s, v1alpha1.ConditionGoverned, metav1.ConditionFalse, reasonWebhookPending, fmt.Sprintf(
			"the gate's webhook does not list namespace %s for %s yet; kube-system and the operator's own namespace never are%s", namespace, seen.enforcement, strictest(seen)), now)
	default:
		set(s, v1alpha1.ConditionGoverned, metav1.ConditionTrue, reason, message+strictest(seen), now)
	}
}

// governedSince is since when the API server asks the gate about what this spec claims, and the gate says of it what it says now.
// An edit of the spec may claim what has long been there, so that it begins anew; so does another enforcement. It stays while
// the gate's configuration is gone, or lists the namespace nowhere: nobody agreed to that.
func governedSince(s, before *v1alpha1.ServiceStatus, seen *observed, now time.Time) *metav1.Time {
	was, is := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionGoverned), meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionGoverned)
	kept := before.GovernedSince.DeepCopy()
	if was == nil || before.ObservedGeneration != s.ObservedGeneration || is.Status == metav1.ConditionTrue && was.Reason != is.Reason && was.Reason != reasonWebhookPending {
		kept = nil
	}
	switch {
	case is.Status == metav1.ConditionTrue && kept == nil:
		at := metav1.NewTime(now.Truncate(time.Second))
		return &at
	case is.Status == metav1.ConditionTrue, is.Reason == reasonWebhookPending && seen.listed == gateconfig.NotListed:
		return kept
	}
	return nil
}

// strictest says who claims, as well, what this service claims, and whose enforcement applies.
func strictest(seen *observed) string {
	said := ""
	if c := seen.service.Spec.ChangeControl; c != nil && !change.KnownEnforcement(c.Enforcement) {
		said += fmt.Sprintf("; this version of the operator does not know enforcement %q, which counts as Enforce: set one that it knows, or upgrade it", c.Enforcement)
	}
	if len(seen.stricter) > 0 {
		said += "; the stricter Service " + firstOf(seen.stricter) + " claims some of them as well, and its enforcement applies to those"
	}
	if len(seen.others) > 0 {
		said += "; Service " + firstOf(seen.others) + " claims some of them as well, and the strictest enforcement applies to those"
	}
	return said
}

func firstOf(names []string) string {
	const shown = 3
	return strings.Join(names[:min(len(names), shown)], ", ")
}

// Reasons of the condition LifecycleKept.
const (
	reasonStillRunning  = "StillRunning"
	reasonNothingRuns   = "NothingRuns"
	reasonLive          = "Live"
	reasonNotOfferedYet = "NotOfferedYet"
)

// setLifecycleKept is False where a Retired service still runs something. In the Pipeline it may run what it likes, and
// opens no Incidents.
func setLifecycleKept(s *v1alpha1.ServiceStatus, seen *observed, now time.Time) {
	status, reason, message := metav1.ConditionTrue, reasonLive, "it is offered to customers"
	switch seen.service.Spec.Lifecycle {
	case v1alpha1.LifecyclePipeline:
		reason, message = reasonNotOfferedYet, "it is not offered yet: failures of its workloads open no Incidents"
	case v1alpha1.LifecycleRetired:
		reason, message = reasonNothingRuns, "it is retired, and nothing of it runs"
		if running := running(seen); len(running) > 0 {
			status, reason = metav1.ConditionFalse, reasonStillRunning
			message = "it is retired, but still runs " + firstOf(running)
		}
	case v1alpha1.LifecycleLive:
	}
	set(s, v1alpha1.ConditionLifecycleKept, status, reason, message, now)
}

// running are its workloads that are to have pods.
func running(seen *observed) (names []string) {
	for i := range seen.workloads {
		w := &seen.workloads[i]
		if w.Desired > 0 && !w.Hold.Suspended {
			names = append(names, w.Key.Kind+" "+w.Key.Name)
		}
	}
	return names
}

// goals are those that an agreement measures.
func goals(seen *observed) (list []v1alpha1.GoalStatus) {
	for _, g := range seen.service.Spec.Goals {
		if compliance, measured := seen.agreements[g.Measure]; measured {
			list = append(list, v1alpha1.GoalStatus{Name: g.Name, Agreement: v1alpha1.ObjectName(g.Measure), Compliance: compliance})
		}
	}
	return list
}

func set(s *v1alpha1.ServiceStatus, kind string, status metav1.ConditionStatus, reason, message string, now time.Time) {
	conditions.Set(&s.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message, ObservedGeneration: s.ObservedGeneration,
	}, now)
}

// nextStep is what a person should do, the most pressing first; empty where there is nothing to do.
func nextStep(s *v1alpha1.ServiceStatus, seen *observed) string {
	name := seen.name
	step := ""
	switch {
	case len(seen.service.Claims) == 0 && len(seen.service.DependsOn) == 0:
		step = "say what it runs on: kubectl edit itsvc -n " + name.Namespace + " " + name.Name + " (spec.workloads)"
	case len(seen.missing) > 0 && s.Health != v1alpha1.HealthOperational:
		c := seen.missing[0]
		step = fmt.Sprintf("create %s %s, or take it out of spec.workloads", c.Kind, c.Name)
	case len(seen.unmatched) > 0:
		step = "put the labels on the pod templates, or correct spec.workloads: nothing matches " + seen.unmatched[0]
	case seen.service.Spec.Lifecycle == v1alpha1.LifecycleRetired && len(running(seen)) > 0:
		step = fmt.Sprintf("stop %s, or say that it is Live: kubectl edit itsvc -n %s %s (spec.lifecycle)", running(seen)[0], name.Namespace, name.Name)
	case s.OpenIncidents > 0:
		step = "see its open Incidents: kubectl get inc -n " + name.Namespace
	}
	return strings.ToValidUTF8(step[:min(len(step), maxNextStep)], "")
}
