package release

import (
	"slices"
	"strings"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	// checkpoints of a soak are written down, so that a restart of the operator loses no more of it than the time since
	// the last one; no more often than checkpointEvery.
	checkpoints     = 4
	checkpointEvery = 30 * time.Second
)

// observe accounts for the time in which the operator did not look: it ended when it began to look, and began when the
// one before it ended, or, where that is not known, with the last record that it wrote. It counts for neither soak nor
// timeout.
func (d *decider) observe(p *v1alpha1.ReleasePhaseStatus) {
	since := d.ObservingSince.UTC().Truncate(time.Second)
	if p.DoneAt != nil || p.ObservedAt == nil || !p.ObservedAt.Time.Before(since) {
		return
	}
	last := p.ObservedAt.Time
	if until := d.ObservedUntil.UTC().Truncate(time.Second); until.After(last) && until.Before(since) {
		last = until
	}
	p.UnobservedSeconds += secondsOf(since.Sub(last))
	if p.SoakingSince != nil {
		p.SoakedSeconds += secondsOf(last.Sub(p.SoakingSince.Time))
		p.SoakingSince = timePtr(since)
	}
	p.ObservedAt = timePtr(d.now)
}

// soak counts the time for which all units of a phase have run without trouble, and says whether it is enough.
func (d *decider) soak(at int) bool {
	p, planned := &d.status.Phases[at], &d.plan.phases[at]
	if s := d.openSuspicion(); s != nil {
		p.State, p.SoakingSince, p.SoakedSeconds = v1alpha1.ReleasePhaseDeploying, nil, 0
		p.Message = said(maxMessage, "soaks anew when Incident %s/%s, which suspects its Change, is resolved", s.Namespace, s.Name)
		d.progress.message += ": " + p.Message
		d.next = "Resolve Incident " + s.Namespace + "/" + s.Name + "."
		d.timeout(at)
		return false
	}
	p.State = v1alpha1.ReleasePhaseSoaking
	for _, i := range planned.units {
		d.status.Units[i].State, d.status.Units[i].Message = v1alpha1.ReleaseUnitSoaking, ""
	}
	if p.SoakingSince == nil {
		p.SoakingSince, p.ObservedAt = timePtr(d.now), timePtr(d.now)
	}
	if !d.soaked(at) {
		end := p.SoakingSince.Add(planned.soak - lasting(p.SoakedSeconds))
		p.Message = said(maxMessage, "soaks until %s", end.UTC().Format(time.RFC3339))
		d.progress = progress{true, "Soaking", "phase " + planned.name + " " + p.Message}
		d.wake.add(end)
		d.checkpoint(p, planned.soak)
		d.timeout(at)
		return false
	}
	p.State, p.DoneAt, p.ObservedAt = v1alpha1.ReleasePhaseDone, timePtr(d.now), timePtr(d.now)
	p.Message = d.decidedOn(at)
	for _, i := range planned.units {
		d.status.Units[i].State = v1alpha1.ReleaseUnitDone
	}
	return true
}

// soaked says whether a phase that soaks has done so long enough.
func (d *decider) soaked(at int) bool {
	p := &d.status.Phases[at]
	return p.SoakingSince != nil && lasting(p.SoakedSeconds)+d.now.Sub(p.SoakingSince.Time) >= d.plan.phases[at].soak
}

// checkpoint writes down now and then how far a soak is.
func (d *decider) checkpoint(p *v1alpha1.ReleasePhaseStatus, soak time.Duration) {
	every := max(soak/checkpoints, checkpointEvery)
	if due := p.ObservedAt.Add(every); !d.now.Before(due) {
		p.ObservedAt = timePtr(d.now)
	}
	d.wake.add(p.ObservedAt.Add(every))
}

// decidedOn says on what little a phase was found to be well, where little is observed.
func (d *decider) decidedOn(at int) string {
	soak := "soaked " + show(d.plan.phases[at].soak)
	why := d.Unwatched
	for _, i := range d.plan.phases[at].units {
		w := d.workload(i)
		if w != nil && d.status.Units[i].Workload.Kind == v1alpha1.WorkloadCronJob && d.status.Units[i].Released.At != nil &&
			w.LastScheduled.Before(d.status.Units[i].Released.At.Time) {
			why = append(slices.Clip(why), nameOf(d.status.Units[i].Workload)+" did not run in it")
		}
	}
	if len(why) == 0 {
		return soak
	}
	return said(maxMessage, "%s; decided on the readiness of its pods alone, since %s", soak, strings.Join(why, ", "))
}
