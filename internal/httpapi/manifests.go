package httpapi

import (
	"bufio"
	"bytes"
	stdjson "encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/training"
)

// manifestIn is POST /v1/manifests.
type manifestIn struct {
	Purpose          string             `json:"purpose"`
	Collections      []string           `json:"collections"`
	Filter           jsontext.Value     `json:"filter"`
	Splits           map[string]float64 `json:"splits"`
	Formats          []string           `json:"formats"`
	IncludeText      bool               `json:"include_text"`
	Linkable         bool               `json:"linkable"`
	Visibilities     []string           `json:"visibilities"`
	ExpiresIn        string             `json:"expires_in"`
	AtPosition       *consent.Position  `json:"at_position"`
	AtCorpusPosition *uint64            `json:"at_corpus_position"`
}

// spec is what is asked for, in one form: lists in order and without repeats.
func (in *manifestIn) spec() (s training.Spec, err error) {
	s = training.Spec{
		Collections: distinct(in.Collections), Formats: distinct(in.Formats), Visibilities: distinct(in.Visibilities),
		IncludeText: in.IncludeText, Linkable: in.Linkable, ExpiresIn: training.DefaultLease, AtCorpusHead: true,
	}
	if in.Visibilities == nil {
		s.Visibilities = []string{"tenant"}
	}
	if in.ExpiresIn != "" {
		if s.ExpiresIn, err = consent.ParseDuration(in.ExpiresIn); err != nil {
			return s, invalid("expires_in", "is not a span of time such as 720h or 30d")
		}
	}
	if in.AtPosition != nil {
		if s.AtPosition = *in.AtPosition; s.AtPosition == 0 {
			return s, invalid("at_position", "is before the first entry")
		}
	}
	if in.AtCorpusPosition != nil {
		s.AtCorpus, s.AtCorpusHead = *in.AtCorpusPosition, false
	}
	if s.Splits, err = splitsOf(in.Splits); err != nil {
		return s, err
	}
	s.Filter, err = canonical(in.Filter)
	return s, err
}

// splitsOf turns shares into millionths; what rounding leaves goes to the last.
func splitsOf(shares map[string]float64) ([]training.Split, error) {
	if shares == nil {
		return []training.Split{{Name: "train", Share: training.Shares}}, nil
	}
	var out []training.Split
	sum := 0
	for name, share := range shares {
		n := math.Round(share * training.Shares)
		if !(n >= 1 && n <= training.Shares) {
			return nil, invalid("splits", "has a share that is not between 0.000001 and 1")
		}
		sum += int(n)
		out = append(out, training.Split{Name: name, Share: uint32(n)})
	}
	slices.SortFunc(out, func(a, b training.Split) int { return strings.Compare(a.Name, b.Name) })
	if off := training.Shares - sum; len(out) > 0 && off != 0 && max(off, -off) <= len(out) {
		last := &out[len(out)-1]
		last.Share = uint32(int(last.Share) + off)
	}
	return out, nil
}

// canonical is a filter's one form: members in order, no white space, numbers
// as they were written, so that none becomes another.
func canonical(filter jsontext.Value) ([]byte, error) {
	if len(filter) == 0 {
		return nil, nil
	}
	d := stdjson.NewDecoder(bytes.NewReader(filter))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, invalid("filter", "is not valid JSON")
	}
	var out bytes.Buffer
	e := stdjson.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, invalid("filter", "is not valid JSON")
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

func distinct(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

func (c *call) trainer() training.Caller {
	return training.Caller{Tenant: c.key.Tenant, Collections: c.key.Collections, MayPurpose: c.key.MayPurpose}
}

type manifestMade struct {
	ID    string `json:"id"`
	State string `json:"state"`
}

func (c *call) createManifest() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	var in manifestIn
	if err := decode(raw, &in); err != nil {
		return err
	}
	spec, err := in.spec()
	if err != nil {
		return err
	}
	if spec.Purpose, err = c.purpose(in.Purpose); err != nil {
		return err
	}
	out, _, err := c.repeatable(raw, func(once consent.Once) (out outcome, err error) {
		out = outcome{Status: http.StatusAccepted, ID: training.NewID(), kept: true}
		var remember []consent.Remembered
		if once != (consent.Once{}) {
			r, err := c.remembered(once, out)
			if err != nil {
				return out, err
			}
			remember = append(remember, r)
		}
		_, err = c.Training.Create(c.ctx(), c.trainer(), out.ID, spec, remember)
		if errors.Is(err, consent.ErrRemembered) { // by another process meanwhile
			out, _, err = c.recall(once)
		}
		return out, err
	})
	if err != nil {
		return err
	}
	return c.json(out.Status, manifestMade{out.ID, training.Building.String()})
}

