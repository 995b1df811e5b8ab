package detection

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
)

// guarded is the guard before a handler, and how often the API server was asked.
func guarded(t *testing.T, next http.HandlerFunc) (handler http.Handler, reviews *int, clock *clocktesting.FakePassiveClock) {
	t.Helper()
	reviews, clock = new(int), clocktesting.NewFakePassiveClock(t0)
	clients := fake.NewClientset()
	clients.PrependReactor("create", "tokenreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		*reviews++
		review := action.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview)
		name, issued := strings.CutPrefix(review.Spec.Token, "token-of-")
		switch {
		case name == "nobody-answers":
			return true, nil, errors.New("no route to host")
		case !issued:
			review.Status = authenticationv1.TokenReviewStatus{Error: "[invalid bearer token, square/go-jose: compact JWS format must have three parts]"}
		default:
			review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: name}}
		}
		return true, review, nil
	})
	clients.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		to := review.Spec.NonResourceAttributes
		review.Status.Allowed = review.Spec.User == "alertmanager" && to != nil && to.Path == AlertPath && to.Verb == "post"
		return true, review, nil
	})
	guard := &Guard{Tokens: clients.AuthenticationV1().TokenReviews(), Access: clients.AuthorizationV1().SubjectAccessReviews(), Clock: clock}
	handler, err := guard.Filter()(logr.Discard(), next)
	if err != nil {
		t.Fatal(err)
	}
	return handler, reviews, clock
}

func knock(t *testing.T, handler http.Handler, authorization string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, AlertPath, strings.NewReader("{}"))
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}

func TestGuard(t *testing.T) {
	handler, _, _ := guarded(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	for name, test := range map[string]struct {
		authorization string
		code          int
		says          string
	}{
		"who may":                 {"Bearer token-of-alertmanager", http.StatusOK, ""},
		"the scheme in lowercase": {"bearer token-of-alertmanager", http.StatusOK, ""},
		"nobody":                  {"", http.StatusUnauthorized, "say who you are"},
		"another scheme":          {"Basic token-of-alertmanager", http.StatusUnauthorized, "say who you are"},
		"no token":                {"Bearer ", http.StatusUnauthorized, "say who you are"},
		"a token without end":     {"Bearer token-of-" + strings.Repeat("x", maxToken), http.StatusUnauthorized, "say who you are"},
		"nonsense":                {"Bearer nonsense", http.StatusUnauthorized, "not valid here"},
		"who may not":             {"Bearer token-of-stranger", http.StatusForbidden, "stranger may not post /alertmanager: bind ClusterRole itil-alert-sender"},
		"the API server is away":  {"Bearer token-of-nobody-answers", http.StatusServiceUnavailable, "try again"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := knock(t, handler, test.authorization)
			if answer.Code != test.code || !strings.Contains(answer.Body.String(), test.says) {
				t.Errorf("%d %s; want %d %s", answer.Code, answer.Body, test.code, test.says)
			}
		})
	}
}

// TestGuardIsBounded: neither one who knows the token, nor one who guesses, makes the API server work for each message.
func TestGuardIsBounded(t *testing.T) {
	handler, reviews, clock := guarded(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	for range 100 {
		if answer := knock(t, handler, "Bearer token-of-alertmanager"); answer.Code != http.StatusOK {
			t.Fatalf("%d %s", answer.Code, answer.Body)
		}
	}
	if *reviews != 1 {
		t.Errorf("%d reviews of one token", *reviews)
	}
	clock.SetTime(t0.Add(reviewsKept + time.Second))
	knock(t, handler, "Bearer token-of-alertmanager")
	if *reviews != 2 {
		t.Errorf("%d reviews: what was once valid is believed for ever", *reviews)
	}
	refused := 0
	for n := range 1000 {
		if answer := knock(t, handler, "Bearer guess-"+strings.Repeat("x", n)); answer.Code == http.StatusServiceUnavailable {
			refused++
		}
	}
	if *reviews > 100 || refused < 900 {
		t.Errorf("%d reviews of 1000 guesses, %d were put off", *reviews, refused)
	}
	if answer := knock(t, handler, "Bearer token-of-alertmanager"); answer.Code != http.StatusOK {
		t.Errorf("who is known is kept out by those who guess: %d", answer.Code)
	}
}

// TestGuardHasPlaces: more messages than are worked on at once are put off, and taken when there is room again.
func TestGuardHasPlaces(t *testing.T) {
	begun, end := make(chan struct{}, maxReports), make(chan struct{})
	handler, _, _ := guarded(t, func(w http.ResponseWriter, _ *http.Request) {
		begun <- struct{}{}
		<-end
		w.WriteHeader(http.StatusOK)
	})
	knocked := make(chan int, maxReports)
	// The first asks the API server, so that the others are not put off for that.
	for range maxReports {
		go func() { knocked <- knock(t, handler, "Bearer token-of-alertmanager").Code }()
		<-begun
	}
	if answer := knock(t, handler, "Bearer token-of-alertmanager"); answer.Code != http.StatusServiceUnavailable {
		t.Errorf("one too many is answered by %d", answer.Code)
	}
	close(end)
	for range maxReports {
		if code := <-knocked; code != http.StatusOK {
			t.Errorf("answer %d", code)
		}
	}
	if answer := knock(t, handler, "Bearer token-of-alertmanager"); answer.Code != http.StatusOK {
		t.Errorf("there is room again, and the answer is %d", answer.Code)
	}
}
