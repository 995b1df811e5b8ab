package faults_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/admission"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

const (
	certificateSecret = "itil-operator-webhook-cert"
	here              = "127.0.0.1"
	// gateTimeout is a little less than the API server waits.
	gateTimeout = 2500 * time.Millisecond
)

// front is what a cluster's Service of the gate is: the API server asks it, and it asks one of the replicas that answer.
type front struct {
	server *httptest.Server
	client *http.Client
	// asked is how often the API server did.
	asked atomic.Int64

	mu    sync.Mutex
	slots []*slot
}

// newFront installs the gate with its address. Whoever tries to reach a gate without replicas is refused.
func newFront(t *testing.T) *front {
	t.Helper()
	f := &front{client: &http.Client{Timeout: gateTimeout, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}}
	f.server = httptest.NewTLSServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.server.Close)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: certificateSecret}, Data: f.pair(t)}
	gate := f.configuration(t)
	for _, o := range []client.Object{secret, gate} {
		if err := env.Admin().Create(t.Context(), o); err != nil {
			t.Fatalf("installing the gate: %v", err)
		}
		t.Cleanup(func() {
			if err := env.Admin().Delete(context.Background(), o); err != nil {
				t.Errorf("removing the gate: %v", err)
			}
		})
	}
	return f
}

// pair is the certificate that the replicas serve with: the same as ours.
func (f *front) pair(t *testing.T) map[string][]byte {
	t.Helper()
	certificate := f.server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}),
		corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}
}

func (f *front) configuration(t *testing.T) client.Object {
	t.Helper()
	gate := env.Gate(t)
	for i := range gate.Webhooks {
		gate.Webhooks[i].ClientConfig = admissionregistrationv1.WebhookClientConfig{
			URL: new(f.server.URL + admission.Path), CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw}),
		}
	}
	return gate
}

// of says whose replicas answer.
func (f *front) of(slots []*slot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slots = slots
}

// ports at which a replica may answer. One that has ended answers nothing.
func (f *front) ports() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []int
	for _, s := range f.slots {
		if r, port := s.answers(); r != nil && !closed(r.Done()) {
			out = append(out, port)
		}
	}
	return out
}

// serve asks one replica after the other until one answers, beginning with another one each time.
func (f *front) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	ports, first := f.ports(), int(f.asked.Add(1))
	for n := range ports {
		url := "https://" + net.JoinHostPort(here, strconv.Itoa(ports[(first+n)%len(ports)])) + admission.Path
		answer, err := f.ask(r.Context(), url, body)
		if err != nil {
			continue // it has just died, or does not answer yet
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(answer)
		return
	}
	http.Error(w, "no replica answers", http.StatusServiceUnavailable)
}

func (f *front) ask(ctx context.Context, url string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := f.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errBroken
	}
	return io.ReadAll(response.Body)
}

// freePort is one of this machine's; 0 where there is none.
func freePort(t *testing.T) int {
	t.Helper()
	port, err := replica.FreePort()
	if err != nil {
		t.Error(err)
	}
	return port
}

// stamps lets replicas see when the objects of a namespace were made as their clock showed it: to the API server's own
// clock theirs seems to be months behind, and a vote would be one of the future.
type stamps struct {
	clock     *replica.Clock
	namespace string
}

func (s *stamps) middleware(next http.RoundTripper) http.RoundTripper {
	altered := replica.Alter(next, s.concerns, s.object)
	return replica.RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		if group := replica.TargetOf(r).Group; group != v1alpha1.GroupVersion.Group && group != "apps" {
			return next.RoundTrip(r)
		}
		return altered.RoundTrip(r)
	})
}

// concerns says whether a document may be of the namespace.
func (s *stamps) concerns(document []byte) bool { return bytes.Contains(document, []byte(s.namespace)) }

func (s *stamps) object(o, _ map[string]any) {
	metadata, _ := o["metadata"].(map[string]any)
	if metadata["namespace"] != s.namespace {
		return
	}
	for _, field := range []string{"creationTimestamp", "deletionTimestamp"} {
		text, _ := metadata[field].(string)
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			metadata[field] = s.clock.At(at).UTC().Format(time.RFC3339)
		}
	}
}

// listed says whether the API server is to ask the gate about a namespace.
func listed(ctx context.Context, namespace string) (bool, error) {
	gate := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := env.Admin().Get(ctx, client.ObjectKey{Name: gateconfig.Name}, gate); err != nil {
		return false, err
	}
	return gateconfig.Read(gate).Of(namespace) == gateconfig.ListedEnforce, nil
}
