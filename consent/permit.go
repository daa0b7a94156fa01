package consent

// A Permit is proof that the ledger was asked: only a Ledger makes one, and a
// search cannot be called without it. It answers for one tenant and purpose,
// always from the newest state the gateway has applied, never an older one.
// The zero Permit permits nothing.
type Permit struct {
	t       *tenant
	purpose string
	at      Head
}

// Valid reports whether the permit came from a Ledger.
func (p Permit) Valid() bool { return p.t != nil }

// Tenant returns the tenant the permit is for.
func (p Permit) Tenant() TenantID {
	if p.t == nil {
		return ""
	}
	return p.t.id
}

// Purpose returns the purpose the ledger was asked about.
func (p Permit) Purpose() string { return p.purpose }

// Now is the ledger database's clock when the permit was made.
func (p Permit) Now() Time { return p.at.Now }

// Head is the ledger's head when the permit was made.
func (p Permit) Head() Head { return p.at }

// A Ruling is what the second gate was told, and from which state.
type Ruling struct {
	Position     Position
	PolicyDigest string
}

// A Claim is a document at the second gate: whom it is about, and how they
// combine in its collection.
type Claim struct {
	Rule   Rule
	People People
}

// Recheck is the second gate's question: judged from the newest state the
// gateway has applied, all claims from the same, without trusting what any
// index said. The people are those whom the catalogue and the record's key
// vouch for; ok is set for each document that may be used. A zero Permit
// permits nothing.
func (p Permit) Recheck(claims []Claim, ok []bool) Ruling {
	if p.t == nil {
		clear(ok)
		return Ruling{}
	}
	// A mask is looked up once for every run of claims of one collection: for
	// ten hits that is most of what the gate would cost.
	for i := range claims {
		if i == 0 || claims[i].Rule.Default != claims[i-1].Rule.Default {
			p.t.ensureMask(maskKey{p.purpose, claims[i].Rule.Default}, p.at.Now)
		}
	}
	p.t.mu.RLock()
	defer p.t.mu.RUnlock()
	var room [2][8]Verdict // most documents have fewer people
	owners, mentions := room[0][:0], room[1][:0]
	var m *mask
	for i := range claims {
		c := &claims[i]
		if m == nil || c.Rule.Default != claims[i-1].Rule.Default {
			m = p.t.masks[maskKey{p.purpose, c.Rule.Default}]
		}
		if c.People.Nobody {
			ok[i] = true
			continue
		}
		owners = p.t.verdicts(m, c.People.Owners, owners[:0])
		mentions = p.t.verdicts(m, c.People.Mentions, mentions[:0])
		ok[i] = c.Rule.Permits(owners, mentions)
	}
	ruling := Ruling{Position: p.t.applied}
	if p.t.rules.policy != nil {
		ruling.PolicyDigest = p.t.rules.policy.digest
	}
	if p.t.closed.Load() != nil {
		clear(ok)
	}
	return ruling
}

// People are whom a document is about. Nobody is set for one attested to be
// about nobody; without it a document without owners is permitted to no one.
type People struct {
	Owners, Mentions []SubjectNum
	Nobody           bool
}

// verdicts appends the verdicts of people. The caller holds the lock.
func (t *tenant) verdicts(m *mask, nums []SubjectNum, out []Verdict) []Verdict {
	for _, num := range nums {
		v := m.unknown
		if num == Canary {
			v = never
		} else if ord, ok := t.ords.find(num); ok {
			v = m.verdicts[ord]
		}
		out = append(out, v)
	}
	return out
}

// A Cursor remembers what a reader of verdicts has seen. The zero Cursor has
// seen nothing.
type Cursor struct {
	generation uint64
	seen       int
}

// Sync brings a reader's copy of verdicts up to the newest applied state.
// When the reader must start anew, reset is called first with the verdict of
// everyone who is not visited afterwards; then visit is called for each person
// whose verdict may have changed since the cursor. Callbacks run under the
// ledger's lock: they must be short and must not call the ledger. A zero
// Permit resets to a verdict that permits nothing. def is the jurisdiction of
// people whose own is not known.
func (p Permit) Sync(def Jurisdiction, c *Cursor, reset func(unknown Verdict), visit func(SubjectNum, Verdict)) {
	if p.t == nil {
		*c = Cursor{}
		reset(0)
		return
	}
	k := maskKey{p.purpose, def}
	p.t.ensureMask(k, p.at.Now)
	p.t.sync(k, c, func(unknown Verdict) {
		reset(unknown)
		visit(Canary, never)
	}, visit)
}
