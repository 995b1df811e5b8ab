package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// poisonBases are further bases, as patches, for fields that the smallest object does not admit.
var poisonBases = map[string][]string{
	"Calendar": {
		`spec: {extra: [{from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z"}]}`,
	},
	"Change": {
		`spec: {type: Emergency, incidentRef: {name: a}}`,
		`spec: {window: {start: "2026-01-01T00:00:00Z", end: "2026-01-02T00:00:00Z"}}`,
		`spec: {type: Standard, standardChange: a}`,
	},
	"ChangePolicy": {
		`spec: {freezes: [{name: a, from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z"}]}`,
		`spec: {namespaceSelector: {matchExpressions: [{key: a, operator: In, values: [b]}]}}`,
		`spec: {ignoredAnnotationPrefixes: [example.org/]}`,
	},
	"Incident": {
		`spec: {workloadRef: {kind: Pod, name: a}}`,
		`spec: {hold: {reason: AwaitingVendor}}`,
		`spec: {hold: {reason: AwaitingCaller, comment: a}}`,
		`spec: {resolution: {code: NoFault}, parentRef: {name: a}}`,
	},
	"Problem": {
		`spec: {decision: {type: FixApplied}}`,
	},
	"Release": {
		`spec: {change: {window: {start: "2026-01-01T00:00:00Z", end: "2026-01-02T00:00:00Z"}}}`,
		`spec: {change: null, changeRef: {name: a}}`,
		`spec: {change: null}`,
	},
	"Service": {
		`spec: {workloads: [{kind: Deployment, name: a}]}`,
		`spec: {workloads: [{selector: {matchLabels: {a: b}}}]}`,
		`spec: {workloads: [{selector: {matchExpressions: [{key: a, operator: In, values: [b]}]}}]}`,
		`spec: {dependsOn: [{name: a, group: b}]}`,
	},
	"ServiceLevelAgreement": {
		`spec: {period: {type: Rolling, days: 30}}`,
		`spec: {availability: {target: "99.9"}}`,
	},
}

// What an editor's script may send, as JSON.
var (
	hostileAnywhere = []string{`null`, `true`, `[]`, `{}`, `[null]`, `{"a":null}`, `[[{"a":[]}]]`, `""`, `0`, `1.5`, `"nonsense"`}
	hostileTexts    = []string{
		`"9999999999999999999999"`, `"\u0000"`, `"a\u0001\u001b[2J\n\u202eb"`, `"\ud800"`, `"null"`, `"1e9"`, `"NaN"`, `"-1h"`, `"150%"`,
		`"99999999999999h"`, `"１h"`, `" "`, `"../../etc/passwd"`, quoted(strings.Repeat("a", 300)), quoted(strings.Repeat("é", 20_000)),
	}
	hostileTimes = []string{
		`"0000-00-00T00:00:00Z"`, `"0000-01-01T00:00:00Z"`, `"0001-01-01T00:00:00Z"`, `"2026-02-30T25:61:61Z"`, `"2026-02-29T00:00:00Z"`,
		`"2026-01-01T23:59:60Z"`, `"2026-01-01T24:00:00Z"`, `"2026-01-01t00:00:00z"`, `"2026-01-01T00:00:00"`, `"2026-01-01 00:00:00Z"`,
		`"2026-01-01T00:00:00.12345678901234567890Z"`, `"2026-01-01T00:00:00,5Z"`, `"2026-01-01T00:00:00+24:00"`, `"2026-01-01T00:00:00+0100"`,
		`"2026-01-01T00:00:00-00:99"`, `"2026-01-01T0:00:00Z"`, `"9999-12-31T23:59:59-23:59"`, `"99999-12-31T23:59:59Z"`, `"2026-01-01T00:00Z"`,
		`"2026-02-30"`, `"2026-13-01"`, `"0000-00-00"`, `"24:01"`, `"2026-01-01T00:00:00Z[Europe/Berlin]"`,
	}
	hostileNumbers = []string{
		`-1`, `-0`, `1.0`, `1e3`, `1E400`, `1e30`, `0.1e1`, `2147483647`, `2147483648`, `-2147483648`, `-2147483649`, `4294967296`, `9007199254740993`,
		`9223372036854775807`, `9223372036854775808`, `18446744073709551616`, `99999999999`, `"1"`,
	}
)

func quoted(text string) string { return `"` + text + `"` }

func hostile(f field) []string {
	values, schema := append([]string{}, hostileAnywhere...), f.schema
	// Go reads any text; practices read those of spec.
	onlyText := schema.Type == "string" && schema.Format == "" && f.path[0] == "status"
	switch {
	case onlyText:
		values = append(values, `"\u0000"`, `"\ud800"`)
	case schema.XIntOrString:
		values = append(append(values, hostileTexts...), hostileNumbers...)
	case schema.Type == "string":
		values = append(values, hostileTexts...)
		if schema.Format != "" || schema.Pattern != "" {
			values = append(values, hostileTimes...)
		}
	case schema.Type == "integer":
		values = append(values, hostileNumbers...)
	case schema.Type == "object":
		values = append(values, `{"unknown":{"deep":[1.5,null]}}`)
	}
	return values
}

