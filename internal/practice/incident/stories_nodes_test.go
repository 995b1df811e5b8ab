package incident_test

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func aNode(name string, ready corev1.ConditionStatus, since time.Duration, cordoned bool) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: stamped(-hour)}, Spec: corev1.NodeSpec{Unschedulable: cordoned},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: ready, Reason: "NodeStatusUnknown", Message: "Kubelet stopped posting node status.", LastTransitionTime: stamped(since),
		}}},
	}
}

// onNode moves a pod to a node.
func onNode(b *podBuilder, node string) *podBuilder {
	b.pod.Spec.NodeName = node
	return b
}

// twoPods of web are there, web-b on node2.
func twoPods(p *tape) {
	p.at(0, aNode("node2", corev1.ConditionTrue, -hour, false), webDeployment("1", 2, 2, 2, 2))
	p.at(3*second, aPod("web-a").full(), onNode(aPod("web-b"), "node2").full())
}

// replaced is made elsewhere for web-b, and ready after five seconds.
func replacedAt(p *tape, d time.Duration) {
	p.at(d, starting("web-c", d).full())
	p.at(d+5*second, started("web-c", d).full(), webDeployment("1", 2, 2, 2, 2))
}

func nodeStories() map[string]story {
	disrupted := func(reason string, d time.Duration) *podBuilder {
		return onNode(aPod("web-b"), "node2").condition(corev1.DisruptionTarget, corev1.ConditionTrue, reason, d)
	}
	lost := func() *podBuilder { return onNode(aPod("web-b"), "node2").unready(10 * minute) }
	vanish := func(p *tape) {
		twoPods(p)
		p.at(10*minute, aNode("node2", corev1.ConditionUnknown, 10*minute, false), lost().full(), webDeployment("1", 2, 2, 2, 1))
	}
	// The taint manager deletes the pod after five minutes, when it has just been unready for as long as it may be; there
	// is no kubelet that would end it.
	evict := func(p *tape) *podBuilder {
		gone := lost().condition(corev1.DisruptionTarget, corev1.ConditionTrue, "DeletionByTaintManager", 15*minute+5*second).deleting(15*minute + 35*second)
		p.at(15*minute+5*second, gone.full())
		replacedAt(p, 15*minute+6*second)
		return gone
	}
	stories := map[string]story{
		// Its pod is evicted after five minutes, and another takes its place: nothing of the workload is to be told.
		"a node is lost, and comes back": {
			tell: func(p *tape) {
				vanish(p)
				gone := evict(p)
				p.at(18*minute, aNode("node2", corev1.ConditionTrue, 18*minute, false))
				p.drop(18*minute+2*second, gone.full())
			},
			want: []string{
				"node2: the node does not answer (1 pod ran there) | Resolved NodeLost SelfRecovered",
			},
		},
		"a node is lost for a minute": {
			tell: func(p *tape) {
				vanish(p)
				p.at(10*minute+50*second, aNode("node2", corev1.ConditionTrue, 10*minute+50*second, false))
				p.at(10*minute+55*second, onNode(aPod("web-b"), "node2").condition(corev1.PodReady, corev1.ConditionTrue, "", 10*minute+55*second).full(), webDeployment("1", 2, 2, 2, 2))
			},
		},
		// gc_controller.go: when the Node object goes, so do its pods, which never ended.
		"a node is lost, its pod hangs, and it is removed": {
			tell: func(p *tape) {
				vanish(p)
				gone := evict(p)
				p.drop(30*minute, aNode("node2", corev1.ConditionUnknown, 10*minute, false))
				p.at(30*minute+40*second, gone.phase(corev1.PodFailed, "").full())
				p.drop(30*minute+41*second, gone.full())
			},
			want: []string{
				"node2: the node does not answer (1 pod ran there) | Resolved NodeLost NoFault",
				"web: pods do not terminate | Resolved StuckTerminating SelfRecovered explained",
			},
		},
		"a node is drained": {
			tell: func(p *tape) {
				twoPods(p)
				p.at(10*minute, aNode("node2", corev1.ConditionTrue, -hour, true))
				p.at(10*minute+second, disrupted("EvictionByEvictionAPI", 10*minute).deleting(10*minute+30*second).full(), webDeployment("1", 2, 2, 2, 1))
				p.drop(10*minute+10*second, disrupted("EvictionByEvictionAPI", 10*minute).full())
				replacedAt(p, 10*minute+11*second)
			},
		},
		"a pod is evicted through the API, and fails first": {
			tell: func(p *tape) {
				twoPods(p)
				failed := func() *podBuilder {
					return disrupted("EvictionByEvictionAPI", 10*minute).phase(corev1.PodFailed, "").ended("app", "Error", 143, 2*second, 10*minute).unready(10 * minute)
				}
				p.at(10*minute, failed().full(), webDeployment("1", 2, 1, 1, 1))
				replacedAt(p, 10*minute+second)
				p.drop(30*minute, failed().full())
			},
		},
		// eviction_manager.go: the pod fails with the reason Evicted, and stays as a record.
		"a node runs out of memory and evicts a pod, and there is no room for another": {
			tell: func(p *tape) {
				twoPods(p)
				p.at(10*minute, disrupted("TerminationByKubelet", 10*minute).phase(corev1.PodFailed, "Evicted").unready(10*minute).ended("app", "Error", 137, 2*second, 10*minute).full(), webDeployment("1", 2, 2, 2, 1))
				waits := starting("web-c", 10*minute+second).condition(corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable, 10*minute+second)
				waits.pod.Status.ContainerStatuses, waits.pod.Spec.NodeName = nil, ""
				p.at(10*minute+second, waits.full())
				p.at(20*minute, started("web-c", 19*minute).full(), webDeployment("1", 2, 2, 2, 2))
			},
			want: []string{"web: pods were evicted from their node | Resolved Unschedulable SelfRecovered"},
		},
		// The kubelet preempts for a critical pod under its own reason.
		"the kubelet preempts a pod": {
			tell: func(p *tape) {
				twoPods(p)
				p.at(10*minute, disrupted("TerminationByKubelet", 10*minute).phase(corev1.PodFailed, "Preempting").unready(10*minute).full(), webDeployment("1", 2, 1, 1, 1))
				replacedAt(p, 10*minute+20*second)
			},
		},
		"a node shuts down": {
			tell: func(p *tape) {
				twoPods(p)
				p.at(10*minute, disrupted("TerminationByKubelet", 10*minute).phase(corev1.PodFailed, "Terminated").unready(10*minute).full(), webDeployment("1", 2, 1, 1, 1))
				replacedAt(p, 10*minute+20*second)
			},
		},
		// executor.go: the victim gets the condition, and is deleted; the pod that took its place is another's.
		"the scheduler preempts a pod, and there is room elsewhere": {
			tell: func(p *tape) {
				twoPods(p)
				p.at(10*minute, disrupted("PreemptionByScheduler", 10*minute).deleting(10*minute+30*second).full(), webDeployment("1", 2, 2, 2, 1))
				p.drop(10*minute+5*second, disrupted("PreemptionByScheduler", 10*minute).full())
				replacedAt(p, 10*minute+20*second)
			},
		},
		"the scheduler preempts a pod, and there is no room": {
			tell: func(p *tape) {
				twoPods(p)
				p.at(10*minute, disrupted("PreemptionByScheduler", 10*minute).deleting(10*minute+30*second).full(), webDeployment("1", 2, 2, 2, 1))
				waits := starting("web-c", 10*minute+second).condition(corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable, 10*minute+second)
				waits.pod.Status.ContainerStatuses, waits.pod.Spec.NodeName = nil, ""
				p.at(10*minute+second, waits.full())
				p.drop(10*minute+5*second, disrupted("PreemptionByScheduler", 10*minute).full())
			},
			want: []string{"web: no node takes its pods | New Unschedulable"},
		},
		"a node is lost, and another cannot take what ran there": {
			tell: func(p *tape) {
				vanish(p)
				gone := lost().condition(corev1.DisruptionTarget, corev1.ConditionTrue, "DeletionByTaintManager", 15*minute+5*second).deleting(15*minute + 35*second)
				p.at(15*minute+5*second, gone.full())
				waits := starting("web-c", 15*minute+second).condition(corev1.PodScheduled, corev1.ConditionFalse, corev1.PodReasonUnschedulable, 15*minute+second)
				waits.pod.Status.ContainerStatuses, waits.pod.Spec.NodeName = nil, ""
				p.at(15*minute+second, waits.full())
			},
			want: []string{
				"node2: the node does not answer (1 pod ran there) | New NodeLost",
				"web: no node takes its pods | New Unschedulable explained",
			},
		},
	}
	return stories
}
