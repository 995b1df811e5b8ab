package apiserver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// One server after the other: this is the only package that needs more than one.

func TestUsersAndNamespaces(t *testing.T) {
	env := Start(t, WithEtcdQuota(64<<20))
	namespace := env.Namespace(t, map[string]string{"env": "production"})
	if other := env.Namespace(t, nil); other == namespace {
		t.Errorf("two namespaces have the name %s", other)
	}

	alice := env.Client(t, "alice", "developers")
	calendars := &v1alpha1.CalendarList{}
	if err := alice.List(t.Context(), calendars); !apierrors.IsForbidden(err) {
		t.Errorf("alice may list calendars before it was granted: %v", err)
	}
	env.Grant(t, "", Group("developers"), Allow("itil.dev", "calendars", "list"))
	if err := alice.List(t.Context(), calendars); err != nil {
		t.Errorf("alice may not list calendars although her group may: %v", err)
	}
	if err := env.Client(t, "alice").List(t.Context(), calendars); !apierrors.IsForbidden(err) {
		t.Errorf("alice without her group may list calendars: %v", err)
	}

	env.Grant(t, namespace, User("bob"), Allow("", "configmaps", "create"))
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "made-by-bob"}}
	if err := env.Client(t, "bob").Create(t.Context(), configMap); err != nil {
		t.Errorf("bob may not create a ConfigMap although he was granted it: %v", err)
	}
	env.Bind(t, namespace, User("carol"), "system:aggregate-to-view")
	if err := env.Client(t, "carol").Get(t.Context(), client.ObjectKeyFromObject(configMap), configMap); err != nil {
		t.Errorf("carol may not read a ConfigMap although she is bound to a role that may: %v", err)
	}
	if !strings.Contains(string(env.Kubeconfig(t, "dave")), "client-certificate-data") {
		t.Error("the kubeconfig of dave has no certificate")
	}
	if _, err := Launch(); err == nil {
		t.Error("a second API server was started beside the first")
	}
	t.Run("etcd without space", func(t *testing.T) { testNoSpace(t, env, namespace) })
}

func testNoSpace(t *testing.T, env *Env, namespace string) {
	t.Helper()
	written, err := env.Etcd().Fill(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	one := func() *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "one"}}
	}
	if err := env.Admin().Create(t.Context(), one()); err == nil || !strings.Contains(err.Error(), noSpace) {
		t.Errorf("after %d bytes an object is created: %v", written, err)
	}
	if err := env.Etcd().MakeRoom(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := env.Admin().Create(t.Context(), one()); err != nil {
		t.Errorf("nothing is created although there is room again: %v", err)
	}
	if size, err := env.Etcd().Size(t.Context()); err != nil || size > written {
		t.Errorf("its file has %d bytes of %d that were written, error %v", size, written, err)
	}
}

func TestWithoutMutatingAdmissionPolicy(t *testing.T) {
	dir := t.TempDir()
	manifests := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: shop}\n---\n" +
		"apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n---\n"
	if err := os.WriteFile(filepath.Join(dir, "shop.yaml"), []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte("resources: [shop.yaml]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := Start(t, WithMutatingAdmissionPolicy(false), WithObjects(dir))

	kind := schema.GroupKind{Group: "admissionregistration.k8s.io", Kind: "MutatingAdmissionPolicy"}
	if _, err := env.Admin().RESTMapper().RESTMapping(kind); !meta.IsNoMatchError(err) {
		t.Errorf("MutatingAdmissionPolicy is served although it is switched off: %v", err)
	}
	if err := env.Admin().Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "one"}, &corev1.ConfigMap{}); err != nil {
		t.Errorf("the folder's object was not applied: %v", err)
	}
	if err := env.awaitPolicies(t.Context(), false); err != nil {
		t.Errorf("validating policies do not come into force: %v", err)
	}
}

func TestPoliciesAreInForce(t *testing.T) {
	// Applied at once: they are refused until the server can mutate our kinds.
	env := Start(t, WithPolicies(), WithObjects(stamped(t)))
	namespace := env.Namespace(t, nil)
	change := &v1alpha1.Change{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "checkout"},
		Spec: v1alpha1.ChangeSpec{Summary: "Roll out checkout 2.4", Requester: "somebody", Targets: []v1alpha1.ChangeTarget{{
			Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"},
			Images:   map[string]v1alpha1.Image{"app": "registry.shop.example/checkout:2.4"},
		}}},
	}
	env.Grant(t, namespace, User("alice"), Allow("itil.dev", "changes", "create"))
	if err := env.Client(t, "alice").Create(t.Context(), change); err != nil {
		t.Fatalf("alice cannot create a Change: %v", err)
	}
	if change.Spec.Requester != "alice" {
		t.Errorf("the requester is %q, not stamped as alice", change.Spec.Requester)
	}
	change.Status.State = v1alpha1.ChangeClosed
	if err := env.Admin().Status().Update(t.Context(), change); !apierrors.IsForbidden(err) {
		t.Errorf("an administrator may write a status: %v", err)
	}
}

// stamped is a folder of objects into which the stamping policies write.
func stamped(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	manifests := `
apiVersion: itil.dev/v1alpha1
kind: Incident
metadata: {name: one, namespace: default}
spec: {title: Checkout refuses vouchers, serviceRef: {name: checkout}}
---
apiVersion: itil.dev/v1alpha1
kind: Change
metadata: {name: one, namespace: default}
spec:
  summary: Roll out checkout 2.4
  targets: [{workload: {kind: Deployment, name: checkout}, images: {app: "registry.shop.example/checkout:2.4"}}]
`
	if err := os.WriteFile(filepath.Join(dir, "stamped.yaml"), []byte(manifests), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMissingAssets(t *testing.T) {
	for name, test := range map[string]struct{ value, want string }{
		"variable not set": {"", "KUBEBUILDER_ASSETS is not set"},
		"empty folder":     {t.TempDir(), "names a folder without etcd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(assetsVariable, test.value)
			_, err := Launch()
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got error %v, want one with %q", err, test.want)
			}
			if !strings.Contains(err.Error(), "make test") {
				t.Errorf("the error does not say what to do: %v", err)
			}
		})
	}
}

func TestParseManifestsRefusesADuplicateKey(t *testing.T) {
	if _, err := ParseManifests([]byte("kind: A\nkind: B\n")); err == nil {
		t.Error("a document with the same key twice was read")
	}
}
