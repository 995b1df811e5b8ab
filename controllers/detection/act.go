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
	"github.com/itil-dev/itil-operator/internal/practice/incident"
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
