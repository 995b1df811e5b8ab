// Package scheme knows every Go type that the operator reads or writes through the API.
package scheme

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// New returns a scheme with the built-in kinds, CustomResourceDefinitions and the kinds of itil.dev. Each call
// makes another one, so that no test can alter what another sees. It panics where two types claim one kind,
// which is a mistake in the program.
func New() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(apiextensionsv1.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	return scheme
}
