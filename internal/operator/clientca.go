package operator

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
)

// clientAuthorities reads the authorities that sign the API servers' client certificates; nil for no file.
func clientAuthorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // none is meant: callers are not asked for certificates
	}
	bundle, err := os.ReadFile(file) //nolint:gosec // a flag of whoever installs the operator
	if err != nil {
		return nil, fmt.Errorf("reading --webhook-client-ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(bundle) {
		return nil, fmt.Errorf("--webhook-client-ca: %s holds no certificate", file)
	}
	return pool, nil
}

// askCallers has TLS verify certificates that callers show. Who shows none is told so by verifiedOnly: the readiness
// check of the server shows none either.
func askCallers(c *tls.Config, authorities *x509.CertPool) {
	if authorities != nil {
		c.ClientAuth, c.ClientCAs = tls.VerifyClientCertIfGiven, authorities
	}
}

// verifiedOnly answers those alone that showed a certificate of the authorities.
func verifiedOnly(authorities *x509.CertPool, next http.Handler) http.Handler {
	if authorities == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			http.Error(w, "the operator answers API servers only: show a client certificate (--webhook-client-ca)", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
