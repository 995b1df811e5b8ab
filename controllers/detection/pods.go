package detection

import (
	"maps"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// podIndex finds the pods of a workload. A pod belongs to the workload of its controller; controllers are resolved
// once, not once for each pod.
type podIndex struct {
	mu sync.Mutex
	// owners of pods, by the UID of the controller, or by the name of a pod that has none.
	owners map[ownerID]*podOwner
	// byWorkload are the owners whose pods are those of a workload.
	byWorkload map[configuration.Key]map[ownerID]struct{}
	// byNamespace are the workloads that have pods there.
	byNamespace map[string]map[configuration.Key]struct{}
	// byNode are the pods on a node, in no order.
	byNode map[string][]*Record
}

// ownerID names the controller of pods; of a pod without one, the pod.
type ownerID struct {
	uid             types.UID
	namespace, name string
}

// podOwner is a controller and its pods.
type podOwner struct {
	namespace string
	ref       incident.PodOwner
	// key of the workload; where resolved is false, of the controller itself, which is not known to be one.
	key      configuration.Key
	resolved bool
	// first of its pods; others must be of the same revision, and like it satisfy the workload's selector.
	labels   incident.LabelSet
	revision string
	// pods in the order of their names: a map takes five times the memory, and there are ten thousands of these.
	pods []*Record
}

func (o *podOwner) place(name string) (int, bool) {
	return slices.BinarySearchFunc(o.pods, name, func(p *Record, name string) int { return strings.Compare(p.Name, name) })
}

// pod of that name; nil where there is none.
func (o *podOwner) pod(name string) *Record {
	if n, found := o.place(name); found {
		return o.pods[n]
	}
	return nil
}

func newPodIndex() *podIndex {
	return &podIndex{
		owners:      map[ownerID]*podOwner{},
		byWorkload:  map[configuration.Key]map[ownerID]struct{}{},
		byNamespace: map[string]map[configuration.Key]struct{}{},
		byNode:      map[string][]*Record{},
	}
}

// resolver says what is known of workloads without asking anybody.
type resolver interface {
	// known is the workload of a controller; ok is false where it is not known.
	known(namespace string, ref incident.PodOwner, pod *Record) (key configuration.Key, ok bool)
	// selects reports whether a workload is known not to have such pods, which is then false.
	selects(key configuration.Key, pod *Record) bool
}

// put takes in a version of a pod in place of an older one, which may be nil, and returns the workloads to look at.
func (x *podIndex) put(old, pod *Record, r resolver) []configuration.Key {
	x.mu.Lock()
	defer x.mu.Unlock()
	var keys []configuration.Key
	id := x.idOf(pod, r)
	if old != nil {
		if before, _, known := x.find(old); known && before != id {
			keys = append(keys, x.drop(before, old.Name)...)
		}
	}
	o := x.owners[id]
	if o == nil {
		o = &podOwner{namespace: pod.Namespace, labels: pod.Labels, revision: pod.Revision}
		o.key, o.resolved = podKey(pod), true
		if id.uid != "" {
			o.ref = *pod.Owner
			if o.key, o.resolved = r.known(pod.Namespace, o.ref, pod); !o.resolved {
				o.key = controllerKey(pod.Namespace, o.ref)
			}
		}
		x.owners[id] = o
		x.link(id, o)
	}
	if n, found := o.place(pod.Name); found {
		x.leave(o.pods[n])
		o.pods[n] = pod
	} else {
		o.pods = slices.Insert(o.pods, n, pod)
	}
	if pod.Node != "" {
		x.byNode[pod.Node] = append(x.byNode[pod.Node], pod)
	}
	return append(keys, o.key)
}

// idOf is what the pod is indexed under. A pod that claims a controller of another template, or whose workload does
// not select it, is none of its pods: such a reference is easily forged.
func (x *podIndex) idOf(pod *Record, r resolver) ownerID {
	alone := ownerID{namespace: pod.Namespace, name: pod.Name}
	// A static pod's controller is its node.
	if pod.Owner == nil || pod.Owner.UID == "" || pod.Owner.Kind == incident.KindNode {
		return alone
	}
	id := ownerID{uid: pod.Owner.UID}
	o := x.owners[id]
	if o == nil || o.pod(pod.Name) != nil && o.labels == pod.Labels {
		return id
	}
	if o.namespace != pod.Namespace || o.ref.Kind == configuration.KindReplicaSet && o.revision != pod.Revision ||
		o.labels != pod.Labels && !r.selects(o.key, pod) {
		return alone
	}
	return id
}

// find is where a pod is in the index.
func (x *podIndex) find(pod *Record) (ownerID, *podOwner, bool) {
	ids := []ownerID{{namespace: pod.Namespace, name: pod.Name}}
	if pod.Owner != nil {
		ids = append(ids, ownerID{uid: pod.Owner.UID})
	}
	for _, id := range ids {
		if o := x.owners[id]; o != nil && o.pod(pod.Name) != nil && o.namespace == pod.Namespace {
			return id, o, true
		}
	}
	return ownerID{}, nil, false
}

// remove takes out a pod and returns the workloads to look at.
func (x *podIndex) remove(pod *Record) []configuration.Key {
	x.mu.Lock()
	defer x.mu.Unlock()
	id, o, known := x.find(pod)
	// A pod of the same name may have taken its place already.
	if !known || o.pod(pod.Name).UID != pod.UID {
		return nil
	}
	return x.drop(id, pod.Name)
}

func (x *podIndex) drop(id ownerID, name string) []configuration.Key {
	o := x.owners[id]
	if n, found := o.place(name); found {
		x.leave(o.pods[n])
		o.pods = slices.Delete(o.pods, n, n+1)
	}
	if len(o.pods) == 0 {
		x.unlink(id, o)
		delete(x.owners, id)
	}
	return []configuration.Key{o.key}
}

// leave takes a pod off its node.
func (x *podIndex) leave(pod *Record) {
	if pod.Node == "" {
		return
	}
	there := x.byNode[pod.Node]
	if n := slices.Index(there, pod); n >= 0 {
		there[n] = there[len(there)-1]
		there[len(there)-1] = nil
		there = there[:len(there)-1]
	}
	if len(there) == 0 {
		delete(x.byNode, pod.Node)
		return
	}
	x.byNode[pod.Node] = there
}

// on are the pods on a node that have not ended, and the workloads that they belong to.
func (x *podIndex) on(node string) (pods []*incident.Pod, keys []configuration.Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	seen := map[configuration.Key]struct{}{}
	for _, pod := range x.byNode[node] {
		if pod.Phase == corev1.PodFailed || pod.Phase == corev1.PodSucceeded {
			continue
		}
		pods = append(pods, &pod.Pod)
		if _, o, known := x.find(pod); known {
			seen[o.key] = struct{}{}
		}
	}
	return pods, slices.Collect(maps.Keys(seen))
}

func (x *podIndex) link(id ownerID, o *podOwner) {
	if x.byWorkload[o.key] == nil {
		x.byWorkload[o.key] = map[ownerID]struct{}{}
	}
	x.byWorkload[o.key][id] = struct{}{}
	if x.byNamespace[o.namespace] == nil {
		x.byNamespace[o.namespace] = map[configuration.Key]struct{}{}
	}
	x.byNamespace[o.namespace][o.key] = struct{}{}
}

func (x *podIndex) unlink(id ownerID, o *podOwner) {
	delete(x.byWorkload[o.key], id)
	if len(x.byWorkload[o.key]) > 0 {
		return
	}
	delete(x.byWorkload, o.key)
	delete(x.byNamespace[o.namespace], o.key)
	if len(x.byNamespace[o.namespace]) == 0 {
		delete(x.byNamespace, o.namespace)
	}
}

// of are the pods of a workload, in no order.
func (x *podIndex) of(key configuration.Key) []*incident.Pod {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out []*incident.Pod
	for id := range x.byWorkload[key] {
		for _, pod := range x.owners[id].pods {
			out = append(out, &pod.Pod)
		}
	}
	return out
}

// unresolved are the controllers with this key of which it is not known what workload they belong to, each with one
// of its pods.
func (x *podIndex) unresolved(key configuration.Key) map[ownerID]*Record {
	x.mu.Lock()
	defer x.mu.Unlock()
	out := map[ownerID]*Record{}
	for id := range x.byWorkload[key] {
		o := x.owners[id]
		if !o.resolved && len(o.pods) > 0 {
			out[id] = o.pods[0]
		}
	}
	return out
}

// resolve says what workload a controller belongs to.
func (x *podIndex) resolve(id ownerID, key configuration.Key) {
	x.mu.Lock()
	defer x.mu.Unlock()
	o := x.owners[id]
	if o == nil {
		return
	}
	x.unlink(id, o)
	o.key, o.resolved = key, true
	x.link(id, o)
}

// in are the workloads that have pods in a namespace.
func (x *podIndex) in(namespace string) []configuration.Key {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Collect(maps.Keys(x.byNamespace[namespace]))
}

func podKey(pod *Record) configuration.Key {
	return configuration.Key{Kind: incident.KindPod, Namespace: pod.Namespace, Name: pod.Name}
}

func controllerKey(namespace string, ref incident.PodOwner) configuration.Key {
	return configuration.Key{Group: ref.Group, Kind: ref.Kind, Namespace: namespace, Name: ref.Name}
}

// withoutHash is the name of what made a ReplicaSet with this template hash; empty where the name does not end so.
func withoutHash(name, hash string) string {
	if hash == "" {
		return ""
	}
	trimmed, found := strings.CutSuffix(name, "-"+hash)
	if !found {
		return ""
	}
	return trimmed
}
