package operator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/config/crd"
	"github.com/itil-dev/itil-operator/internal/kube/definitions"
)

const (
	incidentCRD = "incidents.itil.dev"
	// shownLacks bounds how much of what a definition lacks is told.
	shownLacks = 5
)

// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,resourceNames=calendars.itil.dev;changeapprovals.itil.dev;changepolicies.itil.dev;changes.itil.dev;configurationitems.itil.dev;incidents.itil.dev;problems.itil.dev;releases.itil.dev;servicelevelagreements.itil.dev;services.itil.dev,verbs=get

// errOlder: what the operator records would be dropped or refused. Facts that it reads back as truth, such as that
// something was done once, would be missing, and it would be done again.
var errOlder = errors.New("the cluster's CustomResourceDefinitions are older than this operator, which therefore does not start: " +
	"apply those of its version (make install, or the CustomResourceDefinitions in dist/install.yaml)")

// installedAt is when the operator first came to this cluster: what failed before is backlog. It is an error if the
// cluster's definitions lack what this binary writes. Newer ones are as good as its own.
func installedAt(ctx context.Context, reader client.Reader) (installed time.Time, err error) {
	builtIn, err := crd.All()
	if err != nil {
		return time.Time{}, err
	}
	var older []error
	for _, ours := range builtIn {
		live := &apiextensionsv1.CustomResourceDefinition{}
		if err := reader.Get(ctx, client.ObjectKey{Name: ours.Name}, live); err != nil {
			return time.Time{}, fmt.Errorf("reading CustomResourceDefinition %s (make install): %w", ours.Name, err)
		}
		if lacks := definitions.Lacks(live, ours); len(lacks) > 0 {
			older = append(older, fmt.Errorf("%s lacks %s", ours.Name, list(lacks)))
		}
		if more := definitions.Lacks(ours, live); len(more) > 0 {
			ctrl.Log.WithName("definitions").Info("A CustomResourceDefinition is newer than this operator, which leaves alone what it does not know",
				"name", ours.Name, "more", list(more))
		}
		if ours.Name == incidentCRD {
			installed = live.CreationTimestamp.Time
		}
	}
	if len(older) > 0 {
		return time.Time{}, fmt.Errorf("%w: %w", errOlder, errors.Join(older...))
	}
	return installed, nil
}

func list(all []string) string {
	if len(all) <= shownLacks {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:shownLacks], ", "), len(all)-shownLacks)
}
