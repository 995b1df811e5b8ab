package inventory

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets,verbs=get;list;watch
// +kubebuilder:rbac:groups=batch,resources=jobs;cronjobs,verbs=get;list;watch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=itil.dev,resources=services;changepolicies;calendars;changes;changeapprovals;configurationitems;incidents;problems;releases;servicelevelagreements,verbs=get;list;watch

// Register makes the cache keep the inventory current. Call it once, before the cache starts. The cache must have been
// made with CacheByObject.
func (i *Inventory) Register(ctx context.Context, c cache.Cache) error {
	kinds := []client.Object{
		&corev1.Namespace{}, &policyv1.PodDisruptionBudget{},
		&v1alpha1.Service{}, &v1alpha1.ChangePolicy{}, &v1alpha1.Calendar{}, &v1alpha1.Change{}, &v1alpha1.ChangeApproval{},
		&v1alpha1.ConfigurationItem{}, &v1alpha1.Incident{}, &v1alpha1.Problem{}, &v1alpha1.ServiceLevelAgreement{},
		&v1alpha1.Release{},
	}
	for _, gvk := range workloadKinds {
		kinds = append(kinds, unstructuredOf(gvk))
	}
	synced := make([]toolscache.InformerSynced, 0, len(kinds))
	for _, kind := range kinds {
		informer, err := c.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching %T for the inventory: %w", kind, err)
		}
		registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(obj any) { i.put(obj) },
			UpdateFunc: func(old, obj any) { i.update(old, obj) },
			DeleteFunc: func(obj any) { i.remove(obj) },
		})
		if err != nil {
			return fmt.Errorf("following %T for the inventory: %w", kind, err)
		}
		synced = append(synced, registration.HasSynced)
	}
	i.informers.Store(&synced)
	return nil
}

// HasSynced reports whether the inventory has seen all that existed when its watches began.
func (i *Inventory) HasSynced() bool {
	informers := i.informers.Load()
	if informers == nil {
		return false
	}
	for _, synced := range *informers {
		if !synced() {
			return false
		}
	}
	return true
}

// WaitForSync waits until HasSynced and reports whether it came to that before the context was done.
func (i *Inventory) WaitForSync(ctx context.Context) bool {
	informers := i.informers.Load()
	return informers != nil && toolscache.WaitForCacheSync(ctx.Done(), *informers...)
}

// update leaves out what an informer repeats without news.
func (i *Inventory) update(old, obj any) {
	if old != obj {
		i.put(obj)
	}
}

func (i *Inventory) put(obj any) {
	if o, ok := obj.(client.Object); ok {
		i.Put(o)
	}
}

func (i *Inventory) remove(obj any) {
	if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
		obj = gone.Obj
	}
	if o, ok := obj.(client.Object); ok {
		i.Remove(o)
	}
}

// Put takes in a new or newer version of an object. The inventory keeps it and nobody may alter it from then on.
// Informers call it; tests may.
func (i *Inventory) Put(obj client.Object) {
	i.write(func(n *news) {
		switch o := obj.(type) {
		case *unstructured.Unstructured:
			i.putObject(objectOf(o), n)
		case *Object:
			i.putObject(o, n)
		case *v1alpha1.Service:
			i.putService(o, n)
		case *v1alpha1.ChangePolicy:
			i.putPolicy(o, n)
		case *v1alpha1.Calendar:
			i.putCalendar(o, n)
		case *v1alpha1.Change:
			i.putChange(o, n)
		case *v1alpha1.ChangeApproval:
			i.putApproval(o, n)
		case *v1alpha1.ConfigurationItem:
			i.putItem(o, n)
		case *v1alpha1.Incident:
			i.putIncident(o, n)
		case *v1alpha1.Problem:
			i.putProblem(o, n)
		case *v1alpha1.Release:
			i.putRelease(o, n)
		case *v1alpha1.ServiceLevelAgreement:
			i.putAgreement(o)
		case *corev1.Namespace:
			i.putNamespace(o, n)
		case *policyv1.PodDisruptionBudget:
			i.putDisruptionBudget(o)
		}
	})
}

// Remove takes out an object. Informers call it; tests may.
func (i *Inventory) Remove(obj client.Object) {
	i.write(func(n *news) {
		switch o := obj.(type) {
		case *unstructured.Unstructured:
			i.removeObject(objectOf(o), n)
		case *Object:
			i.removeObject(o, n)
		case *v1alpha1.Service:
			i.removeService(o, n)
		case *v1alpha1.ChangePolicy:
			i.removePolicy(o, n)
		case *v1alpha1.Calendar:
			i.removeCalendar(o, n)
		case *v1alpha1.Change:
			i.removeChange(o, n)
		case *v1alpha1.ChangeApproval:
			i.removeApproval(o, n)
		case *v1alpha1.ConfigurationItem:
			i.removeItem(o, n)
		case *v1alpha1.Incident:
			i.removeIncident(o, n)
		case *v1alpha1.Problem:
			i.removeProblem(o, n)
		case *v1alpha1.Release:
			i.removeRelease(o, n)
		case *v1alpha1.ServiceLevelAgreement:
			i.removeAgreement(o)
		case *corev1.Namespace:
			i.removeNamespace(o, n)
		case *policyv1.PodDisruptionBudget:
			i.removeDisruptionBudget(o)
		}
	})
}

func (i *Inventory) putObject(o *Object, n *news) {
	if o.Workload != nil {
		i.putWorkload(o.Workload, n)
	}
}

func (i *Inventory) removeObject(o *Object, n *news) {
	if o.Workload != nil {
		i.removeWorkload(o.Workload.Key, n)
	}
}
