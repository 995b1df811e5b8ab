package replica

import (
	"fmt"
	"net/http"
	"strings"
)

// Middleware alters how requests reach the API server, or what comes back.
type Middleware func(next http.RoundTripper) http.RoundTripper

// RoundTripperFunc is a function that is an http.RoundTripper.
type RoundTripperFunc func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f RoundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Target is what a request to the API server is about.
type Target struct {
	// Method of HTTP. Watch: it opens a watch.
	Method string
	Watch  bool

	Group, Resource, Subresource string
	Namespace, Name              string
}

// TargetOf reads a request.
func TargetOf(r *http.Request) Target {
	t := Target{Method: r.Method, Watch: r.URL.Query().Get("watch") == "true" || r.URL.Query().Get("watch") == "1"}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) > 2 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		t.Group, parts = parts[1], parts[3:]
	default:
		return t
	}
	const scoped = 3
	if parts[0] == "namespaces" && len(parts) >= scoped {
		t.Namespace, parts = parts[1], parts[2:]
	}
	t.Resource = parts[0]
	if len(parts) > 1 {
		t.Name = parts[1]
	}
	if len(parts) > 2 {
		t.Subresource = parts[2]
	}
	return t
}

// Writes reports whether the request alters something, the renewals of a lease left aside.
func (t Target) Writes() bool {
	return t.Method != http.MethodGet && t.Resource != "" && t.Group != "coordination.k8s.io" && t.Group != "authorization.k8s.io" && t.Group != "authentication.k8s.io"
}

// String names it as kubectl would.
func (t Target) String() string {
	resource := t.Resource
	if t.Group != "" {
		resource += "." + t.Group
	}
	if t.Subresource != "" {
		resource += "/" + t.Subresource
	}
	return fmt.Sprintf("%s %s %s/%s", t.Method, resource, t.Namespace, t.Name)
}
