package servingcert

import (
	"crypto/tls"
	"crypto/x509"
	"maps"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

var (
	begin = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	names = Names{DNS: []string{"itil-operator-webhook.itil-system.svc"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}}
)

func mustRenew(t *testing.T, data map[string][]byte, at time.Time) renewal {
	t.Helper()
	r, err := renew(data, names, at)
	if err != nil {
		t.Fatalf("renew at %s: %v", at, err)
	}
	return r
}

func trusts(t *testing.T, bundle []byte, data map[string][]byte, at time.Time) bool {
	t.Helper()
	pair, err := tls.X509KeyPair(data[keyCert], data[keyKey])
	if err != nil {
		t.Fatalf("key pair: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(bundle)
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, DNSName: names.DNS[0]})
	return err == nil
}

func TestRenewKeepsWhatIsGood(t *testing.T) {
	first := mustRenew(t, nil, begin)
	if !first.Changed || !trusts(t, first.Data[keyBundle], first.Data, begin) {
		t.Fatal("an empty Secret must become a trusted certificate")
	}
	again := mustRenew(t, first.Data, begin.Add(time.Minute))
	if again.Changed {
		t.Error("a good certificate was renewed")
	}
	if want := begin.Add(serverLifetime - serverRenewBefore); !again.Next.Equal(want) {
		t.Errorf("next look at %s, want %s", again.Next, want)
	}
}

func TestRenewReplacesWhatIsNot(t *testing.T) {
	good := mustRenew(t, nil, begin).Data
	other, err := renew(nil, Names{DNS: []string{"other"}}, begin)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]func(map[string][]byte){
		"nonsense in the certificate": func(d map[string][]byte) { d[keyCert] = []byte("nonsense") },
		"no key":                      func(d map[string][]byte) { delete(d, keyKey) },
		"another's authority":         func(d map[string][]byte) { d[keyBundle] = other.Data[keyBundle] },
		"another's key":               func(d map[string][]byte) { d[keyKey] = other.Data[keyKey] },
		"other names":                 func(d map[string][]byte) { maps.Copy(d, other.Data) },
		"a bundle without end": func(d map[string][]byte) {
			d[keyBundle] = append(d[keyBundle], d[keyBundle]...)
			d[keyCAKey] = nil
		},
	}
	for name, spoil := range cases {
		t.Run(name, func(t *testing.T) {
			data := maps.Clone(good)
			spoil(data)
			r := mustRenew(t, data, begin.Add(time.Minute))
			if !r.Changed || !trusts(t, r.Data[keyBundle], r.Data, begin.Add(time.Minute)) {
				t.Error("what was spoilt must be replaced by a trusted certificate")
			}
		})
	}
}

// A replica serves what it read last, an API server trusts what it read last; whichever is behind, they must
// agree, or an Enforce namespace is closed for everybody.
func TestNobodyIsEverDistrusted(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	now := begin
	data := mustRenew(t, nil, now).Data
	authorities := 0
	for range 120 {
		r := mustRenew(t, data, now)
		if r.Changed {
			if string(r.Data[keyCAKey]) != string(data[keyCAKey]) {
				authorities++
			}
			if !trusts(t, r.Data[keyBundle], data, now) {
				t.Fatalf("%s: a server with the old certificate is not trusted by the new bundle", now)
			}
			if !trusts(t, data[keyBundle], r.Data, now) {
				t.Fatalf("%s: a server with the new certificate is not trusted by the old bundle", now)
			}
		}
		data = r.Data
		now = r.Next.Add(time.Duration(rng.Int64N(int64(25 * 24 * time.Hour))))
		if !trusts(t, data[keyBundle], data, now) {
			t.Fatalf("%s: the certificate ended before it was renewed", now)
		}
	}
	if authorities < 3 {
		t.Fatalf("the simulation saw %d new authorities; it is meant to see several", authorities)
	}
}

func TestBundleIsBounded(t *testing.T) {
	data := mustRenew(t, nil, begin).Data
	for i := range 20 {
		delete(data, keyCAKey)
		data = mustRenew(t, data, begin.Add(time.Duration(i)*time.Minute)).Data
	}
	certs, err := parseCertificates(data[keyBundle])
	if err != nil || len(certs) > 3 {
		t.Errorf("bundle has %d authorities (%v), want at most 3", len(certs), err)
	}
}
