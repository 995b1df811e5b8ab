package change

import (
	"slices"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// LabelFiledFor on a Change that the operator filed says for which verdict. An admission policy keeps it for the operator to
// write: it gives a Change no rights, but who took it off could both vote for a filed one and apply it.
const (
	LabelFiledFor         = "itil.dev/filed-for"
	FiledForDenied        = "Denied"
	FiledForPreAuthorised = "PreAuthorised"
)

// Agreed is what Prepare makes a Candidate from. It is read only.
type Agreed struct {
	Change *v1alpha1.Change
	// Approvals of that Change, in any order.
	Approvals []*v1alpha1.ChangeApproval
	// Rules of its namespace; nil: the defaults.
	Rules *Rules
	// Incident and Problem that it refers to; nil where it refers to none, or that does not exist.
	Incident *IncidentFact
	Problem  *ProblemFact
	// Releases that go in under it.
	Releases []ReleaseFact
	// Targets that exist, by workload. Only Standard and Emergency changes need them.
	Targets map[configuration.Key]TargetFact
	// Least votes that it needs whatever its risk, where its status does not say so yet.
	Least int32
}

// TargetFact is what a Change needs to know of a workload that it is to alter.
type TargetFact struct {
	// Services that claim it.
	Services []string
	// Tier is the lowest of theirs; 0 where none claims it.
	Tier int32
	// Images of the current baseline, by container; nil where there is none.
	Images map[string]string
}

// IncidentFact is what a Change needs to know of the Incident that it refers to.
type IncidentFact struct {
	Name string
	// Open: neither Resolved nor Closed.
	Open bool
	// Services that it is about.
	Services []string
	// Reporter who opened it, as the API server authenticated; empty where the operator did. What else of it people write
	// (that its source is an alert, who its assignee is, children of it) says nothing of who has seen it.
	Reporter string
	// Observed: the operator saw signals of it.
	Observed bool
}

// ProblemFact is what a Change needs to know of the Problem that it refers to.
type ProblemFact struct {
	Name string
	// Open: neither Resolved nor Closed.
	Open bool
	// Services that it is about.
	Services []string
}

// Prepare makes the Candidate of a Change.
func Prepare(in Agreed) *Candidate {
	c, _ := prepare(&in)
	return c
}

// prepare makes the Candidate, and says of each ChangeApproval of the Change, by name, whether it counts.
func prepare(in *Agreed) (*Candidate, map[string]VoteStatus) {
	if in.Rules == nil {
		in.Rules = defaultRules
	}
	chg := in.Change
	c := &Candidate{
		Namespace: chg.Namespace, Name: chg.Name,
		Type: typeOf(&chg.Spec), CreatedAt: chg.CreationTimestamp.Time, Requester: string(chg.Spec.Requester),
		StandardChange: chg.Spec.StandardChange, FiledByOperator: chg.Labels[LabelFiledFor] == FiledForDenied,
		Digest:   PresentDigest(chg),
		Releases: in.Releases,
	}
	c.targets(chg)
	c.declared(chg)
	c.remedies(in)
	statuses := c.approve(in)
	c.end(chg)
	if c.Approval.Approved && !c.Approval.At.IsZero() && c.Declared.IsZero() && len(c.Invalid) == 0 {
		c.Window = in.Rules.firstOpenHours(c.Type, c.Approval.At, openHours)
	}
	return c, statuses
}

func typeOf(spec *v1alpha1.ChangeSpec) v1alpha1.ChangeType {
	if spec.Type == "" {
		return v1alpha1.ChangeNormal
	}
	return spec.Type
}

// PresentDigest returns the digest of a Change's present spec: the recorded one while that is still about it, also
// where a later version of the digest exists.
func PresentDigest(chg *v1alpha1.Change) string {
	if assessed(chg) {
		return chg.Status.Digest
	}
	return Digest(&chg.Spec)
}

// assessed says whether the status is about the present spec: what it records of risk and approval counts then.
func assessed(chg *v1alpha1.Change) bool {
	return chg.Status.Risk != nil && VerifyDigest(&chg.Spec, chg.Status.Digest)
}

func (c *Candidate) targets(chg *v1alpha1.Change) {
	c.Targets = make([]Target, 0, len(chg.Spec.Targets))
	for i := range chg.Spec.Targets {
		t := &chg.Spec.Targets[i]
		target := Target{
			Key: KeyOf(chg.Namespace, t.Workload), Operations: operationsOf(t), Images: t.Images, TemplateHash: string(t.TemplateHash),
		}
		for j := range chg.Status.Implementations {
			if im := &chg.Status.Implementations[j]; im.Workload == t.Workload {
				target.Rollout = im.Rollout
			}
		}
		c.Targets = append(c.Targets, target)
	}
}

// KeyOf returns the key of a workload that an object of the namespace refers to.
func KeyOf(namespace string, w v1alpha1.WorkloadReference) configuration.Key {
	group, _ := configuration.GroupOf(string(w.Kind))
	return configuration.Key{Group: group, Kind: string(w.Kind), Namespace: namespace, Name: string(w.Name)}
}

// ReferenceTo returns the reference to a workload from an object of its namespace.
func ReferenceTo(key configuration.Key) v1alpha1.WorkloadReference {
	return v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadKind(key.Kind), Name: v1alpha1.ObjectName(key.Name)}
}

