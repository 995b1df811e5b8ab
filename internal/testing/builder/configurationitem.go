package builder

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// ConfigurationItem makes the item of a workload, with baselines, the newest first.
func ConfigurationItem(namespace string, kind v1alpha1.WorkloadKind, name string, baselines ...v1alpha1.Baseline) *v1alpha1.ConfigurationItem {
	return &v1alpha1.ConfigurationItem{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ConfigurationItem"},
		ObjectMeta: objectMeta("ConfigurationItem", namespace, configuration.ItemName(string(kind), name)),
		Spec: v1alpha1.ConfigurationItemSpec{
			WorkloadRef: v1alpha1.WorkloadReference{Kind: kind, Name: v1alpha1.ObjectName(name)},
		},
		Status: v1alpha1.ConfigurationItemStatus{State: v1alpha1.ConfigurationItemInUse, Baselines: baselines},
	}
}
