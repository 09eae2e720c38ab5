# Sourced by the scripts that build other people's programs into .cache: once, by one
# process at a time, and again only when what they are built from changes.
#
#   built NAME STAMP FUNCTION
#
# calls FUNCTION with an empty folder to build into, unless .cache/NAME was made with the
# same stamp already, and puts that folder in the place of .cache/NAME. Run it from the
# repository's root.

built() {
	local out=$PWD/.cache/$1 stamp=$2
	current() { [ "$(cat "$out/stamp" 2>/dev/null)" = "$stamp" ]; }
	! current || return 0

	mkdir -p .cache
	# Two at a time would take twice as long; the second finds the work done.
	if command -v flock >/dev/null 2>&1; then
		exec 9>".cache/$1.lock"
		flock 9
	fi
	! current || return 0

	built_in=$(mktemp -d "$out.XXXXXX")
	trap 'rm -rf "$built_in"' EXIT
	"$3" "$built_in"
	echo "$stamp" >"$built_in/stamp"

	# Complete or not there at all: others look at this folder.
	chmod 755 "$built_in"
	rm -rf "$out.old"
	[ ! -e "$out" ] || mv "$out" "$out.old"
	mv "$built_in" "$out"
	rm -rf "$out.old"
}

# progress NAME TOTAL passes on what `go build -v` says, and of the packages that it names
# as they are compiled every hundredth. Anything else it says is an error.
progress() {
	awk -v name="$1" -v total="$2" '
		/^[^ :#]+$/ { if (++n % 100 == 0) print name ": compiled " n " of " total " packages"; fflush(); next }
		/^go: downloading/ { next }
		{ print; fflush() }' >&2
}

# downloaded NAME passes on how many modules the go command downloads.
downloaded() {
	awk -v name="$1" '/^go: downloading/ { if (++n % 20 == 0) print name ": downloaded " n " modules"; next } { print }' >&2
}
