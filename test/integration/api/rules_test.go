package api_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rule is a CEL rule of a schema with what it lets pass and what it refuses. All texts are YAML patches over the kind's
// base. Where from is set, it is about an update: the object is created with from, its status is set, and then it is
// patched.
type rule struct {
	kind, path, message string
	passes, refuses     []string
	from, status        string
}

const inSelector = "a selector needs at least one label it requires (matchLabels, or an In or Exists expression); " +
	"one that matches everything is refused"

var rules = slices.Concat(
	selectorRules("Service", "spec.workloads[].selector", func(selector string) string {
		return "spec: {workloads: [{selector: " + selector + "}]}"
	}),
	selectorRules("ChangePolicy", "spec.namespaceSelector", func(selector string) string {
		return "spec: {namespaceSelector: null}\n---\nspec: {namespaceSelector: " + selector + "}"
	}),
	serviceRules, changeRules, incidentRules, otherRules, shapeRules,
)

func selectorRules(kind, path string, patch func(selector string) string) []rule {
	all := func(selectors ...string) []string {
		var patches []string
		for _, selector := range selectors {
			patches = append(patches, patch(selector))
		}
		return patches
	}
	return []rule{
		{
			kind: kind, path: path, message: inSelector,
			passes: all(`{matchLabels: {app: checkout}}`,
				`{matchExpressions: [{key: app, operator: In, values: [a]}]}`,
				`{matchExpressions: [{key: app, operator: Exists}]}`,
				`{matchExpressions: [{key: app, operator: DoesNotExist}, {key: env, operator: Exists}]}`),
			refuses: all(`{}`,
				`{matchExpressions: [{key: app, operator: DoesNotExist}]}`,
				`{matchExpressions: [{key: app, operator: NotIn, values: [a]}]}`),
		},
		{
			kind: kind, path: path + ".matchExpressions[]",
			message: "operators In and NotIn need values; Exists and DoesNotExist take none",
			passes: all(`{matchExpressions: [{key: app, operator: In, values: [a, b]}, {key: app, operator: NotIn, values: [c]}]}`,
				`{matchExpressions: [{key: app, operator: Exists}]}`),
			refuses: all(`{matchExpressions: [{key: app, operator: In}]}`,
				`{matchExpressions: [{key: app, operator: Exists, values: [a]}]}`,
				`{matchLabels: {app: a}, matchExpressions: [{key: app, operator: NotIn}]}`,
				`{matchLabels: {app: a}, matchExpressions: [{key: app, operator: DoesNotExist, values: [a]}]}`),
		},
		{
			kind: kind, path: path + ".matchLabels", message: "label keys have at most 317 characters, values at most 63",
			passes:  all(`{matchLabels: {` + strings.Repeat("a", 253) + `/` + strings.Repeat("b", 63) + `: a}}`),
			refuses: all(`{matchLabels: {` + strings.Repeat("a", 254) + `/` + strings.Repeat("b", 63) + `: a}}`),
		},
	}
}

var serviceRules = []rule{
	{
		kind: "Service", path: "spec.workloads[]", message: "set either name or selector",
		passes: []string{
			`spec: {workloads: [{kind: Deployment, name: checkout}]}`,
			`spec: {workloads: [{selector: {matchLabels: {app: checkout}}}]}`,
		},
		refuses: []string{
			`spec: {workloads: [{kind: Deployment}]}`,
			`spec: {workloads: [{kind: Deployment, name: checkout, selector: {matchLabels: {app: checkout}}}]}`,
		},
	},
	{
		kind: "Service", path: "spec.workloads[]", message: "a claim by name needs a kind",
		passes:  []string{`spec: {workloads: [{kind: Job, name: checkout}]}`},
		refuses: []string{`spec: {workloads: [{name: checkout}]}`},
	},
	{
		kind: "Service", path: "spec.workloads[].minimumReady",
		message: "minimumReady is a count from 0 to 100000 or a share from 0% to 100%",
		passes:  claims("0", "1", "100000", `"0%"`, `"7%"`, `"50%"`, `"100%"`),
		refuses: claims("-1", "100001", "99999999999", `"150%"`, `"101%"`, `"050%"`, `"50"`, `""`, `"-5%"`, `"5 %"`, `"5.5%"`, `"50%\n"`),
	},
	{
		kind: "Service", path: "spec.dependsOn[]", message: "minimum needs a group",
		passes:  []string{`spec: {dependsOn: [{name: a, group: cache, minimum: 1}, {name: b, group: cache}]}`},
		refuses: []string{`spec: {dependsOn: [{name: a, minimum: 1}]}`},
	},
}

