package linking_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// created is the object as a user would write it: without what only the API server may set.
func created[T client.Object](ctx SpecContext, o T) T {
	GinkgoHelper()
	o.SetUID("")
	o.SetGeneration(0)
	o.SetCreationTimestamp(metav1.Time{})
	Expect(env.Admin().Create(ctx, o)).To(Succeed())
	return o
}

// roll sets the status that the Deployment controller would, at the present generation.
func roll(ctx SpecContext, d *appsv1.Deployment, ready int32) {
	GinkgoHelper()
	Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(d), d)).To(Succeed())
	n := *d.Spec.Replicas
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: ready, AvailableReplicas: ready}
	Expect(env.Admin().Status().Update(ctx, d)).To(Succeed())
}

func serviceOf(ctx SpecContext, namespace, name string) func(Gomega) v1alpha1.ServiceStatus {
	return func(g Gomega) v1alpha1.ServiceStatus {
		s := &v1alpha1.Service{}
		g.Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, s)).To(Succeed())
		return s.Status
	}
}

func itemOf(ctx SpecContext, namespace, name string) func(Gomega) v1alpha1.ConfigurationItemStatus {
	return func(g Gomega) v1alpha1.ConfigurationItemStatus {
		i := &v1alpha1.ConfigurationItem{}
		g.Expect(env.Admin().Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, i)).To(Succeed())
		return i.Status
	}
}

// versions of all Services and ConfigurationItems of a namespace.
func versions(ctx SpecContext, namespace string) func(Gomega) map[string]string {
	return func(g Gomega) map[string]string {
		services, items := &v1alpha1.ServiceList{}, &v1alpha1.ConfigurationItemList{}
		g.Expect(env.Admin().List(ctx, services, client.InNamespace(namespace))).To(Succeed())
		g.Expect(env.Admin().List(ctx, items, client.InNamespace(namespace))).To(Succeed())
		out := map[string]string{}
		for i := range services.Items {
			out["Service "+services.Items[i].Name] = services.Items[i].ResourceVersion
		}
		for i := range items.Items {
			out["ConfigurationItem "+items.Items[i].Name] = items.Items[i].ResourceVersion
		}
		return out
	}
}

func haveHealth(h v1alpha1.Health) OmegaMatcher { return HaveField("Health", h) }

