package attack

import (
	"context"
	"strings"
	"time"
	"unicode"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

const (
	agreedImage = "registry.shop.example/checkout:2.3"
	evilImage   = "registry.evil.example/miner:1.0"
)

// Built-in controllers, by the names that the match conditions know.
const (
	deploymentController = "system:serviceaccount:kube-system:deployment-controller"
	replicaSetController = "system:serviceaccount:kube-system:replicaset-controller"
	cronJobController    = "system:serviceaccount:kube-system:cronjob-controller"
	garbageCollector     = "system:serviceaccount:kube-system:generic-garbage-collector"
)

// scene is a namespace under Enforce with a Service that claims Deployments by a label of their pods, one of which runs
// what was agreed. eddie has the built-in role edit and the roles of ours that come with it.
type scene struct {
	namespace string
	checkout  *appsv1.Deployment
	eddie     client.Client
}

// before alters what is there before it is governed.
type before func(namespace string, checkout *appsv1.Deployment) []client.Object

func newScene(ctx SpecContext, prepare ...before) *scene {
	GinkgoHelper()
	s := &scene{namespace: env.Namespace(GinkgoTB(), map[string]string{"attacked": "true"})}
	for _, role := range []string{"system:aggregate-to-edit", "system:aggregate-to-view", "itil-editor", "itil-viewer"} {
		env.Bind(GinkgoTB(), s.namespace, apiserver.User("eddie"), role)
	}
	for _, controller := range []string{deploymentController, replicaSetController, cronJobController, garbageCollector} {
		env.Bind(GinkgoTB(), s.namespace, apiserver.User(controller), "cluster-admin")
	}
	s.eddie = env.Client(GinkgoTB(), "eddie", "developers")
	s.checkout = &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "checkout", Namespace: s.namespace},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "checkout"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "checkout", "team": "payments"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: agreedImage}}},
			},
		},
	}
	var more []client.Object
	for _, f := range prepare {
		more = append(more, f(s.namespace, s.checkout)...)
	}
	for _, o := range append([]client.Object{s.checkout}, more...) {
		Expect(env.Admin().Create(ctx, o)).To(Succeed())
	}
	s.agree(ctx, s.checkout)
	s.govern(ctx)
	return s
}

// govern the namespace, and wait until the API server asks the gate about it and the gate knows why.
func (s *scene) govern(ctx context.Context) {
	GinkgoHelper()
	policy := &v1alpha1.ChangePolicy{ObjectMeta: metav1.ObjectMeta{Name: "of-" + s.namespace}}
	policy.Spec.NamespaceSelector.MatchLabels = map[string]v1alpha1.LabelValue{corev1.LabelMetadataName: v1alpha1.LabelValue(s.namespace)}
	policy.Spec.Enforcement = v1alpha1.EnforcementEnforce
	for _, risk := range []v1alpha1.RiskLevel{v1alpha1.RiskLow, v1alpha1.RiskMedium, v1alpha1.RiskHigh} {
		policy.Spec.Approvals = append(policy.Spec.Approvals, v1alpha1.ApprovalRule{Risk: risk, Required: 1})
	}
	Expect(env.Admin().Create(ctx, policy)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(env.Admin().Delete(ctx, policy)).To(Succeed()) })
	service := &v1alpha1.Service{ObjectMeta: metav1.ObjectMeta{Name: "checkout", Namespace: s.namespace}}
	service.Spec.Owner.Team = "payments"
	service.Spec.Workloads = []v1alpha1.WorkloadClaim{{
		Kind: v1alpha1.WorkloadDeployment, Selector: &v1alpha1.LabelSelector{MatchLabels: map[string]v1alpha1.LabelValue{"team": "payments"}},
	}}
	Expect(env.Admin().Create(ctx, service)).To(Succeed())
	Eventually(func(g Gomega) {
		err := s.change(ctx, s.eddie, s.checkout, image(evilImage), client.DryRunAll)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(operator.questions(s.namespace)).NotTo(BeEmpty())
		key := keyOf(s.checkout)
		g.Expect(operator.inventory.Baselines(key)).NotTo(BeEmpty())
		g.Expect(operator.inventory.Governance(key, s.checkout.Spec.Template.Labels).Enforcement).To(Equal(v1alpha1.EnforcementEnforce))
		g.Expect(s.attempt(ctx, image(evilImage))).NotTo(Succeed())
	}).Should(Succeed())
}

