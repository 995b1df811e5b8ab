package configuration

import (
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Claim is what a Service says that it runs on, ready to be asked.
type Claim struct {
	// Kind of the workloads; empty: all kinds that can be claimed, and by its selector also what else makes such
	// pods.
	Kind string
	// Name of one workload; empty where Selector is defined.
	Name string
	// Selector of the labels of pod templates.
	Selector Selector
	// MinimumReady below which the workload is out, and whether it may have no replicas.
	MinimumReady intstr.IntOrString
	ScaleToZero  bool
}

// ClaimsOf are the claims of a Service; in the order of its spec.
func ClaimsOf(spec v1alpha1.ServiceSpec) []Claim {
	claims := make([]Claim, 0, len(spec.Workloads))
	for _, w := range spec.Workloads {
		c := Claim{
			Kind: string(w.Kind), Name: string(w.Name), Selector: fromLabelSelector(w.Selector),
			MinimumReady: intstr.FromInt32(1), ScaleToZero: w.ScaleToZero == v1alpha1.ScaleToZeroAllowed,
		}
		if w.MinimumReady != nil {
			c.MinimumReady = *w.MinimumReady
		}
		claims = append(claims, c)
	}
	return claims
}

// Covers reports whether the claim is of that workload. Labels are those of its pod template, so that leaving a
// Service is itself a change of the template. A claim of a kind covers no other kind; a claim without a kind
// covers whatever makes pods with these labels.
func (c Claim) Covers(kindName, name string, templateLabels map[string]string) bool {
	if c.Kind != "" && c.Kind != kindName {
		return false
	}
	if c.Name != "" {
		return c.Kind != "" && c.Name == name
	}
	return c.Selector.Matches(templateLabels) && !c.Selector.requiresNothing()
}

// Claims reports whether the Service claims the workload; its namespace is the caller's to compare.
func Claims(service *v1alpha1.Service, kindName, name string, templateLabels map[string]string) bool {
	for _, c := range ClaimsOf(service.Spec) {
		if c.Covers(kindName, name, templateLabels) {
			return true
		}
	}
	return false
}
