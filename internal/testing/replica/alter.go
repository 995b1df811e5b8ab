package replica

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// Alter lets whoever reads JSON see each object as alter leaves it, which is given the list that it is in too, or itself
// where it is in none. Documents that concern nobody are left as they are.
func Alter(next http.RoundTripper, concerns func(document []byte) bool, alter func(object, list map[string]any)) http.RoundTripper {
	return RoundTripperFunc(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		r.Header.Del("Accept-Encoding") // the transport decompresses what it asked for itself
		response, err := next.RoundTrip(r)
		if err != nil || !strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
			return response, err
		}
		response.Header.Del("Content-Length")
		response.ContentLength = -1
		response.Body = &altered{concerns: concerns, alter: alter, from: bufio.NewReader(response.Body), close: response.Body.Close}
		return response, nil
	})
}

// altered is a body of JSON documents, each of which ends with a line: one, or those of a watch.
type altered struct {
	concerns func(document []byte) bool
	alter    func(object, list map[string]any)
	from     *bufio.Reader
	ready    bytes.Buffer
	close    func() error
}

// Read implements io.Reader.
func (a *altered) Read(p []byte) (int, error) {
	for a.ready.Len() == 0 {
		line, err := a.from.ReadBytes('\n')
		if len(line) > 0 {
			a.ready.Write(a.document(line))
		}
		if err != nil && a.ready.Len() == 0 {
			return 0, err
		}
	}
	return a.ready.Read(p)
}

// Close implements io.Closer.
func (a *altered) Close() error { return a.close() }

func (a *altered) document(line []byte) []byte {
	if !a.concerns(line) {
		return line
	}
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
	a.alter(object, object)
	items, _ := object["items"].([]any)
	for _, item := range items {
		if one, is := item.(map[string]any); is {
			a.alter(one, object)
		}
	}
	out, err := json.Marshal(document)
	if err != nil {
		return line
	}
	return append(out, '\n')
}
