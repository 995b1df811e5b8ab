package admission

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
)

// workload is an object of one of the kinds as JSON, altered by functions of it.
func workload(kindName string, alter ...func(o map[string]any)) map[string]any {
	template := map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"app": "checkout"}},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": "registry.example/checkout:2.3"}}},
	}
	o := map[string]any{
		"apiVersion": versions[kindName], "kind": kindName,
		"metadata": map[string]any{"name": "checkout", "namespace": "shop", "uid": "1", "managedFields": []any{map[string]any{"manager": "x"}}},
		"status":   map[string]any{"observedGeneration": 1},
	}
	switch kindName {
	case "Pod":
		o["spec"] = template["spec"]
		o["metadata"].(map[string]any)["labels"] = map[string]any{"app": "checkout"}
	case "CronJob":
		o["spec"] = map[string]any{"schedule": "0 3 * * *", "jobTemplate": map[string]any{"spec": map[string]any{"template": template}}}
	default:
		o["spec"] = map[string]any{"template": template, "selector": map[string]any{"matchLabels": map[string]any{"app": "checkout"}}}
	}
	for _, f := range alter {
		f(o)
	}
	return o
}

var versions = map[string]string{
	"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1",
	"Job": "batch/v1", "CronJob": "batch/v1", "Pod": "v1", "ReplicationController": "v1",
}

// at sets what is at a path of maps.
func at(value any, path ...string) func(map[string]any) {
	return func(o map[string]any) {
		for _, key := range path[:len(path)-1] {
			next, ok := o[key].(map[string]any)
			if !ok {
				next = map[string]any{}
				o[key] = next
			}
			o = next
		}
		o[path[len(path)-1]] = value
	}
}

func image(image string) func(map[string]any) {
	return func(o map[string]any) {
		spec := o["spec"].(map[string]any)
		if job, ok := spec["jobTemplate"].(map[string]any); ok {
			spec = job["spec"].(map[string]any)
		}
		if template, ok := spec["template"].(map[string]any); ok {
			spec = template["spec"].(map[string]any)
		}
		spec["containers"].([]any)[0].(map[string]any)["image"] = image
	}
}

func owner(controller bool) func(map[string]any) {
	return at([]any{map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "2", "controller": controller}}, "metadata", "ownerReferences")
}

func review(t testing.TB, operation admissionv1.Operation, before, after map[string]any) *admissionv1.AdmissionRequest {
	t.Helper()
	req := &admissionv1.AdmissionRequest{
		UID: "u", Operation: operation, Namespace: "shop", Name: "checkout",
		UserInfo: authenticationv1.UserInfo{Username: "alice", Groups: []string{"developers"}},
	}
	for _, o := range []struct {
		object map[string]any
		into   *runtime.RawExtension
	}{{before, &req.OldObject}, {after, &req.Object}} {
		if o.object == nil {
			continue
		}
		encoded, err := json.Marshal(o.object)
		if err != nil {
			t.Fatal(err)
		}
		o.into.Raw = encoded
		group, version, found := strings.Cut(o.object["apiVersion"].(string), "/")
		if !found {
			group, version = "", group
		}
		req.Kind = metav1.GroupVersionKind{Group: group, Version: version, Kind: o.object["kind"].(string)}
	}
	return req
}

