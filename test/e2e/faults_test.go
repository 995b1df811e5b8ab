package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// behaviour is what kwok plays on a pod; see hack/local/README.md.
const behaviour = "kwok.itil.dev/behaviour"

// fault is a way to fail, on a workload of its own that is named after it.
type fault struct {
	behaviour string
	reason    v1alpha1.SignalReason
	kind      v1alpha1.WorkloadKind
	// alter what is deployed, before it is.
	alter func(*appsv1.Deployment)
	// seen are states of the container "app" that its pods must go through, in this order, others between them.
	seen []string
}

// theFaults by the name of their workload.
func theFaults() map[string]fault {
	return map[string]fault{
		"crashloop": {behaviour: "crashloop", reason: v1alpha1.SignalCrashLooping, seen: []string{
			"ContainerCreating", "running", "terminated Error 3", "CrashLoopBackOff", "running", "terminated Error 3", "CrashLoopBackOff", "running",
		}},
		"oom": {behaviour: "oom", reason: v1alpha1.SignalOOMKilled, seen: []string{
			"ContainerCreating", "running", "terminated OOMKilled 137", "CrashLoopBackOff", "running",
		}},
		"imagepull": {behaviour: "imagepull", reason: v1alpha1.SignalImagePullFailed, seen: []string{
			"ContainerCreating", "ErrImagePull", "ImagePullBackOff", "ErrImagePull",
		}},
		"configerror": {behaviour: "configerror", reason: v1alpha1.SignalConfigInvalid, seen: []string{
			"ContainerCreating", "CreateContainerConfigError",
		}},
		"startfail": {behaviour: "startfail", reason: v1alpha1.SignalStartFailed, seen: []string{"ContainerCreating", "RunContainerError"}},
		"initcrash": {behaviour: "initcrash", reason: v1alpha1.SignalInitFailed, seen: []string{"PodInitializing"}, alter: func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "registry.shop.example/init:1.0"}}
		}},
		"unschedulable": {reason: v1alpha1.SignalUnschedulable, alter: func(d *appsv1.Deployment) {
			d.Spec.Template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("900Gi")}
		}},
		// Unready during its first rollout it would be a rollout that takes its time: this one was ready before.
		"notready": {behaviour: "notready", reason: v1alpha1.SignalNotReady, seen: []string{"running"}},
		"job":      {behaviour: "fail", reason: v1alpha1.SignalJobFailed, kind: v1alpha1.WorkloadJob},
		"cronjob":  {behaviour: "fail", reason: v1alpha1.SignalJobFailed, kind: v1alpha1.WorkloadCronJob},
	}
}

// faults are opened by one context and resolved by another, since a workload must have been well for two minutes.
type faults struct {
	namespace string
	watched   *watched
	opened    map[string]string // names of Incidents by workload
}

