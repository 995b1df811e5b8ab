package servicelevel

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// ReasonNoWorkloads is the reason of a Service that claims nothing, or one of whose claims matches nothing.
const ReasonNoWorkloads = "NoWorkloads"

// MinimumReady is the number of ready pods below which a workload is out: a count, or a share of the desired ones.
// The zero value exempts a workload: it is never out.
type MinimumReady struct {
	value int32
	share bool
}

// DefaultMinimumReady is what a claim without minimumReady means: one ready pod.
var DefaultMinimumReady = MinimumReady{value: 1}

// ParseMinimumReady reads spec.workloads[].minimumReady; nil is the default. What cannot be understood is an error
// and the strictest minimum, 100%.
func ParseMinimumReady(field string, value *intstr.IntOrString) (MinimumReady, error) {
	if value == nil {
		return DefaultMinimumReady, nil
	}
	strictest := MinimumReady{value: 100, share: true}
	if value.Type == intstr.Int {
		if value.IntVal < 0 || value.IntVal > 100_000 {
			return strictest, invalid(field, value.String(), "is not a count from 0 to 100000")
		}
		return MinimumReady{value: value.IntVal}, nil
	}
	digits, isShare := strings.CutSuffix(value.StrVal, "%")
	percent, ok := parseDigits(digits, 3)
	if !isShare || !ok || percent > 100 {
		return strictest, invalid(field, value.StrVal, "is neither a count nor a share from 0% to 100%")
	}
	return MinimumReady{value: int32(percent), share: true}, nil //nolint:gosec // at most 100
}

// Of is how many of the desired pods must be ready; shares are rounded up.
func (m MinimumReady) Of(desired int32) int32 {
	if !m.share {
		return m.value
	}
	return int32((int64(m.value)*int64(desired) + 99) / 100) //nolint:gosec // at most desired
}

// Exempt reports whether the workload can never be out.
func (m MinimumReady) Exempt() bool { return m.value == 0 }

func (m MinimumReady) String() string {
	if m.share {
		return fmt.Sprintf("%d%%", m.value)
	}
	return fmt.Sprint(m.value)
}

// Presence says what is known of a claimed workload.
type Presence int

const (
	// NotObserved: its controller has not seen its newest generation; the counts are of an older one.
	NotObserved Presence = iota
	// Observed: the counts are of the newest generation.
	Observed
	// Missing: it is claimed by name and does not exist.
	Missing
)

// WorkloadFacts is one workload under one claim of a service. A workload that two claims match is given twice, and
// the stricter claim decides.
type WorkloadFacts struct {
	Kind v1alpha1.WorkloadKind
	Name string
	// Presence says whether the counts can be relied on.
	Presence Presence
	// Ready and Desired pods. Of a CronJob or Job: 1 and 1, or 0 and 1 if its last run failed.
	Ready, Desired int32
	// MinimumReady of the claim.
	MinimumReady MinimumReady
	// ScaleToZero of the claim is Allowed.
	ScaleToZero bool
	// Planned: an implementing Change declared downtime for this workload before it was approved, and the time
	// declared is not over.
	Planned bool
}

// OwnFacts is what decides about a service's health, leaving its dependencies aside.
type OwnFacts struct {
	// Workloads under its claims.
	Workloads []WorkloadFacts
	// Unmatched are its claims whose selector matches no workload, as a reader would name them.
	Unmatched []string
	// Composite: it claims nothing and depends on something. Its health is that of its dependencies.
	Composite bool
}

// OwnHealth is a service's health with the reason for it.
type OwnHealth struct {
	// Health is Operational, Degraded, Outage or Unknown; never Maintenance, which is a label (see Planned).
	Health v1alpha1.Health
	// Reason is the health, or NoWorkloads.
	Reason string
	// Message names the workloads that decided, at most three of them.
	Message string
	// Planned: the health is Outage, and each workload that is out is so as declared beforehand.
	Planned bool
	// Composite: it runs on no workload of its own, so that its health is that of what it needs.
	Composite bool
}

// finding is what one workload says about the health of its service.
type finding struct {
	health  v1alpha1.Health
	planned bool
	message string
}

