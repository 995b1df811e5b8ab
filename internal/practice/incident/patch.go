package incident

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// The status of an Incident has two writers, which own these fields and need no lock of each other's.
var (
	detectorFields = []string{
		"signals", "reason", "fingerprint", "startedAt", "detectedAt", "recoveredAt", "recoveryHoldSeconds",
		"failedTemplateHash", "recoveredTemplateHash", "suspectedChange", "evidence",
	}
	lifecycleFields = []string{
		"observedGeneration", "state", "priority", "acknowledgedAt", "resolvedAt", "closedAt", "reopened", "reopenedAt",
		"knownError", "affectedServices", "children", "impact", "urgency", "parentRef", "resolution", "clocks", "dueAt", "timeline",
		"nextStep", "conditions",
	}
)

// Into is the status with the detector's part in it.
func (d Detected) Into(s v1alpha1.IncidentStatus) v1alpha1.IncidentStatus {
	s.Signals, s.Reason, s.Fingerprint = d.Signals, d.Reason, d.Fingerprint
	s.StartedAt, s.DetectedAt, s.RecoveredAt = d.StartedAt, d.DetectedAt, d.RecoveredAt
	s.RecoveryHoldSeconds = d.RecoveryHoldSeconds
	s.FailedTemplateHash, s.RecoveredTemplateHash = d.FailedTemplateHash, d.RecoveredTemplateHash
	s.SuspectedChange, s.Evidence = d.SuspectedChange, d.Evidence
	return s
}

// DetectorPatch is the merge patch of the detector's part of a status; nil where nothing changed.
func DetectorPatch(before v1alpha1.IncidentStatus, after Detected) ([]byte, error) {
	return statusPatch(before, after.Into(before), detectorFields)
}

// LifecyclePatch is the merge patch of the lifecycle's part of a status; nil where nothing changed.
func LifecyclePatch(before, after v1alpha1.IncidentStatus) ([]byte, error) {
	return statusPatch(before, after, lifecycleFields)
}

func statusPatch(before, after v1alpha1.IncidentStatus, fields []string) ([]byte, error) {
	from, err := asMap(before)
	if err != nil {
		return nil, err
	}
	to, err := asMap(after)
	if err != nil {
		return nil, err
	}
	foreign := func(name string, _ any) bool { return !slices.Contains(fields, name) }
	maps.DeleteFunc(from, foreign)
	maps.DeleteFunc(to, foreign)
	changes := difference(from, to)
	if len(changes) == 0 {
		return nil, nil
	}
	return json.Marshal(map[string]any{"status": changes})
}

func asMap(status v1alpha1.IncidentStatus) (map[string]any, error) {
	raw, err := json.Marshal(status)
	if err != nil {
		return nil, fmt.Errorf("encode the status of an Incident: %w", err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("decode the status of an Incident: %w", err)
	}
	return out, nil
}

// difference is the merge patch from one object to another: what is gone is null, objects are merged, all else is
// replaced.
func difference(from, to map[string]any) map[string]any {
	changes := map[string]any{}
	for name := range from {
		if _, kept := to[name]; !kept {
			changes[name] = nil
		}
	}
	for name, value := range to {
		old, had := from[name]
		oldObject, wasObject := old.(map[string]any)
		object, isObject := value.(map[string]any)
		switch {
		case had && wasObject && isObject:
			if inner := difference(oldObject, object); len(inner) > 0 {
				changes[name] = inner
			}
		case !had || !equality.Semantic.DeepEqual(old, value):
			changes[name] = value
		}
	}
	return changes
}
