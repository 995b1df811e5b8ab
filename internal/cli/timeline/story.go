package timeline

import (
	"cmp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Entry is one thing that happened.
type Entry struct {
	// At is when.
	At metav1.Time `json:"at"`
	// Object that it happened to, as kind/name.
	Object string `json:"object"`
	// What happened, in one line.
	What string `json:"what"`
	// By whom; empty where that is not recorded.
	By string `json:"by,omitempty"`
	// rank and order put what happened in the same second in the order of causes: an agreement is filed before it is voted
	// on, and a workload fails before an Incident says so.
	rank, order int
}

// Ranks of what happens in the same second.
const (
	rankChange = iota
	rankRelease
	rankService
	rankIncident
	rankReaction
	rankProblem
	rankAgreement
)

const operator = "itil-operator"

// Subject is what a story is about.
type Subject struct {
	Namespace string
	// Service that it is about; empty: one workload alone.
	Service string
	// Workloads of the service, or the one.
	Workloads []Workload
}

// Workload is a kind and a name.
type Workload struct{ Kind, Name string }

// Records are what a namespace remembers.
type Records struct {
	Changes    []v1alpha1.Change
	Releases   []v1alpha1.Release
	Incidents  []v1alpha1.Incident
	Problems   []v1alpha1.Problem
	Services   []v1alpha1.Service
	Agreements []v1alpha1.ServiceLevelAgreement
}

// Tell the story of a subject, in order: what happened from since on.
func Tell(s Subject, r Records, since time.Time) []Entry {
	t := &teller{subject: s}
	problems := t.incidents(r)
	changes := t.releases(r)
	for i := range r.Changes {
		if c := &r.Changes[i]; changes[c.Name] || t.changes(c) {
			t.change(c)
		}
	}
	for i := range r.Problems {
		p := &r.Problems[i]
		if problems[p.Name] || p.Spec.Fingerprint != "" && problems["fingerprint "+p.Spec.Fingerprint] || t.isService(p.Spec.ServiceRef) {
			t.problem(p)
		}
	}
	t.service(r)
	t.entries = slices.DeleteFunc(t.entries, func(e Entry) bool { return e.At.Time.Before(since) })
	for i := range t.entries {
		t.entries[i].order = i
	}
	slices.SortStableFunc(t.entries, func(a, b Entry) int {
		return cmp.Or(a.At.Compare(b.At.Time), cmp.Compare(a.rank, b.rank), cmp.Compare(a.Object, b.Object), cmp.Compare(a.order, b.order))
	})
	return t.entries
}

type teller struct {
	subject Subject
	entries []Entry
}

// telling writes entries of one object.
type telling struct {
	*teller

	object string
	rank   int
}

func (t *teller) of(kind, name string, rank int) telling {
	return telling{teller: t, object: kind + "/" + name, rank: rank}
}

func (o telling) say(at *metav1.Time, by, what string) {
	if at == nil || at.IsZero() {
		return
	}
	o.teller.entries = append(o.teller.entries, Entry{
		At: metav1.NewTime(at.UTC().Truncate(time.Second)), Object: o.object, What: strings.Join(strings.Fields(what), " "), By: by, rank: o.rank,
	})
}

func (t *teller) isService(ref *v1alpha1.LocalReference) bool {
	return t.subject.Service != "" && ref != nil && string(ref.Name) == t.subject.Service
}

func (t *teller) isWorkload(kind, name string) bool {
	return slices.Contains(t.subject.Workloads, Workload{kind, name})
}

// changes reports whether a Change is about a workload of the subject.
func (t *teller) changes(c *v1alpha1.Change) bool {
	about := func(w v1alpha1.WorkloadReference) bool { return t.isWorkload(string(w.Kind), string(w.Name)) }
	return slices.ContainsFunc(c.Spec.Targets, func(x v1alpha1.ChangeTarget) bool { return about(x.Workload) }) ||
		slices.ContainsFunc(c.Status.Implementations, func(x v1alpha1.Implementation) bool { return about(x.Workload) })
}

func (t *teller) change(c *v1alpha1.Change) {
	o := t.of("change", c.Name, rankChange)
	what := "filed"
	if c.Spec.Type != "" {
		what += " (" + string(c.Spec.Type) + ")"
	}
	o.say(&c.CreationTimestamp, string(c.Spec.Requester), what+": "+c.Spec.Summary)
	if a := c.Status.Approvals; a != nil {
		for i := range a.Votes {
			o.vote(&a.Votes[i])
		}
	}
	for i := range c.Status.RejectedDigests {
		d := &c.Status.RejectedDigests[i]
		o.say(&d.At, string(d.By), strings.TrimSuffix("rejected: "+d.Comment, ": "))
	}
	if c.Status.Approvals != nil && c.Status.Approvals.Required > 0 {
		o.say(c.Status.ApprovedAt, operator, "approved: "+c.Status.Approvals.Summary+" votes")
	} else {
		o.say(c.Status.ApprovedAt, operator, "approved: it needs no vote")
	}
	for i := range c.Status.Implementations {
		o.implementation(&c.Status.Implementations[i])
	}
	if b := c.Status.Backout; b != nil {
		o.say(&b.StartedAt, operator, "backout begins: "+b.Why)
		for i := range b.Targets {
			x := &b.Targets[i]
			o.say(&x.Since, operator, workload(x.Workload)+" "+strings.ToLower(string(x.State))+strings.TrimSuffix(": "+x.Why, ": "))
		}
	}
	ended := string(c.Status.State)
	if c.Status.Outcome != "" {
		ended += ": " + string(c.Status.Outcome)
	}
	o.say(c.Status.ClosedAt, operator, ended)
}

func (o telling) vote(v *v1alpha1.Vote) {
	what := "approved"
	if v.Decision == v1alpha1.DecisionReject {
		what = "rejected"
	}
	if v.Group != "" {
		what += " for " + v.Group
	}
	if v.Ignored != "" {
		what += ", which does not count: " + v.Ignored
	}
	o.say(&v.At, string(v.Approver), what)
}

func (o telling) implementation(i *v1alpha1.Implementation) {
	what := "went into " + workload(i.Workload)
	switch i.Operation {
	case v1alpha1.OperationCreate:
		what = "created " + workload(i.Workload)
	case v1alpha1.OperationDelete:
		what = "deleted " + workload(i.Workload)
	case v1alpha1.OperationTemplate:
	}
	o.say(&i.At, i.By, what)
	switch i.Rollout {
	case v1alpha1.RolloutComplete:
		o.say(i.RolledOutAt, operator, workload(i.Workload)+" is rolled out")
	case v1alpha1.RolloutFailed:
		o.say(i.RolledOutAt, operator, workload(i.Workload)+" does not roll out")
	case v1alpha1.RolloutRolledBack:
		o.say(i.RolledOutAt, operator, workload(i.Workload)+" was rolled back")
	case v1alpha1.RolloutInProgress:
	}
}

func workload(w v1alpha1.WorkloadReference) string {
	return strings.ToLower(string(w.Kind)) + "/" + string(w.Name)
}

// incidents tells those of the subject, and returns the Problems that they are of.
func (t *teller) incidents(r Records) map[string]bool {
	problems := map[string]bool{}
	for n := range r.Incidents {
		i := &r.Incidents[n]
		ref := i.Spec.WorkloadRef
		affected := slices.ContainsFunc(i.Status.AffectedServices, func(a v1alpha1.NamespacedReference) bool {
			return t.subject.Service != "" && string(a.Name) == t.subject.Service && (a.Namespace == "" || string(a.Namespace) == t.subject.Namespace)
		})
		if !affected && !t.isService(i.Spec.ServiceRef) && (ref == nil || !t.isWorkload(ref.Kind, string(ref.Name))) {
			continue
		}
		if i.Status.Fingerprint != "" {
			problems["fingerprint "+i.Status.Fingerprint] = true
		}
		if p := i.Spec.ProblemRef; p != nil {
			problems[string(p.Name)] = true
		}
		t.incident(i)
	}
	return problems
}

func (t *teller) incident(i *v1alpha1.Incident) {
	o := t.of("incident", i.Name, rankIncident)
	if first := firstOf(i.Status.Timeline); i.Status.StartedAt != nil && (first == nil || i.Status.StartedAt.Before(first)) {
		began := t.of("incident", i.Name, rankService)
		began.say(i.Status.StartedAt, "", "the failure begins"+strings.TrimSuffix(": "+string(i.Status.Reason), ": "))
	}
	for n := range i.Status.Timeline {
		e := &i.Status.Timeline[n]
		what := e.What
		if n == 0 {
			what += incidentNotes(i)
		}
		o.say(&e.At, e.By, what)
	}
}

// incidentNotes are what it knows when it is opened.
func incidentNotes(i *v1alpha1.Incident) string {
	notes := ""
	if i.Status.Priority != "" {
		notes = ", " + string(i.Status.Priority)
	}
	if c := i.Status.SuspectedChange; c != nil {
		suspect := "a change without a record"
		if c.Name != "" {
			suspect = "Change " + c.Name
		}
		notes += "; suspects " + suspect + " (" + strings.ToLower(string(c.Confidence)) + ")"
	}
	if k := i.Status.KnownError; k != nil {
		notes += "; known error " + string(k.Problem)
		if k.Workaround != "" {
			notes += ", workaround: " + k.Workaround
		}
	}
	return notes
}

func firstOf(entries []v1alpha1.TimelineEntry) *metav1.Time {
	if len(entries) == 0 {
		return nil
	}
	return &entries[0].At
}

func (t *teller) problem(p *v1alpha1.Problem) {
	o := t.of("problem", p.Name, rankProblem)
	for n := range p.Status.Timeline {
		e := &p.Status.Timeline[n]
		o.say(&e.At, e.By, e.What)
	}
	if len(p.Status.Timeline) == 0 {
		o.say(&p.CreationTimestamp, string(p.Spec.Owner), "opened: "+p.Spec.Statement)
	}
}
