package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/yaml"
)

type stage struct {
	APIVersion, Kind string
	Metadata         struct{ Name string }
	Spec             struct {
		ResourceRef struct{ Kind string }
		Weight      int
		Selector    struct {
			MatchExpressions []struct{ Key, Operator string }
		}
		Steps []map[string]any
	}
}

func readStages(t *testing.T) map[string]stage {
	t.Helper()
	files, err := filepath.Glob("kwok/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stages: %v", err)
	}
	stages := map[string]stage{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
		for {
			var s stage
			if err := decoder.Decode(&s); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if s.Kind == "KwokConfiguration" {
				continue
			}
			if _, twice := stages[s.Metadata.Name]; twice {
				t.Errorf("%s: two stages are named %s", file, s.Metadata.Name)
			}
			stages[s.Metadata.Name] = s
		}
	}
	return stages
}

// kwok runs whatever matches: a stage that forgets deleted pods keeps them alive, and weights above 1 would make
// the choice between two faults a matter of luck.
func TestStagesAreSelective(t *testing.T) {
	for name, s := range readStages(t) {
		if s.APIVersion != "kwok.x-k8s.io/v1alpha1" || s.Kind != "Stage" {
			t.Errorf("%s is a %s %s", name, s.APIVersion, s.Kind)
		}
		if s.Spec.Weight != 0 && s.Spec.Weight != 1 {
			t.Errorf("%s has weight %d: normal life has 0, faults have 1", name, s.Spec.Weight)
		}
		if s.Spec.ResourceRef.Kind != "Pod" {
			continue
		}
		knowsDeletion := false
		for _, expression := range s.Spec.Selector.MatchExpressions {
			if expression.Key == ".metadata.deletionTimestamp" {
				knowsDeletion = true
			}
		}
		if !knowsDeletion {
			t.Errorf("%s does not say whether it is for pods that are being deleted", name)
		}
	}
}

// The behaviours are listed in the selector that reads them from an image, in its template, in the file's head and
// in the README.
func TestBehavioursAreDocumented(t *testing.T) {
	faults, err := os.ReadFile("kwok/pod-faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	lists := regexp.MustCompile(`\((crashloop\|[a-z|]+)\)`).FindAllSubmatch(faults, -1)
	if len(lists) != 2 || !bytes.Equal(lists[0][1], lists[1][1]) {
		t.Fatalf("want the same list twice, got %s", lists)
	}
	for behaviour := range strings.SplitSeq(string(lists[0][1]), "|") {
		if !regexp.MustCompile(`(?m)^# .*\b` + behaviour + ` `).Match(faults) {
			t.Errorf("the head of pod-faults.yaml does not explain %s", behaviour)
		}
		if !bytes.Contains(readme, []byte("`"+behaviour+"`")) {
			t.Errorf("README.md does not name %s", behaviour)
		}
	}
}

// A container may be called 1, true or null: YAML would read such a name as something else, and the API server refuse
// the status.
func TestNamesAreQuoted(t *testing.T) {
	files, err := filepath.Glob("kwok/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	bare := regexp.MustCompile(`: \{\{ (\.name|\.image|\$container|\$behaviour|\$target|\.metadata\.(name|namespace|uid)) \}\}`)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range bare.FindAllString(string(content), -1) {
			t.Errorf("%s writes%s without quotes", file, found)
		}
	}
}
