package configuration

import "strings"

// The table of API defaults of hash version 1: path of a field in the template and the value, as canonical
// JSON, that the API server gives it where the author gave none. A field with this value is left out of the
// hash, so that a manifest and what the API server made of it are the same, and so that a default which a later
// API server adds can be told from an edit. The table belongs to the version of the hash: a line that is added
// or changed alters the hashes of workloads in the field, and so needs a version 2 beside it.
//
// imagePullPolicy is not in it: its default depends on the image, and a Change of the image alone would then
// alter a second field. The API server always writes it out.
var templateDefaultsV1 = map[string]string{
	"spec.restartPolicy":                 `"Always"`,
	"spec.dnsPolicy":                     `"ClusterFirst"`,
	"spec.schedulerName":                 `"default-scheduler"`,
	"spec.terminationGracePeriodSeconds": `30`,
	"spec.enableServiceLinks":            `true`,

	"spec.volumes[].configMap.defaultMode":                                       `420`,
	"spec.volumes[].secret.defaultMode":                                          `420`,
	"spec.volumes[].downwardAPI.defaultMode":                                     `420`,
	"spec.volumes[].downwardAPI.items[].fieldRef.apiVersion":                     `"v1"`,
	"spec.volumes[].projected.defaultMode":                                       `420`,
	"spec.volumes[].projected.sources[].downwardAPI.items[].fieldRef.apiVersion": `"v1"`,
	"spec.volumes[].projected.sources[].serviceAccountToken.expirationSeconds":   `3600`,
	"spec.volumes[].hostPath.type":                                               `""`,
	"spec.volumes[].ephemeral.volumeClaimTemplate.spec.volumeMode":               `"Filesystem"`,
	"spec.volumes[].iscsi.iscsiInterface":                                        `"default"`,
	"spec.volumes[].rbd.pool":                                                    `"rbd"`,
	"spec.volumes[].rbd.user":                                                    `"admin"`,
	"spec.volumes[].rbd.keyring":                                                 `"/etc/ceph/keyring"`,
	"spec.volumes[].azureDisk.cachingMode":                                       `"ReadWrite"`,
	"spec.volumes[].azureDisk.fsType":                                            `"ext4"`,
	"spec.volumes[].azureDisk.kind":                                              `"Shared"`,
	"spec.volumes[].azureDisk.readOnly":                                          `false`,
	"spec.volumes[].scaleIO.storageMode":                                         `"ThinProvisioned"`,
	"spec.volumes[].scaleIO.fsType":                                              `"xfs"`,
}

// containerDefaultsV1 are the same for each of the lists of containers, relative to the container.
var containerDefaultsV1 = map[string]string{
	"terminationMessagePath":              `"/dev/termination-log"`,
	"terminationMessagePolicy":            `"File"`,
	"ports[].protocol":                    `"TCP"`,
	"env[].valueFrom.fieldRef.apiVersion": `"v1"`,
	"securityContext.procMount":           `"Default"`,
	"lifecycle.postStart.httpGet.path":    `"/"`,
	"lifecycle.postStart.httpGet.scheme":  `"HTTP"`,
	"lifecycle.preStop.httpGet.path":      `"/"`,
	"lifecycle.preStop.httpGet.scheme":    `"HTTP"`,
}

// probeDefaultsV1 are the same for each of a container's probes, relative to the probe.
var probeDefaultsV1 = map[string]string{
	"timeoutSeconds":   `1`,
	"periodSeconds":    `10`,
	"successThreshold": `1`,
	"failureThreshold": `3`,
	"httpGet.path":     `"/"`,
	"httpGet.scheme":   `"HTTP"`,
	"grpc.service":     `""`,
}

var (
	containerLists = []string{"containers", "initContainers", "ephemeralContainers"}
	probes         = []string{"livenessProbe", "readinessProbe", "startupProbe"}
)

// Of these fields the mere presence means something: a selector that is empty matches everything and one that
// is absent nothing, an empty projected volume is read-only and an empty emptyDir is not. Elsewhere an empty map
// or list is the same as none; so is an empty emptyDir, which the API server gives a volume without a source.
var presenceMattersV1 = []string{"spec.volumes[].*", "spec.volumes[].projected.sources[].*"}

var presenceMattersByNameV1 = map[string]bool{"labelSelector": true, "namespaceSelector": true}

// Labels that controllers put on templates and pods. They are the same workload's whatever their value.
var generatedLabelsV1 = map[string]bool{
	"pod-template-hash":                  true,
	"controller-uid":                     true,
	"job-name":                           true,
	"controller-revision-hash":           true,
	"statefulset.kubernetes.io/pod-name": true,
	"apps.kubernetes.io/pod-index":       true,
}

const generatedLabelPrefixV1 = "batch.kubernetes.io/"

func isGeneratedLabel(key string) bool {
	return generatedLabelsV1[key] || strings.HasPrefix(key, generatedLabelPrefixV1)
}

// rule is what is to be done at one path of a template; rules form a tree along the paths.
type rule struct {
	fields map[string]*rule
	items  *rule
	// any applies to fields that are not in fields.
	any *rule
	// defaultValue is the value, as canonical JSON, that counts as absent; empty where there is none.
	defaultValue string
	// drop leaves out the field, or, with dropGenerated, the keys that are generated labels.
	drop, dropGenerated bool
	// image marks a container's image.
	image bool
	// keepEmpty keeps the field though it is empty.
	keepEmpty bool
}

func (r *rule) field(key string) *rule {
	if r == nil {
		return nil
	}
	if f, ok := r.fields[key]; ok {
		return f
	}
	return r.any
}

func (r *rule) item() *rule {
	if r == nil {
		return nil
	}
	return r.items
}

// at returns the rule of a path such as "spec.volumes[].*", made where there is none yet.
func (r *rule) at(path string) *rule {
	for step := range strings.SplitSeq(path, ".") {
		name, list := strings.CutSuffix(step, "[]")
		r = r.child(name)
		if list {
			if r.items == nil {
				r.items = &rule{}
			}
			r = r.items
		}
	}
	return r
}

func (r *rule) child(name string) *rule {
	if name == "*" {
		if r.any == nil {
			r.any = &rule{}
		}
		return r.any
	}
	if r.fields == nil {
		r.fields = map[string]*rule{}
	}
	if r.fields[name] == nil {
		r.fields[name] = &rule{}
	}
	return r.fields[name]
}

// templateRulesV1 is the tree of all of the above.
var templateRulesV1 = newTemplateRules()

func newTemplateRules() *rule {
	root := &rule{}
	for path, value := range templateDefaultsV1 {
		root.at(path).defaultValue = value
	}
	for _, list := range containerLists {
		container := root.at("spec." + list + "[]")
		container.at("image").image = true
		for path, value := range containerDefaultsV1 {
			container.at(path).defaultValue = value
		}
		for _, probe := range probes {
			for path, value := range probeDefaultsV1 {
				container.at(probe + "." + path).defaultValue = value
			}
		}
	}
	for _, path := range presenceMattersV1 {
		parent := root.at(strings.TrimSuffix(path, ".*"))
		parent.at("*").keepEmpty = true
		for _, f := range parent.fields {
			f.keepEmpty = true
		}
	}
	root.at("spec.volumes[].emptyDir").keepEmpty = false
	root.at("metadata.creationTimestamp").drop = true
	root.at("metadata.annotations").drop = true // hashed apart, since policies leave some of them out
	root.at("metadata.labels").dropGenerated = true
	return root
}
