package credential

import (
	"crypto/rand"
	"encoding/base32"
	"math/big"
	"strings"
)

// prefix lets secret scanners and people recognise a key.
const prefix = "assent_"

// secretDigits is how many base62 digits 256 bits take.
const secretDigits = 43

// NewSecret returns a fresh key's secret: "assent_" and 32 random bytes in base62.
func NewSecret() string {
	var b [32]byte
	rand.Read(b[:])
	// big.Int's digits are 0-9a-zA-Z; zeros in front keep the length.
	digits := new(big.Int).SetBytes(b[:]).Text(62)
	return prefix + strings.Repeat("0", secretDigits-len(digits)) + digits
}

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func randomID(prefix string) string {
	var b [15]byte
	rand.Read(b[:])
	return prefix + idEncoding.EncodeToString(b[:])
}

// BootstrapID is the id under which entries name the bootstrap key.
const BootstrapID = "bootstrap"
