package replay

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Cluster is a target that makes a real API server have what the trace's had: it creates, updates and deletes the
// objects, and writes their status in place of the kubelet and the controllers, which must not run.
type Cluster struct {
	Client client.Client
	// Namespace in place of the recorded one.
	Namespace string
	// Node in place of the recorded one.
	Node string

	// uids of the objects there, by the recorded ones.
	uids map[types.UID]types.UID
	// generations that were recorded when a spec was last written.
	generations map[types.UID]int64
}

// Apply implements Target. Events about events are left out.
func (c *Cluster) Apply(e Event) error {
	ctx := context.Background()
	if e.Object.GetKind() == "Event" {
		return nil
	}
	o := c.translate(e.Object)
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.GroupVersionKind())
	err := c.Client.Get(ctx, client.ObjectKeyFromObject(o), live)
	switch {
	case apierrors.IsNotFound(err):
		if e.Type == watch.Deleted {
			return nil
		}
		if err := c.create(ctx, o, e.Object.GetUID(), live); err != nil {
			return err
		}
		c.generations[e.Object.GetUID()] = e.Object.GetGeneration()
	case err != nil:
		return fmt.Errorf("read %s %s: %w", o.GetKind(), o.GetName(), err)
	case e.Type == watch.Deleted:
		return client.IgnoreNotFound(c.Client.Delete(ctx, live, client.GracePeriodSeconds(0)))
	}
	if c.generations[e.Object.GetUID()] != e.Object.GetGeneration() || o.GetKind() == "Node" {
		if err := c.updateSpec(ctx, o, live); err != nil {
			return err
		}
		c.generations[e.Object.GetUID()] = e.Object.GetGeneration()
	}
	c.renumber(e.Object, o, live)
	if e.Object.GetDeletionTimestamp() != nil && live.GetDeletionTimestamp() == nil {
		const grace = 30
		if err := c.Client.Delete(ctx, live, client.GracePeriodSeconds(grace)); err != nil {
			return fmt.Errorf("delete %s %s: %w", o.GetKind(), o.GetName(), err)
		}
		if err := c.Client.Get(ctx, client.ObjectKeyFromObject(o), live); err != nil {
			return client.IgnoreNotFound(err)
		}
	}
	return c.updateStatus(ctx, o, live)
}

// translate is the object as it can be created.
func (c *Cluster) translate(recorded *unstructured.Unstructured) *unstructured.Unstructured {
	o := recorded.DeepCopy()
	if o.GetNamespace() != "" {
		o.SetNamespace(c.Namespace)
	}
	if o.GetKind() == "Node" {
		o.SetName(c.Node)
	}
	for _, field := range []string{"resourceVersion", "uid", "creationTimestamp", "generation", "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds", "finalizers"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	var owners []metav1.OwnerReference
	for _, ref := range o.GetOwnerReferences() {
		if uid, known := c.uids[ref.UID]; known {
			ref.UID = uid
		}
		owners = append(owners, ref)
	}
	o.SetOwnerReferences(owners)
	if o.GetKind() == "Job" {
		unstructured.RemoveNestedField(o.Object, "spec", "selector")
		unstructured.RemoveNestedField(o.Object, "spec", "template", "metadata", "labels")
	}
	if o.GetKind() == "Pod" {
		_ = unstructured.SetNestedField(o.Object, c.Node, "spec", "nodeName")
		annotations := o.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[created] = recorded.GetCreationTimestamp().UTC().Format(time.RFC3339)
		o.SetAnnotations(annotations)
	}
	return o
}

// created is the annotation that has when a pod was created in the trace: the API server stamps it by its own clock.
const created = "replay.test/created"

// Recreate gives a pod of the trace the age that it had there.
func Recreate(pod *corev1.Pod) {
	if at, err := time.Parse(time.RFC3339, pod.Annotations[created]); err == nil {
		pod.CreationTimestamp = metav1.NewTime(at)
	}
}

func (c *Cluster) create(ctx context.Context, o *unstructured.Unstructured, recorded types.UID, live *unstructured.Unstructured) error {
	made := o.DeepCopy()
	if o.GetKind() == "Pod" && !scheduled(o) {
		unstructured.RemoveNestedField(made.Object, "spec", "nodeName")
	}
	if err := c.Client.Create(ctx, made); err != nil {
		return fmt.Errorf("create %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	if c.uids == nil {
		c.uids, c.generations = map[types.UID]types.UID{}, map[types.UID]int64{}
	}
	c.uids[recorded] = made.GetUID()
	made.DeepCopyInto(live)
	return nil
}

// scheduled reports whether a pod that is created has a node, or will get one: the API server then keeps it while it
// is being deleted, as it does with a kubelet.
func scheduled(pod *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(pod.Object, "status", "conditions")
	for _, item := range conditions {
		condition, _ := item.(map[string]any)
		if condition["type"] == "PodScheduled" && condition["status"] == "False" {
			return false
		}
	}
	return true
}

// renumber makes what was observed of a generation be about the generation there.
func (c *Cluster) renumber(recorded, o, live *unstructured.Unstructured) {
	observed, found, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	if !found {
		return
	}
	behind := recorded.GetGeneration() - observed
	_ = unstructured.SetNestedField(o.Object, live.GetGeneration()-behind, "status", "observedGeneration")
}

// updateSpec brings about what people and controllers write. Of pods and Jobs nobody does.
func (c *Cluster) updateSpec(ctx context.Context, o, live *unstructured.Unstructured) error {
	var fields []string
	switch o.GetKind() {
	case "Deployment":
		fields = []string{"replicas", "template"}
	case "Node":
		fields = []string{"unschedulable", "taints"}
	default:
		return nil
	}
	before := live.DeepCopy()
	for _, field := range fields {
		value, found, _ := unstructured.NestedFieldCopy(o.Object, "spec", field)
		if !found {
			unstructured.RemoveNestedField(live.Object, "spec", field)
			continue
		}
		if err := unstructured.SetNestedField(live.Object, value, "spec", field); err != nil {
			return err
		}
	}
	if err := c.Client.Patch(ctx, live, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("update %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}

func (c *Cluster) updateStatus(ctx context.Context, o, live *unstructured.Unstructured) error {
	status, found, _ := unstructured.NestedMap(o.Object, "status")
	if !found || len(status) == 0 {
		return nil
	}
	live.Object["status"] = status
	if err := c.Client.Status().Update(ctx, live); err != nil {
		return fmt.Errorf("update the status of %s %s: %w", o.GetKind(), o.GetName(), err)
	}
	return nil
}
