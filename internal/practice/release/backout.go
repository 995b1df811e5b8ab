package release

import (
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const (
	// coverageKnown is how long after a record that alters what the Change covers nothing is written that depends on it:
	// by then every replica of the gate knows of it (2 s, and times are cut to seconds). Before, one might let a GitOps
	// controller put back what is being taken back, or deny what a phase brings in.
	coverageKnown = 3 * time.Second
	// verification is how long the earlier templates have to become ready again.
	verification = 15 * time.Minute
	// lookAgain is when a unit that is being taken back is looked at again though nothing was heard of it: a pod that is
	// not ready and became another while it was to be deleted is not told of by its workload.
	lookAgain = 10 * time.Second
)

// fail stops the release. What is in goes back, where that was asked for and something is in; a Change that was ended
// broke nothing, so what is in under it stays.
func (d *decider) fail(p *v1alpha1.ReleasePhaseStatus, f *v1alpha1.ReleaseFailure) {
	d.write = nil
	d.status.Failure = f
	if p.State != v1alpha1.ReleasePhaseDone {
		p.State, p.DoneAt, p.ObservedAt, p.Message = v1alpha1.ReleasePhaseFailed, timePtr(d.now), timePtr(d.now), f.Message
	}
	for i := range d.status.Units {
		u := &d.status.Units[i]
		if string(u.Name) == f.Unit || u.Phase == d.status.Phase && u.State != v1alpha1.ReleaseUnitDone {
			u.State = v1alpha1.ReleaseUnitFailed
		}
	}
	in := d.in()
	if d.spec.Backout == v1alpha1.BackoutManual || f.Reason == v1alpha1.ReleaseFailureChangeEnded || len(in) == 0 {
		d.end(v1alpha1.ReleaseFailed)
		d.progress = progress{false, "Failed", f.Message}
		d.next = d.byHand(d.standing())
		return
	}
	d.status.Backout = &v1alpha1.ReleaseBackout{StartedAt: *timePtr(d.now), Message: "its Change covers nothing any more"}
	for _, i := range in {
		d.status.Units[i].State, d.status.Units[i].Message = v1alpha1.ReleaseUnitRollingBack, ""
	}
	d.progress = progress{false, "RollingBack", f.Message}
	d.next = "Nothing: what is in goes back by itself."
	d.wake.add(d.status.Backout.StartedAt.Add(coverageKnown))
}

// in are the units that run the release, by their place in spec; in the reverse of the order in which they came in.
func (d *decider) in() []int {
	var out []int
	for i := range d.backwards() {
		s, w := &d.status.Units[i], d.workload(i)
		written := w != nil && d.begun(i) && s.Previous != nil && s.Previous.TemplateHash != w.Template.Hash && d.runs(i, w)
		if s.Released != nil && s.Released.TemplateHash != previousHash(s) || written {
			out = append(out, i)
		}
	}
	return out
}

// standing are those of in that were not taken back or replaced meanwhile, as far as is seen.
func (d *decider) standing() []int {
	return slices.DeleteFunc(d.in(), func(i int) bool {
		s, w := &d.status.Units[i], d.workload(i)
		if w == nil || s.Restored != nil {
			return true
		}
		return !d.runs(i, w) && (s.Released == nil || w.Generation >= s.Released.Generation)
	})
}

// returned says whether a unit runs again what it had before, completely.
func (d *decider) returned(i int) bool {
	s, w := &d.status.Units[i], d.workload(i)
	return w != nil && w.Template.Hash == previousHash(s) &&
		(w.Desired == 0 || d.complete(w, &v1alpha1.ReleaseTemplate{Generation: w.Generation}))
}

// backwards are all units, by their place in spec, in the reverse of the order in which they come in.
func (d *decider) backwards() iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, p := range slices.Backward(d.plan.phases) {
			for _, i := range slices.Backward(p.units) {
				if !yield(i) {
					return
				}
			}
		}
	}
}

