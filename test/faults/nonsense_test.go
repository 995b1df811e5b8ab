package faults_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	longAgo = "0001-01-02T03:04:05Z"
	farOff  = "9999-12-31T23:59:59Z"
)

// nonsense is what somebody with all rights writes into an Incident by hand; the CRD lets it through, or refuses it,
// which is as good.
func nonsense(name string) []string {
	patches := []string{
		`{"metadata":{"labels":{"itil.dev/episode":"999999999"}}}`,
		`{"metadata":{"labels":{"itil.dev/episode":"-1"}}}`,
		`{"metadata":{"labels":{"itil.dev/episode":"first"}}}`,
		`{"metadata":{"labels":null}}`,
		`{"metadata":{"labels":{"itil.dev/workload":"none","itil.dev/workload-kind":"none"}}}`,
		`{"spec":{"workloadRef":{"kind":"Nonsense","name":"none"}}}`,
		`{"spec":{"workloadRef":null}}`,
		`{"spec":{"source":"User"}}`,
		`{"spec":{"serviceRef":{"name":"none"}}}`,
		`{"spec":{"parentRef":{"name":"` + name + `"}}}`,
		`{"spec":{"parentRef":{"namespace":"none","name":"none"}}}`,
		`{"spec":{"problemRef":{"name":"none"},"changeRefs":[{"name":"none"}]}}`,
		`{"spec":{"hold":{"reason":"AwaitingProblem","comment":"none"}}}`,
		`{"spec":{"resolution":{"code":"Duplicate","notes":"` + strings.Repeat("x", 500) + `"}}}`,
		`{"spec":{"resolution":{"code":"Workaround","notes":"x","closed":true}}}`,
		`{"spec":{"title":"` + strings.Repeat("ü", 128) + `"}}`,
	}
	for _, status := range []string{
		`null`,
		`{"state":null}`, `{"state":"Closed"}`, `{"state":"Resolved"}`, `{"state":"OnHold"}`,
		`{"state":"Closed","closedAt":"` + longAgo + `"}`,
		`{"state":"Resolved","resolvedAt":"` + farOff + `"}`,
		`{"signals":null}`, `{"signals":[]}`,
		`{"signals":[{"reason":"NodeLost","since":"` + farOff + `","lastSeen":"` + longAgo + `","clearedAt":"` + longAgo + `","count":2147483647}]}`,
		`{"startedAt":"` + farOff + `","detectedAt":"` + farOff + `"}`,
		`{"startedAt":"` + longAgo + `","detectedAt":"` + longAgo + `"}`,
		`{"detectedAt":null}`, `{"startedAt":null}`,
		`{"recoveredAt":"` + farOff + `","recoveryHoldSeconds":2147483647}`,
		`{"recoveredAt":"` + longAgo + `","recoveryHoldSeconds":-2147483648}`,
		`{"reopened":2147483647}`, `{"reopened":-1}`, `{"children":2147483647}`,
		`{"timeline":null}`, `{"evidence":null}`, `{"conditions":null}`,
		`{"clocks":{"response":{"dueAt":"` + longAgo + `","state":"Running"},"resolution":{"dueAt":"` + farOff + `","state":"Paused"}}}`,
		`{"parentRef":{"name":"` + name + `"}}`,
		`{"fingerprint":"none","reason":"NodeLost","failedTemplateHash":"none","recoveredTemplateHash":"none"}`,
		`{"priority":"P1","impact":"High","urgency":"High"}`,
	} {
		patches = append(patches, `{"status":`+status+`}`)
	}
	return patches
}

// TestNonsense edits Incidents and pods by hand into nonsense. What becomes of those is not for an oracle to say; but
// nothing may panic, others are followed as ever, and each workload that fails has an open Incident, and one.
func TestNonsense(t *testing.T) {
	w := newWorld(t, 6)
	victims := w.workloads[:2]
	w.workloads = w.workloads[2:]
	newFleet(t, w, 1)
	ctx := t.Context()
	for _, one := range victims {
		one.fault = &faults[0]
		w.must(w.show(ctx, one))
	}
	oneOpen := func(g Gomega) {
		all, err := w.all(ctx)
		g.Expect(err).NotTo(HaveOccurred())
		for _, one := range victims {
			open := slices.DeleteFunc(slices.Clone(all[one.key]), func(i *v1alpha1.Incident) bool { return !isOpen(i) })
			g.Expect(open).To(HaveLen(1), "%s: %s", one.key.Name, describe(all[one.key]))
		}
	}
	w.g.Eventually(oneOpen).Should(Succeed())
	last, err := w.last(ctx, victims[0])
	w.must(err)
	refused := 0
	patches := nonsense(last.Name)
	w.random.Shuffle(len(patches), func(i, j int) { patches[i], patches[j] = patches[j], patches[i] })
	for _, patch := range patches {
		for _, one := range victims {
			if !w.edit(one, patch) {
				refused++
			}
		}
		pause(ctx, 50*time.Millisecond)
	}
	w.othersAgree(victims)
	for n, status := range strangePods(w.clock.Now()) {
		for _, one := range victims {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: podName(one, n%one.pods)}}
			w.must(env.Admin().Get(ctx, keyOf(p), p))
			p.Status = status
			if err := env.Admin().Status().Update(ctx, p); err != nil {
				refused++
			}
		}
		pause(ctx, 50*time.Millisecond)
	}
	w.othersAgree(victims)
	for _, one := range victims {
		w.tidy(one)
	}
	// They fail in earnest again, hours later; whatever was edited does not hide it.
	w.clock.Step(2 * time.Hour)
	for _, one := range victims {
		w.must(w.replace(ctx, one))
		w.must(w.show(ctx, one))
	}
	w.g.Eventually(oneOpen).Should(Succeed())
	w.othersAgree(victims)
	if n := panics(t); n > 0 {
		t.Errorf("%d reconciles panicked", n)
	}
	t.Logf("%d of %d edits were refused", refused, 2*(len(patches)+len(strangePods(time.Time{}))))
}

