package configuration

import (
	"errors"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// The kinds that make pods. The first five are those that a Service can claim; the others are gated because they
// make pods as well, whoever owns them.
const (
	KindDeployment            = string(v1alpha1.WorkloadDeployment)
	KindStatefulSet           = string(v1alpha1.WorkloadStatefulSet)
	KindDaemonSet             = string(v1alpha1.WorkloadDaemonSet)
	KindCronJob               = string(v1alpha1.WorkloadCronJob)
	KindJob                   = string(v1alpha1.WorkloadJob)
	KindReplicaSet            = "ReplicaSet"
	KindReplicationController = "ReplicationController"
	KindPod                   = "Pod"
)

const (
	maxConditions       = 32
	maxConditionMessage = 512
	ourDomain           = "itil.dev/"
	defaultPartition    = 0
)

// ErrUnknownKind is returned by FromObject for what is none of the kinds that make pods.
var ErrUnknownKind = errors.New("not a kind that makes pods")

func groupOf(apiVersion string) string {
	group, _, found := strings.Cut(apiVersion, "/")
	if !found {
		return ""
	}
	return group
}

// ofOurDomain are the labels or annotations that mean something to us; the others are not worth their memory.
func ofOurDomain(metadata map[string]any, field string) map[string]string {
	var out map[string]string
	for key, value := range mapAt(metadata, field) {
		s, ok := value.(string)
		if !ok || !strings.HasPrefix(key, ourDomain) {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[key] = s
	}
	return out
}

func controllerOf(metadata map[string]any, namespace string) *Owner {
	for _, item := range listAt(metadata, "ownerReferences") {
		ref, _ := item.(map[string]any)
		if !boolAt(ref, "controller") {
			continue
		}
		return &Owner{
			Key: Key{
				Group: groupOf(stringAt(ref, "apiVersion")), Kind: stringAt(ref, "kind"),
				Namespace: namespace, Name: stringAt(ref, "name"),
			},
			UID: types.UID(stringAt(ref, "uid")),
		}
	}
	return nil
}

func conditionsOf(status map[string]any) map[string]Condition {
	var out map[string]Condition
	for _, item := range listAt(status, "conditions") {
		c, _ := item.(map[string]any)
		name := stringAt(c, "type")
		if name == "" || len(out) >= maxConditions {
			continue
		}
		if out == nil {
			out = map[string]Condition{}
		}
		out[name] = Condition{
			Status:    stringAt(c, "status"),
			Reason:    stringAt(c, "reason"),
			Message:   truncate(stringAt(c, "message"), maxConditionMessage),
			Since:     timeAt(c, "lastTransitionTime"),
			UpdatedAt: timeAt(c, "lastUpdateTime"),
		}
	}
	return out
}

func labelSelector(obj map[string]any) Selector {
	raw, ok := mapAt(obj, "spec")["selector"].(map[string]any)
	if !ok {
		return Selector{}
	}
	s := Selector{Defined: true, MatchLabels: stringMap(raw, "matchLabels")}
	for _, item := range listAt(raw, "matchExpressions") {
		e, _ := item.(map[string]any)
		r := Requirement{Key: stringAt(e, "key"), Operator: stringAt(e, "operator")}
		for _, v := range listAt(e, "values") {
			if value, isString := v.(string); isString {
				r.Values = append(r.Values, value)
			}
		}
		s.Expressions = append(s.Expressions, r)
	}
	return s
}

// mapSelector is a ReplicationController's: a plain map, and the template's labels where it is empty.
func mapSelector(obj map[string]any) Selector {
	match := stringMap(obj, "spec", "selector")
	if len(match) == 0 {
		match = stringMap(obj, "spec", "template", "metadata", "labels")
	}
	return Selector{Defined: len(match) > 0, MatchLabels: match}
}

func noSelector(map[string]any) Selector { return Selector{} }

func observeReplicas(spec, status map[string]any, w *Workload) {
	w.Desired = countAt(spec, "replicas", 1)
	w.Ready = countAt(status, "readyReplicas", 0)
	w.Current = countAt(status, "replicas", 0)
}

func observeDeployment(spec, status map[string]any, w *Workload) {
	observeReplicas(spec, status, w)
	w.Updated = countAt(status, "updatedReplicas", 0)
	w.Hold.Paused = boolAt(spec, "paused")
	w.ProgressDeadlineSeconds = countAt(spec, "progressDeadlineSeconds", 0)
}

func observeStatefulSet(spec, status map[string]any, w *Workload) {
	w.UpdateRevision = stringAt(status, "updateRevision")
	observeReplicas(spec, status, w)
	w.Updated = countAt(status, "updatedReplicas", 0)
	strategy := mapAt(spec, "updateStrategy")
	w.Hold.OnDelete = stringAt(strategy, "type") == "OnDelete"
	w.Hold.Partition = countAt(mapAt(strategy, "rollingUpdate"), "partition", defaultPartition)
}

func observeDaemonSet(spec, status map[string]any, w *Workload) {
	w.Desired = countAt(status, "desiredNumberScheduled", 0)
	w.Ready = countAt(status, "numberReady", 0)
	w.Updated = countAt(status, "updatedNumberScheduled", 0)
	w.Current = countAt(status, "currentNumberScheduled", 0)
	w.Hold.OnDelete = stringAt(mapAt(spec, "updateStrategy"), "type") == "OnDelete"
}

// observeReplicaSet: all pods of a ReplicaSet or ReplicationController count as updated; it has no way to replace
// them.
func observeReplicaSet(spec, status map[string]any, w *Workload) {
	observeReplicas(spec, status, w)
	w.Updated = w.Current
}

func observeJob(spec, status map[string]any, w *Workload) {
	w.Desired, w.Ready = 1, 1
	w.Active = countAt(status, "active", 0)
	w.Current, w.Updated = w.Active, w.Active
	w.Hold.Suspended = boolAt(spec, "suspend") || countAt(spec, "parallelism", 1) == 0
	w.StartedAt = timeAt(status, "startTime")
	if c := w.Conditions["Failed"]; c.Status == conditionTrue {
		w.Ready, w.FailedAt = 0, c.Since
	}
	if c := w.Conditions["Complete"]; c.Status == conditionTrue {
		w.CompletedAt = firstOf(timeAt(status, "completionTime"), c.Since)
	}
}

// observeCronJob: the last run failed if nothing runs any more and no success came after it was scheduled.
func observeCronJob(spec, status map[string]any, w *Workload) {
	w.Desired, w.Ready = 1, 1
	w.Active = int32(min(len(listAt(status, "active")), 1<<16))
	w.Current, w.Updated = w.Active, w.Active
	w.Hold.Suspended = boolAt(spec, "suspend")
	w.Schedule, w.ScheduleZone = stringAt(spec, "schedule"), stringAt(spec, "timeZone")
	w.StartingDeadlineSeconds, _ = intAt(spec, "startingDeadlineSeconds")
	w.LastScheduled = timeAt(status, "lastScheduleTime")
	w.LastSuccessful = timeAt(status, "lastSuccessfulTime")
	if w.Active == 0 && !w.LastScheduled.IsZero() && w.LastSuccessful.Before(w.LastScheduled) {
		w.Ready = 0
	}
}

func observePod(_, status map[string]any, w *Workload) {
	w.Desired = 1
	switch stringAt(status, "phase") {
	case "Succeeded", "Failed":
	default:
		w.Current, w.Updated = 1, 1
	}
	if w.Conditions["Ready"].Status == conditionTrue {
		w.Ready = 1
	}
}

const conditionTrue = "True"

func firstOf(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