func claims(minimums ...string) []string {
	var patches []string
	for _, minimum := range minimums {
		patches = append(patches, fmt.Sprintf(`spec: {workloads: [{kind: Deployment, name: checkout, minimumReady: %s}]}`, minimum))
	}
	return patches
}

const (
	hashA = "v1:5f3c9ab1e0d4c7a2b8f60d3e9c1a7b5d4e2f8091a3b5c7d9e1f30517293b4d5f"
	hashB = "v1:0000000000000000000000000000000000000000000000000000000000000000"

	implemented = `
status: {implementations: [{
  workload: {kind: Deployment, name: checkout}, operation: Template, at: "2026-11-23T08:00:00Z", rollout: InProgress}]}`
	implementing = "this Change is being implemented: only cancel and review can still be set; file another Change"
	windowOrder  = "window.end must be after window.start"
	imageKeys    = "the keys of images are names of containers: lower-case letters, digits and dashes, at most 63"
)

func targets(items string) string { return `spec: {targets: [` + items + `]}` }

// unseen turn the direction of writing, or cannot be seen; foreign are letters and joiners of scripts that need them.
var (
	unseen  = []string{`a\u202eb`, `a\u2066b`, `a\u2069`, `\u200fa`, `a\u200eb`, `a\u200bb`, `a\u2060b`, `a\ufeff`, `a\u061cb`, `a\u0085b`, `a\u009bb`, `a\u2028b`}
	foreign = []string{`עדכון קופה`, `تحديث`, `می\u200cخواهم`, `\U0001F469\u200d\U0001F680`, `Überprüfung – 結帳`}
)

func texts(patch string, all []string) []string {
	var patches []string
	for _, text := range all {
		patches = append(patches, fmt.Sprintf(patch, text))
	}
	return patches
}

