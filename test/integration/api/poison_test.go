package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// A CRD schema accepts values that Go's decoders reject, and one such object makes every LIST of its kind fail: an editor
// of one namespace could stop every replica of the operator. So hostile values go into every field of every kind, and
// what the API server lets in must be readable.
var _ = Describe("Hostile objects", func() {
	for kind, served := range kinds {
		It("of kind "+kind+" cannot keep the operator from reading the others", func(ctx SpecContext) {
			attack := newAttack(ctx, kind, served)
			before := attack.informer(ctx)

			attack.plant(ctx, "spec")
			attack.plant(ctx, "status")
			Expect(attack.unreadable).To(BeEmpty(), "the API server accepted what Go cannot read")
			Expect(attack.untried).To(BeEmpty(), "no base makes a harmless value of these fields acceptable: give this test one")
			AddReportEntry(kind, fmt.Sprintf("%d fields, %d hostile values, %d accepted", attack.fields, attack.tried, attack.accepted))

			// Those that were let in are read as the operator reads them: by LIST, by an informer that saw each of
			// them come, and by one that starts now.
			objects := attack.typedList(ctx)
			Expect(objects).To(HaveLen(attack.kept))
			after := attack.informer(ctx)
			for name, reader := range map[string]*informer{"running before": before, "started now": after} {
				Eventually(reader.store.List).Should(HaveLen(attack.kept), "informer %s", name)
				Expect(reader.errors()).To(BeEmpty(), "informer %s", name)
			}
			for _, object := range objects {
				parseAll(object)
			}
		})
	}

	// The last: it runs on all that the specs above planted.
	It("do not stop the operator from serving all, the hostile ones as well", func(ctx SpecContext) {
		serveAll(ctx)
	})
})

// attack is one kind's hostile objects.
type attack struct {
	kind    string
	served  shown
	schema  *apiextensionsv1.JSONSchemaProps
	http    *http.Client
	host    string
	decoder runtime.Decoder
	// namespace of the objects; empty for kinds of cluster scope.
	namespace string

	mu                            sync.Mutex
	fields, tried, accepted, kept int
	unreadable, untried           []string
}

func newAttack(ctx SpecContext, kind string, served shown) *attack {
	GinkgoHelper()
	config := env.AdminConfig()
	httpClient, err := rest.HTTPClientFor(config)
	Expect(err).NotTo(HaveOccurred())
	a := &attack{
		kind: kind, served: served, schema: schemaOf(definitions(ctx)[kind]), http: httpClient,
		host:    strings.TrimSuffix(config.Host, "/"),
		decoder: serializer.NewCodecFactory(env.Scheme()).UniversalDeserializer(),
	}
	if served.cluster {
		// Others made objects of this kind; they would be counted.
		object := parse(kind, "{}")
		Expect(env.Admin().DeleteAllOf(ctx, object)).To(Succeed())
	} else {
		a.namespace = env.Namespace(GinkgoTB(), nil)
	}
	return a
}

// field is a place in a schema: the names on the way to it, "[]" for the items of a list, "{}" for the values of a map.
type field struct {
	path   []string
	schema *apiextensionsv1.JSONSchemaProps
}

func (f field) String() string { return strings.Join(f.path, ".") }

// below are all places in a schema under a part of the object.
func below(path []string, schema *apiextensionsv1.JSONSchemaProps) []field {
	fields := []field{{path: path, schema: schema}}
	for name := range schema.Properties {
		property := schema.Properties[name]
		fields = append(fields, below(append(slices.Clone(path), name), &property)...)
	}
	if schema.Items != nil {
		fields = append(fields, below(append(slices.Clone(path), "[]"), schema.Items.Schema)...)
	}
	if schema.AdditionalProperties != nil {
		fields = append(fields, below(append(slices.Clone(path), "{}"), schema.AdditionalProperties.Schema)...)
	}
	return fields
}

// plant tries every hostile value at every place under a part of the object (spec or status).
func (a *attack) plant(ctx context.Context, part string) {
	GinkgoHelper()
	schema := a.schema.Properties[part]
	work := make(chan field)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			defer GinkgoRecover()
			for f := range work {
				a.tryField(ctx, f, a.victim(ctx, part))
			}
		})
	}
	for _, f := range below([]string{part}, &schema) {
		work <- f
	}
	close(work)
	workers.Wait()
}

