//go:build fleetset

package configuration

// KindFleetSet is a kind that does not exist. With the build tag fleetset the operator knows it, by this entry alone:
// it is how a kind is added, and test/integration/kinds proves on an API server that it is all that it takes here.
const KindFleetSet = "FleetSet"

var further = map[string]kind{
	KindFleetSet: {
		group: "fleet.example.com", version: "v1", claimable: true, replaces: true, observes: true,
		template: []string{"spec", "workload", "template"}, selector: labelSelector, observe: observeFleetSet,
	},
}

// observeFleetSet: it counts vessels, each of which is a pod.
func observeFleetSet(spec, status map[string]any, w *Workload) {
	vessels := mapAt(status, "vessels")
	w.Desired = countAt(spec, "vessels", 1)
	w.Ready = countAt(vessels, "afloat", 0)
	w.Updated = countAt(vessels, "refitted", 0)
	w.Current = countAt(vessels, "total", 0)
}
