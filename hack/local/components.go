package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	// readyTimeout is for a cold start on a small, busy machine; a component that ends by itself is seen at once.
	readyTimeout = 3 * time.Minute
	readyPeriod  = 200 * time.Millisecond

	// Above so many nodes they report less often, or their reports would be most of what the API server does.
	manyNodes = 50
)

// heartbeat is how often a node reports at most, and how long it may be silent before it counts as lost.
func (s *state) heartbeat() (period, grace time.Duration) {
	if s.Nodes > manyNodes {
		return 100 * time.Second, 4 * time.Minute
	}
	return 10 * time.Second, 40 * time.Second
}

// heartbeatOf spreads the reports of many nodes, each of which takes up to half as long again. At one time they are more
// than the API server keeps for a watch that is slow: it ends the watch, and whoever reads the nodes anew, as the simulated
// kubelets do, reads the pods of each of them too.
func (s *state) heartbeatOf(node int) time.Duration {
	period, _ := s.heartbeat()
	if s.Nodes > manyNodes {
		period += period / 2 * time.Duration(node) / time.Duration(s.Nodes)
	}
	return period.Round(time.Millisecond)
}

// limits are how much the controllers may ask of the API server: a cluster of many nodes is for measurements, in which
// thousands of pods come up, and they are not to wait for limits that are made for a production cluster's sake.
func (s *state) limits() (requests, syncs []string) {
	if s.Nodes > manyNodes {
		return []string{"--kube-api-qps=2000", "--kube-api-burst=4000"},
			[]string{"--concurrent-deployment-syncs=20", "--concurrent-replicaset-syncs=20"}
	}
	return []string{"--kube-api-qps=200", "--kube-api-burst=400"}, nil
}

// quota of etcd: where thousands of pods come up, all that they were on the way is kept until the next compaction.
func (s *state) quota() string {
	if s.Nodes > manyNodes {
		return "8589934592" // 8 GiB
	}
	return "4294967296" // 4 GiB
}

// components of the control plane, in the order in which they start.
func (c *cluster) components(st *state, binaries string) []component {
	binary := func(name string) string { return filepath.Join(binaries, name) }
	serving, ca := c.pair("serving"), c.pair("ca").cert
	_, nodeGrace := st.heartbeat()
	requests, syncs := st.limits()
	tlsArgs := []string{"--tls-cert-file=" + serving.cert, "--tls-private-key-file=" + serving.key}
	all := []component{
		c.etcd(st, binary("etcd")),
		c.apiServer(st, binary("kube-apiserver"), tlsArgs),
		{
			name:   "kube-controller-manager",
			binary: binary("kube-controller-manager"),
			args: slices.Concat([]string{
				"--kubeconfig=" + c.pki("kube-controller-manager.kubeconfig"),
				"--bind-address=127.0.0.1",
				fmt.Sprintf("--secure-port=%d", st.Ports[portControllerManager]),
				"--leader-elect=false", // there is only one; an idle cluster writes nothing
				// Each controller acts as its own ServiceAccount, as everywhere: the gate knows them by name.
				"--use-service-account-credentials=true",
				"--service-account-private-key-file=" + c.pair("service-accounts").key,
				"--root-ca-file=" + ca,
				"--node-monitor-grace-period=" + nodeGrace.String(),
			}, requests, syncs, tlsArgs),
			readyURL: "https://" + st.address(portControllerManager) + "/healthz",
			grace:    10 * time.Second,
		},
		{
			name:   "kube-scheduler",
			binary: binary("kube-scheduler"),
			args: slices.Concat([]string{
				"--kubeconfig=" + c.pki("kube-scheduler.kubeconfig"),
				"--bind-address=127.0.0.1",
				fmt.Sprintf("--secure-port=%d", st.Ports[portScheduler]),
				"--leader-elect=false",
			}, requests, tlsArgs),
			readyURL: "https://" + st.address(portScheduler) + "/healthz",
			grace:    10 * time.Second,
		},
		c.kwok(st, binary("kwok")),
	}
	for i := range all {
		all[i].order = i
	}
	return all
}

func (c *cluster) etcd(st *state, binary string) component {
	serving, ca := c.pair("serving"), c.pair("ca").cert
	client, peer := "https://"+st.address(portEtcd), "https://"+st.address(portEtcdPeer)
	return component{
		name:   "etcd",
		binary: binary,
		args: []string{
			"--name=local", "--data-dir=" + c.path("data", "etcd"),
			"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=local=" + peer,
			// Everybody on this machine can reach the ports: only our certificates may use them.
			"--client-cert-auth=true", "--trusted-ca-file=" + ca, "--cert-file=" + serving.cert, "--key-file=" + serving.key,
			"--peer-client-cert-auth=true", "--peer-trusted-ca-file=" + ca,
			"--peer-cert-file=" + serving.cert, "--peer-key-file=" + serving.key,
			fmt.Sprintf("--unsafe-no-fsync=%t", !st.EtcdSync),
			"--auto-compaction-mode=periodic", "--auto-compaction-retention=10m",
			"--quota-backend-bytes=" + st.quota(),
			"--log-level=warn",
		},
		readyURL: client + "/health",
		grace:    10 * time.Second,
	}
}

