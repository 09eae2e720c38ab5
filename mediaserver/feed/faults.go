package feed

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

// judge decides what a tag means for its track and for the publication. err is why the tag could
// not be used, or nil if it was used. media reports whether the tag has media; a configuration
// alone ends no fault. The error that judge returns ends the publication.
func (f *Feed) judge(k stream.Kind, err error, media bool) error {
	t, now := &f.tracks[k], f.publication.Stream().Now()
	if f.began == 0 {
		f.began = now
	}
	if errors.Is(err, stream.ErrPublicationEnded) {
		return nil // whoever ended the publication knows the reason
	}
	t.recentUnusable, t.counted = max(0, t.recentUnusable-(now-t.counted).Seconds()), now
	if err == nil {
		t.used, f.unusable, t.unusable = true, 0, 0
		if media && t.unusableFault != nil && t.recentUnusable <= faultEnds {
			t.unusableFault = nil
			f.show(k)
		}
		return nil
	}
	f.unusable++
	t.unusable++
	t.recentUnusable = min(t.recentUnusable+1, faultAfter)
	if t.recentUnusable > faultAfter-1 && t.unusableFault == nil {
		t.unusableFault = faultOf(k, err)
		f.show(k)
	}
	return f.fatalError(k, err)
}

// show shows a track's fault. Of several faults it shows the one that says most about the encoder.
func (f *Feed) show(k stream.Kind) {
	t := &f.tracks[k]
	f.publication.SetFault(k, cmp.Or(t.unusableFault, t.foreign, t.missing))
}

// fatalError returns the error that ends the publication if no track of it can be used.
// A tag of kind k could not be used because of err.
func (f *Feed) fatalError(k stream.Kind, err error) error {
	t, other := &f.tracks[k], &f.tracks[1-k]
	var foreign *flv.UnsupportedCodecError
	switch {
	case other.used && other.unusable < MaxMalformed:
		return nil // the other track can be used
	case t.used || other.used:
	case f.unusable < MaxUnusable && f.publication.Stream().Now()-f.began < grace:
		return nil // the other track may still come
	case errors.As(err, &foreign) && f.unusable >= maxForeign:
		return foreign
	}
	if t.unusable >= MaxMalformed {
		return &MalformedError{err}
	}
	return nil
}

// faultOf returns the fault of a track whose tags can't be used because of err.
func faultOf(k stream.Kind, err error) *stream.Fault {
	var foreign *flv.UnsupportedCodecError
	isForeign := errors.As(err, &foreign)
	switch {
	case k == stream.Audio && isForeign:
		return unsupportedAudio(foreign.Codec)
	case k == stream.Audio:
		return &stream.Fault{Code: WarningMalformedAudio, Message: fmt.Sprintf(
			"The sound cannot be decoded, and viewers hear silence (%v): restart the encoder, and set its audio to AAC-LC, mono or stereo.", err)}
	case isForeign:
		return &stream.Fault{Code: WarningUnsupportedVideo, Message: foreign.Codec + " is not supported and the stream has no picture: set the encoder's video to H.264."}
	}
	return &stream.Fault{Code: WarningMalformedVideo, Message: fmt.Sprintf(
		"The picture cannot be decoded (%v): restart the encoder, and set its video to H.264.", err)}
}

// unsupportedAudio returns the fault of sound of that kind.
func unsupportedAudio(kind string) *stream.Fault {
	return &stream.Fault{
		Code:    WarningUnsupportedAudio,
		Message: kind + " is not supported and the stream has no sound: set the encoder's audio to AAC-LC, mono or stereo.",
	}
}
