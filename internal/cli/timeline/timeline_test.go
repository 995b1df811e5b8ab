package timeline

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/testing/golden"
)

var t0 = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

func at(minutes int) *metav1.Time {
	out := metav1.NewTime(t0.Add(time.Duration(minutes) * time.Minute))
	return &out
}

func seconds(minutes, seconds int) metav1.Time {
	return metav1.NewTime(at(minutes).Add(time.Duration(seconds) * time.Second))
}

func meta(name string, minutes int) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "shop", Name: name, CreationTimestamp: *at(minutes)}
}

func entry(minutes int, what, by string) v1alpha1.TimelineEntry {
	return v1alpha1.TimelineEntry{At: *at(minutes), What: what, By: by}
}

var worker = v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout-worker"}

// shop is the story of version 2.5, which is OOMKilled in its pilot phase and taken back, and of 2.6, which repairs it.
func shop() Records {
	change := func(name string, minutes int, outcome v1alpha1.Outcome, rollout v1alpha1.RolloutState) v1alpha1.Change {
		c := v1alpha1.Change{ObjectMeta: meta(name, minutes)}
		c.Spec = v1alpha1.ChangeSpec{Type: v1alpha1.ChangeNormal, Summary: "release " + name, Requester: "alice", Targets: []v1alpha1.ChangeTarget{{Workload: worker}}}
		c.Status = v1alpha1.ChangeStatus{
			State: v1alpha1.ChangeClosed, Outcome: outcome, ApprovedAt: at(minutes + 5), ClosedAt: at(minutes + 120),
			Approvals: &v1alpha1.Approvals{Required: 1, Granted: 1, Summary: "1/1", Votes: []v1alpha1.Vote{
				{Approver: "alice", Decision: v1alpha1.DecisionApprove, At: *at(minutes + 4), Ignored: "the requester may not approve"},
				{Approver: "carol", Group: "sre-leads", Decision: v1alpha1.DecisionApprove, At: *at(minutes + 5)},
			}},
			Implementations: []v1alpha1.Implementation{{Workload: worker, Operation: v1alpha1.OperationTemplate, By: "system:serviceaccount:itil-system:itil-operator", At: *at(minutes + 10), Rollout: rollout, RolledOutAt: at(minutes + 12)}},
		}
		return c
	}
	release := func(name string, minutes int, state v1alpha1.ReleaseState) v1alpha1.Release {
		r := v1alpha1.Release{ObjectMeta: meta(name, minutes)}
		r.Spec = v1alpha1.ReleaseSpec{Version: "2.5", Requester: "alice", Units: []v1alpha1.ReleaseUnit{{Name: "worker", Workload: worker}}}
		r.Status = v1alpha1.ReleaseStatus{
			State: state, ChangeRef: &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(name)}, EndedAt: at(minutes + 119),
			Units:  []v1alpha1.ReleaseUnitStatus{{Name: "worker", Workload: worker, Phase: "pilot"}},
			Phases: []v1alpha1.ReleasePhaseStatus{{Name: "pilot", StartedAt: at(minutes + 10), DoneAt: at(minutes + 14), State: v1alpha1.ReleasePhaseDone}},
		}
		return r
	}
	broken := release("shop-2-5", 0, v1alpha1.ReleaseRolledBack)
	broken.Status.Phases[0].State, broken.Status.EndedAt = v1alpha1.ReleasePhaseFailed, at(18)
	broken.Status.Failure = &v1alpha1.ReleaseFailure{Phase: "pilot", Unit: "worker", Reason: v1alpha1.ReleaseFailureIncident, Message: "Incident checkout-worker-7f3a9 (P2) suspects it", At: *at(14)}
	broken.Status.Backout = &v1alpha1.ReleaseBackout{StartedAt: *at(14), EndedAt: at(18)}
	repaired := release("shop-2-6", 1440, v1alpha1.ReleaseCompleted)
	repaired.Status.DeployedAt = at(1470)

	oom := v1alpha1.Incident{ObjectMeta: meta("checkout-worker-7f3a9", 14)}
	oom.Spec = v1alpha1.IncidentSpec{ServiceRef: &v1alpha1.LocalReference{Name: "checkout"}, WorkloadRef: &v1alpha1.AnyWorkloadReference{Kind: "Deployment", Name: "checkout-worker"}}
	oom.Status = v1alpha1.IncidentStatus{
		StartedAt: at(13), Reason: v1alpha1.SignalOOMKilled, Fingerprint: "f1", Priority: v1alpha1.PriorityP2,
		SuspectedChange: &v1alpha1.SuspectedChange{Name: "shop-2-5", Confidence: v1alpha1.ConfidenceHigh},
		// It learned of the known error after it was over.
		KnownError: &v1alpha1.KnownError{Problem: "checkout-worker-oomkilled-382a1", Workaround: "limit the import\nto 1 GB"},
		Timeline: []v1alpha1.TimelineEntry{
			entry(14, "opened: checkout-worker: container app is OOMKilled", "itil-operator"),
			entry(14, "priority P1, was P2 (impact High, urgency High)", "itil-operator"), entry(15, "assigned to sam", "sam"),
			entry(19, "resolved: RolledBack. it recovered with a template that ran before", "itil-operator"),
		},
	}
	next := *oom.DeepCopy()
	next.ObjectMeta = meta("checkout-worker-b1c2d", 600)
	next.Status.StartedAt, next.Status.SuspectedChange = at(599), &v1alpha1.SuspectedChange{Confidence: v1alpha1.ConfidenceLow}
	next.Status.KnownError = &v1alpha1.KnownError{Problem: "checkout-worker-oomkilled-382a1", Workaround: "limit the import\nto 1 GB"}
	next.Status.ParentRef = &v1alpha1.NamespacedReference{Namespace: "itil-system", Name: "node-2-1d0a9"}
	next.Status.Timeline = []v1alpha1.TimelineEntry{
		entry(600, "opened: checkout-worker: container app is OOMKilled", "itil-operator"), entry(700, "closed", "itil-operator"),
	}
	// A node that is lost explains it; another of that namespace explains nothing here.
	node := v1alpha1.Incident{ObjectMeta: meta("node-2-1d0a9", 598)}
	node.Namespace = "itil-system"
	node.Status.Timeline = []v1alpha1.TimelineEntry{entry(598, "opened: node-2 is lost", "itil-operator")}
	other := *node.DeepCopy()
	other.Name = "node-3-77ab1"
	// The ledger, which checkout needs, failed too; a Service of the same name elsewhere is none of it.
	ledger := v1alpha1.Incident{ObjectMeta: meta("ledger-5e0c4", 620)}
	ledger.Namespace = "finance"
	ledger.Spec.ServiceRef = &v1alpha1.LocalReference{Name: "ledger"}
	ledger.Status.AffectedServices = []v1alpha1.NamespacedReference{{Namespace: "finance", Name: "ledger"}, {Namespace: "shop", Name: "checkout"}}
	ledger.Status.Timeline = []v1alpha1.TimelineEntry{entry(620, "opened: ledger: pods are not ready", "itil-operator")}
	// A Change that went in while it was open is not what it knew when it was opened.
	ledger.Status.SuspectedChange = &v1alpha1.SuspectedChange{Namespace: "shop", Name: "shop-2-6", Confidence: v1alpha1.ConfidenceMedium}
	namesake := *ledger.DeepCopy()
	namesake.Name, namesake.Spec.ServiceRef = "namesake", &v1alpha1.LocalReference{Name: "checkout"}
	namesake.Status.AffectedServices = []v1alpha1.NamespacedReference{{Name: "checkout"}}

	p := v1alpha1.Problem{ObjectMeta: meta("checkout-worker-oomkilled-382a1", 14)}
	p.Spec = v1alpha1.ProblemSpec{Statement: "checkout-worker: OOMKilled again and again", Fingerprint: "f1", Owner: "bob"}
	p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionKnownError, Status: metav1.ConditionTrue, LastTransitionTime: *at(61)}}
	p.Status.Timeline = []v1alpha1.TimelineEntry{
		entry(14, "opened: checkout-worker: OOMKilled again and again", "itil-operator"),
		entry(60, "New → RootCauseAnalysis: confirmed", "bob"), entry(61, "known error: a workaround is published: limit the import to 1 GB", "bob"),
		entry(1441, "RootCauseAnalysis → FixInProgress: Change shop-2-6 is to fix it", "itil-operator"),
	}

	service := v1alpha1.Service{ObjectMeta: meta("checkout", -9999)}
	service.Status = v1alpha1.ServiceStatus{Health: v1alpha1.HealthOperational, HealthSince: at(1452), Transitions: []v1alpha1.HealthTransition{
		{Health: v1alpha1.HealthDegraded, At: *at(12)}, {Health: v1alpha1.HealthOutage, At: *at(13)}, {Health: v1alpha1.HealthOperational, At: *at(18)},
		// Each step of a rollout is a moment of fewer pods; the last took long.
		{Health: v1alpha1.HealthDegraded, At: seconds(1450, 3)}, {Health: v1alpha1.HealthOperational, At: seconds(1450, 9)},
		{Health: v1alpha1.HealthDegraded, At: seconds(1450, 20)}, {Health: v1alpha1.HealthOperational, At: *at(1452)},
	}}
	sla := v1alpha1.ServiceLevelAgreement{ObjectMeta: meta("checkout-gold", -9999)}
	sla.Spec.ServiceRef.Name = "checkout"
	sla.Status.Interruptions = []v1alpha1.Interruption{{Type: v1alpha1.InterruptionOutage, From: *at(13), To: at(18)}}
	sla.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionAtRisk, Status: metav1.ConditionTrue, LastTransitionTime: *at(16), Message: "the budget lasts until tomorrow"}}
	sla.Status.History = []v1alpha1.PeriodFigures{{End: *at(-600), Availability: "99.99", Target: "99.9"}}
	silver := *sla.DeepCopy()
	silver.Name, silver.Status.Conditions, silver.Status.History = "checkout-silver", nil, nil

	stranger := change("report-1-1", 3, v1alpha1.OutcomeSuccessful, v1alpha1.RolloutComplete)
	stranger.Spec.Targets[0].Workload.Name, stranger.Status.Implementations = "report", nil
	failed := change("shop-2-5", 0, v1alpha1.OutcomeRolledBack, v1alpha1.RolloutRolledBack)
	failed.Spec.Review = &v1alpha1.Review{Outcome: v1alpha1.OutcomeRolledBack, Notes: "2.5 caches prices twice"}
	mends := change("shop-2-6", 1440, v1alpha1.OutcomeSuccessful, v1alpha1.RolloutComplete)
	mends.Spec.ProblemRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(p.Name)}
	return Records{
		Changes:  []v1alpha1.Change{failed, mends, stranger},
		Releases: []v1alpha1.Release{broken, repaired}, Incidents: []v1alpha1.Incident{oom, next, node, other, ledger, namesake},
		Problems: []v1alpha1.Problem{p}, Services: []v1alpha1.Service{service}, Agreements: []v1alpha1.ServiceLevelAgreement{sla, silver},
	}
}

