// Package leadership is the lock of the leader election, with a memory of when the leader before was last alive.
package leadership

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// timeout of a request about the Lease: half of controller-runtime's deadline for renewing it.
const timeout = 5 * time.Second

// Lock is a Lease. It remembers when whoever held it before renewed it last, which the first write of the new leader
// replaces: from then on nobody watched.
type Lock struct {
	resourcelock.Interface

	mu       sync.Mutex
	previous time.Time
}

// New returns a lock by the Lease of that name, with an identity that no other process has.
func New(config *rest.Config, namespace, name string) (*Lock, error) {
	// AddUserAgent alters what it is given, and the caller's is for everything else, watches among it.
	config = rest.AddUserAgent(rest.CopyConfig(config), "leader-election")
	config.Timeout = timeout
	client, err := coordinationv1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for Leases: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("naming this process: %w", err)
	}
	return Remember(&resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name},
		Client:     client,
		LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())},
	}), nil
}

// Remember adds the memory to a lock.
func Remember(lock resourcelock.Interface) *Lock { return &Lock{Interface: lock} }

// Get implements resourcelock.Interface.
func (l *Lock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err == nil && record.HolderIdentity != l.Identity() {
		l.mu.Lock()
		l.previous = record.RenewTime.Time
		l.mu.Unlock()
	}
	return record, raw, err
}

// Previous is when the leader before this one renewed the Lease last, or gave it back; the zero time where there was
// none. It is final once this process leads.
func (l *Lock) Previous() time.Time {
	if l == nil {
		return time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.previous
}
