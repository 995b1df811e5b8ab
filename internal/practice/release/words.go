package release

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/itil-dev/itil-operator/api/v1alpha1"
	"github.com/itil-dev/itil-operator/internal/practice/prose"
)

const (
	maxMessage     = 1024
	maxUnitMessage = 512
	maxShown       = 200
)

// said formats a message, cuts it to so many bytes and keeps control characters out of it.
func said(limit int, format string, args ...any) string {
	return prose.Brief(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, fmt.Sprintf(format, args...)), limit)
}

func list(items []string) string { return prose.List(items) }

func nameOf(w v1alpha1.WorkloadReference) string {
	return strings.ToLower(string(w.Kind)) + "/" + string(w.Name)
}

// imagesOf are images as "app=shop/checkout:2.4", in the order of the containers' names.
func imagesOf[K ~string, V ~string](images map[K]V) string {
	out := make([]string, 0, len(images))
	for _, container := range slices.Sorted(maps.Keys(images)) {
		out = append(out, string(container)+"="+string(images[container]))
	}
	return list(out)
}

func stringsOf[V ~string](images map[string]V) map[string]string {
	out := make(map[string]string, len(images))
	for container, image := range images {
		out[container] = string(image)
	}
	return out
}

func timePtr(t time.Time) *metav1.Time {
	out := metav1.NewTime(t.UTC().Truncate(time.Second))
	return &out
}

func secondsOf(d time.Duration) int32 {
	return int32(min(max(int64(d/time.Second), 0), 1<<31-1))
}

func lasting(seconds int32) time.Duration { return time.Duration(seconds) * time.Second }

// show is a duration without zeros at its end: "10m", "1h30m".
func show(d time.Duration) string {
	s := d.Round(time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func itoa[T ~int | ~int32](n T) string { return strconv.Itoa(int(n)) }
