package main

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestOverride(t *testing.T) {
	tests := map[string]struct {
		env     map[string]string
		want    *state
		wantErr string
	}{
		"nothing set keeps what was remembered": {
			want: &state{Nodes: 7, MutatingAdmissionPolicy: true, EtcdSync: true},
		},
		"everything set": {
			env: map[string]string{
				"ITIL_LOCAL_NODES": "0", "ITIL_LOCAL_MUTATING_ADMISSION_POLICY": "off", "ITIL_LOCAL_ETCD_SYNC": "off",
				"ITIL_LOCAL_OPERATOR": "on",
			},
			want: &state{Operator: true},
		},
		"too many nodes": {
			env:     map[string]string{"ITIL_LOCAL_NODES": "1001"},
			wantErr: "ITIL_LOCAL_NODES=1001: want a number from 0 to 1000",
		},
		"no number": {
			env:     map[string]string{"ITIL_LOCAL_NODES": "three"},
			wantErr: "ITIL_LOCAL_NODES=three: want a number from 0 to 1000",
		},
		"neither on nor off": {
			env:     map[string]string{"ITIL_LOCAL_ETCD_SYNC": "true"},
			wantErr: "ITIL_LOCAL_ETCD_SYNC=true: want on or off",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := &state{Nodes: 7, MutatingAdmissionPolicy: true, EtcdSync: true}
			err := got.override(func(name string) string { return test.env[name] })
			if test.wantErr != "" {
				if err == nil || err.Error() != test.wantErr {
					t.Fatalf("got error %v, want %s", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestChoosePorts(t *testing.T) {
	first := newState()
	if err := first.choosePorts("/a/clone"); err != nil {
		t.Fatal(err)
	}
	seen := map[int]string{}
	for _, name := range portNames() {
		port := first.Ports[name]
		if port < firstPort || port >= firstPort+portCount {
			t.Errorf("%s: port %d is not from %d to %d", name, port, firstPort, firstPort+portCount-1)
		}
		if other := seen[port]; other != "" {
			t.Errorf("%s and %s have port %d", name, other, port)
		}
		seen[port] = name
	}

	// What is remembered stays, whether or not the port is free; what is taken is passed over.
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(first.Ports[portKwok])))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	again := &state{Ports: map[string]int{portEtcd: first.Ports[portKwok]}}
	if err := again.choosePorts("/a/clone"); err != nil {
		t.Fatal(err)
	}
	if got := again.Ports[portEtcd]; got != first.Ports[portKwok] {
		t.Errorf("the remembered port of etcd changed to %d", got)
	}
	for name, port := range again.Ports {
		if name != portEtcd && port == first.Ports[portKwok] {
			t.Errorf("%s was given port %d, which is taken", name, port)
		}
	}
}

func TestStateSurvivesACommand(t *testing.T) {
	c := testCluster(t)
	st, err := c.loadState()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(newState(), st); diff != "" {
		t.Errorf("a new folder: %s", diff)
	}
	st.Nodes, st.Ports[portEtcd] = 9, 20001
	if err := c.saveState(st); err != nil {
		t.Fatal(err)
	}
	again, err := c.loadState()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(st, again); diff != "" {
		t.Error(diff)
	}
}

func TestHeartbeats(t *testing.T) {
	tests := map[string]struct {
		nodes, node int
		want        time.Duration
	}{
		"few nodes, all alike":             {nodes: 3, node: 3, want: 10 * time.Second},
		"the first of many":                {nodes: 1000, node: 1, want: 100050 * time.Millisecond},
		"the last takes half as long more": {nodes: 1000, node: 1000, want: 150 * time.Second},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			st := &state{Nodes: test.nodes}
			got := st.heartbeatOf(test.node)
			if got != test.want {
				t.Errorf("node %d of %d reports every %s, want %s", test.node, test.nodes, got, test.want)
			}
			if _, grace := st.heartbeat(); got > grace*2/3 {
				t.Errorf("a node that reports every %s is lost after %s without a report", got, grace)
			}
		})
	}
}
