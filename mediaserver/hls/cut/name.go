package cut

import (
	"fmt"
	"strconv"
	"strings"
)

// A Name names a piece of one publication. A Name never has two contents: the boot id is new at
// every start of a server, and a server gives the number of a publication once.
type Name struct {
	// Boot is the boot id of the server that cut the publication: letters and digits.
	Boot string
	// Publication is the number of the cut publication.
	Publication uint64
	// Segment counts the segments of the publication from 0.
	Segment uint64
	// Part counts the parts of the segment from 0. WholeSegment and Initialization are no parts.
	Part int
}

// Values of Name.Part for pieces that are no parts.
const (
	// WholeSegment is the segment with all its parts.
	WholeSegment = -1
	// Initialization is the initialization section (EXT-X-MAP) that first applies to the segment.
	Initialization = -2
)

const (
	mediaSuffix          = ".m4s"
	initializationSuffix = ".mp4"
)

// String returns the name as the last segment of a URL's path.
func (n Name) String() string {
	segment := fmt.Sprintf("%s-%d-%d", n.Boot, n.Publication, n.Segment)
	switch n.Part {
	case Initialization:
		return segment + initializationSuffix
	case WholeSegment:
		return segment + mediaSuffix
	}
	return fmt.Sprintf("%s-%d%s", segment, n.Part, mediaSuffix)
}

// ParseName is the opposite of String. It accepts nothing that String does not return.
func ParseName(text string) (Name, bool) {
	n := Name{Part: WholeSegment}
	body, isMedia := strings.CutSuffix(text, mediaSuffix)
	if !isMedia {
		n.Part = Initialization
		body = strings.TrimSuffix(text, initializationSuffix)
	}
	fields := strings.Split(body, "-")
	if len(fields) != 3 && (len(fields) != 4 || !isMedia) {
		return Name{}, false
	}
	var errs [3]error
	n.Boot = fields[0]
	n.Publication, errs[0] = strconv.ParseUint(fields[1], 10, 64)
	n.Segment, errs[1] = strconv.ParseUint(fields[2], 10, 64)
	if len(fields) == 4 {
		n.Part, errs[2] = strconv.Atoi(fields[3])
	}
	if errs != [3]error{} || n.String() != text {
		return Name{}, false
	}
	return n, true
}

// Whole returns the name of the segment that the piece belongs to.
func (n Name) Whole() Name {
	n.Part = WholeSegment
	return n
}
