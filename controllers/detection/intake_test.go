package detection

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/practice/incident"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

const firingBody = `{"version":"4","alerts":[{"status":"firing","labels":{"alertname":"Slow","namespace":"shop","deployment":"web"},
"annotations":{"summary":"p99 is 5 s"},"startsAt":"2026-11-23T08:59:00Z","endsAt":"0001-01-01T00:00:00Z","fingerprint":"0123456789abcdef"}]}`

// post sends a message to the intake, while the queue is worked off, and returns the answer's status.
func (s *scene) post(body string) int {
	s.t.Helper()
	receiver := &AlertReceiver{Detector: s.Reconciler}
	answer := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		receiver.receive(answer, httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, AlertPath, strings.NewReader(body)))
	}()
	for {
		select {
		case <-done:
			return answer.Code
		default:
			s.work()
		}
	}
}

func TestAlertmanager(t *testing.T) {
	s := newScene(t)
	s.hasService(builder.MakeService("shop", "checkout").Tier(2).Claim(v1alpha1.WorkloadDeployment, "web"))
	s.has(deployment("web", 1))
	if got := s.post(firingBody); got != http.StatusServiceUnavailable {
		t.Errorf("a replica that does not lead answers %d", got)
	}
	s.begin()
	s.seePod(pod("web", 0))
	s.work()
	if got := s.post(firingBody); got != http.StatusOK {
		t.Fatalf("answer %d", got)
	}
	i := s.one()
	if i.Spec.Source != v1alpha1.IncidentSourceAlert || i.Spec.Title != "web: alert Slow fires: p99 is 5 s" || i.Spec.ServiceRef.Name != "checkout" {
		t.Errorf("spec %+v", i.Spec)
	}
	writes := s.writes[i.Name]
	if got := s.post(firingBody); got != http.StatusOK || s.writes[i.Name] != writes {
		t.Errorf("repeated: answer %d, %d writes", got, s.writes[i.Name]-writes)
	}
	t.Run("a failure that is seen joins it", func(t *testing.T) {
		s.seePod(crashing("web", 0))
		s.work()
		if i := s.one(); len(i.Status.Signals) != 2 || i.Status.Reason != v1alpha1.SignalCrashLooping {
			t.Errorf("signals %+v", i.Status.Signals)
		}
		s.seePod(pod("web", 0))
		s.work()
	})
	t.Run("it outlasts a restart, until it is resolved", func(t *testing.T) {
		s.detector()
		s.hasService(builder.MakeService("shop", "checkout").Tier(2).Claim(v1alpha1.WorkloadDeployment, "web"))
		s.has(builder.MakeDeployment("shop", "web").Generation(1).RolledOut().Obj())
		s.tell()
		s.seePod(pod("web", 0))
		s.at(time.Hour)
		s.lookAtAll()
		if i := s.one(); !incident.Active(i.Status.Signals) {
			t.Errorf("signals %+v", i.Status.Signals)
		}
		resolved := strings.NewReplacer(`"firing"`, `"resolved"`, "0001-01-01T00:00:00Z", "2026-11-23T09:30:00Z").Replace(firingBody)
		if got := s.post(resolved); got != http.StatusOK {
			t.Fatalf("answer %d", got)
		}
		if i := s.one(); incident.Active(i.Status.Signals) || i.Status.RecoveredAt == nil {
			t.Errorf("signals %+v", i.Status.Signals)
		}
		if len(s.intake.alerts)+len(s.intake.told)+len(s.intake.waiting) > 0 {
			t.Error("what is over is held on to")
		}
	})
}

