package changes

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/cli/screen"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/golden"
)

func checkout(image string) *builder.Deployment {
	return builder.MakeDeployment("shop", "checkout").Image("app", image)
}

func tried(before, after *builder.Deployment) *trial {
	t := &trial{kind: "Deployment", namespace: "shop", name: "checkout"}
	if before != nil {
		t.before = before.Unstructured()
	}
	if after != nil {
		t.after = after.Unstructured()
	}
	return t
}

func baselineOf(object *unstructured.Unstructured) *v1alpha1.Baseline {
	template := templateOf(object)
	return &v1alpha1.Baseline{
		TemplateHash: template.Hash, ImagelessHash: template.ImagelessHash, Images: template.Images,
		Source: v1alpha1.BaselineAdopted, Proven: true, From: metav1.NewTime(now.Add(-72 * time.Hour)),
	}
}

func TestPin(t *testing.T) {
	image := func(i string) map[string]v1alpha1.Image { return map[string]v1alpha1.Image{"app": v1alpha1.Image(i)} }
	for name, test := range map[string]struct {
		trial    *trial
		baseline *v1alpha1.Baseline
		how      pinning
		// wanted, where hash stands for the hash of what was tried.
		operation v1alpha1.Operation
		images    map[string]v1alpha1.Image
		hash      bool
		unchanged bool
		beyond    bool
	}{
		"an image":                       {trial: tried(checkout(oldImage), checkout(newImage)), how: pinAuto, operation: v1alpha1.OperationTemplate, images: image(newImage)},
		"an image, by template":          {trial: tried(checkout(oldImage), checkout(newImage)), how: pinTemplate, operation: v1alpha1.OperationTemplate, images: image(newImage), hash: true},
		"an image and a variable":        {trial: tried(checkout(oldImage), checkout(newImage).Env("A", "b")), how: pinAuto, operation: v1alpha1.OperationTemplate, images: image(newImage), hash: true, beyond: true},
		"a variable":                     {trial: tried(checkout(oldImage), checkout(oldImage).Env("A", "b")), how: pinAuto, operation: v1alpha1.OperationTemplate, hash: true, beyond: true},
		"nothing":                        {trial: tried(checkout(oldImage), checkout(oldImage).Replicas(3)), how: pinAuto, operation: v1alpha1.OperationTemplate, unchanged: true, hash: true},
		"a new one":                      {trial: tried(nil, checkout(newImage)), how: pinAuto, operation: v1alpha1.OperationCreate, images: image(newImage), hash: true, beyond: true},
		"a deletion":                     {trial: tried(checkout(oldImage), nil), how: pinAuto, operation: v1alpha1.OperationDelete},
		"an image, with the baseline":    {trial: tried(checkout(oldImage), checkout(newImage)), baseline: baselineOf(checkout(oldImage).Unstructured()), how: pinAuto, operation: v1alpha1.OperationTemplate, images: image(newImage)},
		"what runs is not the baseline":  {trial: tried(checkout(oldImage).Env("A", "b"), checkout(newImage).Env("A", "b")), baseline: baselineOf(checkout(oldImage).Unstructured()), how: pinAuto, operation: v1alpha1.OperationTemplate, images: image(newImage), hash: true, beyond: true},
		"as it runs, but not as agreed":  {trial: tried(checkout(newImage), checkout(newImage)), baseline: baselineOf(checkout(oldImage).Unstructured()), how: pinAuto, operation: v1alpha1.OperationTemplate, images: image(newImage)},
		"a baseline without annotations": {trial: tried(checkout(oldImage).TemplateAnnotation("x.example/a", "1"), checkout(newImage).TemplateAnnotation("x.example/a", "1")), baseline: ignoring(checkout(oldImage).TemplateAnnotation("x.example/a", "1")), how: pinAuto, operation: v1alpha1.OperationTemplate, images: image(newImage)},
	} {
		t.Run(name, func(t *testing.T) {
			got := pin(test.trial, test.baseline, test.how)
			want := pinned{unchanged: test.unchanged, beyondImages: test.beyond, target: v1alpha1.ChangeTarget{
				Workload:   v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"},
				Operations: []v1alpha1.Operation{test.operation}, Images: test.images,
			}}
			if test.hash {
				want.target.TemplateHash = v1alpha1.TemplateHash(test.trial.template().Hash)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(pinned{})); diff != "" {
				t.Errorf("pinned (-want +got):\n%s", diff)
			}
		})
	}
}

// ignoring is a baseline whose hash leaves out annotations that a policy ignores.
func ignoring(d *builder.Deployment) *v1alpha1.Baseline {
	b := baselineOf(d.Unstructured())
	ignored := templateOf(d.Unstructured()).Ignoring([]string{"x.example/"})
	b.FullHash, b.TemplateHash, b.ImagelessHash = b.TemplateHash, ignored.Hash, ignored.ImagelessHash
	return b
}

