package detection

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// alertOf is one alert of a message; ends is when it ended, empty while it fires.
func alertOf(fingerprint, labels, ends string) string {
	status := "resolved"
	if ends == "" {
		status, ends = "firing", "0001-01-01T00:00:00Z"
	}
	return fmt.Sprintf(`{"status":%q,"labels":{"alertname":"Slow","namespace":"shop",%s},"annotations":{"summary":"p99 is 5 s"},
"startsAt":"2026-11-23T08:59:00Z","endsAt":%q,"fingerprint":%q}`, status, labels, ends, fingerprint)
}

func messageOf(alerts ...string) string {
	return `{"version":"4","alerts":[` + strings.Join(alerts, ",") + `]}`
}

const (
	ofPod = `"pod":"web-5d4f-0","node":"node-1"`
	ended = "2026-11-23T09:00:00Z"
)

// alerted is a scene in which an alert fires about a pod of a Deployment that is well.
func alerted(t *testing.T) *scene {
	t.Helper()
	s := newScene(t)
	s.hasWellWeb()
	s.begin()
	s.work()
	if got := s.post(messageOf(alertOf("0123456789abcdef", ofPod, ""))); got != http.StatusOK {
		t.Fatalf("answer %d", got)
	}
	if i := s.one(); i.Spec.WorkloadRef.Kind != "Deployment" || !incident.Active(i.Status.Signals) {
		t.Fatalf("about %+v, signals %+v", i.Spec.WorkloadRef, i.Status.Signals)
	}
	return s
}

func (s *scene) hasWellWeb() {
	s.has(builder.MakeDeployment("shop", "web").Replicas(1).Generation(1).RolledOut().Obj())
	s.seePod(pod("web", 0))
}

// TestAnAlertEndsWhatItBegan: whatever became of the pod that it names.
func TestAnAlertEndsWhatItBegan(t *testing.T) {
	for name, happens := range map[string]func(*scene){
		"the pod is there": func(*scene) {},
		"the pod was replaced": func(s *scene) {
			s.removePod(record(pod("web", 0)))
			s.seePod(pod("web", 1))
		},
		"the pod was replaced, and another replica leads": func(s *scene) {
			s.detector()
			s.has(builder.MakeDeployment("shop", "web").Replicas(1).Generation(1).RolledOut().Obj())
			s.tell()
			s.seePod(pod("web", 1))
			s.begin()
		},
		"the workload was made again": func(s *scene) {
			s.Inventory.Remove(s.live["Deployment shop/web"])
			s.removePod(record(pod("web", 0)))
			s.work()
			s.has(builder.MakeDeployment("shop", "web").Replicas(1).Generation(1).RolledOut().Obj())
			s.seePod(pod("web", 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := alerted(t)
			happens(s)
			s.work()
			if i := s.one(); !incident.Active(i.Status.Signals) {
				t.Fatalf("nobody said that it is over: %+v", i.Status.Signals)
			}
			if got := s.post(messageOf(alertOf("0123456789abcdef", ofPod, ended))); got != http.StatusOK {
				t.Fatalf("answer %d", got)
			}
			if i := s.one(); incident.Active(i.Status.Signals) {
				t.Errorf("it is over, and shows: %+v", i.Status.Signals)
			}
			if x := s.intake; len(x.alerts)+len(x.where)+len(x.told)+len(x.waiting) > 0 {
				t.Error("what is over is held on to")
			}
		})
	}
}

// TestAnAlertEndsWhereNoIncidentIsItsOwn: what caps keep back, and whose pod is gone, leaves the list.
func TestAnAlertEndsWhereNoIncidentIsItsOwn(t *testing.T) {
	for name, restart := range map[string]bool{"the same replica": false, "another replica leads": true} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.NamespaceCap = 1
			s.has(deployment("other", 1))
			s.seePod(crashing("other", 0))
			s.hasWellWeb()
			s.begin()
			s.work()
			s.post(messageOf(alertOf("0123456789abcdef", ofPod, "")))
			record0 := s.one0(incident.Name(incident.OverflowKey(), 1))
			if record0.Status.Workloads != 1 {
				t.Fatalf("record %+v", record0.Status)
			}
			if restart {
				s.detector()
				s.NamespaceCap = 1
				s.has(deployment("other", 1))
				s.has(builder.MakeDeployment("shop", "web").Replicas(1).Generation(1).RolledOut().Obj())
				s.seePod(crashing("other", 0))
				s.tell()
				s.begin()
			} else {
				s.removePod(record(pod("web", 0)))
			}
			s.seePod(pod("web", 1))
			s.work()
			s.at(time.Minute)
			if got := s.post(messageOf(alertOf("0123456789abcdef", ofPod, ended))); got != http.StatusOK {
				t.Fatalf("answer %d", got)
			}
			s.enqueue(incident.OverflowKey())
			s.work()
			if got := s.one0(record0.Name).Status; got.Workloads != 0 {
				t.Errorf("%d workloads, signals %+v", got.Workloads, got.Signals)
			}
		})
	}
}

