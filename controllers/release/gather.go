package release

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/backout"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	practice "github.com/itil-dev/itil-operator/internal/practice/release"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

const (
	// mostIncidents are looked at.
	mostIncidents = 100
	// mostEpisodes of the Changes that a Release raised are looked at, the newest first.
	mostEpisodes = 10
)

// gather brings together what the decision about a Release depends on.
func (r *Reconciler) gather(ctx context.Context, rel *v1alpha1.Release) (*practice.Input, error) {
	in := &practice.Input{Release: rel, Units: map[string]practice.Unit{}}
	if o := r.observing.Load(); o != nil {
		in.ObservedUntil, in.ObservingSince = o.until, o.since
	}
	r.changes(in)
	seen := map[string]bool{}
	for i := range rel.Spec.Units {
		u := &rel.Spec.Units[i]
		unit, err := r.unit(ctx, rel, u)
		if err != nil {
			return nil, err
		}
		in.Units[string(u.Name)] = unit
		for _, other := range r.Inventory.ReleasesOf(keyOf(rel, u.Workload)) {
			if other.UID != rel.UID && other.Status.EndedAt == nil && !seen[other.Name] {
				seen[other.Name] = true
				in.Others = append(in.Others, other)
			}
		}
	}
	if rel.Status.StartedAt == nil {
		return in, nil
	}
	return in, errors.Join(r.suspicions(ctx, in), r.watching(ctx, in), r.incidents(ctx, in))
}

// changes that it raised, the newest first, or the one that it refers to.
func (r *Reconciler) changes(in *practice.Input) {
	rel := in.Release
	add := func(name string, anybodys bool) {
		c, exists := r.Inventory.Change(types.NamespacedName{Namespace: rel.Namespace, Name: name})
		if exists && (anybodys || practice.RaisedFor(rel, c.Object)) {
			in.Changes = append(in.Changes, c.Object)
		}
	}
	if ref := rel.Spec.ChangeRef; ref != nil {
		add(string(ref.Name), true)
		return
	}
	world := r.Inventory.World(&change.Request{Operation: change.Template, Key: configuration.Key{Namespace: rel.Namespace}})
	in.LastEpisode = world.Filed.LastEpisode(rel.Name)
	for n := in.LastEpisode; n > max(in.LastEpisode-mostEpisodes, 0); n-- {
		add(practice.ChangeName(rel.Name, n), false)
	}
}

// unit is what is known of a unit's workload.
func (r *Reconciler) unit(ctx context.Context, rel *v1alpha1.Release, u *v1alpha1.ReleaseUnit) (practice.Unit, error) {
	key := keyOf(rel, u.Workload)
	w, exists := r.Inventory.Workload(key)
	if !exists {
		return practice.Unit{}, nil
	}
	unit := practice.Unit{Workload: w}
	if at := slices.IndexFunc(rel.Status.Units, func(s v1alpha1.ReleaseUnitStatus) bool { return s.Name == u.Name }); at >= 0 && rel.Status.Units[at].Released != nil {
		return unit, nil
	}
	if rel.Status.Failure != nil {
		return unit, nil
	}
	unit.Enforced, unit.NoWayBack = r.wayBack(key, w)
	found, err := r.look(ctx, rel, u, w)
	unit.Revision, unit.Manager = found.revision, found.manager
	return unit, err
}

// wayBack says whether the gate is in force for a workload, and then why it would not let the present template in again;
// empty: it would.
func (r *Reconciler) wayBack(key configuration.Key, w *configuration.Workload) (enforced bool, noWay string) {
	world := r.Inventory.World(&change.Request{Operation: change.Template, Key: key, Old: &w.Template, New: &w.Template})
	if world.Enforcement != v1alpha1.EnforcementEnforce {
		return false, ""
	}
	return true, change.NoReturn(&w.Template, world)
}

// looked is what the API server itself was asked about a workload.
type looked struct {
	uid        types.UID
	generation int64
	release    int64
	hash       string
	revision   string
	manager    string
}

// looks remembers what was asked of the API server, until the workload or the Release is another.
type looks struct {
	mu   sync.Mutex
	last map[types.NamespacedName]map[v1alpha1.ContainerName]looked
}

func (l *looks) get(rel *v1alpha1.Release, unit v1alpha1.ContainerName) looked {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[client.ObjectKeyFromObject(rel)][unit]
}

