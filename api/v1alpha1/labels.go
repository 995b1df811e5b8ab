package v1alpha1

const (
	// AnnotationChange on a workload names the Change (name, in the workload's namespace) that its author
	// means, where several cover it.
	AnnotationChange = "itil.dev/change"
	// AnnotationBreakGlass on a workload admits it without an approved Change. Its value is the reason. It
	// works only in the request that adds or alters it, and only for people who hold the verb "breakglass".
	AnnotationBreakGlass = "itil.dev/break-glass"
	// AnnotationBreakGlassBy is the authenticated user who broke the glass.
	AnnotationBreakGlassBy = "itil.dev/break-glass-by"
	// AnnotationRestartedAt is what `kubectl rollout restart` writes on a pod template.
	AnnotationRestartedAt = "kubectl.kubernetes.io/restartedAt"
	// AnnotationRollbackTo on a Deployment has the deployment controller bring back the template of an earlier revision, the
	// last with "0". It is of the time of extensions/v1beta1; kubectl does not use it.
	AnnotationRollbackTo = "deprecated.deployment.rollback.to"

	// AnnotationRelease on a Change names the Release that raised it, and on an Incident the Release whose deployment or
	// early life support it came in. Where the name is no longer than a label's value, it is a label too.
	AnnotationRelease = "itil.dev/release"
	// AnnotationReleaseUID on a Change is the UID of the Release that raised it.
	AnnotationReleaseUID = "itil.dev/release-uid"

	// AnnotationOpenedFor on an Incident is what the detector had seen when it opened it: a signal, as JSON. The status that
	// says so comes a moment later, and goes on from it where its writer is gone by then.
	AnnotationOpenedFor = "itil.dev/opened-for"

	// LabelIncidents on a namespace or workload with the value "disabled" switches detection off there; on kube-system or
	// the operator's own namespace, where it is off, the value "enabled" switches it on.
	LabelIncidents = "itil.dev/incidents"
	// LabelIncidentsDisabled switches detection off.
	LabelIncidentsDisabled = "disabled"
	// LabelIncidentsEnabled switches it on where it is off.
	LabelIncidentsEnabled = "enabled"
	// LabelEpisode on an Incident or Problem that the operator opened says the how manieth it is: of its workload, or of its
	// fingerprint.
	LabelEpisode = "itil.dev/episode"
	// LabelWorkloadKind on what the operator creates is the kind of the workload that it is about.
	LabelWorkloadKind = "itil.dev/workload-kind"
	// LabelWorkload on what the operator creates is a hash of the workload's name, which may be too long for
	// a label value.
	LabelWorkload = "itil.dev/workload"
	// LabelManagedBy marks what the operator created.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "itil-operator"
)

const (
	// VerbApprove on a Change permits voting on it by a ChangeApproval.
	VerbApprove = "approve"
	// VerbBreakGlass on changes of a namespace permits letting a workload in with AnnotationBreakGlass.
	VerbBreakGlass = "breakglass"
	// VerbRetire permits what lessens governance or removes records.
	VerbRetire = "retire"
)