func TestExplainPage(t *testing.T) {
	denial := []string{
		"deployment shop/checkout is governed by Service checkout (tier 1): no approved Change covers image app=" + newImage + ".",
		"Change shop/checkout-5f3c9ab1 would be filed for you; it needs 2 approvals from sre-leads.",
	}
	service := builder.MakeService("shop", "checkout").Tier(1).Claim(v1alpha1.WorkloadDeployment, "checkout").Obj()
	governed := func(reason string) []v1alpha1.Service {
		s := service.DeepCopy()
		s.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionGoverned, Status: "True", Reason: reason, LastTransitionTime: metav1.NewTime(now)}}
		return []v1alpha1.Service{*s}
	}
	item := builder.ConfigurationItem("shop", v1alpha1.WorkloadDeployment, "checkout", *baselineOf(checkout(oldImage).Unstructured()), *baselineOf(checkout("registry.shop.example/checkout:2.2").Unstructured()))
	item.Status.Baselines[0].Source, item.Status.Baselines[0].Change, item.Status.Baselines[0].By = v1alpha1.BaselineChange, "checkout-2-3", "alice"
	known := items{item.Spec.WorkloadRef: item}
	approved := awaiting("approved", state(v1alpha1.ChangeImplement), window(-time.Hour, time.Hour), condition(v1alpha1.ConditionApproved, ""))
	template := awaiting("by-template", func(c *v1alpha1.Change) {
		c.Spec.Targets[0].Images, c.Spec.Targets[0].TemplateHash = nil, "v1:5f3c9ab1000000000000000000000000000000000000000000000000000000aa"
		c.Status.Digest = "v2:x"
	})
	creation := awaiting("creation", func(c *v1alpha1.Change) {
		c.Spec.Targets[0].Operations = []v1alpha1.Operation{v1alpha1.OperationCreate}
		c.Status.Digest = "v2:x"
	})
	for name, test := range map[string]struct {
		trial    *trial
		asked    bool
		warnings []string
		records  *records
		want     verdict
	}{
		"nothing asked": {trial: tried(checkout(oldImage), checkout(oldImage)), records: &records{items: known, services: governed("Enforced"), changes: []v1alpha1.Change{*awaiting("waiting")}}, want: verdictNone},
		"refused": {
			trial: tried(checkout(oldImage), checkout(newImage).Env("A", "b")), asked: true, warnings: denial,
			records: &records{items: known, services: governed("Enforced"), changes: []v1alpha1.Change{*awaiting("waiting"), *template, *creation, *approved}}, want: verdictRefused,
		},
		"another image":     {trial: tried(checkout(oldImage), checkout("registry.shop.example/checkout:3.0")), asked: true, warnings: denial, records: &records{items: known, services: governed("Enforced"), changes: []v1alpha1.Change{*approved}}, want: verdictRefused},
		"warned":            {trial: tried(checkout(oldImage), checkout(newImage)), asked: true, warnings: denial, records: &records{items: known, services: governed("Warned")}, want: verdictWarned},
		"covered":           {trial: tried(checkout(oldImage), checkout(newImage)), asked: true, records: &records{items: known, services: governed("Enforced"), changes: []v1alpha1.Change{*approved}}, want: verdictLetIn},
		"rolled back":       {trial: tried(checkout(oldImage), checkout("registry.shop.example/checkout:2.2")), asked: true, records: &records{items: known, services: governed("Enforced")}, want: verdictLetIn},
		"unclaimed":         {trial: tried(nil, checkout(newImage)), asked: true, records: &records{}, want: verdictLetIn},
		"audited":           {trial: tried(checkout(oldImage), checkout(newImage)), asked: true, records: &records{services: governed("Audited")}, want: verdictLetIn},
		"nothing different": {trial: tried(checkout(oldImage), checkout(oldImage).Replicas(5)), asked: true, records: &records{services: governed("Enforced")}, want: verdictLetIn},
		"unreadable":        {trial: tried(checkout(oldImage), checkout(newImage)), asked: true, records: &records{unread: []string{kindServices, kindChanges, kindItems}}, want: verdictLetIn},
	} {
		t.Run(name, func(t *testing.T) {
			test.trial.warnings = test.warnings
			a := explain(test.trial, test.asked, test.records, now)
			if a.verdict != test.want {
				t.Errorf("verdict %q, want %q", a.verdict, test.want)
			}
			golden.Compare(t, a.page(now, screen.Palette{}).String())
		})
	}
}

func TestParseWindow(t *testing.T) {
	for name, test := range map[string]struct{ in, start, end, wrong string }{
		"two times":        {in: "2026-11-23T08:00:00+01:00/2026-11-23T12:00:00+01:00", start: "2026-11-23T08:00:00+01:00", end: "2026-11-23T12:00:00+01:00"},
		"a duration":       {in: "2026-11-23T08:00:00Z/90m", start: "2026-11-23T08:00:00Z", end: "2026-11-23T09:30:00Z"},
		"one time":         {in: "2026-11-23T08:00:00Z", wrong: "want START/END"},
		"no start":         {in: "/4h", wrong: "the start is no time"},
		"no end":           {in: "2026-11-23T08:00:00Z/", wrong: "the end is neither"},
		"a negative":       {in: "2026-11-23T08:00:00Z/-4h", wrong: "ends before it starts"},
		"without a length": {in: "2026-11-23T08:00:00Z/0s", wrong: "ends before it starts"},
	} {
		t.Run(name, func(t *testing.T) {
			w, wrong := parseWindow(test.in)
			if !strings.Contains(wrong, test.wrong) || (test.wrong == "") != (wrong == "") {
				t.Fatalf("wrong: %q, want %q", wrong, test.wrong)
			}
			if w != nil && (string(w.Start) != test.start || string(w.End) != test.end) {
				t.Errorf("window %+v", w)
			}
		})
	}
}

