package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

// throttling counts what the API server itself answers with 429, at the operator's own connection.
type throttling struct {
	// era is even while the operator has a share, and odd while somebody else holds the only seat.
	era atomic.Int64

	writes, reads, watches, leases atomic.Int64
	// unsaid: refused without a word on when to come again. passed: sent while the seat was taken, and not refused.
	unsaid, passed atomic.Int64
}

func (c *throttling) middleware(next http.RoundTripper) http.RoundTripper {
	return replica.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		era := c.era.Load()
		response, err := next.RoundTrip(r)
		if err != nil {
			return response, err
		}
		target := replica.TargetOf(r)
		if response.StatusCode != http.StatusTooManyRequests {
			// What is about no resource, as discovery, is not of the flow.
			if era%2 == 1 && c.era.Load() == era && target.Resource != "" {
				c.passed.Add(1)
			}
			return response, nil
		}
		if response.Header.Get("Retry-After") == "" {
			c.unsaid.Add(1)
		}
		switch {
		case target.Watch:
			c.watches.Add(1)
		case target.Group == "coordination.k8s.io":
			c.leases.Add(1)
		case target.Writes():
			c.writes.Add(1)
		default:
			c.reads.Add(1)
		}
		return response, nil
	})
}

// occupant holds a seat of a priority level: by a request that waits for a webhook.
type occupant struct {
	t      *testing.T
	user   string
	url    string
	client *http.Client
	counts *throttling

	entered, leave chan struct{}
	begins, ends   sync.Once
}

// begin and end say from when, and until when, the seat is taken for certain.
func (o *occupant) begin() {
	o.begins.Do(func() {
		o.counts.era.Add(1)
		close(o.entered)
	})
}

func (o *occupant) end() { o.ends.Do(func() { o.counts.era.Add(1) }) }

// jail lets the API server refuse all that a user asks for: its priority level has no share, which lets one request
// through at a time, and that one is somebody's who does not leave. What it returns ends that.
func jail(t *testing.T, w *world, user string, counts *throttling) (release func()) {
	t.Helper()
	ctx := t.Context()
	config := env.Config(t, user)
	https, err := rest.HTTPClientFor(config)
	w.must(err)
	o := &occupant{
		t: t, user: user, client: https, counts: counts,
		url:     strings.TrimSuffix(config.Host, "/") + "/api/v1/namespaces/" + w.namespace + "/configmaps?dryRun=All",
		entered: make(chan struct{}), leave: make(chan struct{}),
	}
	hook := httptest.NewTLSServer(http.HandlerFunc(o.hold))
	level, flow := flowWithoutShare(user)
	objects := []client.Object{level, flow, o.webhook(hook)}
	for _, object := range objects {
		w.must(env.Admin().Create(ctx, object))
	}
	done := make(chan struct{})
	release = sync.OnceFunc(func() {
		if o.in() {
			o.end()
		}
		close(o.leave)
		<-done
		for _, object := range objects {
			if err := client.IgnoreNotFound(env.Admin().Delete(context.Background(), object)); err != nil {
				t.Error(err)
			}
		}
		hook.Close()
	})
	t.Cleanup(release)
	w.g.Eventually(func() (string, error) { return o.level(ctx) }).Should(Equal(string(level.UID)), "the user's requests are not of the level")
	go func() {
		defer close(done)
		o.occupy()
	}()
	select {
	case <-o.entered:
	case <-time.After(patience):
		t.Fatal("nobody holds the seat")
	}
	return release
}

// flowWithoutShare is a priority level whose only user this is.
func flowWithoutShare(user string) (*flowcontrolv1.PriorityLevelConfiguration, *flowcontrolv1.FlowSchema) {
	level := &flowcontrolv1.PriorityLevelConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		Spec: flowcontrolv1.PriorityLevelConfigurationSpec{
			Type: flowcontrolv1.PriorityLevelEnablementLimited,
			Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
				NominalConcurrencyShares: new(int32(0)), BorrowingLimitPercent: new(int32(0)),
				LimitResponse: flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeReject},
			},
		},
	}
	flow := &flowcontrolv1.FlowSchema{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		Spec: flowcontrolv1.FlowSchemaSpec{
			PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: user}, MatchingPrecedence: 2,
			Rules: []flowcontrolv1.PolicyRulesWithSubjects{{
				Subjects: []flowcontrolv1.Subject{{Kind: flowcontrolv1.SubjectKindUser, User: &flowcontrolv1.UserSubject{Name: user}}},
				ResourceRules: []flowcontrolv1.ResourcePolicyRule{{
					Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}, Namespaces: []string{"*"}, ClusterScope: true,
				}},
			}},
		},
	}
	return level, flow
}

