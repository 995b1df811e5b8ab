package replica

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"
)

// Stamps lets whoever reads see what others stamped by the machine's clock, the API server, controllers and kubelets, as
// this clock showed it then. It leaves alone what the operator itself wrote by this clock. It is for one that leaps: then
// a whole control plane seems to have lived through the days that were leaped over.
func (c *Clock) Stamps(next http.RoundTripper) http.RoundTripper {
	return RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Header.Set("Accept", plain(r.Header.Get("Accept")))
		r.Header.Del("Accept-Encoding") // the transport decompresses what it asked for itself
		response, err := next.RoundTrip(r)
		if err != nil || !strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
			return response, err
		}
		response.Header.Del("Content-Length")
		response.ContentLength = -1
		response.Body = &stamped{clock: c, from: bufio.NewReader(response.Body), close: response.Body.Close}
		return response, nil
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

// stamped is a body of JSON documents, each of which ends with a line: one, or those of a watch.
type stamped struct {
	clock *Clock
	from  *bufio.Reader
	ready bytes.Buffer
	close func() error
}

// Read implements io.Reader.
func (s *stamped) Read(p []byte) (int, error) {
	for s.ready.Len() == 0 {
		line, err := s.from.ReadBytes('\n')
		if len(line) > 0 {
			s.ready.Write(s.clock.restamp(line))
		}
		if err != nil && s.ready.Len() == 0 {
			return 0, err
		}
	}
	return s.ready.Read(p)
}

// Close implements io.Closer.
func (s *stamped) Close() error { return s.close() }

func (c *Clock) restamp(line []byte) []byte {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return line
	}
	if _, err := decoder.Token(); err != io.EOF {
		return line // no document of its own
	}
	object := document
	if inner, watch := document["object"].(map[string]any); watch && document["type"] != nil {
		object = inner
	}
	c.restampObject(object, object)
	items, _ := object["items"].([]any)
	for _, item := range items {
		if one, is := item.(map[string]any); is {
			c.restampObject(one, object)
		}
	}
	out, err := json.Marshal(document)
	if err != nil {
		return line
	}
	return append(out, '\n')
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
