package admission

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// What the gate leaves unread must not matter: a workload is the same as the one that the inventory reads whole.
func TestReadObjectAsTheInventoryDoes(t *testing.T) {
	full := []func(map[string]any){
		at("5", "metadata", "resourceVersion"),
		at(int64(7), "metadata", "generation"),
		at("2026-03-02T09:00:00Z", "metadata", "creationTimestamp"),
		at("2026-03-02T10:00:00Z", "metadata", "deletionTimestamp"),
		at(map[string]any{"itil.dev/incidents": "disabled", "team": "shop"}, "metadata", "labels"),
		at(map[string]any{"itil.dev/change": "checkout-2-4", "note": "x"}, "metadata", "annotations"),
		at([]any{map[string]any{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "r", "uid": "u", "controller": true}}, "metadata", "ownerReferences"),
	}
	numbers := at(map[string]any{"containers": []any{map[string]any{"name": "app", "image": "checkout:2.3"}},
		"terminationGracePeriodSeconds": int64(1) << 53, "future": 0.30000000000000004}, "spec", "template", "spec")
	for kindName, version := range versions {
		for name, alter := range map[string][]func(map[string]any){"bare": nil, "full": full, "numbers": append(slices.Clip(full), numbers)} {
			t.Run(kindName+"/"+name, func(t *testing.T) {
				data, err := json.Marshal(workload(kindName, alter...))
				if err != nil {
					t.Fatal(err)
				}
				whole := &unstructured.Unstructured{}
				if err := whole.UnmarshalJSON(data); err != nil {
					t.Fatal(err)
				}
				delete(whole.Object, "status") // how it goes is not the gate's business
				want, err := configuration.FromObject(whole.Object)
				if err != nil {
					t.Fatal(err)
				}
				group, _ := configuration.GroupOf(kindName)
				got, err := readObject(data, kind{Group: group, Version: version[len(version)-len("v1"):], Kind: kindName}, "", "")
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got.Workload, cmpopts.EquateEmpty(), cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
					t.Errorf("the gate reads another workload than the inventory (-inventory +gate):\n%s", diff)
				}
			})
		}
	}
}

func TestReadObjectRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"nothing":           ``,
		"no JSON":           `{"spec":`,
		"a list":            `[]`,
		"metadata a string": `{"metadata":"x"}`,
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := readObject([]byte(data), kind{Group: "apps", Version: "v1", Kind: "Deployment"}, "", ""); err == nil {
				t.Errorf("read %v, want an error", got.raw)
			}
		})
	}
}

// Field names match exactly, as they do for the API server: another spelling must not replace what is judged.
func TestReadObjectIsCaseSensitive(t *testing.T) {
	data, err := json.Marshal(workload("Deployment", at(map[string]any{}, "Spec"), at(map[string]any{"name": "other"}, "Metadata")))
	if err != nil {
		t.Fatal(err)
	}
	got, err := readObject(data, kind{Group: "apps", Version: "v1", Kind: "Deployment"}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if got.Key.Name != "checkout" || got.Template.Hash == "" {
		t.Errorf("read %q with template %q, want checkout and its template", got.Key.Name, got.Template.Hash)
	}
}