func TestAskUpdates(t *testing.T) {
	cases := map[string]struct {
		kind          string
		before, after []func(map[string]any)
		want          []change.Operation
	}{
		"nothing":                       {kind: "Deployment", want: []change.Operation{change.Template}},
		"image":                         {kind: "Deployment", after: []func(map[string]any){image("b")}, want: []change.Operation{change.Template}},
		"image of a Pod":                {kind: "Pod", after: []func(map[string]any){image("b")}, want: []change.Operation{change.Template}},
		"image of a ReplicaSet":         {kind: "ReplicaSet", before: []func(map[string]any){owner(true)}, after: []func(map[string]any){owner(true), image("b")}, want: []change.Operation{change.Template}},
		"unpaused":                      {kind: "Deployment", before: []func(map[string]any){at(true, "spec", "paused")}, want: []change.Operation{change.Release}},
		"paused":                        {kind: "Deployment", after: []func(map[string]any){at(true, "spec", "paused")}, want: []change.Operation{change.Template}},
		"unpaused with another image":   {kind: "Deployment", before: []func(map[string]any){at(true, "spec", "paused")}, after: []func(map[string]any){image("b")}, want: []change.Operation{change.Template}},
		"resumed":                       {kind: "CronJob", before: []func(map[string]any){at(true, "spec", "suspend")}, want: []change.Operation{change.Release}},
		"rescheduled":                   {kind: "CronJob", after: []func(map[string]any){at("* * * * *", "spec", "schedule")}, want: []change.Operation{change.Release}},
		"partition lowered":             {kind: "StatefulSet", before: []func(map[string]any){at(3, "spec", "updateStrategy", "rollingUpdate", "partition")}, after: []func(map[string]any){at(1, "spec", "updateStrategy", "rollingUpdate", "partition")}, want: []change.Operation{change.Release}},
		"partition raised":              {kind: "StatefulSet", after: []func(map[string]any){at(1, "spec", "updateStrategy", "rollingUpdate", "partition")}, want: []change.Operation{change.Template}},
		"no longer OnDelete":            {kind: "DaemonSet", before: []func(map[string]any){at("OnDelete", "spec", "updateStrategy", "type")}, want: []change.Operation{change.Release}},
		"an owner":                      {kind: "Deployment", after: []func(map[string]any){owner(false)}, want: []change.Operation{change.Template, change.Delete}},
		"an owner and another image":    {kind: "Deployment", after: []func(map[string]any){owner(false), image("b")}, want: []change.Operation{change.Template, change.Delete}},
		"an owner of a bare Pod":        {kind: "Pod", after: []func(map[string]any){owner(true)}, want: []change.Operation{change.Template, change.Delete}},
		"another owner of an owned Pod": {kind: "Pod", before: []func(map[string]any){owner(true)}, want: []change.Operation{change.Template}},
		"an owned Deployment let go":    {kind: "Deployment", before: []func(map[string]any){owner(true)}, want: []change.Operation{change.Template, change.Delete}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			question, err := ask(review(t, admissionv1.Update, workload(c.kind, c.before...), workload(c.kind, c.after...)))
			if err != nil {
				t.Fatal(err)
			}
			got := make([]change.Operation, 0, len(question.requests))
			for _, r := range question.requests {
				got = append(got, r.Operation)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("operations (-want +got)\n%s", diff)
			}
			first := question.requests[0]
			if changed := first.Old.Hash != first.New.Hash; changed != slices.ContainsFunc([]string{"image"}, func(s string) bool { return strings.Contains(name, s) }) {
				t.Errorf("the template differs: %t", changed)
			}
		})
	}
}

func TestAskForEveryKind(t *testing.T) {
	for kindName := range versions {
		created, err := ask(review(t, admissionv1.Create, nil, workload(kindName)))
		if err != nil || len(created.requests) != 1 || created.requests[0].New == nil || created.requests[0].Old != nil {
			t.Errorf("CREATE of a %s asks %+v, error %v", kindName, created.requests, err)
			continue
		}
		deleted, err := ask(review(t, admissionv1.Delete, workload(kindName), nil))
		if err != nil || len(deleted.requests) != 1 || deleted.requests[0].Old == nil || deleted.requests[0].New != nil {
			t.Errorf("DELETE of a %s asks %+v, error %v", kindName, deleted.requests, err)
			continue
		}
		if a, b := created.requests[0].New.Hash, deleted.requests[0].Old.Hash; a != b || a == "" {
			t.Errorf("the template of a %s has the hashes %q and %q", kindName, a, b)
		}
		if created.requests[0].Key != deleted.requests[0].Key || created.requests[0].Key.Kind != kindName {
			t.Errorf("the key of a %s is %v, then %v", kindName, created.requests[0].Key, deleted.requests[0].Key)
		}
	}
}

func TestAskWho(t *testing.T) {
	reason, changed := at("fire", "metadata", "annotations", v1alpha1.AnnotationBreakGlass), at("c1", "metadata", "annotations", v1alpha1.AnnotationChange)
	signed := at("erin", "metadata", "annotations", v1alpha1.AnnotationBreakGlassBy)
	req := review(t, admissionv1.Update, workload("Deployment"), workload("Deployment", reason, signed, changed))
	req.UserInfo.Username, req.DryRun = "system:serviceaccount:flux:flux", new(true)
	question, err := ask(req)
	if err != nil {
		t.Fatal(err)
	}
	r := question.requests[0]
	if !r.User.ServiceAccount || !r.DryRun || r.Change != "c1" || r.BreakGlass != "fire" || r.BreakGlassBy != "erin" || r.BreakGlassPermitted {
		t.Errorf("asked %+v", r)
	}
	question, err = ask(review(t, admissionv1.Update, workload("Deployment", reason), workload("Deployment", reason, owner(false))))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range question.requests {
		if r.User.ServiceAccount || r.DryRun || r.BreakGlass != "" {
			t.Errorf("a reason that was there before, or on a deletion, breaks the glass: %+v", r)
		}
	}
}

