package servicelevel

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// agreed is what an agreement says, read.
type agreed struct {
	terms    Terms
	credits  []creditTerm
	problems []error
	// written is how the status keeps it.
	written v1alpha1.AgreementTerms
}

// readSpec reads what an agreement says; nothing of it applies where there are problems, each naming its field.
func readSpec(f AgreementFacts) agreed {
	spec := &f.Agreement.Spec
	written := v1alpha1.AgreementTerms{
		ValidFrom: spec.ValidFrom, CalendarRef: spec.CalendarRef, Period: v1alpha1.TermsPeriod(spec.Period), Credits: spec.Credits,
		PlannedMaintenance: v1alpha1.PlannedMaintenanceCounted,
	}
	if spec.Availability != nil {
		written.Target = spec.Availability.Target
	}
	if spec.ExcludePlannedMaintenance {
		written.PlannedMaintenance = v1alpha1.PlannedMaintenanceExcluded
	}
	if written.Period.Type == "" {
		written.Period.Type = v1alpha1.PeriodCalendarMonth
	}
	return readTerms(written, f.Agreement.CreationTimestamp.Time, f.Calendar)
}

// readTerms reads terms, of an agreement that was created at a time, whose calendar is as given.
func readTerms(written v1alpha1.AgreementTerms, created time.Time, calendar *v1alpha1.CalendarSpec) agreed {
	a := agreed{written: written}
	collect := func(err error) {
		if err != nil {
			a.problems = append(a.problems, err)
		}
	}
	t := Terms{From: created, Calendar: Always(), ExcludePlanned: written.PlannedMaintenance == v1alpha1.PlannedMaintenanceExcluded}
	var err error
	if written.ValidFrom != "" {
		t.From, err = ParseTimestamp("spec.validFrom", written.ValidFrom)
		collect(err)
	}
	t.From = later(t.From, written.Since.Time).Truncate(time.Second)
	t.Period, err = ParsePeriod("spec.period", v1alpha1.AgreementPeriod(written.Period))
	collect(err)
	if written.Target != "" {
		t.Target, err = ParsePercentage("spec.availability.target", written.Target)
		collect(err)
	}
	switch ref := written.CalendarRef; {
	case ref == nil:
	case calendar == nil:
		collect(invalid("spec.calendarRef.name", string(ref.Name), "is not the name of a Calendar that exists"))
	default:
		parsed, errs := ParseCalendar(*calendar)
		for _, err := range errs {
			collect(fmt.Errorf("spec.calendarRef names Calendar %s, whose %w", ref.Name, err))
		}
		t.Calendar = parsed
	}
	for i, c := range written.Credits {
		below, err := ParsePercentage(fmt.Sprintf("spec.credits[%d].below", i), c.Below)
		collect(err)
		a.credits = append(a.credits, creditTerm{below: below, percent: c.Percent})
	}
	a.terms = t
	return a
}

// inForce is what the running period of an agreement is measured by: what its status says, or its spec where no period
// runs yet.
func inForce(f AgreementFacts, spec agreed) agreed {
	s := &f.Agreement.Status
	if s.Terms == nil || s.CurrentPeriod == nil {
		return spec
	}
	calendar := f.TermsCalendar
	if equality.Semantic.DeepEqual(s.Terms.CalendarRef, f.Agreement.Spec.CalendarRef) {
		calendar = f.Calendar
	}
	return readTerms(*s.Terms, f.Agreement.CreationTimestamp.Time, calendar)
}

// adopt is what the spec says, from the end of a period on. Where the kind of period is another one now, nothing is
// counted again that an earlier period has counted.
func (a agreed) adopt(spec agreed, end time.Time) agreed {
	next := spec
	next.written.Since = a.written.Since
	if !equality.Semantic.DeepEqual(a.written.Period, spec.written.Period) {
		next.written.Since = metav1.NewTime(end)
	}
	next.terms.From = later(next.terms.From, next.written.Since.Time)
	return next
}

// begin remembers that the first period begins.
func (a agreed) begin(p Interval) agreed {
	if a.written.Since.IsZero() {
		a.written.Since = metav1.NewTime(p.Start)
	}
	return a
}

// records of Incidents that count in the running period: those that exist as they are, and those that do not exist any
// more as they were.
func (e *agreementEvaluation) records(keepFrom time.Time) []v1alpha1.AgreementIncidentRecord {
	var list []v1alpha1.AgreementIncidentRecord
	for _, i := range e.Incidents {
		settled := func(c v1alpha1.ClockState) bool { return c == v1alpha1.ClockMet || c == v1alpha1.ClockBreached }
		if i.Name == "" || !i.Declared && !settled(i.Response) && !settled(i.Resolution) {
			continue
		}
		r := v1alpha1.AgreementIncidentRecord{
			Namespace: i.Namespace, Name: i.Name, DetectedAt: metav1.NewTime(i.DetectedAt), Response: i.Response, Resolution: i.Resolution,
		}
		if i.Declared {
			r.DownFrom = &metav1.Time{Time: i.Start}
			if !i.End.IsZero() {
				r.DownTo = &metav1.Time{Time: i.End}
			}
		}
		list = append(list, r)
	}
	list = slices.DeleteFunc(list, func(r v1alpha1.AgreementIncidentRecord) bool {
		return r.DetectedAt.Time.Before(keepFrom) && (r.DownFrom == nil || r.DownTo != nil && !r.DownTo.After(keepFrom))
	})
	slices.SortStableFunc(list, func(a, b v1alpha1.AgreementIncidentRecord) int { return a.DetectedAt.Compare(b.DetectedAt.Time) })
	return list[max(len(list)-maxRecords, 0):]
}

// maxRecords is the API's bound for the records of Incidents.
const maxRecords = 200

// recall adds the Incidents that a status knows and that do not exist any more. One that was open when it went is over
// since.
func (e *agreementEvaluation) recall() {
	exists := map[[2]string]bool{}
	for _, i := range e.Incidents {
		exists[[2]string{string(i.Namespace), string(i.Name)}] = true
	}
	for _, r := range e.Agreement.Status.IncidentRecords {
		if exists[[2]string{string(r.Namespace), string(r.Name)}] {
			continue
		}
		i := AgreementIncident{
			Namespace: r.Namespace, Name: r.Name, DetectedAt: r.DetectedAt.Time, Response: r.Response, Resolution: r.Resolution, Gone: true,
		}
		if r.DownFrom != nil {
			i.Declared, i.Start, i.End = true, r.DownFrom.Time, e.now
			if r.DownTo != nil {
				i.End = r.DownTo.Time
			}
		}
		e.Incidents = append(e.Incidents, i)
	}
}
