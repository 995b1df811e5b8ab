package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
)

// observer takes down what becomes of Deployments, of the pods that are made to fail, of Incidents and of nodes, as a
// client that is not the operator sees it, and when.
type observer struct {
	mu sync.Mutex
	// pods that each Deployment says are ready, all of them, and how many Deployments have theirs.
	pods  map[client.ObjectKey]int32
	ready int
	whole int
	// restarts of each pod that may fail, and when those of a Deployment's pods came to as many as decide.
	restarts map[types.UID]int32
	together map[client.ObjectKey]int32
	decided  map[client.ObjectKey]time.Time
	// incidents of the cluster by name.
	incidents map[client.ObjectKey]*seen
	// silent is when a node was marked as one that does not answer.
	silent map[string]time.Time
	// wholly takes a place for each Deployment that has all its pods for the first time.
	wholly chan struct{}
}

// seen is an Incident: when it could first be read, and when its state was on it.
type seen struct {
	created, told time.Time
	last          *v1alpha1.Incident
}

// deciding restarts of the containers of one workload are a crash loop: the default of
// Service.spec.detection.crashLoopRestarts.
const deciding = 3

// observe watches until the benchmark ends.
func observe(b *testing.B, l *local) *observer {
	b.Helper()
	o := &observer{
		pods: map[client.ObjectKey]int32{}, restarts: map[types.UID]int32{}, together: map[client.ObjectKey]int32{},
		decided: map[client.ObjectKey]time.Time{}, incidents: map[client.ObjectKey]*seen{}, silent: map[string]time.Time{},
		wholly: make(chan struct{}, inFlight),
	}
	watched, err := cache.New(l.config, cache.Options{
		Scheme: scheme.New(), DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:        {Label: labels.SelectorFromSet(labels.Set{labelWave: waveFirst})},
			&appsv1.Deployment{}: {Transform: statusOnly},
		},
	})
	must(b, err)
	ctx, cancel := context.WithCancel(l.ctx)
	for object, handle := range map[client.Object]func(any){
		&corev1.Pod{}: take(o.pod), &appsv1.Deployment{}: take(o.deployment), &v1alpha1.Incident{}: take(o.incident), &corev1.Node{}: take(o.node),
	} {
		informer, err := watched.GetInformer(ctx, object, cache.BlockUntilSynced(false))
		must(b, err)
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc: handle, UpdateFunc: func(_, now any) { handle(now) },
		})
		must(b, err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- watched.Start(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			b.Error(err)
		}
	})
	if !watched.WaitForCacheSync(ctx) {
		b.Fatal("the observer cannot read the cluster")
	}
	return o
}

func take[T any](handle func(T, time.Time)) func(any) {
	return func(object any) {
		if o, ok := object.(T); ok {
			handle(o, time.Now())
		}
	}
}

// statusOnly leaves of a Deployment what is looked at.
func statusOnly(object any) (any, error) {
	if d, ok := object.(*appsv1.Deployment); ok {
		d.ManagedFields, d.Spec.Template = nil, corev1.PodTemplateSpec{}
	}
	return object, nil
}

func (o *observer) deployment(d *appsv1.Deployment, _ time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := client.ObjectKeyFromObject(d)
	before, known := o.pods[key]
	o.pods[key] = d.Status.ReadyReplicas
	o.ready += int(d.Status.ReadyReplicas - before)
	switch now := d.Status.ReadyReplicas == podsOfWorkload; {
	case now && (!known || before != podsOfWorkload):
		o.whole++
		select {
		case o.wholly <- struct{}{}:
		default: // nobody waits for a place any more
		}
	case !now && known && before == podsOfWorkload:
		o.whole--
	}
}

func (o *observer) pod(p *corev1.Pod, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := client.ObjectKey{Namespace: p.Namespace, Name: p.Labels[labelApp]}
	count := int32(0)
	for i := range p.Status.ContainerStatuses {
		count += p.Status.ContainerStatuses[i].RestartCount
	}
	o.together[key] += count - o.restarts[p.UID]
	o.restarts[p.UID] = count
	if _, decided := o.decided[key]; !decided && o.together[key] >= deciding {
		o.decided[key] = at
	}
}

