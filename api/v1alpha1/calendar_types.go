package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Calendar is a set of hours: of agreed service time, or of open change windows.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=cal,categories=itil
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Zone",type=string,JSONPath=`.spec.timeZone`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Calendar struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`
	// spec is the hours.
	// +required
	Spec CalendarSpec `json:"spec"`
	// status says whether they can be understood.
	// +optional
	Status CalendarStatus `json:"status,omitempty,omitzero"`
}

// CalendarList is a list of Calendars.
//
// +kubebuilder:object:root=true
type CalendarList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Calendar `json:"items"`
}

// CalendarSpec is a set of hours.
//
// +kubebuilder:validation:XValidation:rule="(has(self.weekly) && size(self.weekly) > 0) || (has(self.extra) && size(self.extra) > 0)",message="a calendar needs weekly or extra hours; one without any would never be open"
type CalendarSpec struct {
	// timeZone of the hours, by its IANA name (Europe/Berlin); default UTC. The hours are what a clock on the wall of that zone shows.
	// +optional
	// +kubebuilder:default=UTC
	TimeZone TimeZone `json:"timeZone,omitempty"`
	// weekly hours. Those that overlap count once.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Weekly []WeeklyHours `json:"weekly,omitempty"`
	// holidays are days whose weekly hours do not count: those that begin on such a day, also where they go on into
	// the next one.
	// +optional
	// +listType=map
	// +listMapKey=date
	// +kubebuilder:validation:MaxItems=200
	Holidays []Holiday `json:"holidays,omitempty"`
	// extra hours, also on holidays; each at most 366 days long.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	Extra []ExtraHours `json:"extra,omitempty"`
}

// Weekday is a day of the week.
//
// +kubebuilder:validation:Enum=Mon;Tue;Wed;Thu;Fri;Sat;Sun
type Weekday string

// ClockTime is a time of day, "00:00" to "24:00".
//
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$')`,message="must be a time of day as HH:MM from 00:00 to 24:00, for example 08:00"
// +kubebuilder:validation:Pattern=`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=16
type ClockTime string

// WeeklyHours are hours of some days of the week.
//
// +kubebuilder:validation:XValidation:rule="self.from != self.to",message="from and to are equal; for a whole day use from 00:00 to 24:00"
// +kubebuilder:validation:XValidation:rule="self.from != '24:00'",message="from 24:00 is the next day's 00:00"
type WeeklyHours struct {
	// days on which the hours begin.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=7
	Days []Weekday `json:"days"`
	// from which time of day, as HH:MM.
	// +required
	From ClockTime `json:"from"`
	// to which time of day, as HH:MM, up to 24:00; earlier than from: the next day.
	// +required
	To ClockTime `json:"to"`
}

// Holiday is a day whose weekly hours do not count.
type Holiday struct {
	// date of it, as YYYY-MM-DD.
	// +required
	Date Date `json:"date"`
	// name of it.
	// +optional
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f\x7f]+$`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name,omitempty"`
}

// ExtraHours are hours beside the weekly ones.
//
// +kubebuilder:validation:XValidation:rule="timestamp(self.from) < timestamp(self.to)",message="extra hours must end (to) after they begin (from)"
// +kubebuilder:validation:XValidation:rule="timestamp(self.to) - timestamp(self.from) <= duration('8784h')",message="extra hours last at most 366 days; use weekly hours"
type ExtraHours struct {
	// from when, in RFC 3339: 2026-11-28T08:00:00+01:00.
	// +required
	From Timestamp `json:"from"`
	// to when, in RFC 3339.
	// +required
	To Timestamp `json:"to"`
}

// CalendarState says whether a calendar can be understood.
//
// +kubebuilder:validation:Enum=Active;Invalid
type CalendarState string

const (
	// CalendarActive: it can.
	CalendarActive CalendarState = "Active"
	// CalendarInvalid: it cannot, and counts as closed; the condition says what is wrong.
	CalendarInvalid CalendarState = "Invalid"
)

// CalendarStatus says whether a calendar can be understood.
type CalendarStatus struct {
	// observedGeneration is the generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// state is Active or Invalid.
	// +optional
	State CalendarState `json:"state,omitempty"`
	// nextStep says what a person should do.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	NextStep string `json:"nextStep,omitempty"`
	// conditions are Valid.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('1970-01-01T00:00:00Z'))",message="lastTransitionTime must be a time since 1970"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
