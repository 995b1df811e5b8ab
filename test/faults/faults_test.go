// Package faults_test runs replicas of the real operator against a real API server while something goes wrong, and
// compares what they wrote with an oracle that knows which faults there were: none lost, none doubled, none told twice.
//
// `make test` runs a short version, `make faults` the long one. Each test prints its seed; FAULTS_SEED repeats it, as
// far as the order of things is the test's to decide: goroutines and processes are scheduled by others.
//
// The replicas are wired as in cmd/manager, several in one process, each with its own caches, queues and lease. Their
// clock runs 60 times as fast as the machine's, so that grace times and hold-downs of minutes take seconds; the lease
// is by the machine's clock, as short as it can be.
package faults_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
)

const (
	operatorNamespace = "itil-system"

	// speed of the operator's clock.
	speed = 60
	// headStart of the API server's clock, which this one must not overtake.
	headStart = 60 * 24 * time.Hour
	// quota of etcd's file, which TestEtcdWithoutSpace fills. The long version writes more meanwhile.
	quota = 64 << 20
	// patience with what must become so, by the machine's clock: a takeover takes a lease, a start, and its reading.
	patience = 90 * time.Second
)

var env *apiserver.Env

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	var err error
	if env, err = apiserver.Launch(apiserver.WithRestarts(), apiserver.WithEtcdQuota(int64(size(quota, 4*quota)))); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}()
	return m.Run()
}

// long reports whether this is `make faults`.
func long() bool { return os.Getenv("FAULTS_LONG") != "" }

// size is the number of something in the short and in the long version.
func size(few, many int) int {
	if long() {
		return many
	}
	return few
}

// seedOf is what the randomness of a test begins with. It says how to repeat it.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("FAULTS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("FAULTS_SEED: %v", err)
		}
	}
	t.Logf("FAULTS_SEED=%d", seed)
	return seed
}

func ensureOperatorNamespace(t *testing.T) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: operatorNamespace}}
	if err := env.Admin().Get(t.Context(), keyOf(namespace), namespace); err == nil {
		return
	}
	if err := env.Admin().Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
}
