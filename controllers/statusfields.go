package controllers

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// statusFields are fields of the status that the cluster's definition of StreamPair lacks: the
// definition is older than the operator. The API server refuses a whole status for one such
// field, so the status is written without them. The zero value is ready for use.
type statusFields struct {
	mu sync.Mutex
	// missing are paths such as .status.ingest[].bitrate, and learned is when the last of them
	// was found. told are those that were ever found. All are guarded by mu.
	missing, told []string
	learned       time.Time
}

// definitionRecheck is after what time the fields are tried again: somebody may have updated
// the definition.
const definitionRecheck = 10 * time.Minute

var (
	undeclaredField = regexp.MustCompile(`(\.status\S*): field not declared in schema`)
	listKey         = regexp.MustCompile(`\[[^\]]*\]`)
)

// learn notes the fields that the API server did not know, at now. It reports whether there
// are any, and which of them were not told before.
func (f *statusFields) learn(err error, now time.Time) (learned bool, untold []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, match := range undeclaredField.FindAllStringSubmatch(err.Error(), -1) {
		path := listKey.ReplaceAllString(match[1], "[]")
		if slices.Contains(f.missing, path) {
			continue // it was left out, so that is not the reason
		}
		f.missing, f.learned, learned = append(f.missing, path), now, true
		if !slices.Contains(f.told, path) {
			f.told, untold = append(f.told, path), append(untold, path)
		}
	}
	return learned, untold
}

// leaveOut removes the fields from object, which has a status, at now.
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

// remove removes what steps lead to; a step that ends with [] leads through each item of a list.
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

// outdated words what the API server does not know.
func outdated(fields []string) string {
	return fmt.Sprintf("The definition of StreamPair in the cluster is older than the operator and lacks %s: the status is written without. "+
		"Update the definition: helm upgrade with crds.install=true, or kubectl apply --server-side -k config/crd of the operator's version.", strings.Join(fields, ", "))
}
