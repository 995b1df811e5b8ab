package configuration

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// BrokenGlass is a digest of a workload's reason for breaking the glass and of its signature; empty where it has none, or
// nobody signed it.
func (w *Workload) BrokenGlass() string {
	reason, by := w.Annotations[v1alpha1.AnnotationBreakGlass], w.Annotations[v1alpha1.AnnotationBreakGlassBy]
	if reason == "" || by == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(by + "\x00" + reason))
	return HashVersion + ":" + hex.EncodeToString(sum[:])
}

// GlassLeftOver reports whether the broken glass of a workload was there with its newest baseline already: who breaks it for
// another template gives another reason, or makes the workload again.
func GlassLeftOver(w *Workload, baselines []v1alpha1.Baseline) bool {
	return len(baselines) > 0 && brokenFor(w, &baselines[0])
}

// GlassCopied reports whether the broken glass of a workload was there when it had this template before: kubectl rollout undo
// brings back the annotations with the template.
func GlassCopied(w *Workload, baselines []v1alpha1.Baseline) bool {
	for i := range baselines {
		if w.Template.IsBaseline(baselines[i], nil) && brokenFor(w, &baselines[i]) {
			return true
		}
	}
	return false
}

func brokenFor(w *Workload, b *v1alpha1.Baseline) bool {
	return b.BreakGlass != "" && b.BreakGlass == w.BrokenGlass() && b.WorkloadUID == string(w.UID)
}
