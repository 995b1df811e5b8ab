package configuration_test

import (
	"encoding/json"
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/configuration"
	"github.com/itil-dev/itil-operator/internal/testing/builder"
)

var update = flag.Bool("update", false, "write the golden hashes anew; only together with a new hash version")

func decode(tb testing.TB, data []byte) map[string]any {
	tb.Helper()
	var v map[string]any
	if err := json.Unmarshal(data, &v); err != nil {
		tb.Fatalf("decode: %v", err)
	}
	return v
}

func readFile(tb testing.TB, name string) map[string]any {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return decode(tb, data)
}

// Hashes are kept in ConfigurationItems and approved in Changes: these must never alter.
func TestGoldenHashes(t *testing.T) {
	got := map[string]string{}
	for _, name := range []string{"template-full.json", "template-minimal.json", "template-as-applied.json"} {
		tmpl := configuration.ParseTemplate("Deployment", readFile(t, name))
		got[name] = tmpl.Hash
		got[name+" without images"] = tmpl.ImagelessHash
		got[name+" as Pod"] = configuration.ParseTemplate("Pod", readFile(t, name)).Hash
	}
	golden := filepath.Join("testdata", "hashes.golden.json")
	if *update {
		data, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, append(data, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hashes of version %s altered (-want +got):\n%s", configuration.HashVersion, diff)
	}
}

// template-as-applied is what a person wrote; template-minimal what the API server made of it.
func TestHashOfManifestIsHashOfStoredObject(t *testing.T) {
	applied := configuration.ParseTemplate("Deployment", readFile(t, "template-as-applied.json"))
	stored := configuration.ParseTemplate("Deployment", readFile(t, "template-minimal.json"))
	if applied.Hash != stored.Hash {
		t.Errorf("hash of the manifest is %s, of the stored object %s", applied.Hash, stored.Hash)
	}
}

func TestTemplateFacts(t *testing.T) {
	got := configuration.ParseTemplate("Deployment", readFile(t, "template-full.json"))
	want := configuration.Template{
		Hash: got.Hash, ImagelessHash: got.ImagelessHash, Parts: got.Parts, Fingerprint: got.Fingerprint,
		Images: map[string]string{
			"migrate": "registry.shop.example/migrate@sha256:" + strings.Repeat("a", 64),
			"app":     "registry.shop.example/checkout:2.3", "proxy": "registry.shop.example:5000/proxy",
		},
		AlwaysPulled: []string{"app", "proxy"},
		Labels:       map[string]string{"app": "checkout", "pod-template-hash": "5f3c9ab1"},
		RestartedAt:  "2026-11-02T08:00:00Z",
		Requests:     configuration.Requests{CPUMilli: 100, MemoryBytes: 256 << 20},
		Limits:       configuration.Limits{Requests: configuration.Requests{MemoryBytes: 256 << 20}, AnyCPU: true, AnyMemory: true},
		Largest:      configuration.Requests{CPUMilli: 100, MemoryBytes: 256 << 20},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWhatAltersTheHash(t *testing.T) {
	type edit func(template map[string]any)
	spec := func(m map[string]any) map[string]any { return m["spec"].(map[string]any) }
	container := func(m map[string]any) map[string]any {
		return spec(m)["containers"].([]any)[0].(map[string]any)
	}
	metadata := func(m map[string]any, field string) map[string]any {
		return m["metadata"].(map[string]any)[field].(map[string]any)
	}
	const (
		same        = "same"
		imagesOnly  = "only images differ"
		differently = "different"
	)
	tests := map[string]struct {
		edit edit
		want string
	}{
		"nothing":                      {func(map[string]any) {}, same},
		"restartedAt":                  {func(m map[string]any) { metadata(m, "annotations")[v1alpha1.AnnotationRestartedAt] = "x" }, same},
		"pod-template-hash":            {func(m map[string]any) { delete(metadata(m, "labels"), "pod-template-hash") }, same},
		"label of a Job's controller":  {func(m map[string]any) { metadata(m, "labels")["batch.kubernetes.io/job-name"] = "x" }, same},
		"creationTimestamp":            {func(m map[string]any) { m["metadata"].(map[string]any)["creationTimestamp"] = "2026-01-01T00:00:00Z" }, same},
		"null":                         {func(m map[string]any) { spec(m)["nodeName"] = nil }, same},
		"empty map":                    {func(m map[string]any) { spec(m)["affinity"] = map[string]any{} }, same},
		"map of nulls":                 {func(m map[string]any) { spec(m)["dnsConfig"] = map[string]any{"options": nil} }, same},
		"empty list":                   {func(m map[string]any) { spec(m)["tolerations"] = []any{} }, same},
		"default removed":              {func(m map[string]any) { delete(spec(m), "dnsPolicy") }, same},
		"default of a container":       {func(m map[string]any) { delete(container(m), "terminationMessagePath") }, same},
		"a number as a float":          {func(m map[string]any) { spec(m)["terminationGracePeriodSeconds"] = 30.0 }, same},
		"a number as a json.Number":    {func(m map[string]any) { spec(m)["terminationGracePeriodSeconds"] = json.Number("30") }, same},
		"image":                        {func(m map[string]any) { container(m)["image"] = "other:1" }, imagesOnly},
		"label":                        {func(m map[string]any) { metadata(m, "labels")["app"] = "other" }, differently},
		"annotation":                   {func(m map[string]any) { metadata(m, "annotations")["config.shop.example/checksum"] = "2" }, differently},
		"annotation removed":           {func(m map[string]any) { delete(metadata(m, "annotations"), "config.shop.example/checksum") }, differently},
		"no default":                   {func(m map[string]any) { spec(m)["dnsPolicy"] = "Default" }, differently},
		"default elsewhere":            {func(m map[string]any) { container(m)["dnsPolicy"] = "ClusterFirst" }, differently},
		"unknown field":                {func(m map[string]any) { spec(m)["fieldOfTheFuture"] = "x" }, differently},
		"unknown field of a container": {func(m map[string]any) { container(m)["fieldOfTheFuture"] = false }, differently},
		"pull policy":                  {func(m map[string]any) { container(m)["imagePullPolicy"] = "Never" }, differently},
		"command":                      {func(m map[string]any) { container(m)["command"] = []any{"sh"} }, differently},
		"order of env":                 {func(m map[string]any) { slices.Reverse(container(m)["env"].([]any)) }, differently},
		"container renamed":            {func(m map[string]any) { container(m)["name"] = "other" }, differently},
		"container added": {func(m map[string]any) {
			spec(m)["containers"] = append(spec(m)["containers"].([]any), map[string]any{})
		}, differently},
		"image of a volume": {func(m map[string]any) {
			spec(m)["volumes"] = []any{map[string]any{"name": "v", "image": map[string]any{"reference": "x"}}}
		}, differently},
		"selector that matches all": {func(m map[string]any) { spec(m)["x"] = map[string]any{"labelSelector": map[string]any{}} }, differently},
		"emptyDir becomes projected": {func(m map[string]any) {
			v := volume(m, 0)
			delete(v, "emptyDir")
			v["projected"] = map[string]any{"defaultMode": 420}
		}, differently},
		"a volume's default source": {func(m map[string]any) { delete(volume(m, 0), "emptyDir") }, same},
		"default mode of a secret":  {func(m map[string]any) { delete(volume(m, 1)["secret"].(map[string]any), "defaultMode") }, same},
		"other mode of a secret":    {func(m map[string]any) { volume(m, 1)["secret"].(map[string]any)["defaultMode"] = 256 }, differently},
		"probe's default":           {func(m map[string]any) { delete(container(m)["readinessProbe"].(map[string]any), "periodSeconds") }, same},
		"probe removed":             {func(m map[string]any) { delete(container(m), "readinessProbe") }, differently},
		"text instead of a number":  {func(m map[string]any) { spec(m)["terminationGracePeriodSeconds"] = "30" }, differently},
		"spec is a list":            {func(m map[string]any) { m["spec"] = []any{} }, differently},
		"image moved between two parts": {func(m map[string]any) {
			container(m)["image"], container(m)["name"] = "app", "registry.shop.example/checkout:2.3"
		}, differently},
	}
	before := configuration.ParseTemplate("Deployment", readFile(t, "template-full.json"))
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			raw := readFile(t, "template-full.json")
			test.edit(raw)
			after := configuration.ParseTemplate("Deployment", raw)
			got := differently
			switch {
			case after.Hash == before.Hash:
				got = same
			case after.ImagelessHash == before.ImagelessHash:
				got = imagesOnly
			}
			if got != test.want {
				t.Errorf("the templates are %s, want %s", got, test.want)
			}
		})
	}
}

