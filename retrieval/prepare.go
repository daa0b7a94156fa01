package retrieval

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/seal"
)

// check refuses a document that is not valid by itself, before anything of it
// is worked on.
func (d *Document) check(c Caller, now time.Time) error {
	switch {
	case d.ID == "" || len(d.ID) > MaxDocumentID || !plain(d.ID):
		return Invalid("id", "is required: 1 to 512 bytes of UTF-8 without control characters")
	case d.Nobody && !c.may(MayIngestNonPersonal):
		return Invalid("personal", "false needs the scope ingest:nonpersonal")
	case d.Nobody && len(d.Owners)+len(d.Mentions) > 0:
		return Invalid("personal", "false contradicts owners or mentions")
	case !d.Nobody && len(d.Owners) == 0:
		return Invalid("owners", "is required: a document without an owner is stored for no one")
	case len(d.Owners)+len(d.Mentions) > MaxPeople:
		return Invalid("owners", "and mentions are more than 256 together")
	case len(d.Title) > MaxTitle || !readable(d.Title):
		return Invalid("title", "is longer than 4096 bytes or not readable text")
	case len(d.Source) > MaxSource || d.Source != "" && !plain(d.Source):
		return Invalid("source", "is longer than 256 bytes or holds control characters")
	case !d.RetainUntil.IsZero() && !d.RetainUntil.After(now):
		return Invalid("retention_until", "has passed")
	case d.Text != "" && len(d.Passages) > 0:
		return Invalid("text", "and passages exclude each other")
	case len(d.Passages) > MaxPassages:
		return Invalid("passages", "are more than 4096")
	}
	if err := d.Visibility.check(); err != nil {
		return err
	}
	if err := ValidateMetadata(d.Metadata); err != nil {
		return err
	}
	if len(d.Passages) == 0 {
		return checkText("text", d.Text)
	}
	total := 0
	for i, p := range d.Passages {
		if total += len(p.Text); total > MaxText {
			return Invalid("passages", "hold more than 4 MiB of text")
		}
		if err := checkText(indexed("passages", i)+".text", p.Text); err != nil {
			return err
		}
		if (p.Vector == nil) != (d.Passages[0].Vector == nil) {
			return Invalid(indexed("passages", i)+".vector", "is there for some passages and not for others")
		}
		if !d.among(p.Author) {
			return Invalid(indexed("passages", i)+".author", "is not among the document's owners and mentions")
		}
		if slices.ContainsFunc(p.Mentions, func(m consent.Subject) bool { return !d.among(m) }) {
			return Invalid(indexed("passages", i)+".mentions", "are not among the document's owners and mentions")
		}
		if len(p.Vector) > MaxDimensions {
			return Invalid(indexed("passages", i)+".vector", "has more than 4096 dimensions")
		}
	}
	return nil
}

// among reports whether a person is one of the document's, or nobody.
func (d *Document) among(who consent.Subject) bool {
	return who.IsZero() || slices.Contains(d.Owners, who) || slices.Contains(d.Mentions, who)
}

func checkText(field, s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return Invalid(field, "is required")
	case len(s) > MaxText:
		return Invalid(field, "is longer than 4 MiB")
	case !readable(s):
		return Invalid(field, "is not UTF-8 without NUL")
	}
	return nil
}

func indexed(list string, i int) string {
	b, _ := json.Marshal(i) // an int always encodes
	return list + "[" + string(b) + "]"
}

// readable reports valid UTF-8 without NUL, plain also without any control character.
func readable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }
func plain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func (v Visibility) check() error {
	if v.Level > TenantWide {
		return Invalid("visibility.level", "is none of private, listed, tenant")
	}
	if v.Level != Listed && len(v.Users)+len(v.Groups) > 0 {
		return Invalid("visibility", "names users or groups without level listed")
	}
	if len(v.Users)+len(v.Groups) > MaxAudience {
		return Invalid("visibility", "names more than 256 users and groups")
	}
	for _, g := range v.Groups {
		if g == "" || len(g) > MaxGroup || !plain(g) {
			return Invalid("visibility.groups", "holds a name that is empty, longer than 512 bytes or not plain")
		}
	}
	return nil
}

