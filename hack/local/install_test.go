package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/itil-dev/itil-operator/internal/kube/gateconfig"
	"github.com/itil-dev/itil-operator/internal/kube/scheme"
)

func readGate(t *testing.T) *admissionregistrationv1.ValidatingWebhookConfiguration {
	t.Helper()
	objects, err := readManifests("../../config/webhook/gate.yaml")
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	config := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(objects[0].Object, config, true); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestWebhooksCallThisMachine(t *testing.T) {
	config := readGate(t)
	callHere(config, "https://127.0.0.1:1234")
	for _, webhook := range config.Webhooks {
		if to := webhook.ClientConfig; to.Service != nil || to.URL == nil || *to.URL != "https://127.0.0.1:1234/gate" {
			t.Errorf("%s calls %+v", webhook.Name, to)
		}
	}
}

// Up runs on a cluster with an operator on it: what that wrote into the webhooks stays, what the manifest says of all
// else comes in.
func TestAppliedAgainTheGateKeepsItsNamespaces(t *testing.T) {
	live, wanted := readGate(t), readGate(t)
	gateconfig.Write(live, gateconfig.Namespaces{Enforce: []string{"shop"}, Audit: []string{"finance"}})
	for i := range live.Webhooks {
		live.Webhooks[i].ClientConfig.CABundle = []byte("authority")
		live.Webhooks[i].MatchConditions = nil
	}
	keep(live, wanted)
	if diff := cmp.Diff(gateconfig.Read(live), gateconfig.Read(wanted)); diff != "" {
		t.Error(diff)
	}
	for _, webhook := range wanted.Webhooks {
		if string(webhook.ClientConfig.CABundle) != "authority" {
			t.Errorf("%s lost its authority", webhook.Name)
		}
		if len(webhook.MatchConditions) == 0 {
			t.Errorf("%s did not get the manifest's match conditions", webhook.Name)
		}
	}
}

func TestReadManifests(t *testing.T) {
	objects, err := readManifests("../../config/rbac/*.yaml")
	if err != nil || len(objects) < 5 {
		t.Errorf("config/rbac has %d objects, %v", len(objects), err)
	}
	if _, err := readManifests("nowhere/*.yaml"); err == nil {
		t.Error("a folder without manifests is no error")
	}
	if _, err := decodeManifests(strings.NewReader("kind: [")); err == nil {
		t.Error("what is no YAML is no error")
	}
}

// A field that no type knows would be refused by kubectl only in the middle of the demo.
func TestDemoManifestsAreValid(t *testing.T) {
	objects, err := readManifests("demo/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	known := scheme.New()
	for _, object := range objects {
		typed, err := known.New(object.GroupVersionKind())
		if err != nil {
			t.Error(err)
			continue
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, typed, true); err != nil {
			t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}
