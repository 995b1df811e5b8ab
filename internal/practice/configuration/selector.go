package configuration

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Selector selects pods by their labels.
type Selector struct {
	// Defined is false where the object has no selector.
	Defined bool
	// MatchLabels and Expressions must all hold.
	MatchLabels map[string]string
	Expressions []Requirement
}

// Requirement relates the value of one label to a set of values.
type Requirement struct {
	Key string
	// Operator is In, NotIn, Exists or DoesNotExist; anything else matches nothing.
	Operator string
	Values   []string
}

// fromLabelSelector is the selector of our API; nil is undefined.
func fromLabelSelector(s *v1alpha1.LabelSelector) Selector {
	if s == nil {
		return Selector{}
	}
	out := Selector{Defined: true}
	if len(s.MatchLabels) > 0 {
		out.MatchLabels = make(map[string]string, len(s.MatchLabels))
		for k, v := range s.MatchLabels {
			out.MatchLabels[k] = string(v)
		}
	}
	for _, e := range s.MatchExpressions {
		r := Requirement{Key: e.Key, Operator: string(e.Operator)}
		for _, v := range e.Values {
			r.Values = append(r.Values, string(v))
		}
		out.Expressions = append(out.Expressions, r)
	}
	return out
}

// Matches reports whether the labels satisfy the selector, with the meaning that Kubernetes gives it: one that is
// not defined matches nothing, one without requirements everything.
func (s Selector) Matches(labels map[string]string) bool {
	if !s.Defined {
		return false
	}
	for k, v := range s.MatchLabels {
		if have, ok := labels[k]; !ok || have != v {
			return false
		}
	}
	for _, r := range s.Expressions {
		if !r.matches(labels) {
			return false
		}
	}
	return true
}

// requiresNothing reports whether it is defined and matches everything.
func (s Selector) requiresNothing() bool {
	return s.Defined && len(s.MatchLabels) == 0 && len(s.Expressions) == 0
}

// Equal reports whether it is the same selector, written in the same order.
func (s Selector) Equal(other Selector) bool {
	return s.Defined == other.Defined && maps.Equal(s.MatchLabels, other.MatchLabels) &&
		slices.EqualFunc(s.Expressions, other.Expressions, func(a, b Requirement) bool {
			return a.Key == b.Key && a.Operator == b.Operator && slices.Equal(a.Values, b.Values)
		})
}

func (r Requirement) matches(labels map[string]string) bool {
	value, ok := labels[r.Key]
	switch r.Operator {
	case string(metav1.LabelSelectorOpIn):
		return ok && slices.Contains(r.Values, value)
	case string(metav1.LabelSelectorOpNotIn):
		return !ok || !slices.Contains(r.Values, value)
	case string(metav1.LabelSelectorOpExists):
		return ok
	case string(metav1.LabelSelectorOpDoesNotExist):
		return !ok
	default:
		return false
	}
}
