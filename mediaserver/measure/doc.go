// Package measure is the folder of what is measured of a leg's content. Its packages sound, picture
// and step are pure. Its tests have ffmpeg's filters as judges of all of them, and no more is here.
package measure
