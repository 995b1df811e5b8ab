package configuration

import (
	"maps"
	"slices"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

const (
	// maxImageID bounds what is kept of an image's ID: algorithm and digest.
	maxImageID = 140
	// maxRestartedAt bounds what is kept of a restart's time, which is an annotation that anybody may write.
	maxRestartedAt = 64
)

// ImageDigest is what of a container status' imageID identifies the image: the digest, such as "sha256:…". Runtimes
// put it in several forms: "repository@digest", "docker-pullable://repository@digest", "docker://digest" or bare.
// Empty where there is none.
func ImageDigest(imageID string) string {
	if _, digest, found := strings.Cut(imageID, "@"); found {
		imageID = digest
	} else if _, rest, found := strings.Cut(imageID, "://"); found {
		imageID = rest
	}
	printable := !strings.ContainsFunc(imageID, func(r rune) bool { return r <= ' ' || r > '~' })
	if len(imageID) > maxImageID || !printable {
		return ""
	}
	return imageID
}

// imagePinned reports whether an image is named by its digest, so that it cannot come to mean another one.
func imagePinned(image string) bool { return strings.Contains(image, "@") }

// ran takes down what a template that is rolled out runs: the first time as what its tags mean, later, where a tag
// means another image by then, as moved. A restart that pulls images again is taken down with it.
func ran(b v1alpha1.Baseline, w *Workload, ids map[string]string) v1alpha1.Baseline {
	if len(w.Template.AlwaysPulled) > 0 {
		b.RestartedAt = w.Template.RestartedAt[:min(len(w.Template.RestartedAt), maxRestartedAt)]
	}
	if len(ids) == 0 {
		return b
	}
	first, moved := maps.Clone(b.ImageIDs), map[string]string{}
	if first == nil {
		first = map[string]string{}
	}
	for container := range b.Images {
		id, seen := ids[container]
		switch {
		case !seen:
			// Its pods may be on their way; what was found before stays.
			if was, known := b.MovedImageIDs[container]; known {
				moved[container] = was
			}
		case first[container] == "":
			first[container] = id
		case first[container] != id && !imagePinned(b.Images[container]):
			moved[container] = id
		}
	}
	maps.DeleteFunc(first, func(container, _ string) bool { _, is := b.Images[container]; return !is })
	b.ImageIDs, b.MovedImageIDs = orNil(first), orNil(moved)
	return b
}

func orNil(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	return m
}

// known is what the images of a template meant when an earlier baseline ran them: a tag that comes back is compared
// with what it was.
func known(baselines []v1alpha1.Baseline, images map[string]string) map[string]string {
	out := map[string]string{}
	for container, image := range firstImages(images) {
		at := slices.IndexFunc(baselines, func(b v1alpha1.Baseline) bool {
			return b.Images[container] == image && b.ImageIDs[container] != ""
		})
		if at >= 0 {
			out[container] = baselines[at].ImageIDs[container]
		}
	}
	return orNil(out)
}

// Moved names the containers of a baseline whose tag was found to mean another image than when it was first rolled
// out, sorted.
func Moved(b *v1alpha1.Baseline) []string {
	return slices.Sorted(maps.Keys(b.MovedImageIDs))
}
