package change

import (
	"slices"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// preauthorisedBy says whether a policy pre-authorises a Change of type Standard. What it pins by template hash alone
// cannot be judged beforehand: a hash does not say which fields differ. Once approved it stays so while the policy
// has the rule: when it went in, its images are the baseline's, and follow it no more.
func (c *Candidate) preauthorisedBy(p *Part, in *Agreed, approved bool) bool {
	for i := range p.Standard {
		rule := &p.Standard[i]
		if rule.Suspended || rule.Name != c.StandardChange {
			continue
		}
		if approved {
			return true
		}
		if !slices.ContainsFunc(c.Targets, func(t Target) bool { return !rule.coversTarget(&t, in.Targets[t.Key]) }) {
			return true
		}
	}
	return false
}

func (s *StandardRule) coversTarget(t *Target, f TargetFact) bool {
	if t.TemplateHash != "" || len(t.Images) == 0 || !slices.Contains(s.Tiers, f.Tier) {
		return false
	}
	if !slices.Equal(t.Operations, []v1alpha1.Operation{v1alpha1.OperationTemplate}) {
		return false
	}
	for container, to := range t.Images {
		from, had := f.Images[container]
		if !had || !allows(s.Images, from, string(to)) {
			return false
		}
	}
	return true
}

// standardFor returns the pre-authorised change, of a policy, that a request is one of; nil: none. Old must be the
// current baseline, since that is what the rule compares with.
func (p *Part) standardFor(d *draft) *StandardRule {
	if d.request.Operation != Template && d.request.Operation != Release || d.baseline == nil {
		return nil
	}
	for i := range p.Standard {
		rule := &p.Standard[i]
		if !rule.Suspended && slices.Contains(rule.Tiers, d.tier()) && rule.coversImages(d) && rule.coversFields(d) {
			return rule
		}
	}
	return nil
}

func (s *StandardRule) coversImages(d *draft) bool {
	if len(d.request.New.Images) != len(d.baseline.Images) {
		return false
	}
	for container, to := range d.request.New.Images {
		from, had := d.baseline.Images[container]
		if !had || !allows(s.Images, from, to) {
			return false
		}
	}
	return true
}

// coversFields says whether the rule allows all parts of the template, other than images, that differ.
func (s *StandardRule) coversFields(d *draft) bool {
	if !d.otherFields {
		return true
	}
	r := d.request
	if r.Fields == nil || r.Old == nil || !d.isBaseline(r.Old) {
		return false
	}
	fields := r.Fields()
	for _, path := range fields {
		if !slices.ContainsFunc(s.Fields, func(f v1alpha1.TemplateField) bool { return holds(f, path) }) {
			return false
		}
	}
	return len(fields) > 0
}

// holds says whether a path of a template, as configuration.Diff writes it, lies in a part that a standard change may
// alter. Environment from other objects (envFrom, valueFrom) is none: it may bring in secrets.
func holds(f v1alpha1.TemplateField, path string) bool {
	switch f {
	case v1alpha1.TemplateFieldLabels:
		return within(path, "metadata.labels")
	case v1alpha1.TemplateFieldAnnotations:
		return within(path, "metadata.annotations")
	case v1alpha1.TemplateFieldResources:
		return within(inContainer(path), "resources")
	case v1alpha1.TemplateFieldEnv:
		field := inContainer(path)
		return within(field, "env") && !strings.Contains(field, "valueFrom")
	case v1alpha1.TemplateFieldProbes:
		field := inContainer(path)
		return within(field, "livenessProbe") || within(field, "readinessProbe") || within(field, "startupProbe")
	}
	return false
}

// inContainer returns the rest of a path within a container, empty where it is not in one. Names of containers have
// no brackets.
func inContainer(path string) string {
	for _, list := range []string{"spec.containers[", "spec.initContainers["} {
		if rest, found := strings.CutPrefix(path, list); found {
			if _, field, closed := strings.Cut(rest, "]."); closed {
				return field
			}
		}
	}
	return ""
}

// within says whether a path is a field or inside of it.
func within(path, field string) bool {
	rest, found := strings.CutPrefix(path, field)
	return found && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
