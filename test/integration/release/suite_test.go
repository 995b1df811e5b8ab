// Package release_test follows Releases on a real API server: the reconcilers of Releases and Changes are called
// directly, with a clock that the test moves; the test plays the controllers of workloads and the kubelets.
package release_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/controllers/change"
	"github.com/itil-dev/itil-operator/controllers/release"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/backout"
	"github.com/itil-dev/itil-operator/internal/kube/fieldmanager"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/suite"
)

// env has no admission policies: these tests are about what the operator makes of objects that were let in. Who may
// write them is tried in test/attack.
var env *apiserver.Env

func TestRelease(t *testing.T) { suite.Run(t, "Release") }

var _ = BeforeSuite(func() { env = apiserver.Start(GinkgoTB()) })

// shop is a namespace with Service checkout under Enforce and its Deployments, checkout and worker.
type shop struct {
	namespace string
	cluster   cluster.Cluster
	inventory *inventory.Inventory
	clock     *clocktesting.FakePassiveClock
	changes   *change.Reconciler
	releases  *release.Reconciler
	recorder  *events.FakeRecorder
	// writes of the Release reconciler; after so many of them it is dead, 0: never.
	writes, killAfter int
	// broken images never become ready.
	broken string
	// undetected: why detection is off for a Deployment, by its name.
	undetected map[string]string
	// blind: the API server is not heard.
	blind bool
	// managers that reconcile; nil: those that are known.
	managers fieldmanager.Reconciling
	// unapproved: nobody votes.
	unapproved bool
}

var errKilled = errors.New("the process was killed")

func open(ctx SpecContext) *shop {
	GinkgoHelper()
	s := &shop{
		namespace: env.Namespace(GinkgoTB(), map[string]string{"env": "production"}), inventory: inventory.New(),
		recorder: events.NewFakeRecorder(1000),
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
	Expect(release.Index(running, s.cluster.GetFieldIndexer())).To(Succeed())
	restorer := &backout.Restorer{Reader: env.Admin(), Client: env.Admin()}
	s.changes = &change.Reconciler{Client: s.cluster.GetClient(), Inventory: s.inventory, Clock: s.clock, Recorder: s.recorder, Restorer: restorer}
	s.live()
	done := make(chan error, 1)
	go func() { done <- s.cluster.Start(running) }()
	DeferCleanup(func() {
		stop()
		Eventually(done).Should(Receive(BeNil()))
	})
	Expect(s.inventory.WaitForSync(ctx)).To(BeTrue())
	s.create(ctx, builder.MakeService(s.namespace, "checkout").Tier(4).
		Claim(v1alpha1.WorkloadDeployment, "checkout").Claim(v1alpha1.WorkloadDeployment, "worker").Enforcement(v1alpha1.EnforcementEnforce).Obj())
	for _, name := range []string{"checkout", "worker"} {
		s.create(ctx, builder.MakeDeployment(s.namespace, name).Image("app", name+":1").Replicas(2).Obj())
		s.roll(ctx, name)
		s.adopted(ctx, name)
	}
	return s
}

// live makes a Release reconciler, as a process that begins has one.
func (s *shop) live() {
	count := func() error {
		if s.killAfter > 0 && s.writes >= s.killAfter {
			return errKilled
		}
		s.writes++
		return nil
	}
	writer := interceptor.NewClient(s.through(), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			if err := count(); err != nil {
				return err
			}
			return c.Create(ctx, obj, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch, opts ...client.PatchOption) error {
			if err := count(); err != nil {
				return err
			}
			return c.Patch(ctx, obj, p, opts...)
		},
		Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			if err := count(); err != nil {
				return err
			}
			return c.Apply(ctx, obj, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			if err := count(); err != nil {
				return err
			}
			return c.SubResource(sub).Patch(ctx, obj, p, opts...)
		},
	})
	s.releases = &release.Reconciler{
		Client: writer, Reader: env.Admin(), Inventory: s.inventory, Clock: s.clock, Recorder: s.recorder,
		Restorer: &backout.Restorer{Reader: env.Admin(), Client: writer}, Managers: s.managers, Detection: s, Sight: s,
	}
	s.releases.Observe(time.Time{}, s.clock.Now())
}

