package embedded

import (
	"slices"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// apply makes a change visible, all at once.
func (c *collection) apply(remove []retrieval.DocNum, add [][]retrieval.IndexPassage) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dropped {
		if len(add) == 0 {
			return nil
		}
		return errUnknown
	}
	var gone []uint32
	out := func(num retrieval.DocNum) {
		if ord, ok := c.byNum[num]; ok {
			delete(c.byNum, num)
			gone = append(gone, ord)
		}
	}
	for _, num := range remove {
		out(num)
	}
	for _, v := range add {
		out(v[0].Head.Ref.Doc)
	}
	c.remove(gone)
	c.add(add)
	return nil
}

// perch puts the canary in, or back. It is a document like any other.
func (c *collection) perch(p *retrieval.IndexPassage) error {
	if p == nil {
		return nil
	}
	add, err := c.versions([]retrieval.IndexPassage{*p})
	if err != nil {
		return err
	}
	c.mu.RLock()
	_, there := c.byNum[p.Head.Ref.Doc]
	there = there && c.canary == p.Head.Ref.Doc
	c.mu.RUnlock()
	if there {
		return nil
	}
	if err := c.apply(nil, add); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.canary = p.Head.Ref.Doc
	return nil
}

// add stores versions that are not there.
func (c *collection) add(add [][]retrieval.IndexPassage) {
	var late []mention
	var fresh []uint32
	for _, v := range add {
		ord := c.addDocument(&v[0])
		fresh = append(fresh, ord)
		d := &c.docs[ord]
		for i := range v {
			p := c.put(ord, &v[i])
			d.passages = append(d.passages, p)
			terms := make([]uint32, len(v[i].Head.Terms))
			for j, t := range v[i].Head.Terms {
				terms[j] = c.terms.number(t.Hash)
				m := mention{terms[j], posting{p, t.Count}}
				if !c.terms.add(m) {
					late = append(late, m)
				}
			}
			c.slab.terms[p] = terms
		}
	}
	c.terms.merge(late)
	for _, m := range c.masks {
		m.expect(fresh, len(c.docs))
	}
}

func (c *collection) addDocument(p *retrieval.IndexPassage) uint32 {
	var ord uint32
	if n := len(c.freeDocs); n > 0 {
		ord, c.freeDocs = c.freeDocs[n-1], c.freeDocs[:n-1]
	} else {
		ord = uint32(len(c.docs))
		c.docs = append(c.docs, document{})
	}
	h := &p.Head
	d := &c.docs[ord]
	*d = document{
		num: h.Ref.Doc, id: h.DocID, personal: h.Personal, visibility: h.Visibility,
		owners: slices.Clone(p.Owners), mentions: slices.Clone(p.Mentions), retain: p.RetainUntil, values: h.Values,
	}
	c.byNum[d.num] = ord
	c.alive.set(ord)
	if d.retain != 0 {
		c.retained.set(ord)
	}
	insert(c.owned, d.owners, ord)
	insert(c.mentioned, d.mentions, ord)
	switch d.visibility.Level {
	case retrieval.TenantWide:
		c.everyone.set(ord)
	case retrieval.Listed:
		insert(c.users, d.visibility.Users, ord)
		insert(c.groups, d.visibility.Groups, ord)
	}
	return ord
}

// remove wipes documents from everything.
func (c *collection) remove(gone []uint32) {
	var mentions []mention
	var set bitset
	owners, mentioned := map[consent.SubjectNum]bool{}, map[consent.SubjectNum]bool{}
	users, groups := map[consent.Subject]bool{}, map[string]bool{}
	for _, ord := range gone {
		d := &c.docs[ord]
		set.set(ord)
		for _, p := range d.passages {
			for _, t := range c.slab.terms[p] {
				mentions = append(mentions, mention{t, posting{passage: p}})
			}
			c.wipe(p)
		}
		touch(owners, d.owners)
		touch(mentioned, d.mentions)
		touch(users, d.visibility.Users)
		touch(groups, d.visibility.Groups)
		clear(d.passages)
		clear(d.owners)
		clear(d.mentions)
		*d = document{}
		c.alive.unset(ord)
		c.everyone.unset(ord)
		c.retained.unset(ord)
		for _, m := range c.masks {
			m.permitted.unset(ord)
		}
		c.freeDocs = append(c.freeDocs, ord)
	}
	c.terms.remove(mentions)
	prune(c.owned, owners, set)
	prune(c.mentioned, mentioned, set)
	prune(c.users, users, set)
	prune(c.groups, groups, set)
}

// insert adds ord to the list of each key, once.
func insert[K comparable](lists map[K][]uint32, keys []K, ord uint32) {
	for _, k := range keys {
		if l := lists[k]; len(l) == 0 || l[len(l)-1] != ord {
			lists[k] = append(l, ord)
		}
	}
}

func touch[K comparable](set map[K]bool, keys []K) {
	for _, k := range keys {
		set[k] = true
	}
}

// prune takes the documents in gone out of the lists of keys.
func prune[K comparable](lists map[K][]uint32, keys map[K]bool, gone bitset) {
	for k := range keys {
		if l := slices.DeleteFunc(lists[k], gone.has); len(l) > 0 { // zeroes the tail
			lists[k] = l
		} else {
			delete(lists, k)
		}
	}
}
