package api_test

// bases are a valid object of each kind, as small as it can be: without apiVersion, kind and name.
var bases = map[string]string{
	"Calendar": `
spec:
  weekly: [{days: [Mon], from: "08:00", to: "18:00"}]`,
	"Change": `
spec:
  summary: Roll out checkout 2.4
  requester: alice
  targets:
  - workload: {kind: Deployment, name: checkout}
    images: {app: "registry.shop.example/checkout:2.4"}`,
	"ChangeApproval": `
spec:
  changeRef: {name: checkout-2-4}
  digest: v1:5f3c9ab1e0d4c7a2b8f60d3e9c1a7b5d4e2f8091a3b5c7d9e1f30517293b4d5f
  decision: Approve
  approver: carol`,
	"ChangePolicy": `
spec:
  namespaceSelector: {matchLabels: {env: production}}`,
	"ConfigurationItem": `
spec:
  workloadRef: {kind: Deployment, name: checkout}`,
	"Incident": `
spec:
  title: Checkout refuses vouchers
  reporter: dave
  serviceRef: {name: checkout}`,
	"Problem": `
spec:
  statement: checkout is OOMKilled again and again`,
	"Release": `
spec:
  version: "2026.11"
  requester: alice
  units:
  - {name: checkout, workload: {kind: Deployment, name: checkout}, images: {app: "registry.shop.example/checkout:2.4"}}
  phases: [{name: full, units: ["*"]}]
  change: {type: Normal}`,
	"Service": `
spec:
  owner: {team: payments}`,
	"ServiceLevelAgreement": `
spec:
  serviceRef: {name: checkout}`,
}