// Off is why detection is off.
func (s *shop) Off(_ context.Context, workload configuration.Key) (string, error) {
	return s.undetected[workload.Name], nil
}

// Blind is whether the API server is not heard.
func (s *shop) Blind() bool { return s.blind }

// OnRegained is told by the spec itself: no source runs here.
func (s *shop) OnRegained(func(until, since time.Time)) {}

// through reads from the cache and writes to the API server.
func (s *shop) through() client.WithWatch {
	return cached{WithWatch: env.Admin(), reader: s.cluster.GetClient()}
}

type cached struct {
	client.WithWatch
	reader client.Reader
}

func (c cached) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	return c.reader.Get(ctx, key, obj, opts...)
}

func (c cached) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return c.reader.List(ctx, list, opts...)
}

func (s *shop) key(name string) configuration.Key {
	return configuration.Key{Group: "apps", Kind: "Deployment", Namespace: s.namespace, Name: name}
}

func (s *shop) create(ctx SpecContext, obj client.Object) {
	GinkgoHelper()
	obj.SetResourceVersion("")
	obj.SetUID("")
	obj.SetGeneration(0)
	obj.SetCreationTimestamp(metav1.Time{})
	Expect(env.Admin().Create(ctx, obj)).To(Succeed())
}

func (s *shop) deployment(ctx SpecContext, name string) *appsv1.Deployment {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, d)).To(Succeed())
	return d
}

func (s *shop) image(ctx SpecContext, name string) string {
	return s.deployment(ctx, name).Spec.Template.Spec.Containers[0].Image
}

// roll is what the Deployment's controller and the kubelets do: a ReplicaSet for the template, and pods that are ready
// unless their image is broken, which exceeds the progress deadline.
func (s *shop) roll(ctx SpecContext, name string) {
	GinkgoHelper()
	d := s.deployment(ctx, name)
	s.revise(ctx, d)
	image := d.Spec.Template.Spec.Containers[0].Image
	n := *d.Spec.Replicas
	status := appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n,
		Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: "True", Reason: "NewReplicaSetAvailable"}},
	}
	if image == s.broken {
		status.Replicas, status.UpdatedReplicas, status.ReadyReplicas, status.AvailableReplicas, status.UnavailableReplicas = n+1, 1, n, n, 1
		status.Conditions[0] = appsv1.DeploymentCondition{Type: appsv1.DeploymentProgressing, Status: "False", Reason: "ProgressDeadlineExceeded", Message: "has timed out progressing"}
	}
	if d.Status.ObservedGeneration != status.ObservedGeneration || d.Status.ReadyReplicas != status.ReadyReplicas || d.Status.UpdatedReplicas != status.UpdatedReplicas {
		d.Status = status
		Expect(env.Admin().Status().Update(ctx, d)).To(Succeed())
	}
	s.recorded(ctx, name)
}

// recorded puts the baseline of what was let in, as the ConfigurationItem's controller does: by the Change that names
// its image, or as a rollback to what was there before.
func (s *shop) recorded(ctx SpecContext, name string) {
	GinkgoHelper()
	item := &v1alpha1.ConfigurationItem{}
	err := env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: configuration.ItemName("Deployment", name)}, item)
	if apierrors.IsNotFound(err) {
		return
	}
	Expect(err).NotTo(HaveOccurred())
	d := s.deployment(ctx, name)
	template := configuration.ParseTemplate("Deployment", templateOf(d))
	baselines := item.Status.Baselines
	if len(baselines) == 0 || baselines[0].TemplateHash == template.Hash {
		return
	}
	b := v1alpha1.Baseline{
		TemplateHash: template.Hash, ImagelessHash: template.ImagelessHash, Images: template.Images, Generation: d.Generation,
		Source: v1alpha1.BaselineRollback, From: metav1.NewTime(s.clock.Now()), Change: baselines[0].Change,
	}
	if !slices.ContainsFunc(baselines, func(old v1alpha1.Baseline) bool { return old.TemplateHash == template.Hash }) {
		b.Source = v1alpha1.BaselineChange
		b.Change = s.changeOf(ctx, name, template.Images["app"])
	}
	baselines[0].Until = &b.From
	item.Status.Baselines = append([]v1alpha1.Baseline{b}, baselines...)
	Expect(env.Admin().Status().Update(ctx, item)).To(Succeed())
	Eventually(func() int { return len(s.inventory.Baselines(s.key(name))) }).Should(Equal(len(item.Status.Baselines)))
}

