package servicelevel

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	// maxHistory is the API's bound for the periods that are kept.
	maxHistory = 12
	// maxClosings bounds how many periods are closed at once. More pass only where nobody looked for years.
	maxClosings = 1000
)

// AgreementFacts are what an agreement's status follows from.
type AgreementFacts struct {
	// Agreement with its status as it was written last.
	Agreement *v1alpha1.ServiceLevelAgreement
	// Calendar that it names; nil: there is none of that name.
	Calendar *v1alpha1.CalendarSpec
	// TermsCalendar is the one that the terms in its status name, where that is another.
	TermsCalendar *v1alpha1.CalendarSpec
	// Service as its status tells; nil: there is none of that name.
	Service *Observation
	// Transitions are the latest changes of the service's health that led to it, the oldest first. TransitionsCut: there
	// were more.
	Transitions    []Observation
	TransitionsCut bool
	// Incidents on the service.
	Incidents []AgreementIncident
	// Underpinning are the OLAs and UCs that it rests on.
	Underpinning []Underpinning
}

// AgreementIncident is what counts of an Incident on the service.
type AgreementIncident struct {
	// Interval from its start to its resolution; without an End it is not resolved.
	Interval

	// Namespace, where it is another than the agreement's, and Name of it.
	Namespace v1alpha1.NamespaceName
	Name      v1alpha1.ObjectName
	// Gone: it was deleted. What it counted is remembered.
	Gone bool
	// Declared: a person said that its impact is High, so that users are down.
	Declared bool
	// DetectedAt says in which period its times count.
	DetectedAt time.Time
	// Response and Resolution are the states of the clocks that this agreement started; empty: none.
	Response, Resolution v1alpha1.ClockState
}

// AgreementDecision is what follows for an agreement.
type AgreementDecision struct {
	// Status is the one before, unchanged, where nothing happened but that time passed.
	Status v1alpha1.ServiceLevelAgreementStatus
	// Wake is when to decide again if nothing happens until then; the zero time: never.
	Wake time.Time
}

// EvaluateAgreement decides what an agreement's status is.
func EvaluateAgreement(f AgreementFacts, now time.Time) AgreementDecision {
	before := &f.Agreement.Status
	now = now.UTC().Truncate(time.Second)
	e := &agreementEvaluation{AgreementFacts: f, now: now, account: accountOf(before)}
	e.account = e.observe()
	e.recall()
	e.after = v1alpha1.ServiceLevelAgreementStatus{
		ObservedGeneration: f.Agreement.Generation,
		Terms:              before.Terms.DeepCopy(),
		CurrentPeriod:      before.CurrentPeriod.DeepCopy(),
		IncidentRecords:    before.IncidentRecords,
		Incidents:          before.Incidents.DeepCopy(),
		History:            slices.Clone(before.History),
	}
	for _, c := range before.Conditions {
		if slices.Contains(agreementConditions, c.Type) {
			e.after.Conditions = append(e.after.Conditions, c)
		}
	}
	e.spec = readSpec(f)
	e.agreed = inForce(f, e.spec)
	e.problems = e.spec.problems
	if len(e.problems) == 0 {
		e.problems = e.agreed.problems
	}
	switch {
	case len(e.problems) > 0:
		e.cannotSay(reasonInvalid, listedErrors(e.problems))
		e.after.NextStep = "correct " + fieldOf(e.problems[0]) + ": " + e.command("edit sla", f.Agreement.Name)
	default:
		e.closePeriods()
		e.terms = e.agreed.terms
		if now.Before(e.terms.From) {
			e.wake = e.terms.From
			e.after.Terms, e.after.CurrentPeriod, e.after.Incidents, e.after.IncidentRecords = nil, nil, nil, nil
			e.cannotSay(reasonNotStarted, "it counts from "+e.terms.From.UTC().Format(time.RFC3339)+" on")
			break
		}
		e.measure()
	}
	e.judgeUnderpinning()
	e.after.Observed, e.after.Interruptions = recordOf(e.account)
	if e.onlyTimePassed() {
		e.after = *before
	}
	return AgreementDecision{Status: e.after, Wake: e.wake}
}

type agreementEvaluation struct {
	AgreementFacts

	now     time.Time
	account Account
	// spec is what is agreed now, and agreed by what the running period is measured.
	spec, agreed agreed
	terms        Terms
	problems     []error
	period       Interval
	sums         Sums
	// firing is the pair of windows in which the budget is used too fast.
	firing BurnPair
	after  v1alpha1.ServiceLevelAgreementStatus
	wake   time.Time
}

