package release

import (
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// allLeft in a phase's units is all that no earlier phase brings in.
const allLeft = "*"

// defaultSupport is early life support where spec says nothing.
const defaultSupport = 24 * time.Hour

// plan is what spec comes to.
type plan struct {
	phases  []plannedPhase
	support time.Duration
	// problems are what of spec cannot be carried out; a Release with problems raises no Change.
	problems []string
}

type plannedPhase struct {
	name string
	// units by their place in spec.
	units         []int
	soak, timeout time.Duration
}

// planOf reads spec: every unit is in exactly one phase, the first that names it.
func planOf(spec *v1alpha1.ReleaseSpec) plan {
	p := plan{support: defaultSupport}
	taken := make([]bool, len(spec.Units))
	for i := range spec.Phases {
		phase := &spec.Phases[i]
		planned := plannedPhase{name: string(phase.Name)}
		for u := range spec.Units {
			named := slices.Contains(phase.Units, string(spec.Units[u].Name)) || slices.Contains(phase.Units, allLeft)
			if named && !taken[u] {
				taken[u] = true
				planned.units = append(planned.units, u)
			}
		}
		planned.soak = p.duration("phases["+planned.name+"].soak", phase.Soak)
		planned.timeout = p.duration("phases["+planned.name+"].timeout", phase.Timeout)
		if phase.Timeout != "" && planned.timeout <= planned.soak {
			p.problem("phase %s must soak %s but times out after %s: it could never be done; make its timeout longer",
				planned.name, show(planned.soak), show(planned.timeout))
		}
		if len(planned.units) == 0 {
			p.problem("phase %s has no unit that an earlier phase does not bring in already; leave it out", planned.name)
		}
		p.phases = append(p.phases, planned)
	}
	for u, in := range taken {
		if !in {
			p.problem("unit %s is in no phase; add it to one", spec.Units[u].Name)
		}
	}
	p.distinct(spec)
	if spec.EarlyLifeSupport != "" {
		p.support = p.duration("earlyLifeSupport", spec.EarlyLifeSupport)
	}
	return p
}

func (p *plan) problem(format string, args ...any) {
	p.problems = append(p.problems, said(maxUnitMessage, format, args...))
}

func (p *plan) duration(field string, value v1alpha1.Duration) time.Duration {
	if value == "" {
		return 0
	}
	d, err := servicelevel.ParseDuration("spec."+field, value)
	if err != nil {
		p.problem("%v", err)
	}
	return d
}

// distinct: a workload is one unit, or two phases would set its images.
func (p *plan) distinct(spec *v1alpha1.ReleaseSpec) {
	for i := range spec.Units {
		for j := range i {
			if spec.Units[i].Workload == spec.Units[j].Workload {
				p.problem("units %s and %s are both %s; a workload is one unit", spec.Units[j].Name, spec.Units[i].Name, nameOf(spec.Units[i].Workload))
			}
		}
	}
}

// phaseOf is the name of the phase that brings in a unit, by its place in spec.
func (p *plan) phaseOf(unit int) string {
	for i := range p.phases {
		if slices.Contains(p.phases[i].units, unit) {
			return p.phases[i].name
		}
	}
	return ""
}

// wanted is the Change that a Release raises: its units, pinned.
func wanted(r *v1alpha1.Release, episode int) *v1alpha1.Change {
	c := r.Spec.Change
	if c == nil {
		c = &v1alpha1.ReleaseChange{}
	}
	chg := &v1alpha1.Change{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.Namespace, Name: ChangeName(r.Name, episode),
			Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy},
			Annotations: map[string]string{
				v1alpha1.AnnotationRelease: r.Name, v1alpha1.AnnotationReleaseUID: string(r.UID),
			},
		},
		Spec: v1alpha1.ChangeSpec{
			Type: c.Type, Summary: c.Summary, Requester: r.Spec.Requester, Window: c.Window,
			StandardChange: c.StandardChange, IncidentRef: c.IncidentRef, ProblemRef: c.ProblemRef,
			Justification: "Raised by Release " + r.Name + ", which brings version " + r.Spec.Version + " in phases.",
		},
	}
	if len(r.Name) <= maxLabelValue {
		chg.Labels[v1alpha1.AnnotationRelease] = r.Name
	}
	if chg.Spec.Type == "" {
		chg.Spec.Type = v1alpha1.ChangeNormal
	}
	if chg.Spec.Summary == "" {
		chg.Spec.Summary = said(maxShown, "Release %s, version %s", r.Name, r.Spec.Version)
	}
	for i := range r.Spec.Units {
		u := &r.Spec.Units[i]
		chg.Spec.Targets = append(chg.Spec.Targets, v1alpha1.ChangeTarget{
			Workload: u.Workload, Operations: []v1alpha1.Operation{v1alpha1.OperationTemplate}, Images: maps.Clone(u.Images),
		})
	}
	return chg
}

