package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// TestToldToEnd tells the program to end while it waits for an API server that takes requests and does not answer.
func TestToldToEnd(t *testing.T) {
	asked, once, over := make(chan struct{}), sync.Once{}, make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(over) })
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	config := api.NewConfig()
	config.Clusters["silent"] = &api.Cluster{Server: server.URL, InsecureSkipTLSVerify: true}
	config.Contexts["silent"] = &api.Context{Cluster: "silent"}
	config.CurrentContext = "silent"
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", kubeconfig)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"--namespace=itil-system", "--leader-elect", "--health-probe-bind-address=0", "--webhook-bind-address=127.0.0.1:9443"})
	}()
	const patience = time.Minute
	select {
	case <-asked:
	case err := <-ended:
		t.Fatalf("it ended before it was told: %v", err)
	case <-time.After(patience):
		t.Fatal("it does not ask the API server")
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it failed: %v", err)
		}
	case <-time.After(patience):
		t.Error("it does not end")
	}
}
