package change

import (
	"strconv"
	"strings"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
)

// imageChange says how far two images of a container are apart.
type imageChange string

const (
	imageSame      imageChange = "same"
	imagePatch     imageChange = "patch"
	imageMinor     imageChange = "minor"
	imageMajor     imageChange = "major"
	imageDowngrade imageChange = "downgrade"
	// imageUnknown: the same repository, but the versions cannot be compared.
	imageUnknown imageChange = "unknown"
	// imageOther: another repository, or a container that is new or goes away.
	imageOther imageChange = "other"
)

// reference is an image reference in its parts.
type reference struct {
	repository, tag, digest string
}

func parseReference(image string) reference {
	var r reference
	rest, digest, _ := strings.Cut(image, "@")
	r.digest = digest
	r.repository = rest
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, '/') {
		r.repository, r.tag = rest[:colon], rest[colon+1:]
	}
	return r
}

// hasDigest says whether an image is pinned: what it is cannot change any more.
func hasDigest(image string) bool {
	return strings.Contains(image, "@sha256:") || strings.Contains(image, "@sha512:")
}

// compareImages says how far apart two images are. The tag beside a digest is what an author says of it and nobody
// checks; so versions are compared only where both images are named by their tags alone.
func compareImages(from, to string) imageChange {
	if from == to {
		return imageSame
	}
	a, b := parseReference(from), parseReference(to)
	if a.repository != b.repository || a.repository == "" {
		return imageOther
	}
	if a.digest != "" || b.digest != "" {
		return imageUnknown
	}
	v, okV := parseVersion(a.tag)
	w, okW := parseVersion(b.tag)
	switch {
	case !okV || !okW || v.suffix != w.suffix || v.prefix != w.prefix:
		return imageUnknown
	case w.major != v.major:
		return newer(v.major, w.major, imageMajor)
	case w.minor != v.minor:
		return newer(v.minor, w.minor, imageMinor)
	case w.patch != v.patch:
		return newer(v.patch, w.patch, imagePatch)
	}
	return imageUnknown
}

func newer(from, to uint64, as imageChange) imageChange {
	if to < from {
		return imageDowngrade
	}
	return as
}

// version is major.minor[.patch], with what stands before ("v") and after ("-alpine").
type version struct {
	prefix, suffix      string
	major, minor, patch uint64
}

func parseVersion(tag string) (version, bool) {
	var v version
	if strings.HasPrefix(tag, "v") {
		v.prefix, tag = "v", tag[1:]
	}
	if i := strings.IndexAny(tag, "-+_"); i >= 0 {
		tag, v.suffix = tag[:i], tag[i:]
	}
	parts := strings.Split(tag, ".")
	if len(parts) != 2 && len(parts) != 3 {
		return version{}, false
	}
	numbers := [3]uint64{}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 32)
		if err != nil || p != strconv.FormatUint(n, 10) {
			return version{}, false
		}
		numbers[i] = n
	}
	v.major, v.minor, v.patch = numbers[0], numbers[1], numbers[2]
	return v, true
}

// allows says whether a standard change's rule on images lets one image follow another. A rule that is none lets
// nothing.
func allows(rule v1alpha1.ImageRule, from, to string) bool {
	c := compareImages(from, to)
	if c == imageSame {
		return true
	}
	switch rule {
	case v1alpha1.ImageSameRepositoryPatch:
		return c == imagePatch
	case v1alpha1.ImageSameRepositoryMinor:
		return c == imagePatch || c == imageMinor
	case v1alpha1.ImageSameRepository:
		return c != imageOther
	case v1alpha1.ImageUnchanged, "":
	}
	return false
}
