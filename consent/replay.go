package consent

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/assent-gateway/assent/internal/seal"
)

// replayBatch is how many entries one transaction of Replay commits.
const replayBatch = 500

// A Gap is the tail that a ledger put back from a backup lacks, and what the
// vault's journal can replay of it. The zero Gap is none.
type Gap struct {
	From, To Position // inclusive
	Lost     int      // entries of which only the leaf comes back; their people are asked again
	Unknown  int      // of these, those of whom the journal does not say whose they are
}

// Gap compares a closed ledger with its journal: what is there must be what the
// journal names (ErrDiverged, ErrTampered), what is missing must be readable.
func (l *Ledger) Gap(ctx context.Context, id TenantID) (Gap, error) {
	r, err := l.replayer(ctx, id)
	if err != nil || r.head >= r.journal {
		return Gap{}, err
	}
	return r.gap()
}

// WholeGap is the Gap of a tenant that the database does not know.
func (l *Ledger) WholeGap(id TenantID) (Gap, error) {
	keys, ok := l.vault.Keys(id)
	if !ok {
		return Gap{}, ErrUnknownTenant
	}
	journal, err := l.vault.JournalHead(id)
	if err != nil {
		return Gap{}, err
	}
	r := &replayer{l: l, t: newTenant(id, keys), journal: journal}
	return r.gap()
}

func (r *replayer) gap() (Gap, error) {
	g := Gap{From: r.head + 1, To: r.journal}
	for p := g.From; p <= g.To; p++ {
		row, _, err := r.read(p)
		if err != nil {
			return Gap{}, err
		}
		if row.Kind == KindLost {
			g.Lost++
			if row.Subject == 0 {
				g.Unknown++
			}
		}
	}
	return g, nil
}

// Replay appends to a ledger that is behind its journal what it lacks, at the
// original positions: whole rows as they were, of others the leaf and who has to
// be asked again. The ledger is not open meanwhile; afterwards Open finds that
// it agrees with the journal. The tree over its leaves is the one that was
// signed for.
//
// Every batch is one transaction; a crash between two of them leaves a ledger
// that is less far behind, and closed: Replay goes on from there.
func (l *Ledger) Replay(ctx context.Context, id TenantID) error {
	r, err := l.replayer(ctx, id)
	for err == nil && r.head < r.journal {
		err = r.batch(ctx)
	}
	return err
}

// A replayer brings one tenant's rows back.
type replayer struct {
	l             *Ledger
	t             *tenant // keys alone
	head, journal Position
	recorded      Time // of the newest row whose time is known
	// erased are the suppressions that the ledger has, newest last, of those whose
	// entries are about them: a row may be another than it was.
	erased map[SubjectNum][]Row
	named  map[[32]byte]SubjectNum // people whose rows name them, by the mark that they would leave
}

func (l *Ledger) replayer(ctx context.Context, id TenantID) (*replayer, error) {
	keys, ok := l.vault.Keys(id)
	if !ok {
		return nil, ErrUnknownTenant
	}
	journal, err := l.vault.JournalHead(id) // first: the ledger may grow meanwhile
	if err != nil {
		return nil, err
	}
	head, err := l.store.Head(ctx, id)
	if err != nil {
		return nil, err
	}
	r := &replayer{l: l, t: newTenant(id, keys), head: head.Position, journal: journal, erased: map[SubjectNum][]Row{}, named: map[[32]byte]SubjectNum{}}
	if r.head >= r.journal {
		return r, nil
	}
	at := Position(0)
	err = l.store.Rows(ctx, id, 0, func(row Row) error {
		leaf, err := l.vault.JournalLeaf(id, row.Position)
		switch at++; {
		case err != nil:
			return err
		case row.Position != at, row.Kind == KindLost && row.MAC != row.lostMAC(keys.MAC),
			row.Kind != KindLost && row.Leaf != row.leafHash():
			return ErrTampered
		case row.Leaf != leaf:
			return ErrDiverged
		}
		r.note(&row)
		r.recorded = row.RecordedAt
		return nil
	})
	if err == nil && at != r.head {
		err = ErrTampered
	}
	if err != nil {
		return r, err
	}
	return r, l.store.Subjects(ctx, id, func(row SubjectRow) error {
		if row.LookupVersion == lookupVersion {
			r.named[r.t.mark(row.Lookup)] = row.Num
		}
		return nil
	})
}