// victim is an object whose status is overwritten again and again, by the values of one field: the last that was let in
// stays, the same in each run, for the operator to serve.
type victim struct{ name, version string }

// victim makes one; there is none where spec is attacked.
func (a *attack) victim(ctx context.Context, part string) *victim {
	if part != "status" {
		return nil
	}
	object := a.harmless("")
	code, body := a.send(ctx, http.MethodPost, "", object)
	Expect(code).To(Equal(http.StatusCreated), string(body))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept++
	v := &victim{}
	v.remember(body)
	return v
}

func (v *victim) remember(body []byte) {
	var object struct {
		Metadata struct{ Name, ResourceVersion string }
	}
	Expect(json.Unmarshal(body, &object)).To(Succeed())
	v.name, v.version = object.Metadata.Name, object.Metadata.ResourceVersion
}

func (a *attack) tryField(ctx context.Context, f field, v *victim) {
	base, found := a.acceptingBase(ctx, f, v)
	a.mu.Lock()
	a.fields++
	if !found {
		a.untried = append(a.untried, f.String())
	}
	a.mu.Unlock()
	if !found {
		return
	}
	if limited(f.schema) {
		code, body := a.submit(ctx, a.object(base, f, `"1969-12-31T23:59:59Z"`), v, true)
		Expect(code).To(Equal(http.StatusUnprocessableEntity), "%s", f)
		Expect(string(body)).To(ContainSubstring(notATime), "%s", f)
	}
	for _, value := range hostile(f) {
		object := a.object(base, f, value)
		code, body := a.submit(ctx, object, v, false)
		Expect(code).To(BeNumerically("<", 500), "%s = %s: %s", f, value, body)
		readable := error(nil)
		if code < 300 {
			_, _, readable = a.decoder.Decode(body, nil, nil)
		}
		a.mu.Lock()
		a.tried++
		if code < 300 {
			a.accepted++
		}
		if code < 300 && v == nil {
			a.kept++
		}
		if readable != nil {
			a.unreadable = append(a.unreadable, fmt.Sprintf("%s = %.80s: %v", f, value, readable))
		}
		a.mu.Unlock()
	}
}

// acceptingBase is one of the kind's bases that has the field, or with which a harmless value of it is accepted: so that
// a hostile one is refused, if it is, for what it is.
func (a *attack) acceptingBase(ctx context.Context, f field, v *victim) (string, bool) {
	all := append([]string{""}, poisonBases[a.kind]...)
	for _, base := range all {
		if has(a.harmless(base), f.path) {
			return base, true
		}
	}
	for _, base := range all {
		object := a.object(base, f, harmlessValue(f.schema))
		if code, _ := a.submit(ctx, object, v, true); code < 300 {
			return base, true
		}
	}
	return "", false
}

func (a *attack) harmless(base string) map[string]any {
	object := parse(a.kind, bases[a.kind])
	if base != "" {
		for document := range strings.SplitSeq(base, "\n---\n") {
			object.Object = merged(object.Object, fields(document))
		}
	}
	object.SetGenerateName("hostile-")
	return object.Object
}

func has(tree any, path []string) bool {
	if len(path) == 0 {
		return true
	}
	switch branch := tree.(type) {
	case []any:
		return len(branch) > 0 && has(branch[0], path[1:])
	case map[string]any:
		inner, exists := branch[path[0]]
		return exists && has(inner, path[1:])
	}
	return false
}

// object is a base with a value planted.
func (a *attack) object(base string, f field, value string) map[string]any {
	object := a.harmless(base)
	planted, _ := plantAt(object, a.schema, f.path, json.RawMessage(value)).(map[string]any)
	return planted
}

// plantAt puts a value into a tree and makes what is missing on the way, with all that it requires.
func plantAt(tree any, schema *apiextensionsv1.JSONSchemaProps, path []string, value json.RawMessage) any {
	if len(path) == 0 {
		return value
	}
	step, rest := path[0], path[1:]
	if step == "[]" {
		list, _ := tree.([]any)
		if len(list) == 0 {
			list = []any{nil}
		}
		list[0] = plantAt(list[0], schema.Items.Schema, rest, value)
		return list
	}
	object, isObject := tree.(map[string]any)
	if !isObject {
		object = map[string]any{}
		for _, name := range schema.Required {
			property := schema.Properties[name]
			object[name] = json.RawMessage(harmlessValue(&property))
			// A struct or list that is only raw text cannot be walked into.
			if name == step {
				delete(object, name)
			}
		}
	}
	if step == "{}" {
		const key = "app"
		object[key] = plantAt(object[key], schema.AdditionalProperties.Schema, rest, value)
		return object
	}
	property := schema.Properties[step]
	if raw, isRaw := object[step].(json.RawMessage); isRaw {
		var decoded any
		Expect(json.Unmarshal(raw, &decoded)).To(Succeed())
		object[step] = decoded
	}
	object[step] = plantAt(object[step], &property, rest, value)
	return object
}

