package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/gateway"
	"github.com/assent-gateway/assent/internal/weaviate"
)

// config is everything `assent serve` can be told. Flags win over the
// environment, the environment over the file; every setting has one name.
type config struct {
	addr           string
	tlsCert        string
	tlsKey         string
	trustedProxies []netip.Prefix
	data           string
	vault          string
	postgres       string // in place of data
	vaultURL       string
	adminKey       string
	policy         *consent.Policy
	policyFile     string
	log            gateway.LogConfig
	kms            kmsSettings
	outside        outside
	weaviate       *weaviate.Options // nil: the embedded index
	brokers        brokers
	// How often what it has is made anew at most, and where its servers' files are.
	weaviateRebuild time.Duration
	weaviateData    []string
	allow           map[string]bool // overrides, by name
}

// settings are the names that serve knows, and what each means.
var settings = slices.Concat([]setting{
	{"ASSENT_ADDR", "addr", "listen `address`"},
	{"ASSENT_TLS_CERT", "tls-cert", "TLS certificate `file`, needed off loopback"},
	{"ASSENT_TLS_KEY", "tls-key", "TLS key `file`"},
	{"ASSENT_TRUSTED_PROXIES", "trusted-proxies", "comma-separated `networks` of proxies that end TLS"},
	{"ASSENT_DATA", "data", "data `directory`"},
	{"ASSENT_VAULT", "vault", "vault `directory`: keys and journal"},
	{"ASSENT_POSTGRES_URL", "", "Postgres `URL` in place of the data directory, for several gateways"},
	{"ASSENT_VAULT_URL", "", "Postgres `URL` of the vault, another database; the vault directory then holds its epoch key"},
	{"ASSENT_ADMIN_KEY", "", "bootstrap key"},
	{"ASSENT_POLICY", "policy", "policy `file`"},
	{"ASSENT_PUBLIC_LOG", "public-log", "`1`: anyone may read the transparency log"},
	{"ASSENT_LOG_ORIGIN", "log-origin", "`name` that every tenant's log begins with, best the address it is read under without its scheme; kept for ever"},
	{"ASSENT_CHECKPOINT_DIR", "checkpoint-dir", "`directory` that gets a file for every signed checkpoint"},
	{"ASSENT_CHECKPOINT_WEBHOOK", "checkpoint-webhook", "`address` that every signed checkpoint is posted to"},
	{"ASSENT_KMS_URL", "kms-url", "`address` of a key service that wraps the vault's epoch key: unix:///path, https, or http on loopback"},
	{"ASSENT_KMS_KEY", "kms-key", "`name` of the service's key that wraps new epoch keys; none: they rest in the vault"},
	{"ASSENT_KMS_TOKEN_FILE", "kms-token-file", "`file` with the bearer token for the key service"},
	{"ASSENT_WEAVIATE_URL", "weaviate-url", "`address` of a Weaviate that holds the vectors, http://host:port or https://host:port"},
	{"ASSENT_WEAVIATE_GRPC", "weaviate-grpc", "`host:port` of its gRPC interface (port 50051 of the same host)"},
	{"ASSENT_WEAVIATE_API_KEY", "", "key for it"},
	{"ASSENT_WEAVIATE_REBUILD", "weaviate-rebuild", "`time`, such as 24h: make what it has anew at most that often, when erasures wait for that; not set: never"},
	{"ASSENT_WEAVIATE_DATA", "weaviate-data", "`directories` of its servers' files, if this gateway can read them, separated by a colon"},
	{"ASSENT_ALLOW_OPEN_WEAVIATE", "", "1: use a Weaviate off loopback that takes requests without a key"},
	{"ASSENT_ALLOW_PLAINTEXT", "", "1: serve off loopback without TLS"},
	{"ASSENT_ALLOW_VAULT_INSIDE", "", "1: allow the vault inside the data directory"},
	{"ASSENT_ALLOW_PARAMETER_LOGGING", "", "1: use a Postgres that logs parameters of statements"},
}, outsideSettings, brokerSettings)

type setting struct{ env, flag, usage string }

// later are settings of the wire contract that this version cannot honour:
// better refused than ignored.
var later = []string{
	"ASSENT_OIDC_ISSUER", "ASSENT_OIDC_AUDIENCE",
}

