// Package change_test follows Changes through their lives on a real API server: the reconcilers are called directly,
// with a clock that the test moves.
package change_test

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/controllers/change"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/backout"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
)

// env has no admission policies: these tests are about what the operator makes of objects that were let in. Who may
// write them is tried in test/attack.
var env *apiserver.Env

func TestMain(m *testing.M) { suite.Main(m) }

func TestChange(t *testing.T) { suite.Run(t, "Change") }

var _ = BeforeSuite(func() { env = apiserver.Start(GinkgoTB()) })

const (
	v23 = "registry.shop.example/checkout:2.3.0"
	v24 = "registry.shop.example/checkout:2.4.0"
	v25 = "registry.shop.example/checkout:2.5.0"
)

// shop is a namespace with Service checkout of tier 1 under Enforce, and its Deployment, which runs 2.3.
type shop struct {
	namespace string
	cluster   cluster.Cluster
	inventory *inventory.Inventory
	clock     *clocktesting.FakePassiveClock
	recorder  *events.FakeRecorder
	changes   *change.Reconciler
	filer     *change.Filer
	records   *change.RecordKeeper
	retirer   *change.Retirer
	// requeued is when the last reconcile wanted to be called again.
	requeued time.Duration
}

func open(ctx SpecContext) *shop {
	GinkgoHelper()
	s := &shop{
		namespace: env.Namespace(GinkgoTB(), map[string]string{"env": "production"}),
		inventory: inventory.New(), recorder: events.NewFakeRecorder(1000),
		// Ahead of the API server: what it creates while a spec runs is of the past.
		clock: clocktesting.NewFakePassiveClock(time.Now().Add(5 * time.Minute).Truncate(time.Second)),
	}
	var err error
	s.cluster, err = cluster.New(env.AdminConfig(), func(o *cluster.Options) {
		o.Scheme = env.Scheme()
		o.Cache = cache.Options{ByObject: inventory.CacheByObject(), DefaultNamespaces: map[string]cache.Config{s.namespace: {}}}
	})
	Expect(err).NotTo(HaveOccurred())
	running, stop := context.WithCancel(context.Background())
	Expect(s.inventory.Register(running, s.cluster.GetCache())).To(Succeed())
	Expect(change.IndexSuspicions(running, s.cluster.GetFieldIndexer())).To(Succeed())
	s.changes = &change.Reconciler{Client: s.cluster.GetClient(), Inventory: s.inventory, Clock: s.clock, Recorder: s.recorder,
		Restorer: &backout.Restorer{Reader: env.Admin(), Client: env.Admin()}}
	s.filer = &change.Filer{Client: s.cluster.GetClient(), Reader: s.cluster.GetAPIReader(), Inventory: s.inventory, Clock: s.clock}
	s.records = &change.RecordKeeper{Client: s.cluster.GetClient(), Inventory: s.inventory, Clock: s.clock}
	s.retirer = &change.Retirer{Client: s.cluster.GetClient(), Inventory: s.inventory, Clock: s.clock, Retention: practice.DefaultRetention()}
	Expect(change.IndexReferences(running, s.cluster.GetFieldIndexer())).To(Succeed())
	done := make(chan error, 2)
	go func() { done <- s.cluster.Start(running) }()
	go func() { done <- s.filer.Start(running) }()
	DeferCleanup(func() {
		stop()
		Eventually(done).Should(Receive(BeNil()))
		Eventually(done).Should(Receive(BeNil()))
	})
	Expect(s.inventory.WaitForSync(ctx)).To(BeTrue())

	s.create(ctx, builder.MakeService(s.namespace, "checkout").Tier(1).ClaimApp(v1alpha1.WorkloadDeployment, "checkout").Enforcement(v1alpha1.EnforcementEnforce).Obj())
	s.create(ctx, builder.MakeDeployment(s.namespace, "checkout").Image("app", v23).Replicas(2).Obj())
	s.rolledOut(ctx)
	s.baseline(ctx, v23, v1alpha1.BaselineAdopted, "", "")
	return s
}

func (s *shop) key() configuration.Key {
	return configuration.Key{Group: "apps", Kind: "Deployment", Namespace: s.namespace, Name: "checkout"}
}

// goesIn asks for Change checkout-2-4, which is approved, deployed and rolled out.
func (s *shop) goesIn(ctx SpecContext) {
	GinkgoHelper()
	s.ask(ctx, nil)
	s.vote(ctx, "carol", "checkout-2-4", "carol", v1alpha1.DecisionApprove)
	s.deploy(ctx, v24)
	s.baseline(ctx, v24, v1alpha1.BaselineChange, "checkout-2-4", "alice")
	s.rolledOut(ctx)
}

