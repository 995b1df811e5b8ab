package inventory

import (
	"iter"
	"slices"
	"strconv"
	"strings"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// Item returns the ConfigurationItem of a workload; nil where there is none.
func (i *Inventory) Item(key configuration.Key) *v1alpha1.ConfigurationItem { return i.items.of(key) }

// Items are all ConfigurationItems by their workloads, in no order.
func (i *Inventory) Items() iter.Seq2[configuration.Key, *v1alpha1.ConfigurationItem] {
	return i.items.all()
}

// Baselines of a workload, the newest first.
func (i *Inventory) Baselines(key configuration.Key) []v1alpha1.Baseline {
	item, ok := i.items.get(key)
	if !ok {
		return nil
	}
	return item.Status.Baselines
}

// OpenIncidents are the names of the open Incidents on a Service, in its namespace or as namespace/name; in order.
func (i *Inventory) OpenIncidents(service servicelevel.ServiceName) []string {
	return i.incidents.of(service)
}

// isItemOf reports whether an object is the ConfigurationItem that the operator makes for its workload. Another one
// for the same workload could only be made by hand, past the policies, and means nothing.
func isItemOf(item *v1alpha1.ConfigurationItem) bool {
	ref := item.Spec.WorkloadRef
	return item.Name == configuration.ItemName(string(ref.Kind), string(ref.Name))
}

func (i *Inventory) putItem(item *v1alpha1.ConfigurationItem, n *news) {
	if !isItemOf(item) {
		return
	}
	key := change.KeyOf(item.Namespace, item.Spec.WorkloadRef)
	i.items.put(key, item)
	i.reassessTargeting(key, n)
	n.workload(key)
}

func (i *Inventory) removeItem(item *v1alpha1.ConfigurationItem, n *news) {
	if !isItemOf(item) {
		return
	}
	key := change.KeyOf(item.Namespace, item.Spec.WorkloadRef)
	i.items.remove(key)
	i.reassessTargeting(key, n)
	n.workload(key)
}

func (i *Inventory) putIncident(obj *v1alpha1.Incident, n *news) {
	i.replaceIncident(i.written.incidents[named(obj)], obj, n)
	i.written.incidents[named(obj)] = obj
	i.reassessReferring(incidentKey(obj.Namespace, obj.Name), n)
}

func (i *Inventory) removeIncident(obj *v1alpha1.Incident, n *news) {
	i.replaceIncident(i.written.incidents[named(obj)], nil, n)
	delete(i.written.incidents, named(obj))
	i.reassessReferring(incidentKey(obj.Namespace, obj.Name), n)
}

// replaceIncident counts a version of an Incident as open on the Services that it is about, in place of the one before.
func (i *Inventory) replaceIncident(old, next *v1alpha1.Incident, n *news) {
	before, after := openOn(old), openOn(next)
	for _, service := range before {
		if slices.Contains(after, service) {
			continue
		}
		name := incidentName(old, service)
		left := slices.DeleteFunc(slices.Clone(i.incidents.of(service)), func(other string) bool { return other == name })
		if len(left) == 0 {
			i.incidents.remove(service)
		} else {
			i.incidents.put(service, left)
		}
		n.service(service)
	}
	for _, service := range after {
		if slices.Contains(before, service) {
			continue
		}
		names := append(slices.Clone(i.incidents.of(service)), incidentName(next, service))
		slices.Sort(names)
		i.incidents.put(service, names)
		n.service(service)
	}
}

func openOn(obj *v1alpha1.Incident) []servicelevel.ServiceName {
	if !incident.IsOpen(obj) {
		return nil
	}
	return servicesOf(obj)
}

func incidentName(obj *v1alpha1.Incident, service servicelevel.ServiceName) string {
	if service.Namespace == obj.Namespace {
		return obj.Name
	}
	return obj.Namespace + "/" + obj.Name
}

// servicesOf an Incident: the one that it names, and those that suffer.
func servicesOf(obj *v1alpha1.Incident) []servicelevel.ServiceName {
	var out []servicelevel.ServiceName
	if ref := obj.Spec.ServiceRef; ref != nil {
		out = append(out, servicelevel.ServiceName{Namespace: obj.Namespace, Name: string(ref.Name)})
	}
	for _, ref := range obj.Status.AffectedServices {
		name := servicelevel.ServiceName{Namespace: string(ref.Namespace), Name: string(ref.Name)}
		if name.Namespace == "" {
			name.Namespace = obj.Namespace
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func incidentFact(obj *v1alpha1.Incident) *change.IncidentFact {
	if obj == nil {
		return nil
	}
	f := &change.IncidentFact{
		Name: obj.Name, Open: incident.IsOpen(obj), Reporter: string(obj.Spec.Reporter),
		Observed: obj.Spec.Source == v1alpha1.IncidentSourceDetector || len(obj.Status.Signals) > 0,
	}
	for _, s := range servicesOf(obj) {
		if s.Namespace == obj.Namespace {
			f.Services = append(f.Services, s.Name)
		}
	}
	return f
}

func (i *Inventory) putProblem(obj *v1alpha1.Problem, n *news) {
	i.written.problems[named(obj)] = obj
	i.reassessReferring(problemKey(obj.Namespace, obj.Name), n)
}

func (i *Inventory) removeProblem(obj *v1alpha1.Problem, n *news) {
	delete(i.written.problems, named(obj))
	i.reassessReferring(problemKey(obj.Namespace, obj.Name), n)
}

func problemFact(obj *v1alpha1.Problem) *change.ProblemFact {
	if obj == nil {
		return nil
	}
	f := &change.ProblemFact{
		Name: obj.Name,
		Open: obj.Status.State != v1alpha1.ProblemResolved && obj.Status.State != v1alpha1.ProblemClosed,
	}
	if ref := obj.Spec.ServiceRef; ref != nil {
		f.Services = append(f.Services, string(ref.Name))
	}
	return f
}

// budget is what is left of a Service's error budgets: the least of its agreements.
type budget struct {
	permille  int32
	known     bool
	exhausted bool
}

func (i *Inventory) putAgreement(obj *v1alpha1.ServiceLevelAgreement) {
	i.removeAgreement(i.written.agreements[named(obj)])
	i.written.agreements[named(obj)] = obj
	i.written.agreed.add(agreedOn(obj), named(obj))
	i.budget(agreedOn(obj))
}

func (i *Inventory) removeAgreement(obj *v1alpha1.ServiceLevelAgreement) {
	if obj == nil {
		return
	}
	delete(i.written.agreements, named(obj))
	i.written.agreed.remove(agreedOn(obj), named(obj))
	i.budget(agreedOn(obj))
}

func agreedOn(obj *v1alpha1.ServiceLevelAgreement) servicelevel.ServiceName {
	return servicelevel.ServiceName{Namespace: obj.Namespace, Name: string(obj.Spec.ServiceRef.Name)}
}

// budget finds the worst of the agreements on a Service.
func (i *Inventory) budget(service servicelevel.ServiceName) {
	var worst budget
	for name := range i.written.agreed[service] {
		status := &i.written.agreements[name].Status
		worst.exhausted = worst.exhausted || meta.IsStatusConditionTrue(status.Conditions, v1alpha1.ConditionBudgetExhausted)
		if p := status.CurrentPeriod; p != nil {
			if left, ok := permille(p.ErrorBudgetRemaining); ok && (!worst.known || left < worst.permille) {
				worst.permille, worst.known = left, true
			}
		}
	}
	if worst == (budget{}) {
		i.budgets.remove(service)
	} else {
		i.budgets.put(service, worst)
	}
}

// permille reads a percentage such as "71.2" or "-3.0", cut to one decimal.
func permille(percentage string) (int32, bool) {
	text, negative := strings.CutPrefix(percentage, "-")
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole+(fraction + "0")[:1], 10, 32)
	if err != nil || n < 0 {
		return 0, false
	}
	if negative {
		n = -n
	}
	return int32(n), true
}

func (i *Inventory) putDisruptionBudget(obj *policyv1.PodDisruptionBudget) {
	name, s := named(obj), obj.Spec.Selector
	selector := configuration.Selector{}
	if s != nil {
		selector.Defined, selector.MatchLabels = true, s.MatchLabels
		for _, e := range s.MatchExpressions {
			selector.Expressions = append(selector.Expressions, configuration.Requirement{Key: e.Key, Operator: string(e.Operator), Values: e.Values})
		}
	}
	i.protectors.put(name, selector)
	i.protecting.put(obj.Namespace, selector, name)
}

func (i *Inventory) removeDisruptionBudget(obj *policyv1.PodDisruptionBudget) {
	i.protecting.remove(named(obj))
	i.protectors.remove(named(obj))
}

func (i *Inventory) protected(namespace string, templateLabels map[string]string) (protected bool) {
	i.protecting.candidates(namespace, templateLabels, func(name types.NamespacedName) {
		protected = protected || i.protectors.of(name).Matches(templateLabels)
	})
	return protected
}
