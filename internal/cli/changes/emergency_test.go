package changes

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/cli/session"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/golden"
)

var erin = session.Identity{Name: "erin", Groups: []string{"on-call"}}

func TestEmergencyPage(t *testing.T) {
	forced := map[string]string{v1alpha1.AnnotationBreakGlass: "checkout is down", v1alpha1.AnnotationBreakGlassBy: "erin"}
	refusal := []string{"deployment shop/checkout is governed by Service checkout (tier 1): no approved Change covers image app=" + newImage + ".\nApprove: x"}
	byFlux := func(u *unstructured.Unstructured) {
		u.SetLabels(map[string]string{"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"})
	}
	for name, test := range map[string]struct {
		rescue *rescue
		due    time.Duration
	}{
		"refused": {&rescue{trial: &trial{kind: "Deployment", namespace: "shop", name: "checkout", before: checkout(oldImage).Unstructured(), after: checkout(newImage).Unstructured()},
			said: refusal, annotations: forced}, 72 * time.Hour},
		"silent": {&rescue{trial: &trial{kind: "Deployment", namespace: "shop", name: "checkout", before: altered(checkout(oldImage).Unstructured(), byFlux), after: checkout(newImage).Unstructured()},
			said: []string{"the gate does not answer"}, silent: true, annotations: forced}, 90 * time.Minute},
		"rollback": {&rescue{trial: &trial{kind: "Deployment", namespace: "shop", name: "checkout", before: altered(checkout(newImage).Unstructured(), byFlux), after: checkout(oldImage).Unstructured()}}, 0},
		"new": {&rescue{trial: &trial{kind: "Deployment", namespace: "shop", name: "checkout", after: checkout(newImage).Unstructured()},
			said: []string{"deployment shop/checkout is governed by x\x1b[2J"}, annotations: forced}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			golden.Compare(t, (&rescuer{}).page(test.rescue, erin, test.due, screen.Palette{}).String())
		})
	}
}

func altered(u *unstructured.Unstructured, alter func(*unstructured.Unstructured)) *unstructured.Unstructured {
	alter(u)
	return u
}

