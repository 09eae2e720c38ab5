package gather

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/streampair/streampair/mediaserver/preflight"
)

// A Source is where one leg is read.
type Source struct {
	// Name is what findings call the leg.
	Name string
	// URL is that of an HTTP-FLV stream, or what ffmpeg opens.
	URL string
	// Events is the URL at which a Streampair media server tells its warnings; empty: there is none.
	Events string
	// ByFFmpeg reports whether ffmpeg reads the URL.
	ByFFmpeg bool
	// Token is sent as a bearer token by HTTP; empty: none is.
	Token string
}

// isFile reports whether the source is a file, which ends by itself.
func (s Source) isFile() bool { return !strings.Contains(s.URL, "://") }

// The names of two legs.
var legNames = [2]string{"primary", "backup"}

// fileNames are the endings of URLs that ffmpeg opens.
var fileNames = []string{".m3u8", ".mpd", ".ts", ".mp4", ".mkv", ".mov", ".webm"}

// Sources returns where to read the legs that one or two URLs name. A URL may be that of the player
// page, which names both legs, of an HTTP-FLV stream, or anything that ffmpeg opens. token is for
// URLs without one.
func Sources(urls []string, token string) ([]Source, error) {
	var all []Source
	for _, one := range urls {
		legs, err := sourcesOf(one, token)
		if err != nil {
			return nil, err
		}
		all = append(all, legs...)
	}
	switch len(all) {
	case 1:
		all[0].Name = "stream"
	case 2:
		all[0].Name, all[1].Name = legNames[0], legNames[1]
	default:
		return nil, fmt.Errorf("name the URL of a player page, or those of one or two streams, and not of %d", len(all))
	}
	return all, nil
}

func sourcesOf(raw, token string) ([]Source, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%.100q is no URL", raw)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return []Source{{URL: raw, ByFFmpeg: true}}, nil
	}
	if u.Host == "" {
		return nil, fmt.Errorf("%.100q has no host", raw)
	}
	query := u.Query()
	if t := query.Get("token"); t != "" {
		token = t
	}
	query.Del("token") // it is sent as a bearer token, which proxies do not log
	u.Fragment = ""
	if path.Base(u.Path) == "play.html" {
		return pageSources(u, query, token)
	}
	ext := path.Ext(u.Path)
	switch {
	case ext == ".flv":
	case slices.Contains(fileNames, ext) || strings.Count(strings.Trim(u.Path, "/"), "/") != 1:
		return []Source{{URL: raw, ByFFmpeg: true}}, nil
	default:
		u.Path += ".flv" // HOST/APP/ID, and ids may have dots
	}
	u.RawQuery = query.Encode()
	return []Source{streamSource(u, token)}, nil
}

// pageSources returns the legs of a player page.
func pageSources(page *url.URL, query url.Values, token string) ([]Source, error) {
	name := query.Get("name")
	if name == "" {
		name = query.Get("id")
	}
	if name == "" {
		return nil, fmt.Errorf("the player page has no name= in its URL")
	}
	var all []Source
	for _, id := range []string{name, query.Get("backupStreamId")} {
		if id == "" {
			continue
		}
		u := *page
		u.Path, u.RawPath, u.RawQuery = path.Join(path.Dir(page.Path), id+".flv"), "", ""
		all = append(all, streamSource(&u, token))
	}
	return all, nil
}

// streamSource returns the source of an HTTP-FLV stream.
func streamSource(u *url.URL, token string) Source {
	events := *u
	id := strings.TrimSuffix(path.Base(u.Path), ".flv")
	events.Path, events.RawPath, events.RawQuery = path.Join(path.Dir(u.Path), "events", id), "", ""
	return Source{URL: u.String(), Events: events.String(), Token: token}
}

// Summary says what was read, without tokens.
func (s Source) Summary(l preflight.Leg) string {
	u, err := url.Parse(s.URL)
	if err != nil {
		return l.Summary()
	}
	u.RawQuery, u.User = "", nil
	return u.String() + ": " + l.Summary()
}
