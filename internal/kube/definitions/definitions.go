// Package definitions compares the CustomResourceDefinitions of a cluster with those that a binary was built with.
package definitions

import (
	"fmt"
	"maps"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// Lacks names what a definition refuses, or drops without a word, although another has it: fields, values of enums, and
// room (the greatest length, number of items or value), each as version and path, in order. A field that is missing
// stands for all below it. Rules in CEL, patterns and minima are not compared: they change with what people may write.
func Lacks(definition, other *apiextensionsv1.CustomResourceDefinition) []string {
	var lacks []string
	for i := range other.Spec.Versions {
		wanted := &other.Spec.Versions[i]
		at := slices.IndexFunc(definition.Spec.Versions, func(v apiextensionsv1.CustomResourceDefinitionVersion) bool {
			return v.Name == wanted.Name && v.Served
		})
		if at < 0 {
			lacks = append(lacks, wanted.Name)
			continue
		}
		c := comparison{}
		c.compare(wanted.Name+": ", schemaOf(&definition.Spec.Versions[at]), schemaOf(wanted))
		lacks = append(lacks, c.lacks...)
	}
	return lacks
}

func schemaOf(v *apiextensionsv1.CustomResourceDefinitionVersion) *apiextensionsv1.JSONSchemaProps {
	if v.Schema == nil {
		return nil
	}
	return v.Schema.OpenAPIV3Schema
}

type comparison struct{ lacks []string }

func (c *comparison) lack(format string, args ...any) {
	c.lacks = append(c.lacks, fmt.Sprintf(format, args...))
}

// compare what is at a path. A schema that is missing, or keeps what it does not know, takes everything.
func (c *comparison) compare(path string, has, wants *apiextensionsv1.JSONSchemaProps) {
	if has == nil || wants == nil || has.XPreserveUnknownFields != nil && *has.XPreserveUnknownFields {
		return
	}
	c.values(path, has, wants)
	prefix := path
	if prefix[len(prefix)-1] != ' ' {
		prefix += "."
	}
	for _, name := range slices.Sorted(maps.Keys(wants.Properties)) {
		wanted := wants.Properties[name]
		if known, exists := has.Properties[name]; exists {
			c.compare(prefix+name, &known, &wanted)
		} else if has.AdditionalProperties == nil {
			c.lack("%s%s", prefix, name)
		}
	}
	if has.Items != nil && wants.Items != nil {
		c.compare(path+"[]", has.Items.Schema, wants.Items.Schema)
	}
	if has.AdditionalProperties != nil && wants.AdditionalProperties != nil {
		c.compare(path+"{}", has.AdditionalProperties.Schema, wants.AdditionalProperties.Schema)
	}
}

// values compares which of them are allowed.
func (c *comparison) values(path string, has, wants *apiextensionsv1.JSONSchemaProps) {
	if len(has.Enum) > 0 {
		for _, value := range wants.Enum {
			if !slices.ContainsFunc(has.Enum, func(v apiextensionsv1.JSON) bool { return string(v.Raw) == string(value.Raw) }) {
				c.lack("%s: %s", path, value.Raw)
			}
		}
	}
	for _, bound := range []struct {
		what       string
		has, wants *int64
	}{
		{"maxLength", has.MaxLength, wants.MaxLength},
		{"maxItems", has.MaxItems, wants.MaxItems},
		{"maxProperties", has.MaxProperties, wants.MaxProperties},
	} {
		if bound.has != nil && (bound.wants == nil || *bound.has < *bound.wants) {
			c.lack("%s: %s over %d", path, bound.what, *bound.has)
		}
	}
	if has.Maximum != nil && (wants.Maximum == nil || *has.Maximum < *wants.Maximum) {
		c.lack("%s: maximum over %v", path, *has.Maximum)
	}
}
