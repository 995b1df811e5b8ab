package detection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/patch"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// errBehind: what was found rests on what the API server does not have any more, so nothing was written.
var errBehind = errors.New("the watches are behind")

func (r *Reconciler) mustStand(ctx context.Context, in *input, result incident.Result, now time.Time) error {
	stands, err := r.stands(ctx, in, result, now)
	if err == nil && !stands {
		err = errBehind
	}
	return err
}

// act does what a look calls for, and says when to look again. Where it fails with errBehind or a conflict, the look is to
// be repeated.
func (r *Reconciler) act(ctx context.Context, in *input, result incident.Result, now time.Time) (time.Time, error) {
	var err error
	if in.subject.Candidates, err = r.explaining(ctx, in, result); err != nil {
		return time.Time{}, err
	}
	action := incident.Decide(in.records, result, in.subject, now)
	switch action.Verb {
	case incident.Nothing:
		r.noLongerListed(in, result)
		return action.Next, r.suspectLater(ctx, in, result, now)
	case incident.Update:
		if again(in.records.Current, action.Detected) {
			if err := r.mustStand(ctx, in, result, now); err != nil {
				return time.Time{}, err
			}
		}
		return action.Next, r.update(ctx, in, result, action.Detected, now)
	case incident.Open:
	}
	switch {
	case !in.mayOpen || in.namespace == "":
		return action.Next, nil
	case r.isBacklog(in, action.Detected):
		r.list(&r.backlog, incident.BacklogKey(in.namespace), in.Key, &result.Findings[0])
		return action.Next, nil
	}
	release, room := r.reserve(in)
	if !room {
		r.list(&r.overflow, incident.OverflowKey(), in.Key, &result.Findings[0])
		cappedTotal.Inc()
		return action.Next, nil
	}
	defer release()
	if err := r.mustStand(ctx, in, result, now); err != nil {
		return time.Time{}, err
	}
	return action.Next, r.open(ctx, in, result, action.Detected, now)
}

// isBacklog: it failed before the operator first saw it, and never had an Incident of its own.
func (r *Reconciler) isBacklog(in *input, d incident.Detected) bool {
	if r.InstalledAt.IsZero() || in.records.Last != nil || in.Key.Kind == incident.KindNode {
		return false
	}
	if in.Workload != nil && !in.Workload.CreatedAt.Before(r.InstalledAt) {
		return false
	}
	return d.StartedAt.Time.Before(r.InstalledAt)
}

// reserve takes a place for an Incident until release; none is left where as many are open as may be. What matters
// most has no bound.
func (r *Reconciler) reserve(in *input) (release func(), ok bool) {
	const lastUncapped = 2
	if in.service != nil && in.service.Tier() <= lastUncapped || in.Key.Kind == incident.KindNode {
		return func() {}, true
	}
	return r.incidents.reserve(in.namespace, r.namespaceCap(), r.clusterCap())
}

func (r *Reconciler) namespaceCap() int { return cmp.Or(r.NamespaceCap, DefaultNamespaceCap) }

func (r *Reconciler) clusterCap() int { return cmp.Or(r.ClusterCap, DefaultClusterCap) }

// makeRoom lets some of those open that caps keep back: in the namespace in which one left, and where all namespaces
// together were full, in any that is not.
func (r *Reconciler) makeRoom(namespace string) {
	const several = 5
	_, all := r.incidents.counts(namespace)
	wasFull := r.clusterCap()-all <= several
	for _, key := range r.overflow.waiting(incident.OverflowKey(), several, func(key configuration.Key) bool {
		if key.Namespace != namespace && !wasFull {
			return false
		}
		there, all := r.incidents.counts(key.Namespace)
		return there < r.namespaceCap() && all < r.clusterCap()
	}) {
		r.enqueue(key)
	}
}

// list puts a workload on a record that stands for several.
func (r *Reconciler) list(c *collection, record, key configuration.Key, f *incident.Finding) {
	if c.put(record, incident.Entry{Key: key, Finding: f}) {
		r.enqueue(record)
	}
}

// noLongerListed takes a workload that is well off the records that stand for several.
func (r *Reconciler) noLongerListed(in *input, result incident.Result) {
	if len(result.Findings) > 0 && !in.subject.SwitchedOff {
		return
	}
	if !result.Well.Evident && !result.Gone && !in.subject.SwitchedOff {
		return
	}
	r.unlist(&r.backlog, incident.BacklogKey(in.namespace), in.Key)
	r.unlist(&r.overflow, incident.OverflowKey(), in.Key)
}

