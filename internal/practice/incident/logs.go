package incident

import (
	"strings"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// Bounds of the end of a log that an incident shows.
const (
	MaxLogLines = 20
	// MaxLogBytes is how much of a log is read: as many lines as a container runtime writes at most, 16 KiB each. A kubelet
	// that is given a lower bound cuts off the newest lines, not the oldest.
	MaxLogBytes = MaxLogLines * 16 << 10

	maxLogLine = 256
	maxProblem = 512
)

// LogSource is the container whose log tells most about a failure.
type LogSource struct {
	Pod, Container string
	// Previous: the run that failed is over, and another one began or is waited for.
	Previous bool
}

// LogOf is the container of the most telling finding that ever ran; ok is false where none did.
func LogOf(findings []Finding, pods []*Pod) (source LogSource, ok bool) {
	for _, f := range findings {
		switch f.Reason {
		case v1alpha1.SignalOOMKilled, v1alpha1.SignalCrashLooping, v1alpha1.SignalInitFailed, v1alpha1.SignalStartFailed,
			v1alpha1.SignalPodFailed, v1alpha1.SignalJobFailed, v1alpha1.SignalNotReady:
		default:
			continue
		}
		for _, pod := range pods {
			if len(f.Pods) > 0 && pod.Name != f.Pods[0] {
				continue
			}
			if c := pod.logged(f.Container); c != nil && len(f.Pods) > 0 {
				return LogSource{Pod: pod.Name, Container: c.Name, Previous: c.Last.Over && !c.Ended.Over && f.Reason != v1alpha1.SignalNotReady}, true
			}
		}
	}
	return LogSource{}, false
}

// logged is the named container, or the one that failed, or does not become ready, if it ever ran.
func (p *Pod) logged(name string) *Container {
	var found *Container
	for i := range p.Containers {
		c := &p.Containers[i]
		if !c.Running() && !c.Ended.Over && !c.Last.Over {
			continue
		}
		switch {
		case name != "" && c.Name != name:
		case name != "", c.Ended.Over && c.Ended.ExitCode != 0:
			return c
		case found == nil && !c.Ready:
			found = c
		}
	}
	return found
}

// TailOf is the end of a log as an incident shows it: its last lines, without what a terminal would obey.
func TailOf(source LogSource, text string, now time.Time) *v1alpha1.LogTail {
	tail := &v1alpha1.LogTail{
		At: metav1.NewTime(now.Truncate(time.Second)), Pod: source.Pod, Container: clip(source.Container, maxReason-1), Previous: source.Previous,
	}
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	for _, line := range lines[max(len(lines)-MaxLogLines, 0):] {
		line = strings.Map(func(r rune) rune {
			if r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
				return -1
			}
			return r
		}, line)
		tail.Lines = append(tail.Lines, clip(line, maxLogLine))
	}
	return tail
}

// NoTail says why there is no log.
func NoTail(source LogSource, problem string, now time.Time) *v1alpha1.LogTail {
	tail := TailOf(source, "", now)
	tail.Lines, tail.Problem = nil, clip(problem, maxProblem)
	return tail
}
