package cli_test

import (
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

var _ = Describe("The codes that scripts go by", func() {
	It("are those of docs/kubectl-itil.md, each failure with a next step", func(ctx SpecContext) {
		namespace := env.Namespace(GinkgoTB(), nil)
		carol := somebody(namespace, "carol", []string{"sre-leads"}, "itil-approver")
		dana := somebody(namespace, "dana", []string{"developers"}, "itil-viewer", "itil-editor")
		stranger := somebody(namespace, "stranger", nil)
		change := func(name string, alter func(*v1alpha1.Change)) {
			c := builder.MakeChange(namespace, name).Requester("alice").Target(v1alpha1.WorkloadDeployment, "checkout", newImage).
				Assessed(v1alpha1.RiskHigh).Alter(func(c *v1alpha1.Change) {
				c.Status.State = v1alpha1.ChangeAuthorize
				c.Status.Approvals = &v1alpha1.Approvals{Required: 1, Summary: "0/1"}
				alter(c)
			}).Obj()
			record(ctx, c)
		}
		change("open", func(*v1alpha1.Change) {})
		change("closed", func(c *v1alpha1.Change) {
			c.Status.State, c.Status.Outcome = v1alpha1.ChangeClosed, v1alpha1.OutcomeSuccessful
			c.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReviewed, Status: metav1.ConditionTrue, Reason: "NotRequired", LastTransitionTime: metav1.Now()}}
		})
		config, err := os.ReadFile(carol.kubeconfig)
		Expect(err).NotTo(HaveOccurred())
		broken := person{name: "broken", kubeconfig: filepath.Join(GinkgoT().TempDir(), "broken")}
		Expect(os.WriteFile(broken.kubeconfig, append([]byte("nonsense: ["), config...), 0o600)).To(Succeed())
		kustomized := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(kustomized, "kustomization.yaml"), []byte("resources: []\n"), 0o600)).To(Succeed())

		for _, c := range []struct {
			who       person
			code      exit.Code
			words     string
			arguments []string
		}{
			{carol, exit.OK, "Change " + namespace + "/open", []string{"change", "show", "open"}},
			{carol, exit.OK, "kubectl itil approve " + namespace + "/open", []string{"change", namespace + "/open"}},
			{carol, exit.OK, "open", []string{"changes"}},
			{carol, exit.OK, "Successful", []string{"change", "closed"}},

			{carol, exit.Failed, "does not answer", []string{"changes", "--server", "https://127.0.0.1:1"}},
			{broken, exit.Failed, "cannot use the kubeconfig", []string{"changes"}},
			{carol, exit.Failed, "context \"nowhere\" does not exist", []string{"changes", "--context", "nowhere"}},
			{dana, exit.Failed, "is given with -k", []string{"change", "new", "-f", kustomized}},

			{carol, exit.Usage, "there is no command", []string{"chagnes"}},
			{carol, exit.Usage, "unknown flag", []string{"changes", "--wdie"}},
			{carol, exit.Usage, "was given 0", []string{"approve"}},
			{carol, exit.Usage, "was given 1", []string{"changes", "all"}},
			{carol, exit.Usage, "--state must be one of", []string{"changes", "--state", "Done"}},
			{carol, exit.Usage, "is no time", []string{"changes", "--since", "yesterday"}},
			{carol, exit.Usage, "IANA", []string{"changes", "--zone", "Mars/Base"}},
			{carol, exit.Usage, "is no name", []string{"change", "show", "a/b/c"}},
			{carol, exit.Usage, "did you mean: kubectl itil change show", []string{"change", "shwo"}},
			{carol, exit.Usage, "bogus", []string{"changes", "-o", "bogus"}},

			{stranger, exit.NotPermitted, "itil-viewer", []string{"changes"}},
			{carol, exit.NotPermitted, "-n NAMESPACE instead of -A", []string{"changes", "-A"}},
			{stranger, exit.NotPermitted, "itil-viewer", []string{"change", "show", "open"}},
			{dana, exit.NotPermitted, "clusterrole=itil-approver", []string{"approve", "open", "--yes"}},
			{carol, exit.NotPermitted, "ClusterRole view", []string{"why", "deployment/checkout"}},

			{carol, exit.NotFound, "there is no Change", []string{"change", "none"}},
			{carol, exit.NotFound, "there is no Change", []string{"reject", "none", "--yes"}},

			{carol, exit.WrongState, "closed", []string{"approve", "closed", "--yes"}},
			{carol, exit.WrongState, "version", []string{"approve", "open", "--yes", "--digest", "v1:0000"}},
			{dana, exit.WrongState, "is not implemented", []string{"change", "review", "open", "--outcome", "Successful"}},

			{carol, exit.NotConfirmed, "no terminal", []string{"approve", "open"}},
		} {
			result := c.who.runs(ctx, namespace, c.arguments...)
			result.expect(c.code, c.words)
			if c.code != exit.OK {
				Expect(result.errOut).To(MatchRegexp(`(?m)^next:  \S`), "%v: %s", c.arguments, result.errOut)
			}
			Expect(result.out+result.errOut).NotTo(ContainSubstring("\x1b"), "colour where there is no terminal")
		}
	})
})