func (f *faults) open() {
	BeforeAll(func(ctx SpecContext) {
		f.namespace = env.namespace(ctx, "faults", nil)
		f.watched = watchPods(f.namespace)
		for name, fault := range theFaults() {
			f.deploy(ctx, name, fault)
		}
		Eventually(ctx, func(g Gomega) {
			d := &appsv1.Deployment{}
			g.Expect(env.admin.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: "notready"}, d)).To(Succeed())
			g.Expect(d.Status.ReadyReplicas).To(Equal(*d.Spec.Replicas))
		}).Should(Succeed())
		_, err := env.kubectl(ctx, admin, "-n", f.namespace, "annotate", "pods", "-l", "app=notready", behaviour+"=notready")
		Expect(err).NotTo(HaveOccurred())
	}, NodeTimeout(4*time.Minute))

	for _, name := range slices.Sorted(maps.Keys(theFaults())) {
		fault := theFaults()[name]
		It(fmt.Sprintf("opens one Incident for %s, with reason %s", name, fault.reason), func(ctx SpecContext) {
			Eventually(ctx, func(g Gomega) {
				incident := f.only(ctx, g, name)
				g.Expect(incident.Status.Reason).To(Equal(fault.reason))
				g.Expect(incident.Status.State).To(Equal(v1alpha1.IncidentNew))
				g.Expect(string(incident.Status.Priority)).To(MatchRegexp("^P[1-5]$"))
				g.Expect(incident.Status.Signals).NotTo(BeEmpty())
				g.Expect(incident.Status.StartedAt).NotTo(BeNil())
				g.Expect(incident.Status.NextStep).NotTo(BeEmpty())
				g.Expect(incident.Spec.Source).To(Equal(v1alpha1.IncidentSourceDetector))
				g.Expect(incident.Spec.ServiceRef).To(HaveValue(HaveField("Name", v1alpha1.ObjectName(name))))
				g.Expect(incident.Spec.Title).To(ContainSubstring(name))
			}).WithTimeout(3 * time.Minute).Should(Succeed())
		}, SpecTimeout(5*time.Minute))
	}

	It("plays the faults as a kubelet does", func(ctx SpecContext) {
		for name, fault := range theFaults() {
			if len(fault.seen) > 0 {
				Eventually(ctx, f.watched.states).WithArguments(name).WithTimeout(2*time.Minute).Should(containInOrder(fault.seen), name)
			}
		}
	}, SpecTimeout(5*time.Minute))

	It("shows the outage on the Services", func(ctx SpecContext) {
		Eventually(ctx, func(g Gomega) {
			service := &v1alpha1.Service{}
			g.Expect(env.admin.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: "configerror"}, service)).To(Succeed())
			g.Expect(service.Status.Health).To(Equal(v1alpha1.HealthOutage))
			g.Expect(service.Status.OpenIncidents).To(BeEquivalentTo(1))
			g.Expect(service.Status.Ready).To(Equal("0/2"))
		}).Should(Succeed())
	}, SpecTimeout(4*time.Minute))

	It("opens no second one while the faults go on, and writes little", func(ctx SpecContext) {
		f.opened = map[string]string{}
		for name := range theFaults() {
			f.opened[name] = f.only(ctx, Default, name).Name
		}
		begin := time.Now()
		Consistently(ctx, func(g Gomega) {
			for name := range theFaults() {
				g.Expect(f.only(ctx, g, name).Name).To(Equal(f.opened[name]))
			}
		}).WithTimeout(2 * stays).Should(Succeed())
		// Ten workloads, twenty pods, a crash every few seconds.
		Expect(len(env.writes(begin))).To(BeNumerically("<=", 2*len(theFaults())), "%v", env.writes(begin))
	}, SpecTimeout(4*time.Minute))

	It("sees the repair", func(ctx SpecContext) {
		for name, fault := range theFaults() {
			f.repair(ctx, name, fault)
		}
	}, SpecTimeout(4*time.Minute))
}

func (f *faults) resolve() {
	It("resolves each of their Incidents, and opens no other", func(ctx SpecContext) {
		Expect(f.opened).To(HaveLen(len(theFaults())))
		for _, name := range slices.Sorted(maps.Keys(theFaults())) {
			Eventually(ctx, func(g Gomega) {
				incident := f.only(ctx, g, name)
				g.Expect(incident.Name).To(Equal(f.opened[name]))
				g.Expect(incident.Status.State).To(Equal(v1alpha1.IncidentResolved), name)
				g.Expect(incident.Status.Resolution).NotTo(BeNil())
				g.Expect(incident.Status.ResolvedAt).NotTo(BeNil())
			}).WithTimeout(4*time.Minute).WithPolling(time.Second).Should(Succeed(), name)
		}
	}, SpecTimeout(5*time.Minute))

	It("shows the Services well again", func(ctx SpecContext) {
		Eventually(ctx, func(g Gomega) {
			service := &v1alpha1.Service{}
			g.Expect(env.admin.Get(ctx, client.ObjectKey{Namespace: f.namespace, Name: "crashloop"}, service)).To(Succeed())
			g.Expect(service.Status.Health).To(Equal(v1alpha1.HealthOperational))
			g.Expect(service.Status.OpenIncidents).To(BeZero())
		}).Should(Succeed())
		f.watched.stop()
	}, SpecTimeout(4*time.Minute))
}

