// Package cluster_test runs the operator's program on a whole control plane with simulated nodes, of the size that is
// asked for: a roll-out that goes well, a restart, a wave of failures, recovery, a node that vanishes, and nothing.
package cluster_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
)

const (
	podsOfWorkload = 10
	workloadsIn    = 25
	podsOfNode     = 20
	writers        = 16
	// inFlight is how many Deployments come up at once: enough to keep two processors busy. Where a control plane of one
	// machine had them all to do at the same time, the last would wait for longer for their first pod than a workload
	// may, and kwok, which goes by what it last saw of a pod, would do much of its work twice.
	inFlight = 20
	// most workloads that are made to fail.
	failing = 100

	labelApp  = "app"
	labelWave = "wave"
	waveFirst = "first"

	annotationBehaviour = "kwok.itil.dev/behaviour"

	// quiet is how long nothing must be written until the operator has nothing more to do.
	quiet = 5 * time.Second
	// patience with what makes no progress.
	patience = 3 * time.Minute
	// recovery is patience with an Incident that waits until its workload was well for long enough, at most 10 min.
	recovery = 15 * time.Minute
	// silence is patience until a lost node counts as lost: at most 4 min in hack/local, and a minute of grace.
	silence = 8 * time.Minute
)

type thresholds struct {
	RolloutIncidents int     `json:"rolloutIncidents"`
	MemoryPods       int     `json:"memoryPods"`
	PodBytes         float64 `json:"podBytes"`
	PodToFull        float64 `json:"podToFull"`
	StartPods        int     `json:"startPods"`
	StartToList      float64 `json:"startToList"`
	IncidentWrites   int     `json:"incidentWrites"`
	DetectP50        float64 `json:"detectP50Seconds"`
	DetectP99        float64 `json:"detectP99Seconds"`
	CalmWrite        float64 `json:"calmWriteSeconds"`
	IdleWrites       int     `json:"idleWrites"`
}

func readThresholds(b *testing.B) thresholds {
	b.Helper()
	content, err := os.ReadFile("thresholds.yaml")
	must(b, err)
	var t thresholds
	must(b, yaml.UnmarshalStrict(content, &t))
	if t.PodBytes <= 0 || t.PodToFull <= 0 || t.StartToList <= 0 || t.IncidentWrites <= 0 || t.DetectP50 <= 0 || t.DetectP99 <= 0 || t.CalmWrite <= 0 {
		b.Fatalf("thresholds %+v", t)
	}
	return t
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func wanted(b *testing.B, name string, otherwise, least int) int {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		b.Fatalf("%s=%q: want a number, %d or more", name, text, least)
	}
	return n
}

// play is one run.
type play struct {
	*local
	observer *observer
	limits   thresholds
	nodes    int
	// deployments of the cluster; the first are those that will fail.
	deployments []*appsv1.Deployment
	failing     int
	// idle is how long is watched in which nothing happens.
	idle time.Duration
}

// BenchmarkCluster plays a cluster's life with PODS pods (500) on NODES nodes (one for 20 pods), and checks what the
// operator writes, keeps and takes in each part of it. CLUSTER_LONG=1 adds the recovery and a lost node, minutes that
// the operator waits on purpose. With -v it tells how far it is.
func BenchmarkCluster(b *testing.B) {
	pods := wanted(b, "PODS", 500, 4*podsOfWorkload)
	p := &play{
		limits: readThresholds(b), nodes: wanted(b, "NODES", max(pods/podsOfNode, 3), 3),
		failing: min(failing, pods/podsOfWorkload/2), idle: time.Duration(wanted(b, "IDLE_SECONDS", 15, 1)) * time.Second,
	}
	p.local = up(b, p.nodes)
	p.observer = observe(b, p.local)
	b.ResetTimer()
	p.settle(b, "the operator that just started", time.Now())
	empty := p.footprint(b)
	p.say(b, "the operator of an empty cluster holds %.1f MB, resident %.1f MB", empty.live/1e6, empty.resident/1e6)

	p.rollOut(b, pods/podsOfWorkload)
	p.nothing(b, "a cluster that is well")
	p.memory(b, empty)
	p.restarts(b)
	p.wave(b)
	if os.Getenv("CLUSTER_LONG") != "" {
		p.repair(b)
		p.loseNode(b)
		p.nothing(b, "a cluster that is well again")
	}
	b.ReportMetric(0, "ns/op")
}

