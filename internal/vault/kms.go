package vault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/assent-gateway/assent/internal/seal"
)

// KMS is a key service that wraps epoch keys, so that none rests in the vault in
// clear. It is asked at Create, at Open and by Rotate, never by Put or Key. An
// implementation may be called concurrently and gives up when ctx ends.
type KMS interface {
	// Wrap encrypts key under the service's key of this name, bound to aad. The
	// result is at most 64 KiB; only the service can open it.
	Wrap(ctx context.Context, name string, key seal.Key, aad []byte) (wrapped []byte, err error)

	// Unwrap opens what Wrap returned for the same name and aad. An error that
	// is ErrKMSRefused says that asking again is of no use; any other may pass.
	Unwrap(ctx context.Context, name string, wrapped, aad []byte) (seal.Key, error)
}

// KMSTimeout is how long Create and Open wait for a KMS.
const KMSTimeout = 30 * time.Second

var (
	// ErrKMS: the key service could not be used. The vault is as it was.
	ErrKMS = errors.New("vault: the key service did not serve")
	// ErrKMSRefused: it answered that it will not: the key is destroyed or
	// unknown, we may not use it, or what we sent is not what it wrapped.
	ErrKMSRefused = errors.New("vault: the key service refused")
	// ErrNoKMS: an epoch key is wrapped by a KMS, and none is configured.
	ErrNoKMS = errors.New("vault: an epoch key is wrapped by a key service, and none is configured")
)

// wrapEpoch has the KMS wrap a key, and unwrap it once before anything depends
// on it: what it cannot open later would be every key of the vault.
func wrapEpoch(ctx context.Context, id [16]byte, n uint32, key seal.Key, o Options) ([]byte, error) {
	if o.KMS == nil {
		return nil, ErrNoKMS
	}
	if len(o.KMSKey) > math.MaxUint16 {
		return nil, fmt.Errorf("%w: the name of its key is too long", ErrKMS)
	}
	wrapped, err := o.KMS.Wrap(ctx, o.KMSKey, key, epochAAD(id, n))
	if err != nil {
		return nil, fmt.Errorf("%w: wrap: %w", ErrKMS, err)
	}
	if len(wrapped) == 0 || len(wrapped) > math.MaxUint16 {
		return nil, fmt.Errorf("%w: wrapped to %d bytes", ErrKMS, len(wrapped))
	}
	back, err := unwrapEpoch(ctx, id, epochContent{n: n, name: o.KMSKey, wrapped: wrapped}, o)
	if err != nil {
		return nil, err
	}
	if back != key {
		return nil, fmt.Errorf("%w: it unwraps to another key", ErrKMS)
	}
	return wrapped, nil
}

func unwrapEpoch(ctx context.Context, id [16]byte, c epochContent, o Options) (seal.Key, error) {
	if o.KMS == nil {
		return seal.Key{}, ErrNoKMS
	}
	key, err := o.KMS.Unwrap(ctx, c.name, c.wrapped, epochAAD(id, c.n))
	if err != nil {
		return seal.Key{}, fmt.Errorf("%w: unwrap: %w", ErrKMS, err)
	}
	if key.IsZero() {
		return seal.Key{}, fmt.Errorf("%w: it unwraps to nothing", ErrKMS)
	}
	return key, nil
}

// epochAAD binds a wrapped key to its vault and epoch.
func epochAAD(id [16]byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append([]byte("assent vault epoch\x00"), id[:]...), n)
}
