package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ServiceLevelAgreement says what was promised about a service, and what was kept.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=sla,categories=itil
// +kubebuilder:printcolumn:name="Compliance",type=string,JSONPath=`.status.compliance`
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.serviceRef.name`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.availability.target`
// +kubebuilder:printcolumn:name="Availability",type=string,JSONPath=`.status.currentPeriod.availability`
// +kubebuilder:printcolumn:name="Budget",type=string,JSONPath=`.status.currentPeriod.errorBudgetRemaining`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ServiceLevelAgreement struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is what was agreed.
	// +required
	Spec ServiceLevelAgreementSpec `json:"spec"`
	// status is what was kept.
	// +optional
	Status ServiceLevelAgreementStatus `json:"status,omitempty,omitzero"`
}

// ServiceLevelAgreementList is a list of ServiceLevelAgreements.
//
// +kubebuilder:object:root=true
type ServiceLevelAgreementList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ServiceLevelAgreement `json:"items"`
}

// AgreementType says between whom an agreement is.
//
// +kubebuilder:validation:Enum=SLA;OLA;UC
type AgreementType string

const (
	// AgreementSLA is with a customer.
	AgreementSLA AgreementType = "SLA"
	// AgreementOLA is an operational level agreement, inside the organisation.
	AgreementOLA AgreementType = "OLA"
	// AgreementUC is an underpinning contract, with a supplier.
	AgreementUC AgreementType = "UC"
)

// ServiceLevelAgreementSpec declares an agreement.
type ServiceLevelAgreementSpec struct {
	// type is SLA, OLA (inside the organisation) or UC (underpinning contract with a supplier).
	// +optional
	// +kubebuilder:default=SLA
	Type AgreementType `json:"type,omitempty"`
	// serviceRef is the service that it is about. What was recorded is of that service, so it cannot be changed.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="serviceRef cannot be changed, since what was recorded is of that service; create another agreement"
	ServiceRef LocalReference `json:"serviceRef"`
	// customer whom it was promised to.
	// +optional
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Customer string `json:"customer,omitempty"`
	// validFrom is when it begins to count, in RFC 3339: 2026-01-01T00:00:00Z; omitted: with its creation.
	// +optional
	ValidFrom Timestamp `json:"validFrom,omitempty"`
	// calendarRef is the agreed service time; omitted: always.
	// +optional
	CalendarRef *LocalReference `json:"calendarRef,omitempty"`
	// period over which it is measured; omitted: the calendar month in UTC.
	// +optional
	// +kubebuilder:default={type: CalendarMonth}
	Period AgreementPeriod `json:"period,omitempty,omitzero"`
	// availability that was promised.
	// +optional
	Availability *AvailabilityTarget `json:"availability,omitempty"`
	// response is the agreed service time until somebody works on an incident, by priority, in hours and minutes (4h,
	// 1h30m, 45m).
	// +optional
	Response *PriorityTimes `json:"response,omitempty"`
	// resolution is the agreed service time until an incident is resolved, by priority, in hours and minutes.
	// +optional
	Resolution *PriorityTimes `json:"resolution,omitempty"`
	// excludePlannedMaintenance leaves out downtime that a Change declared before it was approved.
	// +optional
	ExcludePlannedMaintenance bool `json:"excludePlannedMaintenance,omitempty"`
	// credits are what the customer gets back, by how far the target was missed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Credits []Credit `json:"credits,omitempty"`
}

// PeriodType is a kind of measuring period.
//
// +kubebuilder:validation:Enum=CalendarMonth;CalendarQuarter;Rolling
type PeriodType string

const (
	// PeriodCalendarMonth is a month of the calendar.
	PeriodCalendarMonth PeriodType = "CalendarMonth"
	// PeriodCalendarQuarter is a quarter of the calendar.
	PeriodCalendarQuarter PeriodType = "CalendarQuarter"
	// PeriodRolling is the last so many days.
	PeriodRolling PeriodType = "Rolling"
)

// AgreementPeriod is the period over which an agreement is measured.
//
// +kubebuilder:validation:XValidation:rule="self.type == 'Rolling' ? has(self.days) : !has(self.days)",message="days is for period.type Rolling, which needs it"
type AgreementPeriod struct {
	// type is CalendarMonth, CalendarQuarter or Rolling.
	// +required
	Type PeriodType `json:"type"`
	// timeZone in which the period begins and ends; default UTC.
	// +optional
	// +kubebuilder:default=UTC
	TimeZone TimeZone `json:"timeZone,omitempty"`
	// days of a Rolling period.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=366
	Days int32 `json:"days,omitempty"`
}

// AvailabilityTarget is the promised availability.
type AvailabilityTarget struct {
	// target in percent of the agreed service time, for example "99.9".
	// +required
	// +kubebuilder:validation:XValidation:rule="double(self) > 0.0",message="availability.target must be above 0"
	Target Percentage `json:"target"`
}

