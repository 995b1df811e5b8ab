package operator

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// authority makes one, and a client certificate of it.
func authority(t *testing.T, now time.Time) (bundle []byte, pair tls.Certificate) {
	t.Helper()
	issue := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			signer = key
		}
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), now.Add(-time.Hour), now.Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	root := &x509.Certificate{Subject: pkix.Name{CommonName: "webhook callers"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootDER, rootKey := issue(root, root, nil)
	leafDER, leafKey := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "kube-apiserver"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, root, rootKey)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER}), tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}
}

func TestCallersShowCertificates(t *testing.T) {
	now := time.Now() // crypto/tls goes by the machine's clock
	bundle, trusted := authority(t, now)
	_, stranger := authority(t, now)
	file := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(file, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	authorities, err := clientAuthorities(file)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(verifiedOnly(authorities, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })))
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	askCallers(server.TLS, authorities)
	server.StartTLS()
	defer server.Close()
	for name, test := range map[string]struct {
		shows []tls.Certificate
		want  int
	}{
		"an API server":              {[]tls.Certificate{trusted}, http.StatusOK},
		"nobody":                     {nil, http.StatusForbidden},
		"one of another's authority": {[]tls.Certificate{stranger}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			transport := server.Client().Transport.(*http.Transport).Clone()
			transport.TLSClientConfig.Certificates = test.shows
			// Shown even where the server's list of authorities does not have it.
			if len(test.shows) > 0 {
				transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &test.shows[0], nil }
			}
			defer transport.CloseIdleConnections()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := (&http.Client{Transport: transport}).Do(request)
			if test.want == 0 {
				if err == nil {
					_ = response.Body.Close()
					t.Errorf("answered %s", response.Status)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != test.want {
				t.Errorf("answered %s", response.Status)
			}
		})
	}
}

func TestClientAuthorities(t *testing.T) {
	if pool, err := clientAuthorities(""); pool != nil || err != nil {
		t.Errorf("without a file: %v, %v", pool, err)
	}
	if _, err := clientAuthorities(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that does not exist is no mistake")
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := clientAuthorities(empty); err == nil {
		t.Error("a file without certificates is no mistake")
	}
}
