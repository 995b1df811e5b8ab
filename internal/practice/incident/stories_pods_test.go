package incident_test

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// looping lets the container of a pod end again and again as a kubelet does, and run for good at last, after so many
// restarts. It returns when that was.
func (p *tape) looping(pod func() *podBuilder, from, runs time.Duration, times int32, reason string, code int32, around func(d time.Duration, ready bool)) time.Duration {
	start, wait := from, time.Duration(0)
	var last [2]time.Duration
	for n := int32(0); ; n++ {
		now := pod().running("app", n, start).condition(corev1.PodReady, corev1.ConditionTrue, "", start+second)
		if n > 0 {
			now.last("app", reason, code, last[0], last[1])
		}
		p.at(start+second, now.full())
		around(start+second, true)
		if n == times {
			return start
		}
		end := start + runs
		now = pod().restarts("app", n).ended("app", reason, code, start, end).unready(end)
		if n > 0 {
			now.last("app", reason, code, last[0], last[1])
		}
		p.at(end, now.full())
		around(end, false)
		last = [2]time.Duration{start, end}
		start = end + wait
		wait = min(max(2*wait, 10*second), 5*minute)
	}
}

// webPod lets the Deployment web say whether its one pod is ready.
func (p *tape) webPod(d time.Duration, ready bool) {
	n := int32(0)
	if ready {
		n = 1
	}
	p.at(d, webDeployment("1", 1, 1, 1, n))
}

