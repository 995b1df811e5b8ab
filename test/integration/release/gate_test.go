package release_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	changepractice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// gate decides about a Deployment with an image, as the admission handler does.
func (s *shop) gate(ctx SpecContext, name, image string) changepractice.Verdict {
	GinkgoHelper()
	d := s.deployment(ctx, name)
	w, exists := s.inventory.Workload(s.key(name))
	Expect(exists).To(BeTrue())
	d.Spec.Template.Spec.Containers[0].Image = image
	next := configuration.ParseTemplate("Deployment", templateOf(d))
	r := &changepractice.Request{
		Operation: changepractice.Template, Key: s.key(name), User: changepractice.User{Name: "flux"}, Old: &w.Template, New: &next,
	}
	return changepractice.Decide(r, s.inventory.World(r), s.clock.Now()).Verdict
}

func (s *shop) setImage(ctx SpecContext, name, image string) {
	GinkgoHelper()
	d := s.deployment(ctx, name)
	d.Spec.Template.Spec.Containers[0].Image = image
	Expect(env.Admin().Update(ctx, d)).To(Succeed())
}

// owner are the field managers of a Deployment.
func (s *shop) owner(ctx SpecContext, name string) []string {
	GinkgoHelper()
	var out []string
	for _, entry := range s.deployment(ctx, name).ManagedFields {
		out = append(out, entry.Manager)
	}
	return out
}
