package configuration

import "time"

// RolledOut reports whether the newest template is completely rolled out and ready: its controller has seen it,
// all pods run it, as many as desired and at least one, and all are ready. Of a Job, that it completed; of a
// CronJob, that its last run succeeded.
func (w *Workload) RolledOut() bool {
	switch w.Key.Kind {
	case KindJob:
		return !w.CompletedAt.IsZero()
	case KindCronJob:
		return w.Ready == 1 && w.Active == 0 && !w.LastSuccessful.IsZero()
	default:
		return w.fullyUpdated() && w.Ready >= w.Desired
	}
}

// fullyUpdated reports whether all pods that should be there run the newest template.
func (w *Workload) fullyUpdated() bool {
	return w.ObservedGeneration >= w.Generation && w.Desired > 0 && w.Updated >= w.Desired && w.Current <= w.Updated
}

// RollingOut reports whether pods of the newest template are replacing others, or its controller has not seen it yet.
// Jobs are not replaced, and a held template waits.
func (w *Workload) RollingOut() bool {
	return kinds[w.Key.Kind].replaces && !w.Hold.Held() && !w.Deleting &&
		(w.ObservedGeneration < w.Generation || w.Updated < w.Desired || w.Current > w.Updated)
}

// runs reports whether the newest template has replaced the one before it. A held template waits: it was let in,
// but letting it go is what deploys it. Jobs are not replaced.
func (w *Workload) runs() bool {
	if !w.Hold.Held() {
		return true
	}
	switch w.Key.Kind {
	case KindJob, KindCronJob:
		return false
	default:
		return w.fullyUpdated()
	}
}

// RunsAnother reports whether a Deployment is paused and none of its pods is of its template: of the one before, which was
// agreed, or of whichever its controller found.
func (w *Workload) RunsAnother() bool {
	return w.Key.Kind == KindDeployment && w.Hold.Paused && w.ObservedGeneration >= w.Generation && w.Current > 0 && w.Updated == 0
}

// readySince is the latest time that its own status gives for its being ready; zero where it gives none. A time
// that we recorded before a gap in watching may be too early.
func (w *Workload) readySince() time.Time {
	if w.Key.Kind == KindDeployment {
		if c := w.Conditions["Available"]; c.Status == conditionTrue {
			return c.Since
		}
	}
	return time.Time{}
}
