// Package api_test tries the resources on a real API server: what it accepts, what it refuses and what it says.
package api_test

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
)

// env has no admission policies: these tests are about the schemas alone.
var env *apiserver.Env

func TestMain(m *testing.M) { suite.Main(m) }

func TestAPI(t *testing.T) { suite.Run(t, "API") }

var _ = BeforeSuite(func() { env = apiserver.Start(GinkgoTB()) })

// definitions are our CRDs as the API server has them, by kind.
func definitions(ctx context.Context) map[string]*apiextensionsv1.CustomResourceDefinition {
	GinkgoHelper()
	list := &apiextensionsv1.CustomResourceDefinitionList{}
	Expect(env.Admin().List(ctx, list)).To(Succeed())
	byKind := map[string]*apiextensionsv1.CustomResourceDefinition{}
	for i := range list.Items {
		if list.Items[i].Spec.Group == v1alpha1.GroupVersion.Group {
			byKind[list.Items[i].Spec.Names.Kind] = &list.Items[i]
		}
	}
	return byKind
}

func schemaOf(crd *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.JSONSchemaProps {
	GinkgoHelper()
	Expect(crd.Spec.Versions).To(HaveLen(1))
	return crd.Spec.Versions[0].Schema.OpenAPIV3Schema
}

// inRepository is a folder or file of the repository.
func inRepository(path ...string) string {
	GinkgoHelper()
	root, err := apiserver.Root()
	Expect(err).NotTo(HaveOccurred())
	return filepath.Join(slices.Insert(path, 0, root)...)
}

// parse reads one object of ours: the text is YAML without apiVersion.
func parse(kind, text string) *unstructured.Unstructured {
	GinkgoHelper()
	object := &unstructured.Unstructured{Object: fields(text)}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	return object
}

// fields reads YAML into the types that unstructured objects have.
func fields(text string) map[string]any {
	GinkgoHelper()
	encoded, err := yaml.YAMLToJSONStrict([]byte(text))
	Expect(err).NotTo(HaveOccurred(), text)
	object := &unstructured.Unstructured{}
	Expect(object.UnmarshalJSON([]byte(`{"kind":"x","object":`+string(encoded)+`}`))).To(Succeed(), text)
	read, _ := object.Object["object"].(map[string]any)
	return read
}

// merged is base with a patch laid over it, as by a JSON merge patch: null removes a field, a list replaces a list.
func merged(base, patch map[string]any) map[string]any {
	result := (&unstructured.Unstructured{Object: base}).DeepCopy().Object
	if result == nil {
		result = map[string]any{}
	}
	for name, value := range patch {
		inner, isMap := value.(map[string]any)
		switch old, wasMap := result[name].(map[string]any); {
		case value == nil:
			delete(result, name)
		case isMap && wasMap:
			result[name] = merged(old, inner)
		case isMap:
			result[name] = merged(nil, inner)
		default:
			result[name] = value
		}
	}
	return result
}

// strictly is a client that refuses unknown and duplicate fields, as kubectl does.
func strictly() client.Client {
	return client.WithFieldValidation(env.Admin(), client.FieldValidation("Strict"))
}
