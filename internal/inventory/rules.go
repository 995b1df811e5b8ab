package inventory

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

// Rules are what the policies in scope of a namespace come to; nil where there are none: the defaults.
func (i *Inventory) Rules(namespace string) *change.Rules { return i.rules.of(namespace) }

func (i *Inventory) putPolicy(p *v1alpha1.ChangePolicy, n *news) {
	old := i.written.policies[p.Name]
	i.written.policies[p.Name] = p
	if old == nil || old.UID != p.UID || old.Generation != p.Generation || !samePreauthorised(old, p) {
		i.merge(n, old, p)
	}
}

// samePreauthorised reports whether the same standard changes are suspended: of a policy's status nothing else is a
// rule, and its figures are written often.
func samePreauthorised(a, b *v1alpha1.ChangePolicy) bool {
	suspended := func(p *v1alpha1.ChangePolicy) []string {
		var names []string
		for i := range p.Status.StandardChanges {
			if s := &p.Status.StandardChanges[i]; s.Suspended {
				names = append(names, s.Name)
			}
		}
		return names
	}
	return slices.Equal(suspended(a), suspended(b))
}

func (i *Inventory) removePolicy(p *v1alpha1.ChangePolicy, n *news) {
	old := i.written.policies[p.Name]
	delete(i.written.policies, p.Name)
	i.merge(n, old)
}

func (i *Inventory) putCalendar(c *v1alpha1.Calendar, n *news) {
	hours, problems := change.Hours(c.Spec)
	if len(problems) > 0 {
		hours = nil
	}
	i.written.calendars[c.Name] = hours
	i.mergeCalendar(c.Name, n)
}

func (i *Inventory) removeCalendar(c *v1alpha1.Calendar, n *news) {
	delete(i.written.calendars, c.Name)
	i.mergeCalendar(c.Name, n)
}

func (i *Inventory) mergeCalendar(name string, n *news) {
	var using []*v1alpha1.ChangePolicy
	for _, p := range i.written.policies {
		if w := p.Spec.ChangeWindow; w != nil && string(w.CalendarRef.Name) == name {
			using = append(using, p)
		}
	}
	i.merge(n, using...)
}

func (i *Inventory) putNamespace(ns *corev1.Namespace, n *news) {
	old, known := i.written.namespaces[ns.Name]
	i.written.namespaces[ns.Name] = ns.Labels
	if !known || !maps.Equal(old, ns.Labels) {
		i.mergeNamespace(ns.Name, ns.Labels, n)
	}
}

func (i *Inventory) removeNamespace(ns *corev1.Namespace, n *news) {
	delete(i.written.namespaces, ns.Name)
	i.replaceRules(ns.Name, nil, n)
}

// merge makes the rules anew of all namespaces that one of the policies, in an older or its present version, selects.
func (i *Inventory) merge(n *news, policies ...*v1alpha1.ChangePolicy) {
	for name, labels := range i.written.namespaces {
		if slices.ContainsFunc(policies, func(p *v1alpha1.ChangePolicy) bool { return p != nil && change.InScope(p, labels) }) {
			i.mergeNamespace(name, labels, n)
		}
	}
}

// mergeNamespace makes the rules of a namespace.
func (i *Inventory) mergeNamespace(name string, labels map[string]string, n *news) {
	var inScope []*v1alpha1.ChangePolicy
	for _, p := range i.written.policies {
		if change.InScope(p, labels) {
			inScope = append(inScope, p)
		}
	}
	var rules *change.Rules
	if len(inScope) > 0 {
		rules = change.Merge(inScope, i.written.calendars)
	}
	i.replaceRules(name, rules, n)
}

// replaceRules of a namespace, nil for none, and judges its Changes by the new ones.
func (i *Inventory) replaceRules(name string, rules *change.Rules, n *news) {
	if rules != nil {
		i.rules.put(name, rules)
	} else if _, had := i.rules.get(name); had {
		i.rules.remove(name)
	} else {
		return
	}
	n.namespace(name)
	for chg := range i.written.changes[name] {
		i.prepare(chg, n)
	}
}