// note keeps a suppression, until it is taken back.
func (r *replayer) note(row *Row) {
	switch all := r.erased[row.Subject]; {
	case row.Kind == KindErasure:
		r.erased[row.Subject] = append(all, *row)
	case row.Kind == KindLift && len(all) > 0:
		r.erased[row.Subject] = all[:len(all)-1]
	}
}

// rename changes the rows of people as an entry about a suppression did.
func (r *replayer) rename(ctx context.Context, b *Batch, row Row, who subjectRef) error {
	all := r.erased[row.Subject]
	switch {
	case row.Kind == KindErasure && who.version == markedVersion:
		num, err := r.suppressed(&row, who)
		if num == 0 || err != nil {
			return err
		}
		for i := range b.Subjects {
			if s := &b.Subjects[i]; s.Num == num {
				b.Rekey = append(b.Rekey, r.t.nameless(num, s.Key, s.box()))
				return nil
			}
		}
		rows, err := r.l.store.SubjectsBy(ctx, r.t.id, []SubjectNum{num})
		if err != nil || len(rows) != 1 || !r.t.vouched(&rows[0]) {
			return errors.Join(err, ErrTampered)
		}
		b.Rekey = append(b.Rekey, r.t.nameless(num, rows[0].Key, rows[0].box()))
		return nil
	case row.Kind == KindLift && len(all) > 0:
		if len(all) == 1 && who.version == namelessVersion {
			b.Rekey = append(b.Rekey, r.t.nameless(row.Subject, seal.Ref{}, nil))
		}
		show, err := r.l.reveal(r.t, &all[len(all)-1], nil)
		if err != nil || show == nil || show.gone {
			return err
		}
		rows, err := r.l.store.SubjectsBy(ctx, r.t.id, []SubjectNum{show.link.num})
		if err != nil || len(rows) != 1 || !r.t.vouched(&rows[0]) {
			return errors.Join(err, ErrTampered)
		}
		back := SubjectRow{Num: show.link.num, Lookup: show.link.lookup, LookupVersion: lookupVersion, Key: show.link.key}
		b.Rekey = append(b.Rekey, r.t.signed(back, rows[0].box()))
		r.named[r.t.mark(show.link.lookup)] = show.link.num
		return nil
	}
	return nil
}

// suppressed returns whom an entry suppressed, who has a name until then; 0 for
// nobody. The mark may be named by an identifier that they had before.
func (r *replayer) suppressed(row *Row, who subjectRef) (SubjectNum, error) {
	marks := [][32]byte{who.lookup}
	var ev ErasureEvent
	if json.Unmarshal(row.Sealed, &ev) != nil {
		return 0, ErrTampered
	}
	if len(ev.Who) > 0 {
		var err error
		if _, marks, err = openWho(r.t.keys.Payload, ev.Who, r.t.id, row.Position); err != nil {
			return 0, err
		}
	}
	for _, m := range marks {
		if num := r.named[m]; num != 0 {
			delete(r.named, m)
			return num, nil
		}
	}
	return 0, nil
}

// read returns the row at a position of the journal, and its person.
func (r *replayer) read(p Position) (Row, subjectRef, error) {
	rec, err := r.l.vault.ReadJournal(r.t.id, p)
	if err != nil {
		return Row{}, subjectRef{}, err
	}
	if rec.Position != p {
		return Row{}, subjectRef{}, ErrTampered
	}
	row, who, err := decodeJournal(rec)
	if err == nil {
		err = r.uncover(&who)
	}
	if err == nil && row.Kind != KindLost && !row.verify(r.t.keys.MAC) {
		err = ErrTampered
	}
	return row, who, err
}

// uncover makes a name of the journal a lookup again. Where the person's key is
// destroyed nobody can: what comes back of them is nameless.
func (r *replayer) uncover(who *subjectRef) error {
	if !who.covered {
		return nil
	}
	key, err := r.l.vault.SubjectKey(who.key)
	switch {
	case errors.Is(err, ErrKeyGone):
		*who = subjectRef{version: namelessVersion}
	case err != nil:
		return err
	default:
		who.covered, who.lookup = false, cover(who.lookup, padOf(key))
	}
	return nil
}