func volume(m map[string]any, i int) map[string]any {
	return m["spec"].(map[string]any)["volumes"].([]any)[i].(map[string]any)
}

func TestPodsMatchByImagesOnly(t *testing.T) {
	pod := builder.MakePod("shop", "checkout-x").Unstructured().Object
	before := configuration.ParseTemplate("Pod", pod)
	pod["spec"].(map[string]any)["nodeName"] = "node-1"
	pod["metadata"].(map[string]any)["labels"].(map[string]any)["x"] = "y"
	if after := configuration.ParseTemplate("Pod", pod); after.Hash != before.Hash {
		t.Error("a node and a label altered the hash of a pod")
	}
	pod["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["image"] = "other:1"
	after := configuration.ParseTemplate("Pod", pod)
	if after.Hash == before.Hash || after.ImagelessHash != before.ImagelessHash {
		t.Error("an image must alter the hash of a pod, and nothing but it")
	}
	if !after.SameImages(map[string]string{"app": "other:1"}) || after.SameImages(before.Images) {
		t.Error("SameImages does not compare images")
	}
}

func TestIgnoredAnnotations(t *testing.T) {
	raw := readFile(t, "template-full.json")
	full := configuration.ParseTemplate("Deployment", raw)
	prefixes := []string{"config.shop.example/"}
	ignoring := full.Ignoring(prefixes)
	if ignoring.Hash == full.Hash || ignoring.ImagelessHash == full.ImagelessHash {
		t.Error("ignoring an annotation that is there did not alter the hashes")
	}
	if parsed := configuration.ParseTemplate("Deployment", raw, prefixes...); parsed.Hash != ignoring.Hash {
		t.Error("parsing with prefixes and ignoring them afterwards differ")
	}
	if got := full.Ignoring([]string{"other.example/", ""}); got.Hash != full.Hash {
		t.Error("prefixes that no annotation has altered the hash")
	}
	raw["metadata"].(map[string]any)["annotations"].(map[string]any)["config.shop.example/checksum"] = "2"
	if edited := configuration.ParseTemplate("Deployment", raw, prefixes...); edited.Hash != ignoring.Hash {
		t.Error("an ignored annotation altered the hash")
	}
	if !full.Is(full.Hash, prefixes) || !full.Is(ignoring.Hash, prefixes) || full.Is(ignoring.Hash, nil) || full.Is("", nil) {
		t.Error("Is must accept the hash as it is and without what the prefixes leave out, and no other")
	}
}

func TestAlwaysPulled(t *testing.T) {
	tests := map[string]struct {
		policy, image string
		want          bool
	}{
		"always":                   {"Always", "a:1", true},
		"always, digest":           {"Always", "a@sha256:00", false},
		"tag and digest":           {"Always", "a:1@sha256:00", false},
		"if not present":           {"IfNotPresent", "a:latest", false},
		"no policy":                {"", "a:1", false},
		"no policy, latest":        {"", "a:latest", true},
		"no policy, no tag":        {"", "host:5000/a", true},
		"no policy, tag and port":  {"", "host:5000/a:1", false},
		"no policy and no image":   {"", "", true},
		"nonsense for a policy":    {"Sometimes", "a", false},
		"registry only, with port": {"", "host:5000", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			raw := map[string]any{"spec": map[string]any{"containers": []any{
				map[string]any{"name": "app", "image": test.image, "imagePullPolicy": test.policy},
			}}}
			if got := len(configuration.ParseTemplate("Deployment", raw).AlwaysPulled) == 1; got != test.want {
				t.Errorf("always pulled is %t, want %t", got, test.want)
			}
		})
	}
}

