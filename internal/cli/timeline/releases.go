package timeline

import (
	"slices"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// releases tells those of the subject, and returns the Changes that they went in under.
func (t *teller) releases(r Records) map[string]bool {
	changes := map[string]bool{}
	for i := range r.Releases {
		rel := &r.Releases[i]
		about := slices.ContainsFunc(rel.Spec.Units, func(u v1alpha1.ReleaseUnit) bool {
			return t.isWorkload(string(u.Workload.Kind), string(u.Workload.Name))
		}) || slices.ContainsFunc(rel.Spec.ServiceRefs, func(ref v1alpha1.LocalReference) bool { return t.isService(&ref) })
		if !about {
			continue
		}
		if ref := rel.Status.ChangeRef; ref != nil {
			changes[string(ref.Name)] = true
		}
		t.release(rel)
	}
	return changes
}

func (t *teller) release(r *v1alpha1.Release) {
	o := t.of("release", r.Name, rankRelease)
	// It raises its Change.
	made := t.of("release", r.Name, rankMade)
	made.say(&r.CreationTimestamp, string(r.Spec.Requester), "made: version "+r.Spec.Version)
	for i := range r.Status.Phases {
		p := &r.Status.Phases[i]
		o.say(p.StartedAt, operator, "phase "+string(p.Name)+" begins: "+strings.Join(unitsOf(r, string(p.Name)), ", "))
		switch p.State {
		case v1alpha1.ReleasePhaseDone:
			o.say(p.DoneAt, operator, "phase "+string(p.Name)+" is done")
		case v1alpha1.ReleasePhaseFailed:
			// The failure below says more.
			if r.Status.Failure == nil {
				o.say(p.DoneAt, operator, "phase "+string(p.Name)+" failed")
			}
		case v1alpha1.ReleasePhaseWaiting, v1alpha1.ReleasePhaseDeploying, v1alpha1.ReleasePhaseSoaking:
		}
	}
	o.say(r.Status.DeployedAt, operator, "all phases are done; early life support begins")
	// What it does about an Incident comes after that.
	reaction := t.of("release", r.Name, rankReaction)
	if f := r.Status.Failure; f != nil {
		where := ""
		if f.Phase != "" {
			where = " in phase " + f.Phase
		}
		reaction.say(&f.At, operator, "failed"+where+": "+string(f.Reason)+", "+f.Message)
	}
	if b := r.Status.Backout; b != nil {
		reaction.say(&b.StartedAt, operator, "goes back to what ran before")
		if r.Status.State != v1alpha1.ReleaseRolledBack {
			reaction.say(b.EndedAt, operator, "the backout ended: "+b.Message)
		}
	}
	ended := string(r.Status.State)
	if r.Status.State == v1alpha1.ReleaseRolledBack {
		ended += ": its units run what they had before"
	}
	reaction.say(r.Status.EndedAt, operator, ended)
}

func unitsOf(r *v1alpha1.Release, phase string) []string {
	var names []string
	for i := range r.Status.Units {
		if u := &r.Status.Units[i]; u.Phase == phase {
			names = append(names, workload(u.Workload))
		}
	}
	return names
}
