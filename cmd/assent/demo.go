package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

const demoUsage = `assent demo [flags]

Shows in six steps, against a running gateway, what consent does to a search.
The people and their documents are invented. The demo removes its collection at
the end; what it recorded about the invented people stays in the ledger, which
never forgets an entry.`

const (
	demoAda   = "user:demo-ada"
	demoBen   = "user:demo-ben"
	demoCleo  = "user:demo-cleo"
	demoQuery = "when does the nightly backup run?"
)

type demoDocument struct {
	ID     string   `json:"id"`
	Owners []string `json:"owners"`
	Title  string   `json:"title"`
	Text   string   `json:"text"`
}

func demoDocuments() []demoDocument {
	return []demoDocument{
		{"ada-1", []string{demoAda}, "Backup", "The nightly backup runs at two and is copied to the second site before breakfast."},
		{"ada-2", []string{demoAda}, "Restore", "I restored the backup of Monday on a spare machine; it took nine minutes."},
		{"ben-1", []string{demoBen}, "Backup moved", "From June on the nightly backup has to run at four, because the reports need the disks until then."},
		{"cleo-1", []string{demoCleo}, "Who to call", "When the nightly backup does not run, call me and not the help desk."},
	}
}

// A demonstration is a demo under way.
type demonstration struct {
	client     *client
	out        io.Writer
	collection string
	step       int
}

func demo(ctx context.Context, s *session, args []string) (err error) {
	fs := newFlags(demoUsage)
	collection := fs.String("collection", "demo", "the `name` of the collection to make")
	keep := fs.Bool("keep", false, "leave the collection there, to try more with it")
	rest, err := fs.parse(s, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fs.mistake("demo takes nothing besides its flags")
	}
	c, err := s.client()
	if err != nil {
		return err
	}
	d := &demonstration{client: c, out: s.out, collection: *collection}
	if err := d.make(ctx); err != nil {
		return err
	}
	defer func() {
		if *keep && err == nil {
			fmt.Fprintf(s.out, "\nThe collection %s stays. Next: assent search --collection %s %q\n", *collection, *collection, demoQuery)
			return
		}
		err = errors.Join(err, d.cleanUp(ctx))
	}()
	return d.run(ctx)
}

// make makes the collection. Somebody's own of that name is not touched.
func (d *demonstration) make(ctx context.Context) error {
	_, err := d.client.call(ctx, http.MethodGet, d.path(), nil, nil)
	if err == nil {
		return fmt.Errorf("there is a collection %s already: choose another name with --collection, or delete it", d.collection)
	}
	if !answered(err, http.StatusNotFound) {
		return err
	}
	fmt.Fprintf(d.out, "With ASSENT_URL=%s and ASSENT_KEY set, each step is also one curl.\n", d.client.base)
	return d.do(ctx, "Make a collection. What is in it may be seen by the whole tenant, as far as its owners permit.",
		http.MethodPut, d.path(), collectionSettings{DefaultVisibility: "tenant"}, nil)
}

func (d *demonstration) path(more ...string) string {
	return path(append([]string{"v1", "collections", d.collection}, more...)...)
}

func (d *demonstration) run(ctx context.Context) error {
	d.say("Ada and Ben permit that their documents are indexed and used for answers. Cleo has said nothing.")
	for _, who := range []string{demoAda, demoBen} {
		for _, kind := range []string{"embedding_v1.0", "rag_retrieval_v1.0"} {
			if err := d.record(ctx, who, kind, "granted"); err != nil {
				return err
			}
		}
	}
	if err := d.ingest(ctx); err != nil {
		return err
	}
	before, err := d.search(ctx, "Search: "+demoQuery)
	if err != nil {
		return err
	}
	d.say("Ben takes back that his documents are used for answers.")
	if err := d.record(ctx, demoBen, "rag_retrieval_v1.0", "revoked"); err != nil {
		return err
	}
	after, err := d.search(ctx, "The same search again.")
	if err != nil {
		return err
	}
	return d.judge(before, after)
}

// judge compares the two searches with what was promised.
func (d *demonstration) judge(before, after []string) error {
	for _, owner := range []string{"ada", "ben"} {
		if !slices.ContainsFunc(before, ownedBy(owner)) {
			return fmt.Errorf("the first search should have found a document of %s and did not", owner)
		}
	}
	if slices.ContainsFunc(before, ownedBy("cleo")) || slices.ContainsFunc(after, ownedBy("cleo")) ||
		slices.ContainsFunc(after, ownedBy("ben")) {
		return errors.New("a search returned what its owner does not permit: this must never happen, please report it")
	}
	if !slices.ContainsFunc(after, ownedBy("ada")) {
		return errors.New("the second search should have found Ada's documents and did not")
	}
	fmt.Fprintf(d.out, "\nBefore Ben's revocation the search found %d passages, after it %d: his are gone at once, Cleo's were never stored.\n",
		len(before), len(after))
	return nil
}

func ownedBy(who string) func(string) bool {
	return func(id string) bool { return strings.HasPrefix(id, who+"-") }
}

func (d *demonstration) ingest(ctx context.Context) error {
	var answer struct {
		Results []struct{ ID, Status, Reason string }
	}
	documents := map[string]any{"documents": demoDocuments()}
	err := d.do(ctx, "Send four documents. Those of whom nothing is known are refused and leave nothing behind.",
		http.MethodPost, d.path("documents"), documents, &answer)
	if err != nil {
		return err
	}
	for _, r := range answer.Results {
		text := plain(r.ID + ": " + r.Status)
		if r.Reason != "" {
			text += plain(" (" + r.Reason + ")")
		}
		fmt.Fprintf(d.out, "   → %s\n", text)
	}
	return nil
}