var changeRules = []rule{
	{
		kind: "Change", path: "spec.summary", message: "summary has characters that cannot be seen or turn the direction of writing",
		passes: texts(`spec: {summary: "%s"}`, foreign), refuses: texts(`spec: {summary: "%s"}`, unseen),
	},
	{
		kind: "Change", path: "spec.justification", message: "justification has characters that cannot be seen or turn the direction of writing",
		passes:  texts(`spec: {justification: "%s"}`, append([]string{`one\n\ttwo\r\n`}, foreign...)),
		refuses: texts(`spec: {justification: "%s"}`, append([]string{`a\u001b[2K`, `a\u0007`, `a\u0000`, `a\u007f`, `a\u000bb`}, unseen...)),
	},
	{
		kind: "Change", path: "spec", message: "an Emergency change needs incidentRef: the Incident that it is to end",
		passes: []string{
			`spec: {type: Emergency, incidentRef: {name: checkout-7f3a9}}`, `spec: {type: Normal}`,
			`spec: {type: Emergency, recordOf: BreakGlass}`,
		},
		refuses: []string{`spec: {type: Emergency}`},
	},
	{
		kind: "Change", path: "spec", message: "recordOf is for Emergency changes: what went in without a Change is reviewed as one",
		passes:  []string{`spec: {type: Emergency, recordOf: Unauthorized}`},
		refuses: []string{`spec: {type: Normal, recordOf: Unauthorized}`, `spec: {recordOf: BreakGlass}`},
	},
	{
		kind: "Change", path: "spec", message: "recordOf cannot be changed",
		from:   `spec: {type: Emergency, incidentRef: {name: a}, recordOf: BreakGlass}`,
		passes: []string{`spec: {cancel: true}`},
		refuses: []string{
			`spec: {recordOf: null}`, `spec: {recordOf: Unauthorized}`,
		},
	},
	{
		kind: "Change", path: "spec", message: "recordOf cannot be changed",
		from:    `spec: {type: Emergency, incidentRef: {name: a}}`,
		refuses: []string{`spec: {recordOf: BreakGlass}`},
	},
	{
		kind: "Change", path: "spec",
		message: "a Standard change needs standardChange: the pre-authorised change of the ChangePolicy that it claims to be",
		passes:  []string{`spec: {type: Standard, standardChange: patch-bump}`},
		refuses: []string{`spec: {type: Standard}`},
	},
	{
		kind: "Change", path: "spec", message: "a canceled Change stays canceled: file another one",
		from:    `spec: {cancel: true}`,
		passes:  []string{`spec: {review: {outcome: NotImplemented}}`},
		refuses: []string{`spec: {cancel: false}`, `spec: {cancel: null}`},
	},
	{
		kind: "Change", path: "spec", message: "a canceled Change stays canceled: file another one",
		from: `spec: {cancel: false}`, passes: []string{`spec: {cancel: true}`, `spec: {cancel: null}`},
	},
	{
		kind: "Change", path: "spec.requester", message: "requester cannot be changed",
		from: `{}`, passes: []string{`spec: {summary: Another}`}, refuses: []string{`spec: {requester: mallory}`},
	},
	{
		kind: "Change", path: "spec.targets", message: "each workload may be a target once",
		passes: []string{targets(`{workload: {kind: Deployment, name: a}, images: {app: a}}, {workload: {kind: DaemonSet, name: a}, images: {app: a}}`)},
		refuses: []string{
			targets(`{workload: {kind: Deployment, name: a}, images: {app: a}}, {workload: {kind: Deployment, name: a}, templateHash: "` + hashA + `"}`),
		},
	},
	{
		kind: "Change", path: "spec.targets[]",
		message: "a target that creates or alters a template needs images or templateHash: exactly what may go in",
		passes: []string{
			targets(`{workload: {kind: Deployment, name: a}, operations: [Delete]}`),
			targets(`{workload: {kind: Deployment, name: a}, operations: [Create, Delete], templateHash: "` + hashA + `"}`),
			targets(`{workload: {kind: Deployment, name: a}, images: {app: a}}`),
		},
		refuses: []string{
			targets(`{workload: {kind: Deployment, name: a}}`),
			targets(`{workload: {kind: Deployment, name: a}, operations: [Delete, Create]}`),
			targets(`{workload: {kind: Deployment, name: a}, operations: [Template]}`),
		},
	},
	{
		kind: "Change", path: "spec.targets[].images", message: imageKeys,
		passes: []string{targets(`{workload: {kind: Deployment, name: a}, images: {` + strings.Repeat("a", 63) + `: a}}`)},
		refuses: []string{
			targets(`{workload: {kind: Deployment, name: a}, images: {` + strings.Repeat("a", 64) + `: a}}`),
			targets(`{workload: {kind: Deployment, name: a}, images: {"app\u001b[2J": a}}`),
			targets(`{workload: {kind: Deployment, name: a}, images: {"*": a}}`),
		},
	},
	{
		kind: "Change", path: "spec.window", message: windowOrder,
		passes: []string{
			`spec: {window: {start: "2026-11-23T08:00:00Z", end: "2026-11-23T08:00:00.1Z"}}`,
			`spec: {window: {start: "2026-11-23T09:00:00+01:00", end: "2026-11-23T08:30:00Z"}}`,
		},
		refuses: []string{
			`spec: {window: {start: "2026-11-23T08:00:00Z", end: "2026-11-23T08:00:00Z"}}`,
			`spec: {window: {start: "2026-11-23T08:00:00-01:00", end: "2026-11-23T08:30:00Z"}}`,
		},
	},
	{
		kind: "Change", path: "", message: implementing,
		from: `
spec: {window: {start: "2026-11-23T08:00:00Z", end: "2026-11-23T09:00:00Z"}, backout: {plan: back, automatic: false}, expectedDowntimeSeconds: 0}`,
		status: implemented,
		passes: []string{
			`metadata: {labels: {a: b}}`, `spec: {cancel: true}`, `spec: {review: {outcome: Successful, notes: well done}}`,
			// What a client with Go types leaves out means the same.
			`spec: {backout: {automatic: null}, expectedDowntimeSeconds: null}`,
		},
		refuses: []string{
			`spec: {type: Emergency, incidentRef: {name: a}}`, `spec: {summary: Another}`, `spec: {justification: Another}`,
			targets(`{workload: {kind: Deployment, name: checkout}, images: {app: "registry.shop.example/checkout:2.5"}}`),
			targets(`{workload: {kind: Deployment, name: checkout}, images: {app: "registry.shop.example/checkout:2.4"}, templateHash: "` + hashB + `"}`),
			`spec: {window: null}`, `spec: {window: {end: "2027-11-23T09:00:00Z"}}`,
			`spec: {backout: {automatic: true}}`, `spec: {backout: {plan: another}}`, `spec: {backout: {progressDeadlineSeconds: 120}}`, `spec: {backout: null}`,
			`spec: {expectedDowntimeSeconds: 60}`, `spec: {questionnaire: {tested: Confirmed}}`,
			`spec: {standardChange: patch-bump}`, `spec: {incidentRef: {name: a}}`, `spec: {problemRef: {name: a}}`,
		},
	},
	{
		kind: "Change", path: "", message: implementing,
		from: `{}`, status: `status: {state: Scheduled}`,
		passes: []string{`spec: {summary: Another}`, `spec: {window: {start: "2026-11-23T08:00:00Z", end: "2026-11-23T09:00:00Z"}}`},
	},
	{
		kind: "ChangeApproval", path: "spec", message: "a vote cannot be changed: create another ChangeApproval",
		from: `{}`, passes: []string{`metadata: {labels: {a: b}}`},
		refuses: []string{
			`spec: {decision: Reject}`, `spec: {approver: mallory}`, `spec: {comment: added}`, `spec: {digest: "` + hashB + `"}`,
			`spec: {changeRef: {name: another}}`, `spec: {group: sre-leads}`,
		},
	},
	{
		kind: "ConfigurationItem", path: "spec.workloadRef", message: "workloadRef cannot be changed",
		from: `{}`, passes: []string{`metadata: {labels: {a: b}}`}, refuses: []string{`spec: {workloadRef: {name: another}}`},
	},
}

