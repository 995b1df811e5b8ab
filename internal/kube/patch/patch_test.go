package patch_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

func service() *v1alpha1.Service {
	s := builder.MakeService("shop", "checkout").Obj()
	s.Status.Health = v1alpha1.HealthOperational
	return s
}

// server is a fake client that takes down the patches it is sent.
func server(t *testing.T, sent *[]map[string]any) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.Service{}).
		WithObjects(service()).
		WithInterceptorFuncs(interceptor.Funcs{
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				data, err := p.Data(obj)
				if err != nil {
					return err
				}
				var m map[string]any
				if err := json.Unmarshal(data, &m); err != nil {
					return err
				}
				*sent = append(*sent, m)
				return c.SubResource(sub).Patch(ctx, obj, p, opts...)
			},
		}).Build()
}

func TestStatusWritesWhatDiffers(t *testing.T) {
	var sent []map[string]any
	c := server(t, &sent)
	before := &v1alpha1.Service{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "checkout"}, before); err != nil {
		t.Fatal(err)
	}
	after := before.DeepCopy()
	if written, err := patch.Status(t.Context(), c, before, after); written || err != nil || len(sent) > 0 {
		t.Fatalf("nothing differed: written %t, error %v, sent %v", written, err, sent)
	}
	after.Status.Health = v1alpha1.HealthOutage
	if written, err := patch.Status(t.Context(), c, before, after); !written || err != nil {
		t.Fatalf("written %t, error %v", written, err)
	}
	want := []map[string]any{{"status": map[string]any{"health": "Outage"}}}
	if diff := cmp.Diff(want, sent); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}

// A value of a newer version that is replaced is told; one that is left alone is not.
func TestReplacedValuesAreTold(t *testing.T) {
	var sent []map[string]any
	c := server(t, &sent)
	before := &v1alpha1.Service{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "checkout"}, before); err != nil {
		t.Fatal(err)
	}
	var told []string
	ctx := log.IntoContext(t.Context(), funcr.New(func(_, args string) { told = append(told, args) }, funcr.Options{}))
	write := func(alter func(*v1alpha1.ServiceStatus)) {
		after := before.DeepCopy()
		alter(&after.Status)
		if _, err := patch.Status(ctx, c, before, after); err != nil {
			t.Fatal(err)
		}
		before = after
	}
	write(func(s *v1alpha1.ServiceStatus) { s.Health = "Overheated" })
	write(func(s *v1alpha1.ServiceStatus) { s.WorkloadCount = 3 })
	if len(told) > 0 {
		t.Errorf("told although nothing was replaced: %v", told)
	}
	write(func(s *v1alpha1.ServiceStatus) { s.Health = v1alpha1.HealthOutage })
	if len(told) != 1 || !strings.Contains(told[0], `status.health: \"Overheated\"`) || !strings.Contains(told[0], `"name"="checkout"`) {
		t.Errorf("told %v", told)
	}
}

func TestOptimisticLock(t *testing.T) {
	var sent []map[string]any
	c := server(t, &sent)
	before := &v1alpha1.Service{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "checkout"}, before); err != nil {
		t.Fatal(err)
	}
	if written, err := patch.Status(t.Context(), c, before, before.DeepCopy(), patch.OptimisticLock); written || err != nil || len(sent) > 0 {
		t.Fatalf("nothing differed: written %t, error %v, sent %v", written, err, sent)
	}
	for _, health := range []v1alpha1.Health{v1alpha1.HealthOutage, v1alpha1.HealthDegraded} {
		after := before.DeepCopy()
		after.Status.Health = health
		_, err := patch.Status(t.Context(), c, before, after, patch.OptimisticLock)
		if conflict := apierrors.IsConflict(err); conflict != (health == v1alpha1.HealthDegraded) {
			t.Errorf("%s: error %v", health, err)
		}
	}
}
