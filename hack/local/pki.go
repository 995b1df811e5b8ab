package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"slices"
	"time"
)

const (
	certificateLife = 365 * 24 * time.Hour
	// A certificate that ends sooner than this is replaced by the next up.
	certificateReserve = 30 * 24 * time.Hour

	authorityName = "itil-operator-local"
)

// authority signs every certificate of a cluster, for the API server and for etcd.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// identity is who a certificate speaks for: Kubernetes reads the user from the common name and the groups from
// the organizations.
type identity struct {
	user   string
	groups []string
	server bool // also serves on 127.0.0.1
}

// keyPair names the two files of a certificate.
type keyPair struct{ cert, key string }

func (c *cluster) pki(name string) string { return c.path("pki", name) }

func (c *cluster) pair(name string) keyPair {
	return keyPair{cert: c.pki(name + ".crt"), key: c.pki(name + ".key")}
}

// loadAuthority reads the authority of this cluster, or makes it.
func (c *cluster) loadAuthority(now time.Time) (*authority, error) {
	files := c.pair("ca")
	certificate, key, err := readPair(files)
	if err == nil {
		return &authority{certificate: certificate, key: key}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := certificateTemplate(identity{user: authorityName}, now)
	if err != nil {
		return nil, err
	}
	template.NotAfter = now.Add(10 * certificateLife)
	template.IsCA = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = nil
	if err := writePair(files, template, template, key, key); err != nil {
		return nil, err
	}
	certificate, key, err = readPair(files)
	return &authority{certificate: certificate, key: key}, err
}

// ensurePair makes the certificate unless there is one for this identity that lasts long enough.
func (a *authority) ensurePair(files keyPair, who identity, now time.Time) error {
	certificate, _, err := readPair(files)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && certificate.CheckSignatureFrom(a.certificate) == nil && speaksFor(certificate, who, now) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := certificateTemplate(who, now)
	if err != nil {
		return err
	}
	return writePair(files, template, a.certificate, key, a.key)
}

func speaksFor(certificate *x509.Certificate, who identity, now time.Time) bool {
	have := slices.Sorted(slices.Values(certificate.Subject.Organization))
	want := slices.Sorted(slices.Values(who.groups))
	return certificate.Subject.CommonName == who.user && slices.Equal(have, want) &&
		now.Add(certificateReserve).Before(certificate.NotAfter)
}

func certificateTemplate(who identity, now time.Time) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: who.user, Organization: who.groups},
		NotBefore:             now.Add(-time.Hour), // clocks differ, and may be set back
		NotAfter:              now.Add(certificateLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if who.server {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)}
		template.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	}
	return template, nil
}

func readPair(files keyPair) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certPEM, err := os.ReadFile(files.cert)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := os.ReadFile(files.key)
	if err != nil {
		return nil, nil, err
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, nil, fmt.Errorf("%s: no PEM; remove the cluster with: go run ./hack/local down", files.cert)
	}
	certificate, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", files.cert, err)
	}
	key, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", files.key, err)
	}
	return certificate, key, nil
}

func writePair(files keyPair, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	var cert, private bytes.Buffer
	if err := errors.Join(
		pem.Encode(&cert, &pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.Encode(&private, &pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	); err != nil {
		return err
	}
	// The certificate last: with it, the pair counts as there.
	return errors.Join(writeFile(files.key, private.Bytes()), writeFile(files.cert, cert.Bytes()))
}
