package configuration_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// history plays versions of a workload one after the other, a minute apart.
type history struct {
	t         *testing.T
	rules     configuration.BaselineRules
	now       time.Time
	baselines []v1alpha1.Baseline
	wake      time.Time
	writes    int
}

func play(t *testing.T, rules configuration.BaselineRules) *history {
	t.Helper()
	return &history{t: t, rules: rules, now: now}
}

func (h *history) see(w configuration.Workload, admission *configuration.AdmissionRecord) *history {
	h.t.Helper()
	before := h.baselines
	h.baselines, h.wake = configuration.NextBaselines(before, &w, admission, h.rules, h.now)
	if !cmp.Equal(before, h.baselines) {
		h.writes++
	}
	h.now = h.now.Add(time.Minute)
	return h
}

func (h *history) after(d time.Duration) *history {
	h.now = h.now.Add(d - time.Minute)
	return h
}

// told is the baselines as source:image:proven.
func (h *history) told() string {
	var out []string
	for _, b := range h.baselines {
		s := fmt.Sprintf("%s %s", b.Source, strings.TrimPrefix(b.Images["app"], "registry.shop.example/checkout:"))
		if b.Proven {
			s += " proven"
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

func checkout(t *testing.T, tag string, generation int64) configuration.Workload {
	t.Helper()
	return workload(t, builder.MakeDeployment("shop", "checkout").Image("app", "registry.shop.example/checkout:"+tag).
		Replicas(2).Generation(generation).RolledOut().Obj())
}

func rolling(w configuration.Workload) configuration.Workload {
	w.Updated, w.Ready = 1, 1
	return w
}

// byChange is the record of what alice let in by a Change.
func byChange(w configuration.Workload, change string, at time.Time) *configuration.AdmissionRecord {
	return &configuration.AdmissionRecord{TemplateHash: w.Template.Hash, Source: v1alpha1.BaselineChange, By: "alice", Change: change, At: at}
}

func TestBaselines(t *testing.T) {
	enforced := configuration.BaselineRules{Enforced: true}
	tests := map[string]struct {
		rules configuration.BaselineRules
		play  func(h *history)
		want  string
	}{
		"adopted when ready": {enforced, func(h *history) {
			h.see(checkout(h.t, "1", 1), nil)
		}, "Adopted 1 proven"},
		"adopted while rolling out, proven later": {enforced, func(h *history) {
			h.see(rolling(checkout(h.t, "1", 1)), nil).see(checkout(h.t, "1", 1), nil).see(checkout(h.t, "1", 1), nil)
		}, "Adopted 1 proven"},
		"adopted with no replicas is not proven": {enforced, func(h *history) {
			w := workload(h.t, builder.MakeDeployment("shop", "checkout").Image("app", "registry.shop.example/checkout:1").Replicas(0).RolledOut().Obj())
			h.see(w, nil).see(w, nil).see(w, nil)
		}, "Adopted 1"},
		"created after it was governed, under Enforce": {configuration.BaselineRules{Enforced: true, GovernedSince: builder.Epoch.Add(-time.Hour)}, func(h *history) {
			h.see(checkout(h.t, "1", 1), nil).see(checkout(h.t, "1", 1), nil).see(checkout(h.t, "1", 1), nil)
		}, "Unauthorized 1"},
		"created after it was governed, under Audit": {configuration.BaselineRules{GovernedSince: builder.Epoch.Add(-time.Hour)}, func(h *history) {
			h.see(checkout(h.t, "1", 1), nil)
		}, "Audited 1"},
		"a Change, while it rolls out": {enforced, func(h *history) {
			w := checkout(h.t, "2", 2)
			h.see(checkout(h.t, "1", 1), nil)
			h.see(rolling(w), byChange(w, "c", h.now))
		}, "Change 2, Adopted 1 proven"},
		"a Change, rolled out for long enough": {enforced, func(h *history) {
			w := checkout(h.t, "2", 2)
			h.see(checkout(h.t, "1", 1), nil)
			h.see(rolling(w), byChange(w, "c", h.now)).see(w, nil).see(w, nil)
		}, "Change 2 proven, Adopted 1 proven"},
		"a Change whose rollout did not last": {enforced, func(h *history) {
			w := checkout(h.t, "2", 2)
			h.see(checkout(h.t, "1", 1), nil)
			h.see(w, byChange(w, "c", h.now)).
				after(30*time.Second).see(rolling(w), nil).see(w, nil).after(30*time.Second).see(w, nil)
		}, "Change 2, Adopted 1 proven"},
		"a Change, of which its own status says that it was not ready in between": {enforced, func(h *history) {
			w := checkout(h.t, "2", 2)
			h.see(checkout(h.t, "1", 1), nil)
			h.see(w, byChange(w, "c", h.now))
			w.Conditions = map[string]configuration.Condition{"Available": {Status: "True", Since: h.now.Add(-10 * time.Second)}}
			h.see(w, nil)
		}, "Change 2, Adopted 1 proven"},
		"nobody let it in, under Enforce": {enforced, func(h *history) {
			w := checkout(h.t, "2", 2)
			h.see(checkout(h.t, "1", 1), nil).see(w, nil).see(w, nil).see(w, nil)
		}, "Unauthorized 2, Adopted 1 proven"},
		"nobody let it in, under Audit": {configuration.BaselineRules{}, func(h *history) {
			w := checkout(h.t, "2", 2)
			h.see(checkout(h.t, "1", 1), nil).see(w, nil).see(w, nil)
		}, "Audited 2 proven, Adopted 1 proven"},
		"the record of another template": {enforced, func(h *history) {
			h.see(checkout(h.t, "1", 1), nil)
			h.see(checkout(h.t, "2", 2), byChange(checkout(h.t, "3", 3), "c", h.now))
		}, "Unauthorized 2, Adopted 1 proven"},
		"a record that comes late": {enforced, func(h *history) {
			w := checkout(h.t, "2", 2)
			h.see(checkout(h.t, "1", 1), nil)
			admitted := h.now
			h.see(rolling(w), nil).see(rolling(w), byChange(w, "c", admitted))
		}, "Change 2, Adopted 1 proven"},
		"a record of a later time does not justify what came in before": {enforced, func(h *history) {
			w := checkout(h.t, "2", 2)
			h.see(checkout(h.t, "1", 1), nil).see(w, nil).after(time.Hour)
			h.see(w, byChange(w, "c", h.now))
		}, "Unauthorized 2, Adopted 1 proven"},
		"a rollback without a record": {enforced, func(h *history) {
			w := checkout(h.t, "2", 2)
			h.see(checkout(h.t, "1", 1), nil)
			h.see(w, byChange(w, "c", h.now)).see(checkout(h.t, "1", 3), nil)
		}, "Rollback 1 proven, Change 2, Adopted 1 proven"},
		"a rollback that the policy does not allow": {configuration.BaselineRules{Enforced: true, RollbackRevisions: -1}, func(h *history) {
			w := checkout(h.t, "2", 2)
			h.see(checkout(h.t, "1", 1), nil)
			h.see(w, byChange(w, "c", h.now)).see(checkout(h.t, "1", 3), nil)
		}, "Unauthorized 1, Change 2, Adopted 1 proven"},
		"back to what was never proven": {enforced, func(h *history) {
			w := checkout(h.t, "2", 2)
			h.see(rolling(checkout(h.t, "1", 1)), nil)
			h.see(w, byChange(w, "c", h.now)).see(checkout(h.t, "1", 3), nil)
		}, "Unauthorized 1, Change 2, Adopted 1"},
		"a paused Deployment's template is no baseline": {enforced, func(h *history) {
			w := rolling(checkout(h.t, "2", 2))
			w.Hold.Paused = true
			h.see(checkout(h.t, "1", 1), nil)
			h.see(w, byChange(w, "c", h.now))
		}, "Adopted 1 proven"},
		"a held template becomes one when it is let go": {enforced, func(h *history) {
			w := rolling(checkout(h.t, "2", 2))
			held := w
			held.Hold.Paused = true
			h.see(checkout(h.t, "1", 1), nil).see(held, nil)
			h.see(w, byChange(w, "c", h.now))
		}, "Change 2, Adopted 1 proven"},
		"OnDelete, when all pods are replaced": {enforced, func(h *history) {
			w := checkout(h.t, "2", 2)
			w.Hold.OnDelete = true
			h.see(checkout(h.t, "1", 1), nil)
			admission := byChange(w, "c", h.now)
			h.see(rolling(w), admission).see(w, admission)
		}, "Change 2, Adopted 1 proven"},
		"found paused with pods of an older template": {enforced, func(h *history) {
			w := rolling(checkout(h.t, "2", 2))
			w.Hold.Paused = true
			h.see(w, nil)
		}, ""},
		"created paused by a Change, and so not let go yet": {enforced, func(h *history) {
			w := workload(h.t, builder.MakeDeployment("shop", "checkout").Paused().Obj())
			h.see(w, byChange(w, "c", h.now))
		}, ""},
		"scaled": {enforced, func(h *history) {
			h.see(checkout(h.t, "1", 1), nil).see(checkout(h.t, "1", 2), nil).see(checkout(h.t, "1", 3), nil)
			if h.writes != 1 || h.baselines[0].Generation != 1 {
				h.t.Errorf("%d writes, generation %d", h.writes, h.baselines[0].Generation)
			}
		}, "Adopted 1 proven"},
		"restarted": {enforced, func(h *history) {
			w := workload(h.t, builder.MakeDeployment("shop", "checkout").Image("app", "registry.shop.example/checkout:1").Replicas(2).
				TemplateAnnotation(v1alpha1.AnnotationRestartedAt, "x").Generation(2).RolledOut().Obj())
			h.see(checkout(h.t, "1", 1), nil).see(w, nil)
		}, "Adopted 1 proven"},
		"re-created": {enforced, func(h *history) {
			w := checkout(h.t, "1", 1)
			w.UID = "another"
			h.see(checkout(h.t, "1", 1), nil).see(w, nil)
			if h.baselines[0].WorkloadUID != "another" {
				h.t.Errorf("the baseline is of UID %s", h.baselines[0].WorkloadUID)
			}
		}, "Adopted 1 proven"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := play(t, test.rules)
			test.play(h)
			if got := h.told(); got != test.want {
				t.Errorf("baselines are %q, want %q", got, test.want)
			}
		})
	}
}

// A later API server writes out a field that it did not write before.
func TestChangeOfDefaults(t *testing.T) {
	withField := func(generation int64, alter func(spec map[string]any)) configuration.Workload {
		u := builder.MakeDeployment("shop", "checkout").Image("app", "registry.shop.example/checkout:1").Replicas(2).Generation(generation).RolledOut().Unstructured()
		alter(configuration.RawTemplate(u.Object)["spec"].(map[string]any))
		w, err := configuration.FromObject(u.Object)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	added := func(spec map[string]any) { spec["fieldOfTheFuture"] = "Default" }
	alteredToo := func(spec map[string]any) {
		added(spec)
		spec["containers"].([]any)[0].(map[string]any)["image"] = "registry.shop.example/checkout:2"
	}
	removedToo := func(spec map[string]any) {
		added(spec)
		delete(spec["containers"].([]any)[0].(map[string]any), "imagePullPolicy")
	}
	tests := map[string]struct {
		seenGeneration int64
		next           configuration.Workload
		want           string
	}{
		"added, same generation":                     {0, withField(1, added), "Adopted 1 proven"},
		"added, generation seen with the same":       {4, withField(4, added), "Adopted 1 proven"},
		"added, new generation":                      {0, withField(2, added), "Unauthorized 1, Adopted 1 proven"},
		"altered, same generation":                   {0, withField(1, alteredToo), "Unauthorized 2, Adopted 1 proven"},
		"removed, same generation":                   {0, withField(1, removedToo), "Unauthorized 1, Adopted 1 proven"},
		"added, generation not the one that is seen": {3, withField(4, added), "Unauthorized 1, Adopted 1 proven"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := play(t, configuration.BaselineRules{Enforced: true}).see(checkout(t, "1", 1), nil)
			h.rules.SeenGeneration = test.seenGeneration
			if got := h.see(test.next, nil).told(); got != test.want {
				t.Errorf("baselines are %q, want %q", got, test.want)
			}
			if test.want == "Adopted 1 proven" && !test.next.Template.IsBaseline(h.baselines[0], nil) {
				t.Error("the baseline was not renewed")
			}
		})
	}
}

func TestIgnoredAnnotationsOfBaselines(t *testing.T) {
	annotated := func(value string, generation int64) configuration.Workload {
		return workload(t, builder.MakeDeployment("shop", "checkout").Image("app", "registry.shop.example/checkout:1").Replicas(2).
			TemplateAnnotation("vault.example/token", value).Generation(generation).RolledOut().Obj())
	}
	h := play(t, configuration.BaselineRules{Enforced: true}).see(annotated("a", 1), nil)
	h.rules.IgnoredAnnotationPrefixes = []string{"vault.example/"}
	if got := h.see(annotated("a", 1), nil).see(annotated("b", 2), nil).told(); got != "Adopted 1 proven" {
		t.Errorf("a prefix that was added to a policy made of it %q", got)
	}
	h.rules.IgnoredAnnotationPrefixes = nil
	if got := h.see(annotated("b", 2), nil).told(); got != "Adopted 1 proven" {
		t.Errorf("a prefix that was removed from a policy made of it %q", got)
	}
	if got := h.see(annotated("c", 3), nil).told(); got != "Unauthorized 1, Adopted 1 proven" {
		t.Errorf("an annotation that counts again made of it %q", got)
	}
}

func TestBaselineFields(t *testing.T) {
	rules := configuration.BaselineRules{Enforced: true, ImageIDs: map[string]string{"app": "sha256:1"}}
	w := checkout(t, "2", 2)
	h := play(t, rules).see(checkout(t, "1", 1), nil)
	admitted := h.now.Add(-time.Second)
	h.see(w, byChange(w, "checkout-2", admitted))
	want := []v1alpha1.Baseline{
		{
			TemplateHash: w.Template.Hash, ImagelessHash: w.Template.ImagelessHash, WorkloadUID: string(w.UID), Generation: 2,
			Images: map[string]string{"app": "registry.shop.example/checkout:2"}, ImageIDs: map[string]string{"app": "sha256:1"},
			Change: "checkout-2", Source: v1alpha1.BaselineChange, By: "alice", From: metav1.NewTime(admitted),
			RolledOutSince: new(metav1.NewTime(now.Add(time.Minute))),
		},
		{
			TemplateHash: checkout(t, "1", 1).Template.Hash, ImagelessHash: w.Template.ImagelessHash, WorkloadUID: string(w.UID), Generation: 1,
			Images: map[string]string{"app": "registry.shop.example/checkout:1"}, ImageIDs: map[string]string{"app": "sha256:1"},
			Source: v1alpha1.BaselineAdopted, From: metav1.NewTime(now), Until: new(metav1.NewTime(admitted)), Proven: true,
		},
	}
	if diff := cmp.Diff(want, h.baselines, cmpopts.IgnoreFields(v1alpha1.Baseline{}, "Fingerprint")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if h.baselines[0].Fingerprint == "" || h.baselines[1].Fingerprint != "" {
		t.Error("the newest baseline alone has a fingerprint")
	}
	if want := now.Add(2 * time.Minute); !h.wake.Equal(want) {
		t.Errorf("wakes at %s, want %s", h.wake, want)
	}
	if at := h.wake; at.IsZero() || len(h.after(0).see(w, nil).baselines) != 2 {
		t.Error("looking again made another baseline")
	}
}

func TestBaselinesAreBounded(t *testing.T) {
	h := play(t, configuration.BaselineRules{})
	for i := range 25 {
		h.see(checkout(t, fmt.Sprint(i), int64(i+1)), nil)
	}
	if len(h.baselines) != configuration.MaxBaselines || h.baselines[0].Images["app"] != "registry.shop.example/checkout:24" {
		t.Errorf("%d baselines: %s", len(h.baselines), h.told())
	}
	// Two templates that take turns do not drive out the others.
	for i := range 20 {
		h.see(checkout(t, fmt.Sprint(100+i%2), int64(100+i)), nil)
	}
	if got := h.told(); !strings.Contains(got, "Audited 17") {
		t.Errorf("baselines are %s", got)
	}

	containers := builder.MakeDeployment("shop", "many")
	for i := range 80 {
		containers.Image(fmt.Sprintf("c%02d", i), "x:"+strings.Repeat("1", 100))
	}
	many := play(t, configuration.BaselineRules{}).see(workload(t, containers.Obj()), nil).baselines[0]
	if len(many.Images) != 50 || many.Images["c48"] == "" || many.Images["c49"] != "" {
		t.Errorf("%d images", len(many.Images))
	}
}

func TestBaselinesOfJobs(t *testing.T) {
	cron := func(image string, scheduled, succeeded time.Duration, suspended bool) configuration.Workload {
		return workload(t, edited(builder.CronJob("shop", "checkout"), func(c *batchv1.CronJob) {
			c.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image = "registry.shop.example/checkout:" + image
			c.Spec.Suspend = &suspended
			if scheduled != 0 {
				c.Status.LastScheduleTime = new(metav1.NewTime(now.Add(scheduled)))
				c.Status.LastSuccessfulTime = new(metav1.NewTime(now.Add(succeeded)))
			}
		}))
	}
	tests := map[string]struct {
		seen []configuration.Workload
		want string
	}{
		"never ran":                      {[]configuration.Workload{cron("1", 0, 0, false)}, "Adopted 1"},
		"ran before":                     {[]configuration.Workload{cron("1", -time.Hour, -time.Minute, false)}, "Adopted 1 proven"},
		"suspended":                      {[]configuration.Workload{cron("1", -time.Hour, -time.Minute, true)}, "Adopted 1 proven"},
		"failed before":                  {[]configuration.Workload{cron("1", -time.Minute, -time.Hour, false)}, "Adopted 1"},
		"new, its run is of the old one": {[]configuration.Workload{cron("1", -time.Hour, -time.Minute, false), cron("2", -time.Hour, -time.Minute, false)}, "Audited 2, Adopted 1 proven"},
		"new and ran":                    {[]configuration.Workload{cron("1", -time.Hour, -time.Minute, false), cron("2", -time.Hour, -time.Minute, false), cron("2", 2*time.Minute, 3*time.Minute, false)}, "Audited 2 proven, Adopted 1 proven"},
		"new, and an old run ends well":  {[]configuration.Workload{cron("1", -time.Hour, -time.Minute, false), cron("2", -time.Hour, 3*time.Minute, false)}, "Audited 2, Adopted 1 proven"},
		"new and suspended":              {[]configuration.Workload{cron("1", -time.Hour, -time.Minute, false), cron("2", -time.Hour, -time.Minute, true)}, "Adopted 1 proven"},
		"new, suspended and resumed":     {[]configuration.Workload{cron("1", -time.Hour, -time.Minute, false), cron("2", -time.Hour, -time.Minute, true), cron("2", -time.Hour, -time.Minute, false)}, "Audited 2, Adopted 1 proven"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			h := play(t, configuration.BaselineRules{})
			for _, w := range test.seen {
				h.see(w, nil)
			}
			if got := h.told(); got != test.want {
				t.Errorf("baselines are %q, want %q", got, test.want)
			}
		})
	}
	t.Run("new, and the Jobs tell whose run ended well", func(t *testing.T) {
		run := func(of configuration.Workload, ended time.Duration) *configuration.Workload {
			of.Owner, of.CompletedAt = &configuration.Owner{UID: of.UID}, now.Add(ended)
			return &of
		}
		before, after := cron("1", -time.Hour, -time.Minute, false), cron("2", 2*time.Minute, 3*time.Minute, false)
		h := play(t, configuration.BaselineRules{}).see(before, nil)
		h.rules.Runs = []*configuration.Workload{run(before, 3*time.Minute)}
		if got := h.see(after, nil).told(); got != "Audited 2, Adopted 1 proven" {
			t.Errorf("an earlier template's run makes of it %q", got)
		}
		h.rules.Runs = append(h.rules.Runs, run(after, 3*time.Minute))
		if got := h.see(after, nil).told(); got != "Audited 2 proven, Adopted 1 proven" {
			t.Errorf("its own run makes of it %q", got)
		}
	})
	pod := workload(t, builder.MakePod("shop", "checkout").Obj())
	if got, _ := configuration.NextBaselines(nil, &pod, nil, configuration.BaselineRules{}, now); got != nil {
		t.Errorf("a Pod has baselines: %v", got)
	}
}
