package detection_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

// What is below runs on a real API server, with the operator wired as in its program, by the machine's clock. Pods are
// written to the API server as a kubelet and controllers would leave them: no simulated nodes take the processor from
// what is measured. PODS says how many there are in the largest cluster; they are 2,000 where it does not.

const (
	operatorNamespace = "itil-system"
	podsOfWorkload    = 10
	workloadsIn       = 25
	templateHash      = "5d4f"
	writers           = 16
	// patience with what must become so on a busy machine.
	patience = 5 * time.Minute
)

var (
	launched  *apiserver.Env
	errLaunch error
	launch    sync.Once
)

func TestMain(m *testing.M) {
	code := m.Run()
	if launched != nil {
		if err := launched.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// server is the API server of all benchmarks that need one. It is started by the first.
func server(b *testing.B) *apiserver.Env {
	b.Helper()
	launch.Do(func() {
		if launched, errLaunch = apiserver.Launch(); errLaunch == nil {
			errLaunch = launched.Admin().Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}})
		}
	})
	must(b, errLaunch)
	return launched
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func podsWanted(b *testing.B) int {
	b.Helper()
	text := os.Getenv("PODS")
	if text == "" {
		return 2000
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 4*podsOfWorkload {
		b.Fatalf("PODS=%q: want a number of pods, 40 or more", text)
	}
	return n
}

// settlement is Deployments with their pods, all of them well.
type settlement struct {
	env         *apiserver.Env
	namespaces  []string
	deployments []*appsv1.Deployment
	pods        int
}

// grow writes Deployments, and then their pods.
func (s *settlement) grow(b *testing.B, env *apiserver.Env, pods int) {
	b.Helper()
	s.workloads(b, env, pods/podsOfWorkload)
	s.populate(b, pods)
}

// workloads writes so many Deployments, without pods.
func (s *settlement) workloads(b *testing.B, env *apiserver.Env, count int) {
	b.Helper()
	s.env = env
	for n := range count {
		if n%workloadsIn == 0 {
			s.namespaces = append(s.namespaces, env.Namespace(b, nil))
		}
		d := builder.MakeDeployment(s.namespaces[len(s.namespaces)-1], fmt.Sprintf("workload-%d", n)).Replicas(podsOfWorkload).Obj()
		d.UID, d.ResourceVersion, d.Generation = "", "", 0
		s.deployments = append(s.deployments, d)
	}
	parallel(b, count, func(ctx context.Context, n int) error {
		d := s.deployments[n]
		if err := env.Admin().Create(ctx, d); err != nil {
			return err
		}
		d.Status = rolledOut(d, podsOfWorkload)
		return env.Admin().Status().Update(ctx, d)
	})
}

// populate writes pods of the first Deployments until there are so many.
func (s *settlement) populate(b *testing.B, pods int) {
	b.Helper()
	template, have := recordedPod(b), s.pods
	parallel(b, pods-have, func(ctx context.Context, n int) error {
		n += have
		return s.pod(ctx, template, s.deployments[n/podsOfWorkload], n%podsOfWorkload)
	})
	s.pods = pods
}

func podName(d *appsv1.Deployment, n int) string {
	return fmt.Sprintf("%s-%s-%05d", d.Name, templateHash, n)
}

// pod writes one that runs, with all that a recorded one has.
func (s *settlement) pod(ctx context.Context, template *corev1.Pod, d *appsv1.Deployment, n int) error {
	p := template.DeepCopy()
	p.ObjectMeta = metav1.ObjectMeta{
		Namespace: d.Namespace, Name: podName(d, n), Annotations: template.Annotations,
		Labels: map[string]string{"app": d.Name, "team": "payments", incident.LabelTemplateHash: templateHash},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "apps/v1", Kind: "ReplicaSet", Name: d.Name + "-" + templateHash, UID: types.UID("set-" + string(d.UID)), Controller: new(true),
		}},
	}
	p.Spec.NodeName = fmt.Sprintf("node-%d", n)
	status := running(template, time.Now())
	if err := s.env.Admin().Create(ctx, p); err != nil {
		return err
	}
	p.Status = status
	return s.env.Admin().Status().Update(ctx, p)
}