// loadConfig reads flags, environment and file, and names all mistakes at once.
func loadConfig(args []string, getenv func(string) string, stderr io.Writer) (*config, error) {
	fs := flag.NewFlagSet("assent serve", flag.ContinueOnError)
	fs.SetOutput(stderr)
	file := fs.String("config", "", "configuration `file`: a JSON object with the environment's names")
	flags := map[string]*string{}
	for _, s := range settings {
		if s.flag != "" {
			flags[s.env] = fs.String(s.flag, "", s.usage+" ("+s.env+")")
		}
	}
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil, err
	} else if err != nil {
		return nil, &usageError{problem: "serve: its flags are not well-formed"} // the flag package said which
	}
	if fs.NArg() > 0 {
		return nil, &usageError{problem: "serve takes no arguments besides its flags"}
	}
	if *file == "" {
		*file = getenv("ASSENT_CONFIG")
	}
	fromFile, err := readConfigFile(*file)
	if err != nil {
		return nil, err
	}
	get := func(name string) string {
		if f := flags[name]; f != nil && *f != "" {
			return *f
		}
		if v := getenv(name); v != "" {
			return v
		}
		return fromFile[name]
	}
	return buildConfig(get)
}

// or is v, or what stands in for none.
func or(v, fallback string) string {
	if v == "" {
		return fallback
	}
	return v
}

func readConfigFile(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration file: %w", err)
	}
	var values map[string]string
	if err := json.Unmarshal(raw, &values); err != nil {
		return nil, errors.New("the configuration file is not a JSON object of strings")
	}
	known := map[string]bool{}
	for _, s := range settings {
		known[s.env] = true
	}
	for name := range values {
		if !known[name] {
			return nil, fmt.Errorf("the configuration file sets %s, which serve does not know", name)
		}
	}
	return values, nil
}

func buildConfig(get func(string) string) (*config, error) {
	var mistakes []error
	mistake := func(format string, args ...any) { mistakes = append(mistakes, fmt.Errorf(format, args...)) }
	c := &config{
		addr: or(get("ASSENT_ADDR"), "127.0.0.1:8080"), tlsCert: get("ASSENT_TLS_CERT"), tlsKey: get("ASSENT_TLS_KEY"),
		data: or(get("ASSENT_DATA"), "./assent-data"), adminKey: get("ASSENT_ADMIN_KEY"), policyFile: get("ASSENT_POLICY"),
		allow: map[string]bool{},
	}
	c.postgres, c.vaultURL = get("ASSENT_POSTGRES_URL"), get("ASSENT_VAULT_URL")
	switch {
	case c.postgres == "" && c.vaultURL != "":
		mistake("ASSENT_VAULT_URL is for gateways that share a Postgres: set ASSENT_POSTGRES_URL, too")
	case c.postgres != "" && c.postgres == c.vaultURL:
		mistake("ASSENT_VAULT_URL names the database of ASSENT_POSTGRES_URL: the vault needs one of its own")
	}
	c.log = gateway.LogConfig{
		Public: get("ASSENT_PUBLIC_LOG") == "1", Origin: get("ASSENT_LOG_ORIGIN"),
		Dir: get("ASSENT_CHECKPOINT_DIR"), Webhook: get("ASSENT_CHECKPOINT_WEBHOOK"),
	}
	if v := get("ASSENT_PUBLIC_LOG"); v != "" && v != "0" && v != "1" {
		mistake("ASSENT_PUBLIC_LOG is neither 0 nor 1")
	}
	if strings.ContainsFunc(c.log.Origin, func(r rune) bool { return r <= ' ' || r == '+' || r > '~' }) || strings.HasSuffix(c.log.Origin, "/") {
		mistake("ASSENT_LOG_ORIGIN holds a space, a plus or what is not ASCII, or ends in a slash")
	}
	var err error
	if c.kms, err = kmsFrom(get); err != nil {
		mistake("%w", err)
	}
	c.vault = or(get("ASSENT_VAULT"), filepath.Clean(c.data)+".vault")
	for _, s := range settings {
		if strings.HasPrefix(s.env, "ASSENT_ALLOW_") {
			switch get(s.env) {
			case "":
			case "1":
				c.allow[s.env] = true
			default:
				mistake("%s is neither empty nor 1", s.env)
			}
		}
	}
	c.outside = readOutside(get, c.allow, mistake)
	c.brokers = readBrokers(get, c.allow["ASSENT_ALLOW_PLAINTEXT_BROKERS"], mistake)
	for p := range strings.SplitSeq(get("ASSENT_TRUSTED_PROXIES"), ",") {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(p)
		if err != nil {
			if addr, addrErr := netip.ParseAddr(p); addrErr == nil {
				prefix, err = addr.Prefix(addr.BitLen())
			}
		}
		if err != nil {
			mistake("ASSENT_TRUSTED_PROXIES holds something that is no network, such as 10.0.0.0/8")
			continue
		}
		c.trustedProxies = append(c.trustedProxies, prefix)
	}
	if (c.tlsCert == "") != (c.tlsKey == "") {
		mistake("ASSENT_TLS_CERT and ASSENT_TLS_KEY go together")
	}
	if n := len(c.adminKey); n > 0 && n < 24 {
		mistake("ASSENT_ADMIN_KEY is shorter than 24 characters")
	}
	c.weaviate = weaviateConfig(get, mistake)
	if c.weaviate != nil {
		c.weaviate.Open = c.allow["ASSENT_ALLOW_OPEN_WEAVIATE"]
	}
	c.rebuildConfig(get, mistake)
	for _, name := range later {
		if get(name) != "" {
			mistake("%s is set, and this version does not know it: it would be ignored", name)
		}
	}
	if err := c.checkAddr(); err != nil {
		mistake("%w", err)
	}
	if c.policyFile != "" {
		raw, err := os.ReadFile(c.policyFile)
		if err != nil {
			mistake("ASSENT_POLICY: %w", err)
		} else if c.policy, err = consent.ParsePolicy(raw); err != nil {
			mistake("ASSENT_POLICY: %w", err)
		}
	}
	return c, errors.Join(mistakes...)
}

