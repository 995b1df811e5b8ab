package configuration

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A kind that is none of ours is one entry: where its template is, and how it counts. All else follows.
func TestAKindIsOneEntry(t *testing.T) {
	rollout := named{kind{
		group: "argoproj.io", version: "v1alpha1", claimable: true, replaces: true, observes: true,
		template: templatePath, selector: labelSelector, observe: observeDeployment,
	}, "Rollout"}
	obj := map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
		"metadata": map[string]any{"namespace": "shop", "name": "checkout", "generation": int64(3), "uid": "u"},
		"spec": map[string]any{
			"replicas": int64(4), "paused": true, "selector": map[string]any{"matchLabels": map[string]any{"app": "checkout"}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"app": "checkout"}},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": "checkout:2"}}},
			},
		},
		"status": map[string]any{"observedGeneration": int64(3), "replicas": int64(4), "updatedReplicas": int64(4), "readyReplicas": int64(3)},
	}
	w, err := rollout.Read(obj)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{
		"key": w.Key, "desired": w.Desired, "ready": w.Ready, "updated": w.Updated, "images": w.Template.Images, "paused": w.Hold.Paused, "rolled out": w.RolledOut(),
	}
	want := map[string]any{
		"key":     Key{Group: "argoproj.io", Kind: "Rollout", Namespace: "shop", Name: "checkout"},
		"desired": int32(4), "ready": int32(3), "updated": int32(4), "images": map[string]string{"app": "checkout:2"}, "paused": true, "rolled out": false,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestKindsOfTheTable(t *testing.T) {
	var claimable []string
	for _, k := range ClaimableKinds() {
		if !k.Claimable() || len(k.TemplatePath()) == 0 {
			t.Errorf("%s: claimable %t, template at %v", k.Name(), k.Claimable(), k.TemplatePath())
		}
		claimable = append(claimable, k.Group()+"/"+k.Version()+" "+k.Name())
	}
	want := []string{"batch/v1 CronJob", "apps/v1 DaemonSet", "apps/v1 Deployment", "batch/v1 Job", "apps/v1 StatefulSet"}
	if diff := cmp.Diff(want, claimable); diff != "" {
		t.Errorf("claimable (-want +got):\n%s", diff)
	}
	if _, known := KindNamed("Rollout"); known {
		t.Error("a kind that is not in the table is known")
	}
	if k, known := KindNamed(KindPod); !known || len(k.TemplatePath()) != 0 || k.Claimable() {
		t.Errorf("a Pod is its own template, and no Service claims it")
	}
}