var _ = Describe("A Service", func() {
	It("shows what it runs on, how that is, and makes its ConfigurationItem", func(ctx SpecContext) {
		run(options{leader: true})
		namespace := env.Namespace(GinkgoTB(), nil)
		created(ctx, builder.MakeService(namespace, "checkout").Team("payments").Tier(1).ClaimApp("", "checkout").MinimumReady("50%").Obj())
		Eventually(serviceOf(ctx, namespace, "checkout")).Should(And(haveHealth(v1alpha1.HealthUnknown), HaveField("NextStep", ContainSubstring("nothing matches"))))

		d := created(ctx, builder.MakeDeployment(namespace, "checkout").Replicas(4).Obj())
		roll(ctx, d, 4)
		Eventually(serviceOf(ctx, namespace, "checkout")).Should(And(
			haveHealth(v1alpha1.HealthOperational), HaveField("Ready", "4/4"), HaveField("WorkloadCount", int32(1)),
			HaveField("Workloads", ConsistOf(And(
				HaveField("Images", map[string]string{"app": "registry.shop.example/checkout:1.0"}),
				HaveField("ConfigurationItem", v1alpha1.ObjectName("deployment-checkout")),
			))),
		))
		Eventually(itemOf(ctx, namespace, "deployment-checkout")).Should(And(
			HaveField("State", v1alpha1.ConfigurationItemInUse), HaveField("Owner", "payments"), HaveField("Drift", v1alpha1.DriftNone),
			HaveField("Baselines", ConsistOf(And(HaveField("Source", v1alpha1.BaselineAdopted), HaveField("Generation", d.Generation)))),
		))

		By("falling below the minimum, and recovering")
		roll(ctx, d, 3)
		Eventually(serviceOf(ctx, namespace, "checkout")).Should(haveHealth(v1alpha1.HealthDegraded))
		roll(ctx, d, 1)
		Eventually(serviceOf(ctx, namespace, "checkout")).Should(haveHealth(v1alpha1.HealthOutage))
		roll(ctx, d, 4)
		Eventually(serviceOf(ctx, namespace, "checkout")).Should(haveHealth(v1alpha1.HealthOperational))
	})

	It("is down with what it depends on, in another namespace", func(ctx SpecContext) {
		run(options{leader: true})
		shop, finance := env.Namespace(GinkgoTB(), nil), env.Namespace(GinkgoTB(), nil)
		created(ctx, builder.MakeService(shop, "checkout").ClaimApp("", "checkout").DependsOn(finance, "ledger", v1alpha1.DependencyHard).Obj())
		roll(ctx, created(ctx, builder.MakeDeployment(shop, "checkout").Obj()), 1)
		dependencies := func(g Gomega) *metav1.Condition {
			return meta.FindStatusCondition(serviceOf(ctx, shop, "checkout")(g).Conditions, v1alpha1.ConditionDependenciesHealthy)
		}
		Eventually(dependencies).Should(And(Not(BeNil()), HaveField("Reason", "DependencyNotFound")))

		ledger := created(ctx, builder.MakeDeployment(finance, "ledger").Obj())
		created(ctx, builder.MakeService(finance, "ledger").ClaimApp("", "ledger").Obj())
		roll(ctx, ledger, 1)
		Eventually(dependencies).Should(HaveField("Reason", "AllHealthy"))
		Eventually(serviceOf(ctx, finance, "ledger")).Should(HaveField("Dependents",
			ConsistOf(v1alpha1.NamespacedReference{Namespace: v1alpha1.NamespaceName(shop), Name: "checkout"})))

		roll(ctx, ledger, 0)
		Eventually(serviceOf(ctx, shop, "checkout")).Should(haveHealth(v1alpha1.HealthOutage))
		Expect(env.Admin().Delete(ctx, builder.MakeService(finance, "ledger").Obj())).To(Succeed())
		Eventually(serviceOf(ctx, shop, "checkout")).Should(haveHealth(v1alpha1.HealthOperational))
	})

	It("is not written while nothing about it changes, nor by two leaders at once", func(ctx SpecContext) {
		run(options{leader: true})
		namespace := env.Namespace(GinkgoTB(), nil)
		created(ctx, builder.MakeService(namespace, "checkout").ClaimApp("", "checkout").Obj())
		d := created(ctx, builder.MakeDeployment(namespace, "checkout").Obj())
		roll(ctx, d, 1)
		Eventually(serviceOf(ctx, namespace, "checkout")).Should(haveHealth(v1alpha1.HealthOperational))
		Eventually(itemOf(ctx, namespace, "deployment-checkout")).Should(HaveField("Baselines", ConsistOf(HaveField("Proven", true))))
		By("coming to rest")
		var before map[string]string
		Eventually(func(g Gomega) {
			last := before
			before = versions(ctx, namespace)(g)
			g.Expect(before).To(Equal(last))
		}).WithPolling(250 * time.Millisecond).MustPassRepeatedly(4).Should(Succeed())

		second := run(options{leader: true})
		d.Annotations = map[string]string{"noise": "x"}
		Expect(env.Admin().Update(ctx, d)).To(Succeed())
		Consistently(versions(ctx, namespace)).WithTimeout(2 * time.Second).Should(Equal(before))
		Expect(second.inventory.HasSynced()).To(BeTrue())
	})

	It("catches up with what happened while nobody ran", func(ctx SpecContext) {
		first := run(options{leader: true})
		namespace := env.Namespace(GinkgoTB(), nil)
		created(ctx, builder.MakeService(namespace, "checkout").ClaimApp("", "checkout").ClaimApp("", "cart").Obj())
		d := created(ctx, builder.MakeDeployment(namespace, "checkout").Obj())
		roll(ctx, d, 1)
		Eventually(itemOf(ctx, namespace, "deployment-checkout")).Should(HaveField("State", v1alpha1.ConfigurationItemInUse))
		first.end()

		Expect(env.Admin().Delete(ctx, d)).To(Succeed())
		roll(ctx, created(ctx, builder.MakeDeployment(namespace, "cart").Obj()), 0)
		run(options{leader: true, retention: time.Second})
		Eventually(serviceOf(ctx, namespace, "checkout")).Should(And(
			haveHealth(v1alpha1.HealthOutage), HaveField("Workloads", ConsistOf(HaveField("Name", v1alpha1.ObjectName("cart"))))))
		Eventually(itemOf(ctx, namespace, "deployment-cart")).Should(HaveField("State", v1alpha1.ConfigurationItemInUse))
		By("forgetting the workload that is gone, after its retention time")
		Eventually(versions(ctx, namespace)).Should(And(HaveLen(2), HaveKey("ConfigurationItem deployment-cart")))
	})
})

