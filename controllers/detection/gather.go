package detection

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/practice/servicelevel"
)

// input is all that a look at a workload needs.
type input struct {
	incident.Observation
	settings incident.Settings
	subject  incident.Subject
	records  incident.Records
	// namespace that its Incident is in.
	namespace string
	// service that claims it, of the lowest tier number; nil: none.
	service *inventory.Service
	// source that a new Incident has.
	source v1alpha1.IncidentSource
	// openedFor is what a new Incident says of what was seen.
	openedFor string
	// told is how much was reported about it by others.
	told uint64
	// mayOpen: failures open an Incident. Where they may not, what is open is still brought up to date.
	mayOpen bool
}

// gather reads what is known of a workload; ok is false where there is nothing to look at.
func (r *Reconciler) gather(ctx context.Context, key configuration.Key, now time.Time) (in *input, ok bool, err error) {
	in = &input{namespace: key.Namespace, settings: r.Settings, mayOpen: true, source: v1alpha1.IncidentSourceDetector}
	in.Key, in.subject.Key = key, key
	in.Alerts, in.told = r.intake.of(key)
	in.records = incident.Choose(r.incidents.of(key), r.Rules, nil, now)
	if key.Kind == incident.KindNode {
		in.namespace = r.Namespace
		return in, true, r.gatherNode(ctx, in)
	}
	if !r.gatherWorkload(in) && in.records.Current == nil {
		return in, false, nil
	}
	r.gatherService(in)
	if err := r.gatherLost(ctx, in); err != nil {
		return nil, false, err
	}
	alive, err := r.gatherScope(ctx, in)
	return in, alive && err == nil, err
}

func (r *Reconciler) gatherNode(ctx context.Context, in *input) error {
	node := &corev1.Node{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: in.Key.Name}, node)
	if apierrors.IsNotFound(err) {
		in.Gone = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("read node %s: %w", in.Key.Name, err)
	}
	known := incident.NodeFrom(node)
	in.Node = &known
	if known.Ready != corev1.ConditionTrue {
		// What it took with it; a node that is well does not matter here.
		pods, workloads := r.pods.on(in.Key.Name)
		in.Pods, known.Workloads = pods, int32(min(len(workloads), 1<<30))
	}
	in.subject.SwitchedOff = muted(node.Labels)
	return nil
}

// gatherWorkload reports whether there is anything of the workload: itself, or pods.
func (r *Reconciler) gatherWorkload(in *input) bool {
	if in.Key.Kind == incident.KindService && in.Key.Group == incident.GroupDetection {
		service, exists := r.Inventory.Service(servicelevel.ServiceName{Namespace: in.Key.Namespace, Name: in.Key.Name})
		in.service, in.Gone = service, !exists
		return exists
	}
	in.Pods = r.pods.of(in.Key)
	w, exists := r.Inventory.Workload(in.Key)
	if exists {
		if _, owned := cronJobOf(w); owned {
			return false
		}
		in.Workload, in.subject.TemplateHash = w, w.Template.Hash
		in.subject.SwitchedOff = muted(w.Labels)
	} else {
		in.Gone = r.isGone(in)
		in.subject.SwitchedOff = in.Key.Kind == incident.KindPod && len(in.Pods) == 1 && in.Pods[0].Muted
	}
	for _, job := range r.jobs.of(in.Key) {
		if j, known := r.Inventory.Workload(job); known {
			in.Jobs = append(in.Jobs, j)
		}
	}
	return exists || len(in.Pods) > 0
}

// isGone: of what the inventory watches, it knows. Of pods that are their own workload, that there is none tells; and so it
// does of a controller of any other kind, which nobody may read: as long as it makes no pods, nothing of it fails, and
// nothing else would ever end its Incident.
func (r *Reconciler) isGone(in *input) bool {
	if configuration.Claimable(in.Key.Kind) {
		group, _ := configuration.GroupOf(in.Key.Kind)
		return group == in.Key.Group && r.Inventory.HasSynced() || len(in.Pods) == 0
	}
	return len(in.Pods) == 0
}

// gatherService finds the service whose settings and tier apply. What is only planned opens no Incident.
func (r *Reconciler) gatherService(in *input) {
	if in.service != nil {
		in.settings = r.Settings.With(in.service.Spec.Detection)
		in.mayOpen = in.service.Spec.Lifecycle != v1alpha1.LifecyclePipeline
		return
	}
	claimants := r.Inventory.Claimants(in.Key)
	planned := len(claimants) > 0
	for _, c := range claimants {
		if c.Service.Spec.Lifecycle == v1alpha1.LifecyclePipeline {
			continue
		}
		planned = false
		live := c.Service.Spec.Lifecycle == v1alpha1.LifecycleLive || c.Service.Spec.Lifecycle == ""
		in.MustRun = in.MustRun || live && !c.Claim.ScaleToZero
		if in.service == nil || c.Service.Tier() < in.service.Tier() {
			in.service = c.Service
		}
	}
	if in.service != nil {
		in.settings = r.Settings.With(in.service.Spec.Detection)
	}
	if planned || r.Scope == ScopeServices && in.service == nil {
		in.mayOpen = false
	}
}

