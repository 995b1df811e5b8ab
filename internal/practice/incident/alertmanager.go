package incident

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/itil-dev/itil-operator/internal/practice/configuration"
)

// MaxReports is how many alerts one message may have.
const MaxReports = 1000

var errAlertmanager = errors.New("not a message of Alertmanager's webhook, version 4")

// Report is an alert as somebody reported it.
type Report struct {
	Alert
	// Targets are what it may be about, the most telling first.
	Targets []configuration.Key
}

// message is what Alertmanager sends to a webhook, as far as it matters here.
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
type message struct {
	Version string `json:"version"`
	Alerts  []struct {
		Status       string            `json:"status"`
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		StartsAt     time.Time         `json:"startsAt"`
		EndsAt       time.Time         `json:"endsAt"`
		GeneratorURL string            `json:"generatorURL"`
		Fingerprint  string            `json:"fingerprint"`
	} `json:"alerts"`
}

// ReadAlertmanager reads a message of Alertmanager's webhook. Each alert is known by its name and fingerprint, so that
// two instances of one rule do not end each other.
func ReadAlertmanager(body []byte, now time.Time) ([]Report, error) {
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("%w: %w", errAlertmanager, err)
	}
	if m.Version != "4" {
		return nil, fmt.Errorf("%w: version %q", errAlertmanager, clip(m.Version, maxReason))
	}
	if len(m.Alerts) > MaxReports {
		return nil, fmt.Errorf("%w: %d alerts, at most %d are taken: set max_alerts", errAlertmanager, len(m.Alerts), MaxReports)
	}
	out := make([]Report, 0, len(m.Alerts))
	for _, a := range m.Alerts {
		if a.Status != "firing" && a.Status != "resolved" {
			return nil, fmt.Errorf("%w: an alert is %q", errAlertmanager, clip(a.Status, maxReason))
		}
		const instanceDigits = 8
		r := Report{Alert: Alert{
			Name: clip(cmp.Or(oneLine(a.Labels["alertname"]), "unnamed"), maxAlert-instanceDigits-1) + alertSeparator +
				clip(oneLine(cmp.Or(a.Fingerprint, digest(fmt.Sprint(a.Labels)))), instanceDigits),
			Since:   notAfter(a.StartsAt, now),
			Message: clip(cmp.Or(a.Annotations["summary"], a.Annotations["message"], a.Annotations["description"]), maxContainerTexts),
		}, Targets: targetsOf(a.Labels)}
		if a.Status == "resolved" {
			r.EndedAt = notAfter(a.EndsAt, now)
		}
		out = append(out, r)
	}
	return out, nil
}

func notAfter(t, now time.Time) time.Time {
	if t.IsZero() || t.Unix() <= 0 || t.After(now) {
		return now
	}
	return t
}

// targetsOf is what the labels of an alert say it is about: a Service that is named as such, then the workload, by the
// labels of kube-state-metrics, then the node, and at last a Service of ours of the name of the scraped one.
func targetsOf(labels map[string]string) []configuration.Key {
	var out []configuration.Key
	namespace := labels["namespace"]
	add := func(label, group, kind string) {
		name := labels[label]
		if name == "" || len(name) > maxObjectName || len(namespace) > maxReason-1 {
			return
		}
		key := configuration.Key{Group: group, Kind: kind, Namespace: namespace, Name: name}
		if kind == KindNode {
			key.Namespace = ""
		} else if namespace == "" {
			return
		}
		out = append(out, key)
	}
	add("itil_service", GroupDetection, KindService)
	add("deployment", defaultGroup(configuration.KindDeployment), configuration.KindDeployment)
	add("statefulset", defaultGroup(configuration.KindStatefulSet), configuration.KindStatefulSet)
	add("daemonset", defaultGroup(configuration.KindDaemonSet), configuration.KindDaemonSet)
	add("cronjob", defaultGroup(configuration.KindCronJob), configuration.KindCronJob)
	add("job_name", defaultGroup(configuration.KindJob), configuration.KindJob)
	add("pod", "", KindPod)
	add("service", GroupDetection, KindService)
	add("node", "", KindNode)
	return out
}

// oneLine makes a name of others fit for a title.
func oneLine(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range clip(s, maxAlert) {
		if r == '\n' || string(r) == alertSeparator {
			r = ' '
		}
		out = append(out, r)
	}
	return string(out)
}
