package incident_test

import (
	"fmt"
	"maps"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// aJob began then. Its conditions come one after the other, a second apart, the first at a time.
func aJob(name string, begin, ends time.Duration, conditions ...batchv1.JobCondition) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: named(name)}
	j.UID, j.CreationTimestamp = types.UID("uid-"+name), stamped(begin)
	start := stamped(begin)
	j.Status = batchv1.JobStatus{StartTime: &start, Active: 1}
	for n, c := range conditions {
		c.Status, c.LastTransitionTime = corev1.ConditionTrue, stamped(ends+time.Duration(n)*second)
		j.Status.Conditions = append(j.Status.Conditions, c)
		if c.Type == batchv1.JobComplete {
			j.Status.CompletionTime = &c.LastTransitionTime
		}
		j.Status.Active = 0
	}
	return j
}

func condition(kind batchv1.JobConditionType, reason string) batchv1.JobCondition {
	return batchv1.JobCondition{Type: kind, Reason: reason, Message: "as the Job controller has it"}
}

func jobPod(name, job string, d time.Duration) *podBuilder {
	return started(name, d).ownedBy("batch/v1", "Job", job).revision("")
}

func failedPod(name, job string, d time.Duration, code int32, lasts time.Duration) *podBuilder {
	return jobPod(name, job, d).phase(corev1.PodFailed, "").ended("app", "Error", code, d+2*second, d+lasts).unready(d + lasts)
}

func donePod(name, job string, d, lasts time.Duration) *podBuilder {
	return jobPod(name, job, d).phase(corev1.PodSucceeded, "").ended("app", "Completed", 0, d+2*second, d+lasts).unready(d + lasts)
}