var incidentRules = []rule{
	{
		kind: "Incident", path: "spec",
		message: "name the service (serviceRef) or the workload (workloadRef) that the incident is about",
		passes:  []string{`spec: {serviceRef: null, workloadRef: {kind: Node, name: a}}`, `spec: {workloadRef: {kind: Pod, name: a}}`},
		refuses: []string{`spec: {serviceRef: null}`},
	},
	{
		kind: "Incident", path: "spec", message: "an incident of source User needs a reporter",
		passes:  []string{`spec: {source: User}`, `spec: {source: Detector, reporter: null}`, `spec: {source: Alert, reporter: null}`},
		refuses: []string{`spec: {reporter: null}`, `spec: {source: User, reporter: null}`},
	},
	{
		kind: "Incident", path: "spec", message: "hold AwaitingCaller needs a reporter and hold.comment: who is asked what",
		passes:  []string{`spec: {hold: {reason: AwaitingCaller, comment: "Which voucher?"}}`, `spec: {hold: {reason: AwaitingVendor}}`},
		refuses: []string{`spec: {hold: {reason: AwaitingCaller}}`, `spec: {source: Alert, reporter: null, hold: {reason: AwaitingCaller, comment: "Which?"}}`},
	},
	{
		kind: "Incident", path: "spec", message: "hold AwaitingChange needs changeRefs: which Change is waited for",
		passes:  []string{`spec: {hold: {reason: AwaitingChange}, changeRefs: [{name: a}]}`},
		refuses: []string{`spec: {hold: {reason: AwaitingChange}}`, `spec: {hold: {reason: AwaitingChange}, changeRefs: []}`},
	},
	{
		kind: "Incident", path: "spec", message: "hold AwaitingProblem needs problemRef: which Problem is waited for",
		passes:  []string{`spec: {hold: {reason: AwaitingProblem}, problemRef: {name: a}}`},
		refuses: []string{`spec: {hold: {reason: AwaitingProblem}}`},
	},
	{
		kind: "Incident", path: "spec", message: "resolution Duplicate needs parentRef: which Incident it duplicates",
		passes:  []string{`spec: {resolution: {code: Duplicate}, parentRef: {name: a}}`, `spec: {resolution: {code: NoFault}}`},
		refuses: []string{`spec: {resolution: {code: Duplicate}}`},
	},
	{
		kind: "Incident", path: "spec", message: "workloadRef cannot be changed: open another Incident",
		from:   `spec: {workloadRef: {kind: Deployment, name: checkout}}`,
		passes: []string{`spec: {assignee: erin}`},
		refuses: []string{
			`spec: {workloadRef: {name: another}}`, `spec: {workloadRef: {kind: StatefulSet}}`, `spec: {workloadRef: {group: apps}}`, `spec: {workloadRef: null}`,
		},
	},
	{
		kind: "Incident", path: "spec", message: "workloadRef cannot be changed: open another Incident",
		from: `{}`, refuses: []string{`spec: {workloadRef: {kind: Deployment, name: checkout}}`},
	},
	{
		kind: "Incident", path: "spec", message: "source cannot be changed",
		from: `spec: {source: Alert}`, passes: []string{`spec: {major: true}`},
		refuses: []string{`spec: {source: Detector}`, `spec: {source: null}`}, // the default is User
	},
	{
		kind: "Problem", path: "spec.decision", message: "decision RiskAccepted needs reason and reviewBy: why, and when it is looked at again",
		passes: []string{`spec: {decision: {type: RiskAccepted, reason: too dear, reviewBy: "2027-01-01T00:00:00Z"}}`, `spec: {decision: {type: FixApplied}}`},
		refuses: []string{
			`spec: {decision: {type: RiskAccepted, reason: too dear}}`, `spec: {decision: {type: RiskAccepted, reviewBy: "2027-01-01T00:00:00Z"}}`,
		},
	},
	{
		kind: "Problem", path: "spec.decision", message: "decision Duplicate needs duplicateOf: which Problem it duplicates",
		passes:  []string{`spec: {decision: {type: Duplicate, duplicateOf: {name: a}}}`},
		refuses: []string{`spec: {decision: {type: Duplicate}}`},
	},
}

