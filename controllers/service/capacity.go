package service

import (
	"fmt"
	"maps"
	"math"
	"slices"
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
	show     func(int64) string
	// requested by the workloads now, and at the ceilings of their autoscalers.
	requested, atCeiling int64
	// usable is what they may use at the ceilings; unlimited: as much as there is.
	usable    int64
	unlimited bool
	// perPod is what a pod of each workload asks for, and largest the most that one of its containers asks for or may
	// use.
	perPod, largest map[string]int64
}

// setCapacityMet compares what the service must be able to have with what the namespace's quotas and limit ranges leave
// to it (what is free, and what its own workloads have already), and with what its workloads may use.
func setCapacityMet(s *v1alpha1.ServiceStatus, seen *observed, now time.Time) {
	declared := seen.service.Spec.Resources
	if declared == nil || *declared == (v1alpha1.RequiredResources{}) {
		set(s, v1alpha1.ConditionCapacityMet, metav1.ConditionUnknown, reasonNotDeclared, "spec.resources does not say what it must be able to have", now)
		return
	}
	var shortfalls []string
	for _, a := range amounts(declared, seen) {
		if a.declared != "" {
			shortfalls = append(shortfalls, a.shortfalls(seen)...)
		}
	}
	switch {
	case len(shortfalls) > 0:
		message := strings.Join(shortfalls, "; ")
		set(s, v1alpha1.ConditionCapacityMet, metav1.ConditionFalse, reasonShortfall, strings.ToValidUTF8(message[:min(len(message), maxShortfalls)], ""), now)
	case len(seen.quotas) == 0:
		set(s, v1alpha1.ConditionCapacityMet, metav1.ConditionTrue, reasonSufficient, "no ResourceQuota limits the namespace, and the workloads may use as much", now)
	default:
		set(s, v1alpha1.ConditionCapacityMet, metav1.ConditionTrue, reasonSufficient, "the namespace's ResourceQuotas leave enough, and the workloads may use as much", now)
	}
}

// maxShortfalls bounds the message in bytes.
const maxShortfalls = 2048

func amounts(declared *v1alpha1.RequiredResources, seen *observed) []*amount {
	cpu := &amount{
		name: corev1.ResourceCPU, quota: []corev1.ResourceName{corev1.ResourceRequestsCPU, corev1.ResourceCPU},
		declared: declared.CPU, perPod: map[string]int64{}, largest: map[string]int64{},
		value: func(q resource.Quantity) int64 { return q.MilliValue() },
		show:  func(v int64) string { return resource.NewMilliQuantity(v, resource.DecimalSI).String() },
	}
	memory := &amount{
		name: corev1.ResourceMemory, quota: []corev1.ResourceName{corev1.ResourceRequestsMemory, corev1.ResourceMemory},
		declared: declared.Memory, perPod: map[string]int64{}, largest: map[string]int64{},
		value: func(q resource.Quantity) int64 { return q.Value() },
		show:  func(v int64) string { return resource.NewQuantity(v, resource.BinarySI).String() },
	}
	for i := range seen.workloads {
		w := &seen.workloads[i]
		limits := w.Template.Limits
		cpu.add(w, seen.ceilings[w.Key], w.Template.Requests.CPUMilli, limits.CPUMilli, limits.AnyCPU)
		cpu.largest[w.Key.Kind+" "+w.Key.Name] = w.Template.Largest.CPUMilli
		memory.largest[w.Key.Kind+" "+w.Key.Name] = w.Template.Largest.MemoryBytes
		memory.add(w, seen.ceilings[w.Key], w.Template.Requests.MemoryBytes, limits.MemoryBytes, limits.AnyMemory)
	}
	return []*amount{cpu, memory}
}

// add a workload, whose autoscaler makes no more than ceiling replicas of it; 0: it has none.
func (a *amount) add(m *member, ceiling int32, requests, limits int64, unlimited bool) {
	a.requested = saturating(a.requested, m.Desired, requests)
	replicas := max(m.Desired, ceiling)
	a.atCeiling = saturating(a.atCeiling, replicas, requests)
	a.usable = saturating(a.usable, replicas, max(requests, limits))
	a.unlimited = a.unlimited || unlimited && replicas > 0
	a.perPod[m.Key.Kind+" "+m.Key.Name] = requests
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

// shortfalls says by how much of what it falls short, and by what.
func (a *amount) shortfalls(seen *observed) []string {
	want, err := resource.ParseQuantity(string(a.declared))
	if err != nil {
		return []string{fmt.Sprintf("spec.resources.%s is not an amount: %s", a.name, a.declared)}
	}
	need := a.value(want)
	var list []string
	if missing, by := a.short(need, seen.quotas); missing > 0 {
		list = append(list, fmt.Sprintf("%s: %s short of %s, by ResourceQuota %s", a.name, a.show(missing), a.declared, by))
	} else if missing, by := a.short(a.atCeiling, seen.quotas); missing > 0 && a.atCeiling > a.requested {
		list = append(list, fmt.Sprintf("%s: %s short of the %s that its workloads ask for at the ceilings of their HorizontalPodAutoscalers, by ResourceQuota %s",
			a.name, a.show(missing), a.show(a.atCeiling), by))
	}
	if len(seen.workloads) > 0 && !a.unlimited && a.usable < need {
		list = append(list, fmt.Sprintf("%s: %s short of %s, by what its workloads may use at most (replicas or HorizontalPodAutoscalers' maxReplicas, times limits or requests)",
			a.name, a.show(need-a.usable), a.declared))
	}
	return append(list, a.tooBig(seen.limits)...)
}

// short is by how much the tightest quota falls short of a need, and which that is.
func (a *amount) short(need int64, quotas []corev1.ResourceQuota) (worst int64, by string) {
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
	return worst, by
}

// tooBig are the workloads whose pods ask for more than a LimitRange lets a pod or a container have, so that none can be
// made.
func (a *amount) tooBig(ranges []corev1.LimitRange) (list []string) {
	for i := range ranges {
		for _, item := range ranges[i].Spec.Limits {
			most, limited := item.Max[a.name]
			asks, what := a.perPod, "pod"
			if item.Type == corev1.LimitTypeContainer {
				asks, what = a.largest, "container"
			}
			if !limited || item.Type != corev1.LimitTypePod && item.Type != corev1.LimitTypeContainer {
				continue
			}
			for _, workload := range slices.Sorted(maps.Keys(asks)) {
				if over := asks[workload] - a.value(most); over > 0 {
					list = append(list, fmt.Sprintf("%s: a %s of %s asks for %s more than LimitRange %s lets a %s have", a.name, what, workload, a.show(over), ranges[i].Name, what))
				}
			}
		}
	}
	return list
}
