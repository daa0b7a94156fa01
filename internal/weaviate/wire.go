package weaviate

import (
	"context"
	"encoding/binary"
	"math"
	"net/http"
	"time"

	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// most is how many results the store gives at most (QUERY_MAXIMUM_RESULTS).
const most = 10_000

// firstID is before every object.
const firstID = "00000000-0000-0000-0000-000000000000"

// A hit is an object that the store returned: its id, and how near or good the
// store says it is (cosine, or its BM25).
type hit struct {
	id    string
	score float64
}

// An ask is one question to the store: the nearest to Vector, the best for
// Text, or with neither all objects that match, or those after an id.
type ask struct {
	class  string
	filter *pb.Filters // nil: all
	vector []float32
	text   string
	after  string
	limit  int
}

// search is the one place where the store is searched. More results than were
// asked for, or a result without an id, are no usable answer.
func (s *server) search(ctx context.Context, a ask) ([]hit, error) {
	const doing = "search"
	call, cancel := s.call(ctx, s.timeout)
	defer cancel()
	req := &pb.SearchRequest{
		Collection: a.class, Limit: uint32(a.limit), Filters: a.filter, After: a.after,
		Metadata: &pb.MetadataRequest{Uuid: true}, Properties: &pb.PropertiesRequest{},
		Uses_127Api: true,
	}
	switch {
	case a.vector != nil:
		req.NearVector = &pb.NearVector{VectorBytes: vectorBytes(a.vector)}
		req.Metadata.Distance = true
	case a.text != "":
		req.Bm25Search = &pb.BM25{Query: a.text, Properties: []string{propText}}
		req.Metadata.Score = true
	}
	reply, err := s.grpc.Search(call, req)
	if err != nil {
		return nil, failed(ctx, doing, err)
	}
	if len(reply.GetResults()) > a.limit {
		return nil, faultOf("a search gave more than was asked for")
	}
	hits := make([]hit, len(reply.GetResults()))
	for i, r := range reply.GetResults() {
		m := r.GetMetadata()
		hits[i].id = m.GetId()
		switch {
		case hits[i].id == "":
			return nil, faultOf("a search gave a result without an id")
		case a.vector != nil:
			hits[i].score = 1 - float64(m.GetDistance())
		case a.text != "":
			hits[i].score = float64(m.GetScore())
		}
	}
	return hits, nil
}

func vectorBytes(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// insertAtOnce bounds the objects of one request.
const insertAtOnce = 100

var quorum = pb.ConsistencyLevel_CONSISTENCY_LEVEL_QUORUM

// insert puts passages in, all of them or it is an error: failures of single
// objects stand in an answer that says that all is well.
func (s *server) insert(ctx context.Context, c *collection, in names, ps []retrieval.IndexPassage) error {
	const doing = "insert objects"
	for len(ps) > 0 {
		n := min(len(ps), insertAtOnce)
		req := &pb.BatchObjectsRequest{ConsistencyLevel: &quorum}
		for i := range ps[:n] {
			req.Objects = append(req.Objects, c.object(in, &ps[i]))
		}
		call, cancel := s.call(ctx, s.write)
		reply, err := s.grpc.BatchObjects(call, req)
		cancel()
		if err != nil {
			return failed(ctx, doing, err)
		}
		if len(reply.GetErrors()) > 0 {
			return faultOf(doing)
		}
		ps = ps[n:]
	}
	return nil
}

// object is a passage as it rests outside.
func (c *collection) object(in names, p *retrieval.IndexPassage) *pb.BatchObject {
	until := int64(forever)
	if p.RetainUntil != 0 {
		until = min(ceilMilli(p.RetainUntil), forever)
	}
	props := &pb.BatchObject_Properties{NonRefProperties: &structpb.Struct{Fields: map[string]*structpb.Value{
		propDoc: structpb.NewStringValue(in.doc(p.Head.Ref.Doc)), propUntil: structpb.NewNumberValue(float64(until)),
	}}}
	list := func(name string, values []string) {
		if len(values) > 0 {
			props.TextArrayProperties = append(props.TextArrayProperties, &pb.TextArrayProperties{PropName: name, Values: values})
		}
	}
	mark := markNew
	if !p.Head.Personal {
		mark = markAny
	}
	if c.isCanary(p.Head.Ref) {
		mark = markCanary
	}
	list(propOK, []string{mark})
	list(propOwners, in.people(p.Owners))
	list(propMentions, in.people(p.Mentions))
	list(propSeen, in.audience(p))
	for i, field := range c.shape.Filterable {
		elements, whole := texts(p.Head.Values[field])
		list(elementsOf(i), elements)
		if whole != "" {
			props.NonRefProperties.Fields[wholeOf(i)] = structpb.NewStringValue(whole)
		}
	}
	if c.shape.Keyword && mark != markCanary { // without words it is outside of the store's statistics
		props.NonRefProperties.Fields[propText] = structpb.NewStringValue(p.Text)
	}
	return &pb.BatchObject{
		Uuid: in.object(p.Head.Ref), Collection: in.class, VectorBytes: vectorBytes(p.Vector), Properties: props,
	}
}

// ceilMilli is a time in milliseconds, rounded up: what the store finds too long
// the gateway drops.
func ceilMilli(t consent.Time) int64 { return (int64(t) + 1e6 - 1) / 1e6 }

// mark sets the permission property of one object; false when it is not there.
func (s *server) mark(ctx context.Context, class, id string, ok []string, patience time.Duration) (bool, error) {
	call, cancel := s.call(ctx, patience)
	defer cancel()
	err := s.rest.Data().Updater().WithMerge().WithClassName(class).WithID(id).
		WithProperties(map[string]any{propOK: ok}).WithConsistencyLevel("QUORUM").Do(call)
	if status(err) == http.StatusNotFound {
		return false, nil
	}
	return err == nil, failed(ctx, "change the permission property", err)
}

// remove deletes what matches, until nothing does: one request deletes at most
// 10 000, and can fail in part in an answer that says that all is well. A class
// that is not there has nothing.
func (s *server) remove(ctx context.Context, class string, f *pb.Filters) error {
	const doing = "delete objects"
	for {
		call, cancel := s.call(ctx, s.write)
		reply, err := s.grpc.BatchDelete(call, &pb.BatchDeleteRequest{Collection: class, Filters: f, ConsistencyLevel: &quorum})
		cancel()
		if err != nil {
			if c, look := s.class(ctx, class); look == nil && c == nil {
				return nil
			}
			return failed(ctx, doing, err)
		}
		switch {
		case reply.GetFailed() > 0:
			return faultOf(doing)
		case reply.GetMatches() == 0:
			return nil
		case reply.GetSuccessful() == 0: // would never end
			return faultOf(doing)
		}
	}
}
