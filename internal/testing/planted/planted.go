// Package planted makes statuses that nobody decided: whoever may write the status of an object can put anything there
// that its schema lets in, and what decides about the object must come to some decision about that too. A reconciler
// that panics instead is called again and again, and says nothing to anybody.
package planted

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// Statuses of one kind.
type Statuses struct {
	schema apiextensionsv1.JSONSchemaProps
	// words are the texts that may be of use: names of what exists.
	words []string
	times []string
}

// Load reads the schema of a kind's status from the file of its CRD. Times in a status are around now, or extreme. Words
// are texts that may occur in it beside nonsense: a status about things that exist leads further.
func Load(t testing.TB, crd string, now time.Time, words ...string) *Statuses {
	t.Helper()
	content, err := os.ReadFile(crd) //nolint:gosec // a file of this repository, which the test names
	if err != nil {
		t.Fatalf("reading a CRD: %v", err)
	}
	definition := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.Unmarshal(content, definition); err != nil {
		t.Fatalf("reading %s: %v", crd, err)
	}
	s := &Statuses{
		schema: definition.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["status"],
		words:  append([]string{"", "a", "nonsense", "UTC", "1h", "99.9", "1", "v1:0000000000000000000000000000000000000000000000000000000000000000"}, words...),
		times:  []string{"1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"},
	}
	for _, ago := range []time.Duration{-30 * 24 * time.Hour, -time.Hour, -time.Minute, 0, time.Minute, time.Hour, 24 * time.Hour, 400 * 24 * time.Hour} {
		s.times = append(s.times, now.Add(-ago).UTC().Format(time.RFC3339))
	}
	return s
}

// Plant alters a status, given as a pointer, as a source of randomness chooses: it sets some fields, removes others and
// leaves the rest, so that one that was decided becomes one that nobody would decide.
func (s *Statuses) Plant(t testing.TB, r *rand.Rand, status any) {
	t.Helper()
	encoded, err := json.Marshal(s.value(r, &s.schema))
	if err != nil {
		t.Fatalf("making a status: %v", err)
	}
	if err := json.Unmarshal(encoded, status); err != nil {
		t.Fatalf("a status that the schema lets in cannot be read: %v\n%s", err, encoded)
	}
}

func (s *Statuses) value(r *rand.Rand, schema *apiextensionsv1.JSONSchemaProps) any {
	switch {
	case len(schema.Enum) > 0:
		return json.RawMessage(schema.Enum[r.IntN(len(schema.Enum))].Raw)
	case schema.Type == "string" || schema.XIntOrString:
		return s.text(r, schema)
	case schema.Type == "integer":
		return integer(r, schema)
	case schema.Type == "boolean":
		return r.IntN(2) == 0
	case schema.Type == "array":
		return s.list(r, schema)
	default:
		return s.object(r, schema)
	}
}

func (s *Statuses) text(r *rand.Rand, schema *apiextensionsv1.JSONSchemaProps) string {
	pool := s.words
	switch {
	case schema.Format == "date-time":
		pool = s.times
	case schema.Pattern != "":
		pattern := regexp.MustCompile(schema.Pattern)
		pool = slices.DeleteFunc(slices.Concat(s.words, s.times), func(word string) bool { return !pattern.MatchString(word) })
	}
	fits := slices.DeleteFunc(slices.Clone(pool), func(word string) bool {
		length := int64(len(word))
		return schema.MaxLength != nil && length > *schema.MaxLength || schema.MinLength != nil && length < *schema.MinLength
	})
	if len(fits) == 0 {
		return ""
	}
	return fits[r.IntN(len(fits))]
}

func integer(r *rand.Rand, schema *apiextensionsv1.JSONSchemaProps) int64 {
	least, most := int64(math.MinInt64), int64(math.MaxInt64)
	if schema.Format == "int32" {
		least, most = math.MinInt32, math.MaxInt32
	}
	if schema.Minimum != nil {
		least = int64(*schema.Minimum)
	}
	if schema.Maximum != nil {
		most = int64(*schema.Maximum)
	}
	values := []int64{0, 0, 1, 2, 60, -1, 3600, least, most}
	return min(max(values[r.IntN(len(values))], least), most)
}

func (s *Statuses) list(r *rand.Rand, schema *apiextensionsv1.JSONSchemaProps) []any {
	length := r.IntN(4)
	if schema.MaxItems != nil {
		length = min(length, int(*schema.MaxItems))
	}
	if schema.MinItems != nil {
		length = max(length, int(*schema.MinItems))
	}
	out := []any{}
	for range length {
		out = append(out, s.value(r, schema.Items.Schema))
	}
	return out
}

func (s *Statuses) object(r *rand.Rand, schema *apiextensionsv1.JSONSchemaProps) map[string]any {
	out := map[string]any{}
	if values := schema.AdditionalProperties; values != nil && values.Schema != nil {
		for range r.IntN(3) {
			out[s.words[r.IntN(len(s.words))]] = s.value(r, values.Schema)
		}
	}
	names := make([]string, 0, len(schema.Properties))
	for name := range schema.Properties {
		names = append(names, name)
	}
	// In an order of their own, so that the same source makes the same.
	slices.Sort(names)
	for _, name := range names {
		property := schema.Properties[name]
		switch {
		case slices.Contains(schema.Required, name) || r.IntN(2) == 0:
			out[name] = s.value(r, &property)
		case r.IntN(2) == 0:
			out[name] = nil
		}
	}
	return out
}