// rollOut brings up Deployments, inFlight of them at a time, and reports how long that took, how long the operator was
// not done with it after them, and what it wrote.
func (p *play) rollOut(b *testing.B, count int) {
	b.Helper()
	namespaces := p.namespaces(b, (count+workloadsIn-1)/workloadsIn)
	begin, before, used := time.Now(), p.metrics(b), p.usages(b)
	for range inFlight {
		p.observer.wholly <- struct{}{}
	}
	for n := range count {
		p.deployments = append(p.deployments, workload(namespaces[n%len(namespaces)], n, n < p.failing))
	}
	written := make(chan error, 1)
	go func() {
		written <- p.parallel(count, func(ctx context.Context, n int) error {
			select {
			case <-p.observer.wholly:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			return p.api.Create(ctx, p.deployments[n])
		})
	}()
	await(b, p.local, "all pods are Ready", patience, func() (bool, string) {
		select {
		case err := <-written:
			must(b, err)
		default:
		}
		pods, whole := p.observer.progress()
		return whole == count, fmt.Sprintf("%d of %d pods, %d of %d Deployments; %d Incidents%s",
			pods, count*podsOfWorkload, whole, count, len(p.observer.of(anyIncident)), p.observer.lacking())
	})
	ready := time.Now()
	p.settle(b, "the roll-out", begin)
	writes, after := p.writes(b, begin), p.metrics(b)
	done := ready
	for _, w := range writes {
		if w.At.After(done) {
			done = w.At
		}
	}
	const cpu, reconciled = "process_cpu_seconds_total", "controller_runtime_reconcile_total"
	p.say(b, "%d pods are Ready after %.1fs (%.0f a second); the operator was done %.1fs later; it used %.1fs of a processor, for %.0f reconciliations, and wrote: %s",
		count*podsOfWorkload, ready.Sub(begin).Seconds(), float64(count*podsOfWorkload)/ready.Sub(begin).Seconds(), done.Sub(ready).Seconds(),
		after[cpu]-before[cpu], after[reconciled]-before[reconciled], summary(writes))
	p.say(b, "memory, and seconds of a processor for the roll-out: %s", took(used, p.usages(b)))
	b.ReportMetric(ready.Sub(begin).Seconds(), "rollout-s")
	b.ReportMetric(float64(len(writes)), "rollout-writes")
	b.ReportMetric((after[cpu]-before[cpu])*1e3/float64(count*podsOfWorkload), "cpu-ms/pod")
	if opened := p.observer.of(anyIncident); len(opened) > p.limits.RolloutIncidents {
		b.Errorf("a roll-out that went well opened %d Incidents: %s", len(opened), titles(opened))
	}
}

// namespaces makes some, and waits until pods can be made in them.
func (p *play) namespaces(b *testing.B, count int) []string {
	b.Helper()
	var names []string
	for n := range count {
		names = append(names, fmt.Sprintf("team-%d", n))
	}
	must(b, p.parallel(count, func(ctx context.Context, n int) error {
		return p.api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: names[n]}})
	}))
	await(b, p.local, "each namespace has its ServiceAccount", patience, func() (bool, string) {
		accounts, have := &corev1.ServiceAccountList{}, 0
		must(b, p.api.List(p.ctx, accounts))
		for i := range accounts.Items {
			if a := &accounts.Items[i]; a.Name == "default" && strings.HasPrefix(a.Namespace, "team-") {
				have++
			}
		}
		return have == count, fmt.Sprintf("%d of %d", have, count)
	})
	return names
}

// workload has pods of the size that those of a real cluster have.
func workload(namespace string, n int, fails bool) *appsv1.Deployment {
	name := fmt.Sprintf("workload-%d", n)
	selected := map[string]string{labelApp: name}
	all := map[string]string{labelApp: name, "team": namespace, "app.kubernetes.io/part-of": "shop", "app.kubernetes.io/version": "1.4.2"}
	if fails {
		all[labelWave] = waveFirst
	}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("http")}}}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: all},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(podsOfWorkload)), Selector: &metav1.LabelSelector{MatchLabels: selected},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: all, Annotations: map[string]string{
					"prometheus.io/scrape": "true",
					// As on a kubelet: what fails is not to keep the processors from what is measured.
					"kwok.itil.dev/backoff-seconds": "10", "kwok.itil.dev/backoff-max-seconds": "300",
				}},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "app", Image: "registry.shop.example/team/" + name + ":1.4.2",
					Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
					Env: []corev1.EnvVar{
						{Name: "LOG_LEVEL", Value: "info"},
						{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
					},
					Resources: corev1.ResourceRequirements{
						Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
						Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
					},
					ReadinessProbe: probe, LivenessProbe: probe.DeepCopy(),
				}}},
			},
		},
	}
}

