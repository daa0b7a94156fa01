package weaviate

import (
	"context"

	"github.com/google/uuid"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// Forms are the bytes by which passages' objects, their documents and a person
// (0: nobody) are called in every class of a collection: ids raw and as text,
// tokens as text. They are for whoever reads the server's files.
func (x *Index) Forms(id retrieval.CollectionID, refs []retrieval.PassageRef, who consent.SubjectNum) (ids, tokens [][]byte) {
	c := x.collection(id)
	if c == nil {
		return nil, nil
	}
	for _, in := range c.everything() {
		last := retrieval.DocNum(0)
		for _, ref := range refs {
			text := in.object(ref)
			raw := uuid.MustParse(text)
			ids = append(ids, raw[:], []byte(text))
			if ref.Doc != last {
				tokens = append(tokens, []byte(in.doc(ref.Doc)))
				last = ref.Doc
			}
		}
		if who != 0 {
			tokens = append(tokens, []byte(in.person(who)), []byte(in.owner(who)))
		}
	}
	return ids, tokens
}

// Servers is how many servers the store has, each with files of its own.
func (x *Index) Servers(ctx context.Context) (int, error) {
	const doing = "ask for the servers"
	call, cancel := x.server.call(ctx, x.server.timeout)
	defer cancel()
	reply, err := x.server.rest.Cluster().NodesStatusGetter().Do(call)
	if err != nil {
		return 0, failed(ctx, doing, err)
	}
	if reply == nil || len(reply.Nodes) == 0 {
		return 0, faultOf(doing)
	}
	return len(reply.Nodes), nil
}
