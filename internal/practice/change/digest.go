package change

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Digests carry a version, so that a later one can cover more and those that were voted on stay verifiable. A field
// that is added to ChangeSpec needs either version 2 or a place in digestedV1 that is left out of the JSON when empty;
// a test holds the two types against each other.
const digestV1 = "v1"

// digestedV1 is all of a Change's spec that an approval is about: not cancel, which withdraws it, and not review,
// which judges it afterwards. Defaults are written out, so that a default that the API server adds is no edit.
type digestedV1 struct {
	Type                    v1alpha1.ChangeType      `json:"type"`
	Summary                 string                   `json:"summary"`
	Justification           string                   `json:"justification,omitempty"`
	Requester               v1alpha1.UserName        `json:"requester"`
	Targets                 []targetV1               `json:"targets"`
	Window                  *v1alpha1.Window         `json:"window,omitempty"`
	BackoutPlan             string                   `json:"backoutPlan,omitempty"`
	BackoutAutomatic        bool                     `json:"backoutAutomatic,omitempty"`
	ProgressDeadlineSeconds int32                    `json:"progressDeadlineSeconds,omitempty"`
	ExpectedDowntimeSeconds int32                    `json:"expectedDowntimeSeconds,omitempty"`
	Questionnaire           v1alpha1.Questionnaire   `json:"questionnaire,omitzero"`
	StandardChange          string                   `json:"standardChange,omitempty"`
	IncidentRef             *v1alpha1.LocalReference `json:"incidentRef,omitempty"`
	ProblemRef              *v1alpha1.LocalReference `json:"problemRef,omitempty"`
	RecordOf                v1alpha1.RecordOf        `json:"recordOf,omitempty"`
}

// targetV1 is a target. Images are a JSON object, whose keys are sorted.
type targetV1 struct {
	Kind         v1alpha1.WorkloadKind     `json:"kind"`
	Name         v1alpha1.ObjectName       `json:"name"`
	Operations   []v1alpha1.Operation      `json:"operations"`
	Images       map[string]v1alpha1.Image `json:"images,omitempty"`
	TemplateHash v1alpha1.TemplateHash     `json:"templateHash,omitempty"`
}

// Digest identifies what an approval of this spec is about: "v1:" and a SHA-256 in hex.
func Digest(spec *v1alpha1.ChangeSpec) string {
	d := digestedV1{
		Type:                    cmp.Or(spec.Type, v1alpha1.ChangeNormal),
		Summary:                 spec.Summary,
		Justification:           spec.Justification,
		Requester:               spec.Requester,
		Window:                  spec.Window,
		ExpectedDowntimeSeconds: spec.ExpectedDowntimeSeconds,
		StandardChange:          spec.StandardChange,
		IncidentRef:             spec.IncidentRef,
		ProblemRef:              spec.ProblemRef,
		RecordOf:                spec.RecordOf,
	}
	if b := spec.Backout; b != nil {
		d.BackoutPlan, d.BackoutAutomatic, d.ProgressDeadlineSeconds = b.Plan, b.Automatic, b.ProgressDeadlineSeconds
	}
	if q := spec.Questionnaire; q != nil {
		d.Questionnaire = *q
	}
	for i := range spec.Targets {
		t := &spec.Targets[i]
		d.Targets = append(d.Targets, targetV1{
			Kind: t.Workload.Kind, Name: t.Workload.Name, Operations: operationsOf(t), Images: t.Images, TemplateHash: t.TemplateHash,
		})
	}
	data, err := json.Marshal(d)
	if err != nil {
		// Strings, numbers and maps of strings always marshal; a digest that nothing equals is the closed answer.
		data = fmt.Append(nil, "not JSON: ", err)
	}
	sum := sha256.Sum256(data)
	return digestV1 + ":" + hex.EncodeToString(sum[:])
}

// VerifyDigest says whether a digest, of whatever version we know, is about this spec.
func VerifyDigest(spec *v1alpha1.ChangeSpec, digest string) bool {
	version, _, _ := strings.Cut(digest, ":")
	return version == digestV1 && digest == Digest(spec)
}

// operationsOf returns a target's operations, the default written out, in the order of their names.
func operationsOf(t *v1alpha1.ChangeTarget) []v1alpha1.Operation {
	if len(t.Operations) == 0 {
		return []v1alpha1.Operation{v1alpha1.OperationTemplate}
	}
	return slices.Compact(slices.Sorted(slices.Values(t.Operations)))
}