// weaviateConfig reads where the vectors are; nil where they are embedded.
func weaviateConfig(get func(string) string, mistake func(string, ...any)) *weaviate.Options {
	o := &weaviate.Options{URL: get("ASSENT_WEAVIATE_URL"), GRPC: get("ASSENT_WEAVIATE_GRPC"), APIKey: get("ASSENT_WEAVIATE_API_KEY")}
	if o.URL == "" {
		if o.GRPC != "" || o.APIKey != "" {
			mistake("ASSENT_WEAVIATE_GRPC and ASSENT_WEAVIATE_API_KEY are of no use without ASSENT_WEAVIATE_URL")
		}
		return nil
	}
	if u, err := url.Parse(o.URL); err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		mistake("ASSENT_WEAVIATE_URL is not http://host:port or https://host:port")
	}
	if _, _, err := net.SplitHostPort(o.GRPC); err != nil && o.GRPC != "" {
		mistake("ASSENT_WEAVIATE_GRPC is not host:port")
	}
	return o
}

// leastRebuild is how often rebuilds may begin at most: each has to end first,
// and waits a minute for searches that began before it.
const leastRebuild = 5 * time.Minute

// rebuildConfig reads when and where what Weaviate has is made anew.
func (c *config) rebuildConfig(get func(string) string, mistake func(string, ...any)) {
	every, data := get("ASSENT_WEAVIATE_REBUILD"), get("ASSENT_WEAVIATE_DATA")
	if c.weaviate == nil || every == "" {
		if every != "" || data != "" {
			mistake("ASSENT_WEAVIATE_REBUILD is of no use without ASSENT_WEAVIATE_URL, nor ASSENT_WEAVIATE_DATA without both")
		}
		return
	}
	var err error
	if c.weaviateRebuild, err = time.ParseDuration(every); err != nil || c.weaviateRebuild < leastRebuild {
		mistake("ASSENT_WEAVIATE_REBUILD is not a time of at least 5m, such as 24h")
	}
	if data == "" {
		return
	}
	c.weaviateData = filepath.SplitList(data)
	for _, dir := range c.weaviateData {
		if _, err := os.ReadDir(dir); err != nil {
			mistake("ASSENT_WEAVIATE_DATA names what is no directory that can be read")
		}
	}
}

