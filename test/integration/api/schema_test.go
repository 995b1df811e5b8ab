package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// shown is a kind as kubectl shows it: the short name, and a row of an object with this status. "<age>" stands for the
// age of an object that was just made.
type shown struct {
	plural, short string
	cluster       bool
	patch         string
	columns       map[string]any
	// order of the columns of kubectl get without -o wide, where it is documented.
	order string
}

var kinds = map[string]shown{
	"Service": {
		plural: "services", short: "itsvc",
		patch:   `{spec: {tier: 1}, status: {health: Degraded, ready: 3/4, openIncidents: 1, openChanges: 2}}`,
		columns: map[string]any{"Health": "Degraded", "Tier": 1.0, "Owner": "payments", "Ready": "3/4", "Incidents": 1.0, "Age": "<age>"},
		order:   "Name Health Tier Owner Ready Incidents Age",
	},
	"ServiceLevelAgreement": {
		plural: "servicelevelagreements", short: "sla",
		patch: `
spec: {availability: {target: "99.9"}}
status: {compliance: AtRisk, currentPeriod: {start: "2026-11-01T00:00:00Z", end: "2026-12-01T00:00:00Z", asOf: "2026-11-23T00:00:00Z",
  agreedSeconds: 1, downtimeSeconds: 0, plannedSeconds: 0, unobservedSeconds: 0, outages: 0, availability: "99.97", errorBudgetRemaining: "71.2"}}`,
		columns: map[string]any{
			"Compliance": "AtRisk", "Service": "checkout", "Target": "99.9", "Availability": "99.97", "Budget": "71.2", "Age": "<age>",
		},
	},
	"Incident": {
		plural: "incidents", short: "inc",
		patch: `
spec: {workloadRef: {kind: Deployment, name: checkout}, assignee: erin}
status: {state: InProgress, priority: P1, reason: OOMKilled, dueAt: "2026-11-23 12:00 UTC", reopened: 0, children: 0,
  summary: "OOMKilled of container app on 2 pods"}`,
		columns: map[string]any{
			"State": "InProgress", "Priority": "P1", "Service": "checkout", "Workload": "checkout", "Reason": "OOMKilled",
			"Assignee": "erin", "Due": "2026-11-23 12:00 UTC", "Age": "<age>", "Summary": "OOMKilled of container app on 2 pods",
		},
		order: "Name State Priority Service Workload Reason Assignee Due Age",
	},
	"Problem": {
		plural: "problems", short: "prb",
		patch: `
spec: {serviceRef: {name: checkout}, owner: bob}
status: {state: Assess, rank: 2,
  incidents: {total: 4, open: 1, last30Days: 3, downtimeSeconds: 600, rankDowntimeSeconds: 600, rankFailures: 4}}`,
		columns: map[string]any{
			"State": "Assess", "Service": "checkout", "Owner": "bob", "Incidents": 4.0, "Downtime": 600.0, "Rank": 2.0, "Age": "<age>",
		},
	},
	"Change": {
		plural: "changes", short: "chg",
		patch: `
status: {state: Authorize, risk: {level: High, score: 62}, approvals: {required: 2, granted: 1, summary: 1/2},
  window: {start: "2099-11-23T08:00:00+01:00", end: "2099-11-24T08:00:00+01:00"}, outcome: Successful}`,
		columns: map[string]any{
			"State": "Authorize", "Type": "Normal", "Risk": "High", "Approvals": "1/2",
			// It lies in the future: a column of dates would show it as invalid.
			"Window-Start": "2099-11-23T08:00:00+01:00",
			"Outcome":      "Successful", "Age": "<age>", "Summary": "Roll out checkout 2.4",
		},
		order: "Name State Type Risk Approvals Window-Start Outcome Age Summary",
	},
	"ChangeApproval": {
		plural: "changeapprovals", short: "chga",
		patch: `{spec: {group: sre-leads}, status: {state: Counted}}`,
		columns: map[string]any{
			"Change": "checkout-2-4", "Decision": "Approve", "Approver": "carol", "Group": "sre-leads", "State": "Counted", "Age": "<age>",
		},
	},
	"Release": {
		plural: "releases", short: "rel",
		patch: `status: {state: Deploying, phase: full, progress: 1/2, nextStep: wait, changeRef: {name: shop-2026-11}}`,
		columns: map[string]any{
			"State": "Deploying", "Version": "2026.11", "Phase": "full", "Units": "1/2", "Change": "shop-2026-11", "Age": "<age>", "Next": "wait",
		},
		order: "Name State Version Phase Units Change Age",
	},
	"ConfigurationItem": {
		plural: "configurationitems", short: "ci",
		patch: `status: {state: InUse, owner: payments, tier: 1, drift: None}`,
		columns: map[string]any{
			"State": "InUse", "Kind": "Deployment", "Workload": "checkout", "Owner": "payments", "Tier": 1.0, "Drift": "None", "Age": "<age>",
		},
	},
	"ChangePolicy": {
		plural: "changepolicies", short: "chgpol", cluster: true,
		patch: `{spec: {enforcement: Warn}, status: {state: Active, namespaces: 7, wouldDeny: {count: 3}}}`,
		columns: map[string]any{
			"State": "Active", "Enforcement": "Warn", "Namespaces": 7.0, "Would-Deny": 3.0, "Age": "<age>",
		},
	},
	"Calendar": {
		plural: "calendars", short: "cal", cluster: true,
		patch:   `{spec: {timeZone: Europe/Berlin}, status: {state: Active}}`,
		columns: map[string]any{"State": "Active", "Zone": "Europe/Berlin", "Age": "<age>"},
	},
}