// deploy creates the workload and the Service that claims it.
func (f *faults) deploy(ctx context.Context, name string, fault fault) {
	kind := fault.kind
	if kind == "" {
		kind = v1alpha1.WorkloadDeployment
	}
	service := builder.MakeService(f.namespace, name).Tier(2).Claim(kind, name).Obj()
	service.Spec.Detection = &v1alpha1.Detection{NotReadySeconds: 10, ImagePullSeconds: 5, UnschedulableSeconds: 5}
	Expect(env.admin.Create(ctx, service)).To(Succeed())
	switch kind {
	case v1alpha1.WorkloadJob:
		Expect(env.admin.Create(ctx, failingJob(f.namespace, name, fault.behaviour))).To(Succeed())
	case v1alpha1.WorkloadCronJob:
		cronJob := builder.CronJob(f.namespace, name)
		cronJob.Spec.JobTemplate.Spec = failingJob(f.namespace, name, fault.behaviour).Spec
		Expect(env.admin.Create(ctx, cronJob)).To(Succeed())
		f.runNow(ctx, name, "first")
	default:
		d := builder.MakeDeployment(f.namespace, name).Replicas(2).Obj()
		if fault.behaviour != "" && name != "notready" {
			metav1.SetMetaDataAnnotation(&d.Spec.Template.ObjectMeta, behaviour, fault.behaviour)
		}
		if fault.alter != nil {
			fault.alter(d)
		}
		Expect(env.admin.Create(ctx, d)).To(Succeed())
	}
}

// repair gives the workload what it needs to be well.
func (f *faults) repair(ctx context.Context, name string, fault fault) {
	key := client.ObjectKey{Namespace: f.namespace, Name: name}
	switch fault.kind {
	case v1alpha1.WorkloadJob:
		old := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
		Expect(env.admin.Delete(ctx, old, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed())
		Eventually(ctx, func() error { return env.admin.Create(ctx, failingJob(key.Namespace, key.Name, "")) }).Should(Succeed())
	case v1alpha1.WorkloadCronJob:
		cronJob := &batchv1.CronJob{}
		Expect(env.admin.Get(ctx, key, cronJob)).To(Succeed())
		delete(cronJob.Spec.JobTemplate.Spec.Template.Annotations, behaviour)
		Expect(env.admin.Update(ctx, cronJob)).To(Succeed())
		f.runNow(ctx, name, "second")
	default:
		if name == "notready" {
			_, err := env.kubectl(ctx, admin, "-n", f.namespace, "annotate", "pods", "-l", "app=notready", behaviour+"-")
			Expect(err).NotTo(HaveOccurred())
			return
		}
		d := &appsv1.Deployment{}
		Expect(env.admin.Get(ctx, key, d)).To(Succeed())
		before := client.MergeFrom(d.DeepCopy())
		delete(d.Spec.Template.Annotations, behaviour)
		d.Spec.Template.Spec.Containers[0].Resources.Requests = nil
		d.Spec.Template.Spec.Containers[0].Image = "registry.shop.example/" + name + ":1.1"
		Expect(env.admin.Patch(ctx, d, before)).To(Succeed())
	}
}

// runNow starts a Job of a CronJob, as its hour would.
func (f *faults) runNow(ctx context.Context, cronJob, run string) {
	_, err := env.kubectl(ctx, admin, "-n", f.namespace, "create", "job", cronJob+"-"+run, "--from=cronjob/"+cronJob)
	Expect(err).NotTo(HaveOccurred())
}

func failingJob(namespace, name, plays string) *batchv1.Job {
	job, once := builder.Job(namespace, name), int32(0)
	job.Spec.BackoffLimit = &once
	if plays != "" {
		metav1.SetMetaDataAnnotation(&job.Spec.Template.ObjectMeta, behaviour, plays)
	}
	return job
}

// only returns the Incident of a workload, of which there is no other.
func (f *faults) only(ctx context.Context, g Gomega, workload string) *v1alpha1.Incident {
	incidents := incidentsOf(ctx, g, f.namespace)
	g.Expect(incidents[workload]).To(HaveLen(1), "Incidents of %s", workload)
	// None about a ReplicaSet, a Pod or a Job instead.
	for about := range incidents {
		g.Expect(theFaults()).To(HaveKey(about), "an Incident about another workload")
	}
	return &incidents[workload][0]
}

// incidentsOf are those of a namespace, by the name of their workload.
func incidentsOf(ctx context.Context, g Gomega, namespace string) map[string][]v1alpha1.Incident {
	list := &v1alpha1.IncidentList{}
	g.Expect(env.admin.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
	by := map[string][]v1alpha1.Incident{}
	for i := range list.Items {
		about := ""
		if ref := list.Items[i].Spec.WorkloadRef; ref != nil {
			about = string(ref.Name)
		}
		by[about] = append(by[about], list.Items[i])
	}
	return by
}
