package detection

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// CacheByObject is how the manager's cache must keep pods and nodes, for cache.Options.ByObject.
//
// The cache then holds no *corev1.Pod, of which the empty struct alone is larger than a whole Record: reading pods
// through the manager's client fails, and whoever needs one asks the API server (mgr.GetAPIReader).
func CacheByObject() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&corev1.Pod{}:  {Transform: TransformPod()},
		&corev1.Node{}: {Transform: TransformNode},
	}
}

// Record is what the cache keeps of a pod. It is shared and never altered.
type Record struct {
	incident.Pod
	resourceVersion string
}

// TransformPod makes a cache transform that makes a Record of a pod. What was transformed before passes.
func TransformPod() toolscache.TransformFunc {
	p := &pool{}
	return func(in any) (any, error) {
		pod, ok := in.(*corev1.Pod)
		if !ok {
			return in, nil
		}
		r := &Record{Pod: incident.PodFrom(pod), resourceVersion: pod.ResourceVersion}
		p.share(r)
		return r, nil
	}
}

// pool lets pods that have texts in common have them in common in memory, too: their labels, controller, node, reasons,
// container names and images. It forgets all when it is full, which costs those that come a copy.
type pool struct {
	mu     sync.Mutex
	texts  map[string]string
	owners map[incident.PodOwner]*incident.PodOwner
}

const (
	maxPooled     = 1 << 16
	maxPooledText = 1 << 10
)

func (p *pool) share(r *Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.texts == nil || len(p.texts) > maxPooled || len(p.owners) > maxPooled {
		p.texts, p.owners = map[string]string{}, map[incident.PodOwner]*incident.PodOwner{}
	}
	for _, text := range []*string{
		&r.Namespace, &r.Revision, &r.Node, (*string)(&r.Labels), (*string)(&r.Phase), &r.Reason, &r.Disruption,
	} {
		p.text(text)
	}
	if r.Owner != nil {
		shared := p.owners[*r.Owner]
		if shared == nil {
			shared = r.Owner
			p.owners[*shared] = shared
		}
		r.Owner = shared
	}
	for _, c := range []*incident.PodCondition{&r.Scheduled, &r.Sandbox, &r.Ready} {
		p.text((*string)(&c.Status))
		p.text(&c.Reason)
		p.text(&c.Message)
	}
	for i := range r.Containers {
		c := &r.Containers[i]
		p.text(&c.Name)
		p.text(&c.Waiting)
		p.text(&c.Ended.Reason)
		p.text(&c.Last.Reason)
		p.text(&c.ImageID)
	}
}

func (p *pool) text(s *string) {
	if *s == "" || len(*s) > maxPooledText {
		return
	}
	if shared, known := p.texts[*s]; known {
		*s = shared
		return
	}
	p.texts[*s] = *s
}

var (
	_ runtime.Object            = &Record{}
	_ metav1.ObjectMetaAccessor = &Record{}
)

// GetObjectMeta is what a store must know of an object.
func (r *Record) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{Namespace: r.Namespace, Name: r.Name, UID: r.UID, ResourceVersion: r.resourceVersion}
}

// GetObjectKind implements runtime.Object.
func (r *Record) GetObjectKind() schema.ObjectKind { return schema.EmptyObjectKind }

// DeepCopyObject implements runtime.Object; a record is never altered, so it is its own copy.
func (r *Record) DeepCopyObject() runtime.Object { return r }

// TransformNode is a cache transform that keeps of a node what signals need.
func TransformNode(in any) (any, error) {
	node, ok := in.(*corev1.Node)
	if !ok {
		if m, err := meta.Accessor(in); err == nil {
			m.SetManagedFields(nil)
		}
		return in, nil
	}
	out := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion,
		CreationTimestamp: node.CreationTimestamp, DeletionTimestamp: node.DeletionTimestamp, Labels: node.Labels,
	}}
	out.Spec.Unschedulable, out.Spec.Taints = node.Spec.Unschedulable, node.Spec.Taints
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			// The kubelet's heartbeat is no news.
			c.LastHeartbeatTime = metav1.Time{}
			out.Status.Conditions = []corev1.NodeCondition{c}
		}
	}
	return out, nil
}
