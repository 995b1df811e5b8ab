package operator

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/itil-dev/itil-operator/controllers/change"
	"github.com/itil-dev/itil-operator/controllers/changepolicy"
	"github.com/itil-dev/itil-operator/controllers/configurationitem"
	"github.com/itil-dev/itil-operator/controllers/delivery"
	"github.com/itil-dev/itil-operator/controllers/detection"
	"github.com/itil-dev/itil-operator/controllers/gatescope"
	"github.com/itil-dev/itil-operator/controllers/incident"
	"github.com/itil-dev/itil-operator/controllers/problem"
	"github.com/itil-dev/itil-operator/controllers/release"
	"github.com/itil-dev/itil-operator/controllers/service"
	"github.com/itil-dev/itil-operator/controllers/sla"
	"github.com/itil-dev/itil-operator/internal/admission"
	"github.com/itil-dev/itil-operator/internal/inventory"
	"github.com/itil-dev/itil-operator/internal/kube/backout"
	"github.com/itil-dev/itil-operator/internal/kube/servingcert"
	incidentpractice "github.com/itil-dev/itil-operator/internal/practice/incident"
	problempractice "github.com/itil-dev/itil-operator/internal/practice/problem"
)

// gateSinks take what follows from the gate's decisions.
type gateSinks struct {
	filer     admission.Filer
	audits    admission.Audits
	sideDoors admission.SideDoors
}

// shared is what controllers have in common with the gate and with who leads.
type shared struct {
	inventory *inventory.Inventory
	clock     clock.PassiveClock
	// watched is until when the leader before this one watched.
	watched     func() time.Time
	certificate *servingcert.Reconciler
	freshness   *admission.Freshness
}

// addControllers registers what reconciles, and returns what files Changes and counts for the gate.
func addControllers(ctx context.Context, mgr ctrl.Manager, o Options, with *shared) (*gateSinks, error) {
	c, inv, clk := mgr.GetClient(), with.inventory, with.clock
	recorder := mgr.GetEventRecorder("itil-operator")
	filer := &change.Filer{Client: c, Reader: mgr.GetAPIReader(), Inventory: inv, Clock: clk}
	if err := mgr.Add(filer); err != nil {
		return nil, fmt.Errorf("adding the filer of Changes: %w", err)
	}
	installed, err := installedAt(ctx, mgr.GetAPIReader())
	if err != nil {
		return nil, err
	}
	detector := detection.New()
	detector.Client, detector.Reader, detector.Inventory, detector.Clock, detector.Recorder = c, mgr.GetAPIReader(), inv, clk, recorder
	detector.Namespace, detector.Scope = o.Namespace, o.Detect
	detector.InstalledAt, detector.Concurrency = installed, o.Concurrency
	if err := addOutsiders(mgr, detector, o, with.certificate); err != nil {
		return nil, err
	}

	incidents := &incident.Reconciler{
		Client: c, Inventory: inv, Clock: clk, Recorder: recorder,
		Rules: incidentpractice.DefaultRules(), Concurrency: o.Concurrency,
		NamespaceCap: detector.NamespaceCap, ClusterCap: detector.ClusterCap, StillWell: detector.StillWell,
	}
	doors := configurationitem.NewSideDoorKeeper(c, inv, recorder)
	if err := mgr.Add(doors); err != nil {
		return nil, fmt.Errorf("adding the keeper of side doors: %w", err)
	}
	tally := &changepolicy.Tally{Client: c, Clock: clk}
	changes := &change.Reconciler{
		Client: c, Inventory: inv, Clock: clk, Recorder: recorder, Managers: o.Managers,
		Restorer: &backout.Restorer{Reader: mgr.GetAPIReader(), Client: c},
	}
	problems := &problem.Reconciler{Client: c, Clock: clk, Recorder: recorder, Rules: problempractice.DefaultRules}
	services := &service.Reconciler{Client: c, Inventory: inv, Clock: clk, Recorder: recorder, Watched: with.watched, Pods: detector}
	releases := &release.Reconciler{
		Client: c, Reader: mgr.GetAPIReader(), Inventory: inv, Clock: clk, Recorder: recorder, Managers: o.Managers,
		Restorer: &backout.Restorer{Reader: mgr.GetAPIReader(), Client: c},
		Watched:  with.watched, Detection: detector, Sight: with.freshness,
	}
	withContext := func(setUp func(context.Context, ctrl.Manager) error) func(ctrl.Manager) error {
		return func(mgr ctrl.Manager) error { return setUp(ctx, mgr) }
	}
	for _, add := range []struct {
		name  string
		setUp func(ctrl.Manager) error
	}{
		{"gatescope", (&gatescope.Reconciler{Client: c, OwnNamespace: o.Namespace}).SetupWithManager},
		{"service", withContext(services.SetupWithManager)},
		{"configurationitem", (&configurationitem.Reconciler{Client: c, Inventory: inv, Clock: clk, Recorder: recorder, Images: detector, Audits: tally, Revisions: changes.Restorer}).SetupWithManager},
		{"admissions", (&configurationitem.AdmissionWriter{Client: c, Inventory: inv, Clock: clk}).SetupWithManager},
		{"change", withContext(changes.SetupWithManager)},
		{"changeretention", withContext((&change.Retirer{Client: c, Inventory: inv, Clock: clk, Retention: o.ChangeRetention}).SetupWithManager)},
		{"changerecords", (&change.RecordKeeper{Client: c, Inventory: inv, Clock: clk}).SetupWithManager},
		{"changepolicy", withContext((&changepolicy.Reconciler{Client: c, Clock: clk, Recorder: recorder}).SetupWithManager)},
		{"wouldDeny", tally.SetupWithManager},
		{"detection", detector.SetupWithManager},
		{"incident", withContext(incidents.SetupWithManager)},
		{"delivery", withContext((&delivery.Reconciler{Client: c, Inventory: inv, Clock: clk, ChangesPerWorkload: o.ChangeRetention.PerWorkload}).SetupWithManager)},
		{"problem", withContext(problems.SetupWithManager)},
		{"release", withContext(releases.SetupWithManager)},
		{"sla", withContext((&sla.Reconciler{Client: c, Clock: clk, Services: services}).SetupWithManager)},
	} {
		if err := add.setUp(mgr); err != nil {
			return nil, fmt.Errorf("setting up controller %s: %w", add.name, err)
		}
	}
	return &gateSinks{filer: filer, audits: tally, sideDoors: doors}, nil
}

// addOutsiders lets detection read logs, where Services ask for that, and take in the alerts of others, where that is
// switched on: authenticated, and authorised by the verb post on its path.
func addOutsiders(mgr ctrl.Manager, detector *detection.Reconciler, o Options, certificate *servingcert.Reconciler) error {
	clients, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("making a client for logs: %w", err)
	}
	detector.Logs = func(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) (io.ReadCloser, error) {
		return clients.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
	}
	if o.AlertAddress == "" || o.AlertAddress == "0" {
		return nil
	}
	guard := &detection.Guard{
		Tokens: clients.AuthenticationV1().TokenReviews(), Access: clients.AuthorizationV1().SubjectAccessReviews(), Clock: detector.Clock,
	}
	receiver := &detection.AlertReceiver{
		Detector: detector, Address: o.AlertAddress, Filter: guard.Filter(), TLSOpts: []func(*tls.Config){serveWith(certificate)},
	}
	if err := mgr.Add(receiver); err != nil {
		return fmt.Errorf("adding the intake of alerts: %w", err)
	}
	return nil
}