func (r *Reconciler) unlist(c *collection, record, key configuration.Key) {
	listed := c.has(record, key)
	for _, i := range r.incidents.of(record) {
		listed = listed || incident.IsOpen(i) && incident.Listed(i.Status.Signals, key)
	}
	if listed && c.put(record, incident.Entry{Key: key}) {
		r.enqueue(record)
	}
}

// open creates the Incident and says what was seen.
func (r *Reconciler) open(ctx context.Context, in *input, result incident.Result, d incident.Detected, now time.Time) error {
	if !slices.ContainsFunc(result.Findings, func(f incident.Finding) bool { return f.Reason != v1alpha1.SignalAlertFiring }) {
		in.source = v1alpha1.IncidentSourceAlert
	}
	in.openedFor = incident.FirstWord(d)
	created, err := r.create(ctx, in, incident.Title(in.Key, result.Findings[0]), result.Findings, now)
	if err != nil || created == nil {
		return err
	}
	if created.Status.DetectedAt != nil {
		// Another detector was faster, and this is its Incident: go on from what it wrote.
		in.records = incident.Records{Current: created}
		action := incident.Decide(in.records, result, in.subject, now)
		if action.Verb != incident.Update {
			return nil
		}
		return r.update(ctx, in, result, action.Detected, now)
	}
	d.Evidence = incident.AddEvidence(d.Evidence, r.evidence(ctx, in, result))
	d.SuspectedChange = r.suspect(in, d, result)
	if err := r.write(ctx, created, d); err != nil {
		return err
	}
	r.unlist(&r.overflow, incident.OverflowKey(), in.Key)
	r.wantLog(in, result, created.Name)
	openedTotal.WithLabelValues(string(d.Reason)).Inc()
	if r.storms.open(now) {
		stormsTotal.Inc()
	}
	return nil
}

// createAttempts bounds how many names are tried; each failure tells of a greater episode.
const createAttempts = 8

var errNoName = errors.New("no free name for an Incident")

// create makes the Incident of the next episode, or finds the one that another detector made. It returns nil where
// there is one that needs nothing yet.
func (r *Reconciler) create(
	ctx context.Context, in *input, title string, findings []incident.Finding, now time.Time,
) (*v1alpha1.Incident, error) {
	// Another's may have come to light since the look began: it is this failure's, and the next episode would be a double.
	known := r.incidents.of(in.Key)
	if chosen := incident.Choose(known, r.Rules, findings, now); chosen.Current != nil {
		return chosen.Current, nil
	}
	episode := 1
	for _, i := range known {
		episode = max(episode, incident.Episode(i.Labels)+1)
	}
	for range createAttempts {
		i := r.newIncident(in, title, episode)
		err := r.Client.Create(ctx, i)
		if err == nil {
			r.learn(i)
			return i, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("create Incident %s/%s: %w", i.Namespace, i.Name, err)
		}
		live := &v1alpha1.Incident{}
		if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(i), live); err != nil {
			return nil, fmt.Errorf("read Incident %s/%s that already exists: %w", i.Namespace, i.Name, err)
		}
		key, about := keyOf(live)
		if about && key == in.Key {
			r.learn(live)
			if chosen := incident.Choose([]*v1alpha1.Incident{live}, r.Rules, findings, now); chosen.Current != nil {
				return live, nil
			}
		}
		episode = max(episode, incident.Episode(live.Labels)) + 1
	}
	return nil, fmt.Errorf("%w of %s", errNoName, incident.KeyString(in.Key))
}

func (r *Reconciler) newIncident(in *input, title string, episode int) *v1alpha1.Incident {
	ref := incident.Reference(in.Key)
	i := &v1alpha1.Incident{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: in.namespace, Name: incident.Name(in.Key, episode),
			Labels: map[string]string{
				v1alpha1.LabelManagedBy:    v1alpha1.ManagedBy,
				v1alpha1.LabelWorkloadKind: in.Key.Kind,
				v1alpha1.LabelWorkload:     incident.KeyHash(in.Key),
				v1alpha1.LabelEpisode:      strconv.Itoa(episode),
			},
		},
		Spec: v1alpha1.IncidentSpec{
			Title: title, Source: in.source, WorkloadRef: &ref,
			Description: r.description(in),
		},
	}
	if in.openedFor != "" {
		i.Annotations = map[string]string{v1alpha1.AnnotationOpenedFor: in.openedFor}
	}
	if in.service != nil {
		i.Spec.ServiceRef = &v1alpha1.LocalReference{Name: v1alpha1.ObjectName(in.service.Name.Name)}
	}
	return i
}

