package retrieval

import "math"

const headPersonal = 1

// AppendBinary appends h's one encoding, without its Ref, which is beside it
// in the row. It names users in clear: it rests sealed only. ErrRecord when h
// does not fit the form: terms not ascending or counted 0, text not UTF-8, a
// scale or residual that is negative or not finite.
func (h Head) AppendBinary(dst []byte) ([]byte, error) {
	w := &writer{b: dst}
	w.byte(recordVersion)
	flags := byte(0)
	if h.Personal {
		flags |= headPersonal
	}
	w.byte(flags)
	w.string(h.DocID, maxRecordName)
	w.visibility(h.Visibility)
	w.values(h.Values)
	w.uint(uint64(h.Length))
	w.count(len(h.Terms), maxRecordList)
	for i, t := range h.Terms {
		if t.Count == 0 || i > 0 && t.Hash <= h.Terms[i-1].Hash {
			w.fail()
		}
		w.uint64(t.Hash)
		w.uint(uint64(t.Count))
	}
	if !scale(h.Codes.Scale) || !scale(h.Codes.Residual) {
		w.fail()
	}
	w.float(h.Codes.Scale)
	w.float(h.Codes.Residual)
	w.count(len(h.Codes.Code), maxRecordVector)
	for _, c := range h.Codes.Code {
		w.byte(byte(c))
	}
	return w.done(dst)
}

// DecodeHead reads the encoding of the head of passage ref. Anything but what
// AppendBinary writes, whole, is ErrRecord. It keeps nothing of b.
func DecodeHead(ref PassageRef, b []byte) (Head, error) {
	r := &reader{b: b}
	h := Head{Ref: ref}
	r.version()
	h.Personal = r.byte(headPersonal) == headPersonal
	h.DocID = r.string(maxRecordName)
	h.Visibility = r.visibility()
	h.Values = r.values()
	h.Length = uint32(r.uint(math.MaxUint32))
	h.Terms = r.terms()
	h.Codes.Scale, h.Codes.Residual = r.float(), r.float()
	if !scale(h.Codes.Scale) || !scale(h.Codes.Residual) {
		r.fail()
	}
	code := r.take(r.count(maxRecordVector, 1))
	if err := r.done(); err != nil {
		return Head{}, err
	}
	if len(code) > 0 {
		h.Codes.Code = make([]int8, len(code))
		for i, c := range code {
			h.Codes.Code[i] = int8(c)
		}
	}
	return h, nil
}

func (r *reader) terms() []TermCount {
	n := r.count(maxRecordList, 9)
	if n == 0 {
		return nil
	}
	terms := make([]TermCount, n)
	for i := range terms {
		terms[i] = TermCount{r.uint64(), uint32(r.uint(math.MaxUint32))}
		if terms[i].Count == 0 || i > 0 && terms[i].Hash <= terms[i-1].Hash {
			r.fail()
			return nil
		}
	}
	return terms
}

// scale reports whether f is finite, not negative, and not -0.
func scale(f float32) bool { return f-f == 0 && !math.Signbit(float64(f)) }