var _ = Describe("Kinds", func() {
	It("are those of the scheme", func(ctx SpecContext) {
		inScheme := map[string]bool{}
		for kind := range env.Scheme().KnownTypes(v1alpha1.GroupVersion) {
			if _, isOurs := kinds[kind]; isOurs {
				inScheme[kind] = true
			}
		}
		Expect(slices.Collect(maps.Keys(definitions(ctx)))).To(ConsistOf(slices.Collect(maps.Keys(kinds))))
		Expect(inScheme).To(HaveLen(len(kinds)))
	})

	It("have a short name, their scope, the category itil and a status of their own", func() {
		client, err := discovery.NewDiscoveryClientForConfig(env.AdminConfig())
		Expect(err).NotTo(HaveOccurred())
		resources, err := client.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
		Expect(err).NotTo(HaveOccurred())
		found := map[string]metav1.APIResource{}
		for _, resource := range resources.APIResources {
			found[resource.Name] = resource
		}
		for kind, want := range kinds {
			resource := found[want.plural]
			Expect(resource.Kind).To(Equal(kind))
			Expect(resource.ShortNames).To(ConsistOf(want.short))
			Expect(resource.Categories).To(ConsistOf("itil"))
			Expect(resource.Namespaced).To(Equal(!want.cluster), kind)
			Expect(found).To(HaveKey(want.plural+"/status"), kind)
		}
	})

	for kind, want := range kinds {
		It(fmt.Sprintf("%s has columns that answer what a person asks", kind), func(ctx SpecContext) {
			object := patched(kind, want.patch)
			place(ctx, object)
			status := object.Object["status"]
			Expect(strictly().Create(ctx, object)).To(Succeed())
			object.Object["status"] = status
			Expect(client.WithFieldValidation(env.Admin(), "Strict").Status().Update(ctx, object)).To(Succeed())

			got, order := rowOf(ctx, want.plural, client.ObjectKeyFromObject(object))
			if want.order != "" {
				Expect(order).To(Equal(want.order))
			}
			Expect(got).To(HaveKeyWithValue("Name", object.GetName()))
			delete(got, "Name")
			Expect(got["Age"]).To(MatchRegexp(`^\d+s$`), "the age of an object that was just made")
			got["Age"] = "<age>"
			Expect(got).To(Equal(want.columns))
		})
	}

	It("document every field for kubectl explain", func(ctx SpecContext) {
		for kind, crd := range definitions(ctx) {
			eachSchema("", schemaOf(crd), func(path string, schema *apiextensionsv1.JSONSchemaProps) {
				name := path[strings.LastIndex(path, ".")+1:]
				if path == "metadata" || strings.HasSuffix(name, "[]") || strings.HasSuffix(name, "{}") {
					return // the API server documents the first, the field itself the others
				}
				Expect(strings.TrimSpace(schema.Description)).NotTo(BeEmpty(), "%s.%s has no description", kind, path)
			})
		}
	})

	It("bound every list, map and text that people write", func(ctx SpecContext) {
		for kind, crd := range definitions(ctx) {
			eachSchema("", schemaOf(crd), func(path string, schema *apiextensionsv1.JSONSchemaProps) {
				if !strings.HasPrefix(path, "spec") {
					return
				}
				at := kind + "." + path
				switch {
				case schema.XIntOrString:
					Expect(schema.MaxLength).NotTo(BeNil(), "%s has no maxLength", at)
				case schema.Type == "array":
					Expect(schema.MaxItems).NotTo(BeNil(), "%s has no maxItems", at)
					Expect(*schema.MaxItems).To(BeNumerically("<=", 200), at)
					Expect(schema.XListType).NotTo(BeNil(), "%s has no list type", at)
				case schema.Type == "object" && schema.AdditionalProperties != nil:
					Expect(schema.MaxProperties).NotTo(BeNil(), "%s has no maxProperties", at)
				case schema.Type == "string" && len(schema.Enum) == 0:
					Expect(schema.MaxLength).NotTo(BeNil(), "%s has no maxLength", at)
				case schema.Type == "integer":
					Expect(schema.Minimum).NotTo(BeNil(), "%s has no minimum", at)
					Expect(schema.Maximum).NotTo(BeNil(), "%s has no maximum", at)
				}
				Expect(schema.Type).NotTo(Equal("number"), "%s is a floating point number", at)
				Expect(schema.XPreserveUnknownFields).To(BeNil(), "%s preserves unknown fields", at)
			})
		}
	})

	It("have no enum value that YAML reads as a boolean", func(ctx SpecContext) {
		for kind, crd := range definitions(ctx) {
			eachSchema("", schemaOf(crd), func(path string, schema *apiextensionsv1.JSONSchemaProps) {
				if strings.HasSuffix(path, ".conditions[].status") {
					return // metav1.Condition, which nobody writes by hand
				}
				for _, value := range schema.Enum {
					var text string
					Expect(json.Unmarshal(value.Raw, &text)).To(Succeed())
					Expect([]string{"y", "n", "yes", "no", "on", "off", "true", "false"}).
						NotTo(ContainElement(strings.ToLower(text)), "%s.%s", kind, path)
				}
			})
		}
	})
})

