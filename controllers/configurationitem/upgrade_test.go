package configurationitem

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// A scale, a restart of the operator and a default that a newer API server writes out, all at once.
func TestScaleRestartAndUpgrade(t *testing.T) {
	for name, test := range map[string]struct {
		alter  func(pod map[string]any)
		memory bool
		want   string
	}{
		"only added":                             {alter: func(p map[string]any) { p["newDefault"] = "true" }, want: "Adopted 1; None"},
		"altered as well":                        {alter: func(p map[string]any) { p["newDefault"], p["schedulerName"] = "true", "mine" }, want: "Unauthorized 1, Adopted 1; Drifted"},
		"only added, while the operator watches": {alter: func(p map[string]any) { p["newDefault"] = "true" }, memory: true, want: "Unauthorized 1, Adopted 1; Drifted"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := func(o *unstructured.Unstructured) map[string]any {
				p, _, _ := unstructured.NestedMap(o.Object, "spec", "template", "spec")
				p["schedulerName"] = "theirs"
				return p
			}
			put := func(o *unstructured.Unstructured, p map[string]any) *unstructured.Unstructured {
				if err := unstructured.SetNestedMap(o.Object, p, "spec", "template", "spec"); err != nil {
					t.Fatal(err)
				}
				return o
			}
			before := version("1", 1).Unstructured()
			c := newCluster(t, service(v1alpha1.EnforcementEnforce), gate(), put(before, pod(before)))
			c.reconcile(checkout)
			c.after(time.Hour)
			if !test.memory {
				c.r.forget(checkout)
			}
			scaled := version("1", 5).Unstructured()
			p := pod(scaled)
			test.alter(p)
			c.put(put(scaled, p)).reconcile(checkout)
			item, _ := c.after(DefaultAdmissionGrace).reconcile(checkout)
			if got := told(item); got != test.want {
				t.Errorf("baselines are %q, want %q", got, test.want)
			}
		})
	}
}
