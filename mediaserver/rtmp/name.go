package rtmp

import (
	"net/url"
	"strings"

	"github.com/streampair/streampair/mediaserver/stream"
)

// parseName makes a stream's key, and the token if there is one, of what connect and
// publish said. Encoders differ in where they cut a URL like
// rtmp://host/app/id?token=x: the id with its query may be in the publishing name (as
// OBS's stream key), or both in the app, and a query may stand behind either.
func parseName(app, tcURL, name string) (key stream.Key, token string, ok bool) {
	app, appQuery, _ := strings.Cut(app, "?")
	name, nameQuery, _ := strings.Cut(name, "?")
	_, urlQuery, _ := strings.Cut(tcURL, "?")
	for _, query := range []string{nameQuery, appQuery, urlQuery} {
		values, _ := url.ParseQuery(query) // what can be parsed, is
		if token = values.Get("token"); token != "" {
			break
		}
	}
	path := strings.Trim(strings.Trim(app, "/")+"/"+strings.Trim(name, "/"), "/")
	key.App, key.ID, ok = strings.Cut(path, "/")
	return key, token, ok && key.Valid()
}
