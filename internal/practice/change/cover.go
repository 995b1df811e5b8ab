package change

import (
	"fmt"
	"maps"
	"slices"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// covers says whether a Change allows a request: it is agreed to and may go in now, and a target names the workload,
// the operation and exactly this template. With a report it names all that is not so; without one it stops at the
// first, and allocates nothing.
func (g *gate) covers(c *Candidate, r *Request, w *World, rep *report) bool {
	t := c.targetOf(r.Key)
	if t == nil {
		return rep.fail(CauseNoChange, c.Name, "", "%s is not among its targets", nameOf(r.Key))
	}
	switch { // of what has ended, nothing else matters
	case c.Ended == EndedBackedOut:
		return c.ready(rep.about(c.Name))
	case undone(c.Name, w.Baselines):
		return rep.fail(CauseEnded, c.Name, "", "it was rolled back; going forward again needs another Change")
	}
	ok := t.matches(r, w, g.rules, rep.about(c.Name))
	if !ok && rep == nil {
		return false
	}
	ok = c.inPhase(r.Key, rep.about(c.Name)) && ok
	if !ok && rep == nil {
		return false
	}
	ok = g.separated(c, r, rep) && ok
	if !ok && rep == nil {
		return false
	}
	return g.admits(c, t, rep.about(c.Name)) && ok
}

// inPhase says whether it is the turn of a workload that is a unit of a Release: one that has it as a unit lets it in,
// or none has.
func (c *Candidate) inPhase(key configuration.Key, rep *report) bool {
	if slices.ContainsFunc(c.Releases, func(r ReleaseFact) bool { return slices.Contains(r.Open, key) }) {
		return true
	}
	ok := true
	for i := range c.Releases {
		if r := &c.Releases[i]; slices.Contains(r.Units, key) {
			ok = rep.fail(CauseReleasePhase, "", "", "it belongs to Release %s: %s", r.Name, r.Why)
		}
	}
	return ok
}

// targetOf returns the target that is a workload; nil: none is.
func (c *Candidate) targetOf(key configuration.Key) *Target {
	for i := range c.Targets {
		if c.Targets[i].Key == key {
			return &c.Targets[i]
		}
	}
	return nil
}

// matches says whether a target is about what a request does, and exact enough.
func (t *Target) matches(r *Request, w *World, rules *Rules, rep *report) bool {
	ok := t.about(r, w, rules, rep)
	if r.New == nil || !ok && rep == nil {
		return ok
	}
	return t.pinned(r.New, agreed(w.Baselines), rules, rep) && ok
}

// about says whether a target is about what a request does.
func (t *Target) about(r *Request, w *World, rules *Rules, rep *report) bool {
	ok := true
	if !slices.Contains(t.Operations, r.Operation.Asks()) {
		if rep == nil {
			return false
		}
		ok = rep.fail(CauseOtherOperation, "", "", "it asks for %s, not for %s", operationNames(t.Operations), r.Operation.Asks())
	}
	if r.Operation == Delete {
		return ok
	}
	if r.New == nil {
		return rep.fail(CauseInvalid, "", "", "the request has no template")
	}
	return t.allows(r.New, agreed(w.Baselines), rules, rep) && ok
}

// agreed returns the newest baseline that somebody or some rule let in; nil: none.
func agreed(baselines []v1alpha1.Baseline) *v1alpha1.Baseline {
	for i := range baselines {
		if baselines[i].Source != v1alpha1.BaselineUnauthorized {
			return &baselines[i]
		}
	}
	return nil
}

// operates says whether a target asks for anything that can be done to a workload that is there, or is not.
func (t *Target) operates(exists bool, rep *report) bool {
	for _, o := range t.Operations {
		if (o == v1alpha1.OperationCreate) != exists {
			return true
		}
	}
	if exists {
		return rep.fail(CauseOtherOperation, "", "", "it asks for %s alone, and %s exists", operationNames(t.Operations), nameOf(t.Key))
	}
	return rep.fail(CauseOtherOperation, "", "", "there is no %s, and it does not ask for %s", nameOf(t.Key), v1alpha1.OperationCreate)
}

// exact says whether a target, for itself, is exact enough: any template that it allows is refused where it is not.
func (t *Target) exact(base *v1alpha1.Baseline, rules *Rules, rep *report) bool {
	ok := t.pinsTemplate(rules, rep)
	if !ok && rep == nil {
		return false
	}
	if t.TemplateHash == "" {
		ok = t.comparable(base, rep) && ok
	}
	if !ok && rep == nil || !rules.Digests {
		return ok
	}
	return byDigest(t.Images, base, rep) && ok
}

// pinsTemplate says whether a target pins by template hash where the policies demand that.
func (t *Target) pinsTemplate(rules *Rules, rep *report) bool {
	if rules.Pin != v1alpha1.PinTemplate || t.TemplateHash != "" {
		return true
	}
	return rep.fail(CauseNotPinned, "", "spec.targets.templateHash", "the ChangePolicy wants targets pinned by templateHash")
}

// comparable says whether it can be told what a target allows that pins no template hash.
func (t *Target) comparable(base *v1alpha1.Baseline, rep *report) bool {
	switch {
	case len(t.Images) == 0:
		return rep.fail(CauseOtherTemplate, "", "spec.template", "it names neither images nor a templateHash")
	case base == nil:
		return rep.fail(CauseOtherTemplate, "", "spec.template",
			"it names images alone, which needs a baseline to compare with; the workload has none, so pin templateHash")
	}
	return true
}

// pinned says whether a target is as exact as the policies demand.
func (t *Target) pinned(to *configuration.Template, base *v1alpha1.Baseline, rules *Rules, rep *report) bool {
	ok := t.pinsTemplate(rules, rep)
	if !ok && rep == nil || !rules.Digests {
		return ok
	}
	// A volume's image is no image that a target names; the rest of the template tells whether it is the baseline's.
	if len(to.TaggedVolumes) > 0 && (base == nil || base.ImagelessHash != to.ImagelessHash) {
		if rep == nil {
			return false
		}
		ok = rep.fail(CauseNotPinned, "", "spec.template.spec.volumes", "the ChangePolicy wants images by digest, and %s has none", list(to.TaggedVolumes))
	}
	return byDigest(to.Images, base, rep) && ok
}

// byDigest says whether all images that are not the baseline's are named by digest.
func byDigest[V ~string](images map[string]V, base *v1alpha1.Baseline, rep *report) bool {
	if rep == nil {
		for container, image := range images {
			if unpinned(container, string(image), base) {
				return false
			}
		}
		return true
	}
	ok := true
	for _, container := range slices.Sorted(maps.Keys(images)) {
		if image := string(images[container]); unpinned(container, image, base) {
			ok = rep.fail(CauseNotPinned, "", imageField(container),
				"the ChangePolicy wants images by digest, and %s=%s has none", container, image)
		}
	}
	return ok
}

// unpinned says whether an image that is not the baseline's has no digest.
func unpinned(container, image string, base *v1alpha1.Baseline) bool {
	return !hasDigest(image) && (base == nil || base.Images[container] != image)
}

// allows says whether a target allows a template: exactly the one it pins, or the current baseline but for exactly
// the images that it names.
func (t *Target) allows(to *configuration.Template, base *v1alpha1.Baseline, rules *Rules, rep *report) bool {
	prefixes := rules.IgnoredAnnotationPrefixes
	ok := true
	if t.TemplateHash != "" {
		if !to.Is(t.TemplateHash, prefixes) {
			ok = rep.fail(CauseOtherTemplate, "", "spec.template", "it pins template %s", shortDigest(t.TemplateHash))
		}
		return t.namesImages(to, nil, rep) && ok
	}
	switch {
	case !t.comparable(base, rep):
		return false
	case base.ImagelessHash == "" || base.ImagelessHash != to.ImagelessHash && base.ImagelessHash != to.Ignoring(prefixes).ImagelessHash:
		ok = rep.fail(CauseOtherTemplate, "", "spec.template",
			"it names images alone, and more of the template differs from the baseline: that needs templateHash")
		if rep == nil {
			return false
		}
	}
	return t.namesImages(to, base.Images, rep) && ok
}

// namesImages says whether a template has each image that the target names, and else, where there is a baseline, the
// baseline's.
func (t *Target) namesImages(to *configuration.Template, base map[string]string, rep *report) bool {
	if rep == nil {
		for container, image := range t.Images {
			if got, has := to.Images[container]; !has || got != string(image) {
				return false
			}
		}
		for container, image := range to.Images {
			if _, named := t.Images[container]; !named && base != nil && base[container] != image {
				return false
			}
		}
		return true
	}
	ok := true
	for _, container := range slices.Sorted(maps.Keys(t.Images)) {
		switch got, has := to.Images[container]; {
		case !has:
			ok = rep.fail(CauseOtherTemplate, "", imageField(container), "it names container %s, which the template does not have", container)
		case got != string(t.Images[container]):
			ok = rep.fail(CauseOtherTemplate, "", imageField(container), "it allows image %s=%s", container, t.Images[container])
		}
	}
	for _, container := range slices.Sorted(maps.Keys(to.Images)) {
		if _, named := t.Images[container]; !named && base != nil && base[container] != to.Images[container] {
			ok = rep.fail(CauseOtherTemplate, "", imageField(container),
				"it does not name container %s, whose image differs from the baseline's %s", container, base[container])
		}
	}
	return ok
}

func imageField(container string) string {
	return fmt.Sprintf("spec.template.spec.containers[%s].image", plain(container))
}

func operationNames(operations []v1alpha1.Operation) string {
	names := make([]string, 0, len(operations))
	for _, o := range operations {
		names = append(names, string(o))
	}
	return list(names)
}
