package servicelevel

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Reasons of an agreement's conditions that others look at.
const (
	// ReasonBurnRate of condition AtRisk: a pair of windows fires (BurnPairs); the message names it.
	ReasonBurnRate = "BurnRate"
	// ReasonNoTarget of condition BudgetExhausted: no availability was promised, so that there is no error budget.
	ReasonNoTarget = "NoTarget"
)

// Reasons of an agreement's conditions.
const (
	reasonKept            = "Kept"
	reasonTargetMissed    = "TargetMissed"
	reasonTimesMissed     = "IncidentTimesMissed"
	reasonNoData          = "NoData"
	reasonNotAtRisk       = "NotAtRisk"
	reasonBudgetExhausted = "BudgetExhausted"
	reasonPresentRate     = "PresentRate"
	reasonDueSoon         = "IncidentDueSoon"
	reasonBreached        = "Breached"
	reasonBudgetLeft      = "BudgetLeft"
	reasonObserved        = "Observed"
	reasonHealthUnknown   = "HealthUnknown"
	reasonServiceNotFound = "ServiceNotFound"
	reasonNotStarted      = "NotStarted"
	reasonInvalid         = "Invalid"
)

var agreementConditions = []string{
	v1alpha1.ConditionMet, v1alpha1.ConditionAtRisk, v1alpha1.ConditionBudgetExhausted, v1alpha1.ConditionDataAvailable,
	v1alpha1.ConditionUnderpinned,
}

// creditTerm is a credit that is due below an availability.
type creditTerm struct {
	below   PartsPerMillion
	percent int32
}

// creditFor is the greatest credit that is due; none where nothing was observed. It compares whole numbers.
func creditFor(credits []creditTerm, s Sums) int32 {
	var percent int32
	for _, c := range credits {
		if (s.observed()-s.Downtime)*int64(Whole) < int64(c.below)*s.observed() {
			percent = max(percent, c.percent)
		}
	}
	return percent
}

// judge says whether the agreement is kept, and what to do where it is not.
func (e *agreementEvaluation) judge() {
	s, t, count := e.sums, e.terms, e.after.Incidents
	missed := count.ResponseBreached+count.ResolutionBreached > 0
	service := string(e.Agreement.Spec.ServiceRef.Name)
	switch {
	case t.broken(s):
		e.breached(reasonTargetMissed, fmt.Sprintf("the downtime is more than a target of %s %% allows in this period", t.Target))
	case missed:
		e.breached(reasonTimesMissed, "incidents were not answered or not resolved within the agreed time (status.incidents)")
	case t.uncertain(s):
		e.after.Compliance = v1alpha1.ComplianceUnknown
		message := "too little was observed to say that the target is kept: what was not may be more than the budget that is left"
		e.set(v1alpha1.ConditionMet, metav1.ConditionUnknown, reasonNoData, message)
		if !e.burning() {
			e.set(v1alpha1.ConditionAtRisk, metav1.ConditionUnknown, reasonNoData, message)
		}
	default:
		e.kept()
	}
	switch {
	case t.Target == 0:
		e.set(v1alpha1.ConditionBudgetExhausted, metav1.ConditionFalse, ReasonNoTarget, "no availability was promised")
	case t.exhausted(s):
		e.set(v1alpha1.ConditionBudgetExhausted, metav1.ConditionTrue, reasonBudgetExhausted, "no error budget is left until the period ends")
		e.after.NextStep = "restore the service and put off what may fail until the period ends: " + e.command("describe itsvc", service)
	case t.uncertain(s):
		e.set(v1alpha1.ConditionBudgetExhausted, metav1.ConditionUnknown, reasonNoData, "too little was observed to say what is left")
	default:
		e.set(v1alpha1.ConditionBudgetExhausted, metav1.ConditionFalse, reasonBudgetLeft, "there is error budget left")
	}
	e.setData(service)
}

func (e *agreementEvaluation) breached(reason, message string) {
	e.after.Compliance = v1alpha1.ComplianceBreached
	e.set(v1alpha1.ConditionMet, metav1.ConditionFalse, reason, message)
	if e.terms.broken(e.sums) || !e.burning() {
		e.set(v1alpha1.ConditionAtRisk, metav1.ConditionFalse, reasonBreached, "it is broken already")
	}
	e.after.NextStep = "tell the customer and find the cause: " + e.command("describe itsvc", string(e.Agreement.Spec.ServiceRef.Name))
}

