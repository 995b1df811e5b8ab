package release

import (
	"cmp"
	"slices"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// prepare is what happens before the first phase: spec is understood, the units are fit for it, the Change is raised
// and approved, its gate is open, and no other Release is at work on a unit.
func (d *decider) prepare() {
	d.status.State = v1alpha1.ReleasePlanning
	d.remember()
	if problems := d.problems(); len(problems) > 0 {
		d.progress = progress{false, "Invalid", strings.Join(problems, "; ")}
		d.next = "Mend what Progressing says (kubectl edit), or cancel this Release: " + problems[0] + "."
		return
	}
	if manager := d.managed(); manager != "" {
		d.progress = progress{false, "ManagedByGitOps", manager}
		d.next = adviceObserve
		return
	}
	if d.chg == nil {
		d.raise()
		return
	}
	d.status.ChangeRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(d.chg.Name)}
	if missing := d.missing(); len(missing) > 0 {
		d.progress = progress{false, "NotApproved", "Change " + d.chg.Name + ", to which it refers, is not about " + list(missing)}
		d.next = "Add these targets to Change " + d.chg.Name + ", or set spec.change instead of spec.changeRef, so that the Release raises its own."
		return
	}
	if !d.approved() {
		return
	}
	d.status.State = v1alpha1.ReleaseReady
	d.begin()
}

const adviceObserve = "Let the GitOps controller set the images, and this Release watch and gate it: set spec.strategy to Observe and put the images into its source."

// problems are what keeps the Release from being carried out as it is declared.
func (d *decider) problems() []string {
	problems := slices.Clone(d.plan.problems)
	for i := range d.spec.Units {
		if why := refused(d.spec, &d.spec.Units[i], d.workload(i)); why != "" {
			problems = append(problems, why)
		}
	}
	return problems
}

// remember records what the units run before it begins: that is what they go back to.
func (d *decider) remember() {
	for i := range d.status.Units {
		d.rememberUnit(i)
	}
}

func (d *decider) rememberUnit(i int) {
	s, w := &d.status.Units[i], d.workload(i)
	if w == nil {
		s.Previous, s.PreviousImages = nil, nil
		return
	}
	known := s.Previous != nil && s.Previous.TemplateHash == w.Template.Hash && s.Previous.WorkloadUID == string(w.UID)
	if !known {
		s.Previous = &v1alpha1.ReleaseTemplate{TemplateHash: w.Template.Hash, WorkloadUID: string(w.UID)}
	}
	if revision := d.unit(i).Revision; revision != "" {
		s.Previous.Revision = revision
	}
	s.PreviousImages = map[string]string{}
	for container := range d.spec.Units[i].Images {
		if image, has := w.Template.Images[container]; has {
			s.PreviousImages[container] = image
		}
	}
}

// KeepsRevisions says whether Kubernetes keeps the earlier templates of a kind. Where it does not, what the release set
// is only images, and going back is setting the images that were, if that makes the template that was.
func KeepsRevisions(kind v1alpha1.WorkloadKind) bool {
	k, known := configuration.KindNamed(string(kind))
	return known && k.KeepsRevisions()
}

// noWayBack says why a unit could not go back; empty: it could.
func (d *decider) noWayBack(i int) (reason, why string) {
	s := &d.status.Units[i]
	name := nameOf(s.Workload)
	switch {
	case s.Previous == nil:
		return "NoEarlierTemplate", name + " does not exist"
	case s.Previous.Revision == "" && KeepsRevisions(s.Workload.Kind):
		return "NoEarlierTemplate", "of " + name + " no ReplicaSet or ControllerRevision keeps the template that it runs now (revisionHistoryLimit)"
	case s.Workload.Kind == v1alpha1.WorkloadJob:
		return "NoEarlierTemplate", name + " is a Job, whose template cannot be changed"
	}
	if manager := d.unit(i).Manager; manager != "" && !d.unit(i).Enforced {
		return "NotEnforced", manager + " sets the images of " + name + ", and no gate keeps it from setting them again after a backout: " +
			"enforce change control there, or be ready to revert its source at once"
	}
	if why := d.unit(i).NoWayBack; why != "" {
		return "NotProven", "the gate would not let the template of " + name + " in again: " + why
	}
	return "", ""
}