// AssessOwn decides the health of a service from its own workloads. The worst workload decides; what is out for
// certain outweighs what is not known.
func AssessOwn(facts OwnFacts) OwnHealth {
	var findings []finding
	for _, workload := range facts.Workloads {
		if f, counts := assessWorkload(workload); counts {
			findings = append(findings, f)
		}
	}
	worst := v1alpha1.HealthOperational
	for _, f := range findings {
		if severity(f.health) > severity(worst) {
			worst = f.health
		}
	}
	switch {
	case worst == v1alpha1.HealthOutage:
		return conclude(worst, findings)
	case len(facts.Unmatched) > 0:
		return OwnHealth{
			Health: v1alpha1.HealthUnknown, Reason: ReasonNoWorkloads,
			Message: "no workload matches " + listed(facts.Unmatched),
		}
	case len(findings) == 0 && facts.Composite:
		return OwnHealth{
			Health: worst, Reason: string(worst), Composite: true,
			Message: "it runs on no workload of its own: its health is that of its dependencies",
		}
	case len(findings) == 0:
		return OwnHealth{
			Health: v1alpha1.HealthUnknown, Reason: ReasonNoWorkloads,
			Message: "it claims no workload: name them in spec.workloads",
		}
	}
	return conclude(worst, findings)
}

// assessWorkload reports what a workload says, and whether it says anything: a Job that is gone does not, since
// Kubernetes removes finished Jobs.
func assessWorkload(w WorkloadFacts) (finding, bool) {
	name := fmt.Sprintf("%s %s", w.Kind, w.Name)
	minimum := w.MinimumReady.Of(w.Desired)
	counts := fmt.Sprintf("%s: %d of %d ready", name, w.Ready, w.Desired)
	switch {
	case w.Presence == Missing && w.Kind == v1alpha1.WorkloadJob:
		return finding{}, false
	case w.Presence == Missing && w.MinimumReady.Exempt():
		return finding{health: v1alpha1.HealthDegraded, message: name + " does not exist"}, true
	case w.Presence == Missing:
		return finding{health: v1alpha1.HealthOutage, planned: w.Planned, message: name + " does not exist"}, true
	case w.Presence == NotObserved:
		return finding{health: v1alpha1.HealthUnknown, message: name + " is not observed by its controller yet"}, true
	case w.Desired == 0 && (w.ScaleToZero || w.MinimumReady.Exempt()):
		return finding{health: v1alpha1.HealthOperational, message: name + " is scaled to zero, as its claim allows"}, true
	case w.Desired == 0:
		message := name + " is scaled to zero, which its claim forbids (scaleToZero)"
		return finding{health: v1alpha1.HealthOutage, planned: w.Planned, message: message}, true
	case w.Ready < minimum:
		message := fmt.Sprintf("%s, minimum %s", counts, w.MinimumReady)
		return finding{health: v1alpha1.HealthOutage, planned: w.Planned, message: message}, true
	case w.Ready < w.Desired:
		return finding{health: v1alpha1.HealthDegraded, message: counts}, true
	default:
		return finding{health: v1alpha1.HealthOperational, message: counts}, true
	}
}

func conclude(worst v1alpha1.Health, findings []finding) OwnHealth {
	planned := worst == v1alpha1.HealthOutage
	var messages []string
	for _, f := range findings {
		if f.health == worst {
			messages = append(messages, f.message)
			planned = planned && f.planned
		}
	}
	message := listed(messages)
	if worst == v1alpha1.HealthOperational {
		message = "all workloads are ready"
	}
	return OwnHealth{Health: worst, Reason: string(worst), Message: message, Planned: planned}
}

// severity orders what one workload may say. Unknown stands between: it hides a Degraded, not an Outage.
func severity(health v1alpha1.Health) int {
	return slices.Index([]v1alpha1.Health{
		v1alpha1.HealthOperational, v1alpha1.HealthDegraded, v1alpha1.HealthUnknown, v1alpha1.HealthOutage,
	}, health)
}

// listed names the first three in alphabetical order, and how many more there are.
func listed(items []string) string {
	const shown = 3
	items = slices.Compact(slices.SortedFunc(slices.Values(items), cmp.Compare[string]))
	if len(items) <= shown {
		return strings.Join(items, "; ")
	}
	return fmt.Sprintf("%s; and %d more", strings.Join(items[:shown], "; "), len(items)-shown)
}
