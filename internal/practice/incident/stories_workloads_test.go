package incident_test

import (
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

func aSet(replicas, current, updated, ready int32) *appsv1.StatefulSet {
	s := &appsv1.StatefulSet{ObjectMeta: named("db"), Spec: appsv1.StatefulSetSpec{Replicas: &replicas}}
	s.Status = appsv1.StatefulSetStatus{ObservedGeneration: 1, Replicas: current, UpdatedReplicas: updated, ReadyReplicas: ready, UpdateRevision: "1"}
	return s
}

func setPod(b *podBuilder) *podBuilder { return ofRevision(b, "StatefulSet", "db", "1") }

// ofRevision makes a pod one of a StatefulSet or DaemonSet.
func ofRevision(b *podBuilder, kind, name, revision string) *podBuilder {
	b.ownedBy("apps/v1", kind, name)
	b.pod.Labels = map[string]string{"controller-revision-hash": revision}
	return b
}

// aDaemonSet of a generation, on so many nodes.
func aDaemonSet(generation int64, desired, current, updated, ready int32) *appsv1.DaemonSet {
	s := &appsv1.DaemonSet{ObjectMeta: named("agent")}
	s.Generation = generation
	s.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: fmt.Sprint("agent:", generation)}}
	s.Status = appsv1.DaemonSetStatus{
		ObservedGeneration: generation, DesiredNumberScheduled: desired, CurrentNumberScheduled: current, UpdatedNumberScheduled: updated, NumberReady: ready,
	}
	return s
}

func agent(b *podBuilder, node int, revision string) *podBuilder {
	b.pod.Spec.NodeName = fmt.Sprint("node", node)
	return ofRevision(b, "DaemonSet", "agent", revision)
}

// threeAgents are there, one on each of three nodes.
func threeAgents(p *tape) {
	p.at(0, aDaemonSet(1, 3, 3, 3, 3))
	for n := range 3 {
		p.at(3*second, agent(aPod(fmt.Sprint("agent-", n)), n, "1").full())
	}
}

func withFailure(d *appsv1.Deployment, since time.Duration) *appsv1.Deployment {
	d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{
		Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate",
		Message: `pods "web-b" is forbidden: exceeded quota: compute`, LastTransitionTime: stamped(since), LastUpdateTime: stamped(since),
	})
	return d
}

