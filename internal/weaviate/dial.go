package weaviate

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	client "github.com/weaviate/weaviate-go-client/v4/weaviate"
	"github.com/weaviate/weaviate-go-client/v4/weaviate/fault"
	"github.com/weaviate/weaviate/entities/models"
	pb "github.com/weaviate/weaviate/grpc/generated/protocol/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/assent-gateway/assent/retrieval"
)

// readPatience bounds one request that reads; one that writes may take thrice as
// long.
const readPatience = 10 * time.Second

// A server is the store on the wire: schema and single properties by the v4
// client over REST; searches, inserts and deletions by gRPC, of which the
// client knows only inserts. Its own gRPC connection would not check
// certificates.
//
// Every error it returns wraps retrieval.ErrIndex, or is the context's; the
// server's own words, which quote what was sent, end here.
type server struct {
	rest    *client.Client
	grpc    pb.WeaviateClient
	conn    *grpc.ClientConn
	key     string
	timeout time.Duration // of reads
	write   time.Duration
	base    *url.URL
	http    *http.Client
}

func dial(o Options) (*server, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("weaviate: the address is not http://host:port or https://host:port")
	}
	target := o.GRPC
	if target == "" {
		target = net.JoinHostPort(u.Hostname(), "50051")
	}
	s := &server{key: o.APIKey, timeout: o.Timeout, base: u, http: &http.Client{}}
	if s.timeout == 0 {
		s.timeout = readPatience
	}
	s.write = 3 * s.timeout
	s.http.Timeout = s.write
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 4 * marksAtOnce // or every property write would make a connection
	s.http.Transport = transport
	config := client.Config{Host: u.Host, Scheme: u.Scheme, ConnectionClient: s.http}
	if o.APIKey != "" {
		config.Headers = map[string]string{"Authorization": "Bearer " + o.APIKey}
	}
	if s.rest, err = client.NewClient(config); err != nil {
		return nil, errors.New("weaviate: the client takes no such address")
	}
	secure := insecure.NewCredentials()
	if u.Scheme == "https" {
		secure = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	const most = 64 << 20 // a list of 10 000 ids, a batch of vectors
	options := append([]grpc.DialOption{
		grpc.WithTransportCredentials(secure),
		// gRPC's own back-off begins with a second, for which every search would
		// go on failing once the server has returned.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: s.timeout,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(most), grpc.MaxCallSendMsgSize(most)),
	}, o.Dial...)
	if s.conn, err = grpc.NewClient(target, options...); err != nil {
		return nil, errors.New("weaviate: the gRPC address is not host:port")
	}
	s.grpc = pb.NewWeaviateClient(s.conn)
	return s, nil
}

func (s *server) close() error {
	s.http.CloseIdleConnections()
	return s.conn.Close()
}

// A failure is an error of the store in our own words.
type failure struct{ doing string }

func (f *failure) Error() string        { return "weaviate: " + f.doing }
func (f *failure) Is(target error) bool { return target == retrieval.ErrIndex }

func faultOf(doing string) error { return &failure{doing} }

// failed translates an error of the store.
func failed(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); errors.Is(cause, context.Canceled) {
		return cause // the caller went away
	}
	return faultOf(doing)
}

// call bounds a request and carries the key.
func (s *server) call(ctx context.Context, patience time.Duration) (context.Context, context.CancelFunc) {
	if s.key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+s.key)
	}
	return context.WithTimeout(ctx, patience)
}

func (s *server) ready(ctx context.Context) error {
	ctx, cancel := s.call(ctx, s.timeout)
	defer cancel()
	ok, err := s.rest.Misc().ReadyChecker().Do(ctx)
	if err != nil || !ok {
		return faultOf("the server is not ready")
	}
	return nil
}

