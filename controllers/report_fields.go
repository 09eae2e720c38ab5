package controllers

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// statusFields are the status fields that the cluster's definition of
// StreamPair lacks, because the definition is older than the operator. The
// API server refuses a whole status for one unknown field. The status is
// therefore written without these fields. The zero value is ready for use.
type statusFields struct {
	mu sync.Mutex
	// missing are paths such as .status.ingest[].bitrate. learned is when the last of
	// them was found. reported are all paths that were ever reported. All are guarded by mu.
	missing, reported []string
	learned           time.Time
}

// definitionRecheck is after what time the missing fields
// are tried again. Somebody may have updated the definition.
const definitionRecheck = 10 * time.Minute

// The API server answers with text alone, without causes
// or details, so the text has to be searched for the fields.
var (
	undeclaredField = regexp.MustCompile(`(\.status\S*): field not declared in schema`)
	listKey         = regexp.MustCompile(`\[[^\]]*\]`)
)

// noteUnknown notes the fields that the API server did not know at now. It reports
// whether there are new ones, and which of them were never reported before.
func (f *statusFields) noteUnknown(err error, now time.Time) (learned bool, unreported []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, match := range undeclaredField.FindAllStringSubmatch(err.Error(), -1) {
		path := listKey.ReplaceAllString(match[1], "[]")
		if slices.Contains(f.missing, path) {
			continue // the field was left out, so it is not what this error is about
		}
		f.missing, f.learned, learned = append(f.missing, path), now, true
		if !slices.Contains(f.reported, path) {
			f.reported, unreported = append(f.reported, path), append(unreported, path)
		}
	}
	return learned, unreported
}

// leaveOut removes the missing fields from object, which has
// a status. After definitionRecheck it forgets them instead.
func (f *statusFields) leaveOut(object map[string]any, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.learned) >= definitionRecheck {
		f.missing = nil
	}
	for _, path := range f.missing {
		remove(object, strings.Split(strings.TrimPrefix(path, "."), "."))
	}
}

// remove removes the field that steps lead to. A step
// that ends with [] leads through each item of a list.
func remove(from any, steps []string) {
	object, ok := from.(map[string]any)
	if !ok {
		return
	}
	name, isList := strings.CutSuffix(steps[0], "[]")
	switch {
	case len(steps) == 1:
		delete(object, name)
	case isList:
		items, _ := object[name].([]any)
		for _, item := range items {
			remove(item, steps[1:])
		}
	default:
		remove(object[name], steps[1:])
	}
}

// outdated returns the advice for a definition that lacks these fields.
func outdated(fields []string) string {
	return fmt.Sprintf("The cluster's definition of StreamPair is older than the operator and lacks %s. The status is written without. "+
		"Update the definition: helm upgrade with crds.install=true, or kubectl apply --server-side -k config/crd of the operator's version.", strings.Join(fields, ", "))
}