// settle waits until the operator has written nothing for a while and has nothing to reconcile.
func (p *play) settle(b *testing.B, after string, since time.Time) {
	b.Helper()
	last, idle := -1, time.Now()
	await(b, p.local, "the operator is done with "+after, patience, func() (bool, string) {
		writes, busy := len(p.writes(b, since)), p.busy(b)
		if writes != last || busy > 0 {
			last, idle = writes, time.Now()
		}
		return time.Since(idle) >= quiet, fmt.Sprintf("%d writes, %d requests to reconcile", writes, busy)
	})
}

// nothing counts what the operator writes while nothing happens but the nodes' heartbeats.
func (p *play) nothing(b *testing.B, of string) {
	b.Helper()
	since, before := time.Now(), p.metrics(b)["process_cpu_seconds_total"]
	select {
	case <-time.After(p.idle):
	case <-p.ctx.Done():
		b.Fatal(context.Cause(p.ctx))
	}
	writes, cpu := p.writes(b, since), p.metrics(b)["process_cpu_seconds_total"]-before
	p.say(b, "%s, for %s: the operator wrote: %s; it used %.2f %% of a processor", of, p.idle, summary(writes), 100*cpu/p.idle.Seconds())
	b.ReportMetric(float64(len(writes))/p.idle.Minutes(), "idle-writes/min")
	if len(writes) > p.limits.IdleWrites {
		b.Errorf("%d writes in %s in which nothing happened: %s", len(writes), p.idle, summary(writes))
	}
}

// memory reports what the operator keeps more than of an empty cluster, Deployments and all, against an informer that
// keeps whole pods.
func (p *play) memory(b *testing.B, empty footprint) {
	b.Helper()
	now, pods := p.footprint(b), float64(len(p.deployments)*podsOfWorkload)
	full := p.fullInformer(b)
	each := (now.live - empty.live) / pods
	p.say(b, "the operator holds %.1f MB, resident %.1f MB; it is %.0f bytes more for each pod, its Deployment included; an informer of whole pods holds %.1f MB, %.0f bytes each",
		now.live/1e6, now.resident/1e6, each, full/1e6, full/pods)
	b.ReportMetric(now.live/1e6, "operator-MB")
	b.ReportMetric(now.resident/1e6, "resident-MB")
	b.ReportMetric(each, "B/pod")
	b.ReportMetric(each*pods/full, "pod/full")
	if int(pods) >= p.limits.MemoryPods && (each > p.limits.PodBytes || each*pods/full > p.limits.PodToFull) {
		b.Errorf("a pod costs %.0f bytes, %.3f of a whole one; the thresholds are %.0f and %.3f", each, each*pods/full, p.limits.PodBytes, p.limits.PodToFull)
	}
}

// fullInformer is the memory that an informer of whole pods takes.
func (p *play) fullInformer(b *testing.B) float64 {
	b.Helper()
	before := heap()
	ctx, cancel := context.WithCancel(p.ctx)
	full, err := cache.New(p.config, cache.Options{Scheme: scheme.New()})
	must(b, err)
	informer, err := full.GetInformer(ctx, &corev1.Pod{}, cache.BlockUntilSynced(false))
	must(b, err)
	stopped := make(chan error, 1)
	go func() { stopped <- full.Start(ctx) }()
	if !toolscache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		b.Fatal("the full cache does not become ready")
	}
	held := heap() - before
	cancel()
	must(b, <-stopped)
	return held
}

func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// restarts ends the operator and starts it again, and lists the pods, in turn, so that what else the machine does
// troubles both. A restart is to write nothing: nothing has happened.
func (p *play) restarts(b *testing.B) {
	b.Helper()
	const turns = 3
	var starts, lists []time.Duration
	_, controllers := p.started(b)
	since := time.Now()
	for range turns {
		p.operator(b, "stop")
		p.operator(b, "start")
		await(b, p.local, "all controllers work again", patience, func() (bool, string) {
			_, n := p.started(b)
			return n >= controllers, fmt.Sprintf("%d of %d", n, controllers)
		})
		took, _ := p.started(b)
		starts = append(starts, took)
		p.settle(b, "its start", time.Now())
		begin := time.Now()
		must(b, p.api.List(p.ctx, &corev1.PodList{}))
		lists = append(lists, time.Since(begin))
	}
	slices.Sort(starts)
	slices.Sort(lists)
	start, list := starts[turns/2].Seconds(), lists[turns/2].Seconds()
	writes := p.writes(b, since)
	p.say(b, "restarted: all %d controllers work after %s; one LIST of the pods takes %s; the operator wrote: %s", controllers, starts, lists, summary(writes))
	b.ReportMetric(start, "start-s")
	b.ReportMetric(start/list, "start/LIST")
	if pods := len(p.deployments) * podsOfWorkload; pods >= p.limits.StartPods && start/list > p.limits.StartToList {
		b.Errorf("with %d pods the operator starts in %.2f times a LIST; the threshold is %.2f", pods, start/list, p.limits.StartToList)
	}
	if opened := p.observer.of(anyIncident); len(opened) > 0 {
		b.Errorf("restarts on a cluster that is well opened %d Incidents: %s", len(opened), titles(opened))
	}
}