// managed names the units whose images a reconciling manager sets, where the operator would have to; empty: none.
func (d *decider) managed() string {
	if d.spec.Strategy == v1alpha1.ReleaseObserve {
		return ""
	}
	var out []string
	for i := range d.spec.Units {
		manager := d.unit(i).Manager
		if d.Done != nil && d.Done.Unit == string(d.spec.Units[i].Name) && d.Done.Manager != "" {
			manager = d.Done.Manager
		}
		if w := d.workload(i); manager != "" && d.status.Units[i].Released == nil && w != nil && !d.runs(i, w) {
			out = append(out, said(maxShown, "%s sets the images of %s and would set them back", manager, nameOf(d.spec.Units[i].Workload)))
		}
	}
	return strings.Join(out, "; ")
}

// raise asks for the Change. One raised for an earlier version of spec is withdrawn first.
func (d *decider) raise() {
	if d.spec.ChangeRef != nil {
		d.progress = progress{false, "NotApproved", "Change " + string(d.spec.ChangeRef.Name) + ", to which it refers, does not exist"}
		d.next = "Create Change " + string(d.spec.ChangeRef.Name) + ", or set spec.change instead, so that the Release raises its own."
		return
	}
	d.status.ChangeRef = nil
	d.progress = progress{false, "NotApproved", "its Change is being raised"}
	for _, old := range d.Changes {
		if RaisedFor(d.Release, old) && !over(old) {
			d.ask(Write{Kind: CancelChange, Change: old})
			return
		}
	}
	d.ask(Write{Kind: RaiseChange, Change: wanted(d.Release, d.LastEpisode+1)})
}

func (d *decider) missing() []string {
	if d.spec.ChangeRef == nil {
		return nil
	}
	return uncovered(d.Release, d.chg)
}

// approved says whether the Change is, in the version that it has, and else what is missing.
func (d *decider) approved() bool {
	chg := d.chg
	why := ""
	if c := condition(chg.Status.Conditions, v1alpha1.ConditionApproved); c != nil {
		why = ": " + c.Message
	}
	d.next = cmp.Or(nextStepOf(chg), "Wait for Change "+chg.Name+" to be assessed.")
	state := chg.Status.State
	if chg.Status.ObservedGeneration != chg.Generation || state == "" {
		state = v1alpha1.ChangeAssess
	}
	switch state {
	case v1alpha1.ChangeScheduled, v1alpha1.ChangeImplement:
		return true
	case v1alpha1.ChangeAssess, v1alpha1.ChangeAuthorize:
		d.progress = progress{false, "NotApproved", "Change " + chg.Name + " is not approved yet" + why}
	case v1alpha1.ChangeRejected:
		d.progress = progress{false, "NotApproved", "Change " + chg.Name + " was rejected" + why}
		d.next = "Edit this Release, which raises another Change for what it asks for then, or cancel it."
	case v1alpha1.ChangeReview, v1alpha1.ChangeClosed, v1alpha1.ChangeCanceled:
		d.progress = progress{false, "NotApproved", said(maxMessage, "Change %s has ended (%s %s)", chg.Name, state, chg.Status.Outcome)}
		d.next = "Cancel this Release and make another: its Change cannot let in anything any more."
	}
	return false
}

// nextStepOf is a Change's, in one line: the manifest of a vote that it may end with is where it can be copied from.
func nextStepOf(chg *v1alpha1.Change) string {
	next, _, has := strings.Cut(chg.Status.NextStep, change.WithoutPlugin)
	if has {
		next += change.WithoutPlugin + " kubectl get changes.itil.dev " + chg.Name + " -n " + chg.Namespace + " -o jsonpath='{.status.nextStep}'"
	}
	return next
}

