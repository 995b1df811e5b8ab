package detection

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// learn takes in a version of an Incident and looks again at what it explains, or no longer does.
func (r *Reconciler) learn(i *v1alpha1.Incident) news {
	n := r.incidents.put(i)
	r.spread(types.NamespacedName{Namespace: i.Namespace, Name: i.Name}, n)
	return n
}

// unlearn forgets one that is gone.
func (r *Reconciler) unlearn(i *v1alpha1.Incident) news {
	n := r.incidents.remove(i)
	r.spread(types.NamespacedName{Namespace: i.Namespace, Name: i.Name}, n)
	return n
}

// spread looks again at the open Incidents that one may explain, and at those that it did.
func (r *Reconciler) spread(name types.NamespacedName, n news) {
	if !n.stirred {
		return
	}
	for _, key := range r.incidents.childrenOf(name) {
		r.enqueue(key)
	}
	if n.now.node != "" {
		_, keys := r.pods.on(n.now.node)
		r.enqueueOpen(keys)
	}
	for _, service := range n.now.services {
		r.enqueueOpen([]configuration.Key{incident.ServiceKey(service.Namespace, service.Name)})
		for _, d := range r.Inventory.Dependents(service) {
			if d.Strength == v1alpha1.DependencyHard && d.Group == "" {
				r.enqueueOpen(r.Inventory.Members(d.Name))
				r.enqueueOpen([]configuration.Key{incident.ServiceKey(d.Name.Namespace, d.Name.Name)})
			}
		}
	}
}

func (r *Reconciler) enqueueOpen(keys []configuration.Key) {
	for _, key := range keys {
		if r.incidents.hasOpen(key) {
			r.enqueue(key)
		}
	}
}

// explaining are the Incidents that may explain what was found. Where nothing was, it is the parent that there is, while
// it is open: that a pod is not known of, or not yet after a restart of ours, does not end what explains it.
func (r *Reconciler) explaining(ctx context.Context, in *input, result incident.Result) ([]incident.Candidate, error) {
	if len(result.Findings) > 0 {
		return r.candidates(in), nil
	}
	current := in.records.Current
	if current == nil || current.Status.ParentRef == nil {
		return nil, nil
	}
	ref := current.Status.ParentRef
	parent, open := r.incidents.candidate(types.NamespacedName{Namespace: string(ref.Namespace), Name: string(ref.Name)})
	if !open {
		return nil, nil
	}
	if parent.Node != "" {
		if exists, err := r.nodeExists(ctx, parent.Node); err != nil || !exists {
			return nil, err
		}
	}
	return []incident.Candidate{parent}, nil
}

func (r *Reconciler) nodeExists(ctx context.Context, name string) (bool, error) {
	err := r.Client.Get(ctx, client.ObjectKey{Name: name}, &corev1.Node{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read node %s: %w", name, err)
	}
	return true, nil
}

// gatherLost finds which of the nodes that the workload has pods on are lost. One that was removed explains nothing any
// more: what it left behind must be looked at.
func (r *Reconciler) gatherLost(ctx context.Context, in *input) error {
	if !r.incidents.anyLost() {
		return nil
	}
	looked := map[string]bool{}
	for _, pod := range in.Pods {
		if pod.Node == "" || looked[pod.Node] {
			continue
		}
		looked[pod.Node] = true
		c, lost := r.incidents.lostNode(pod.Node)
		if !lost {
			continue
		}
		exists, err := r.nodeExists(ctx, pod.Node)
		if err != nil {
			return err
		}
		if !exists {
			continue
		}
		if in.LostNodes == nil {
			in.LostNodes = map[string]time.Time{}
		}
		in.LostNodes[pod.Node] = c.Began
	}
	return nil
}

// candidates are the open Incidents that may explain what was found: of lost nodes that the workload has pods on, and
// of what its service cannot do without.
func (r *Reconciler) candidates(in *input) []incident.Candidate {
	var out []incident.Candidate
	for node := range in.LostNodes {
		if c, lost := r.incidents.lostNode(node); lost {
			out = append(out, c)
		}
	}
	if in.service == nil {
		return out
	}
	if in.Key == incident.ServiceKey(in.Key.Namespace, in.Key.Name) {
		// An alert about a whole Service is about what fails of it.
		out = append(out, r.incidents.onService(in.service.Name, r.isWhole)...)
	}
	for _, d := range in.service.DependsOn {
		if d.Strength == v1alpha1.DependencyHard && d.Group == "" && d.On != (servicelevel.ServiceName{}) {
			out = append(out, r.incidents.onService(d.On, r.isWhole)...)
		}
	}
	return out
}

// isWhole reports whether a workload has all the pods that it should.
func (r *Reconciler) isWhole(key configuration.Key) bool {
	w, known := r.Inventory.Workload(key)
	return known && w.Desired > 0 && w.Ready >= w.Desired
}
