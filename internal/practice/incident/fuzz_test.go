package incident_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/replay"
)

// FuzzPod: whatever decodes as a pod becomes one with bounded texts.
func FuzzPod(f *testing.F) {
	for _, name := range replay.Names() {
		trace, err := replay.Load(name)
		if err != nil {
			f.Fatal(err)
		}
		for i, e := range trace.Events {
			if e.Object.GetKind() != "Pod" || i%10 != 0 {
				continue
			}
			raw, err := json.Marshal(e.Object.Object)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var pod corev1.Pod
		if json.Unmarshal(raw, &pod) != nil {
			return
		}
		p := incident.PodFrom(&pod)
		checkPod(t, &p)
		incident.Observe(incident.Observation{Pods: []*incident.Pod{&p}}, incident.DefaultSettings(), incident.History{}, t0)
	})
}

// FuzzObserve feeds pods in whatever states to a workload in whatever state: no panic, bounded lists, the same for the
// same in any order, and nothing that a second look at the same moment would tell otherwise.
func FuzzObserve(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		seed := make([]byte, 200)
		for i := range seed {
			seed[i] = byte(random.UintN(256))
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := &source{data: data}
		kinds := []string{"Pod", "Deployment", "StatefulSet", "DaemonSet", "Operand", "Job", "CronJob"}
		o := incident.Observation{MustRun: s.is()}
		o.Key = configuration.Key{Kind: kinds[s.upTo(len(kinds))], Namespace: "shop", Name: "web"}
		if o.Key.Kind != "Operand" && s.upTo(4) > 0 {
			o.Workload = s.workload(o.Key.Kind)
			o.Key = o.Workload.Key
		}
		var history incident.History
		settings := incident.DefaultSettings()
		var d incident.Detected
		now := at(s.duration())
		for range 1 + s.upTo(4) {
			o.Pods = nil
			for n := range s.upTo(4) {
				o.Pods = append(o.Pods, s.pod(n, o.Key.Kind))
			}
			r := incident.Observe(o, settings, history, now)
			checkResult(t, r, now)
			reversed := o
			reversed.Pods = slices.Clone(o.Pods)
			slices.Reverse(reversed.Pods)
			if diff := cmp.Diff(r, incident.Observe(reversed, settings, history, now)); diff != "" {
				t.Errorf("the order of pods matters: %s", diff)
			}
			again := incident.Observe(o, settings, r.History, now)
			if diff := cmp.Diff(reasons(r), reasons(again)); diff != "" {
				t.Errorf("a second look at the same moment finds something else: %s", diff)
			}
			if len(r.Findings) > 0 || d.DetectedAt != nil {
				d, _ = incident.Correlate(d, r, incident.Subject{Key: o.Key}, now)
				checkDetected(t, d, now)
			}
			history = r.History
			now = now.Add(time.Duration(1+s.upTo(10000)) * time.Second)
		}
	})
}

// source draws decisions from the fuzzer's bytes, and zeros when they are used up.
type source struct{ data []byte }

func (s *source) upTo(n int) int {
	if len(s.data) < 2 {
		return 0
	}
	v := int(s.data[0])<<8 | int(s.data[1])
	s.data = s.data[2:]
	return v % n
}

func (s *source) is() bool { return s.upTo(2) == 1 }

func (s *source) of(words ...string) string { return words[s.upTo(len(words))] }

// duration is mostly of minutes, at times of years, and may be negative.
func (s *source) duration() time.Duration {
	return time.Duration(s.upTo(2000)-200) * []time.Duration{second, second, minute, hour, 1000 * hour}[s.upTo(5)]
}

func (s *source) status() corev1.ConditionStatus {
	return corev1.ConditionStatus(s.of("True", "False", "Unknown", ""))
}

func (s *source) pod(n int, kind string) *incident.Pod {
	b := aPod(fmt.Sprint("p", n)).created(s.duration())
	switch s.upTo(4) {
	case 0:
		b.bare()
	case 1:
		b.ownedBy("batch/v1", "Job", "web")
	case 2:
		b.ownedBy("apps/v1", kind, "web").revision(s.of("1", "2", ""))
	}
	b.phase(corev1.PodPhase(s.of("Running", "Running", "Pending", "Failed", "Succeeded", "")), s.of("", "", "Evicted", "OutOfcpu", "Terminated"))
	if s.upTo(6) == 0 {
		b.deleting(s.duration())
	}
	if s.is() {
		b.condition(corev1.PodReady, s.status(), "", s.duration())
	}
	if s.upTo(4) == 0 {
		b.condition(corev1.PodReadyToStartContainers, s.status(), "", s.duration())
	}
	if s.upTo(4) == 0 {
		b.condition(corev1.PodScheduled, s.status(), s.of("Unschedulable", "SchedulingGated"), s.duration())
	}
	if s.upTo(8) == 0 {
		b.condition(corev1.DisruptionTarget, s.status(), s.of("EvictionByEvictionAPI", "TerminationByKubelet"), s.duration())
	}
	names := []string{"app"}
	if s.is() {
		b.init("init", s.is())
		names = append(names, "init")
	}
	for _, name := range names {
		b.restarts(name, int32(s.upTo(12)-1))
		switch s.upTo(3) {
		case 0:
			b.running(name, int32(s.upTo(9)), s.duration())
		case 1:
			b.waiting(name, s.of("CrashLoopBackOff", "ErrImagePull", "ImagePullBackOff", "CreateContainerConfigError", "RunContainerError", "ContainerCreating", ""))
		case 2:
			b.ended(name, s.of("Error", "OOMKilled", "Completed", "StartError"), int32(s.upTo(3)), s.duration(), s.duration())
		}
		if s.is() {
			b.last(name, s.of("Error", "OOMKilled", "Completed", "StartError"), int32(s.upTo(3)), s.duration(), s.duration())
		}
	}
	return b.obj()
}

