// Package configuration knows what a workload is made of: its pod template, the template's identity (hash), the
// images in it, and the baselines of what was agreed to run. It is pure.
package configuration

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// HashVersion is the version of the hashes that ParseTemplate makes. Hashes of other versions are other hashes.
const HashVersion = "v1"

// Template is a pod template and its identity.
type Template struct {
	// Hash identifies its meaning: "v1:" and a SHA-256 in hex. Of a Pod it identifies the images only. It does
	// not depend on RestartedAt, which is free unless AlwaysPulled names something.
	Hash string
	// ImagelessHash is the same with all container images left out: two templates that share it differ in
	// nothing but images.
	ImagelessHash string
	// Images by container name, init containers included; of a Pod also those that it mounts, as volumes[name].
	Images map[string]string
	// AlwaysPulled names the containers, and as volumes[name] the volumes, whose image is pulled again at every start and
	// is not pinned by digest; sorted.
	AlwaysPulled []string
	// TaggedVolumes are the volumes with an image that is not pinned by digest, as volumes[name]=image; sorted.
	TaggedVolumes []string
	// Labels of the template, those that controllers generate included.
	Labels map[string]string
	// Requests is what one pod asks for, and Limits the most that it may use.
	Requests Requests
	Limits   Limits
	// Largest is the most that any one of the containers asks for or may use.
	Largest Requests
	// RestartedAt is the value of the kubectl.kubernetes.io/restartedAt annotation.
	RestartedAt string

	// Parts are what Hash and ImagelessHash are made of, so that they can be made again without some annotations.
	Parts Parts
	// Fingerprint has 4 bytes for each field: 32 bits of a hash of its path and value, sorted. It tells a
	// template with added fields from one with altered fields.
	Fingerprint string
}

// Requests is the sum of what the containers of a pod ask for, while it runs. What cannot be understood counts as
// nothing.
type Requests struct {
	CPUMilli, MemoryBytes int64
}

// Limits is the sum of what the containers of a pod may use, while it runs.
type Limits struct {
	Requests

	// AnyCPU and AnyMemory: some container has no limit.
	AnyCPU, AnyMemory bool
}

// Parts are the digests that the hash of a template is made of.
type Parts struct {
	// Body is of all but annotations, Imageless is of all but annotations and images. 32 bytes each.
	Body, Imageless string
	// Annotations has a digest of 16 bytes of the value of each annotation but restartedAt.
	Annotations map[string]string
}

// ParseTemplate makes a Template of the raw template (metadata and spec) of a workload of the given kind; of a
// Pod, of the Pod itself. It accepts anything and never fails: what is not understood is part of the hash.
// Annotations that begin with one of the prefixes are not.
func ParseTemplate(kind string, raw map[string]any, ignoredAnnotationPrefixes ...string) Template {
	t := Template{}
	t.Labels = stringMap(raw, "metadata", "labels")
	annotations := mapAt(raw, "metadata", "annotations")
	t.RestartedAt, _ = annotations[v1alpha1.AnnotationRestartedAt].(string)
	t.readContainers(raw)

	if kind == KindPod {
		maps.Copy(t.Images, mounted(raw))
		t.hashImages()
		return t
	}
	c := canonical{buf: make([]byte, 0, 4096)}
	c.value(raw, templateRulesV1, pathRoot)
	t.Parts.Body, t.Parts.Imageless = c.digests()
	t.hashAnnotations(&c, annotations)
	t.Fingerprint = c.fingerprint()
	t.rehash(nil)
	return t.Ignoring(ignoredAnnotationPrefixes)
}

// Ignoring is the same template with the hashes that it has where annotations that begin with one of the
// prefixes do not count.
func (t Template) Ignoring(prefixes []string) Template {
	ignored := func(key string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return p != "" && strings.HasPrefix(key, p) })
	}
	for key := range t.Parts.Annotations {
		if ignored(key) {
			t.rehash(ignored)
			return t
		}
	}
	return t
}