// rowOf is what kubectl get prints of an object, by column, as the server makes it; and the order of those columns that
// are always printed.
func rowOf(ctx SpecContext, plural string, key client.ObjectKey) (row map[string]any, order string) {
	GinkgoHelper()
	config := env.AdminConfig()
	httpClient, err := rest.HTTPClientFor(config)
	Expect(err).NotTo(HaveOccurred())
	url := strings.TrimSuffix(config.Host, "/") + "/apis/" + v1alpha1.GroupVersion.String()
	if key.Namespace != "" {
		url += "/namespaces/" + key.Namespace
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/"+plural+"/"+key.Name, nil)
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Accept", runtime.ContentTypeJSON+";as=Table;v=v1;g=meta.k8s.io")
	response, err := httpClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer func() { Expect(response.Body.Close()).To(Succeed()) }()
	body, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	table := metav1.Table{}
	Expect(json.Unmarshal(body, &table)).To(Succeed(), string(body))
	Expect(table.Rows).To(HaveLen(1), string(body))
	row = map[string]any{}
	for i, column := range table.ColumnDefinitions {
		row[column.Name] = table.Rows[0].Cells[i]
		if column.Priority == 0 {
			order += " " + column.Name
		}
	}
	return row, strings.TrimSpace(order)
}
