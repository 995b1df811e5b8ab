package service

import (
	"fmt"
	"math"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Reasons of the condition CapacityMet.
const (
	reasonSufficient  = "Sufficient"
	reasonShortfall   = "Shortfall"
	reasonNotDeclared = "NotDeclared"
)

// amount of a resource that a service must be able to have, in the resource's small unit.
type amount struct {
	name corev1.ResourceName
	// names under which a ResourceQuota limits it.
	quota    []corev1.ResourceName
	declared v1alpha1.Quantity
	value    func(resource.Quantity) int64
	// requested by the workloads now.
	requested int64
	show      func(int64) string
}

// setCapacityMet compares what the service must be able to have with what the namespace's quotas leave to it: what is
// free, and what its own workloads have already.
func setCapacityMet(s *v1alpha1.ServiceStatus, seen *observed, now time.Time) {
	declared := seen.service.Spec.Resources
	if declared == nil || *declared == (v1alpha1.RequiredResources{}) {
		set(s, v1alpha1.ConditionCapacityMet, metav1.ConditionUnknown, reasonNotDeclared, "spec.resources does not say what it must be able to have", now)
		return
	}
	var shortfalls []string
	for _, a := range amounts(declared, seen.workloads) {
		if a.declared == "" {
			continue
		}
		if why := a.shortfall(seen.quotas); why != "" {
			shortfalls = append(shortfalls, why)
		}
	}
	switch {
	case len(shortfalls) > 0:
		set(s, v1alpha1.ConditionCapacityMet, metav1.ConditionFalse, reasonShortfall, strings.Join(shortfalls, "; "), now)
	case len(seen.quotas) == 0:
		set(s, v1alpha1.ConditionCapacityMet, metav1.ConditionTrue, reasonSufficient, "no ResourceQuota limits the namespace", now)
	default:
		set(s, v1alpha1.ConditionCapacityMet, metav1.ConditionTrue, reasonSufficient, "the namespace's ResourceQuotas leave enough", now)
	}
}

func amounts(declared *v1alpha1.RequiredResources, members []member) []amount {
	var cpu, memory int64
	for i := range members {
		w := &members[i]
		cpu = saturating(cpu, w.Desired, w.Template.Requests.CPUMilli)
		memory = saturating(memory, w.Desired, w.Template.Requests.MemoryBytes)
	}
	return []amount{
		{
			name: corev1.ResourceCPU, quota: []corev1.ResourceName{corev1.ResourceRequestsCPU, corev1.ResourceCPU},
			declared: declared.CPU, requested: cpu,
			value: func(q resource.Quantity) int64 { return q.MilliValue() },
			show:  func(v int64) string { return resource.NewMilliQuantity(v, resource.DecimalSI).String() },
		},
		{
			name: corev1.ResourceMemory, quota: []corev1.ResourceName{corev1.ResourceRequestsMemory, corev1.ResourceMemory},
			declared: declared.Memory, requested: memory,
			value: func(q resource.Quantity) int64 { return q.Value() },
			show:  func(v int64) string { return resource.NewQuantity(v, resource.BinarySI).String() },
		},
	}
}

// saturating adds replicas of an amount, and stops at the greatest number.
func saturating(sum int64, replicas int32, each int64) int64 {
	if replicas <= 0 || each <= 0 {
		return sum
	}
	if each > (math.MaxInt64-sum)/int64(replicas) {
		return math.MaxInt64
	}
	return sum + each*int64(replicas)
}

// shortfall says by how much the tightest quota falls short; empty where none does.
func (a *amount) shortfall(quotas []corev1.ResourceQuota) string {
	want, err := resource.ParseQuantity(string(a.declared))
	if err != nil {
		return fmt.Sprintf("spec.resources.%s is not an amount: %s", a.name, a.declared)
	}
	need, worst, by := a.value(want), int64(0), ""
	for i := range quotas {
		q := &quotas[i]
		if len(q.Spec.Scopes) > 0 || q.Spec.ScopeSelector != nil {
			continue // it counts some pods only
		}
		for _, name := range a.quota {
			hard, limited := q.Status.Hard[name]
			if !limited {
				hard, limited = q.Spec.Hard[name]
			}
			if !limited {
				continue
			}
			used := q.Status.Used[name]
			available := min(a.value(hard), max(a.value(hard)-a.value(used), 0)+min(a.requested, a.value(used)))
			if missing := need - available; missing > worst {
				worst, by = missing, q.Name
			}
		}
	}
	if worst == 0 {
		return ""
	}
	return fmt.Sprintf("%s: %s short of %s, by ResourceQuota %s", a.name, a.show(worst), a.declared, by)
}