func (c *cluster) apiServer(st *state, binary string, tlsArgs []string) component {
	ca, serving, serviceAccounts := c.pair("ca").cert, c.pair("serving"), c.pair("service-accounts").key
	args := append([]string{
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		fmt.Sprintf("--secure-port=%d", st.Ports[portAPIServer]),
		"--etcd-servers=https://" + st.address(portEtcd),
		"--etcd-cafile=" + ca, "--etcd-certfile=" + serving.cert, "--etcd-keyfile=" + serving.key,
		"--authorization-mode=Node,RBAC",
		"--client-ca-file=" + ca,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + serviceAccounts, "--service-account-signing-key-file=" + serviceAccounts,
		"--service-cluster-ip-range=10.96.0.0/16",
		"--allow-privileged=true",
		// What the operator writes, one line each: an idle one writes nothing, and this shows it.
		"--audit-policy-file=" + c.auditPolicy(), "--audit-log-path=" + c.path("logs", "operator-writes.jsonl"),
		"--audit-log-maxsize=50", "--audit-log-maxbackup=1",
	}, tlsArgs...)
	if !st.MutatingAdmissionPolicy {
		args = append(args,
			"--feature-gates=MutatingAdmissionPolicy=false",
			"--disable-admission-plugins=MutatingAdmissionPolicy",
			"--runtime-config=admissionregistration.k8s.io/v1/mutatingadmissionpolicies=false,"+
				"admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings=false")
	}
	return component{
		name: "kube-apiserver", binary: binary, args: args,
		content:  digestOf([]string{c.auditPolicy()}),
		readyURL: "https://" + st.address(portAPIServer) + "/readyz",
		grace:    5 * time.Second, // it would wait much longer for watches to end; it keeps nothing that could be lost
	}
}

func (c *cluster) auditPolicy() string { return filepath.Join(c.root, "hack", "local", "audit.yaml") }

func (c *cluster) kwok(st *state, binary string) component {
	stages := c.stageFiles()
	args := []string{
		"--kubeconfig=" + c.pki("kwok.kubeconfig"),
		"--manage-nodes-with-label-selector=type=kwok",
		"--node-lease-duration-seconds=0",             // nodes report by status; the node stage can then fall silent
		"--cidr=10.244.0.0/16", "--node-ip=192.0.2.1", // an address for documentation: nothing is there
		"--server-address=" + st.address(portKwok),
	}
	for _, file := range stages {
		args = append(args, "--config="+file)
	}
	return component{
		name: "kwok", binary: binary, args: args,
		content:  digestOf(stages),
		readyURL: "http://" + st.address(portKwok) + "/healthz",
		grace:    10 * time.Second,
	}
}

// stageFiles are the lives of simulated nodes and pods.
func (c *cluster) stageFiles() []string {
	files, err := filepath.Glob(filepath.Join(c.root, "hack", "local", "kwok", "*.yaml"))
	if err != nil {
		return nil // only a malformed pattern fails, and this one is constant
	}
	return files
}

// digestOf the content of files; one that cannot be read counts as empty, and its reader will say so.
func digestOf(files []string) string {
	sum := sha256.New()
	for _, file := range files {
		content, err := os.ReadFile(file) //nolint:gosec // our own files
		if err == nil {
			_, _ = fmt.Fprintf(sum, "%s %d\n%s", file, len(content), content)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// waitReady returns when the component says that it is ready, or fails when it ends or the time is over.
func (c *cluster) waitReady(ctx context.Context, wanted component, running record) error {
	client, err := c.httpClient()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("%s was not ready within %s", wanted.name, readyTimeout))
	defer cancel()
	for {
		ready, answer := probe(ctx, client, wanted.readyURL)
		if ready {
			return nil
		}
		if !running.alive() {
			return c.died(wanted.name)
		}
		if err := pause(ctx, readyPeriod); err != nil {
			return fmt.Errorf("%w; last answer of %s: %s; its log: %s", err, wanted.readyURL, answer, c.logPath(wanted.name))
		}
	}
}

// probe asks once, and returns what was answered in words.
func probe(ctx context.Context, client *http.Client, url string) (ready bool, answer string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err.Error()
	}
	response, err := client.Do(request)
	if err != nil {
		return false, err.Error()
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	err = errors.Join(err, response.Body.Close())
	if err != nil {
		return false, err.Error()
	}
	return response.StatusCode == http.StatusOK, fmt.Sprintf("%s %s", response.Status, body)
}

// httpClient trusts this cluster's authority and speaks as its administrator.
func (c *cluster) httpClient() (*http.Client, error) {
	files := c.pair("admin")
	certificate, err := tls.LoadX509KeyPair(files.cert, files.key)
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(c.pair("ca").cert)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", c.pair("ca").cert)
	}
	return &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{
			Certificates: []tls.Certificate{certificate}, RootCAs: roots, MinVersion: tls.VersionTLS12,
		}},
	}, nil
}
