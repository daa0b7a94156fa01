// Package weaviate is the index outside: vectors in a Weaviate that all gateways
// of a deployment share. It implements retrieval.Index.
//
// # What rests there
//
// One class per collection, named by a keyed MAC; while it is rebuilt, two. An object is a passage: its
// vector; an id that is a keyed permutation of the version's random number and
// the passage's, so that it tells nothing and is never used again; keyed tokens
// of its document, owners and mentioned people, of who may see it, all of them
// the collection's own; when its retention ends; the metadata that the
// collection declared filterable; and the permission property, below. No text,
// no name and no document id, unless the collection opted in to keywords: then
// its texts rest there as well.
//
// # The permission property
//
// "ok" lists a token per purpose and rule for which the people of the passage's
// document permit it. A background applier keeps it. An object is put in with
// the mark "new" instead, which every search takes along, and one about nobody
// with "any". What the properties reflect is written down per person (a belief,
// retrieval.Outside): in every object of the person that is not new, the
// property is what follows from the beliefs about all of its people. So a search
// knows whose change is not applied yet: those whom the ledger judges otherwise
// than is believed. Who must not be found is excluded by a list of tokens, who
// may be is included by one (overlay.go). A crash or a stop of the applier makes
// lists longer and searches slower, never an answer wrong or short.
//
// To change a property, a new object's too, the applier writes that the beliefs
// about its people are open, asks the ledger anew, changes the objects, and
// writes what is believed now. The store is not atomic about it: while a mark
// changes it may list an object nowhere. A search reads beliefs after it began,
// asks for people whose belief is open by name, and reads beliefs again when the
// store has answered: it asks once more, by name, for those of whom something
// changed meanwhile (sight.go). One gateway at a time applies, elected by a lease
// in the catalogue's database; a write is sent only well within it.
//
// Writes side by side on one object, as when one that was given up is carried
// out late, leave the store's lists and the object saying different things, and
// a later write of what the object says changes nothing. (One that is called off
// does not: the store then does all of it or nothing, read in its source and
// tried.) So after a write without an answer nothing is written for 30 s, and
// what a round left open is written twice, with another value first.
//
// # Two gates, the first one here
//
// Nothing that Weaviate says is believed. Every hit is looked up in the
// catalogue, must be live and open with its key, is judged by the permit, and is
// ranked by retrieval.Cosine from our own sealed vector. What falls is counted
// (Dropped). The search is widened until k are left and no passage that it was
// not told of can be among them as far as the store's own order goes; where the
// store ends early, its list of all that match is compared, and ranked exactly.
// What Weaviate's graph (HNSW) does not find it cannot rank: recall is measured,
// not proven; below the flat-search cutoff the store's answer is exact.
//
// # What it does not promise
//
// Apply is not atomic in the store: a new version is there before its row is
// live, an old one after. The catalogue decides which one is visible. Deleted
// objects leave Weaviate's files when it compacts them: the level is "absent",
// unless the class is made anew and the old one dropped (rebuild.go).
// Keyword mode ranks by Weaviate's statistics, over all passages of the
// collection; where its keyword index is BlockMax, answers never claim to be
// whole (collection.rewrites).
package weaviate