// submit creates an object, or overwrites the victim's status with that of the object.
func (a *attack) submit(ctx context.Context, object map[string]any, v *victim, dryRun bool) (int, []byte) {
	query := ""
	if dryRun {
		query = "&dryRun=All"
	}
	if v == nil {
		return a.send(ctx, http.MethodPost, query, object)
	}
	object["metadata"] = map[string]any{"name": v.name, "resourceVersion": v.version}
	code, body := a.send(ctx, http.MethodPut, query, object)
	Expect(code).NotTo(Equal(http.StatusConflict), string(body))
	if code < 300 && !dryRun {
		v.remember(body)
	}
	return code, body
}

// send makes the request as an editor's script would: without asking for field validation.
func (a *attack) send(ctx context.Context, method, query string, object map[string]any) (int, []byte) {
	body, err := json.Marshal(object)
	Expect(err).NotTo(HaveOccurred())
	url := a.host + "/apis/" + v1alpha1.GroupVersion.String()
	if a.namespace != "" {
		url += "/namespaces/" + a.namespace
	}
	url += "/" + a.served.plural
	if method == http.MethodPut {
		metadata, _ := object["metadata"].(map[string]any)
		url += fmt.Sprintf("/%s/status", metadata["name"])
	}
	request, err := http.NewRequestWithContext(ctx, method, url+"?fieldValidation=Ignore"+query, bytes.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", runtime.ContentTypeJSON)
	response, err := a.http.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer func() { Expect(response.Body.Close()).To(Succeed()) }()
	answer, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	return response.StatusCode, answer
}

// typedList reads all objects of the kind with Go types.
func (a *attack) typedList(ctx context.Context) []client.Object {
	GinkgoHelper()
	made, err := env.Scheme().New(v1alpha1.GroupVersion.WithKind(a.kind + "List"))
	Expect(err).NotTo(HaveOccurred())
	list, isList := made.(client.ObjectList)
	Expect(isList).To(BeTrue())
	Expect(env.Admin().List(ctx, list, client.InNamespace(a.namespace))).To(Succeed())
	var objects []client.Object
	Expect(eachListItem(list, func(object client.Object) { objects = append(objects, object) })).To(Succeed())
	return objects
}

// informer is a typed one, with what its reflector complained of.
type informer struct {
	store toolscache.Store

	mu         sync.Mutex
	complaints []error
}

func (i *informer) errors() []error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.complaints)
}

func (a *attack) informer(ctx SpecContext) *informer {
	GinkgoHelper()
	reader := &informer{}
	options := cache.Options{
		Scheme: env.Scheme(),
		DefaultWatchErrorHandler: func(_ context.Context, _ *toolscache.Reflector, err error) {
			// A watch that ends is nothing: it begins again.
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled) {
				return
			}
			reader.mu.Lock()
			defer reader.mu.Unlock()
			reader.complaints = append(reader.complaints, err)
		},
	}
	if a.namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{a.namespace: {}}
	}
	typed, err := cache.New(env.AdminConfig(), options)
	Expect(err).NotTo(HaveOccurred())
	made, err := env.Scheme().New(v1alpha1.GroupVersion.WithKind(a.kind))
	Expect(err).NotTo(HaveOccurred())
	object, isObject := made.(client.Object)
	Expect(isObject).To(BeTrue())

	running, stop := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = typed.Start(running)
	}()
	DeferCleanup(func() {
		stop()
		<-stopped
	})
	handler, err := typed.GetInformer(ctx, object)
	Expect(err).NotTo(HaveOccurred())
	reader.store = toolscache.NewStore(toolscache.MetaNamespaceKeyFunc)
	_, err = handler.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { _ = reader.store.Add(o) },
		UpdateFunc: func(_, o any) { _ = reader.store.Update(o) },
		DeleteFunc: func(o any) { _ = reader.store.Delete(o) },
	})
	Expect(err).NotTo(HaveOccurred())
	return reader
}
