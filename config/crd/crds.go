// Package crd has the CustomResourceDefinitions that belong to a binary: the folder bases, as it was when it was built.
package crd

import (
	"embed"
	"fmt"
	"io/fs"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:embed bases/*.yaml
var bases embed.FS

// All returns them by file name. They are the caller's.
func All() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	files, err := fs.Glob(bases, "bases/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing the built-in CustomResourceDefinitions: %w", err)
	}
	var all []*apiextensionsv1.CustomResourceDefinition
	for _, file := range files {
		content, err := bases.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the built-in %s: %w", file, err)
		}
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(content, definition); err != nil {
			return nil, fmt.Errorf("parsing the built-in %s: %w", file, err)
		}
		all = append(all, definition)
	}
	return all, nil
}