// kept so far, at risk or not.
func (e *agreementEvaluation) kept() {
	e.after.Compliance = v1alpha1.ComplianceAtRisk
	e.set(v1alpha1.ConditionMet, metav1.ConditionTrue, reasonKept, "what was promised is kept so far")
	dueSoon := false
	for _, i := range e.Incidents {
		dueSoon = dueSoon || i.Response == v1alpha1.ClockWarning || i.Resolution == v1alpha1.ClockWarning
	}
	risk := func(reason, message string) { e.set(v1alpha1.ConditionAtRisk, metav1.ConditionTrue, reason, message) }
	switch {
	case e.terms.exhausted(e.sums):
		risk(reasonBudgetExhausted, "any more downtime breaks it")
	case e.burning():
	case e.terms.tooFast(e.sums):
		risk(reasonPresentRate, "at the present rate of downtime the error budget does not last until the period ends")
	case dueSoon:
		risk(reasonDueSoon, "three quarters of the time for an incident are over")
	default:
		e.after.Compliance = v1alpha1.ComplianceMet
		e.set(v1alpha1.ConditionAtRisk, metav1.ConditionFalse, reasonNotAtRisk, "nothing indicates that it will be broken")
	}
}

// burning says that a pair of windows fires, where one does: whatever else is broken or not known, there is budget left
// and it is used up too fast. Where none is left, BudgetExhausted says more.
func (e *agreementEvaluation) burning() bool {
	if e.firing == (BurnPair{}) {
		return false
	}
	e.set(v1alpha1.ConditionAtRisk, metav1.ConditionTrue, ReasonBurnRate,
		fmt.Sprintf("the error budget is used too fast: more than %d %% of it in the last %s, and so in the last %s",
			e.firing.share, e.firing.Long.Name, e.firing.Short.Name))
	return true
}

func (e *agreementEvaluation) setData(service string) {
	switch {
	case e.Service == nil:
		e.set(v1alpha1.ConditionDataAvailable, metav1.ConditionFalse, reasonServiceNotFound, "there is no Service "+service)
		e.after.NextStep = "create Service " + service + ", or correct spec.serviceRef: " + e.command("edit sla", e.Agreement.Name)
	case e.account.Health == v1alpha1.HealthUnknown:
		e.set(v1alpha1.ConditionDataAvailable, metav1.ConditionFalse, reasonHealthUnknown, "it is not known how Service "+service+" is; that time counts as unobserved")
		if e.after.NextStep == "" {
			e.after.NextStep = "see why it is not known how the service is: " + e.command("describe itsvc", service)
		}
	default:
		e.set(v1alpha1.ConditionDataAvailable, metav1.ConditionTrue, reasonObserved, "the health of Service "+service+" is counted")
	}
}

// cannotSay is for an agreement that does not count.
func (e *agreementEvaluation) cannotSay(reason, message string) {
	e.after.Compliance = v1alpha1.ComplianceUnknown
	e.set(v1alpha1.ConditionDataAvailable, metav1.ConditionFalse, reason, message)
	for _, c := range []string{v1alpha1.ConditionMet, v1alpha1.ConditionAtRisk, v1alpha1.ConditionBudgetExhausted} {
		e.set(c, metav1.ConditionUnknown, reason, message)
	}
}

func (e *agreementEvaluation) set(kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&e.after.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: message,
		ObservedGeneration: e.Agreement.Generation, LastTransitionTime: metav1.NewTime(e.now),
	})
}

// RunningFigures are what an agreement's figures are at a time, which its status does not show.
type RunningFigures struct {
	// Terms by which the running period is measured.
	Terms Terms
	Sums  Sums
	// Windows are what the windows of BurnWindows hold, by name.
	Windows map[string]Burnt
}

// Running computes an agreement's figures from what its status records, without altering it; false where they cannot
// be said.
func Running(f AgreementFacts, now time.Time) (RunningFigures, bool) {
	now = now.UTC().Truncate(time.Second)
	e := &agreementEvaluation{AgreementFacts: f, now: now, account: accountOf(&f.Agreement.Status), spec: readSpec(f)}
	e.after.CurrentPeriod = f.Agreement.Status.CurrentPeriod
	e.agreed = inForce(f, e.spec)
	if len(e.spec.problems)+len(e.agreed.problems) > 0 || e.account.Health == "" {
		return RunningFigures{}, false
	}
	e.recall()
	e.closePeriods()
	if e.terms = e.agreed.terms; now.Before(e.terms.From) {
		return RunningFigures{}, false
	}
	period := e.period
	r := RunningFigures{Terms: e.terms, Sums: e.terms.Sum(e.account, e.declared(), period, now), Windows: map[string]Burnt{}}
	down := e.terms.downtime(e.account, e.declared())
	for _, w := range BurnWindows() {
		r.Windows[w.Name] = e.terms.burnt(down, w.Length, now)
	}
	return r, true
}