// choose settles, for a collection without documents, what shall make its
// vectors and terms, and refuses documents that do not fit it. The first
// document that can be stored under what it would choose decides: one that is
// invalid must not decide for those that come after it.
func (in *intake) choose(jobs []*job) error {
	if len(jobs) == 0 || in.col.pinned() {
		return in.fits()
	}
	empty := *in.col
	for i, j := range jobs {
		col, err := in.chosenBy(empty, j.doc)
		if err != nil {
			return err
		}
		_, unfit := partsOf(&col, j.doc)
		if i == 0 || unfit == nil { // where none fits, this is what each is told of
			in.col, in.chosen = &col, unfit == nil
		}
		if unfit == nil {
			return nil
		}
	}
	return nil
}

// chosenBy returns a collection as a document would pin it.
func (in *intake) chosenBy(col Collection, d *Document) (Collection, error) {
	col.Analyser = Analyser
	if vector := d.vector(); vector != nil {
		dim := len(vector)
		if col.Spec.Dimensions != 0 {
			dim = col.Spec.Dimensions
		}
		col.Embedder = EmbedderPin{Name: ClientEmbedder, Dimensions: dim}
		return col, nil
	}
	e, err := in.Embedders.For(col.Spec.Dimensions)
	if err != nil {
		return col, err
	}
	col.Embedder = e.Identity()
	return col, nil
}

// pin makes the choice the collection's own, once its first documents have
// vectors: an embedder that fails has pinned nothing. ErrConflict when another
// ingest was first: the documents are worked on again under its choice.
func (in *intake) pin(ctx context.Context, jobs []*job) error {
	if !in.chosen || len(jobs) == 0 {
		return nil
	}
	sh, _, err := in.current(ctx, in.caller.Tenant)
	if err != nil {
		return err
	}
	sh.intake.Lock()
	defer sh.intake.Unlock()
	cur, was := sh.get(in.col.ID)
	if cur == nil {
		return ErrNotFound
	}
	chosen := *in.col
	in.chosen = false
	if cur.pinned() {
		in.col = cur
		if cur.Embedder == chosen.Embedder && cur.Analyser == chosen.Analyser {
			return nil
		}
		return ErrConflict
	}
	col := *cur
	col.Embedder, col.Analyser = chosen.Embedder, chosen.Analyser
	if in.Outside != nil {
		col.Generations.Serving.Began = in.at // nothing was there before
	}
	if err := in.saveCollection(ctx, in.caller.Tenant, sh, col, was); err != nil {
		in.col = cur // the choice is not the collection's: it is made again
		return err
	}
	in.col = &col
	return nil
}

// fits reports whether this gateway has what the collection is pinned to.
func (in *intake) fits() error {
	if !in.col.pinned() || in.col.Embedder.Name == ClientEmbedder {
		return nil
	}
	_, err := in.embedder(in.col)
	return err
}

// embedder returns the one that made a collection's vectors.
func (s *Service) embedder(col *Collection) (Embedder, error) {
	e, err := s.Embedders.For(col.Embedder.Dimensions)
	if err != nil {
		return nil, err
	}
	if e.Identity() != col.Embedder || col.Analyser != Analyser {
		return nil, ErrEmbedderMismatch
	}
	return e, nil
}

// vector returns the first supplied vector, nil when the document has none.
func (d *Document) vector() []float32 {
	if len(d.Passages) == 0 {
		return nil
	}
	return d.Passages[0].Vector
}

// part is a passage on its way: its text, where it stood, its vector.
type part struct {
	text   string
	span   Span // zero where passages were supplied
	vector []float32
	by     Attribution
}

