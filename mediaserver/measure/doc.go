// Package measure is the folder of what is measured of a leg's content, and has no code. Its packages
// sound, picture and step are pure. Its test lets ffmpeg's filters judge sound and picture.
package measure