// behave makes all pods of the workloads that are to fail behave in a way; nil is well.
func (p *play) behave(b *testing.B, how any) {
	b.Helper()
	patch := []byte(`{"metadata":{"annotations":{"` + annotationBehaviour + `":null}}}`)
	if how != nil {
		patch = fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, annotationBehaviour, how)
	}
	pods := &corev1.PodList{}
	must(b, p.api.List(p.ctx, pods, client.MatchingLabels{labelWave: waveFirst}))
	must(b, p.parallel(len(pods.Items), func(ctx context.Context, n int) error {
		return p.api.Patch(ctx, &pods.Items[n], client.RawPatch(types.MergePatchType, patch))
	}))
}

// wave makes all pods of some Deployments crash again and again.
func (p *play) wave(b *testing.B) {
	b.Helper()
	begin := time.Now()
	p.behave(b, "crashloop")
	p.say(b, "%d pods of %d Deployments crash from now on; it took %.1fs to say so", p.failing*podsOfWorkload, p.failing, time.Since(begin).Seconds())
	await(b, p.local, "each failing Deployment has its Incident", patience, func() (bool, string) {
		told := len(p.observer.of(func(s *seen) bool { return !s.told.IsZero() }))
		return told >= p.failing, fmt.Sprintf("%d of %d", told, p.failing)
	})
	p.settle(b, "the failures", begin)
	incidents, writes := p.observer.of(anyIncident), p.writes(b, begin)
	about := map[string]int{}
	for _, i := range incidents {
		about[i.workload()]++
	}
	if len(incidents) != p.failing || len(about) != p.failing {
		b.Errorf("%d failing Deployments, %d Incidents of %d workloads: %s", p.failing, len(incidents), len(about), titles(incidents))
	}
	each, most := map[string]int{}, 0
	for _, w := range writes {
		// What the API server did not carry out is asked for again, as it must be; the summary has it.
		if w.ObjectRef.Resource == "incidents" && w.ResponseStatus.Code < http.StatusBadRequest {
			name := w.ObjectRef.Namespace + "/" + w.ObjectRef.Name
			each[name]++
			most = max(most, each[name])
		}
	}
	p.say(b, "%d Incidents, at most %d writes each; in all: %s", len(incidents), most, summary(writes))
	b.ReportMetric(float64(most), "writes/incident")
	if most > p.limits.IncidentWrites {
		b.Errorf("%d writes to one Incident; the threshold is %d", most, p.limits.IncidentWrites)
	}
	p.detected(b, incidents, answering(writes))
}

// detected reports how long after the restart that decided the Incidents could be read. Where the API server itself
// takes long for a write, that is the machine's time and not the operator's: it is told, and no more.
func (p *play) detected(b *testing.B, incidents []seen, write time.Duration) {
	b.Helper()
	took := p.observer.detection(incidents)
	if len(took) != len(incidents) {
		b.Fatalf("what decided was seen of %d workloads, of %d Incidents", len(took), len(incidents))
	}
	at := func(part float64) float64 { return took[min(int(part*float64(len(took))), len(took)-1)].Seconds() }
	p.say(b, "from the restart that decides until its Incident can be read: p50 %.0f ms, p99 %.0f ms, at most %.0f ms; the API server took %s for one of the writes (median)",
		1e3*at(0.5), 1e3*at(0.99), 1e3*took[len(took)-1].Seconds(), write.Round(time.Millisecond))
	b.ReportMetric(at(0.5), "detect-p50-s")
	b.ReportMetric(at(0.99), "detect-p99-s")
	b.ReportMetric(write.Seconds(), "write-s")
	calm := write.Seconds() <= p.limits.CalmWrite
	if calm && (at(0.5) > p.limits.DetectP50 || at(0.99) > p.limits.DetectP99) {
		b.Errorf("detection takes %.2f s (p50) and %.2f s (p99); the thresholds are %.2f and %.2f", at(0.5), at(0.99), p.limits.DetectP50, p.limits.DetectP99)
	}
}

