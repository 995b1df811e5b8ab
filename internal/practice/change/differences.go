package change

import (
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// maxLeftOut bounds what is said of differences that are not shown.
const maxLeftOut = 500

// diff names what differs from the baselines, as far as the targets say it. What a template hash stands for is known
// only where the operator filed the Change, and recorded it then.
func (l *life) diff() []v1alpha1.FieldDiff {
	targets := l.Change.Spec.Targets
	all, unknown, sum := make([][]v1alpha1.FieldDiff, len(targets)), make([]bool, len(targets)), 0
	for i := range targets {
		t := &targets[i]
		var from map[string]string
		if base := l.base(t); base != nil {
			from = base.Images
		}
		if unknown[i] = t.TemplateHash != "" && (!isRecord(l.Change) || !l.imagesAlone(t)); unknown[i] {
			// The first to be shown of its target: without it the images would pass for all there is.
			all[i] = append(all[i], v1alpha1.FieldDiff{
				Path: diffPath(t.Workload, hashAlone),
				To:   shortDigest(string(t.TemplateHash)) + ", of which the hash alone is known: more than images may differ",
			})
		}
		for _, container := range sortedKeys(t.Images) {
			if to := string(t.Images[container]); from[container] != to {
				all[i] = append(all[i], imageDiff(t.Workload, container, from[container], to))
			}
		}
		sum += len(all[i])
	}
	shown := make([]int, len(all))
	for i := range all {
		shown[i] = len(all[i])
	}
	if sum <= maxDiff {
		return merged(all, unknown, shown)
	}
	return l.fairly(all, unknown, sum)
}

// merged are the first differences of each target; what is not known comes after the images.
func merged(all [][]v1alpha1.FieldDiff, unknown []bool, shown []int) []v1alpha1.FieldDiff {
	var out []v1alpha1.FieldDiff
	for i := range all {
		switch {
		case shown[i] == 0:
		case unknown[i]:
			out = append(append(out, all[i][1:shown[i]]...), all[i][0])
		default:
			out = append(out, all[i][:shown[i]]...)
		}
	}
	return out
}

// fairly shows every target before a second difference of another, those of which least is known first, and says at the end what
// is left out: the evil one is not hidden by coming last.
func (l *life) fairly(all [][]v1alpha1.FieldDiff, unknown []bool, sum int) []v1alpha1.FieldDiff {
	order := make([]int, 0, len(all))
	for _, first := range []bool{true, false} {
		for i := range all {
			if unknown[i] == first {
				order = append(order, i)
			}
		}
	}
	shown, room := make([]int, len(all)), maxDiff-1
	for room > 0 {
		for _, i := range order {
			if room > 0 && shown[i] < len(all[i]) {
				shown[i]++
				room--
			}
		}
	}
	out := merged(all, unknown, shown)
	var hidden []string
	for i := range all {
		if shown[i] == 0 && len(all[i]) > 0 {
			hidden = append(hidden, nameOf(KeyOf(l.Change.Namespace, l.Change.Spec.Targets[i].Workload)))
		}
	}
	left := plural(sum-len(out), "more difference")
	if len(hidden) > 0 {
		left += ", of these none is shown of " + strings.Join(hidden, ", ")
	}
	return append(out, v1alpha1.FieldDiff{Path: configuration.MoreDiff, To: brief(left, maxLeftOut)})
}

// LeftOut says how many differences of a Change are not shown for want of room, as in "12 more differences"; empty: none.
func LeftOut(diff []v1alpha1.FieldDiff) string {
	for i := range diff {
		if d := &diff[i]; d.Path == configuration.MoreDiff || strings.HasSuffix(d.Path, ": "+configuration.MoreDiff) {
			return d.To
		}
	}
	return ""
}
