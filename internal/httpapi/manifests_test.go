package httpapi_test

import (
	"fmt"
	"strings"
	"testing"
)

// filled is a gateway with a collection whose people permit training.
func filled(t *testing.T) *server {
	t.Helper()
	s := open(t)
	s.collection(t, "mail")
	for i := range 12 {
		who := fmt.Sprint("p", i)
		s.says(t, "granted", who)
		s.do(t, "POST", "/v1/consent", fmt.Sprintf(`{"user_id":%q,"consent_type":"model_training_v1.0","status":"granted","source":"test"}`, who)).is(201)
		s.store(t, "mail", fmt.Sprint("d", i), who, "some text")
	}
	return s
}

const plainManifest = `{"purpose":"model_training","collections":["mail"],"formats":["jsonl"]}`

func TestManifestRequestsThatAreNotValid(t *testing.T) {
	t.Parallel()
	s := filled(t)
	with := func(more string) string { return plainManifest[:len(plainManifest)-1] + more + "}" }
	for body, field := range map[string]string{
		`{"purpose":"model_training","formats":["jsonl"]}`:          "collections",
		`{"purpose":"model_training","collections":["mail"]}`:       "formats",
		`{"collections":["mail"],"formats":["jsonl"]}`:              "purpose",
		with(`,"splits":{"train":0.5,"test":0.4}`):                  "splits",
		with(`,"splits":{"train":-1,"test":2}`):                     "splits",
		with(`,"splits":{"a/b":1}`):                                 "splits",
		with(`,"splits":{}`):                                        "splits",
		with(`,"expires_in":"soon"`):                                "expires_in",
		with(`,"expires_in":"1s"`):                                  "expires_in",
		with(`,"at_position":0`):                                    "at_position",
		with(`,"at_position":100000`):                               "at_position",
		with(`,"at_corpus_position":100000`):                        "at_corpus_position",
		with(`,"visibilities":["everybody"]`):                       "visibilities",
		with(`,"visibilities":[]`):                                  "visibilities",
		with(`,"filter":{"field":"year","op":"like","value":"x"}`):  "filter.op",
		with(`,"filter":null`):                                      "filter",
		with(`,"surprise":1`):                                       "surprise",
		strings.Replace(plainManifest, `["jsonl"]`, `["csv"]`, 1):   "formats",
		strings.Replace(plainManifest, `"model_training"`, `""`, 1): "purpose",
	} {
		s.do(t, "POST", "/v1/manifests", body).is(400, "invalid_input", field)
	}
	s.do(t, "POST", "/v1/manifests", strings.Replace(plainManifest, `"mail"`, `"absent"`, 1)).is(404, "not_found")
	s.do(t, "POST", "/v1/manifests", strings.Replace(plainManifest, `"model_training"`, `"advertising"`, 1)).is(403, "purpose_not_permitted")
	for _, path := range []string{"", "/check", "/statement", "/croissant", "/files/manifest.json", "/runs", "/diff/m_y"} {
		s.do(t, "GET", "/v1/manifests/m_x"+path, "").is(404, "not_found")
	}
}

func TestManifestsAreOfTheirKeysReach(t *testing.T) {
	t.Parallel()
	s := filled(t)
	m := s.manifest(t, plainManifest)
	path := "/v1/manifests/" + m.get("id")
	reader := s.key(t, "manifest:read", `"purposes":["model_training"]`)
	s.ask(t, reader, "GET", path, "").is(200)
	s.ask(t, reader, "GET", path+"/files/data/train-00000-of-00001.jsonl", "").is(200)
	s.ask(t, reader, "POST", "/v1/manifests", plainManifest).is(403, "scope_missing")
	s.ask(t, reader, "POST", path+"/runs", `{"run_id":"r"}`).is(403, "scope_missing")
	s.ask(t, reader, "GET", "/v1/subjects/p1/training", "").is(403, "scope_missing")
	s.ask(t, s.key(t, "manifest:read"), "GET", path, "").is(404, "not_found") // of another purpose
	s.ask(t, s.key(t, "manifest:read", `"purposes":["model_training"]`, `"collections":["other"]`), "GET", path+"/check", "").is(404, "not_found")
	writer := s.key(t, "manifest:write", `"purposes":["model_training"]`, `"collections":["other"]`)
	s.ask(t, writer, "POST", "/v1/manifests", plainManifest).is(404, "not_found")
	s.ask(t, s.key(t, "search", `"purposes":["model_training"]`), "GET", path, "").is(403, "scope_missing")
	tenant := s.do(t, "POST", "/v1/tenants", `{"name":"another"}`).is(201).get("key")
	s.ask(t, tenant, "GET", path, "").is(404, "not_found")
}

