package change

import (
	"maps"
	"slices"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// hashAlone is the path of what differs where nothing but the hash of a template is known.
const hashAlone = "template"

// recordedDiff is what was recorded of a filed Change's differences, brought up to date where another baseline is agreed to
// by now: after a rollback, or since something else went in. Images are known of every baseline; of the rest it is known
// only that two baselines do not differ in it. Ok is false where nothing was recorded, or it cannot be told any more.
func (l *life) recordedDiff() (diff []v1alpha1.FieldDiff, ok bool) {
	at := slices.IndexFunc(l.Change.Spec.Targets, func(t v1alpha1.ChangeTarget) bool { return t.TemplateHash != "" })
	if at < 0 || len(l.status.Diff) == 0 {
		return nil, false
	}
	t := &l.Change.Spec.Targets[at]
	if isRecord(l.Change) {
		return l.status.Diff, true
	}
	unknown := diffPath(t.Workload, hashAlone)
	if slices.ContainsFunc(l.status.Diff, func(d v1alpha1.FieldDiff) bool { return d.Path == unknown }) {
		return nil, false
	}
	base := l.base(t)
	if base == nil {
		return l.status.Diff, true
	}
	baselines := l.Workloads[KeyOf(l.Change.Namespace, t.Workload)].Baselines
	// The record's images are brought up to date, its rest never is: that is against what was agreed to when it was filed.
	if filed := l.agreedAtFiling(baselines); filed == nil || filed.ImagelessHash != base.ImagelessHash {
		return nil, false
	}
	if l.against(t, base) {
		return l.status.Diff, true
	}
	was := slices.IndexFunc(baselines, func(b v1alpha1.Baseline) bool { return l.against(t, &b) })
	if was < 0 || base.ImagelessHash == "" || baselines[was].ImagelessHash != base.ImagelessHash {
		return nil, false
	}
	images := map[string]string{} // of the template
	maps.Copy(images, baselines[was].Images)
	for i := range l.status.Diff {
		if container, found := l.imageOf(t, &l.status.Diff[i]); found {
			images[container] = l.status.Diff[i].To
		} else {
			diff = append(diff, l.status.Diff[i])
		}
	}
	for _, container := range sortedKeys(images) {
		if from, to := base.Images[container], images[container]; from != to && len(diff) < maxDiff {
			diff = append(diff, imageDiff(t.Workload, container, from, to))
		}
	}
	return diff, true
}

// agreedAtFiling is the baseline that was agreed to when the Change was filed, as far as it is kept: else the oldest.
func (l *life) agreedAtFiling(baselines []v1alpha1.Baseline) *v1alpha1.Baseline {
	var filed *v1alpha1.Baseline
	for i := range baselines {
		if baselines[i].Source == v1alpha1.BaselineUnauthorized {
			continue
		}
		filed = &baselines[i]
		if !filed.From.After(l.Change.CreationTimestamp.Time) {
			break
		}
	}
	return filed
}

// against says whether the recorded images are those that differ from a baseline.
func (l *life) against(t *v1alpha1.ChangeTarget, b *v1alpha1.Baseline) bool {
	for i := range l.status.Diff {
		d := &l.status.Diff[i]
		if container, found := l.imageOf(t, d); found && d.From != shownImage(b.Images[container]) {
			return false
		}
	}
	return true
}

// imageOf is the container whose image a difference is.
func (l *life) imageOf(t *v1alpha1.ChangeTarget, d *v1alpha1.FieldDiff) (container string, found bool) {
	path, mine := cutPrefix(d.Path, diffPath(t.Workload, ""))
	if !mine {
		return "", false
	}
	if !isImagePath(path) {
		return "", false
	}
	_, rest, _ := strings.Cut(path, "[")
	container, _, found = strings.Cut(rest, "].")
	return container, found
}

// imageDiff is a difference of a container's image.
func imageDiff(w v1alpha1.WorkloadReference, container, from, to string) v1alpha1.FieldDiff {
	return v1alpha1.FieldDiff{Path: diffPath(w, "spec.containers["+container+"].image"), From: shownImage(from), To: shownImage(to)}
}

// shownImage is an image as a difference has room for it.
func shownImage(image string) string {
	const most = 512
	return brief(plain(image), most)
}
