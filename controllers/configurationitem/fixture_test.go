package configurationitem

import (
	"context"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

var (
	start    = builder.Epoch.Add(time.Hour)
	checkout = configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: "checkout"}
)

const image = "registry.shop.example/checkout:"

// cluster is an inventory and a client that hold the same objects; what is written reaches both.
type cluster struct {
	t      *testing.T
	r      *Reconciler
	writer *AdmissionWriter
	clock  *clocktesting.FakePassiveClock
	events *events.FakeRecorder
	writes int
	// live is what the API server has of the workload, and asked how often it was asked for that.
	live  *unstructured.Unstructured
	asked int
}

func newCluster(t *testing.T, objects ...client.Object) *cluster {
	t.Helper()
	c := &cluster{t: t, clock: clocktesting.NewFakePassiveClock(start), events: events.NewFakeRecorder(100)}
	kube := fake.NewClientBuilder().WithScheme(scheme.New()).WithStatusSubresource(&v1alpha1.ConfigurationItem{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, k client.WithWatch, name client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				u, isWorkload := o.(*unstructured.Unstructured)
				if !isWorkload {
					return k.Get(ctx, name, o, opts...)
				}
				c.asked++
				if c.live == nil {
					return apierrors.NewNotFound(schema.GroupResource{Group: "apps", Resource: "deployments"}, name.Name)
				}
				c.live.DeepCopyInto(u)
				return nil
			},
			Create: func(ctx context.Context, k client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if _, isItem := o.(*v1alpha1.ConfigurationItem); isItem {
					c.writes++
				}
				return k.Create(ctx, o, opts...)
			},
			SubResourcePatch: func(ctx context.Context, k client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				c.writes++
				return k.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		}).Build()
	inv := inventory.New()
	c.r = &Reconciler{Client: kube, Inventory: inv, Clock: c.clock, Recorder: c.events}
	c.writer = &AdmissionWriter{Client: kube, Inventory: inv, Clock: c.clock}
	c.put(objects...)
	return c
}

func (c *cluster) put(objects ...client.Object) *cluster {
	c.t.Helper()
	for _, o := range objects {
		c.r.Inventory.Put(o)
		switch o.(type) {
		case *admissionregistrationv1.ValidatingWebhookConfiguration, *v1alpha1.ConfigurationItem, *v1alpha1.ChangePolicy:
			if err := c.r.Client.Create(c.t.Context(), o.DeepCopyObject().(client.Object)); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	c.observe()
	return c
}

// observe tells the inventory of the items that there are.
func (c *cluster) observe() {
	c.t.Helper()
	list := &v1alpha1.ConfigurationItemList{}
	if err := c.r.Client.List(c.t.Context(), list); err != nil {
		c.t.Fatal(err)
	}
	left := map[string]bool{}
	for n := range list.Items {
		left[list.Items[n].Name] = true
		c.r.Inventory.Put(&list.Items[n])
	}
	for _, item := range c.r.Inventory.Items() {
		if !left[item.Name] {
			c.r.Inventory.Remove(item)
		}
	}
}

// reconcile a workload until nothing more is to be done at once, and return its item (nil: none) and when to look again.
func (c *cluster) reconcile(key configuration.Key) (*v1alpha1.ConfigurationItem, time.Duration) {
	c.t.Helper()
	var again time.Duration
	for range 2 {
		result, err := c.r.Reconcile(c.t.Context(), key)
		if err != nil {
			c.t.Fatal(err)
		}
		again = result.RequeueAfter
		c.observe()
	}
	return c.r.Inventory.Item(key), again
}

func (c *cluster) after(d time.Duration) *cluster {
	c.clock.SetTime(c.clock.Now().Add(d))
	return c
}

// decides what the gate would on a new template.
func (c *cluster) decides(before, after *builder.Deployment) practice.Verdict {
	c.t.Helper()
	parse := func(d *builder.Deployment) *configuration.Template {
		w, err := configuration.FromObject(d.Unstructured().Object)
		if err != nil {
			c.t.Fatal(err)
		}
		return &w.Template
	}
	r := &practice.Request{Operation: practice.Template, Key: checkout, User: practice.User{Name: "alice"}, Old: parse(before), New: parse(after)}
	// What is on the object does not matter where it is what is agreed to run.
	r.Old.Hash = "v1:another"
	return practice.Decide(r, c.r.Inventory.World(r), c.clock.Now()).Verdict
}

// admit is what the gate of this replica does when it lets in what alice sends, by Change c.
func (c *cluster) admit(d *builder.Deployment) *cluster {
	c.r.Inventory.Admitted(checkout, configuration.AdmissionRecord{
		TemplateHash: hash(d), Source: v1alpha1.BaselineChange, By: "alice", Change: "c", At: c.clock.Now(),
	})
	return c
}

func hash(d *builder.Deployment) string {
	return configuration.ParseTemplate("Deployment", configuration.RawTemplate(d.Unstructured().Object)).Hash
}

func version(tag string, generation int64) *builder.Deployment {
	return builder.MakeDeployment("shop", "checkout").Image("app", image+tag).Replicas(2).Generation(generation).RolledOut()
}

// forced is a version for which somebody broke the glass.
func forced(tag string, generation int64, by, reason string) *builder.Deployment {
	return version(tag, generation).Annotation(v1alpha1.AnnotationBreakGlass, reason).Annotation(v1alpha1.AnnotationBreakGlassBy, by)
}

func service(e v1alpha1.Enforcement) *v1alpha1.Service {
	return builder.MakeService("shop", "checkout").Team("payments").Tier(1).Claim("Deployment", "checkout").Enforcement(e).Obj()
}

// governed is a Service that was found to be governed before the workload was created.
func governed(s *v1alpha1.Service, since time.Time) *v1alpha1.Service {
	at := metav1.NewTime(since)
	s.Status.GovernedSince, s.Status.ObservedGeneration = &at, s.Generation
	return s
}

func gate() client.Object {
	g := &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: gateconfig.Name},
		Webhooks:   []admissionregistrationv1.ValidatingWebhook{{Name: gateconfig.EnforceWebhook}, {Name: gateconfig.AuditWebhook}},
	}
	gateconfig.Write(g, gateconfig.Namespaces{Enforce: []string{"shop"}})
	return g
}

// told is the baselines as source tag by whom and by which Change.
func told(item *v1alpha1.ConfigurationItem) string {
	if item == nil {
		return "no item"
	}
	var out []string
	for _, b := range item.Status.Baselines {
		parts := []string{string(b.Source), strings.TrimPrefix(b.Images["app"], image), b.By, b.Change}
		out = append(out, strings.Join(strings.Fields(strings.Join(parts, " ")), " "))
	}
	return strings.Join(out, ", ") + "; " + string(item.Status.Drift)
}
