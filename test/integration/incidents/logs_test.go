package incidents_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gstruct"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/controllers/detection"
	"github.com/itil-dev/itil-operator/internal/testing/apiserver"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

const (
	operatorNamespace = "itil-system"
	operatorAccount   = "itil-operator"
	operatorName      = "system:serviceaccount:" + operatorNamespace + ":" + operatorAccount
	logReader         = "itil-operator-log-reader"
)

// kubelet plays that of a node: it answers what the API server asks it for of logs.
type kubelet struct {
	mu sync.Mutex
	// answers by the name of the Deployment.
	answers map[string]http.HandlerFunc
	asked   map[string][]url.Values
	// left is sent to when the API server has given up a request that was not answered.
	left chan string
	// over is closed when the test is.
	over chan struct{}
}

// newKubelet makes the Node of the pods of a shop, whose kubelet it is.
func newKubelet(ctx context.Context, namespace string) *kubelet {
	GinkgoHelper()
	k := &kubelet{
		answers: map[string]http.HandlerFunc{}, asked: map[string][]url.Values{}, left: make(chan string, 10),
		over: make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/"+namespace+"/{pod}/app", func(w http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(r.PathValue("pod"), "-5d4f-")
		k.mu.Lock()
		k.asked[name] = append(k.asked[name], r.URL.Query())
		answer := k.answers[name]
		k.mu.Unlock()
		if answer == nil {
			http.Error(w, "the test did not expect this", http.StatusTeapot)
			return
		}
		answer(w, r)
	})
	server := httptest.NewTLSServer(mux)
	DeferCleanup(func() {
		close(k.over)
		server.Close()
	})

	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node1"}}
	Expect(admin().Create(ctx, node)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(admin().Delete(ctx, node)).To(Succeed()) })
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(server.Listener.Addr().(*net.TCPAddr).Port)
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	Expect(admin().Status().Update(ctx, node)).To(Succeed())
	return k
}

// says sets what it answers of the pods of a Deployment.
func (k *kubelet) says(deployment string, answer http.HandlerFunc) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answers[deployment] = answer
}

// queries are those with which it was asked for the logs of a Deployment.
func (k *kubelet) queries(deployment string) []url.Values {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked[deployment]
}

// hang sends what there is of a log, and then nothing until the API server gives up.
func (k *kubelet) hang(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if text != "" {
			_, _ = io.WriteString(w, text)
			w.(http.Flusher).Flush()
		}
		select {
		case <-r.Context().Done():
			k.left <- r.PathValue("pod")
		case <-k.over:
		}
	}
}

// text sends what is asked for of a log as a kubelet does: the last lines, and of those the first bytes.
func text(lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tail, _ := strconv.Atoi(r.URL.Query().Get("tailLines"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limitBytes"))
		all := strings.Join(lines[max(len(lines)-tail, 0):], "")
		_, _ = io.WriteString(w, all[:min(len(all), limit)])
	}
}

// forEver is longer than a test takes.
const forEver = 24 * time.Hour

// fails makes a Deployment of a Service whose only pod crashes.
func (s *shop) fails(ctx context.Context, name string, captureLogs bool) {
	GinkgoHelper()
	service := builder.MakeService(s.namespace, name).Claim(v1alpha1.WorkloadDeployment, name).Obj()
	service.UID, service.ResourceVersion, service.Generation = "", "", 0
	service.Spec.Detection = &v1alpha1.Detection{CaptureLogs: captureLogs}
	Expect(admin().Create(ctx, service)).To(Succeed())
	s.deployment(ctx, name, 1, 0)
	s.pod(ctx, name, 0, true)
}

// consents binds the role as the documentation says, and waits until the API server knows.
func consents(ctx context.Context, namespace string) {
	GinkgoHelper()
	Expect(admin().Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "itil-operator-logs"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: logReader},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: operatorNamespace, Name: operatorAccount}},
	})).To(Succeed())
	Eventually(func(g Gomega) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: operatorName, ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: namespace, Verb: "get", Resource: "pods", Subresource: "log",
			},
		}}
		g.Expect(admin().Create(ctx, review)).To(Succeed())
		g.Expect(review.Status.Allowed).To(BeTrue())
	}).Should(Succeed())
}

