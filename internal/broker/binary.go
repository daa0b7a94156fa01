package broker

import (
	"encoding/json"
	"unicode/utf8"
)

// Structured returns an event in structured mode. A message whose headers hold
// the attributes, and whose body is the data, is put together from both; any
// other is its body, as it is. attribute returns a header without what brokers
// put before its name, and contentType is that of the data.
func Structured(attribute func(name string) (string, bool), contentType string, body []byte) []byte {
	if _, binary := attribute("specversion"); !binary {
		return body
	}
	event := map[string]any{"data": json.RawMessage(body)}
	if contentType != "" {
		event["datacontenttype"] = contentType
	}
	for _, name := range []string{"specversion", "id", "source", "type", "subject", "time"} {
		value, ok := attribute(name)
		if !utf8.ValidString(value) {
			return body // two such values must not become the same one
		}
		if ok {
			event[name] = value
		}
	}
	whole, err := json.Marshal(event)
	if err != nil {
		return body // no JSON; whoever applies it says so
	}
	return whole
}