var _ = Describe("Who let a template in", func() {
	It("reaches the leader from the replica whose gate was asked", func(ctx SpecContext) {
		run(options{leader: true})
		other := run(options{})
		namespace := env.Namespace(GinkgoTB(), nil)
		created(ctx, builder.MakeService(namespace, "checkout").ClaimApp("", "checkout").Obj())
		d := created(ctx, builder.MakeDeployment(namespace, "checkout").Obj())
		roll(ctx, d, 1)
		Eventually(itemOf(ctx, namespace, "deployment-checkout")).Should(HaveField("Baselines", HaveLen(1)))

		Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(d), d)).To(Succeed())
		d.Spec.Template.Spec.Containers[0].Image = "registry.shop.example/checkout:2.0"
		dry := d.DeepCopy()
		Expect(env.Admin().Update(ctx, dry, client.DryRunAll)).To(Succeed())
		hash := configuration.ParseTemplate("Deployment", configuration.RawTemplate(builder.Unstructured(dry, builder.GroupVersionKind("Deployment")).Object)).Hash
		key := change.KeyOf(namespace, v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "checkout"})
		other.inventory.Admitted(key, configuration.AdmissionRecord{TemplateHash: hash, Source: v1alpha1.BaselineAudited, By: "alice", At: time.Now()})
		Expect(env.Admin().Update(ctx, d)).To(Succeed())

		Eventually(itemOf(ctx, namespace, "deployment-checkout")).Should(And(
			HaveField("Admissions", BeEmpty()),
			HaveField("Baselines", HaveExactElements(
				And(HaveField("TemplateHash", hash), HaveField("Source", v1alpha1.BaselineAudited), HaveField("By", "alice")),
				HaveField("Source", v1alpha1.BaselineAdopted),
			)),
		))
		Expect(other.inventory.AdmittedHere(key)).To(BeEmpty())
	})
})