// notATime is the message of the rule on each field that holds a time. It makes the API server read the value, whose type
// it checks loosely because it has a format: a list would pass.
const notATime = "must be a time since 1970"

// limited reports whether a field is a time, which must have that rule; the items of conditions have it in their list.
func limited(schema *apiextensionsv1.JSONSchemaProps) bool { return schema.Format == "date-time" }

// examples are values of which one fits each pattern of the API.
var examples = []string{
	"a", "1", "UTC", "Pod", "1h", "2026-01-01T00:00:00Z", "2026-01-01", "08:00", "https://a.example/", "v1:" + strings.Repeat("0", 64), "True",
}

// harmlessValue is a value that a schema accepts, as JSON.
func harmlessValue(schema *apiextensionsv1.JSONSchemaProps) string {
	switch {
	case len(schema.Enum) > 0:
		return string(schema.Enum[0].Raw)
	case schema.XIntOrString:
		return `1`
	case schema.Type == "string":
		return quoted(harmlessText(schema))
	case schema.Type == "integer":
		if schema.Minimum != nil && *schema.Minimum > 1 {
			return fmt.Sprint(int64(*schema.Minimum))
		}
		return `1`
	case schema.Type == "boolean":
		return `false`
	case schema.Type == "array":
		if schema.MinItems == nil {
			return `[]`
		}
		return `[` + harmlessValue(schema.Items.Schema) + `]`
	case schema.AdditionalProperties != nil:
		return `{"app":` + harmlessValue(schema.AdditionalProperties.Schema) + `}`
	default:
		object := map[string]json.RawMessage{}
		for _, name := range schema.Required {
			property := schema.Properties[name]
			object[name] = json.RawMessage(harmlessValue(&property))
		}
		encoded, err := json.Marshal(object)
		Expect(err).NotTo(HaveOccurred())
		return string(encoded)
	}
}

func harmlessText(schema *apiextensionsv1.JSONSchemaProps) string {
	pattern := regexp.MustCompile(schema.Pattern)
	for _, example := range examples {
		_, isTime := time.Parse(time.RFC3339, example)
		switch {
		case !pattern.MatchString(example), schema.Format == "date-time" && isTime != nil:
		case schema.MinLength != nil && int64(len(example)) < *schema.MinLength:
		default:
			return example
		}
	}
	panic("no example fits the pattern " + schema.Pattern + ": add one")
}

// parseAll has the practices read what the API server let in. They may complain, not panic.
func parseAll(object client.Object) {
	switch o := object.(type) {
	case *v1alpha1.Calendar:
		calendar, problems := servicelevel.ParseCalendar(o.Spec)
		_, opens := calendar.NextOpen(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
		Expect(opens && len(problems) > 0).To(BeFalse(), "a calendar that cannot be understood is open: %+v", o.Spec)
	case *v1alpha1.Service:
		for _, claim := range o.Spec.Workloads {
			_, err := servicelevel.ParseMinimumReady("minimumReady", claim.MinimumReady)
			Expect(err).NotTo(HaveOccurred(), "the schema checks all of it: %+v", claim)
		}
	case *v1alpha1.ServiceLevelAgreement:
		if o.Spec.Availability != nil {
			_, err := servicelevel.ParsePercentage("target", o.Spec.Availability.Target)
			Expect(err).NotTo(HaveOccurred(), "the schema checks all of it")
		}
		if o.Spec.Response != nil {
			for _, text := range []v1alpha1.ServiceTime{o.Spec.Response.P1, o.Spec.Response.P2, o.Spec.Response.P3, o.Spec.Response.P4} {
				_, err := servicelevel.ParseServiceTime("response", text)
				Expect(text != "" && err != nil).To(BeFalse(), "the schema checks all of it: %v", err)
			}
		}
		_, _ = servicelevel.ParseTimestamp("validFrom", o.Spec.ValidFrom)
		_, _ = servicelevel.ParseTimeZone("timeZone", o.Spec.Period.TimeZone)
	case *v1alpha1.ChangePolicy:
		for _, freeze := range o.Spec.Freezes {
			_, problems := servicelevel.ParseInterval("from", freeze.From, "to", freeze.To)
			_ = errors.Join(problems...)
		}
	case *v1alpha1.Change:
		if o.Spec.Window != nil {
			_, problems := servicelevel.ParseInterval("start", o.Spec.Window.Start, "end", o.Spec.Window.End)
			_ = errors.Join(problems...)
		}
	case *v1alpha1.Release:
		for _, phase := range o.Spec.Phases {
			for _, text := range []v1alpha1.Duration{phase.Soak, phase.Timeout} {
				_, err := servicelevel.ParseDuration("soak", text)
				Expect(text != "" && err != nil).To(BeFalse(), "the schema checks all of it: %v", err)
			}
		}
	}
}

func eachListItem(list client.ObjectList, visit func(client.Object)) error {
	return meta.EachListItem(list, func(item runtime.Object) error {
		object, isObject := item.(client.Object)
		if !isObject {
			return fmt.Errorf("%T is no object", item)
		}
		visit(object)
		return nil
	})
}
