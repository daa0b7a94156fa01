package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"

	"github.com/assent-gateway/assent/internal/localkms"
	"github.com/assent-gateway/assent/internal/vault"
)

// kmsSettings say which key service wraps the vault's epoch key; the zero value
// is none.
type kmsSettings struct {
	service vault.KMS
	address string
	key     string
}

// kmsFrom reads them. An address is unix:///path, http:// on loopback, or
// https://. A key alone, or a token alone, is a mistake.
func kmsFrom(get func(string) string) (k kmsSettings, err error) {
	k.address, k.key = get("ASSENT_KMS_URL"), get("ASSENT_KMS_KEY")
	tokenFile := get("ASSENT_KMS_TOKEN_FILE")
	if k.address == "" {
		if k.key != "" || tokenFile != "" {
			return k, errors.New("ASSENT_KMS_KEY and ASSENT_KMS_TOKEN_FILE need ASSENT_KMS_URL")
		}
		return k, nil
	}
	var token []byte
	if tokenFile != "" {
		if token, err = os.ReadFile(tokenFile); err != nil {
			return k, fmt.Errorf("ASSENT_KMS_TOKEN_FILE: %w", err)
		}
	}
	u, err := url.Parse(k.address)
	if err != nil || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return k, errors.New("ASSENT_KMS_URL is no address, or holds a user, query or fragment")
	}
	base, client := k.address, &http.Client{CheckRedirect: noRedirect}
	switch {
	case u.Scheme == "unix" && u.Host == "" && u.Path != "":
		base = "http://kms"
		client.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", u.Path)
		}}
	case u.Scheme == "https" && u.Host != "":
	case u.Scheme == "http" && loopback(u.Hostname()):
		client.Transport = &http.Transport{} // no proxy: it would see the key
	default:
		return k, errors.New("ASSENT_KMS_URL is neither unix:///path, nor https, nor http on loopback")
	}
	k.service = localkms.NewClient(base, string(bytes.TrimSpace(token)), client)
	return k, nil
}

// noRedirect keeps the epoch key from going where a redirect says.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
