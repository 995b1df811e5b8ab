package builder

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// ChangePolicy builds a ChangePolicy.
type ChangePolicy struct{ obj v1alpha1.ChangePolicy }

// MakeChangePolicy makes one for namespaces with the label env=name and with the API's defaults.
func MakeChangePolicy(name string) *ChangePolicy {
	separation := true
	return &ChangePolicy{v1alpha1.ChangePolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ChangePolicy"},
		ObjectMeta: objectMeta("ChangePolicy", "", name),
		Spec: v1alpha1.ChangePolicySpec{
			NamespaceSelector: v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"env": v1alpha1.LabelValue(name)}},
			Scope:             v1alpha1.ScopeServices, SeparationOfDuties: &separation, Pin: v1alpha1.PinImages,
			Rollback: v1alpha1.RollbackAllow, OnDenied: v1alpha1.OnDeniedFileChange,
			RollbackRevisions: 10, ProvenSeconds: 60, ObservationSeconds: 3600,
		},
	}}
}

// Enforcement sets the floor.
func (p *ChangePolicy) Enforcement(e v1alpha1.Enforcement) *ChangePolicy {
	p.obj.Spec.Enforcement = e
	return p
}

// AllWorkloads covers workloads that no Service claims as well.
func (p *ChangePolicy) AllWorkloads() *ChangePolicy {
	p.obj.Spec.Scope = v1alpha1.ScopeAllWorkloads
	return p
}

// Approvals sets how many votes a risk needs, and from which groups.
func (p *ChangePolicy) Approvals(risk v1alpha1.RiskLevel, required int32, groups ...v1alpha1.GroupName) *ChangePolicy {
	p.obj.Spec.Approvals = append(p.obj.Spec.Approvals, v1alpha1.ApprovalRule{Risk: risk, Required: required, Groups: groups})
	return p
}

// Spec alters the spec.
func (p *ChangePolicy) Spec(alter func(*v1alpha1.ChangePolicySpec)) *ChangePolicy {
	alter(&p.obj.Spec)
	return p
}

// Obj is the ChangePolicy.
func (p *ChangePolicy) Obj() *v1alpha1.ChangePolicy { return p.obj.DeepCopy() }