var otherRules = []rule{
	{
		kind: "Calendar", path: "spec", message: "a calendar needs weekly or extra hours; one without any would never be open",
		passes:  []string{`spec: {weekly: null, extra: [{from: "2026-11-23T08:00:00Z", to: "2026-11-23T09:00:00Z"}]}`},
		refuses: []string{`spec: {weekly: null}`, `spec: {weekly: [], extra: []}`},
	},
	{
		kind: "Calendar", path: "spec.extra[]", message: "extra hours must end (to) after they begin (from)",
		passes:  []string{`spec: {extra: [{from: "2026-11-23T08:00:00Z", to: "2026-11-23T09:00:00Z"}]}`},
		refuses: []string{`spec: {extra: [{from: "2026-11-23T08:00:00Z", to: "2026-11-23T08:00:00Z"}]}`},
	},
	{
		kind: "Calendar", path: "spec.extra[]", message: "extra hours last at most 366 days; use weekly hours",
		passes:  []string{`spec: {extra: [{from: "2026-01-01T00:00:00Z", to: "2027-01-02T00:00:00Z"}]}`},
		refuses: []string{`spec: {extra: [{from: "2026-01-01T00:00:00Z", to: "2027-01-02T00:00:01Z"}]}`},
	},
	{
		kind: "Calendar", path: "spec.weekly[]", message: "from and to are equal; for a whole day use from 00:00 to 24:00",
		passes:  []string{`spec: {weekly: [{days: [Sun], from: "00:00", to: "24:00"}]}`, `spec: {weekly: [{days: [Sun], from: "22:00", to: "00:00"}]}`},
		refuses: []string{`spec: {weekly: [{days: [Sun], from: "00:00", to: "00:00"}]}`},
	},
	{
		kind: "Calendar", path: "spec.weekly[]", message: "from 24:00 is the next day's 00:00",
		passes:  []string{`spec: {weekly: [{days: [Sun], from: "23:59", to: "24:00"}]}`},
		refuses: []string{`spec: {weekly: [{days: [Sun], from: "24:00", to: "08:00"}]}`},
	},
	{
		kind: "ChangePolicy", path: "spec", message: "approvals has a risk level twice",
		passes:  []string{`spec: {approvals: [{risk: Low, required: 0}, {risk: High, required: 2}]}`, `spec: {approvals: []}`},
		refuses: []string{`spec: {approvals: [{risk: Low, required: 0}, {risk: Low, required: 2}]}`},
	},
	{
		kind: "ChangePolicy", path: "spec.freezes[]", message: "a freeze must end (to) after it begins (from)",
		passes:  []string{`spec: {freezes: [{name: a, from: "2026-11-23T08:00:00Z", to: "9998-12-31T00:00:00Z"}]}`},
		refuses: []string{`spec: {freezes: [{name: a, from: "2026-11-23T08:00:00Z", to: "2026-11-23T09:00:00+01:00"}]}`},
	},
	{
		kind: "ChangePolicy", path: "spec.ignoredAnnotationPrefixes",
		message: "an ignored annotation prefix names a domain and a slash, and not itil.dev",
		passes:  []string{`spec: {ignoredAnnotationPrefixes: [prometheus.io/, example.org/build-]}`},
		refuses: []string{`spec: {ignoredAnnotationPrefixes: [prometheus.io]}`, `spec: {ignoredAnnotationPrefixes: [itil.dev/change]}`},
	},
	{
		kind: "Release", path: "spec",
		message: "set either change (the Change that the release raises) or changeRef (an existing one)",
		passes:  []string{`spec: {change: null, changeRef: {name: a}}`, `spec: {change: {summary: a}}`},
		refuses: []string{`spec: {change: null}`, `spec: {changeRef: {name: a}}`},
	},
	{
		kind: "Release", path: "spec.version", message: "version has characters that cannot be seen or turn the direction of writing",
		passes: texts(`spec: {version: "%s"}`, foreign), refuses: texts(`spec: {version: "%s"}`, unseen),
	},
	{
		kind: "Release", path: "spec.change.summary", message: "summary has characters that cannot be seen or turn the direction of writing",
		passes: texts(`spec: {change: {summary: "%s"}}`, foreign), refuses: texts(`spec: {change: {summary: "%s"}}`, unseen),
	},
	{
		kind: "Release", path: "spec", message: "a phase names a unit that spec.units does not have",
		passes:  []string{`spec: {phases: [{name: a, units: [checkout]}, {name: b, units: ["*"]}]}`},
		refuses: []string{`spec: {phases: [{name: a, units: [worker]}]}`, `spec: {phases: [{name: a, units: ["*", "check*"]}]}`},
	},
	{
		kind: "Release", path: "spec", message: "a canceled Release stays canceled: make another one",
		from: `spec: {cancel: true}`, passes: []string{`spec: {paused: true}`}, refuses: []string{`spec: {cancel: false}`, `spec: {cancel: null}`},
	},
	{
		kind: "Release", path: "", message: "this Release has begun: only paused, cancel, backout and earlyLifeSupport can still be set; make another Release",
		from: `{}`, status: `status: {startedAt: "2026-11-23T08:00:00Z"}`,
		passes: []string{
			`spec: {paused: true}`, `spec: {cancel: true}`, `spec: {backout: Manual}`, `spec: {earlyLifeSupport: 1h}`,
		},
		refuses: []string{
			`spec: {version: "3"}`, `spec: {strategy: Observe}`, `spec: {change: {summary: another}}`, `spec: {serviceRefs: [{name: another}]}`,
			`spec: {units: [{name: checkout, workload: {kind: Deployment, name: checkout}, images: {app: evil}}]}`,
			`spec: {phases: [{name: another, units: ["*"]}]}`,
		},
	},
	{
		kind: "Release", path: "spec.change", message: "an Emergency change needs incidentRef: the Incident that it is to end",
		passes:  []string{`spec: {change: {type: Emergency, incidentRef: {name: a}}}`, `spec: {change: {type: Normal}}`},
		refuses: []string{`spec: {change: {type: Emergency}}`},
	},
	{
		kind: "Release", path: "spec.change", message: "a Standard change needs standardChange: the pre-authorised change of the ChangePolicy that it claims to be",
		passes:  []string{`spec: {change: {type: Standard, standardChange: patch-bump}}`},
		refuses: []string{`spec: {change: {type: Standard}}`},
	},
	{
		kind: "Release", path: "spec.requester", message: "requester cannot be changed",
		from: `{}`, passes: []string{`spec: {paused: true}`}, refuses: []string{`spec: {requester: mallory}`},
	},
	{
		kind: "Release", path: "spec.units[].images", message: imageKeys,
		passes:  []string{`spec: {units: [{name: checkout, workload: {kind: Deployment, name: a}, images: {app-2: a}}]}`},
		refuses: []string{`spec: {units: [{name: checkout, workload: {kind: Deployment, name: a}, images: {App: a}}]}`},
	},
	{
		kind: "Release", path: "spec.change.window", message: windowOrder,
		passes:  []string{`spec: {change: {window: {start: "2026-11-23T08:00:00Z", end: "2026-11-23T09:00:00Z"}}}`},
		refuses: []string{`spec: {change: {window: {start: "2026-11-23T08:00:00Z", end: "2026-11-23T07:00:00Z"}}}`},
	},
	{
		kind: "ServiceLevelAgreement", path: "spec.availability.target", message: "availability.target must be above 0",
		passes:  []string{`spec: {availability: {target: "0.0001"}}`, `spec: {availability: {target: "100"}}`},
		refuses: []string{`spec: {availability: {target: "0"}}`, `spec: {availability: {target: "00.0000"}}`},
	},
	{
		kind: "ServiceLevelAgreement", path: "spec.period", message: "days is for period.type Rolling, which needs it",
		passes:  []string{`spec: {period: {type: Rolling, days: 30}}`, `spec: {period: {type: CalendarQuarter}}`},
		refuses: []string{`spec: {period: {type: Rolling}}`, `spec: {period: {type: CalendarMonth, days: 30}}`},
	},
	{
		kind: "ServiceLevelAgreement", path: "spec.serviceRef",
		message: "serviceRef cannot be changed, since what was recorded is of that service; create another agreement",
		from:    `{}`, passes: []string{`spec: {customer: retail}`}, refuses: []string{`spec: {serviceRef: {name: another}}`},
	},
}

