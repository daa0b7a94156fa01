package httpapi

import (
	"net/http"
	"slices"

	"github.com/assent-gateway/assent/internal/credential"
)

// A route is one line of the table below: what may be asked, which scope it
// needs, and which query parameters it knows.
type route struct {
	method, path string
	need         need
	query        []string
	handle       func(*call) error
}

// need says who may call a route.
type need struct {
	level level
	anyOf credential.Scopes
}

type level uint8

const (
	scoped    level = iota // a key with one of anyOf
	public                 // everybody
	anyKey                 // every valid key
	bootstrap              // the bootstrap key alone
)

func oneOf(s credential.Scopes) need { return need{scoped, s} }

func (n need) check(k *credential.Key) error {
	switch n.level {
	case public, anyKey:
		return nil
	case bootstrap:
		if k.Bootstrap {
			return nil
		}
	case scoped:
		if k.Scopes.HasAny(n.anyOf) {
			return nil
		}
	}
	return errScope
}

// routes is every route there is. A test compares it with what Gin serves and
// with openapi.yaml.
func (a *api) routes() []route {
	const get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	var (
		search    = oneOf(credential.Search)
		ingest    = oneOf(credential.Ingest)
		setUp     = oneOf(credential.Ingest | credential.Admin)
		read      = oneOf(credential.ConsentRead)
		write     = oneOf(credential.ConsentWrite)
		publish   = oneOf(credential.ConsentWrite | credential.Admin)
		admin     = oneOf(credential.Admin)
		everybody = need{level: public}
		holders   = need{level: anyKey}
		prove     = oneOf(credential.Audit | credential.ConsentRead)
		readers   = oneOf(credential.Audit)
		erasures  = oneOf(credential.ErasureRead)
		erase     = oneOf(credential.ErasureWrite)
		deliver   = oneOf(credential.ConsentWrite | credential.ErasureWrite)
		hear      = oneOf(credential.ConsentRead | credential.ErasureRead | credential.ManifestRead)
		operator  = need{level: bootstrap}
		choose    = oneOf(credential.ManifestWrite)
		manifests = oneOf(credential.ManifestRead)
	)
	if a.PublicLog {
		readers = everybody
	}
	out := []route{
		{get, "/healthz", everybody, nil, (*call).health},
		{get, "/readyz", everybody, nil, (*call).ready},
		{get, "/openapi.yaml", everybody, nil, (*call).openAPI},
		{get, "/metrics", everybody, nil, (*call).metrics},

		{post, "/v1/tenants", operator, nil, (*call).createTenant},
		{post, "/v1/keys", admin, nil, (*call).createKey},
		{get, "/v1/keys", admin, nil, (*call).listKeys},
		{del, "/v1/keys/:id", admin, nil, (*call).revokeKey},

		{put, "/v1/collections/:c", setUp, nil, (*call).putCollection},
		{get, "/v1/collections", holders, nil, (*call).listCollections},
		{get, "/v1/collections/:c", holders, nil, (*call).getCollection},
		{del, "/v1/collections/:c", setUp, nil, (*call).dropCollection},

		{post, "/v1/collections/:c/documents", ingest, nil, (*call).ingest},
		{get, "/v1/collections/:c/documents/:id", search, []string{"purpose"}, (*call).getDocument},
		{del, "/v1/collections/:c/documents/:id", ingest, nil, (*call).deleteDocument},
		{post, "/v1/collections/:c/search", search, nil, (*call).search},
		{post, "/v1/passages/check", search, nil, (*call).checkPassages},

		{put, "/v1/consent-types/:type", publish, nil, (*call).publishType},
		{get, "/v1/consent-types", holders, nil, (*call).listTypes},

		{post, "/v1/manifests", choose, nil, (*call).createManifest},
		{get, "/v1/manifests/:id", manifests, nil, (*call).getManifest},
		{post, "/v1/manifests/:id/resume", choose, nil, (*call).resumeManifest},
		{get, "/v1/manifests/:id/files/*path", manifests, nil, (*call).getManifestFile},
		{get, "/v1/manifests/:id/statement", manifests, nil, (*call).getStatement},
		{get, "/v1/manifests/:id/croissant", manifests, nil, (*call).getCroissant},
		{get, "/v1/manifests/:id/check", manifests, nil, (*call).checkManifest},
		{get, "/v1/manifests/:id/diff/:other", manifests, nil, (*call).diffManifests},
		{post, "/v1/manifests/:id/runs", choose, nil, (*call).bindRun},
		{get, "/v1/manifests/:id/runs", manifests, nil, (*call).listRuns},
		{post, "/v1/manifests/:id/runs/:run/remedy", choose, nil, (*call).decideRemedy},
		{get, "/v1/subjects/:user/training", prove, nil, (*call).subjectTraining},
		{post, "/v1/subjects/:user/identifiers", write, nil, (*call).addIdentifier},
		{post, "/v1/events", deliver, nil, (*call).receive},
		{get, "/v1/events", hear, []string{"after", "limit"}, (*call).listEvents},
		{put, "/v1/processors/:name", admin, nil, (*call).putProcessor},
		{get, "/v1/processors", admin, nil, (*call).listProcessors},
		{del, "/v1/processors/:name", admin, nil, (*call).dropProcessor},
		{post, "/v1/erasures", erase, nil, (*call).requestErasure},
		{get, "/v1/erasures", erasures, []string{"state", "limit", "cursor"}, (*call).listErasures},
		{get, "/v1/erasures/:id", erasures, nil, (*call).getErasure},
		{get, "/v1/erasures/:id/receipt", erasures, nil, (*call).erasureReceipt},
		{post, "/v1/erasures/:id/acknowledgements", holders, nil, (*call).acknowledge},
		{get, "/v1/erasures/:id/mentions", erasures, nil, (*call).listMentions},
		{post, "/v1/erasures/:id/mentions/:n", erase, nil, (*call).reviewMention},
		{post, "/v1/erasures/:id/verify", erase, nil, (*call).verifyErasure},
		{post, "/v1/erasures/:id/hold", erase, nil, (*call).holdErasure},
		{post, "/v1/erasures/:id/release", erase, nil, (*call).releaseErasure},
		{post, "/v1/erasures/:id/cancel", erase, nil, (*call).cancelErasure},
		{post, "/v1/erasures/:id/decide", erase, nil, (*call).decideErasure},

		{post, "/v1/rebuilds", admin, nil, (*call).startRebuild},
		{get, "/v1/rebuilds", admin, nil, (*call).listRebuilds},

		{get, "/log/:tenant/checkpoint", readers, nil, (*call).logCheckpoint},
		{get, "/log/:tenant/tile/*path", readers, nil, (*call).logTile},
		{get, "/v1/log/key", holders, nil, (*call).logKey},
		{get, "/v1/log/proof/:position", prove, nil, (*call).logProof},
	}
	// The three seeds' paths answer without the version, too.
	for _, prefix := range []string{"/v1/consent", "/consent"} {
		out = append(out,
			route{post, prefix, write, nil, (*call).recordConsent},
			route{post, prefix + "/query", read, nil, (*call).queryConsent},
			route{post, prefix + "/decide", read, nil, (*call).decide},
			route{get, prefix + "/:user", read, nil, (*call).getConsent},
			route{get, prefix + "/:user/history", read, []string{"limit", "cursor"}, (*call).history},
			route{get, prefix + "/:user/:type", read, nil, (*call).getGranted},
		)
	}
	return out
}

// Templates are the paths of all routes, as access log and metrics name them.
func Templates() []string {
	var out []string
	for _, rt := range (&api{}).routes() {
		if !slices.Contains(out, rt.path) {
			out = append(out, rt.path)
		}
	}
	return out
}
