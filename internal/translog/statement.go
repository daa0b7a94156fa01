package translog

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"golang.org/x/mod/sumdb/note"

	"github.com/assent-gateway/assent/consent"
)

// SignStatement returns a DSSE envelope over a payload, signed with the
// newest key of the tenant's log. What is signed begins with "DSSEv1": no checkpoint does, so
// neither can be taken for the other.
func (l *Log) SignStatement(ctx context.Context, id consent.TenantID, payloadType string, payload []byte) ([]byte, error) {
	t, err := l.identity(id)
	if err != nil {
		return nil, err
	}
	s, err := dsse.NewEnvelopeSigner(statementSigner{t.signers[0]})
	if err != nil {
		return nil, errors.New("translog: make a signer of statements")
	}
	e, err := s.SignPayload(ctx, payloadType, payload)
	if err != nil {
		return nil, errors.New("translog: sign a statement")
	}
	b, err := json.Marshal(e)
	return append(b, '\n'), err
}

// statementSigner is dsse.Signer over a key of the log.
type statementSigner struct{ key note.Signer }

func (s statementSigner) Sign(_ context.Context, data []byte) ([]byte, error) {
	return s.key.Sign(data)
}

// KeyID is the log's key's, in hex: a hint, and no more.
func (s statementSigner) KeyID() (string, error) {
	var b [4]byte
	h := s.key.KeyHash()
	b[0], b[1], b[2], b[3] = byte(h>>24), byte(h>>16), byte(h>>8), byte(h)
	return hex.EncodeToString(b[:]), nil
}