var checkout = Subject{Namespace: "shop", Service: "checkout", Workloads: []Workload{{"Deployment", "checkout"}, {"Deployment", "checkout-worker"}}}

func TestTable(t *testing.T) {
	for name, c := range map[string]struct {
		subject Subject
		since   time.Time
	}{
		"a service":  {subject: checkout},
		"a workload": {subject: Subject{Namespace: "shop", Workloads: []Workload{{"Deployment", "report"}}}},
		"since":      {subject: checkout, since: t0.Add(24 * time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := table(Tell(c.subject, shop(), c.since)).Write(&out, screen.Palette{}); err != nil {
				t.Fatal(err)
			}
			golden.Compare(t, out.String())
		})
	}
}

// However the records are listed, the story is the same, and in order.
func TestAStoryIsToldTheSame(t *testing.T) {
	want := Tell(checkout, shop(), time.Time{})
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 2))
		r := shop()
		rng.Shuffle(len(r.Changes), func(i, j int) { r.Changes[i], r.Changes[j] = r.Changes[j], r.Changes[i] })
		rng.Shuffle(len(r.Incidents), func(i, j int) { r.Incidents[i], r.Incidents[j] = r.Incidents[j], r.Incidents[i] })
		rng.Shuffle(len(r.Releases), func(i, j int) { r.Releases[i], r.Releases[j] = r.Releases[j], r.Releases[i] })
		rng.Shuffle(len(r.Agreements), func(i, j int) { r.Agreements[i], r.Agreements[j] = r.Agreements[j], r.Agreements[i] })
		got := Tell(checkout, r, time.Time{})
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Entry{})); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
		}
		for i := 1; i < len(got); i++ {
			if got[i].At.Time.Before(got[i-1].At.Time) {
				t.Fatalf("%v is told after %v", got[i-1], got[i])
			}
		}
	}
}

func TestNothingIsRemembered(t *testing.T) {
	if got := Tell(Subject{Namespace: "shop", Service: "other"}, shop(), time.Time{}); len(got) > 0 {
		t.Errorf("told %v of another service", got)
	}
}

func TestParseSince(t *testing.T) {
	for text, want := range map[string]time.Time{
		"": {}, "90m": t0.Add(-90 * time.Minute), "7d": t0.Add(-7 * 24 * time.Hour),
		"2026-11-01": time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), "2026-11-01T10:00:00Z": time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC),
	} {
		if got, err := parseSince(&cobra.Command{}, text, t0); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v (%v), want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "7", "-1h", "2026-13-01", "0d"} {
		if _, err := parseSince(&cobra.Command{}, text, t0); exit.CodeOf(err) != exit.Usage {
			t.Errorf("%q: %v", text, err)
		}
	}
}