// What a person wrote, what a dry run makes of it, what is stored and what a watch sends is one template, of each kind.
var _ = DescribeTable("A template has one hash, of", func(ctx SpecContext, write func(namespace string) client.Object) {
	namespace := env.Namespace(GinkgoTB(), nil)
	raw := func(o client.Object) map[string]any {
		GinkgoHelper()
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		Expect(err).NotTo(HaveOccurred())
		return configuration.RawTemplate(content)
	}
	hash := func(o client.Object) string {
		return configuration.ParseTemplate(o.GetObjectKind().GroupVersionKind().Kind, raw(o)).Hash
	}
	written := write(namespace)
	written.SetUID("")
	written.SetGeneration(0)
	written.SetCreationTimestamp(metav1.Time{})
	want := hash(written)
	kind := written.GetObjectKind().GroupVersionKind()

	dry := &unstructured.Unstructured{Object: builder.Unstructured(written.DeepCopyObject(), kind).Object}
	Expect(env.Admin().Create(ctx, dry, client.DryRunAll)).To(Succeed())
	Expect(configuration.Diff(raw(written), raw(dry))).To(BeEmpty())
	Expect(hash(dry)).To(Equal(want), "of a dry run")
	Expect(env.Admin().Create(ctx, written)).To(Succeed())
	stored := &unstructured.Unstructured{}
	stored.SetGroupVersionKind(kind)
	Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(written), stored)).To(Succeed())
	Expect(hash(stored)).To(Equal(want), "of what is stored")

	if !configuration.Claimable(kind.Kind) {
		return
	}
	r := run(options{})
	key := configuration.Key{Group: kind.Group, Kind: kind.Kind, Namespace: namespace, Name: written.GetName()}
	w, exists := r.inventory.Workload(key)
	Expect(exists).To(BeTrue())
	Expect(w.Template.Hash).To(Equal(want), "in the inventory")
},
	Entry("a Deployment", func(ns string) client.Object { return builder.MakeDeployment(ns, "a").Obj() }),
	Entry("a bare Deployment", func(ns string) client.Object {
		d := builder.MakeDeployment(ns, "a").Obj()
		d.Spec.Template.Spec = rich("Always")
		return d
	}),
	Entry("a StatefulSet", func(ns string) client.Object { return builder.StatefulSet(ns, "a") }),
	Entry("a DaemonSet", func(ns string) client.Object { return builder.DaemonSet(ns, "a") }),
	Entry("a ReplicaSet", func(ns string) client.Object { return builder.ReplicaSet(ns, "a") }),
	Entry("a ReplicationController", func(ns string) client.Object { return builder.ReplicationController(ns, "a") }),
	Entry("a Job", func(ns string) client.Object {
		return &batchv1.Job{TypeMeta: builder.Job(ns, "a").TypeMeta, ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "a"},
			Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: rich("Never")}}}
	}),
	Entry("a CronJob", func(ns string) client.Object {
		c := builder.CronJob(ns, "a")
		c.Spec.JobTemplate.Spec.Template.Spec = rich("OnFailure")
		return c
	}),
)

// rich leaves to the API server all that it has defaults for.
func rich(restart corev1.RestartPolicy) corev1.PodSpec {
	return corev1.PodSpec{
		RestartPolicy: restart,
		Containers: []corev1.Container{{
			Name: "app", Image: "registry.shop.example/a:1", ImagePullPolicy: corev1.PullIfNotPresent,
			Ports:          []corev1.ContainerPort{{ContainerPort: 80}},
			Env:            []corev1.EnvVar{{Name: "POD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}},
			ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(80)}}},
			LivenessProbe:  &corev1.Probe{ProbeHandler: corev1.ProbeHandler{GRPC: &corev1.GRPCAction{Port: 80}}},
			StartupProbe:   &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(80)}}},
			Lifecycle:      &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(80)}}},
			SecurityContext: &corev1.SecurityContext{
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		}},
		Volumes: []corev1.Volume{
			{Name: "none"},
			{Name: "iscsi", VolumeSource: corev1.VolumeSource{ISCSI: &corev1.ISCSIVolumeSource{TargetPortal: "10.0.0.1", IQN: "iqn.2001-04.com.example:a"}}},
			{Name: "rbd", VolumeSource: corev1.VolumeSource{RBD: &corev1.RBDVolumeSource{CephMonitors: []string{"10.0.0.1"}, RBDImage: "a"}}},
			{Name: "azure", VolumeSource: corev1.VolumeSource{AzureDisk: &corev1.AzureDiskVolumeSource{DiskName: "a", DataDiskURI: "https://blob/a.vhd"}}},
			{Name: "scaleio", VolumeSource: corev1.VolumeSource{ScaleIO: &corev1.ScaleIOVolumeSource{
				Gateway: "a", System: "a", VolumeName: "a", SecretRef: &corev1.LocalObjectReference{Name: "a"},
			}}},
			{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/tmp"}}},
			{Name: "secret", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "a"}}},
			{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "a"}}}},
			{Name: "downward", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{
				Items: []corev1.DownwardAPIVolumeFile{{Path: "a", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
			}}},
			{Name: "projected", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "a", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}},
			}}}},
			{Name: "ephemeral", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{
				VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{Spec: corev1.PersistentVolumeClaimSpec{
					AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
					Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
				}},
			}}},
		},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{MaxSkew: 1, TopologyKey: "kubernetes.io/hostname", WhenUnsatisfiable: corev1.ScheduleAnyway}},
	}
}
