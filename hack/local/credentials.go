package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	groupMasters = "system:masters"

	// The operator runs beside the cluster, yet has to be the user that its policies know: its ServiceAccount.
	// A client certificate with that name is that user, and needs no token that expires.
	operatorNamespace      = "itil-system"
	operatorServiceAccount = "itil-operator"
)

// identities of the processes, by the name of their certificate and kubeconfig. The controllers use the names
// that RBAC's bootstrap roles and the operator's own rules know.
func identities() map[string]identity {
	return map[string]identity{
		"admin":                   {user: "kubernetes-admin", groups: []string{groupMasters}},
		"kube-controller-manager": {user: "system:kube-controller-manager"},
		"kube-scheduler":          {user: "system:kube-scheduler"},
		"kwok":                    {user: "kwok", groups: []string{groupMasters}},
		"operator": {
			user: "system:serviceaccount:" + operatorNamespace + ":" + operatorServiceAccount,
			groups: []string{
				"system:serviceaccounts", "system:serviceaccounts:" + operatorNamespace,
			},
		},
	}
}

// writeCredentials makes whatever certificate or kubeconfig of the cluster is missing or about to expire.
func (c *cluster) writeCredentials(st *state) error {
	now := time.Now()
	ca, err := c.loadAuthority(now)
	if err != nil {
		return err
	}
	for _, name := range []string{"serving", "service-accounts"} {
		if err := ca.ensurePair(c.pair(name), identity{user: "itil-operator-local-" + name, server: true}, now); err != nil {
			return err
		}
	}
	for name, who := range identities() {
		if err := ca.ensurePair(c.pair(name), who, now); err != nil {
			return err
		}
		if err := c.writeKubeconfig(st, c.pki(name+".kubeconfig"), c.pair(name), who.user); err != nil {
			return err
		}
	}
	return c.writeKubeconfig(st, c.kubeconfig(), c.pair("admin"), identities()["admin"].user)
}

// writeKubeconfig writes a kubeconfig that holds its certificates, so that it works from any folder.
func (c *cluster) writeKubeconfig(st *state, path string, files keyPair, user string) error {
	const name = "itil-local"
	content := map[string][]byte{c.pair("ca").cert: nil, files.cert: nil, files.key: nil}
	for file := range content {
		bytes, err := os.ReadFile(file) //nolint:gosec // our own folder
		if err != nil {
			return err
		}
		content[file] = bytes
	}
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{
		Server: "https://" + st.address(portAPIServer), CertificateAuthorityData: content[c.pair("ca").cert],
	}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{
		ClientCertificateData: content[files.cert], ClientKeyData: content[files.key],
	}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user}
	config.CurrentContext = name
	bytes, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	return writeFile(path, bytes)
}

// userNames are those that can be a file's name too.
var userNames = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$`)

// user writes users/<name>.kubeconfig with a client certificate for this name and these groups.
func (c *cluster) user(out io.Writer, name string, groups []string) error {
	if !userNames.MatchString(name) {
		return fmt.Errorf("user name %q: want lower case letters, digits, - and . (at most 63)", name)
	}
	st, err := c.loadState()
	if err != nil {
		return err
	}
	if st.Ports[portAPIServer] == 0 {
		return errors.New("there is no local cluster yet; start one with: go run ./hack/local up")
	}
	now := time.Now()
	ca, err := c.loadAuthority(now)
	if err != nil {
		return err
	}
	files := keyPair{cert: c.path("users", name+".crt"), key: c.path("users", name+".key")}
	if err := ca.ensurePair(files, identity{user: name, groups: groups}, now); err != nil {
		return err
	}
	path := c.path("users", name+".kubeconfig")
	if err := c.writeKubeconfig(st, path, files, name); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, path)
	return err
}