func podStories() map[string]story {
	silent := func(time.Duration, bool) {}
	return map[string]story{
		// prober: a container that its liveness probe kills ends as it likes, mostly with 0.
		"a liveness probe kills it, it exits 0": {
			tell: func(p *tape) {
				p.looping(func() *podBuilder { return aPod("web-a") }, 0, 40*second, 6, "Completed", 0, p.webPod)
			},
			want: []string{"web: container app crashes again and again (exit code 0) | Resolved CrashLooping SelfRecovered"},
		},
		"an init container crashes": {
			tell: func(p *tape) {
				p.at(0, webDeployment("1", 1, 1, 1, 0))
				for n := range int32(5) {
					start := time.Duration(n*n) * 20 * second
					pod := starting("web-a", 0).condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, "", second).
						init("migrate", false).ended("migrate", "Error", 3, start, start+2*second).restarts("migrate", n)
					if n > 0 {
						before := time.Duration((n-1)*(n-1)) * 20 * second
						pod.last("migrate", "Error", 3, before, before+2*second)
					}
					p.at(start+2*second, pod.full())
				}
			},
			want: []string{"web: init container migrate fails (exit code 3) | New InitFailed"},
		},
		// kuberuntime: a PostStart hook that fails kills its container; it is backed off under that name.
		"a PostStart hook fails": {
			tell: func(p *tape) {
				p.at(0, webDeployment("1", 1, 1, 1, 0), starting("web-a", 0).full())
				sandbox := func() *podBuilder {
					return starting("web-a", 0).condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, "", second)
				}
				p.at(3*second, sandbox().waiting("app", "PostStartHookError").full())
				p.at(20*second, sandbox().waiting("app", "PostStartHookError").restarts("app", 1).last("app", "Error", 137, 18*second, 19*second).full())
				p.at(60*second, sandbox().waiting("app", "CrashLoopBackOff").restarts("app", 2).last("app", "Error", 137, 58*second, 59*second).full())
			},
			want: []string{"web: container app cannot be started | New StartFailed"},
		},
		// images: with no right to pull it, the registry answers as if there were no such image.
		"an image pull secret is missing, and comes": {
			tell: func(p *tape) {
				p.at(0, webDeployment("1", 1, 1, 1, 0), starting("web-a", 0).full())
				for n, reason := range []string{"ErrImagePull", "ImagePullBackOff", "ErrImagePull", "ImagePullBackOff"} {
					p.at(time.Duration(2+15*n)*second, starting("web-a", 0).condition(corev1.PodReadyToStartContainers, corev1.ConditionTrue, "", second).waiting("app", reason).full())
				}
				p.at(2*minute, aPod("web-a").running("app", 0, 2*minute-3*second).condition(corev1.PodReady, corev1.ConditionTrue, "", 2*minute).full())
				p.at(2*minute, webDeployment("1", 1, 1, 1, 1))
			},
			want: []string{"web: the image of container app cannot be pulled | Resolved ImagePullFailed SelfRecovered"},
		},
		// KEP-753: sidecars are ended after the others, and killed if they do not.
		"a native sidecar is killed after its pod succeeded": {
			tell: func(p *tape) {
				p.at(0, aPod("once").bare().init("proxy", true).running("proxy", 0, 0).full())
				p.at(minute, aPod("once").bare().init("proxy", true).running("proxy", 0, 0).ended("app", "Completed", 0, 2*second, minute).unready(minute).full())
				p.at(90*second, aPod("once").bare().init("proxy", true).phase(corev1.PodSucceeded, "").ended("app", "Completed", 0, 2*second, minute).
					ended("proxy", "Error", 137, 0, 90*second).unready(minute).full())
			},
		},
		// KEP-1287: a resize whose policy is RestartContainer restarts it once.
		"resized in place": {
			tell: func(p *tape) {
				p.at(0, webDeployment("1", 1, 1, 1, 1), aPod("web-a").full())
				p.at(minute, aPod("web-a").condition("PodResizePending", corev1.ConditionTrue, "Deferred", minute).full())
				p.at(2*minute, aPod("web-a").condition("PodResizeInProgress", corev1.ConditionTrue, "", 2*minute).full())
				p.at(2*minute+2*second, aPod("web-a").condition("PodResizeInProgress", corev1.ConditionTrue, "", 2*minute).
					ended("app", "Completed", 0, 2*second, 2*minute+2*second).unready(2*minute+2*second).full(), webDeployment("1", 1, 1, 1, 0))
				p.at(2*minute+5*second, aPod("web-a").running("app", 1, 2*minute+3*second).last("app", "Completed", 0, 2*second, 2*minute+2*second).
					condition(corev1.PodReady, corev1.ConditionTrue, "", 2*minute+5*second).full(), webDeployment("1", 1, 1, 1, 1))
			},
		},
		// A static pod is the kubelet's; its mirror is owned by the Node.
		"a static pod crashes": {
			tell: func(p *tape) {
				p.looping(func() *podBuilder {
					b := aPod("proxy-node1").bare()
					return b.ownedBy("v1", "Node", "node1")
				}, 0, 20*second, 5, "Error", 2, silent)
			},
			want: []string{"proxy-node1: container app crashes again and again (exit code 2) | Resolved CrashLooping SelfRecovered"},
		},
		"three pods of an unknown controller fail": {
			tell: func(p *tape) {
				for n, name := range []string{"build-a", "build-b", "build-c"} {
					d := time.Duration(n*30) * second
					pod := func() *podBuilder { return started(name, d).ownedBy("tekton.dev/v1", "TaskRun", "build").revision("") }
					p.at(d, pod().full())
					p.at(d+20*second, pod().phase(corev1.PodFailed, "").ended("app", "Error", 2, d, d+20*second).unready(d+20*second).full())
				}
			},
			want: []string{"build: pods fail (exit code 2) | New PodFailed"},
		},
		"one pod of an unknown controller fails, another succeeds": {
			tell: func(p *tape) {
				pod := func(name string, d time.Duration) *podBuilder {
					return started(name, d).ownedBy("tekton.dev/v1", "TaskRun", "build").revision("")
				}
				p.at(0, pod("build-a", 0).full())
				p.at(20*second, pod("build-a", 0).phase(corev1.PodFailed, "").ended("app", "Error", 2, 0, 20*second).unready(20*second).full())
				p.at(30*second, pod("build-b", 30*second).full())
				p.at(minute, pod("build-b", 30*second).phase(corev1.PodSucceeded, "").ended("app", "Completed", 0, 30*second, minute).unready(minute).full())
			},
		},
		"a bare pod fails": {
			tell: func(p *tape) {
				p.at(0, aPod("once").bare().full())
				p.at(minute, aPod("once").bare().phase(corev1.PodFailed, "").ended("app", "Error", 7, 2*second, minute).unready(minute).full())
			},
			want: []string{"once: it failed (exit code 7) | New PodFailed"},
		},
		"a pod does not go away, and does at last": {
			tell: func(p *tape) {
				p.at(0, webDeployment("1", 1, 1, 1, 1), aPod("web-a").full())
				p.at(minute, aPod("web-a").deleting(90*second).full(), webDeployment("1", 1, 1, 1, 0))
				p.at(minute+second, starting("web-b", minute+second).full())
				p.at(minute+6*second, started("web-b", minute+second).full(), webDeployment("1", 1, 1, 1, 1))
				p.drop(20*minute, aPod("web-a").full())
			},
			want: []string{"web: pods do not terminate | Resolved StuckTerminating SelfRecovered"},
		},
	}
}