// TestMoreAlertsThanAreFollowed of one workload are no reason to send all of them again, and keep nothing else back.
func TestMoreAlertsThanAreFollowed(t *testing.T) {
	s := newScene(t)
	s.hasWellWeb()
	s.has(builder.MakeDeployment("shop", "api").Replicas(1).Generation(1).RolledOut().Obj())
	s.begin()
	s.work()
	several := func(ends int) string {
		var alerts []string
		for n := range incident.MaxAlerts + 5 {
			end := ""
			if n < ends {
				end = ended
			}
			// Those that ended come last.
			alerts = append([]string{alertOf(fmt.Sprintf("%08d", n), `"deployment":"web"`, end)}, alerts...)
		}
		return messageOf(append(alerts, alertOf("99999999", `"deployment":"api"`, ""))...)
	}
	active := func(deployment string) int {
		n := 0
		for _, i := range s.list() {
			for _, signal := range i.Status.Signals {
				if signal.ClearedAt == nil && string(i.Spec.WorkloadRef.Name) == deployment {
					n++
				}
			}
		}
		return n
	}
	if got := s.post(several(0)); got != http.StatusOK || active("web") != incident.MaxAlerts || active("api") != 1 {
		t.Fatalf("answer %d, %d alerts of one and %d of the other", got, active("web"), active("api"))
	}
	for _, test := range []struct{ ends, want int }{{10, incident.MaxAlerts - 5}, {25, 0}} {
		if got := s.post(several(test.ends)); got != http.StatusOK || active("web") != test.want {
			t.Errorf("%d are over: answer %d, %d fire, want %d", test.ends, got, active("web"), test.want)
		}
	}
}

// TestWhoDoesNotLeadEndsTheConnection: the next try must not come to the same replica.
func TestWhoDoesNotLeadEndsTheConnection(t *testing.T) {
	s := newScene(t)
	receiver := &AlertReceiver{Detector: s.Reconciler}
	answer := httptest.NewRecorder()
	receiver.receive(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, AlertPath, strings.NewReader(firingBody)))
	if got := answer.Header().Get("Connection"); answer.Code != http.StatusServiceUnavailable || got != "close" {
		t.Errorf("answer %d, connection %q", answer.Code, got)
	}
}

// TestAnAlertAboutAService is explained by what fails of it, whichever is told first.
func TestAnAlertAboutAService(t *testing.T) {
	firing := messageOf(alertOf("0123456789abcdef", `"itil_service":"checkout"`, ""))
	for name, alertFirst := range map[string]bool{"the alert comes first": true, "the failure comes first": false} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.hasService(builder.MakeService("shop", "checkout").Tier(2).Claim(v1alpha1.WorkloadDeployment, "web"))
			s.has(deployment("web", 1))
			s.begin()
			s.work()
			if alertFirst {
				s.post(firing)
			}
			crash := crashing("web", 0)
			began := crash.Status.ContainerStatuses[0].LastTerminationState.Terminated
			began.StartedAt.Time, began.FinishedAt.Time = t0.Add(-2*time.Minute), t0.Add(-2*time.Minute)
			s.seePod(crash)
			s.work()
			cause := s.one0(incident.Name(keyOfDeployment("web"), 1))
			cause.Status.State, cause.Status.Impact = v1alpha1.IncidentNew, v1alpha1.LevelHigh
			if err := s.server.Status().Update(t.Context(), cause); err != nil {
				t.Fatal(err)
			}
			s.tell()
			s.work()
			if !alertFirst {
				s.post(firing)
			}
			alert := s.one0(incident.Name(incident.ServiceKey("shop", "checkout"), 1))
			if ref := alert.Status.ParentRef; ref == nil || string(ref.Name) != cause.Name {
				t.Errorf("it is explained by %v, since %v, alert since %v", ref, cause.Status.Signals[0].Since, alert.Status.Signals[0].Since)
			}
			if ref := s.one0(cause.Name).Status.ParentRef; ref != nil {
				t.Errorf("the cause is explained by %v", ref)
			}
		})
	}
}