// repair ends the failures; each Incident must be resolved once its workload was well for long enough.
func (p *play) repair(b *testing.B) {
	b.Helper()
	begin := time.Now()
	p.behave(b, nil)
	p.say(b, "the failures are mended")
	await(b, p.local, "all Incidents are resolved", recovery, func() (bool, string) {
		_, whole := p.observer.progress()
		left := len(p.observer.of(unresolved))
		return left == 0, fmt.Sprintf("%d are open, %d of %d Deployments are whole", left, whole, len(p.deployments))
	})
	resolved := time.Since(begin)
	p.settle(b, "the recovery", begin)
	all := p.observer.of(anyIncident)
	p.say(b, "all %d Incidents were resolved %.0fs after the failures were mended; the operator wrote: %s", len(all), resolved.Seconds(), summary(p.writes(b, begin)))
	b.ReportMetric(resolved.Seconds(), "resolved-s")
	if len(all) != p.failing {
		b.Errorf("the recovery left %d Incidents of %d: %s", len(all), p.failing, titles(all))
	}
}

// loseNode has a node fall silent with its pods: one Incident, the node's, and none of the workloads that have a pod
// on it.
func (p *play) loseNode(b *testing.B) {
	b.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}}
	annotate := func(value string) {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, annotationBehaviour, value)
		must(b, p.api.Patch(p.ctx, node, client.RawPatch(types.MergePatchType, patch)))
	}
	begin := time.Now()
	annotate(`"lost"`)
	p.say(b, "%s falls silent", node.Name)
	await(b, p.local, "the lost node has its Incident", silence, func() (bool, string) {
		how := "it still counts as Ready"
		if !p.observer.silentSince(node.Name).IsZero() {
			how = "it is marked as silent"
		}
		return len(p.observer.of(unresolved)) > 0, how
	})
	p.settle(b, "the lost node", begin)
	open := p.observer.of(unresolved)
	if len(open) != 1 || open[0].last.Status.Reason != v1alpha1.SignalNodeLost {
		b.Errorf("for one lost node there are %d Incidents: %s", len(open), titles(open))
	}
	took := open[0].created.Sub(p.observer.silentSince(node.Name))
	p.say(b, "the Incident of the lost node could be read %.1fs after the node was marked, a minute of it is grace: %s; the operator wrote: %s",
		took.Seconds(), titles(open), summary(p.writes(b, begin)))
	b.ReportMetric(took.Seconds(), "node-s")
	annotate("null")
	await(b, p.local, "the node reports again", silence, func() (bool, string) {
		return p.observer.silentSince(node.Name).IsZero(), "it does not count as Ready"
	})
	p.reported(b, node.Name)
	await(b, p.local, "the node's Incident is resolved", recovery, func() (bool, string) {
		left := p.observer.of(unresolved)
		return len(left) == 0, fmt.Sprintf("%d are open", len(left))
	})
	p.settle(b, "the node's return", begin)
	p.say(b, "the node is back, its Incident resolved")
}

// reported does what a kubelet does when it is heard again: it says that its pods are Ready, which the node controller
// has taken back meanwhile. kwok plays no kubelet that knows what others wrote.
func (p *play) reported(b *testing.B, node string) {
	b.Helper()
	pods := &corev1.PodList{}
	must(b, p.api.List(p.ctx, pods, client.MatchingFields{"spec.nodeName": node}))
	now := time.Now().UTC().Format(time.RFC3339)
	patch := fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","status":"True","reason":null,"lastTransitionTime":%q}]}}`, now)
	must(b, p.parallel(len(pods.Items), func(ctx context.Context, n int) error {
		return p.api.Status().Patch(ctx, &pods.Items[n], client.RawPatch(types.StrategicMergePatchType, patch))
	}))
}

// parallel does something so many times, several at once, until one fails.
func (p *play) parallel(count int, do func(ctx context.Context, n int) error) error {
	ctx, stop := context.WithCancelCause(p.ctx)
	defer stop(nil)
	numbers := make(chan int, count)
	for n := range count {
		numbers <- n
	}
	close(numbers)
	var wait sync.WaitGroup
	for range writers {
		wait.Go(func() {
			for n := range numbers {
				if err := do(ctx, n); err != nil {
					stop(fmt.Errorf("number %d: %w", n, err)) // the first is told
					return
				}
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}