func jobStories() map[string]story {
	stories := map[string]story{
		// pod_failure_policy.go: FailJob ends the Job at the first pod that matches, through the condition FailureTarget.
		"podFailurePolicy FailJob": {
			tell: func(p *tape) {
				p.at(0, aJob("report", 0, 0), jobPod("report-a", "report", 0).full())
				p.at(30*second, failedPod("report-a", "report", 0, 42, 30*second).full())
				target := condition(batchv1.JobFailureTarget, batchv1.JobReasonPodFailurePolicy)
				p.at(31*second, aJob("report", 0, 31*second, target))
				p.at(32*second, aJob("report", 0, 31*second, target, condition(batchv1.JobFailed, batchv1.JobReasonPodFailurePolicy)))
			},
			want: []string{"report: the Job failed (exit code 42) | New JobFailed"},
		},
		// Ignore: a pod that was disrupted does not count, and is replaced.
		"podFailurePolicy Ignore, and a drain": {
			tell: func(p *tape) {
				p.at(0, aJob("report", 0, 0), jobPod("report-a", "report", 0).full())
				disrupted := func() *podBuilder {
					return failedPod("report-a", "report", 0, 143, 30*second).condition(corev1.DisruptionTarget, corev1.ConditionTrue, "EvictionByEvictionAPI", 29*second)
				}
				p.at(30*second, disrupted().full())
				p.drop(31*second, disrupted().full())
				p.at(32*second, jobPod("report-b", "report", 32*second).full())
				p.at(90*second, donePod("report-b", "report", 32*second, 58*second).full())
				p.at(91*second, aJob("report", 0, 91*second, condition(batchv1.JobSuccessCriteriaMet, "CompletionsReached"), condition(batchv1.JobComplete, "")))
			},
		},
		// Count: with a backoffLimit of 0, a disrupted pod ends the Job.
		"podFailurePolicy Count, and a drain": {
			tell: func(p *tape) {
				p.at(0, aJob("report", 0, 0), jobPod("report-a", "report", 0).full())
				p.at(30*second, failedPod("report-a", "report", 0, 143, 30*second).condition(corev1.DisruptionTarget, corev1.ConditionTrue, "EvictionByEvictionAPI", 29*second).full())
				p.at(31*second, aJob("report", 0, 31*second, condition(batchv1.JobFailureTarget, batchv1.JobReasonBackoffLimitExceeded), condition(batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded)))
			},
			want: []string{"report: the Job failed (exit code 143) | New JobFailed"},
		},
		// indexed_job_utils.go: the other indexes go on; the Job fails when all have ended.
		"backoffLimitPerIndex, one index fails": {
			tell: func(p *tape) {
				p.at(0, aJob("report", 0, 0))
				for n := range 3 {
					name := fmt.Sprint("report-", n)
					p.at(0, jobPod(name, "report", 0).full())
					if n == 1 {
						p.at(20*second, failedPod(name, "report", 0, 5, 20*second).full())
						p.at(30*second, failedPod(name+"-again", "report", 25*second, 5, 5*second).full())
					} else {
						p.at(5*minute, donePod(name, "report", 0, 5*minute).full())
					}
				}
				p.at(5*minute+second, aJob("report", 0, 5*minute+second, condition(batchv1.JobFailureTarget, batchv1.JobReasonFailedIndexes), condition(batchv1.JobFailed, batchv1.JobReasonFailedIndexes)))
			},
			want: []string{"report: the Job failed (exit code 5) | New JobFailed"},
		},
		// success_policy.go: when enough succeeded, what still runs is deleted, and ends with an error.
		"successPolicy ends what still runs": {
			tell: func(p *tape) {
				p.at(0, aJob("report", 0, 0), jobPod("report-0", "report", 0).full(), jobPod("report-1", "report", 0).full())
				p.at(minute, donePod("report-0", "report", 0, minute).full())
				met := condition(batchv1.JobSuccessCriteriaMet, batchv1.JobReasonSuccessPolicy)
				p.at(minute+second, aJob("report", 0, minute+second, met))
				p.at(minute+2*second, jobPod("report-1", "report", 0).deleting(minute+32*second).full())
				p.at(minute+32*second, failedPod("report-1", "report", 0, 137, minute+32*second).deleting(minute+32*second).full())
				p.drop(minute+33*second, jobPod("report-1", "report", 0).full())
				p.at(minute+34*second, aJob("report", 0, minute+second, met, condition(batchv1.JobComplete, batchv1.JobReasonSuccessPolicy)))
			},
		},
		"activeDeadlineSeconds": {
			tell: func(p *tape) {
				p.at(0, aJob("report", 0, 0), jobPod("report-a", "report", 0).full())
				target := condition(batchv1.JobFailureTarget, batchv1.JobReasonDeadlineExceeded)
				p.at(10*minute, aJob("report", 0, 10*minute, target))
				p.at(10*minute, jobPod("report-a", "report", 0).deleting(10*minute+30*second).full())
				p.at(10*minute+30*second, failedPod("report-a", "report", 0, 137, 10*minute+30*second).deleting(10*minute+30*second).full())
				p.drop(10*minute+31*second, jobPod("report-a", "report", 0).full())
				p.at(10*minute+32*second, aJob("report", 0, 10*minute+31*second, target, condition(batchv1.JobFailed, batchv1.JobReasonDeadlineExceeded)))
			},
			want: []string{"report: the Job failed | New JobFailed"},
		},
		// backoffLimit 2: two pods fail, the third does not.
		"retried until it succeeds": {
			tell: func(p *tape) {
				p.at(0, aJob("report", 0, 0))
				for n, name := range []string{"report-a", "report-b"} {
					d := time.Duration(n) * 20 * second
					p.at(d, jobPod(name, "report", d).full())
					p.at(d+10*second, failedPod(name, "report", d, 1, 10*second).full())
				}
				p.at(minute, jobPod("report-c", "report", minute).full())
				p.at(2*minute, donePod("report-c", "report", minute, minute).full())
				p.at(2*minute+second, aJob("report", 0, 2*minute+second, condition(batchv1.JobComplete, "")))
			},
		},
		"removed after its time, and made again": {
			tell: func(p *tape) {
				failed := aJob("report", 0, minute, condition(batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded))
				p.at(0, aJob("report", 0, 0), jobPod("report-a", "report", 0).full())
				p.at(minute, failedPod("report-a", "report", 0, 1, minute).full(), failed)
				p.drop(5*minute, failed, failedPod("report-a", "report", 0, 1, minute).full())
				again := func(conditions ...batchv1.JobCondition) *batchv1.Job {
					j := aJob("report", 20*minute, 21*minute, conditions...)
					j.UID = "uid-again"
					return j
				}
				p.at(20*minute, again())
				p.at(21*minute, again(condition(batchv1.JobComplete, "")))
			},
			want: []string{"report: the Job failed (exit code 1) | Resolved JobFailed SelfRecovered"},
		},
	}
	maps.Copy(stories, cronStories())
	return stories
}

// cron is a CronJob of which so much has happened.
type cron struct {
	p              *tape
	schedule, zone string
	last, success  time.Duration
	made           time.Duration
}

func (c *cron) object(active ...string) *batchv1.CronJob {
	o := &batchv1.CronJob{ObjectMeta: named("nightly")}
	o.CreationTimestamp = stamped(c.made)
	o.Spec.Schedule, o.Spec.TimeZone = c.schedule, &c.zone
	scheduled, succeeded := stamped(c.last), stamped(c.success)
	o.Status.LastScheduleTime, o.Status.LastSuccessfulTime = &scheduled, &succeeded
	for _, name := range active {
		o.Status.Active = append(o.Status.Active, corev1.ObjectReference{Name: name})
	}
	return o
}

func (c *cron) job(name string, begin, ends time.Duration, conditions ...batchv1.JobCondition) *batchv1.Job {
	j := aJob(name, begin, ends, conditions...)
	yes := true
	j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "nightly", UID: "uid-nightly", Controller: &yes}}
	return j
}

