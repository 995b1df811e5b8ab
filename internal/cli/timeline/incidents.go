package timeline

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// incidents tells those of the subject and those that explain them, and returns the Problems that they are of.
func (t *teller) incidents(r Records) map[string]bool {
	own, explaining := map[*v1alpha1.Incident]bool{}, map[v1alpha1.NamespacedReference]bool{}
	for n := range r.Incidents {
		if i := &r.Incidents[n]; t.suffersFrom(i) {
			own[i] = true
			if parent := parentOf(i); parent != nil {
				explaining[*parent] = true
			}
		}
	}
	problems := map[string]bool{}
	for n := range r.Incidents {
		i := &r.Incidents[n]
		if !own[i] && !explaining[v1alpha1.NamespacedReference{Namespace: v1alpha1.NamespaceName(i.Namespace), Name: v1alpha1.ObjectName(i.Name)}] {
			continue
		}
		t.incident(i)
		if i.Namespace != t.subject.Namespace {
			continue
		}
		if i.Status.Fingerprint != "" {
			problems["fingerprint "+i.Status.Fingerprint] = true
		}
		if p := i.Spec.ProblemRef; p != nil {
			problems[string(p.Name)] = true
		}
	}
	return problems
}

// suffersFrom reports whether an Incident is the subject's: it is about it, or the subject suffers from it.
func (t *teller) suffersFrom(i *v1alpha1.Incident) bool {
	if t.subject.Service != "" && slices.ContainsFunc(i.Status.AffectedServices, func(a v1alpha1.NamespacedReference) bool {
		return string(a.Name) == t.subject.Service && cmp.Or(string(a.Namespace), i.Namespace) == t.subject.Namespace
	}) {
		return true
	}
	ref := i.Spec.WorkloadRef
	return i.Namespace == t.subject.Namespace && (t.isService(i.Spec.ServiceRef) || ref != nil && t.isWorkload(ref.Kind, string(ref.Name)))
}

// parentOf is the Incident that explains one, with its namespace; nil: none does.
func parentOf(i *v1alpha1.Incident) *v1alpha1.NamespacedReference {
	ref := cmp.Or(i.Spec.ParentRef, i.Status.ParentRef)
	if ref == nil {
		return nil
	}
	return &v1alpha1.NamespacedReference{Namespace: cmp.Or(ref.Namespace, v1alpha1.NamespaceName(i.Namespace)), Name: ref.Name}
}

func (t *teller) incident(i *v1alpha1.Incident) {
	name := i.Name
	if i.Namespace != t.subject.Namespace {
		name = i.Namespace + "/" + name
	}
	o := t.of("incident", name, rankIncident)
	if first := firstOf(i.Status.Timeline); i.Status.StartedAt != nil && (first == nil || i.Status.StartedAt.Before(first)) {
		began := t.of("incident", name, rankService)
		began.say(i.Status.StartedAt, "", "the failure begins"+strings.TrimSuffix(": "+string(i.Status.Reason), ": "))
	}
	if c := i.Status.SuspectedChange; c != nil {
		o.say(t.inLater(c, firstOf(i.Status.Timeline)), operator, suspicion(c))
	}
	for n := range i.Status.Timeline {
		e := &i.Status.Timeline[n]
		what := e.What
		switch {
		case n == 0:
			what += t.notes(i)
		case what == "closed" && e.By == operator:
			// That nobody came back to it for three days is no event.
			continue
		}
		o.say(&e.At, e.By, what)
	}
}

// notes are what an Incident knew when it was opened.
func (t *teller) notes(i *v1alpha1.Incident) string {
	notes := ""
	if priority := firstPriority(i); priority != "" {
		notes = ", " + priority
	}
	if c := i.Status.SuspectedChange; c != nil && t.inLater(c, firstOf(i.Status.Timeline)) == nil {
		notes += "; " + suspicion(c)
	}
	if k := i.Status.KnownError; k != nil && !t.knownAfter(k, firstOf(i.Status.Timeline)) {
		notes += "; known error " + string(k.Problem)
		if k.Workaround != "" {
			notes += ", workaround: " + k.Workaround
		}
	}
	return notes
}

func suspicion(c *v1alpha1.SuspectedChange) string {
	suspect := "a change without a record"
	if c.Name != "" {
		suspect = "Change " + c.Name
	}
	return "suspects " + suspect + " (" + strings.ToLower(string(c.Confidence)) + ")"
}

// inLater is when a suspected Change went in, if that was after an Incident was opened; nil: it was not.
func (t *teller) inLater(c *v1alpha1.SuspectedChange, opened *metav1.Time) *metav1.Time {
	in, known := t.wentIn[c.Name]
	if !known || opened == nil || cmp.Or(string(c.Namespace), t.subject.Namespace) != t.subject.Namespace || !opened.Before(&in) {
		return nil
	}
	return &in
}

var raised = regexp.MustCompile(`^priority P[1-5], was (P[1-5])\b`)

// firstPriority is the one that it was opened with.
func firstPriority(i *v1alpha1.Incident) string {
	for n := range i.Status.Timeline {
		if was := raised.FindStringSubmatch(i.Status.Timeline[n].What); was != nil {
			return was[1]
		}
	}
	return string(i.Status.Priority)
}

// knownAfter reports whether an error became known only later: an Incident that is over shows it all the same.
func (t *teller) knownAfter(k *v1alpha1.KnownError, at *metav1.Time) bool {
	since, known := t.known[string(k.Problem)]
	return known && at != nil && at.Before(&since)
}

// knownErrors is since when Problems are.
func knownErrors(problems []v1alpha1.Problem) map[string]metav1.Time {
	known := map[string]metav1.Time{}
	for i := range problems {
		c := apimeta.FindStatusCondition(problems[i].Status.Conditions, v1alpha1.ConditionKnownError)
		if c != nil && c.Status == metav1.ConditionTrue {
			known[problems[i].Name] = c.LastTransitionTime
		}
	}
	return known
}

func firstOf(entries []v1alpha1.TimelineEntry) *metav1.Time {
	if len(entries) == 0 {
		return nil
	}
	return &entries[0].At
}