// Is reports whether it is the template of that hash: as it is, or without the annotations that the prefixes
// say do not count.
func (t Template) Is(hash string, ignoredAnnotationPrefixes []string) bool {
	return hash != "" && (hash == t.Hash || hash == t.Ignoring(ignoredAnnotationPrefixes).Hash)
}

// IsBaseline reports whether it is the template of that baseline. A baseline keeps its hash when the prefixes of
// a policy change later, so its full hash counts as well.
func (t Template) IsBaseline(b v1alpha1.Baseline, ignoredAnnotationPrefixes []string) bool {
	return t.Is(b.TemplateHash, ignoredAnnotationPrefixes) || b.FullHash != "" && b.FullHash == t.Hash
}

// SameImages reports whether it has exactly these images: how Pods are compared with baselines.
func (t Template) SameImages(images map[string]string) bool { return maps.Equal(t.Images, images) }

func (t *Template) readContainers(raw map[string]any) {
	spec := mapAt(raw, "spec")
	t.Images = map[string]string{}
	for _, list := range []string{"initContainers", "containers"} {
		items, _ := spec[list].([]any)
		for i, item := range items {
			container, _ := item.(map[string]any)
			name, _ := container["name"].(string)
			if name == "" {
				name = fmt.Sprintf("%s[%d]", list, i)
			}
			image, _ := container["image"].(string)
			t.Images[name] = image
			t.Largest.cover(mapAt(container, "resources", "requests"))
			t.Largest.cover(mapAt(container, "resources", "limits"))
			if list == "containers" || container["restartPolicy"] == "Always" {
				t.Requests.add(mapAt(container, "resources", "requests"))
				t.Limits.add(mapAt(container, "resources", "limits"))
			}
			if alwaysPulled(stringAt(container, "imagePullPolicy"), image) {
				t.AlwaysPulled = append(t.AlwaysPulled, name)
			}
		}
	}
	for _, item := range listAt(spec, "volumes") {
		volume, _ := item.(map[string]any)
		image := mapAt(volume, "image")
		reference := stringAt(image, "reference")
		if image == nil || imagePinned(reference) {
			continue
		}
		t.TaggedVolumes = append(t.TaggedVolumes, volumeName(volume)+"="+reference)
		if alwaysPulled(stringAt(image, "pullPolicy"), reference) {
			t.AlwaysPulled = append(t.AlwaysPulled, volumeName(volume))
		}
	}
	slices.Sort(t.TaggedVolumes)
	slices.Sort(t.AlwaysPulled)
}

// mounted are the images that a pod mounts as volumes. In a template they are part of the hash like any other field; a Pod
// is compared by its images alone, and what it mounts it can run.
func mounted(raw map[string]any) map[string]string {
	var out map[string]string
	for _, item := range listAt(mapAt(raw, "spec"), "volumes") {
		volume, _ := item.(map[string]any)
		image := mapAt(volume, "image")
		if image == nil {
			continue
		}
		if out == nil {
			out = map[string]string{}
		}
		out[volumeName(volume)] = stringAt(image, "reference")
	}
	return out
}

func volumeName(volume map[string]any) string { return "volumes[" + stringAt(volume, "name") + "]" }

func (r *Requests) add(requests map[string]any) {
	if q, err := resource.ParseQuantity(stringAt(requests, "cpu")); err == nil {
		r.CPUMilli = sum(r.CPUMilli, q.MilliValue())
	}
	if q, err := resource.ParseQuantity(stringAt(requests, "memory")); err == nil {
		r.MemoryBytes = sum(r.MemoryBytes, q.Value())
	}
}

// cover makes each amount at least as great.
func (r *Requests) cover(amounts map[string]any) {
	var of Requests
	of.add(amounts)
	r.CPUMilli, r.MemoryBytes = max(r.CPUMilli, of.CPUMilli), max(r.MemoryBytes, of.MemoryBytes)
}

