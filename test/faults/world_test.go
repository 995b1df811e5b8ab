package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

// fault is something that is wrong with all pods of a workload.
type fault struct {
	reason v1alpha1.SignalReason
	// status of its container.
	status func(now metav1.Time) corev1.ContainerStatus
}

const reasonEnded = "Error"

func ended(reason string, code int32, at metav1.Time) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{
		Reason: reason, ExitCode: code, StartedAt: metav1.NewTime(at.Add(-3 * time.Second)), FinishedAt: at,
	}
}

func waiting(reason string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
}

var faults = []fault{
	{v1alpha1.SignalCrashLooping, func(now metav1.Time) corev1.ContainerStatus {
		return corev1.ContainerStatus{
			RestartCount: 4, State: waiting("CrashLoopBackOff"),
			LastTerminationState: corev1.ContainerState{Terminated: ended(reasonEnded, 3, now)},
		}
	}},
	{v1alpha1.SignalOOMKilled, func(now metav1.Time) corev1.ContainerStatus {
		return corev1.ContainerStatus{
			RestartCount: 4, State: waiting("CrashLoopBackOff"),
			LastTerminationState: corev1.ContainerState{Terminated: ended("OOMKilled", 137, now)},
		}
	}},
	{v1alpha1.SignalImagePullFailed, func(metav1.Time) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: waiting("ImagePullBackOff")}
	}},
	{v1alpha1.SignalConfigInvalid, func(metav1.Time) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: waiting("CreateContainerConfigError")}
	}},
	{v1alpha1.SignalNotReady, func(now metav1.Time) corev1.ContainerStatus {
		return corev1.ContainerStatus{State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}}
	}},
}

// workload is one of the world, and what the oracle knows of it.
type workload struct {
	key configuration.Key
	uid types.UID
	// pods that it has, and their generation: pods are replaced, not repaired.
	pods, generation int
	restarts         int32
	fault            *fault

	// What the oracle expects: so many Incidents, the last reopened so many times.
	incidents int
	reopened  int32
	// until when what fails is the last Incident again; the zero time: it is not, or for as long as it fails.
	until time.Time
}

// world is workloads that fail and recover. It writes their status in place of the kubelet and the controllers.
type world struct {
	t         *testing.T
	g         *WithT
	seed      uint64
	random    *rand.Rand
	clock     *replica.Clock
	namespace string
	workloads []*workload
	history   *history
	// delivery of changes meanwhile; nil: there is none.
	delivery *delivery
	// promises about some of the workloads; nil: there are none.
	promises *promises
}

const podsEach = 2

func keyOf(o client.Object) client.ObjectKey { return client.ObjectKeyFromObject(o) }

// newWorld makes workloads that are well, in a namespace of their own.
func newWorld(t *testing.T, count int) *world {
	t.Helper()
	return newWorldAt(t, count, speed)
}

func newWorldAt(t *testing.T, count, speed int) *world {
	t.Helper()
	ensureOperatorNamespace(t)
	w := &world{
		t: t, g: NewWithT(t), seed: seedOf(t), clock: replica.NewClock(clock.RealClock{}, speed, headStart),
		namespace: env.Namespace(t, nil),
	}
	w.random = w.stream(0)
	w.g.SetDefaultEventuallyTimeout(patience)
	w.g.EnforceDefaultTimeoutsWhenUsingContexts()
	w.g.SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	kinds := []string{configuration.KindDeployment, configuration.KindStatefulSet, configuration.KindDaemonSet}
	for n := range count {
		kind := kinds[n%len(kinds)]
		one := &workload{key: configuration.Key{Group: "apps", Kind: kind, Namespace: w.namespace, Name: fmt.Sprintf("w%d", n)}, pods: podsEach}
		w.must(w.create(t.Context(), one))
		w.workloads = append(w.workloads, one)
	}
	w.history = follow(t, w.namespace)
	t.Cleanup(w.clear)
	return w
}

