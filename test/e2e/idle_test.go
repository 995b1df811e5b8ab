package e2e

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// idle: an idle cluster costs no writes but renewals of the lease. It holds what all parts before have left: Services,
// open and ended Changes, resolved Incidents.
func idle() {
	// Longer than anything is put off: a minute after a template came in that nobody recorded, its writer is named.
	const quiet = 75 * time.Second

	samples := func(ctx context.Context) {
		out, err := env.kubectl(ctx, admin, "apply", "--server-side", "-k", "config/samples")
		ExpectWithOffset(1, err).NotTo(HaveOccurred(), out)
	}

	BeforeAll(func(ctx SpecContext) {
		samples(ctx)
	}, NodeTimeout(4*time.Minute))

	It("writes nothing", func(ctx SpecContext) {
		begin := time.Now()
		Eventually(ctx, func() error {
			writes := env.writes(begin)
			since := begin
			if len(writes) > 0 {
				since = writes[len(writes)-1].At
			}
			if time.Since(since) < quiet {
				return fmt.Errorf("%d writes since %s, the last: %v", len(writes), begin.Format(time.TimeOnly), last(writes, 20))
			}
			return nil
		}).WithTimeout(4 * time.Minute).WithPolling(time.Second).Should(Succeed())
		Expect(decisions(ctx)).To(BeNumerically(">", 0), "it runs")
	}, SpecTimeout(5*time.Minute))

	It("writes nothing when the same is applied again", func(ctx SpecContext) {
		begin := time.Now()
		samples(ctx)
		Consistently(ctx, env.writes).WithArguments(begin).WithTimeout(2 * stays).Should(BeEmpty())
	}, SpecTimeout(5*time.Minute))

	It("has nothing in the way of removing the samples", func(ctx SpecContext) {
		// Their workloads are governed: only with their namespace do they go without a Change.
		_, err := env.kubectl(ctx, admin, "delete", "namespace", "shop", "finance", "--timeout=60s")
		Expect(err).NotTo(HaveOccurred())
		_, err = env.kubectl(ctx, admin, "delete", "--ignore-not-found", "--timeout=60s", "-k", "config/samples")
		Expect(err).NotTo(HaveOccurred())
	}, SpecTimeout(6*time.Minute))
}

func last(writes []write, n int) []write { return writes[max(0, len(writes)-n):] }
