// Package idle_test measures what the operator writes when nothing happens: nothing, but for its lease.
//
// A real API server has 500 Services, each with a Deployment and an agreement, and 200 open Incidents of workloads that
// fail. When the operator has nothing more to say of them, its writes are counted, at its own connection, by the
// machine's clock: two minutes of IDLE_SECONDS=120.
package idle_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

const (
	services, failing = 500, 200
	// inNamespace is how many of the Services are in one; the detector opens at most 50 Incidents there.
	inNamespace = 50

	operatorNamespace = "itil-system"
	templateHash      = "5d4f"
	settled           = 20 * time.Second
	patience          = 5 * time.Minute
)

func idleTime(b *testing.B) time.Duration {
	b.Helper()
	text := os.Getenv("IDLE_SECONDS")
	if text == "" {
		return 2 * time.Minute
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 1 {
		b.Fatalf("IDLE_SECONDS=%q: want a number of seconds", text)
	}
	return time.Duration(seconds) * time.Second
}

// BenchmarkIdle counts the writes of an operator that has nothing to do.
func BenchmarkIdle(b *testing.B) {
	env := apiserver.Start(b)
	ctx := b.Context()
	must(b, env.Admin().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}}))
	fill(b, env)
	counter := &replica.Counter{}
	r := replica.Start(b, replica.Config{
		REST: env.AdminConfig(), Namespace: operatorNamespace, Machine: clock.RealClock{}, LeaderElect: true,
		Between: []replica.Middleware{counter.Middleware},
	})
	wait(b, patience, "the operator works", func() error { return done(r.Working()) })
	wait(b, patience, "all Incidents are open", func() error { return open(ctx, env) })
	begin := time.Now()
	settle(b, counter)
	b.Logf("quiet after %s", time.Since(begin).Round(time.Second))
	during := idleTime(b)
	for b.Loop() {
		counter.Reset()
		<-time.After(during)
		writes := counter.Total()
		b.ReportMetric(float64(writes)/during.Minutes(), "writes/min")
		if writes > 0 {
			b.Errorf("%d writes in %s in which nothing happened, want none: %s", writes, during, strings.Join(counter.Most(20), "; "))
		}
	}
	must(b, open(ctx, env))
}

func done(c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	default:
		return fmt.Errorf("not yet")
	}
}

func open(ctx context.Context, env *apiserver.Env) error {
	list := &v1alpha1.IncidentList{}
	if err := env.Admin().List(ctx, list); err != nil {
		return err
	}
	count := 0
	for i := range list.Items {
		if list.Items[i].Status.State == v1alpha1.IncidentNew {
			count++
		}
	}
	if count != failing {
		return fmt.Errorf("%d Incidents are open, want %d", count, failing)
	}
	return nil
}

// settle waits until nothing was written for a while.
func settle(b *testing.B, counter *replica.Counter) {
	b.Helper()
	last, since := counter.Total(), time.Now()
	wait(b, patience, "the operator has said all", func() error {
		if now := counter.Total(); now != last {
			counter.Reset()
			last, since = 0, time.Now()
		}
		if quiet := time.Since(since); quiet < settled {
			return fmt.Errorf("it wrote %s ago: %s", quiet, strings.Join(counter.Most(20), "; "))
		}
		return nil
	})
}

func wait(b *testing.B, patience time.Duration, what string, check func() error) {
	b.Helper()
	end := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			b.Fatalf("waiting until %s: %v", what, err)
		}
		<-time.After(time.Second)
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// fill writes the cluster, several objects at once.
func fill(b *testing.B, env *apiserver.Env) {
	b.Helper()
	namespaces := make([]string, 0, services/inNamespace)
	for range services / inNamespace {
		namespaces = append(namespaces, env.Namespace(b, nil))
	}
	const writers = 16
	var wait sync.WaitGroup
	numbers := make(chan int)
	for range writers {
		wait.Go(func() {
			for n := range numbers {
				if b.Failed() {
					continue
				}
				if err := one(b.Context(), env.Admin(), namespaces[n%len(namespaces)], n); err != nil {
					b.Errorf("writing service %d: %v", n, err)
				}
			}
		})
	}
	for n := range services {
		numbers <- n
	}
	close(numbers)
	wait.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// one writes a Service with its agreement and a Deployment that fails if it is one of the first.
func one(ctx context.Context, c client.Client, namespace string, n int) error {
	name := fmt.Sprintf("service-%d", n)
	fails := n < failing
	service := builder.MakeService(namespace, name).Tier(int32(1+n%4)).Claim(v1alpha1.WorkloadDeployment, name).Obj()
	service.UID, service.ResourceVersion, service.Generation, service.Status = "", "", 0, v1alpha1.ServiceStatus{}
	d := builder.MakeDeployment(namespace, name).Obj()
	d.UID, d.ResourceVersion, d.Generation = "", "", 0
	sla := &v1alpha1.ServiceLevelAgreement{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.ServiceLevelAgreementSpec{
			ServiceRef:   v1alpha1.LocalReference{Name: v1alpha1.ObjectName(name)},
			Availability: &v1alpha1.AvailabilityTarget{Target: "99.9"},
			Response:     &v1alpha1.PriorityTimes{P1: "8h", P2: "8h", P3: "8h"}, Resolution: &v1alpha1.PriorityTimes{P1: "24h", P2: "24h", P3: "24h"},
		},
	}
	pod := podOf(d, fails)
	status := pod.Status
	for _, o := range []client.Object{service, sla, d, pod} {
		if err := c.Create(ctx, o); err != nil {
			return err
		}
	}
	pod.Status = status
	d.Status = deploymentStatus(d, fails)
	if err := c.Status().Update(ctx, pod); err != nil {
		return err
	}
	return c.Status().Update(ctx, d)
}

func podOf(d *appsv1.Deployment, fails bool) *corev1.Pod {
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	begun := metav1.NewTime(now.Add(-time.Second))
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: d.Namespace, Name: d.Name + "-" + templateHash + "-0",
		Labels: map[string]string{"app": d.Name, incident.LabelTemplateHash: templateHash},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: "ReplicaSet", Name: d.Name + "-" + templateHash, UID: types.UID("set-" + d.Name), Controller: new(true),
		}},
	}}
	p.Spec = corev1.PodSpec{NodeName: "node1", Containers: []corev1.Container{{Name: "app", Image: "registry.shop.example/app:1"}}}
	c := corev1.ContainerStatus{Name: "app", Ready: !fails, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: begun}}}
	ready := corev1.ConditionTrue
	if fails {
		ready = corev1.ConditionFalse
		c.RestartCount, c.State = 4, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		c.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 1, StartedAt: begun, FinishedAt: now}}
	}
	p.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &begun, ContainerStatuses: []corev1.ContainerStatus{c},
		Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: begun},
			{Type: corev1.PodReady, Status: ready, LastTransitionTime: now},
		},
	}
	return p
}

func deploymentStatus(d *appsv1.Deployment, fails bool) appsv1.DeploymentStatus {
	s := appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
		Conditions: []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable",
			Message: fmt.Sprintf("ReplicaSet %q has successfully progressed.", d.Name+"-"+templateHash),
		}},
	}
	if fails {
		s.ReadyReplicas, s.AvailableReplicas, s.UnavailableReplicas = 0, 0, 1
	}
	return s
}
