package operator

import (
	"context"
	"fmt"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/controllers/change"
	"github.com/itil-dev/itil-operator/controllers/changepolicy"
	"github.com/itil-dev/itil-operator/controllers/configurationitem"
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
	incidentpractice "github.com/itil-dev/itil-operator/internal/practice/incident"
	problempractice "github.com/itil-dev/itil-operator/internal/practice/problem"
)

const incidentCRD = "incidents.itil.dev"

// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,resourceNames=incidents.itil.dev,verbs=get

// gateSinks take what follows from the gate's decisions.
type gateSinks struct {
	filer  admission.Filer
	audits admission.Audits
}

// addControllers registers what reconciles, and returns what files Changes and counts for the gate.
func addControllers(ctx context.Context, mgr ctrl.Manager, inv *inventory.Inventory, o Options, clk clock.PassiveClock, watched func() time.Time) (*gateSinks, error) {
	c := mgr.GetClient()
	recorder := mgr.GetEventRecorder("itil-operator")
	filer := &change.Filer{Client: c, Inventory: inv, Clock: clk}
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

	incidents := &incident.Reconciler{
		Client: c, Inventory: inv, Clock: clk, Recorder: recorder,
		Rules: incidentpractice.DefaultRules(), Concurrency: o.Concurrency,
	}
	tally := &changepolicy.Tally{Client: c, Clock: clk}
	changes := &change.Reconciler{
		Client: c, Inventory: inv, Clock: clk, Recorder: recorder,
		Restorer: &backout.Restorer{Reader: mgr.GetAPIReader(), Client: c},
	}
	problems := &problem.Reconciler{Client: c, Clock: clk, Recorder: recorder, Rules: problempractice.DefaultRules}
	services := &service.Reconciler{Client: c, Inventory: inv, Clock: clk, Recorder: recorder, Watched: watched, Pods: detector}
	releases := &release.Reconciler{
		Client: c, Reader: mgr.GetAPIReader(), Inventory: inv, Clock: clk, Recorder: recorder,
		Restorer: &backout.Restorer{Reader: mgr.GetAPIReader(), Client: c},
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
		{"configurationitem", (&configurationitem.Reconciler{Client: c, Inventory: inv, Clock: clk, Recorder: recorder, Images: detector}).SetupWithManager},
		{"admissions", (&configurationitem.AdmissionWriter{Client: c, Inventory: inv, Clock: clk}).SetupWithManager},
		{"change", withContext(changes.SetupWithManager)},
		{"changerecords", (&change.RecordKeeper{Client: c, Inventory: inv, Clock: clk}).SetupWithManager},
		{"changepolicy", withContext((&changepolicy.Reconciler{Client: c, Clock: clk, Recorder: recorder}).SetupWithManager)},
		{"wouldDeny", tally.SetupWithManager},
		{"detection", detector.SetupWithManager},
		{"incident", withContext(incidents.SetupWithManager)},
		{"problem", withContext(problems.SetupWithManager)},
		{"release", withContext(releases.SetupWithManager)},
		{"sla", withContext((&sla.Reconciler{Client: c, Clock: clk, Services: services}).SetupWithManager)},
	} {
		if err := add.setUp(mgr); err != nil {
			return nil, fmt.Errorf("setting up controller %s: %w", add.name, err)
		}
	}
	return &gateSinks{filer: filer, audits: tally}, nil
}

// installedAt is when the operator first came to this cluster: what failed before is backlog.
func installedAt(ctx context.Context, reader client.Reader) (time.Time, error) {
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := reader.Get(ctx, client.ObjectKey{Name: incidentCRD}, crd); err != nil {
		return time.Time{}, fmt.Errorf("reading CustomResourceDefinition %s (make install): %w", incidentCRD, err)
	}
	return crd.CreationTimestamp.Time, nil
}