var _ = Describe("The end of a log", func() {
	var (
		s    *shop
		node *kubelet
	)

	BeforeEach(func(ctx SpecContext) {
		for _, file := range []string{"config/rbac/role.yaml", "config/rbac/log_reader.yaml"} {
			env.Apply(GinkgoTB(), file)
		}
		env.Bind(GinkgoTB(), "", apiserver.User(operatorName), "itil-operator")
		s = newShop()
		node = newKubelet(ctx, s.namespace)
	})

	// run starts an operator that may do what its roles say, and no more, and waits for logs for so long.
	run := func(timeout time.Duration) *operator {
		GinkgoHelper()
		config := env.Config(GinkgoTB(), operatorName, "system:serviceaccounts", "system:serviceaccounts:"+operatorNamespace)
		clients, err := kubernetes.NewForConfig(config)
		Expect(err).NotTo(HaveOccurred())
		return startAs(config, s.namespace, s.clock, func(r *detection.Reconciler) {
			r.LogTimeout = timeout
			r.Logs = func(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) (io.ReadCloser, error) {
				return clients.CoreV1().Pods(namespace).GetLogs(pod, options).Stream(ctx)
			}
		})
	}
	log := func(matchers ...OmegaMatcher) OmegaMatcher {
		return HaveField("Status.Log", gstruct.PointTo(And(matchers...)))
	}

	It("is on the Incident where the Service and the namespace allow it, and not read where the Service does not", func(ctx SpecContext) {
		consents(ctx, s.namespace)
		run(forEver)

		By("a Service that did not ask for it")
		s.fails(ctx, "silent", false)
		s.becomes(ctx, "silent", state(v1alpha1.IncidentNew))

		By("a log that is as bad as can be")
		var lines []string
		for n := range 30 {
			lines = append(lines, fmt.Sprintf("\x1b[31m%02d\x1b[0m\a %s\r\n", n, strings.Repeat("é", 7000)))
		}
		node.says("web", text(lines...))
		s.fails(ctx, "web", true)
		s.becomes(ctx, "web", state(v1alpha1.IncidentNew), log(
			HaveField("Pod", "web-5d4f-0"), HaveField("Container", "app"), HaveField("Previous", true), HaveField("Problem", ""),
			HaveField("Lines", And(HaveLen(20), HaveEach(WithTransform(func(l string) int { return len([]rune(l)) }, Equal(256))),
				HaveEach(Not(MatchRegexp(`[[:cntrl:]]`))), ContainElement(HavePrefix("[31m29")))),
		))
		Expect(node.queries("web")).To(ConsistOf(And(
			HaveKeyWithValue("tailLines", []string{"20"}), HaveKeyWithValue("limitBytes", []string{"327680"}), HaveKeyWithValue("previous", []string{"true"}),
			Not(HaveKey("follow")))))
		Expect(node.queries("silent")).To(BeEmpty())
		Expect(s.incident(ctx, Default, "silent").Status.Log).To(BeNil())
	}, SpecTimeout(3*time.Minute))

	It("is not read without the consent of the namespace, and the Incident says how to give it", func(ctx SpecContext) {
		run(forEver)
		s.fails(ctx, "web", true)
		s.becomes(ctx, "web", state(v1alpha1.IncidentNew), log(
			HaveField("Lines", BeEmpty()), HaveField("Problem", Equal("the operator may not read logs in namespace "+s.namespace+
				": bind ClusterRole "+logReader+" to its service account there, or take spec.detection.captureLogs off the Service"))))
		Expect(node.queries("web")).To(BeEmpty())
	}, SpecTimeout(3*time.Minute))

	It("is not waited for, and what a kubelet did instead is said", func(ctx SpecContext) {
		consents(ctx, s.namespace)
		o := run(forEver)
		node.says("hangs", node.hang(""))
		node.says("stalls", node.hang("listening\npanic: no database\n"))
		node.says("errs", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "the runtime is gone", http.StatusInternalServerError)
		})
		node.says("lost", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `previous terminated container "app" not found`, http.StatusBadRequest)
		})
		node.says("refuses", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Forbidden (user=kube-apiserver, verb=get, resource=nodes, subresource=proxy)", http.StatusForbidden)
		})
		node.says("mute", text())

		By("opening them while the kubelet is silent")
		for _, name := range []string{"hangs", "stalls"} {
			s.fails(ctx, name, true)
			Eventually(func() []url.Values { return node.queries(name) }).Should(HaveLen(1))
			s.becomes(ctx, name, state(v1alpha1.IncidentNew), HaveField("Status.Log", BeNil()))
		}

		By("reading others meanwhile")
		for name, problem := range map[string]string{
			"errs":    "the log could not be read: Internal error occurred: the runtime is gone",
			"lost":    `previous terminated container "app" not found`,
			"refuses": "the kubelet of the pod's node refused it to the API server: Forbidden (user=kube-apiserver,",
			"mute":    "the log is empty",
		} {
			s.fails(ctx, name, true)
			s.becomes(ctx, name, state(v1alpha1.IncidentNew), log(HaveField("Lines", BeEmpty()), HaveField("Problem", ContainSubstring(problem))))
		}
		Expect(node.left).NotTo(Receive(), "the others waited for a kubelet that is silent")

		By("leaving the kubelet alone when it is stopped")
		o.stop()
		for range 2 {
			Eventually(node.left).Should(Receive())
		}
	}, SpecTimeout(3*time.Minute))

	It("is given up in the end, and that is said", func(ctx SpecContext) {
		consents(ctx, s.namespace)
		run(time.Second)
		node.says("hangs", node.hang(""))
		node.says("stalls", node.hang("listening\npanic: no database\n"))
		for _, name := range []string{"hangs", "stalls"} {
			s.fails(ctx, name, true)
			s.becomes(ctx, name, state(v1alpha1.IncidentNew), log(HaveField("Lines", BeEmpty()),
				HaveField("Problem", "the log could not be read: the kubelet of the pod's node did not send it within 1s")))
		}
	}, SpecTimeout(3*time.Minute))
})