func TestAskWhatAControllerShallBringBack(t *testing.T) {
	to := func(revision string) func(map[string]any) {
		return at(revision, "metadata", "annotations", v1alpha1.AnnotationRollbackTo)
	}
	paused, other := at(true, "spec", "paused"), at("c1", "metadata", "annotations", v1alpha1.AnnotationChange)
	type alter []func(map[string]any)
	for name, c := range map[string]struct {
		kind          string
		before, after alter
		want          string
	}{
		"nothing":                        {},
		"it is new":                      {after: alter{to("3")}, want: "3"},
		"it is new on a paused one":      {before: alter{paused}, after: alter{paused, to("3")}, want: "3"},
		"it is another":                  {before: alter{to("2")}, after: alter{to("3")}, want: "3"},
		"it is new, and so is the image": {after: alter{to("0"), image("b")}, want: "0"},
		"it was there":                   {before: alter{to("3")}, after: alter{to("3"), other}},
		"it was there, and is paused":    {before: alter{to("3")}, after: alter{to("3"), paused}},
		"it was there, and is resumed":   {before: alter{to("3"), paused}, after: alter{to("3")}, want: "3"},
		"it is taken off":                {before: alter{to("3")}},
		"it is taken off, and resumed":   {before: alter{to("3"), paused}},
		"of a kind without one":          {kind: "StatefulSet", after: alter{to("3")}},
	} {
		t.Run(name, func(t *testing.T) {
			kindName := c.kind
			if kindName == "" {
				kindName = "Deployment"
			}
			question, err := ask(review(t, admissionv1.Update, workload(kindName, c.before...), workload(kindName, append(c.after, owner(false))...)))
			if err != nil || len(question.requests) != 2 {
				t.Fatalf("asked %+v, error %v", question.requests, err)
			}
			if got := question.requests[0].RollbackTo; got != c.want || question.requests[1].RollbackTo != "" {
				t.Errorf("asked about %q, and %q of the owners; want %q", got, question.requests[1].RollbackTo, c.want)
			}
		})
	}
	created, err := ask(review(t, admissionv1.Create, nil, workload("Deployment", to("1"))))
	if err != nil || created.requests[0].RollbackTo != "1" {
		t.Errorf("of one that is made asked %+v, error %v", created.requests, err)
	}
}

func TestAskNothing(t *testing.T) {
	other := review(t, admissionv1.Create, nil, map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "x"}})
	rollout := review(t, admissionv1.Create, nil, map[string]any{"apiVersion": "argoproj.io/v1alpha1", "kind": "Deployment", "metadata": map[string]any{"name": "x"}})
	scale := review(t, admissionv1.Update, workload("Deployment"), workload("Deployment"))
	scale.SubResource = "scale"
	connect := review(t, admissionv1.Connect, nil, workload("Pod"))
	for name, req := range map[string]*admissionv1.AdmissionRequest{"another kind": other, "another group": rollout, "a subresource": scale, "connect": connect} {
		if question, err := ask(req); err != nil || len(question.requests) > 0 {
			t.Errorf("%s: asks %v, error %v", name, question.requests, err)
		}
	}
}

func TestGeneratedNames(t *testing.T) {
	for name, want := range map[string]struct{ name, generate, request string }{
		"of the object":  {"checkout", "", ""},
		"of the request": {"", "", "checkout"},
		"not made yet":   {"", "checkout-", ""},
	} {
		req := review(t, admissionv1.Create, nil, workload("Job", at(want.name, "metadata", "name"), at(want.generate, "metadata", "generateName")))
		req.Name = want.request
		question, err := ask(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := question.requests[0].Key; !strings.HasPrefix(got.Name, "checkout") || got.Namespace != "shop" {
			t.Errorf("%s: key %v", name, got)
		}
	}
}

func TestFieldsLeaveImagesOut(t *testing.T) {
	limit := func(o map[string]any) {
		template := o["spec"].(map[string]any)["template"].(map[string]any)
		template["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["resources"] = map[string]any{"limits": map[string]any{"cpu": "2"}}
	}
	question, err := ask(review(t, admissionv1.Update, workload("Deployment"), workload("Deployment", image("b"), limit)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"spec.containers[app].resources.limits.cpu"}, question.requests[0].Fields()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	many := func(o map[string]any) {
		annotations := map[string]any{}
		for _, letter := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ" {
			annotations[string(letter)] = "x"
		}
		at(annotations, "spec", "template", "metadata", "annotations")(o)
	}
	question, err = ask(review(t, admissionv1.Update, workload("Deployment"), workload("Deployment", many)))
	if err != nil {
		t.Fatal(err)
	}
	if got := question.requests[0].Fields(); got != nil {
		t.Errorf("more differences than can be told are told as %q", got)
	}
}