func (l *looks) put(rel *v1alpha1.Release, unit v1alpha1.ContainerName, found looked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name := client.ObjectKeyFromObject(rel)
	if l.last == nil {
		l.last = map[types.NamespacedName]map[v1alpha1.ContainerName]looked{}
	}
	if l.last[name] == nil {
		l.last[name] = map[v1alpha1.ContainerName]looked{}
	}
	l.last[name][unit] = found
}

func (l *looks) forget(name types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.last, name)
}

// look asks which revision keeps the present template, and who sets its images: the cache keeps neither. It asks once
// for each version of the workload and of the Release, and again where no revision was found: it may be made yet.
func (r *Reconciler) look(ctx context.Context, rel *v1alpha1.Release, u *v1alpha1.ReleaseUnit, w *configuration.Workload) (looked, error) {
	keeps := practice.KeepsRevisions(u.Workload.Kind)
	known := r.looks.get(rel, u.Name)
	same := known.uid == w.UID && known.generation == w.Generation && known.release == rel.Generation && known.hash == w.Template.Hash
	if same && (known.revision != "" || !keeps) {
		return known, nil
	}
	found := looked{uid: w.UID, generation: w.Generation, release: rel.Generation, hash: w.Template.Hash}
	obj, err := r.live(ctx, keyOf(rel, u.Workload))
	switch {
	case apierrors.IsNotFound(err):
		return looked{}, nil
	case err != nil:
		return looked{}, err
	}
	found.manager = r.imageManager(obj, slices.Collect(maps.Keys(u.Images)))
	if keeps {
		revision, err := r.Restorer.Find(ctx, obj, is(w.Key.Kind, w.Template.Hash))
		switch {
		case errors.Is(err, backout.ErrNoRevision):
		case err != nil:
			return looked{}, err
		default:
			found.revision = revision.Name
		}
	}
	r.looks.put(rel, u.Name, found)
	return found, nil
}

// is matches the raw template of a hash.
func is(kind, hash string) backout.Matcher {
	return func(template map[string]any) bool { return configuration.ParseTemplate(kind, template).Hash == hash }
}

// suspicions are the Incidents that suspect the Change.
func (r *Reconciler) suspicions(ctx context.Context, in *practice.Input) error {
	name := types.NamespacedName{Namespace: in.Release.Namespace, Name: practice.ChangeOf(in.Release)}
	incidents := &v1alpha1.IncidentList{}
	err := r.Client.List(ctx, incidents, client.MatchingFields{suspectedIndex: name.String()}, client.Limit(mostIncidents), client.UnsafeDisableDeepCopy)
	if err != nil {
		return fmt.Errorf("looking up the Incidents that suspect Change %s: %w", name, err)
	}
	for i := range incidents.Items {
		suspecting := &incidents.Items[i]
		s := practice.Suspicion{
			Namespace: suspecting.Namespace, Name: suspecting.Name, Priority: suspecting.Status.Priority, Open: incident.IsOpen(suspecting),
			At: suspecting.CreationTimestamp.Time,
		}
		if at := suspecting.Status.StartedAt; at != nil {
			s.At = at.Time
		}
		// One that fails again suspects what went in this time.
		if at := suspecting.Status.ReopenedAt; at != nil && at.After(s.At) {
			s.At = at.Time
		}
		in.Suspicions = append(in.Suspicions, s)
	}
	slices.SortFunc(in.Suspicions, func(a, b practice.Suspicion) int { return a.At.Compare(b.At) })
	return nil
}

