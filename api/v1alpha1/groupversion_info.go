// Package v1alpha1 holds the itil.dev/v1alpha1 API: ITIL objects as Kubernetes resources.
//
// People declare facts in spec; the operator computes status, and nobody else writes it. No spec
// field has a Go type whose decoder rejects values that its CRD schema accepts: one such object would
// make every LIST of its kind fail, for every replica of the operator.
//
// A format is the trap: the API server checks the type of a field with a format loosely and lets a list pass for a
// string. The rule on each time makes it read the value, which it cannot do with anything but a time.
//
// +kubebuilder:object:generate=true
// +groupName=itil.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "itil.dev", Version: "v1alpha1"}

var (
	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)
	// AddToScheme registers the kinds of this package with a scheme.
	AddToScheme = schemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Service{}, &ServiceList{},
		&ServiceLevelAgreement{}, &ServiceLevelAgreementList{},
		&Incident{}, &IncidentList{},
		&Problem{}, &ProblemList{},
		&Change{}, &ChangeList{},
		&ChangeApproval{}, &ChangeApprovalList{},
		&Release{}, &ReleaseList{},
		&ConfigurationItem{}, &ConfigurationItemList{},
		&ChangePolicy{}, &ChangePolicyList{},
		&Calendar{}, &CalendarList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
