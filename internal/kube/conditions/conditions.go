// Package conditions sets conditions of a status. Time comes in, so that a decision stays a function of its input.
package conditions

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxMessage is the API's bound for the message of a condition, in bytes.
const maxMessage = 32768

// Set adds or replaces a condition by type and reports whether anything in it changed. The time of its last transition
// stays while the status does, and else is now.
func Set(list *[]metav1.Condition, c metav1.Condition, now time.Time) (changed bool) {
	c.LastTransitionTime = metav1.NewTime(now.Truncate(time.Second))
	if len(c.Message) > maxMessage {
		c.Message = c.Message[:maxMessage]
	}
	return meta.SetStatusCondition(list, c)
}

// Keep removes the conditions of all other types: of an earlier version of the operator, or made by hand.
func Keep(list *[]metav1.Condition, types ...string) {
	*list = slices.DeleteFunc(*list, func(c metav1.Condition) bool { return !slices.Contains(types, c.Type) })
	if len(*list) == 0 {
		*list = nil
	}
}

// Status of a condition that is True or False.
func Status(isTrue bool) metav1.ConditionStatus {
	if isTrue {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}