// suspects opens a P1 Incident of the Service that suspects a Change.
func (s *shop) suspects(ctx SpecContext, name, change string, confidence v1alpha1.Confidence) *v1alpha1.Incident {
	GinkgoHelper()
	incident := &v1alpha1.Incident{Spec: v1alpha1.IncidentSpec{
		Title: name, Source: v1alpha1.IncidentSourceDetector, ServiceRef: &v1alpha1.LocalReference{Name: "checkout"},
	}}
	incident.Namespace, incident.Name = s.namespace, name
	s.create(ctx, incident)
	incident.Status = v1alpha1.IncidentStatus{
		State: v1alpha1.IncidentNew, Priority: v1alpha1.PriorityP1,
		SuspectedChange: &v1alpha1.SuspectedChange{Name: change, Confidence: confidence, Reason: "it went in a minute before"},
	}
	Expect(env.Admin().Status().Update(ctx, incident)).To(Succeed())
	return incident
}

func (s *shop) create(ctx SpecContext, obj client.Object) {
	GinkgoHelper()
	obj.SetResourceVersion("")
	obj.SetUID("")
	obj.SetGeneration(0)
	obj.SetCreationTimestamp(metav1.Time{})
	Expect(env.Admin().Create(ctx, obj)).To(Succeed())
}

// read an object of the shop from the API server.
func read[O client.Object](ctx SpecContext, s *shop, name string, obj O) O {
	GinkgoHelper()
	Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, obj)).To(Succeed())
	return obj
}

// deploy alters the image as a client would that the gate let in.
func (s *shop) deploy(ctx SpecContext, image string) {
	GinkgoHelper()
	d := read(ctx, s, "checkout", &appsv1.Deployment{})
	d.Spec.Template.Spec.Containers[0].Image = image
	Expect(env.Admin().Update(ctx, d)).To(Succeed())
	Eventually(func() string { return s.image() }).Should(Equal(image))
}

func (s *shop) image() string {
	w, exists := s.inventory.Workload(s.key())
	if !exists {
		return ""
	}
	return w.Template.Images["app"]
}

// rolledOut reports all pods as ready with the newest template.
func (s *shop) rolledOut(ctx SpecContext) {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "checkout"}, d)).To(Succeed())
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2, AvailableReplicas: 2}
	Expect(env.Admin().Status().Update(ctx, d)).To(Succeed())
	Eventually(func() bool { w, exists := s.inventory.Workload(s.key()); return exists && w.RolledOut() }).Should(BeTrue())
}

// baseline puts one for what runs before the others, as the ConfigurationItem's controller does.
func (s *shop) baseline(ctx SpecContext, image string, source v1alpha1.BaselineSource, changeName, by string) {
	GinkgoHelper()
	Eventually(func() string { return s.image() }).Should(Equal(image))
	w, _ := s.inventory.Workload(s.key())
	b := v1alpha1.Baseline{
		TemplateHash: w.Template.Hash, ImagelessHash: w.Template.ImagelessHash, Images: w.Template.Images, Generation: w.Generation,
		Source: source, Change: changeName, By: by, From: metav1.NewTime(s.clock.Now().Truncate(time.Second)), Proven: changeName == "",
	}
	item := builder.ConfigurationItem(s.namespace, v1alpha1.WorkloadDeployment, "checkout")
	err := env.Admin().Get(ctx, client.ObjectKeyFromObject(item), item)
	if client.IgnoreNotFound(err) == nil && err != nil {
		s.create(ctx, item)
	} else {
		Expect(err).NotTo(HaveOccurred())
	}
	item.Status.Baselines = append([]v1alpha1.Baseline{b}, item.Status.Baselines...)
	Expect(env.Admin().Status().Update(ctx, item)).To(Succeed())
	Eventually(func() int { return len(s.inventory.Baselines(s.key())) }).Should(Equal(len(item.Status.Baselines)))
}

// reconcile one Change until nothing is left to write, and return it.
func (s *shop) reconcile(ctx SpecContext, name string) *v1alpha1.Change {
	GinkgoHelper()
	key := client.ObjectKey{Namespace: s.namespace, Name: name}
	live := &v1alpha1.Change{}
	for range 5 {
		live.Namespace, live.Name = key.Namespace, key.Name
		s.known(ctx, live)
		version := live.ResourceVersion
		result, err := s.changes.Reconcile(ctx, ctrl.Request{NamespacedName: key})
		Expect(err).NotTo(HaveOccurred())
		s.requeued = result.RequeueAfter
		Expect(env.Admin().Get(ctx, key, live)).To(Succeed())
		if live.ResourceVersion == version {
			return live
		}
	}
	Fail("Change " + name + " is written without end")
	return nil
}