type manifestOut struct {
	ID             string              `json:"id"`
	State          string              `json:"state"`
	Problem        string              `json:"problem,omitempty"`
	Progress       float64             `json:"progress"`
	Purpose        string              `json:"purpose"`
	Rows           uint64              `json:"rows"`
	Excluded       map[string]uint64   `json:"excluded"`
	Withheld       uint64              `json:"withheld"`
	LedgerPosition consent.Position    `json:"ledger_position"`
	CorpusPosition uint64              `json:"corpus_position"`
	PolicyDigest   string              `json:"policy_digest,omitempty"`
	Digest         string              `json:"digest,omitempty"`
	EntryPosition  consent.Position    `json:"entry_position,omitempty"`
	ExpiresAt      string              `json:"expires_at,omitempty"`
	Files          []training.FileInfo `json:"files"`
	FilesErased    bool                `json:"files_erased,omitempty"`
	FilesHere      bool                `json:"files_here"`
}

func manifestOf(m training.Manifest) manifestOut {
	out := manifestOut{
		ID: m.ID, State: m.State.String(), Problem: m.Problem, Progress: math.Round(m.Progress*1000) / 1000, Purpose: m.Spec.Purpose,
		Rows: m.Rows, Withheld: m.Withheld, LedgerPosition: m.LedgerPos, CorpusPosition: m.CorpusPos, PolicyDigest: m.PolicyHash,
		Digest: m.Digest, EntryPosition: m.Entry, ExpiresAt: m.ExpiresAt.String(), Files: m.Files, FilesErased: m.FilesGone, FilesHere: m.FilesHere,
		Excluded: map[string]uint64{},
	}
	if m.Header != nil {
		out.Excluded = m.Header.Excluded
	}
	if out.Files == nil || m.State != training.Ready {
		out.Files = []training.FileInfo{}
	}
	return out
}

func (c *call) getManifest() error {
	m, err := c.Training.Get(c.ctx(), c.trainer(), c.param("id"))
	if err != nil {
		return err
	}
	return c.json(http.StatusOK, manifestOf(m))
}

func (c *call) resumeManifest() error {
	id := c.param("id")
	out, _, err := c.repeatable(nil, func(consent.Once) (outcome, error) {
		_, err := c.Training.Resume(c.ctx(), c.trainer(), id)
		return outcome{Status: http.StatusAccepted}, err
	})
	if err != nil {
		return err
	}
	m, err := c.Training.Get(c.ctx(), c.trainer(), id)
	if err != nil {
		return err
	}
	return c.json(out.Status, manifestMade{m.ID, m.State.String()})
}

// getManifestFile streams a file, judged just before its first byte leaves.
func (c *call) getManifestFile() error {
	name := strings.TrimPrefix(c.param("path"), "/")
	f, info, err := c.Training.OpenFile(c.ctx(), c.trainer(), c.param("id"), name)
	if err != nil {
		return err
	}
	defer f.Close()
	h := c.w.Header()
	h.Set("Content-Type", fileType(name))
	h.Set("Content-Length", strconv.FormatInt(info.Bytes, 10))
	h.Set("Content-Disposition", "attachment")
	buf := make([]byte, 256<<10)
	for {
		n, err := io.ReadFull(f, buf)
		if n > 0 {
			c.extend()
			if _, err := c.w.Write(buf[:n]); err != nil {
				return nil // the client has gone
			}
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err // the answer is cut
		}
	}
}

func fileType(name string) string {
	switch {
	case strings.HasSuffix(name, ".jsonl"):
		return ndjson
	case strings.HasSuffix(name, ".json"):
		return "application/json"
	case strings.HasSuffix(name, ".parquet"):
		return "application/vnd.apache.parquet"
	}
	return plainText
}

func (c *call) getStatement() error {
	b, err := c.Training.Statement(c.ctx(), c.trainer(), c.param("id"))
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, "application/vnd.dsse.envelope.v1+json", b)
	return nil
}

func (c *call) getCroissant() error {
	b, err := c.Training.Croissant(c.ctx(), c.trainer(), c.param("id"))
	if err != nil {
		return err
	}
	c.answer(http.StatusOK, "application/ld+json", b)
	return nil
}

type manifestCheckOut struct {
	Status         training.Status   `json:"status"`
	LedgerPosition consent.Position  `json:"ledger_position"`
	ExpiresAt      string            `json:"expires_at"`
	Drop           []string          `json:"drop"`
	DropCount      int               `json:"drop_count"`
	DropReasons    map[string]uint64 `json:"drop_reasons"`
}

