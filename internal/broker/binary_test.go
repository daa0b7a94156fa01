package broker

import "testing"

func TestAnEventInBinaryModeIsPutTogether(t *testing.T) {
	t.Parallel()
	const data = `{"scope":"subject"}`
	for name, c := range map[string]struct {
		attributes map[string]string
		kind, body string
		want       string
	}{
		"structured":   {nil, "application/cloudevents+json", `{"specversion":"1.0","data":{}}`, `{"specversion":"1.0","data":{}}`},
		"not an event": {map[string]string{"id": "1"}, "", "CANARY", "CANARY"},
		"binary": {
			map[string]string{"specversion": "1.0", "id": `1"`, "source": "/crm", "type": "t", "other": "o"}, "application/json", data,
			`{"data":{"scope":"subject"},"datacontenttype":"application/json","id":"1\"","source":"/crm","specversion":"1.0","type":"t"}`,
		},
		"binary, with what may be missing": {
			map[string]string{"specversion": "1.0", "time": "2026-01-01T00:00:00Z", "subject": "s"}, "", data,
			`{"data":{"scope":"subject"},"specversion":"1.0","subject":"s","time":"2026-01-01T00:00:00Z"}`,
		},
		"binary, data that is no JSON":  {map[string]string{"specversion": "1.0"}, "", "{", "{"},
		"binary, an id that is no text": {map[string]string{"specversion": "1.0", "id": "\xff"}, "", data, data},
	} {
		get := func(name string) (string, bool) { v, ok := c.attributes[name]; return v, ok }
		if got := string(Structured(get, c.kind, []byte(c.body))); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