// stream is randomness for one goroutine.
func (w *world) stream(n uint64) *rand.Rand { return rand.New(rand.NewPCG(w.seed, n)) }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// clear leaves nothing that the next test's operators would look at.
func (w *world) clear() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, kind := range []client.Object{
		&appsv1.Deployment{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{}, &v1alpha1.ServiceLevelAgreement{}, &v1alpha1.Service{}, &v1alpha1.Incident{},
	} {
		if err := env.Admin().DeleteAllOf(ctx, kind, client.InNamespace(w.namespace)); err != nil {
			w.t.Errorf("clearing: %v", err)
		}
	}
	if err := env.Admin().DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(w.namespace), client.GracePeriodSeconds(0)); err != nil {
		w.t.Errorf("clearing: %v", err)
	}
}

func (w *world) create(ctx context.Context, one *workload) error {
	var object client.Object
	switch one.key.Kind {
	case configuration.KindStatefulSet:
		object = builder.StatefulSet(w.namespace, one.key.Name)
		object.(*appsv1.StatefulSet).Spec.Replicas = new(int32(one.pods))
	case configuration.KindDaemonSet:
		object = builder.DaemonSet(w.namespace, one.key.Name)
	default:
		object = builder.MakeDeployment(w.namespace, one.key.Name).Replicas(int32(one.pods)).Obj()
	}
	object.SetUID("")
	object.SetResourceVersion("")
	object.SetGeneration(0)
	if err := env.Admin().Create(ctx, object); err != nil {
		return err
	}
	one.uid = object.GetUID()
	return w.show(ctx, one)
}

// show writes pods and status as they are now.
func (w *world) show(ctx context.Context, one *workload) error {
	for n := range one.pods {
		if err := w.pod(ctx, one, n); err != nil {
			return err
		}
	}
	ready := int32(one.pods)
	if one.fault != nil {
		ready = 0
	}
	return w.status(ctx, one, int32(one.pods), ready)
}

// replace deletes its pods; show then makes others.
func (w *world) replace(ctx context.Context, one *workload) error {
	for n := range one.pods {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: podName(one, n)}}
		if err := env.Admin().Delete(ctx, pod, client.GracePeriodSeconds(0)); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	one.generation++
	one.restarts = 0
	return nil
}

// revision of its pods: each replacement is one of the template, so that the restarts of those before are over with them.
func (one *workload) revision() string { return fmt.Sprintf("5d4f%d", one.generation) }

func podName(one *workload, n int) string {
	return fmt.Sprintf("%s-%s-%d", one.key.Name, one.revision(), n)
}

func (w *world) pod(ctx context.Context, one *workload, n int) error {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: podName(one, n)}}
	err := env.Admin().Get(ctx, keyOf(p), p)
	switch {
	case apierrors.IsNotFound(err):
		owner := metav1.OwnerReference{APIVersion: "apps/v1", Kind: one.key.Kind, Name: one.key.Name, UID: one.uid, Controller: new(true)}
		label := "controller-revision-hash"
		if one.key.Kind == configuration.KindDeployment {
			owner.Kind, owner.Name, owner.UID = "ReplicaSet", one.key.Name+"-"+one.revision(), one.uid+types.UID("-"+one.revision())
			label = incident.LabelTemplateHash
		}
		p.Labels = map[string]string{"app": one.key.Name, label: one.revision()}
		p.Annotations = map[string]string{madeAt: w.clock.Now().UTC().Format(time.RFC3339)}
		p.OwnerReferences = []metav1.OwnerReference{owner}
		p.Spec = corev1.PodSpec{NodeName: "node1", Containers: []corev1.Container{{Name: "app", Image: "app"}}}
		err = env.Admin().Create(ctx, p)
	case err != nil:
	}
	if err != nil {
		return err
	}
	now := metav1.NewTime(w.clock.Now().Truncate(time.Second))
	container := corev1.ContainerStatus{
		Ready: true, RestartCount: one.restarts, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
	}
	if one.restarts > 0 {
		container.LastTerminationState = corev1.ContainerState{Terminated: ended(reasonEnded, 3, metav1.NewTime(now.Add(-time.Second)))}
	}
	condition := corev1.ConditionTrue
	if one.fault != nil {
		condition = corev1.ConditionFalse
		container = one.fault.status(now)
		container.RestartCount += one.restarts
	}
	container.Name = "app"
	begun := metav1.NewTime(now.Add(-time.Second))
	p.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &begun, ContainerStatuses: []corev1.ContainerStatus{container},
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: begun},
			{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue, LastTransitionTime: begun},
			{Type: corev1.PodReady, Status: condition, LastTransitionTime: now},
		},
	}
	return env.Admin().Status().Update(ctx, p)
}

