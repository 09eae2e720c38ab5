package player_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// eventsSuffix turns a session's id into its name in events' URLs.
const eventsSuffix = "-events"

type pairState struct {
	StreamID       string    `json:"streamId"`
	BackupStreamID string    `json:"backupStreamId"`
	Active         string    `json:"active"`
	ActiveStreamID string    `json:"activeStreamId"`
	OnAir          bool      `json:"onAir"`
	Draining       bool      `json:"draining"`
	Reason         string    `json:"reason"`
	Since          string    `json:"since"`
	Switches       int       `json:"switches"`
	ServerTime     string    `json:"serverTime"`
	Legs           []leg     `json:"legs"`
	Warnings       []warning `json:"warnings"`
	BaseURLs       []string  `json:"baseURLs"`
	ServedBy       string    `json:"servedBy"`
	Reduced        bool      `json:"reduced,omitempty"`
}

type leg struct {
	Role         string  `json:"role"`
	StreamID     string  `json:"streamId"`
	Live         bool    `json:"live"`
	Rank         string  `json:"rank"`
	SampleAspect float64 `json:"sampleAspect,omitempty"`
}

type warning struct {
	Role    string `json:"role"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// setOnAir sets whether there is something to play. If there is, both legs are live.
func (s *pairState) setOnAir(onAir bool) {
	s.OnAir = onAir
	for i := range s.Legs {
		s.Legs[i].Live = onAir
	}
}

// setState changes the pair's state and tells the followers.
func (d *fakeServer) setState(change func(*pairState)) {
	d.locked(func() {
		change(&d.state)
		for feed := range d.feeds {
			feed <- d.stateEvent()
		}
	})
}

func (d *fakeServer) switchTo(role, streamID, reason string) {
	d.setState(func(s *pairState) {
		s.Active, s.ActiveStreamID, s.Reason = role, streamID, reason
		s.setOnAir(true)
		s.Since = time.Now().UTC().Format(time.RFC3339Nano)
		s.Switches++
	})
	d.locked(func() {
		for _, s := range d.sessions {
			s.started = false // it goes on with the other leg's next IDR
		}
	})
}

func (d *fakeServer) stateEvent() string { // mu must be held
	d.state.ServerTime = time.Now().UTC().Format(time.RFC3339Nano)
	d.state.ServedBy = d.role
	var told any = d.state
	if d.bare {
		told = map[string]any{"streamId": d.state.StreamID, "active": d.state.Active, "activeStreamId": d.state.ActiveStreamID, "onAir": d.state.OnAir}
	}
	data, err := json.Marshal(told)
	if err != nil {
		panic(err)
	}
	return "event: state\ndata: " + string(data) + "\n\n"
}

func (d *fakeServer) events(w http.ResponseWriter, r *http.Request) {
	feed := make(chan string, 64)
	if get(d, func() bool { return d.noFeed }) {
		http.Error(w, "no events", http.StatusServiceUnavailable)
		return
	}
	name := r.URL.Query().Get("session")
	id, named := strings.CutSuffix(name, eventsSuffix)
	d.locked(func() { d.followed = append(d.followed, name) })
	if named == get(d, func() bool { return d.namesByID }) {
		http.Error(w, "no such session; open a new one", http.StatusNotFound)
		return
	}
	exists := func() bool { return get(d, func() bool { return d.sessions[id] != nil }) }
	if !exists() {
		http.Error(w, "no such session; open a new one", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	d.locked(func() {
		d.feeds[feed] = struct{}{}
		feed <- d.stateEvent()
	})
	defer d.locked(func() { delete(d.feeds, feed) })
	heartbeat := time.NewTicker(500 * time.Millisecond)
	defer heartbeat.Stop()
	for {
		var event string
		select {
		case <-r.Context().Done():
			return
		case <-d.stop:
			return
		case event = <-feed:
		case now := <-heartbeat.C:
			if get(d, func() bool { return d.noFeed }) || !exists() {
				return
			}
			event = fmt.Sprintf("event: heartbeat\ndata: {\"now\":%q}\n\n", now.UTC().Format(time.RFC3339Nano))
		}
		d.waitWhileHung(r)
		if _, err := io.WriteString(w, event); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
	}
}
