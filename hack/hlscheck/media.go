package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"

	"github.com/streampair/streampair/hack/hlscheck/rules"
)

// A mediaCheck fetches the segments and parts of one media playlist, each once, and checks them.
type mediaCheck struct {
	client *client
	base   *url.URL
	say    func(...rules.Breach)

	inits map[rules.Resource]*fmp4.Init // nil if it cannot be read
	// next is the number of the segment to fetch next; begun is false before the first.
	next            uint64
	begun           bool
	open            [][]byte // the parts of that segment so far; nil for one that is not there
	bySegment       rules.Timeline
	byPart          rules.Timeline
	sizes           []rules.Sized // of the last segments
	discontinuity   uint64
	segments, parts int
	discontinuities int
	bytes           int64
}

const (
	// firstSegments is how many of the segments that are there at the start are fetched.
	firstSegments = 3
	mostInits     = 64
	mostSizes     = 1000
)

// look fetches what is new in a playlist. It returns an error if the network fails.
func (c *mediaCheck) look(ctx context.Context, m *rules.Media) error {
	if first := m.Next() - min(m.Next()-m.MediaSequence, firstSegments); !c.begun || c.next < m.MediaSequence || c.next > m.Next() {
		c.begun, c.next, c.open = true, first, nil
		c.sizes = nil // a run of segments ended
	}
	for _, s := range m.Segments {
		if s.Number != c.next {
			continue
		}
		if err := c.segment(ctx, s); err != nil {
			return err
		}
		c.next, c.open = c.next+1, nil
	}
	if c.next == m.Next() {
		return c.fetchParts(ctx, m.Open)
	}
	return nil
}

// fetch returns the bytes of a resource, or nil with a breach if it is not there.
func (c *mediaCheck) fetch(ctx context.Context, name string, r rules.Resource) ([]byte, error) {
	u, err := c.base.Parse(r.URI)
	if err != nil {
		c.say(rules.Breach{Rule: "uri-resolves", Section: "4.1", Text: fmt.Sprintf("The URI %q cannot be resolved.", r.URI)})
		return nil, nil
	}
	a, err := c.client.get(ctx, u, r, mostMediaBytes)
	if err != nil {
		return nil, err
	}
	if a.status != http.StatusOK && a.status != http.StatusPartialContent {
		c.say(rules.Breach{Rule: "unavailable", Section: "6.2.1", Text: fmt.Sprintf("%s is answered with status %d.", name, a.status)})
		return nil, nil
	}
	c.bytes += int64(len(a.body))
	return a.body, nil
}

// init returns the Media Initialization Section of a segment, or nil if there is none that can be
// read. Encrypted segments are not read.
func (c *mediaCheck) init(ctx context.Context, s rules.Segment) (*fmp4.Init, error) {
	if s.Map.URI == "" || s.Key != "" {
		return nil, nil
	}
	if init, ok := c.inits[s.Map]; ok {
		return init, nil
	}
	data, err := c.fetch(ctx, "The EXT-X-MAP of segment "+fmt.Sprint(s.Number), s.Map)
	if err != nil {
		return nil, err
	}
	if c.inits == nil || len(c.inits) >= mostInits {
		c.inits = make(map[rules.Resource]*fmp4.Init)
	}
	var init *fmp4.Init
	if data != nil {
		var breaches []rules.Breach
		init, breaches = rules.ParseInit(data)
		c.say(breaches...)
	}
	c.inits[s.Map] = init
	return init, nil
}

// segment fetches a complete segment, and those of its parts that were not fetched before.
func (c *mediaCheck) segment(ctx context.Context, s rules.Segment) error {
	if s.Gap {
		c.sizes = nil
		return nil
	}
	if err := c.fetchParts(ctx, s); err != nil {
		return err
	}
	init, err := c.init(ctx, s)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("Segment %d", s.Number)
	data, err := c.fetch(ctx, name, s.Resource)
	if err != nil || data == nil {
		return err
	}
	if c.segments++; c.segments > 1 && s.Discontinuity != c.discontinuity {
		c.discontinuities++
	}
	c.discontinuity = s.Discontinuity
	c.sizes = append(c.sizes, rules.Sized{Duration: s.Duration, Bytes: int64(len(data))})
	if len(c.sizes) > mostSizes {
		c.sizes = c.sizes[1:]
	}
	if init == nil {
		return nil
	}
	c.say(c.bySegment.Next(init, rules.Content{Name: name, Listed: s.Duration, Discontinuity: s.Discontinuity, Bytes: data})...)
	missing := slices.ContainsFunc(c.open, func(part []byte) bool { return part == nil })
	if len(s.Parts) > 0 && len(c.open) == len(s.Parts) && !missing {
		c.say(rules.CheckParts(name, data, c.open)...)
	}
	return nil
}

// fetchParts fetches the parts of a segment that were not fetched before.
func (c *mediaCheck) fetchParts(ctx context.Context, s rules.Segment) error {
	for i := len(c.open); i < len(s.Parts); i++ {
		p := s.Parts[i]
		if p.Gap {
			c.open = append(c.open, nil)
			continue
		}
		init, err := c.init(ctx, s)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("Part %d of segment %d", i, s.Number)
		data, err := c.fetch(ctx, name, p.Resource)
		if err != nil {
			return err
		}
		c.open = append(c.open, data)
		c.parts++
		if init != nil && data != nil {
			c.say(c.byPart.Next(init, rules.Content{
				Name: name, Listed: p.Duration, Discontinuity: s.Discontinuity, Part: true, Independent: p.Independent, Bytes: data,
			})...)
		}
	}
	return nil
}
