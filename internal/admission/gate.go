// Package admission answers the API server's admission requests: the gate on workloads.
//
// The API server asks about few requests (the match conditions of config/webhook/gate.yaml), and every replica answers
// from memory. What decides is practice/change.Decide; this package reads the request, tells the answer, and passes on
// what is to be remembered and filed.
package admission

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Path at which the gate is served; both webhooks of config/webhook/gate.yaml call it.
const Path = "/gate"

// Bounds of an answer. The API server cuts warnings beyond 256 characters.
const (
	maxMessage  = 4096
	maxWarning  = 256
	maxWarnings = 10
	maxCauses   = 20
	maxAudit    = 512
)

// Facts are what is known about workloads. They are in memory, and reading them takes no lock: they are on the way of
// requests.
type Facts interface {
	// World is what is known about the workload of a request.
	World(r *change.Request) *change.World
}

// Filer files Changes after the request was answered. File never blocks: a full queue drops and counts, since whoever
// was denied tries again, and what was pre-authorised is found on the workload.
type Filer interface {
	File(filing change.Filing)
}

// Records keep what was let in until it is seen on the workload. Admitted never blocks.
type Records interface {
	Admitted(workload configuration.Key, record configuration.AdmissionRecord)
}

// Audits count what goes in and Enforce would refuse. WouldDeny never blocks.
type Audits interface {
	WouldDeny(policies []string, workload configuration.Key, reasons []change.Cause, at time.Time)
}

// Gate is the admission handler for everything that makes pods. It is raw: a typed one would drop fields that its Go
// types do not know, and hash another template than the one that goes in.
type Gate struct {
	Facts   Facts
	Filer   Filer
	Records Records
	// Audits and SideDoors may be nil.
	Audits    Audits
	SideDoors SideDoors
	Clock     clock.PassiveClock
}

// Webhook is the gate as an HTTP handler; a panic is an answer of 500.
func (g *Gate) Webhook() http.Handler { return front{&admission.Webhook{Handler: g}} }

// judged is a request with the decision about it.
type judged struct {
	request  *change.Request
	world    *change.World
	decision change.Decision
}

// Handle answers one request. What cannot be read is refused: uncertain means closed.
func (g *Gate) Handle(ctx context.Context, req admission.Request) admission.Response {
	begin := g.Clock.Now()
	if what := sideDoorOf(&req.AdmissionRequest); what != "" {
		response := g.sideDoor(ctx, &req.AdmissionRequest, what, begin)
		if what != v1alpha1.SideDoorRelabel || sameOwners(&req.AdmissionRequest) {
			return response
		}
	}
	question, err := ask(&req.AdmissionRequest)
	if err != nil {
		observe(change.Denied, "", g.Clock.Since(begin))
		return unreadable(&req.AdmissionRequest, err)
	}
	if len(question.requests) == 0 {
		observe(change.NotGoverned, "", g.Clock.Since(begin))
		return admission.Allowed("")
	}
	outcome := g.judge(question.requests, begin)
	g.remember(outcome, begin)
	worst := outcome[0]
	for _, j := range outcome[1:] {
		if worse(j.decision.Verdict, worst.decision.Verdict) > 0 {
			worst = j
		}
	}
	g.audit(&worst, begin)
	observe(worst.decision.Verdict, worst.decision.Enforcement, g.Clock.Since(begin))
	if !worst.decision.Allowed {
		log.FromContext(ctx).V(1).Info("Denied", "user", worst.request.User.Name, "change", worst.decision.Change)
	}
	return answer(&req.AdmissionRequest, worst)
}

func (g *Gate) judge(requests []*change.Request, now time.Time) []judged {
	outcome := make([]judged, 0, len(requests))
	for _, r := range requests {
		world := g.Facts.World(r)
		outcome = append(outcome, judged{request: r, world: world, decision: change.Decide(r, world, now)})
	}
	return outcome
}

// remember passes on what follows from the decisions. If one part of a request is refused, nothing of it was let in.
// A dry run leaves no trace.
func (g *Gate) remember(outcome []judged, now time.Time) {
	allowed := true
	for _, j := range outcome {
		allowed = allowed && j.decision.Allowed
	}
	for _, j := range outcome {
		if j.request.DryRun {
			continue
		}
		if f := j.decision.File; f != nil && (allowed || !j.decision.Allowed) {
			g.Filer.File(*f)
		}
		source, letIn := sourceOf(&j)
		if !allowed || !letIn || j.request.New == nil || !configuration.Claimable(j.request.Key.Kind) {
			continue
		}
		g.Records.Admitted(j.request.Key, configuration.AdmissionRecord{
			TemplateHash: j.request.New.Hash, Source: source, By: j.request.User.Name, Change: j.decision.Change, At: now,
		})
	}
}