// PriorityTimes are durations of agreed service time by priority. P5 has none.
type PriorityTimes struct {
	// P1 incidents.
	// +optional
	P1 ServiceTime `json:"P1,omitempty"`
	// P2 incidents.
	// +optional
	P2 ServiceTime `json:"P2,omitempty"`
	// P3 incidents.
	// +optional
	P3 ServiceTime `json:"P3,omitempty"`
	// P4 incidents.
	// +optional
	P4 ServiceTime `json:"P4,omitempty"`
}

// Credit is what a customer gets back.
type Credit struct {
	// below this availability in percent.
	// +required
	Below Percentage `json:"below"`
	// percent of the fee that is given back.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent int32 `json:"percent"`
}

// Compliance with an agreement.
//
// +kubebuilder:validation:Enum=Met;AtRisk;Breached;Unknown
type Compliance string

const (
	// ComplianceMet: what was promised is kept.
	ComplianceMet Compliance = "Met"
	// ComplianceAtRisk: it will be broken if things go on so.
	ComplianceAtRisk Compliance = "AtRisk"
	// ComplianceBreached: it is broken.
	ComplianceBreached Compliance = "Breached"
	// ComplianceUnknown: there is not enough data to say.
	ComplianceUnknown Compliance = "Unknown"
)

