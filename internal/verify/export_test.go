package verify

// ParseExample reads a checkpoint whose key is not known: published examples.
func ParseExample(note []byte) (Checkpoint, error) {
	text, _, err := parseNote(note)
	if err != nil {
		return Checkpoint{}, err
	}
	return parseTreeHead(text)
}

// Bundle parses a bundle of so many entries.
func Bundle(width int, b []byte) ([][]byte, error) { return parseBundle(tile{0, 0, width}, b) }

// Paths are those of a tile and of its bundle.
func Paths(level int, n uint64, width int) (string, string) {
	t := tile{level, n, width}
	return t.path(), t.bundle()
}

// ParsePath reads a path.
func ParsePath(path string) (level int, n uint64, width int, bundle, ok bool) {
	t, bundle, ok := parsePath(path)
	return t.level, t.n, t.width, bundle, ok
}

// PAE is DSSE's pre-authentication encoding.
func PAE(typ string, body []byte) []byte { return pae(typ, body) }