// observe folds what happened to the service into the account: each change of its health since the last one counted.
func (e *agreementEvaluation) observe() Account {
	account, o := e.account, e.observation()
	if e.Service == nil {
		return account.Observe(o, e.now)
	}
	for i, t := range e.Transitions {
		if account.Health != "" && !t.Since.After(account.Since) {
			continue
		}
		if i == 0 && e.TransitionsCut && account.Health != "" {
			// What was between is not known any more.
			account = account.Observe(Observation{Health: v1alpha1.HealthUnknown, Since: later(account.Since, o.Seen)}, e.now)
		}
		account = account.Observe(t, e.now)
	}
	return account.Observe(o, e.now)
}

func (e *agreementEvaluation) observation() Observation {
	o := Observation{Health: v1alpha1.HealthUnknown}
	if e.Service != nil {
		o = *e.Service
	}
	if p := e.Agreement.Status.CurrentPeriod; p != nil {
		o.Seen = later(o.Seen, p.AsOf.Time)
	}
	return o
}

// measure adds up the period that runs.
func (e *agreementEvaluation) measure() {
	before := e.Agreement.Status.CurrentPeriod
	e.agreed = e.agreed.begin(e.period)
	e.after.Terms = &e.agreed.written
	keepFrom := e.period.Start.Add(-longestWindow)
	if before == nil || !before.Start.Time.Equal(e.period.Start) {
		// What the windows of the burn rate may still ask for is kept. It is cut when a period begins only, since
		// time that passes is no reason to write.
		e.account = e.account.since(keepFrom)
	}
	e.after.IncidentRecords = e.records(keepFrom)
	e.sums = e.terms.Sum(e.account, e.declared(), e.period, e.now)
	e.after.CurrentPeriod = e.figures(e.period, e.sums, e.now)
	if !e.sums.OpenSince.IsZero() {
		since := metav1.NewTime(e.sums.OpenSince)
		e.after.CurrentPeriod.OpenOutageSince = &since
	}
	e.after.Incidents = e.countIncidents()
	down := e.terms.downtime(e.account, e.declared())
	e.firing = e.terms.firing(down, e.sums.Whole, e.now)
	e.judge()
	e.wake = e.period.End.Add(time.Second)
	if turn := e.terms.nextTurn(e.sums); turn > 0 {
		if at := e.terms.Calendar.Add(e.now, seconds(turn)); !at.IsZero() {
			e.wake = earlier(e.wake, at)
		}
	}
	if at, ok := e.terms.Calendar.NextOpen(e.now); ok && e.sums.outOfHours {
		e.wake = earlier(e.wake, at)
	}
	if !e.terms.broken(e.sums) {
		if at := e.terms.nextFiring(down, e.sums.Whole, e.now); !at.IsZero() {
			e.wake = earlier(e.wake, at)
		}
	}
}

// closePeriods moves what has ended into the history, beginning with the period that ran when the status was written,
// and finds the one that runs. What was agreed anew applies from the end of a period on. Of Rolling periods, those go
// into the history that do not overlap one another.
func (e *agreementEvaluation) closePeriods() {
	before := e.after.CurrentPeriod
	if before == nil {
		e.period = e.agreed.terms.Period.At(e.now)
		return
	}
	p := Interval{Start: before.Start.Time, End: before.End.Time}
	for range maxClosings {
		if e.now.Before(p.End) {
			e.period = p
			return
		}
		if e.completes(p) {
			terms := e.agreed.terms
			sums := terms.Sum(e.account, e.declared(), p, p.End)
			figures := (&agreementEvaluation{terms: terms}).figures(p, sums, p.End)
			figures.CreditPercent = creditFor(e.agreed.credits, sums)
			e.after.History = slices.Insert(e.after.History, 0, *figures)
			e.after.History = e.after.History[:min(len(e.after.History), maxHistory)]
		}
		e.agreed = e.agreed.adopt(e.spec, p.End)
		p = e.agreed.terms.Period.At(p.End)
	}
	e.period = e.agreed.terms.Period.At(e.now)
}

// completes reports whether a period that has ended goes into the history.
func (e *agreementEvaluation) completes(p Interval) bool {
	terms := e.agreed.terms
	if !terms.Period.rolling() {
		return terms.From.Before(p.End)
	}
	if len(e.after.History) > 0 {
		return !p.Start.Before(e.after.History[0].End.Time) && !p.Start.Before(terms.From)
	}
	return !p.Start.Before(terms.From)
}