// changeOf is the Change that is about an image of a Deployment.
func (s *shop) changeOf(ctx SpecContext, name, image string) string {
	GinkgoHelper()
	list := &v1alpha1.ChangeList{}
	Expect(env.Admin().List(ctx, list, client.InNamespace(s.namespace))).To(Succeed())
	for i := range list.Items {
		for _, t := range list.Items[i].Spec.Targets {
			if string(t.Workload.Name) == name && string(t.Images["app"]) == image && !list.Items[i].Spec.Cancel {
				return list.Items[i].Name
			}
		}
	}
	return ""
}

// revise makes the ReplicaSet of a Deployment's template, if there is none.
func (s *shop) revise(ctx SpecContext, d *appsv1.Deployment) {
	GinkgoHelper()
	hash := configuration.ParseTemplate("Deployment", templateOf(d)).Hash[3:13]
	rs := builder.ReplicaSet(s.namespace, d.Name+"-"+hash)
	rs.Spec.Template = *d.Spec.Template.DeepCopy()
	rs.Spec.Template.Labels["pod-template-hash"] = hash
	rs.Labels = rs.Spec.Template.Labels
	rs.Spec.Selector = &metav1.LabelSelector{MatchLabels: rs.Spec.Template.Labels}
	rs.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(d, appsv1.SchemeGroupVersion.WithKind("Deployment"))}
	rs.ResourceVersion, rs.UID, rs.Generation, rs.CreationTimestamp = "", "", 0, metav1.Time{}
	Expect(client.IgnoreAlreadyExists(env.Admin().Create(ctx, rs))).To(Succeed())
}

func templateOf(d *appsv1.Deployment) map[string]any {
	GinkgoHelper()
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&d.Spec.Template)
	Expect(err).NotTo(HaveOccurred())
	return raw
}

// adopted puts the proven baseline of what runs, as the ConfigurationItem's controller does.
func (s *shop) adopted(ctx SpecContext, name string) {
	GinkgoHelper()
	Eventually(func() bool { w, exists := s.inventory.Workload(s.key(name)); return exists && w.RolledOut() }).Should(BeTrue())
	w, _ := s.inventory.Workload(s.key(name))
	item := builder.ConfigurationItem(s.namespace, v1alpha1.WorkloadDeployment, name)
	s.create(ctx, item)
	item.Status.Baselines = []v1alpha1.Baseline{{
		TemplateHash: w.Template.Hash, ImagelessHash: w.Template.ImagelessHash, Images: w.Template.Images, Generation: w.Generation,
		Source: v1alpha1.BaselineAdopted, From: metav1.NewTime(s.clock.Now()), Proven: true,
	}}
	Expect(env.Admin().Status().Update(ctx, item)).To(Succeed())
	Eventually(func() int { return len(s.inventory.Baselines(s.key(name))) }).Should(Equal(1))
}

