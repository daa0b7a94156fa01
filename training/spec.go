package training

import (
	"slices"
	"time"
)

// Limits of a request.
const (
	maxCollections = 256
	maxSplits      = 16
)

// check checks what does not need the ledger or the corpus.
func (s *Spec) check(formats []Format) error {
	switch {
	case len(s.Collections) == 0 || len(s.Collections) > maxCollections:
		return invalid("collections", "is required: 1 to 256 names")
	case len(s.Formats) == 0:
		return invalid("formats", "is required: jsonl, parquet or both")
	case len(s.Visibilities) == 0:
		return invalid("visibilities", "is empty")
	case s.ExpiresIn < time.Minute || s.ExpiresIn > MaxLease:
		return invalid("expires_in", "is not between 1 minute and 366 days")
	}
	for _, f := range s.Formats {
		if !slices.ContainsFunc(formats, func(g Format) bool { return g.Name() == f }) {
			return invalid("formats", "holds what is neither jsonl nor parquet")
		}
	}
	for _, v := range s.Visibilities {
		if v != "tenant" && v != "listed" && v != "private" {
			return invalid("visibilities", "holds what is none of tenant, listed, private")
		}
	}
	return checkSplits(s.Splits)
}

func checkSplits(splits []Split) error {
	sum := uint64(0)
	for _, sp := range splits {
		if !validSplit(sp.Name) {
			return invalid("splits", "has a name that is not [a-z][a-z0-9_]{0,31}")
		}
		if sp.Share == 0 {
			return invalid("splits", "has a share that is not above 0")
		}
		sum += uint64(sp.Share)
	}
	if len(splits) == 0 || len(splits) > maxSplits || sum != Shares {
		return invalid("splits", "is not 1 to 16 shares that add up to 1")
	}
	return nil
}

func validSplit(s string) bool {
	if s == "" || len(s) > 32 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return true
}
