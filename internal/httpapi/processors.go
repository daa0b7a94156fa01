package httpapi

import (
	"encoding/base64"
	"net/http"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/erasure"
	"github.com/assent-gateway/assent/internal/events"
)

// processorIn is PUT /v1/processors/{name}.
type processorIn struct {
	URL        string   `json:"url"`
	Secret     *string  `json:"secret"`
	PublicKey  *string  `json:"public_key"`
	Role       string   `json:"role"`
	Kinds      []string `json:"kinds"`
	Categories []string `json:"categories"`
}

func (in *processorIn) processor(name string) (p events.Processor, err error) {
	p = events.Processor{Name: name, URL: in.URL, Role: events.Role(in.Role), Categories: in.Categories}
	for _, k := range in.Kinds {
		p.Kinds = append(p.Kinds, events.Kind(k))
	}
	if in.Secret != nil {
		if p.Secret, err = events.ParseSecret(*in.Secret); err != nil {
			return p, err
		}
	}
	if in.PublicKey != nil {
		if p.PublicKey, err = base64.StdEncoding.Strict().DecodeString(*in.PublicKey); err != nil || len(p.PublicKey) == 0 {
			return p, invalid("public_key", "is not base64 of an Ed25519 key")
		}
	}
	return p, p.Check()
}

// processorOut shows no secret but one that was just made, and of the address
// what may be shown.
type processorOut struct {
	Name             string           `json:"name"`
	URL              string           `json:"url"`
	Secret           string           `json:"secret,omitempty"`
	PublicKey        string           `json:"public_key,omitempty"`
	Role             string           `json:"role"`
	Kinds            []events.Kind    `json:"kinds"`
	Categories       []string         `json:"categories"`
	DeliveredThrough consent.Position `json:"delivered_through"`
}

func processorOf(p *events.Processor) processorOut {
	out := processorOut{Name: p.Name, URL: p.Shown(), Role: string(p.Role), Kinds: p.Kinds, Categories: p.Categories}
	if p.PublicKey != nil {
		out.PublicKey = base64.StdEncoding.EncodeToString(p.PublicKey)
	}
	if out.Categories == nil {
		out.Categories = []string{}
	}
	return out
}

func (c *call) putProcessor() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	var in processorIn
	if err := decode(raw, &in); err != nil {
		return err
	}
	p, err := in.processor(c.param("name"))
	if err != nil {
		return err
	}
	if p.Here() && !c.key.Bootstrap { // what listens on this machine is the operator's
		return invalid("url", "names this machine, which is for the bootstrap key alone")
	}
	var secret []byte // a repeat does not show it again
	out, _, err := c.repeatable(raw, func(consent.Once) (outcome, error) {
		made, fresh, err := c.Processors.Put(c.ctx(), c.tenant(), p)
		secret = fresh
		if made {
			return outcome{Status: http.StatusCreated}, err
		}
		return outcome{Status: http.StatusOK}, err
	})
	if err != nil {
		return err
	}
	shown := processorOf(&p)
	if secret != nil {
		shown.Secret = events.ShowSecret(secret)
	}
	if shown.DeliveredThrough, err = c.Processors.Delivered(c.ctx(), c.tenant(), p.Name); err != nil {
		return err
	}
	return c.json(out.Status, shown)
}

type processorsOut struct {
	Processors []processorOut `json:"processors"`
}

func (c *call) listProcessors() error {
	all, err := c.Processors.List(c.ctx(), c.tenant())
	if err != nil {
		return err
	}
	out := processorsOut{Processors: make([]processorOut, len(all))}
	for i := range all {
		out.Processors[i] = processorOf(&all[i])
		if out.Processors[i].DeliveredThrough, err = c.Processors.Delivered(c.ctx(), c.tenant(), all[i].Name); err != nil {
			return err
		}
	}
	return c.json(http.StatusOK, out)
}

func (c *call) dropProcessor() error {
	name := c.param("name")
	_, _, err := c.repeatable(nil, func(consent.Once) (outcome, error) {
		if !events.ValidName(name) {
			return outcome{Status: http.StatusNoContent}, nil
		}
		return outcome{Status: http.StatusNoContent}, c.Processors.Drop(c.ctx(), c.tenant(), name)
	})
	if err != nil {
		return err
	}
	return c.nothing()
}

// acknowledgementIn is POST /v1/erasures/{id}/acknowledgements.
type acknowledgementIn struct {
	Processor string `json:"processor"`
	Signature string `json:"signature"`
}

// acknowledge takes a processor's signed acknowledgement. The signature is what
// counts: any key of the tenant may bring it.
func (c *call) acknowledge() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	var in acknowledgementIn
	if err := decode(raw, &in); err != nil {
		return err
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(in.Signature)
	if err != nil || len(signature) == 0 {
		return invalid("signature", "is not base64 of an Ed25519 signature")
	}
	_, _, err = c.repeatable(raw, func(consent.Once) (outcome, error) {
		err := c.Erasure.Answer(c.ctx(), c.tenant(), c.param("id"), in.Processor, erasure.Answer{Says: erasure.Acknowledged, Signature: signature})
		return outcome{Status: http.StatusNoContent}, err
	})
	if err != nil {
		return err
	}
	return c.nothing()
}
