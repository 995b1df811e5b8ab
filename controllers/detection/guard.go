package detection

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/utils/clock"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	// reviewsKept is how long what the API server said of a token holds.
	reviewsKept = time.Minute
	// maxReviews bounds how many tokens are remembered, maxToken how long one may be.
	maxReviews = 256
	maxToken   = 16 << 10
	// reviewsPerSecond and reviewsAtOnce bound how often the API server is asked, whoever knocks.
	reviewsPerSecond = 5
	reviewsAtOnce    = 20
	reviewTimeout    = 5 * time.Second
	// maxReports bounds how many messages are worked on at once; each may hold maxAlertBody.
	maxReports = 16
)

// Guard lets those report alerts whom the API server knows by their bearer token, and who may post to the path. Unlike
// controller-runtime's filter, it tells a token that is not valid (401: whoever sent it must not try again) from an API
// server that does not answer (503: they must).
type Guard struct {
	Tokens authenticationclient.TokenReviewInterface
	Access authorizationclient.SubjectAccessReviewInterface
	Clock  clock.PassiveClock
}

// Filter is the guard as AlertReceiver takes it.
func (g *Guard) Filter() metricsserver.Filter {
	return func(log logr.Logger, next http.Handler) (http.Handler, error) {
		return &gate{
			Guard: g, log: log, next: next, known: map[[sha256.Size]byte]verdict{},
			limit: flowcontrol.NewTokenBucketRateLimiter(reviewsPerSecond, reviewsAtOnce), places: make(chan struct{}, maxReports),
		}, nil
	}
}

// verdict is what the API server says of a token; code 0 lets pass.
type verdict struct {
	code  int
	text  string
	until time.Time
}

type gate struct {
	*Guard
	log    logr.Logger
	next   http.Handler
	limit  flowcontrol.RateLimiter
	places chan struct{}

	mu    sync.Mutex
	known map[[sha256.Size]byte]verdict
}

// ServeHTTP implements http.Handler.
func (g *gate) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	token, ok := bearer(req)
	if !ok {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "say who you are: Authorization: Bearer with the token of a ServiceAccount", http.StatusUnauthorized)
		return
	}
	if v := g.verdictOf(req, token); v.code != 0 {
		if v.code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		}
		http.Error(w, v.text, v.code)
		return
	}
	select {
	case g.places <- struct{}{}:
		defer func() { <-g.places }()
		g.next.ServeHTTP(w, req)
	default:
		http.Error(w, "too many messages at once; try again", http.StatusServiceUnavailable)
	}
}

func bearer(req *http.Request) (token string, ok bool) {
	scheme, token, found := strings.Cut(req.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	return token, found && strings.EqualFold(scheme, "Bearer") && token != "" && len(token) <= maxToken
}

func (g *gate) verdictOf(req *http.Request, token string) verdict {
	key := sha256.Sum256([]byte(req.URL.Path + "\n" + token))
	now := g.Clock.Now()
	g.mu.Lock()
	v, known := g.known[key]
	g.mu.Unlock()
	if known && now.Before(v.until) {
		return v
	}
	if !g.limit.TryAccept() {
		return verdict{code: http.StatusServiceUnavailable, text: "too many tokens that are not known yet; try again"}
	}
	v, err := g.review(req, token)
	if err != nil {
		g.log.Error(err, "Whoever reports alerts could not be reviewed")
		return verdict{code: http.StatusServiceUnavailable, text: "the API server does not say who you are and what you may; try again"}
	}
	v.until = now.Add(reviewsKept)
	g.keep(key, v, now)
	return v
}

func (g *gate) keep(key [sha256.Size]byte, v verdict, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for old, kept := range g.known {
		if !now.Before(kept.until) {
			delete(g.known, old)
		}
	}
	if len(g.known) < maxReviews {
		g.known[key] = v
	}
}

// review asks the API server who it is, and whether they may.
func (g *gate) review(req *http.Request, token string) (verdict, error) {
	ctx, cancel := context.WithTimeout(req.Context(), reviewTimeout)
	defer cancel()
	who, err := g.Tokens.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return verdict{}, fmt.Errorf("review a token: %w", err)
	}
	if !who.Status.Authenticated {
		return verdict{code: http.StatusUnauthorized, text: "the bearer token is not valid here: it has expired, or is of another cluster, or is none"}, nil
	}
	user := who.Status.User
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for name, values := range user.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	verb := strings.ToLower(req.Method)
	may, err := g.Access.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: req.URL.Path, Verb: verb},
	}}, metav1.CreateOptions{})
	if err != nil {
		return verdict{}, fmt.Errorf("review what %s may: %w", user.Username, err)
	}
	if !may.Status.Allowed {
		return verdict{code: http.StatusForbidden, text: fmt.Sprintf(
			"%s may not %s %s: bind ClusterRole itil-alert-sender to it", user.Username, verb, req.URL.Path)}, nil
	}
	return verdict{}, nil
}
