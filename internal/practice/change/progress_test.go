package change

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

var ledger = configuration.Key{Group: "apps", Kind: configuration.KindStatefulSet, Namespace: "shop", Name: "checkout"}

// stateful is a Change of a StatefulSet of three pods that was just brought in.
func stateful(t *testing.T, backout v1alpha1.Backout) *story {
	t.Helper()
	s := told(t, func(c *v1alpha1.Change) {
		c.Spec.Targets[0].Workload.Kind, c.Spec.Backout = v1alpha1.WorkloadStatefulSet, &backout
	})
	fact := s.subject.Workloads[checkout]
	fact.Workload, fact.Enforcement = counts(v23, 3, 3), v1alpha1.EnforcementEnforce
	s.subject.Workloads = map[configuration.Key]WorkloadFact{ledger: fact}
	s.subject.Revisions = map[configuration.Key]RevisionFact{ledger: {Hash: v23.Hash, Kept: true}}
	s.is(v1alpha1.ChangeAuthorize).at(1).votes("bob").is(v1alpha1.ChangeImplement).at(2)
	fact.Baselines = append([]v1alpha1.Baseline{s.broughtIn(v24)}, fact.Baselines...)
	s.subject.Workloads = map[configuration.Key]WorkloadFact{ledger: fact}
	return s
}

// counts of a StatefulSet of three pods.
func counts(t *configuration.Template, updated, ready int32) *configuration.Workload {
	w := running(t)
	w.Key, w.Desired, w.Current, w.Updated, w.Ready = ledger, 3, 3, updated, ready
	return w
}

// madeAt has a workload made so many minutes after the change's hour.
func madeAt(minutes int, w *configuration.Workload) *configuration.Workload {
	w.CreatedAt = hour(2).Add(time.Duration(minutes) * time.Minute)
	return w
}

func (s *story) shows(w *configuration.Workload) *story {
	fact := s.subject.Workloads[ledger]
	fact.Workload = w
	s.subject.Workloads = map[configuration.Key]WorkloadFact{ledger: fact}
	return s
}

// TestARolloutWithoutProgressFails: of a StatefulSet nobody else tells that its rollout makes none.
func TestARolloutWithoutProgressFails(t *testing.T) {
	held := counts(v24, 1, 2)
	held.Hold.Partition = 2
	unseen := counts(v24, 1, 2)
	unseen.Generation = 2
	none := counts(v24, 1, 2)
	none.Desired = 0
	type step struct {
		minute  int
		shows   *configuration.Workload
		rollout v1alpha1.RolloutState
	}
	const going, failed, complete = v1alpha1.RolloutInProgress, v1alpha1.RolloutFailed, v1alpha1.RolloutComplete
	for name, test := range map[string]struct {
		backout v1alpha1.Backout
		steps   []step
	}{
		"it never moves":             {steps: []step{{0, counts(v24, 0, 3), going}, {9, counts(v24, 0, 3), going}, {10, counts(v24, 0, 3), failed}}},
		"the first pod is not ready": {steps: []step{{0, counts(v24, 0, 3), going}, {2, counts(v24, 1, 2), going}, {11, counts(v24, 1, 2), going}, {12, counts(v24, 1, 2), failed}}},
		"it comes and goes": {steps: []step{
			{0, counts(v24, 1, 2), going}, {3, counts(v24, 1, 3), going}, {6, counts(v24, 1, 2), going}, {9, counts(v24, 1, 3), going},
			{13, counts(v24, 1, 2), failed},
		}},
		"it is slow": {steps: []step{
			{0, counts(v24, 0, 3), going}, {8, counts(v24, 1, 3), going}, {16, counts(v24, 2, 3), going}, {24, counts(v24, 3, 2), going}, {32, counts(v24, 3, 3), complete},
		}},
		"its last pod is not ready":   {steps: []step{{0, counts(v24, 3, 2), going}, {10, counts(v24, 3, 2), failed}}},
		"it is held back":             {steps: []step{{0, held, going}, {30, held, going}}},
		"its controller is behind":    {steps: []step{{0, unseen, going}, {30, unseen, going}}},
		"it is scaled to zero":        {steps: []step{{0, none, going}, {30, none, going}}},
		"it is held back, and let go": {steps: []step{{0, held, going}, {30, counts(v24, 1, 2), going}, {39, counts(v24, 1, 2), going}, {40, counts(v24, 1, 2), failed}}},
		"it is made again under its name": {steps: []step{
			{0, counts(v24, 2, 3), going}, {9, madeAt(9, counts(v24, 0, 0)), going}, {18, madeAt(9, counts(v24, 1, 1)), going}, {28, madeAt(9, counts(v24, 1, 1)), failed},
		}},
		"its author allows more": {
			v1alpha1.Backout{ProgressDeadlineSeconds: 1800},
			[]step{{0, counts(v24, 1, 2), going}, {29, counts(v24, 1, 2), going}, {30, counts(v24, 1, 2), failed}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := stateful(t, test.backout)
			for _, step := range test.steps {
				s.shows(step.shows).settles(step.minute * 60)
				if got := s.last.Status.Implementations[0].Rollout; got != step.rollout {
					t.Fatalf("minute %d: %s, want %s; progress %+v", step.minute, got, step.rollout, s.last.Status.Implementations[0].Progress)
				}
			}
		})
	}
}

// TestProgressIsRecordedOnceAMinuteAndLookedAtWhenItIsDue: a rollout of many pods is no storm of writes, and its failure
// needs no event.
func TestProgressIsRecordedOnceAMinuteAndLookedAtWhenItIsDue(t *testing.T) {
	s := stateful(t, v1alpha1.Backout{Automatic: true}).shows(counts(v24, 0, 3)).settles(0)
	first := *s.last.Status.Implementations[0].Progress
	begun := hour(s.hours)
	s.shows(counts(v24, 1, 2)).settles(10)
	if diff := cmp.Diff(&first, s.last.Status.Implementations[0].Progress); diff != "" {
		t.Errorf("recorded within the minute:\n%s", diff)
	}
	if !s.last.Wake.Equal(begun.Add(time.Minute)) {
		t.Errorf("wakes at %s", s.last.Wake)
	}
	s.settles(60)
	got := s.last.Status.Implementations[0].Progress
	if got.Updated != 1 || got.Ready != 2 || !got.At.Equal(ptrTime(begun.Add(time.Minute))) {
		t.Errorf("progress %+v", got)
	}
	if !s.last.Wake.Equal(begun.Add(11 * time.Minute)) {
		t.Errorf("wakes at %s", s.last.Wake)
	}
	s.settles(11 * 60)
	if b := s.last.Status.Backout; b == nil || b.Reason != v1alpha1.ChangeBackoutRolloutFailed {
		t.Fatalf("backout %+v; %v", b, s.last.Status.Implementations)
	}
	s.settles(11*60 + 3)
	if len(s.last.Restore) != 1 || s.last.Restore[0].Key != ledger || s.last.Restore[0].To != v23.Hash {
		t.Errorf("restores %+v", s.last.Restore)
	}
}
