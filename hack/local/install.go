package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
)

const (
	fieldOwner     = client.FieldOwner("itil-local")
	installTimeout = 2 * time.Minute
)

// client speaks as the cluster's administrator.
func (c *cluster) client() (client.WithWatch, error) {
	log.SetLogger(logr.Discard()) // or the library complains that there is none
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig())
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // the only user of a server of its own
	return client.NewWithWatch(config, client.Options{Scheme: scheme.New()})
}

// install puts on the cluster what config/default does, but for the Deployment and what belongs to it: the operator
// runs beside the cluster. It may be run again at any time, and leaves alone what the operator keeps.
func (c *cluster) install(ctx context.Context, st *state) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, installTimeout, fmt.Errorf("not done within %s", installTimeout))
	defer cancel()
	for _, path := range []string{"crd/bases/*", "manager/namespace", "manager/secret", "rbac/*", "policies/*"} {
		if err := c.apply(ctx, api, path); err != nil {
			return err
		}
	}
	beside := "unstamped/*"
	if st.MutatingAdmissionPolicy {
		beside = "stamping/*"
	}
	if err := c.apply(ctx, api, beside); err != nil {
		return err
	}
	if err := c.installWebhooks(ctx, api, st); err != nil {
		return err
	}
	if err := c.awaitPolicies(ctx, api, st); err != nil {
		return err
	}
	c.say("  %-26s installed", "CRDs, roles, policies")
	return nil
}

