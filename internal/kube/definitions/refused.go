package definitions

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

var refusedTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "itil_definition_refusals_total",
	Help: "Writes that a CustomResourceDefinition refused because it does not know what they hold: it is older than the operator.",
}, []string{"kind"})

func init() { metrics.Registry.MustRegister(refusedTotal) }

// RefusedError is an error of the API server about what a definition does not allow.
type RefusedError struct {
	Kind  string
	cause error
}

// Error says what to do. The API server's own words repeat the whole object.
func (r *RefusedError) Error() string {
	const unknown = "strict decoding error: "
	reason := r.cause.Error()
	if at := strings.LastIndex(reason, unknown); at >= 0 {
		reason = reason[at+len(unknown):]
	}
	return fmt.Sprintf("the CustomResourceDefinition of %s refuses what this operator writes (%s): "+
		"if it is older than the operator, apply those of its version (make install, or the CustomResourceDefinitions in dist/install.yaml)", r.Kind, reason)
}

// Unwrap returns the API server's error.
func (r *RefusedError) Unwrap() error { return r.cause }

// Explain counts a write of status of this kind that the definition refused, and says what to do. Other errors are returned as
// they are.
func Explain(err error, kind string) error {
	if !apierrors.IsInvalid(err) {
		return err
	}
	refusedTotal.WithLabelValues(kind).Inc()
	return &RefusedError{Kind: kind, cause: err}
}
