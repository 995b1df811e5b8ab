package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/config/crd"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

type schema = apiextensionsv1.JSONSchemaProps

// definitions of our kinds as they are built in.
func definitions(t *testing.T) []*apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	all, err := crd.All()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var redefinitions atomic.Int64

// redefine alters the schema of a kind, from what is built in, and returns when the API server goes by it. It is as it
// was when the test ends; nil alters nothing.
func redefine(t *testing.T, builtIn *apiextensionsv1.CustomResourceDefinition, alter func(*schema)) {
	t.Helper()
	if alter != nil {
		t.Cleanup(func() { redefineNow(context.Background(), t, builtIn, nil) })
	}
	redefineNow(t.Context(), t, builtIn, alter)
}

func redefineNow(ctx context.Context, t *testing.T, builtIn *apiextensionsv1.CustomResourceDefinition, alter func(*schema)) {
	t.Helper()
	wanted := builtIn.DeepCopy().Spec.Versions
	root := wanted[0].Schema.OpenAPIV3Schema
	if alter != nil {
		alter(root)
	}
	// A field that nobody writes tells which version the API server goes by.
	mark := fmt.Sprintf("redefinition%d", redefinitions.Add(1))
	set(root, "spec", func(s *schema) { s.Properties[mark] = schema{Type: "string"} })
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		live := &apiextensionsv1.CustomResourceDefinition{}
		if err := env.Admin().Get(ctx, client.ObjectKey{Name: builtIn.Name}, live); err != nil {
			return err
		}
		live.Spec.Versions = wanted
		return env.Admin().Update(ctx, live)
	})
	if err != nil {
		t.Fatal(err)
	}
	probe := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{mark: ""}}}
	probe.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(builtIn.Spec.Names.Kind))
	probe.SetName("probe")
	if builtIn.Spec.Scope == apiextensionsv1.NamespaceScoped {
		probe.SetNamespace(metav1.NamespaceDefault)
	}
	NewWithT(t).Eventually(func() error {
		err := env.Admin().Create(ctx, probe.DeepCopy(), client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
		// It may be refused for what it lacks, but not for what it has.
		if apierrors.IsInvalid(err) {
			return nil
		}
		return err
	}, patience).Should(Succeed(), "the API server goes by %s as it was", builtIn.Name)
}

// set alters a property: its path goes through properties, and through lists as if they were what they hold.
func set(s *schema, path string, alter func(*schema)) {
	for s.Items != nil {
		s = s.Items.Schema
	}
	name, rest, deeper := strings.Cut(path, ".")
	property, exists := s.Properties[name]
	if !exists {
		panic("no field " + path)
	}
	if deeper {
		set(&property, rest, alter)
	} else {
		for inner := &property; ; inner = inner.Items.Schema {
			if inner.Items == nil {
				alter(inner)
				break
			}
		}
	}
	s.Properties[name] = property
}

// take removes a field, as from a schema that was written before it.
func take(path string) func(*schema) {
	at, name := path[:strings.LastIndex(path, ".")], path[strings.LastIndex(path, ".")+1:]
	return func(root *schema) {
		set(root, at, func(s *schema) {
			if _, exists := s.Properties[name]; !exists {
				panic("no field " + path)
			}
			delete(s.Properties, name)
			s.XValidations = nil // they may be about it
		})
		set(root, strings.Split(path, ".")[0], func(s *schema) { s.XValidations = nil })
		root.XValidations = nil
	}
}

// refusals counts writes of ours that the API server refused for what they hold.
type refusals struct{ count atomic.Int64 }

func (r *refusals) middleware(next http.RoundTripper) http.RoundTripper {
	return replica.RoundTripperFunc(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err == nil && response.StatusCode == http.StatusUnprocessableEntity && replica.TargetOf(request).Group == v1alpha1.GroupVersion.Group {
			r.count.Add(1)
		}
		return response, err
	})
}

// TestOlderDefinitionsAreRefused starts the operator on definitions each of which lacks something.
func TestOlderDefinitionsAreRefused(t *testing.T) {
	ensureOperatorNamespace(t)
	for _, builtIn := range definitions(t) {
		redefine(t, builtIn, take("status.conditions"))
	}
	r, err := replica.New(replica.Config{REST: env.AdminConfig(), Namespace: operatorNamespace, Machine: clock.RealClock{}})
	if err == nil {
		_ = r.Stop()
		t.Fatal("it starts on definitions that lack what it writes")
	}
	for _, builtIn := range definitions(t) {
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring(builtIn.Name + " lacks v1alpha1: status.conditions")))
	}
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("make install")), "it does not say what to do")
}

// TestDefinitionsGrowOlder takes fields from the definition of Incidents while the operator runs and workloads fail, as by a
// bundle of the version before that is applied again. What does not fit is refused as a whole, and recorded once the
// definition is mended: no Incident is missing then, and none is there twice.
func TestDefinitionsGrowOlder(t *testing.T) {
	w := newWorld(t, size(3, 10))
	var incidents *apiextensionsv1.CustomResourceDefinition
	for _, d := range definitions(t) {
		if d.Spec.Names.Kind == "Incident" {
			incidents = d
		}
	}
	refused := &refusals{}
	f := newFleet(t, w, 1, func(c *replica.Config) { c.Between = []replica.Middleware{refused.middleware} })
	ctx := t.Context()
	w.round(ctx)
	// Such as a version adds. Without what the life of an Incident is reckoned from, its state for one, there is none.
	fields := []string{
		"status.summary", "status.nextStep", "status.conditions", "status.observedGeneration", "status.fingerprint", "status.signals.pods",
		"status.signals.message",
	}
	w.random.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
	for _, field := range fields[:size(2, len(fields))] {
		before := refused.count.Load()
		redefine(t, incidents, take(field))
		failing := w.some()
		for _, one := range failing {
			w.must(w.begin(ctx, one))
		}
		w.g.Eventually(refused.count.Load).Should(BeNumerically(">", before), "an Incident is recorded without %s", field)
		redefine(t, incidents, nil)
		w.agrees(ctx, "when Incidents have "+field+" again")
		for _, one := range failing {
			w.must(w.end(ctx, one))
		}
		w.agrees(ctx, "when they have recovered, and Incidents have "+field+" again")
	}
	w.stays(ctx)
	if n := f.slots[0].count(); n != 1 {
		t.Errorf("%d replicas were started: it did not survive", n)
	}
	t.Logf("%d writes refused", refused.count.Load())
}