// batch commits the next rows, with the people whom the database does not know.
func (r *replayer) batch(ctx context.Context) error {
	var b Batch
	people := map[SubjectNum]subjectRef{}
	names := map[SubjectNum]Row{} // a row that names the person
	var last Row
	for p := r.head + 1; p <= r.journal && len(b.Rows) < replayBatch; p++ {
		row, who, err := r.read(p)
		if err != nil {
			return err
		}
		if row.Kind == KindLost {
			row.RecordedAt = r.recorded // not later than it was
			row.signLost(r.t.keys.MAC)
		}
		if row.Subject != 0 {
			people[row.Subject] = who
			if row.Kind == KindConsent {
				names[row.Subject] = row
			}
		}
		r.recorded = max(r.recorded, row.RecordedAt)
		b.Rows = append(b.Rows, row)
		if last = row; row.Subject != 0 && (row.Kind == KindErasure || row.Kind == KindLift) {
			break // what it does to names is committed before somebody else takes them
		}
	}
	about := people[last.Subject]
	err := r.addPeople(ctx, &b, people, names)
	if err != nil {
		return err
	}
	if last.Subject != 0 {
		if err = r.rename(ctx, &b, last, about); err != nil {
			return err
		}
		r.note(&last)
	}
	err = r.l.store.Append(ctx, r.t.id, func(h Head) (Batch, error) {
		if h.Position != r.head {
			return Batch{}, ErrDiverged // somebody else writes
		}
		return b, nil
	})
	if err != nil {
		return err
	}
	r.l.step("replay.batch") // a crash here: less is missing
	r.head += Position(len(b.Rows))
	return nil
}

// addPeople makes rows for the people whom the database does not know, and
// compares the others with what the journal says of them. Only an erasure, and
// coming back after one, changes a person's row.
func (r *replayer) addPeople(ctx context.Context, b *Batch, people map[SubjectNum]subjectRef, names map[SubjectNum]Row) error {
	nums := make([]SubjectNum, 0, len(people))
	for num := range people {
		nums = append(nums, num)
	}
	rows, err := r.l.store.SubjectsBy(ctx, r.t.id, nums)
	if err != nil {
		return err
	}
	known := map[SubjectNum]bool{}
	for _, row := range rows {
		if !r.t.vouched(&row) {
			return ErrTampered
		}
		known[row.Num] = true
		now, was := people[row.Num], refOf(&row)
		if now == was || now.version == namelessVersion || was.version == namelessVersion {
			delete(people, row.Num) // what a row says too much, Open does not believe
		} else if len(r.erased[row.Num]) == 0 {
			return ErrDiverged
		}
	}
	for num, who := range people {
		row, err := r.personRow(num, who, names[num])
		if err != nil {
			return err
		}
		if row.LookupVersion == lookupVersion {
			r.named[r.t.mark(row.Lookup)] = num
		}
		if known[num] {
			b.Rekey = append(b.Rekey, row)
		} else {
			b.Subjects = append(b.Subjects, row)
		}
	}
	return nil
}

// personRow is a person's row as the journal knows them.
func (r *replayer) personRow(num SubjectNum, who subjectRef, named Row) (SubjectRow, error) {
	switch who.version {
	case namelessVersion:
		return r.t.nameless(num, who.key, nil), nil
	case markedVersion:
		return r.t.markRow(num, who.lookup), nil
	}
	box, err := r.identifier(num, who, named)
	row := SubjectRow{Num: num, Lookup: who.lookup, LookupVersion: lookupVersion, Key: who.key}
	return r.t.signed(row, box), err
}

// identifier seals a person's identifier anew, where an entry has it: nothing
// else that came back does. Without one the person is known by lookup alone.
func (r *replayer) identifier(num SubjectNum, who subjectRef, named Row) ([]byte, error) {
	if named.Position == 0 {
		return nil, nil
	}
	key, err := r.l.vault.SubjectKey(who.key)
	if errors.Is(err, ErrKeyGone) {
		return nil, nil // erased since
	}
	if err != nil {
		return nil, err
	}
	var audit Audit
	plain, err := seal.Open(key, named.Sealed, rowAAD(r.t.id, named.Position))
	if err != nil && len(r.erased[num]) > 0 {
		return nil, nil // said under the key that they had before they were erased
	}
	if err != nil || json.Unmarshal(plain, &audit) != nil {
		return nil, ErrTampered
	}
	return seal.Seal(key, []byte(audit.Subject), subjectAAD(r.t.id, num)), nil
}
