package incident_test

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// t0 is when the pods of tests start, a Monday; at is so much later.
var t0 = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func at(d time.Duration) time.Time { return t0.Add(d) }

func stamped(d time.Duration) metav1.Time { return metav1.NewTime(at(d)) }

const always = corev1.ContainerRestartPolicyAlways

// podBuilder builds a pod of the first ReplicaSet of Deployment web that started at t0, runs and is ready, with the
// container app.
type podBuilder struct{ pod corev1.Pod }

func aPod(name string) *podBuilder {
	b := &podBuilder{}
	b.pod.ObjectMeta = metav1.ObjectMeta{
		Namespace: "shop", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: stamped(0),
	}
	b.pod.Spec.NodeName = "node1"
	start := stamped(0)
	b.pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &start}
	b.condition(corev1.PodScheduled, corev1.ConditionTrue, "", 0)
	b.condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, "", time.Second)
	b.condition(corev1.PodReady, corev1.ConditionTrue, "", 2*time.Second)
	b.ownedBy("apps/v1", "ReplicaSet", "web-1").revision("1")
	return b.running("app", 0, 2*time.Second)
}

func (b *podBuilder) ownedBy(version, kind, name string) *podBuilder {
	yes := true
	b.pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: version, Kind: kind, Name: name, UID: types.UID("uid-" + name), Controller: &yes}}
	return b
}

func (b *podBuilder) bare() *podBuilder {
	b.pod.OwnerReferences, b.pod.Labels = nil, nil
	return b
}

func (b *podBuilder) revision(hash string) *podBuilder {
	b.pod.Labels = map[string]string{incident.LabelTemplateHash: hash, "app": "web"}
	return b
}

func (b *podBuilder) created(d time.Duration) *podBuilder {
	b.pod.CreationTimestamp = stamped(d)
	start := stamped(d)
	b.pod.Status.StartTime = &start
	return b
}

func (b *podBuilder) deleting(end time.Duration) *podBuilder {
	t := stamped(end)
	b.pod.DeletionTimestamp = &t
	return b
}

func (b *podBuilder) phase(p corev1.PodPhase, reason string) *podBuilder {
	b.pod.Status.Phase, b.pod.Status.Reason = p, reason
	return b
}

func (b *podBuilder) condition(kind corev1.PodConditionType, status corev1.ConditionStatus, reason string, since time.Duration) *podBuilder {
	c := corev1.PodCondition{Type: kind, Status: status, Reason: reason, LastTransitionTime: stamped(since)}
	for i := range b.pod.Status.Conditions {
		if b.pod.Status.Conditions[i].Type == kind {
			b.pod.Status.Conditions[i] = c
			return b
		}
	}
	b.pod.Status.Conditions = append(b.pod.Status.Conditions, c)
	return b
}

func (b *podBuilder) unready(since time.Duration) *podBuilder {
	return b.condition(corev1.PodReady, corev1.ConditionFalse, "ContainersNotReady", since)
}

func (b *podBuilder) status(name string) *corev1.ContainerStatus {
	lists := []*[]corev1.ContainerStatus{&b.pod.Status.InitContainerStatuses, &b.pod.Status.ContainerStatuses}
	for _, list := range lists {
		for i := range *list {
			if (*list)[i].Name == name {
				return &(*list)[i]
			}
		}
	}
	b.pod.Status.ContainerStatuses = append(b.pod.Status.ContainerStatuses, corev1.ContainerStatus{Name: name})
	return &b.pod.Status.ContainerStatuses[len(b.pod.Status.ContainerStatuses)-1]
}

// init adds an init container, which waits.
func (b *podBuilder) init(name string, sidecar bool) *podBuilder {
	c := corev1.Container{Name: name}
	if sidecar {
		policy := always
		c.RestartPolicy = &policy
	}
	b.pod.Spec.InitContainers = append(b.pod.Spec.InitContainers, c)
	b.pod.Status.InitContainerStatuses = append(b.pod.Status.InitContainerStatuses, corev1.ContainerStatus{Name: name})
	return b
}

