package definitions_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/itil-dev/itil-operator/config/crd"
	"github.com/itil-dev/itil-operator/internal/kube/definitions"
)

func builtIn(t *testing.T) map[string]*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	all, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	byKind := map[string]*apiextensionsv1.CustomResourceDefinition{}
	for _, d := range all {
		byKind[d.Spec.Names.Kind] = d
	}
	if len(byKind) == 0 {
		t.Fatal("no definition is built in")
	}
	return byKind
}

func schemaOf(d *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.JSONSchemaProps {
	return d.Spec.Versions[0].Schema.OpenAPIV3Schema
}

// without calls a function with each way in which a schema can be older: without one of its fields, or one of the values
// of an enum. What it is given is altered, and mended again.
func without(s *apiextensionsv1.JSONSchemaProps, path string, tell func(lack string)) {
	for n, value := range s.Enum {
		if len(s.Enum) > 1 {
			all := s.Enum
			s.Enum = slices.Delete(slices.Clone(all), n, n+1)
			tell(fmt.Sprintf("%s: %s", path, value.Raw))
			s.Enum = all
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		property := s.Properties[name]
		below := strings.TrimPrefix(path+"."+name, ".")
		delete(s.Properties, name)
		tell(below)
		s.Properties[name] = property
		without(&property, below, func(lack string) {
			s.Properties[name] = property
			tell(lack)
		})
		s.Properties[name] = property
	}
	if s.Items != nil {
		without(s.Items.Schema, path+"[]", tell)
	}
	if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
		without(s.AdditionalProperties.Schema, path+"{}", tell)
	}
}

func TestEveryFieldAndValueIsMissed(t *testing.T) {
	for kind, ours := range builtIn(t) {
		t.Run(kind, func(t *testing.T) {
			older, count := ours.DeepCopy(), 0
			without(schemaOf(older), "", func(lack string) {
				count++
				if diff := cmp.Diff([]string{"v1alpha1: " + lack}, definitions.Lacks(older, ours)); diff != "" {
					t.Errorf("without %s (-want +got):\n%s", lack, diff)
				}
				if more := definitions.Lacks(ours, older); len(more) > 0 {
					t.Errorf("the older one is said to have more: %v", more)
				}
			})
			if lacks := definitions.Lacks(older, ours); len(lacks) > 0 {
				t.Errorf("a definition lacks something of itself: %v", lacks)
			}
			if count < 10 {
				t.Errorf("only %d fields were taken away", count)
			}
		})
	}
}

func TestLacks(t *testing.T) {
	for name, test := range map[string]struct {
		alter func(version *apiextensionsv1.CustomResourceDefinitionVersion)
		want  []string
	}{
		"another version": {func(v *apiextensionsv1.CustomResourceDefinitionVersion) { v.Name = "v1" }, []string{"v1alpha1"}},
		"not served":      {func(v *apiextensionsv1.CustomResourceDefinitionVersion) { v.Served = false }, []string{"v1alpha1"}},
		"no schema":       {func(v *apiextensionsv1.CustomResourceDefinitionVersion) { v.Schema = nil }, nil},
		"keeps everything": {func(v *apiextensionsv1.CustomResourceDefinitionVersion) {
			v.Schema.OpenAPIV3Schema = &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}
		}, nil},
		"less room": {func(v *apiextensionsv1.CustomResourceDefinitionVersion) {
			spec := v.Schema.OpenAPIV3Schema.Properties["spec"]
			title := spec.Properties["title"]
			title.MaxLength = new(int64(3))
			spec.Properties["title"] = title
		}, []string{"v1alpha1: spec.title: maxLength over 3"}},
		"more room": {func(v *apiextensionsv1.CustomResourceDefinitionVersion) {
			spec := v.Schema.OpenAPIV3Schema.Properties["spec"]
			title := spec.Properties["title"]
			title.MaxLength = nil
			spec.Properties["title"] = title
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ours := builtIn(t)["Incident"]
			live := ours.DeepCopy()
			test.alter(&live.Spec.Versions[0])
			if diff := cmp.Diff(test.want, definitions.Lacks(live, ours)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	invalid := apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{
		field.Invalid(field.NewPath("patch"), `{"much":"more"}`, `strict decoding error: unknown field "status.timeline"`),
	})
	err := definitions.Explain(invalid, "Incident")
	if !apierrors.IsInvalid(err) {
		t.Errorf("it is not the API server's error any more: %v", err)
	}
	want := `the CustomResourceDefinition of Incident refuses what this operator writes (unknown field "status.timeline"): ` +
		"if it is older than the operator, apply those of its version (make install, or the CustomResourceDefinitions in dist/install.yaml)"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	conflict := apierrors.NewConflict(schema.GroupResource{}, "one", nil)
	if got := definitions.Explain(conflict, "Incident"); !errors.Is(got, conflict) {
		t.Errorf("a conflict became %v", got)
	}
	if err := definitions.Explain(nil, "Incident"); err != nil {
		t.Errorf("no error became %v", err)
	}
}

func TestForeign(t *testing.T) {
	for name, test := range map[string]struct {
		kind, object string
		want         []string
	}{
		"nothing foreign":    {"Incident", `{"status":{"state":"New","signals":[{"reason":"NodeLost"}],"priority":""}}`, nil},
		"a state":            {"Incident", `{"status":{"state":"Escalated"}}`, []string{`status.state: "Escalated"`}},
		"in lists, once":     {"Incident", `{"status":{"signals":[{"reason":"DiskFull"},{"reason":"DiskFull"},{"reason":"NodeLost"}]}}`, []string{`status.signals[].reason: "DiskFull"`}},
		"in what people say": {"Incident", `{"spec":{"impact":"Huge"}}`, nil},
		"unknown field":      {"Incident", `{"status":{"weather":"bad"}}`, nil},
		"another kind":       {"Deployment", `{"status":{"state":"Escalated"}}`, nil},
		"no JSON":            {"Incident", `{`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, definitions.Foreign(test.kind, []byte(test.object))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