var _ = Describe("CEL rules", func() {
	for i, r := range rules {
		It(fmt.Sprintf("%s %s: %s (%d)", r.kind, r.path, r.message, i), func(ctx SpecContext) {
			attempt := func(patch string) error { return tryCreate(ctx, r.kind, patch) }
			if r.from != "" {
				attempt = existing(ctx, r)
			}
			for _, patch := range r.passes {
				Expect(attempt(patch)).To(Succeed(), patch)
			}
			for _, patch := range r.refuses {
				err := attempt(patch)
				Expect(err).To(HaveOccurred(), "%s was accepted", patch)
				Expect(complains(err, r.path, r.message)).To(BeTrue(), "%s was refused for something else: %v", patch, err)
			}
		})
	}

	It("each have a case that passes and one that is refused", func(ctx SpecContext) {
		type key struct{ kind, path, message string }
		passes, refuses := map[key]bool{}, map[key]bool{}
		for _, r := range rules {
			k := key{r.kind, r.path, r.message}
			passes[k] = passes[k] || len(r.passes) > 0
			refuses[k] = refuses[k] || len(r.refuses) > 0
		}
		found := map[key]bool{}
		for kind, crd := range definitions(ctx) {
			eachSchema("", schemaOf(crd), func(path string, schema *apiextensionsv1.JSONSchemaProps) {
				for _, validation := range schema.XValidations {
					if strings.HasSuffix(validation.Message, notATime) {
						continue // the hostile objects try it on every time there is
					}
					k := key{kind, path, validation.Message}
					found[k] = true
					Expect(passes).To(HaveKeyWithValue(k, true), "no case passes this rule")
					Expect(refuses).To(HaveKeyWithValue(k, true), "no case is refused by this rule")
				}
			})
		}
		for k := range refuses {
			Expect(found).To(HaveKey(k), "there is no such rule any more")
		}
	})
})