// services of a Release: those that it names, and those that claim its units.
func (r *Reconciler) services(rel *v1alpha1.Release) []string {
	var out []string
	for _, ref := range rel.Spec.ServiceRefs {
		out = append(out, string(ref.Name))
	}
	for _, key := range practice.Keys(rel) {
		for _, c := range r.Inventory.Claimants(key) {
			out = append(out, c.Service.Name.Name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// watching finds out what is promised of its Services, which of them burn their error budget, and what nobody watches.
func (r *Reconciler) watching(ctx context.Context, in *practice.Input) error {
	rel := in.Release
	services := r.services(rel)
	if len(services) == 0 {
		in.Unwatched = append(in.Unwatched, "no Service claims its units")
	}
	for _, service := range services {
		agreements := &v1alpha1.ServiceLevelAgreementList{}
		name := types.NamespacedName{Namespace: rel.Namespace, Name: service}
		if err := r.Client.List(ctx, agreements, client.InNamespace(rel.Namespace), client.MatchingFields{agreementsIndex: name.String()}, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("looking up the agreements of Service %s: %w", name, err)
		}
		if len(agreements.Items) == 0 {
			in.Unwatched = append(in.Unwatched, "Service "+service+" has no ServiceLevelAgreement")
		}
		for i := range agreements.Items {
			if b, burns := burnOf(&agreements.Items[i]); burns {
				in.Burns = append(in.Burns, b)
			}
			if why := saysNothing(&agreements.Items[i]); why != "" {
				in.Unwatched = append(in.Unwatched, why)
			}
		}
	}
	return r.undetected(ctx, in)
}

// burnOf says whether an agreement's error budget is used too fast, and by which pair of windows (the agreement's
// condition names it), or is used up while the service is out. It began when the condition did, or with the newest
// outage, if that is later: what burnt before a Release is none of its doing, what it adds to that is.
func burnOf(agreement *v1alpha1.ServiceLevelAgreement) (practice.Burn, bool) {
	conditions := agreement.Status.Conditions
	c := meta.FindStatusCondition(conditions, v1alpha1.ConditionAtRisk)
	if c == nil || c.Status != metav1.ConditionTrue || c.Reason != servicelevel.ReasonBurnRate {
		c = meta.FindStatusCondition(conditions, v1alpha1.ConditionBudgetExhausted)
	}
	if c == nil || c.Status != metav1.ConditionTrue {
		return practice.Burn{}, false
	}
	since := c.LastTransitionTime.Time
	for _, i := range agreement.Status.Interruptions {
		if i.Type == v1alpha1.InterruptionOutage && i.From.After(since) {
			since = i.From.Time
		}
	}
	return practice.Burn{
		Service: string(agreement.Spec.ServiceRef.Name), Since: since, Why: "ServiceLevelAgreement " + agreement.Name + ": " + c.Message,
	}, true
}

// saysNothing says why an agreement cannot tell whether a Service burns its error budget; empty: it can.
func saysNothing(agreement *v1alpha1.ServiceLevelAgreement) string {
	name := "ServiceLevelAgreement " + agreement.Name
	data := meta.FindStatusCondition(agreement.Status.Conditions, v1alpha1.ConditionDataAvailable)
	budget := meta.FindStatusCondition(agreement.Status.Conditions, v1alpha1.ConditionBudgetExhausted)
	switch {
	case data == nil:
		return name + " was not computed yet"
	case data.Status != metav1.ConditionTrue:
		return name + " cannot tell: " + data.Message
	case budget != nil && budget.Reason == servicelevel.ReasonNoTarget:
		return name + " promises no availability"
	}
	return ""
}

// undetected names where detection is off.
func (r *Reconciler) undetected(ctx context.Context, in *practice.Input) error {
	for i := range in.Release.Spec.Units {
		u := &in.Release.Spec.Units[i]
		why, err := r.Detection.Off(ctx, keyOf(in.Release, u.Workload))
		if err != nil {
			return fmt.Errorf("asking whether incidents of %s %s are detected: %w", u.Workload.Kind, u.Workload.Name, err)
		}
		if why != "" {
			in.Unwatched = append(in.Unwatched, "no Incident of "+string(u.Workload.Kind)+" "+string(u.Workload.Name)+" would be opened: "+why)
		}
	}
	return nil
}

// incidents of its Services since it began, which do not bear its name yet.
func (r *Reconciler) incidents(ctx context.Context, in *practice.Input) error {
	rel := in.Release
	for _, service := range r.services(rel) {
		list := &v1alpha1.IncidentList{}
		name := types.NamespacedName{Namespace: rel.Namespace, Name: service}
		if err := r.Client.List(ctx, list, client.InNamespace(rel.Namespace), client.MatchingFields{incidentsIndex: name.String()}, client.UnsafeDisableDeepCopy); err != nil {
			return fmt.Errorf("looking up the Incidents of Service %s: %w", name, err)
		}
		for i := range list.Items {
			carried := &list.Items[i]
			if carried.CreationTimestamp.Before(rel.Status.StartedAt) || carried.Annotations[v1alpha1.AnnotationRelease] != "" ||
				!carried.DeletionTimestamp.IsZero() || len(in.Carry) >= mostIncidents {
				continue
			}
			in.Carry = append(in.Carry, client.ObjectKeyFromObject(carried))
		}
	}
	return nil
}
