package faults_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

// throttling counts what the API server itself answers with 429, and whether it says when to come again.
type throttling struct{ writes, reads, watches, leases, unsaid atomic.Int64 }

func (c *throttling) middleware(next http.RoundTripper) http.RoundTripper {
	return replica.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(r)
		if err != nil || response.StatusCode != http.StatusTooManyRequests {
			return response, err
		}
		if response.Header.Get("Retry-After") == "" {
			c.unsaid.Add(1)
		}
		switch target := replica.TargetOf(r); {
		case target.Watch:
			c.watches.Add(1)
		case target.Resource == "leases":
			c.leases.Add(1)
		case target.Writes():
			c.writes.Add(1)
		default:
			c.reads.Add(1)
		}
		return response, nil
	})
}

// jail gives a user no share of the API server, by its priority and fairness: it answers each request with 429 and
// Retry-After. What it returns ends that.
func jail(t *testing.T, user string) (release func()) {
	t.Helper()
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
	release = func() {
		for _, o := range []client.Object{flow, level} {
			if err := client.IgnoreNotFound(env.Admin().Delete(context.Background(), o)); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(release)
	for _, o := range []client.Object{level, flow} {
		if err := env.Admin().Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return release
}

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
	without := w.clock.Real(time.Duration(size(2, 15)) * time.Minute)
	storm := func(failing []*workload, alter func(context.Context, *workload) error) {
		release := jail(t, user)
		leases, watches := refused.leases.Load(), refused.watches.Load()+refused.reads.Load()
		for _, one := range failing {
			w.must(alter(ctx, one))
		}
		w.g.Eventually(refused.leases.Load).Should(BeNumerically(">", leases), "no lease is throttled")
		lines.cut()
		// Of a leader that lives on; one that lost its lease is begun again, and is refused what it reads first.
		w.g.Eventually(func() int64 { return refused.watches.Load() + refused.reads.Load() }).Should(BeNumerically(">", watches), "no watch is throttled")
		pause(ctx, without)
		release()
	}
	for range size(1, 5) {
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
	t.Logf("throttled: %d writes, %d reads, %d watches, %d of leases; replicas started: %d and %d", refused.writes.Load(), refused.reads.Load(),
		refused.watches.Load(), refused.leases.Load(), f.slots[0].count(), f.slots[1].count())
}
