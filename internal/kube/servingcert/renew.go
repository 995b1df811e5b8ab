// Package servingcert keeps the certificate that the webhooks serve with: made and renewed in one Secret that
// all replicas share, trusted through the webhook configurations, served from memory.
//
// See docs/adr/0003-serving-certificates.md for why it is not mounted and not made by a library.
package servingcert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"time"
)

// Keys of the Secret. They are those of a kubernetes.io/tls Secret as cert-manager writes it, and ca.key.
const (
	keyCert   = "tls.crt"
	keyKey    = "tls.key"
	keyBundle = "ca.crt"
	keyCAKey  = "ca.key"
)

const (
	caLifetime     = 2 * 365 * 24 * time.Hour
	caRenewBefore  = 180 * 24 * time.Hour
	serverLifetime = 90 * 24 * time.Hour
	// serverRenewBefore leaves a month in which somebody can find out why it is not renewed.
	serverRenewBefore = 30 * 24 * time.Hour
	// trustLag is how long a new authority is only trusted, before it signs: every API server has read the
	// new bundle by then.
	trustLag = time.Hour
	// skew allows for clocks that are behind.
	skew = time.Hour
)

// Names that the certificate must be good for.
type Names struct {
	DNS []string
	IPs []net.IP
}

// renewal is what Renew makes of a Secret.
type renewal struct {
	// Data is the Secret's new content; equal to the old one where Changed is false.
	Data    map[string][]byte
	Changed bool
	// Next is when to look again.
	Next time.Time
}

// renew decides what must be renewed at now, and does it. What is good is kept: a server certificate is
// replaced by one of a new authority only after everybody had time to trust that authority.
func renew(data map[string][]byte, names Names, now time.Time) (renewal, error) {
	out := renewal{Data: make(map[string][]byte, len(data))}
	maps.Copy(out.Data, data)
	ca, caKey, err := currentAuthority(data)
	if err == nil && matured(ca, now) && serverDue(data, names, now) && now.Add(serverLifetime).Before(ca.NotAfter) {
		// Before the authority is replaced, if it is to be: the next one may not sign for a while.
		if _, err := putServer(out.Data, ca, caKey, names, now); err != nil {
			return renewal{}, err
		}
		out.Changed = true
	}
	if err != nil || now.After(ca.NotAfter.Add(-caRenewBefore)) || now.Before(ca.NotBefore) {
		if ca, caKey, err = newAuthority(now); err != nil {
			return renewal{}, err
		}
		if err := putAuthority(out.Data, ca, caKey, now); err != nil {
			return renewal{}, err
		}
		out.Changed = true
	}
	server, serverErr := serverCertificate(out.Data, names, now)
	stale := serverErr == nil && matured(ca, now) && server.CheckSignatureFrom(ca) != nil
	if serverErr != nil || stale {
		if server, err = putServer(out.Data, ca, caKey, names, now); err != nil {
			return renewal{}, err
		}
		out.Changed = true
	}
	out.Next = server.NotAfter.Add(-serverRenewBefore)
	if !matured(ca, now) && server.CheckSignatureFrom(ca) != nil {
		out.Next = ca.NotBefore.Add(skew + trustLag)
	}
	if caDue := ca.NotAfter.Add(-caRenewBefore); caDue.Before(out.Next) {
		out.Next = caDue
	}
	return out, nil
}

// matured reports whether everybody had time to trust an authority.
func matured(ca *x509.Certificate, now time.Time) bool {
	return !now.Before(ca.NotBefore.Add(skew + trustLag))
}

// serverDue reports whether a server certificate that is good will soon not be.
func serverDue(data map[string][]byte, names Names, now time.Time) bool {
	server, err := serverCertificate(data, names, now)
	return err == nil && now.After(server.NotAfter.Add(-serverRenewBefore))
}

// currentAuthority is the first of the bundle, whose key we hold.
func currentAuthority(data map[string][]byte) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certs, err := parseCertificates(data[keyBundle])
	if err != nil {
		return nil, nil, err
	}
	pair, err := tls.X509KeyPair(data[keyBundle], data[keyCAKey])
	if err != nil {
		return nil, nil, fmt.Errorf("the authority's key does not fit: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !certs[0].IsCA {
		return nil, nil, errors.New("not an authority of ours")
	}
	return certs[0], key, nil
}

// serverCertificate is the one in use, or an error where it cannot be used at now.
func serverCertificate(data map[string][]byte, names Names, now time.Time) (*x509.Certificate, error) {
	if _, err := tls.X509KeyPair(data[keyCert], data[keyKey]); err != nil {
		return nil, fmt.Errorf("server certificate and key do not fit: %w", err)
	}
	certs, err := parseCertificates(data[keyCert])
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(data[keyBundle]) {
		return nil, errors.New("no authority to trust")
	}
	opts := x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if _, err := certs[0].Verify(opts); err != nil {
		return nil, fmt.Errorf("server certificate is not trusted: %w", err)
	}
	hosts := append([]string{}, names.DNS...)
	for _, ip := range names.IPs {
		hosts = append(hosts, ip.String())
	}
	for _, host := range hosts {
		if err := certs[0].VerifyHostname(host); err != nil {
			return nil, fmt.Errorf("server certificate is for other names: %w", err)
		}
	}
	return certs[0], nil
}

func newAuthority(now time.Time) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "itil-operator webhook authority"},
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(caLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	return sign(template, nil, nil)
}

// putAuthority puts a new authority before those that are still good, so that both are trusted.
func putAuthority(data map[string][]byte, ca *x509.Certificate, key *ecdsa.PrivateKey, now time.Time) error {
	bundle := encodeCertificate(ca)
	if old, err := parseCertificates(data[keyBundle]); err == nil {
		for _, c := range old[:min(len(old), 2)] {
			if now.Before(c.NotAfter) {
				bundle = append(bundle, encodeCertificate(c)...)
			}
		}
	}
	encoded, err := encodeKey(key)
	if err != nil {
		return err
	}
	data[keyBundle], data[keyCAKey] = bundle, encoded
	return nil
}

func putServer(data map[string][]byte, ca *x509.Certificate, caKey *ecdsa.PrivateKey, names Names, now time.Time) (*x509.Certificate, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "itil-operator webhook"},
		DNSNames:              names.DNS,
		IPAddresses:           names.IPs,
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(serverLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	cert, key, err := sign(template, ca, caKey)
	if err != nil {
		return nil, err
	}
	encoded, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	data[keyCert], data[keyKey] = encodeCertificate(cert), encoded
	return cert, nil
}

// sign makes a key and a certificate for it, signed by the parent, or by itself where that is nil.
func sign(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("serial number: %w", err)
	}
	template.SerialNumber = serial
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("private key: %w", err)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("certificate: %w", err)
	}
	return cert, key, nil
}

func encodeCertificate(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseCertificates(encoded []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := bytes.TrimSpace(encoded); len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("no certificate")
	}
	return certs, nil
}
