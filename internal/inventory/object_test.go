package inventory_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func TestTransformWorkload(t *testing.T) {
	u := builder.MakeDeployment("shop", "checkout").Env("BIG", strings.Repeat("x", 10_000)).Unstructured()
	u.SetResourceVersion("7")
	want := configuration.ParseTemplate("Deployment", configuration.RawTemplate(u.Object)).Hash
	once, err := inventory.TransformWorkload(u)
	if err != nil {
		t.Fatal(err)
	}
	o, ok := once.(*inventory.Object)
	if !ok {
		t.Fatalf("transformed into %T", once)
	}
	if o.Workload == nil || o.Workload.Template.Hash != want {
		t.Errorf("workload is %+v, want hash %s", o.Workload, want)
	}
	if cacheKey, err := toolscache.MetaNamespaceKeyFunc(o); err != nil || cacheKey != "shop/checkout" || o.ResourceVersion != "7" {
		t.Errorf("the cache would keep it as %q (%v), version %s", cacheKey, err, o.ResourceVersion)
	}
	twice, err := inventory.TransformWorkload(once)
	if err != nil || twice != once {
		t.Errorf("transforming it again altered it: %v", err)
	}
	var copied client.Object
	copied, ok = o.DeepCopyObject().(client.Object)
	if !ok || copied.GetName() != "checkout" || copied == client.Object(o) {
		t.Errorf("its copy is %v", copied)
	}
}

func TestTransformLeavesOthersAlone(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}}}
	gone := toolscache.DeletedFinalStateUnknown{Key: "a/b", Obj: &inventory.Object{}}
	for _, in := range []any{pod, gone, nil} {
		if out, err := inventory.TransformWorkload(in); err != nil || out != in {
			t.Errorf("%T became %T (%v)", in, out, err)
		}
	}
	if pod.ManagedFields != nil {
		t.Error("managed fields were kept")
	}
	nonsense, err := inventory.TransformWorkload(builder.Unstructured(&corev1.ConfigMap{}, corev1.SchemeGroupVersion.WithKind("ConfigMap")))
	if o, ok := nonsense.(*inventory.Object); err != nil || !ok || o.Workload != nil {
		t.Errorf("a ConfigMap became %v (%v)", nonsense, err)
	}
	if len(inventory.CacheByObject()) != 5 {
		t.Errorf("%d kinds are transformed", len(inventory.CacheByObject()))
	}
}