func TestManifestLifeOverHTTP(t *testing.T) {
	t.Parallel()
	s := filled(t)
	once := "Idempotency-Key: one"
	first := s.do(t, "POST", "/v1/manifests", plainManifest, once).is(202)
	if again := s.do(t, "POST", "/v1/manifests", plainManifest, once).is(202); again.get("id") != first.get("id") || again.get("state") != "building" {
		t.Errorf("repeated: %s", again.body)
	}
	s.do(t, "POST", "/v1/manifests", strings.Replace(plainManifest, "jsonl", "parquet", 1), once).is(409, "idempotency_key_reused")
	id := first.get("id")
	path := "/v1/manifests/" + id
	m := s.ready(t, id)
	if m.get("rows") != "12" || m.get("withheld") != "0" || m.get("digest") == "" || m.get("files.1.name") != "croissant.json" {
		t.Errorf("%s", m.body)
	}
	s.do(t, "GET", path+"/files/data/none.jsonl", "").is(404, "not_found")
	f := s.do(t, "GET", path+"/files/data/train-00000-of-00001.jsonl", "").is(200)
	if strings.Count(string(f.body), "\n") != 12 || fmt.Sprint(len(f.body)) != f.header.Get("Content-Length") {
		t.Errorf("%d bytes, %s", len(f.body), f.header.Get("Content-Length"))
	}
	if c := s.do(t, "GET", path+"/check", "").is(200); c.get("status") != "valid" || c.get("drop_count") != "0" {
		t.Errorf("%s", c.body)
	}
	if c := s.do(t, "GET", path+"/croissant", "").is(200); c.get("conformsTo") != "http://mlcommons.org/croissant/1.1" {
		t.Errorf("%s", c.body)
	}
	if e := s.do(t, "GET", path+"/statement", "").is(200); e.get("payloadType") != "application/vnd.in-toto+json" {
		t.Errorf("%s", e.body)
	}
	s.do(t, "POST", path+"/runs", `{"run_id":"","pipeline":"x"}`).is(400, "invalid_input", "run_id")
	s.do(t, "POST", path+"/runs", `{"run_id":"r","model_digest":"md5:1"}`).is(400, "invalid_input", "model_digest")
	for _, status := range []int{201, 200} {
		if r := s.do(t, "POST", path+"/runs", `{"run_id":"r","pipeline":"x"}`).is(status); r.get("run_id") != "r" {
			t.Errorf("%s", r.body)
		}
	}
	s.do(t, "POST", path+"/runs", `{"run_id":"r","pipeline":"y"}`).is(409, "conflict")
	if r := s.do(t, "GET", path+"/runs", "").is(200); r.get("runs.0.pipeline") != "x" || r.get("runs.1.run_id") != "" {
		t.Errorf("%s", r.body)
	}
	if u := s.do(t, "GET", "/v1/subjects/user:p3/training", "").is(200); u.get("manifests.0.id") != id || u.get("manifests.0.permitted") != "true" || u.get("manifests.0.runs.0.run_id") != "r" {
		t.Errorf("%s", u.body)
	}
	s.do(t, "POST", "/v1/consent", `{"user_id":"p3","consent_type":"model_training_v1.0","status":"revoked","source":"test"}`).is(201)
	if c := s.do(t, "GET", path+"/check", "").is(200); c.get("status") != "stale" || c.get("drop_count") != "1" || c.get("drop_reasons.refused") != "1" {
		t.Errorf("%s", c.body)
	}
	s.do(t, "GET", path+"/files/manifest.json", "").is(409, "manifest_stale")
	s.do(t, "POST", path+"/runs", `{"run_id":"later"}`).is(409, "manifest_stale")
	if u := s.do(t, "GET", "/v1/subjects/p3/training", "").is(200); u.get("manifests.0.assessment") != "assessment_required" {
		t.Errorf("%s", u.body)
	}
	if r := s.do(t, "GET", path+"/runs", "").is(200); r.get("runs.0.assessment") != "assessment_required" {
		t.Errorf("%s", r.body)
	}
	remedy := path + "/runs/r/remedy"
	for body, field := range map[string]string{
		`{"remedy":"forget","by":"Dr. Cy"}`:              "remedy",
		`{"remedy":"retrain"}`:                           "by",
		`{"remedy":"retrain","by":"a\u0000"}`:            "by",
		`{"remedy":"retrain","by":"Dr. Cy","note":"\n"}`: "note",
	} {
		s.do(t, "POST", remedy, body).is(400, "invalid_input", field)
	}
	s.do(t, "POST", path+"/runs/other/remedy", `{"remedy":"retrain","by":"Dr. Cy"}`).is(404, "not_found")
	for _, status := range []int{201, 200} {
		if r := s.do(t, "POST", remedy, `{"remedy":"no_action","by":"Dr. Cy","note":"one of many"}`).is(status); r.get("by") != "Dr. Cy" || r.get("decided_at") == "" {
			t.Errorf("%s", r.body)
		}
	}
	once = "Idempotency-Key: remedy"
	first = s.do(t, "POST", remedy, `{"remedy":"adapter_removal","by":"Dr. Cy"}`, once).is(201)
	s.do(t, "POST", remedy, `{"remedy":"retrain","by":"Dr. Cy"}`).is(201)
	// A repeat that comes late decides nothing anew.
	if r := s.do(t, "POST", remedy, `{"remedy":"adapter_removal","by":"Dr. Cy"}`, once).is(201); string(r.body) != string(first.body) {
		t.Errorf("repeated: %s, first %s", r.body, first.body)
	}
	if r := s.do(t, "GET", path+"/runs", "").is(200); r.get("runs.0.remedy.remedy") != "retrain" || r.get("runs.0.remedy.by") != "Dr. Cy" || r.get("runs.0.assessment") != "decided" {
		t.Errorf("%s", r.body)
	}
	if u := s.do(t, "GET", "/v1/subjects/p3/training", "").is(200); u.get("manifests.0.assessment") != "decided" || u.get("manifests.0.runs.0.remedy.remedy") != "retrain" || strings.Contains(string(u.body), "Dr. Cy") {
		t.Errorf("%s", u.body)
	}
	next := s.manifest(t, plainManifest)
	if d := s.do(t, "GET", path+"/diff/"+next.get("id"), "").is(200); strings.Count(string(d.body), "\n") != 1 || d.get("op") != "removed" || d.get("reason") != "refused" {
		t.Errorf("%s", d.body)
	}
	s.do(t, "POST", path+"/resume", "").is(202)
	if err := s.Training.Erase(t.Context(), "default", next.get("id")); err != nil {
		t.Fatal(err)
	}
	s.do(t, "GET", "/v1/manifests/"+next.get("id")+"/files/manifest.json", "").is(410, "manifest_erased")
	if m := s.do(t, "GET", "/v1/manifests/"+next.get("id"), "").is(200); m.get("files_erased") != "true" {
		t.Errorf("%s", m.body)
	}
}
