package servicelevel

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Reasons of the condition DependenciesHealthy.
const (
	ReasonAllHealthy         = "AllHealthy"
	ReasonDependencyDown     = "DependencyDown"
	ReasonDependencyUnknown  = "DependencyUnknown"
	ReasonDependencyNotFound = "DependencyNotFound"
	ReasonNoDependencies     = "NoDependencies"
)

// ServiceHealth is how a service is, and why.
type ServiceHealth struct {
	// Health is the real one: Operational, Degraded, Outage or Unknown. The priority of incidents follows it.
	Health v1alpha1.Health
	// Shown is the real one, or Maintenance where the outage is wholly as declared beforehand and no dependency
	// has a part in it. It is what status.health says.
	Shown v1alpha1.Health
	// Reason and Message are for the condition Healthy: the reason is the shown health, or NoWorkloads.
	Reason, Message string
	// Dependencies is for the condition DependenciesHealthy.
	Dependencies DependenciesHealth
}

// DependenciesHealth is how the dependencies of a service are.
type DependenciesHealth struct {
	// Status is True while none is out or unknown, Unknown while one is unknown or not found and none is out.
	Status metav1.ConditionStatus
	// Reason is AllHealthy, DependencyDown, DependencyUnknown, DependencyNotFound or NoDependencies.
	Reason string
	// Message names them, at most three, and a cycle where the service is part of one.
	Message string
}

func (g *Graph) tell(node *graphNode) ServiceHealth {
	own := node.service.Own
	told := ServiceHealth{Health: own.Health, Reason: own.Reason, Message: own.Message, Dependencies: g.tellDependencies(node)}
	causes := node.causes()
	switch {
	case node.level == levelOut && own.Health != v1alpha1.HealthOutage:
		told.Health, told.Message = v1alpha1.HealthOutage, listed(causes)
	case node.level == levelImpaired && own.Health != v1alpha1.HealthDegraded:
		told.Health, told.Message = v1alpha1.HealthDegraded, listed(causes)
	}
	if !node.known && own.Composite && told.Health != v1alpha1.HealthOutage {
		told.Health, told.Reason = v1alpha1.HealthUnknown, string(v1alpha1.HealthUnknown)
		told.Message = "it runs on no workload of its own, and it is not known how enough of what it needs is"
	}
	told.Shown = told.Health
	if own.Planned && !node.hardOut() {
		told.Shown = v1alpha1.HealthMaintenance
		told.Message += " (planned: an implementing Change declared it)"
	}
	if told.Reason != ReasonNoWorkloads || told.Health != v1alpha1.HealthUnknown {
		told.Reason = string(told.Shown)
	}
	return told
}

func (n *graphNode) hardOut() bool {
	for _, r := range n.requirements {
		if r.strength == v1alpha1.DependencyHard && r.isOut() {
			return true
		}
	}
	return false
}

// causes are the dependencies that make a service be at its level.
func (n *graphNode) causes() []string {
	var causes []string
	for _, r := range n.requirements {
		hard := r.strength == v1alpha1.DependencyHard
		switch {
		case r.isOut() && (hard || n.level == levelImpaired):
			causes = append(causes, r.describe("out", r.out))
		case hard && r.isImpaired() && n.level == levelImpaired:
			causes = append(causes, r.describe("degraded", r.impaired))
		}
	}
	return causes
}

func (r requirement) describe(how string, count int) string {
	strength := strings.ToLower(string(r.strength))
	if r.group == "" {
		return fmt.Sprintf("%s dependency %s is %s", strength, r.members[0], how)
	}
	return fmt.Sprintf("%s dependency group %s: %d of %d are %s, minimum %d working",
		strength, r.group, count, len(r.members), how, r.minimum)
}

func (g *Graph) tellDependencies(node *graphNode) DependenciesHealth {
	var down, unknown, missing []string
	for dependency := range node.of {
		other, exists := g.nodes[dependency]
		switch {
		case !exists:
			missing = append(missing, dependency.String())
		case other.level == levelOut:
			down = append(down, dependency.String())
		case !other.known:
			unknown = append(unknown, dependency.String())
		}
	}
	told := DependenciesHealth{Status: metav1.ConditionTrue, Reason: ReasonAllHealthy, Message: "no dependency is out"}
	switch {
	case len(down) > 0:
		told = DependenciesHealth{Status: metav1.ConditionFalse, Reason: ReasonDependencyDown, Message: "out: " + listed(down)}
	case len(missing) > 0:
		told = DependenciesHealth{
			Status: metav1.ConditionUnknown, Reason: ReasonDependencyNotFound,
			Message: "there is no Service " + listed(missing) + ": correct spec.dependsOn, or create it",
		}
	case len(unknown) > 0:
		told = DependenciesHealth{
			Status: metav1.ConditionUnknown, Reason: ReasonDependencyUnknown, Message: "not known how they are: " + listed(unknown),
		}
	case len(node.of) == 0:
		told.Reason, told.Message = ReasonNoDependencies, "it depends on nothing"
	}
	if len(node.cycle) > 0 {
		names := make([]string, len(node.cycle))
		for i, name := range node.cycle {
			names[i] = name.String()
		}
		told.Message += "; it is part of a dependency cycle: " + listed(names)
	}
	return told
}