// gateOpen says whether the Change lets something in now, and else what it waits for.
func (d *decider) gateOpen() bool {
	chg := d.chg
	open := condition(chg.Status.Conditions, v1alpha1.ConditionGateOpen)
	fresh := chg.Status.ObservedGeneration == chg.Generation && !chg.Spec.Cancel
	if fresh && chg.Status.State == v1alpha1.ChangeImplement && open != nil && open.Status == "True" {
		return true
	}
	message := "the gate of Change " + chg.Name + " is closed"
	if open != nil {
		message += ": " + open.Message
	}
	d.progress = progress{false, "GateClosed", message}
	d.next = cmp.Or(nextStepOf(chg), "Wait for the window of Change "+chg.Name+".")
	return false
}

// begin begins the first phase, where nothing holds it.
func (d *decider) begin() {
	switch {
	case !d.gateOpen():
		return
	case d.spec.Paused:
		d.progress = progress{false, "Paused", "it is paused before its first phase"}
		d.next = "Resume it: kubectl patch rel " + d.Release.Name + " -n " + d.Release.Namespace + " --type merge -p '{\"spec\":{\"paused\":false}}'"
		return
	}
	if other := d.first(); other != nil {
		d.status.WaitingFor = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(other.Name)}
		d.progress = progress{false, "WaitingForRelease", "Release " + other.Name + " is at work on " + list(d.common(other)) + " and goes first"}
		d.next = "Wait for Release " + other.Name + ", or cancel it."
		return
	}
	d.begins = true
	d.status.StartedAt = timePtr(d.now)
	d.status.State = v1alpha1.ReleaseDeploying
	d.beginPhase(0)
}

// first is the Release with a unit in common that goes before this one: one that is at work on it, or one that would be
// if none were, and was made earlier. Nil: none.
func (d *decider) first() *v1alpha1.Release {
	var inLine *v1alpha1.Release
	for _, other := range d.Others {
		if other.Name == d.Release.Name || len(d.common(other)) == 0 {
			continue
		}
		if atWork(other) {
			return other
		}
		s := &other.Status
		waits := s.WaitingFor != nil && s.StartedAt == nil && s.EndedAt == nil && !other.Spec.Paused && !other.Spec.Cancel
		if waits && earlier(other, d.Release) && (inLine == nil || earlier(other, inLine)) {
			inLine = other
		}
	}
	return inLine
}

// atWork says whether a Release is deploying or being taken back.
func atWork(r *v1alpha1.Release) bool {
	return r.Status.StartedAt != nil && r.Status.DeployedAt == nil && r.Status.EndedAt == nil
}

func earlier(a, b *v1alpha1.Release) bool {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name)) < 0
}

// common are the workloads that another Release has as units too.
func (d *decider) common(other *v1alpha1.Release) []string {
	var out []string
	for i := range d.spec.Units {
		w := d.spec.Units[i].Workload
		if slices.ContainsFunc(other.Spec.Units, func(u v1alpha1.ReleaseUnit) bool { return u.Workload == w }) {
			out = append(out, nameOf(w))
		}
	}
	return out
}

// held says what holds a unit's admitted template back, or keeps it from being seen to fail; empty: nothing.
func held(w *configuration.Workload) string {
	name := strings.ToLower(w.Key.Kind) + "/" + w.Key.Name
	switch {
	case w.Hold.Paused:
		return name + " is paused: kubectl rollout resume " + name
	case w.Hold.OnDelete:
		return name + " has updateStrategy OnDelete: its pods are replaced only when somebody deletes them"
	case w.Hold.Partition > 0:
		return name + " has updateStrategy.rollingUpdate.partition " + itoa(w.Hold.Partition) + ": the pods below it keep the old template; set it to 0"
	case w.Hold.Suspended:
		return name + " is suspended: nothing runs until spec.suspend is false"
	}
	return ""
}
