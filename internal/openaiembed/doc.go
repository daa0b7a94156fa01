// Package openaiembed embeds texts at any endpoint that speaks OpenAI's
// embeddings protocol: a vendor's, or a server on this machine.
//
// It is only ever given texts whose people permit `embedding`: the decision
// comes before, in package retrieval. What it promises beyond that:
//
//   - A text goes to the one address configured, over TLS unless that is on
//     loopback or the operator overrode it by name. Redirects are not followed.
//   - No text, vector or key is in an error or a log, and nothing that the
//     endpoint says of an error is read: errors are retrieval.ErrEmbedder with
//     constant words around it.
//   - An answer counts only whole: one vector per text, each index once, in any
//     order, of the configured number of dimensions, every number there and
//     finite. Anything else is an error and no vector of it is used.
//   - Batches are retried after transport errors, 408, 425, 429 and 5xx, with
//     exponential back-off and full jitter. Retry-After holds back every request
//     to the endpoint, not only the one that was told; when it is longer than the
//     batch may still take, the batch fails at once.
//   - Few requests at a time. A single text, which is what a query is, does not
//     wait behind the batches of an ingest.
//
// It does not know whether two endpoints that call a model by one name have the
// same model, nor when the model behind a name was exchanged: that is what
// Config.Revision is for.
package openaiembed