const labelOccupant = "faults.itil.dev/occupant"

// webhook is asked twice about what the occupant creates, which is as long as a request may take.
func (o *occupant) webhook(server *httptest.Server) *admissionregistrationv1.ValidatingWebhookConfiguration {
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	webhooks := make([]admissionregistrationv1.ValidatingWebhook, 2)
	for n := range webhooks {
		webhooks[n] = admissionregistrationv1.ValidatingWebhook{
			Name:                    fmt.Sprintf("occupant%d.faults.itil.dev", n),
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: &server.URL, CABundle: authority},
			FailurePolicy:           new(admissionregistrationv1.Ignore),
			SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
			TimeoutSeconds:          new(int32(30)),
			AdmissionReviewVersions: []string{"v1"},
			ObjectSelector:          &metav1.LabelSelector{MatchLabels: map[string]string{labelOccupant: o.user}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			}},
		}
	}
	return &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: o.user}, Webhooks: webhooks}
}

// hold is the webhook: its request, and by that the occupant's, lasts until it may leave.
func (o *occupant) hold(rw http.ResponseWriter, r *http.Request) {
	review := &admissionv1.AdmissionReview{}
	if err := json.NewDecoder(r.Body).Decode(review); err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	o.begin()
	select {
	case <-o.leave:
	case <-r.Context().Done():
		o.end() // it took too long: nothing is certain any more
	}
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	_ = json.NewEncoder(rw).Encode(review)
}

// level is the UID of the priority level by which the API server judges the user.
func (o *occupant) level(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, o.url, nil)
	if err != nil {
		return "", err
	}
	response, err := o.client.Do(request)
	if err != nil {
		return "", err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return response.Header.Get(flowcontrolv1.ResponseHeaderMatchedPriorityLevelConfigurationUID), response.Body.Close()
}

// occupy takes the seat and keeps it. The operator's requests compete for it, and the API server may not know of the
// webhook yet: it tries until it is in.
func (o *occupant) occupy() {
	body := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"occupant","labels":{%q:%q}}}`, labelOccupant, o.user)
	for !o.in() {
		select {
		case <-o.leave:
			return
		default:
		}
		response, err := o.client.Post(o.url, "application/json", bytes.NewBufferString(body))
		if err != nil {
			o.t.Logf("the occupant: %v", err)
			continue
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	o.end()
}

// in reports whether it got the seat.
func (o *occupant) in() bool { return closed(o.entered) }

// TestThrottledByTheServer lets the API server refuse everything that the operator asks for, by its own priority and
// fairness, while workloads fail and recover: writes, leases, and the lists and watches of a replica that begins.
func TestThrottledByTheServer(t *testing.T) {
	w := newWorld(t, size(4, 10))
	const user = "throttled-operator"
	env.Bind(t, "", apiserver.User(user), "cluster-admin")
	refused, lines := &throttling{}, &watches{}
	f := newFleet(t, w, 2, func(c *replica.Config) {
		c.REST = env.Config(t, user)
		c.Between = []replica.Middleware{lines.middleware, refused.middleware}
	})
	ctx := t.Context()
	w.round(ctx)
	storm := func(failing []*workload, alter func(context.Context, *workload) error) {
		release := jail(t, w, user, refused)
		leases, reads := refused.leases.Load(), refused.watches.Load()+refused.reads.Load()
		for _, one := range failing {
			w.must(alter(ctx, one))
		}
		w.g.Eventually(refused.leases.Load).Should(BeNumerically(">", leases), "no lease is throttled")
		lines.cut()
		// Of a leader that lives on; one that lost its lease is begun again, and is refused what it reads first.
		w.g.Eventually(func() int64 { return refused.watches.Load() + refused.reads.Load() }).Should(BeNumerically(">", reads), "no watch is throttled")
		pause(ctx, w.clock.Real(2*time.Minute))
		release()
	}
	for range size(1, 10) {
		failing := w.some()
		storm(failing, w.begin)
		w.agrees(ctx, "when it may ask again, after they failed")
		storm(failing, w.end)
		w.agrees(ctx, "when it may ask again, after they recovered")
	}
	w.stays(ctx)
	if n := refused.unsaid.Load(); n > 0 {
		t.Errorf("%d refusals did not say when to come again: this is not the API server's priority and fairness", n)
	}
	if n := refused.passed.Load(); n > 0 {
		t.Errorf("%d requests were answered while somebody else held the only seat", n)
	}
	t.Logf("throttled: %d writes, %d reads, %d watches, %d of leases; replicas started: %d and %d", refused.writes.Load(), refused.reads.Load(),
		refused.watches.Load(), refused.leases.Load(), f.slots[0].count(), f.slots[1].count())
}
