package e2e

import (
	"bytes"
	"context"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/clock"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/cli"
	"github.com/itil-dev/itil-operator/internal/cli/exit"
	"github.com/itil-dev/itil-operator/internal/testing/replica"
)

// weeks is a whole control plane of its own on which weeks pass in a minute: the operator runs in this process, by a
// clock that leaps over the days on which nothing happens, and it and the people see what controllers and kubelets
// stamped as that clock showed it.
type weeks struct {
	*environment

	clock   *replica.Clock
	running *replica.Replica
	seen    *replica.Seen
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
	w.running = replica.Start(GinkgoTB(), replica.Config{
		REST: w.load(filepath.Join(w.dir, "pki", "operator.kubeconfig")), Namespace: "itil-system",
		Clock: w.clock, Machine: clock.RealClock{}, WebhookPort: webhookPort, Between: []replica.Middleware{w.clock.Stamps},
	})
	Eventually(ctx, w.running.Working()).WithTimeout(time.Minute).Should(BeClosed(), "controllers that do not work: %v", w.running.Missing)
	w.seen, err = w.running.See(ctx, &corev1.Pod{}, unstructuredOf("Deployment"), unstructuredOf("StatefulSet"),
		&v1alpha1.Service{}, &v1alpha1.ConfigurationItem{}, &v1alpha1.ServiceLevelAgreement{},
		&v1alpha1.Incident{}, &v1alpha1.Problem{}, &v1alpha1.Change{}, &v1alpha1.ChangeApproval{}, &v1alpha1.Release{})
	Expect(err).NotTo(HaveOccurred())
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
func (w *weeks) until(ctx context.Context, at time.Time) {
	GinkgoHelper()
	by := at.Sub(w.clock.Now())
	Expect(by).To(BeNumerically(">", 0), "it is later than %s already", at)
	w.passes(ctx, by)
}

// passes lets time pass in which nothing happens: what is under way ends before. A pod that is being deleted would
// otherwise have been so for all that time, and what the operator does now be done on another day.
func (w *weeks) passes(ctx context.Context, by time.Duration) {
	GinkgoHelper()
	w.rests(ctx)
	w.clock.Leap(by)
}

// rests waits until all pods are ready and what makes them is content, and until the operator has seen that and has
// done what there was to do.
func (w *weeks) rests(ctx context.Context) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		pods := &corev1.PodList{}
		g.Expect(w.admin.List(ctx, pods)).To(Succeed())
		for _, pod := range pods.Items {
			g.Expect(pod.DeletionTimestamp).To(BeNil(), "pod %s is being deleted", pod.Name)
			g.Expect(isReady(&pod)).To(BeTrue(), "pod %s is not ready: %+v", pod.Name, pod.Status)
		}
		deployments, sets := &appsv1.DeploymentList{}, &appsv1.StatefulSetList{}
		g.Expect(w.admin.List(ctx, deployments)).To(Succeed())
		for _, d := range deployments.Items {
			want := appsv1.DeploymentStatus{
				ObservedGeneration: d.Generation, Replicas: *d.Spec.Replicas, UpdatedReplicas: *d.Spec.Replicas,
				ReadyReplicas: *d.Spec.Replicas, AvailableReplicas: *d.Spec.Replicas,
			}
			got := d.Status
			got.Conditions, got.CollisionCount, got.TerminatingReplicas = nil, nil, nil
			g.Expect(got).To(Equal(want), "Deployment %s", d.Name)
		}
		g.Expect(w.admin.List(ctx, sets)).To(Succeed())
		for _, s := range sets.Items {
			g.Expect(s.Status.ObservedGeneration).To(Equal(s.Generation), s.Name)
			g.Expect([]int32{s.Status.Replicas, s.Status.UpdatedReplicas, s.Status.AvailableReplicas}).To(HaveEach(*s.Spec.Replicas), s.Name)
		}
		behind, err := w.seen.Behind(ctx, w.admin)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(behind).To(BeEmpty(), "what the operator has not seen yet")
		g.Expect(w.running.Busy()).To(BeEmpty(), "what the operator is busy with")
	}).WithTimeout(time.Minute).Should(Succeed())
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// unstructuredOf is a kind of workload as the operator watches it.
func unstructuredOf(kind string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind(kind))
	return u
}
