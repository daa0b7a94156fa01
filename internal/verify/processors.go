package verify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
)

// An ErasureProcessor is a recipient of the person's data that was told of the
// erasure, and what it said by the time that it had.
type ErasureProcessor struct {
	Name            string `json:"name"`
	Role            string `json:"role"`
	State           string `json:"state"` // acknowledged | silent | refused
	AnsweredAt      string `json:"answered_at"`
	KeyHash         string `json:"key_sha256"`             // of its public key; "": it has none
	Acknowledgement string `json:"acknowledgement_sha256"` // of its signature; "": it has none
}

// told checks what the statement says of recipients, and reports whether all of
// them acknowledged: a receipt that is "completed" names nobody who did not. A
// recipient with a key has acknowledged by its signature alone.
func (s *ErasureStatement) told() (obeyed bool, err error) {
	if len(s.Processors) == 0 && s.NoticeHash == "" {
		return true, nil
	}
	if len(s.Processors) == 0 || !isDigest(s.NoticeHash) {
		return false, refuse(ErrOverstated, "a notice that nobody got, or without a digest")
	}
	obeyed = true
	names := map[string]bool{}
	for _, p := range s.Processors {
		acknowledged, keyed := p.State == "acknowledged", p.KeyHash != ""
		switch {
		case p.Name == "" || names[p.Name], p.Role == "",
			!acknowledged && p.State != "silent" && p.State != "refused",
			(p.State == "silent") != (p.AnsweredAt == ""),
			keyed && !isDigest(p.KeyHash),
			(acknowledged && keyed) != (p.Acknowledgement != ""),
			p.Acknowledgement != "" && !isDigest(p.Acknowledgement):
			return false, refuse(ErrOverstated, "processor %s", plain(p.Name))
		}
		names[p.Name] = true
		obeyed = obeyed && acknowledged
	}
	return obeyed, nil
}

func isDigest(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && hex.EncodeToString(b) == s
}

// Acknowledged checks that a signature is the acknowledgement of a processor
// that the receipt commits to: of this request, of the event that told of it, by
// the key that is committed to as well.
func (r ErasureReceipt) Acknowledged(name string, key ed25519.PublicKey, signature []byte) error {
	for _, p := range r.Statement.Processors {
		if p.Name != name {
			continue
		}
		signed := "assent-erasure-acknowledgement/v1\n" + r.Statement.Request + "\n" + r.Statement.NoticeHash + "\n"
		switch {
		case len(key) != ed25519.PublicKeySize, hexHash(key) != p.KeyHash, hexHash(signature) != p.Acknowledgement,
			!ed25519.Verify(key, []byte(signed), signature):
			return refuse(ErrUnrelated, "an acknowledgement of processor %s", plain(name))
		}
		return nil
	}
	return refuse(ErrUnrelated, "processor %s is not in the receipt", plain(name))
}

func hexHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (s *ErasureStatement) explainProcessors(say func(format string, args ...any)) {
	if len(s.Processors) == 0 {
		return
	}
	say("Who else was told (by an event with SHA-256 %s)", s.NoticeHash)
	for _, p := range s.Processors {
		how := ""
		switch {
		case p.Acknowledgement != "":
			how = ", signed by its key"
		case p.State == "acknowledged":
			how = ", without a signature"
		case p.State == "silent":
			how = ": whether it erased anything is not known"
		}
		say("- %s (%s): %s%s", p.Name, p.Role, p.State, how)
	}
}
