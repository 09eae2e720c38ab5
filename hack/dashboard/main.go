// Command dashboard writes the Grafana dashboard of Streampair, as JSON, to standard output.
//
// The dashboard is for Grafana 10 and later. The metrics are those of docs/reference.md, and a test of
// this package looks each of them up.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", " ")
	out.SetEscapeHTML(false)
	if err := out.Encode(dashboard()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// object is a JSON object.
type object = map[string]any

// of selects the pairs that the dashboard's variables name. pods selects the media pods' own metrics,
// which know streams and no pairs.
const (
	of   = `{namespace=~"$namespace", pair=~"$pair"}`
	pods = `{namespace=~"$namespace"}`
)

// A panel shows some series over time, unless kind says otherwise.
type panel struct {
	title, unit string
	kind        string      // default timeseries
	width       int         // of 24; default 12
	series      [][2]string // a query, and the name of its series
	values      []string    // the words for 0, 1 and so on, of a state
}

// panels are the dashboard's panels, in rows from the left.
func panels() []panel {
	const state = "state-timeline"
	byPair, byStream := "{{namespace}}/{{pair}}", "{{namespace}} {{stream}}"
	return []panel{
		{title: "Leg on air", kind: state, width: 24, values: []string{"", "on air"}, series: [][2]string{{"max by (namespace, pair, role) (streampair_active_leg" + of + ")", byPair + " {{role}}"}}},
		{title: "Conditions that are not True", kind: state, width: 12, values: []string{"False", "True"}, series: [][2]string{
			{`max by (namespace, pair, condition) (streampair_condition{namespace=~"$namespace", pair=~"$pair", condition!~"Progressing"}) < 1`, byPair + " {{condition}}"}}},
		{title: "Faults of the content", kind: state, width: 12, values: []string{"well", "faulty"}, series: [][2]string{
			{"max by (namespace, pair, leg, fault) (streampair_content_fault" + of + ")", byPair + " {{leg}} {{fault}}"}}},
		{title: "Switches in 10 minutes", unit: "short", series: [][2]string{
			{"sum by (namespace, pair, reason) (increase(streampair_switches_total" + `{job="streampair-operator", namespace=~"$namespace", pair=~"$pair"}` + "[10m]))", byPair + " {{reason}}"}}},
		{title: "Backup later than the primary", unit: "s", series: [][2]string{{"avg by (namespace, pair) (streampair_step_seconds" + of + ")", byPair}}},
		{title: "Bit rate received", unit: "bps", series: [][2]string{{"streampair_ingest_bitrate_bits_per_second" + pods, byStream}}},
		{title: "Picture rate", unit: "short", series: [][2]string{{"streampair_picture_rate" + pods, byStream}, {"streampair_picture_rate_usual" + pods, byStream + " usual"}}},
		{title: "Loudness, short-term", unit: "LUFS", series: [][2]string{{"streampair_sound_short_term_lufs" + pods, byStream}}},
		{title: "Peak level", unit: "dBFS", series: [][2]string{{"streampair_sound_peak_dbfs" + pods, byStream}}},
		{title: "Key frame interval", unit: "s", series: [][2]string{{"streampair_key_frame_interval_seconds" + pods, byStream}}},
		{title: "Arrival jitter", unit: "s", series: [][2]string{{"streampair_arrival_jitter_seconds" + pods, byStream}}},
		{title: "Viewers", unit: "short", series: [][2]string{{"sum by (namespace, protocol) (streampair_viewers" + pods + ")", "{{namespace}} {{protocol}}"}}},
		{title: "Time that viewers stand still", unit: "percentunit", series: [][2]string{
			{"sum by (namespace, pair) (rate(streampair_viewer_stalled_seconds_total" + of + "[5m])) / (10 * sum by (namespace, pair) (rate(streampair_viewer_reports_total" + of + "[5m])))", byPair}}},
	}
}

func dashboard() object {
	var all []object
	x, y := 0, 0
	for i, p := range panels() {
		width := p.width
		if width == 0 {
			width = 12
		}
		if x+width > 24 {
			x, y = 0, y+8
		}
		all = append(all, p.json(i+1, object{"x": x, "y": y, "w": width, "h": 8}))
		x += width
	}
	variable := func(name, query string) object {
		return object{
			"name": name, "label": name, "type": "query", "datasource": source(), "query": query, "refresh": 2,
			"includeAll": true, "multi": true, "current": object{"text": "All", "value": "$__all"},
		}
	}
	return object{
		"uid": "streampair", "title": "Streampair", "tags": []string{"streampair"}, "schemaVersion": 39, "version": 1,
		"refresh": "30s", "time": object{"from": "now-3h", "to": "now"}, "panels": all,
		"templating": object{"list": []object{
			{"name": "datasource", "type": "datasource", "query": "prometheus"},
			variable("namespace", "label_values(streampair_condition, namespace)"),
			variable("pair", `label_values(streampair_condition{namespace=~"$namespace"}, pair)`),
		}},
	}
}

func source() object { return object{"type": "prometheus", "uid": "${datasource}"} }

func (p panel) json(id int, place object) object {
	var targets []object
	for i, s := range p.series {
		targets = append(targets, object{"refId": string(rune('A' + i)), "datasource": source(), "expr": s[0], "legendFormat": s[1]})
	}
	defaults := object{"unit": p.unit}
	if p.values != nil {
		words := object{}
		for value, word := range p.values {
			words[fmt.Sprint(value)] = object{"text": word, "index": value}
		}
		defaults = object{"mappings": []object{{"type": "value", "options": words}}}
	}
	kind := p.kind
	if kind == "" {
		kind = "timeseries"
	}
	return object{
		"id": id, "title": p.title, "type": kind, "gridPos": place, "datasource": source(), "targets": targets,
		"fieldConfig": object{"defaults": defaults, "overrides": []object{}},
	}
}
