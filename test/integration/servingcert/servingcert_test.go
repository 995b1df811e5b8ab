package servingcert_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/internal/kube/servingcert"
)

const dnsName = "itil-operator-webhook.itil-system.svc"

var _ = Describe("the serving certificate", func() {
	var (
		now    *clocktesting.FakePassiveClock
		secret *corev1.Secret
		hook   *admissionregistrationv1.ValidatingWebhookConfiguration
	)

	replica := func(authority servingcert.Authority) *servingcert.Reconciler {
		return &servingcert.Reconciler{
			Client: env.Admin(), Clock: now, Secret: client.ObjectKeyFromObject(secret), Webhooks: []string{hook.Name},
			Names: servingcert.Names{DNS: []string{dnsName}}, Authority: authority,
		}
	}
	reconcile := func(ctx context.Context, r *servingcert.Reconciler) ctrl.Result {
		GinkgoHelper()
		result, err := r.Reconcile(ctx, ctrl.Request{NamespacedName: r.Secret})
		Expect(err).NotTo(HaveOccurred())
		return result
	}
	refresh := func(ctx context.Context) {
		GinkgoHelper()
		Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(secret), secret)).To(Succeed())
		Expect(env.Admin().Get(ctx, client.ObjectKeyFromObject(hook), hook)).To(Succeed())
	}
	trusted := func(r *servingcert.Reconciler) error {
		pair, err := r.Serve(&tls.ClientHelloInfo{ServerName: dnsName})
		if err != nil {
			return err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(hook.Webhooks[0].ClientConfig.CABundle)
		_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: dnsName, CurrentTime: now.Now()})
		return err
	}

	BeforeEach(func(ctx SpecContext) {
		now = clocktesting.NewFakePassiveClock(time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC))
		namespace := env.Namespace(GinkgoTB(), nil)
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "cert"}}
		Expect(env.Admin().Create(ctx, secret)).To(Succeed())
		hook = webhook(namespace)
		Expect(env.Admin().Create(ctx, hook)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(env.Admin().Delete(ctx, hook)).To(Succeed()) })
	})

	It("is made, trusted and served, and then left alone", func(ctx SpecContext) {
		r := replica(servingcert.Self)
		Expect(r.Ready(nil)).NotTo(Succeed(), "a replica without a certificate must not be ready")
		result := reconcile(ctx, r)
		Expect(result.RequeueAfter).To(BeNumerically("~", 60*24*time.Hour, 24*time.Hour))
		refresh(ctx)
		Expect(trusted(r)).To(Succeed())
		Expect(r.Ready(nil)).To(Succeed())

		before := []string{secret.ResourceVersion, hook.ResourceVersion}
		reconcile(ctx, r)
		refresh(ctx)
		Expect([]string{secret.ResourceVersion, hook.ResourceVersion}).To(Equal(before), "nothing is due, so nothing is written")
	})

	It("is the same for all replicas, though they start at once", func(ctx SpecContext) {
		replicas := []*servingcert.Reconciler{replica(servingcert.Self), replica(servingcert.Self), replica(servingcert.Self)}
		done := make(chan error, len(replicas))
		for _, r := range replicas {
			go func() {
				_, err := r.Reconcile(ctx, ctrl.Request{NamespacedName: r.Secret})
				done <- err
			}()
		}
		for range replicas {
			// One that lost reports a conflict of the bundle at most; its next reconcile repairs that.
			<-done
		}
		for _, r := range replicas {
			reconcile(ctx, r)
		}
		refresh(ctx)
		for _, r := range replicas {
			Expect(trusted(r)).To(Succeed())
		}
	})

	It("is renewed before it ends, and trusted all the while", func(ctx SpecContext) {
		serving, sleeping := replica(servingcert.Self), replica(servingcert.Self)
		reconcile(ctx, serving)
		reconcile(ctx, sleeping)
		for range 15 {
			now.SetTime(now.Now().Add(61 * 24 * time.Hour))
			reconcile(ctx, serving)
			refresh(ctx)
			Expect(trusted(serving)).To(Succeed())
			Expect(trusted(sleeping)).To(Succeed(), "a replica that has not read the Secret yet is still trusted")
			reconcile(ctx, sleeping)
		}
	})

	It("repairs a bundle and a Secret that somebody spoilt", func(ctx SpecContext) {
		r := replica(servingcert.Self)
		reconcile(ctx, r)
		refresh(ctx)
		hook.Webhooks[0].ClientConfig.CABundle = nil
		Expect(env.Admin().Update(ctx, hook)).To(Succeed())
		secret.Data = map[string][]byte{"tls.crt": []byte("nonsense")}
		Expect(env.Admin().Update(ctx, secret)).To(Succeed())
		reconcile(ctx, r)
		refresh(ctx)
		Expect(trusted(r)).To(Succeed())
	})

	It("is only read where something else makes it", func(ctx SpecContext) {
		reconcile(ctx, replica(servingcert.Self))
		refresh(ctx)
		before := []string{secret.ResourceVersion, hook.ResourceVersion}
		now.SetTime(now.Now().Add(89 * 24 * time.Hour))
		r := replica(servingcert.External)
		Expect(reconcile(ctx, r).RequeueAfter).To(BeZero())
		refresh(ctx)
		Expect(trusted(r)).To(Succeed())
		Expect([]string{secret.ResourceVersion, hook.ResourceVersion}).To(Equal(before))
	})
})

func webhook(name string) *admissionregistrationv1.ValidatingWebhookConfiguration {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:                    "test.itil.dev",
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				Service: &admissionregistrationv1.ServiceReference{Namespace: "itil-system", Name: "itil-operator-webhook"},
			},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "no-such-namespace"}},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule: admissionregistrationv1.Rule{
					APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"},
				},
			}},
		}},
	}
}