// apply applies the manifests config/<pattern>.yaml.
func (c *cluster) apply(ctx context.Context, api client.Client, pattern string) error {
	objects, err := readManifests(filepath.Join(c.root, "config", pattern+".yaml"))
	if err != nil {
		return err
	}
	for _, object := range objects {
		applied := client.ApplyConfigurationFromUnstructured(object)
		if err := api.Apply(ctx, applied, fieldOwner, client.ForceOwnership); err != nil {
			return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	for _, object := range objects {
		if object.GetKind() == "CustomResourceDefinition" {
			if err := c.awaitEstablished(ctx, api, object.GetName()); err != nil {
				return err
			}
		}
	}
	return nil
}

// readManifests reads every document of the files that match, in the order of their names. A kustomization.yaml, which
// is no object, is left out.
func readManifests(pattern string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no file %s", pattern)
	}
	var objects []*unstructured.Unstructured
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		content, err := os.Open(file) //nolint:gosec // our own files
		if err != nil {
			return nil, err
		}
		read, err := decodeManifests(content)
		if err := errors.Join(err, content.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		objects = append(objects, read...)
	}
	return objects, nil
}

func decodeManifests(content io.Reader) ([]*unstructured.Unstructured, error) {
	const peek = 4096
	decoder := yaml.NewYAMLOrJSONDecoder(content, peek)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

func (c *cluster) awaitEstablished(ctx context.Context, api client.Client, name string) error {
	return c.await(ctx, "CustomResourceDefinition "+name+" is not served", func(ctx context.Context) (bool, error) {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := api.Get(ctx, client.ObjectKey{Name: name}, crd); err != nil {
			return false, err
		}
		return slices.ContainsFunc(crd.Status.Conditions, func(condition apiextensionsv1.CustomResourceDefinitionCondition) bool {
			return condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue
		}), nil
	})
}

// await asks until the answer is yes.
func (c *cluster) await(ctx context.Context, otherwise string, ask func(context.Context) (bool, error)) error {
	for {
		done, err := ask(ctx)
		if err != nil || done {
			return err
		}
		if err := pause(ctx, readyPeriod); err != nil {
			return fmt.Errorf("%s: %w", otherwise, err)
		}
	}
}

// installWebhooks has the API server call this machine instead of a Service. The namespaces and the authority of a
// webhook are the operator's to keep: reset, the gate would stand open, or shut, until it mends them.
func (c *cluster) installWebhooks(ctx context.Context, api client.Client, st *state) error {
	objects, err := readManifests(filepath.Join(c.root, "config", "webhook", "*.yaml"))
	if err != nil {
		return err
	}
	for _, object := range objects {
		wanted := &admissionregistrationv1.ValidatingWebhookConfiguration{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, wanted, true); err != nil {
			return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
		callHere(wanted, "https://"+st.address(portWebhook))
		if err := c.applyWebhooks(ctx, api, wanted); err != nil {
			return err
		}
	}
	return nil
}

// callHere replaces the Services of the webhooks by a URL.
func callHere(config *admissionregistrationv1.ValidatingWebhookConfiguration, address string) {
	for i := range config.Webhooks {
		to := &config.Webhooks[i].ClientConfig
		if to.Service == nil {
			continue
		}
		url := address
		if to.Service.Path != nil {
			url += *to.Service.Path
		}
		to.Service, to.URL = nil, &url
	}
}

func (c *cluster) applyWebhooks(ctx context.Context, api client.Client, wanted *admissionregistrationv1.ValidatingWebhookConfiguration) error {
	err := api.Create(ctx, wanted.DeepCopy(), fieldOwner)
	for apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		live := &admissionregistrationv1.ValidatingWebhookConfiguration{}
		if err := api.Get(ctx, client.ObjectKeyFromObject(wanted), live); err != nil {
			return err
		}
		keep(live, wanted)
		live.Webhooks = wanted.DeepCopy().Webhooks
		err = api.Update(ctx, live, fieldOwner)
	}
	if err != nil {
		return fmt.Errorf("ValidatingWebhookConfiguration %s: %w", wanted.Name, err)
	}
	return nil
}

// keep takes over what the operator wrote into the live webhooks.
func keep(live, wanted *admissionregistrationv1.ValidatingWebhookConfiguration) {
	for i := range wanted.Webhooks {
		for j := range live.Webhooks {
			if from, to := &live.Webhooks[j], &wanted.Webhooks[i]; from.Name == to.Name {
				to.ClientConfig.CABundle = from.ClientConfig.CABundle
				to.NamespaceSelector = from.NamespaceSelector
			}
		}
	}
}

// awaitGate returns when the API server can call the gate: the operator has written its authority.
func (c *cluster) awaitGate(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, installTimeout, fmt.Errorf("not within %s", installTimeout))
	defer cancel()
	return c.await(ctx, "the operator writes no caBundle into its webhooks; its log: "+c.logPath(operatorName),
		func(ctx context.Context) (bool, error) {
			config := &admissionregistrationv1.ValidatingWebhookConfiguration{}
			if err := api.Get(ctx, client.ObjectKey{Name: gateconfig.Name}, config); err != nil {
				return false, err
			}
			return !slices.ContainsFunc(config.Webhooks, func(webhook admissionregistrationv1.ValidatingWebhook) bool {
				return len(webhook.ClientConfig.CABundle) == 0
			}), nil
		})
}

// awaitPolicies returns when the API server goes by the policies: it tells nobody, so they are asked with dry runs.
// Right after the CRDs are served, it answers with all kinds of errors.
func (c *cluster) awaitPolicies(ctx context.Context, api client.Client, st *state) error {
	var last error
	err := c.await(ctx, "the admission policies are not in force", func(ctx context.Context) (bool, error) {
		item := &v1alpha1.ConfigurationItem{
			ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "probe"},
			Spec:       v1alpha1.ConfigurationItemSpec{WorkloadRef: v1alpha1.WorkloadReference{Kind: v1alpha1.WorkloadDeployment, Name: "probe"}},
		}
		last = api.Create(ctx, item, client.DryRunAll)
		return apierrors.IsForbidden(last) && strings.Contains(last.Error(), "written by the operator alone"), nil
	})
	if err == nil && st.MutatingAdmissionPolicy {
		err = c.await(ctx, "nobody stamps requesters", func(ctx context.Context) (bool, error) {
			incident := &v1alpha1.Incident{
				ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "probe"},
				Spec: v1alpha1.IncidentSpec{
					Title: "probe", Source: v1alpha1.IncidentSourceUser, ServiceRef: &v1alpha1.LocalReference{Name: "probe"},
				},
			}
			last = api.Create(ctx, incident, client.DryRunAll)
			return last == nil && incident.Spec.Reporter != "", nil
		})
	}
	if err != nil {
		return fmt.Errorf("%w; the API server's last answer: %w", err, last)
	}
	return nil
}
