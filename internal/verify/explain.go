package verify

import (
	"fmt"
	"strings"
	"time"
)

// Explain says in plain words what a proof shows, and what it does not.
func Explain(p Proven) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	c := p.Checkpoint
	say("What this proves")
	say("- The log %q signed a list of %d entries, and this entry is number %d of it.", c.Origin, c.Size, p.Index+1)
	say("  Nothing in the entry has changed since. Root of the list: %x.", c.Root)
	if p.Entry == nil {
		say("- Only the entry's fingerprint was given: what the entry says is not shown.")
	} else {
		sayEntry(say, *p.Entry)
	}
	say("- Witnesses: 0. %s", witnesses(c.Others))
	say("What this does not prove")
	say("- That what was recorded is true: it is what the operator wrote down, and the times are")
	say("  those of the operator's clock.")
	say("- That it still holds: a later entry may say otherwise, and this file does not show it.")
	say("- That the operator shows everybody the same log. Keep this file: its checkpoint, compared")
	say("  with a later one (assent-verify consistency), shows whether history was rewritten.")
	say("- How data was used, here or by anyone it was passed to.")
	return b.String()
}

func witnesses(others int) string {
	text := "Nobody but the operator's key vouches for the list."
	if others > 0 {
		text += fmt.Sprintf(" (Signatures by keys unknown here, not checked: %d.)", others)
	}
	return text
}

func sayEntry(say func(string, ...any), e Entry) {
	switch e.Kind {
	case kindConsent:
		say("- The entry records consent: purpose %s, version %d.%d, status %s (%s).",
			plain(e.Purpose), e.Major, e.Minor, statusName(e.Status), statusMeaning(e.Status))
	case kindErasure:
		say("- The entry records that a person's data was suppressed for erasure. It is not an erasure receipt.")
	case kindRestore:
		say("- The entry records that the operator put data or keys back from a backup. Entries that were lost")
		say("  with it show in a walk over the whole log (assent-verify log --lost), by their leaves alone.")
	default:
		say("- The entry is %s.", kindName(e.Kind))
	}
	if e.Kind == kindConsent {
		jurisdiction := "not stated"
		if e.Jurisdiction != "" {
			jurisdiction = plain(e.Jurisdiction)
		}
		say("  Jurisdiction: %s. The person acted: %s. Valid until: %s.",
			jurisdiction, moment(e.Acted, "time not stated"), moment(e.Expires, "no end stated"))
	}
	say("- It was recorded at %s.", moment(e.Recorded, "a time that is not stated"))
	if e.Subject != 0 {
		say("- It names a person only by the random number %d. Who that is, this file does not say;", e.Subject)
		say("  only the operator's vault connects the number with somebody, until the person is erased.")
	} else {
		say("- It names no person.")
	}
	if e.Rest != nil {
		say("- The rest of it is in clear: %s", e.Rest)
		return
	}
	say("- %d bytes of it are sealed (identifier, source, audit). They are part of what is proved, but", e.Sealed)
	say("  cannot be read without a key; once the key is destroyed nobody can, and the proof stays valid.")
}

// moment is a time to the second and beyond as recorded, or else.
func moment(t time.Time, otherwise string) string {
	if t.IsZero() {
		return otherwise
	}
	return t.Format(time.RFC3339Nano)
}

// plain shows a name, quoted when it could pass for something else.
func plain(s string) string {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-') {
			return fmt.Sprintf("%+q", s)
		}
	}
	return s
}

// TypeName is the consent type of a record, e.g. "rag_retrieval_v1.0".
func (e Entry) TypeName() string {
	return fmt.Sprintf("%s_v%d.%d", plain(e.Purpose), e.Major, e.Minor)
}

// StatusName is the status of a consent record in one word.
func (e Entry) StatusName() string { return statusName(e.Status) }

func statusName(s uint8) string {
	names := [...]string{"none", "granted", "denied", "revoked", "objected", "restricted", "unrestricted"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("number %d, unknown to this verifier", s)
}

func statusMeaning(s uint8) string {
	meanings := [...]string{
		"no status", "the use for this purpose was allowed", "the use for this purpose was refused",
		"an earlier permission was withdrawn", "the person objected to the use for this purpose",
		"processing was restricted", "a restriction was lifted",
	}
	if int(s) < len(meanings) {
		return meanings[s]
	}
	return "not known"
}

func kindName(k uint8) string {
	switch k {
	case kindManifest:
		return "about a training manifest"
	case kindRun:
		return "about a training run"
	case kindRemedy:
		return "a decision about a training run that holds somebody who no longer permits"
	}
	names := [...]string{"", "a consent record", "a policy", "the publication of a consent type",
		"an attestation that documents are about nobody", "a change of a document's owners", "an erasure",
		"the making or revocation of an API key", "the making of the tenant",
		"a legal hold", "a restore from a backup", "an event of the operator's keys: a rotation, a backup, a retirement"}
	if k > 0 && int(k) < len(names) {
		return names[k]
	}
	switch k {
	case 9:
		return "the hold of an erasure, or its end"
	case kindRemoval:
		return "the request that documents be erased"
	case 15:
		return "the denial or cancellation of an erasure"
	case kindErased:
		return "the completion of an erasure"
	case 17:
		return "another identifier of a person"
	}
	return fmt.Sprintf("of kind %d, unknown to this verifier", k)
}
