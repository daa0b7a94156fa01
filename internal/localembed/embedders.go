package localembed

import "github.com/assent-gateway/assent/retrieval"

// Embedders is the local embedder for any number of dimensions, as a gateway
// takes it.
type Embedders struct{}

// For returns the embedder with that many dimensions; 0 is DefaultDimensions.
func (Embedders) For(dimensions int) (retrieval.Embedder, error) {
	e, err := New(dimensions)
	if err != nil {
		return nil, retrieval.ErrEmbedderMismatch
	}
	return e, nil
}