// trust refuses a server that anyone can read, or that makes classes by itself.
func (s *server) trust(ctx context.Context, o Options) error {
	if err := s.ready(ctx); err != nil {
		return err
	}
	if !o.Open && !loopback(s.base.Hostname()) {
		open, err := s.anonymous(ctx)
		if err != nil {
			return err
		}
		if open {
			return ErrOpen
		}
	}
	return s.noAutoSchema(ctx)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// anonymous reports whether the server answers without a key.
func (s *server) anonymous(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base.JoinPath("v1/schema").String(), nil)
	if err != nil {
		return false, faultOf("ask without a key")
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return false, failed(ctx, "ask without a key", err)
	}
	resp.Body.Close()
	return resp.StatusCode < 300, nil
}

// noAutoSchema puts an object into a class that is not there: refused, unless
// the server makes classes by itself.
func (s *server) noAutoSchema(ctx context.Context) error {
	name := "AssentProbe" + rand.Text()
	ctx, cancel := s.call(ctx, s.timeout)
	defer cancel()
	_, err := s.rest.Data().Creator().WithClassName(name).WithProperties(map[string]any{"probe": true}).Do(ctx)
	if err == nil {
		_ = s.rest.Schema().ClassDeleter().WithClassName(name).Do(ctx)
		return ErrAutoSchema
	}
	if status(err) < 400 || status(err) >= 500 {
		return failed(ctx, "probe for an automatic schema", err)
	}
	return nil
}

// status is the HTTP status of a client's error; 0 for others.
func status(err error) int {
	var e *fault.WeaviateClientError
	if errors.As(err, &e) && e.IsUnexpectedStatusCode {
		return e.StatusCode
	}
	return 0
}

// class returns a class, nil when it is not there.
func (s *server) class(ctx context.Context, name string) (*models.Class, error) {
	ctx, cancel := s.call(ctx, s.timeout)
	defer cancel()
	c, err := s.rest.Schema().ClassGetter().WithClassName(name).Do(ctx)
	if status(err) == http.StatusNotFound {
		return nil, nil
	}
	if err != nil || c == nil || c.Class != name {
		return nil, failed(ctx, "read a class", errors.Join(err, fmt.Errorf("another class")))
	}
	return c, nil
}

// blockMax reports whether a class's keyword index is of the store's newer kind;
// the client does not know of it.
func (s *server) blockMax(ctx context.Context, name string) (bool, error) {
	const doing = "read a class"
	call, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(call, http.MethodGet, s.base.JoinPath("v1/schema", name).String(), nil)
	if err != nil {
		return false, faultOf(doing)
	}
	if s.key != "" {
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return false, failed(ctx, doing, err)
	}
	defer resp.Body.Close()
	var class struct {
		InvertedIndexConfig struct{ UsingBlockMaxWAND bool }
	}
	if resp.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&class) != nil {
		return false, faultOf(doing)
	}
	return class.InvertedIndexConfig.UsingBlockMaxWAND, nil
}

// classes lists all classes of the server, of whoever.
func (s *server) classes(ctx context.Context) ([]*models.Class, error) {
	const doing = "list classes"
	call, cancel := s.call(ctx, s.timeout)
	defer cancel()
	dump, err := s.rest.Schema().Getter().Do(call)
	if err != nil {
		return nil, failed(ctx, doing, err)
	}
	if dump == nil {
		return nil, faultOf(doing)
	}
	return dump.Classes, nil
}

func (s *server) createClass(ctx context.Context, c *models.Class) error {
	ctx, cancel := s.call(ctx, s.write)
	defer cancel()
	return failed(ctx, "make a class", s.rest.Schema().ClassCreator().WithClass(c).Do(ctx))
}

// deleteClass is fine with an absent one, and looks that it is gone.
func (s *server) deleteClass(ctx context.Context, name string) error {
	call, cancel := s.call(ctx, s.write)
	defer cancel()
	if err := s.rest.Schema().ClassDeleter().WithClassName(name).Do(call); err != nil && status(err) == 0 {
		return failed(ctx, "delete a class", err)
	}
	c, err := s.class(ctx, name)
	if err == nil && c != nil {
		err = faultOf("delete a class")
	}
	return err
}