// edit patches the newest Incident of a workload, and reports whether the API server took it.
func (w *world) edit(one *workload, patch string) bool {
	last, err := w.last(w.t.Context(), one)
	if err != nil || last == nil {
		return false
	}
	var content map[string]any
	w.must(json.Unmarshal([]byte(patch), &content))
	raw := client.RawPatch(types.MergePatchType, []byte(patch))
	if _, isStatus := content["status"]; isStatus {
		err = env.Admin().Status().Patch(w.t.Context(), last, raw)
	} else {
		err = env.Admin().Patch(w.t.Context(), last, raw)
	}
	return err == nil
}

// tidy deletes of a workload's Incidents all that are open but one: what was over is open beside it where somebody wrote so.
func (w *world) tidy(one *workload) {
	w.t.Helper()
	all, err := w.all(w.t.Context())
	w.must(err)
	open := slices.DeleteFunc(all[one.key], func(i *v1alpha1.Incident) bool { return !isOpen(i) })
	for _, i := range open[:max(0, len(open)-1)] {
		w.must(client.IgnoreNotFound(env.Admin().Delete(w.t.Context(), i)))
	}
}

// othersAgree runs a round of those that nobody edited.
func (w *world) othersAgree(edited []*workload) {
	w.t.Helper()
	ctx := w.t.Context()
	failing := w.some()
	for _, one := range failing {
		w.must(w.begin(ctx, one))
	}
	w.agreesBut(edited, "while others fail")
	for _, one := range failing {
		w.must(w.end(ctx, one))
	}
	w.agreesBut(edited, "when others have recovered")
}

func (w *world) agreesBut(edited []*workload, when string) {
	w.t.Helper()
	w.g.Eventually(func() error { return w.differs(w.t.Context(), edited...) }).Should(Succeed(), when)
}

// strangePods are statuses that no kubelet writes.
func strangePods(now time.Time) []corev1.PodStatus {
	at := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(d).Truncate(time.Second)) }
	far, past := metav1.NewTime(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)), metav1.NewTime(time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC))
	terminated := func(from, to metav1.Time, reason string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: from, FinishedAt: to, ExitCode: -2147483648, Reason: reason, Signal: 9}}
	}
	one := func(c corev1.ContainerStatus) []corev1.ContainerStatus { return []corev1.ContainerStatus{c} }
	return []corev1.PodStatus{
		{},
		{Phase: "Nonsense", Reason: strings.Repeat("r", 1000), Message: strings.Repeat("m", 5000)},
		{Phase: corev1.PodRunning, ContainerStatuses: one(corev1.ContainerStatus{Name: "app", RestartCount: 2147483647, State: terminated(far, past, "OOMKilled"), LastTerminationState: terminated(past, far, "Error")})},
		{Phase: corev1.PodRunning, ContainerStatuses: one(corev1.ContainerStatus{Name: "app", RestartCount: 3, State: terminated(past, past, ""), LastTerminationState: terminated(far, far, "OOMKilled")})},
		{Phase: corev1.PodRunning, ContainerStatuses: one(corev1.ContainerStatus{Name: "nobody", RestartCount: 9, State: waiting(strings.Repeat("CrashLoopBackOff", 20))})},
		{Phase: corev1.PodFailed, Reason: "Evicted", StartTime: &far, ContainerStatuses: one(corev1.ContainerStatus{Name: "app", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: far}}})},
		{Phase: corev1.PodSucceeded, StartTime: &past, Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: "Perhaps", LastTransitionTime: far}, {Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", LastTransitionTime: past},
		}},
		{Phase: corev1.PodRunning, StartTime: &far, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: at(24 * time.Hour)}},
			InitContainerStatuses: one(corev1.ContainerStatus{Name: "app", RestartCount: 5, State: waiting("")})},
	}
}

// panics is how many reconciles panicked in this process.
func panics(t *testing.T) int {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, family := range families {
		if strings.HasPrefix(family.GetName(), "controller_runtime_reconcile_panics_total") {
			for _, m := range family.GetMetric() {
				if n := m.GetCounter().GetValue(); n > 0 {
					t.Log(fmt.Sprint(m.GetLabel()), n)
					total += n
				}
			}
		}
	}
	return int(total)
}
