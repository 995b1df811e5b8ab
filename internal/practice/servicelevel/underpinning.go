package servicelevel

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Underpinning is an OLA or UC that an SLA rests on: about the same service, or about one that it needs.
type Underpinning struct {
	// Namespace and Name of the agreement.
	Namespace, Name string
	Spec            *v1alpha1.ServiceLevelAgreementSpec
	// Calendar that it names; nil: none, or there is none of that name.
	Calendar *v1alpha1.CalendarSpec
}

// Reasons of the condition Underpinned.
const (
	reasonUnderpinned   = "Underpinned"
	reasonPromisesLess  = "PromisesLess"
	maxUnderpinningDays = 366
)

// judgeUnderpinning tells of an SLA whether what it rests on promises as much. Without such agreements, and of others,
// there is nothing to tell.
func (e *agreementEvaluation) judgeUnderpinning() {
	own := &e.Agreement.Spec
	if len(e.Underpinning) == 0 || own.Type != "" && own.Type != v1alpha1.AgreementSLA || len(e.problems) > 0 {
		meta.RemoveStatusCondition(&e.after.Conditions, v1alpha1.ConditionUnderpinned)
		return
	}
	span := e.spec.terms.Period.At(e.now)
	var less []string
	for _, u := range e.Underpinning {
		for _, what := range u.lessThan(own, e.spec.terms, span) {
			less = append(less, fmt.Sprintf("%s %s/%s %s", u.Spec.Type, u.Namespace, u.Name, what))
		}
	}
	if len(less) == 0 {
		e.set(v1alpha1.ConditionUnderpinned, metav1.ConditionTrue, reasonUnderpinned, "the OLAs and UCs that it rests on promise as much")
		return
	}
	slices.Sort(less)
	e.set(v1alpha1.ConditionUnderpinned, metav1.ConditionFalse, reasonPromisesLess, listed(less))
	if e.after.NextStep == "" {
		e.after.NextStep = "agree on more in what it rests on, or promise less: " + e.command("describe sla", e.Agreement.Name)
	}
}

// lessThan is what an agreement promises less than an SLA.
func (u Underpinning) lessThan(own *v1alpha1.ServiceLevelAgreementSpec, terms Terms, span Interval) []string {
	var less []string
	if own.Availability != nil && u.Spec.Availability != nil {
		theirs, err := ParsePercentage("", u.Spec.Availability.Target)
		if err == nil && theirs < terms.Target {
			less = append(less, fmt.Sprintf("promises an availability of %s %%, less than %s %%", theirs, terms.Target))
		}
	}
	less = append(less, longer("response", own.Response, u.Spec.Response)...)
	less = append(less, longer("resolution", own.Resolution, u.Spec.Resolution)...)
	hours := Always()
	if u.Spec.CalendarRef != nil {
		if u.Calendar == nil {
			return append(less, "names a Calendar that does not exist")
		}
		hours, _ = ParseCalendar(*u.Calendar)
	}
	if at, ok := terms.Calendar.notCoveredBy(hours, span); ok {
		less = append(less, "has no service time at "+at.UTC().Format(time.RFC3339)+", when this one has")
	}
	return less
}

func longer(what string, own, theirs *v1alpha1.PriorityTimes) []string {
	if own == nil || theirs == nil {
		return nil
	}
	var list []string
	for _, p := range []struct {
		priority    string
		own, theirs v1alpha1.ServiceTime
	}{{"P1", own.P1, theirs.P1}, {"P2", own.P2, theirs.P2}, {"P3", own.P3, theirs.P3}, {"P4", own.P4, theirs.P4}} {
		if p.own == "" || p.theirs == "" {
			continue
		}
		ownTime, err := ParseServiceTime("", p.own)
		theirTime, err2 := ParseServiceTime("", p.theirs)
		if err == nil && err2 == nil && theirTime > ownTime {
			list = append(list, fmt.Sprintf("%s %s %s", p.priority, p.theirs, p.own))
		}
	}
	if len(list) == 0 {
		return nil
	}
	for i, l := range list {
		f := strings.Fields(l)
		list[i] = fmt.Sprintf("%s in %s instead of %s", f[0], f[1], f[2])
	}
	return []string{"promises " + what + " of " + strings.Join(list, ", ")}
}

// notCoveredBy is the first time in a span at which a calendar is open and another is not.
func (c Calendar) notCoveredBy(other Calendar, span Interval) (time.Time, bool) {
	if other.always {
		return time.Time{}, false
	}
	at := span.Start
	for range maxUnderpinningDays * 4 {
		open, ok := c.NextOpen(at)
		if !ok || !open.Before(span.End) {
			return time.Time{}, false
		}
		if !other.Contains(open) {
			return open, true
		}
		until, ok := other.NextClose(open)
		if !ok {
			return time.Time{}, false
		}
		at = until
	}
	return time.Time{}, false
}