// checkAddr refuses an address off loopback without TLS or a declared proxy.
func (c *config) checkAddr() error {
	host, _, err := net.SplitHostPort(c.addr)
	if err != nil {
		return errors.New("ASSENT_ADDR is not host:port")
	}
	if loopback(host) || c.tlsCert != "" || len(c.trustedProxies) > 0 || c.allow["ASSENT_ALLOW_PLAINTEXT"] {
		return nil
	}
	return errors.New("ASSENT_ADDR is not on loopback: set ASSENT_TLS_CERT and ASSENT_TLS_KEY, or ASSENT_TRUSTED_PROXIES, or override by name with ASSENT_ALLOW_PLAINTEXT=1")
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// print writes the settings in force, secrets hidden.
func (c *config) print(w io.Writer) {
	hidden := func(s string) string {
		if s == "" {
			return "(in the vault)"
		}
		return "(set, hidden)"
	}
	none := func(s string) string {
		if s == "" {
			return "(none)"
		}
		return s
	}
	fmt.Fprintf(w, "  ASSENT_ADDR       %s\n", c.addr)
	fmt.Fprintf(w, "  ASSENT_DATA       %s\n", c.data)
	if c.postgres != "" { // they may carry passwords
		fmt.Fprintf(w, "  ASSENT_POSTGRES_URL  %s\n", hidden(c.postgres))
		vault := "(none: one gateway, with its vault in a directory)"
		if c.vaultURL != "" {
			vault = hidden(c.vaultURL)
		}
		fmt.Fprintf(w, "  ASSENT_VAULT_URL     %s\n", vault)
	}
	fmt.Fprintf(w, "  ASSENT_VAULT      %s\n", c.vault)
	fmt.Fprintf(w, "  ASSENT_POLICY     %s\n", none(c.policyFile))
	fmt.Fprintf(w, "  ASSENT_TLS_CERT   %s\n", none(c.tlsCert))
	fmt.Fprintf(w, "  ASSENT_ADMIN_KEY  %s\n", hidden(c.adminKey))
	public := "no"
	if c.log.Public {
		public = "yes, to everyone"
	}
	fmt.Fprintf(w, "  ASSENT_PUBLIC_LOG %s\n", public)
	fmt.Fprintf(w, "  ASSENT_LOG_ORIGIN %s\n", or(c.log.Origin, "assent"))
	fmt.Fprintf(w, "  ASSENT_CHECKPOINT_DIR      %s\n", none(c.log.Dir))
	fmt.Fprintf(w, "  ASSENT_KMS_URL    %s\n", none(c.kms.address))
	fmt.Fprintf(w, "  ASSENT_KMS_KEY    %s\n", none(c.kms.key))
	webhook := "(none)"
	if c.log.Webhook != "" {
		webhook = "(set, hidden)" // it may carry a secret
	}
	fmt.Fprintf(w, "  ASSENT_CHECKPOINT_WEBHOOK  %s\n", webhook)
	c.outside.print(w)
	c.brokers.print(w)
	if c.weaviate == nil {
		fmt.Fprintf(w, "  ASSENT_WEAVIATE_URL        (none: the embedded index)\n")
	} else {
		key := "(none)"
		if c.weaviate.APIKey != "" {
			key = "(set, hidden)"
		}
		fmt.Fprintf(w, "  ASSENT_WEAVIATE_URL        %s\n", c.weaviate.URL)
		fmt.Fprintf(w, "  ASSENT_WEAVIATE_GRPC       %s\n", or(c.weaviate.GRPC, "(port 50051 there)"))
		fmt.Fprintf(w, "  ASSENT_WEAVIATE_API_KEY    %s\n", key)
		every := "(never)"
		if c.weaviateRebuild > 0 {
			every = c.weaviateRebuild.String()
		}
		fmt.Fprintf(w, "  ASSENT_WEAVIATE_REBUILD    %s\n", every)
		fmt.Fprintf(w, "  ASSENT_WEAVIATE_DATA       %s\n", none(strings.Join(c.weaviateData, string(filepath.ListSeparator))))
	}
	for name := range c.allow {
		fmt.Fprintf(w, "  %s  1 (an override)\n", name)
	}
}
