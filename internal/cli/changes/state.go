package changes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
)

// isEnded reports whether a Change lets nothing in any more, and nobody has to do anything about it.
func isEnded(c *v1alpha1.Change) bool {
	switch c.Status.State {
	case v1alpha1.ChangeCanceled, v1alpha1.ChangeClosed, v1alpha1.ChangeRejected:
		return true
	case v1alpha1.ChangeAssess, v1alpha1.ChangeAuthorize, v1alpha1.ChangeScheduled, v1alpha1.ChangeImplement, v1alpha1.ChangeReview:
	}
	return c.Spec.Cancel
}

// isOpen reports whether a Change may still let something in.
func isOpen(c *v1alpha1.Change) bool {
	return !isEnded(c) && c.Status.State != v1alpha1.ChangeReview
}

// obstacles are what keeps a Change from letting its templates in now, apart from what they are: the most
// fundamental first. None: its gate is open.
func obstacles(c *v1alpha1.Change, now time.Time) []string {
	if isEnded(c) {
		return []string{"it has ended (" + strings.ToLower(string(endedState(c))) + ")"}
	}
	if c.Status.State == v1alpha1.ChangeReview {
		return []string{"it awaits its review: kubectl itil change review " + refOf(c)}
	}
	var out []string
	switch missing := votesMissing(c); {
	case c.Status.Digest == "" || !assessed(c):
		out = append(out, "the operator has not assessed it yet")
	case c.Status.State == v1alpha1.ChangeAssess && c.Status.NextStep != "":
		out = append(out, "it cannot be assessed: "+c.Status.NextStep)
	case missing != "":
		out = append(out, missing)
	}
	out = append(out, frozen(c)...)
	for _, conflict := range c.Status.Conflicts {
		if conflict.Blocking {
			out = append(out, "conflict with "+conflictWith(c, conflict)+": "+conflict.Why)
		}
	}
	out = append(out, closedWindow(c, now)...)
	if gate := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionGateOpen); len(out) == 0 && gate != nil && gate.Status == "False" {
		out = append(out, gate.Message)
	}
	return out
}

func endedState(c *v1alpha1.Change) v1alpha1.ChangeState {
	if c.Spec.Cancel {
		return v1alpha1.ChangeCanceled
	}
	return c.Status.State
}

// votesMissing is what is missing for an approval; empty where nothing is.
func votesMissing(c *v1alpha1.Change) string {
	if meta.IsStatusConditionTrue(c.Status.Conditions, v1alpha1.ConditionApproved) {
		return ""
	}
	a := c.Status.Approvals
	if a == nil {
		return "it is not known yet which votes it needs"
	}
	if missing := a.Required - a.Granted; missing > 0 {
		return fmt.Sprintf("%s missing%s", screen.Plural(missing, "vote"), fromGroups(a.From))
	}
	// Votes are not all: an Emergency Change also needs an Incident that is open, for example.
	if approved := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionApproved); approved != nil {
		return "not approved: " + approved.Message
	}
	return ""
}

func frozen(c *v1alpha1.Change) []string {
	condition := meta.FindStatusCondition(c.Status.Conditions, v1alpha1.ConditionFrozen)
	if condition == nil || condition.Status != "True" {
		return nil
	}
	return []string{"freeze: " + strings.TrimPrefix(condition.Message, "freeze ")}
}

func closedWindow(c *v1alpha1.Change, now time.Time) []string {
	start, end := windowTimes(c)
	switch {
	case start.IsZero():
		return nil
	case now.Before(start):
		return []string{"its window opens " + screen.Ago(now, start) + ", " + screen.Moment(start)}
	case !now.Before(end):
		return []string{"its window closed " + screen.Ago(now, end)}
	default:
		return nil
	}
}

// allIn reports whether all targets of a Change went in.
func allIn(c *v1alpha1.Change) bool {
	return len(c.Spec.Targets) > 0 && !slices.ContainsFunc(c.Spec.Targets, func(t v1alpha1.ChangeTarget) bool {
		return !slices.ContainsFunc(c.Status.Implementations, func(i v1alpha1.Implementation) bool { return i.Workload == t.Workload })
	})
}

// rollouts are the implementations that are not complete.
func rollouts(c *v1alpha1.Change) []string {
	var out []string
	for _, i := range c.Status.Implementations {
		line := strings.ToLower(string(i.Workload.Kind)) + "/" + string(i.Workload.Name) + " " + string(i.Rollout)
		if i.Rollout != v1alpha1.RolloutComplete && !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return out
}