func (e *agreementEvaluation) declared() []Interval {
	var list []Interval
	for _, i := range e.Incidents {
		if i.Declared {
			list = append(list, i.Interval)
		}
	}
	return list
}

func (e *agreementEvaluation) figures(p Interval, s Sums, asOf time.Time) *v1alpha1.PeriodFigures {
	f := &v1alpha1.PeriodFigures{
		Start: metav1.NewTime(p.Start), End: metav1.NewTime(p.End), AsOf: metav1.NewTime(asOf),
		AgreedSeconds: s.Agreed, DowntimeSeconds: s.Downtime, PlannedSeconds: s.Planned, UnobservedSeconds: s.Unobserved,
		Outages: s.Outages,
	}
	if e.terms.Target > 0 {
		f.Target = v1alpha1.Percentage(e.terms.Target.String())
	}
	if availability, ok := s.Availability(); ok {
		f.Availability = availability.String()
	}
	if left, ok := e.terms.BudgetRemaining(s); ok {
		f.ErrorBudgetRemaining = tenths(left)
	}
	if mean, ok := s.MTRS(); ok {
		f.MTRSSeconds = &mean
	}
	if mean, ok := s.MTBF(); ok {
		f.MTBFSeconds = &mean
	}
	return f
}

func (e *agreementEvaluation) countIncidents() *v1alpha1.AgreementIncidents {
	count := &v1alpha1.AgreementIncidents{}
	add := func(state v1alpha1.ClockState, met, breached *int32) {
		switch state {
		case v1alpha1.ClockMet:
			*met++
		case v1alpha1.ClockBreached:
			*breached++
		case v1alpha1.ClockRunning, v1alpha1.ClockWarning, v1alpha1.ClockPaused:
		}
	}
	for _, i := range e.Incidents {
		if e.period.Contains(i.DetectedAt) {
			add(i.Response, &count.ResponseMet, &count.ResponseBreached)
			add(i.Resolution, &count.ResolutionMet, &count.ResolutionBreached)
		}
	}
	return count
}

// onlyTimePassed reports whether the status as it was written still tells all: what it says of its asOf is true, and
// nothing has happened since.
func (e *agreementEvaluation) onlyTimePassed() bool {
	before := &e.Agreement.Status
	written, running := before.CurrentPeriod, e.after.CurrentPeriod
	same := e.after
	same.CurrentPeriod = written
	if !equality.Semantic.DeepEqual(same, *before) {
		return false
	}
	if written == nil || running == nil || len(e.problems) > 0 {
		return equality.Semantic.DeepEqual(written, running)
	}
	if written.Outages != running.Outages || !equality.Semantic.DeepEqual(written.OpenOutageSince, running.OpenOutageSince) {
		return false
	}
	sums := e.terms.Sum(e.account, e.declared(), e.period, written.AsOf.Time)
	sums.Outages = written.Outages
	then := e.figures(e.period, sums, written.AsOf.Time)
	then.OpenOutageSince = written.OpenOutageSince
	return equality.Semantic.DeepEqual(then, written)
}

func (e *agreementEvaluation) command(verb, name string) string {
	return fmt.Sprintf("kubectl -n %s %s %s", e.Agreement.Namespace, verb, name)
}

func listedErrors(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return listed(texts)
}

// fieldOf an error is the field that it names.
func fieldOf(err error) string {
	field, _, _ := strings.Cut(err.Error(), " ")
	return field
}

// accountOf reads the record in a status.
func accountOf(s *v1alpha1.ServiceLevelAgreementStatus) Account {
	if s.Observed == nil {
		return Account{}
	}
	a := Account{Health: s.Observed.Health, Since: s.Observed.Since.Time, From: s.Observed.RecordedFrom.Time}
	for _, i := range s.Interruptions {
		kept := Interruption{Interval: Interval{Start: i.From.Time}, Type: i.Type}
		if i.To != nil {
			kept.End = i.To.Time
		}
		a.Interruptions = append(a.Interruptions, kept)
	}
	return a
}

func recordOf(a Account) (*v1alpha1.ObservedHealth, []v1alpha1.Interruption) {
	observed := &v1alpha1.ObservedHealth{Health: a.Health, Since: metav1.NewTime(a.Since), RecordedFrom: metav1.NewTime(a.From)}
	var list []v1alpha1.Interruption
	for _, i := range a.Interruptions {
		written := v1alpha1.Interruption{Type: i.Type, From: metav1.NewTime(i.Start)}
		if !i.End.IsZero() {
			end := metav1.NewTime(i.End)
			written.To = &end
		}
		list = append(list, written)
	}
	return observed, list
}
