package change

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/index"
	practice "github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

const (
	// mostNeighbours bounds the Changes on other Services that a status warns of; mostMembers the workloads of one
	// Service that are looked at for them.
	mostNeighbours = 20
	mostMembers    = 100
	// mostSuspicions bounds the Incidents that are looked at; the status shows 50.
	mostSuspicions = 100
)

// gather brings together what the status of a Change depends on.
func (r *Reconciler) gather(ctx context.Context, known *inventory.Change) (*practice.Subject, error) {
	s := &practice.Subject{Agreed: known.Agreed, Workloads: map[configuration.Key]practice.WorkloadFact{}}
	namespace := known.Object.Namespace
	var services []servicelevel.ServiceName
	for i := range known.Object.Spec.Targets {
		t := &known.Object.Spec.Targets[i]
		key := practice.KeyOf(namespace, t.Workload)
		world := r.world(key)
		s.Workloads[key] = r.workload(key, world)
		for _, c := range world.Candidates {
			if c.Name != known.Object.Name && !slices.Contains(s.Others, c) {
				s.Others = append(s.Others, c)
			}
		}
		for _, c := range world.Claims {
			if name := (servicelevel.ServiceName{Namespace: namespace, Name: c.Service}); c.Through.Kind == "" && !slices.Contains(services, name) {
				services = append(services, name)
			}
		}
	}
	s.Concurrency = r.Inventory.Concurrency(namespace)
	s.Neighbours = r.neighbours(services)
	var err error
	s.Suspicions, err = r.suspicions(ctx, client.ObjectKeyFromObject(known.Object))
	if err != nil {
		return nil, err
	}
	s.Cleared, err = r.cleared(ctx, known.Object, s.Suspicions)
	if err != nil {
		return nil, err
	}
	s.Revisions = r.revisionFacts(ctx, s)
	return s, nil
}

// world is what the gate would know of the workload as it is now.
func (r *Reconciler) world(key configuration.Key) *practice.World {
	request := &practice.Request{Operation: practice.Template, Key: key}
	if w, exists := r.Inventory.Workload(key); exists {
		request.Old, request.New = &w.Template, &w.Template
	} else {
		request.New = &configuration.Template{}
	}
	return r.Inventory.World(request)
}

// workload is what is known of a target. Of one that is to be made the risk is known all the same: of whoever claims it
// by its name, else of the strictest that may.
func (r *Reconciler) workload(key configuration.Key, world *practice.World) practice.WorkloadFact {
	fact := practice.WorkloadFact{
		Baselines: world.Baselines, FailedChanges: world.FailedChanges, Enforcement: world.Enforcement,
		Risk: world.Risk, ExhaustedBudgets: world.ExhaustedBudgets,
	}
	w, exists := r.Inventory.Workload(key)
	if exists {
		fact.Workload, fact.Runs = w, r.Inventory.Runs(key)
		return fact
	}
	if fact.Risk.Tier == 0 {
		fact.Risk.Tier = r.strictestTier(key.Namespace)
	}
	fact.Unmade = r.Inventory.Item(key) == nil
	return fact
}

// strictestTier of a namespace's Services: nobody can tell yet which of them will claim what does not exist.
func (r *Reconciler) strictestTier(namespace string) int32 {
	var tier int32
	for _, name := range r.Inventory.ServicesIn(namespace) {
		if s, exists := r.Inventory.Service(name); exists && (tier == 0 || s.Tier() < tier) {
			tier = s.Tier()
		}
	}
	return tier
}

// neighbours are the Changes on Services that ours depend on hard, and the other way.
func (r *Reconciler) neighbours(services []servicelevel.ServiceName) []practice.Neighbour {
	var out []practice.Neighbour
	add := func(other servicelevel.ServiceName, why string) {
		if slices.Contains(services, other) {
			return
		}
		members := r.Inventory.Members(other)
		for _, key := range members[:min(len(members), mostMembers)] {
			for _, c := range r.Inventory.ChangesOf(key) {
				known := slices.ContainsFunc(out, func(n practice.Neighbour) bool { return n.Candidate == c.Candidate })
				if !known && len(out) < mostNeighbours && c.Candidate.Ended == practice.NotEnded {
					out = append(out, practice.Neighbour{Candidate: c.Candidate, Why: why})
				}
			}
		}
	}
	for _, ours := range services {
		if s, exists := r.Inventory.Service(ours); exists {
			for _, d := range s.DependsOn {
				if d.Strength == v1alpha1.DependencyHard {
					add(d.On, fmt.Sprintf("on Service %s, which %s depends on", d.On, ours.Name))
				}
			}
		}
		for _, d := range r.Inventory.Dependents(ours) {
			if d.Strength == v1alpha1.DependencyHard {
				add(d.Name, fmt.Sprintf("on Service %s, which depends on %s", d.Name, ours.Name))
			}
		}
	}
	return out
}