func (c *call) checkManifest() error {
	got, err := c.Training.Check(c.ctx(), c.trainer(), c.param("id"))
	if err != nil {
		return err
	}
	out := manifestCheckOut{got.Status, got.Position, got.ExpiresAt.String(), make([]string, len(got.Drop)), len(got.Drop), got.Reasons}
	for i, t := range got.Drop {
		out.Drop[i] = t.String()
	}
	return c.json(http.StatusOK, out)
}

type changeOut struct {
	Op     string `json:"op"`
	Row    string `json:"row"`
	Reason string `json:"reason,omitempty"`
}

// diffManifests answers one line a row that differs. A failure under way cuts
// the answer.
func (c *call) diffManifests() error {
	out := bufio.NewWriterSize(c.w, 64<<10)
	c.w.Header().Set("Content-Type", ndjson)
	err := c.Training.Diff(c.ctx(), c.trainer(), c.param("id"), c.param("other"), func(ch training.Change) error {
		line, err := json.Marshal(changeOut{ch.Op, ch.Row.String(), ch.Reason})
		if err != nil {
			return err
		}
		if out.Available() < len(line)+1 {
			c.extend()
		}
		_, err = out.Write(append(line, '\n'))
		return err
	})
	if err != nil {
		c.w.Header().Del("Content-Type")
		return err
	}
	c.w.WriteHeaderNow()
	_ = out.Flush() // a client that has gone away needs no answer
	return nil
}

// runIn is POST /v1/manifests/{id}/runs.
type runIn struct {
	RunID       string `json:"run_id"`
	ModelDigest string `json:"model_digest"`
	Pipeline    string `json:"pipeline"`
}

type runOut struct {
	RunID          string           `json:"run_id"`
	ModelDigest    string           `json:"model_digest,omitempty"`
	Pipeline       string           `json:"pipeline,omitempty"`
	LedgerPosition consent.Position `json:"ledger_position"`
	Remedy         *remedyOut       `json:"remedy,omitempty"`
	Assessment     string           `json:"assessment,omitempty"`
}

func runOf(r training.Run) runOut {
	return runOut{r.ID, r.Model, r.Pipeline, r.Position, remedyOf(r.Remedy), r.Assessment}
}

// bindRun binds a run. A repeat comes to the same by itself: with the same
// content it answers what was bound.
func (c *call) bindRun() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	var in runIn
	if err := decode(raw, &in); err != nil {
		return err
	}
	var run training.Run
	bind := func(consent.Once) (outcome, error) {
		r, made, err := c.Training.Bind(c.ctx(), c.trainer(), c.param("id"), training.Run{ID: in.RunID, Model: in.ModelDigest, Pipeline: in.Pipeline})
		run = r
		out := outcome{Status: http.StatusOK}
		if made {
			out.Status = http.StatusCreated
		}
		return out, err
	}
	out, replayed, err := c.repeatable(raw, bind)
	if err == nil && replayed { // what it said is not kept, but is there
		_, err = bind(consent.Once{})
	}
	if err != nil {
		return err
	}
	return c.json(out.Status, runOf(run))
}

type runsOut struct {
	Runs []runOut `json:"runs"`
}

func (c *call) listRuns() error {
	runs, err := c.Training.Runs(c.ctx(), c.trainer(), c.param("id"))
	if err != nil {
		return err
	}
	out := runsOut{Runs: make([]runOut, len(runs))}
	for i, r := range runs {
		out.Runs[i] = runOf(r)
	}
	return c.json(http.StatusOK, out)
}

type usesOut struct {
	UserID    string   `json:"user_id"`
	Manifests []useOut `json:"manifests"`
}

type useOut struct {
	ID         string   `json:"id"`
	Purpose    string   `json:"purpose"`
	ExpiresAt  string   `json:"expires_at"`
	Permitted  bool     `json:"permitted"`
	Assessment string   `json:"assessment,omitempty"`
	Runs       []runOut `json:"runs"`
}

// subjectTraining answers which manifests and runs contain a person.
func (c *call) subjectTraining() error {
	who, err := c.subject()
	if err != nil {
		return err
	}
	uses, err := c.Training.Uses(c.ctx(), c.trainer(), who)
	if err != nil {
		return err
	}
	out := usesOut{UserID: who.Reveal(), Manifests: make([]useOut, len(uses))}
	for i, u := range uses {
		out.Manifests[i] = useOut{u.Manifest, u.Purpose, u.ExpiresAt.String(), u.Permitted, u.Assessment, make([]runOut, len(u.Runs))}
		for k, r := range u.Runs {
			out.Manifests[i].Runs[k] = lineageOf(r)
		}
	}
	return c.json(http.StatusOK, out)
}