// running is the status of a pod that is well.
func running(template *corev1.Pod, now time.Time) corev1.PodStatus {
	at := metav1.NewTime(now.Truncate(time.Second))
	status := template.DeepCopy().Status
	status.Phase, status.StartTime = corev1.PodRunning, &at
	for i := range status.Conditions {
		status.Conditions[i].Status, status.Conditions[i].LastTransitionTime = corev1.ConditionTrue, at
	}
	c := &status.ContainerStatuses[0]
	c.Ready, c.RestartCount, c.LastTerminationState = true, 0, corev1.ContainerState{}
	c.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}
	return status
}

// crashed is the status of one that crashes again and again: it decides, without any grace time.
func crashed(template *corev1.Pod, now time.Time) corev1.PodStatus {
	at := metav1.NewTime(now.Truncate(time.Second))
	status := running(template, now)
	for i := range status.Conditions {
		if status.Conditions[i].Type == corev1.PodReady {
			status.Conditions[i].Status = corev1.ConditionFalse
		}
	}
	c := &status.ContainerStatuses[0]
	c.Ready, c.RestartCount = false, 4
	c.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	c.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "Error", ExitCode: 1, StartedAt: at, FinishedAt: at}}
	return status
}

func rolledOut(d *appsv1.Deployment, ready int32) appsv1.DeploymentStatus {
	return appsv1.DeploymentStatus{
		ObservedGeneration: d.Generation, Replicas: podsOfWorkload, UpdatedReplicas: podsOfWorkload,
		ReadyReplicas: ready, AvailableReplicas: ready, UnavailableReplicas: podsOfWorkload - ready,
		Conditions: []appsv1.DeploymentCondition{{
			Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue, Reason: "NewReplicaSetAvailable",
			Message: fmt.Sprintf("ReplicaSet %q has successfully progressed.", d.Name+"-"+templateHash),
		}},
	}
}

// setPod writes the status of the nth pod of a Deployment.
func (s *settlement) setPod(ctx context.Context, d *appsv1.Deployment, n int, status corev1.PodStatus) error {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: podName(d, n)}, Status: status}
	// Without a version: a kubelet patches, too.
	live := &corev1.Pod{ObjectMeta: p.ObjectMeta}
	return s.env.Admin().Status().Patch(ctx, p, client.MergeFrom(live))
}

// parallel does something so many times, several at once.
func parallel(b *testing.B, count int, do func(ctx context.Context, n int) error) {
	b.Helper()
	numbers := make(chan int)
	var wait sync.WaitGroup
	for range writers {
		wait.Go(func() {
			for n := range numbers {
				if b.Failed() {
					continue
				}
				if err := do(b.Context(), n); err != nil {
					b.Errorf("number %d: %v", n, err)
				}
			}
		})
	}
	for n := range count {
		numbers <- n
	}
	close(numbers)
	wait.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// operate starts the operator and returns it when all its controllers work.
func operate(b *testing.B, env *apiserver.Env, between ...replica.Middleware) *replica.Replica {
	b.Helper()
	r, err := replica.New(replica.Config{
		REST: env.AdminConfig(), Namespace: operatorNamespace, Machine: clock.RealClock{}, Between: between,
	})
	must(b, err)
	select {
	case <-r.Working():
	case <-r.Done():
		b.Fatalf("the operator ended: %v", r.Err())
	case <-time.After(patience):
		b.Fatalf("these controllers do not work: %v", r.Missing())
	}
	return r
}

// turns starts the operator and lists the pods in turn, so that what else the machine does troubles both, and returns
// how long each took, and the memory that the operator held when it had nothing more to do.
func turns(b *testing.B, env *apiserver.Env) (starts, lists samples, held float64) {
	b.Helper()
	const count = 5
	for range count {
		counter, before := &replica.Counter{}, heap()
		begin := time.Now()
		r := operate(b, env, counter.Middleware)
		starts = append(starts, time.Since(begin))
		if len(starts) == count {
			// The least of three: what is settled is what stays.
			for n := range 3 {
				quiet(b, counter)
				if now := heap() - before; n == 0 || now < held {
					held = now
				}
			}
		}
		must(b, r.Stop())
		pods := &corev1.PodList{}
		begin = time.Now()
		must(b, env.Admin().List(b.Context(), pods))
		lists = append(lists, time.Since(begin))
	}
	return starts, lists, held
}

// fullCache is the memory of an informer that keeps whole pods, and how long it takes to read them.
func fullCache(b *testing.B, env *apiserver.Env) (bytes float64, read time.Duration) {
	b.Helper()
	before := heap()
	ctx, cancel := context.WithCancel(b.Context())
	begin := time.Now()
	full, err := cache.New(env.AdminConfig(), cache.Options{Scheme: env.Scheme()})
	must(b, err)
	stopped := make(chan error, 1)
	informer, err := full.GetInformer(ctx, &corev1.Pod{}, cache.BlockUntilSynced(false))
	must(b, err)
	go func() { stopped <- full.Start(ctx) }()
	if !toolscache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		b.Fatal("the full cache does not become ready")
	}
	read = time.Since(begin)
	bytes = heap() - before
	cancel()
	must(b, <-stopped)
	return bytes, read
}

