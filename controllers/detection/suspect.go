package detection

import (
	"context"
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// unnamed: nothing is suspected, or something of which no record is known yet.
func unnamed(s *v1alpha1.SuspectedChange) bool { return s == nil || s.Name == "" }

// suspectAnew keeps the suspicion that there is, unless a Change can be named now: who broke the glass is recorded
// after the fact.
func (r *Reconciler) suspectAnew(in *input, d incident.Detected, result incident.Result) *v1alpha1.SuspectedChange {
	anew := r.suspect(in, d, result)
	if d.SuspectedChange != nil && unnamed(anew) {
		return d.SuspectedChange
	}
	return anew
}

// suspicionPatience is how long after an Incident was opened a change may still come to light.
const suspicionPatience = 10 * time.Minute

func (r *Reconciler) mayBeSuspected(i *v1alpha1.Incident, now time.Time) bool {
	latest := i.Status.DetectedAt
	if i.Status.ReopenedAt != nil {
		latest = i.Status.ReopenedAt
	}
	return incident.IsOpen(i) && (latest == nil || now.Sub(latest.Time) < suspicionPatience)
}

// suspectLater names a change that comes to light after the Incident was opened: the record of what was deployed may
// be written after the failure is seen.
func (r *Reconciler) suspectLater(ctx context.Context, in *input, result incident.Result, now time.Time) error {
	current := in.records.Current
	if current == nil || current.Status.DetectedAt == nil || !unnamed(current.Status.SuspectedChange) || !r.mayBeSuspected(current, now) {
		return nil
	}
	d := incident.DetectedOf(&current.Status)
	before := d.SuspectedChange
	if d.SuspectedChange = r.suspectAnew(in, d, result); d.SuspectedChange == before || d.SuspectedChange == nil {
		return nil
	}
	return r.write(ctx, current, d)
}

// suspect is the change that may have caused it: in the workload, or in what its service cannot do without.
func (r *Reconciler) suspect(in *input, d incident.Detected, result incident.Result) *v1alpha1.SuspectedChange {
	if d.StartedAt == nil || in.Key.Namespace == "" {
		return nil
	}
	// What shows on no pod, as a rollout that is stuck, is a symptom of what fails.
	shown := slices.DeleteFunc(slices.Clone(result.Findings), func(f incident.Finding) bool { return f.AffectedPods == 0 })
	currentOnly := len(shown) > 0 && !slices.ContainsFunc(shown, func(f incident.Finding) bool { return !f.CurrentOnly })
	list := r.implementations(in.Key)
	if in.Key == incident.ServiceKey(in.Key.Namespace, in.Key.Name) {
		for _, key := range r.Inventory.Members(servicelevel.ServiceName{Namespace: in.Key.Namespace, Name: in.Key.Name}) {
			list = append(list, r.implementations(key)...)
		}
	}
	if in.service != nil {
		for _, dependency := range in.service.DependsOn {
			if dependency.Strength != v1alpha1.DependencyHard {
				continue
			}
			for _, key := range r.Inventory.Members(dependency.On) {
				for _, i := range r.implementations(key) {
					i.Dependency = true
					list = append(list, i)
				}
			}
		}
	}
	return incident.Suspect(list, incident.Failure{
		Began: d.BeganAt(), Seen: seenAt(in.records.Current), CurrentOnly: currentOnly, TemplateHash: in.subject.TemplateHash,
	})
}

// seenAt is when what an Incident tells of was first seen; zero where that is now.
func seenAt(i *v1alpha1.Incident) time.Time {
	switch {
	case !incident.IsOpen(i) || i.Status.DetectedAt == nil:
		return time.Time{}
	case i.Status.ReopenedAt != nil:
		return i.Status.ReopenedAt.Time
	default:
		return i.Status.DetectedAt.Time
	}
}

// implementations are what went into a workload, as its baselines and its Changes tell.
func (r *Reconciler) implementations(key configuration.Key) []incident.Implementation {
	on := key.Kind + " " + key.Name
	list := incident.Implementations(key.Namespace, on, r.Inventory.Baselines(key))
	// What broke the glass is recorded by a Change that has ended for the gate.
	for _, c := range r.Inventory.ChangesEverOf(key) {
		for _, i := range c.Object.Status.Implementations {
			if string(i.Workload.Kind) == key.Kind && string(i.Workload.Name) == key.Name {
				list = append(list, incident.Implementation{
					Namespace: key.Namespace, Change: c.Object.Name, At: i.At.Time, On: on, TemplateHash: i.TemplateHash,
				})
			}
		}
	}
	return list
}
