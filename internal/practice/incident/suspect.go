package incident

import (
	"cmp"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	// suspicionWindow is how long before a failure a change is suspected.
	suspicionWindow = time.Hour
	// closeWindow is how soon after a change a failure follows it closely.
	closeWindow = 10 * time.Minute
	// clockTolerance is how far behind the clock may be that stamps a failure: it may seem to begin so much before what
	// caused it.
	clockTolerance = time.Minute
)

// Failure is what is known of a failure when its cause is looked for.
type Failure struct {
	// Began is when it did, by the clock of what failed: mostly a kubelet's, which may be behind.
	Began time.Time
	// Seen is when the operator first saw it; zero is now.
	Seen time.Time
	// CurrentOnly: only pods of the newest template show it, which has this hash; empty where that is not known.
	CurrentOnly  bool
	TemplateHash string
}

// Implementation is a template that went into a workload.
type Implementation struct {
	// Namespace and Change by which it went in; Change is empty where there was none.
	Namespace, Change string
	// How it went in, for people, where there was no Change.
	How string
	At  time.Time
	// TemplateHash of what went in; empty where that is not known.
	TemplateHash string
	// On names the workload or service that it went into.
	On string
	// Dependency: it went into what the workload depends on, not into the workload itself.
	Dependency bool
}

// follows reports whether a failure may be the consequence of what went in. One that seems to have begun no later than
// that is so only where its clock must be behind: nobody saw it before, and no pods show it but those of just that template.
func (f *Failure) follows(i *Implementation) bool {
	if i.At.Before(f.Began) {
		return f.Began.Sub(i.At) <= suspicionWindow
	}
	another := i.TemplateHash != "" && f.TemplateHash != "" && i.TemplateHash != f.TemplateHash
	seenBefore := !f.Seen.IsZero() && f.Seen.Before(i.At)
	return f.CurrentOnly && !i.Dependency && !another && !seenBefore && i.At.Sub(f.Began) <= clockTolerance
}

// Suspect is the newest implementation in the hour before the failure; nil where there is none. Confidence is by how
// closely the failure followed, and whether only pods of the new template fail.
func Suspect(list []Implementation, f Failure) *v1alpha1.SuspectedChange {
	var newest *Implementation
	for i := range list {
		candidate := &list[i]
		if f.follows(candidate) && (newest == nil || candidate.suspectedBefore(newest)) {
			newest = candidate
		}
	}
	if newest == nil {
		return nil
	}
	after := max(f.Began.Sub(newest.At), 0)
	confidence := v1alpha1.ConfidenceLow
	switch {
	case newest.Dependency:
	case after <= closeWindow && f.CurrentOnly:
		confidence = v1alpha1.ConfidenceHigh
	case after <= closeWindow || f.CurrentOnly:
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
	if f.CurrentOnly && !newest.Dependency {
		reason += "; only pods of the new template fail"
	}
	return &v1alpha1.SuspectedChange{
		Namespace: v1alpha1.NamespaceName(newest.Namespace), Name: newest.Change,
		Confidence: confidence, Reason: clip(reason, maxText),
	}
}

// Suspected is the Change that an Incident suspects; no name: it suspects none, or one that no record tells of.
func Suspected(i *v1alpha1.Incident) types.NamespacedName {
	s := i.Status.SuspectedChange
	if s == nil || s.Name == "" {
		return types.NamespacedName{}
	}
	return types.NamespacedName{Namespace: cmp.Or(string(s.Namespace), i.Namespace), Name: s.Name}
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
		i := Implementation{
			Namespace: namespace, Change: b.Change, How: string(b.Source), At: b.From.Time, On: workload,
			TemplateHash: cmp.Or(b.FullHash, b.TemplateHash),
		}
		if i.Change == "" {
			i.Namespace = ""
		}
		out = append(out, i)
	}
	return out
}
