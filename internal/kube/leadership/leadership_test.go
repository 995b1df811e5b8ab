package leadership_test

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/itil-dev/itil-operator/internal/kube/leadership"
)

// lease is a lock in memory.
type lease struct {
	resourcelock.Interface
	record resourcelock.LeaderElectionRecord
}

func (l *lease) Get(context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	return &l.record, nil, nil
}

func (l *lease) Identity() string { return "us" }

func TestPrevious(t *testing.T) {
	noon := time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)
	held := &lease{}
	lock := leadership.Remember(held)
	if !lock.Previous().IsZero() || !(*leadership.Lock)(nil).Previous().IsZero() {
		t.Error("there was a leader before the first one")
	}
	for _, step := range []struct {
		holder string
		at     time.Time
	}{{"other", noon}, {"other", noon.Add(2 * time.Second)}, {"", noon.Add(3 * time.Second)}, {"us", noon.Add(time.Hour)}} {
		held.record = resourcelock.LeaderElectionRecord{HolderIdentity: step.holder, RenewTime: metav1.NewTime(step.at)}
		if _, _, err := lock.Get(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := lock.Previous(); !got.Equal(noon.Add(3 * time.Second)) {
		t.Errorf("the leader before was last alive at %s, want when it gave the lease back", got)
	}
}

// The timeout of a request about the Lease would end every watch of the operator after as long, and every longer list.
func TestTheCallersConfigIsItsOwn(t *testing.T) {
	config := &rest.Config{Host: "https://127.0.0.1:1", UserAgent: "itil-operator/test"}
	if _, err := leadership.New(config, "itil-system", "lock"); err != nil {
		t.Fatal(err)
	}
	if config.Timeout != 0 || config.UserAgent != "itil-operator/test" {
		t.Errorf("its timeout became %s, its user agent %q", config.Timeout, config.UserAgent)
	}
}
