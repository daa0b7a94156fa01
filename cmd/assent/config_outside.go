package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/openaiembed"
	"github.com/assent-gateway/assent/internal/telemetry"
)

// outside is what serve is told of others on the network: who embeds, who
// watches, and how often a key may ask.
type outside struct {
	embeddings  *openaiembed.Config // nil: the local embedder
	metricsAddr string
	otlp        telemetry.OTLP
	rateLimit   float64
	// processors is how long those who are told of an erasure may be silent.
	processors time.Duration
}

// defaultRateLimit is how many requests a second a key may make: more than one
// application needs, less than keeps everybody else waiting.
const defaultRateLimit = "50000"

// defaultProcessors leaves most of the month that the GDPR gives.
const defaultProcessors = "7d"

// outsideSettings are among settings.
var outsideSettings = []setting{
	{"ASSENT_METRICS_ADDR", "metrics-addr", "listen `address` of /metrics; unset: beside the rest, on loopback"},
	{"ASSENT_RATE_LIMIT", "rate-limit", "`requests` a second that one API key may make, a tenth of it for what answers yes or no; 0: any number"},
	{"ASSENT_PROCESSOR_DEADLINE", "processor-deadline", "`time` that processors have to acknowledge an erasure, such as 72h or 7d; then it ends without them, and names them"},
	{"ASSENT_EMBEDDINGS_URL", "embeddings-url", "base `address` of an OpenAI-compatible embeddings endpoint"},
	{"ASSENT_EMBEDDINGS_KEY", "", "its key"},
	{"ASSENT_EMBEDDINGS_MODEL", "embeddings-model", "`name` of the model there"},
	{"ASSENT_EMBEDDINGS_REVISION", "embeddings-revision", "your `word` for which model is behind that name: change it when the model changed"},
	{"ASSENT_EMBEDDINGS_DIMENSIONS", "embeddings-dimensions", "`number` of dimensions of its vectors"},
	{"ASSENT_ALLOW_PLAINTEXT_EMBEDDINGS", "", "1: send texts to another machine over plain http"},
}

// readOutside reads them, and says every mistake.
func readOutside(get func(string) string, allow map[string]bool, mistake func(string, ...any)) (o outside) {
	o.embeddings = readEmbeddings(get, allow["ASSENT_ALLOW_PLAINTEXT_EMBEDDINGS"], mistake)
	if o.metricsAddr = get("ASSENT_METRICS_ADDR"); o.metricsAddr != "" {
		if _, _, err := net.SplitHostPort(o.metricsAddr); err != nil {
			mistake("ASSENT_METRICS_ADDR is not host:port")
		}
	}
	var err error
	if o.rateLimit, err = strconv.ParseFloat(or(get("ASSENT_RATE_LIMIT"), defaultRateLimit), 64); err != nil || !(o.rateLimit >= 0 && o.rateLimit <= 1e9) {
		mistake("ASSENT_RATE_LIMIT is no number of requests a second")
	}
	if o.processors, err = consent.ParseDuration(or(get("ASSENT_PROCESSOR_DEADLINE"), defaultProcessors)); err != nil || o.processors <= 0 {
		mistake("ASSENT_PROCESSOR_DEADLINE is no span of time such as 72h or 7d")
	}
	o.otlp = telemetry.OTLPFromEnv(get, func(name string, err error) { mistake("%s %w", name, err) })
	return o
}

func readEmbeddings(get func(string) string, plaintext bool, mistake func(string, ...any)) *openaiembed.Config {
	c := openaiembed.Config{
		URL: get("ASSENT_EMBEDDINGS_URL"), Key: get("ASSENT_EMBEDDINGS_KEY"), Model: get("ASSENT_EMBEDDINGS_MODEL"),
		Revision: get("ASSENT_EMBEDDINGS_REVISION"), AllowPlaintext: plaintext,
	}
	if c.URL == "" {
		for _, name := range []string{"KEY", "MODEL", "REVISION", "DIMENSIONS"} {
			if get("ASSENT_EMBEDDINGS_"+name) != "" {
				mistake("ASSENT_EMBEDDINGS_%s is set without ASSENT_EMBEDDINGS_URL", name)
			}
		}
		return nil
	}
	if err := openaiembed.CheckURL(c.URL, plaintext); errors.Is(err, openaiembed.ErrPlaintext) {
		mistake("ASSENT_EMBEDDINGS_URL %w: use https, or override by name with ASSENT_ALLOW_PLAINTEXT_EMBEDDINGS=1", err)
	} else if err != nil {
		mistake("ASSENT_EMBEDDINGS_URL %w", err)
	}
	if c.Model == "" || len(c.Model) > 256 {
		mistake("ASSENT_EMBEDDINGS_MODEL %w", openaiembed.ErrModel)
	}
	var err error
	if c.Dimensions, err = strconv.Atoi(get("ASSENT_EMBEDDINGS_DIMENSIONS")); err != nil || c.Dimensions < 1 || c.Dimensions > 4096 {
		mistake("ASSENT_EMBEDDINGS_DIMENSIONS %w: it must be the number that the model's vectors have", openaiembed.ErrDimensions)
	}
	return &c
}

// print writes the settings in force, secrets hidden.
func (o *outside) print(w io.Writer) {
	embedder := "(the local one)"
	if e := o.embeddings; e != nil {
		embedder = fmt.Sprintf("%s, model %s, %d dimensions", e.URL, e.Model, e.Dimensions)
		if e.Revision != "" {
			embedder += ", revision " + e.Revision
		}
		key := "(none)"
		if e.Key != "" {
			key = "(set, hidden)"
		}
		embedder += "\n  ASSENT_EMBEDDINGS_KEY      " + key
	}
	limit := "(none)"
	if o.rateLimit > 0 {
		limit = strconv.FormatFloat(o.rateLimit, 'f', -1, 64) + " a second and key"
	}
	fmt.Fprintf(w, "  ASSENT_EMBEDDINGS_URL      %s\n", embedder)
	fmt.Fprintf(w, "  ASSENT_RATE_LIMIT          %s\n", limit)
	fmt.Fprintf(w, "  ASSENT_PROCESSOR_DEADLINE  %s\n", o.processors)
	fmt.Fprintf(w, "  ASSENT_METRICS_ADDR        %s\n", or(o.metricsAddr, "(beside the rest, on loopback)"))
	for _, p := range [][2]string{{"traces by OTLP to ", o.otlp.Traces}, {"metrics by OTLP to", o.otlp.Metrics}} {
		if u, err := url.Parse(p[1]); p[1] != "" && err == nil {
			fmt.Fprintf(w, "  %s         %s://%s\n", p[0], u.Scheme, u.Host) // a path or a user may be a secret
		}
	}
}
