// Package gateconfig reads and writes the namespaces in the gate's ValidatingWebhookConfiguration
// (config/webhook/gate.yaml). The lists are what the API server goes by: a namespace that none of them names is not
// gated, whatever the operator thinks.
package gateconfig

import (
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// Name of the ValidatingWebhookConfiguration.
	Name = "itil-operator-gate"
	// EnforceWebhook is the webhook of the namespaces with a workload under Enforce; it fails closed.
	EnforceWebhook = "enforce.gate.itil.dev"
	// AuditWebhook is the webhook of the namespaces whose workloads are under Warn or Audit only; it fails open.
	AuditWebhook = "audit.gate.itil.dev"
	// SideDoorsWebhook is the webhook of both lists' namespaces that is told of changes of running pods which no
	// template tells of; it fails open and refuses nothing.
	SideDoorsWebhook = "sidedoors.gate.itil.dev"
	// Placeholder stands for no namespace: it is no valid name of one. A selector with an empty list is refused, and
	// one without requirements matches everything.
	Placeholder = "No_Namespace"
)

// Namespaces are the lists of the two webhooks, sorted and without the placeholder. No namespace is in both.
type Namespaces struct {
	Enforce, Audit []string
}

// Listed says in which list a namespace is.
type Listed string

const (
	// NotListed: the API server does not ask the gate about this namespace.
	NotListed Listed = ""
	// ListedEnforce: it asks, and nothing goes in while nobody answers.
	ListedEnforce Listed = "Enforce"
	// ListedAudit: it asks, and what it asked about goes in while nobody answers.
	ListedAudit Listed = "Audit"
)

// Of says in which list a namespace is.
func (n Namespaces) Of(namespace string) Listed {
	if _, found := slices.BinarySearch(n.Enforce, namespace); found {
		return ListedEnforce
	}
	if _, found := slices.BinarySearch(n.Audit, namespace); found {
		return ListedAudit
	}
	return NotListed
}

// all are the namespaces of both lists.
func (n Namespaces) all() []string {
	all := slices.Concat(n.Enforce, n.Audit)
	slices.Sort(all)
	return all
}

// Equal reports whether both lists are the same.
func (n Namespaces) Equal(other Namespaces) bool {
	return slices.Equal(n.Enforce, other.Enforce) && slices.Equal(n.Audit, other.Audit)
}

// Read returns the lists of a configuration. A webhook whose selector has another form than Write gives it has none.
func Read(config *admissionregistrationv1.ValidatingWebhookConfiguration) Namespaces {
	n := Namespaces{}
	for i := range config.Webhooks {
		switch webhook := &config.Webhooks[i]; webhook.Name {
		case EnforceWebhook:
			n.Enforce = namesIn(webhook.NamespaceSelector)
		case AuditWebhook:
			n.Audit = namesIn(webhook.NamespaceSelector)
		}
	}
	return n
}

func namesIn(selector *metav1.LabelSelector) []string {
	if selector == nil || len(selector.MatchLabels) > 0 || len(selector.MatchExpressions) != 1 {
		return nil
	}
	e := selector.MatchExpressions[0]
	if e.Key != corev1.LabelMetadataName || e.Operator != metav1.LabelSelectorOpIn {
		return nil
	}
	names := slices.DeleteFunc(slices.Clone(e.Values), func(name string) bool { return name == Placeholder })
	slices.Sort(names)
	return slices.Compact(names)
}

// Write puts the lists into a configuration and reports whether that altered it. Selectors of another form are
// replaced.
func Write(config *admissionregistrationv1.ValidatingWebhookConfiguration, n Namespaces) (changed bool) {
	for i := range config.Webhooks {
		webhook := &config.Webhooks[i]
		switch webhook.Name {
		case EnforceWebhook:
			changed = set(webhook, n.Enforce) || changed
		case AuditWebhook:
			changed = set(webhook, n.Audit) || changed
		case SideDoorsWebhook:
			changed = set(webhook, n.all()) || changed
		}
	}
	return changed
}

func set(webhook *admissionregistrationv1.ValidatingWebhook, names []string) bool {
	want := selector(names)
	if got := webhook.NamespaceSelector; got != nil && len(got.MatchLabels) == 0 && len(got.MatchExpressions) == 1 {
		have := got.MatchExpressions[0]
		if have.Key == want.Key && have.Operator == want.Operator && slices.Equal(have.Values, want.Values) {
			return false
		}
	}
	webhook.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{want}}
	return true
}

// selector goes by a label that the API server sets and nobody can change.
func selector(names []string) metav1.LabelSelectorRequirement {
	values := slices.Clone(names)
	if len(values) == 0 {
		values = []string{Placeholder}
	}
	return metav1.LabelSelectorRequirement{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: values}
}
