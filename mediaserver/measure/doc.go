// Package measure measures the legs of pairs: the level and loudness of their sound, their pictures,
// and the rates of their encoders. A server measures the streams that are published to it. Peers tell
// each other what they measure, so that both compare the same measures.
//
// Begin with Watcher, which measures one stream, and Comparison, which compares the two legs of a
// pair. Packages sound, picture and step compute; package content judges. ffmpeg's own filters
// judge the computing in the tests of this package.
package measure
