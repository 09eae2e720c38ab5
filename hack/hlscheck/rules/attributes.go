package rules

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// An attribute is the value of one attribute of a list (4.2).
type attribute struct {
	text   string // without quotes
	quoted bool
}

var oneAttribute = regexp.MustCompile(`^([A-Z0-9-]+)=(?:"([^"]*)"|([^",\s]+))(?:,|$)`)

// attributes reads an attribute list.
func attributes(list string) (map[string]attribute, error) {
	found := make(map[string]attribute)
	for rest := list; ; {
		at := oneAttribute.FindStringSubmatchIndex(rest)
		if at == nil {
			return found, fmt.Errorf("%.40q is no attribute", rest)
		}
		name := rest[at[2]:at[3]]
		if _, ok := found[name]; ok {
			return found, fmt.Errorf("%s stands twice", name)
		}
		if at[4] >= 0 {
			found[name] = attribute{rest[at[4]:at[5]], true}
		} else {
			found[name] = attribute{rest[at[6]:at[7]], false}
		}
		comma := rest[at[1]-1] == ','
		if rest = rest[at[1]:]; rest == "" && !comma {
			return found, nil
		}
	}
}

// A list is the attribute list of a tag. Its methods note a breach for a value that is missing
// or of the wrong type, and then return zero.
type list struct {
	syntax *syntax
	line   line
	values map[string]attribute
}

func (s *syntax) list(l line) list {
	values, err := attributes(l.rest)
	if err != nil {
		s.breach("syntax", "4.2", "The attribute list of %s in line %d is malformed: %v.", l.tag, l.number, err)
	}
	for name := range values {
		if strings.HasPrefix(name, "REQ-") {
			s.need(12, name)
		}
	}
	return list{s, l, values}
}

// need notes a breach for each attribute that is missing.
func (l list) need(names ...string) {
	for _, name := range names {
		if _, ok := l.values[name]; !ok {
			l.syntax.breach("required", tags[l.line.tag].section, "%s in line %d lacks %s.", l.line.tag, l.line.number, name)
		}
	}
}

func (l list) has(name string) bool {
	_, ok := l.values[name]
	return ok
}

func (l list) wrong(name, wanted string) {
	l.syntax.breach("syntax", "4.2", "%s of %s in line %d is not %s.", name, l.line.tag, l.line.number, wanted)
}

func (l list) quoted(name string) string {
	v, ok := l.values[name]
	if ok && (!v.quoted || v.text == "") {
		l.wrong(name, "a quoted string with characters")
	}
	return v.text
}

// one returns an enumerated string, which must be one of the given.
func (l list) one(name string, of ...string) string {
	v, ok := l.values[name]
	if !ok {
		return ""
	}
	for _, o := range of {
		if !v.quoted && v.text == o {
			return o
		}
	}
	l.wrong(name, "one of "+strings.Join(of, ", "))
	return ""
}

func (l list) yes(name string) bool { return l.one(name, "YES", "NO") == "YES" }

func (l list) integer(name string) uint64 {
	v, ok := l.values[name]
	n, good := integer(v.text)
	if ok && (v.quoted || !good) {
		l.wrong(name, "a decimal integer")
	}
	return n
}

func (l list) seconds(name string) time.Duration {
	v, ok := l.values[name]
	d, good := seconds(v.text)
	if ok && (v.quoted || !good) {
		l.wrong(name, "a number of seconds")
	}
	return d
}

// resource returns what URI and BYTERANGE name. Without an offset the range follows before.
func (l list) resource(before Resource) Resource {
	r := Resource{URI: l.quoted("URI")}
	if l.has("BYTERANGE") {
		var ok bool
		if r.Start, r.Length, ok = byteRange(l.quoted("BYTERANGE")); !ok {
			l.wrong("BYTERANGE", "a byte range")
		}
		if r.Start < 0 {
			r.Start = 0
			if before.URI == r.URI {
				r.Start = before.Start + before.Length
			}
		}
	}
	return r
}

func integer(s string) (uint64, bool) {
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && len(s) <= 20
}

var decimal = regexp.MustCompile(`^([0-9]+(\.[0-9]*)?|\.[0-9]+)$`)

// seconds reads a decimal-floating-point number of seconds, exact to the nanosecond.
func seconds(s string) (time.Duration, bool) {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || !decimal.MatchString(s) || f > 1e7 {
		return 0, false
	}
	return time.Duration(math.Round(f * 1e9)), true
}

// byteRange reads "<n>[@<o>]". The start is -1 where it is missing.
func byteRange(s string) (start, length int64, ok bool) {
	n, o, hasStart := strings.Cut(s, "@")
	l, ok := integer(n)
	at, good := uint64(0), true
	if hasStart {
		at, good = integer(o)
	}
	const most = math.MaxInt64 / 2
	if !ok || !good || l == 0 || l > most || at > most {
		return 0, 0, false
	}
	if !hasStart {
		return -1, int64(l), true
	}
	return int64(at), int64(l), true
}
