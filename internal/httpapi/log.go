package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/translog"
)

// proofURL is where the proof of an entry is.
func proofURL(p consent.Position) string {
	return "/v1/log/proof/" + strconv.FormatUint(uint64(p), 10)
}

const plainText = "text/plain; charset=utf-8"

// logTenant is the tenant that the path names: without a public log that of
// the key, and every other one is absent.
func (c *call) logTenant() (consent.TenantID, error) {
	t := consent.TenantID(c.param("tenant"))
	if !c.PublicLog && t != c.tenant() {
		return "", translog.ErrNotFound
	}
	return t, nil
}

// logCheckpoint answers the newest checkpoint. It is not to be cached.
func (c *call) logCheckpoint() error {
	t, err := c.logTenant()
	if err != nil {
		return err
	}
	if _, err := c.awaitLog(t, 1); err != nil {
		return err
	}
	cp, err := c.Tree.Checkpoint(c.ctx(), t)
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, plainText, cp.Text)
	return nil
}

// logTile answers a tile or a bundle of entries, which never change.
func (c *call) logTile() error {
	t, err := c.logTenant()
	if err != nil {
		return err
	}
	// As it was sent: digits, "x", ".p" and slashes need no escape.
	tile, ok := translog.ParseTile(strings.TrimPrefix(c.params.ByName("path"), "/"))
	if !ok {
		return translog.ErrNotFound
	}
	body, err := c.Tree.Tile(c.ctx(), t, tile)
	if err != nil {
		return err
	}
	reach := "private"
	if c.PublicLog {
		reach = "public"
	}
	c.w.Header().Set("Cache-Control", reach+", max-age=31536000, immutable")
	c.answer(http.StatusOK, "application/octet-stream", body)
	return nil
}

// logKey answers the verifier key of the tenant's log.
func (c *call) logKey() error {
	vkey, err := c.Tree.Key(c.tenant())
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, plainText, []byte(vkey+"\n"))
	return nil
}

// logProof answers the proof of an entry, once a checkpoint covers it.
func (c *call) logProof() error {
	n, err := strconv.ParseUint(c.param("position"), 10, 63)
	if err != nil || n == 0 {
		return translog.ErrNotFound
	}
	p := consent.Position(n)
	head, err := c.Ledger.Head(c.ctx(), c.tenant())
	if err != nil {
		return err
	}
	if p > head.Position {
		return translog.ErrNotFound
	}
	cp, err := c.awaitLog(c.tenant(), p)
	if err != nil {
		return err
	}
	proof, err := c.Tree.Proof(c.ctx(), c.tenant(), p, cp)
	if err != nil {
		return err
	}
	c.w.Header().Set("Assent-Witnesses", strconv.Itoa(translog.Witnesses))
	c.w.Header().Set("Content-Disposition", `attachment; filename="`+strconv.FormatUint(n, 10)+`.tlog-proof"`)
	c.answer(http.StatusOK, plainText, proof.Text())
	return nil
}

// awaitLog waits for a checkpoint that covers a position.
func (c *call) awaitLog(t consent.TenantID, p consent.Position) (translog.Checkpoint, error) {
	ctx, cancel := context.WithTimeout(c.ctx(), awaitPosition)
	defer cancel()
	return c.Tree.Await(ctx, t, p)
}
