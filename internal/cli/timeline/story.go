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
	rankMade = iota
	rankChange
	rankRelease
	rankDeployment
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
	Changes  []v1alpha1.Change
	Releases []v1alpha1.Release
	// Incidents, also those of other namespaces that explain some of these or are of Services that this one needs.
	Incidents  []v1alpha1.Incident
	Problems   []v1alpha1.Problem
	Services   []v1alpha1.Service
	Agreements []v1alpha1.ServiceLevelAgreement
}

// Tell the story of a subject, in order: what happened from since on.
func Tell(s Subject, r Records, since time.Time) []Entry {
	t := &teller{subject: s, known: knownErrors(r.Problems), wentIn: map[string]metav1.Time{}}
	for i := range r.Changes {
		if c := &r.Changes[i]; len(c.Status.Implementations) > 0 {
			t.wentIn[c.Name] = c.Status.Implementations[0].At
		}
	}
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
	// known is since when Problems are known errors.
	known map[string]metav1.Time
	// wentIn is when Changes began to be implemented.
	wentIn  map[string]metav1.Time
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
	if strings.HasPrefix(by, serviceAccounts) && strings.HasSuffix(by, ":"+operator) {
		by = operator
	}
	o.teller.entries = append(o.teller.entries, Entry{
		At: metav1.NewTime(at.UTC().Truncate(time.Second)), Object: o.object, What: strings.Join(strings.Fields(what), " "), By: by, rank: o.rank,
	})
}

// serviceAccounts is how the names of ServiceAccounts begin: the operator's own is told by the name it signs with.
const serviceAccounts = "system:serviceaccount:"

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
	what += ": " + c.Spec.Summary
	if ref := c.Spec.ProblemRef; ref != nil {
		what += "; it is to fix Problem " + string(ref.Name)
	}
	if ref := c.Spec.IncidentRef; ref != nil {
		what += "; it is to end Incident " + string(ref.Name)
	}
	o.say(&c.CreationTimestamp, string(c.Spec.Requester), what)
	if a := c.Status.Approvals; a != nil {
		votes := slices.SortedFunc(slices.Values(a.Votes), func(a, b v1alpha1.Vote) int { return cmp.Compare(a.Approver, b.Approver) })
		for i := range votes {
			o.vote(&votes[i])
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
	deployed := t.of("change", c.Name, rankDeployment)
	for i := range c.Status.Implementations {
		deployed.implementation(&c.Status.Implementations[i])
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
	if c.Spec.Review != nil && c.Spec.Review.Notes != "" {
		ended += "; review: " + c.Spec.Review.Notes
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
