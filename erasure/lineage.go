package erasure

// A Lineage counts what an erasure cannot undo: manifests that held rows of the
// person and left the gateway, and the training runs bound to them. Which they
// are, and what was decided about their models, is not in a receipt.
type Lineage struct {
	Manifests uint64 `json:"manifests"`
	Runs      uint64 `json:"runs"`
}

// lineageOf is what a statement says of it: nothing where documents were
// erased, and not a person.
func (j *job) lineageOf() *Lineage {
	if j.Subject == 0 {
		return nil
	}
	l := j.Gathered.Lineage
	return &l
}