// BenchmarkStartUp measures, at a quarter, half and all of PODS, how long the operator takes from nothing until all its
// controllers work, against one LIST of the same pods; and the memory that it then holds, when it has nothing more to
// do and after garbage collection, against an informer that keeps whole pods. Everything that detection keeps of a pod
// is in it. The Deployments, one for ten of PODS, are there at all sizes: what they and the process take falls out of the
// slope between the sizes.
func BenchmarkStartUp(b *testing.B) {
	limits := readThresholds(b)
	env := server(b)
	most := podsWanted(b)
	population := &settlement{}
	population.workloads(b, env, most/podsOfWorkload)
	// What a process does once only is none of the sizes'.
	must(b, operate(b, env).Stop())
	var sizes, start, lists, memory, full []float64
	for b.Loop() {
		for _, part := range []int{4, 2, 1} {
			population.populate(b, most/part)
			bytes, read := fullCache(b, env)
			starts, reads, held := turns(b, env)
			took, listed := time.Duration(starts.median()), time.Duration(reads.median())
			b.Logf("%d pods: all controllers work after %s (of %s), one LIST %s (of %s), a full informer %s; %.1f MB, full informer %.1f MB",
				population.pods, took.Round(time.Millisecond), starts, listed.Round(time.Millisecond), reads, read.Round(time.Millisecond), held/1e6, bytes/1e6)
			sizes, start, lists = append(sizes, float64(population.pods)), append(start, took.Seconds()), append(lists, listed.Seconds())
			memory, full = append(memory, held), append(full, bytes)
		}
	}
	population.clear(b)
	last := len(sizes) - 1
	slope := func(y []float64, from, to int) float64 { return (y[to] - y[from]) / (sizes[to] - sizes[from]) }
	perPod, perFull := slope(memory, 0, last), slope(full, 0, last)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(perPod, "B/pod")
	b.ReportMetric(perPod/perFull, "pod/full")
	b.ReportMetric(slope(memory, 1, last)/slope(memory, 0, 1), "memory-growth")
	b.ReportMetric(start[last], "start-s")
	b.ReportMetric(start[last]/lists[last], "start/LIST")
	b.ReportMetric(slope(start, 0, last)*1e6, "start-us/pod")
	b.ReportMetric(slope(lists, 0, last)*1e6, "LIST-us/pod")
	if perPod > limits.PodBytes || perPod/perFull > limits.PodToFull {
		b.Errorf("a watched pod takes %.0f bytes, %.3f of a full one; the thresholds are %.0f and %.3f", perPod, perPod/perFull, limits.PodBytes, limits.PodToFull)
	}
	if population.pods >= limits.StartPods && start[last]/lists[last] > limits.StartToList {
		b.Errorf("with %d pods the operator starts in %.2f times a LIST; the threshold is %.2f", population.pods, start[last]/lists[last], limits.StartToList)
	}
}

// watcher takes down when each Incident could first be read, and when what was seen was on it.
type watcher struct {
	mu      sync.Mutex
	created map[client.ObjectKey]time.Time
	told    map[client.ObjectKey]time.Time
	update  chan struct{}
}

