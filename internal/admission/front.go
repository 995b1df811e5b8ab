package admission

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	admissionv1 "k8s.io/api/admission/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

const (
	// mostRead of a review is what the library reads, which answers what is larger.
	mostRead = 7 << 20
	// mostTrusted of a Content-Length is made room for before anything of the body is there.
	mostTrusted = 64 << 10
)

// reviewed is what an API server sends and expects.
var reviewed = admissionv1.SchemeGroupVersion.WithKind("AdmissionReview")

// front answers a review as API servers send it after reading it once. The library finds out first which kind of object it
// is, for which it reads all of it, and then reads it again: about as much as the decision takes. Whatever is not as
// API servers send it goes to the library as it came.
type front struct{ library *admission.Webhook }

// ServeHTTP implements http.Handler.
func (f front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.ContentLength <= 0 || r.ContentLength >= mostRead || r.Header.Get("Content-Type") != "application/json" {
		f.library.ServeHTTP(w, r)
		return
	}
	body := bytes.NewBuffer(make([]byte, 0, min(r.ContentLength, mostTrusted)+bytes.MinRead))
	_, err := body.ReadFrom(r.Body)
	review := admissionv1.AdmissionReview{}
	if err == nil {
		err = utiljson.Unmarshal(body.Bytes(), &review)
	}
	if err != nil || review.GroupVersionKind() != reviewed || review.Request == nil {
		r.Body = rest{io.MultiReader(body, r.Body), r.Body}
		f.library.ServeHTTP(w, r)
		return
	}
	response := f.library.Handle(r.Context(), admission.Request{AdmissionRequest: *review.Request})
	answer := admissionv1.AdmissionReview{TypeMeta: review.TypeMeta, Response: &response.AdmissionResponse}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		log.FromContext(r.Context()).Info("The API server hung up before it had its answer", "reason", err.Error())
	}
}

// rest is a body of which the beginning was read already.
type rest struct {
	io.Reader
	io.Closer
}
