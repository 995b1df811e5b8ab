package change

import (
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// kindly is an approved Change of a workload of a kind, which goes in at hour 2; revisions says whether Kubernetes keeps
// what it would go back to.
func kindly(t *testing.T, kind v1alpha1.WorkloadKind, before *configuration.Workload, revisions bool) (*story, configuration.Key) {
	t.Helper()
	s := told(t, automatically, func(c *v1alpha1.Change) { c.Spec.Targets[0].Workload.Kind = kind })
	key := KeyOf("shop", s.subject.Change.Spec.Targets[0].Workload)
	fact := s.subject.Workloads[checkout]
	before.Key = key
	fact.Workload, fact.Enforcement = before, v1alpha1.EnforcementEnforce
	s.subject.Workloads = map[configuration.Key]WorkloadFact{key: fact}
	s.subject.Revisions = map[configuration.Key]RevisionFact{key: {Hash: v23.Hash, Kept: revisions, Why: "Kubernetes keeps no earlier templates of it"}}
	s.is(v1alpha1.ChangeAuthorize).at(1).votes("bob").is(v1alpha1.ChangeImplement).at(2)
	fact.Baselines = append([]v1alpha1.Baseline{s.broughtIn(v24)}, fact.Baselines...)
	s.subject.Workloads = map[configuration.Key]WorkloadFact{key: fact}
	return s, key
}

func (s *story) showsOf(key configuration.Key, w *configuration.Workload) *story {
	fact := s.subject.Workloads[key]
	w.Key = key
	fact.Workload = w
	s.subject.Workloads = map[configuration.Key]WorkloadFact{key: fact}
	return s
}

// cron is a CronJob whose last run was due at one minute after hour 2 and ended well at another; negative: before.
func cron(t *configuration.Template, scheduled, succeeded int, active int32) *configuration.Workload {
	w := running(t)
	w.Desired, w.Active, w.Current, w.Updated = 1, active, active, active
	w.LastScheduled = hour(2).Add(time.Duration(scheduled) * time.Minute)
	w.LastSuccessful = hour(2).Add(time.Duration(succeeded) * time.Minute)
	w.Ready = 1
	if active == 0 && w.LastSuccessful.Before(w.LastScheduled) {
		w.Ready = 0
	}
	return w
}

// TestRunsOfACronJobTellOfAChange: its runs are its rollout. One that was due before the template was in says nothing, one
// that fails afterwards does, and one that succeeds makes up for it.
func TestRunsOfACronJobTellOfAChange(t *testing.T) {
	const going, failed, complete = v1alpha1.RolloutInProgress, v1alpha1.RolloutFailed, v1alpha1.RolloutComplete
	suspended := cron(v24, -30, -20, 0)
	suspended.Hold.Suspended = true
	for name, test := range map[string]struct {
		shows []*configuration.Workload
		want  []v1alpha1.RolloutState
	}{
		"none ran":                         {[]*configuration.Workload{cron(v24, -30, -20, 0)}, []v1alpha1.RolloutState{going}},
		"the last one before it failed":    {[]*configuration.Workload{cron(v24, -30, -90, 0)}, []v1alpha1.RolloutState{going}},
		"one runs":                         {[]*configuration.Workload{cron(v24, 5, -20, 1)}, []v1alpha1.RolloutState{going}},
		"one runs, and succeeds":           {[]*configuration.Workload{cron(v24, 5, -20, 1), cron(v24, 5, 6, 0)}, []v1alpha1.RolloutState{going, complete}},
		"one fails":                        {[]*configuration.Workload{cron(v24, 5, -20, 0)}, []v1alpha1.RolloutState{failed}},
		"one fails, the next one runs":     {[]*configuration.Workload{cron(v24, 5, -20, 0), cron(v24, 10, -20, 1)}, []v1alpha1.RolloutState{failed, failed}},
		"one fails, the next one succeeds": {[]*configuration.Workload{cron(v24, 5, -20, 0), cron(v24, 10, 11, 0)}, []v1alpha1.RolloutState{failed, complete}},
		"one succeeds, the next one fails": {[]*configuration.Workload{cron(v24, 5, 6, 0), cron(v24, 10, 6, 0)}, []v1alpha1.RolloutState{complete, complete}},
		"it is suspended":                  {[]*configuration.Workload{suspended}, []v1alpha1.RolloutState{going}},
		"the one before it succeeds late":  {[]*configuration.Workload{cron(v24, -30, -20, 1), cron(v24, -30, 6, 0), cron(v24, 10, 11, 0)}, []v1alpha1.RolloutState{going, going, complete}},
	} {
		t.Run(name, func(t *testing.T) {
			s, key := kindly(t, v1alpha1.WorkloadCronJob, cron(v23, -30, -20, 0), false)
			s.subject.Change.Spec.Backout.Automatic = false
			s.subject.Change.Status.Digest = Digest(&s.subject.Change.Spec)
			for i, w := range test.shows {
				s.showsOf(key, w).settles(60 * (i + 1) * 10)
				if got := s.last.Status.Implementations[0].Rollout; got != test.want[i] {
					t.Fatalf("step %d: %s, want %s", i, got, test.want[i])
				}
			}
		})
	}
}

// TestAnEarlierTemplatesRunTellsNothingOfAChange: the Jobs say which template each run was made from, also where several go on
// at once, and whichever ends last.
func TestAnEarlierTemplatesRunTellsNothingOfAChange(t *testing.T) {
	const going, failed, complete = v1alpha1.RolloutInProgress, v1alpha1.RolloutFailed, v1alpha1.RolloutComplete
	run := func(template *configuration.Template, created int, alter ...func(*configuration.Workload)) *configuration.Workload {
		job := running(template)
		job.Owner = &configuration.Owner{UID: job.UID}
		job.CreatedAt = hour(2).Add(time.Duration(created) * time.Minute)
		for _, a := range alter {
			a(job)
		}
		return job
	}
	well := func(minute int) func(*configuration.Workload) {
		return func(j *configuration.Workload) { j.CompletedAt = hour(2).Add(time.Duration(minute) * time.Minute) }
	}
	badly := func(minute int) func(*configuration.Workload) {
		return func(j *configuration.Workload) { j.FailedAt = hour(2).Add(time.Duration(minute) * time.Minute) }
	}
	anothers := func(j *configuration.Workload) { j.Owner = &configuration.Owner{UID: "another"} }
	altered := *v24
	altered.Hash = "v1:with a sidecar"
	jobs := func(list ...*configuration.Workload) []*configuration.Workload { return list }
	for name, test := range map[string]struct {
		shows *configuration.Workload
		jobs  []*configuration.Workload
		want  v1alpha1.RolloutState
	}{
		"the earlier one succeeds, the new one goes on":       {cron(v24, 5, 6, 1), jobs(run(v23, -30, well(6)), run(v24, 5)), going},
		"the earlier one succeeds, the new one failed before": {cron(v24, 5, 6, 0), jobs(run(v23, -30, well(6)), run(v24, 5, badly(5))), failed},
		"the earlier one goes on, the new one failed":         {cron(v24, 5, -20, 1), jobs(run(v23, -30), run(v24, 5, badly(6))), failed},
		"the earlier one fails, the new one succeeded":        {cron(v24, 5, 6, 0), jobs(run(v23, -30, badly(7)), run(v24, 5, well(6))), complete},
		"the earlier one succeeds, the new one is gone":       {cron(v24, 5, 6, 0), jobs(run(v23, -30, well(6))), going},
		"the new one succeeds and is gone":                    {cron(v24, 5, 6, 0), jobs(run(v23, -30, well(-20))), complete},
		"the new one fails and is gone":                       {cron(v24, 5, -20, 0), jobs(run(v23, -30, well(-20))), failed},
		"made with the earlier template, after the write":     {cron(v24, 1, 2, 0), jobs(run(v23, 1, well(2))), going},
		"made by hand, out of turn":                           {cron(v24, -30, 6, 0), jobs(run(v24, 5, well(6))), complete},
		"altered on its way, and made after the write":        {cron(v24, 5, 6, 0), jobs(run(&altered, 5, well(6))), complete},
		"altered on its way, and made before the write":       {cron(v24, -30, 6, 0), jobs(run(&altered, -30, well(6))), going},
		"ended, which the CronJob does not say yet":           {cron(v24, 5, -20, 1), jobs(run(v24, 5, well(6))), complete},
		"ended, which its Job does not say yet":               {cron(v24, 5, 6, 0), jobs(run(v24, 5)), going},
		"of a CronJob of the same name before":                {cron(v24, -30, -20, 0), jobs(run(v24, 5, anothers, well(6))), going},
	} {
		t.Run(name, func(t *testing.T) {
			s, key := kindly(t, v1alpha1.WorkloadCronJob, cron(v23, -30, -20, 0), false)
			s.subject.Change.Spec.Backout.Automatic = false
			s.subject.Change.Status.Digest = Digest(&s.subject.Change.Spec)
			fact := s.subject.Workloads[key]
			fact.Runs = test.jobs
			s.subject.Workloads = map[configuration.Key]WorkloadFact{key: fact}
			s.showsOf(key, test.shows).settles(600)
			if got := s.last.Status.Implementations[0].Rollout; got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// TestEveryKindTellsThatItFailed: each of the kinds that a Change can have as a target gives the signal by which its
// outcome is found, and its backout begins, without anybody's work.
func TestEveryKindTellsThatItFailed(t *testing.T) {
	counted := func(updated, ready int32) *configuration.Workload {
		w := running(v24)
		w.Desired, w.Current, w.Updated, w.Ready = 3, 3, updated, ready
		return w
	}
	job := running(v24)
	job.Ready, job.FailedAt = 0, hour(2).Add(5*time.Minute)
	for kind, test := range map[v1alpha1.WorkloadKind]struct {
		before, failing *configuration.Workload
		// silent for so many seconds, after which it has failed.
		silent    int
		revisions bool
	}{
		v1alpha1.WorkloadDeployment:  {running(v23), stuckAt(v24), 0, true},
		v1alpha1.WorkloadStatefulSet: {running(v23), counted(1, 2), 600, true},
		v1alpha1.WorkloadDaemonSet:   {running(v23), counted(1, 2), 600, true},
		v1alpha1.WorkloadCronJob:     {cron(v23, -30, -20, 0), cron(v24, 5, -20, 0), 0, false},
		v1alpha1.WorkloadJob:         {running(v23), job, 0, false},
	} {
		t.Run(string(kind), func(t *testing.T) {
			s, key := kindly(t, kind, test.before, test.revisions)
			s.showsOf(key, test.failing).settles(0)
			if test.silent > 0 {
				if b := s.last.Status.Backout; b != nil {
					t.Fatalf("it goes back at once: %+v", b)
				}
				s.settles(test.silent)
			}
			b := s.last.Status.Backout
			if b == nil || b.Reason != v1alpha1.ChangeBackoutRolloutFailed || len(b.Targets) != 1 {
				t.Fatalf("backout %+v; %+v", b, s.last.Status.Implementations)
			}
			if !test.revisions {
				if b.Targets[0].State != v1alpha1.ChangeBackoutNotPossible {
					t.Errorf("target %+v", b.Targets[0])
				}
				s.outcome(v1alpha1.OutcomeUnsuccessful)
				return
			}
			s.settles(test.silent + 3)
			if len(s.last.Restore) != 1 || s.last.Restore[0].Key != key || s.last.Restore[0].To != v23.Hash {
				t.Fatalf("restores %+v", s.last.Restore)
			}
			s.subject.Restored = map[configuration.Key]Restored{key: {State: v1alpha1.ChangeBackoutRestored}}
			s.settles(test.silent + 4)
			s.showsOf(key, running(v23)).settles(test.silent + 20)
			if s.outcome(v1alpha1.OutcomeRolledBack); s.last.Status.Backout.Targets[0].State != v1alpha1.ChangeBackoutVerified {
				t.Errorf("target %+v", s.last.Status.Backout.Targets[0])
			}
		})
	}
}

// TestACronJobEndsByItsRuns: nobody has to say how it went, be it well, badly or that nothing ever ran.
func TestACronJobEndsByItsRuns(t *testing.T) {
	for name, test := range map[string]struct {
		shows *configuration.Workload
		after time.Duration
		want  v1alpha1.Outcome
	}{
		"a run succeeded":      {cron(v24, 5, 6, 0), 2 * time.Hour, v1alpha1.OutcomeSuccessful},
		"its runs fail":        {cron(v24, 5, -20, 0), 2 * time.Hour, v1alpha1.OutcomeUnsuccessful},
		"none was ever due":    {cron(v24, -30, -20, 0), 60 * time.Hour, v1alpha1.OutcomeInconclusive},
		"it is too early":      {cron(v24, 5, -20, 0), 30 * time.Minute, ""},
		"its first run is on":  {cron(v24, 5, -20, 1), 2 * time.Hour, ""},
		"it never came to end": {cron(v24, 5, -20, 1), 60 * time.Hour, v1alpha1.OutcomeInconclusive},
	} {
		t.Run(name, func(t *testing.T) {
			s, key := kindly(t, v1alpha1.WorkloadCronJob, cron(v23, -30, -20, 0), false)
			s.subject.Change.Spec.Backout.Automatic = false
			s.subject.Change.Status.Digest = Digest(&s.subject.Change.Spec)
			s.showsOf(key, test.shows).settles(600)
			s.settles(int(test.after.Seconds())).outcome(test.want)
		})
	}
}
