package timeline

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// service tells how the service was, and what became of what was promised about it. What was before its present health is
// known from the records of its agreements.
func (t *teller) service(r Records) {
	if t.subject.Service == "" {
		return
	}
	told := map[Entry]bool{}
	o := t.of("service", t.subject.Service, rankService)
	for i := range r.Agreements {
		a := &r.Agreements[i]
		if string(a.Spec.ServiceRef.Name) != t.subject.Service {
			continue
		}
		t.agreement(a)
		for n := range a.Status.Interruptions {
			o.interruption(&a.Status.Interruptions[n])
		}
	}
	for i := range r.Services {
		s := &r.Services[i]
		if s.Name != t.subject.Service {
			continue
		}
		for _, x := range lasting(s.Status.Transitions) {
			if !o.knows(x.At) {
				o.say(&x.At, operator, "health "+string(x.Health))
			}
		}
		if since := s.Status.HealthSince; since != nil && !o.knows(*since) {
			o.say(since, operator, "health "+string(s.Status.Health))
		}
	}
	// Two agreements remember the same outage.
	t.entries = slices.DeleteFunc(t.entries, func(e Entry) bool {
		seen := told[e]
		told[e] = true
		return seen && e.rank == rankService
	})
}

// flicker is how short a degradation must be for nobody to want to hear of it: each step of a rollout is one.
const flicker = time.Minute

// lasting are the transitions without the degradations that were over in a moment.
func lasting(all []v1alpha1.HealthTransition) []v1alpha1.HealthTransition {
	var kept []v1alpha1.HealthTransition
	for n, x := range all {
		last := len(kept) - 1
		flickers := x.Health == v1alpha1.HealthDegraded && last >= 0 && n+1 < len(all) &&
			all[n+1].Health == kept[last].Health && all[n+1].At.Sub(x.At.Time) < flicker
		if !flickers && (last < 0 || kept[last].Health != x.Health) {
			kept = append(kept, x)
		}
	}
	return kept
}

// knows reports whether the end or the beginning of an interruption says already how the service has been since.
func (o telling) knows(at metav1.Time) bool {
	return slices.ContainsFunc(o.entries, func(e Entry) bool { return e.Object == o.object && e.At.Equal(&at) })
}

func (o telling) interruption(i *v1alpha1.Interruption) {
	switch i.Type {
	case v1alpha1.InterruptionOutage:
		o.say(&i.From, operator, "health Outage")
		o.say(i.To, operator, "up again")
	case v1alpha1.InterruptionMaintenance:
		o.say(&i.From, operator, "health Maintenance, as declared and approved")
		o.say(i.To, operator, "the maintenance ends")
	case v1alpha1.InterruptionUnobserved:
		o.say(&i.From, operator, "not observed from here on")
		o.say(i.To, operator, "observed again")
	}
}

func (t *teller) agreement(a *v1alpha1.ServiceLevelAgreement) {
	o := t.of("sla", a.Name, rankAgreement)
	for i := range a.Status.History {
		p := &a.Status.History[i]
		what := "a period ends: availability " + p.Availability + " % of " + string(p.Target) + " %"
		if p.CreditPercent > 0 {
			what += ", a credit is due"
		}
		o.say(&p.End, operator, what)
	}
	for i := range a.Status.Conditions {
		c := &a.Status.Conditions[i]
		switch {
		case c.Type == v1alpha1.ConditionBudgetExhausted && c.Status == metav1.ConditionTrue:
			o.say(&c.LastTransitionTime, operator, "the error budget is exhausted: "+c.Message)
		case c.Type == v1alpha1.ConditionAtRisk && c.Status == metav1.ConditionTrue:
			o.say(&c.LastTransitionTime, operator, "at risk: "+c.Message)
		case c.Type == v1alpha1.ConditionMet && c.Status == metav1.ConditionFalse:
			o.say(&c.LastTransitionTime, operator, "not met: "+c.Message)
		}
	}
}
