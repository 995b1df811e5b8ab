package attack

import (
	"bytes"
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	kubeadmission "sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/itil-dev/itil-operator/controllers/gatescope"
	"github.com/itil-dev/itil-operator/internal/admission"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/practice/change"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/test/attack/who"
)

// replica is as much of the operator as decides: the inventory, the gate and its namespaces. What other controllers
// would write (ConfigurationItems, Changes that were filed) the specs write themselves, as facts.
type replica struct {
	inventory *inventory.Inventory
	// client is the operator's own.
	client client.Client

	// server answers the webhooks.
	server *httptest.Server

	// down: requests to the webhook get no answer.
	down atomic.Bool
	// open: the gate lets everything in, so that a spec can make what it would refuse.
	open atomic.Bool

	mu    sync.Mutex
	asked map[string][]string
	filed map[string][]change.Filing
	told  map[string][]configuration.SideDoor
}

func startReplica(ctx SpecContext) *replica {
	GinkgoHelper()
	// RBAC of the operator is another suite's; here it is that nobody else has what the policies keep for it.
	env.Bind(GinkgoTB(), "", apiserver.User(who.Operator), "cluster-admin")
	r := &replica{
		inventory: inventory.New(), client: env.Client(GinkgoTB(), who.Operator),
		asked: map[string][]string{}, filed: map[string][]change.Filing{}, told: map[string][]configuration.SideDoor{},
	}
	mgr, err := ctrl.NewManager(env.Config(GinkgoTB(), who.Operator), ctrl.Options{
		Scheme:     env.Scheme(),
		Cache:      cache.Options{ByObject: inventory.CacheByObject()},
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(r.inventory.Register(ctx, mgr.GetCache())).To(Succeed())
	Expect((&gatescope.Reconciler{Client: mgr.GetClient(), OwnNamespace: "itil-system"}).SetupWithManager(mgr)).To(Succeed())

	managing, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- mgr.Start(managing) }()
	DeferCleanup(func() {
		stop()
		Expect(<-done).NotTo(HaveOccurred())
	})
	Expect(r.inventory.WaitForSync(ctx)).To(BeTrue())
	r.serve(ctx)
	return r
}

// serve installs config/webhook/gate.yaml with the address of a server of our own.
func (r *replica) serve(ctx context.Context) {
	GinkgoHelper()
	gate := &admission.Gate{Facts: r.inventory, Filer: r, Records: r.inventory, SideDoors: r, Clock: clock.RealClock{}}
	webhook := &kubeadmission.Webhook{Handler: kubeadmission.HandlerFunc(func(ctx context.Context, req kubeadmission.Request) kubeadmission.Response {
		r.mu.Lock()
		r.asked[req.Namespace] = append(r.asked[req.Namespace], string(req.Operation)+" "+req.Resource.Resource)
		r.mu.Unlock()
		if r.open.Load() {
			return kubeadmission.Allowed("")
		}
		return gate.Handle(ctx, req)
	})}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if r.down.Load() {
			panic(http.ErrAbortHandler) // the connection breaks
		}
		webhook.ServeHTTP(w, request)
	}))
	DeferCleanup(server.Close)
	r.server = server

	configuration := env.Gate(GinkgoTB())
	Expect(configuration.Name).To(Equal(gateconfig.Name))
	for i := range configuration.Webhooks {
		configuration.Webhooks[i].ClientConfig = admissionregistrationv1.WebhookClientConfig{
			URL:      new(server.URL + admission.Path),
			CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
		}
	}
	Expect(env.Admin().Create(ctx, configuration)).To(Succeed())
}

// File implements admission.Filer.
func (r *replica) File(f change.Filing) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.filed[f.Namespace] = append(r.filed[f.Namespace], f)
}

// post sends a review to the webhook as anybody can who reaches it.
func (r *replica) post(ctx context.Context, review []byte) {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.server.URL+admission.Path, bytes.NewReader(review))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	response, err := r.server.Client().Do(request)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.Body.Close()).To(Succeed())
	Expect(response.StatusCode).To(Equal(http.StatusOK))
}

// SideDoor implements admission.SideDoors.
func (r *replica) SideDoor(door configuration.SideDoor) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told[door.Pod.Namespace] = append(r.told[door.Pod.Namespace], door)
}

// doors that were used in a namespace.
func (r *replica) doors(namespace string) []configuration.SideDoor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]configuration.SideDoor(nil), r.told[namespace]...)
}

// questions that reached the handler about a namespace.
func (r *replica) questions(namespace string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.asked[namespace]...)
}

func (r *replica) filings(namespace string) []change.Filing {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]change.Filing(nil), r.filed[namespace]...)
}