// description says whom it is about, and which Incident it follows.
func (r *Reconciler) description(in *input) string {
	text := in.Key.Kind + " " + in.Key.Name
	if in.Key.Namespace != "" {
		text += " in namespace " + in.Key.Namespace
	}
	if in.service != nil {
		text += ", of Service " + in.service.Name.Name + " (tier " + strconv.Itoa(int(in.service.Tier())) + ", owner " + in.service.Spec.Owner.Team
		if group := in.service.Spec.SupportGroup; group != "" {
			text += ", support group " + group
		}
		text += ")"
	}
	text += "."
	if last := in.records.Last; last != nil {
		text += " The Incident before was " + last.Name + "."
	}
	return text
}

func (r *Reconciler) update(ctx context.Context, in *input, result incident.Result, d incident.Detected, now time.Time) error {
	current := in.records.Current
	again := again(current, d)
	if again && d.FailedTemplateHash != current.Status.FailedTemplateHash {
		// Another template fails than the one that was suspected.
		d.SuspectedChange = nil
	}
	if again || unnamed(d.SuspectedChange) && r.mayBeSuspected(current, now) {
		d.SuspectedChange = r.suspectAnew(in, d, result)
	}
	if again {
		// What was known of the failure before tells nothing of this one.
		d.Evidence, d.Log = incident.AddEvidence(d.Evidence, r.evidence(ctx, in, result)), nil
	}
	if err := r.write(ctx, current, d); err != nil {
		return err
	}
	if again {
		r.wantLog(in, result, current.Name)
	}
	return nil
}

// again: what was resolved fails again.
func again(current *v1alpha1.Incident, d incident.Detected) bool {
	return current.Status.State == v1alpha1.IncidentResolved && incident.Active(d.Signals)
}

// returns: all that was seen was clear, and is not any more, or was not for a moment.
func returns(current *v1alpha1.Incident, d incident.Detected) bool {
	was := current.Status.RecoveredAt
	return !incident.Active(current.Status.Signals) && incident.Active(d.Signals) || was != nil && !was.Equal(d.RecoveredAt)
}

// unnamed: nothing is suspected, or something of which no record is known yet.
func unnamed(s *v1alpha1.SuspectedChange) bool { return s == nil || s.Name == "" }

// suspectAnew keeps the suspicion that there is, unless a Change can be named now: who broke the glass is recorded
// after the fact.
func (r *Reconciler) suspectAnew(in *input, d incident.Detected, result incident.Result) *v1alpha1.SuspectedChange {
	anew := r.suspect(in, d, result)
	if d.SuspectedChange != nil && unnamed(anew) {
		return d.SuspectedChange
	}
	return anew
}

// suspicionPatience is how long after an Incident was opened a change may still come to light.
const suspicionPatience = 10 * time.Minute

func (r *Reconciler) mayBeSuspected(i *v1alpha1.Incident, now time.Time) bool {
	latest := i.Status.DetectedAt
	if i.Status.ReopenedAt != nil {
		latest = i.Status.ReopenedAt
	}
	return incident.IsOpen(i) && (latest == nil || now.Sub(latest.Time) < suspicionPatience)
}

// suspectLater names a change that comes to light after the Incident was opened: the record of what was deployed may
// be written after the failure is seen.
func (r *Reconciler) suspectLater(ctx context.Context, in *input, result incident.Result, now time.Time) error {
	current := in.records.Current
	if current == nil || current.Status.DetectedAt == nil || !unnamed(current.Status.SuspectedChange) || !r.mayBeSuspected(current, now) {
		return nil
	}
	d := incident.DetectedOf(&current.Status)
	before := d.SuspectedChange
	if d.SuspectedChange = r.suspectAnew(in, d, result); d.SuspectedChange == before || d.SuspectedChange == nil {
		return nil
	}
	return r.write(ctx, current, d)
}