func (c *Candidate) declared(chg *v1alpha1.Change) {
	w := chg.Spec.Window
	if w == nil {
		return
	}
	from, errFrom := servicelevel.ParseTimestamp("spec.window.start", w.Start)
	to, errTo := servicelevel.ParseTimestamp("spec.window.end", w.End)
	switch {
	case errFrom != nil:
		c.Invalid = append(c.Invalid, errFrom.Error())
	case errTo != nil:
		c.Invalid = append(c.Invalid, errTo.Error())
	case !from.Before(to):
		c.Invalid = append(c.Invalid, "spec.window ends before it starts")
	default:
		c.Declared = Interval{From: from, To: to}
		c.Window = c.Declared
	}
}

func (c *Candidate) remedies(in *Agreed) {
	if i := in.Incident; i != nil && i.Open {
		c.Remedies = append(c.Remedies, i.Services...)
	}
	if p := in.Problem; p != nil && p.Open {
		c.Remedies = append(c.Remedies, p.Services...)
	}
	slices.Sort(c.Remedies)
	c.Remedies = slices.Compact(c.Remedies)
}

// approve counts the votes and says what else is missing.
func (c *Candidate) approve(in *Agreed) map[string]VoteStatus {
	chg, rules := in.Change, in.Rules
	about := func(digest string) bool { return digest == c.Digest || VerifyDigest(&chg.Spec, digest) }
	known := assessed(chg)
	recorded := known && chg.Status.ApprovedAt != nil
	level := v1alpha1.RiskHigh
	if known {
		level = chg.Status.Risk.Level
	}
	b := ballot{
		clauses: rules.clausesFor(c.Type, level, func(p *Part) bool {
			return c.Type == v1alpha1.ChangeStandard && c.preauthorisedBy(p, in, recorded)
		}),
		requester: c.Requester, separation: rules.SeparationOfDuties, accounts: rules.ServiceAccountApprovers,
		about: about, since: c.CreatedAt,
	}
	if in.Least > 0 {
		b.clauses = append(b.clauses, clause{Quorum: Quorum{Required: in.Least}})
	}
	if rules.SeparationOfDuties && isServiceAccount(c.Requester) {
		unprovenSeparation(b.clauses)
	}
	demands, asked := groupDemands(b.clauses), b.groups()
	if known && chg.Status.Approvals != nil {
		b.minimum = chg.Status.Approvals.Required
		b.clauses = append(b.clauses, demanded(chg.Status.Approvals.Demands)...)
	}
	var statuses map[string]VoteStatus
	c.Approval, statuses = b.count(in.Approvals)
	c.Approval.Demands = demands
	c.Approval.Kept = slices.DeleteFunc(b.groups(), func(g string) bool { return slices.Contains(asked, g) })
	if r := rejectionOf(chg.Status.RejectedDigests, about); r != nil {
		c.Approval.Rejected = r
	}
	c.withhold(in, known, recorded)
	if c.Approval.Approved && recorded {
		c.Approval.At = chg.Status.ApprovedAt.Time
	}
	return statuses
}