func watchIncidents(b *testing.B, env *apiserver.Env) *watcher {
	b.Helper()
	w := &watcher{created: map[client.ObjectKey]time.Time{}, told: map[client.ObjectKey]time.Time{}, update: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(b.Context())
	stream, err := env.Admin().Watch(ctx, &v1alpha1.IncidentList{})
	must(b, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range stream.ResultChan() {
			if i, ok := e.Object.(*v1alpha1.Incident); ok && e.Type != watch.Deleted {
				w.see(i, time.Now())
			}
		}
	}()
	b.Cleanup(func() { cancel(); <-done })
	return w
}

func (w *watcher) see(i *v1alpha1.Incident, at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := client.ObjectKeyFromObject(i)
	if _, known := w.created[key]; !known {
		w.created[key] = at
	}
	if _, known := w.told[key]; !known && i.Status.State != "" {
		w.told[key] = at
	}
	select {
	case w.update <- struct{}{}:
	default:
	}
}

// await waits until there are so many of which all is told.
func (w *watcher) await(b *testing.B, count int) {
	b.Helper()
	end := time.After(patience)
	for {
		w.mu.Lock()
		have := len(w.told)
		w.mu.Unlock()
		if have >= count {
			return
		}
		select {
		case <-w.update:
		case <-end:
			b.Fatalf("%d Incidents, want %d", have, count)
		}
	}
}

func incidentOf(d *appsv1.Deployment) client.ObjectKey {
	key := configuration.Key{Group: "apps", Kind: configuration.KindDeployment, Namespace: d.Namespace, Name: d.Name}
	return client.ObjectKey{Namespace: d.Namespace, Name: incident.Name(key, 1)}
}

func (s samples) percentile(p float64) time.Duration {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

func (s samples) String() string {
	var out []string
	for _, d := range s {
		out = append(out, d.Round(time.Millisecond).String())
	}
	return strings.Join(out, " ")
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkEventToIncident measures how long after a pod's deciding status was sent to the API server its Incident can
// be read by a watch of another client: created, and with state, reason and priority on it. Fifty pod events a second
// arrive, of which every fifth is the first crash loop of a Deployment that was well.
//
// Beside it, in the same seconds, a probe measures how long the same machine takes to show a write to a watch with
// nobody in between: the time of a round trip, which the machine's other work is part of.
func BenchmarkEventToIncident(b *testing.B) {
	const perSecond, deciding, incidents = 50, 5, 200
	limits := readThresholds(b)
	env := server(b)
	s := &settlement{}
	s.grow(b, env, incidents*podsOfWorkload)
	b.Cleanup(func() { s.clear(b) })
	template := recordedPod(b)
	seen, probe := watchIncidents(b, env), newProbe(b, env)
	r := operate(b, env)
	sent := map[client.ObjectKey]time.Time{}
	var mu sync.Mutex
	for b.Loop() {
		ticker := time.NewTicker(time.Second / perSecond)
		var wait sync.WaitGroup
		for n := range incidents * deciding {
			<-ticker.C
			wait.Go(func() {
				if n%deciding != 0 {
					// A pod of a Deployment that failed or will: it says that it still runs.
					d := s.deployments[(n*7)%len(s.deployments)]
					_ = s.setPod(b.Context(), d, 1+n%(podsOfWorkload-1), running(template, time.Now()))
					return
				}
				d := s.deployments[n/deciding]
				mu.Lock()
				sent[incidentOf(d)] = time.Now()
				mu.Unlock()
				if err := s.setPod(b.Context(), d, 0, crashed(template, time.Now())); err != nil {
					b.Error(err)
				}
				probe.send(b)
			})
		}
		ticker.Stop()
		wait.Wait()
		seen.await(b, incidents)
	}
	must(b, r.Stop())
	var created, told samples
	seen.mu.Lock()
	for key, at := range sent {
		created, told = append(created, seen.created[key].Sub(at)), append(told, seen.told[key].Sub(at))
	}
	seen.mu.Unlock()
	trips := probe.trips()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(milliseconds(created.percentile(0.5)), "created-p50-ms")
	b.ReportMetric(milliseconds(created.percentile(0.99)), "created-p99-ms")
	b.ReportMetric(milliseconds(told.percentile(0.5)), "told-p50-ms")
	b.ReportMetric(milliseconds(told.percentile(0.99)), "told-p99-ms")
	b.ReportMetric(milliseconds(trips.percentile(0.5)), "roundtrip-p50-ms")
	b.ReportMetric(milliseconds(trips.percentile(0.99)), "roundtrip-p99-ms")
	b.ReportMetric(float64(told.percentile(0.5))/float64(trips.percentile(0.5)), "told/roundtrip-p50")
	late := milliseconds(created.percentile(0.5)) > limits.IncidentP50Milliseconds || milliseconds(created.percentile(0.99)) > limits.IncidentP99Milliseconds
	switch {
	case late && milliseconds(trips.percentile(0.5)) > limits.CalmRoundTripMilliseconds:
		b.Logf("later than the thresholds, on a machine whose round trips are so slow that they say nothing of the operator")
	case late:
		b.Errorf("an Incident can be read after %s (p50) and %s (p99)", created.percentile(0.5), created.percentile(0.99))
	}
}

// clear removes Deployments, pods and Incidents, so that they count for nobody else.
func (s *settlement) clear(b *testing.B) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, namespace := range s.namespaces {
		for _, kind := range []client.Object{&corev1.Pod{}, &appsv1.Deployment{}, &v1alpha1.Incident{}} {
			if err := s.env.Admin().DeleteAllOf(ctx, kind, client.InNamespace(namespace), client.GracePeriodSeconds(0)); err != nil {
				b.Errorf("clearing: %v", err)
			}
		}
	}
}

// probe writes ConfigMaps and sees them in a watch.
type probe struct {
	env       *apiserver.Env
	namespace string
	mu        sync.Mutex
	sent      map[string]time.Time
	all       samples
}

func newProbe(b *testing.B, env *apiserver.Env) *probe {
	b.Helper()
	p := &probe{env: env, namespace: env.Namespace(b, nil), sent: map[string]time.Time{}}
	ctx, cancel := context.WithCancel(b.Context())
	stream, err := env.Admin().Watch(ctx, &corev1.ConfigMapList{}, client.InNamespace(p.namespace))
	must(b, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range stream.ResultChan() {
			if c, ok := e.Object.(*corev1.ConfigMap); ok {
				p.mu.Lock()
				if at, known := p.sent[c.Name]; known {
					p.all = append(p.all, time.Since(at))
					delete(p.sent, c.Name)
				}
				p.mu.Unlock()
			}
		}
	}()
	b.Cleanup(func() { cancel(); <-done })
	return p
}

func (p *probe) send(b *testing.B) {
	b.Helper()
	p.mu.Lock()
	name := fmt.Sprintf("probe-%d", len(p.sent)+len(p.all))
	p.sent[name] = time.Now()
	p.mu.Unlock()
	if err := p.env.Admin().Create(b.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: name}}); err != nil {
		b.Error(err)
	}
}

