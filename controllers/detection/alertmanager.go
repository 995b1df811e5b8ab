package detection

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/itil-dev/itil-operator/internal/practice/incident"
)

// AlertPath is where Alertmanager's webhook messages are taken in. Who may do that has the verb post on it.
const AlertPath = "/alertmanager"

const (
	// maxAlertBody bounds a message: a thousand alerts of a kilobyte.
	maxAlertBody = 1 << 20
	// reportTimeout is how long a message may take to be written down. Alertmanager waits for ten seconds and more,
	// and sends again what was not taken.
	reportTimeout = 8 * time.Second
	readTimeout   = 10 * time.Second
)

// AlertReceiver takes in the messages of Alertmanager's webhook, version 4. Every replica listens; those that do not lead
// answer that it be tried again.
type AlertReceiver struct {
	Detector *Reconciler
	Address  string
	// Filter lets pass who may report; nil lets nobody.
	Filter  metricsserver.Filter
	TLSOpts []func(*tls.Config)
	// Listening is told the address once it listens; nil: nobody is.
	Listening func(net.Addr)
}

var (
	_ manager.Runnable               = &AlertReceiver{}
	_ manager.LeaderElectionRunnable = &AlertReceiver{}

	errNoFilter = errors.New("an intake of alerts without authentication")
)

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (a *AlertReceiver) NeedLeaderElection() bool { return false }

// Start listens until the context ends.
func (a *AlertReceiver) Start(ctx context.Context) error {
	logger := log.FromContext(ctx).WithName("alerts")
	if a.Filter == nil {
		return errNoFilter
	}
	guarded, err := a.Filter(logger, http.HandlerFunc(a.receive))
	if err != nil {
		return fmt.Errorf("guard the intake of alerts: %w", err)
	}
	config := &tls.Config{NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12}
	for _, set := range a.TLSOpts {
		set(config)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", a.Address)
	if err != nil {
		return fmt.Errorf("listen for alerts on %s: %w", a.Address, err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST "+AlertPath, guarded)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: readTimeout + reportTimeout,
		MaxHeaderBytes: maxAlertBody / 16,
	}
	if a.Listening != nil {
		a.Listening(listener.Addr())
	}
	stopped := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
		defer cancel()
		_ = server.Shutdown(end)
	})
	defer stopped()
	if err := server.Serve(tls.NewListener(listener, config)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the intake of alerts: %w", err)
	}
	return nil
}

// receive answers 200 once all is written down: what was not, Alertmanager sends again.
func (a *AlertReceiver) receive(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxAlertBody))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		http.Error(w, fmt.Sprintf("a message may have %d bytes: set max_alerts", maxAlertBody), http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "the message could not be read", http.StatusBadRequest)
		return
	}
	reports, err := incident.ReadAlertmanager(body, a.Detector.Clock.Now())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(req.Context(), reportTimeout)
	defer cancel()
	if err := a.Detector.Report(ctx, reports); err != nil {
		// Whoever tries again on the same connection asks this replica again, and perhaps another one leads.
		w.Header().Set("Connection", "close")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusOK)
}
