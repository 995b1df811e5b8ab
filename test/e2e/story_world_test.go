package e2e

import (
	"bytes"
	"context"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/clock"

	"github.com/itil-dev/itil-operator/internal/cli"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

// weeks is a whole control plane of its own on which weeks pass in a minute: the operator runs in this process, by a
// clock that leaps over the days on which nothing happens, and it and the people see what controllers and kubelets
// stamped as that clock showed it.
type weeks struct {
	*environment

	clock *replica.Clock
	// through are kubeconfigs of the people that lead through the clock.
	through map[string]string
}

// startWeeks begins at a time.
func startWeeks(ctx context.Context, begin time.Time) *weeks {
	GinkgoHelper()
	w := &weeks{environment: start(ctx), through: map[string]string{}}
	// It has installed the gate and its certificate; another takes its place.
	w.operator(ctx, "stop")
	w.clock = replica.NewClock(clock.RealClock{}, 1, time.Since(begin))
	_, port, found := strings.Cut(w.port("operator-webhook"), ":")
	Expect(found).To(BeTrue())
	webhookPort, err := strconv.Atoi(port)
	Expect(err).NotTo(HaveOccurred())
	running := replica.Start(GinkgoTB(), replica.Config{
		REST: w.load(filepath.Join(w.dir, "pki", "operator.kubeconfig")), Namespace: "itil-system",
		Clock: w.clock, Machine: clock.RealClock{}, WebhookPort: webhookPort, Between: []replica.Middleware{w.clock.Stamps},
	})
	Eventually(ctx, running.Working()).WithTimeout(time.Minute).Should(BeClosed(), "controllers that do not work: %v", running.Missing)
	for name := range w.configs {
		w.through[name] = w.lead(name)
	}
	return w
}

// lead serves a user's API server with the clock's stamps, and writes a kubeconfig for it.
func (w *weeks) lead(user string) string {
	GinkgoHelper()
	config := rest.CopyConfig(w.configs[user])
	transport, err := rest.TransportFor(config)
	Expect(err).NotTo(HaveOccurred())
	target, err := url.Parse(config.Host)
	Expect(err).NotTo(HaveOccurred())
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     w.clock.Stamps(transport),
		FlushInterval: -1,
	}
	server := httptest.NewServer(proxy)
	DeferCleanup(server.Close)
	to := clientcmdapi.NewConfig()
	to.Clusters["weeks"] = &clientcmdapi.Cluster{Server: server.URL}
	to.AuthInfos[user] = &clientcmdapi.AuthInfo{}
	to.Contexts["weeks"] = &clientcmdapi.Context{Cluster: "weeks", AuthInfo: user}
	to.CurrentContext = "weeks"
	path := filepath.Join(w.dir, user+".weeks")
	Expect(clientcmd.WriteToFile(*to, path)).To(Succeed())
	return path
}

// itil runs the plugin as a user, in namespace shop.
func (w *weeks) itil(ctx context.Context, user string, arguments ...string) string {
	GinkgoHelper()
	var out bytes.Buffer
	code := cli.Run(ctx, cli.Environment{
		IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: &out}, Now: w.clock.Now, Version: "test",
	}, append([]string{"--kubeconfig", w.through[user], "--cache-dir", filepath.Join(w.dir, "cache"), "--namespace", "shop"}, arguments...))
	Expect(code).To(Equal(exit.OK), "%s$ kubectl itil %s\n%s", user, strings.Join(arguments, " "), &out)
	GinkgoWriter.Printf("%s %s$ kubectl itil %s\n%s", w.clock.Now().Format(time.DateTime), user, strings.Join(arguments, " "), &out)
	return out.String()
}

// until lets time pass until a day of the story, at an hour.
func (w *weeks) until(at time.Time) {
	GinkgoHelper()
	by := at.Sub(w.clock.Now())
	Expect(by).To(BeNumerically(">", 0), "it is later than %s already", at)
	w.clock.Leap(by)
}