func (b *podBuilder) running(name string, restarts int32, since time.Duration) *podBuilder {
	s := b.status(name)
	s.RestartCount, s.Ready = restarts, true
	s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: stamped(since)}}
	return b
}

func (b *podBuilder) waiting(name, reason string) *podBuilder {
	s := b.status(name)
	s.Ready = false
	s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "because"}}
	return b.unready(0)
}

// ended is the state, last the state before.
func (b *podBuilder) ended(name, reason string, code int32, from, to time.Duration) *podBuilder {
	s := b.status(name)
	s.Ready = false
	s.State = corev1.ContainerState{Terminated: run(reason, code, from, to)}
	return b
}

func (b *podBuilder) last(name, reason string, code int32, from, to time.Duration) *podBuilder {
	b.status(name).LastTerminationState = corev1.ContainerState{Terminated: run(reason, code, from, to)}
	return b
}

func (b *podBuilder) restarts(name string, n int32) *podBuilder {
	b.status(name).RestartCount = n
	return b
}

func run(reason string, code int32, from, to time.Duration) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{Reason: reason, ExitCode: code, StartedAt: stamped(from), FinishedAt: stamped(to)}
}

func (b *podBuilder) full() *corev1.Pod { return b.pod.DeepCopy() }

func (b *podBuilder) obj() *incident.Pod {
	p := incident.PodFrom(&b.pod)
	return &p
}

// workloadBuilder builds a Deployment web whose rollout is complete, with so many pods, all of which are ready.
type workloadBuilder struct{ w configuration.Workload }

func aWorkload(kind string, replicas int32) *workloadBuilder {
	group, _ := configuration.GroupOf(kind)
	w := configuration.Workload{
		Key:        configuration.Key{Group: group, Kind: kind, Namespace: "shop", Name: "web"},
		Generation: 1, ObservedGeneration: 1, CreatedAt: at(-time.Hour), UID: "uid-web",
		Desired: replicas, Ready: replicas, Updated: replicas, Current: replicas,
		Template:   configuration.Template{Hash: "v1:a"},
		Conditions: map[string]configuration.Condition{},
	}
	if kind == configuration.KindDeployment {
		w.ProgressDeadlineSeconds = 600
		w.Conditions["Progressing"] = configuration.Condition{
			Status: "True", Reason: "NewReplicaSetAvailable", Message: `ReplicaSet "web-1" has successfully progressed.`, Since: t0, UpdatedAt: t0,
		}
	}
	return &workloadBuilder{w}
}

func (b *workloadBuilder) counts(updated, current, ready int32) *workloadBuilder {
	b.w.Updated, b.w.Current, b.w.Ready = updated, current, ready
	return b
}

func (b *workloadBuilder) condition(kind string, status appsv1Status, reason, message string, since time.Duration) *workloadBuilder {
	b.w.Conditions[kind] = configuration.Condition{Status: string(status), Reason: reason, Message: message, Since: at(since), UpdatedAt: at(since)}
	return b
}

type appsv1Status corev1.ConditionStatus

func (b *workloadBuilder) rollingOut(revision string, since time.Duration) *workloadBuilder {
	return b.condition(string(appsv1.DeploymentProgressing), "True", "ReplicaSetUpdated", `ReplicaSet "web-`+revision+`" is progressing.`, since)
}

func (b *workloadBuilder) stuck(revision string, since time.Duration) *workloadBuilder {
	return b.condition(string(appsv1.DeploymentProgressing), "False", "ProgressDeadlineExceeded", `ReplicaSet "web-`+revision+`" has timed out progressing.`, since)
}

func (b *workloadBuilder) with(set func(*configuration.Workload)) *workloadBuilder {
	set(&b.w)
	return b
}

func (b *workloadBuilder) obj() *configuration.Workload { return &b.w }