// run lets it run for so long, for what is scheduled then. The Jobs of earlier runs are removed.
func (c *cron) run(name string, scheduled, begin, lasts time.Duration) {
	c.last = scheduled
	c.p.at(begin+second, c.job(name, begin+second, 0), c.object(name))
	end := begin + second + lasts
	c.success = end
	c.p.at(end, c.job(name, begin+second, end, condition(batchv1.JobComplete, "")))
	c.p.at(end+second, c.object())
	c.p.drop(end+3*second, c.job(name, begin+second, end, condition(batchv1.JobComplete, "")))
}

// until is a time of the clock as a story has it.
func until(text string) time.Duration {
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return when.Sub(t0)
}

func cronStories() map[string]story {
	// Days begins a CronJob in Berlin, and lets it run at times in UTC.
	days := func(schedule, made string, times ...string) func(*tape) {
		return func(p *tape) {
			c := &cron{p: p, schedule: schedule, zone: "Europe/Berlin", made: until(made)}
			c.last, c.success = c.made, c.made
			p.at(c.made, c.object())
			for n, when := range times {
				c.run(fmt.Sprint("nightly-", n), until(when), until(when), minute)
			}
			// It is suspended at the end, so that the story ends.
			o := c.object()
			yes := true
			o.Spec.Suspend = &yes
			p.at(until(times[len(times)-1])+10*minute, o)
		}
	}
	hourly := func(tell func(c *cron)) func(*tape) {
		return func(p *tape) {
			c := &cron{p: p, schedule: "0 * * * *", zone: "UTC", made: -48 * hour, last: -hour, success: -hour + minute}
			p.at(-minute, c.object())
			tell(c)
		}
	}
	failed := condition(batchv1.JobFailed, batchv1.JobReasonBackoffLimitExceeded)
	return map[string]story{
		// 29 March 2026: there is no 02:30 in Berlin.
		"CronJob: an hour that is skipped": {
			tell: days("30 2 * * *", "2026-03-27T12:00:00Z", "2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"),
		},
		// 25 October 2026: 02:30 comes twice.
		"CronJob: an hour that comes twice": {
			tell: days("30 2 * * *", "2026-10-23T12:00:00Z", "2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"),
		},
		"CronJob: it did not run after the hour that is skipped": {
			tell: days("30 2 * * *", "2026-03-27T12:00:00Z", "2026-03-28T01:30:00Z", "2026-03-31T00:30:00Z"),
			want: []string{"nightly: did not run at its time | Resolved ScheduleMissed SelfRecovered"},
		},
		// concurrencyPolicy Forbid: what falls due while a run goes on is made up for when it ends.
		"CronJob: Forbid, and a run that takes long": {
			tell: hourly(func(c *cron) {
				c.run("nightly-0", 0, 0, 100*minute)
				c.run("nightly-1", hour, 100*minute+2*second, minute)
				c.run("nightly-2", 2*hour, 2*hour, minute)
			}),
		},
		// With startingDeadlineSeconds it is not made up for: it is too late.
		"CronJob: Forbid, and too late to start": {
			tell: hourly(func(c *cron) {
				c.run("nightly-0", 0, 0, 100*minute)
				c.run("nightly-2", 2*hour, 2*hour, minute)
			}),
		},
		// concurrencyPolicy Replace: the run before is deleted, and is neither a success nor a failure.
		"CronJob: Replace": {
			tell: hourly(func(c *cron) {
				c.last = 0
				c.p.at(second, c.job("nightly-0", second, 0), c.object("nightly-0"))
				c.p.at(5*second, jobPod("nightly-0-a", "nightly-0", 2*second).full())
				c.p.drop(hour, c.job("nightly-0", second, 0))
				c.p.at(hour, jobPod("nightly-0-a", "nightly-0", 2*second).deleting(hour+30*second).full())
				c.p.drop(hour+5*second, jobPod("nightly-0-a", "nightly-0", 2*second).full())
				c.run("nightly-1", hour, hour, minute)
				c.run("nightly-2", 2*hour, 2*hour, minute)
			}),
		},
		"CronJob: nobody starts it": {
			tell: hourly(func(c *cron) {
				c.run("nightly-0", 0, 0, minute)
				c.run("nightly-1", 3*hour, 3*hour, minute)
			}),
			want: []string{"nightly: did not run at its time | Resolved ScheduleMissed SelfRecovered"},
		},
		"CronJob: a run fails, and the next does not": {
			tell: hourly(func(c *cron) {
				c.last = 0
				c.p.at(second, c.job("nightly-0", second, 0), c.object("nightly-0"))
				c.p.at(20*second, failedPod("nightly-0-a", "nightly-0", 2*second, 3, 18*second).full())
				c.p.at(21*second, c.job("nightly-0", second, 21*second, failed))
				c.p.at(22*second, c.object())
				c.run("nightly-1", hour, hour, minute)
			}),
			want: []string{"nightly: the Job failed (exit code 3) | Resolved JobFailed SelfRecovered"},
		},
	}
}
