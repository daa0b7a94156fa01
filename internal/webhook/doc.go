// Package webhook is a sink of events: each is a POST, signed as Standard
// Webhooks are (standardwebhooks.com): webhook-id, webhook-timestamp, and
// webhook-signature "v1,<base64 of HMAC-SHA256 of id.timestamp.body>". The id is
// that of the event and the same when it is sent again; the body is the event.
//
// Only https is spoken, but to this machine, which is reached by a name of it
// alone, whatever a name server says; addresses of the link, of everybody and of
// nobody are not dialled. Redirects are not followed: they
// would take what names people to whoever the recipient, or somebody on the
// way, says. Time and the size of answers are bounded. An error holds neither
// the address nor anything of event or answer.
package webhook
