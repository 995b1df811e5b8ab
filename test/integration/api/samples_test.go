package api_test

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

var _ = Describe("config/samples", Ordered, func() {
	var samples []*unstructured.Unstructured

	apply := func(ctx SpecContext, object *unstructured.Unstructured) string {
		GinkgoHelper()
		applied := object.DeepCopy()
		Expect(strictly().Apply(ctx, client.ApplyConfigurationFromUnstructured(applied), client.FieldOwner("reader"))).
			To(Succeed(), "%s %s", object.GetKind(), object.GetName())
		live := &unstructured.Unstructured{}
		live.SetGroupVersionKind(object.GroupVersionKind())
		Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(object), live)).To(Succeed())
		return live.GetResourceVersion()
	}

	BeforeAll(func() {
		var err error
		samples, err = apiserver.ReadManifests(inRepository("config", "samples"))
		Expect(err).NotTo(HaveOccurred())
	})

	It("can be applied, and applying them again changes nothing", func(ctx SpecContext) {
		versions := map[*unstructured.Unstructured]string{}
		for _, sample := range samples {
			versions[sample] = apply(ctx, sample)
		}
		for _, sample := range samples {
			Expect(apply(ctx, sample)).To(Equal(versions[sample]), "%s %s was written again", sample.GetKind(), sample.GetName())
		}
	})

	It("shows every kind that people write", func(ctx SpecContext) {
		shown := map[string]bool{"ConfigurationItem": true} // the operator alone writes it
		for _, sample := range samples {
			shown[sample.GetKind()] = true
		}
		for kind := range definitions(ctx) {
			Expect(shown).To(HaveKey(kind), "config/samples has no %s", kind)
		}
	})

	It("are all listed in the kustomization, but for the vote that only its approver can cast", func() {
		content, err := os.ReadFile(inRepository("config", "samples", "kustomization.yaml"))
		Expect(err).NotTo(HaveOccurred())
		var kustomization struct{ Resources []string }
		Expect(yaml.Unmarshal(content, &kustomization)).To(Succeed())
		files, err := filepath.Glob(inRepository("config", "samples", "[0-9]*.yaml"))
		Expect(err).NotTo(HaveOccurred())
		var names []string
		for _, file := range files {
			names = append(names, filepath.Base(file))
		}
		Expect(append(kustomization.Resources, "61-changeapproval.yaml")).To(ConsistOf(names))
	})
})

var _ = Describe("config/samples-invalid", func() {
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "config", "samples-invalid", "*.yaml"))
	if err != nil || len(files) < 24 {
		panic("config/samples-invalid has too few files for this test to mean anything")
	}
	for _, file := range files {
		It("refuses "+filepath.Base(file), func(ctx SpecContext) {
			content, err := os.ReadFile(file)
			Expect(err).NotTo(HaveOccurred())
			first, _, err := bufio.NewReader(bytes.NewReader(content)).ReadLine()
			Expect(err).NotTo(HaveOccurred())
			message, marked := strings.CutPrefix(string(first), "# refused: ")
			Expect(marked).To(BeTrue(), "the first line must be a comment: # refused: <a part of the message>")
			Expect(strings.TrimSpace(message)).NotTo(BeEmpty())

			objects, err := apiserver.ParseManifests(content)
			Expect(err).NotTo(HaveOccurred())
			Expect(objects).To(HaveLen(1), "one object in a file, so that it is clear what is refused")
			err = strictly().Create(ctx, objects[0], client.DryRunAll)
			Expect(err).To(HaveOccurred(), "it was accepted")
			Expect(complaint(err)).To(ContainSubstring(message))
			Expect(refusedFields(err)).To(HaveLen(1), "one field is wrong in a file, so that it is clear what is refused: %v", err)
		})
	}
})

// complaint is the whole message of an API error.
func complaint(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return status.Status().Message
	}
	return err.Error()
}

// refusedFields are the fields that an API error names. The API server evaluates no CEL rule of an object whose types are
// wrong, and says so as if it were another cause.
func refusedFields(err error) []string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return []string{err.Error()}
	}
	var named []string
	for _, cause := range status.Status().Details.Causes {
		if !strings.Contains(cause.Message, "some validation rules were not checked") && !slices.Contains(named, cause.Field) {
			named = append(named, cause.Field)
		}
	}
	if len(named) == 0 { // strict decoding names no causes
		return []string{status.Status().Message}
	}
	return named
}
