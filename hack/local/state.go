package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"net"
	"os"
	"strconv"
)

const (
	stateFile = "state.json"

	defaultNodes = 3
	maxNodes     = 1000
)

// state is what a cluster remembers from its first up until down: its settings and its ports.
type state struct {
	// Nodes is the number of simulated nodes, 0 to 1000.
	Nodes int `json:"nodes"`
	// MutatingAdmissionPolicy false runs the API server as Kubernetes 1.30 to 1.35 do by default.
	MutatingAdmissionPolicy bool `json:"mutatingAdmissionPolicy"`
	// EtcdSync true makes etcd sync every write to disk, as in production. Slower; wanted for measurements.
	EtcdSync bool `json:"etcdSync"`
	// Operator false leaves the cluster without the operator and anything of itil.dev.
	Operator bool `json:"operator"`
	// Ports on 127.0.0.1 by what listens there.
	Ports map[string]int `json:"ports"`
}

// Names of the ports that a cluster uses.
const (
	portEtcd              = "etcd"
	portEtcdPeer          = "etcd-peer"
	portAPIServer         = "kube-apiserver"
	portControllerManager = "kube-controller-manager"
	portScheduler         = "kube-scheduler"
	portKwok              = "kwok"
	portWebhook           = "operator-webhook"
	portMetrics           = "operator-metrics"
	portHealth            = "operator-health"
)

func portNames() []string {
	return []string{
		portEtcd, portEtcdPeer, portAPIServer, portControllerManager, portScheduler, portKwok,
		portWebhook, portMetrics, portHealth,
	}
}

func newState() *state {
	return &state{Nodes: defaultNodes, MutatingAdmissionPolicy: true, Operator: true, Ports: map[string]int{}}
}

func (c *cluster) loadState() (*state, error) {
	content, err := os.ReadFile(c.path(stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return newState(), nil
	}
	if err != nil {
		return nil, err
	}
	st := newState()
	if err := json.Unmarshal(content, st); err != nil {
		return nil, fmt.Errorf("%s: %w; remove the folder's content with: go run ./hack/local down", c.path(stateFile), err)
	}
	return st, nil
}

func (c *cluster) saveState(st *state) error {
	content, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(c.path(stateFile), append(content, '\n'))
}

// override takes the settings that the environment names; others stay as they were remembered.
func (s *state) override(getenv func(string) string) error {
	if text := getenv("ITIL_LOCAL_NODES"); text != "" {
		nodes, err := strconv.Atoi(text)
		if err != nil || nodes < 0 || nodes > maxNodes {
			return fmt.Errorf("ITIL_LOCAL_NODES=%s: want a number from 0 to %d", text, maxNodes)
		}
		s.Nodes = nodes
	}
	switches := map[string]*bool{
		"ITIL_LOCAL_MUTATING_ADMISSION_POLICY": &s.MutatingAdmissionPolicy,
		"ITIL_LOCAL_ETCD_SYNC":                 &s.EtcdSync,
		"ITIL_LOCAL_OPERATOR":                  &s.Operator,
	}
	for name, value := range switches {
		switch text := getenv(name); text {
		case "":
		case "on":
			*value = true
		case "off":
			*value = false
		default:
			return fmt.Errorf("%s=%s: want on or off", name, text)
		}
	}
	return nil
}

// Ports are taken from below the range that Linux gives to outgoing connections (32768 and up), so that one that is
// free now is still free when its component comes back after a crash.
const (
	firstPort = 20000
	portCount = 12000
)

// choosePorts picks a free port for every name that has none yet. It begins at a place that depends on the folder,
// so that two clusters rarely try the same ports, and one that was removed gets its old ports back.
func (s *state) choosePorts(dir string) error {
	place := fnv.New32a()
	_, _ = place.Write([]byte(dir)) // a hash never fails
	taken := map[int]bool{}
	for _, port := range s.Ports {
		taken[port] = true
	}
	next := int(place.Sum32() % portCount)
	for _, name := range portNames() {
		if s.Ports[name] != 0 {
			continue
		}
		for tries := 0; ; tries++ {
			if tries == portCount {
				return fmt.Errorf("no free port between %d and %d for %s", firstPort, firstPort+portCount-1, name)
			}
			port := firstPort + next
			next = (next + 1) % portCount
			if !taken[port] && isFree(port) {
				s.Ports[name], taken[port] = port, true
				break
			}
		}
	}
	return nil
}

func isFree(port int) bool {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // returns at once
	return err == nil && listener.Close() == nil
}

// address of what listens on the port of this name.
func (s *state) address(port string) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Ports[port]))
}
