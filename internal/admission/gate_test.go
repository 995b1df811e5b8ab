package admission

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

var now = time.Date(2026, 11, 20, 19, 0, 0, 0, time.UTC)

// known is a world for every request, and remembers what the gate passes on.
type known struct {
	world    change.World
	filed    []change.Filing
	admitted []configuration.AdmissionRecord
	keys     []configuration.Key
	// refusals that Enforce would have made, by policy.
	refusals map[string][]change.Cause
}

func (k *known) World(*change.Request) *change.World { return &k.world }
func (k *known) File(f change.Filing)                { k.filed = append(k.filed, f) }
func (k *known) Admitted(key configuration.Key, r configuration.AdmissionRecord) {
	k.keys, k.admitted = append(k.keys, key), append(k.admitted, r)
}

func (k *known) WouldDeny(policies []string, _ configuration.Key, causes []change.Cause, _ time.Time) {
	if k.refusals == nil {
		k.refusals = map[string][]change.Cause{}
	}
	for _, p := range policies {
		k.refusals[p] = append(k.refusals[p], causes...)
	}
}

func gate(k *known) *Gate {
	return &Gate{Facts: k, Filer: k, Records: k, Audits: k, Clock: clocktesting.NewFakePassiveClock(now)}
}

// enforced is a world in which Service checkout claims the workload and version 2.3 is agreed.
func enforced(t testing.TB, enforcement v1alpha1.Enforcement) change.World {
	t.Helper()
	question, err := ask(review(t, admissionv1.Create, nil, workload("Deployment")))
	if err != nil {
		t.Fatal(err)
	}
	template := question.requests[0].New
	// Every change needs a vote: what is pre-authorised is another test's.
	policy := builder.MakeChangePolicy("production").Approvals(v1alpha1.RiskLow, 1).Obj()
	return change.World{
		Rules:       change.Merge([]*v1alpha1.ChangePolicy{policy}, nil),
		Claims:      []change.Claim{{Service: "checkout", Tier: 1, Enforcement: enforcement}},
		Enforcement: enforcement,
		Baselines: []v1alpha1.Baseline{{
			TemplateHash: template.Hash, ImagelessHash: template.ImagelessHash, Images: template.Images,
			Source: v1alpha1.BaselineAdopted, From: metav1.NewTime(now.Add(-time.Hour)), Proven: true,
		}},
	}
}