// byHand says how to go back without the operator.
func (d *decider) byHand(in []int) string {
	if len(in) == 0 {
		return "Nothing of it is in. Mend the cause and make another Release."
	}
	if d.status.Failure.Reason == v1alpha1.ReleaseFailureChangeEnded {
		return d.stays(in)
	}
	return "Go back (" + d.undo(in) + "), or mend it forward by another Release."
}

// stays says what is in and what is not, and how to go on and back.
func (d *decider) stays(in []int) string {
	var runs, others []string
	for i := range d.status.Units {
		name := nameOf(d.status.Units[i].Workload)
		if slices.Contains(in, i) {
			runs = append(runs, name)
		} else {
			others = append(others, name)
		}
	}
	if len(others) == 0 {
		return "What is in stays: all its units. To go back: " + d.undo(in) + "."
	}
	return "What is in stays: " + list(runs) + "; not in: " + list(others) + ". Make another Release for the rest, or go back: " + d.undo(in) + "."
}

func (d *decider) undo(in []int) string {
	var commands []string
	for _, i := range in {
		if w := d.status.Units[i].Workload; KeepsRevisions(w.Kind) {
			commands = append(commands, "kubectl rollout undo "+nameOf(w)+" -n "+d.Release.Namespace)
			continue
		}
		commands = append(commands, "set "+nameOf(d.status.Units[i].Workload)+" to "+imagesOf(d.status.Units[i].PreviousImages))
	}
	return strings.Join(commands, "; ")
}

// takeBack puts the whole earlier templates back in reverse order, each once, and then sees to it that they run.
func (d *decider) takeBack() {
	b := d.status.Backout
	d.status.State = v1alpha1.ReleaseDeploying
	d.progress = progress{false, "RollingBack", d.status.Failure.Message}
	d.next = "Nothing: what is in goes back by itself."
	if from := b.StartedAt.Add(coverageKnown); d.now.Before(from) {
		d.wake.add(from)
		return
	}
	units := d.toRestore()
	var waits, lost []string
	for _, i := range units {
		why, gone := d.restore(i)
		switch {
		case gone:
			lost = append(lost, why)
		case why != "":
			waits = append(waits, why)
		}
	}
	until := b.StartedAt.Time
	if since := d.ObservingSince; since.After(until) {
		until = since
	}
	until = until.Add(verification)
	switch {
	case len(waits) > 0 && d.now.Before(until):
		b.Message = said(maxMessage, "%s", strings.Join(append(waits, lost...), "; "))
		d.wake.add(until)
	case len(waits)+len(lost) > 0:
		d.write = nil
		b.EndedAt, b.Message = timePtr(d.now), said(maxMessage, "%s", strings.Join(append(lost, waits...), "; "))
		d.end(v1alpha1.ReleaseFailed)
		d.progress = progress{false, "Failed", d.status.Failure.Message + "; not all of it could be taken back: " + b.Message}
		d.next = said(maxMessage, "Go back by hand what could not be (%s): %s", b.Message, d.undo(d.notBack(units)))
	default:
		b.EndedAt, b.Message = timePtr(d.now), "all units run again what they had before"
		d.end(v1alpha1.ReleaseRolledBack)
		d.progress = progress{false, "RolledBack", d.status.Failure.Message}
		d.next = "Find out why it failed (" + d.status.Failure.Message + "), and make another Release."
	}
}

// toRestore are the units that were in when the backout began, and those that were written and not recorded.
func (d *decider) toRestore() []int {
	var out []int
	in := d.in()
	for i := range d.backwards() {
		s := &d.status.Units[i]
		taken := s.State == v1alpha1.ReleaseUnitRollingBack || s.State == v1alpha1.ReleaseUnitRolledBack || s.Restored != nil
		lost := s.State == v1alpha1.ReleaseUnitFailed && s.Released != nil && s.Released.TemplateHash != previousHash(s)
		if !taken && !lost && slices.Contains(in, i) {
			s.State, taken = v1alpha1.ReleaseUnitRollingBack, true
		}
		if taken || lost {
			out = append(out, i)
		}
	}
	return out
}

