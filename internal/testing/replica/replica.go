// Package replica runs replicas of the operator, wired as in its program, in the process of a test: with a clock of
// the test's, with whatever the test puts between them and the API server, and with a death like that of a process
// that is killed.
package replica

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	"github.com/itil-dev/itil-operator/controllers/detection"
	"github.com/itil-dev/itil-operator/internal/kube/servingcert"
	"github.com/itil-dev/itil-operator/internal/operator"
)

// Config of a replica.
type Config struct {
	// REST is how the API server is reached.
	REST *rest.Config
	// Namespace of the operator; it must exist.
	Namespace string
	// Clock of the operator and of its queues. Machine's is used where it is nil.
	Clock *Clock
	// Machine is the real clock.
	Machine clock.WithTicker
	// LeaderElect lets it wait until no other leads.
	LeaderElect bool
	// Lease is how long a leader is believed to live, by the machine's clock; 0 is 2 s.
	Lease time.Duration
	// Between is put between the replica and the API server; the first is next to the replica.
	Between []Middleware
	// Detect says where incidents are detected; empty is everywhere.
	Detect detection.Scope
	// WebhookPort is where the gate answers; 0 is a free one. With a port, the API server has been told of it and of the
	// certificate in the operator's namespace, which is left as it is.
	WebhookPort int
}

// Replica of the operator.
type Replica struct {
	manager ctrl.Manager
	cancel  context.CancelFunc
	cut     *atomic.Bool
	working *gauge
	done    chan struct{}
	err     error
}

const (
	defaultLease = 2 * time.Second
	concurrency  = 4
	// patience with a replica that is to end.
	patience = time.Minute
	// mute is longer than any watch is silent by a clock that runs fast and leaps.
	mute = 100 * 365 * 24 * time.Hour
)

var errDead = errors.New("the process of this request was killed")

// New starts one. It ends by Kill or Stop, or by itself where it loses its lease.
func New(c Config) (*Replica, error) {
	port, certificates, err := c.webhook()
	if err != nil {
		return nil, err
	}
	r := &Replica{cut: &atomic.Bool{}, working: newGauge(), done: make(chan struct{})}
	config := rest.CopyConfig(c.REST)
	for _, middleware := range slices.Backward(c.Between) {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return middleware(next) })
	}
	config.Wrap(r.line)
	options := operator.Options{
		Namespace: c.Namespace, Version: "test", LeaderElect: c.LeaderElect, ProbeAddress: "0", MetricsAddress: "0",
		WebhookHost: "127.0.0.1", WebhookPort: port, Certificates: certificates,
		CertificateNames: servingcert.Names{DNS: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}},
		Detect:           c.Detect, Concurrency: concurrency,
		NewManager: func(config *rest.Config, o ctrl.Options) (ctrl.Manager, error) { return r.newManager(c, config, o) },
	}
	if options.Detect == "" {
		options.Detect = detection.ScopeAll
	}
	now := c.Machine
	if c.Clock != nil {
		now = c.Clock
		options.StaleAfter = mute // the API server sends its bookmarks by another clock
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	if r.manager, err = operator.New(ctx, config, options, now); err != nil {
		cancel()
		return nil, fmt.Errorf("wire the operator: %w", err)
	}
	go func() {
		defer close(r.done)
		r.err = r.manager.Start(ctx)
		cancel()
	}()
	return r, nil
}

// newManager makes the manager with what is different in a process of several.
func (r *Replica) newManager(c Config, config *rest.Config, o ctrl.Options) (ctrl.Manager, error) {
	lease := c.Lease
	if lease == 0 {
		lease = defaultLease
	}
	const renewals = 8
	renew, retry, grace := lease*3/4, lease/renewals, patience/2
	o.LeaseDuration, o.RenewDeadline, o.RetryPeriod = &lease, &renew, &retry
	o.GracefulShutdownTimeout = &grace
	o.Controller.SkipNameValidation = new(true)
	mgr, err := ctrl.NewManager(config, o)
	if err != nil {
		return nil, err
	}
	return &wired{Manager: mgr, clock: c.Clock, working: r.working}, nil
}

// line is the connection of the process.
func (r *Replica) line(next http.RoundTripper) http.RoundTripper {
	return RoundTripperFunc(func(request *http.Request) (*http.Response, error) {
		if r.cut.Load() {
			return nil, errDead
		}
		return next.RoundTrip(request)
	})
}

// Sever ends the replica's connection at once, as the death of its process does, and lets it end. It may be called
// from within a request.
func (r *Replica) Sever() {
	r.cut.Store(true)
	r.cancel()
}

// Kill ends the replica as SIGKILL ends a process: nothing more reaches the API server, and its lease stays taken.
func (r *Replica) Kill() error {
	r.Sever()
	return r.wait()
}

// Stop ends the replica as SIGTERM does.
func (r *Replica) Stop() error {
	r.cancel()
	if err := r.wait(); err != nil {
		return err
	}
	return r.err
}

func (r *Replica) wait() error {
	select {
	case <-r.done:
		return nil
	case <-time.NewTimer(patience).C: //nolint:forbidigo // of the machine's clock: it is the process that hangs
		return fmt.Errorf("the replica did not end within %s", patience)
	}
}

// Done is closed when the replica has ended; Err then says why.
func (r *Replica) Done() <-chan struct{} { return r.done }

// Err is why it ended by itself.
func (r *Replica) Err() error { return r.err }

// Leads is closed when the replica has become the leader.
func (r *Replica) Leads() <-chan struct{} { return r.manager.Elected() }

// Working is closed when all controllers have read what they watch and begin to work.
func (r *Replica) Working() <-chan struct{} { return r.working.done }

// Missing are the controllers that do not work yet.
func (r *Replica) Missing() []string { return r.working.names() }

// Busy is what its controllers look at now, or are to look at without waiting for a time: nothing, where it has done
// all that was to be done.
func (r *Replica) Busy() []string { return r.working.busyWith() }

// LongestRetries are how long its controllers wait at most before they try again what failed.
func (r *Replica) LongestRetries() map[string]time.Duration {
	r.working.mu.Lock()
	defer r.working.mu.Unlock()
	return maps.Clone(r.working.longest)
}

// Cache is what the replica keeps of the cluster.
func (r *Replica) Cache() cache.Cache { return r.manager.GetCache() }

// Start is New for a test, which fails if the replica does not start, or at its end does not stop.
func Start(t testing.TB, c Config) *Replica {
	t.Helper()
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil && !r.cut.Load() {
			t.Errorf("stopping a replica: %v", err)
		}
	})
	return r
}

// LostLease reports whether a replica ended because it could not renew its lease in time, which on a busy machine is
// no mistake of anybody.
func LostLease(err error) bool {
	return err != nil && strings.Contains(err.Error(), "leader election lost")
}

// webhook is where the gate answers, and who makes its certificate.
func (c Config) webhook() (port int, certificates servingcert.Authority, err error) {
	if c.WebhookPort != 0 {
		return c.WebhookPort, servingcert.External, nil
	}
	port, err = FreePort()
	return port, servingcert.Self, err
}

// FreePort is one of this machine's on which nobody listens.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed at once
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	address, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("no TCP address: %s", l.Addr())
	}
	return address.Port, nil
}
