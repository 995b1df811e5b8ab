package fieldmanager

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestParse(t *testing.T) {
	many := make([]string, maxNames+1)
	for i := range many {
		many[i] = "manager-" + strings.Repeat("x", i)
	}
	cases := map[string]struct {
		list    string
		want    Reconciling
		mistake string
	}{
		"none":               {list: "", want: Reconciling{}},
		"two, with a space":  {list: "our-deployer, argocd-controller", want: Reconciling{"our-deployer", "argocd-controller"}},
		"empty, and twice":   {list: ",flux,,flux,", want: Reconciling{"flux"}},
		"what is known":      {list: Known().String(), want: Known()},
		"control characters": {list: "flux,a\x00b", mistake: `"a\x00b"`},
		"too long":           {list: strings.Repeat("x", maxName+1), mistake: "at most 128"},
		"too many":           {list: strings.Join(many, ","), mistake: "at most 64 names"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(c.list)
			if (err != nil) != (c.mistake != "") || err != nil && !strings.Contains(err.Error(), c.mistake) {
				t.Fatalf("error %v, want %q", err, c.mistake)
			}
			if diff := cmp.Diff(c.want, got); err == nil && diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The fields of Deployments and CronJobs as kube-apiserver writes them down.
func TestWhoSetsWhat(t *testing.T) {
	const (
		image     = `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:image":{},"f:name":{}}}}}}}`
		setup     = `{"f:spec":{"f:template":{"f:spec":{"f:initContainers":{"k:{\"name\":\"setup\"}":{".":{},"f:image":{},"f:name":{}}}}}}}`
		env       = `{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:env":{},"f:name":{}}}}}}}`
		list      = `{"f:spec":{"f:template":{"f:spec":{"f:containers":{}}}}}`
		replicas  = `{"f:spec":{"f:replicas":{}}}`
		scheduled = `{"f:spec":{"f:jobTemplate":{"f:spec":{"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{".":{},"f:image":{},"f:name":{}}}}}}}}}`
	)
	template, nested := []string{"spec", "template"}, []string{"spec", "jobTemplate", "spec", "template"}
	cases := map[string]struct {
		list             Reconciling
		manager, fields  string
		subresource      string
		path             []string
		images, template bool
	}{
		"the image":                      {manager: "argocd-controller", fields: image, images: true, template: true},
		"the image of an init container": {manager: "kustomize-controller", fields: setup, images: true, template: true},
		"another field of it":            {manager: "helm-controller", fields: env, template: true},
		"the whole list":                 {manager: "flux", fields: list, images: true, template: true},
		"nothing of it":                  {manager: "argocd-controller", fields: replicas},
		"a CronJob's image":              {manager: "argocd-controller", fields: scheduled, path: nested, images: true, template: true},
		"a person's":                     {manager: "kubectl", fields: image},
		"one's own":                      {list: Reconciling{"our-deployer"}, manager: "our-deployer", fields: image, images: true, template: true},
		"a known one that is not listed": {list: Reconciling{"our-deployer"}, manager: "flux", fields: image},
		"no list at all":                 {list: Reconciling{}, manager: "flux", fields: image},
		"a status":                       {manager: "flux", fields: image, subresource: "status"},
		"what cannot be read may be its": {manager: "flux", fields: `{`, images: true, template: true},
		"Config Sync names itself so":    {manager: "configsync.gke.io", fields: image, images: true, template: true},
		"another container":              {manager: "flux", fields: strings.ReplaceAll(image, "app", "sidecar"), template: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			obj := &metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
				{Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(image)},
				{Manager: c.manager, Subresource: c.subresource, FieldsV1: metav1.NewFieldsV1(c.fields)},
			}}
			path := template
			if c.path != nil {
				path = c.path
			}
			said := func(sets bool) string {
				if sets {
					return c.manager
				}
				return ""
			}
			if got, want := c.list.OfImages(obj, path, []string{"app", "setup"}), said(c.images); got != want {
				t.Errorf("its images are set by %q, want %q", got, want)
			}
			if got, want := c.list.OfTemplate(obj, path), said(c.template); got != want {
				t.Errorf("its template is set by %q, want %q", got, want)
			}
		})
	}
}
