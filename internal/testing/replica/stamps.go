package replica

import (
	"net/http"
	"strings"
	"time"
)

// Stamps lets whoever reads see what others stamped by the machine's clock, the API server, controllers and kubelets, as
// this clock showed it then. It leaves alone what the operator itself wrote by this clock. It is for one that leaps: then
// a whole control plane seems to have lived through the days that were leaped over.
func (c *Clock) Stamps(next http.RoundTripper) http.RoundTripper {
	altered := Alter(next, func([]byte) bool { return true }, c.restampObject)
	return RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Header.Set("Accept", plain(r.Header.Get("Accept")))
		return altered.RoundTrip(r)
	})
}

// plain asks for JSON where protobuf would do as well; tables and metadata alone stay what they are.
func plain(accept string) string {
	var kept []string
	for part := range strings.SplitSeq(accept, ",") {
		if !strings.Contains(part, "protobuf") && !strings.Contains(part, "cbor") {
			kept = append(kept, part)
		} else if _, parameters, has := strings.Cut(part, ";"); has && strings.Contains(parameters, "as=") {
			kept = append(kept, "application/json;"+parameters)
		}
	}
	if len(kept) == 0 {
		return "application/json"
	}
	return strings.Join(kept, ",")
}

// restampObject alters an object, which in a list of built-in kinds does not say its own version.
func (c *Clock) restampObject(o, list map[string]any) {
	if metadata, is := o["metadata"].(map[string]any); is {
		for _, field := range []string{"creationTimestamp", "deletionTimestamp"} {
			if at, has := metadata[field]; has {
				metadata[field] = c.restamped(at)
			}
		}
	}
	version, _ := o["apiVersion"].(string)
	if version == "" {
		version, _ = list["apiVersion"].(string)
	}
	if strings.HasPrefix(version, "itil.dev/") {
		return
	}
	for _, field := range []string{"status", "eventTime", "firstTimestamp", "lastTimestamp", "series"} {
		if value, has := o[field]; has {
			o[field] = c.restamped(value)
		}
	}
}

// restamped is a value with all times in it as this clock showed them.
func (c *Clock) restamped(value any) any {
	switch v := value.(type) {
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil && strings.HasSuffix(v, "Z") {
			layout := time.RFC3339
			if strings.Contains(v, ".") {
				layout = "2006-01-02T15:04:05.000000Z07:00"
			}
			return c.At(at).UTC().Format(layout)
		}
	case map[string]any:
		for key := range v {
			v[key] = c.restamped(v[key])
		}
	case []any:
		for n := range v {
			v[n] = c.restamped(v[n])
		}
	}
	return value
}
