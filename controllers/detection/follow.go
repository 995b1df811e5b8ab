package detection

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// follow takes in what informers tell, and pushes the workloads that it is about.
func (r *Reconciler) follow(ctx context.Context, c cache.Cache) ([]toolscache.InformerSynced, error) {
	var synced []toolscache.InformerSynced
	for _, watched := range []struct {
		kind    client.Object
		handler toolscache.ResourceEventHandler
	}{
		{&corev1.Pod{}, follower[*Record]{r.putPod, r.removePod}},
		{&corev1.Node{}, follower[*corev1.Node]{r.putNode, r.removeNode}},
		{&corev1.Namespace{}, follower[*corev1.Namespace]{r.putNamespace, func(*corev1.Namespace) {}}},
		{&v1alpha1.Incident{}, follower[*v1alpha1.Incident]{r.putIncident, r.removeIncident}},
	} {
		informer, err := c.GetInformer(ctx, watched.kind, cache.BlockUntilSynced(false))
		if err != nil {
			return nil, fmt.Errorf("watch %T: %w", watched.kind, err)
		}
		registration, err := informer.AddEventHandler(watched.handler)
		if err != nil {
			return nil, fmt.Errorf("follow %T: %w", watched.kind, err)
		}
		synced = append(synced, registration.HasSynced)
	}
	cancel := r.Inventory.Subscribe(r.hear)
	context.AfterFunc(ctx, cancel)
	return synced, nil
}

// begin looks at all workloads once: one without pods has nobody else to speak for it. By then it is known whose the pods
// are: the first look after a restart of ours must not be at a workload without its pods.
func (r *Reconciler) begin() bool {
	r.pods.resolveAll(r)
	for w := range r.Inventory.Workloads() {
		r.hear(inventory.Event{Workload: w.Key})
	}
	close(r.begun)
	return true
}

// follower hands the objects of an informer on with their type.
type follower[T any] struct {
	put    func(old, obj T)
	remove func(obj T)
}

// OnAdd implements toolscache.ResourceEventHandler.
func (f follower[T]) OnAdd(obj any, _ bool) {
	var none T
	if o, ok := obj.(T); ok {
		f.put(none, o)
	}
}

// OnUpdate implements toolscache.ResourceEventHandler.
func (f follower[T]) OnUpdate(old, obj any) {
	before, _ := old.(T)
	if o, ok := obj.(T); ok {
		f.put(before, o)
	}
}

// OnDelete implements toolscache.ResourceEventHandler.
func (f follower[T]) OnDelete(obj any) {
	if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	if o, ok := obj.(T); ok {
		f.remove(o)
	}
}

func (r *Reconciler) putPod(old, pod *Record) {
	measureLag(old, pod, r.Clock.Now())
	for _, key := range r.pods.put(old, pod, r) {
		r.enqueue(key)
	}
}

func (r *Reconciler) removePod(pod *Record) {
	for _, key := range r.pods.remove(pod) {
		r.enqueue(key)
	}
}

func nodeKey(name string) configuration.Key {
	return configuration.Key{Kind: incident.KindNode, Name: name}
}

func (r *Reconciler) putNode(_, node *corev1.Node) { r.enqueue(nodeKey(node.Name)) }

// removeNode looks also at what the loss of the node explained: it does not any more.
func (r *Reconciler) removeNode(node *corev1.Node) {
	r.enqueue(nodeKey(node.Name))
	if c, lost := r.incidents.lostNode(node.Name); lost {
		for _, key := range r.incidents.childrenOf(types.NamespacedName{Namespace: string(c.Ref.Namespace), Name: string(c.Ref.Name)}) {
			r.enqueue(key)
		}
	}
}

// putNamespace looks again at a namespace in which detection was switched on or off.
func (r *Reconciler) putNamespace(old, namespace *corev1.Namespace) {
	if old == nil || old.Labels[v1alpha1.LabelIncidents] == namespace.Labels[v1alpha1.LabelIncidents] {
		return
	}
	for _, key := range r.pods.in(namespace.Name) {
		r.enqueue(key)
	}
	for _, key := range r.Inventory.WorkloadsIn(namespace.Name) {
		r.enqueue(key)
	}
}

func muted(labels map[string]string) bool {
	return labels[v1alpha1.LabelIncidents] == v1alpha1.LabelIncidentsDisabled
}

func (r *Reconciler) putIncident(old, i *v1alpha1.Incident) {
	n := r.learn(i)
	if n.key != (configuration.Key{}) {
		r.enqueue(n.key)
	}
	if old == nil && incident.StandsForOthers(n.key) {
		// What it lists may be gone, and then nothing else makes us look.
		for _, listed := range incident.ListedIn(i.Status.Signals) {
			r.enqueue(listed)
		}
	}
	if n.room {
		r.makeRoom(i.Namespace)
	}
}

func (r *Reconciler) removeIncident(i *v1alpha1.Incident) {
	n := r.unlearn(i)
	if n.key != (configuration.Key{}) {
		r.enqueue(n.key)
	}
	if n.room {
		r.makeRoom(i.Namespace)
	}
}

// hear takes in news of the inventory. A Job is news for its CronJob.
func (r *Reconciler) hear(e inventory.Event) {
	if e.Workload == (configuration.Key{}) {
		return
	}
	if e.Workload.Kind == configuration.KindJob {
		job, _ := r.Inventory.Workload(e.Workload)
		if cronJob, owned := r.jobs.update(e.Workload, job); owned {
			r.enqueue(cronJob)
		}
	}
	r.enqueue(e.Workload)
}
