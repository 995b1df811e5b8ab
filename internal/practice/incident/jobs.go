package incident

import (
	"fmt"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// jobs are the rules for Jobs and CronJobs.
func (l *look) jobs() {
	w := l.Workload
	if w == nil || w.Deleting {
		return
	}
	switch w.Key.Kind {
	case configuration.KindJob:
		l.jobFailed(w)
		l.jobOverdue(w)
	case configuration.KindCronJob:
		l.cronJobFailed(w)
		for _, job := range l.Jobs {
			l.jobOverdue(job)
		}
		l.scheduleMissed(w)
	default:
	}
}

// jobFailed: it failed for good. Only a later success of the same name is evidence that this is over.
func (l *look) jobFailed(job *configuration.Workload) {
	switch {
	case !job.FailedAt.IsZero():
		l.addFailedJob(job)
	case !job.CompletedAt.IsZero():
		l.cures = append(l.cures, Cure{Reason: v1alpha1.SignalJobFailed, At: job.CompletedAt})
	}
}

// addFailedJob tells of the Job and of the last of its pods that failed. A Job that ran out of memory for good is
// told as such.
func (l *look) addFailedJob(job *configuration.Workload) {
	condition := job.Conditions["Failed"]
	at := l.notFuture(job.FailedAt)
	f := Finding{
		Reason: v1alpha1.SignalJobFailed, Since: at, LastAt: at, Count: 1,
		Message: fmt.Sprintf("Job %s failed: %s: %s", job.Key.Name, condition.Reason, condition.Message),
	}
	pod, run, container := l.lastFailure(job)
	if pod != nil {
		code := run.ExitCode
		f.ExitCode = &code
		f.Pods, f.AffectedPods = []string{pod.Name}, 1
		f.Message += "; container " + container + " " + run.describe()
		if run.Reason == reasonOOMKilled {
			l.add(Finding{
				Reason: v1alpha1.SignalOOMKilled, Container: container, Since: at, LastAt: at, Count: 1,
				ExitCode: &code, Message: run.describe(), Pods: f.Pods, AffectedPods: 1,
			}, nil)
		}
	}
	f.Message = clip(f.Message, maxContainerTexts)
	l.add(f, nil)
}

func (l *look) lastFailure(job *configuration.Workload) (failed *Pod, run Run, container string) {
	for _, pod := range l.Pods {
		if pod.Owner == nil || pod.Owner.UID != job.UID {
			continue
		}
		r, name := pod.failedRun()
		if r.Over && (failed == nil || newerRun(r, run) || r == run && pod.Name < failed.Name) {
			failed, run, container = pod, r, name
		}
	}
	return failed, run, container
}

// newestJob is the Job that began last.
func newestJob(jobs []*configuration.Workload) *configuration.Workload {
	var newest *configuration.Workload
	for _, job := range jobs {
		if newest == nil || begun(job).After(begun(newest)) ||
			begun(job).Equal(begun(newest)) && job.Key.Name > newest.Key.Name {
			newest = job
		}
	}
	return newest
}

func begun(job *configuration.Workload) time.Time {
	if job.StartedAt.IsZero() {
		return job.CreatedAt
	}
	return job.StartedAt
}

// cronJobFailed: the newest run that ended failed. A success is known from the CronJob itself, too, when its Job was
// removed; a failure whose Job was removed at once, from no success after the last time it ran.
func (l *look) cronJobFailed(w *configuration.Workload) {
	var newest *configuration.Workload
	for _, job := range l.Jobs {
		if job.FailedAt.IsZero() && job.CompletedAt.IsZero() {
			continue
		}
		if newest == nil || newestJob([]*configuration.Workload{newest, job}) == job {
			newest = job
		}
	}
	success := w.LastSuccessful
	if newest != nil {
		success = later(success, newest.CompletedAt)
	}
	if !success.IsZero() {
		l.cures = append(l.cures, Cure{Reason: v1alpha1.SignalJobFailed, At: success})
	}
	switch {
	case newest != nil && !newest.FailedAt.IsZero():
		if !w.LastSuccessful.After(newest.FailedAt) {
			l.addFailedJob(newest)
		}
	case newest == nil && len(l.Jobs) == 0 && w.Ready == 0 && !w.LastScheduled.IsZero() && !w.Hold.Suspended:
		if l.over(l.notFuture(w.LastScheduled), l.settings.ScheduleMissed) {
			l.add(Finding{
				Reason: v1alpha1.SignalJobFailed, Since: w.LastScheduled, LastAt: w.LastScheduled, Count: 1,
				Message: "the run of " + stamp(w.LastScheduled) + " ended without success, and its Job is gone",
			}, nil)
		}
	}
}

// jobOverdue: a Job runs longer than its service allows.
func (l *look) jobOverdue(job *configuration.Workload) {
	ended := later(job.CompletedAt, job.FailedAt)
	if l.settings.JobOverdue <= 0 {
		return
	}
	if !ended.IsZero() {
		l.cures = append(l.cures, Cure{Reason: v1alpha1.SignalJobOverdue, At: ended})
		return
	}
	if job.StartedAt.IsZero() || job.Hold.Suspended || !l.over(l.notFuture(job.StartedAt), l.settings.JobOverdue) {
		return
	}
	l.add(Finding{
		Reason: v1alpha1.SignalJobOverdue, Since: job.StartedAt.Add(l.settings.JobOverdue), LastAt: l.now, Count: 1,
		Message: fmt.Sprintf("Job %s runs since %s, longer than %s", job.Key.Name, stamp(job.StartedAt), l.settings.JobOverdue),
	}, nil)
}

// scheduleMissed: its time passed, nothing runs, and it did not run then. While a run goes on, the next may have to
// wait (concurrencyPolicy Forbid), and is too late when it ends (startingDeadlineSeconds): that was asked for.
func (l *look) scheduleMissed(w *configuration.Workload) {
	l.rescheduled(w)
	if w.Hold.Suspended {
		l.history.SuspendedAt = SecondOf(l.now)
		l.cures = append(l.cures, Cure{Reason: v1alpha1.SignalScheduleMissed, At: l.now})
		return
	}
	l.history.SuspendedAt = l.old.SuspendedAt
	schedule, err := ParseSchedule(w.Schedule, w.ScheduleZone)
	if err != nil || w.Active > 0 {
		return
	}
	last := later(w.CreatedAt, later(w.LastScheduled, l.old.SuspendedAt.Time()))
	last = later(last, later(w.LastSuccessful, l.history.ScheduleAt.Time()))
	for _, job := range l.Jobs {
		last = later(last, job.FailedAt)
	}
	due, ok := schedule.Next(last)
	if !ok {
		return
	}
	if !l.over(due, l.settings.ScheduleMissed) {
		l.cures = append(l.cures, Cure{Reason: v1alpha1.SignalScheduleMissed, At: w.LastScheduled})
		return
	}
	l.add(Finding{
		Reason: v1alpha1.SignalScheduleMissed, Since: due, LastAt: l.now, Count: 1,
		Message: "did not run at " + stamp(due) + " (schedule " + clip(w.Schedule, maxReason) + ")",
	}, nil)
}

// rescheduled takes note of another schedule: the times that it has before somebody wrote it were never due.
func (l *look) rescheduled(w *configuration.Workload) {
	l.history.Schedule, l.history.ScheduleAt = w.Schedule+" "+w.ScheduleZone, l.old.ScheduleAt
	if l.old.Schedule != "" && l.old.Schedule != l.history.Schedule {
		l.history.ScheduleAt = SecondOf(l.now)
	}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
