package incident

import (
	"fmt"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	// suspicionWindow is how long before a failure a change is suspected.
	suspicionWindow = time.Hour
	// closeWindow is how soon after a change a failure follows it closely.
	closeWindow = 10 * time.Minute
	// clockTolerance is how much later than the failure a change may be recorded and still be before it.
	clockTolerance = time.Minute
)

// Implementation is a template that went into a workload.
type Implementation struct {
	// Namespace and Change by which it went in; Change is empty where there was none.
	Namespace, Change string
	// How it went in, for people, where there was no Change.
	How string
	At  time.Time
	// On names the workload or service that it went into.
	On string
	// Dependency: it went into what the workload depends on, not into the workload itself.
	Dependency bool
}

// Suspect is the newest implementation in the hour before the failure; nil where there is none. Confidence is by how
// closely the failure followed, and whether only pods of the new template fail.
func Suspect(list []Implementation, startedAt time.Time, currentOnly bool) *v1alpha1.SuspectedChange {
	var newest *Implementation
	for i := range list {
		candidate := &list[i]
		if candidate.At.After(startedAt.Add(clockTolerance)) || startedAt.Sub(candidate.At) > suspicionWindow {
			continue
		}
		if newest == nil || candidate.suspectedBefore(newest) {
			newest = candidate
		}
	}
	if newest == nil {
		return nil
	}
	after := max(startedAt.Sub(newest.At), 0)
	confidence := v1alpha1.ConfidenceLow
	switch {
	case newest.Dependency:
	case after <= closeWindow && currentOnly:
		confidence = v1alpha1.ConfidenceHigh
	case after <= closeWindow || currentOnly:
		confidence = v1alpha1.ConfidenceMedium
	}
	const maxText = 512
	reason := fmt.Sprintf("%s before the failure began, a new template went into %s", after.Round(time.Second), newest.On)
	switch {
	case newest.How == string(v1alpha1.BaselineRollback):
		reason = fmt.Sprintf("%s before the failure began, %s was rolled back", after.Round(time.Second), newest.On)
	case newest.Change == "":
		reason += " without a Change (" + newest.How + ")"
	}
	if currentOnly && !newest.Dependency {
		reason += "; only pods of the new template fail"
	}
	return &v1alpha1.SuspectedChange{
		Namespace: v1alpha1.NamespaceName(newest.Namespace), Name: newest.Change,
		Confidence: confidence, Reason: clip(reason, maxText),
	}
}

// suspectedBefore prefers what went into the workload itself, then the newest.
func (i *Implementation) suspectedBefore(other *Implementation) bool {
	if i.Dependency != other.Dependency {
		return !i.Dependency
	}
	if !i.At.Equal(other.At) {
		return i.At.After(other.At)
	}
	return i.Change > other.Change
}

// Implementations are what a workload's baselines tell, other than what ran before it was governed.
func Implementations(namespace, workload string, baselines []v1alpha1.Baseline) []Implementation {
	var out []Implementation
	for _, b := range baselines {
		if b.Source == v1alpha1.BaselineAdopted {
			continue
		}
		i := Implementation{Namespace: namespace, Change: b.Change, How: string(b.Source), At: b.From.Time, On: workload}
		if i.Change == "" {
			i.Namespace = ""
		}
		out = append(out, i)
	}
	return out
}
