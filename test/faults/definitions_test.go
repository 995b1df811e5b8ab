package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/config/crd"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
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

// grow is what a newer version does to a schema: fields with and without a default, and values.
func grow(root *schema) {
	for _, part := range []string{"spec", "status"} {
		if _, has := root.Properties[part]; !has {
			continue
		}
		set(root, part, func(s *schema) {
			enlarge(s)
			s.Properties["givenByNewer"] = schema{Type: "string", Default: &apiextensionsv1.JSON{Raw: []byte(`"given"`)}}
			s.Properties["saidByNewer"] = schema{Type: "string"}
			s.Required = append(s.Required, "givenByNewer")
		})
	}
}

const newerValue = "OfNewer"

// enlarge adds a value to every enum.
func enlarge(s *schema) {
	if len(s.Enum) > 0 {
		s.Enum = append(s.Enum, apiextensionsv1.JSON{Raw: []byte(strconv.Quote(newerValue))})
	}
	for name, property := range s.Properties {
		enlarge(&property)
		s.Properties[name] = property
	}
	if s.Items != nil {
		enlarge(s.Items.Schema)
	}
}

// TestNewerDefinitions runs the operator on definitions of a version after it, whose replica recorded something that this
// one does not know, and then went.
func TestNewerDefinitions(t *testing.T) {
	w := newWorld(t, 3)
	for _, builtIn := range definitions(t) {
		redefine(t, builtIn, grow)
	}
	ctx := t.Context()
	counter := &replica.Counter{}
	f := newFleet(t, w, 1, func(c *replica.Config) { c.Between = []replica.Middleware{counter.Middleware} })
	objects := w.oneOfEach(ctx)
	w.round(ctx)
	incidents, err := w.all(ctx)
	w.must(err)
	for _, of := range incidents {
		for _, i := range of {
			objects = append(objects, object(i, "Incident"))
		}
	}
	for _, o := range objects {
		w.must(env.Admin().Status().Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(`{"status":{"saidByNewer":"kept"}}`))))
	}
	w.round(ctx)
	w.stays(ctx)
	w.settles(ctx, counter)
	for _, o := range objects {
		w.keptWhatIsNotOurs(ctx, o)
	}
	// States that this version does not know are computed again, those of Calendars once they are edited.
	for _, o := range objects {
		err := env.Admin().Status().Patch(ctx, o, client.RawPatch(types.MergePatchType, []byte(`{"status":{"state":"`+newerValue+`"}}`)))
		if err != nil && !apierrors.IsInvalid(err) {
			t.Error(err)
		}
	}
	w.g.Eventually(func(g Gomega) {
		for _, o := range objects {
			if o.GetKind() == "Calendar" {
				continue
			}
			g.Expect(env.Admin().Get(ctx, keyOf(o), o)).To(Succeed())
			state, _, _ := unstructured.NestedString(o.Object, "status", "state")
			g.Expect(state).NotTo(Equal(newerValue), "%s %s", o.GetKind(), o.GetName())
		}
	}).Should(Succeed())
	w.agrees(ctx, "when states of a newer version were replaced")
	w.settles(ctx, counter)
	for _, o := range objects {
		w.keptWhatIsNotOurs(ctx, o)
	}
	if n := panics(t); n > 0 {
		t.Errorf("%d reconciles panicked", n)
	}
	if n := f.slots[0].count(); n != 1 {
		t.Errorf("%d replicas were started: it did not survive", n)
	}
}

func object(o client.Object, kind string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	u.SetNamespace(o.GetNamespace())
	u.SetName(o.GetName())
	return u
}

// oneOfEach kind that people write, with values that only the newer version knows where that says what it is to do.
func (w *world) oneOfEach(ctx context.Context) []*unstructured.Unstructured {
	w.t.Helper()
	manifests, err := apiserver.ParseManifests([]byte(`
apiVersion: itil.dev/v1alpha1
kind: Service
metadata: {name: shop}
spec:
  owner: {team: shop}
  tier: 1
  workloads: [{kind: Deployment, name: w0}]
  changeControl: {enforcement: ` + newerValue + `}
---
apiVersion: itil.dev/v1alpha1
kind: ServiceLevelAgreement
metadata: {name: shop}
spec: {serviceRef: {name: shop}, availability: {target: "99.9"}, period: {type: ` + newerValue + `}}
---
apiVersion: itil.dev/v1alpha1
kind: Change
metadata: {name: shop}
spec:
  summary: Roll out the shop
  requester: alice
  type: ` + newerValue + `
  targets: [{workload: {kind: Deployment, name: w0}, images: {app: "registry.shop.example/app:2"}}]
---
apiVersion: itil.dev/v1alpha1
kind: Release
metadata: {name: shop}
spec:
  version: "2"
  requester: alice
  strategy: ` + newerValue + `
  units: [{name: app, workload: {kind: Deployment, name: w0}, images: {app: "registry.shop.example/app:2"}}]
  phases: [{name: all, units: ["*"]}]
  change: {type: Normal, summary: Version 2 of the shop}
---
apiVersion: itil.dev/v1alpha1
kind: Problem
metadata: {name: shop}
spec: {statement: The shop is slow, serviceRef: {name: shop}}
---
apiVersion: itil.dev/v1alpha1
kind: ChangePolicy
metadata: {name: newer}
spec: {enforcement: ` + newerValue + `, namespaceSelector: {matchLabels: {nobody: has-it}}}
---
apiVersion: itil.dev/v1alpha1
kind: Calendar
metadata: {name: newer}
spec: {timeZone: Europe/Vienna, weekly: [{days: [Mon], from: "08:00", to: "17:00"}]}
`))
	w.must(err)
	for _, o := range manifests {
		if kind := o.GetKind(); kind != "ChangePolicy" && kind != "Calendar" {
			o.SetNamespace(w.namespace)
		}
		w.must(env.Admin().Create(ctx, o))
		w.t.Cleanup(func() { _ = env.Admin().Delete(context.Background(), o) })
	}
	return manifests
}

// settles waits until nothing is written for some minutes of the operator's clock.
func (w *world) settles(ctx context.Context, counter *replica.Counter) {
	w.t.Helper()
	w.g.Eventually(func() error {
		counter.Reset()
		if !pause(ctx, w.clock.Real(3*time.Minute)) {
			return ctx.Err()
		}
		if n := counter.Total(); n > 0 {
			return fmt.Errorf("%d writes although nothing happens: %v", n, counter.Most(5))
		}
		return nil
	}).Should(Succeed())
}

// keptWhatIsNotOurs checks what another version wrote.
func (w *world) keptWhatIsNotOurs(ctx context.Context, o *unstructured.Unstructured) {
	w.t.Helper()
	w.must(env.Admin().Get(ctx, keyOf(o), o))
	said, _, _ := unstructured.NestedString(o.Object, "status", "saidByNewer")
	given, _, _ := unstructured.NestedString(o.Object, "status", "givenByNewer")
	inSpec, _, _ := unstructured.NestedString(o.Object, "spec", "givenByNewer")
	if said != "kept" || given != "given" || inSpec != "given" {
		w.t.Errorf("%s %s lost what a newer version wrote: status.saidByNewer is %q, status.givenByNewer %q, spec.givenByNewer %q", o.GetKind(), o.GetName(), said, given, inSpec)
	}
}
