package configuration_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

func TestDiff(t *testing.T) {
	spec := func(m map[string]any) map[string]any { return m["spec"].(map[string]any) }
	container := func(m map[string]any) map[string]any { return spec(m)["containers"].([]any)[0].(map[string]any) }
	tests := map[string]struct {
		edit func(map[string]any)
		want []v1alpha1.FieldDiff
	}{
		"nothing":   {func(map[string]any) {}, nil},
		"a default": {func(m map[string]any) { delete(spec(m), "dnsPolicy") }, nil},
		"generated": {func(m map[string]any) {
			delete(m["metadata"].(map[string]any)["labels"].(map[string]any), "pod-template-hash")
		}, nil},
		"a null":         {func(m map[string]any) { spec(m)["nodeName"] = nil }, nil},
		"an image":       {func(m map[string]any) { container(m)["image"] = "x:2" }, []v1alpha1.FieldDiff{{Path: "spec.containers[app].image", From: "registry.shop.example/checkout:2.3", To: "x:2"}}},
		"an added field": {func(m map[string]any) { spec(m)["hostNetwork"] = true }, []v1alpha1.FieldDiff{{Path: "spec.hostNetwork", To: "true"}}},
		"a removed map": {
			func(m map[string]any) { delete(spec(m), "securityContext") },
			[]v1alpha1.FieldDiff{{Path: "spec.securityContext.fsGroup", From: "2000"}, {Path: "spec.securityContext.runAsNonRoot", From: "true"}},
		},
		"a secret in env": {
			func(m map[string]any) { container(m)["env"].([]any)[0].(map[string]any)["value"] = "hunter3" },
			[]v1alpha1.FieldDiff{{Path: "spec.containers[app].env[DATABASE_PASSWORD].value", From: "(hidden)", To: "(hidden)"}},
		},
		"a secret in args": {
			func(m map[string]any) { container(m)["args"] = []any{"--password=hunter3"} },
			[]v1alpha1.FieldDiff{
				{Path: "spec.containers[app].args[0]", From: "(hidden)", To: "(hidden)"},
				{Path: "spec.containers[app].args[1]", From: "(hidden)"},
			},
		},
		"a secret in a header": {
			func(m map[string]any) {
				h := container(m)["readinessProbe"].(map[string]any)["httpGet"].(map[string]any)["httpHeaders"].([]any)
				h[0].(map[string]any)["value"] = "Bearer y"
			},
			[]v1alpha1.FieldDiff{{Path: "spec.containers[app].readinessProbe.httpGet.httpHeaders[Authorization].value", From: "(hidden)", To: "(hidden)"}},
		},
		"the source of a volume": {
			func(m map[string]any) {
				v := volume(m, 0)
				delete(v, "emptyDir")
				v["hostPath"] = map[string]any{"path": "/", "type": ""}
			},
			[]v1alpha1.FieldDiff{{Path: "spec.volumes[tmp].hostPath.path", To: "/"}},
		},
		"an annotation": {
			func(m map[string]any) {
				m["metadata"].(map[string]any)["annotations"].(map[string]any)["prometheus.io/scrape"] = "false"
			},
			[]v1alpha1.FieldDiff{{Path: "metadata.annotations[prometheus.io/scrape]", From: "true", To: "false"}},
		},
		"a label with dots": {
			func(m map[string]any) {
				m["metadata"].(map[string]any)["labels"].(map[string]any)["shop.example/a"] = "b"
			},
			[]v1alpha1.FieldDiff{{Path: "metadata.labels[shop.example/a]", To: "b"}},
		},
		"control characters": {
			func(m map[string]any) { spec(m)["x"] = "a\x1b[2Jb\n" },
			[]v1alpha1.FieldDiff{{Path: "spec.x", To: "a\ufffd[2Jb\ufffd"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			to := readFile(t, "template-full.json")
			test.edit(to)
			if diff := cmp.Diff(test.want, configuration.Diff(readFile(t, "template-full.json"), to)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDiffIsBounded(t *testing.T) {
	labels := map[string]any{}
	for i := range 100 {
		labels[fmt.Sprintf("label-%03d-%s", i, strings.Repeat("é", 500))] = strings.Repeat("ü", 1000)
	}
	got := configuration.Diff(nil, map[string]any{"metadata": map[string]any{"labels": labels}})
	if len(got) != configuration.MaxDiff {
		t.Fatalf("%d differences, want %d", len(got), configuration.MaxDiff)
	}
	for _, d := range got {
		if len(d.Path) > 400 || len(d.To) > 256 || !utf8.ValidString(d.Path) || !utf8.ValidString(d.To) {
			t.Errorf("not bounded: %d and %d bytes", len(d.Path), len(d.To))
		}
	}
	if want := (v1alpha1.FieldDiff{Path: "…", To: "71 more differences"}); got[29] != want {
		t.Errorf("the last is %v, want %v", got[29], want)
	}
}

// TestDiffIsFair: what is left out for want of room is no part of a template that nothing else is shown of.
func TestDiffIsFair(t *testing.T) {
	labels, env := map[string]any{}, []any{}
	for i := range 100 {
		labels[fmt.Sprintf("label-%03d", i)] = "x"
		env = append(env, map[string]any{"name": fmt.Sprintf("A%03d", i), "value": "x"})
	}
	container := map[string]any{"name": "app", "env": env, "image": "evil", "securityContext": map[string]any{"privileged": true}}
	got := configuration.Diff(nil, map[string]any{
		"metadata": map[string]any{"labels": labels, "annotations": map[string]any{"zzz": "x"}},
		"spec":     map[string]any{"containers": []any{container}, "hostNetwork": true, "volumes": []any{map[string]any{"name": "root", "hostPath": map[string]any{"path": "/"}}}},
	})
	paths := map[string]bool{}
	for _, d := range got {
		paths[d.Path] = true
	}
	for _, want := range []string{
		"metadata.annotations[zzz]", "spec.containers[app].image", "spec.containers[app].securityContext.privileged", "spec.hostNetwork",
		"spec.volumes[root].hostPath.path",
	} {
		if !paths[want] {
			t.Errorf("%s is not shown", want)
		}
	}
	if last := got[len(got)-1]; len(got) != configuration.MaxDiff || last.Path != configuration.MoreDiff || !strings.HasSuffix(last.To, " more differences") {
		t.Errorf("%d differences, the last is %v", len(got), last)
	}
}
