package incidents_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/controllers/detection"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

// alertBody is what Alertmanager sends of one alert about Deployment web.
func alertBody(namespace, status string) string {
	ends := "0001-01-01T00:00:00Z"
	if status == "resolved" {
		ends = time.Now().UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf(`{"version":"4","alerts":[{"status":%q,"labels":{"alertname":"Slow","namespace":%q,"deployment":"web"},
"annotations":{"summary":"p99 is 5 s"},"startsAt":%q,"endsAt":%q,"fingerprint":"0123456789abcdef"}]}`,
		status, namespace, time.Now().Add(-time.Minute).UTC().Format(time.RFC3339), ends)
}

var _ = Describe("The intake of alerts", func() {
	var (
		namespace string
		url       string
		browser   *http.Client
	)

	token := func(ctx context.Context, account string) string {
		GinkgoHelper()
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: account}}
		Expect(admin().Create(ctx, sa)).To(Succeed())
		request := &authenticationv1.TokenRequest{}
		Expect(admin().SubResource("token").Create(ctx, sa, request)).To(Succeed())
		return request.Status.Token
	}
	post := func(ctx context.Context, token, body string) int {
		GinkgoHelper()
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
		Expect(err).NotTo(HaveOccurred())
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := browser.Do(request)
		Expect(err).NotTo(HaveOccurred())
		Expect(answer.Body.Close()).To(Succeed())
		return answer.StatusCode
	}
	only := func(ctx context.Context, g Gomega) v1alpha1.Incident {
		list := &v1alpha1.IncidentList{}
		g.Expect(admin().List(ctx, list, client.InNamespace(namespace))).To(Succeed())
		g.Expect(list.Items).To(HaveLen(1))
		return list.Items[0]
	}

	BeforeEach(func(ctx SpecContext) {
		namespace = env.Namespace(GinkgoTB(), nil)
		web := builder.MakeDeployment(namespace, "web").Obj()
		web.Spec.Replicas = new(int32(0))
		Expect(admin().Create(ctx, web)).To(Succeed())
		Expect(admin().Get(ctx, client.ObjectKeyFromObject(web), &appsv1.Deployment{})).To(Succeed())
		browser = &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true, // a test's own server
		}}
	})

	run := func(ctx context.Context) *operator {
		GinkgoHelper()
		var detector *detection.Reconciler
		o := start(namespace, clock.RealClock{}, func(r *detection.Reconciler) { detector = r })
		config := env.AdminConfig()
		clients, err := kubernetes.NewForConfig(config)
		Expect(err).NotTo(HaveOccurred())
		guard := &detection.Guard{
			Tokens: clients.AuthenticationV1().TokenReviews(), Access: clients.AuthorizationV1().SubjectAccessReviews(), Clock: clock.RealClock{},
		}
		listening := make(chan net.Addr, 1)
		receiver := &detection.AlertReceiver{
			Detector: detector, Address: "127.0.0.1:0", Filter: guard.Filter(), Listening: func(a net.Addr) { listening <- a },
			TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.Certificates = []tls.Certificate{certificate()} }},
		}
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan error, 1)
		go func() { ended <- receiver.Start(ctx) }()
		DeferCleanup(func() {
			cancel()
			Eventually(ended).Should(Receive(BeNil()))
		})
		var address net.Addr
		Eventually(listening).Should(Receive(&address))
		url = "https://" + address.String() + detection.AlertPath
		return o
	}

	It("asks who reports and whether they may, and opens an Incident that outlasts a restart", func(ctx SpecContext) {
		first := run(ctx)
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "alerts-" + namespace}, Rules: []rbacv1.PolicyRule{
			{NonResourceURLs: []string{detection.AlertPath}, Verbs: []string{"post"}},
		}}
		Expect(admin().Create(ctx, role)).To(Succeed())
		Expect(admin().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: "alertmanager"}},
		})).To(Succeed())
		alertmanager := token(ctx, "alertmanager")

		Expect(post(ctx, "", alertBody(namespace, "firing"))).To(Equal(http.StatusUnauthorized))
		Expect(post(ctx, "nonsense", alertBody(namespace, "firing"))).To(Equal(http.StatusUnauthorized))
		Expect(post(ctx, token(ctx, "stranger"), alertBody(namespace, "firing"))).To(Equal(http.StatusForbidden))

		Eventually(func() int { return post(ctx, alertmanager, alertBody(namespace, "firing")) }).Should(Equal(http.StatusOK))
		i := only(ctx, Default)
		Expect(i.Spec.Source).To(Equal(v1alpha1.IncidentSourceAlert))
		Expect(i.Spec.Title).To(Equal("web: alert Slow fires: p99 is 5 s"))
		Expect(i.Status.Signals).To(HaveLen(1))

		By("another operator, to which Alertmanager reports the end")
		first.stop()
		run(ctx)
		Eventually(func() int { return post(ctx, alertmanager, alertBody(namespace, "resolved")) }).Should(Equal(http.StatusOK))
		Eventually(func(g Gomega) {
			g.Expect(only(ctx, g).Status.RecoveredAt).NotTo(BeNil())
		}).Should(Succeed())
	})
})