// audit counts a request that went in for want of enforcement, for each policy that is in scope.
func (g *Gate) audit(worst *judged, now time.Time) {
	if g.Audits == nil || worst.world.Rules == nil || worst.request.DryRun {
		return
	}
	if v := worst.decision.Verdict; v == change.Audited || v == change.Warned {
		g.Audits.WouldDeny(worst.world.Rules.Policies, worst.request.Key, worst.decision.Reasons, now)
	}
}

// sourceOf is how a baseline names the verdict that let its template in; false where there is nothing to remember.
func sourceOf(j *judged) (v1alpha1.BaselineSource, bool) {
	switch j.decision.Verdict {
	case change.Unchanged:
		return v1alpha1.BaselineRollback, change.Restores(j.request, j.world)
	case change.Rollback:
		return v1alpha1.BaselineRollback, true
	case change.Covered:
		return v1alpha1.BaselineChange, true
	case change.PreAuthorised:
		return v1alpha1.BaselinePreAuthorised, true
	case change.BreakGlass:
		return v1alpha1.BaselineBreakGlass, true
	case change.Warned, change.Audited:
		return v1alpha1.BaselineAudited, !leavesTemplate(j.request)
	case change.NotGoverned, change.Denied:
	}
	return "", false
}

// leavesTemplate reports whether a request is about an earlier template that the deployment controller shall bring back, and
// leaves the present one as it is: of that there is nothing to record.
func leavesTemplate(r *change.Request) bool {
	return r.RollbackTo != "" && r.Old != nil && r.New != nil && r.Old.Hash == r.New.Hash
}

// answer tells a decision: in, in with a warning, or out with the reasons.
func answer(req *admissionv1.AdmissionRequest, j judged) admission.Response {
	d := &j.decision
	var response admission.Response
	switch {
	case !d.Allowed:
		denial := change.Explain(j.request, j.world, d)
		response = refusal(req, denial)
	case d.Verdict == change.Denied || d.Verdict == change.Warned: // a dry run, or enforcement Warn
		response = admission.Allowed("").WithWarnings(warnings(change.Explain(j.request, j.world, d).Message)...)
	default:
		response = admission.Allowed("")
	}
	response.AuditAnnotations = map[string]string{"verdict": string(d.Verdict)}
	for key, value := range map[string]string{"enforcement": string(d.Enforcement), "change": d.Change} {
		if value != "" {
			response.AuditAnnotations[key] = plain(value, maxAudit)
		}
	}
	return response
}

// refusal is a 403 Forbidden: on others (409, 422) GitOps controllers delete and re-create.
func refusal(req *admissionv1.AdmissionRequest, denial change.Denial) admission.Response {
	causes := denial.Causes[:min(len(denial.Causes), maxCauses)]
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{
		Allowed: false,
		Result: &metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
			Message: plain(denial.Message, maxMessage),
			Details: &metav1.StatusDetails{
				Name: req.Name, Group: req.Kind.Group, Kind: req.Kind.Kind,
				Causes: causes, RetryAfterSeconds: denial.RetryAfterSeconds,
			},
		},
	}}
}

func unreadable(req *admissionv1.AdmissionRequest, err error) admission.Response {
	response := refusal(req, change.Denial{
		Message: req.Kind.Kind + " " + req.Namespace + "/" + req.Name + " cannot be judged, so it is kept out: " + err.Error() +
			". Send a well-formed object",
		Causes: []metav1.StatusCause{{Type: metav1.CauseTypeUnexpectedServerResponse, Message: plain(err.Error(), maxMessage)}},
	})
	response.AuditAnnotations = map[string]string{"verdict": string(change.Denied)}
	return response
}

// warnings are one for each line.
func warnings(message string) []string {
	var lines []string
	for line := range strings.SplitSeq(message, "\n") {
		if line = plain(line, maxWarning); line != "" && len(lines) < maxWarnings {
			lines = append(lines, line)
		}
	}
	return lines
}

// plain keeps lines and leaves out what steers a terminal; at most limit bytes.
func plain(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, text)
	const more = "…"
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit-len(more)], "") + more
}