// withhold takes the approval back for what votes cannot make up for.
func (c *Candidate) withhold(in *Agreed, known, recorded bool) {
	var lacks []string
	if c.Approval.Missing != "" {
		lacks = append(lacks, c.Approval.Missing)
	}
	if !known {
		lacks = append(lacks, "the assessment of its risk")
	}
	if c.Type == v1alpha1.ChangeEmergency && !recorded {
		if why := c.noEmergency(in); why != "" {
			lacks = append(lacks, why)
		}
	}
	c.Approval.Missing = strings.Join(lacks, " and ")
	if len(lacks) > 0 || c.Approval.Rejected != nil {
		c.Approval.Approved = false
	}
}

// noEmergency says why an Emergency change is none; empty: it is. Once approved it stays one: what it ends need not
// last until it goes in.
func (c *Candidate) noEmergency(in *Agreed) string {
	ref := in.Change.Spec.IncidentRef
	i := in.Incident
	switch {
	case ref == nil:
		return "an incidentRef, which an Emergency change needs"
	case i == nil:
		return "Incident " + string(ref.Name) + ", which does not exist"
	case !i.Open:
		return "an Incident that is open (" + i.Name + " is not)"
	case i.Reporter != "" && i.Reporter == c.Requester && !i.Observed:
		return "an Incident that somebody else has seen too (" + i.Name + " was reported by the requester alone)"
	case (c.ofNamespace(i.Reporter) || i.Reporter != "" && c.ofNamespace(c.Requester)) && !i.Observed:
		return "an Incident that somebody else has seen too (" + i.Name + " was reported by " + brief(plain(i.Reporter), maxShownName) +
			", and who edits the namespace may act as a ServiceAccount of it)"
	}
	for _, t := range c.Targets {
		if !slices.ContainsFunc(in.Targets[t.Key].Services, func(s string) bool { return slices.Contains(i.Services, s) }) {
			return "an Incident on a Service of " + nameOf(t.Key) + " (" + i.Name + " is not)"
		}
	}
	return ""
}

// ofNamespace says whether a user is a ServiceAccount of the Change's namespace.
func (c *Candidate) ofNamespace(user string) bool {
	return strings.HasPrefix(user, serviceAccountPrefix+c.Namespace+":")
}

// end says why it covers nothing any more.
func (c *Candidate) end(chg *v1alpha1.Change) {
	s := &chg.Status
	backedOut := s.Outcome == v1alpha1.OutcomeRolledBack || slices.ContainsFunc(s.Implementations, func(i v1alpha1.Implementation) bool {
		return i.Rollout == v1alpha1.RolloutRolledBack
	})
	switch {
	case isRecord(chg):
		c.Ended, c.EndedWhy = EndedClosed, "it records what went in without a Change"
	case s.Backout != nil:
		c.Ended, c.EndedWhy = EndedBackedOut, "it failed and is undone; going forward again needs another Change"
	case backedOut:
		c.Ended, c.EndedWhy = EndedBackedOut, "it was rolled back; going forward again needs another Change"
	case s.Outcome != "":
		c.Ended, c.EndedWhy = EndedClosed, "it has ended ("+string(s.Outcome)+")"
	case chg.Spec.Cancel:
		c.Ended, c.EndedWhy = EndedCanceled, "it was canceled"
		if by := chg.Annotations[AnnotationSupersededBy]; by != "" {
			c.EndedWhy += ": Change " + brief(plain(by), maxShownName) + " took its place"
		}
	case s.ClosedAt != nil:
		c.Ended, c.EndedWhy = EndedClosed, "it has ended"
	case c.Approval.Rejected != nil:
		r := c.Approval.Rejected
		c.Ended, c.EndedWhy = EndedRejected, "it was rejected by "+brief(plain(string(r.By)), maxShownName)
		if r.Comment != "" {
			c.EndedWhy += ": " + brief(plain(r.Comment), maxShownText)
		}
	}
}

const (
	maxShownName = 128
	maxShownText = 200
)

// nameOf is a workload as messages name it, without its namespace.
func nameOf(key configuration.Key) string {
	return strings.ToLower(key.Kind) + "/" + key.Name
}
