package gateway_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/retrieval"
	"github.com/assent-gateway/assent/training"
)

// generated is a corpus of any size that nobody had to ingest: documents of one
// short passage, each of one of some people.
type generated struct {
	training.Corpus
	n      int
	people []consent.SubjectNum
	col    int64
}

func (c generated) Page(_ context.Context, _ consent.TenantID, _ training.Selection, after int64, f func(*training.Document) error) (int64, bool, error) {
	const page = 4096
	for i := int(after); i < min(int(after)+page, c.n); i++ {
		err := f(&training.Document{
			Num: int64(i + 1), Collection: c.col, ID: "d" + strconv.Itoa(i), StoredAt: 1, Passages: 1,
			People: consent.People{Owners: []consent.SubjectNum{c.people[i%len(c.people)]}},
			Texts:  []string{"a short message about number " + strconv.Itoa(i)},
		})
		if err != nil {
			return after, false, err
		}
	}
	return after + page, int(after)+page >= c.n, nil
}

// generatedGateway has people of whom 30 % opted out, and a generated corpus.
func generatedGateway(b *testing.B, rows, people int, c gateway.TrainingConfig) (*gateway.Gateway, generated) {
	g := openGateway(b, gateway.Config{Training: c})
	makeCollection(b, g, "a", retrieval.Spec{})
	names := make([]string, people)
	for i := range names {
		names[i] = fmt.Sprint("p", i)
	}
	say(b, g, consent.Granted, names, emb, trn)
	var refuse []string
	for i, n := range names {
		if i%10 < 3 {
			refuse = append(refuse, n)
		}
	}
	say(b, g, consent.Revoked, refuse, trn)
	gen := generated{Corpus: g.Training.Corpus, n: rows}
	for _, n := range names {
		num, err := g.Ledger.Find(b.Context(), gateway.DefaultTenant, subject(b, n))
		if err != nil {
			b.Fatal(err)
		}
		gen.people = append(gen.people, num)
	}
	cols, err := gen.Select(b.Context(), trainer, []string{"a"}, nil)
	if err != nil {
		b.Fatal(err)
	}
	gen.col = cols[0].ID
	g.Training.Corpus = gen
	return g, gen
}

// peakMemory is the process's largest resident set since resetPeak, in bytes.
func peakMemory() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.SplitSeq(string(status), "\n") {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(kb, "kB")))
			return float64(n) * 1024
		}
	}
	return 0
}

// processor is the processor time spent until now, by this process or by those
// it waited for: what a loaded machine changes less than the time on the clock.
func processor(who int) time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(who, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o200) }

// A build from a generated corpus: judged, hashed, sorted, sealed, written as
// Parquet, judged again, entered, signed. Rows are those of the corpus, of
// which 30 % are excluded.
func BenchmarkBuild(b *testing.B) {
	for _, rows := range []int{200_000, 1_000_000, 5_000_000} {
		b.Run(fmt.Sprint(rows, " rows"), func(b *testing.B) {
			g, _ := generatedGateway(b, rows, 20_000, gateway.TrainingConfig{})
			s := spec("a")
			s.Formats = []string{"parquet"}
			resetPeak()
			began := processor(syscall.RUSAGE_SELF)
			for b.Loop() {
				if m := manifest(b, g, s); m.Rows != uint64(rows)*7/10 {
					b.Fatal(m.Rows)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(rows)*float64(b.N)/(processor(syscall.RUSAGE_SELF)-began).Seconds(), "rows/CPU-s")
			b.ReportMetric(peakMemory()/1e6, "peak-MB")
		})
	}
}

// The same anti-join and copy by DuckDB, in the same run: from a Parquet file
// of clear rows and owners, ordered by the row, to Parquet and to JSON. It
// neither opens, seals nor keys anything.
func BenchmarkBesideDuckDB(b *testing.B) {
	const rows = 1_000_000
	duckdb(b, "SELECT 1")
	dir := b.TempDir()
	g, gen := generatedGateway(b, rows, 20_000, gateway.TrainingConfig{})
	type row struct {
		Row      string   `parquet:"row"`
		Document string   `parquet:"document"`
		Source   string   `parquet:"source"`
		Digest   string   `parquet:"content_digest"`
		Subjects []string `parquet:"subjects,list"`
		Types    []string `parquet:"consent_types,list"`
		Basis    string   `parquet:"lawful_basis"`
		Split    string   `parquet:"split"`
		Owner    int64    `parquet:"owner"`
	}
	source := make([]row, rows)
	for i := range source {
		t := fmt.Sprintf("%032x", uint64(i)*0x9e3779b97f4a7c15)
		source[i] = row{t, t, "", t + t, []string{t}, []string{trn}, "consent", "train", int64(gen.people[i%len(gen.people)])}
	}
	if err := parquet.WriteFile(filepath.Join(dir, "source.parquet"), source); err != nil {
		b.Fatal(err)
	}
	var out strings.Builder
	for i, p := range gen.people {
		if i%10 < 3 {
			fmt.Fprintln(&out, int64(p))
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "out.csv"), []byte(out.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	for name, formats := range map[string][]string{"build/parquet": {"parquet"}, "build/jsonl": {"jsonl"}} {
		b.Run(name, func(b *testing.B) {
			s := spec("a")
			s.Formats = formats
			began := processor(syscall.RUSAGE_SELF)
			for b.Loop() {
				manifest(b, g, s)
			}
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(rows*float64(b.N)/(processor(syscall.RUSAGE_SELF)-began).Seconds(), "rows/CPU-s")
		})
	}
	source = nil
	for name, to := range map[string]string{"duckdb/parquet": "'DIR/out.parquet' (FORMAT parquet, COMPRESSION zstd)", "duckdb/json": "'DIR/out.json' (FORMAT json)"} {
		b.Run(name, func(b *testing.B) {
			ms := 0.0
			began := processor(syscall.RUSAGE_CHILDREN)
			for b.Loop() {
				sql := "COPY (SELECT * EXCLUDE owner FROM 'DIR/source.parquet' s WHERE NOT EXISTS (SELECT 1 FROM read_csv('DIR/out.csv', header = false) o WHERE o.column0 = s.owner) ORDER BY row) TO " + to
				ms += duckdb(b, "SET threads = 2", strings.ReplaceAll(sql, "DIR", dir))[1].MS
			}
			b.ReportMetric(rows*float64(b.N)/(ms/1000), "rows/s")
			b.ReportMetric(rows*float64(b.N)/(processor(syscall.RUSAGE_CHILDREN)-began).Seconds(), "rows/CPU-s")
		})
	}
}
