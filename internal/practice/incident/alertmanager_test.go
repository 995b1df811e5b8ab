package incident_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// alertmanagerBody is a message as Alertmanager's documentation shows it.
const alertmanagerBody = `{
  "version": "4", "groupKey": "{}:{alertname=\"HighErrorRate\"}", "truncatedAlerts": 0, "status": "firing", "receiver": "itil",
  "groupLabels": {"alertname": "HighErrorRate"}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://alertmanager:9093",
  "alerts": [
    {"status": "firing", "labels": {"alertname": "HighErrorRate", "namespace": "shop", "deployment": "web", "pod": "web-1-a", "node": "node-1"},
     "annotations": {"summary": "5 % of requests fail", "description": "long"}, "startsAt": "2026-11-23T08:59:00.123Z",
     "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus/graph", "fingerprint": "c1a2b3c4d5e6f708"},
    {"status": "resolved", "labels": {"alertname": "Slow", "namespace": "shop", "service": "checkout"}, "annotations": {},
     "startsAt": "2026-11-23T08:00:00Z", "endsAt": "2026-11-23T08:58:00Z", "generatorURL": "", "fingerprint": "ffffffff00000000"}
  ]}`

func TestReadAlertmanager(t *testing.T) {
	reports, err := incident.ReadAlertmanager([]byte(alertmanagerBody), t0)
	if err != nil {
		t.Fatal(err)
	}
	apps := func(kind, name string) configuration.Key {
		return configuration.Key{Group: "apps", Kind: kind, Namespace: "shop", Name: name}
	}
	want := []incident.Report{
		{
			Alert: incident.Alert{
				Name: "HighErrorRate#c1a2b3c4", Since: time.Date(2026, 11, 23, 8, 59, 0, 123_000_000, time.UTC), Message: "5 % of requests fail",
			},
			Targets: []configuration.Key{
				apps("Deployment", "web"), {Kind: "Pod", Namespace: "shop", Name: "web-1-a"}, {Kind: "Node", Name: "node-1"},
			},
		},
		{
			Alert: incident.Alert{
				Name: "Slow#ffffffff", Since: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC), EndedAt: time.Date(2026, 11, 23, 8, 58, 0, 0, time.UTC),
			},
			Targets: []configuration.Key{incident.ServiceKey("shop", "checkout")},
		},
	}
	if diff := cmp.Diff(want, reports); diff != "" {
		t.Errorf("reports (-want +got):\n%s", diff)
	}
	for name, body := range map[string]string{
		"no JSON": "firing", "another version": `{"version":"3"}`, "a status of its own": `{"version":"4","alerts":[{"status":"pending"}]}`,
		"too many": `{"version":"4","alerts":[` + strings.TrimSuffix(strings.Repeat(`{"status":"firing"},`, incident.MaxReports+1), ",") + `]}`,
		"no time":  `{"version":"4","alerts":[{"status":"firing","startsAt":"yesterday"}]}`,
	} {
		if got, err := incident.ReadAlertmanager([]byte(body), t0); err == nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// FuzzReadAlertmanager: whatever is sent, what comes out is bounded and fit for a title.
func FuzzReadAlertmanager(f *testing.F) {
	f.Add([]byte(alertmanagerBody))
	f.Add([]byte(`{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"a\nb#c","namespace":"x","pod":"y"},"startsAt":"9999-12-31T23:59:59Z"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		reports, err := incident.ReadAlertmanager(body, t0)
		if err != nil {
			return
		}
		for _, r := range reports {
			if len([]rune(r.Name)) > 128 || strings.Count(r.Name, "#") != 1 || strings.ContainsAny(r.Name, "\n\x00") {
				t.Errorf("name %q", r.Name)
			}
			if r.Since.After(t0) || r.EndedAt.After(t0) || len(r.Targets) > 9 {
				t.Errorf("report %+v", r)
			}
			for _, key := range r.Targets {
				title := incident.Title(key, incident.Finding{Reason: v1alpha1.SignalAlertFiring, Alert: r.Name, Message: r.Message})
				if len([]rune(title)) > 256 || strings.ContainsAny(title, "\n") && !strings.ContainsAny(key.Name, "\n") {
					t.Errorf("title %q", title)
				}
			}
		}
	})
}

// TestAlerts: they come and go by what is reported of them, and by nothing else.
func TestAlerts(t *testing.T) {
	firing := incident.Alert{Name: "HighErrorRate#c1", Since: at(-minute), Message: "5 % of requests fail"}
	other := incident.Alert{Name: "HighErrorRate#c2", Since: at(-minute)}
	look := func(d incident.Detected, resolved bool, now time.Time, alerts ...incident.Alert) incident.Detected {
		o := incident.Observation{Key: web, Pods: []*incident.Pod{aPod("a").obj()}, Alerts: alerts}
		r := incident.Observe(o, incident.DefaultSettings(), incident.History{}, now)
		s := subject()
		s.Resolved = resolved
		d, _ = incident.Correlate(d, r, s, now)
		return d
	}
	d := look(incident.Detected{}, false, t0, firing, other)
	if len(d.Signals) != 2 || d.Reason != v1alpha1.SignalAlertFiring || d.Signals[0].Alert != firing.Name || !d.StartedAt.Time.Equal(firing.Since) {
		t.Fatalf("signals %+v", d.Signals)
	}
	t.Run("silence, and that pods are well, clears nothing", func(t *testing.T) {
		if after := look(d, false, at(24*hour)); !incident.Active(after.Signals) || after.RecoveredAt != nil {
			t.Errorf("signals %+v", after.Signals)
		}
	})
	t.Run("one of two ends", func(t *testing.T) {
		ended := firing
		ended.EndedAt = at(minute)
		after := look(d, false, at(2*minute), ended, other)
		if !incident.Active(after.Signals) || after.RecoveredAt != nil {
			t.Errorf("signals %+v", after.Signals)
		}
		both := other
		both.EndedAt = at(3 * minute)
		after = look(after, false, at(4*minute), both)
		if incident.Active(after.Signals) || !after.RecoveredAt.Time.Equal(both.EndedAt) {
			t.Errorf("signals %+v, recovered at %s", after.Signals, after.RecoveredAt)
		}
	})
	t.Run("a person may say that it is over", func(t *testing.T) {
		k := aTicket(t)
		k.i.Status = d.Into(k.i.Status)
		k.do(func(s *v1alpha1.IncidentSpec) { s.Resolution = &v1alpha1.Resolution{Code: v1alpha1.ResolutionNoFault} }).is("Resolved")
	})
	title := incident.Title(web, incident.Finding{Reason: v1alpha1.SignalAlertFiring, Alert: firing.Name, Message: firing.Message})
	if want := "web: alert HighErrorRate fires: 5 % of requests fail"; title != want {
		t.Errorf("title %q, want %q", title, want)
	}
}

func TestTailOf(t *testing.T) {
	source := incident.LogSource{Pod: "web-1-a", Container: "app", Previous: true}
	var text strings.Builder
	for n := range 30 {
		fmt.Fprintf(&text, "line %d\r\n", n)
	}
	text.WriteString("\x1b[31mred\u202e " + strings.Repeat("x", 300) + "\x00\n")
	tail := incident.TailOf(source, text.String(), t0)
	if len(tail.Lines) != 20 || tail.Lines[0] != "line 11" || len(tail.Lines[19]) != 256 || !strings.HasPrefix(tail.Lines[19], "[31mred xxx") {
		t.Errorf("%d lines: %q", len(tail.Lines), tail.Lines)
	}
}

// TestLogOf: whose log tells.
func TestLogOf(t *testing.T) {
	crashing := aPod("b").ended("app", "Error", 1, 10*second, 20*second)
	for name, test := range map[string]struct {
		finding incident.Finding
		want    incident.LogSource
		ok      bool
	}{
		"the run that is over, while the next is waited for": {
			incident.Finding{Reason: v1alpha1.SignalCrashLooping, Container: "app", Pods: []string{"b"}}, incident.LogSource{Pod: "b", Container: "app"}, true,
		},
		"an image that cannot be had has no log": {incident.Finding{Reason: v1alpha1.SignalImagePullFailed, Container: "app", Pods: []string{"b"}}, incident.LogSource{}, false},
		"a pod that is not there":                {incident.Finding{Reason: v1alpha1.SignalCrashLooping, Container: "app", Pods: []string{"x"}}, incident.LogSource{}, false},
	} {
		if got, ok := incident.LogOf([]incident.Finding{test.finding}, []*incident.Pod{crashing.obj()}); got != test.want || ok != test.ok {
			t.Errorf("%s: %+v %t", name, got, ok)
		}
	}
}
