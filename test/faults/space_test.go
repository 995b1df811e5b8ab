package faults_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

const noSpace = "database space exceeded"

// outOfSpace counts what the API server itself refuses since etcd has no space, at the operator's own connection.
type outOfSpace struct{ incidents, leases, others atomic.Int64 }

func (c *outOfSpace) middleware(next http.RoundTripper) http.RoundTripper {
	return replica.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(r)
		if err != nil || response.StatusCode < http.StatusInternalServerError {
			return response, err
		}
		body, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil {
			return nil, err
		}
		response.Body = io.NopCloser(bytes.NewReader(body))
		if !bytes.Contains(body, []byte(noSpace)) {
			return response, nil
		}
		switch target := replica.TargetOf(r); {
		case target.Resource == "incidents":
			c.incidents.Add(1)
		case target.Resource == "leases":
			c.leases.Add(1)
		default:
			c.others.Add(1)
		}
		return response, nil
	})
}

// lateness lets watches tell late: what they have to tell waits until they are let go.
type lateness struct {
	mu   sync.Mutex
	held chan struct{}
}

func (l *lateness) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = make(chan struct{})
	}
}

func (l *lateness) letGo() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		close(l.held)
		l.held = nil
	}
}

func (l *lateness) wait() {
	l.mu.Lock()
	held := l.held
	l.mu.Unlock()
	if held != nil {
		<-held
	}
}

func (l *lateness) middleware(next http.RoundTripper) http.RoundTripper {
	return replica.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(r)
		if err == nil && replica.TargetOf(r).Watch && response.StatusCode == http.StatusOK {
			response.Body = &lateBody{ReadCloser: response.Body, of: l}
		}
		return response, err
	})
}

type lateBody struct {
	io.ReadCloser
	of *lateness
}

// Read implements io.Reader.
func (b *lateBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.of.wait()
	return n, err
}

// TestEtcdWithoutSpace lets etcd itself run full, which raises its alarm, so that the API server refuses every write.
// Some workloads recovered and others failed by then, of which the operator hears only afterwards. An administrator makes
// room. The lease is longer than that takes: replicas that end for want of a lease are TestNoSpace's.
func TestEtcdWithoutSpace(t *testing.T) {
	w := newWorld(t, size(6, 10)).governedInLong()
	late, refused := &lateness{}, &outOfSpace{}
	f := newFleet(t, w, 2, func(c *replica.Config) {
		c.Lease = time.Minute
		c.Between = []replica.Middleware{late.middleware, refused.middleware}
	})
	t.Cleanup(late.letGo)
	ctx, etcd := t.Context(), env.Etcd()
	makeRoom := sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := etcd.MakeRoom(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(makeRoom)
	repaired, broken := w.workloads[:len(w.workloads)/2], w.workloads[len(w.workloads)/2:]
	service := w.claimed(broken[0])
	w.health(ctx, service, v1alpha1.HealthOperational)
	for _, one := range repaired {
		w.must(w.begin(ctx, one))
	}
	w.agrees(ctx, "while some fail")

	late.hold()
	for _, one := range repaired {
		w.must(w.end(ctx, one))
	}
	for _, one := range broken {
		w.must(w.begin(ctx, one))
	}
	written, err := etcd.Fill(ctx)
	w.must(err)
	w.g.Expect(env.Admin().Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "one-more"}})).
		To(MatchError(ContainSubstring(noSpace)))
	said := reconcileErrors(t)
	late.letGo()
	w.g.Eventually(refused.incidents.Load).Should(BeNumerically(">", 0), "nothing is refused that is about Incidents")
	// It says so by what an alert can be about, and the record stays as it was.
	w.g.Eventually(func() float64 { return reconcileErrors(t) }).Should(BeNumerically(">", said), "no metric tells")
	w.health(ctx, service, v1alpha1.HealthOperational)
	pause(ctx, w.clock.Real(2*time.Minute))
	makeRoom()

	w.agrees(ctx, "when there is room again")
	w.health(ctx, service, v1alpha1.HealthOutage)
	for _, one := range broken {
		w.must(w.end(ctx, one))
	}
	w.stays(ctx)
	w.health(ctx, service, v1alpha1.HealthOperational)
	t.Logf("full after %d bytes; refused: %d writes about Incidents, %d of leases, %d others; replicas started: %d and %d", written,
		refused.incidents.Load(), refused.leases.Load(), refused.others.Load(), f.slots[0].count(), f.slots[1].count())
}

// claimed is a Service that claims a workload.
func (w *world) claimed(one *workload) *v1alpha1.Service {
	w.t.Helper()
	service := builder.MakeService(w.namespace, "checkout").Claim(v1alpha1.WorkloadKind(one.key.Kind), one.key.Name).Obj()
	service.UID, service.ResourceVersion, service.Generation = "", "", 0
	w.must(env.Admin().Create(w.t.Context(), service))
	w.t.Cleanup(func() {
		if err := env.Admin().Delete(context.Background(), service); err != nil {
			w.t.Error(err)
		}
	})
	return service
}

// health waits until a Service's is as it should be.
func (w *world) health(ctx context.Context, service *v1alpha1.Service, want v1alpha1.Health) {
	w.t.Helper()
	w.g.Eventually(func() (v1alpha1.Health, error) {
		err := env.Admin().Get(ctx, keyOf(service), service)
		return service.Status.Health, err
	}).Should(Equal(want))
}

// reconcileErrors is how many there were in this process, by the metric that controller-runtime has of them.
func reconcileErrors(t *testing.T) float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, family := range families {
		if family.GetName() != "controller_runtime_reconcile_errors_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			total += metric.GetCounter().GetValue()
		}
	}
	return total
}