func (p *probe) trips() samples {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.all)
}

// BenchmarkStorm lets 1,000 pods of 100 Deployments fail within ten seconds, and counts what the operator writes.
func BenchmarkStorm(b *testing.B) {
	const workloads, within = 100, 10 * time.Second
	limits := readThresholds(b)
	env := server(b)
	s := &settlement{}
	s.grow(b, env, workloads*podsOfWorkload)
	b.Cleanup(func() { s.clear(b) })
	template := recordedPod(b)
	counter, seen := &replica.Counter{}, watchIncidents(b, env)
	r := operate(b, env, counter.Middleware)
	// What it has to say of Deployments that are new is none of the storm's.
	quiet(b, counter)
	counter.Reset()
	for b.Loop() {
		ticker := time.NewTicker(within / (workloads * podsOfWorkload))
		var wait sync.WaitGroup
		for n := range workloads * podsOfWorkload {
			<-ticker.C
			wait.Go(func() {
				d := s.deployments[n%workloads]
				if err := s.setPod(b.Context(), d, n/workloads, crashed(template, time.Now())); err != nil {
					b.Error(err)
				}
			})
		}
		ticker.Stop()
		wait.Wait()
		seen.await(b, workloads)
		quiet(b, counter)
	}
	must(b, r.Stop())
	created, each, events := 0, map[string]int{}, 0
	for t, n := range counter.Writes() {
		switch {
		case t.Resource == "events":
			events += n
		case t.Resource == "incidents" && t.Method == http.MethodPost:
			created += n
		case t.Resource == "incidents":
			each[t.Namespace+"/"+t.Name] += n
		}
	}
	most := 0
	for _, n := range each {
		most = max(most, n+1)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(created), "incidents")
	b.ReportMetric(float64(most), "writes/incident-max")
	b.ReportMetric(float64(events), "events")
	b.ReportMetric(float64(counter.Total()), "writes")
	if created != workloads {
		b.Errorf("%d Incidents were created, want %d", created, workloads)
	}
	if float64(most) > limits.StormWrites {
		b.Errorf("an Incident took %d writes; the threshold is %.0f: %v", most, limits.StormWrites, counter.Most(5))
	}
}

// quiet waits until nothing was written for a while.
func quiet(b *testing.B, counter *replica.Counter) {
	b.Helper()
	const settled = 5 * time.Second
	end := time.Now().Add(patience)
	last, since := counter.Total(), time.Now()
	for time.Since(since) < settled {
		<-time.After(100 * time.Millisecond)
		if now := counter.Total(); now != last {
			last, since = now, time.Now()
		}
		if time.Now().After(end) {
			b.Fatalf("the operator writes on and on: %v", counter.Most(10))
		}
	}
}
