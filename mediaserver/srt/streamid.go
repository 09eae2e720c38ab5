package srt

import (
	"errors"
	"net/url"
	"strings"

	"github.com/streampair/streampair/mediaserver/stream"
)

// A target is what a caller asks for by its stream id.
type target struct {
	key   stream.Key
	token string // empty: there is none
}

var (
	errStreamID = errors.New("the stream id must be #!::m=publish,r=live/ID,s=TOKEN or publish:live/ID:TOKEN, " +
		"without the part of the token if the stream needs none")
	errMode = errors.New("this server takes streams by SRT but does not play them; " +
		"use m=publish in the stream id, and open the play.html page to watch")
)

// parseStreamID reads a stream id. It has one of two forms:
//
//	#!::m=publish,r=APP/ID,s=TOKEN    (SRT Access Control Guidelines; other keys are ignored)
//	publish:APP/ID:TOKEN
//
// An error is errStreamID, errMode or stream.ErrInvalidStreamID.
func parseStreamID(text string) (target, error) {
	mode, resource, token := "", "", ""
	if strings.HasPrefix(text, "%23!") { // FFmpeg 5 does not decode a stream id in its URL
		if decoded, err := url.PathUnescape(text); err == nil {
			text = decoded
		}
	}
	if keys, ok := strings.CutPrefix(text, "#!::"); ok {
		mode = "request" // the default of the guidelines
		for _, pair := range strings.Split(keys, ",") {
			name, value, _ := strings.Cut(pair, "=")
			switch name {
			case "m":
				mode = value
			case "r":
				resource = value
			case "s":
				token = value
			}
		}
	} else {
		var rest string
		if mode, rest, ok = strings.Cut(text, ":"); !ok {
			return target{}, errStreamID
		}
		resource, token, _ = strings.Cut(rest, ":")
	}
	switch {
	case mode == "request" || mode == "play" || mode == "read" || mode == "bidirectional":
		return target{}, errMode
	case mode != "publish":
		return target{}, errStreamID
	}
	var t target
	t.key.App, t.key.ID, _ = strings.Cut(strings.Trim(resource, "/"), "/")
	t.token = token
	if !t.key.Valid() {
		return target{}, stream.ErrInvalidStreamID
	}
	return t, nil
}
