package incident

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// Kinds that an Incident can be about besides those that make pods.
const (
	KindPod  = configuration.KindPod
	KindNode = "Node"
	// KindNamespace is that of a record that stands for several workloads of a namespace.
	KindNamespace = "Namespace"
)

const (
	// LabelEpisode on an Incident says the how manieth of its workload it is.
	LabelEpisode = "itil.dev/episode"

	// GroupDetection is the group of the record that counts what caps keep back.
	GroupDetection = "itil.dev"
	// KindDetection is its kind.
	KindDetection = "Detection"

	maxObjectName = 253
	nameDigits    = 5
	keyHashDigits = 32
)

// KeyString is the key in one line: group/kind/namespace/name.
func KeyString(key configuration.Key) string {
	return key.Group + "/" + key.Kind + "/" + key.Namespace + "/" + key.Name
}

// KeyHash is a label value for the key, which may be too long for one itself.
func KeyHash(key configuration.Key) string { return digest(KeyString(key))[:keyHashDigits] }

// Name is the name of a workload's incident of an episode. It does not tell the reason, since two leaders may see
// two first reasons.
func Name(key configuration.Key, episode int) string {
	suffix := "-" + digest(KeyString(key) + "#" + strconv.Itoa(episode))[:nameDigits]
	name := strings.ToLower(key.Name)
	if len(name) > maxObjectName-len(suffix) {
		name = name[:maxObjectName-len(suffix)]
	}
	return strings.TrimRight(name, "-.") + suffix
}

// Fingerprint joins the incidents of one workload and reason.
func Fingerprint(key configuration.Key, reason v1alpha1.SignalReason) string {
	return digest(KeyString(key) + "#" + string(reason))[:keyHashDigits]
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// Reference names a workload in an Incident's spec.
func Reference(key configuration.Key) v1alpha1.AnyWorkloadReference {
	ref := v1alpha1.AnyWorkloadReference{Kind: key.Kind, Name: v1alpha1.ObjectName(key.Name)}
	if key.Group != defaultGroup(key.Kind) {
		ref.Group = key.Group
	}
	return ref
}

// KeyOf is the key of the workload that an Incident is about, and whether it is about one.
func KeyOf(i *v1alpha1.Incident) (configuration.Key, bool) {
	ref := i.Spec.WorkloadRef
	if ref == nil {
		return configuration.Key{}, false
	}
	key := configuration.Key{Group: ref.Group, Kind: ref.Kind, Namespace: i.Namespace, Name: string(ref.Name)}
	if key.Group == "" {
		key.Group = defaultGroup(ref.Kind)
	}
	switch key.Kind {
	case KindNode, KindNamespace:
		key.Namespace = ""
	case KindDetection:
		if key.Group == GroupDetection {
			key.Namespace = ""
		}
	}
	return key, true
}

func defaultGroup(kind string) string {
	group, _ := configuration.GroupOf(kind)
	return group
}

// BacklogKey is that of the record of what already failed in a namespace before the operator first saw it.
func BacklogKey(namespace string) configuration.Key {
	return configuration.Key{Kind: KindNamespace, Name: namespace}
}

// OverflowKey is that of the record that counts what caps keep back.
func OverflowKey() configuration.Key {
	return configuration.Key{Group: GroupDetection, Kind: KindDetection, Name: "cap"}
}

// StandsForOthers reports whether the key is of a record about several workloads. It has no clocks.
func StandsForOthers(key configuration.Key) bool {
	return key.Kind == KindNamespace && key.Group == "" || key == OverflowKey()
}

// Episode is the number that an Incident's label tells, 0 where it has none.
func Episode(labels map[string]string) int {
	n, err := strconv.Atoi(labels[LabelEpisode])
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// Title says in one line what fails.
func Title(key configuration.Key, f Finding) string { //nolint:gocyclo // one case for each reason
	of := func(format string) string { return fmt.Sprintf(format, f.Container) }
	var what string
	switch f.Reason {
	case v1alpha1.SignalOOMKilled:
		what = of("container %s is OOMKilled")
	case v1alpha1.SignalCrashLooping:
		what = of("container %s crashes again and again") + exitText(f)
	case v1alpha1.SignalImagePullFailed:
		what = of("the image of container %s cannot be pulled")
	case v1alpha1.SignalConfigInvalid:
		what = of("container %s cannot be created from its configuration")
	case v1alpha1.SignalStartFailed:
		what = of("container %s cannot be started")
	case v1alpha1.SignalInitFailed:
		what = of("init container %s fails") + exitText(f)
	case v1alpha1.SignalUnschedulable:
		what = "no node takes its pods"
	case v1alpha1.SignalVolumeUnavailable:
		what = "a volume is not available"
	case v1alpha1.SignalSandboxFailed:
		what = "pods wait for their volumes or network"
	case v1alpha1.SignalPodRejected:
		what = "the kubelet rejects its pods"
	case v1alpha1.SignalPodFailed:
		what = "pods fail" + exitText(f)
	case v1alpha1.SignalNotReady:
		what = "pods run and are not ready"
	case v1alpha1.SignalEvicted:
		what = "pods were evicted from their node"
	case v1alpha1.SignalJobFailed:
		what = "the Job failed" + exitText(f)
	case v1alpha1.SignalScheduleMissed:
		what = "did not run at its time"
	case v1alpha1.SignalJobOverdue:
		what = "a Job runs too long"
	case v1alpha1.SignalStuckTerminating:
		what = "pods do not terminate"
	case v1alpha1.SignalRolloutStuck:
		what = "the rollout makes no progress"
	case v1alpha1.SignalReplicasMissing:
		what = "pods cannot be created"
	case v1alpha1.SignalNoReplicas:
		what = "it was scaled to zero"
	case v1alpha1.SignalNodeLost:
		what = "the node does not answer"
	default:
		what = string(f.Reason)
	}
	const maxTitle = 256
	return clip(key.Name+": "+what, maxTitle)
}

func exitText(f Finding) string {
	if f.ExitCode == nil {
		return ""
	}
	return fmt.Sprintf(" (exit code %d)", *f.ExitCode)
}
