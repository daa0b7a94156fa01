package httpapi

import (
	"bytes"
	"io"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/retrieval"
)

// maxDocuments bounds the documents of one envelope.
const maxDocuments = 1000

// splitDocuments reads the envelope {"documents": […]} and leaves its documents
// unread: names and texts in them are judged one document at a time.
func splitDocuments(raw []byte) ([]jsontext.Value, error) {
	d := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, invalid("", "is not a JSON object")
	}
	var docs []jsontext.Value
	seen := false
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, explain(err)
		}
		if name := name.String(); name != "documents" {
			if !ours(name) {
				name = ""
			}
			return nil, invalid(name, "is not a member of this request")
		}
		if seen {
			return nil, invalid("documents", "is there twice")
		}
		seen = true
		if docs, err = readDocuments(d, raw); err != nil {
			return nil, err
		}
	}
	if _, err := d.ReadToken(); err != nil { // the closing brace
		return nil, explain(err)
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, invalid("", "is followed by something else")
	}
	if !seen {
		return nil, invalid("documents", "is required")
	}
	return docs, nil
}

func readDocuments(d *jsontext.Decoder, raw []byte) ([]jsontext.Value, error) {
	if t, err := d.ReadToken(); err != nil || t.Kind() != '[' {
		return nil, invalid("documents", "is not a list")
	}
	docs := []jsontext.Value{}
	for d.PeekKind() != ']' {
		v, err := d.ReadValue()
		if err != nil {
			return nil, explain(err)
		}
		if len(docs) == maxDocuments {
			return nil, invalid("documents", "has more than 1000 elements")
		}
		end := d.InputOffset()
		docs = append(docs, jsontext.Value(raw[end-int64(len(v)):end]))
	}
	_, err := d.ReadToken()
	return docs, err
}

// documentIn is a document as a client sends it.
type documentIn struct {
	ID         string                     `json:"id"`
	Owners     []string                   `json:"owners"`
	Mentions   []string                   `json:"mentions"`
	Personal   *bool                      `json:"personal"`
	Title      string                     `json:"title"`
	Text       string                     `json:"text"`
	Passages   []passageIn                `json:"passages"`
	Metadata   map[string]retrieval.Value `json:"metadata"`
	Visibility *visibilityIn              `json:"visibility"`
	Source     string                     `json:"source"`
	Retention  *string                    `json:"retention_until"`
}

type passageIn struct {
	Text   string         `json:"text"`
	Vector jsontext.Value `json:"vector"`
	// Who wrote it, and who is named in it: of the document's owners and mentions.
	Author   string   `json:"author"`
	Mentions []string `json:"mentions"`
}

type visibilityIn struct {
	Level  string   `json:"level"`
	Users  []string `json:"users"`
	Groups []string `json:"groups"`
}

// readDocument reads one document. One that cannot be read is a Submission
// with its error, and with its id where that can be read.
func readDocument(raw []byte) retrieval.Submission {
	var in documentIn
	err := decode(raw, &in)
	var doc retrieval.Document
	if err == nil {
		doc, err = in.document()
	}
	if err != nil {
		return retrieval.Submission{Document: retrieval.Document{ID: idOf(raw)}, Err: err}
	}
	return retrieval.Submission{Document: doc}
}

func (in *documentIn) document() (doc retrieval.Document, err error) {
	doc = retrieval.Document{
		ID: in.ID, Nobody: in.Personal != nil && !*in.Personal, Title: in.Title, Text: in.Text,
		Metadata: in.Metadata, Source: in.Source,
	}
	if doc.Owners, err = subjects("owners", in.Owners); err != nil {
		return doc, err
	}
	if doc.Mentions, err = subjects("mentions", in.Mentions); err != nil {
		return doc, err
	}
	for i, p := range in.Passages {
		v, err := vectorField("passages["+strconv.Itoa(i)+"].vector", p.Vector)
		if err != nil {
			return doc, err
		}
		out := retrieval.Passage{Text: p.Text, Vector: v}
		if p.Author != "" {
			if out.Author, err = consent.ParseSubject(p.Author); err != nil {
				return doc, invalid("passages["+strconv.Itoa(i)+"].author", notSubject)
			}
		}
		if out.Mentions, err = subjects("passages["+strconv.Itoa(i)+"].mentions", p.Mentions); err != nil {
			return doc, err
		}
		doc.Passages = append(doc.Passages, out)
	}
	if in.Visibility != nil {
		if doc.Visibility, err = in.Visibility.visibility(); err != nil {
			return doc, err
		}
	}
	doc.RetainUntil, err = timeField("retention_until", in.Retention)
	return doc, err
}

func (in *visibilityIn) visibility() (v retrieval.Visibility, err error) {
	switch in.Level {
	case "private":
		v.Level = retrieval.Private
	case "listed":
		v.Level = retrieval.Listed
	case "tenant":
		v.Level = retrieval.TenantWide
	default:
		return v, invalid("visibility.level", "is none of private, listed, tenant")
	}
	if v.Users, err = subjects("visibility.users", in.Users); err != nil {
		return v, err
	}
	for i, g := range in.Groups {
		name, err := parseGroup(g)
		if err != nil {
			return v, invalid("visibility.groups["+strconv.Itoa(i)+"]", "is not a group's name: 1 to 512 bytes of UTF-8 without control characters")
		}
		v.Groups = append(v.Groups, name)
	}
	return v, nil
}

// subjects reads identifiers; the error names the first that is none.
func subjects(field string, ids []string) ([]consent.Subject, error) {
	var out []consent.Subject
	for i, id := range ids {
		s, err := consent.ParseSubject(id)
		if err != nil {
			return nil, invalid(field+"["+strconv.Itoa(i)+"]", notSubject)
		}
		out = append(out, s)
	}
	return out, nil
}

// idOf finds the id of a document that could not be read, so that its result
// can say whose it is; "" when that cannot be read either.
func idOf(raw []byte) string {
	var in struct {
		ID jsontext.Value `json:"id"`
	}
	err := json.Unmarshal(raw, &in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if err != nil || in.ID.Kind() != '"' {
		return ""
	}
	id, err := jsontext.AppendUnquote(nil, in.ID)
	if err != nil || len(id) > retrieval.MaxDocumentID {
		return ""
	}
	return string(id)
}