// TestAlertTargets: what an alert is about.
func TestAlertTargets(t *testing.T) {
	s := newScene(t)
	s.hasService(builder.MakeService("shop", "checkout").Tier(2))
	s.has(deployment("web", 1))
	s.seePod(pod("web", 0))
	s.work()
	web := keyOfDeployment("web")
	for name, test := range map[string]struct {
		targets []configuration.Key
		want    configuration.Key
	}{
		"a Service of ours":           {[]configuration.Key{incident.ServiceKey("shop", "checkout"), web}, incident.ServiceKey("shop", "checkout")},
		"a scraped Service":           {[]configuration.Key{incident.ServiceKey("shop", "web"), web}, web},
		"a pod":                       {[]configuration.Key{{Kind: "Pod", Namespace: "shop", Name: "web-5d4f-0"}}, web},
		"a pod that is gone":          {[]configuration.Key{{Kind: "Pod", Namespace: "shop", Name: "web-5d4f-9"}}, configuration.Key{}},
		"a workload that there isn't": {[]configuration.Key{keyOfDeployment("other")}, configuration.Key{}},
		"a node":                      {[]configuration.Key{{Kind: "Node", Name: "node-1"}}, configuration.Key{Kind: "Node", Name: "node-1"}},
	} {
		if got, ok := s.existing(test.targets); got != test.want || ok != (got != configuration.Key{}) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAlertBodies(t *testing.T) {
	s := newScene(t)
	s.begin()
	for name, test := range map[string]struct {
		body string
		want int
	}{
		"nonsense":                       {"firing", http.StatusBadRequest},
		"another version":                {`{"version":"5","alerts":[]}`, http.StatusBadRequest},
		"nothing":                        {`{"version":"4","alerts":[]}`, http.StatusOK},
		"about nothing that is known":    {strings.ReplaceAll(firingBody, `"web"`, `"other"`), http.StatusOK},
		"more than one cares to read of": {`{"version":"4","alerts":[]` + strings.Repeat(" ", maxAlertBody) + "}", http.StatusRequestEntityTooLarge},
	} {
		if got := s.post(test.body); got != test.want {
			t.Errorf("%s: answer %d, want %d", name, got, test.want)
		}
	}
	if list := s.list(); len(list) > 0 {
		t.Errorf("incidents %v", list)
	}
}

// TestAnAlertIsWrittenBeforeItIsAnswered: what was written meanwhile, or what the watches are behind with, makes the look
// be repeated, and whoever reports waits for that.
func TestAnAlertIsWrittenBeforeItIsAnswered(t *testing.T) {
	key := keyOfDeployment("web")
	ref := incident.Reference(key)
	for name, prepare := range map[string]func(*scene){
		"its Incident was written meanwhile": func(s *scene) {
			i := &v1alpha1.Incident{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: incident.Name(key, 1), Labels: map[string]string{v1alpha1.LabelEpisode: "1"}},
				Spec:       v1alpha1.IncidentSpec{Title: "web: alert Slow fires", Source: v1alpha1.IncidentSourceAlert, WorkloadRef: &ref},
			}
			if err := s.server.Create(t.Context(), i); err != nil {
				t.Fatal(err)
			}
			s.tell()
			s.intercept.SubResourcePatch = func(ctx, client.Client, string, client.Object, client.Patch, ...client.SubResourcePatchOption) error {
				s.intercept.SubResourcePatch = nil
				return apierrors.NewConflict(schema.GroupResource{Resource: "incidents"}, i.Name, errors.New("it was written"))
			}
		},
		"a pod that fails, too, is gone by now": func(s *scene) {
			gone := record(crashing("web", 0))
			s.putPod(nil, gone)
			getLive := s.Reader
			s.Reader = interceptor.NewClient(s.server.(client.WithWatch), interceptor.Funcs{
				Get: func(c ctx, _ client.WithWatch, name client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					if _, is := o.(*corev1.Pod); is {
						s.removePod(gone) // the watch tells in the same moment
					}
					return getLive.Get(c, name, o, opts...)
				},
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.has(builder.MakeDeployment("shop", "web").Generation(1).RolledOut().Obj())
			prepare(s)
			answered, err := s.intake.put(key, incident.Alert{Name: "Slow/0123456789abcdef", Since: t0.Add(-time.Minute), Message: "p99 is 5 s"})
			if err != nil {
				t.Fatal(err)
			}
			for n := range 2 {
				if _, err := s.Reconcile(t.Context(), key); err != nil {
					t.Fatal(err)
				}
				select {
				case <-answered:
					if i := s.list(); n == 0 || len(i) != 1 || len(i[0].Status.Signals) != 1 || i[0].Status.Signals[0].Reason != v1alpha1.SignalAlertFiring {
						t.Fatalf("answered after %d looks, and there are %+v", n+1, i)
					}
				default:
					if n > 0 {
						t.Error("it is written, and nobody is told")
					}
				}
			}
		})
	}
}
