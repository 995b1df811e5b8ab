package incident

import (
	"fmt"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

const maxNextStep = 1024

// nextStep says what a person should do now, as a command where it is one.
func (e *evaluation) nextStep() string {
	s := &e.Status
	var steps []string
	if ref := e.parent(); ref != nil && s.State != v1alpha1.IncidentClosed && s.State != v1alpha1.IncidentResolved {
		steps = append(steps, "look at the Incident that explains it: kubectl itil incident show "+refText(*ref, e.incident.Namespace))
	}
	switch s.State {
	case v1alpha1.IncidentNew:
		steps = append(steps, "assign it: "+e.plugin("assign", ""))
		steps = append(steps, e.look()...)
	case v1alpha1.IncidentInProgress:
		if s.AcknowledgedAt == nil {
			// It was opened again, and nobody has taken notice yet.
			steps = append(steps, "assign it: "+e.plugin("assign", ""))
		}
		steps = append(steps, e.onwards()...)
	case v1alpha1.IncidentOnHold:
		steps = append(steps, e.held())
	case v1alpha1.IncidentResolved:
		if e.incident.Spec.Major {
			steps = append(steps, "review it and close it by hand: "+e.plugin("close", ""))
		}
	case v1alpha1.IncidentClosed:
	default:
	}
	return clip(strings.Join(steps, "\n"), maxNextStep)
}

func (e *evaluation) onwards() []string {
	s := &e.Status
	switch {
	case e.refused != "" && Active(s.Signals):
		return append([]string{e.refused}, e.look()...)
	case len(s.Signals) == 0, e.disputed() && !Active(s.Signals):
		return []string{"resolve it when the service is restored: " +
			e.plugin("resolve", ` --code <CODE> -m "<what was done>"`)}
	case !Active(s.Signals):
		return []string{"nothing: it is resolved by itself if it stays well"}
	default:
		return e.look()
	}
}

// plugin is a command of ours about the incident. What it does is a field of spec, as kubectl explain incident tells.
func (e *evaluation) plugin(verb, rest string) string {
	return fmt.Sprintf("kubectl itil incident %s %s/%s%s", verb, e.incident.Namespace, e.incident.Name, rest)
}

// look says where to look, by the most telling signal.
func (e *evaluation) look() []string {
	var steps []string
	if c := e.Status.SuspectedChange; c != nil && c.Name != "" {
		steps = append(steps, fmt.Sprintf("suspected is Change %s: kubectl itil change show %s/%s", c.Name, c.Namespace, c.Name))
	}
	if s := firstActive(e.Status.Signals); s != nil {
		if command := e.command(*s); command != "" {
			steps = append(steps, "look: "+command)
		}
		steps = append(steps, e.ends(*s)...)
	}
	if e.Status.KnownError != nil && e.Status.KnownError.Workaround != "" {
		steps = append(steps, "workaround of "+string(e.Status.KnownError.Problem)+": "+e.Status.KnownError.Workaround)
	}
	if e.facts.Service != nil && e.facts.Service.Runbook != "" {
		steps = append(steps, "runbook: "+e.facts.Service.Runbook)
	}
	return steps
}

// held says what takes it up again.
func (e *evaluation) held() string {
	resume := e.plugin("resume", "")
	if hold := e.incident.Spec.Hold; hold != nil && (hold.Reason == v1alpha1.HoldAwaitingChange || hold.Reason == v1alpha1.HoldAwaitingProblem) {
		return "it is taken up again by itself when what it waits for is done; before that: " + resume
	}
	return "take it up again when there is an answer: " + resume
}

// ends says what ends a failure that lies in the past: that nothing fails now does not.
func (e *evaluation) ends(s v1alpha1.Signal) []string {
	key, ok := KeyOf(e.incident)
	if !ok || !EndsByHand(e.incident, s.Reason) {
		return nil
	}
	byHand := "say how it ended: " + e.plugin("resolve", ` --code <CODE> -m "<what was done>"`)
	switch {
	case s.Reason == v1alpha1.SignalScheduleMissed:
		return []string{"it ends when it runs again, or " + byHand}
	case key.Kind == configuration.KindCronJob:
		return []string{"it ends with the next run that succeeds, or " + byHand}
	case key.Kind == configuration.KindJob:
		return []string{"it ends when a Job of that name completes, or " + byHand}
	case key.Kind == KindPod:
		return []string{"it ends when the Pod is deleted, or runs again under that name; or " + byHand}
	default:
		return nil
	}
}

func firstActive(signals []v1alpha1.Signal) *v1alpha1.Signal {
	for i := range signals {
		if signals[i].ClearedAt == nil {
			return &signals[i]
		}
	}
	return nil
}

// command shows what a colleague would look at first.
func (e *evaluation) command(s v1alpha1.Signal) string {
	key, ok := KeyOf(e.incident)
	if !ok {
		return ""
	}
	if key.Group == v1alpha1.GroupVersion.Group && key.Kind == KindService {
		return "kubectl -n " + key.Namespace + " describe itsvc " + key.Name
	}
	switch key {
	case BacklogKey(key.Name):
		return "kubectl -n " + key.Name + " get pods"
	case OverflowKey():
		return "kubectl itil incidents -A"
	default:
	}
	in := "kubectl -n " + key.Namespace + " "
	pod := ""
	if len(s.Pods) > 0 {
		pod = s.Pods[0]
	}
	switch s.Reason {
	case v1alpha1.SignalNodeLost:
		return "kubectl describe node " + key.Name
	case v1alpha1.SignalOOMKilled, v1alpha1.SignalCrashLooping, v1alpha1.SignalStartFailed:
		if pod != "" {
			return in + "logs " + pod + " -c " + s.Container + " --previous"
		}
	case v1alpha1.SignalInitFailed, v1alpha1.SignalPodFailed, v1alpha1.SignalJobFailed:
		if pod != "" && s.Container != "" {
			return in + "logs " + pod + " -c " + s.Container
		}
		if pod != "" {
			return in + "logs " + pod + " --all-containers"
		}
	case v1alpha1.SignalRolloutStuck:
		return in + "rollout status " + reference(key)
	case v1alpha1.SignalNoReplicas:
		return in + "scale " + reference(key) + " --replicas=<n>"
	case v1alpha1.SignalConfigInvalid, v1alpha1.SignalImagePullFailed, v1alpha1.SignalVolumeUnavailable,
		v1alpha1.SignalSandboxFailed, v1alpha1.SignalUnschedulable, v1alpha1.SignalPodRejected,
		v1alpha1.SignalEvicted, v1alpha1.SignalNotReady, v1alpha1.SignalStuckTerminating,
		v1alpha1.SignalScheduleMissed, v1alpha1.SignalJobOverdue, v1alpha1.SignalReplicasMissing, v1alpha1.SignalAlertFiring:
	default:
	}
	if pod != "" {
		return in + "describe pod " + pod
	}
	return in + "describe " + reference(key)
}

// reference is the workload as kubectl takes it.
func reference(key configuration.Key) string {
	kind := strings.ToLower(key.Kind)
	if key.Group != "" && key.Group != defaultGroup(key.Kind) {
		kind += "." + key.Group
	}
	return kind + "/" + key.Name
}