// noise adds what must not alter the hash to a copy of a value: nulls, empties, an int for a float.
func noise(r *rand.Rand, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, item := range v {
			out[k] = noise(r, item)
		}
		for _, empty := range []any{nil, map[string]any{}, []any{}, map[string]any{"x": nil}} {
			if key := "noise" + strconv.Itoa(r.IntN(100)); out[key] == nil && r.IntN(3) == 0 {
				out[key] = empty
			}
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, noise(r, item))
		}
		return out
	case float64:
		return int64(v)
	default:
		return v
	}
}

// leaves are all places of a value that hold no map or list, as functions that alter them.
func leaves(v any, path string, found map[string]func()) {
	switch v := v.(type) {
	case map[string]any:
		for k, item := range v {
			switch item.(type) {
			case map[string]any, []any:
				leaves(item, path+"/"+k, found)
			default:
				found[path+"/"+k] = func() { v[k] = altered(v[k]) }
			}
		}
	case []any:
		for i, item := range v {
			switch item.(type) {
			case map[string]any, []any:
				leaves(item, path+"/"+strconv.Itoa(i), found)
			default:
				found[path+"/"+strconv.Itoa(i)] = func() { v[i] = altered(v[i]) }
			}
		}
	}
}

func altered(v any) any {
	switch v := v.(type) {
	case string:
		return v + "x"
	case bool:
		return !v
	case float64:
		return v + 1
	default:
		return "x"
	}
}

