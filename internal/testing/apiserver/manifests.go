package apiserver

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// FieldOwner is the field manager of what Apply applies.
const FieldOwner = client.FieldOwner("test")

// ReadManifests reads every document of a YAML file, or of the *.yaml files of a folder, Namespaces first and
// otherwise by file name. A kustomization.yaml, which is not an object, is left out.
func ReadManifests(path string) ([]*unstructured.Unstructured, error) {
	files := []string{path}
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if info.IsDir() {
		if files, err = filepath.Glob(filepath.Join(path, "*.yaml")); err != nil {
			return nil, err
		}
	}
	var objects []*unstructured.Unstructured
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		content, err := os.ReadFile(file) //nolint:gosec // a file that a test names
		if err != nil {
			return nil, err
		}
		read, err := ParseManifests(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		objects = append(objects, read...)
	}
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		return cmp.Compare(rank(a), rank(b))
	})
	return objects, nil
}

func rank(object *unstructured.Unstructured) int {
	if object.GetKind() == "Namespace" {
		return 0
	}
	return 1
}

// ParseManifests reads every document of a YAML text.
func ParseManifests(content []byte) ([]*unstructured.Unstructured, error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	var objects []*unstructured.Unstructured
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		var fields map[string]any
		if err := yaml.UnmarshalStrict(document, &fields); err != nil {
			return nil, err
		}
		if len(fields) == 0 {
			continue
		}
		// Through JSON once more for the numbers that unstructured objects have: int64 and float64.
		encoded, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, err
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(encoded); err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
}

// Apply applies the manifests of a file or folder as the administrator, or fails the test. A relative path is one
// of the repository.
func (e *Env) Apply(t testing.TB, path string) {
	t.Helper()
	if err := e.applyFolder(t.Context(), path); err != nil {
		t.Fatalf("applying %s: %v", path, err)
	}
}

// Gate is the configuration of the gate's webhooks as it is installed, with its placeholders; it is not applied.
func (e *Env) Gate(t testing.TB) *admissionregistrationv1.ValidatingWebhookConfiguration {
	t.Helper()
	read, err := ReadManifests(inRepository(e.root, "config/webhook/gate.yaml"))
	if err != nil {
		t.Fatalf("reading the gate's configuration: %v", err)
	}
	gate := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := e.scheme.Convert(read[0], gate, nil); err != nil {
		t.Fatalf("the gate's configuration: %v", err)
	}
	return gate
}

func (e *Env) applyFolder(ctx context.Context, path string) error {
	objects, err := ReadManifests(inRepository(e.root, path))
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := e.apply(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

func (e *Env) apply(ctx context.Context, object *unstructured.Unstructured) error {
	applied := client.ApplyConfigurationFromUnstructured(object)
	if err := e.admin.Apply(ctx, applied, FieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("%s %s/%s: %w", object.GetKind(), object.GetNamespace(), object.GetName(), err)
	}
	return nil
}