// The glass breaks only in the request that alters the reason.
func TestNewReasonIsAlwaysNew(t *testing.T) {
	const reason = "checkout is down"
	with := func(value string) *unstructured.Unstructured {
		return altered(checkout(oldImage).Unstructured(), func(u *unstructured.Unstructured) {
			u.SetAnnotations(map[string]string{v1alpha1.AnnotationBreakGlass: value})
		})
	}
	for name, test := range map[string]struct {
		before *unstructured.Unstructured
		want   string
	}{
		"nothing there":     {nil, reason},
		"never broken":      {checkout(oldImage).Unstructured(), reason},
		"for other reasons": {with("another"), reason},
		"for this one":      {with(reason), reason + " (again, 2026-11-22T18:00:00Z)"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := newReason(reason, test.before, now); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestGitOps(t *testing.T) {
	for name, test := range map[string]struct {
		labels, annotations map[string]string
		who, stop           string
	}{
		"nobody":          {},
		"helm":            {labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}},
		"flux":            {labels: map[string]string{"kustomize.toolkit.fluxcd.io/name": "a", "kustomize.toolkit.fluxcd.io/namespace": "b"}, who: "Flux Kustomization a", stop: "flux suspend kustomization a -n b"},
		"flux helm":       {labels: map[string]string{"helm.toolkit.fluxcd.io/name": "a", "helm.toolkit.fluxcd.io/namespace": "b"}, who: "Flux HelmRelease a", stop: "flux suspend helmrelease a -n b"},
		"argo":            {annotations: map[string]string{"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/checkout"}, who: "Argo CD application shop", stop: "argocd app set shop --sync-policy none"},
		"argo by a label": {labels: map[string]string{"argocd.argoproj.io/instance": "shop"}, who: "Argo CD application shop", stop: "argocd app set shop --sync-policy none"},
	} {
		t.Run(name, func(t *testing.T) {
			u := checkout(oldImage).Unstructured()
			u.SetLabels(test.labels)
			u.SetAnnotations(test.annotations)
			if who, stop := gitOps(u); who != test.who || stop != test.stop {
				t.Errorf("%q and %q, want %q and %q", who, stop, test.who, test.stop)
			}
		})
	}
}

func TestBefore(t *testing.T) {
	kept := func(numbers ...int64) []revision {
		var out []revision
		for _, n := range numbers {
			out = append(out, revision{number: n, template: configuration.RawTemplate(checkout(imageOf(n)).Unstructured().Object)})
		}
		return out
	}
	baseline := func(n int64, proven bool) v1alpha1.Baseline {
		parsed := templateOf(checkout(imageOf(n)).Unstructured())
		return v1alpha1.Baseline{TemplateHash: parsed.Hash, ImagelessHash: parsed.ImagelessHash, Images: parsed.Images, Proven: proven}
	}
	by := func(change string, b v1alpha1.Baseline) v1alpha1.Baseline {
		b.Source, b.Change = v1alpha1.BaselineChange, change
		return b
	}
	for name, test := range map[string]struct {
		runs      int64
		kept      []revision
		baselines []v1alpha1.Baseline
		failed    []string
		want      int64
	}{
		"nothing is kept":   {runs: 1},
		"only what runs":    {runs: 1, kept: kept(1)},
		"the one before":    {runs: 3, kept: kept(1, 3, 2), want: 2},
		"the newest proven": {runs: 4, kept: kept(1, 2, 3, 4), baselines: []v1alpha1.Baseline{baseline(4, false), baseline(3, false), baseline(2, true), baseline(1, true)}, want: 2},
		"proven, and runs":  {runs: 3, kept: kept(1, 2, 3), baselines: []v1alpha1.Baseline{baseline(3, true), baseline(2, false), baseline(1, true)}, want: 1},
		"none is proven":    {runs: 3, kept: kept(1, 2, 3), baselines: []v1alpha1.Baseline{baseline(3, false), baseline(2, false)}, want: 2},
		"proven, but its Change failed": {
			runs: 3, kept: kept(1, 2, 3), baselines: []v1alpha1.Baseline{baseline(3, false), by("went-wrong", baseline(2, true)), baseline(1, true)},
			failed: []string{"went-wrong"}, want: 1,
		},
		"each Change failed": {
			runs: 3, kept: kept(1, 2, 3), baselines: []v1alpha1.Baseline{baseline(3, false), by("went-wrong", baseline(2, true)), baseline(1, false)},
			failed: []string{"went-wrong"}, want: 2,
		},
		"proven, but kept no more": {runs: 3, kept: kept(2, 3), baselines: []v1alpha1.Baseline{baseline(3, false), baseline(1, true)}, want: 2},
	} {
		t.Run(name, func(t *testing.T) {
			got := before(checkout(imageOf(test.runs)).Unstructured(), test.kept, &change.World{Baselines: test.baselines, FailedChanges: test.failed})
			switch {
			case got == nil && test.want != 0:
				t.Errorf("none, want %d", test.want)
			case got != nil && got.number != test.want:
				t.Errorf("%d, want %d", got.number, test.want)
			}
		})
	}
}

func imageOf(revision int64) string {
	return "registry.shop.example/checkout:" + strings.Repeat("i", int(revision))
}

func TestAlone(t *testing.T) {
	incident := func(alter func(*v1alpha1.Incident)) *v1alpha1.Incident {
		i := &v1alpha1.Incident{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "down"}}
		i.Spec.Source, i.Spec.Reporter = v1alpha1.IncidentSourceUser, "erin"
		alter(i)
		return i
	}
	for name, test := range map[string]struct {
		alter func(*v1alpha1.Incident)
		want  bool
	}{
		"raised by the user":    {func(*v1alpha1.Incident) {}, true},
		"and taken by the user": {func(i *v1alpha1.Incident) { i.Spec.Assignee = "erin" }, true},
		"another is named":      {func(i *v1alpha1.Incident) { i.Spec.Assignee = "dave" }, true},
		"and called an alert":   {func(i *v1alpha1.Incident) { i.Spec.Source = v1alpha1.IncidentSourceAlert }, true},
		"raised by another":     {func(i *v1alpha1.Incident) { i.Spec.Reporter = "dave" }, false},
		"detected":              {func(i *v1alpha1.Incident) { i.Spec.Source = v1alpha1.IncidentSourceDetector }, false},
		"seen":                  {func(i *v1alpha1.Incident) { i.Status.Signals = []v1alpha1.Signal{{}} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := alone(incident(test.alter), erin); got != test.want {
				t.Errorf("%t, want %t", got, test.want)
			}
		})
	}
}
