package releases

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/testing/golden"
)

var now = time.Date(2026, 11, 22, 18, 0, 0, 0, time.UTC)

func ago(d time.Duration) *metav1.Time {
	out := metav1.NewTime(now.Add(-d))
	return &out
}

func TestReadUnits(t *testing.T) {
	got, err := readUnits(&cobra.Command{}, []string{
		"worker=deploy/checkout-worker app=registry.example/checkout:2.5 sidecar=registry.example/proxy@sha256:00",
		"StatefulSet/my.db app=db:1",
	})
	want := []v1alpha1.ReleaseUnit{
		{Name: "worker", Workload: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "checkout-worker"},
			Images: map[string]v1alpha1.Image{"app": "registry.example/checkout:2.5", "sidecar": "registry.example/proxy@sha256:00"}},
		{Name: "my-db", Workload: v1alpha1.WorkloadReference{Kind: "StatefulSet", Name: "my.db"}, Images: map[string]v1alpha1.Image{"app": "db:1"}},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{"", "deploy/checkout", "checkout app=x", "pod/x app=y", "deploy/ app=x", "deploy/x app", "deploy/x app=", "deploy/x =y"} {
		if _, err := readUnits(&cobra.Command{}, []string{text}); exit.CodeOf(err) != exit.Usage {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestReadPhases(t *testing.T) {
	got, err := readPhases(&cobra.Command{}, []string{"pilot=worker,cron soak=10m timeout=20m", "full=*"})
	want := []v1alpha1.ReleasePhase{{Name: "pilot", Units: []string{"worker", "cron"}, Soak: "10m", Timeout: "20m"}, {Name: "full", Units: []string{"*"}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if all, err := readPhases(&cobra.Command{}, nil); err != nil || len(all) != 1 || all[0].Units[0] != "*" {
		t.Errorf("without phases: %v, %v", all, err)
	}
	for _, text := range []string{"", "pilot", "=worker", "pilot=", "pilot=worker soak", "pilot=worker wait=3m"} {
		if _, err := readPhases(&cobra.Command{}, []string{text}); exit.CodeOf(err) != exit.Usage {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestImagesOf(t *testing.T) {
	container := func(name, image string) any { return map[string]any{"name": name, "image": image} }
	pod := map[string]any{"template": map[string]any{"spec": map[string]any{
		"initContainers": []any{container("init", "i:1")}, "containers": []any{container("app", "a:1"), container("none", "")},
	}}}
	want := map[string]v1alpha1.Image{"init": "i:1", "app": "a:1"}
	for kind, spec := range map[string]map[string]any{"Deployment": pod, "CronJob": {"jobTemplate": map[string]any{"spec": pod}}} {
		object := &unstructured.Unstructured{Object: map[string]any{"kind": kind, "spec": spec}}
		if diff := cmp.Diff(want, imagesOf(object)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
}

func TestPage(t *testing.T) {
	planned := &v1alpha1.Release{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "shop-2-5"}}
	planned.Spec.Version = "2.5"
	planned.Spec.Phases = []v1alpha1.ReleasePhase{{Name: "pilot"}, {Name: "full"}}
	worker := v1alpha1.WorkloadReference{Kind: "Deployment", Name: "checkout-worker"}
	soaking := planned.DeepCopy()
	soaking.Spec.Paused = true
	soaking.Status = v1alpha1.ReleaseStatus{
		State: v1alpha1.ReleaseDeploying, Progress: "0/2", ChangeRef: &v1alpha1.LocalReference{Name: "shop-2-5"},
		Phases: []v1alpha1.ReleasePhaseStatus{
			{Name: "pilot", State: v1alpha1.ReleasePhaseSoaking, StartedAt: ago(9 * time.Minute), SoakSeconds: 600, SoakedSeconds: 60, SoakingSince: ago(3 * time.Minute)},
			{Name: "full", State: v1alpha1.ReleasePhaseWaiting, SoakSeconds: 1800},
		},
		Units: []v1alpha1.ReleaseUnitStatus{
			{Name: "worker", Workload: worker, Phase: "pilot", State: v1alpha1.ReleaseUnitSoaking, Ready: 2, Desired: 2},
			{Name: "checkout", Workload: v1alpha1.WorkloadReference{Kind: "Deployment", Name: "checkout"}, Phase: "full", State: v1alpha1.ReleaseUnitWaiting, Ready: 3, Desired: 3},
		},
		NextStep: "let it go on: kubectl itil release promote shop/shop-2-5",
	}
	failed := soaking.DeepCopy()
	failed.Spec.Paused, failed.Status.State = false, v1alpha1.ReleaseRolledBack
	failed.Status.Failure = &v1alpha1.ReleaseFailure{Phase: "pilot", Reason: v1alpha1.ReleaseFailureIncident, Message: "Incident checkout-worker-7f3a9 (P2) suspects it", At: *ago(time.Minute)}
	failed.Status.Phases[0].State, failed.Status.Units[0].State = v1alpha1.ReleasePhaseFailed, v1alpha1.ReleaseUnitRolledBack
	for name, r := range map[string]*v1alpha1.Release{"planned": planned, "soaking": soaking, "taken back": failed} {
		t.Run(name, func(t *testing.T) { golden.Compare(t, page(r, now, screen.Palette{}).String()) })
	}
	asked := planned.DeepCopy()
	asked.Status.NextStep = "Lacks 2 votes. Read it and vote: kubectl itil approve shop/shop-2-5 (or reject). Without the plugin: kubectl create -f - <<EOF {} EOF"
	if text := page(asked, now, screen.Palette{}).String(); !strings.Contains(text, "approve shop/shop-2-5 (or reject).\n") {
		t.Errorf("who has the plugin is told how to do without:\n%s", text)
	}
	if err := ended(failed); exit.CodeOf(err) != exit.WrongState {
		t.Errorf("a Release that was taken back ends with %v", err)
	}
	failed.Status.State = v1alpha1.ReleaseCompleted
	if err := ended(failed); err != nil {
		t.Errorf("a Release that is completed ends with %v", err)
	}
}

// Whoever stops a Release is asked about what that does to it as it is.
func TestWhetherToStop(t *testing.T) {
	planned, began, back := &v1alpha1.Release{}, &v1alpha1.Release{}, &v1alpha1.Release{}
	began.Status.StartedAt = ago(time.Minute)
	back.Status.StartedAt, back.Status.Backout = ago(time.Minute), &v1alpha1.ReleaseBackout{}
	for words, r := range map[string]*v1alpha1.Release{"Nothing of it is in": planned, "leave what is in": began, "taken back by itself. Stop that half way": back} {
		if question := whetherToStop(r); !strings.Contains(question, words) {
			t.Errorf("%q does not say %q", question, words)
		}
	}
}