func (w *world) status(ctx context.Context, one *workload, replicas, ready int32) error {
	name := client.ObjectKey{Namespace: w.namespace, Name: one.key.Name}
	switch one.key.Kind {
	case configuration.KindStatefulSet:
		o := &appsv1.StatefulSet{}
		if err := env.Admin().Get(ctx, name, o); err != nil {
			return err
		}
		o.Status = appsv1.StatefulSetStatus{
			ObservedGeneration: o.Generation, Replicas: replicas, CurrentReplicas: replicas, UpdatedReplicas: replicas,
			ReadyReplicas: ready, AvailableReplicas: ready, CurrentRevision: one.revision(), UpdateRevision: one.revision(),
		}
		return env.Admin().Status().Update(ctx, o)
	case configuration.KindDaemonSet:
		o := &appsv1.DaemonSet{}
		if err := env.Admin().Get(ctx, name, o); err != nil {
			return err
		}
		o.Status = appsv1.DaemonSetStatus{
			ObservedGeneration: o.Generation, DesiredNumberScheduled: replicas, CurrentNumberScheduled: replicas,
			UpdatedNumberScheduled: replicas, NumberReady: ready, NumberAvailable: ready, NumberUnavailable: replicas - ready,
		}
		return env.Admin().Status().Update(ctx, o)
	default:
		o := &appsv1.Deployment{}
		if err := env.Admin().Get(ctx, name, o); err != nil {
			return err
		}
		o.Status = appsv1.DeploymentStatus{
			ObservedGeneration: o.Generation, Replicas: replicas, UpdatedReplicas: replicas, ReadyReplicas: ready,
			AvailableReplicas: ready, UnavailableReplicas: replicas - ready,
			Conditions: []appsv1.DeploymentCondition{{
				Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable",
				Message: fmt.Sprintf("ReplicaSet %q has successfully progressed.", one.key.Name+"-"+one.revision()),
			}},
		}
		return env.Admin().Status().Update(ctx, o)
	}
}

// some are workloads of the world at random, at least one.
func (w *world) some() []*workload {
	var out []*workload
	for _, one := range w.workloads {
		if w.random.IntN(2) == 0 {
			out = append(out, one)
		}
	}
	if len(out) == 0 {
		out = append(out, w.workloads[w.random.IntN(len(w.workloads))])
	}
	return out
}

// begin makes a workload fail, and tells the oracle: within the reopen window it is the same Incident again.
func (w *world) begin(ctx context.Context, one *workload) error {
	last, err := w.last(ctx, one)
	if err != nil {
		return err
	}
	one.until = time.Time{}
	if last != nil && last.Status.ResolvedAt != nil {
		one.until = last.Status.ResolvedAt.Add(incident.DefaultRules().ReopenWindow)
	}
	if w.clock.Now().After(one.until) {
		one.another()
	} else {
		one.reopened++
	}
	one.fault = &faults[w.random.IntN(len(faults))]
	// Always by a new template: restarts of the same one count for a day, and with hours between them they are a slow loop,
	// which is believed to be over only after half as long again as its longest run.
	from := w.clock.Now()
	if err := w.replace(ctx, one); err != nil {
		return err
	}
	return w.turn(ctx, one, from)
}