func (r *Reconciler) write(ctx context.Context, current *v1alpha1.Incident, d incident.Detected) error {
	next := current.DeepCopy()
	next.Status = d.Into(next.Status)
	var options []patch.Option
	if current.Status.DetectedAt == nil || returns(current, d) {
		// The first word is one detector's: another leader's would alter when it was detected, and when it began. What
		// comes back when all was clear may have been resolved meanwhile, and then it needs more to open it again.
		options = append(options, patch.OptimisticLock)
	}
	_, err := patch.Status(ctx, r.Client, current, next, options...)
	if apierrors.IsNotFound(err) {
		// Somebody deleted it; its event makes us look again.
		r.unlearn(current)
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the status of Incident %s/%s: %w", current.Namespace, current.Name, err)
	}
	r.learn(next)
	if current.Status.DetectedAt == nil && d.DetectedAt != nil && d.StartedAt != nil && d.Workloads == 0 {
		// Once in its life, whatever fails between creating it and this.
		timeToDetect.Observe(max(d.DetectedAt.Sub(d.StartedAt.Time), 0).Seconds())
	}
	return nil
}

// evidence is the last Warning events of the failing pods, and of the workload itself where no pod shows what fails: why a
// CronJob did not run, or pods are not created.
func (r *Reconciler) evidence(ctx context.Context, in *input, result incident.Result) []v1alpha1.Evidence {
	const shownPods, shownEvents = 2, 10
	var pods []string
	for _, f := range result.Findings {
		for _, pod := range f.Pods {
			if !slices.Contains(pods, pod) && len(pods) < shownPods {
				pods = append(pods, pod)
			}
		}
	}
	list := r.warnings(ctx, in, pods)
	if slices.ContainsFunc(result.Findings, showsOnNoPod) {
		list = append(list, r.ownWarnings(ctx, in)...)
	}
	slices.SortFunc(list, func(a, b incident.Warning) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Reason, b.Reason))
	})
	return incident.EvidenceOf(list[:min(len(list), shownEvents)])
}

func showsOnNoPod(f incident.Finding) bool {
	return len(f.Pods) == 0 && f.Reason != v1alpha1.SignalAlertFiring
}

// suspect is the change that may have caused it: in the workload, or in what its service cannot do without.
func (r *Reconciler) suspect(in *input, d incident.Detected, result incident.Result) *v1alpha1.SuspectedChange {
	if d.StartedAt == nil || in.Key.Namespace == "" {
		return nil
	}
	// What shows on no pod, as a rollout that is stuck, is a symptom of what fails.
	shown := slices.DeleteFunc(slices.Clone(result.Findings), func(f incident.Finding) bool { return f.AffectedPods == 0 })
	currentOnly := len(shown) > 0 && !slices.ContainsFunc(shown, func(f incident.Finding) bool { return !f.CurrentOnly })
	list := r.implementations(in.Key)
	if in.Key == incident.ServiceKey(in.Key.Namespace, in.Key.Name) {
		for _, key := range r.Inventory.Members(servicelevel.ServiceName{Namespace: in.Key.Namespace, Name: in.Key.Name}) {
			list = append(list, r.implementations(key)...)
		}
	}
	if in.service != nil {
		for _, dependency := range in.service.DependsOn {
			if dependency.Strength != v1alpha1.DependencyHard {
				continue
			}
			for _, key := range r.Inventory.Members(dependency.On) {
				for _, i := range r.implementations(key) {
					i.Dependency = true
					list = append(list, i)
				}
			}
		}
	}
	return incident.Suspect(list, incident.Failure{
		Began: d.BeganAt(), Seen: seenAt(in.records.Current), CurrentOnly: currentOnly, TemplateHash: in.subject.TemplateHash,
	})
}

// seenAt is when what an Incident tells of was first seen; zero where that is now.
func seenAt(i *v1alpha1.Incident) time.Time {
	switch {
	case !incident.IsOpen(i) || i.Status.DetectedAt == nil:
		return time.Time{}
	case i.Status.ReopenedAt != nil:
		return i.Status.ReopenedAt.Time
	default:
		return i.Status.DetectedAt.Time
	}
}

// implementations are what went into a workload, as its baselines and its Changes tell.
func (r *Reconciler) implementations(key configuration.Key) []incident.Implementation {
	on := key.Kind + " " + key.Name
	list := incident.Implementations(key.Namespace, on, r.Inventory.Baselines(key))
	// What broke the glass is recorded by a Change that has ended for the gate.
	for _, c := range r.Inventory.ChangesEverOf(key) {
		for _, i := range c.Object.Status.Implementations {
			if string(i.Workload.Kind) == key.Kind && string(i.Workload.Name) == key.Name {
				list = append(list, incident.Implementation{
					Namespace: key.Namespace, Change: c.Object.Name, At: i.At.Time, On: on, TemplateHash: i.TemplateHash,
				})
			}
		}
	}
	return list
}
