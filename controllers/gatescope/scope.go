package gatescope

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

// maxListed bounds each list: 10,000 names of 20 characters are 250 KB, and etcd takes 1.5 MB.
const maxListed = 10_000

// observed is what the lists follow from.
type observed struct {
	services   []v1alpha1.Service
	policies   []v1alpha1.ChangePolicy
	namespaces []corev1.Namespace
	// excluded namespaces are never listed: the gate must not stand in the way of the cluster or of itself.
	excluded []string
	// listed now.
	listed gateconfig.Namespaces
}

// decide returns the lists, and the namespaces that belong into one but have no room in it.
func decide(in observed) (lists gateconfig.Namespaces, left []string) {
	services := map[string][]*v1alpha1.Service{}
	for i := range in.services {
		services[in.services[i].Namespace] = append(services[in.services[i].Namespace], &in.services[i])
	}
	for i := range in.namespaces {
		namespace := &in.namespaces[i]
		if slices.Contains(in.excluded, namespace.Name) {
			continue
		}
		switch enforcement(services[namespace.Name], rulesOf(in.policies, namespace)) {
		case v1alpha1.EnforcementEnforce:
			lists.Enforce = append(lists.Enforce, namespace.Name)
		case v1alpha1.EnforcementWarn, v1alpha1.EnforcementAudit:
			lists.Audit = append(lists.Audit, namespace.Name)
		case v1alpha1.EnforcementDisabled:
		}
	}
	var more []string
	lists.Enforce, left = bounded(lists.Enforce, in.listed.Enforce)
	lists.Audit, more = bounded(lists.Audit, in.listed.Audit)
	return lists, append(left, more...)
}

// enforcement is the strictest in a namespace; Disabled where nothing is governed.
func enforcement(services []*v1alpha1.Service, rules *change.Rules) v1alpha1.Enforcement {
	found := map[v1alpha1.Enforcement]bool{change.EnforcementFor(nil, rules): true}
	for _, service := range services {
		claim := change.Claim{Service: service.Name}
		if c := service.Spec.ChangeControl; c != nil {
			claim.Enforcement = c.Enforcement
		}
		if len(service.Spec.Workloads) > 0 {
			found[change.EnforcementFor([]change.Claim{claim}, rules)] = true
		}
	}
	for _, e := range []v1alpha1.Enforcement{v1alpha1.EnforcementEnforce, v1alpha1.EnforcementWarn, v1alpha1.EnforcementAudit} {
		if found[e] {
			return e
		}
	}
	return v1alpha1.EnforcementDisabled
}

// rulesOf a namespace, as far as they say what is enforced.
func rulesOf(policies []v1alpha1.ChangePolicy, namespace *corev1.Namespace) *change.Rules {
	var inScope []*v1alpha1.ChangePolicy
	for i := range policies {
		if change.InScope(&policies[i], namespace.Labels) {
			inScope = append(inScope, &policies[i])
		}
	}
	if len(inScope) == 0 {
		return nil
	}
	return change.Merge(inScope, nil)
}

// bounded sorts a list and cuts it. What is listed already stays before what would be new: a full list is no reason to
// open the gate of a namespace.
func bounded(names, listed []string) (kept, left []string) {
	slices.Sort(names)
	if len(names) <= maxListed {
		return names, nil
	}
	slices.SortStableFunc(names, func(a, b string) int {
		_, hasA := slices.BinarySearch(listed, a)
		_, hasB := slices.BinarySearch(listed, b)
		switch {
		case hasA == hasB:
			return 0
		case hasA:
			return -1
		default:
			return 1
		}
	})
	kept, left = names[:maxListed], slices.Clone(names[maxListed:])
	slices.Sort(kept)
	return kept, left
}
