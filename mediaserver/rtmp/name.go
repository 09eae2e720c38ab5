package rtmp

import (
	"net/url"
	"strings"

	"github.com/streampair/streampair/mediaserver/stream"
)

// parseName returns a stream's key, and its token if there is one, from the arguments
// of connect and publish. Encoders split a URL like rtmp://host/app/id?token=x in
// different places. The id and its query may be in the publishing name, as with OBS's
// stream key, or in the app. A query may follow either.
func parseName(app, tcURL, name string) (key stream.Key, token string, ok bool) {
	app, appQuery, _ := strings.Cut(app, "?")
	name, nameQuery, _ := strings.Cut(name, "?")
	_, urlQuery, _ := strings.Cut(tcURL, "?")
	for _, query := range []string{nameQuery, appQuery, urlQuery} {
		values, _ := url.ParseQuery(query) // whatever can be parsed is used
		if token = values.Get("token"); token != "" {
			break
		}
	}
	path := strings.Trim(strings.Trim(app, "/")+"/"+strings.Trim(name, "/"), "/")
	key.App, key.ID, ok = strings.Cut(path, "/")
	return key, token, ok && key.Valid()
}