func (d *decider) notBack(units []int) []int {
	var out []int
	for _, i := range units {
		if d.status.Units[i].State != v1alpha1.ReleaseUnitRolledBack {
			out = append(out, i)
		}
	}
	return out
}

// restore takes one unit back. It says what it waits for, or, where gone, why it is in vain; neither: it is verified.
func (d *decider) restore(i int) (why string, gone bool) {
	s, w := &d.status.Units[i], d.workload(i)
	name := nameOf(s.Workload)
	if s.State == v1alpha1.ReleaseUnitFailed {
		return name + ": " + s.Message, true
	}
	lost := func(format string, args ...any) (string, bool) {
		s.State, s.Message = v1alpha1.ReleaseUnitFailed, said(maxUnitMessage, format, args...)
		return name + ": " + s.Message, true
	}
	if w == nil {
		return lost("it does not exist any more")
	}
	back := s.Previous != nil && w.Template.Hash == s.Previous.TemplateHash
	switch {
	case s.Restored != nil && w.Generation < s.Restored.Generation:
		return name + " is being restored", false
	case s.Restored == nil && s.Released != nil && w.Generation < s.Released.Generation && string(w.UID) == s.Released.WorkloadUID:
		return name + " is to be restored", false
	case s.Restored != nil && !back:
		return lost("somebody put another template in after it was restored")
	case s.Restored == nil && back:
		s.Restored = &v1alpha1.ReleaseTemplate{TemplateHash: w.Template.Hash, WorkloadUID: string(w.UID), Generation: w.Generation, At: timePtr(d.now)}
	case s.Restored == nil && !d.runs(i, w) && (s.Released == nil || w.Template.Hash != s.Released.TemplateHash):
		return lost("somebody put in another template, which is left as it is")
	case s.Restored == nil:
		return d.askRestore(i, w), false
	}
	return d.verify(i, w)
}

func (d *decider) askRestore(i int, w *configuration.Workload) string {
	s := &d.status.Units[i]
	write := Write{
		Kind: RestoreTemplate, Unit: string(s.Name), Workload: s.Workload, UID: w.UID, From: w.Template.Hash, To: previousHash(s),
		Again: strings.HasPrefix(s.Message, refusedPrefix),
	}
	if !KeepsRevisions(s.Workload.Kind) {
		write.Images = s.PreviousImages
	}
	d.ask(write)
	if s.Message != "" {
		return nameOf(s.Workload) + ": " + s.Message
	}
	return nameOf(s.Workload) + " is to be restored"
}

// verify says whether a unit runs again what it had.
func (d *decider) verify(i int, w *configuration.Workload) (why string, gone bool) {
	s := &d.status.Units[i]
	nothing := w.Desired == 0 && w.Current == 0 && w.ObservedGeneration >= s.Restored.Generation
	if nothing || d.complete(w, s.Restored) {
		s.State, s.Message = v1alpha1.ReleaseUnitRolledBack, ""
		return "", false
	}
	s.State = v1alpha1.ReleaseUnitRollingBack
	s.Message = said(maxUnitMessage, "restored; %d of %d pods run it, %d ready", w.Updated, w.Desired, w.Ready)
	if why := held(w); why != "" {
		s.Message = said(maxUnitMessage, "restored, but %s", why)
	}
	if replacesNoBroken(w) && w.ObservedGeneration >= s.Restored.Generation && s.Released != nil {
		d.ask(Write{Kind: DeleteBroken, Unit: string(s.Name), Workload: s.Workload, UID: w.UID, From: s.Released.TemplateHash})
		d.wake.add(d.now.Add(lookAgain))
	}
	return nameOf(s.Workload) + " is " + s.Message, false
}

// replacesNoBroken: a StatefulSet's controller waits for a broken pod for ever and does not replace it, though the
// template that broke it is gone.
func replacesNoBroken(w *configuration.Workload) bool {
	return w.Key.Kind == configuration.KindStatefulSet
}