func (s *source) workload(kind string) *configuration.Workload {
	n := func() int32 { return int32(s.upTo(4)) }
	return aWorkload(kind, n()).counts(n(), n(), n()).with(func(w *configuration.Workload) {
		w.Generation += int64(s.upTo(2))
		w.Hold.Paused = s.upTo(5) == 0
		w.Deleting = s.upTo(8) == 0
		if s.is() {
			w.Conditions["Progressing"] = configuration.Condition{Status: string(s.status()), Since: at(s.duration())}
		}
		if s.upTo(4) == 0 {
			w.Conditions["ReplicaFailure"] = configuration.Condition{Status: "True", Since: at(s.duration())}
		}
		w.Schedule, w.LastScheduled, w.LastSuccessful = "*/5 * * * *", at(s.duration()), at(s.duration())
		if s.upTo(3) == 0 {
			w.FailedAt = at(s.duration())
		}
		if s.upTo(3) == 0 {
			w.CompletedAt = at(s.duration())
		}
	}).obj()
}

func checkDetected(t *testing.T, d incident.Detected, now time.Time) {
	t.Helper()
	switch {
	case d.StartedAt == nil || d.DetectedAt == nil || d.StartedAt.After(now) || d.DetectedAt.Before(d.StartedAt):
		t.Errorf("began %s, seen %s, now %s", d.StartedAt, d.DetectedAt, now)
	case len(d.Signals) > 50 || len(d.Evidence) > 30:
		t.Errorf("%d signals, %d pieces of evidence", len(d.Signals), len(d.Evidence))
	case d.RecoveredAt != nil && incident.Active(d.Signals):
		t.Error("it recovered and fails")
	case d.RecoveredAt != nil && d.RecoveredAt.Before(d.DetectedAt):
		t.Errorf("well since %s, seen to fail at %s", d.RecoveredAt, d.DetectedAt)
	case d.RecoveryHoldSeconds < 120 || d.RecoveryHoldSeconds > 24*3600:
		t.Errorf("a hold of %d s", d.RecoveryHoldSeconds)
	}
}

func checkPod(t *testing.T, p *incident.Pod) {
	t.Helper()
	texts := []string{p.Reason, p.Message, p.Ready.Message, p.Scheduled.Message, p.Disruption}
	for _, c := range p.Containers {
		texts = append(texts, c.Waiting, c.WaitingMessage, c.Ended.Message, c.Last.Message)
	}
	for _, text := range texts {
		if utf8.RuneCountInString(text) > 512 || !utf8.ValidString(text) || strings.ContainsAny(text, "\x00\x1b\r\x7f") {
			t.Errorf("text %q", text)
		}
	}
	if len(p.Containers) > 128 {
		t.Errorf("%d containers", len(p.Containers))
	}
}

func checkResult(t *testing.T, r incident.Result, now time.Time) {
	t.Helper()
	if len(r.Findings) > 40 || len(r.WantWarnings) > 5 {
		t.Errorf("%d findings, %d wanted warnings", len(r.Findings), len(r.WantWarnings))
	}
	if !r.NextLook.IsZero() && !r.NextLook.After(now) {
		t.Errorf("the next look is at %s, now is %s", r.NextLook, now)
	}
	if len(r.Findings) > 0 && r.Well.Evident {
		t.Error("it is well and fails")
	}
	for _, f := range r.Findings {
		if f.Since.After(now) || f.LastAt.After(now) || len(f.Pods) > 5 || f.Count < 1 || utf8.RuneCountInString(f.Message) > 1024 {
			t.Errorf("finding %+v", f)
		}
	}
	for key, loop := range r.History.Loops {
		if len(loop.Restarts) > 128 || len(loop.Kills) > 32 {
			t.Errorf("%v remembers %d restarts", key, len(loop.Restarts))
		}
	}
}
