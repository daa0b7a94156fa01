package training

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/assent-gateway/assent/consent"
)

// croissant renders a manifest as a Croissant 1.1 data set
// (http://mlcommons.org/croissant/1.1), with the conditions of its use in
// usageInfo as an ODRL offer: the vocabulary has no term for consent.
func croissant(id string, j *job, at consent.Time) ([]byte, error) {
	distribution := []any{}
	sets := map[string]string{}
	for _, f := range j.Files {
		format := "text/markdown"
		switch {
		case strings.HasSuffix(f.Name, ".jsonl"):
			format = "application/jsonlines"
		case strings.HasSuffix(f.Name, ".parquet"):
			format = "application/vnd.apache.parquet"
		case strings.HasSuffix(f.Name, ".json"):
			format = "application/json"
		}
		if strings.HasPrefix(f.Name, "data/") {
			sets[f.Name[strings.LastIndexByte(f.Name, '.')+1:]] = format
		}
		distribution = append(distribution, map[string]any{
			"@type": "cr:FileObject", "@id": f.Name, "name": f.Name, "contentUrl": f.Name, "contentSize": fmt.Sprintf("%d B", f.Bytes),
			"encodingFormat": format, "sha256": f.SHA256,
		})
	}
	records := []any{}
	for _, name := range []string{"parquet", "jsonl"} {
		if format, ok := sets[name]; ok {
			distribution = append(distribution, map[string]any{
				"@type": "cr:FileSet", "@id": "rows-" + name, "name": "rows-" + name, "encodingFormat": format, "includes": "data/*." + name,
			})
			if len(records) == 0 {
				records = append(records, recordSet("rows-"+name, Columns{j.Spec.IncludeText, j.Spec.Linkable}))
			}
		}
	}
	day := at.Time().Format("2006-01-02")
	set := map[string]any{
		"@context": map[string]any{
			"@language": "en", "@vocab": "https://schema.org/", "sc": "https://schema.org/", "cr": "http://mlcommons.org/croissant/",
			"dct": "http://purl.org/dc/terms/", "odrl": "http://www.w3.org/ns/odrl/2/", "conformsTo": "dct:conformsTo",
			"recordSet": "cr:recordSet", "field": "cr:field", "dataType": map[string]any{"@id": "cr:dataType", "@type": "@vocab"},
			"source": "cr:source", "extract": "cr:extract", "fileSet": "cr:fileSet", "column": "cr:column", "includes": "cr:includes",
			"repeated": "cr:repeated",
		},
		"@type": "sc:Dataset", "conformsTo": "http://mlcommons.org/croissant/1.1", "@id": id, "name": id, "identifier": j.Digest,
		"description": fmt.Sprintf("Training manifest for the purpose %s: %d rows that the consent ledger permits at position %d, %d withheld. Files that come from here may be used as long as the manifest is valid: check before use.",
			j.Spec.Purpose, j.Rows, j.Entry, j.Withheld),
		"license": "urn:assent:license:as-permitted-by-the-manifest", "url": "urn:assent:manifest:" + id,
		"creator":       map[string]any{"@type": "sc:Organization", "name": "the operator of the gateway"},
		"datePublished": day, "dateModified": day, "expires": j.ExpiresAt.String(), "version": "1.0.0",
		"usageInfo": map[string]any{
			"@type": "odrl:Offer", "odrl:uid": "urn:assent:manifest:" + id,
			"odrl:permission": []any{map[string]any{
				"odrl:action": "odrl:use", "odrl:target": id,
				"odrl:constraint": []any{
					constraint("odrl:purpose", "odrl:eq", j.Spec.Purpose),
					constraint("odrl:dateTime", "odrl:lt", j.ExpiresAt.String()),
				},
				"odrl:duty": []any{map[string]any{"odrl:action": "odrl:obtainConsent",
					"description": "Ask check before each use: people may withdraw. Drop the rows it names."}},
			}},
			"odrl:prohibition": []any{map[string]any{"odrl:action": "odrl:distribute", "odrl:target": id}},
		},
		"distribution": distribution, "recordSet": records,
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // members in the order of their names
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(set)
	return b.Bytes(), err
}

func constraint(left, operator, right string) map[string]any {
	return map[string]any{"odrl:leftOperand": left, "odrl:operator": operator, "odrl:rightOperand": right}
}

// recordSet describes the columns of the rows.
func recordSet(from string, c Columns) map[string]any {
	columns := []string{"row", "document", "source", "content_digest", "subjects", "consent_types", "lawful_basis", "split"}
	if c.Text {
		columns = append(columns, "text")
	}
	if c.Linkable {
		columns = append(columns, "passage_id", "document_id", "content_sha256")
	}
	fields := []any{}
	for _, name := range columns {
		f := map[string]any{
			"@type": "cr:Field", "@id": "rows/" + name, "name": name, "dataType": "sc:Text",
			"source": map[string]any{"fileSet": map[string]any{"@id": from}, "extract": map[string]any{"column": name}},
		}
		if name == "subjects" || name == "consent_types" {
			f["repeated"] = true
		}
		fields = append(fields, f)
	}
	return map[string]any{"@type": "cr:RecordSet", "@id": "rows", "name": "rows", "field": fields}
}

// readme is README.md: the YAML that Hugging Face's loader reads, and what a
// person should know.
func readme(j *job) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("---\nconfigs:\n")
	for i, format := range j.Spec.Formats {
		fmt.Fprintf(&b, "- config_name: %s\n", format)
		if i == len(j.Spec.Formats)-1 {
			b.WriteString("  default: true\n")
		}
		b.WriteString("  data_files:\n")
		for _, s := range j.Spec.Splits {
			fmt.Fprintf(&b, "  - split: %s\n    path: data/%s-*.%s\n", s.Name, s.Name, format)
		}
	}
	fmt.Fprintf(&b, `---

# Training manifest

%d rows for the purpose %s, chosen by a consent ledger at position %d.

Rows name documents, sources and people by tokens of this manifest alone: they
mean nothing in another. Who is here may withdraw. Ask whether the manifest
still holds before each use, and drop the rows that the answer names:

    assent manifest check ID

Verify what you were given, offline:

    assent-verify manifest DIR --key VKEY
`, j.Rows, j.Spec.Purpose, j.Spec.AtPosition)
	return b.Bytes(), nil
}