// leftOut are the namespaces in which nothing is detected unless their label asks for it.
func (r *Reconciler) leftOut(namespace string) bool {
	return namespace == namespaceSystem || namespace == r.Namespace
}

// gatherScope leaves out what is none of our business; alive is false where nothing can be written any more.
func (r *Reconciler) gatherScope(ctx context.Context, in *input) (alive bool, err error) {
	namespace := &corev1.Namespace{}
	err = r.Client.Get(ctx, client.ObjectKey{Name: in.Key.Namespace}, namespace)
	switch {
	case apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read namespace %s: %w", in.Key.Namespace, err)
	}
	if r.leftOut(in.Key.Namespace) && namespace.Labels[v1alpha1.LabelIncidents] != v1alpha1.LabelIncidentsEnabled {
		in.mayOpen = false
	}
	in.subject.SwitchedOff = in.subject.SwitchedOff || muted(namespace.Labels)
	return namespace.DeletionTimestamp == nil && namespace.Status.Phase != corev1.NamespaceTerminating, nil
}

// observe looks, and once more with the Warning events of pods where they would tell two causes apart.
func (r *Reconciler) observe(ctx context.Context, in *input, now time.Time) incident.Result {
	history := r.memory.history(in.Key)
	known := r.memory.warningsOf(in.Key)
	in.Warnings = known.list
	result := incident.Observe(in.Observation, in.settings, history, now)
	switch {
	case len(result.WantWarnings) == 0:
		if !known.at.IsZero() && len(known.list) == 0 {
			r.memory.dropWarnings(in.Key)
		}
	case now.Sub(known.at) >= warningsInterval:
		in.Warnings = r.warnings(ctx, in, result.WantWarnings)
		r.memory.keepWarnings(in.Key, warnings{at: now, list: in.Warnings})
		result = incident.Observe(in.Observation, in.settings, history, now)
	}
	r.memory.remember(in.Key, result.History)
	return result
}

const (
	// warningsInterval is how often a pod's events are asked for, at most.
	warningsInterval = time.Minute
	maxWarnings      = 20
	warningsTimeout  = 2 * time.Second
)

// warnings asks for the Warning events of pods. An Incident without them is better than none.
func (r *Reconciler) warnings(ctx context.Context, in *input, pods []string) []incident.Warning {
	ctx, cancel := context.WithTimeout(ctx, warningsTimeout)
	defer cancel()
	var out []incident.Warning
	for _, pod := range in.Pods {
		if !slices.Contains(pods, pod.Name) {
			continue
		}
		list, err := r.warningEvents(ctx, pod.Namespace, pod.UID)
		if err != nil {
			log.FromContext(ctx).V(1).Info("The events of a pod could not be read", "pod", pod.Name, "error", err.Error())
			return out
		}
		for i := range list {
			out = append(out, warningOf(pod.Name, &list[i]))
		}
	}
	return out
}

// ownWarnings asks for the Warning events of the workload itself.
func (r *Reconciler) ownWarnings(ctx context.Context, in *input) []incident.Warning {
	if in.Workload == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, warningsTimeout)
	defer cancel()
	list, err := r.warningEvents(ctx, in.Key.Namespace, in.Workload.UID)
	if err != nil {
		log.FromContext(ctx).V(1).Info("The events of a workload could not be read", "workload", incident.KeyString(in.Key), "error", err.Error())
		return nil
	}
	var out []incident.Warning
	for i := range list {
		w := warningOf(in.Key.Name, &list[i])
		w.Kind = in.Key.Kind
		out = append(out, w)
	}
	return out
}

func (r *Reconciler) warningEvents(ctx context.Context, namespace string, uid types.UID) ([]corev1.Event, error) {
	list := &corev1.EventList{}
	err := r.Reader.List(ctx, list, client.InNamespace(namespace), client.Limit(maxWarnings), client.MatchingFields{
		"involvedObject.uid": string(uid), "type": corev1.EventTypeWarning,
	})
	return list.Items, err
}

func warningOf(pod string, e *corev1.Event) incident.Warning {
	w := incident.Warning{Pod: pod, Reason: e.Reason, Message: e.Message, Count: max(e.Count, 1), At: e.LastTimestamp.Time}
	if w.At.IsZero() {
		w.At = e.EventTime.Time
	}
	if e.Series != nil {
		w.Count, w.At = e.Series.Count, e.Series.LastObservedTime.Time
	}
	return w
}