func (l *Limits) add(limits map[string]any) {
	l.Requests.add(limits)
	l.AnyCPU = l.AnyCPU || stringAt(limits, "cpu") == ""
	l.AnyMemory = l.AnyMemory || stringAt(limits, "memory") == ""
}

// sum of two amounts that are not negative, or the greatest number.
func sum(a, b int64) int64 {
	if b <= 0 {
		return a
	}
	return a + min(b, math.MaxInt64-a)
}

// alwaysPulled applies the API's default to a manifest that names no pull policy: always, for the tag latest.
func alwaysPulled(policy, image string) bool {
	if strings.Contains(image, "@") {
		return false
	}
	if policy != "" {
		return policy == "Always"
	}
	_, tag, tagged := strings.Cut(image[strings.LastIndexByte(image, '/')+1:], ":")
	return !tagged || tag == "latest"
}

// hashImages makes the hashes of a Pod.
func (t *Template) hashImages() {
	names := map[string]any{}
	images := map[string]any{}
	for name, image := range t.Images {
		names[name], images[name] = true, image
	}
	t.Parts.Body, t.Parts.Imageless = digestOf(images), digestOf(names)
	t.rehash(nil)
}

func digestOf(v map[string]any) string {
	c := canonical{}
	c.value(v, nil, pathRoot)
	sum := sha256.Sum256(c.buf)
	return string(sum[:])
}

func (t *Template) hashAnnotations(c *canonical, annotations map[string]any) {
	const digestBytes = 16
	base := step(step(pathRoot, "metadata"), "annotations")
	for key, value := range annotations {
		if key == v1alpha1.AnnotationRestartedAt {
			continue
		}
		text := canonical{}
		if !text.value(value, nil, pathRoot) {
			continue
		}
		c.leaf(step(base, key), text.buf)
		sum := sha256.Sum256(text.buf)
		if t.Parts.Annotations == nil {
			t.Parts.Annotations = map[string]string{}
		}
		t.Parts.Annotations[key] = string(sum[:digestBytes])
	}
}

// digests are of the whole text and of the text without images.
func (c *canonical) digests() (body, imageless string) {
	sum := sha256.Sum256(c.buf)
	h := sha256.New()
	from := 0
	for _, image := range c.images {
		h.Write(c.buf[from:image.from])
		from = image.to
	}
	h.Write(c.buf[from:])
	return string(sum[:]), string(h.Sum(nil))
}

// rehash makes the hashes of the parts: the digest of the body, then each annotation that counts.
func (t *Template) rehash(ignored func(key string) bool) {
	text := []byte{}
	for _, key := range slices.Sorted(maps.Keys(t.Parts.Annotations)) {
		if ignored != nil && ignored(key) {
			continue
		}
		text = append(appendString(text, key), t.Parts.Annotations[key]...)
	}
	t.Hash = versionedHash(t.Parts.Body, text)
	t.ImagelessHash = versionedHash(t.Parts.Imageless, text)
}

func versionedHash(body string, annotations []byte) string {
	sum := sha256.Sum256(append([]byte(body), annotations...))
	return HashVersion + ":" + hex.EncodeToString(sum[:])
}

// onlyAddsTo reports whether the template with this fingerprint had all of old's fields with their values, so
// that nothing was altered or removed. An empty fingerprint is unknown, and nothing is known to be added to it.
func onlyAddsTo(fingerprint, old string) bool {
	const size = 4
	if old == "" || len(old)%size != 0 || len(fingerprint)%size != 0 {
		return false
	}
	for len(old) > 0 {
		if fingerprint == "" || fingerprint[:size] > old[:size] {
			return false
		}
		if fingerprint[:size] == old[:size] {
			old = old[size:]
		}
		fingerprint = fingerprint[size:]
	}
	return true
}

func decodeJSON(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}