// agree writes the ConfigurationItem of a workload, as its controller would on adoption.
func (s *scene) agree(ctx context.Context, o client.Object) {
	GinkgoHelper()
	w := workloadOf(o)
	item := &v1alpha1.ConfigurationItem{ObjectMeta: metav1.ObjectMeta{
		Name: configuration.ItemName(w.Key.Kind, w.Key.Name), Namespace: s.namespace,
	}}
	item.Spec.WorkloadRef = v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadKind(w.Key.Kind), Name: v1alpha1.ObjectName(w.Key.Name)}
	Expect(operator.client.Create(ctx, item)).To(Succeed())
	item.Status.Baselines = []v1alpha1.Baseline{baselineOf(w)}
	Expect(operator.client.Status().Update(ctx, item)).To(Succeed())
}

// forcedIn rolls another image out, as by breaking the glass: what was agreed is the baseline before it.
func (s *scene) forcedIn(ctx context.Context, another string) {
	GinkgoHelper()
	item := &v1alpha1.ConfigurationItem{}
	key := client.ObjectKey{Namespace: s.namespace, Name: "deployment-checkout"}
	Expect(operator.client.Get(ctx, key, item)).To(Succeed())
	proven := item.Status.Baselines[0]
	operator.admitAnything(func() { Expect(s.change(ctx, env.Admin(), s.checkout, image(another))).To(Succeed()) })
	live := s.checkout.DeepCopy()
	Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(live), live)).To(Succeed())
	current := baselineOf(workloadOf(live))
	current.Source, current.From, current.Proven = v1alpha1.BaselineBreakGlass, metav1.Now(), false
	until := current.From
	proven.Until = &until
	item.Status.Baselines = []v1alpha1.Baseline{current, proven}
	Expect(operator.client.Status().Update(ctx, item)).To(Succeed())
}

func baselineOf(w *configuration.Workload) v1alpha1.Baseline {
	return v1alpha1.Baseline{
		TemplateHash: w.Template.Hash, ImagelessHash: w.Template.ImagelessHash, Images: w.Template.Images,
		WorkloadUID: string(w.UID), Generation: w.Generation, Source: v1alpha1.BaselineAdopted, Proven: true,
		From: metav1.NewTime(time.Now().Add(-time.Hour)),
	}
}

func workloadOf(o client.Object) *configuration.Workload {
	GinkgoHelper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	Expect(err).NotTo(HaveOccurred())
	gvk, err := apiutil.GVKForObject(o, env.Scheme())
	Expect(err).NotTo(HaveOccurred())
	u := &unstructured.Unstructured{Object: fields}
	u.SetGroupVersionKind(gvk)
	w, err := configuration.FromObject(u.Object)
	Expect(err).NotTo(HaveOccurred())
	return &w
}

func keyOf(o client.Object) configuration.Key { return workloadOf(o).Key }

// edit alters a copy of an object.
type edit func(o client.Object)

// template is that of whatever makes pods: its metadata and its pod spec.
func template(o client.Object) (*metav1.ObjectMeta, *corev1.PodSpec) {
	GinkgoHelper()
	switch o := o.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
	case *appsv1.StatefulSet:
		return &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
	case *appsv1.DaemonSet:
		return &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
	case *appsv1.ReplicaSet:
		return &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
	case *corev1.ReplicationController:
		return &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
	case *batchv1.Job:
		return &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
	case *batchv1.CronJob:
		return &o.Spec.JobTemplate.Spec.Template.ObjectMeta, &o.Spec.JobTemplate.Spec.Template.Spec
	case *corev1.Pod:
		return &o.ObjectMeta, &o.Spec
	}
	Fail("not a kind that makes pods")
	return nil, nil
}

func image(image string) edit {
	return func(o client.Object) {
		_, spec := template(o)
		spec.Containers[0].Image = image
	}
}

// change updates an object as somebody, from what it is now.
func (s *scene) change(ctx context.Context, as client.Client, o client.Object, e edit, options ...client.UpdateOption) error {
	live := o.DeepCopyObject().(client.Object)
	if err := env.Admin().Get(ctx, client.ObjectKeyFromObject(o), live); err != nil {
		return err
	}
	e(live)
	return as.Update(ctx, live, options...)
}

// attempt is eddie's on the Deployment.
func (s *scene) attempt(ctx context.Context, e edit, options ...client.UpdateOption) error {
	return s.change(ctx, s.eddie, s.checkout, e, options...)
}

// expectDenied: refused by the gate, in the words and with the fields that clients need.
func expectDenied(err error, words ...string) {
	GinkgoHelper()
	Expect(err).To(MatchError(apierrors.IsForbidden, "IsForbidden"))
	Expect(err).To(MatchError(ContainSubstring(`admission webhook "enforce.gate.itil.dev" denied the request`)))
	for _, word := range words {
		Expect(err).To(MatchError(ContainSubstring(word)))
	}
	status := err.(apierrors.APIStatus).Status()
	Expect(status.Details.Causes).NotTo(BeEmpty())
	Expect(strings.ToLower(status.Message)).NotTo(ContainSubstring("immutable"))
	Expect(strings.ContainsFunc(status.Message, func(r rune) bool { return r != '\n' && unicode.IsControl(r) })).To(BeFalse())
}