// prepare chunks, embeds and analyses. Documents that do not fit the
// collection's vectors become invalid.
func (in *intake) prepare(ctx context.Context, jobs []*job) ([]*job, error) {
	parts := make([][]part, 0, len(jobs))
	kept := jobs[:0]
	var texts []string
	for _, j := range jobs {
		ps, err := partsOf(in.col, j.doc)
		if err != nil {
			j.result.invalid(err)
			continue
		}
		for n := range min(len(ps), len(j.by)) {
			ps[n].by = j.by[n]
		}
		kept, parts = append(kept, j), append(parts, ps)
		for _, p := range ps {
			if p.vector == nil {
				texts = append(texts, embedText(j.doc.Title, p.text))
			}
		}
	}
	vectors, err := in.embed(ctx, texts)
	if err != nil {
		return nil, err
	}
	terms := termsKey(in.keys, in.col.ID)
	for i, j := range kept {
		for n := range parts[i] {
			p := &parts[i][n]
			if p.vector == nil {
				p.vector, vectors = vectors[0], vectors[1:]
			}
		}
		if err := in.build(j, parts[i], terms); err != nil {
			return nil, err
		}
	}
	return kept, nil
}

// termsKey keys the hashes of a collection's terms, so that two collections
// cannot be compared by them.
func termsKey(k Keys, c CollectionID) seal.Key {
	return seal.Derive(k.Terms, "assent collection terms", idBytes(int64(c)))
}

// embedText is what is embedded of a passage: its document's title gives it context.
func embedText(title, text string) string {
	if title == "" || strings.HasPrefix(text, title) {
		return text
	}
	return title + "\n" + text
}

// partsOf cuts a document into passages, or says why the collection does not
// take it.
func partsOf(col *Collection, d *Document) ([]part, error) {
	supplied := col.Embedder.Name == ClientEmbedder
	if len(d.Passages) == 0 {
		if supplied {
			return nil, Invalid("passages", "with vectors are required: the collection holds supplied vectors")
		}
		spans := Chunk(d.Text)
		if len(spans) > MaxPassages {
			return nil, Invalid("text", "makes more than 4096 passages")
		}
		out := make([]part, len(spans))
		for i, s := range spans {
			out[i] = part{text: d.Text[s.Start:s.End], span: s}
		}
		return out, nil
	}
	out := make([]part, len(d.Passages))
	for i, p := range d.Passages {
		field := indexed("passages", i) + ".vector"
		switch {
		case supplied && p.Vector == nil:
			return nil, Invalid(field, "is required: the collection holds supplied vectors")
		case !supplied && p.Vector != nil:
			return nil, Invalid(field, "is not taken: the collection embeds by itself")
		case supplied && len(p.Vector) != col.Embedder.Dimensions:
			return nil, Invalid(field, "has another number of dimensions than the collection")
		}
		out[i].text = p.Text
		if supplied {
			unit, err := Unit(p.Vector)
			if err != nil {
				return nil, Invalid(field, "is zero or not finite")
			}
			out[i].vector = unit
		}
	}
	return out, nil
}

func (in *intake) embed(ctx context.Context, texts []string) ([][]float32, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	e, err := in.embedder(in.col)
	if err != nil {
		return nil, err
	}
	return in.embedUnit(ctx, e, texts)
}

// embedUnit embeds texts and checks what came back.
func (s *Service) embedUnit(ctx context.Context, e Embedder, texts []string) ([][]float32, error) {
	ctx, end := s.Observer.Begin(ctx, StepEmbed)
	vectors, err := e.Embed(ctx, texts)
	end(err)
	if err != nil {
		return nil, err
	}
	if len(vectors) != len(texts) {
		return nil, ErrEmbedder
	}
	for i, v := range vectors {
		if len(v) != e.Identity().Dimensions {
			return nil, ErrEmbedder
		}
		if vectors[i], err = Unit(v); err != nil {
			return nil, ErrEmbedder
		}
	}
	return vectors, nil
}

