package changes

import (
	"maps"
	"slices"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// pinning says how exact a target shall be.
type pinning string

const (
	// pinAuto: by images where nothing else differs and the policies allow it, else by the template's hash.
	pinAuto pinning = "auto"
	// pinImages: by images; what differs in anything else is refused.
	pinImages pinning = "images"
	// pinTemplate: by the template's hash.
	pinTemplate pinning = "template"
)

// pinnings are all of them.
var pinnings = []string{string(pinAuto), string(pinImages), string(pinTemplate)}

// pinned is a target that lets in exactly what a trial made.
type pinned struct {
	target v1alpha1.ChangeTarget
	// unchanged: it is what runs and is agreed; there is nothing to ask for.
	unchanged bool
	// beyondImages: more than images differs, so images alone would not cover it.
	beyondImages bool
}

// pin makes the target of a trial. Baseline is the newest that was agreed, nil where none is known; then what is live
// is taken for it.
func pin(t *trial, baseline *v1alpha1.Baseline, how pinning) pinned {
	out := pinned{target: v1alpha1.ChangeTarget{
		Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadKind(t.kind), Name: v1alpha1.ObjectName(t.name)},
	}}
	if t.after == nil {
		out.target.Operations = []v1alpha1.Operation{v1alpha1.OperationDelete}
		return out
	}
	after := t.template()
	if t.before == nil {
		out.target.Operations = []v1alpha1.Operation{v1alpha1.OperationCreate}
		out.beyondImages = true
		out.target.TemplateHash = v1alpha1.TemplateHash(after.Hash)
		out.target.Images = imagesOf(after.Images, nil)
		return out
	}
	out.target.Operations = []v1alpha1.Operation{v1alpha1.OperationTemplate}
	before := templateOf(t.before)
	base := baseOf(baseline, before)
	out.unchanged = after.Hash == before.Hash && base.is(after)
	out.beyondImages = !base.differsInImagesOnly(after)
	out.target.Images = imagesOf(after.Images, base.images)
	if how == pinTemplate || how == pinAuto && (out.beyondImages || len(out.target.Images) == 0) {
		out.target.TemplateHash = v1alpha1.TemplateHash(after.Hash)
	}
	return out
}

// base is what a template is compared with, as the gate compares it: the agreed baseline.
type base struct {
	images    map[string]string
	imageless []string
	is        func(configuration.Template) bool
}

func baseOf(baseline *v1alpha1.Baseline, live configuration.Template) base {
	if baseline == nil {
		return base{
			images: live.Images, imageless: []string{live.ImagelessHash},
			is: func(t configuration.Template) bool { return t.Hash == live.Hash },
		}
	}
	b := base{
		images: baseline.Images, imageless: []string{baseline.ImagelessHash},
		is: func(t configuration.Template) bool { return t.IsBaseline(*baseline, nil) },
	}
	if live.IsBaseline(*baseline, nil) {
		// The baseline's own hash may leave annotations out that a policy ignores; the live one's does not.
		b.imageless = append(b.imageless, live.ImagelessHash)
		b.is = func(t configuration.Template) bool { return t.Hash == live.Hash || t.IsBaseline(*baseline, nil) }
	}
	return b
}

func (b base) differsInImagesOnly(t configuration.Template) bool {
	return slices.Contains(b.imageless, t.ImagelessHash)
}

// imagesOf are the images that differ from those before.
func imagesOf(after, before map[string]string) map[string]v1alpha1.Image {
	images := map[string]v1alpha1.Image{}
	for container, image := range after {
		if previous, had := before[container]; (!had || previous != image) && image != "" {
			images[container] = v1alpha1.Image(image)
		}
	}
	if len(images) == 0 {
		return nil
	}
	return images
}

// tagged names the images of a target that a tag names, and which the registry may therefore exchange.
func tagged(t *v1alpha1.ChangeTarget) []string {
	var out []string
	for _, container := range slices.Sorted(maps.Keys(t.Images)) {
		if image := string(t.Images[container]); !strings.Contains(image, "@sha256:") && !strings.Contains(image, "@sha512:") {
			out = append(out, image)
		}
	}
	return out
}

// agreed is the newest baseline that somebody or some rule let in; nil where none is known.
func agreed(baselines []v1alpha1.Baseline) *v1alpha1.Baseline {
	for i := range baselines {
		if baselines[i].Source != v1alpha1.BaselineUnauthorized {
			return &baselines[i]
		}
	}
	return nil
}

// summaryOf says in one line what targets ask for.
func summaryOf(targets []v1alpha1.ChangeTarget, before map[v1alpha1.WorkloadReference]map[string]string) string {
	if len(targets) == 1 {
		t := &targets[0]
		name := string(t.Workload.Kind) + " " + string(t.Workload.Name)
		switch {
		case slices.Contains(t.Operations, v1alpha1.OperationDelete):
			return "Delete " + name
		case slices.Contains(t.Operations, v1alpha1.OperationCreate):
			return "Create " + name
		case len(t.Images) == 0:
			return "Change the pod template of " + name
		}
		var parts []string
		for _, container := range slices.Sorted(maps.Keys(t.Images)) {
			part := container + " to " + string(t.Images[container])
			if old := before[t.Workload][container]; old != "" {
				part = container + " from " + old + " to " + string(t.Images[container])
			}
			parts = append(parts, part)
		}
		return name + ": " + strings.Join(parts, ", ")
	}
	names := make([]string, 0, len(targets))
	for i := range targets {
		names = append(names, string(targets[i].Workload.Kind)+" "+string(targets[i].Workload.Name))
	}
	return "Change " + strings.Join(names, ", ")
}
