package storetest

import (
	"cmp"
	"testing"

	"github.com/assent-gateway/assent/consent"
	"github.com/assent-gateway/assent/internal/credential"
)

func apiKey(i int, tenant consent.TenantID) credential.KeyRow {
	return credential.KeyRow{ID: "ключ-" + string(rune('a'+i)), Tenant: tenant, Hash: mac("hash", i), Sealed: box("grant", i),
		CreatedAt: consent.Time(1000 - i), ExpiresAt: consent.Time(i)}
}

var credentialCases = []testCase{{
	name:     "a tenant is added with its first keys and empty heads",
	contract: "credential/ports.go: AddTenant makes a tenant with empty ledger and corpus heads",
	run: func(t *testing.T, f *fixture) {
		row := credential.TenantRow{ID: "日本", Sealed: box("name", 1), CreatedAt: 1_767_323_045_123_456_789}
		first := []credential.KeyRow{apiKey(1, row.ID), apiKey(2, row.ID)}
		first[1].Sealed = nil
		must(t, f.AddTenant(f.ctx, row, first, nil))
		all, err := f.Tenants(f.ctx)
		must(t, err)
		sameSet(t, "tenants", all, []credential.TenantRow{row,
			{ID: tenantA, Sealed: []byte(tenantA), CreatedAt: 1}, {ID: tenantB, Sealed: []byte(tenantB), CreatedAt: 1}},
			func(a, b credential.TenantRow) int { return cmp.Compare(a.ID, b.ID) })
		keys, err := f.Keys(f.ctx, row.ID)
		must(t, err)
		same(t, "keys", keys, []credential.KeyRow{first[1], first[0]})
		same(t, "ledger head", f.head(t, row.ID).Position, consent.Position(0))
		same(t, "corpus head", int(f.corpusHead(t, row.ID)), 0)
	},
}, {
	name:     "a tenant that exists is refused and nothing of it is kept",
	contract: "credential/ports.go: ErrExists: the tenant or key is there already",
	run: func(t *testing.T, f *fixture) {
		must(t, f.AddKey(f.ctx, apiKey(1, tenantA), nil))
		again := credential.TenantRow{ID: tenantA, CreatedAt: 2}
		remember := []consent.Remembered{remembered(1)}
		wantErr(t, f.AddTenant(f.ctx, again, []credential.KeyRow{apiKey(2, tenantA)}, remember), credential.ErrExists)
		f.wantNothing(t)
		sameHash := apiKey(3, nowhere)
		sameHash.Hash = apiKey(1, tenantA).Hash
		err := f.AddTenant(f.ctx, credential.TenantRow{ID: nowhere, CreatedAt: 3}, []credential.KeyRow{apiKey(2, nowhere), sameHash}, nil)
		wantErr(t, err, credential.ErrExists)
		if err := f.AddTenant(f.ctx, credential.TenantRow{ID: nowhere, CreatedAt: 3}, []credential.KeyRow{apiKey(4, tenantA)}, nil); err == nil {
			t.Error("a tenant was made with another tenant's key")
		}
		all, err := f.Tenants(f.ctx)
		must(t, err)
		same(t, "tenants", len(all), 2)
		keys, err := f.Keys(f.ctx, tenantA)
		must(t, err)
		same(t, "keys", keys, []credential.KeyRow{apiKey(1, tenantA)})
	},
}, {
	name:     "a key is added once, to a tenant that is there",
	contract: "credential/ports.go: AddKey: ErrExists on an id or hash that is there, ErrNotFound when the tenant is not",
	run: func(t *testing.T, f *fixture) {
		k := apiKey(1, tenantA)
		must(t, f.AddKey(f.ctx, k, nil))
		sameID, sameHash := apiKey(2, tenantA), apiKey(3, tenantB)
		sameID.ID, sameHash.Hash = k.ID, k.Hash
		remember := []consent.Remembered{remembered(1)}
		wantErr(t, f.AddKey(f.ctx, sameID, remember), credential.ErrExists)
		wantErr(t, f.AddKey(f.ctx, sameHash, remember), credential.ErrExists)
		wantErr(t, f.AddKey(f.ctx, apiKey(4, nowhere), remember), credential.ErrNotFound)
		f.wantNothing(t)
		keys, err := f.Keys(f.ctx, tenantA)
		must(t, err)
		same(t, "keys", keys, []credential.KeyRow{k})
	},
}, {
	name:     "a repeated request is reported",
	contract: "credential/ports.go: consent.ErrRemembered as in consent.Store.Append",
	run: func(t *testing.T, f *fixture) {
		r := remembered(1)
		r.At = f.head(t, tenantA).Now
		remember := []consent.Remembered{r}
		must(t, f.AddKey(f.ctx, apiKey(1, tenantA), remember))
		got, found, err := f.Recall(f.ctx, tenantA, r.Key)
		must(t, err)
		same(t, "found", found, true)
		same(t, "recalled", got, r)
		wantErr(t, f.AddKey(f.ctx, apiKey(2, tenantA), remember), consent.ErrRemembered)
		wantErr(t, f.AddKey(f.ctx, apiKey(1, tenantA), remember), consent.ErrRemembered)
		row := credential.TenantRow{ID: nowhere, CreatedAt: 3}
		must(t, f.AddTenant(f.ctx, row, nil, remember))
		wantErr(t, f.AddTenant(f.ctx, row, nil, remember), consent.ErrRemembered)
		keys, err := f.Keys(f.ctx, tenantA)
		must(t, err)
		same(t, "keys", len(keys), 1)
	},
}, {
	name:     "keys are listed oldest first, revoked and expired ones too",
	contract: "credential/ports.go: Keys returns a tenant's keys, oldest first, revoked ones too",
	run: func(t *testing.T, f *fixture) {
		var want []credential.KeyRow
		for i := range 5 {
			k := apiKey(i, tenantA)
			must(t, f.AddKey(f.ctx, k, nil))
			want = append([]credential.KeyRow{k}, want...) // created earlier than the one before
		}
		must(t, f.AddKey(f.ctx, apiKey(9, tenantB), nil))
		must(t, f.RevokeKey(f.ctx, tenantA, want[2].ID))
		want[2].RevokedAt = consent.TimeOf(f.clock.Now())
		keys, err := f.Keys(f.ctx, tenantA)
		must(t, err)
		same(t, "keys", keys, want)
		keys, err = f.Keys(f.ctx, nowhere)
		must(t, err)
		same(t, "keys of no tenant", len(keys), 0)
	},
}, {
	name:     "a key is found by its hash, revoked or expired as it may be",
	contract: "credential/ports.go: KeyByHash returns the key with this hash, revoked or expired as it may be",
	run: func(t *testing.T, f *fixture) {
		k := apiKey(1, tenantB)
		k.RevokedAt = 77
		must(t, f.AddKey(f.ctx, apiKey(2, tenantA), nil))
		must(t, f.AddKey(f.ctx, k, nil))
		got, err := f.KeyByHash(f.ctx, k.Hash)
		must(t, err)
		same(t, "key", got, k)
		_, err = f.KeyByHash(f.ctx, mac("hash", 3))
		wantErr(t, err, credential.ErrNotFound)
	},
}, {
	name:     "revoking takes the database's time and twice keeps the first",
	contract: "credential/ports.go: RevokeKey marks a key revoked at the database's clock. Revoking twice keeps the first time",
	run: func(t *testing.T, f *fixture) {
		k := apiKey(1, tenantA)
		must(t, f.AddKey(f.ctx, k, nil))
		k.RevokedAt = consent.TimeOf(f.clock.Now())
		for range 2 {
			must(t, f.RevokeKey(f.ctx, tenantA, k.ID))
			f.clock.move(1)
			got, err := f.KeyByHash(f.ctx, k.Hash)
			must(t, err)
			same(t, "key", got, k)
		}
		now, err := f.Now(f.ctx)
		must(t, err)
		same(t, "clock", now, k.RevokedAt+2)
	},
}, {
	name:     "revoking what is absent or another tenant's is not found",
	contract: "credential/ports.go: RevokeKey: ErrNotFound; " + p11,
	run: func(t *testing.T, f *fixture) {
		k := apiKey(1, tenantA)
		must(t, f.AddKey(f.ctx, k, nil))
		wantErr(t, f.RevokeKey(f.ctx, tenantA, "absent"), credential.ErrNotFound)
		wantErr(t, f.RevokeKey(f.ctx, tenantB, k.ID), credential.ErrNotFound)
		got, err := f.KeyByHash(f.ctx, k.Hash)
		must(t, err)
		same(t, "key", got, k)
	},
}}