func TestHandle(t *testing.T) {
	newImage := workload("Deployment", image("registry.example/checkout:2.4"))
	back := at("1", "metadata", "annotations", v1alpha1.AnnotationRollbackTo)
	cases := map[string]struct {
		enforcement   v1alpha1.Enforcement
		operation     admissionv1.Operation
		before, after map[string]any
		dryRun        bool

		verdict  change.Verdict
		allowed  bool
		warned   bool
		filed    int
		admitted v1alpha1.BaselineSource
	}{
		"not governed":         {operation: admissionv1.Update, before: workload("Deployment"), after: newImage, verdict: change.NotGoverned, allowed: true},
		"unchanged":            {enforcement: v1alpha1.EnforcementEnforce, operation: admissionv1.Update, before: workload("Deployment"), after: workload("Deployment"), verdict: change.Unchanged, allowed: true},
		"denied":               {enforcement: v1alpha1.EnforcementEnforce, operation: admissionv1.Update, before: workload("Deployment"), after: newImage, verdict: change.Denied, filed: 1},
		"denied, as dry run":   {enforcement: v1alpha1.EnforcementEnforce, operation: admissionv1.Update, before: workload("Deployment"), after: newImage, dryRun: true, verdict: change.Denied, allowed: true, warned: true},
		"deletion denied":      {enforcement: v1alpha1.EnforcementEnforce, operation: admissionv1.Delete, before: workload("Deployment"), verdict: change.Denied, filed: 1},
		"owner denied":         {enforcement: v1alpha1.EnforcementEnforce, operation: admissionv1.Update, before: workload("Deployment"), after: workload("Deployment", owner(false)), verdict: change.Denied, filed: 1},
		"warned":               {enforcement: v1alpha1.EnforcementWarn, operation: admissionv1.Update, before: workload("Deployment"), after: newImage, verdict: change.Warned, allowed: true, warned: true, admitted: v1alpha1.BaselineAudited},
		"warned, as dry run":   {enforcement: v1alpha1.EnforcementWarn, operation: admissionv1.Update, before: workload("Deployment"), after: newImage, dryRun: true, verdict: change.Warned, allowed: true, warned: true},
		"audited":              {enforcement: v1alpha1.EnforcementAudit, operation: admissionv1.Update, before: workload("Deployment"), after: newImage, verdict: change.Audited, allowed: true, admitted: v1alpha1.BaselineAudited},
		"pre-authorised":       {enforcement: "low risk", operation: admissionv1.Update, before: workload("Deployment"), after: newImage, verdict: change.PreAuthorised, allowed: true, filed: 1, admitted: v1alpha1.BaselinePreAuthorised},
		"audited ReplicaSet":   {enforcement: v1alpha1.EnforcementAudit, operation: admissionv1.Update, before: workload("ReplicaSet"), after: workload("ReplicaSet", image("b")), verdict: change.Audited, allowed: true},
		"by the controller":    {enforcement: v1alpha1.EnforcementEnforce, operation: admissionv1.Update, before: workload("Deployment"), after: workload("Deployment", back), verdict: change.Denied},
		"… as dry run":         {enforcement: v1alpha1.EnforcementEnforce, operation: admissionv1.Update, before: workload("Deployment"), after: workload("Deployment", back), dryRun: true, verdict: change.Denied, allowed: true, warned: true},
		"… warned":             {enforcement: v1alpha1.EnforcementWarn, operation: admissionv1.Update, before: workload("Deployment"), after: workload("Deployment", back), verdict: change.Warned, allowed: true, warned: true},
		"… audited":            {enforcement: v1alpha1.EnforcementAudit, operation: admissionv1.Update, before: workload("Deployment"), after: workload("Deployment", back), verdict: change.Audited, allowed: true},
		"… with another image": {enforcement: v1alpha1.EnforcementAudit, operation: admissionv1.Update, before: workload("Deployment"), after: workload("Deployment", back, image("b")), verdict: change.Audited, allowed: true, admitted: v1alpha1.BaselineAudited},
		"audited and disowned": {enforcement: v1alpha1.EnforcementAudit, operation: admissionv1.Update, before: workload("Deployment"), after: workload("Deployment", image("b"), owner(false)), verdict: change.Audited, allowed: true, admitted: v1alpha1.BaselineAudited},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			k := &known{}
			switch c.enforcement {
			case "":
			case "low risk":
				k.world = enforced(t, v1alpha1.EnforcementEnforce)
				k.world.Rules = nil
			default:
				k.world = enforced(t, c.enforcement)
			}
			req := review(t, c.operation, c.before, c.after)
			req.DryRun = &c.dryRun
			response := gate(k).Handle(t.Context(), admission.Request{AdmissionRequest: *req})

			if response.Allowed != c.allowed || len(response.Warnings) > 0 != c.warned {
				t.Errorf("allowed %t with warnings %q, want %t and warned %t", response.Allowed, response.Warnings, c.allowed, c.warned)
			}
			if got := response.AuditAnnotations["verdict"]; got != string(c.verdict) {
				t.Errorf("verdict %s, want %s", got, c.verdict)
			}
			counted := !c.dryRun && (c.verdict == change.Warned || c.verdict == change.Audited)
			if got := len(k.refusals["production"]) > 0; got != counted {
				t.Errorf("counted %v as what Enforce would refuse, want %t", k.refusals, counted)
			}
			if len(k.filed) != c.filed {
				t.Errorf("filed %+v, want %d", k.filed, c.filed)
			}
			var admitted v1alpha1.BaselineSource
			for i, r := range k.admitted {
				admitted = r.Source
				if r.By != "alice" || !r.At.Equal(now) || r.TemplateHash == "" || k.keys[i].Name != "checkout" || i > 0 {
					t.Errorf("recorded %+v", k.admitted)
				}
			}
			if admitted != c.admitted {
				t.Errorf("recorded as %q, want %q", admitted, c.admitted)
			}
			if !c.allowed {
				refusedWell(t, response)
			}
		})
	}
}