func workloadStories() map[string]story {
	stories := map[string]story{
		// stateful_set_control.go: OrderedReady makes pod 1 when pod 0 is ready.
		"StatefulSet: OrderedReady, stuck on pod 0": {
			tell: func(p *tape) {
				p.at(0, aSet(3, 1, 1, 0))
				p.looping(func() *podBuilder { return setPod(aPod("db-0")) }, 2*second, 5*second, 6, "Error", 1, func(d time.Duration, _ bool) {
					p.at(d, aSet(3, 1, 1, 0))
				})
				p.at(40*minute, aSet(3, 3, 3, 3))
				p.at(40*minute, setPod(started("db-1", 39*minute)).full(), setPod(started("db-2", 39*minute)).full())
			},
			want: []string{"db: container app crashes again and again (exit code 1) | Resolved CrashLooping SelfRecovered"},
		},
		// A pod 0 that runs and does not get ready: the rollout of a StatefulSet has no deadline of its own.
		"StatefulSet: OrderedReady, pod 0 is not ready": {
			tell: func(p *tape) {
				p.at(0, aSet(3, 1, 1, 0), setPod(started("db-0", 0).unready(0)).full())
			},
			want: []string{"db: pods run and are not ready | New NotReady"},
		},
		"DaemonSet: maxUnavailable 1": {
			tell: func(p *tape) {
				threeAgents(p)
				for n := range 3 {
					d, name := time.Duration(10+n)*minute, fmt.Sprint("agent-", n)
					p.at(d, aDaemonSet(2, 3, 3, int32(n), 3))
					p.at(d+second, agent(aPod(name), n, "1").deleting(d+31*second).full(), aDaemonSet(2, 3, 3, int32(n), 2))
					p.drop(d+5*second, agent(aPod(name), n, "1").full())
					p.at(d+6*second, agent(starting(name+"-2", d+6*second), n, "2").full(), aDaemonSet(2, 3, 3, int32(n+1), 2))
					p.at(d+30*second, agent(started(name+"-2", d+20*second), n, "2").full(), aDaemonSet(2, 3, 3, int32(n+1), 3))
				}
			},
		},
		// update.go: with maxSurge the old pod goes when the new one is ready.
		"DaemonSet: maxSurge 1": {
			tell: func(p *tape) {
				threeAgents(p)
				for n := range 3 {
					d, name := time.Duration(10+n)*minute, fmt.Sprint("agent-", n)
					p.at(d, aDaemonSet(2, 3, 3, int32(n), 3), agent(starting(name+"-2", d), n, "2").full())
					p.at(d+30*second, agent(started(name+"-2", d+20*second), n, "2").full(), aDaemonSet(2, 3, 3, int32(n+1), 3))
					p.at(d+31*second, agent(aPod(name), n, "1").deleting(d+61*second).full())
					p.drop(d+35*second, agent(aPod(name), n, "1").full())
				}
			},
		},
		"DaemonSet: maxSurge 1, and a bad image": {
			tell: func(p *tape) {
				threeAgents(p)
				bad := func(reason string) *corev1.Pod {
					return agent(starting("agent-0-2", 10*minute), 0, "2").condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, "", 10*minute+second).waiting("app", reason).full()
				}
				p.at(10*minute, aDaemonSet(2, 3, 3, 0, 3), bad("ContainerCreating"))
				p.at(10*minute+3*second, bad("ErrImagePull"))
				p.at(10*minute+17*second, bad("ImagePullBackOff"))
			},
			want: []string{"agent: the image of container app cannot be pulled | New ImagePullFailed"},
		},
		"DaemonSet: the image of a maxUnavailable rollout is bad": {
			tell: func(p *tape) {
				threeAgents(p)
				bad := func(reason string) *corev1.Pod {
					return agent(starting("agent-0-2", 10*minute+5*second), 0, "2").condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, "", 10*minute+6*second).waiting("app", reason).full()
				}
				p.at(10*minute, aDaemonSet(2, 3, 3, 0, 3))
				p.drop(10*minute+4*second, agent(aPod("agent-0"), 0, "1").full())
				p.at(10*minute+5*second, aDaemonSet(2, 3, 3, 1, 2), bad("ContainerCreating"))
				p.at(10*minute+8*second, bad("ErrImagePull"))
				p.at(10*minute+21*second, bad("ImagePullBackOff"))
			},
			want: []string{"agent: the image of container app cannot be pulled | New ImagePullFailed"},
		},
		"DaemonSet: a node joins": {
			tell: func(p *tape) {
				threeAgents(p)
				p.at(10*minute, aDaemonSet(1, 4, 3, 3, 3))
				p.at(10*minute+second, agent(starting("agent-3", 10*minute+second), 3, "1").full(), aDaemonSet(1, 4, 4, 4, 3))
				p.at(11*minute, agent(started("agent-3", 10*minute+50*second), 3, "1").full(), aDaemonSet(1, 4, 4, 4, 4))
			},
		},
		// Daemon pods tolerate that a node is cordoned; they go with the node.
		"DaemonSet: a node is cordoned, and leaves": {
			tell: func(p *tape) {
				threeAgents(p)
				p.at(10*minute, aNode("node2", corev1.ConditionTrue, 0, true))
				p.at(20*minute, aNode("node2", corev1.ConditionUnknown, 20*minute, true))
				p.at(20*minute, agent(aPod("agent-2"), 2, "1").unready(20*minute).full(), aDaemonSet(1, 3, 3, 3, 2))
				p.drop(22*minute, aNode("node2", corev1.ConditionUnknown, 20*minute, true))
				p.at(22*minute, aDaemonSet(1, 2, 2, 2, 2))
				p.drop(22*minute+40*second, agent(aPod("agent-2"), 2, "1").full())
			},
		},
		// replica_set.go: what the quota does not admit is said on the ReplicaSet, and from there on the Deployment.
		"a quota is exceeded, and raised": {
			tell: func(p *tape) {
				p.at(0, webDeployment("1", 1, 1, 1, 1), aPod("web-a").full())
				p.at(5*minute, withFailure(webDeployment("1", 3, 1, 1, 1), 5*minute))
				p.at(20*minute, webDeployment("1", 3, 3, 3, 1), starting("web-b", 20*minute).full(), starting("web-c", 20*minute).full())
				p.at(20*minute+6*second, webDeployment("1", 3, 3, 3, 3), started("web-b", 20*minute).full(), started("web-c", 20*minute).full())
			},
			want: []string{"web: pods cannot be created | Resolved ReplicasMissing SelfRecovered"},
		},
		"a naked ReplicaSet crashes": {
			tell: func(p *tape) {
				set := func(ready int32) *appsv1.ReplicaSet {
					one := int32(1)
					s := &appsv1.ReplicaSet{ObjectMeta: named("lone"), Spec: appsv1.ReplicaSetSpec{Replicas: &one}}
					s.Status = appsv1.ReplicaSetStatus{ObservedGeneration: 1, Replicas: 1, ReadyReplicas: ready}
					return s
				}
				p.looping(func() *podBuilder { return aPod("lone-a").ownedBy("apps/v1", "ReplicaSet", "lone").revision("") }, 0, 5*second, 6, "Error", 9,
					func(d time.Duration, ready bool) {
						n := int32(0)
						if ready {
							n = 1
						}
						p.at(d, set(n))
					})
			},
			want: []string{"lone: container app crashes again and again (exit code 9) | Resolved CrashLooping SelfRecovered"},
		},
		"a bad image beside healthy pods, and back": {
			tell: func(p *tape) {
				p.at(0, webDeployment("1", 2, 2, 2, 2), aPod("a").full(), aPod("b").full())
				bad := func(reason string) *corev1.Pod {
					return starting("c", 10*minute).ownedBy("apps/v1", "ReplicaSet", "web-2").revision("2").waiting("app", reason).
						condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, "", 10*minute).full()
				}
				p.at(10*minute, webDeployment("2", 2, 1, 3, 2), bad("ContainerCreating"))
				p.at(10*minute+5*second, bad("ErrImagePull"))
				p.at(10*minute+20*second, bad("ImagePullBackOff"))
				p.at(15*minute, webDeployment("1", 2, 2, 3, 2))
				p.drop(15*minute, bad("ImagePullBackOff"))
				p.at(15*minute+second, webDeployment("1", 2, 2, 2, 2))
			},
			want: []string{"web: the image of container app cannot be pulled | Resolved ImagePullFailed RolledBack"},
		},
	}
	return stories
}