func TestNoiseDoesNotAlterTheHashAndAnyEditDoes(t *testing.T) {
	const seed = 20261102
	want := configuration.ParseTemplate("Deployment", readFile(t, "template-full.json")).Hash
	for i := range 200 {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		noisy, _ := noise(r, readFile(t, "template-full.json")).(map[string]any)
		// Volumes keep the presence of sources, so that noise must not be put there.
		noisy["spec"].(map[string]any)["volumes"] = readFile(t, "template-full.json")["spec"].(map[string]any)["volumes"]
		if got := configuration.ParseTemplate("Deployment", noisy).Hash; got != want {
			t.Fatalf("noise of seed %d/%d altered the hash: %v", seed, i, noisy)
		}
	}

	free := []string{"/metadata/annotations/" + v1alpha1.AnnotationRestartedAt, "/metadata/labels/pod-template-hash", "/metadata/creationTimestamp"}
	places := map[string]func(){}
	leaves(readFile(t, "template-full.json"), "", places)
	if len(places) < 40 {
		t.Fatalf("only %d places to edit", len(places))
	}
	seen := map[string]string{}
	for _, place := range slices.Sorted(maps.Keys(places)) {
		raw := readFile(t, "template-full.json")
		found := map[string]func(){}
		leaves(raw, "", found)
		found[place]()
		got := configuration.ParseTemplate("Deployment", raw).Hash
		if slices.Contains(free, place) {
			if got != want {
				t.Errorf("an edit of %s altered the hash", place)
			}
			continue
		}
		if got == want {
			t.Errorf("an edit of %s did not alter the hash", place)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("edits of %s and %s have the same hash", place, other)
		}
		seen[got] = place
	}
}

func FuzzParseTemplate(f *testing.F) {
	for _, name := range []string{"template-full.json", "template-minimal.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"spec":{"containers":[null,1,{"name":1}],"initContainers":{}},"metadata":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v map[string]any
		if json.Unmarshal(data, &v) != nil || v == nil {
			return
		}
		once := configuration.ParseTemplate("Deployment", v, "a")
		if twice := configuration.ParseTemplate("Deployment", decode(t, data), "a"); !cmp.Equal(once, twice) {
			t.Fatalf("the same template parsed differently:\n%s", cmp.Diff(once, twice))
		}
		if len(once.Hash) != 67 || len(once.ImagelessHash) != 67 {
			t.Fatalf("hashes have %d and %d characters", len(once.Hash), len(once.ImagelessHash))
		}
		if diff := configuration.Diff(v, v); len(diff) != 0 {
			t.Fatalf("a template differs from itself: %v", diff)
		}
		if len(configuration.Diff(nil, v)) > configuration.MaxDiff {
			t.Fatal("too many differences")
		}
	})
}

func BenchmarkParseTemplate(b *testing.B) {
	raw := readFile(b, "template-full.json")
	b.ReportAllocs()
	for b.Loop() {
		configuration.ParseTemplate("Deployment", raw)
	}
}