func (o *observer) incident(i *v1alpha1.Incident, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := client.ObjectKeyFromObject(i)
	s := o.incidents[key]
	if s == nil {
		s = &seen{created: at}
		o.incidents[key] = s
	}
	if s.told.IsZero() && i.Status.State != "" {
		s.told = at
	}
	s.last = i
}

func (o *observer) node(n *corev1.Node, at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		if c.Status == corev1.ConditionTrue {
			delete(o.silent, n.Name)
		} else if o.silent[n.Name].IsZero() {
			o.silent[n.Name] = at
		}
	}
}

func (o *observer) silentSince(node string) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.silent[node]
}

// progress of a roll-out.
func (o *observer) progress() (pods, workloads int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ready, o.whole
}

// lacking names some Deployments that do not have all their pods, where few do not.
func (o *observer) lacking() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	const few, named = 20, 3
	if len(o.pods)-o.whole > few {
		return ""
	}
	var names []string
	for key, ready := range o.pods {
		if ready != podsOfWorkload {
			names = append(names, fmt.Sprintf("%s has %d", key, ready))
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return "; " + strings.Join(names[:min(named, len(names))], ", ")
}

// of returns the Incidents for which a condition holds.
func (o *observer) of(condition func(*seen) bool) []seen {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []seen
	for _, s := range o.incidents {
		if condition(s) {
			all = append(all, *s)
		}
	}
	slices.SortFunc(all, func(a, b seen) int { return a.created.Compare(b.created) })
	return all
}

func anyIncident(*seen) bool { return true }

func unresolved(s *seen) bool {
	return s.last.Status.State != v1alpha1.IncidentResolved && s.last.Status.State != v1alpha1.IncidentClosed
}

// workload is what an Incident is about.
func (s *seen) workload() string {
	if ref := s.last.Spec.WorkloadRef; ref != nil {
		return fmt.Sprintf("%s %s/%s", ref.Kind, s.last.Namespace, ref.Name)
	}
	return s.last.Namespace + "/" + s.last.Name
}

// titles of some Incidents, for a message.
func titles(list []seen) string {
	const shown = 10
	var out []string
	for _, s := range list[:min(shown, len(list))] {
		out = append(out, fmt.Sprintf("%s/%s %q %s, %d signals", s.last.Namespace, s.last.Name, s.last.Spec.Title, s.last.Status.State, len(s.last.Status.Signals)))
	}
	if more := len(list) - shown; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, "; ")
}

// detection is how long after what decided was seen an Incident was seen.
func (o *observer) detection(list []seen) []time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []time.Duration
	for _, s := range list {
		if ref := s.last.Spec.WorkloadRef; ref != nil {
			if at, ok := o.decided[client.ObjectKey{Namespace: s.last.Namespace, Name: string(ref.Name)}]; ok {
				all = append(all, max(s.created.Sub(at), 0)) // two watches: one may be ahead of the other
			}
		}
	}
	slices.Sort(all)
	return all
}

// await waits until something is so. It says how far it is every ten seconds, and gives up where that has not altered
// for as long as its patience.
func await(b *testing.B, l *local, what string, patience time.Duration, look func() (done bool, how string)) {
	b.Helper()
	const period, report = 200 * time.Millisecond, 10 * time.Second
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	altered, said, last := time.Now(), time.Now(), ""
	for {
		done, how := look()
		if done {
			return
		}
		if how != last {
			altered, last = time.Now(), how
		}
		if time.Since(altered) > patience {
			b.Fatalf("waiting until %s: for %s it has been %s", what, patience, how)
		}
		if time.Since(said) >= report {
			l.say(b, "until %s: %s", what, how)
			said = time.Now()
		}
		select {
		case <-ticker.C:
		case <-l.ctx.Done():
			b.Fatalf("waiting until %s: %v", what, context.Cause(l.ctx))
		}
	}
}