// known waits until the inventory has seen the newest version of all that a decision looks at.
func (s *shop) known(ctx SpecContext) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		rels := &v1alpha1.ReleaseList{}
		g.Expect(env.Admin().List(ctx, rels, client.InNamespace(s.namespace))).To(Succeed())
		for i := range rels.Items {
			seen, exists := s.inventory.Release(client.ObjectKeyFromObject(&rels.Items[i]))
			g.Expect(exists).To(BeTrue())
			g.Expect(seen.ResourceVersion).To(Equal(rels.Items[i].ResourceVersion))
		}
		chgs := &v1alpha1.ChangeList{}
		g.Expect(env.Admin().List(ctx, chgs, client.InNamespace(s.namespace))).To(Succeed())
		for i := range chgs.Items {
			seen, exists := s.inventory.Change(client.ObjectKeyFromObject(&chgs.Items[i]))
			g.Expect(exists).To(BeTrue())
			g.Expect(seen.Agreed.Approvals).To(HaveLen(len(s.votes(ctx, chgs.Items[i].Name))))
			g.Expect(seen.Object.ResourceVersion).To(Equal(chgs.Items[i].ResourceVersion))
		}
		list := &appsv1.DeploymentList{}
		g.Expect(env.Admin().List(ctx, list, client.InNamespace(s.namespace))).To(Succeed())
		for i := range list.Items {
			w, exists := s.inventory.Workload(s.key(list.Items[i].Name))
			g.Expect(exists).To(BeTrue())
			g.Expect(w.Generation).To(Equal(list.Items[i].Generation))
			g.Expect(w.ObservedGeneration).To(Equal(list.Items[i].Status.ObservedGeneration))
			g.Expect(w.Ready).To(Equal(list.Items[i].Status.ReadyReplicas))
		}
		incidents, live := &v1alpha1.IncidentList{}, &v1alpha1.IncidentList{}
		g.Expect(env.Admin().List(ctx, live, client.InNamespace(s.namespace))).To(Succeed())
		g.Expect(s.cluster.GetClient().List(ctx, incidents, client.InNamespace(s.namespace))).To(Succeed())
		versions := func(l *v1alpha1.IncidentList) (out []string) {
			for i := range l.Items {
				out = append(out, l.Items[i].ResourceVersion)
			}
			slices.Sort(out)
			return out
		}
		g.Expect(versions(incidents)).To(Equal(versions(live)))
	}).WithPolling(5 * time.Millisecond).Should(Succeed())
}

func (s *shop) votes(ctx SpecContext, chg string) []v1alpha1.ChangeApproval {
	GinkgoHelper()
	list := &v1alpha1.ChangeApprovalList{}
	Expect(env.Admin().List(ctx, list, client.InNamespace(s.namespace))).To(Succeed())
	return slices.DeleteFunc(list.Items, func(a v1alpha1.ChangeApproval) bool { return string(a.Spec.ChangeRef.Name) != chg })
}

// settle reconciles Changes and Releases until none of them is written any more, while workloads roll out if wanted.
// A reconciler that was killed is followed by another.
func (s *shop) settle(ctx SpecContext, rolling bool) {
	GinkgoHelper()
	for range 60 {
		before := s.versions(ctx)
		s.known(ctx)
		for _, name := range s.names(ctx, &v1alpha1.ChangeList{}) {
			_, err := s.changes.Reconcile(ctx, ctrl.Request{NamespacedName: name})
			Expect(err).NotTo(HaveOccurred())
		}
		s.vote(ctx)
		s.known(ctx)
		for _, name := range s.names(ctx, &v1alpha1.ReleaseList{}) {
			_, err := s.releases.Reconcile(ctx, ctrl.Request{NamespacedName: name})
			if errors.Is(err, errKilled) {
				s.killAfter = 0
				s.clock.SetTime(s.clock.Now().Add(40 * time.Second))
				s.live()
				err = nil
			}
			Expect(err).NotTo(HaveOccurred())
		}
		if rolling {
			s.roll(ctx, "checkout")
			s.roll(ctx, "worker")
		}
		if slices.Equal(before, s.versions(ctx)) {
			return
		}
	}
	Fail("it does not come to rest")
}

// vote for every Change that lacks a vote.
func (s *shop) vote(ctx SpecContext) {
	GinkgoHelper()
	list := &v1alpha1.ChangeList{}
	Expect(env.Admin().List(ctx, list, client.InNamespace(s.namespace))).To(Succeed())
	for i := range list.Items {
		c := &list.Items[i]
		if c.Status.State == v1alpha1.ChangeAuthorize && !s.unapproved {
			vote := builder.ChangeApproval(c.Name+"-carol", c, v1alpha1.DecisionApprove, "carol")
			vote.ResourceVersion, vote.UID, vote.Generation, vote.CreationTimestamp = "", "", 0, metav1.Time{}
			Expect(client.IgnoreAlreadyExists(env.Admin().Create(ctx, vote))).To(Succeed())
		}
	}
}