func TestApplier(t *testing.T) {
	at := func(hours int) *metav1.Time {
		out := metav1.NewTime(now.Add(time.Duration(hours) * time.Hour))
		return &out
	}
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, when *metav1.Time, fields string) metav1.ManagedFieldsEntry {
		e := metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, Time: when, FieldsV1: &metav1.FieldsV1{}}
		e.FieldsV1.SetRawBytes([]byte(fields))
		return e
	}
	const template = `{"f:spec":{"f:template":{}}}`
	for name, test := range map[string]struct {
		managers []metav1.ManagedFieldsEntry
		want     string
	}{
		"nobody":              {},
		"an updater":          {managers: []metav1.ManagedFieldsEntry{entry("kubectl-create", "Update", at(-1), template)}},
		"an applier":          {managers: []metav1.ManagedFieldsEntry{entry("flux", "Apply", at(-1), template), entry("kubectl-edit", "Update", at(0), template)}, want: "flux"},
		"of replicas only":    {managers: []metav1.ManagedFieldsEntry{entry("scaler", "Apply", at(0), `{"f:spec":{"f:replicas":{}}}`)}},
		"the last of two":     {managers: []metav1.ManagedFieldsEntry{entry("argo", "Apply", at(-1), template), entry("flux", "Apply", at(-2), template)}, want: "argo"},
		"without a time":      {managers: []metav1.ManagedFieldsEntry{entry("flux", "Apply", nil, template)}, want: "flux"},
		"without fields":      {managers: []metav1.ManagedFieldsEntry{{Manager: "flux", Operation: "Apply"}}},
		"of the status alone": {managers: []metav1.ManagedFieldsEntry{{Manager: "x", Operation: "Apply", Subresource: "status", FieldsV1: entry("", "", nil, template).FieldsV1}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := applier(test.managers); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestImagesPatch(t *testing.T) {
	cron := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "CronJob", "metadata": map[string]any{"name": "report"},
		"spec": map[string]any{"jobTemplate": map[string]any{"spec": map[string]any{"template": map[string]any{"spec": map[string]any{
			"initContainers": []any{map[string]any{"name": "wait", "image": "a"}},
			"containers":     []any{map[string]any{"name": "app", "image": "b"}, map[string]any{"name": "log", "image": "c"}},
		}}}}},
	}}
	got, err := imagesPatch(cron, map[string]string{"app": "b:2", "wait": "a:2"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"containers":[{"image":"b:2","name":"app"}],"initContainers":[{"image":"a:2","name":"wait"}]}}}}}}`
	written, err := json.Marshal(got)
	if err != nil || string(written) != want {
		t.Errorf("patch %s (%v), want %s", written, err, want)
	}
	_, err = imagesPatch(cron, map[string]string{"app": "b:2", "web": "x"})
	if exit.CodeOf(err) != exit.Usage || !strings.Contains(exit.NextOf(err), "wait, app, log") {
		t.Errorf("error %v, next %q", err, exit.NextOf(err))
	}
}

func TestSummaryOf(t *testing.T) {
	ref := v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"}
	target := func(operation v1alpha1.Operation, images map[string]v1alpha1.Image) v1alpha1.ChangeTarget {
		return v1alpha1.ChangeTarget{Workload: ref, Operations: []v1alpha1.Operation{operation}, Images: images}
	}
	before := map[v1alpha1.WorkloadReference]map[string]string{ref: {"app": oldImage}}
	for name, test := range map[string]struct {
		targets []v1alpha1.ChangeTarget
		want    string
	}{
		"an image":   {[]v1alpha1.ChangeTarget{target("Template", map[string]v1alpha1.Image{"app": newImage, "log": "l:1"})}, "Deployment checkout: app from " + oldImage + " to " + newImage + ", log to l:1"},
		"a template": {[]v1alpha1.ChangeTarget{target("Template", nil)}, "Change the pod template of Deployment checkout"},
		"a creation": {[]v1alpha1.ChangeTarget{target("Create", map[string]v1alpha1.Image{"app": newImage})}, "Create Deployment checkout"},
		"a deletion": {[]v1alpha1.ChangeTarget{target("Delete", nil)}, "Delete Deployment checkout"},
		"several":    {[]v1alpha1.ChangeTarget{target("Delete", nil), target("Create", nil)}, "Change Deployment checkout, Deployment checkout"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := summaryOf(test.targets, before); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