// another Incident is expected of it.
func (one *workload) another() {
	one.incidents, one.reopened, one.until = one.incidents+1, 0, time.Time{}
}

// sawLate: the window in which it would be the same Incident again ended while it was made to fail, and by what was found the
// failure began only then.
func (one *workload) sawLate(incidents []*v1alpha1.Incident) {
	if n := len(incidents); one.until.IsZero() || one.fault == nil || n != one.incidents+1 {
		return
	}
	if began := incidents[len(incidents)-1].Status.StartedAt; began != nil && began.After(one.until) {
		one.another()
	}
}

// turn shows how a workload is now, which was begun at a time, and tells the oracle.
func (w *world) turn(ctx context.Context, one *workload, from time.Time) error {
	if err := w.show(ctx, one); err != nil {
		return err
	}
	if w.promises != nil {
		w.promises.turned(one, from)
	}
	return nil
}

// end repairs a workload: its pods run again, or others in their place.
func (w *world) end(ctx context.Context, one *workload) error {
	from := w.clock.Now()
	if restarts := one.fault.status(metav1.Time{}).RestartCount; restarts == 0 || w.random.IntN(2) == 0 {
		one.fault = nil
		if err := w.replace(ctx, one); err != nil {
			return err
		}
	} else {
		one.fault = nil
		one.restarts += restarts + 1
	}
	return w.turn(ctx, one, from)
}

// all are the Incidents of the world by workload, in the order of their episodes.
func (w *world) all(ctx context.Context) (map[configuration.Key][]*v1alpha1.Incident, error) {
	list := &v1alpha1.IncidentList{}
	if err := env.Admin().List(ctx, list, client.InNamespace(w.namespace)); err != nil {
		return nil, err
	}
	out := map[configuration.Key][]*v1alpha1.Incident{}
	for i := range list.Items {
		key, ok := incident.KeyOf(&list.Items[i])
		if !ok {
			return nil, fmt.Errorf("Incident %s is about no workload", list.Items[i].Name)
		}
		out[key] = append(out[key], &list.Items[i])
	}
	for _, incidents := range out {
		slices.SortFunc(incidents, func(a, b *v1alpha1.Incident) int {
			return incident.Episode(a.Labels) - incident.Episode(b.Labels)
		})
	}
	return out, nil
}

// last is the newest Incident of a workload; nil where there is none.
func (w *world) last(ctx context.Context, one *workload) (*v1alpha1.Incident, error) {
	all, err := w.all(ctx)
	if err != nil || len(all[one.key]) == 0 {
		return nil, err
	}
	return all[one.key][len(all[one.key])-1], nil
}

func isOpen(i *v1alpha1.Incident) bool {
	return i.Status.State != v1alpha1.IncidentResolved && i.Status.State != v1alpha1.IncidentClosed
}

// differs says where the Incidents are others than the oracle expects, those of some workloads left aside.
func (w *world) differs(ctx context.Context, aside ...*workload) error {
	all, err := w.all(ctx)
	if err != nil {
		return err
	}
	for _, one := range aside {
		delete(all, one.key)
	}
	var wrong []error
	for _, one := range w.workloads {
		incidents := all[one.key]
		delete(all, one.key)
		one.sawLate(incidents)
		if len(incidents) != one.incidents {
			wrong = append(wrong, fmt.Errorf("%s has %d Incidents, want %d: %s", one.key.Name, len(incidents), one.incidents, describe(incidents)))
			continue
		}
		for n, i := range incidents {
			newest := n == len(incidents)-1
			switch {
			case incident.Episode(i.Labels) != n+1:
				wrong = append(wrong, fmt.Errorf("%s has no Incident of episode %d: %s", one.key.Name, n+1, describe(incidents)))
			case isOpen(i) != (newest && one.fault != nil), i.Status.State == "":
				wrong = append(wrong, fmt.Errorf("%s fails: %t; %s", one.key.Name, one.fault != nil, describe(incidents)))
			case newest && i.Status.Reopened != one.reopened:
				wrong = append(wrong, fmt.Errorf("%s was reopened %d times, want %d: %s", one.key.Name, i.Status.Reopened, one.reopened, describe(incidents)))
			case newest && one.fault != nil && !shows(i, one.fault.reason):
				wrong = append(wrong, fmt.Errorf("%s has no active signal %s: %s", one.key.Name, one.fault.reason, describe(incidents)))
			}
		}
	}
	for key, incidents := range all {
		wrong = append(wrong, fmt.Errorf("nobody knows of %v: %s", key, describe(incidents)))
	}
	if w.promises != nil {
		wrong = append(wrong, w.promises.differ(ctx))
	}
	return errors.Join(wrong...)
}