// ServiceLevelAgreementStatus is what was kept of an agreement.
type ServiceLevelAgreementStatus struct {
	// observedGeneration is the generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// compliance with the agreement in the current period.
	// +optional
	Compliance Compliance `json:"compliance,omitempty"`
	// terms by which the running period is measured: those of the spec when it began. An edit takes effect with the
	// next period.
	// +optional
	Terms *AgreementTerms `json:"terms,omitempty"`
	// currentPeriod is what is known of the running period, true at its asOf.
	// +optional
	CurrentPeriod *PeriodFigures `json:"currentPeriod,omitempty"`
	// observed is what the record of interruptions goes on from.
	// +optional
	Observed *ObservedHealth `json:"observed,omitempty"`
	// interruptions are the times, within the running period, in which the service was not up or not known to be.
	// All else since observed.recordedFrom it was up. Where there are more, the two that are nearest become one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=200
	Interruptions []Interruption `json:"interruptions,omitempty"`
	// incidentRecords are the Incidents that count in the running period, so that they count also when they have been
	// deleted. Of more than 200, those that began first are forgotten when they are.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=200
	IncidentRecords []AgreementIncidentRecord `json:"incidentRecords,omitempty"`
	// incidents counted against the agreement in the running period.
	// +optional
	Incidents *AgreementIncidents `json:"incidents,omitempty"`
	// history is the last 12 periods, the newest first.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=12
	History []PeriodFigures `json:"history,omitempty"`
	// nextStep says what to do, where somebody must.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	NextStep string `json:"nextStep,omitempty"`
	// conditions are Met, AtRisk, BudgetExhausted, DataAvailable and, of an SLA, Underpinned.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('1970-01-01T00:00:00Z'))",message="lastTransitionTime must be a time since 1970"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ConditionUnderpinned of an SLA is False where an OLA or UC that it rests on promises less than it does.
const ConditionUnderpinned = "Underpinned"

// PlannedMaintenance says what downtime is that a Change declared before it was approved.
//
// +kubebuilder:validation:Enum=Excluded;Counted
type PlannedMaintenance string

const (
	// PlannedMaintenanceExcluded leaves it out.
	PlannedMaintenanceExcluded PlannedMaintenance = "Excluded"
	// PlannedMaintenanceCounted counts it as any other.
	PlannedMaintenanceCounted PlannedMaintenance = "Counted"
)

// AgreementTerms are what was agreed when a period began.
type AgreementTerms struct {
	// since is when these terms took effect: with the beginning of a period.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	Since metav1.Time `json:"since"`
	// validFrom is when the agreement began to count.
	// +optional
	ValidFrom Timestamp `json:"validFrom,omitempty"`
	// calendarRef is the agreed service time.
	// +optional
	CalendarRef *LocalReference `json:"calendarRef,omitempty"`
	// period over which it is measured.
	// +optional
	Period TermsPeriod `json:"period,omitempty,omitzero"`
	// target that was promised, in percent.
	// +optional
	Target Percentage `json:"target,omitempty"`
	// plannedMaintenance says whether downtime that a Change declared before it was approved is left out.
	// +optional
	PlannedMaintenance PlannedMaintenance `json:"plannedMaintenance,omitempty"`
	// credits that were agreed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Credits []Credit `json:"credits,omitempty"`
}

// TermsPeriod is the kind of period that was agreed, as it was in the spec.
type TermsPeriod struct {
	// type is CalendarMonth, CalendarQuarter or Rolling.
	// +optional
	Type PeriodType `json:"type,omitempty"`
	// timeZone in which the period begins and ends.
	// +optional
	TimeZone TimeZone `json:"timeZone,omitempty"`
	// days of a Rolling period.
	// +optional
	Days int32 `json:"days,omitempty"`
}

// AgreementIncidentRecord is what counts of an Incident.
type AgreementIncidentRecord struct {
	// namespace of the Incident; omitted: this one.
	// +optional
	Namespace NamespaceName `json:"namespace,omitempty"`
	// name of the Incident.
	// +required
	Name ObjectName `json:"name"`
	// detectedAt is when it was detected.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	DetectedAt metav1.Time `json:"detectedAt"`
	// downFrom and downTo are the downtime that a person declared by its impact.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	DownFrom *metav1.Time `json:"downFrom,omitempty"`
	// downTo is its end.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	DownTo *metav1.Time `json:"downTo,omitempty"`
	// response and resolution are the states of the clocks that this agreement started.
	// +optional
	Response ClockState `json:"response,omitempty"`
	// resolution is the state of the other clock.
	// +optional
	Resolution ClockState `json:"resolution,omitempty"`
}

// ObservedHealth is the health of a service that was last counted.
type ObservedHealth struct {
	// health of the service.
	// +required
	Health Health `json:"health"`
	// since when it is so.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	Since metav1.Time `json:"since"`
	// recordedFrom is since when the record of interruptions is complete. What was before is not known.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	RecordedFrom metav1.Time `json:"recordedFrom"`
}

// InterruptionType says how a service was not up.
//
// +kubebuilder:validation:Enum=Outage;Maintenance;Unobserved
type InterruptionType string

const (
	// InterruptionOutage: it was out.
	InterruptionOutage InterruptionType = "Outage"
	// InterruptionMaintenance: it was out as declared and approved beforehand.
	InterruptionMaintenance InterruptionType = "Maintenance"
	// InterruptionUnobserved: it is not known how it was.
	InterruptionUnobserved InterruptionType = "Unobserved"
)

// Interruption is a time in which a service was not up, or not known to be.
type Interruption struct {
	// type is Outage, Maintenance or Unobserved.
	// +required
	Type InterruptionType `json:"type"`
	// from when.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	From metav1.Time `json:"from"`
	// to when; omitted: it goes on.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	To *metav1.Time `json:"to,omitempty"`
}

// PeriodFigures are the sums of one period.
type PeriodFigures struct {
	// start of the period.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	Start metav1.Time `json:"start"`
	// end of the period.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	End metav1.Time `json:"end"`
	// asOf is the time up to which the sums count.
	// +required
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	AsOf metav1.Time `json:"asOf"`
	// agreedSeconds of service time elapsed.
	// +required
	AgreedSeconds int64 `json:"agreedSeconds"`
	// downtimeSeconds within them.
	// +required
	DowntimeSeconds int64 `json:"downtimeSeconds"`
	// plannedSeconds of downtime that were excused.
	// +required
	PlannedSeconds int64 `json:"plannedSeconds"`
	// unobservedSeconds of which it is not known whether the service was up.
	// +required
	UnobservedSeconds int64 `json:"unobservedSeconds"`
	// openOutageSince is the beginning of the outage that goes on.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('1970-01-01T00:00:00Z')",message="must be a time since 1970"
	OpenOutageSince *metav1.Time `json:"openOutageSince,omitempty"`
	// outages counted.
	// +required
	Outages int32 `json:"outages"`
	// mtrsSeconds is the mean time to restore service, from failure to recovery; omitted where there was no outage.
	// +optional
	MTRSSeconds *int64 `json:"mtrsSeconds,omitempty"`
	// mtbfSeconds is the mean time between failures: the time in which it was up, by outage; omitted where there was no
	// outage.
	// +optional
	MTBFSeconds *int64 `json:"mtbfSeconds,omitempty"`
	// target in percent by which the period is measured: the one agreed when it began.
	// +optional
	Target Percentage `json:"target,omitempty"`
	// availability in percent.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Availability string `json:"availability,omitempty"`
	// errorBudgetRemaining in percent of the whole period's budget.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	ErrorBudgetRemaining string `json:"errorBudgetRemaining,omitempty"`
	// creditPercent due for a period that has ended.
	// +optional
	CreditPercent int32 `json:"creditPercent,omitempty"`
}

// AgreementIncidents counts the incidents of a period by whether their times were kept.
type AgreementIncidents struct {
	// responseMet is how many were answered in time.
	// +required
	ResponseMet int32 `json:"responseMet"`
	// responseBreached is how many were not.
	// +required
	ResponseBreached int32 `json:"responseBreached"`
	// resolutionMet is how many were resolved in time.
	// +required
	ResolutionMet int32 `json:"resolutionMet"`
	// resolutionBreached is how many were not.
	// +required
	ResolutionBreached int32 `json:"resolutionBreached"`
}