// refusedWell: what GitOps controllers, kubectl and terminals need of a refusal.
func refusedWell(t *testing.T, response admission.Response) {
	t.Helper()
	result := response.Result
	if result.Code != http.StatusForbidden || result.Reason != metav1.StatusReasonForbidden || result.Status != metav1.StatusFailure {
		t.Errorf("refused with %d %s (%s)", result.Code, result.Reason, result.Status)
	}
	if result.Details == nil || len(result.Details.Causes) == 0 || result.Details.Name != "checkout" {
		t.Errorf("refused without causes: %+v", result.Details)
	}
	if strings.Contains(strings.ToLower(result.Message), "immutable") {
		t.Errorf("the message makes GitOps controllers delete and re-create: %s", result.Message)
	}
	fitForTerminals(t, response)
}

func fitForTerminals(t testing.TB, response admission.Response) {
	t.Helper()
	texts := append([]string{response.Result.Message}, response.Warnings...)
	for _, annotation := range response.AuditAnnotations {
		texts = append(texts, annotation)
	}
	if response.Result.Details != nil {
		for _, cause := range response.Result.Details.Causes {
			texts = append(texts, cause.Message)
		}
	}
	for _, text := range texts {
		if len(text) > maxMessage || !utf8.ValidString(text) {
			t.Errorf("a text of %d bytes: %q", len(text), text)
		}
		if strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) {
			t.Errorf("a text with control characters: %q", text)
		}
	}
}

func TestUnreadableIsRefused(t *testing.T) {
	for name, raw := range map[string]string{
		"nonsense":       `nonsense`,
		"a list":         `[]`,
		"metadata":       `{"metadata": 7}`,
		"truncated":      `{"metadata": {"name": "x"}, "spec": {`,
		"nothing at all": ``,
	} {
		t.Run(name, func(t *testing.T) {
			req := review(t, admissionv1.Update, workload("Deployment"), workload("Deployment"))
			req.Object.Raw = []byte(raw)
			k := &known{}
			response := gate(k).Handle(t.Context(), admission.Request{AdmissionRequest: *req})
			if response.Allowed {
				t.Error("it was let in")
			}
			refusedWell(t, response)
		})
	}
}

func TestControlCharactersStayOutOfMessages(t *testing.T) {
	k := &known{world: enforced(t, v1alpha1.EnforcementEnforce)}
	evil := "evil\x1b[2J\r\n\u202e\x00:1"
	req := review(t, admissionv1.Update, workload("Deployment"), workload("Deployment", image(evil), at(evil, "metadata", "annotations", v1alpha1.AnnotationChange)))
	req.Name, req.UserInfo.Username = evil, evil
	response := gate(k).Handle(t.Context(), admission.Request{AdmissionRequest: *req})
	if response.Allowed {
		t.Error("it was let in")
	}
	fitForTerminals(t, response)
	req.DryRun = new(true)
	fitForTerminals(t, gate(k).Handle(t.Context(), admission.Request{AdmissionRequest: *req}))
	req.Object.Raw = []byte("nonsense")
	fitForTerminals(t, gate(k).Handle(t.Context(), admission.Request{AdmissionRequest: *req}))
}

