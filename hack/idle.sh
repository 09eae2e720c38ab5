#!/usr/bin/env bash
# Runs a command with what other processes leave of the processors: idle.sh COMMAND…
# Compiling beside tests that play media then holds up no test.
if command -v chrt >/dev/null 2>&1 && chrt --idle 0 true 2>/dev/null; then
	exec chrt --idle 0 "$@"
fi
exec nice -n 19 "$@"