// suspectedIndex finds Incidents by the Change that they suspect, as namespace/name.
const suspectedIndex = "status.suspectedChange"

// IndexSuspicions lets a cache find the Incidents that suspect a Change. SetupWithManager calls it.
func IndexSuspicions(ctx context.Context, indexer client.FieldIndexer) error {
	return index.Add(ctx, indexer, index.By(suspectedIndex, func(i *v1alpha1.Incident) []string { return index.Key(incident.Suspected(i)) }))
}

var toSuspected = handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
	i, ok := o.(*v1alpha1.Incident)
	if !ok {
		return nil
	}
	name := incident.Suspected(i)
	if name.Name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: name}}
})

// suspicions are the Incidents that suspect a Change.
func (r *Reconciler) suspicions(ctx context.Context, name types.NamespacedName) ([]practice.Suspicion, error) {
	incidents := &v1alpha1.IncidentList{}
	err := r.Client.List(ctx, incidents, client.MatchingFields{suspectedIndex: name.String()}, client.Limit(mostSuspicions), client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("looking up the Incidents that suspect Change %s: %w", name, err)
	}
	var out []practice.Suspicion
	for i := range incidents.Items {
		suspecting := &incidents.Items[i]
		s := practice.Suspicion{
			Namespace: suspecting.Namespace, Name: suspecting.Name, Priority: suspecting.Status.Priority,
			Confidence: suspecting.Status.SuspectedChange.Confidence, Open: incident.IsOpen(suspecting),
		}
		if at := suspecting.Status.StartedAt; at != nil {
			s.At = at.Time
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b practice.Suspicion) int {
		return a.At.Compare(b.At)
	})
	return out, nil
}

// cleared are the Incidents of which the status says that the Change caused them, and that exist and suspect it no more.
func (r *Reconciler) cleared(ctx context.Context, chg *v1alpha1.Change, suspicions []practice.Suspicion) ([]v1alpha1.NamespacedReference, error) {
	var out []v1alpha1.NamespacedReference
	for _, ref := range chg.Status.CausedIncidents {
		suspects := slices.ContainsFunc(suspicions, func(s practice.Suspicion) bool {
			return s.Namespace == string(ref.Namespace) && s.Name == string(ref.Name)
		})
		if suspects {
			continue
		}
		caused := &v1alpha1.Incident{}
		err := r.Client.Get(ctx, types.NamespacedName{Namespace: string(ref.Namespace), Name: string(ref.Name)}, caused)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("looking up Incident %s/%s, which suspected a Change: %w", ref.Namespace, ref.Name, err)
		case incident.Suspected(caused) != client.ObjectKeyFromObject(chg):
			out = append(out, ref)
		}
	}
	return out, nil
}

// concerned names the Changes whose status may differ after an event of the inventory.
func (r *Reconciler) concerned(e inventory.Event, push func(types.NamespacedName)) {
	ofWorkload := func(key configuration.Key) {
		for _, c := range r.Inventory.ChangesOf(key) {
			push(client.ObjectKeyFromObject(c.Object))
		}
	}
	switch {
	case e.Change.Name != "":
		push(e.Change)
	case e.Workload.Name != "":
		ofWorkload(e.Workload)
		// A Change that has ended may be undone later.
		for _, b := range r.Inventory.Baselines(e.Workload) {
			if b.Change != "" {
				push(types.NamespacedName{Namespace: e.Workload.Namespace, Name: b.Change})
			}
		}
		if r.crowded(e.Workload) {
			r.ofNamespace(e.Workload.Namespace, push)
		}
	case e.Service.Name != "":
		for _, key := range r.Inventory.Members(e.Service) {
			ofWorkload(key)
		}
	case e.Namespace != "":
		r.ofNamespace(e.Namespace, push)
	}
}

// ofNamespace names the Changes that may still go in.
func (r *Reconciler) ofNamespace(namespace string, push func(types.NamespacedName)) {
	for _, c := range r.Inventory.ChangesIn(namespace) {
		if c.Candidate.Ended == practice.NotEnded {
			push(client.ObjectKeyFromObject(c.Object))
		}
	}
}
