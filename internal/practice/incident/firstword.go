package incident

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	// maxFirstMessage is how much of a message is kept there, in bytes: kubectl describe shows it.
	maxFirstMessage = 256
	// maxTemplateHash is the API's bound.
	maxTemplateHash = 70
)

// firstWord is what an Incident was opened for. A status cannot be written with the object: who dies between the two
// writes leaves an Incident of which nobody knows why, if what failed is well by the time that another looks.
type firstWord struct {
	Signal             v1alpha1.Signal `json:"signal"`
	FailedTemplateHash string          `json:"failedTemplateHash,omitempty"`
}

// FirstWord of an Incident that is being opened, for its annotation v1alpha1.AnnotationOpenedFor; empty where there is
// nothing to say.
func FirstWord(d Detected) string {
	if len(d.Signals) == 0 {
		return ""
	}
	word := firstWord{Signal: *d.Signals[0].DeepCopy(), FailedTemplateHash: d.FailedTemplateHash}
	word.Signal.Message = clip(word.Signal.Message, maxFirstMessage)
	text, err := json.Marshal(word)
	if err != nil {
		return ""
	}
	return string(text)
}

// withFirstWord is what is known of an Incident with no other word than its first one. What the API server would not
// take for a signal is left out: the record must not depend on what somebody wrote there.
func withFirstWord(i *v1alpha1.Incident, d Detected, now time.Time) Detected {
	var word firstWord
	text := i.Annotations[v1alpha1.AnnotationOpenedFor]
	if d.DetectedAt != nil || len(d.Signals) > 0 || text == "" || json.Unmarshal([]byte(text), &word) != nil {
		return d
	}
	s := word.Signal
	if !slices.Contains(v1alpha1.SignalReasons, s.Reason) || s.Since.Unix() < 0 || s.LastSeen.Before(&s.Since) || s.LastSeen.After(now.Add(worstClock)) {
		return d
	}
	d.Signals = []v1alpha1.Signal{{
		Reason: s.Reason, Container: clip(s.Container, maxReason-1), Alert: clip(s.Alert, maxAlert), Since: s.Since, LastSeen: s.LastSeen,
		Count: max(s.Count, 1), ExitCode: s.ExitCode, Message: clip(s.Message, maxMessage), AffectedPods: s.AffectedPods,
	}}
	d.Reason, d.FailedTemplateHash = s.Reason, clip(word.FailedTemplateHash, maxTemplateHash)
	for _, pod := range s.Pods[:min(len(s.Pods), maxFindingPods)] {
		d.Signals[0].Pods = append(d.Signals[0].Pods, clip(pod, maxObjectName))
	}
	return d
}