// patched lays one or more YAML documents over the base of a kind, one after the other.
func patched(kind, patch string) *unstructured.Unstructured {
	GinkgoHelper()
	object := parse(kind, bases[kind])
	for document := range strings.SplitSeq(patch, "\n---\n") {
		object.Object = merged(object.Object, fields(document))
	}
	return object
}

// place gives an object a name of its own, in a namespace if it has one.
func place(ctx context.Context, object *unstructured.Unstructured) {
	GinkgoHelper()
	object.SetGenerateName("test-")
	if definitions(ctx)[object.GetKind()].Spec.Scope == apiextensionsv1.NamespaceScoped {
		object.SetNamespace("default")
	}
}

func tryCreate(ctx context.Context, kind, patch string) error {
	GinkgoHelper()
	object := patched(kind, patch)
	place(ctx, object)
	return strictly().Create(ctx, object, client.DryRunAll)
}

// existing makes the object that a rule about updates starts from, and returns how to try a patch on it.
func existing(ctx context.Context, r rule) func(patch string) error {
	GinkgoHelper()
	object := patched(r.kind, r.from)
	place(ctx, object)
	Expect(strictly().Create(ctx, object)).To(Succeed())
	if r.status != "" {
		object.Object = merged(object.Object, fields(r.status))
		Expect(env.Admin().Status().Update(ctx, object)).To(Succeed())
	}
	return func(patch string) error {
		edited := object.DeepCopy()
		edited.Object = merged(edited.Object, fields(patch))
		return strictly().Update(ctx, edited, client.DryRunAll)
	}
}

var index = regexp.MustCompile(`\[[^\]]*\]`)

// complains reports whether an API error has exactly this message for a field, whatever its index. Older API servers put
// the field's value before the message.
func complains(err error, path, message string) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	const prefix = "Invalid value: "
	return slices.ContainsFunc(status.Status().Details.Causes, func(cause metav1.StatusCause) bool {
		field := strings.TrimPrefix(index.ReplaceAllString(cause.Field, "[]"), "<nil>")
		said, isRule := strings.CutPrefix(cause.Message, prefix)
		return field == path && isRule && (said == message || strings.HasSuffix(said, ": "+message))
	})
}

// eachSchema visits a schema and all that it holds; [] stands for the items of a list, {} for the values of a map.
func eachSchema(path string, schema *apiextensionsv1.JSONSchemaProps, visit func(string, *apiextensionsv1.JSONSchemaProps)) {
	visit(path, schema)
	for name := range schema.Properties {
		property := schema.Properties[name]
		eachSchema(strings.TrimPrefix(path+"."+name, "."), &property, visit)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		eachSchema(path+"[]", schema.Items.Schema, visit)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		eachSchema(path+"{}", schema.AdditionalProperties.Schema, visit)
	}
}
