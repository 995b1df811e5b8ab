package definitions

import (
	"encoding/json"
	"slices"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/itil-dev/itil-operator/config/crd"
)

// schemas by kind, as they are built in. They are one process's, and nobody alters them.
var schemas = sync.OnceValue(func() map[string]*apiextensionsv1.JSONSchemaProps {
	all, err := crd.All()
	if err != nil {
		panic(err) // they are part of the program, and its tests parse them
	}
	byKind := map[string]*apiextensionsv1.JSONSchemaProps{}
	for _, d := range all {
		byKind[d.Spec.Names.Kind] = schemaOf(&d.Spec.Versions[0])
	}
	return byKind
})

// Foreign are the values of enums in an object's status that the built-in definition of its kind does not know, each as
// path and value, in order: a newer version wrote them. The object is given as JSON.
func Foreign(kind string, object []byte) []string {
	root := schemas()[kind]
	if root == nil {
		return nil
	}
	var fields struct {
		Status map[string]any `json:"status"`
	}
	if err := json.Unmarshal(object, &fields); err != nil || fields.Status == nil {
		return nil
	}
	var found []string
	status := root.Properties["status"]
	foreign("status", &status, fields.Status, &found)
	slices.Sort(found)
	return slices.Compact(found)
}

func foreign(path string, s *apiextensionsv1.JSONSchemaProps, value any, found *[]string) {
	switch v := value.(type) {
	case string:
		if len(s.Enum) > 0 && v != "" {
			encoded, _ := json.Marshal(v) // a string has no error
			if !slices.ContainsFunc(s.Enum, func(e apiextensionsv1.JSON) bool { return string(e.Raw) == string(encoded) }) {
				*found = append(*found, path+": "+string(encoded))
			}
		}
	case map[string]any:
		for name, inner := range v {
			if property, known := s.Properties[name]; known {
				foreign(path+"."+name, &property, inner, found)
			} else if s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil {
				foreign(path+"{}", s.AdditionalProperties.Schema, inner, found)
			}
		}
	case []any:
		for _, inner := range v {
			if s.Items != nil && s.Items.Schema != nil {
				foreign(path+"[]", s.Items.Schema, inner, found)
			}
		}
	}
}