// build makes a job's row, heads and bodies in clear; seal closes them.
func (in *intake) build(j *job, parts []part, terms seal.Key) error {
	num := DocNum(randomID())
	visibility := in.visibility(j.doc)
	values := j.doc.Metadata
	if in.col.Spec.Filterable != nil {
		values = make(map[string]Value, len(in.col.Spec.Filterable))
		for _, f := range in.col.Spec.Filterable {
			if v, ok := j.doc.Metadata[f]; ok {
				values[f] = v
			}
		}
	}
	retain := consent.TimeOf(j.doc.RetainUntil)
	j.row = DocRow{
		Num: num, Collection: in.col.ID, Lookup: j.lookup, Digest: j.digest,
		Source: seal.MAC(in.keys.Catalogue, "assent source", []byte(j.doc.Source)),
		Owners: j.owners, Mentions: j.mentions, Personal: !j.doc.Nobody,
		RetainUntil: retain, Passages: uint32(len(parts)),
	}
	texts := in.Outside != nil && in.col.Spec.Keyword
	counter := NewTermCounter(terms, j.doc.Title)
	j.index = make([]IndexPassage, len(parts))
	for n, p := range parts {
		counts, length := counter.Index(p.text)
		j.index[n] = IndexPassage{
			Head: Head{
				Ref: PassageRef{num, uint32(n)}, DocID: j.doc.ID, Personal: !j.doc.Nobody,
				Visibility: visibility, Values: values, Terms: counts, Length: length, Codes: Quantise(p.vector),
			},
			Owners: j.owners, Mentions: j.mentions, RetainUntil: retain, Vector: p.vector,
		}
		if texts {
			j.index[n].Text = embedText(j.doc.Title, p.text)
		}
	}
	j.bodies = make([]PartRow, len(parts))
	for n, p := range parts {
		b := Body{Text: p.text, Start: uint32(p.span.Start), End: uint32(p.span.End), Vector: p.vector, By: p.by}
		plain, err := b.AppendBinary(nil)
		if err != nil {
			return err
		}
		j.bodies[n] = PartRow{Ref: PassageRef{num, uint32(n)}, Sealed: plain}
	}
	return nil
}

// visibility is the document's own, else the collection's default as it is now.
func (in *intake) visibility(d *Document) Visibility {
	if d.Visibility.Level == LevelDefault {
		return Visibility{Level: in.col.Spec.DefaultVisibility}
	}
	return d.Visibility
}

// docLookup is the keyed name under which a document is found.
func (s *Service) docLookup(k Keys, c CollectionID, id string) [32]byte {
	return seal.MAC(k.Catalogue, "assent document", idBytes(int64(c)), []byte(id))
}

func idBytes(id int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(id)) }

// digest is a keyed digest of all that was ingested but the people, to
// recognise a repeat. Every part is length-prefixed by seal.MAC. It is the
// collection's own: verification of an erasure looks for it in every file, and
// must not find that of a document that lives elsewhere.
func (in *intake) digest(d *Document) [32]byte {
	parts := [][]byte{idBytes(int64(in.col.ID)), []byte(d.ID), []byte(d.Title), []byte(d.Text), []byte(d.Source), idBytes(int64(consent.TimeOf(d.RetainUntil))), {byte(in.visibility(d).Level)}}
	for _, u := range d.Visibility.Users {
		parts = append(parts, []byte("u"+u.Reveal()))
	}
	for _, g := range d.Visibility.Groups {
		parts = append(parts, []byte("g"+g))
	}
	names := make([]string, 0, len(d.Metadata))
	for name := range d.Metadata {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value, err := d.Metadata[name].MarshalJSON()
		if err != nil {
			value = []byte(name) // not reached: ValidateMetadata passed
		}
		parts = append(parts, []byte("m"+name), value)
	}
	for _, p := range d.Passages {
		vector := make([]byte, 0, 4*len(p.Vector))
		for _, x := range p.Vector {
			vector = binary.LittleEndian.AppendUint32(vector, math.Float32bits(x))
		}
		parts = append(parts, []byte("p"+p.Text), vector)
		if !p.Author.IsZero() {
			parts = append(parts, []byte("a"+p.Author.Reveal()))
		}
		for _, m := range p.Mentions {
			parts = append(parts, []byte("n"+m.Reveal()))
		}
	}
	return seal.MAC(in.keys.Catalogue, "assent content", parts...)
}