const maxLabelValue = 63

// ChangeName is the name of the Change that a Release raises for the first time, or again for an edited spec.
func ChangeName(base string, episode int) string {
	if episode <= 1 {
		return base
	}
	return base + "-" + itoa(episode)
}

// isWanted says whether a Change that exists is the one that a Release raises as it is now.
func isWanted(r *v1alpha1.Release, chg *v1alpha1.Change) bool {
	want := wanted(r, 1)
	same := equal(chg.Spec.Window, want.Spec.Window) && equal(chg.Spec.IncidentRef, want.Spec.IncidentRef) &&
		equal(chg.Spec.ProblemRef, want.Spec.ProblemRef) && chg.Spec.StandardChange == want.Spec.StandardChange
	typ := chg.Spec.Type
	if typ == "" {
		typ = v1alpha1.ChangeNormal
	}
	return RaisedFor(r, chg) && typ == want.Spec.Type && chg.Spec.Summary == want.Spec.Summary && same &&
		slices.EqualFunc(chg.Spec.Targets, want.Spec.Targets, func(a, b v1alpha1.ChangeTarget) bool {
			return a.Workload == b.Workload && a.TemplateHash == b.TemplateHash && maps.Equal(a.Images, b.Images) &&
				(len(a.Operations) == 0 || slices.Equal(a.Operations, b.Operations))
		})
}

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// RaisedFor says whether a Change was raised for exactly this Release, and in the name of its requester. Another's
// Change that says so is not taken for it.
func RaisedFor(r *v1alpha1.Release, chg *v1alpha1.Change) bool {
	return RaisedBy(chg) == r.Name && chg.Annotations[v1alpha1.AnnotationReleaseUID] == string(r.UID) && chg.Spec.Requester == r.Spec.Requester
}

// uncovered names the units that a Change that the Release refers to is not about.
func uncovered(r *v1alpha1.Release, chg *v1alpha1.Change) []string {
	var out []string
	for i := range r.Spec.Units {
		u := &r.Spec.Units[i]
		covered := slices.ContainsFunc(chg.Spec.Targets, func(t v1alpha1.ChangeTarget) bool {
			if t.Workload != u.Workload || len(t.Operations) > 0 && !slices.Contains(t.Operations, v1alpha1.OperationTemplate) {
				return false
			}
			if len(t.Images) == 0 {
				return t.TemplateHash != "" && r.Spec.Strategy == v1alpha1.ReleaseObserve
			}
			return maps.Equal(t.Images, u.Images)
		})
		if !covered {
			out = append(out, nameOf(u.Workload)+" with "+imagesOf(u.Images))
		}
	}
	return out
}

// refused says why a unit cannot be released as spec wants it; empty: it can.
func refused(spec *v1alpha1.ReleaseSpec, unit *v1alpha1.ReleaseUnit, w *configuration.Workload) string {
	name := nameOf(unit.Workload)
	if w == nil || w.Deleting {
		return "there is no " + name + " in the namespace; create it, or take unit " + string(unit.Name) + " out"
	}
	for _, container := range slices.Sorted(maps.Keys(unit.Images)) {
		if _, has := w.Template.Images[container]; !has {
			return said(maxUnitMessage, "%s has no container %s, whose image unit %s sets", name, container, unit.Name)
		}
	}
	switch {
	case spec.Strategy == v1alpha1.ReleaseObserve:
		return ""
	case spec.Strategy != v1alpha1.ReleaseApply && spec.Strategy != "":
		return said(maxUnitMessage, "this version of the operator does not know strategy %s; use Apply or Observe, or upgrade it", spec.Strategy)
	case w.Hold.OnDelete:
		return name + " has updateStrategy OnDelete: its pods would not be replaced; use RollingUpdate, or strategy Observe"
	case w.Key.Kind == configuration.KindJob:
		return name + " is a Job, whose template cannot be changed; use strategy Observe and create it anew"
	}
	return ""
}