func (s *shop) names(ctx SpecContext, list client.ObjectList) []client.ObjectKey {
	GinkgoHelper()
	Expect(env.Admin().List(ctx, list, client.InNamespace(s.namespace))).To(Succeed())
	var out []client.ObjectKey
	switch l := list.(type) {
	case *v1alpha1.ChangeList:
		for i := range l.Items {
			out = append(out, client.ObjectKeyFromObject(&l.Items[i]))
		}
	case *v1alpha1.ReleaseList:
		for i := range l.Items {
			out = append(out, client.ObjectKeyFromObject(&l.Items[i]))
		}
	}
	return out
}

func (s *shop) versions(ctx SpecContext) []string {
	GinkgoHelper()
	var out []string
	rels, chgs, list, incidents := &v1alpha1.ReleaseList{}, &v1alpha1.ChangeList{}, &appsv1.DeploymentList{}, &v1alpha1.IncidentList{}
	for _, l := range []client.ObjectList{rels, chgs, list, incidents} {
		Expect(env.Admin().List(ctx, l, client.InNamespace(s.namespace))).To(Succeed())
	}
	for i := range rels.Items {
		out = append(out, rels.Items[i].ResourceVersion)
	}
	for i := range chgs.Items {
		out = append(out, chgs.Items[i].ResourceVersion)
	}
	for i := range list.Items {
		out = append(out, list.Items[i].ResourceVersion)
	}
	for i := range incidents.Items {
		out = append(out, incidents.Items[i].ResourceVersion)
	}
	return out
}

// pass lets time go by and everybody do what they do then.
func (s *shop) pass(ctx SpecContext, d time.Duration) {
	GinkgoHelper()
	s.clock.SetTime(s.clock.Now().Add(d))
	s.settle(ctx, true)
}

func (s *shop) release(ctx SpecContext, name string) *v1alpha1.Release {
	GinkgoHelper()
	r := &v1alpha1.Release{}
	Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: name}, r)).To(Succeed())
	return r
}

// conclude gives the Change of shop-2 an outcome, as its controller does for a reason that the Release does not see.
func (s *shop) conclude(ctx SpecContext, outcome v1alpha1.Outcome) {
	GinkgoHelper()
	chg := &v1alpha1.Change{}
	Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "shop-2"}, chg)).To(Succeed())
	chg.Status.Outcome = outcome
	Expect(env.Admin().Status().Update(ctx, chg)).To(Succeed())
}

func (s *shop) edit(ctx SpecContext, name string, alter func(*v1alpha1.ReleaseSpec)) {
	GinkgoHelper()
	r := s.release(ctx, name)
	alter(&r.Spec)
	Expect(env.Admin().Update(ctx, r)).To(Succeed())
}

// version2 of worker, then of checkout.
func (s *shop) version2(edit ...func(*v1alpha1.Release)) *v1alpha1.Release {
	unit := func(name string) v1alpha1.ReleaseUnit {
		return v1alpha1.ReleaseUnit{
			Name:     v1alpha1.ContainerName(name),
			Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: v1alpha1.ObjectName(name)},
			Images:   map[string]v1alpha1.Image{"app": v1alpha1.Image(name + ":2")},
		}
	}
	r := &v1alpha1.Release{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "shop-2"},
		Spec: v1alpha1.ReleaseSpec{
			Version: "2", Requester: "alice", Units: []v1alpha1.ReleaseUnit{unit("checkout"), unit("worker")},
			Phases: []v1alpha1.ReleasePhase{{Name: "pilot", Units: []string{"worker"}, Soak: "2m"}, {Name: "full", Units: []string{"*"}, Soak: "1m"}},
			Change: &v1alpha1.ReleaseChange{}, EarlyLifeSupport: "1h",
		},
	}
	for _, f := range edit {
		f(r)
	}
	return r
}
