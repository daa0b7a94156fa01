package httpapi

import (
	"net/http"
	"strconv"

	"github.com/assent-gateway/assent/consent"
)

// typeIn is PUT /v1/consent-types/{type}.
type typeIn struct {
	Text     string   `json:"text"`
	Language string   `json:"language"`
	Validity string   `json:"validity"`
	Accepts  []string `json:"accepts"`
}

type typeOut struct {
	ConsentType    string           `json:"consent_type"`
	Purpose        string           `json:"purpose"`
	Text           string           `json:"text"`
	TextDigest     string           `json:"text_digest"`
	Language       string           `json:"language"`
	Validity       string           `json:"validity,omitempty"`
	Accepts        []string         `json:"accepts"`
	LedgerPosition consent.Position `json:"ledger_position"`
}

func typeOf(p consent.PublishedType, at consent.Position) typeOut {
	typ, _ := consent.ParseType(p.Type) // it was parsed when it was published
	return typeOut{p.Type, typ.Purpose, p.Text, p.Digest(), p.Language, p.Validity, p.Accepts, at}
}

// published reads and names what is not valid; the ledger checks it again.
func (in *typeIn) published(name string) (p consent.PublishedType, err error) {
	typ, err := consent.ParseType(name)
	if err != nil {
		return p, invalid("consent_type", "is not <purpose>_v<major>.<minor>")
	}
	if in.Text == "" || len(in.Text) > 16<<10 {
		return p, invalid("text", "is required, at most 16 KiB")
	}
	if in.Language == "" || len(in.Language) > 35 {
		return p, invalid("language", "is required, a BCP 47 tag")
	}
	if _, err := consent.ParseDuration(in.Validity); err != nil {
		return p, invalid("validity", "is not a span of time such as 720h, 30d or P1Y")
	}
	p = consent.PublishedType{Type: typ.String(), Text: in.Text, Language: in.Language, Validity: in.Validity}
	for i, a := range in.Accepts {
		earlier, err := consent.ParseType(a)
		if err != nil || earlier.Purpose != typ.Purpose || !typ.Later(earlier) {
			return p, invalid("accepts["+strconv.Itoa(i)+"]", "is not an earlier version of the same purpose")
		}
		p.Accepts = append(p.Accepts, earlier.String())
	}
	return p, nil
}

func (c *call) publishType() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	var in typeIn
	if err := decode(raw, &in); err != nil {
		return err
	}
	pub, err := in.published(c.param("type"))
	if err != nil {
		return err
	}
	once, release, err := c.once(raw)
	defer release()
	if err != nil {
		return err
	}
	created, at, err := c.Ledger.Publish(c.ctx(), c.tenant(), pub, once)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	return c.json(status, typeOf(pub, at))
}

type typesOut struct {
	ConsentTypes []typeOut `json:"consent_types"`
}

func (c *call) listTypes() error {
	types, err := c.Ledger.Types(c.ctx(), c.tenant())
	if err != nil {
		return err
	}
	out := typesOut{ConsentTypes: make([]typeOut, len(types))}
	for i, t := range types {
		out.ConsentTypes[i] = typeOf(t, t.Position())
	}
	return c.json(http.StatusOK, out)
}