func TestServedOverHTTP(t *testing.T) {
	k := &known{world: enforced(t, v1alpha1.EnforcementEnforce)}
	handler := gate(k).Webhook()
	post := func(body []byte) (*httptest.ResponseRecorder, admissionv1.AdmissionReview) {
		recorder := httptest.NewRecorder()
		request := httptest.NewRequest(http.MethodPost, Path, bytes.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		handler.ServeHTTP(recorder, request)
		answer := admissionv1.AdmissionReview{}
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
			t.Fatalf("the answer %q: %v", recorder.Body, err)
		}
		return recorder, answer
	}
	// A megabyte of what nobody asked for.
	large := workload("Deployment", image("b"), at(strings.Repeat("x", 1<<20), "metadata", "annotations", "large"))
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request:  review(t, admissionv1.Update, workload("Deployment"), large),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, answer := post(body)
	if answer.Response == nil || answer.Response.UID != "u" || answer.Response.Allowed {
		t.Fatalf("answered %+v", answer.Response)
	}
	for _, nonsense := range []string{"", "{}", "null", "[]", `{"request":null}`, `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, strings.Repeat("[", 20000)} {
		// An answer, whatever it is: the API server sends none of these.
		if recorder, _ := post([]byte(nonsense)); recorder.Code != http.StatusOK {
			t.Errorf("%.40q is answered with %d", nonsense, recorder.Code)
		}
	}
}

// TestPathIsWhatTheConfigurationCalls: the manifest and the handler agree.
func TestPathIsWhatTheConfigurationCalls(t *testing.T) {
	content, err := os.ReadFile("../../config/webhook/gate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Webhooks []struct {
			ClientConfig struct{ Service struct{ Path string } }
		}
	}
	if err := yaml.Unmarshal(content, &config); err != nil {
		t.Fatal(err)
	}
	for _, webhook := range config.Webhooks {
		if diff := cmp.Diff(Path, webhook.ClientConfig.Service.Path); diff != "" {
			t.Errorf("(-handler +manifest)\n%s", diff)
		}
	}
}

func FuzzHandle(f *testing.F) {
	for kindName := range versions {
		for _, operation := range []admissionv1.Operation{admissionv1.Create, admissionv1.Update, admissionv1.Delete} {
			seed, err := json.Marshal(review(f, operation, workload(kindName, owner(true)), workload(kindName, image("b"))))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(seed)
		}
	}
	for _, spec := range []string{`null`, `7`, `{"template":null}`, `{"template":{"spec":{"containers":{}}}}`, `{"template":{"spec":{"containers":[null,7,{"name":7,"image":[]}]}}}`, `{"jobTemplate":[]}`} {
		for kindName, version := range versions {
			req := review(f, admissionv1.Create, nil, workload(kindName))
			req.Object.Raw = fmt.Appendf(nil, `{"apiVersion":%q,"kind":%q,"metadata":{"ownerReferences":7,"annotations":[]},"spec":%s}`, version, kindName, spec)
			seed, err := json.Marshal(req)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(seed)
		}
	}
	world := enforced(f, v1alpha1.EnforcementEnforce)
	f.Fuzz(func(t *testing.T, data []byte) {
		req := admissionv1.AdmissionRequest{}
		if err := json.Unmarshal(data, &req); err != nil {
			return
		}
		k := &known{world: world}
		first := gate(k).Handle(t.Context(), admission.Request{AdmissionRequest: req})
		fitForTerminals(t, first)
		if again := gate(k).Handle(t.Context(), admission.Request{AdmissionRequest: req}); !cmp.Equal(first, again) {
			t.Errorf("another answer to the same request:\n%s", cmp.Diff(first, again))
		}
		if req.DryRun != nil && *req.DryRun && len(k.filed)+len(k.admitted) > 0 {
			t.Error("a dry run leaves a trace")
		}
	})
}

// What is agreed takes the place of what came in past the gate: nobody is asked, and it is remembered who did it.
func TestBackToWhatIsAgreedIsRemembered(t *testing.T) {
	agreed, evil := workload("Deployment"), workload("Deployment", image("registry.evil.example/miner:1"))
	for name, test := range map[string]struct {
		before, after map[string]any
		past          bool
		want          v1alpha1.BaselineSource
	}{
		"from what came in past the gate": {evil, agreed, true, v1alpha1.BaselineRollback},
		"from what is held back":          {evil, agreed, false, ""},
		"nothing else":                    {evil, evil, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := &known{world: enforced(t, v1alpha1.EnforcementEnforce)}
			if test.past {
				k.world.Baselines = append([]v1alpha1.Baseline{{TemplateHash: "v1:evil", Source: v1alpha1.BaselineUnauthorized}}, k.world.Baselines...)
			}
			response := gate(k).Handle(t.Context(), admission.Request{AdmissionRequest: *review(t, admissionv1.Update, test.before, test.after)})
			if got := response.AuditAnnotations["verdict"]; !response.Allowed || got != string(change.Unchanged) {
				t.Fatalf("allowed %t as %s", response.Allowed, got)
			}
			switch {
			case test.want == "" && len(k.admitted) > 0:
				t.Errorf("recorded %+v", k.admitted)
			case test.want != "" && (len(k.admitted) != 1 || k.admitted[0].Source != test.want || k.admitted[0].By != "alice"):
				t.Errorf("recorded %+v, want %s by alice", k.admitted, test.want)
			}
		})
	}
}
