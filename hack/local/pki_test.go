package main

import (
	"crypto/x509"
	"io"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

func TestCertificatesLastUntilTheyMustChange(t *testing.T) {
	made := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	alice := identity{user: "alice", groups: []string{"shop-developers", "oncall"}}
	tests := map[string]struct {
		who      identity
		at       time.Time
		wantSame bool
	}{
		"again":                     {who: alice, at: made.Add(time.Hour), wantSame: true},
		"groups in another order":   {who: identity{user: "alice", groups: []string{"oncall", "shop-developers"}}, at: made, wantSame: true},
		"another group":             {who: identity{user: "alice", groups: []string{"oncall"}}, at: made},
		"another user":              {who: identity{user: "bob", groups: alice.groups}, at: made},
		"just before the reserve":   {who: alice, at: made.Add(certificateLife - certificateReserve - time.Second), wantSame: true},
		"at the reserve":            {who: alice, at: made.Add(certificateLife - certificateReserve)},
		"long after it has expired": {who: alice, at: made.Add(2 * certificateLife)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := testCluster(t)
			ca, err := c.loadAuthority(made)
			if err != nil {
				t.Fatal(err)
			}
			files := c.pair("user")
			if err := ca.ensurePair(files, alice, made); err != nil {
				t.Fatal(err)
			}
			before, _, err := readPair(files)
			if err != nil {
				t.Fatal(err)
			}
			ca, err = c.loadAuthority(test.at)
			if err != nil {
				t.Fatal(err)
			}
			if err := ca.ensurePair(files, test.who, test.at); err != nil {
				t.Fatal(err)
			}
			after, _, err := readPair(files)
			if err != nil {
				t.Fatal(err)
			}
			if same := before.Equal(after); same != test.wantSame {
				t.Errorf("same certificate: %t, want %t", same, test.wantSame)
			}
			if !speaksFor(after, test.who, test.at) {
				t.Errorf("%s does not speak for %v", after.Subject, test.who)
			}
		})
	}
}

func TestServingCertificateIsTrusted(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	c := testCluster(t)
	ca, err := c.loadAuthority(now)
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.ensurePair(c.pair("serving"), identity{user: "serving", server: true}, now); err != nil {
		t.Fatal(err)
	}
	if err := ca.ensurePair(c.pair("client"), identity{user: "client"}, now); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	options := x509.VerifyOptions{
		Roots: roots, CurrentTime: now, DNSName: "127.0.0.1", KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	serving, _, err := readPair(c.pair("serving"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := serving.Verify(options); err != nil {
		t.Error(err)
	}
	client, _, err := readPair(c.pair("client"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Verify(options); err == nil {
		t.Error("a client's certificate can serve")
	}
}

func TestUserKubeconfigIsCompleteAndPrivate(t *testing.T) {
	c := testCluster(t)
	st := newState()
	st.Ports[portAPIServer] = 20123
	if err := c.saveState(st); err != nil {
		t.Fatal(err)
	}
	if err := c.user(io.Discard, "carol", []string{"sre-leads"}); err != nil {
		t.Fatal(err)
	}
	path := c.path("users", "carol.kubeconfig")
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://127.0.0.1:20123" || len(config.CertData) == 0 || len(config.KeyData) == 0 || len(config.CAData) == 0 {
		t.Errorf("host %s, %d, %d and %d bytes of certificate, key and authority", config.Host, len(config.CertData), len(config.KeyData), len(config.CAData))
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
}

func TestUserNames(t *testing.T) {
	tests := map[string]bool{
		"alice": true, "sre.lead-1": true, "a": true,
		"": false, "../admin": false, "Alice": false, "-a": false, "a/b": false, "a ": false, "a.": false,
	}
	for name, want := range tests {
		if got := userNames.MatchString(name); got != want {
			t.Errorf("%q: %t, want %t", name, got, want)
		}
	}
}

func TestUserNeedsACluster(t *testing.T) {
	if err := testCluster(t).user(io.Discard, "alice", nil); err == nil {
		t.Error("no error")
	}
}
