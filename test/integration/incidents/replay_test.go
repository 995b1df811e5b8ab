package incidents_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/replay"
)

// stage is a namespace into which a trace is played, with a clock that follows it.
type stage struct {
	namespace string
	clock     *clocktesting.FakePassiveClock
	trace     *replay.Trace
	cluster   *replay.Cluster
	canaries  int
}

// prepare moves a trace to the present, since the API server stamps what it creates by its own clock.
func prepare(name string) *stage {
	GinkgoHelper()
	trace, err := replay.Load(name)
	Expect(err).NotTo(HaveOccurred())
	trace.Shift(time.Since(trace.Events[0].Time).Truncate(time.Second))
	// An owner must exist before what it owns, whatever the order in which they were sent.
	slices.SortStableFunc(trace.Events, func(a, b replay.Event) int { return early(a) - early(b) })
	s := &stage{namespace: env.Namespace(GinkgoTB(), nil), trace: trace, clock: clocktesting.NewFakePassiveClock(trace.Events[0].Time)}
	s.cluster = &replay.Cluster{Client: admin(), Namespace: s.namespace, Node: "node-" + s.namespace}
	return s
}

func early(e replay.Event) int {
	if e.Type == watch.Added && (e.Object.GetKind() == "Deployment" || e.Object.GetKind() == "Node") {
		return 0
	}
	return 1
}

// play plays the nth part of the events. The operator may see several of them at once, but something of each part.
func (s *stage) play(n int) {
	GinkgoHelper()
	all := len(s.trace.Events)
	for _, e := range s.trace.Events[all*n/parts : all*(n+1)/parts] {
		if e.Time.After(s.clock.Now()) {
			s.clock.SetTime(e.Time)
		}
		Expect(s.cluster.Apply(e)).To(Succeed())
	}
	s.settle()
}

const parts = 6

func (s *stage) playAll() {
	GinkgoHelper()
	for n := range parts {
		s.play(n)
	}
}

// pass lets time pass in steps, and makes the operator look at everything after each: its timers run by the real clock.
func (s *stage) pass(by time.Duration) {
	GinkgoHelper()
	const step = 3 * time.Minute
	for ; by > 0; by -= step {
		s.clock.SetTime(s.clock.Now().Add(min(by, step)))
		s.nudge()
		s.settle()
	}
}

// nudge touches all that is watched.
func (s *stage) nudge() {
	GinkgoHelper()
	for _, kind := range []schema.GroupVersionKind{
		{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "batch", Version: "v1", Kind: "Job"},
		{Version: "v1", Kind: "Pod"}, v1alpha1.GroupVersion.WithKind("Incident"),
	} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		Expect(admin().List(context.Background(), list, client.InNamespace(s.namespace))).To(Succeed())
		for i := range list.Items {
			o := &list.Items[i]
			before := o.DeepCopy()
			// Not an annotation: that of a Deployment counts as a new generation.
			labels := o.GetLabels()
			if labels == nil {
				labels = map[string]string{}
			}
			labels["test/touched"] = strconv.FormatInt(s.clock.Now().Unix(), 10)
			o.SetLabels(labels)
			Expect(client.IgnoreNotFound(admin().Patch(context.Background(), o, client.MergeFrom(before)))).To(Succeed())
		}
	}
}

// settle waits until the operator has looked at all that happened so far: until it told of a pod that failed after.
func (s *stage) settle() {
	GinkgoHelper()
	s.canaries++
	name := fmt.Sprintf("canary-%d", s.canaries)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "app", Image: "canary"}},
		},
	}
	Expect(admin().Create(context.Background(), pod)).To(Succeed())
	at := metav1.NewTime(s.clock.Now().Truncate(time.Second))
	pod.Status = corev1.PodStatus{Phase: corev1.PodFailed, StartTime: &at, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "app", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, StartedAt: at, FinishedAt: at}},
	}}}
	Expect(admin().Status().Update(context.Background(), pod)).To(Succeed())
	Eventually(func(g Gomega) {
		canaries, _ := s.incidents(g)
		g.Expect(canaries).To(ContainElement(And(
			HaveField("Spec.WorkloadRef.Name", v1alpha1.ObjectName(name)), HaveField("Status.State", Not(BeEmpty())))))
	}).Should(Succeed())
}

// incidents are those about the canaries, and the others.
func (s *stage) incidents(g Gomega) (canaries, others []v1alpha1.Incident) {
	list := &v1alpha1.IncidentList{}
	if g == nil {
		g = Default
	}
	g.Expect(admin().List(context.Background(), list, client.InNamespace(s.namespace))).To(Succeed())
	for _, i := range list.Items {
		if strings.HasPrefix(string(i.Spec.WorkloadRef.Name), "canary-") {
			canaries = append(canaries, i)
		} else {
			others = append(others, i)
		}
	}
	return canaries, others
}

// outcome is what is said of each incident, but for the canaries'.
func (s *stage) outcome() []string {
	GinkgoHelper()
	_, others := s.incidents(Default)
	out := []string{}
	for _, i := range others {
		text := fmt.Sprintf("%s %s/%s %s", i.Status.State, i.Spec.WorkloadRef.Kind, i.Spec.WorkloadRef.Name, i.Status.Reason)
		if i.Status.Resolution != nil {
			text += " " + string(i.Status.Resolution.Code)
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

// comesTo waits for an outcome: a look for which the watches are behind is repeated a moment later, and is not waited for
// by settle. Where nothing is to come of it, another settle gives it that moment.
func (s *stage) comesTo(want []string) {
	GinkgoHelper()
	Eventually(s.outcome).Should(Equal(want))
	s.settle()
	Expect(s.outcome()).To(Equal(want))
}

var outcomes = map[string][]string{
	"crashloop":     {"New Deployment/api CrashLooping"},
	"crash-recover": {"Resolved Deployment/api CrashLooping FixedByChange"},
	"oom":           {"New Deployment/cache OOMKilled"},
	"imagepull":     {"New Deployment/web ImagePullFailed"},
	"configerror":   {"New Deployment/web ConfigInvalid"},
	"unschedulable": {"New Deployment/big Unschedulable"},
	"notready":      {"New Deployment/web NotReady"},
	"initcrash":     {"New Deployment/web InitFailed"},
	"job":           {"New Job/report JobFailed"},
	"rollout":       {},
	"drain":         {},
}

const afterwards = 12 * time.Minute

var _ = Describe("Recorded failures", func() {
	for _, name := range replay.Names() {
		It("make one Incident, or none: "+name, func() {
			s := prepare(name)
			start(s.namespace, s.clock)
			s.playAll()
			s.pass(afterwards)
			s.comesTo(outcomes[name])
		})
	}

	for _, name := range []string{"crashloop", "crash-recover", "oom", "imagepull", "rollout"} {
		It("are one Incident for two detectors at once: "+name, func() {
			s := prepare(name)
			start(s.namespace, s.clock)
			start(s.namespace, s.clock)
			s.playAll()
			s.pass(afterwards)
			s.comesTo(outcomes[name])
		})
	}

	for _, name := range []string{"crashloop", "crash-recover", "initcrash", "drain"} {
		It("are one Incident for an operator that is restarted again and again: "+name, func() {
			s := prepare(name)
			for n := range parts {
				o := start(s.namespace, s.clock)
				s.play(n)
				o.stop()
			}
			start(s.namespace, s.clock)
			s.pass(afterwards)
			s.comesTo(outcomes[name])
		})
	}
})
