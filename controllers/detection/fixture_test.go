package detection

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

var deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment")

var t0 = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// scene is a detector with a fake API server behind it and nothing running: tests hand it events and requests.
type scene struct {
	*Reconciler
	t         *testing.T
	clock     *clocktesting.FakePassiveClock
	server    client.Client
	intercept interceptor.Funcs

	mu     sync.Mutex
	queue  []configuration.Key
	writes map[string]int
	// live is what the API server has of pods and workloads; by default, what was told of them last.
	live map[string]client.Object
}

func newScene(t *testing.T, objects ...client.Object) *scene {
	t.Helper()
	s := &scene{t: t, clock: clocktesting.NewFakePassiveClock(t0), writes: map[string]int{}, live: map[string]client.Object{}}
	objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "itil-system"}})
	s.server = fake.NewClientBuilder().WithScheme(scheme.New()).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.Incident{}).
		WithIndex(&corev1.Event{}, "involvedObject.uid", func(o client.Object) []string { return []string{string(o.(*corev1.Event).InvolvedObject.UID)} }).
		WithIndex(&corev1.Event{}, "type", func(o client.Object) []string { return []string{o.(*corev1.Event).Type} }).
		Build()
	s.detector()
	return s
}

// detector begins anew: a restart, or another replica on the same API server.
func (s *scene) detector() {
	r := New()
	r.Client = interceptor.NewClient(s.server.(client.WithWatch), interceptor.Funcs{
		Create: func(ctx ctx, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			s.writes[o.GetName()]++
			if s.intercept.Create != nil {
				return s.intercept.Create(ctx, c, o, opts...)
			}
			return c.Create(ctx, o, opts...)
		},
		SubResourcePatch: func(ctx ctx, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			s.writes[o.GetName()]++
			if s.intercept.SubResourcePatch != nil {
				return s.intercept.SubResourcePatch(ctx, c, sub, o, p, opts...)
			}
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	})
	r.Reader = interceptor.NewClient(s.server.(client.WithWatch), interceptor.Funcs{Get: s.getLive})
	r.Clock, r.Recorder, r.Namespace = s.clock, &events.FakeRecorder{}, "itil-system"
	r.Inventory = inventory.New()
	r.enqueue = func(key configuration.Key) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.queue = append(s.queue, key)
	}
	r.Inventory.Subscribe(r.hear)
	s.Reconciler = r
}

// getLive reads pods and workloads from live.
func (s *scene) getLive(ctx ctx, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	switch o := o.(type) {
	case *corev1.Pod:
		if p, exists := s.live["Pod "+key.String()].(*corev1.Pod); exists {
			p.DeepCopyInto(o)
			return nil
		}
	case *unstructured.Unstructured:
		if u, exists := s.live[o.GetKind()+" "+key.String()].(*unstructured.Unstructured); exists {
			u.DeepCopyInto(o)
			return nil
		}
	default:
		return c.Get(ctx, key, o, opts...)
	}
	return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
}

// work reconciles what was pushed until nothing is left.
func (s *scene) work() {
	s.t.Helper()
	for range 10_000 {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.mu.Unlock()
			return
		}
		key := s.queue[0]
		s.queue = s.queue[1:]
		s.mu.Unlock()
		if _, err := s.Reconcile(s.t.Context(), key); err != nil {
			s.t.Fatal(err)
		}
	}
	s.t.Fatal("it never comes to rest")
}

func (s *scene) list() []v1alpha1.Incident {
	s.t.Helper()
	list := &v1alpha1.IncidentList{}
	if err := s.server.List(s.t.Context(), list); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// one is the only incident there is.
func (s *scene) one() *v1alpha1.Incident {
	s.t.Helper()
	list := s.list()
	if len(list) != 1 {
		s.t.Fatalf("%d incidents", len(list))
	}
	return &list[0]
}

// tell lets the informer of incidents tell of all of them.
func (s *scene) tell() {
	for _, i := range s.list() {
		s.putIncident(nil, &i)
	}
}

// resolve is what the lifecycle does with the only Incident, so long after t0, once it has recovered.
func (s *scene) resolve(after time.Duration) {
	s.t.Helper()
	i := s.one()
	if i.Status.RecoveredAt == nil {
		s.t.Fatalf("status %+v", i.Status)
	}
	resolved := metav1.NewTime(t0.Add(after))
	i.Status.State, i.Status.ResolvedAt = v1alpha1.IncidentResolved, &resolved
	if err := s.server.Status().Update(s.t.Context(), i); err != nil {
		s.t.Fatal(err)
	}
	s.tell()
}

// deployment is one with so many replicas of which none is ready.
func deployment(name string, replicas int32) *appsv1.Deployment {
	return builder.MakeDeployment("shop", name).Replicas(replicas).Generation(1).Status(replicas, replicas, 0).Obj()
}

func (s *scene) has(d *appsv1.Deployment) {
	s.hasObject(builder.Unstructured(d, deploymentKind))
}

// hasObject lets a workload be, and be told of.
func (s *scene) hasObject(u *unstructured.Unstructured) {
	s.exists(u)
	s.Inventory.Put(u)
}

// exists lets the API server have a pod or a workload of which the watch has not told.
func (s *scene) exists(o client.Object) {
	kind := "Pod"
	if u, is := o.(*unstructured.Unstructured); is {
		kind = u.GetKind()
	}
	s.live[kind+" "+client.ObjectKeyFromObject(o).String()] = o.DeepCopyObject().(client.Object)
}

func (s *scene) hasService(b *builder.Service) { s.Inventory.Put(b.Obj()) }

// pod n of a Deployment, which runs and is ready.
func pod(deployment string, n int) *corev1.Pod {
	yes := true
	start := metav1.NewTime(t0.Add(-time.Minute))
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: fmt.Sprintf("%s-5d4f-%d", deployment, n), UID: types.UID(fmt.Sprintf("uid-%s-%d", deployment, n)),
		Labels:            map[string]string{"app": deployment, incident.LabelTemplateHash: "5d4f"},
		CreationTimestamp: start, ResourceVersion: "1",
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: deployment + "-5d4f", UID: types.UID("uid-set-" + deployment), Controller: &yes}},
	}}
	p.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &start, Conditions: []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: start},
	}, ContainerStatuses: []corev1.ContainerStatus{{
		Name: "app", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: start}},
	}}}
	return p
}

// crashing is the same in a crash loop.
func crashing(deployment string, n int) *corev1.Pod {
	p := pod(deployment, n)
	end := metav1.NewTime(t0.Add(-10 * time.Second))
	p.Status.Conditions[0].Status = corev1.ConditionFalse
	p.Status.ContainerStatuses[0] = corev1.ContainerStatus{
		Name: "app", RestartCount: 3, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3, Reason: "Error", StartedAt: end, FinishedAt: end}},
	}
	return p
}

func record(p *corev1.Pod) *Record {
	r, err := TransformPod()(p)
	if err != nil {
		panic(err)
	}
	return r.(*Record)
}

func (s *scene) seePod(p *corev1.Pod) {
	s.exists(p)
	s.putPod(nil, record(p))
}

func keyOfDeployment(name string) configuration.Key {
	return configuration.Key{Group: "apps", Kind: "Deployment", Namespace: "shop", Name: name}
}

type ctx = context.Context

func unstructuredOf(o map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: o}
}