// shows reports whether a signal is active. Others may be: what failed before clears only when all is well.
func shows(i *v1alpha1.Incident, reason v1alpha1.SignalReason) bool {
	return slices.ContainsFunc(i.Status.Signals, func(s v1alpha1.Signal) bool { return s.Reason == reason && s.ClearedAt == nil })
}

func describe(incidents []*v1alpha1.Incident) string {
	text := ""
	for _, i := range incidents {
		text += fmt.Sprintf("%s(episode %d, %s, %s, reopened %d) ", i.Name, incident.Episode(i.Labels), i.Status.State, i.Status.Reason, i.Status.Reopened)
	}
	return text
}

// agrees waits until the Incidents are those that the oracle expects.
func (w *world) agrees(ctx context.Context, when string) {
	w.t.Helper()
	w.g.Eventually(func() error { return w.differs(ctx) }).Should(Succeed(), func() string { return when + "\n" + w.history.tell() })
	if w.promises != nil {
		w.promises.agreed = append(w.promises.agreed, w.clock.Now())
	}
}

// round lets some fail and recover, and on some rounds hours pass before the next.
func (w *world) round(ctx context.Context) {
	w.t.Helper()
	if w.promises != nil {
		w.agrees(ctx, "before they fail")
	}
	failing := w.some()
	for _, one := range failing {
		w.must(w.begin(ctx, one))
	}
	w.agrees(ctx, "while they fail")
	for _, one := range failing {
		w.must(w.end(ctx, one))
	}
	w.agrees(ctx, "when they have recovered")
	if w.random.IntN(3) == 0 {
		w.hoursPass()
	}
}

// hoursPass without anything that happens, if nothing is going on that must be done within minutes.
func (w *world) hoursPass() {
	const hours = 2 * time.Hour
	switch {
	case w.delivery == nil && w.promises == nil:
		w.clock.Step(hours)
	case w.delivery == nil:
		w.clock.Leap(hours)
	case w.delivery.hours.TryLock():
		// What is due in these hours is done, so that a Change is not older than all that was to become of it.
		w.clock.Leap(hours)
		w.delivery.hours.Unlock()
	}
}

// stays checks that nothing is written any more, for some minutes of the operator's clock, and what was ever written.
func (w *world) stays(ctx context.Context) {
	w.t.Helper()
	w.agrees(ctx, "in the end")
	w.g.Eventually(func() error {
		before := w.history.count()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(w.clock.Real(3 * time.Minute)):
		}
		if after := w.history.count(); after != before {
			return fmt.Errorf("%d Incidents were written although nothing happens", after-before)
		}
		return nil
	}).Should(Succeed())
	w.agrees(ctx, "some time later")
	w.history.verify(w)
	if w.promises != nil {
		w.promises.ends(ctx)
	}
	if w.delivery != nil {
		w.delivery.ends(ctx)
	}
	if n := panics(w.t); n > 0 {
		w.t.Errorf("%d reconciles panicked", n)
	}
}
