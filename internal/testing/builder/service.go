package builder

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Service builds a Service of ours.
type Service struct{ obj v1alpha1.Service }

// MakeService makes one of tier 4, owned by a team, that claims nothing.
func MakeService(namespace, name string) *Service {
	return &Service{v1alpha1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Service"},
		ObjectMeta: objectMeta("Service", namespace, name),
		Spec: v1alpha1.ServiceSpec{
			Owner: v1alpha1.Contact{Team: name + "-team"}, Lifecycle: v1alpha1.LifecycleLive, Tier: 4,
		},
	}}
}

// Tier sets its tier.
func (s *Service) Tier(tier int32) *Service {
	s.obj.Spec.Tier = tier
	return s
}

// Team sets the team that owns it.
func (s *Service) Team(team string) *Service {
	s.obj.Spec.Owner.Team = team
	return s
}

// Lifecycle sets its place in the portfolio.
func (s *Service) Lifecycle(l v1alpha1.Lifecycle) *Service {
	s.obj.Spec.Lifecycle = l
	return s
}

// Claim claims a workload by kind and name; at least one of its pods must be ready.
func (s *Service) Claim(kind v1alpha1.WorkloadKind, name string) *Service {
	one := intstr.FromInt32(1)
	s.obj.Spec.Workloads = append(s.obj.Spec.Workloads, v1alpha1.WorkloadClaim{
		Kind: kind, Name: v1alpha1.ObjectName(name), MinimumReady: &one, ScaleToZero: v1alpha1.ScaleToZeroForbidden,
	})
	return s
}

// ClaimApp claims what makes pods with the label app, of one kind or, where it is empty, of all.
func (s *Service) ClaimApp(kind v1alpha1.WorkloadKind, app string) *Service {
	one := intstr.FromInt32(1)
	s.obj.Spec.Workloads = append(s.obj.Spec.Workloads, v1alpha1.WorkloadClaim{
		Kind:         kind,
		Selector:     &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"app": v1alpha1.LabelValue(app)}},
		MinimumReady: &one, ScaleToZero: v1alpha1.ScaleToZeroForbidden,
	})
	return s
}

// MinimumReady sets the minimum of the claim that was made last: a count, or a share such as "50%".
func (s *Service) MinimumReady(minimum string) *Service {
	v := intstr.Parse(minimum)
	s.obj.Spec.Workloads[len(s.obj.Spec.Workloads)-1].MinimumReady = &v
	return s
}

// ScaleToZero allows no replicas in the claim that was made last.
func (s *Service) ScaleToZero() *Service {
	s.obj.Spec.Workloads[len(s.obj.Spec.Workloads)-1].ScaleToZero = v1alpha1.ScaleToZeroAllowed
	return s
}

// DependsOn adds a dependency on a service, of the same namespace where it is empty.
func (s *Service) DependsOn(namespace, name string, strength v1alpha1.DependencyStrength) *Service {
	s.obj.Spec.DependsOn = append(s.obj.Spec.DependsOn, v1alpha1.Dependency{
		Namespace: v1alpha1.NamespaceName(namespace), Name: v1alpha1.ObjectName(name), Strength: strength,
	})
	return s
}

// Enforcement sets how its workloads are gated.
func (s *Service) Enforcement(e v1alpha1.Enforcement) *Service {
	s.obj.Spec.ChangeControl = &v1alpha1.ChangeControl{Enforcement: e}
	return s
}

// Obj is the Service.
func (s *Service) Obj() *v1alpha1.Service { return s.obj.DeepCopy() }