// unasked expects that the gate is not asked while something is done that must pass.
func (s *scene) unasked(what string, do func() error) {
	GinkgoHelper()
	before := operator.questions(s.namespace)
	Expect(do()).To(Succeed(), what)
	Expect(operator.questions(s.namespace)[len(before):]).To(BeEmpty(), what)
}

// twin makes pods that the Deployment's selector selects.
func (s *scene) twin(kind string, alter ...edit) client.Object {
	GinkgoHelper()
	meta := metav1.ObjectMeta{Name: "twin-" + strings.ToLower(kind), Namespace: s.namespace}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "checkout"}}
	pods := *s.checkout.Spec.Template.DeepCopy()
	once := *pods.DeepCopy()
	once.Spec.RestartPolicy = corev1.RestartPolicyNever
	var o client.Object
	switch kind {
	case "Deployment":
		o = &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Selector: selector, Template: pods}}
	case "StatefulSet":
		o = &appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{Selector: selector, Template: pods}}
	case "DaemonSet":
		o = &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{Selector: selector, Template: pods}}
	case "ReplicaSet":
		o = &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: selector, Template: pods, Replicas: ptr.To[int32](1)}}
	case "ReplicationController":
		o = &corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Selector: selector.MatchLabels, Template: &pods}}
	case "Job":
		o = &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Template: once}}
	case "CronJob":
		o = &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{Schedule: "0 3 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: once}}}}
	case "Pod":
		meta.Labels = pods.Labels
		o = &corev1.Pod{ObjectMeta: meta, Spec: pods.Spec}
	default:
		Fail("unknown kind " + kind)
	}
	for _, e := range alter {
		e(o)
	}
	return o
}

// ownedBy says that an object has a controller, which need not be true.
func ownedBy(owner client.Object, kind string) edit {
	return func(o client.Object) {
		o.SetOwnerReferences([]metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: kind, Name: owner.GetName(), UID: owner.GetUID(), Controller: new(true),
		}})
	}
}

// file is a Change of eddie's for an image of the Deployment.
func (s *scene) file(ctx context.Context, name, workload, newImage string) *v1alpha1.Change {
	GinkgoHelper()
	c := &v1alpha1.Change{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.namespace}}
	c.Spec.Summary = "Roll out " + newImage
	c.Spec.Targets = []v1alpha1.ChangeTarget{{
		Workload: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: v1alpha1.ObjectName(workload)},
		Images:   map[string]v1alpha1.Image{"app": v1alpha1.Image(newImage)},
	}}
	Expect(s.eddie.Create(ctx, c)).To(Succeed())
	s.assess(ctx, c)
	return c
}

// assess writes what the Change's controller computes before anybody can agree to it.
func (s *scene) assess(ctx context.Context, c *v1alpha1.Change) {
	GinkgoHelper()
	live := &v1alpha1.Change{}
	Expect(operator.client.Get(ctx, client.ObjectKeyFromObject(c), live)).To(Succeed())
	live.Status.ObservedGeneration, live.Status.State = live.Generation, v1alpha1.ChangeAuthorize
	live.Status.Digest, live.Status.Risk = change.Digest(&live.Spec), &v1alpha1.Risk{Level: v1alpha1.RiskLow}
	Expect(operator.client.Status().Update(ctx, live)).To(Succeed())
}

// vote casts one on the present digest of a Change.
func (s *scene) vote(ctx context.Context, voter string, c *v1alpha1.Change, decision v1alpha1.Decision) {
	GinkgoHelper()
	env.Bind(GinkgoTB(), s.namespace, apiserver.User(voter), "itil-approver")
	vote := &v1alpha1.ChangeApproval{ObjectMeta: metav1.ObjectMeta{GenerateName: c.Name + "-", Namespace: s.namespace}}
	vote.Spec.ChangeRef.Name, vote.Spec.Decision = v1alpha1.ObjectName(c.Name), decision
	vote.Spec.Digest = change.Digest(&c.Spec)
	Expect(env.Client(GinkgoTB(), voter).Create(ctx, vote)).To(Succeed())
	// What is refused afterwards is refused although the gate knows the vote.
	Eventually(func() []*v1alpha1.ChangeApproval {
		return operator.inventory.Approvals(client.ObjectKeyFromObject(c))
	}).Should(ContainElement(HaveField("ObjectMeta.Name", vote.Name)))
}