// known waits until the inventory has seen the newest version of a Change and all votes on it.
func (s *shop) known(ctx SpecContext, live *v1alpha1.Change) {
	GinkgoHelper()
	key := client.ObjectKeyFromObject(live)
	votes := &v1alpha1.ChangeApprovalList{}
	Expect(env.Admin().List(ctx, votes, client.InNamespace(s.namespace))).To(Succeed())
	want := map[string]string{}
	for i := range votes.Items {
		if string(votes.Items[i].Spec.ChangeRef.Name) == live.Name {
			want[votes.Items[i].Name] = votes.Items[i].ResourceVersion
		}
	}
	Eventually(func(g Gomega) {
		// The filer may write it too.
		g.Expect(env.Admin().Get(ctx, key, live)).To(Succeed())
		c, exists := s.inventory.Change(key)
		g.Expect(exists).To(BeTrue())
		g.Expect(c.Object.ResourceVersion).To(Equal(live.ResourceVersion))
		got := map[string]string{}
		for _, a := range c.Agreed.Approvals {
			got[a.Name] = a.ResourceVersion
		}
		g.Expect(got).To(Equal(want))
	}).Should(Succeed())
}

func (s *shop) ask(ctx SpecContext, alter func(*v1alpha1.ChangeSpec)) *v1alpha1.Change {
	GinkgoHelper()
	const name = "checkout-2-4"
	c := builder.MakeChange(s.namespace, name).Target(v1alpha1.WorkloadDeployment, "checkout", v24).Obj()
	if alter != nil {
		alter(&c.Spec)
	}
	s.create(ctx, c)
	return s.reconcile(ctx, name)
}

func (s *shop) edit(ctx SpecContext, name string, alter func(*v1alpha1.ChangeSpec)) *v1alpha1.Change {
	GinkgoHelper()
	c := &v1alpha1.Change{}
	Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, c)).To(Succeed())
	alter(&c.Spec)
	Expect(env.Admin().Update(ctx, c)).To(Succeed())
	return s.reconcile(ctx, name)
}

func (s *shop) vote(ctx SpecContext, name, on, approver string, decision v1alpha1.Decision) *v1alpha1.Change {
	GinkgoHelper()
	c := &v1alpha1.Change{}
	Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: on}, c)).To(Succeed())
	s.create(ctx, builder.ChangeApproval(name, c, decision, approver))
	return s.reconcile(ctx, on)
}

func (s *shop) stateOfVote(ctx SpecContext, name string) v1alpha1.VoteState {
	GinkgoHelper()
	v := &v1alpha1.ChangeApproval{}
	Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, v)).To(Succeed())
	return v.Status.State
}

// gate decides about a Deployment with an image, as the admission handler does.
func (s *shop) gate(image string) practice.Decision {
	GinkgoHelper()
	w, exists := s.inventory.Workload(s.key())
	Expect(exists).To(BeTrue())
	d := builder.MakeDeployment(s.namespace, "checkout").Image("app", image).Replicas(2).Unstructured()
	after, err := configuration.FromObject(d.Object)
	Expect(err).NotTo(HaveOccurred())
	next := w.Template
	next.Images = after.Template.Images
	next.Hash = after.Template.Hash
	before := w.Template.Images["app"]
	r := &practice.Request{
		Operation: practice.Template, Key: s.key(), User: practice.User{Name: "alice"}, Old: &w.Template, New: &next,
		Diff: func() []v1alpha1.FieldDiff {
			return []v1alpha1.FieldDiff{{Path: "spec.containers[app].image", From: before, To: image}}
		},
	}
	return practice.Decide(r, s.inventory.World(r), s.clock.Now())
}

func (s *shop) all(ctx SpecContext) []v1alpha1.Change {
	GinkgoHelper()
	list := &v1alpha1.ChangeList{}
	Expect(env.Admin().List(ctx, list, client.InNamespace(s.namespace))).To(Succeed())
	return list.Items
}

func (s *shop) told() []string {
	var out []string
	for {
		select {
		case e := <-s.recorder.Events:
			out = append(out, e)
		default:
			return out
		}
	}
}
